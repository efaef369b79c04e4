"""Sequences of different lengths: padded to one length, or packed.

A PackedSequence holds the elements step by step: first those of the first step of all sequences
(the longest first), then those of the second step, and so on; `batch_sizes` says how many sequences
still run at each step.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ... import dtypes
from ...ops.define import wrap
from ...ops.join import cat, stack
from ...tensor import Tensor


class PackedSequence_(NamedTuple):
    """The four tensors of a packed sequence."""

    data: Any
    batch_sizes: Any
    sorted_indices: Any
    unsorted_indices: Any


class PackedSequence(PackedSequence_):
    """Sequences packed step by step, the longest first; the indices say how they were sorted."""

    __slots__ = ()

    def __new__(
        cls,
        data: Any,
        batch_sizes: Any = None,
        sorted_indices: Any = None,
        unsorted_indices: Any = None,
    ) -> Any:
        if batch_sizes is None:
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return PackedSequence_.__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same sequences with their data cast."""
        data = self.data.to(*args, **kwargs)
        return (
            self
            if data is self.data
            else type(self)(data, self.batch_sizes, self.sorted_indices, self.unsorted_indices)
        )

    def double(self) -> PackedSequence:
        """The data as float64."""
        return self.to(dtype=dtypes.float64)

    def float(self) -> PackedSequence:
        """The data as float32."""
        return self.to(dtype=dtypes.float32)

    def half(self) -> PackedSequence:
        """The data as float16."""
        return self.to(dtype=dtypes.float16)

    def long(self) -> PackedSequence:
        """The data as int64."""
        return self.to(dtype=dtypes.int64)

    def int(self) -> PackedSequence:
        """The data as int32."""
        return self.to(dtype=dtypes.int32)

    def cpu(self) -> PackedSequence:
        """Self: everything is on the CPU."""
        return self

    def pin_memory(self) -> PackedSequence:
        """Self: there is no other memory to hurry to."""
        return self

    @property
    def is_cuda(self) -> bool:
        """False."""
        return False

    def is_pinned(self) -> bool:
        """False."""
        return False


def invert_permutation(permutation: Any) -> Any:
    """The permutation that undoes one; None for None."""
    return None if permutation is None else _whole(np.argsort(permutation._data, kind="stable"))


def _whole(values: Any) -> Tensor:
    return wrap(np.asarray(values, np.int64))


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack padded sequences (steps, batch, ...) of the given lengths; unsorted ones only with
    `enforce_sorted=False`.
    """
    lengths = np.asarray(lengths._data if isinstance(lengths, Tensor) else lengths, np.int64)
    order = None
    if not enforce_sorted:
        order = np.argsort(-lengths, kind="stable")
        lengths = lengths[order]
        input = input.index_select(0 if batch_first else 1, _whole(order))
    x = input.transpose(0, 1) if batch_first else input
    _check_lengths(lengths, x)
    sizes = np.add.reduce(lengths[None] > np.arange(int(lengths[0]))[:, None], axis=1)
    step, sequence = np.nonzero(np.arange(int(x.shape[1]))[None] < sizes[:, None])
    data = x.reshape(-1, *x.shape[2:])[_whole(step * x.shape[1] + sequence)]
    return PackedSequence(data, _whole(sizes), None if order is None else _whole(order))


def _check_lengths(lengths: Any, x: Any) -> None:
    if lengths.size != x.shape[1]:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {lengths.size} "
            f"(batch_size={x.shape[1]})"
        )
    if lengths.min() <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' "
            "that is <= 0"
        )
    if (np.diff(lengths) > 0).any():
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. "
            "You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this "
            "requirement "
            "if you do not need ONNX exportability."
        )
    if lengths[0] > x.shape[0]:
        raise RuntimeError(
            f"Expected lengths of at most {x.shape[0]}, the number of steps, but got {lengths[0]}"
        )


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple:
    """The padded sequences (steps, batch, ...) and their lengths."""
    sizes = sequence.batch_sizes._data
    longest, batch = len(sizes), int(sizes[0])
    steps = longest if total_length is None else total_length
    if steps < longest:
        raise ValueError(
            "Expected total_length to be at least the length of the longest sequence in input, "
            "but got "
            f"total_length={total_length} and max sequence length being {longest}"
        )
    there = (
        np.arange(batch)[None]
        < np.concatenate((sizes, np.zeros(steps - longest, np.int64)))[:, None]
    )
    lengths = np.add.reduce(there, axis=0)
    data = sequence.data
    filler = _full((1, *data.shape[1:]), padding_value, data.dtype)
    place = np.where(there, np.cumsum(there.reshape(-1)).reshape(there.shape) - 1, data.shape[0])
    padded = cat([data, filler])[_whole(place)]
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(1, sequence.unsorted_indices)
        lengths = lengths[sequence.unsorted_indices._data]
    return (padded.transpose(0, 1) if batch_first else padded), _whole(lengths)


def _full(shape: tuple, value: float, dtype: Any) -> Tensor:
    return wrap(np.full(shape, value, dtype.numpy))


def pad_sequence(
    sequences: Any,
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Any:
    """Sequences (length, ...) in one tensor (longest, batch, ...), filled up at one side with
    `padding_value`.
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            "pad_sequence: Expected iterable for input sequences, but got arg of type: "
            f"{type(sequences)}"
        )
    if padding_side not in ("left", "right"):
        raise RuntimeError(
            f"Expected padding_side to be one of left or right, but got {padding_side}."
        )
    sequences = list(sequences)
    if not sequences:
        raise RuntimeError("received an empty list of sequences")
    longest = max(s.shape[0] for s in sequences)
    padded = []
    for s in sequences:
        filler = _full((longest - s.shape[0], *s.shape[1:]), padding_value, s.dtype)
        parts = [filler, s] if padding_side == "left" else [s, filler]
        padded.append(cat(parts) if filler.shape[0] else s)
    return stack(padded, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list:
    """The sequences of a padded tensor, each at its length."""
    x = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    counts = lengths.tolist() if isinstance(lengths, Tensor) else list(lengths)
    return [sequence[:n] for sequence, n in zip(x.unbind(0), counts, strict=True)]


def pack_sequence(sequences: Any, enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of sequences (length, ...)."""
    lengths = [s.shape[0] for s in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list:
    """The list of sequences of a packed one."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
