"""From a vector to a scalar and back: o = 1/2 sum 5 (x + 1)^2 has the gradient 5 (x + 1)."""

import chainrule as torch
from chainrule.autograd.draw import draw

a = torch.ones(2, 2)
print("tracked from the start:", torch.ones((2, 2), requires_grad=True).requires_grad)
print("tracked afterwards:    ", a.requires_grad_().requires_grad)
b = torch.ones((2, 2), requires_grad=True)
print("a + b", a + b)
print("a * b", torch.mul(a, b))

x = torch.ones(2, requires_grad=True)
y = 5 * (x + 1) ** 2
o = (1 / 2) * torch.sum(y)
print("y", y)
print("o", o)
print(draw(o))
o.backward()
print("gradient", x.grad)
