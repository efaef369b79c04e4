"""Recurrent layers over whole sequences: one node for a layer in one direction, the time loop
inside.

Sequences of different lengths lie packed: at each step stand the rows of those that still run, the
longest first, and `rows` lists the steps' (start, stop) in the order in which they are taken (for
the reverse direction, last step first). Sequences of one length are the special case in which every
step has all rows. From step to step the state is cut where sequences end, and takes in rows of the
initial state where sequences begin; the backward pass walks the steps the other way round, and
there the very same two things happen to the cotangent of the state.

What a step computes beyond its output and the rule needs (gates, cells) is returned too: such an
output has a cotangent only in double backward, and the rule then adds it where the value arose.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays.sums import add_up
from .define import op


def resize(state: Any, n: int, source: Any, ended: list) -> Any:
    """The state with n rows: rows beyond are moved to `ended`, missing ones are taken from
    `source`.
    """
    have = state.shape[0]
    if n == have:
        return state
    if n < have:
        ended.append(state[n:])
        return state[:n]
    return np.concatenate((state, source[have:n]))


def rejoin(state: Any, ended: list) -> Any:
    """All rows: those of the last step and those that ended before."""
    return np.concatenate((state, *reversed(ended))) if ended else state


def collect(pieces: list, rows: tuple) -> Any:
    """The steps' results in the order in which they lie."""
    return np.concatenate(pieces if rows[0][0] == 0 else pieces[::-1])


def before(values: Any, start: Any, rows: tuple) -> list:
    """For each step the state it began with, from the states that the steps ended with."""
    state, states = start[: rows[0][1] - rows[0][0]], []
    for a, b in rows:
        state = resize(state, b - a, start, [])
        states.append(state)
        state = values[a:b]
    return states


def flat(x: Any) -> Any:
    """A sequence (steps, batch, features) as rows."""
    return x.reshape(-1, x.shape[-1])


def affine(x: Any, weight: Any, bias: Any) -> Any:
    """x W^T + b."""
    out = np.matmul(x, weight.T)
    return out if bias is None else out + bias


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def weight_cotangents(
    g_input: Any, g_hidden: Any, x: Any, states: Any, w_ih: Any, biased: bool
) -> tuple:
    """Cotangents of x, w_ih, w_hh, b_ih and b_hh from those of the two affine maps."""
    sums = (add_up(g_input, 0), add_up(g_hidden, 0)) if biased else (None, None)
    return (
        np.matmul(g_input, w_ih).reshape(x.shape),
        np.matmul(g_input.T, flat(x)),
        np.matmul(g_hidden.T, states),
        *sums,
    )


# -- plain ----------------------------------------------------------------------------------------

NONLINEAR = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}
SLOPE = {"tanh": lambda out: 1 - out * out, "relu": lambda out: (out > 0).astype(out.dtype)}


@op(namespace="primitive", outputs=0, node="StackBackward0", name="rnn_layer")
def rnn_layer(
    x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, /, rows: tuple, nonlinearity: str
) -> tuple:
    """h' = f(x W_ih^T + b_ih + h W_hh^T + b_hh) along a sequence; returns all h' and the
    last ones.
    """
    f, recurrent, inputs = NONLINEAR[nonlinearity], w_hh.T, affine(flat(x), w_ih, b_ih)
    inputs = inputs if b_hh is None else inputs + b_hh
    state, ended, out = h[: rows[0][1] - rows[0][0]], [], []
    for a, b in rows:
        state = resize(state, b - a, h, ended)
        state = f(inputs[a:b] + np.matmul(state, recurrent))
        out.append(state)
    return collect(out, rows).reshape(*x.shape[:-1], -1), rejoin(state, ended)


@rnn_layer.vjp_all
def _(g, x, h, w_ih, w_hh, b_ih, out, rows, nonlinearity):
    g_out, y = flat(g[0]), flat(out[0])
    slope = SLOPE[nonlinearity](y)
    g_state, ended, pieces = g[1][: rows[-1][1] - rows[-1][0]], [], []
    for a, b in reversed(rows):
        g_state = resize(g_state, b - a, g[1], ended)
        g_sum = (g_state + g_out[a:b]) * slope[a:b]
        g_state = np.matmul(g_sum, w_hh)
        pieces.append(g_sum)
    g_sum = collect(pieces, rows[::-1])
    states = collect(before(y, h, rows), rows)
    g_x, *weights = weight_cotangents(g_sum, g_sum, x, states, w_ih, b_ih is not None)
    return (g_x, rejoin(g_state, ended), *weights)


# -- LSTM -----------------------------------------------------------------------------------------


def quarters(x: Any) -> tuple:
    """Input, forget, cell and output gate."""
    n = x.shape[1] // 4
    return x[:, :n], x[:, n : 2 * n], x[:, 2 * n : 3 * n], x[:, 3 * n :]


def lstm_gates(x: Any) -> Any:
    """The four gates from their sums: sigmoid, but tanh for the third."""
    n = x.shape[1] // 4
    return np.concatenate(
        (sigmoid(x[:, : 2 * n]), np.tanh(x[:, 2 * n : 3 * n]), sigmoid(x[:, 3 * n :])), axis=1
    )


@op(namespace="primitive", outputs=0, node="MkldnnRnnLayerBackward0", name="lstm_layer")
def lstm_layer(
    x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, w_hr: Any, /, rows: tuple
) -> tuple:
    """c' = f c + i g, h' = o tanh(c') (times W_hr^T) along a sequence; returns all h', the last h'
    and c', gates and cells.
    """
    recurrent, inputs = w_hh.T, affine(flat(x), w_ih, b_ih)
    inputs = inputs if b_hh is None else inputs + b_hh
    n = rows[0][1] - rows[0][0]
    state, cell, ended, ended_cells = h[:n], c[:n], [], []
    out, gates, cells = [], [], []
    for a, b in rows:
        state, cell = resize(state, b - a, h, ended), resize(cell, b - a, c, ended_cells)
        gates.append(lstm_gates(inputs[a:b] + np.matmul(state, recurrent)))
        i, f, g, o = quarters(gates[-1])
        cell = f * cell + i * g
        state = o * np.tanh(cell)
        state = state if w_hr is None else np.matmul(state, w_hr.T)
        out.append(state)
        cells.append(cell)
    y = collect(out, rows).reshape(*x.shape[:-1], -1)
    return (
        y,
        rejoin(state, ended),
        rejoin(cell, ended_cells),
        collect(gates, rows),
        collect(cells, rows),
    )


@lstm_layer.vjp_all
def _(g, x, h, c, w_ih, w_hh, b_ih, w_hr, out, rows):
    (g_y, g_h, g_c, g_gates, g_cells), (y, _, _, gates, cells) = g, out
    g_y, squashed, tops = flat(g_y), np.tanh(cells), []
    i, f, u, o = quarters(gates)
    slope = np.concatenate((i * (1 - i), f * (1 - f), 1 - u * u, o * (1 - o)), axis=1)
    old = before(cells, c, rows)
    n = rows[-1][1] - rows[-1][0]
    g_state, g_cell, ended, ended_cells, pieces = g_h[:n], g_c[:n], [], [], []
    for (a, b), c_old in zip(reversed(rows), reversed(old), strict=True):
        g_state, g_cell = (
            resize(g_state, b - a, g_h, ended),
            resize(g_cell, b - a, g_c, ended_cells),
        )
        g_top = g_state + g_y[a:b]
        tops.append(g_top)
        g_top = g_top if w_hr is None else np.matmul(g_top, w_hr)
        t = squashed[a:b]
        g_cell = g_cell + g_cells[a:b] + g_top * o[a:b] * (1 - t * t)
        four = np.concatenate((g_cell * u[a:b], g_cell * c_old, g_cell * i[a:b], g_top * t), axis=1)
        pieces.append((four + g_gates[a:b]) * slope[a:b])
        g_state, g_cell = np.matmul(pieces[-1], w_hh), g_cell * f[a:b]
    g_sum = collect(pieces, rows[::-1])
    states = collect(before(flat(y), h, rows), rows)
    g_x, *weights = weight_cotangents(g_sum, g_sum, x, states, w_ih, b_ih is not None)
    g_hr = None if w_hr is None else np.matmul(collect(tops, rows[::-1]).T, o * squashed)
    return (g_x, rejoin(g_state, ended), rejoin(g_cell, ended_cells), *weights, g_hr)


# -- GRU ------------------------------------------------------------------------------------------


def thirds(x: Any) -> tuple:
    """Reset, update and new gate."""
    n = x.shape[1] // 3
    return x[:, :n], x[:, n : 2 * n], x[:, 2 * n :]


@op(namespace="primitive", outputs=0, node="StackBackward0", name="gru_layer")
def gru_layer(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, /, rows: tuple) -> tuple:
    """h' = n + z (h - n) along a sequence, n = tanh(x_n + r h_n); returns all h', the last ones,
    the gates and h_n.
    """
    inputs, state, ended = affine(flat(x), w_ih, b_ih), h[: rows[0][1] - rows[0][0]], []
    k = w_hh.shape[1]
    out, gates, news = [], [], []
    for a, b in rows:
        state = resize(state, b - a, h, ended)
        hidden, given = affine(state, w_hh, b_hh), inputs[a:b]
        rz = sigmoid(given[:, : 2 * k] + hidden[:, : 2 * k])
        news.append(hidden[:, 2 * k :])
        new = np.tanh(given[:, 2 * k :] + rz[:, :k] * news[-1])
        gates.append(np.concatenate((rz, new), axis=1))
        state = new + rz[:, k:] * (state - new)
        out.append(state)
    y = collect(out, rows).reshape(*x.shape[:-1], -1)
    return y, rejoin(state, ended), collect(gates, rows), collect(news, rows)


@gru_layer.vjp_all
def _(g, x, h, w_ih, w_hh, b_ih, out, rows):
    (g_y, g_h, g_gates, g_news), (y, _, gates, news) = g, out
    g_y, (r, z, new), (g_r, g_z, g_new) = flat(g_y), thirds(gates), thirds(g_gates)
    slope_r, slope_z, slope_new = r * (1 - r), z * (1 - z), 1 - new * new
    old = before(flat(y), h, rows)
    g_state, ended, inputs, hiddens = g_h[: rows[-1][1] - rows[-1][0]], [], [], []
    for (a, b), h_old in zip(reversed(rows), reversed(old), strict=True):
        g_state = resize(g_state, b - a, g_h, ended) + g_y[a:b]
        d_new = (g_state * (1 - z[a:b]) + g_new[a:b]) * slope_new[a:b]
        d_r = (d_new * news[a:b] + g_r[a:b]) * slope_r[a:b]
        d_z = (g_state * (h_old - new[a:b]) + g_z[a:b]) * slope_z[a:b]
        inputs.append(np.concatenate((d_r, d_z, d_new), axis=1))
        hiddens.append(np.concatenate((d_r, d_z, d_new * r[a:b] + g_news[a:b]), axis=1))
        g_state = g_state * z[a:b] + np.matmul(hiddens[-1], w_hh)
    g_input, g_hidden = collect(inputs, rows[::-1]), collect(hiddens, rows[::-1])
    g_x, *weights = weight_cotangents(
        g_input, g_hidden, x, collect(old, rows), w_ih, b_ih is not None
    )
    return (g_x, rejoin(g_state, ended), *weights)
