"""The programs of `suite` for jax: each a pure function of its weights, jitted as one step.

A step takes weights, optimizer state and data and gives new ones back; the old ones' memory is
donated. Optimizers compute what torch's do. Where jax has a faster form, that is taken: loops are
`scan` (unrolled, the chain takes 7 times as long to run, the heat equation 28 times), images have
their channels last. `UNROLLED` has the loops as Python writes them, as the others are given them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import suite
from jax import lax

Optimizer = tuple[Callable, Callable]  # (weights -> state, (weight, gradient, state) -> new ones)


class Pure(NamedTuple):
    """A loss of weights and arguments; without gradients, the value is all that is computed."""

    loss: Callable
    weights: list
    arguments: list
    optimizer: Optimizer | None = None
    gradients: bool = True


def sgd(rate: float, momentum: float = 0.0) -> Optimizer:
    """Gradient descent; with momentum v: v <- momentum v + g."""

    def begin(weights: list) -> list:
        return [jnp.zeros_like(w) for w in weights] if momentum else []

    def update(weights: list, gradients: list, state: list) -> tuple[list, list]:
        if momentum:
            gradients = [momentum * v + g for v, g in zip(state, gradients, strict=True)]
            state = gradients
        return [w - rate * g for w, g in zip(weights, gradients, strict=True)], state

    return begin, update


def adam(rate: float, decay: float = 0.0) -> Optimizer:
    """Adam (Kingma and Ba, 2014, algorithm 1), with the weights' decay apart, as AdamW has it."""

    def begin(weights: list) -> tuple:
        return jnp.float32(0), [jnp.zeros_like(w) for w in weights], [0 * w for w in weights]

    def update(weights: list, gradients: list, state: tuple) -> tuple[list, tuple]:
        t, first, second = state[0] + 1, [], []
        new = []
        for w, g, m, v in zip(weights, gradients, *state[1:], strict=True):
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            root = jnp.sqrt(v) / jnp.sqrt(1 - 0.999**t) + 1e-8
            new.append(w * (1 - rate * decay) - rate / (1 - 0.9**t) * m / root)
            first.append(m)
            second.append(v)
        return new, (t, first, second)

    return begin, update


def cross_entropy(logits: Any, labels: Any) -> Any:
    """The mean over rows of -log softmax(logits) at the label."""
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1)
    return -picked.mean()


# -- training --------------------------------------------------------------------------------------


def mlp() -> Pure:
    def loss(weights: list, x: Any, y: Any) -> Any:
        a, b, c, d, e, f = weights
        x = jax.nn.relu(x @ a.T + b)
        return cross_entropy(jax.nn.relu(x @ c.T + d) @ e.T + f, y)

    return Pure(loss, *suite.mlp_arrays(), adam(1e-3))


def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
    mean = x.mean(-1, keepdims=True)
    variance = jnp.square(x - mean).mean(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * weight + bias


def attention(x: Any, inputs: Any, weight: Any, bias: Any) -> Any:
    batch, tokens, width = x.shape
    three = (x @ inputs.T).reshape(batch, tokens, 3, suite.HEADS, width // suite.HEADS)
    q, k, v = three.transpose(2, 0, 3, 1, 4)
    scores = q @ k.swapaxes(-1, -2) / np.float32(np.sqrt(width // suite.HEADS))
    seen = np.tril(np.ones((tokens, tokens), bool))
    y = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf)) @ v
    return y.swapaxes(1, 2).reshape(batch, tokens, width) @ weight.T + bias


def gpt() -> Pure:
    def loss(weights: list, x: Any, y: Any) -> Any:
        letters, places, *rest = weights
        x = letters[x] + places
        for _ in range(suite.LAYERS):
            n1, n2, inputs, project, b, n3, n4, widen, c, narrow, d, *rest = rest
            x = x + attention(layer_norm(x, n1, n2), inputs, project, b)
            wide = jax.nn.gelu(layer_norm(x, n3, n4) @ widen.T + c, approximate=False)
            x = x + wide @ narrow.T + d
        n1, n2, head = rest
        logits = layer_norm(x, n1, n2) @ head.T
        return cross_entropy(logits.reshape(-1, suite.LETTERS), y.reshape(-1))

    return Pure(loss, *suite.gpt_arrays(), adam(3e-4, decay=0.01))


def convolution(x: Any, weight: Any, bias: Any) -> Any:
    """Of images with their channels last."""
    layout = ("NHWC", "OIHW", "NHWC")
    return lax.conv_general_dilated(x, weight, (1, 1), "SAME", dimension_numbers=layout) + bias


def convnet() -> Pure:
    def loss(weights: list, x: Any, y: Any) -> Any:
        a, b, c, d, e, f = weights
        x = jax.nn.relu(convolution(jax.nn.relu(convolution(x, a, b)), c, d))
        window = (1, 2, 2, 1)
        x = lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")
        return cross_entropy(x.transpose(0, 3, 1, 2).reshape(32, -1) @ e.T + f, y)

    weights, (images, labels) = suite.convnet_arrays()
    return Pure(loss, weights, [images.transpose(0, 2, 3, 1), labels], sgd(1e-3, 0.9))


def logreg() -> Pure:
    def loss(weights: list, x: Any, y: Any) -> Any:
        z = x @ weights[0].T + weights[1]
        return (jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z)))).mean()

    return Pure(loss, *suite.logreg_arrays(), sgd(0.1))


# -- gradients -------------------------------------------------------------------------------------


def elementwise() -> Pure:
    return Pure(lambda w: suite.twenty(jnp, w[0]).sum(), *suite.elementwise_arrays())


def scan(body: Callable, start: Any, length: int) -> Any:
    """body applied again and again, as one loop of the program."""
    return lax.scan(lambda y, _: (body(y), None), start, None, length=length)[0]


def unroll(body: Callable, start: Any, length: int) -> Any:
    """The same, written out."""
    for _ in range(length):
        start = body(start)
    return start


def node(repeat: Callable = scan) -> Pure:
    def loss(weights: list, y: Any, target: Any) -> Any:
        a, b, c, d = weights
        h = 1 / 50

        def field(y: Any) -> Any:
            return jnp.tanh(y @ a.T + b) @ c.T + d

        def advance(y: Any) -> Any:
            k1 = field(y)
            k2 = field(y + h / 2 * k1)
            k3 = field(y + h / 2 * k2)
            k4 = field(y + h * k3)
            return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

        return jnp.square(repeat(advance, y, 50) - target).mean()

    return Pure(loss, *suite.node_arrays())


def heat(repeat: Callable = scan) -> Pure:
    def advance(u: Any) -> Any:
        around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
        return jnp.pad(u[1:-1, 1:-1] + 0.2 * (around - 4 * u[1:-1, 1:-1]), 1)

    def loss(weights: list, target: Any) -> Any:
        return jnp.square(repeat(advance, weights[0], 50) - target).mean()

    return Pure(loss, *suite.heat_arrays())


def chain(repeat: Callable = scan) -> Pure:
    def loss(weights: list) -> Any:
        (x,) = weights
        return repeat(lambda y: suite.ten(jnp, x, y), x, 200).sum()

    return Pure(loss, *suite.chain_arrays())


def poly() -> Pure:
    return Pure(lambda w: suite.polynomial(w[0]), *suite.poly_arrays())


def tiny() -> Pure:
    def loss(weights: list, x: Any, y: Any) -> Any:
        return jnp.mean(jnp.square(suite.network(jnp, weights, x) - y))

    return Pure(loss, *suite.tiny_arrays())


def hessian_of_input() -> Pure:
    answer = functools.partial(suite.hyperbolic, jnp)
    hessian = jax.hessian(answer, argnums=1)
    return Pure(lambda w, x: hessian(w[0], x), *suite.hessian_arrays(), gradients=False)


def hessian_of_weights() -> Pure:
    answer = functools.partial(suite.hyperbolic, jnp)
    hessian = jax.hessian(answer, argnums=0)
    return Pure(lambda w, x: hessian(w[0], x), *suite.hessian_arrays(), gradients=False)


PROGRAMS: dict[str, Callable] = {
    f.__name__: f
    for f in (mlp, gpt, convnet, logreg, elementwise, node, heat, poly, tiny, chain)
    + (hessian_of_input, hessian_of_weights)
}
UNROLLED: dict[str, Callable] = {
    f.__name__: functools.partial(f, unroll) for f in (node, heat, chain)
}


def step_of(program: Pure) -> tuple[Callable, Callable]:
    """(one step, which waits for its result; what steps leave behind, as `suite.state_of`)."""
    loss, optimizer = program.loss, program.optimizer
    weights = [jnp.array(w) for w in program.weights]
    arguments = [jnp.array(a) for a in program.arguments]
    if not program.gradients:
        value_of = jax.jit(loss)
        return lambda: value_of(weights, *arguments).block_until_ready(), list
    differentiated = jax.value_and_grad(loss)
    if optimizer is None:
        both, left = jax.jit(differentiated), []

        def gradients() -> Any:
            value, left[:] = both(weights, *arguments)
            return value.block_until_ready()

        return gradients, lambda: list(map(np.array, left))
    begin, update = optimizer

    def whole(weights: list, state: Any, *arguments: Any) -> tuple:
        value, gradients = differentiated(weights, *arguments)
        return value, *update(weights, gradients, state)

    jitted, state = jax.jit(whole, donate_argnums=(0, 1)), begin(weights)

    def training() -> Any:
        nonlocal weights, state
        value, weights, state = jitted(weights, state, *arguments)
        return value.block_until_ready()

    return training, lambda: list(map(np.array, weights))
