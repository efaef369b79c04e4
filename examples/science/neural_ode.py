"""A neural differential equation with the adjoint method, on hares and lynxes.

The furs that the Hudson's Bay Company bought each year from 1900 to 1920 (thousands of pelts; Odum,
Fundamentals of Ecology). A small network is the velocity dz/dt of z, the logarithms of both numbers
about their means, and learns to carry each year into the next. The gradient comes from
the adjoint equation, integrated backwards in time (Chen et al. 2018, Neural Ordinary Differential
Equations): no intermediate state is kept, however many steps the solver takes.
"""

import chainrule as torch
from chainrule import nn

HARES = (
    "30 47.2 70.2 77.4 36.3 20.6 18.1 21.4 22 25.4 27.1 40.3 57 76.6 52.3 19.5 11.2 7.6 14.6 16.2"
    " 24.7"
)
LYNXES = "4 6.1 9.8 35.2 59.4 41.7 19 13 8.3 9.1 7.4 8 12.3 19.5 45.7 51.1 29.7 15.8 9.7 10.1 8.6"


def pelts():
    """Logarithms of both numbers about their means: 21 years, 2 kinds."""
    kinds = [[float(n) for n in text.split()] for text in (HARES, LYNXES)]
    logs = torch.tensor(kinds, dtype=torch.float64).T.log()
    return logs - logs.mean(0)


def velocity(z, w, b, v, c):
    """dz/dt: one hidden layer."""
    return torch.tanh(z @ w + b) @ v + c


def integrate(rate, z, steps, length=1.0):
    """The states of a tuple after a time `length`, by classical Runge-Kutta steps."""
    h = length / steps
    for _ in range(steps):
        k1 = rate(z)
        k2 = rate([a + h / 2 * k for a, k in zip(z, k1, strict=True)])
        k3 = rate([a + h / 2 * k for a, k in zip(z, k2, strict=True)])
        k4 = rate([a + h * k for a, k in zip(z, k3, strict=True)])
        slopes = zip(z, k1, k2, k3, k4, strict=True)
        z = [a + h / 6 * (p + 2 * q + 2 * r + s) for a, p, q, r, s in slopes]
    return z


class Flow(torch.autograd.Function):
    """z after one year; its gradient flows back along the same path."""

    @staticmethod
    def forward(ctx, z, steps, *weights):
        ctx.steps = steps
        (end,) = integrate(lambda s: [velocity(s[0], *weights)], [z], steps)
        ctx.save_for_backward(end, *weights)
        return end

    @staticmethod
    def backward(ctx, g):
        """da/dt = -a df/dz and dg/dt = -a df/dw, together with z, from the end to the start."""
        end, *weights = ctx.saved_tensors

        def rate(state):
            z, a = state[0].detach().requires_grad_(), state[1]
            with torch.enable_grad():
                leaves = [z, *(w.detach().requires_grad_() for w in weights)]
                f = velocity(*leaves)
            return [f.detach(), *(-p for p in torch.autograd.grad(f, leaves, a))]

        state = [end, g, *map(torch.zeros_like, weights)]
        _, a, *gradients = integrate(rate, state, ctx.steps, -1.0)
        return a, None, *gradients


def error(next_year, years, weights, steps):
    """Mean squared error of the logarithms, each year predicted from the one before."""
    return (next_year(years[:-1], steps, *weights) - years[1:]).square().mean()


def through_the_solver(z, steps, *weights):
    """The same map, differentiated step by step: every intermediate value is kept."""
    return integrate(lambda s: [velocity(s[0], *weights)], [z], steps)[0]


def difference(years, weights, steps):
    """Largest relative difference between the adjoint's gradient and the solver's own."""
    both = [
        torch.autograd.grad(error(f, years, weights, steps), weights)
        for f in (Flow.apply, through_the_solver)
    ]
    largest = max(b.abs().max() for b in both[1])
    return (max((a - b).abs().max() for a, b in zip(*both, strict=True)) / largest).item()


def main(epochs=400):
    """Train by the adjoint gradient and compare it with the solver's own; the figures by name."""
    torch.manual_seed(0)
    years = pelts()
    shapes = [(2, 12), (12,), (12, 2), (2,)]
    weights = [nn.Parameter(0.5 * torch.randn(s, dtype=torch.float64)) for s in shapes]
    optimizer = torch.optim.Adam(weights, lr=0.03)
    for _ in range(epochs):
        optimizer.zero_grad()
        error(Flow.apply, years, weights, 4).backward()
        optimizer.step()
    with torch.no_grad():
        found = error(Flow.apply, years, weights, 4).item()
        guess = (years[:-1] - years[1:]).square().mean().item()
    coarse, fine = difference(years, weights, 4), difference(years, weights, 32)
    print(f"mean squared error of a year ahead {found:.4f}; of no change {guess:.4f}")
    print(f"adjoint against backpropagation: {coarse:.1e} with 4 steps, {fine:.1e} with 32")
    return {"error": found, "no change": guess, "coarse": coarse, "fine": fine}


if __name__ == "__main__":
    main()
