"""Record what torch does with views and in-place writes, in tests/golden/inplace.json; `--check`
compares with what is there.

Every case is a short program that shows its results with `see` and its failures with `fails`;
tests/test_inplace.py runs it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from test_inplace import GOLDEN, observe  # noqa: E402

# A line that begins with "==" names the program below it; what stands behind "--" is how all
# programs begin that follow.
PROGRAMS = """
-- a = torch.tensor([[1., 2., 3.], [4., 5., 6.]])
== view shares memory and version
b = a.view(6); b[0] = 9.
see(a, b, b._base is a, b.data_ptr() == a.data_ptr(), a._version, b._version)
== reshape of contiguous is a view
b = a.reshape(3, 2); b[0, 1] = 9.; see(a, b)
== reshape of transposed copies
b = a.t().reshape(6); b[0] = 9.; see(a, b)
== view of transposed fails
fails(lambda: a.t().view(6))
== transpose shares
b = a.t(); b[2, 0] = 9.; see(a, b, b.stride(), b.is_contiguous())
== permute shares
b = a.permute(1, 0); b.zero_(); see(a, b)
== expand shares
b = torch.tensor([[1.], [2.]]).expand(2, 3); see(b, b.stride())
== writing an expanded tensor fails
b = torch.tensor([[1.], [2.]]).expand(2, 3); fails(lambda: b.add_(1)); see(b)
== filling an expanded tensor
b = torch.tensor([1., 2., 3.]).expand(2, 3); fails(lambda: b.fill_(1)); fails(lambda: b.zero_())
see(b)
== copying into an expanded tensor fails
b = torch.tensor([1., 2., 3.]).expand(2, 3); fails(lambda: b.copy_(a)); see(b)
== assigning a row of an expanded tensor writes all rows
c = torch.tensor([1., 2., 3.]); b = c.expand(2, 3); b[0] = 7.; see(b, c)
== writing the base of an expanded tensor
c = torch.tensor([1., 2., 3.]); b = c.expand(2, 3); c.add_(1); see(b, c)
== size one expanded can be written
b = torch.tensor([[1., 2.]]).expand(1, 2); b.add_(1); see(b)
== squeeze and unsqueeze share
b = a.unsqueeze(0).squeeze(0); b.mul_(2); see(a, b, b._base is a)
== flatten shares
b = a.flatten(); b[5] = 0.; see(a, b)
== contiguous of contiguous is itself
b = a.contiguous(); see(b is a, a.t().contiguous().data_ptr() == a.data_ptr())
== slices share
b = a[:, 1:]; b.zero_(); see(a, b, b.storage_offset(), b.stride())
== strided slices share
b = a[:, ::2]; b.mul_(10); see(a, b, b.stride())
== select shares
b = a[1]; b.neg_(); see(a, b, b.storage_offset())
== element shares
b = a[1, 2]; b.fill_(0); see(a, b, b.storage_offset(), b._base is a)
== element of element
b = a[1][2]; b.mul_(3); see(a, b, b._base is a)
== advanced index copies
b = a[[0, 1]]; b.zero_(); see(a, b)
== mask copies
b = a[a > 2]; b.zero_(); see(a, b)
== integer tensor index of dimension 0 is a view
b = a[torch.tensor(1)]; b.zero_(); see(a, b)
== diagonal shares
b = a.diagonal(); b.fill_(0); see(a, b, b.stride())
== diagonal with offset shares
b = a.diagonal(1); b.add_(10); see(a, b)
== unfold shares
c = torch.arange(6.); b = c.unfold(0, 2, 2); b[1] = 0.; see(c, b)
== unfold with overlap is not writable at once
c = torch.arange(4.); b = c.unfold(0, 2, 1); see(b, b.stride()); b[0, 1] = 9.; see(b, c)
== unbind shares
x, y = a.unbind(0); x.zero_(); see(a, x, y)
== split shares
x, y = a.split([1, 2], 1); y.zero_(); see(a, x, y)
== chunk shares
x, y = a.chunk(2); y.add_(1); see(a, x, y)
== narrow and select share
a.narrow(1, 0, 2).mul_(2); a.select(0, 1).add_(100); see(a)
== as_strided shares
b = a.as_strided((2, 2), (1, 1)); see(b); a[0, 1] = 20.; see(b)
== movedim swapaxes and mT share
a.movedim(0, 1)[0, 0] = 7.; a.swapaxes(0, 1)[1, 1] = 8.; a.mT[2, 0] = 9.; see(a)
== T shares
a.T[2, 1] = 9.; see(a)
== view_as and expand_as
b = a.view_as(torch.zeros(3, 2)); b[2, 1] = 0.; see(a, b, torch.zeros(3).expand_as(a))
== real and imag share
c = torch.tensor([1 + 2j, 3 - 4j]); c.real.zero_(); see(c); c.imag.mul_(2); see(c)
== view_as_real shares
c = torch.tensor([1 + 2j, 3 - 4j]); b = torch.view_as_real(c); b[0, 1] = 9.; see(c, b)
== view_as_complex shares
b = torch.tensor([[1., 2.], [3., 4.]]); c = torch.view_as_complex(b); c.mul_(1j); see(b, c)
== view as another dtype shares
c = torch.tensor([1., 2.]); b = c.view(torch.int32); b[0] = 0; see(c, b)
== detach shares memory and version
b = a.detach(); b.add_(1); see(a, b, a._version == b._version, b._base is None)
== data shares memory, not version
b = a.data; b.add_(1); see(a, b, a._version, b._version)
== numpy shares memory
b = a.numpy(); b[0, 0] = 9.; see(a); a.add_(1); see(float(b[0, 0]))
== from_numpy shares memory
n = np.array([1., 2., 3.], dtype=np.float32); b = torch.from_numpy(n); b.mul_(2); see(b, n.tolist())
n[0] = -1; see(b)
== as_tensor shares memory with arrays
n = np.array([1., 2.], dtype=np.float32); b = torch.as_tensor(n); b.zero_(); see(b, n.tolist())
== tensor copies arrays
n = np.array([1., 2.], dtype=np.float32); b = torch.tensor(n); b.zero_(); see(b, n.tolist())
== base of a view of a view
b = a[0]; c = b[1:]; d = c.view(2, 1); see(d._base is a, c._base is a, d)
== base is none for tensors of their own
see(a._base, a.clone()._base, (a + 1)._base)
== versions count writes through any view
b = a[0]; c = a.t(); a.add_(1); b.mul_(2); c.zero_(); see(a._version, b._version, c._version)
== versions of what is not written
b = a + 1; see(a._version, b._version); b.add_(a); see(a._version, b._version)
== assignment counts as a write
a[0, 0] = 1.; a[a > 2] = 0.; a[[0, 1]] = 2.; see(a._version)
== operators in place
b = a; b += 1; b -= 2; b *= 3; b /= 2; b **= 2; see(b is a, a, a._version)
== operators in place on integers
c = torch.tensor([7, 8]); c += 1; c *= 2; c //= 3; c %= 4; see(c)
== integers do not take float results
c = torch.tensor([7, 8]); fails(lambda: c.div_(2)); fails(lambda: c.add_(0.5))
fails(lambda: c.mul_(torch.tensor(0.5))); see(c)
== in place keeps the dtype
c = torch.tensor([1., 2.]); c.add_(torch.tensor([1., 2.]).double()); see(c); c.mul_(2); see(c)
== in place cannot grow
c = torch.tensor([1., 2.]); fails(lambda: c.add_(torch.zeros(3, 2)))
fails(lambda: c.mul_(torch.zeros(2, 1))); see(c)
== in place returns the tensor itself
see(a.add_(1) is a, a.zero_() is a, a.fill_(3) is a, a.copy_(torch.zeros(3)) is a)
== copy broadcasts and converts
a.copy_(torch.tensor([7, 8, 9])); see(a); a.copy_(torch.tensor([[1.5], [2.5]], dtype=torch.float64))
see(a)
== copy refuses larger shapes
fails(lambda: a.copy_(torch.zeros(1, 2, 3))); fails(lambda: a.copy_(torch.zeros(2, 2))); see(a)
== copy of itself
a.copy_(a); see(a); a.copy_(a.view(2, 3)); see(a)
== overlapping copy
c = torch.arange(5.); fails(lambda: c[1:].copy_(c[:-1])); see(c)
== overlapping assignment
c = torch.arange(5.)
def write(): c[:-1] = c[1:]
fails(write); see(c)
== overlapping addition
c = torch.arange(5.); fails(lambda: c[1:].add_(c[:-1])); see(c)
== writing what is read in full
c = torch.arange(3.); c.add_(c); see(c); c.mul_(c[:]); see(c)
== transposed onto itself
c = torch.tensor([[1., 2.], [3., 4.]]); fails(lambda: c.add_(c.t())); see(c)
== set data of a tensor
b = torch.tensor([1.]); b.data = a; see(b, b.data_ptr() == a.data_ptr(), a._version, b._version)
== set_ shares the source
b = torch.tensor([1.]); b.set_(a); b.add_(1); see(a, b)
== clone does not share
b = a.clone(); b.zero_(); see(a, b)
== deepcopy keeps views apart
import copy
b = copy.deepcopy(a[0]); b.zero_(); see(a, b)
== fill_diagonal
a.fill_diagonal_(0.); see(a)
== swap through views
b = a[0].clone(); a[0] = a[1]; a[1] = b; see(a)
== iteration yields views
for row in a: row.mul_(2)
see(a, a._version)
== in place on zero elements
b = a[:0]; b.add_(1); see(b, a)
== resize_ in place
b = torch.arange(6.); b.resize_(2, 3); see(b)
== unsqueeze_ and squeeze_ and transpose_ in place
b = torch.arange(3.); b.unsqueeze_(0); see(b); b.squeeze_(0); see(b)
c = torch.arange(6.).view(2, 3); c.t_(); see(c)

-- x = torch.tensor([1., 2., 3.], requires_grad=True)
== leaf cannot be written
fails(lambda: x.add_(1)); fails(lambda: x.zero_()); fails(lambda: x.copy_(x.detach())); see(x)
== leaf cannot be assigned
def write(): x[0] = 1.
def masked(): x[x > 1] = 1.
def rows(): x[[0, 1]] = 1.
fails(write); fails(masked); fails(rows); see(x)
== view of a leaf cannot be written
fails(lambda: x[0].add_(1)); fails(lambda: x.view(3).zero_()); see(x)
== leaf under no_grad
with torch.no_grad(): x.add_(1); x[0] = 7.; x[x > 6] = 9.
see(x, x._version)
== augmented assignment of a leaf
def augment():
    y = x
    y += 1
fails(augment); see(x)
== leaf through data
x.data.mul_(2); x.data[0] = 5.; see(x, x._version)
== leaf through detach
x.detach().mul_(2); see(x, x._version)
== leaf that does not require grad becomes computed
y = torch.zeros(3); y.add_(x); see(y); y.sum().backward(); see(x.grad)
== requires_grad_ on computed
y = x * 2; fails(lambda: y.requires_grad_(False)); see(y.requires_grad_(True) is y)
== requires_grad_ on a leaf
y = torch.zeros(2); y.requires_grad_(); see(y); y.requires_grad_(False); see(y)
== requires_grad_ on a view of a plain tensor
a = torch.zeros(4); b = a[:2]; b.requires_grad_(); see(a, b)
== requires_grad_ of integers
fails(lambda: torch.tensor([1]).requires_grad_())
fails(lambda: torch.tensor([1], requires_grad=True))
== write a view of a plain tensor whose view requires grad
a = torch.zeros(4); b = a[:2]; b.requires_grad_(); fails(lambda: b.add_(1)); see(a.add_(1))
== numpy of what requires grad
fails(lambda: x.numpy()); see(x.detach().numpy().tolist())
== detach_ of computed
y = x * 2; y.detach_(); see(y)
== detach_ of a view
y = (x * 2)[:2]; fails(lambda: y.detach_())
== in place on a computed tensor
y = x * 2; y.add_(1); y.mul_(3); see(y, y._version); y.sum().backward(); see(x.grad)
== in place with a tensor that requires grad
w = torch.tensor([2., 3., 4.], requires_grad=True); y = x * 2; y.mul_(w); see(y); y.sum().backward()
see(x.grad, w.grad)
== plain tensor written with one that requires grad
y = torch.ones(3); z = y; y.mul_(x); see(y, z is y); y.sum().backward(); see(x.grad)
== unary functions in place
y = x * 1; y.exp_(); see(y); y.sum().backward(); see(x.grad)
== sigmoid in place
y = x * 1; y.sigmoid_(); y.sum().backward(); see(y, x.grad)
== relu in place
y = x - 2; y.relu_(); y.sum().backward(); see(y, x.grad)
== tanh and sqrt in place
y = x * 1; y.sqrt_().tanh_(); y.sum().backward(); see(y, x.grad)
== clamp in place
y = x * 1; y.clamp_(1.5, 2.5); y.sum().backward(); see(y, x.grad)
== division in place by what requires grad
w = torch.tensor(2., requires_grad=True); y = x * 1; y /= w; y.sum().backward()
see(y, x.grad, w.grad)
== power in place
y = x * 1; y.pow_(2); y.sum().backward(); see(y, x.grad)
== saved input overwritten
y = x * 2; z = y * y; y.add_(1); see(z); fails(lambda: z.sum().backward())
== saved output overwritten
y = x.exp(); y.add_(1); fails(lambda: y.sum().backward())
== saved output of sigmoid overwritten
y = torch.sigmoid(x); y.zero_(); fails(lambda: y.sum().backward())
== addition saves nothing
y = x * 2; z = y + y; y.zero_(); z.sum().backward(); see(x.grad)
== multiplication saves only what is needed
w = torch.tensor([1., 1., 1.]); y = x * w; w.zero_(); fails(lambda: y.sum().backward())
== the factor that needs no gradient is saved, the other not
y = x * 2; z = y * torch.ones(3); y.zero_(); z.sum().backward(); see(x.grad)
== saved value overwritten through a view
y = x * 2; z = y * y; y[0] = 5.; fails(lambda: z.sum().backward())
== saved value overwritten through its base
b = torch.ones(3) * x; y = b[:2]; z = y * y; b.add_(1); fails(lambda: z.sum().backward())
== saved view overwritten elsewhere in its base
b = torch.ones(3) * x; y = b[:2]; z = y * y; b[2] = 5.; fails(lambda: z.sum().backward())
== saved output of a write to an expanded view overwritten
y = x * 2; v = y.expand(1, 3); v.sigmoid_(); y.mul_(2); fails(lambda: y.sum().backward())
== saved output of a write to a diagonal overwritten
y = x.expand(3, 3).clone(); v = y.diagonal(); v.exp_(); y.mul_(2)
fails(lambda: y.sum().backward())
== saved output of a write to an unfolded view overwritten
y = x * 2; v = y.unfold(0, 1, 1); v.tanh_(); y[0] = 1.; fails(lambda: y.sum().backward())
== saved value overwritten through detach
y = x * 2; z = y * y; y.detach().add_(1); fails(lambda: z.sum().backward())
== saved value overwritten through data goes unnoticed
y = x * 2; z = y * y; y.data.add_(1); z.sum().backward(); see(x.grad)
== saved value overwritten under no_grad
y = x * 2; z = y * y
with torch.no_grad(): y.add_(1)
fails(lambda: z.sum().backward())
== saved leaf overwritten under no_grad
y = x * x
with torch.no_grad(): x.add_(1)
fails(lambda: y.sum().backward())
== overwriting after backward is fine
y = x * x; y.sum().backward()
with torch.no_grad(): x.sub_(0.1 * x.grad)
see(x); (x * x).sum().backward(); see(x.grad)
== saved index overwritten
i = torch.tensor([0, 2]); y = x[i]; i.zero_(); fails(lambda: y.sum().backward())
== saved mask overwritten
m = x > 1; y = x[m]; m.zero_(); fails(lambda: y.sum().backward())
== saved gather index overwritten
i = torch.tensor([0, 2]); y = x.gather(0, i); i.zero_(); fails(lambda: y.sum().backward())
== saved by matmul overwritten
w = torch.ones(3, 3); y = x @ w; w.zero_(); fails(lambda: y.sum().backward())
== sum saves no values
y = x * 1; z = y.sum(); y.zero_(); z.backward(); see(x.grad)
== max saves indices only
y = x * 1; z = y.max(0)[0]; y.zero_(); z.backward(); see(x.grad)
== assign an element
y = x * 2; y[1] = 5.; see(y); y.sum().backward(); see(x.grad)
== assign a tensor that requires grad
w = torch.tensor(7., requires_grad=True); y = x * 2; y[1] = w; see(y); (y * y).sum().backward()
see(x.grad, w.grad)
== assign into a plain tensor
y = torch.zeros(3); y[0] = x[2]; y[1:] = x[:2] * 2; see(y, y._version)
(y * torch.tensor([1., 10., 100.])).sum().backward(); see(x.grad)
== assign rows by index
y = x * 2; y[[0, 2]] = 1.; see(y); y.sum().backward(); see(x.grad)
== assign by mask
y = x * 2; y[y > 3] = 0.; see(y); y.sum().backward(); see(x.grad)
== assign a tensor by mask
w = torch.tensor([10., 20.], requires_grad=True); y = x * 2; y[y > 3] = w; (y * y).sum().backward()
see(y, x.grad, w.grad)
== assign everything
y = x * 2; y[:] = 1.; see(y); y.sum().backward(); see(x.grad)
== assign everything a tensor
y = x * 2; y[...] = x; see(y); y.sum().backward(); see(x.grad)
== fill and zero of a computed tensor
y = x * 2; y.fill_(3); see(y); y.sum().backward(); see(x.grad); z = x * 2; z.zero_(); see(z)
== fill with a tensor that requires grad
w = torch.tensor(2., requires_grad=True); y = torch.zeros(3); y.fill_(w); see(y); y.sum().backward()
see(w.grad)
== copy into a computed tensor
w = torch.tensor([4., 5., 6.], requires_grad=True); y = x * 2; y.copy_(w); see(y)
y.sum().backward(); see(x.grad, w.grad)
== copy into another dtype
y = torch.zeros(3, dtype=torch.float64); y.copy_(x); see(y); (y * y).sum().backward(); see(x.grad)
== copy into integers cuts the history
y = torch.zeros(3, dtype=torch.int64); y.copy_(x); see(y)
== copy broadcasts gradients
y = torch.zeros(2, 3); y.copy_(x); see(y); y.sum().backward(); see(x.grad)
== masked_fill in place
y = x * 2; y.masked_fill_(y > 3, 0.); see(y); y.sum().backward(); see(x.grad)
== index_add in place
y = torch.zeros(2); y.index_add_(0, torch.tensor([0, 1, 0]), x); see(y)
(y * torch.tensor([1., 10.])).sum().backward(); see(x.grad)
== scatter in place
y = torch.zeros(4); y.scatter_(0, torch.tensor([3, 1, 0]), x); see(y); (y * y).sum().backward()
see(x.grad)
== scatter_add in place
y = x * 2; y.scatter_add_(0, torch.tensor([0, 0, 1]), x); see(y); (y * y).sum().backward()
see(x.grad)
== index_put in place
y = x * 2; y.index_put_((torch.tensor([0, 0]),), torch.tensor([1., 2.]), accumulate=True); see(y)
y.sum().backward(); see(x.grad)
== index_copy and index_fill in place
y = x * 2; y.index_copy_(0, torch.tensor([1]), x[2:]); y.index_fill_(0, torch.tensor([0]), 9.)
see(y); y.sum().backward(); see(x.grad)
== view of a computed tensor written
y = x * 2; v = y[:2]; v.mul_(10); see(y, v); y.sum().backward(); see(x.grad)
== base of a view written
y = x * 2; v = y[:2]; y.mul_(10); see(y, v); v.sum().backward(); see(x.grad)
== view then base then view
y = x * 2; v = y[:2]; w = y[1:]; v.mul_(2); w.add_(1); y.mul_(3)
see(y, v, w, y._version, v._version, w._version); (v.sum() + w.sum()).backward(); see(x.grad)
== backward through a view written
y = x * 2; v = y[1:]; v.exp_(); see(v); v.sum().backward(); see(x.grad)
== view written twice
y = x * 2; v = y.view(3, 1); v.mul_(2); v.add_(x.view(3, 1)); see(y, v); y.sum().backward()
see(x.grad)
== view of a view written
y = x * 2; v = y.view(1, 3)[:, 1:]; v.zero_(); see(y, v); y.sum().backward(); see(x.grad)
== transposed view written
y = (x * 2).expand(2, 3).clone(); v = y.t(); v[0].mul_(5); see(y, v); y.sum().backward()
see(x.grad)
== diagonal written
y = x.expand(3, 3).clone(); y.diagonal().mul_(10); see(y); y.sum().backward(); see(x.grad)
== unfold view written
y = (x * 2).repeat(2); v = y.unfold(0, 2, 2); v[1].zero_(); see(y); y.sum().backward(); see(x.grad)
== as_strided view written
y = x * 2; v = y.as_strided((2,), (2,)); v.mul_(10); see(y, v); y.sum().backward(); see(x.grad)
== narrow and select written
y = x * 2; y.narrow(0, 0, 1).mul_(3); y.select(0, 2).mul_(5); see(y); y.sum().backward()
see(x.grad)
== plain base, view written with what requires grad
y = torch.zeros(3); v = y[:2]; v.copy_(x[1:]); see(y, v); y.sum().backward(); see(x.grad)
== plain base, one view written, another read
y = torch.zeros(3); v = y[:2]; w = y[1:]; v.add_(x[:2]); see(y, v, w); (w * w).sum().backward()
see(x.grad)
== sibling views after a write
y = x * 2; v = y[:2]; w = y[:2]; v.mul_(3); see(w); w.sum().backward(); see(x.grad)
== chain of writes through views
y = x * 2; y[0] = y[1] * y[2]; y[1] = y[0] + 1; see(y); y.sum().backward(); see(x.grad)
== chain of writes through views, cloned
y = x * 2; y[0] = y[1].clone() * y[2].clone(); y[1] = y[0].clone() + 1; see(y); y.sum().backward()
see(x.grad)
== augmented element
y = x * 2; y[0] += 5; y[1] *= x[0]; see(y); y.sum().backward(); see(x.grad)
== running sum in a loop
y = torch.zeros(3)
for i in range(3):
    y[i] = x[i] * (y[i - 1] if i else 1.)
see(y); y[2].backward(); see(x.grad)
== running sum in a list
y = [x[0]]
for i in range(1, 3): y.append(x[i] * y[-1])
z = torch.stack(y); z[0] = 7.; see(z); z.sum().backward(); see(x.grad)
== writes through an expanded base
c = x.sum(); y = c.expand(2, 2); fails(lambda: y.mul_(2)); see(c.expand(2, 2).clone().mul_(2))
== split outputs cannot be written
y = x * 2; v, w = y.split([1, 2]); see(v, w); fails(lambda: v.mul_(2)); see(y)
== unbind outputs cannot be written
y = x * 2; v = y.unbind(0); see(v[1]); fails(lambda: v[1].mul_(2))
== chunk outputs cannot be written
y = x * 2; v = y.chunk(3); fails(lambda: v[0].zero_()); see(v[2])
== iterating outputs cannot be written
y = x * 2
def write():
    for row in y: row.zero_()
fails(write)
== outputs of unbind after their base is written
y = x * 2; v = y.unbind(0); y.mul_(2); fails(lambda: see(v[0])); fails(lambda: v[0].backward())
== split outputs of a plain tensor written with what requires grad
y = torch.zeros(3); v, w = y.split([1, 2]); fails(lambda: v.copy_(x[:1])); see(y)
== split outputs under no_grad
y = x * 2; v, w = y.split([1, 2])
with torch.no_grad(): v.mul_(2)
see(y, v)
== views made under no_grad of a leaf
with torch.no_grad(): v = x[:2]
see(v); fails(lambda: v.mul_(2)); see(x)
== views made under no_grad of a computed tensor
y = x * 2
with torch.no_grad(): v = y[:2]
see(v); fails(lambda: v.mul_(2))
== views made under no_grad of a plain tensor
y = torch.zeros(3)
with torch.no_grad(): v = y[:2]
v.mul_(2); see(v); fails(lambda: v.add_(x[:2])); see(y)
== view made under no_grad written under no_grad
y = x * 2
with torch.no_grad(): v = y[:2]; v.mul_(2)
see(y, v); y.sum().backward(); see(x.grad)
== views of views made under no_grad
y = x * 2
with torch.no_grad(): v = y[:2]
w = v[:1]; see(w.requires_grad, w._base is y)
== views of outputs of split
y = x * 2; v, w = y.split([1, 2]); u = w[:1]; see(u); fails(lambda: u.mul_(2))
== view of a plain base that becomes a leaf
y = torch.zeros(3); v = y[:2]; y.requires_grad_(); see(v); fails(lambda: v.add_(1))
== views of a detached tensor
y = (x * 2).detach(); v = y[:2]; v.mul_(x[:2]); see(y, v); y.sum().backward(); see(x.grad)
== detach of a computed tensor written
y = x * 2; d = y.detach(); d.mul_(5); see(y, d); y.sum().backward(); see(x.grad)
== detach, then write with what requires grad
y = x * 2; d = y.detach(); d.add_(x); see(y, d); d.sum().backward(); see(x.grad)
== write under no_grad leaves the history
y = x * 2
with torch.no_grad(): y.mul_(10)
see(y); y.sum().backward(); see(x.grad)
== computed under no_grad
with torch.no_grad(): y = x * 2
see(y); y.add_(x); see(y); y.sum().backward(); see(x.grad)
== a view written again, under no_grad
y = x * 2; v = y[:2]; v.mul_(3)
with torch.no_grad(): v.add_(1); see(v.requires_grad, v.is_leaf)
see(v); v.sum().backward(); see(x.grad)
== a view looked at first under no_grad, after its base was written
y = x * 2; v = y[:2]; y.mul_(3)
with torch.no_grad(): see(v.grad_fn is None, v[0].item())
(v * v).sum().backward(); see(x.grad)
== enable_grad inside no_grad
with torch.no_grad():
    with torch.enable_grad(): y = x * 2; y.add_(1)
see(y)
== double backward through in place
y = x * x; y.mul_(x); g, = torch.autograd.grad(y.sum(), x, create_graph=True); see(g.detach())
g.sum().backward(); see(x.grad)
== double backward through assignment
y = x * x; y[0] = x[1] * x[2]; g, = torch.autograd.grad((y * y).sum(), x, create_graph=True)
see(g.detach()); g.sum().backward(); see(x.grad)
== double backward through a view written
y = x * x; y[1:].mul_(x[:2]); g, = torch.autograd.grad((y * y).sum(), x, create_graph=True)
see(g.detach()); g.sum().backward(); see(x.grad)
== double backward through exp in place
y = x * x; y.exp_(); g, = torch.autograd.grad(y.sum(), x, create_graph=True); g.sum().backward()
see(x.grad)
== double backward through scatter_add in place
y = x * x; y.scatter_add_(0, torch.tensor([0, 0, 1]), x * x * x)
g, = torch.autograd.grad((y * y).sum(), x, create_graph=True); g.sum().backward(); see(x.grad)
== gradient with respect to an intermediate that was overwritten
y = x * 2; z = y.add_(1); see(z is y); g, = torch.autograd.grad(y.sum(), y); see(g.tolist())
== gradient of the value before the write is gone
y = x * 2; s = (y * 3).sum(); y.zero_(); s.backward(); see(x.grad)
== retain_grad before a write
y = x * 2; y.retain_grad(); y.mul_(3); y.sum().backward(); see(y.grad, x.grad)
== retain_grad after a write
y = x * 2; y.mul_(3); y.retain_grad(); y.sum().backward(); see(y.grad, x.grad)
== hook before a write
seen = []; y = x * 2; y.register_hook(lambda g: seen.append(g.tolist())); y.mul_(3)
y.sum().backward(); see(seen, x.grad)
== hook after a write
seen = []; y = x * 2; y.mul_(3); y.register_hook(lambda g: seen.append(g.tolist()))
y.sum().backward(); see(seen, x.grad)
== second backward through assignment
y = x * 2; y[0] = 1.; y.sum().backward(retain_graph=True); y.sum().backward(); see(x.grad)
== second backward through saved index
y = x[torch.tensor([0, 1])]; y.sum().backward(); fails(lambda: y.sum().backward())
== second backward through a view saves nothing
y = x[1:]; z = y.sum(); z.backward(); z.backward(); see(x.grad)
== leaf flags
y = x * 2; z = y[:1]; d = y.detach()
see(x.is_leaf, y.is_leaf, z.is_leaf, d.is_leaf, x[0].is_leaf, torch.zeros(1).is_leaf)
== flags after writes
y = torch.zeros(3); see(y); y.add_(x); see(y); v = y[:1]; see(v)
== view of a plain base before and after a write
y = torch.zeros(3); v = y[:2]; see(v); y.add_(x); see(v)
== names of views
y = x * 1; m = y.expand(2, 3)
see(y.view(3, 1), y.reshape(1, 3), m.t(), m.transpose(0, 1), m.permute(1, 0))
see(y.unsqueeze(0), y.view(1, 3).squeeze(0), m)
== names of more views
m = (x * 1).expand(3, 3).clone()
see(m[0], m[1:], m[None], m[...], m.diagonal(), m.narrow(0, 0, 1), m.select(1, 1))
see(m.flatten(), m.unfold(0, 2, 1), m.view_as(m))
== names of splits
m = (x * 1).expand(3, 3).clone()
see(m.split(2), m.chunk(3), m.unbind(1), m.tensor_split(2))
== names after writes
y = x * 1; y.add_(1); see(y.grad_fn.name()); y[0] = 2.; see(y.grad_fn.name()); y[[0]] = 2.
see(y.grad_fn.name())
== edges after a write
y = x * 2; y.mul_(3); see([type(n[0]).__name__ for n in y.grad_fn.next_functions])
== edges of copy slices
y = x * 2; y[0] = x[1]; see([type(n[0]).__name__ for n in y.grad_fn.next_functions])
== edges of copy slices of a plain base
y = torch.zeros(3); y[0] = x[1]; see([type(n[0]).__name__ for n in y.grad_fn.next_functions])
== edges of copy slices without a source
y = x * 2; y[0] = 1.; see([type(n[0]).__name__ for n in y.grad_fn.next_functions])
== grad is not touched by later writes to it
(x * x).sum().backward(); g = x.grad; (x * x).sum().backward(); see(g is x.grad, g)
== grad set to none
(x * x).sum().backward(); g = x.grad; x.grad = None; (x * x).sum().backward()
see(g is x.grad, g, x.grad)
== grad zeroed in place
(x * x).sum().backward(); x.grad.zero_(); (x * x).sum().backward(); see(x.grad)
== incoming gradient is not aliased
y = x * 1; g = torch.ones(3); y.backward(g); g.zero_(); see(x.grad)
== gradients of one sum are apart
w = torch.zeros(3, requires_grad=True); (x + w).sum().backward(); x.grad.zero_(); see(w.grad)
== data replaced on a leaf
x.data = torch.tensor([5., 6., 7.]); see(x); (x * x).sum().backward(); see(x.grad)
== data of a computed tensor
y = x * 2; y.data.zero_(); see(y); (y * 1).sum().backward(); see(x.grad)
== complex views written
c = torch.complex(x, x * 2); c.real.mul_(2); see(c); c.abs().sum().backward(); see(x.grad)
== view_as_real of what requires grad
c = torch.complex(x, x * 2); r = torch.view_as_real(c); r.mul_(2); see(r); r.sum().backward()
see(x.grad)
== imag written with what requires grad
c = torch.zeros(3, dtype=torch.complex64); c.imag.copy_(x); see(c)
torch.view_as_real(c).sum().backward(); see(x.grad)
== half precision views written
h = x.half() * 1; h[0] = 2.; h[1:].mul_(2); see(h); h.sum().backward(); see(x.grad)
== shape changing in place keeps history
y = x * 2; y.unsqueeze_(0); see(y.tolist(), y.requires_grad); y.sum().backward(); see(x.grad)
== transpose in place keeps history
y = (x * 2).view(1, 3).clone(); y.t_(); see(y.tolist(), y.requires_grad)
(y * torch.tensor([[1.], [2.], [3.]])).sum().backward(); see(x.grad)
== set_ of a leaf
with torch.no_grad(): x.set_(torch.tensor([7., 8.]))
see(x)
== random in place
y = x * 2; y.uniform_(0, 1); see(y.grad_fn is not None, y.requires_grad); y.sum().backward()
see(x.grad)
== random in place on a leaf
fails(lambda: x.normal_())
== dropout in place
y = x * 2; torch.nn.functional.dropout(y, 0., True, True); see(y); y.sum().backward(); see(x.grad)
== relu in place of a saved output
y = x.sqrt(); z = torch.nn.functional.relu(y, inplace=True); fails(lambda: z.sum().backward())
== in place on an output that nobody saved
y = x + 1; z = torch.nn.functional.relu(y, inplace=True); see(z is y); z.sum().backward()
see(x.grad)
== out= shares the given memory
y = torch.zeros(3); z = torch.add(torch.ones(3), 1, out=y); see(z is y, y)
== out= refuses gradients
y = torch.zeros(3); outer = []
for f in (lambda: torch.add(x, 1, out=y), lambda: torch.exp(torch.zeros(3), out=x)):
    try: f()
    except RuntimeError as e: outer.append("don't support automatic differentiation" in str(e))
see(outer, y)
== out= of a view
y = torch.zeros(4); torch.mul(torch.ones(2), 3, out=y[1:3]); see(y)
== optimizer step by hand
w = torch.tensor([1., 1., 1.], requires_grad=True)
for _ in range(3):
    loss = ((w - x.detach()) ** 2).sum(); loss.backward()
    with torch.no_grad(): w -= 0.1 * w.grad; w.grad.zero_()
see(w)
== parameter written under no_grad
p = torch.nn.Parameter(torch.zeros(2))
with torch.no_grad(): p[0] = 3.; p.add_(1)
see(p, type(p).__name__); fails(lambda: p.add_(1))
== custom function output written
class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a): return a * 2
    @staticmethod
    def backward(ctx, g): return g * 2
y = Double.apply(x); y.add_(1); see(y); y.sum().backward(); see(x.grad)
== custom function that marks its input dirty
class AddOne(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        a.add_(1); ctx.mark_dirty(a); return a
    @staticmethod
    def backward(ctx, g): return g * 3
y = x * 2; z = AddOne.apply(y); see(z is y, z); z.sum().backward(); see(x.grad)
== a failed write changes nothing
y = x * 2; before = y._version
fails(lambda: y.add_(torch.zeros(2)))
fails(lambda: y.index_add_(0, torch.tensor([5]), torch.ones(1)))
see(y, y._version == before); y.sum().backward(); see(x.grad)
== a failed assignment changes nothing
y = x * 2
def write(): y[5] = 1.
def rows(): y[torch.tensor([9, 0])] = 1.
def shape(): y[:2] = torch.zeros(3)
fails(write); fails(rows); fails(shape); see(y)
== inference tensors
with torch.inference_mode(): y = torch.ones(3) * 2; y.add_(1)
see(y.tolist(), y.requires_grad)
== views in inference mode
y = torch.ones(3)
with torch.inference_mode(): v = y[:2]; v.add_(1)
see(y.tolist()); y.mul_(2); see(y.tolist())

-- x = torch.arange(24.).view(2, 3, 4).requires_grad_(); T = torch.tensor
== basic indices
for i in (0, -1, (0, 1), (0, 1, 2), ..., slice(None), (slice(None),) * 2, (), slice(0, 1), None):
    fails(lambda: x[i])
== basic indices in a row
s = slice(0, 1)
for i in ((s, 0), (0, s), (None, 0), (0, None), (..., 0), (0, ...), (..., None), (..., 0, s)):
    fails(lambda: x[i])
== slices
for i in (slice(None, None, 2), slice(1, 0), slice(5, 9), slice(-100, 100), slice(T(1), T(2))):
    fails(lambda: x[i])
== truth values as indices
for i in (True, False, (True, 0), (0, True), (0, False, 1), T(True), T(False), (True, [0, 1])):
    fails(lambda: x[i])
== numbers as tensors and arrays
for i in (T(1), (T(1), 0), T(1, dtype=torch.int8), np.array(1), np.int64(1), np.uint8(1)):
    fails(lambda: x[i])
== index tensors
for i in (T([0, 1]), T([0, -1]).int(), [0, 1], [[0, 1]], range(2), np.array([0, 1]), []):
    fails(lambda: x[i])
== index tensors among others
i = T([0, 1])
for j in ((0, slice(None), i), (i, slice(None), i), (i, slice(None), 0), (slice(None), i, 0)):
    fails(lambda: x[j])
== index tensors among new dimensions
i = T([0, 1])
for j in ((i, None, i), (None, i), (i, None), (i, ..., i), (i, True), (i[:, None], i)):
    fails(lambda: x[j])
== masks
m = x[0] > 9
for i in ([True, False], x > 9, m, (slice(None), m), ([True, False], [0]), T([1, 0]).byte()):
    fails(lambda: x[i])
== indices out of range
for i in (5, -3, (0, 7), (None, 5), T([0, 7]), (slice(None), T([0, 7])), (0, T([0, 7])), T(5)):
    fails(lambda: x[i])
== too many indices
v = x[0, 0, 0]
for i in ((0, 1, 2, 3), (slice(None),) * 4, torch.ones(2, 3, 4, 1) > 0): fails(lambda: x[i])
for i in (0, slice(None), (0, 0)): fails(lambda: v[i])
for i in ((), ..., None, True): fails(lambda: v[i])
== what is no index
for i in (0.5, 1j, {}, np.float64(1), T(1.), T([0., 1.]), T([0]).short(), slice(1., None)):
    fails(lambda: x[i])
== wrong steps and masks
for i in (slice(None, None, -1), slice(None, None, 0), [True, False, True], x[:1] > 0):
    fails(lambda: x[i])
for i in (([0, 1], [0, 1, 2]), (0, [0, 1], [True, True])): fails(lambda: x[i])

-- T = torch.tensor
== assigning numbers
for v in (1, True, 2.5, 1j, 1e300, float("nan"), np.float64(1.5), "a", [1, 2], None):
    x = torch.zeros(3, 2)
    def write(): x[0] = v
    fails(write); see(x)
== assigning numbers to integers
for v in (300, -1, 1.7, float("inf"), 2**40, True, 1j):
    for kind in (torch.uint8, torch.int64, torch.bool):
        x = torch.zeros(2, dtype=kind)
        def write(): x[0] = v
        fails(write); see(x)
== assigning tensors
for v in (T([1., 2.]), T([1, 2]), T([[1, 2]]), T([[[1, 2]]]), T([[1, 2], [3, 4]]), T([1, 2, 3])):
    x = torch.zeros(3, 2)
    def write(): x[0] = v
    fails(write); see(x)
== assigning tensors to an element
for v in (T(5), T([[5]]), T([5, 6]), T([]), T(1j), T(True)):
    x = torch.zeros(3, 2)
    def write(): x[0, 0] = v
    fails(write); see(x)
== assigning tensors to rows
ones = torch.ones(3, 2)
for v in (3, T(3.), T(3), T([1., 2.]), T([1, 2]), ones, ones[:1, None], ones[0].double()):
    x = torch.zeros(3, 2)
    def write(): x[[0, 1]] = v
    fails(write); see(x)
== assigning tensors to a mask
for v in (3, T(3), T([3]), torch.arange(6.), torch.arange(6), torch.arange(5.)):
    x = torch.zeros(3, 2)
    def write(): x[x == 0] = v
    fails(write); see(x)
== places to assign to
m = T([True, False, True])
for i in (True, False, ..., (), None, (None, 0), T(0), (T(0), T([1])), T([0, 0]), m, (m, 0)):
    x = torch.zeros(3, 2)
    x[i] = 1
    see(x)
== places that cannot be assigned to
for i in (5, [5], (0, 0, 0), slice(None, None, -1), 1.5, T([True, False]), ([0, 1], [0, 1, 1])):
    x = torch.zeros(3, 2)
    def write(): x[i] = 1.
    fails(write); see(x)
== nothing to assign to
x = torch.zeros(3); x[1:1] = T([]); x[T([]).long()] = 1.; see(x)
def write(): x[1:1] = T([1., 2.])
def rows(): x[T([]).long()] = torch.ones(2)
fails(write); fails(rows)
== assigning to a number
for i in (..., (), True, None, T(True)):
    x = T(3.)
    x[i] = 1
    see(x)
for i in (0, slice(None)):
    def write(): x[i] = 1
    fails(write)
== deleting
x = torch.zeros(2)
def delete(): del x[0]
fails(delete)
"""


def programs() -> list[dict]:
    """The programs by name, each with its group's beginning."""
    found: list[dict] = []
    start = ""
    for line in PROGRAMS.strip().splitlines():
        if line.startswith("--"):
            start = line[2:].strip()
        elif line.startswith("=="):
            found.append({"name": line[2:].strip(), "source": start})
        elif line.strip():
            found[-1]["source"] += "\n" + line
    assert len({p["name"] for p in found}) == len(found)
    return found


def render(cases: list[dict]) -> str:
    """One case a line, so that a difference is a line too."""
    lines = ",\n".join(json.dumps(case) for case in cases)
    return f'{{"torch": "{torch.__version__}", "cases": [\n{lines}\n]}}\n'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the stored file")
    check = parser.parse_args().check
    cases = [{**p, "seen": observe(p["source"], torch)} for p in programs()]
    if not check:
        GOLDEN.write_text(render(cases))
        print(f"wrote {len(cases)} cases to {GOLDEN}")
        return 0
    stored = json.loads(GOLDEN.read_text())["cases"]
    changed = [new["name"] for new, old in zip(cases, stored, strict=False) if new != old]
    print(
        f"{len(cases)} cases now, {len(stored)} stored, {len(changed)} differ",
        *changed[:9],
        sep="\n",
    )
    return int(cases != stored)


if __name__ == "__main__":
    sys.exit(main())
