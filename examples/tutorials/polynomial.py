"""A polynomial and its derivative, then the chain rule through two layers and a mean."""

import chainrule as torch
from chainrule.autograd.draw import draw

print("y = 2 x^4 + x^3 + 3 x^2 + 5 x + 1 at x = 2; y' = 8 x^3 + 3 x^2 + 6 x + 5")
x = torch.tensor(2.0, requires_grad=True)
y = 2 * x**4 + x**3 + 3 * x**2 + 5 * x + 1
print(draw(y))
y.backward()
print("y", y, " y'", x.grad)

print("\nout = mean(z), z = 2 y^2, y = 3 x + 2; d out / d x = 12 (3 x + 2) / 6")
x = torch.tensor([[1.0, 2, 3], [3, 2, 1]], requires_grad=True)
y = 3 * x + 2
z = 2 * y**2
out = z.mean()
print(draw(out))
out.backward()
print("out", out)
print("gradient", x.grad)
