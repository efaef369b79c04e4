"""Recurrent layers: RNN, LSTM and GRU over sequences, and their cells for one step.

A sequence is (steps, batch, features), with `batch_first` (batch, steps, features), without batch
(steps, features), or a PackedSequence. The parameters of layer k are weight_ih_lk, weight_hh_lk,
bias_ih_lk, bias_hh_lk (and weight_hr_lk for an LSTM with a projection), with the suffix _reverse
for the other direction.
"""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any

import numpy as np

from ..ops import recurrent
from ..ops.define import wrap
from ..ops.join import cat, stack
from ..tensor import Tensor
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter, blank
from .utils.rnn import PackedSequence

GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def zeros(shape: tuple, like: Any) -> Tensor:
    """Zeros in the dtype of another tensor."""
    return wrap(np.zeros(shape, like._data.dtype))


class RNNBase(Module):
    """What the three layers share: parameters, checks, and the walk over layers and directions."""

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.mode, self.input_size, self.hidden_size, self.num_layers = (
            mode,
            input_size,
            hidden_size,
            num_layers,
        )
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self._check_settings(dropout)
        gates, width = GATES[mode] * hidden_size, proj_size or hidden_size
        directions = 2 if bidirectional else 1
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            features = input_size if layer == 0 else width * directions
            for direction in range(directions):
                shapes = {"weight_ih": (gates, features), "weight_hh": (gates, width)}
                if bias:
                    shapes |= {"bias_ih": (gates,), "bias_hh": (gates,)}  # type: ignore[dict-item]
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                suffix = f"_l{layer}" + ("_reverse" if direction else "")
                for name, shape in shapes.items():
                    setattr(self, name + suffix, Parameter(blank(shape, dtype, device)))
                self._all_weights.append([name + suffix for name in shapes])
        self.reset_parameters()

    def _check_settings(self, dropout: Any) -> None:
        if (
            not isinstance(dropout, numbers.Number)
            or not 0 <= dropout <= 1  # type: ignore[operator]
            or isinstance(dropout, bool)
        ):
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an "
                "element being "
                "zeroed"
            )
        if dropout > 0 and self.num_layers == 1:  # type: ignore[operator]
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero "
                "dropout expects "
                f"num_layers greater than 1, but got dropout={dropout} and "
                f"num_layers={self.num_layers}",
                stacklevel=4,
            )
        for name in ("input_size", "hidden_size"):
            if not isinstance(getattr(self, name), int):
                raise TypeError(
                    f"{name} should be of type int, got: {type(getattr(self, name)).__name__}"
                )
        for name in ("hidden_size", "num_layers"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be greater than zero")
        if self.proj_size < 0:
            raise ValueError(
                "proj_size should be a positive integer or zero to disable projections"
            )
        if self.proj_size >= self.hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")

    def reset_parameters(self) -> None:
        """Draw every parameter uniformly from (-k, k), k = 1 / sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    @property
    def all_weights(self) -> list[list[Any]]:
        """The parameters, one list for each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[Any]:
        return [getattr(self, name) for name in self._flat_weights_names]

    def flatten_parameters(self) -> None:
        """Nothing: the parameters need not lie side by side here."""

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size:
            text += f", proj_size={self.proj_size}"
        defaults = {
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        return text + "".join(
            f", {k}={getattr(self, k)}" for k, v in defaults.items() if getattr(self, k) != v
        )

    # -- forward ----------------------------------------------------------------------------------

    def forward(self, input: Any, hx: Any = None) -> tuple:
        """All outputs of the last layer, and the last state(s) of every layer and direction.

        Initial states default to zeros. Raises ValueError and RuntimeError for shapes that do not
        fit.
        """
        packed = isinstance(input, PackedSequence)
        if packed:
            x, sizes = input.data, input.batch_sizes.tolist()
            rows, batch, single = _steps(sizes), sizes[0], False
            states = self._states(hx, batch, x, input.sorted_indices, packed)
        else:
            x, single = self._sequence(input)
            steps, batch = x.shape[0], x.shape[1]
            if not steps:
                raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
            rows = tuple((t * batch, (t + 1) * batch) for t in range(steps))
            states = self._states(self._batched(hx, single), batch, x, None, packed)
        self._check_input(x)
        out, last = self._layers(x, rows, states)
        return self._wrap_up(input, out, last, packed, single)

    def _sequence(self, input: Any) -> tuple:
        """The input as (steps, batch, features), and whether it had no batch."""
        if input.dim() not in (2, 3):
            raise ValueError(
                f"{self._kind()}: Expected input to be 2D or 3D, got {input.dim()}D instead"
            )
        if input.dim() == 2:
            return input.unsqueeze(1), True
        return (input.transpose(0, 1) if self.batch_first else input), False

    def _kind(self) -> str:
        return self.mode.split("_")[0]

    def _check_input(self, x: Any) -> None:
        weight = self._all_weights[0][0]
        dtype = getattr(self, weight).dtype
        if x.dtype != dtype:
            raise ValueError(
                f"RNN input dtype ({x.dtype}) does not match weight dtype ({dtype}). Convert "
                "input: "
                f"input.to({dtype}), or convert model: model.to({x.dtype})"
            )
        if x.size(-1) != self.input_size:
            raise RuntimeError(
                "input.size(-1) must be equal to input_size. Expected "
                f"{self.input_size}, got {x.size(-1)}"
            )

    def _batched(self, hx: Any, single: bool) -> Any:
        """The initial states with a batch dimension."""
        if hx is None:
            return None
        several = self.mode == "LSTM"
        given, names = (tuple(hx), "hx and cx") if several else ((hx,), "hx")
        dims = [h.dim() for h in given]
        if any(d != (2 if single else 3) for d in dims):
            kind, want = ("unbatched 2-D", 2) if single else ("batched 3-D", 3)
            got = (
                "(" + ", ".join(f"{d}-D" for d in dims) + ") tensors"
                if several
                else f"{dims[0]}-D tensor"
            )
            raise RuntimeError(f"For {kind} input, {names} should also be {want}-D but got {got}")
        if not single:
            return hx
        return tuple(h.unsqueeze(1) for h in given) if several else hx.unsqueeze(1)

    def _states(self, hx: Any, batch: int, x: Any, order: Any, packed: bool) -> tuple:
        """The initial state(s), one tensor (layers * directions, batch, features) each."""
        count = self.num_layers * (2 if self.bidirectional else 1)
        shapes = [(count, batch, self.proj_size or self.hidden_size)]
        if self.mode == "LSTM":
            shapes.append((count, batch, self.hidden_size))
        if hx is None:
            return tuple(zeros(shape, x) for shape in shapes)
        given = tuple(hx) if self.mode == "LSTM" else (hx,)
        for k, (h, shape) in enumerate(zip(given, shapes, strict=True)):
            if tuple(h.shape) != shape:
                name = f"hidden[{k}]" if self.mode == "LSTM" else "hidden"
                raise RuntimeError(f"Expected {name} size {shape}, got {list(h.shape)}")
        return given if order is None else tuple(h.index_select(1, order) for h in given)

    def _layers(self, x: Any, rows: tuple, states: tuple) -> tuple:
        """The output of the last layer and the last states of all."""
        directions = 2 if self.bidirectional else 1
        initial = [s.unbind(0) for s in states]
        last: list[tuple] = []
        for layer in range(self.num_layers):
            outs = []
            for direction in range(directions):
                k = layer * directions + direction
                out, *ends = self._run(
                    x, [s[k] for s in initial], self._weights(k), rows[::-1] if direction else rows
                )
                outs.append(out)
                last.append(tuple(ends))
            x = cat(outs, -1) if directions == 2 else outs[0]
            if self.dropout and self.training and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, True)
        return x, tuple(stack(list(s)) for s in zip(*last, strict=True))

    def _weights(self, k: int) -> list:
        """w_ih, w_hh, b_ih, b_hh and w_hr of one layer and direction, None for what is not
        there.
        """
        weights = [getattr(self, name) for name in self._all_weights[k]]
        projection = [weights.pop()] if self.proj_size else [None]
        return (weights if self.bias else [*weights, None, None]) + projection

    def _run(self, x: Any, states: list, weights: list, rows: tuple) -> tuple:
        """One layer in one direction: its outputs and last state(s)."""
        raise AssertionError

    def _wrap_up(self, input: Any, out: Any, last: tuple, packed: bool, single: bool) -> tuple:
        if packed:
            out = PackedSequence(
                out, input.batch_sizes, input.sorted_indices, input.unsorted_indices
            )
            if input.unsorted_indices is not None:
                last = tuple(h.index_select(1, input.unsorted_indices) for h in last)
        elif single:
            out, last = out.squeeze(1), tuple(h.squeeze(1) for h in last)
        elif self.batch_first:
            out = out.transpose(0, 1)
        return out, (last if self.mode == "LSTM" else last[0])


def _steps(sizes: list[int]) -> tuple:
    """(start, stop) of each step of a packed sequence."""
    ends = np.cumsum(sizes).tolist()
    return tuple((end - n, end) for n, end in zip(sizes, ends, strict=True))


class RNN(RNNBase):
    """h' = tanh(x W_ih^T + b_ih + h W_hh^T + b_hh), or with relu (Elman 1990)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        **wrong: Any,
    ) -> None:
        _no_projection(wrong)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        self.__dict__["nonlinearity"] = nonlinearity
        super().__init__(
            "RNN_" + nonlinearity.upper(),
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
        )

    def _run(self, x: Any, states: list, weights: list, rows: tuple) -> tuple:
        return recurrent.rnn_layer(x, *states, *weights[:4], rows, self.nonlinearity)


class LSTM(RNNBase):
    """Long short-term memory: c' = f c + i g, h' = o tanh(c') (Hochreiter and Schmidhuber 1997)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )

    def _run(self, x: Any, states: list, weights: list, rows: tuple) -> tuple:
        return recurrent.lstm_layer(x, *states, *weights, rows)[:3]


class GRU(RNNBase):
    """Gated recurrent unit: h' = (1 - z) n + z h (Cho et al. 2014)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        **wrong: Any,
    ) -> None:
        _no_projection(wrong)
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
        )

    def _run(self, x: Any, states: list, weights: list, rows: tuple) -> tuple:
        return recurrent.gru_layer(x, *states, *weights[:4], rows)[:2]


def _no_projection(wrong: dict) -> None:
    if "proj_size" in wrong:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
    if wrong:
        raise TypeError(f"got an unexpected keyword argument '{next(iter(wrong))}'")


# -- cells ----------------------------------------------------------------------------------------


class RNNCellBase(Module):
    """The parameters and checks of a cell."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(blank((rows, input_size), dtype, device))
        self.weight_hh = Parameter(blank((rows, hidden_size), dtype, device))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(blank(rows, dtype, device)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter uniformly from (-k, k), k = 1 / sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}" + (
            "" if self.bias is True else f", bias={self.bias}"
        )
        nonlinearity = self.__dict__.get("nonlinearity", "tanh")
        return text if nonlinearity == "tanh" else f"{text}, nonlinearity={nonlinearity}"

    def _prepare(self, input: Any, states: tuple) -> tuple:
        """Input and states as matrices, zeros for states not given, and whether there was
        no batch.
        """
        name = type(self).__name__
        if input.dim() not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        single = input.dim() == 1
        x = input.unsqueeze(0) if single else input
        if x.size(1) != self.input_size:
            raise RuntimeError(
                f"input has inconsistent input_size: got {x.size(1)} expected {self.input_size}"
            )
        out = []
        for k, h in enumerate(states):
            h = (
                zeros((x.size(0), self.hidden_size), x)
                if h is None
                else h.unsqueeze(0)
                if h.dim() == 1 and single
                else h
            )
            if h.size(0) != x.size(0):
                raise RuntimeError(
                    f"Input batch size {x.size(0)} doesn't match hidden{k} batch size {h.size(0)}"
                )
            if h.dim() != 2 or h.size(1) != self.hidden_size:
                raise RuntimeError(
                    f"hidden{k} has inconsistent hidden_size: got {h.size(-1)}, expected "
                    f"{self.hidden_size}"
                )
            out.append(h)
        return x, out, single

    def _affine(self, x: Any, h: Any) -> tuple:
        return F.linear(x, self.weight_ih, self.bias_ih), F.linear(h, self.weight_hh, self.bias_hh)


class RNNCell(RNNCellBase):
    """h' = tanh(x W_ih^T + b_ih + h W_hh^T + b_hh), or with relu."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The next state."""
        x, (h,), single = self._prepare(input, (hx,))
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        given, hidden = self._affine(x, h)
        out = getattr(given + hidden, self.nonlinearity)()
        return out.squeeze(0) if single else out


class LSTMCell(RNNCellBase):
    """c' = f c + i g, h' = o tanh(c')."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> tuple:
        """The next h and c."""
        x, (h, c), single = self._prepare(input, (None, None) if hx is None else tuple(hx))
        given, hidden = self._affine(x, h)
        i, f, g, o = (given + hidden).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return (h.squeeze(0), c.squeeze(0)) if single else (h, c)


class GRUCell(RNNCellBase):
    """h' = (1 - z) n + z h."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The next state."""
        x, (h,), single = self._prepare(input, (hx,))
        given, hidden = (a.chunk(3, 1) for a in self._affine(x, h))
        r, z = (given[0] + hidden[0]).sigmoid(), (given[1] + hidden[1]).sigmoid()
        n = (given[2] + r * hidden[2]).tanh()
        out = (h - n) * z + n
        return out.squeeze(0) if single else out
