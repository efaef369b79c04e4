"""A first gradient: the sum of squares, and one step of a network with two inputs and three hidden
units.
"""

import numpy as np

import chainrule as torch
from chainrule.autograd.draw import draw

print("The gradient of sum(x**2) is 2 x.")
x = torch.tensor([[2.0, -1.0], [1.0, 1.0]], requires_grad=True)
out = x.pow(2).sum()
out.backward()
print("value", out)
print("gradient", x.grad)
print(draw(x.pow(2).sum()))

print(
    "\nA network 2-3-1 with the logistic function, squared error, and one step of gradient descent."
)
inputs, target = torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0]])
values = [
    np.array([[-0.0053, 0.3793], [-0.5820, -0.5204], [-0.2723, 0.1896]], np.float32).T,
    np.array([-0.0140, 0.5607, -0.0628], np.float32),
    np.array([[0.1528, -0.1745, -0.1135]], np.float32).T,
    np.array([-0.5516], np.float32),
]
weights = [torch.tensor(v, requires_grad=True) for v in values]


def error(w0, b0, w1, b1):
    hidden = 1 / (1 + torch.exp(-torch.matmul(inputs, w0 + b0)))
    return torch.mean(torch.square(torch.matmul(hidden, w1) + b1 - target))


loss = error(*weights)
graph = draw(loss)
loss.backward()
print("error", loss)
print("gradients", [w.grad for w in weights])
with torch.no_grad():
    stepped = [w - w.grad for w in weights]
print("weights after the step", stepped)
print(graph)
