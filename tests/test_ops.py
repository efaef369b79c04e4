"""Every row of the op table held to torch's results, finite differences and its other forms."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import chainrule

from . import differences, golden_ops
from .op_table import (
    Constant,
    Row,
    arrays_in,
    differentiable,
    each,
    edges,
    find,
    fingerprint,
    has_edges,
    numpy_dtype,
    samples_of,
    show,
)
from .rows import families

TOLERANCE = {
    "float16": 1e-3,
    "bfloat16": 8e-3,
    "float32": 2e-6,
    "float64": 4e-15,
    "complex64": 4e-6,
    "complex128": 8e-15,
}
GRADIENT_TOLERANCE = {"float16": 1e-2, "bfloat16": 8e-2, "float32": 1e-5, "complex64": 2e-5}
pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning"
)  # torch's own, as for casts that drop the imaginary part
ORDINARY_ERRORS = (RuntimeError, IndexError, ValueError, TypeError)
TABLE = [
    (family, key, row)
    for family, rows in families().items()
    for key, row in zip(golden_ops.keys(rows), rows, strict=True)
]


@functools.cache
def golden(family: str) -> dict:
    """What torch gave, by row."""
    return golden_ops.read(family)


def each_row(wanted: Callable[[Row], bool] = lambda row: True) -> Any:
    """Run a test for every row."""
    cases = [pytest.param(family, key, row, id=key) for family, key, row in TABLE if wanted(row)]
    return pytest.mark.parametrize(("family", "key", "row"), cases)


def each_dtype() -> Any:
    """Run a test for every row and dtype."""
    cases = [
        pytest.param(family, key, row, dtype, id=f"{key}-{dtype}")
        for family, key, row in TABLE
        for dtype in row.dtypes
    ]
    return pytest.mark.parametrize(("family", "key", "row", "dtype"), cases)


def golden_entry(family: str, key: str, row: Row, dtype: str = "") -> dict:
    """What torch gave for a row's samples, as they are now."""
    entry = golden(family).get(key, {})
    dtype = dtype or entry.get("main", "")
    if not dtype or entry["crc"].get(dtype) != fingerprint(row, dtype):
        pytest.fail(f"{key}: new samples; run tools/golden_ops.py {family}", pytrace=False)
    return entry


# -- building and calling --------------------------------------------------------------------------


def contiguous(a: np.ndarray) -> np.ndarray:
    """A copy in row-major order."""
    return np.array(a, subok=True, order="C")


def strided(a: np.ndarray) -> np.ndarray:
    """A copy that lies in memory with gaps, its first and last dimension exchanged."""
    if not a.ndim:
        return np.array([a, a])[1:].reshape(())
    turned = a.swapaxes(0, -1)
    return np.repeat(turned, 2, axis=-1)[..., ::2].swapaxes(0, -1)


def built(sample: tuple, layout: Callable = contiguous, grad_dtype: str = "") -> tuple[tuple, dict]:
    """A sample's arguments with tensors, which require grad if `grad_dtype` is given."""

    def make(a: np.ndarray) -> Any:
        return differences.tensor(np.asarray(layout(a))).requires_grad_(
            bool(grad_dtype) and differentiable(a, grad_dtype)
        )

    return each(make, sample)


def called(f: Callable, sample: tuple) -> Any:
    """f of the sample, from the same random state each time."""
    chainrule.manual_seed(0)
    return f(*sample[0], **sample[1])


def function_of(row: Row) -> Callable:
    """The public function of a row; one that writes is given copies, as leaves are read-only."""
    f = find(chainrule, row.name)
    if not row.name.endswith("_"):
        return f
    return lambda *args, **kwargs: f(*copies(args), **copies(kwargs))


def copies(x: Any) -> Any:
    """Arguments with clones of the tensors among them."""
    if isinstance(x, chainrule.Tensor):
        return x.clone()
    if isinstance(x, dict):
        return {k: copies(v) for k, v in x.items()}
    return type(x)([copies(v) for v in x]) if type(x) in (tuple, list) else x


def tensors_of(sample: tuple) -> list:
    """The tensors among built arguments."""
    return differences.tensors_in([*sample[0], *sample[1].values()])


# -- comparing -------------------------------------------------------------------------------------


def plain(result: Any) -> Any:
    """A result as arrays and Python values, as the golden files have them."""
    if isinstance(result, chainrule.Tensor):
        return result.detach().numpy()
    if isinstance(result, (tuple, list)):
        return [plain(r) for r in result]
    return result if isinstance(result, (bool, int, str, type(None))) else repr(result)


def difference(got: Any, expected: Any, tolerance: float, values: bool = True) -> str | None:
    """In what way a result is not the expected one."""
    mine, theirs = list(golden_ops.leaves(got)), list(golden_ops.leaves(expected))
    if len(mine) != len(theirs):
        return f"{len(mine)} results where {len(theirs)} were expected"
    found = (_unlike(m, t, tolerance, values) for m, t in zip(mine, theirs, strict=True))
    return next((f"result {i}: {text}" for i, text in enumerate(found) if text), None)


def _unlike(m: Any, t: Any, tolerance: float, values: bool) -> str | None:
    if not isinstance(t, np.ndarray):
        return (
            None if not isinstance(m, np.ndarray) and m == t else f"{m!r} where {t!r} was expected"
        )
    if not isinstance(m, np.ndarray):
        return f"{m!r} where a tensor was expected"
    if (m.dtype, m.shape) != (t.dtype, t.shape):
        return f"{m.dtype.name}{list(m.shape)} where {t.dtype.name}{list(t.shape)} was expected"
    return values_differ(m, t, max(tolerance, TOLERANCE.get(t.dtype.name, 0))) if values else None


def values_differ(m: np.ndarray, t: np.ndarray, tolerance: float) -> str | None:
    """The worst element, if one is off by more than `tolerance` of max(|it|, |largest| / 10)."""
    if t.dtype.kind in "iub":
        bad = m != t
        off = bad.astype(float)
    else:
        m, t = (a.astype(np.complex128 if a.dtype.kind == "c" else np.float64) for a in (m, t))
        off = _distance(m, t, tolerance)
        bad = ~(off <= 1)
    if not bad.any():
        return None
    place = np.unravel_index(np.argmax(np.where(np.isnan(off), np.inf, off)), t.shape)
    at = f" at {tuple(map(int, place))}" if t.ndim else ""
    count = f"{int(bad.sum())} of {t.size} elements differ"
    return f"{m[place]!r}{at} where {t[place]!r} was expected ({count})"


def _distance(m: np.ndarray, t: np.ndarray, tolerance: float) -> np.ndarray:
    """How far off each element is, in tolerances; infinities and nan must stand where they do."""
    if t.dtype.kind == "c":
        return np.maximum(
            _distance(m.real, t.real, tolerance), _distance(m.imag, t.imag, tolerance)
        )
    finite = np.isfinite(t)
    scale = np.max(np.abs(t), initial=0, where=finite)
    with np.errstate(all="ignore"):
        off = np.abs(m - t) / (tolerance * np.maximum(np.abs(t), 0.1 * scale) + 1e-300)
    same = (m == t) | (np.isnan(m) & np.isnan(t))
    return np.where(same, 0, np.where(finite, off, np.inf))


def report(row: Row, dtype: str, complaints: Iterator[tuple[int, tuple, str | None]]) -> None:
    """Fail with the samples that something is wrong with."""
    lines = [f"sample {i} {show(sample)}: {text}" for i, sample, text in complaints if text]
    if lines:
        more = f"\n... and {len(lines) - 5} more samples" if len(lines) > 5 else ""
        pytest.fail(f"{row.name} in {dtype}\n" + "\n".join(lines[:5]) + more, pytrace=False)


def tolerance_of(row: Row, dtype: str) -> float:
    return row.tolerance.get(dtype, TOLERANCE.get(dtype, 0))


# -- the tests -------------------------------------------------------------------------------------


def test_there_are_rows():
    assert len(TABLE) > 300


@each_dtype()
def test_value(family: str, key: str, row: Row, dtype: str):
    """Values, dtypes and shapes are torch's; so with strided inputs; inputs are left alone."""
    entry = golden_entry(family, key, row, dtype)
    f, tolerance = function_of(row), tolerance_of(row, dtype)

    def complaints() -> Iterator:
        for i, (sample, expected) in enumerate(
            zip(samples_of(row, dtype), entry["results"][dtype], strict=True)
        ):
            for layout in (
                (contiguous, strided)
                if row.strided and dtype in ("float32", "int64", "complex64")
                else (contiguous,)
            ):
                yield i, sample, compare_call(f, row, sample, layout, expected, tolerance)

    report(row, dtype, complaints())


def compare_call(
    f: Callable, row: Row, sample: tuple, layout: Callable, expected: Any, tolerance: float
) -> str | None:
    """Call with inputs of a layout; compare the result, and the inputs with what they were."""
    given = built(sample, layout)
    before = [t.numpy().tobytes() for t in tensors_of(given)]
    try:
        result = plain(called(f, given))
    except Exception as e:
        return f"{layout.__name__} inputs: raised {type(e).__name__}: {e}"
    if [t.numpy().tobytes() for t in tensors_of(given)] != before:
        return "an input was changed"
    text = difference(result, expected, tolerance, row.values)
    return text and f"{layout.__name__} inputs: {text}"


@each_row(lambda row: row.values)
def test_forms(family: str, key: str, row: Row):
    """The method, the in-place variant and `out=` give the same, where torch has them."""
    entry = golden_entry(family, key, row)
    dtype = entry["main"]
    results, tolerance = entry["results"][dtype], tolerance_of(row, dtype)
    name = row.name.rpartition(".")[2]
    calls = {
        "m": ("as a method", lambda sample: method(name, sample)),
        "i": ("in place", lambda sample: in_place(name, sample)),
        "o": ("with out=", lambda sample: with_out(row, sample)),
    }

    def complaints() -> Iterator:
        for i, (sample, forms) in enumerate(
            zip(samples_of(row, dtype), entry["forms"], strict=True)
        ):
            for form in forms:
                words, call = calls[form]
                yield i, sample, attempt(words, call, sample, results[i], tolerance)
            if "i" in forms and row.grad and dtype in GRADIENT_TOLERANCE:
                yield i, sample, gradient_in_place(row, sample, dtype)

    report(row, dtype, complaints())


def gradient_in_place(row: Row, sample: tuple, dtype: str) -> str | None:
    """How the gradient of the in-place variant differs from that of the function."""
    inputs = [np.array(a) for a in arrays_in(sample) if differentiable(a, dtype)]
    name = row.name.rpartition(".")[2] + "_"

    def written(x: Any, *rest: Any, **kwargs: Any) -> Any:
        return getattr(x.clone(), name)(*rest, **kwargs)

    try:
        got = gradient_of(as_function(written, sample, dtype), inputs)
        expected = gradient_of(as_function(function_of(row), sample, dtype), inputs)
    except Exception as e:
        return f"in place, differentiated: raised {type(e).__name__}: {e}"
    text = difference(got, expected, GRADIENT_TOLERANCE[dtype])
    return text and f"in place, differentiated: {text}"


def attempt(
    words: str, call: Callable, sample: tuple, expected: Any, tolerance: float
) -> str | None:
    """What is wrong with another form of a call."""
    try:
        text = difference(plain(call(sample)), expected, tolerance)
    except Exception as e:
        text = f"raised {type(e).__name__}: {e}"
    return text and f"{words}: {text}"


def method(name: str, sample: tuple) -> Any:
    """The call as a method of its first argument."""
    return called(lambda x, *rest, **kwargs: getattr(x, name)(*rest, **kwargs), built(sample))


def in_place(name: str, sample: tuple) -> Any:
    """The call in place: it returns the tensor it wrote, whose version goes up."""
    args, kwargs = built(sample)
    x, before = args[0], args[0]._version
    result = called(lambda *a, **k: getattr(x, name + "_")(*a[1:], **k), (args, kwargs))
    assert result is x, "another tensor is returned"
    assert x._version > before or not x.numel(), "the version did not go up"
    return result


def with_out(row: Row, sample: tuple) -> Any:
    """The call with an empty `out=`, which is returned."""
    args, kwargs = built(sample)
    dtype = called(find(chainrule, row.name), (args, kwargs)).dtype
    out = chainrule.empty(0, dtype=dtype)
    result = called(lambda *a, **k: find(chainrule, row.name)(*a, out=out, **k), (args, kwargs))
    assert result is out, "another tensor than out is returned"
    return result


@each_row(has_edges)
def test_edges(family: str, key: str, row: Row):
    """Arrays of no dimension and of no elements give what they give in torch.

    What torch refuses may be computed here, or refused in plain words.
    """
    entry = golden_entry(family, key, row)
    dtype = entry["main"]
    calls = enumerate(zip(edges(row, dtype), entry["edges"], strict=True))
    report(row, dtype, ((i, s, at_edge(row, s, expected, dtype)) for i, (s, expected) in calls))


def at_edge(row: Row, sample: tuple, expected: Any, dtype: str) -> str | None:
    """What is wrong with the result, or the refusal, at an edge."""
    try:
        got = plain(called(function_of(row), built(sample)))
    except Exception as e:
        ordinary = isinstance(e, ORDINARY_ERRORS) or {"error": type(e).__name__} == expected
        return (
            None if ordinary and isinstance(expected, dict) else f"raised {type(e).__name__}: {e}"
        )
    return (
        None if isinstance(expected, dict) else difference(got, expected, tolerance_of(row, dtype))
    )


@each_row()
def test_history(family: str, key: str, row: Row):
    """The grad_fn has torch's name, and results share memory with inputs where they do in torch."""
    entry = golden_entry(family, key, row)
    dtype = entry["main"]
    samples = samples_of(row, dtype)

    def complaints() -> Iterator:
        for i, (sample, node) in enumerate(
            zip(samples, entry.get("nodes", ()), strict=bool(entry.get("nodes")))
        ):
            got = node_of(row, built(sample, contiguous, dtype))
            known = got == node or (not row.exact_node and (got is not None or node is None))
            yield i, sample, None if known else f"grad_fn {got} where {node} was expected"
        for i, (sample, shares) in enumerate(zip(samples, entry["shares"], strict=True)):
            got = shares_memory(row, built(sample))
            yield (
                i,
                sample,
                (
                    None
                    if got == shares
                    else f"the result {'shares' if got else 'does not share'} memory with an input"
                ),
            )

    report(row, dtype, complaints())


def node_of(row: Row, given: tuple) -> str | None:
    """The name of the first output's grad_fn."""
    first = differences.tensors_in(called(function_of(row), given))[:1]
    return first[0].grad_fn.name() if first and first[0].grad_fn is not None else None


def shares_memory(row: Row, given: tuple) -> bool:
    """Whether the first output looks at the memory of an input."""
    outs = differences.tensors_in(called(find(chainrule, row.name), given))[:1]
    return any(
        np.shares_memory(o.detach().numpy(), t.numpy())
        for o in outs
        for t in tensors_of(given)
        if o.numel() and t.numel()
    )


@each_row(lambda row: row.grad)
def test_gradient(family: str, key: str, row: Row):
    """First and second derivatives are those of finite differences."""
    for dtype in ("float64", *(("complex128",) if row.complex_grad else ())):
        complaints = (
            (i, sample, checked(row, sample, dtype))
            for i, sample in enumerate(samples_of(row, dtype))
        )
        report(row, dtype, complaints)


def checked(row: Row, sample: tuple, dtype: str, second: bool = True) -> str | None:
    """What finite differences say about the gradients of one call, and about their gradients."""
    tolerance = row.tolerance.get("gradient", 2e-6)
    inputs = [a for a in arrays_in(sample) if differentiable(a, dtype)]
    try:
        return differences.check(
            as_function(function_of(row), sample, dtype), inputs, tolerance, second
        )
    except Exception as e:
        return f"raised {type(e).__name__}: {e}"


def as_function(f: Callable, sample: tuple, dtype: str) -> Callable:
    """The call as a function of the tensors it is differentiated in."""

    def function(*tensors: Any) -> Any:
        given = iter(tensors)

        def put(a: np.ndarray) -> Any:
            return next(given) if differentiable(a, dtype) else differences.tensor(np.array(a))

        return called(f, each(put, sample))

    return function


@each_row(lambda row: row.grad)
def test_gradient_in_every_precision(family: str, key: str, row: Row):
    """Gradients in lower precision are close to those of the same numbers in double precision."""
    for dtype in row.dtypes:
        if dtype in GRADIENT_TOLERANCE:
            complaints = (
                (i, sample, imprecision(row, sample, dtype))
                for i, sample in enumerate(samples_of(row, dtype))
            )
            report(row, dtype, complaints)


def imprecision(row: Row, sample: tuple, dtype: str) -> str | None:
    """How the gradient of a call differs from that in double precision."""
    double = "complex128" if dtype.startswith("complex") else "float64"
    inputs = [np.array(a) for a in arrays_in(sample) if differentiable(a, dtype)]
    wide = each(
        lambda a: (
            a.astype(numpy_dtype(double)) if differentiable(a, dtype) or type(a) is Constant else a
        ),
        sample,
    )
    try:
        got = gradient_of(as_function(function_of(row), sample, dtype), inputs)
        expected = gradient_of(
            as_function(function_of(row), wide, double),
            [x.astype(numpy_dtype(double)) for x in inputs],
        )
    except Exception as e:
        return f"raised {type(e).__name__}: {e}"
    wrong = next(
        (f"a gradient in {g.dtype.name}" for g in got if g.dtype != numpy_dtype(dtype)), None
    )
    tolerance = row.tolerance.get(f"{dtype} gradient", GRADIENT_TOLERANCE[dtype])
    return wrong or difference(
        got, [e.astype(g.dtype) for e, g in zip(expected, got, strict=True)], tolerance
    )


def gradient_of(function: Callable, inputs: list) -> list:
    """The gradients of a weighted sum of the outputs; the weights are whole numbers."""
    xs = differences.leaves(inputs)
    outs = differences.outputs_of(function, xs)
    if not outs or not xs:
        return []
    random = np.random.RandomState(7)
    weights = [
        differences.tensor(random.randint(-4, 5, o.shape).astype(o.detach().numpy().dtype))
        for o in outs
    ]
    grads = chainrule.autograd.grad(outs, xs, weights, materialize_grads=True)
    return [g.numpy() for g in grads]


@pytest.mark.parametrize(
    ("call", "kind", "pattern"),
    [
        pytest.param(*error, id=f"{key}-{i}")
        for _, key, row in TABLE
        for i, error in enumerate(row.errors)
    ],
)
def test_error(call: Callable, kind: type, pattern: str):
    """Bad input raises torch's class of error and its words."""
    with pytest.raises(kind, match=pattern):
        call(chainrule)


@pytest.mark.parametrize("shape, dim", [((5000, 2), 0), ((3, 3000, 40), 1), ((3000, 4, 5), (0, 2))])
def test_sums_of_many_rows_round_little(shape, dim):
    x = (
        chainrule.sin(chainrule.arange(math.prod(shape), dtype=chainrule.float64)).reshape(shape)
        + 1
    )
    short = x.float()
    slope = chainrule.zeros_like(short.sum(dim, keepdim=True), requires_grad=True)
    (slope * short).sum().backward()
    sums = (short.sum(dim), short.mean(dim) * (x.numel() / x.sum(dim).numel()), slope.grad)
    for found in sums:
        error = (found.reshape(-1) - x.sum(dim).reshape(-1)).abs().max() / x.sum(dim).max()
        assert error < 6e-7
    assert chainrule.allclose(short.var(dim).double(), x.var(dim), rtol=6e-7)


@pytest.mark.parametrize("shape", [(70001, 2), (1, 2), (70001, 1), (1, 1)])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_sums_of_broadcast_and_transposed_arrays_round_little(shape, dtype):
    """The gradient of a number that was repeated is such a sum, of equal terms or of columns."""
    numbers = 0.1 + chainrule.arange(math.prod(shape), dtype=chainrule.float64).sin() ** 2
    x = numbers.reshape(shape).to(getattr(chainrule, dtype)).expand(70001, 2)
    column = x[:, 0]
    cases = (
        (x, 0, column),
        (x.t(), 1, column),
        (x.flip(0), 0, column),
        (x.expand(3, -1, -1), 1, column),
        (x, (0, 1), x),
    )
    for y, dim, terms in cases:
        found = y.sum(dim).reshape(-1)[0].item()
        assert found.real == pytest.approx(math.fsum(terms.real.reshape(-1).tolist()), rel=1e-14)


@pytest.mark.parametrize("shape, dim", [((), 0), ((1,), 0), ((1, 3), 0), ((3, 1), 1), ((4,), 0)])
@pytest.mark.parametrize("name", ["sum", "mean", "nansum"])
def test_no_sum_is_negative_zero(name: str, shape: tuple, dim: int):
    x = -chainrule.zeros(shape)
    for f in (lambda x: getattr(x, name)(dim), chainrule.compile(lambda x: getattr(x, name)(dim))):
        for _ in range(2):
            assert not f(x).signbit().any()


def test_softmax_norms_and_similarities_over_many_rows_round_little():
    F = chainrule.nn.functional
    x = (chainrule.arange(140002, dtype=chainrule.float64).sin() + 1.5).reshape(70001, 2)
    rows = x.t().contiguous()
    for f in (
        lambda x, dim: x.softmax(dim),
        lambda x, dim: x.log_softmax(dim),
        lambda x, dim: x.norm(dim=dim),
        lambda x, dim: x.norm(3, dim=dim),
        lambda x, dim: F.cosine_similarity(x, x * x, dim=dim),
    ):
        found, expected = f(x, 0), f(rows, 1)
        expected = expected.t() if expected.ndim == 2 else expected
        assert ((found - expected) / expected).abs().max() < 5e-15


ONES = {"dot": ((1,), (1,)), "inner": ((1,), (1,)), "mv": ((1, 1), (1,)), "mm": ((1, 1), (1, 1))}


@pytest.mark.parametrize(
    ("name", "shapes", "negative"),
    [(name, shapes, False) for name, shapes in ONES.items()]
    + [
        ("matmul", ((1,), (1, 1)), False),
        ("inner", ((1, 1), (3, 1)), False),
        ("inner", ((2, 1), (3, 1)), True),
        ("mv", ((3, 1), (1,)), False),
        ("mm", ((3, 1), (1, 1)), False),
        ("mm", ((1, 1), (1, 4)), False),
        ("mm", ((3, 1), (1, 4)), True),
        ("matmul", ((2, 3, 1), (1, 4)), True),
        ("nn.functional.linear", ((3, 1), (4, 1)), True),
        ("bmm", ((2, 3, 1), (2, 1, 4)), False),
        ("mm", ((3, 2), (2, 4)), False),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_signs_of_products_that_are_zero(name: str, shapes: tuple, negative: bool, dtype: Any):
    """0 * -1 is -0 in a product of matrices that has one term; other sums begin with 0."""
    call = functools.reduce(getattr, name.split("."), chainrule)
    dtype = getattr(chainrule, dtype)
    x, y = chainrule.zeros(shapes[0], dtype=dtype), -chainrule.ones(shapes[1], dtype=dtype)
    for f in (call, chainrule.compile(call)):
        assert f(x, y).signbit().unique().tolist() == [negative]


@pytest.mark.parametrize("shape", [(), (1,)])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_a_single_target_has_a_single_loss(shape: tuple, reduction: str):
    F, scores, target = (
        chainrule.nn.functional,
        chainrule.ones(16),
        chainrule.full(shape, 3, dtype=chainrule.int64),
    )
    assert F.nll_loss(scores, target, reduction=reduction).tolist() == -1
    loss = F.cross_entropy(scores, target, reduction=reduction)
    assert loss.item() == pytest.approx(math.log(16)) and loss.shape == ()
    with pytest.raises(RuntimeError, match="0D or 1D target tensor expected"):
        F.nll_loss(scores, target.reshape(1, 1), reduction=reduction)


def test_the_integral_over_one_point_is_zero_by_taking_its_ends_away():
    y = chainrule.ones(3, 1, requires_grad=True)
    assert chainrule.trapezoid(y).tolist() == [0, 0, 0]
    chainrule.trapezoid(y).sum().backward()
    assert y.grad.tolist() == [[0], [0], [0]]
    chainrule.trapezoid(y).sqrt().sum().backward()  # inf - inf
    assert y.grad.isnan().all()


def test_gradients_through_nan_to_num_are_multiplied():
    x = chainrule.tensor([1.0, math.inf, math.nan], requires_grad=True)
    (x.nan_to_num() * chainrule.tensor([2.0, 3.0, math.inf])).sum().backward()
    assert x.grad[:2].tolist() == [2, 0] and x.grad[2].isnan()


@pytest.mark.parametrize(
    ("equation", "shapes", "negative"),
    [
        ("i,i->", ((1,), (1,)), True),
        ("ij,j->i", ((3, 1), (1,)), True),
        ("bij,bjk->bik", ((2, 3, 1), (2, 1, 4)), True),
        ("bij,bjk->bik", ((2, 3, 1), (2, 3, 1)), True),
        ("ij,jk->ik", ((3, 2), (2, 4)), False),
    ],
)
def test_signs_of_einsums_that_are_zero(equation: str, shapes: tuple, negative: bool):
    """Where nothing is added up they are products, -0 included."""
    x, y = chainrule.zeros(shapes[0]), -chainrule.ones(shapes[1])
    for f in (chainrule.einsum, chainrule.compile(chainrule.einsum)):
        assert f(equation, x, y).signbit().unique().tolist() == [negative]
