"""The programs that compiled code is measured by, each written once in torch's interface.

A program is a function of the module `m`, chainrule or torch. It returns a `Program`: a loss with
its arguments, and what is done with it: a training step, gradients alone, or the value. All numbers
come from NumPy, so that every library begins at the same ones; `suite_jax` has the same programs
for jax.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Program(NamedTuple):
    """A loss of its arguments; the leaves whose gradients a step computes (none: the value is all
    there is to compute); the optimizer that uses them.
    """

    loss: Callable
    arguments: tuple = ()
    leaves: tuple = ()
    optimizer: Any = None


def step_of(program: Program) -> Callable:
    """The step as a user writes it."""
    loss, _, leaves, optimizer = program
    if optimizer is not None:

        def training(*arguments: Any) -> Any:
            optimizer.zero_grad()
            value = loss(*arguments)
            value.backward()
            optimizer.step()
            return value

        return training
    if leaves:

        def gradients(*arguments: Any) -> Any:
            for leaf in leaves:
                leaf.grad = None
            value = loss(*arguments)
            value.backward()
            return value

        return gradients
    return loss


def state_of(program: Program) -> list[np.ndarray]:
    """What steps leave behind: the parameters, or the gradients where there is no optimizer."""
    if program.optimizer is not None:
        return [x.detach().numpy().copy() for x in program.leaves]
    return [x.grad.numpy().copy() for x in program.leaves]


# -- numbers ---------------------------------------------------------------------------------------


def draws(seed: int) -> Callable:
    """normal(*shape): float32 numbers of that seed."""
    generator = np.random.default_rng(seed)
    return lambda *shape: generator.standard_normal(shape).astype(np.float32)


def dense(normal: Callable, *widths: int) -> list[np.ndarray]:
    """Weights (outputs, inputs) and biases of linear layers."""
    arrays = []
    for inputs, outputs in itertools.pairwise(widths):
        arrays += [normal(outputs, inputs) / np.sqrt(np.float32(inputs)), 0.1 * normal(outputs)]
    return arrays


def load(m: Any, model: Any, arrays: list[np.ndarray]) -> tuple:
    """Put the arrays into the model's parameters, in their order; the parameters."""
    with m.no_grad():
        for parameter, array in zip(model.parameters(), arrays, strict=True):
            parameter.copy_(m.tensor(array))
    return tuple(model.parameters())


def leaf(m: Any, array: np.ndarray) -> Any:
    """The array as a tensor that asks for its gradient."""
    return m.tensor(array, requires_grad=True)


# -- training --------------------------------------------------------------------------------------


def mlp_arrays() -> tuple[list, list]:
    normal = draws(0)
    labels = np.random.default_rng(0).integers(0, 10, 128)
    return dense(normal, 784, 256, 128, 10), [normal(128, 784), labels]


def mlp(m: Any) -> Program:
    """A perceptron 784-256-128-10, a batch of 128, cross entropy, Adam."""
    nn, (weights, data) = m.nn, mlp_arrays()
    model = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
    )
    parameters = load(m, model, weights)

    def loss(x: Any, y: Any) -> Any:
        return nn.functional.cross_entropy(model(x), y)

    return Program(loss, tuple(map(m.tensor, data)), parameters, m.optim.Adam(parameters, lr=1e-3))


LETTERS, TOKENS, WIDTH, HEADS, LAYERS = 65, 64, 128, 4, 2


def gpt_arrays() -> tuple[list, list]:
    normal = draws(1)

    def norm() -> list:
        return [1 + 0.1 * normal(WIDTH), 0.1 * normal(WIDTH)]

    weights = [0.5 * normal(LETTERS, WIDTH), 0.5 * normal(TOKENS, WIDTH)]
    for _ in range(LAYERS):
        weights += norm() + dense(normal, WIDTH, 3 * WIDTH)[:1] + dense(normal, WIDTH, WIDTH)
        weights += norm() + dense(normal, WIDTH, 4 * WIDTH) + dense(normal, 4 * WIDTH, WIDTH)
    weights += norm() + dense(normal, WIDTH, LETTERS)[:1]
    letters = np.random.default_rng(1).integers(0, LETTERS, (8, TOKENS + 1))
    return weights, [letters[:, :-1].copy(), letters[:, 1:].copy()]


def transformer(m: Any) -> Any:
    """A transformer that predicts the next character."""
    nn, functional = m.nn, m.nn.functional

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1 = nn.LayerNorm(WIDTH)
            self.queries_keys_values = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
            self.project = nn.Linear(WIDTH, WIDTH)
            self.norm2 = nn.LayerNorm(WIDTH)
            self.widen = nn.Linear(WIDTH, 4 * WIDTH)
            self.narrow = nn.Linear(4 * WIDTH, WIDTH)

        def attend(self, x: Any) -> Any:
            batch, tokens, _ = x.shape
            three = self.queries_keys_values(x).view(batch, tokens, 3, HEADS, WIDTH // HEADS)
            q, k, v = three.permute(2, 0, 3, 1, 4).unbind(0)
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.project(y.transpose(1, 2).reshape(batch, tokens, WIDTH))

        def forward(self, x: Any) -> Any:
            x = x + self.attend(self.norm1(x))
            return x + self.narrow(functional.gelu(self.widen(self.norm2(x))))

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.letters = nn.Embedding(LETTERS, WIDTH)
            self.places = nn.Embedding(TOKENS, WIDTH)
            self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
            self.norm = nn.LayerNorm(WIDTH)
            self.head = nn.Linear(WIDTH, LETTERS, bias=False)

        def forward(self, letters: Any) -> Any:
            x = self.letters(letters) + self.places.weight
            return self.head(self.norm(self.blocks(x)))

    return Transformer()


def gpt(m: Any) -> Program:
    """A transformer on characters: batch 8, 64 tokens, width 128, 4 heads, 2 layers, AdamW."""
    weights, data = gpt_arrays()
    model = transformer(m)
    parameters = load(m, model, weights)

    def loss(x: Any, y: Any) -> Any:
        return m.nn.functional.cross_entropy(model(x).view(-1, LETTERS), y.view(-1))

    optimizer = m.optim.AdamW(parameters, lr=3e-4)
    return Program(loss, tuple(map(m.tensor, data)), parameters, optimizer)


def convnet_arrays() -> tuple[list, list]:
    normal = draws(2)
    weights = [normal(32, 3, 3, 3) / 5, 0.1 * normal(32), normal(64, 32, 3, 3) / 17]
    weights += [0.1 * normal(64), *dense(normal, 64 * 16 * 16, 10)]
    labels = np.random.default_rng(2).integers(0, 10, 32)
    return weights, [normal(32, 3, 32, 32), labels]


def convnet(m: Any) -> Program:
    """32 images of 3 x 32 x 32, two convolutions, a pooling, a linear layer, SGD with momentum."""
    nn, (weights, data) = m.nn, convnet_arrays()
    layers = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU()]
    model = nn.Sequential(*layers, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64 * 16 * 16, 10))
    parameters = load(m, model, weights)

    def loss(x: Any, y: Any) -> Any:
        return nn.functional.cross_entropy(model(x), y)

    optimizer = m.optim.SGD(parameters, lr=1e-3, momentum=0.9)
    return Program(loss, tuple(map(m.tensor, data)), parameters, optimizer)


def logreg_arrays() -> tuple[list, list]:
    normal = draws(3)
    x = normal(100_000, 50)
    return dense(normal, 50, 1), [x, (x @ normal(50, 1) > 0).astype(np.float32)]


def logreg(m: Any) -> Program:
    """Logistic regression on 100,000 x 50 in one batch, SGD."""
    weights, data = logreg_arrays()
    model = m.nn.Linear(50, 1)
    parameters = load(m, model, weights)

    def loss(x: Any, y: Any) -> Any:
        return m.nn.functional.binary_cross_entropy_with_logits(model(x), y)

    return Program(loss, tuple(map(m.tensor, data)), parameters, m.optim.SGD(parameters, lr=0.1))


# -- gradients -------------------------------------------------------------------------------------


def elementwise_arrays() -> tuple[list, list]:
    return [draws(4)(1_000_000)], []


def twenty(m: Any, x: Any) -> Any:
    """20 elementwise operations."""
    y = m.sin(x)
    y = y * 1.5
    y = y + x
    y = m.tanh(y)
    y = m.exp(y)
    y = y - 0.5
    y = y * x
    y = m.cos(y)
    y = y * y
    y = y + 1.0
    y = m.log(y)
    y = m.sqrt(y + 0.1)
    y = y / 2.0
    y = m.sin(y)
    y = y - x
    y = m.abs(y)
    y = y * 0.7
    y = m.tanh(y)
    return m.exp(y)


def elementwise(m: Any) -> Program:
    """A million floats through 20 elementwise operations and a sum."""
    x = leaf(m, elementwise_arrays()[0][0])
    return Program(lambda: twenty(m, x).sum(), (), (x,))


def node_arrays() -> tuple[list, list]:
    normal = draws(5)
    return dense(normal, 2, 32, 2), [normal(16, 2), normal(16, 2)]


def node(m: Any) -> Program:
    """A neural ODE: 50 steps of Runge-Kutta, a field 2-32-2 with tanh, batch 16."""
    nn, (weights, data) = m.nn, node_arrays()
    field = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 2))
    parameters = load(m, field, weights)

    def loss(y: Any, target: Any) -> Any:
        h = 1 / 50
        for _ in range(50):
            k1 = field(y)
            k2 = field(y + h / 2 * k1)
            k3 = field(y + h / 2 * k2)
            k4 = field(y + h * k3)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return (y - target).square().mean()

    return Program(loss, tuple(map(m.tensor, data)), parameters)


def heat_arrays() -> tuple[list, list]:
    normal = draws(6)
    return [normal(256, 256)], [normal(256, 256)]


def heat(m: Any) -> Program:
    """The heat equation on 256 x 256 points, 50 steps by slices; gradient for the initial field."""
    (start,), (target,) = heat_arrays()
    field = leaf(m, start)

    def loss(target: Any) -> Any:
        u = field
        for _ in range(50):
            around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
            inside = u[1:-1, 1:-1] + 0.2 * (around - 4 * u[1:-1, 1:-1])
            u = m.nn.functional.pad(inside, (1, 1, 1, 1))
        return (u - target).square().mean()

    return Program(loss, (m.tensor(target),), (field,))


def poly_arrays() -> tuple[list, list]:
    return [np.array(2.0, np.float32)], []


def polynomial(x: Any) -> Any:
    return 2 * x**4 + x**3 + 3 * x**2 + 5 * x + 1


def poly(m: Any) -> Program:
    """A polynomial of a scalar."""
    x = leaf(m, poly_arrays()[0][0])
    return Program(lambda: polynomial(x), (), (x,))


def tiny_arrays() -> tuple[list, list]:
    hidden = [[-0.0053, -0.5820, -0.2723], [0.3793, -0.5204, 0.1896]]
    weights = [hidden, [-0.0140, 0.5607, -0.0628], [[0.1528], [-0.1745], [-0.1135]], [-0.5516]]
    return [np.array(w, np.float32) for w in weights], [
        np.ones((1, 2), np.float32),
        np.zeros((1, 1), np.float32),
    ]


def network(m: Any, weights: Any, x: Any) -> Any:
    """Two inputs, three hidden units, one output."""
    w, b, v, c = weights
    return 1 / (1 + m.exp(-(x @ w + b))) @ v + c


def tiny(m: Any) -> Program:
    """A network 2-3-1 and its squared error."""
    weights, data = tiny_arrays()
    leaves = tuple(leaf(m, w) for w in weights)

    def loss(x: Any, y: Any) -> Any:
        return m.mean(m.square(network(m, leaves, x) - y))

    return Program(loss, tuple(map(m.tensor, data)), leaves)


def chain_arrays() -> tuple[list, list]:
    return [np.linspace(0.1, 1.6, 16, dtype=np.float32)], []


def ten(m: Any, x: Any, y: Any) -> Any:
    """Ten elementwise operations."""
    y = m.sin(y)
    y = y * 1.1
    y = y + x
    y = m.tanh(y)
    y = m.exp(-y)
    y = y - x
    y = m.cos(y)
    y = y * x
    return y + 0.5


def chain(m: Any) -> Program:
    """2000 operations on 16 floats."""
    x = leaf(m, chain_arrays()[0][0])

    def loss() -> Any:
        y = x
        for _ in range(200):
            y = ten(m, x, y)
        return y.sum()

    return Program(loss, (), (x,))


# -- Hessians --------------------------------------------------------------------------------------

SIZES = [(10, 20), (20,), (20, 1), (1,)]


def hessian_arrays() -> tuple[list, list]:
    normal = draws(7)
    return [0.3 * normal(sum(int(np.prod(s)) for s in SIZES))], [normal(10)]


def hyperbolic(m: Any, weights: Any, x: Any) -> Any:
    """The tanh network 10-20-1 with all its weights in one vector."""
    w, b, v, c = weights[:200], weights[200:220], weights[220:240], weights[240:]
    return (m.tanh(x @ w.reshape(10, 20) + b) @ v.reshape(20, 1) + c)[0]


def hessian_of_input(m: Any) -> Program:
    """10 x 10: of the network's answer, in its input."""
    (weights,), (x,) = hessian_arrays()
    weights = m.tensor(weights)
    hessian = m.func.hessian(lambda x: hyperbolic(m, weights, x))
    return Program(lambda x: hessian(x), (m.tensor(x),))


def hessian_of_weights(m: Any) -> Program:
    """241 x 241: of the network's answer, in its weights."""
    (weights,), (x,) = hessian_arrays()
    x = m.tensor(x)
    hessian = m.func.hessian(lambda weights: hyperbolic(m, weights, x))
    return Program(lambda weights: hessian(weights), (m.tensor(weights),))


# Each program, and what its time may be of the best peer's.
PROGRAMS: dict[str, tuple[Callable, float]] = {
    "mlp": (mlp, 0.75),
    "gpt": (gpt, 0.7),
    "convnet": (convnet, 0.9),
    "logreg": (logreg, 0.7),
    "elementwise": (elementwise, 0.4),
    "node": (node, 0.4),
    "heat": (heat, 0.6),
    "poly": (poly, 0.35),
    "tiny": (tiny, 0.35),
    "chain": (chain, 0.5),
    "hessian_of_input": (hessian_of_input, 0.5),
    "hessian_of_weights": (hessian_of_weights, 0.5),
}
