"""Reading by index: elements, slices, rows, masks.

A Python index splits in two. The basic part (integers, slices, None, Ellipsis) looks at the same
memory: one view, however long the index, whose node is named after the last step, as torch's chain
of views would end. The advanced part (integer arrays and masks) copies, and applies to what the
basic part left. That is torch's rule; NumPy's differs where an integer stands beside an index array
across a slice.

Every reader is the same kernel, `x[index]` with a NumPy index, and the same rule, `put_add`; it
differs from the others by the name of its node. The functions do index arithmetic. What NumPy
checks is not checked beforehand: its complaint is put in torch's words where it arises.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
from numpy import ndarray

from ..arrays.duck import Duck, in_axes, in_rows, inward_of, is_ground, memory, pick
from ..dtypes import BOOL_NP, FROM_NUMPY, I64, uint8
from ..errors import bad_dim, not_a_tensor
from ..tape import record, state
from ..tensor import Tensor
from . import define
from .define import (
    MOVE,
    Op,
    be_view,
    function,
    op,
    refresh,
    remember_how,
    row_by_row,
    scalar_name,
    storage_array,
    wrap,
    write_out,
)
from .examples import by_example, vmapped
from .places import put_add

FULL = slice(None)
CPP_NAMES = {
    "bool": "bool",
    "uint8": "unsigned char",
    "int8": "signed char",
    "int16": "short int",
    "int32": "int",
    "int64": "long int",
    "float16": "c10::Half",
    "bfloat16": "c10::BFloat16",
    "float32": "float",
    "float64": "double",
    "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}


def reader(name: str, node: str, view: bool = False, keeps: bool = False, rows: bool = False) -> Op:
    """`x[index]` for a NumPy index, under a name of its own."""

    def kernel(x: Any, /, index: Any) -> Any:
        return pick(x, index)

    entry = op(
        kernel,
        promote=MOVE,
        view=view,
        method=False,
        namespace="primitive",
        name=name,
        node=node,
        linear=True,
        keeps=keeps,
        rows=rows,
    )
    entry.vjp(_read_rule)
    return entry.op


def _read_rule(g: Any, index: Any, x_shape: Any) -> Any:
    return put_add(g, index, x_shape)


GETITEM = reader(
    "getitem", "IndexBackward0", view=True
)  # a view or a copy: what rules of other operators use
INDEX = reader("index", "IndexBackward0", keeps=True)
ALIAS = reader("alias", "AliasBackward0", view=True)
SELECT = reader("select", "SelectBackward0", view=True)
SLICE = reader("slice", "SliceBackward0", view=True)
UNSQUEEZE = reader("newaxis", "UnsqueezeBackward0", view=True)
INDEX_SELECT = reader("index_select", "IndexSelectBackward0", keeps=True, rows=True)
GATHER = reader("gather", "GatherBackward0", keeps=True, rows=True)
MASKED_SELECT = reader("masked_select", "MaskedSelectBackward0", keeps=True)


def look(o: Op, x: Any, index: Any) -> Any:
    """The view `x[index]`, for a basic index that gives an array (`(i, ...)` rather than `i`)."""
    data = x._data
    if x._storage is None or type(data) is not ndarray:
        data = storage_array(x)
    t = define.blank()
    t._data, t._node, t._index = data[index], None, 0
    be_view(t, x)
    if x._replay is not None:
        remember_how(t, x, lambda y, i: look(o, y, i), (index,))
    if state.mode[1]:
        base = x._base
        if base is not None and base._node is not x._seen:
            refresh(x)
        node = x._node
        if node is not None:
            y = t._data
            t._node = record(o, y.shape, y.dtype, (node,), (x._index,), (index, data.shape))
    return t


def read(o: Op, x: Any, index: Any) -> Any:
    """The copy `x[index]`, for an index with arrays or masks."""
    data = x._data
    y = data[index] if type(index) is ndarray else pick(data, index)
    if not y.ndim and isinstance(y, Duck):
        y = y.copy()  # where NumPy has a number, these may look at their memory
    if o.rows:
        y = row_by_row(y, True)
    elif type(index) is tuple:
        y = as_taken(y, data, index)
    t = wrap(y)
    if state.mode[1]:
        base = x._base
        if base is not None and base._node is not x._seen:
            refresh(x)
        node = x._node
        if node is not None:
            t._node = record(o, y.shape, y.dtype, (node,), (x._index,), (index, data.shape))
    return t


def as_taken(y: Any, x: Any, index: tuple) -> Any:
    """What a tuple of index arrays took from an array. In memory the axes that stay lie as they
    did, those of the index where they come in the result.
    """
    lies = memory(x)
    if not is_ground(y) or not y.ndim or (in_rows(y) and lies.flags.c_contiguous):
        return y
    stay, places, axis = [], [], 0  # strides, and how many stay before each index array
    for part in index:
        if part is FULL:
            stay.append(lies.strides[axis])
        else:
            places.append(len(stay))
        axis += part.ndim if part is not FULL and part.dtype.kind == "b" else 1
    stay += lies.strides[axis:]
    taken = y.ndim - len(stay)
    at = places[0] if places[0] == places[-1] else 0
    strides = [stay[:at] + [0] * taken + stay[at:]]
    for part in [p for p in index if p is not FULL]:
        own = [s * (n > 1) for s, n in zip(memory(part).strides, part.shape, strict=True)]
        own = [part.dtype.itemsize] if part.dtype.kind == "b" else own
        strides.append([0] * (at + taken - len(own)) + own + [0] * (len(stay) - at))
    return in_axes(y, inward_of(strides, y.shape))


# -- x[index] --------------------------------------------------------------------------------------


def getitem(self: Any, index: Any) -> Any:
    """`self[index]`: a view for integers, slices, None and Ellipsis; a copy for index arrays and
    masks.
    """
    kind = type(index)
    try:
        if kind is int:
            return look(SELECT, self, (index, ...))
        if kind is tuple:
            last = last_step(index)
            if last is not None:
                return look(last, self, index if Ellipsis in index else (*index, ...))
        elif kind is slice:
            if index.step is None:
                return look(SLICE, self, index)
        elif kind is Tensor:
            array = index._data
            if (
                type(array) is np.ndarray
                and array.ndim
                and (array.dtype is I64 or (array.dtype is BOOL_NP and array.size))
            ):
                return read(INDEX, self, array)
    except IndexError:
        pass  # said in torch's words below
    return _getitem(self, index)


def last_step(index: tuple) -> Op | None:
    """Which view comes last in a plain basic index; None if the index is anything else."""
    last = ALIAS
    for i in index:
        kind = type(i)
        if kind is int:
            last = SELECT
        elif kind is slice:
            if i.step is not None:
                return None
            if i.start is not None or i.stop is not None:
                last = SLICE
        elif i is None:
            last = UNSQUEEZE
        elif i is not Ellipsis:
            return None
    return last


def _getitem(self: Any, index: Any) -> Any:
    basic, advanced, last = split(self, index)
    if basic is not None:
        self = look(last, self, basic)
    if advanced is None:
        return self
    check_hollow_masks(self._data.shape, advanced)
    if state.capture is not None:
        note_ranges(self._data.shape, advanced)
        for i in advanced if type(advanced) is tuple else (advanced,):
            if i is not FULL and i.dtype.kind == "b":
                state.capture.counted(i)
    try:
        found = read(INDEX, self, advanced)
    except IndexError as e:
        raise index_error(e, self._data.shape, advanced) from None
    if state.capture is not None:
        state.capture.picked(self, found, advanced)
    return found


def check_hollow_masks(shape: tuple, advanced: Any) -> None:
    """Raise for a mask without elements and of the wrong shape, which NumPy lets pass."""
    parts = advanced if type(advanced) is tuple else (advanced,)
    if any(i is not FULL and not i.size for i in parts):
        bad = mask_error(shape, parts)
        if bad is not None:
            raise bad


def split(x: Any, index: Any) -> tuple[Any, Any, Op]:
    """An index as (basic, advanced, last view): NumPy indices to apply one after the other, either
    of them maybe None.
    """
    single = type(index) is not tuple and type(index) is not list
    items = [_item(i) for i in as_tuple(index)]
    shape = x._data.shape
    rest = len(shape) - sum([_consumes(i) for i in items])
    if rest < 0:
        raise _too_many(index, len(shape))
    basic: list = []
    advanced: list = []
    last, dim = ALIAS, 0
    for k, i in enumerate(items):
        count = _consumes(i)
        if type(i) is int:
            _check_bounds(i, k, shape[dim])
            basic.append(i)
            last = SELECT
        elif i is Ellipsis:
            count, rest = rest, 0
            basic += [FULL] * count
            advanced += [FULL] * count
        else:
            seen, taken, step = _looked_at(i, shape[dim] if count else 0, single)
            basic += [seen] * max(count, 1)
            advanced.append(taken)
            last = step or last
        dim += count
    if all(i is FULL for i in advanced):
        return (*basic, ...), None, last
    found = advanced[0] if len(advanced) == 1 else tuple(advanced)
    return None if all(i is FULL for i in basic) else (*basic, ...), found, last


def _looked_at(i: Any, size: int, single: bool) -> tuple[Any, Any, Op | None]:
    """What an index leaves to see, what is taken of that, and the name of the view, if any."""
    if i is None:
        return None, FULL, UNSQUEEZE
    if type(i) is bool:
        return None, np.zeros(int(i), np.intp), None
    if type(i) is not slice:
        return FULL, i, None
    whole = not single and i.indices(size) == (0, size, 1)
    return (FULL, FULL, None) if whole else (i, FULL, SLICE)


def as_tuple(index: Any) -> tuple:
    """The index as a tuple; a short list of anything but numbers counts as one, as it does in
    torch.
    """
    if type(index) is tuple:
        return index
    if type(index) is list and len(index) < 32:
        plural = (list, tuple, Tensor, np.ndarray, range, slice, str)
        if any(isinstance(i, plural) or i is None or i is Ellipsis for i in index):
            warnings.warn(
                "Using a non-tuple sequence for multidimensional indexing is deprecated: "
                "write x[tuple(seq)] instead of x[seq]",
                UserWarning,
                stacklevel=4,
            )
            return tuple(index)
    return (index,)


def _item(i: Any) -> Any:
    """One index as an int, bool, slice, None, Ellipsis or array."""
    if i is None or i is Ellipsis or type(i) is int or type(i) is bool:
        return i
    if type(i) is slice:
        return _checked_slice(i)
    if isinstance(i, Tensor):
        return _tensor_item(i)
    if isinstance(i, (int, np.integer)):
        return int(i)
    if isinstance(i, str):
        raise TypeError("new(): invalid data type 'str'")
    if isinstance(i, (list, tuple, range, np.ndarray)):
        a = np.array(i)
        if a.dtype.kind != "b" and a.dtype is not I64:
            a = a.astype(np.int64)
        return a if a.ndim else a[()].item()
    raise IndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid "
        "indices "
        f"(got {type_name(i)})"
    )


def type_name(x: Any) -> str:
    """The name of x's type, with its module unless that is built in."""
    kind = type(x)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _checked_slice(s: slice) -> slice:
    for bound in (s.start, s.stop, s.step):
        if bound is not None and not hasattr(bound, "__index__"):
            raise TypeError("slice indices must be integers or None or have an __index__ method")
    start, stop, step = [b if b is None else b.__index__() for b in (s.start, s.stop, s.step)]
    if step is not None and step <= 0:
        raise ValueError("step must be greater than zero" if step else "slice step cannot be zero")
    return slice(start, stop, step)


def _tensor_item(i: Any) -> Any:
    a = i._data
    d = FROM_NUMPY[a.dtype]
    if not a.ndim and a.dtype.kind in "biu":
        if isinstance(a, Duck) and state.capture is not None:
            a = state.capture.index(a)
        if not isinstance(a, Duck):
            return bool(a) if d is uint8 or a.dtype.kind == "b" else int(a)
    if d is uint8:
        warnings.warn(
            "indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool "
            "instead.",
            UserWarning,
            stacklevel=5,
        )
        a = a.astype(bool)
    elif d.name not in ("bool", "int32", "int64"):
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    return a


def _consumes(i: Any) -> int:
    """How many dimensions of the tensor an index speaks of."""
    kind = type(i)
    if kind is int or kind is slice:
        return 1
    if i is None or i is Ellipsis or kind is bool:
        return 0
    return i.ndim if i.dtype.kind == "b" else 1


def _too_many(index: Any, ndim: int) -> IndexError:
    if not ndim and isinstance(index, (int, np.integer)):
        return IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` "
            "in C++ to "
            "convert a 0-dim tensor to a number"
        )
    if not ndim and isinstance(index, slice):
        return IndexError("slice() cannot be applied to a 0-dim tensor.")
    return IndexError(f"too many indices for tensor of dimension {ndim}")


def _check_bounds(i: int, dim: int, size: int) -> None:
    if not -size <= i < size:
        if abs(i) >= 2**63:
            raise ValueError("Overflow when unpacking long long")
        raise IndexError(f"index {i} is out of bounds for dimension {dim} with size {size}")


def index_error(e: Exception, shape: tuple, advanced: Any) -> Exception:
    """NumPy's complaint about an advanced index in torch's words."""
    parts = advanced if type(advanced) is tuple else (advanced,)
    bad = mask_error(shape, parts)
    if bad is not None:
        return bad
    if "broadcast" in str(e):
        shapes = [
            list(i.shape) if i.dtype.kind != "b" else [int(np.count_nonzero(i))]
            for i in parts
            if i is not FULL
        ]
        return IndexError(
            "shape mismatch: indexing tensors could not be broadcast together with shapes "
            + ", ".join(map(str, shapes))
        )
    dim = count = 0
    for i in parts:
        if i is not FULL and i.dtype.kind != "b":
            found = out_of_range(i, shape[dim])
            if found is not None and not shape[dim]:
                return IndexError("index is out of bounds for dimension with size 0")
            if found is not None:
                return IndexError(
                    f"index {found} is out of bounds for dimension {count} with size {shape[dim]}"
                )
        dim += _consumes(i)
        count += i is not FULL
    return IndexError(str(e).replace("axis", "dimension"))


def mask_error(shape: tuple, parts: tuple) -> IndexError | None:
    """torch's error if a mask among the parts of an advanced index does not have the shape it
    masks.
    """
    dim = 0
    for i in parts:
        if i is not FULL and i.dtype.kind == "b":
            for k, n in enumerate(i.shape):
                if n != shape[dim + k]:
                    return IndexError(
                        f"The shape of the mask {list(i.shape)} at index {k} does not match the "
                        "shape of the "
                        f"indexed tensor {list(shape)} at index {dim + k}"
                    )
        dim += _consumes(i)
    return None


def check_range(
    index: Any,
    size: int,
    lowest: int | None,
    kind: type[Exception],
    text: str,
    ignore: int | None = None,
) -> None:
    """Raise kind(text), with the first bad entry in place of {}, unless an integer index is in
    [lowest, size) (lowest: -size) but where it is `ignore`; a compiled program does so whenever it
    runs.
    """
    if state.capture is not None:
        state.capture.bounded(index, size, lowest, kind, text, ignore)
    bad = out_of_range(index, size, lowest, ignore)
    if bad is not None:
        raise kind(text.format(bad))


def note_ranges(shape: tuple, advanced: Any) -> None:
    """Have the program that is captured check an advanced index whenever it runs."""
    dim = count = 0
    for i in advanced if type(advanced) is tuple else (advanced,):
        if i is not FULL and i is not None and i.dtype.kind != "b":
            text = f"index {{}} is out of bounds for dimension {count} with size {shape[dim]}"
            state.capture.bounded(i, shape[dim], None, IndexError, text)
        dim += _consumes(i)
        count += i is not FULL


def out_of_range(
    index: Any, size: int, lowest: int | None = None, ignore: int | None = None
) -> int | None:
    """The first entry of an integer index not in [lowest, size) (lowest: -size), nor `ignore`, if
    any.
    """
    if isinstance(index, Duck):
        index = index.given() if index.ground else None
    if index is None or not index.size:
        return None
    low = -size if lowest is None else lowest
    if index.size < 32:
        entries = index.ravel().tolist()
        bottom, top = min(entries), max(entries)
    else:
        bottom, top = np.minimum.reduce(index, None), np.maximum.reduce(index, None)
    if bottom >= low and top < size:
        return None
    bad = (index < low) | (index >= size)
    found = index[bad if ignore is None else bad & (index != ignore)].ravel()
    return int(found[0]) if found.size else None


# -- views of one dimension
# ------------------------------------------------------------------------------------------


def dim_of(dim: int, ndim: int) -> int:
    """`dim` counted from the front; a 0-d tensor has dim 0."""
    n = ndim or 1
    if not -n <= dim < n:
        raise bad_dim(dim, ndim)
    return dim % n


def along(dim: int, item: Any) -> tuple:
    """The NumPy index that puts `item` at dimension `dim`."""
    return (*(FULL,) * dim, item)


@function
def select(input: Any, dim: int, index: Any) -> Any:
    """`input` at one index of dimension `dim`: a view without that dimension."""
    shape = tensor_data("select", input).shape
    if not shape:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim, index = dim_of(dim, len(shape)), index.__index__()
    if not -shape[dim] <= index < shape[dim]:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(shape)} at dimension "
            f"{dim}"
        )
    return look(SELECT, input, (*along(dim, index), ...))


@function
def narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    """`length` entries of dimension `dim` from `start` on, as a view."""
    shape = tensor_data("narrow", input).shape
    if isinstance(start, Tensor) and (start._data.ndim or start._data.dtype.kind not in "iu"):
        raise RuntimeError("start must be an 0-dim integral Tensor.")
    if not shape:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    dim, start = dim_of(dim, len(shape)), start.__index__()
    size = shape[dim]
    if not -size <= start <= size:
        raise IndexError(
            f"start out of range (expected to be in range of [{-size}, {size}], but got {start})"
        )
    start += size if start < 0 else 0
    if start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return look(SLICE, input, (*along(dim, slice(start, start + length)), ...))


@op(
    promote=MOVE,
    view=True,
    outputs=0,
    linear=True,
    method=False,
    namespace="primitive",
    node="UnbindBackward0",
)
def unbind_views(x: Any, /, dim: int) -> Any:
    """The slices of dimension `dim`, as views."""
    head = (FULL,) * dim
    return tuple([x[*head, i, ...] for i in range(x.shape[dim])])


@unbind_views.vjp
def _(g, dim):
    return np.concatenate([gi[along(dim, None)] for gi in g], dim)


@function
def unbind(input: Any, dim: int = 0) -> Any:
    """The slices of dimension `dim`, as a tuple of views without that dimension."""
    shape = tensor_data("unbind", input).shape
    if not shape:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    dim = dim_of(dim, len(shape))
    if not shape[dim]:
        return ()
    if state.mode[1] and input.requires_grad:
        return unbind_views(input, dim)
    data, head, views = storage_array(input), (FULL,) * dim, []
    for i in range(shape[dim]):
        t = wrap(data[*head, i, ...])
        be_view(t, input, many=True)
        views.append(t)
    return tuple(views)


# -- copies of chosen elements
# ---------------------------------------------------------------------------------------


def tensor_data(name: str, x: Any, argument: str = "input", position: int = 1) -> Any:
    """The array of an argument that must be a tensor."""
    if not isinstance(x, Tensor):
        raise not_a_tensor(name, argument, position, x)
    return x._data


def grid(index: Any, axis: int) -> tuple:
    """The NumPy index of what `index` picks along `axis`, the other places being its own."""
    shape, ndim = index.shape, index.ndim
    if ndim == 1:
        return (index,)
    return tuple([index if k == axis else steps(n, ndim - 1 - k) for k, n in enumerate(shape)])


@functools.lru_cache(256)
def steps(n: int, behind: int) -> Any:
    """0, 1, ... n - 1 along an axis with `behind` axes of size 1 behind it."""
    out = np.arange(n).reshape((n,) + (1,) * behind)
    out.flags.writeable = False
    return out


def copied_to(out: Any, result: Any, *sources: Any) -> Any:
    """`result`, or `out` holding it; `out` may not look at the memory that is read."""
    if out is None:
        return result
    if out.dtype is not result.dtype:
        raise RuntimeError(
            f"Expected out tensor to have dtype {CPP_NAMES[result.dtype.name]}, but got "
            f"{CPP_NAMES[out.dtype.name]} instead"
        )
    for source in sources:
        if np.may_share_memory(out._data, source._data):
            raise RuntimeError(
                "unsupported operation: some elements of the input tensor and the written-to "
                "tensor refer to a single memory location. Please clone() the tensor before "
                "performing the operation."
            )
    return write_out(out, result, *sources)


def check_along(name: str, x: Any, dim: int, index: Any) -> int:
    """The dimension of a gather or scatter, its index checked for dtype, rank and range."""
    if index.size and (index.dtype.kind != "i" or index.dtype.itemsize < 4):
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")
    dim = dim_of(dim, x.ndim)
    size = x.shape[dim] if x.ndim else 1
    text = f"index {{}} is out of bounds for dimension {dim} with size {size}"
    check_range(index, size, 0, RuntimeError, text)
    return dim


@function
def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False, out: Any = None) -> Any:
    """Elements picked along `dim`: out[i][j] = input[index[i][j]][j] for dim 0, and so on."""
    x, i = tensor_data("gather", input), tensor_data("gather", index, "index", 2)
    if i.size and max(x.ndim, 1) != max(i.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    dim = check_along("gather", x, dim, i)
    if not i.size:
        return copied_to(out, read(GATHER, input.reshape(-1), np.zeros(i.shape, np.intp)))
    if not x.ndim or not i.ndim:
        return copied_to(out, read(GATHER, input if x.ndim else input.reshape(1), i), input, index)
    for k, (n, m) in enumerate(zip(i.shape, x.shape, strict=True)):
        if n > m and k != dim:
            raise RuntimeError(
                f"Size does not match at dimension {k} expected index {list(i.shape)} to be no "
                f"larger than self {list(x.shape)} apart from dimension {dim}"
            )
    return copied_to(out, read(GATHER, input, grid(i, dim)), input, index)


@function
def index_select(input: Any, dim: int, index: Any, *, out: Any = None) -> Any:
    """The entries of dimension `dim` that the 1-d `index` names, in its order."""
    x, i = tensor_data("index_select", input), tensor_data("index_select", index, "index", 2)
    if i.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if i.dtype.kind != "i" or i.dtype.itemsize < 4:
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    dim = dim_of(dim, x.ndim)
    if not x.ndim and i.size != 1:
        raise RuntimeError(
            f"index_select(): Index to scalar can have only 1 value, got {i.size} value(s)"
        )
    size = x.shape[dim] if x.ndim else 1
    check_range(i, size, 0, IndexError, "index out of range in self")
    place = along(dim, i.reshape(-1)) if x.ndim else ()
    return copied_to(out, read(INDEX_SELECT, input, place), input, index)


@op(
    promote=MOVE, linear=True, keeps=True, method=False, namespace="primitive", node="TakeBackward0"
)
def taken(x: Any, /, index: Any) -> Any:
    """The elements of the flattened input at `index`."""
    return x.reshape(-1)[index]


@taken.vjp
def _(g, index, x_shape):
    return put_add(g, index, (_count(x_shape),)).reshape(x_shape)


@function
def take(input: Any, index: Any, *, out: Any = None) -> Any:
    """The elements of the flattened input at `index`."""
    x, i = tensor_data("take", input), tensor_data("take", index, "index", 1)
    if i.dtype is not I64:
        raise RuntimeError(
            f"take(): Expected a long tensor for index, but got {scalar_name(FROM_NUMPY[i.dtype])}"
        )
    check_flat("take", i, x.size)
    return copied_to(out, taken(input, index), input, index)


def _count(shape: tuple) -> int:
    n = 1
    for s in shape:
        n *= s
    return n


def check_flat(name: str, index: Any, size: int) -> None:
    """Raise unless every entry of `index` names one of `size` elements."""
    if index.size and not size:
        raise IndexError(f"{name}(): tried to {name} from an empty tensor")
    text = f"out of range: tried to access index {{}} on a tensor of {size} elements."
    check_range(index, size, None, IndexError, text)


@function
def take_along_dim(input: Any, indices: Any, dim: int | None = None, *, out: Any = None) -> Any:
    """Elements picked along `dim` by `indices`, both broadcast apart from it; from the flattened
    input if `dim` is None.
    """
    x, i = (
        tensor_data("take_along_dim", input),
        tensor_data("take_along_dim", indices, "indices", 2),
    )
    if i.dtype is not I64:
        raise RuntimeError(
            "torch.take_along_dim(): dtype of indices should be Long but got "
            f"{scalar_name(FROM_NUMPY[i.dtype])}"
        )
    if dim is None:
        size = max(x.size, 1)
        return write_out(out, gather(input.reshape(-1), 0, wrap(i.reshape(-1) % size)), input)
    dim = dim_of(dim, x.ndim)
    if x.ndim != i.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            "but got "
            f"{x.ndim} dimensions for input, and {i.ndim} dimensions for indices"
        )
    common = _broadcast_but(x.shape, i.shape, dim)
    if x.ndim and x.shape != (wanted := (*common[:dim], x.shape[dim], *common[dim + 1 :])):
        input = input.expand(wanted)
    if x.ndim:
        i = np.broadcast_to(
            i % max(x.shape[dim], 1), (*common[:dim], i.shape[dim], *common[dim + 1 :])
        )
    return write_out(out, gather(input, dim, wrap(i)), input)


def _broadcast_but(a: tuple, b: tuple, dim: int) -> tuple:
    """The shape two shapes of one rank broadcast to, dimension `dim` aside."""
    for k, (n, m) in enumerate(zip(a, b, strict=True)):
        if k != dim and n != m and 1 not in (n, m):
            raise RuntimeError(
                f"The size of tensor a ({n}) must match the size of tensor b ({m}) at "
                f"non-singleton dimension {k}"
            )
    return tuple([m if n == 1 else n for n, m in zip(a, b, strict=True)])


@function
def masked_select(input: Any, mask: Any, *, out: Any = None) -> Any:
    """The elements where `mask` (broadcast against `input`) is True, as a 1-d tensor."""
    x, m = tensor_data("masked_select", input), tensor_data("masked_select", mask, "mask", 2)
    if m.dtype is not BOOL_NP:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    if x.shape != m.shape:
        shape = broadcast_shapes(m.shape, x.shape)
        m = np.broadcast_to(m, shape)
        if x.shape != shape:
            input = input.expand(shape)
    if not m.ndim:
        input, m = input.reshape(1), m.reshape(1)
    if state.capture is not None:
        state.capture.counted(m)
    return copied_to(out, read(MASKED_SELECT, input, m), input, mask)


def broadcast_shapes(a: tuple, b: tuple) -> tuple:
    """The shape two shapes broadcast to, or torch's error."""
    n = max(len(a), len(b))
    one, two = (1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b
    return _broadcast_but(one, two, -1)


# -- where something is
# ----------------------------------------------------------------------------------------------


def places(x: Any) -> tuple:
    """The index arrays of the elements that are not zero; a 0-d array counts as 1-d."""
    return (x if x.ndim else x.reshape(1)).nonzero()


@function
def nonzero(input: Any, *, out: Any = None, as_tuple: bool = False) -> Any:
    """The indices of the elements that are not zero, one row each; or, `as_tuple`, one tensor per
    dimension.
    """
    x = tensor_data("nonzero", input)
    if vmapped(input):
        raise RuntimeError(
            "vmap: We do not support batching operators that can output dynamic shape. Attempted to"
            " vmap over aten::nonzero."
        )
    found = places(x)
    if as_tuple:
        return tuple([wrap(i) for i in found])
    rows = (
        np.array(found[: x.ndim], np.int64).reshape(x.ndim, -1).T
        if x.ndim
        else np.zeros((len(found[0]), 0), np.int64)
    )
    return write_out(out, wrap(rows), input)  # column by column in memory, as torch has it


@function
def argwhere(input: Any) -> Any:
    """The indices of the elements that are not zero, one row each."""
    if level := vmapped(input):
        return by_example(argwhere, level, input)
    return nonzero(input)


@function(method=False)
def unravel_index(indices: Any, shape: Any) -> tuple:
    """The coordinates, in an array of `shape`, of positions in its flattened form."""
    i = tensor_data("unravel_index", indices, "indices")
    if i.dtype.kind not in "iu":
        raise ValueError(f"expected 'indices' to be an integer dtype, but got {indices.dtype}")
    shape = (shape,) if isinstance(shape, int) else tuple([int(n) for n in shape])
    return tuple([wrap(c) for c in coordinates(i.astype(np.int64), shape)])


def coordinates(i: Any, shape: tuple) -> tuple:
    """The coordinates, in an array of `shape`, of positions in its flattened form."""
    out = []
    for n in reversed(shape):
        out.append(i % max(n, 1))
        i = i // max(n, 1)
    return tuple(reversed(out))


Tensor.__getitem__ = getitem  # type: ignore[assignment, attr-defined, misc]
