"""Learning to learn: MAML on sinusoids, a gradient through a step of gradient descent.

Each task is a sinusoid of its own amplitude and phase, of which 10 points are shown. The weights
sought are those from which one step of descent on these points fits the whole curve; their
gradient runs through that step, second derivatives included (Finn, Abbeel and Levine 2017). All
tasks of a batch adapt at once, by `vmap`. For comparison the same network is trained on all tasks
alike, and given the same points and the same step.
"""

import math

import chainrule as torch
from chainrule import func, nn

RATE = 0.02


def sinusoids(count, points, generator):
    """(inputs, targets), count x points x 1: amplitudes from 0.1 to 5, phases from 0 to pi."""
    amplitude = 0.1 + 4.9 * torch.rand(count, 1, 1, generator=generator)
    phase = math.pi * torch.rand(count, 1, 1, generator=generator)
    x = 10 * torch.rand(count, points, 1, generator=generator) - 5
    return x, amplitude * torch.sin(x - phase)


def network():
    """Two hidden layers of 40."""
    return nn.Sequential(
        nn.Linear(1, 40), nn.Tanh(), nn.Linear(40, 40), nn.Tanh(), nn.Linear(40, 1)
    )


def error(model, weights, x, y):
    """Mean squared error of the model with these weights on one task."""
    return (func.functional_call(model, weights, (x,)) - y).square().mean()


def adapted(model, weights, x, y, steps=1):
    """The weights after steps of gradient descent on one task's points."""
    for _ in range(steps):
        gradient = func.grad(lambda w: error(model, w, x, y))(weights)
        weights = {name: w - RATE * gradient[name] for name, w in weights.items()}
    return weights


def after_adapting(model, weights, x, y, steps=1):
    """The error on the second half of each task's points after adapting to the first half, for a
    batch of tasks.
    """
    half = x.shape[1] // 2

    def one(x, y):
        weights_here = adapted(model, weights, x[:half], y[:half], steps)
        return error(model, weights_here, x[half:], y[half:])

    return func.vmap(one)(x, y)


def train(loss, model, batches, generator):
    """Adam on a loss over batches of 25 tasks of 20 points."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    weights = dict(model.named_parameters())
    for _ in range(batches):
        optimizer.zero_grad()
        loss(model, weights, *sinusoids(25, 20, generator)).mean().backward()
        optimizer.step()
    return {name: p.detach() for name, p in model.named_parameters()}


def slope_error(generator):
    """How far the gradient through a step is from differences of the loss, relatively."""
    model = network().double()
    x, y = (a.double() for a in sinusoids(4, 20, generator))
    weights = {name: p.detach() for name, p in model.named_parameters()}

    def loss(w):
        return after_adapting(model, w, x, y).mean()

    gradient, eps = func.grad(loss)(weights), 1e-5
    way = {name: g / math.sqrt(g.numel()) for name, g in gradient.items()}
    ahead, behind = (
        loss({name: w + side * eps * way[name] for name, w in weights.items()}).item()
        for side in (1, -1)
    )
    slope = sum((g * way[name]).sum().item() for name, g in gradient.items())
    return abs((ahead - behind) / (2 * eps) - slope) / slope


def main(batches=600):
    """Train both ways, adapt to 200 new sinusoids; the figures by name."""
    torch.manual_seed(0)
    draws = torch.Generator().manual_seed(1)
    learned = train(after_adapting, network(), batches, draws)
    alike = train(error, network(), batches, draws)
    tasks, found = sinusoids(200, 20, draws), {}
    for name, weights in (("maml", learned), ("alike", alike)):
        for steps in (0, 1, 5):
            errors = after_adapting(network(), weights, *tasks, steps)
            found[f"{name} {steps}"] = errors.mean().item()
        figures = "  ".join(f"{found[f'{name} {n}']:.2f}" for n in (0, 1, 5))
        print(f"{name:5s} mean squared error after 0, 1, 5 steps: {figures}")
    found["slope"] = slope_error(draws)
    print(f"gradient through the step against differences: {found['slope']:.1e}")
    return found


if __name__ == "__main__":
    main()
