"""What is tracked and what is not: `requires_grad`, gradients of a vector, and the error when
nothing was tracked.
"""

import chainrule as torch
from chainrule.autograd.draw import draw

torch.manual_seed(0)
x = torch.randn(3, requires_grad=True)
y = (x + 2) * (x + 2) * 2
print("x", x)
print("y", y)
mean = y.mean()
print(draw(mean))
mean.backward()
print("gradient of the mean, 4 (x + 2) / 3:", x.grad)

print("\nWithout requires_grad there is nothing to go back through:")
untracked = (torch.randn(4) + 2).mean()
try:
    untracked.backward()
except RuntimeError as e:
    print("RuntimeError:", e)

print("\nA vector needs a weight for each of its elements:")
x = torch.randn(4, requires_grad=True)
y = (x + 2) ** 2 * 2
weight = torch.tensor([0.1, 1.0, 0.01, 1.01])
y.backward(weight)
print("gradient", x.grad)
print("by hand ", (weight * 4 * (x + 2)).detach())
