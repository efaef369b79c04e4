"""Nodes and graphs: what `grad_fn` names, how tracking is switched off, and how gradients
add up.
"""

import chainrule as torch
from chainrule.autograd.draw import draw

torch.manual_seed(0)
x, y = torch.ones(5), torch.zeros(3)
w = torch.randn(5, 3, requires_grad=True)
b = torch.randn(3, requires_grad=True)
z = torch.matmul(x, w) + b
loss = torch.nn.functional.binary_cross_entropy_with_logits(z, y)
print("z comes from", z.grad_fn.name(), "and the loss from", loss.grad_fn.name())
print(draw(loss))
loss.backward()
print("gradient of b", b.grad)
print("by hand      ", (torch.sigmoid(z) / 3).detach())

with torch.no_grad():
    print(
        "under no_grad:",
        (torch.matmul(x, w) + b).requires_grad,
        " detached:",
        z.detach().requires_grad,
    )

print("\nBackward twice adds up; zero_() starts again.")
eye = torch.eye(5, requires_grad=True)
squares = (eye + 1).pow(2).T
for step in ("first", "second"):
    squares.backward(torch.ones_like(squares), retain_graph=True)
    print(step, eye.grad[0])
eye.grad.zero_()
squares.backward(torch.ones_like(squares))
print("after zeroing", eye.grad[0])
