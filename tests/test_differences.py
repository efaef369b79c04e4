"""The checker of derivatives must itself notice mistakes."""

import numpy as np

import chainrule

from . import differences

X = np.array([[0.3, -1.2, 0.7], [1.1, 0.4, -0.9]])


def cube_with(rule):
    class Cube(chainrule.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx, g):
            return rule(g, *ctx.saved_tensors)

    return Cube.apply


def test_right_gradient():
    assert differences.check(cube_with(lambda g, x: 3 * g * x * x), [X]) is None


def test_wrong_factor():
    assert "gradient" in differences.check(cube_with(lambda g, x: 2.99 * g * x * x), [X])


def test_one_wrong_element_is_named():
    bump = np.zeros((2, 3))
    bump[1, 2] = 1e-3
    complaint = differences.check(
        cube_with(lambda g, x: 3 * g * x * x + g * chainrule.from_numpy(bump)), [X]
    )
    assert "(1, 2)" in complaint


def test_right_at_first_order_only():
    complaint = differences.check(cube_with(lambda g, x: 3 * g * (x * x).detach()), [X])
    assert complaint.startswith("second order")


def test_complex_gradient_follows_torch():
    z = X + 1j * X.T.reshape(2, 3)
    square = differences.check(lambda x: x * x, [z])
    assert square is None
    conjugate = cube_with(lambda g, x: 3 * g * x * x)  # lacks the conjugate
    assert "gradient" in differences.check(conjugate, [z])
