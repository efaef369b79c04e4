"""Newton's method by Hessian-vector products, on NIST's Thurber problem.

The mobility of electrons in a semiconductor against the logarithm of their density, 37
measurements, fitted by a quotient of cubics in 7 parameters (NIST Statistical Reference Datasets,
nonlinear regression, "higher difficulty"). The Hessian is never built: conjugate gradients inside a
trust region (Steihaug 1983) ask only for its products with vectors, each a forward derivative of
the gradient.
"""

import chainrule as torch
from chainrule import func

LOG_DENSITY = (
    "-3.067 -2.981 -2.921 -2.912 -2.840 -2.797 -2.702 -2.699 -2.633 -2.481 -2.363 -2.322 -1.501"
    " -1.460 -1.274 -1.212 -1.100 -1.046 -0.915 -0.714 -0.566 -0.545 -0.400 -0.309 -0.109 -0.103"
    " 0.010 0.119 0.377 0.790 0.963 1.006 1.115 1.572 1.841 2.047 2.200"
)
MOBILITY = (
    "80.574 84.248 87.264 87.195 89.076 89.608 89.868 90.101 92.405 95.854 100.696 101.060 401.672"
    " 390.724 567.534 635.316 733.054 759.087 894.206 990.785 1090.109 1080.914 1122.643 1178.351"
    " 1260.531 1273.514 1288.339 1327.543 1353.863 1414.509 1425.208 1421.384 1442.962 1464.350"
    " 1468.705 1447.894 1457.628"
)
START = [1000, 1000, 400, 40, 0.7, 0.3, 0.03]
CERTIFIED = [
    *(1288.1396800, 1491.0792535, 583.23836877, 75.416644291),
    *(0.96629502864, 0.39797285797, 0.049727297349),
]


def column(numbers):
    """A column of the table as a float64 tensor."""
    return torch.tensor([float(n) for n in numbers.split()], dtype=torch.float64)


def squares(scaled):
    """Sum of squared residuals; the parameters come in units of where the search starts."""
    a, b, c, d, e, f, g = scaled * torch.tensor(START, dtype=torch.float64)
    x = column(LOG_DENSITY)
    curve = (a + x * (b + x * (c + x * d))) / (1 + x * (e + x * (f + x * g)))
    return (column(MOBILITY) - curve).square().sum()


def product(f, x, v):
    """The Hessian of f at x times v, forward over reverse: one gradient's work, no matrix."""
    return func.jvp(func.grad(f), (x,), (v,))[1]


def boundary(step, direction, radius):
    """`step + t direction` of length `radius`, t > 0."""
    a, b, c = direction @ direction, step @ direction, step @ step - radius**2
    return step + (torch.sqrt(b * b - a * c) - b) / a * direction


def newton_step(multiply, gradient, radius):
    """Conjugate gradients on H step = -gradient, stopped at the trust region, at negative
    curvature, or when solved as well as the distance from the minimum deserves.
    """
    step, residual = torch.zeros_like(gradient), -gradient
    direction, size = residual, residual @ residual
    goal = size * torch.clamp(size, max=1e-4)
    for _ in range(4 * len(gradient)):
        curved = multiply(direction)
        curvature = direction @ curved
        length = size / curvature
        if curvature <= 0 or (step + length * direction).norm() > radius:
            return boundary(step, direction, radius)
        step, residual = step + length * direction, residual - length * curved
        size, before = residual @ residual, size
        if size < goal:
            break
        direction = residual + size / before * direction
    return step


def minimize(f, x, steps=200):
    """(a minimum of f, steps taken, Hessian products asked for), by trust region Newton-CG."""
    taken, products, radius = 0, 0, 0.1

    def multiply(v):
        nonlocal products
        products += 1
        return product(f, x, v)

    for _ in range(steps):
        taken += 1
        gradient, value = func.grad_and_value(f)(x)
        step = newton_step(multiply, gradient, radius)
        promised = -(gradient @ step + step @ multiply(step) / 2)
        kept = ((value - f(x + step)) / promised).item()
        if step.norm() < 1e-9:
            break
        radius = radius / 4 if not kept > 0.25 else max(radius, 2 * step.norm().item())
        x = x + step if kept > 0 else x
    return x, taken, products


def main():
    """Fit from NIST's start, compare with the certified values; the figures by name."""
    x, steps, products = minimize(squares, torch.ones(7, dtype=torch.float64))
    fitted = x * torch.tensor(START, dtype=torch.float64)
    certified = torch.tensor(CERTIFIED, dtype=torch.float64)
    error = ((fitted - certified) / certified).abs().max().item()
    u, v = torch.linspace(-1, 1, 7, dtype=torch.float64), torch.ones(7, dtype=torch.float64)
    left, right = u @ product(squares, x, v), v @ product(squares, x, u)
    for name, mine, theirs in zip("abcdefg", fitted.tolist(), CERTIFIED, strict=True):
        print(f"{name}  fitted {mine:16.10f}   certified {theirs:16.10f}")
    print(f"residual sum of squares {squares(x).item():.7f}   certified 5642.7082397")
    print(f"{steps} steps, {products} Hessian-vector products; largest relative error {error:.1e}")
    return {
        "error": error,
        "squares": squares(x).item(),
        "steps": steps,
        "asymmetry": ((left - right) / left).abs().item(),
    }


if __name__ == "__main__":
    main()
