"""The named parts of a module, in a dictionary that keeps the module's attributes in step."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .module import Module


class Registry(dict):
    """The named parts of a module, each kept in the module's `__dict__` as well."""

    __slots__ = ("_owner",)

    def __init__(self, owner: Module, parts: Any = ()) -> None:
        self._owner = weakref.ref(owner)
        dict.__init__(self, parts)
        owner.__dict__.update(self)

    def __setitem__(self, name: str, value: Any) -> None:
        dict.__setitem__(self, name, value)
        owner = self._owner()
        if owner is not None:
            owner.__dict__[name] = value

    def __delitem__(self, name: str) -> None:
        dict.__delitem__(self, name)
        owner = self._owner()
        if owner is not None:
            owner.__dict__.pop(name, None)

    def pop(self, name: str, *default: Any) -> Any:
        """Remove and return one entry."""
        if name in self or not default:
            value = self[name]
            del self[name]
            return value
        return default[0]

    def popitem(self) -> tuple:
        """Remove and return the last entry."""
        name = next(reversed(self))
        return name, self.pop(name)

    def clear(self) -> None:
        """Remove every entry."""
        for name in list(self):
            del self[name]

    def update(self, *parts: Any, **more: Any) -> None:
        """Add or replace entries."""
        for name, value in dict(*parts, **more).items():
            self[name] = value

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The entry of that name, made now if there is none."""
        if name not in self:
            self[name] = default
        return self[name]

    def __ior__(self, other: Any) -> Any:  # type: ignore[override, misc]
        self.update(other)
        return self

    def move_to_end(self, name: str, last: bool = True) -> None:
        """Make an entry the last one (or the first)."""
        value = dict.pop(self, name)
        rest = {} if last else dict(self)
        for other in rest:
            dict.pop(self, other)
        dict.__setitem__(self, name, value)
        dict.update(self, rest)

    def copy(self) -> dict:
        """The entries in a plain dictionary."""
        return dict(self)

    def __reduce__(self) -> tuple:
        return dict, (dict(self),)
