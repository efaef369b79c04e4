"""The Earth's orbit from the dates of its seasons: a rule by the implicit function theorem.

Kepler's equation E - e sin E = M has no closed solution E(M, e); it is solved by iteration, and the
iteration is of no interest to the derivative. From 0 = E - e sin E - M follow at the solution
dE/dM = 1 / (1 - e cos E) and dE/de = sin E / (1 - e cos E): a custom rule in three lines, which
can be differentiated again and mapped. With it the moments of five equinoxes and solstices give the
eccentricity and the day of perihelion.
"""

import math

import chainrule as torch
from chainrule import func

# Equinoxes and solstices of 2025 and 2026 (UTC, to the minute), in days since 1 January 2025, 0 h.
SEASONS = [78 + 541 / 1440, 171 + 162 / 1440, 264 + 1099 / 1440, 354 + 903 / 1440, 443 + 886 / 1440]
QUARTERS = [0.0, 0.25, 0.5, 0.75, 1.0]  # of the Sun's way around, from equinox to equinox
ANOMALISTIC_YEAR = 365.259636  # days from perihelion to perihelion
ADVANCE = 2 * math.pi / 20937 / 365.2422  # of the perihelion from the equinox, radians a day


class Kepler(torch.autograd.Function):
    """E with E - e sin E = M, elementwise."""

    generate_vmap_rule = True

    @staticmethod
    def forward(M, e):
        E = M + e * torch.sin(M)
        for _ in range(20):
            E = E - (E - e * torch.sin(E) - M) / (1 - e * torch.cos(E))
        return E

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        """The solution is asked for anew, as a function: so this can be differentiated again."""
        M, e = ctx.saved_tensors
        E = Kepler.apply(M, e)
        share = g / (1 - e * torch.cos(E))
        return share, share * torch.sin(E)


def longitude(orbit, t):
    """The Sun's ecliptic longitude at time t, in radians, on an orbit (e, day and longitude of
    perihelion).
    """
    e, day, omega = orbit
    M = 2 * math.pi * (t - day) / ANOMALISTIC_YEAR
    E = Kepler.apply(M, e.expand_as(M))
    half = torch.atan2(torch.sqrt(1 + e) * torch.sin(E / 2), torch.sqrt(1 - e) * torch.cos(E / 2))
    turns = 2 * math.pi * torch.round((E / 2 - half).detach() / (2 * math.pi))
    return 2 * (half + turns) + omega + ADVANCE * (t - SEASONS[0])


def misses(orbit):
    """How far the Sun was from where each season begins, in radians."""
    t, quarters = (torch.tensor(v, dtype=torch.float64) for v in (SEASONS, QUARTERS))
    return longitude(orbit, t) - 2 * math.pi * quarters


def gauss_newton(f, x, steps=8):
    """The least squares solution of f(x) = 0, by its Jacobian."""
    for _ in range(steps):
        x = x - torch.linalg.lstsq(func.jacrev(f)(x), f(x)[:, None]).solution[:, 0]
    return x


def checks():
    """Largest errors of the rule: first derivatives against differences, second and mapped ones
    against formulas.
    """
    M = torch.linspace(-3, 9, 25, dtype=torch.float64, requires_grad=True)
    e = torch.linspace(0, 0.9, 25, dtype=torch.float64, requires_grad=True)
    E, h = Kepler.apply(M, e), 1e-6
    by_M, by_e = torch.autograd.grad(E.sum(), (M, e), create_graph=True)
    first = max(
        (by_M - (Kepler.apply(M + h, e) - Kepler.apply(M - h, e)) / (2 * h)).abs().max().item(),
        (by_e - (Kepler.apply(M, e + h) - Kepler.apply(M, e - h)) / (2 * h)).abs().max().item(),
    )
    (twice,) = torch.autograd.grad(by_M.sum(), M)
    formula = -e * torch.sin(E) / (1 - e * torch.cos(E)) ** 3
    mapped = func.vmap(func.grad(Kepler.apply, argnums=(0, 1)))(M.detach(), e.detach())
    return {
        "first": first,
        "second": ((twice - formula) / (1 + formula.abs())).abs().max().item(),
        "mapped": max(
            (a - b).abs().max().item() for a, b in zip(mapped, (by_M, by_e), strict=True)
        ),
    }


def main():
    """Find the orbit, check the rule; the figures by name."""
    guess = torch.tensor([0.01, 0.0, -math.pi / 2], dtype=torch.float64)
    orbit = gauss_newton(misses, guess)
    e, day, _ = orbit.tolist()
    arc = misses(orbit).abs().max().item() * 180 / math.pi * 3600
    found = {"eccentricity": e, "perihelion": day + 1, "seconds of arc": arc, **checks()}
    print(
        f"eccentricity {e:.5f}; perihelion on {day + 1:.1f} January 2025; misses {arc:.0f} arcsec"
    )
    print(f"first derivatives against differences {found['first']:.1e}")
    print(
        f"second against the formula {found['second']:.1e}, vmap against all {found['mapped']:.1e}"
    )
    return found


if __name__ == "__main__":
    main()
