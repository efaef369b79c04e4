"""Lookups in a table of rows: embedding, embedding_bag, one_hot."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays.duck import somewhere
from ..dtypes import FROM_NUMPY, I64
from .define import MOVE, about_to_be_written, function, op, row_by_row, scalar_name, wrap
from .examples import by_example, vmapped
from .index import check_range, tensor_data
from .places import put_add
from .write import fresh

F = "nn.functional"


def check_rows(name: str, index: Any, weight: Any) -> None:
    """Raise unless `index` holds int32 or int64 row numbers of the matrix `weight`."""
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    if index.dtype.kind != "i" or index.dtype.itemsize < 4:
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: "
            "Long, Int; but got "
            f"torch.{scalar_name(FROM_NUMPY[index.dtype])}Tensor instead (while checking "
            f"arguments for {name})"
        )
    check_range(index, weight.shape[0], 0, IndexError, "index out of range in self")


@op(promote=MOVE, name="embedding", namespace="primitive", method=False, linear=True, keeps=True)
def rows_of(x: Any, /, index: Any, padding_idx: int = -1, scale_grad_by_freq: bool = False) -> Any:
    """The rows of a matrix that `index` names."""
    return x[index] if index.ndim else x[index].copy()  # NumPy only looks at a single one


@rows_of.vjp
def _(g, x_shape, index, padding_idx, scale_grad_by_freq):
    weights = None if padding_idx < 0 else (index != padding_idx).astype(g.dtype)
    if scale_grad_by_freq:
        per_row = 1 / np.bincount(index.reshape(-1), minlength=x_shape[0])[index].astype(g.dtype)
        weights = per_row if weights is None else per_row * weights
    return put_add(g if weights is None else g * weights[..., None], index, x_shape)


@function(method=False, namespace=F)
def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """weight[input]: a row of the matrix `weight` for each index.

    The row `padding_idx` gets no gradient. With `max_norm`, rows that are looked up and longer than
    it (by their `norm_type`-norm) are first cut to it, in place.
    """
    index, table = tensor_data("embedding", input), tensor_data("embedding", weight, "weight", 2)
    if table.ndim and padding_idx is not None and not _has_row(table, padding_idx):
        raise AssertionError("Padding_idx must be within num_embeddings")
    padding_idx = _padding(padding_idx, table)
    check_rows("embedding", index, table)
    if max_norm is not None:
        renormalize(weight, index, max_norm, norm_type)
    return fresh(rows_of.op, weight, index, padding_idx, scale_grad_by_freq)


def _has_row(table: Any, i: int) -> bool:
    return -table.shape[0] <= i < table.shape[0]


def _padding(padding_idx: int | None, table: Any) -> int:
    return -1 if padding_idx is None or not table.ndim else padding_idx % table.shape[0]


def renormalize(weight: Any, index: Any, max_norm: float, norm_type: float) -> None:
    """Cut the rows named by `index` to `max_norm`, in place and unrecorded."""
    data = about_to_be_written(weight)
    rows = np.unique(index)
    norms = np.linalg.norm(data[rows], norm_type, axis=1)
    long = norms > max_norm
    if long.any():
        data[rows[long]] *= (max_norm / (norms[long, None] + 1e-7)).astype(data.dtype)
        weight._storage.bump()


@function(method=False, namespace=F)
def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """For each class number a row of `num_classes` zeros with a one at its place; int64."""
    classes = tensor_data("one_hot", tensor)
    if classes.dtype is not I64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if num_classes == -1 and vmapped(tensor):
        raise RuntimeError(
            "When vmap-ing torch.nn.functional.one_hot, please provide an explicit positive "
            "num_classes argument."
        )
    if not classes.size and num_classes <= 0:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    if somewhere(classes < 0):
        raise RuntimeError("Class values must be non-negative.")
    if num_classes == -1:
        num_classes = int(np.maximum.reduce(classes, axis=None)) + 1
    if somewhere(classes >= num_classes):
        raise RuntimeError("Class values must be smaller than num_classes.")
    hot = classes[..., None] == np.arange(num_classes)
    return wrap(row_by_row(hot.astype(np.int64), True))


# -- bags ----------------------------------------------------------------------------------------
# --------------------


@op(
    promote=MOVE,
    name="bag",
    namespace="primitive",
    method=False,
    node="EmbeddingBagBackward0",
    keeps=True,
)
def bags_of(
    x: Any, y: Any, /, index: Any, bag: Any, count: int, padding_idx: int, scale_grad_by_freq: bool
) -> Any:
    """Sums over each bag of the rows that `index` names, times `y` (one number a row, or None)."""
    rows = x[index] if y is None else x[index] * y.reshape(-1, 1)
    return put_add(rows, bag, (count, x.shape[1]))


@bags_of.vjp
def _(g, y, x_shape, index, bag, padding_idx, scale_grad_by_freq):
    rows = g[bag] if y is None else g[bag] * y.reshape(-1, 1)
    if scale_grad_by_freq:
        rows = rows / np.bincount(index, minlength=x_shape[0])[index][:, None].astype(g.dtype)
    return put_add(rows, index, x_shape)


@bags_of.vjp
def _(g, x, index, bag):
    return np.add.reduce(g[bag] * x[index], axis=1)


@op(
    promote=MOVE,
    name="bag_max",
    namespace="primitive",
    method=False,
    node="EmbeddingBagBackward0",
    extra=True,
)
def largest_of_bags(x: Any, /, index: Any, starts: Any, ends: Any) -> Any:
    """For each bag and column the largest element of the rows that `index` names; zero for an empty
    bag.
    """
    out = np.zeros((len(starts), x.shape[1]), x.dtype)
    chosen = np.full(out.shape, -1, np.int64)
    for k, (a, b) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        if b > a:
            rows = index[a:b]
            best = x[rows].argmax(axis=0)
            chosen[k] = rows[best]
            out[k] = x[chosen[k], np.arange(x.shape[1])]
    return out, chosen


@largest_of_bags.vjp
def _(g, x_shape, extra):
    full = (extra >= 0).nonzero()
    return put_add(g[full], (extra[full], full[1]), x_shape)


MODES = ("sum", "mean", "max")


@function(method=False, namespace=F)
def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """Sum, mean or max (`mode`) of the rows of `weight` in each bag of indices.

    A 2-d `input` has a bag in each row; a 1-d one has bags that begin at `offsets`. Indices equal
    to `padding_idx` are left out. `per_sample_weights` multiply the rows of a sum.
    """
    if level := vmapped(input, offsets, weight if max_norm is not None else None):
        given = (max_norm, norm_type, scale_grad_by_freq, mode, sparse)
        rest = (per_sample_weights, include_last_offset, padding_idx)
        return by_example(embedding_bag, level, input, weight, offsets, *given, *rest)
    index, table = (
        tensor_data("embedding_bag", input),
        tensor_data("embedding_bag", weight, "weight", 2),
    )
    if mode not in MODES:
        raise ValueError("mode has to be one of sum, mean or max")
    _check_weights(index, per_sample_weights, mode)
    starts = _starts(index, offsets, include_last_offset)
    index = index.reshape(-1)
    check_rows("embedding_bag", index, table)
    if max_norm is not None:
        renormalize(weight, index, max_norm, norm_type)
    ends = starts[1:] if include_last_offset else np.append(starts, len(index))[1:]
    starts = starts[: len(ends)]
    bag = np.repeat(np.arange(len(ends)), ends - starts)
    y = per_sample_weights if per_sample_weights is None else per_sample_weights.reshape(-1)
    if padding_idx is not None:
        if not _has_row(table, padding_idx):
            raise RuntimeError(
                f"padding_idx must be within the number of embeddings, -{table.shape[0]} through "
                f"{table.shape[0] - 1}, but got {padding_idx}"
            )
        kept = (index != _padding(padding_idx, table)).nonzero()[0]
        index, bag = index[kept], bag[kept]
        y = y if y is None else y[wrap(kept)]
        lengths = np.bincount(bag, minlength=len(ends))
        ends = np.add.accumulate(lengths)
        starts = ends - lengths
    if mode == "max":
        return largest_of_bags(weight, index, starts, ends)
    if mode == "mean":
        lengths = np.maximum(ends - starts, 1)
        y = wrap((1 / lengths)[bag].astype(table.dtype))
    return bags_of(weight, y, index, bag, len(ends), -1, scale_grad_by_freq)


def _check_weights(index: Any, weights: Any, mode: str) -> None:
    if weights is None:
        return
    if mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported "
            "for "
            f"mode='sum' (got mode='{mode}'). Please open a feature request on GitHub."
        )
    if weights._data.shape != index.shape:
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({list(weights.shape)}) is not None, then it "
            "must have the same "
            f"shape as the input ({list(index.shape)})"
        )


def _starts(index: Any, offsets: Any, include_last_offset: bool) -> Any:
    """Where each bag begins in the flattened index."""
    if index.ndim == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch "
                "of fixed length "
                f"sequences. However, found offsets of type {type(offsets)}"
            )
        n, length = index.shape
        return np.arange(n + include_last_offset) * length
    if index.ndim != 1:
        raise ValueError(
            f"input has to be 1D or 2D Tensor, but got Tensor of dimension {index.ndim}"
        )
    if offsets is None or offsets._data.ndim != 1:
        raise ValueError(
            "offsets has to be a 1D Tensor" + (" but got None" if offsets is None else "")
        )
    starts = offsets._data
    if len(starts) and (starts[0] != 0 or starts[-1] > len(index)):
        raise RuntimeError(
            "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from "
            "position 0. "
            f"However, got {int(starts[0])}"
            if starts[0]
            else (
                f"offsets[-1] can not be greater than input's length {len(index)}, but got "
                f"{int(starts[-1])}"
            )
        )
    return starts
