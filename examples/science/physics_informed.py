"""A physics-informed network: the heat equation solved by a loss made of derivatives.

A bar of length 1 with ends held at 0 starts as sin(pi x) + sin(3 pi x) / 2 and cools by
u_t = k u_xx. A network in (t, x) that meets start and ends by construction is fitted until its own
derivatives, first in time and second in space, satisfy the equation (Raissi, Perdikaris and
Karniadakis 2019). The exact solution, two decaying modes, is used for the comparison alone.
"""

import math

import chainrule as torch
from chainrule import func, nn

CONDUCTIVITY = 0.05


def start(x):
    """The temperature at time 0."""
    return torch.sin(math.pi * x) + torch.sin(3 * math.pi * x) / 2


def exact(t, x):
    """Each mode decays by itself: exp(-k (n pi)^2 t) sin(n pi x)."""
    first, third = (torch.exp(-CONDUCTIVITY * (n * math.pi) ** 2 * t) for n in (1, 3))
    return first * torch.sin(math.pi * x) + third * torch.sin(3 * math.pi * x) / 2


def temperature(model, weights, t, x):
    """What the network says of one point; right at t = 0, x = 0 and x = 1 whatever its weights."""
    (inside,) = func.functional_call(model, weights, (torch.stack([t, x]),))
    return start(x) + t * x * (1 - x) * inside


def residual(model, weights, t, x):
    """u_t - k u_xx at one point: a gradient, and a gradient of a gradient."""

    def u(t, x):
        return temperature(model, weights, t, x)

    return func.grad(u, 0)(t, x) - CONDUCTIVITY * func.grad(func.grad(u, 1), 1)(t, x)


def grid(times, places):
    """All points of a grid in 0 < t <= 1, 0 < x < 1, as two flat tensors."""
    t = torch.arange(1, times + 1, dtype=torch.float64) / times
    x = torch.arange(1, places + 1, dtype=torch.float64) / (places + 1)
    t, x = torch.meshgrid(t, x, indexing="ij")
    return t.flatten(), x.flatten()


def fit(model, t, x, rounds):
    """Least squares of the residual at the points, by L-BFGS; the last loss."""
    weights = dict(model.named_parameters())
    at_all_points = func.vmap(lambda t, x: residual(model, weights, t, x))
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=rounds, history_size=50, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = at_all_points(t, x).square().mean()
        loss.backward()
        return loss

    first = closure().item()
    optimizer.step(closure)
    return first, closure().item()


def main(rounds=400):
    """Fit the network and compare it with the exact solution; the figures by name."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)
    ).double()
    first, last = fit(model, *grid(10, 15), rounds)
    weights = {name: p.detach() for name, p in model.named_parameters()}
    t, x = grid(23, 37)
    found = func.vmap(lambda t, x: temperature(model, weights, t, x))(t, x)
    error = (found - exact(t, x)).abs().max().item()
    still = (start(x) - exact(t, x)).abs().max().item()
    print(f"mean squared residual of u_t = k u_xx: {first:.2e}, after fitting {last:.2e}")
    print(f"largest error {error:.1e}, where leaving the start as it is errs by {still:.2f}")
    return {"first": first, "last": last, "error": error, "still": still}


if __name__ == "__main__":
    main()
