"""Which measurement decides the answer? Per-sample gradients, on the stack loss data.

21 days of a plant that oxidises ammonia to nitric acid: air flow, water temperature, acid
concentration, and the ammonia lost (Brownlee 1965, Statistical Theory and Methodology). The
gradients of all samples at once, by `vmap` of `grad`, and the Hessian say without a single refit
what the regression would be without each day: a Newton step from the fit to all of them.
"""

import chainrule as torch
from chainrule import func, nn

AIR = "80 80 75 62 62 62 62 62 58 58 58 58 58 58 50 50 50 50 50 56 70"
WATER = "27 27 25 24 22 23 24 24 23 18 18 17 18 19 18 18 19 19 20 20 20"
ACID = "89 88 90 87 87 87 93 93 87 80 89 88 82 93 89 86 72 79 80 82 91"
LOSS = "42 37 37 28 18 18 19 20 15 14 14 13 11 12 8 7 8 8 9 15 15"


def measurements():
    """(21 x 3 inputs, 21 x 1 losses)"""
    rows = [[float(n) for n in text.split()] for text in (AIR, WATER, ACID, LOSS)]
    table = torch.tensor(rows, dtype=torch.float64).T
    return table[:, :3], table[:, 3:]


def squared_error(model, weights, x, y):
    """Half the squared error of the model with these weights, summed."""
    return (func.functional_call(model, weights, (x,)) - y).square().sum() / 2


def per_sample(model, weights, x, y):
    """The gradient of each sample's error: a dictionary as `weights`, with a dimension in front."""
    gradient = func.grad(lambda w, a, b: squared_error(model, w, a, b))
    return func.vmap(gradient, in_dims=(None, 0, 0))(weights, x, y)


def flat(weights, lead=0):
    """A dictionary of tensors as one tensor, `lead` dimensions kept."""
    return torch.cat([w.flatten(lead) for w in weights.values()], dim=lead)


def hessians(x):
    """The Hessian of each sample's error in (weight, bias) of a linear model."""
    rows = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
    return rows[:, :, None] * rows[:, None, :]


def least_squares(x, y):
    """(weights, bias) of the linear regression, flat."""
    rows = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
    return torch.linalg.lstsq(rows, y).solution[:, 0]


def fitted(x, y):
    """The regression as a module."""
    model, solution = nn.Linear(3, 1).double(), least_squares(x, y)
    model.load_state_dict({"weight": solution[None, :3], "bias": solution[3:]})
    return model


def of_network(x, y):
    """Largest relative difference between vmap's gradients and a loop's, for a small network."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    weights = {name: p.detach() for name, p in model.named_parameters()}
    x = (x - x.mean(0)) / x.std(0)
    together = flat(per_sample(model, weights, x, y), 1)
    loop = []
    for a, b in zip(x, y, strict=True):
        model.zero_grad()
        squared_error(model, dict(model.named_parameters()), a, b).backward()
        loop.append(flat({name: p.grad for name, p in model.named_parameters()}))
    loop = torch.stack(loop)
    return ((together - loop).abs().max() / loop.abs().max()).item()


def main():
    """Print the influence of each day and check it by refitting; the figures by name."""
    x, y = measurements()
    model = fitted(x, y)
    weights = {name: p.detach() for name, p in model.named_parameters()}
    gradients, each = flat(per_sample(model, weights, x, y), 1), hessians(x)
    total = each.sum(0)
    moved = torch.linalg.solve(total - each, gradients)  # without day i: (H - H_i) step = g_i
    variance = 2 * squared_error(model, weights, x, y) / (len(x) - 4)
    cook = torch.einsum("ni,ij,nj->n", moved, total, moved) / (4 * variance)
    keep = [torch.tensor([j for j in range(len(x)) if j != i]) for i in range(len(x))]
    refits = torch.stack([least_squares(x[rows], y[rows]) for rows in keep])
    error = (flat(weights) + moved - refits).abs().max().item()
    air, water, acid, bias = flat(weights).tolist()
    print(f"loss = {bias:.4f} + {air:.4f} air + {water:.4f} water + {acid:.4f} acid")
    for day in torch.argsort(cook, descending=True)[:4].tolist():
        print(f"day {day + 1:2d}: Cook's distance {cook[day].item():.3f}")
    network = of_network(x, y)
    print(f"largest difference from refitting without a day {error:.1e}")
    print(f"largest relative difference from a loop, for a network {network:.1e}")
    return {
        "weights": flat(weights).tolist(),
        "sum": gradients.sum(0).abs().max().item(),
        "day": cook.argmax().item() + 1,
        "distance": cook.max().item(),
        "error": error,
        "network": network,
    }


if __name__ == "__main__":
    main()
