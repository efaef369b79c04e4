"""The named tuples of functions with several results: `x.max(0).indices`, `values, _ =
x.sort()`.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import TYPE_CHECKING, Any

FIELDS = {
    "values indices": "cummax cummin kthvalue max median min mode nanmedian sort topk",
    "min max": "aminmax",
    "hist bin_edges": "histogram histogramdd",
    "mantissa exponent": "frexp",
    "a tau": "geqrf",
    "L info": "linalg_cholesky_ex",
    "eigenvalues eigenvectors": "linalg_eig linalg_eigh",
    "inverse info": "linalg_inv_ex",
    "LD pivots": "linalg_ldl_factor",
    "LD pivots info": "linalg_ldl_factor_ex",
    "solution residuals rank singular_values": "linalg_lstsq",
    "P L U": "linalg_lu lu_unpack",
    "LU pivots": "linalg_lu_factor",
    "LU pivots info": "linalg_lu_factor_ex _lu_with_info",
    "Q R": "linalg_qr qr",
    "sign logabsdet": "linalg_slogdet slogdet",
    "result info": "linalg_solve_ex",
    "U S Vh": "linalg_svd",
    "U S V": "svd",
    "solution cloned_coefficient": "triangular_solve",
}


class Results(tuple):
    """Several results under their names, made from them one by one or (as in torch) from a
    sequence.
    """

    __slots__ = ()
    _fields: tuple[str, ...] = ()
    n_unnamed_fields = 0

    def __new__(cls, *values: Any) -> Results:
        if len(values) == 1:
            values = values[0]
            if not isinstance(values, Iterable):
                raise TypeError("constructor requires a sequence")
        self = tuple.__new__(cls, values)
        if len(self) != len(cls._fields):
            text = f"takes a {len(cls._fields)}-sequence ({len(self)}-sequence given)"
            raise TypeError(f"torch.return_types.{cls.__name__}() {text}")
        return self

    def __repr__(self) -> str:
        pairs = zip(self._fields, self, strict=True)
        parts = ",\n".join(f"{name}={value!r}" for name, value in pairs)
        return f"torch.return_types.{type(self).__name__}(\n{parts})"

    def __reduce__(self) -> tuple:
        return type(self), tuple(self)


def _make(name: str, fields: str) -> type[Results]:
    names = tuple(fields.split())
    facts = {
        "_fields": names,
        "__match_args__": names,
        "n_fields": len(names),
        "n_sequence_fields": len(names),
        "__slots__": (),
        "__module__": __name__,
    }
    places = {n: property(itemgetter(i), doc=f"Result {i}.") for i, n in enumerate(names)}
    return type(name, (Results,), {**facts, **places})


for _fields, _names in FIELDS.items():
    for _name in _names.split():
        globals()[_name] = _make(_name, _fields)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
