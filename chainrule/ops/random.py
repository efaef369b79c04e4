"""Random tensors: torch's functions over the streams of `rng`.

New tensors take `generator=` (the default generator if None); in-place draws fill a tensor in
torch's order whatever its strides, and cut its history.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import devices, dtypes, rng
from ..arrays.duck import Duck, inward, somewhere, vacant
from ..arrays.levels import stack
from ..namespace import preserve_format
from ..rng import Generator, default_generator
from ..tape import state, storage_of
from . import define
from .convert import CHANNELS_LAST
from .define import MOVE, function, op, storage_array, wrap, write_out
from .draws import Draw, check_target, drawn
from .elementwise import keep
from .inplace import check_inplace, forget, store


def get_state(self: Generator) -> Any:
    """The generator's state, as a uint8 tensor of torch's layout."""
    return wrap(_on_stream(self, self.state_bytes))


def set_state(self: Generator, new_state: Any) -> Generator:
    """Go on from a state that `get_state` gave."""
    if not isinstance(new_state, define.Tensor):
        raise TypeError(f"expected a torch.ByteTensor, but got {type(new_state).__name__}")
    _on_stream(self, lambda data: self.set_state_bytes(np.ascontiguousarray(data)), new_state._data)
    return self


def _on_stream(g: Generator, f: Callable, *given: Any) -> Any:
    """f(*given), which asks for a generator's state or sets it; again whenever a program runs."""
    return f(*given) if state.capture is None else state.capture.stream(g, f, *given)


begin = Generator.manual_seed


@functools.wraps(begin)
def begin_again(self: Generator, seed: int) -> Generator:
    if state.capture is None or not hasattr(self, "_seed"):
        return begin(self, seed)

    def started() -> None:  # at once: what draws next may be machine code
        begin(self, seed)
        self.memory()

    _on_stream(self, started)
    return self


Generator.get_state, Generator.set_state = get_state, set_state  # type: ignore[attr-defined]
Generator.manual_seed = begin_again  # type: ignore[method-assign]


@function(method=False)
def manual_seed(seed: int) -> Generator:
    """Start the default generator's stream of `seed`; returns the generator."""
    return default_generator.manual_seed(int(seed) if not isinstance(seed, bool) else seed)


@function(method=False)
def seed() -> int:
    """Seed the default generator from the operating system; returns the seed."""
    return default_generator.seed()


@function(method=False)
def initial_seed() -> int:
    """The seed the default generator was started with."""
    return default_generator.initial_seed()


@function(method=False)
def get_rng_state() -> Any:
    """The default generator's state."""
    return get_state(default_generator)


@function(method=False)
def set_rng_state(new_state: Any) -> None:
    """Let the default generator go on from a saved state."""
    set_state(default_generator, new_state)


# -- draws depend on their parameters, with a derivative of zero -----------------------------------


@op(promote=MOVE, name="bernoulli_draw", namespace="primitive", node="BernoulliBackward0")
def bernoulli_draw(x: Any, /, values: Any) -> Any:
    """The values drawn with the chances `x`."""
    return values


@op(promote=MOVE, name="normal_draw", namespace="primitive", numbers=True, node="NormalBackward3")
def normal_draw(x: Any, y: Any, /, values: Any) -> Any:
    """The values drawn with mean `x` and standard deviation `y`."""
    return values


@bernoulli_draw.vjp
@normal_draw.vjp
def _(g):
    return keep(g, np.zeros(g.shape, bool))


normal_draw.vjp(lambda g: keep(g, np.zeros(g.shape, bool)))


# -- new tensors -----------------------------------------------------------------------------------


def _size(size: Sequence) -> tuple:
    if len(size) == 1 and isinstance(size[0], (tuple, list, define.Tensor)):
        size = tuple(size[0])
    shape = tuple(int(n) for n in size)
    for n in shape:
        if n < 0:
            raise RuntimeError(
                f"Trying to create tensor with negative dimension {n}: {list(shape)}"
            )
    return shape


def _generator(g: Generator | None) -> Generator:
    if g is None:
        return default_generator
    if not isinstance(g, Generator):
        raise TypeError(f"expected a torch.Generator, but got {type(g).__name__}")
    if state.capture is not None:
        state.capture.draws_from(g)
    return g


def _order(x: Any, memory_format: Any = None) -> tuple | None:
    """The axes of a tensor like the array `x`, from the outermost in memory to the innermost; None
    if that is their own order. Numbers are drawn in this order.
    """
    if type(x) is np.ndarray and x.flags.c_contiguous and memory_format is None:
        return None
    if memory_format is not None and memory_format is not preserve_format:
        return CHANNELS_LAST.get(memory_format)
    return None if any(level.randomness for level in stack.levels) else inward(x)


def _drawn_inward(draw: Draw, shape: tuple, order: tuple) -> Any:
    """Draws of a shape whose axes lie in memory in an order that is not theirs."""
    if draw.function is rng.draw_normal:  # in other ways than if they lay row by row
        mean, std = draw.parameters or (0.0, 1.0)
        draw = Draw(draw.function, draw.generator, draw.name, mean, std, False)
    array = drawn(draw, tuple([shape[axis] for axis in order]))
    return array.transpose([order.index(axis) for axis in range(len(order))])


def _new(
    draw: Callable,
    shape: tuple,
    dtype: Any,
    options: dict,
    *parameters: Any,
    singly: bool = False,
    like: Any = None,
) -> Any:
    """A tensor of fresh draws, with the options every factory takes; `like` an array, if given."""
    generator, out = _generator(options.pop("generator", None)), options.pop("out", None)
    requires_grad = options.pop("requires_grad", False)
    devices.check(options.pop("device", None))
    for name in ("layout", "pin_memory", "names"):
        options.pop(name, None)
    memory_format = options.pop("memory_format", None)
    order = None if like is None else _order(like, memory_format)
    if options:
        raise TypeError(f"got an unexpected keyword argument '{next(iter(options))}'")
    if out is not None:
        dtype = out.dtype if dtype is None else dtype
    name = (dtype or dtypes.get_default_dtype()).numpy.name  # which makes bfloat16 known to NumPy
    how = Draw(draw, generator, name, *parameters)
    array = drawn(how, shape, singly=singly) if order is None else _drawn_inward(how, shape, order)
    result = wrap(array if array.ndim else array[()])
    if out is not None:
        return write_out(out, result)
    return result.requires_grad_() if requires_grad else result


def _new_like(input: Any, draw: Callable, dtype: Any, options: dict, *parameters: Any) -> Any:
    x = input._data
    return _new(draw, x.shape, dtype or input.dtype, options, *parameters, like=x)


@function(method=False)
def rand(*size: Any, dtype: Any = None, **options: Any) -> Any:
    """Uniform numbers in [0, 1)."""
    return _new(rng.draw_uniform, _size(options.pop("size", size)), dtype, options)


@function(method=False)
def randn(*size: Any, dtype: Any = None, **options: Any) -> Any:
    """Normal numbers of mean 0 and variance 1."""
    return _new(rng.draw_normal, _size(options.pop("size", size)), dtype, options)


@function(method=False)
def randint(*args: Any, dtype: Any = None, **options: Any) -> Any:
    """Integers in [low, high): randint(high, size) or randint(low, high, size)."""
    names = (
        ("high", "size")
        if len(args) + ("size" in options) + ("high" in options) + ("low" in options) == 2
        else ("low", "high", "size")
    )
    given = dict(zip(names, args, strict=False))
    given.update({k: options.pop(k) for k in ("low", "high", "size") if k in options})
    missing = [n for n in ("high", "size") if n not in given]
    if missing:
        raise TypeError(f"randint() missing required arguments: {', '.join(missing)}")
    low, high = int(given.get("low", 0)), int(given["high"])
    if low >= high:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    return _new(
        rng.draw_integers, _size((given["size"],)), dtype or dtypes.int64, options, low, high
    )


@function(method=False)
def randperm(n: int, *, dtype: Any = None, **options: Any) -> Any:
    """The numbers 0 .. n-1 in random order."""
    if n < 0:
        raise RuntimeError(f"n must be non-negative, got {n}")

    return _new(permutation, (n,), dtype or dtypes.int64, options, singly=True)


def permutation(g: Generator, shape: tuple, name: str) -> np.ndarray:
    """The numbers below shape[0] in random order."""
    return rng.draw_permutation(g, shape[0], name)


@function(method=False)
def rand_like(input: Any, *, dtype: Any = None, **options: Any) -> Any:
    """Uniform numbers in [0, 1), of the shape and dtype of `input`."""
    return _new_like(input, rng.draw_uniform, dtype, options)


@function(method=False)
def randn_like(input: Any, *, dtype: Any = None, **options: Any) -> Any:
    """Normal numbers of mean 0 and variance 1, of the shape and dtype of `input`."""
    return _new_like(input, rng.draw_normal, dtype, options)


@function(method=False)
def randint_like(input: Any, *args: Any, dtype: Any = None, **options: Any) -> Any:
    """Integers in [low, high), of the shape and dtype of `input`: (input, high) or (input, low,
    high).
    """
    bounds = (*args, *(options.pop(k) for k in ("low", "high") if k in options))
    low, high = (0, *bounds)[-2:]
    return _new_like(input, rng.draw_integers, dtype, options, int(low), int(high))


def _tracked(*parameters: Any) -> bool:
    return state.grad and any(isinstance(p, define.Tensor) and p.requires_grad for p in parameters)


@function(method=False)
def normal(
    mean: Any, std: Any = 1.0, size: Any = None, *, dtype: Any = None, **options: Any
) -> Any:
    """Normal numbers: normal(mean, std) with tensors, or normal(mean, std, size) with numbers."""
    if isinstance(mean, define.Tensor) or isinstance(std, define.Tensor):
        around = [p._data if isinstance(p, define.Tensor) else p for p in (mean, std)]
        if any(isinstance(p, define.Tensor) and p._data.dtype.kind == "c" for p in (std,)):
            raise RuntimeError("normal expects standard deviation to be non-complex")
        shape = np.broadcast_shapes(*(np.shape(p) for p in around))
        first = mean if isinstance(mean, define.Tensor) else std
        generator = _generator(options.get("generator"))
        array = drawn(
            lambda s, *each: np.asarray(rng.draw_normal_around(generator, *each)), shape, *around
        )
        values = _new(lambda *_: array, shape, first.dtype, options)
        if _tracked(mean, std) and "out" not in options:
            return normal_draw(mean, std, values)
        return values
    if size is None:
        raise TypeError("normal() with numbers for mean and std needs a size")
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    return _new(rng.draw_normal, _size((size,)), dtype, options, mean, std)


@function
def bernoulli(input: Any, p: float | None = None, *, generator: Any = None, out: Any = None) -> Any:
    """1 with the probability that `input` says (or `p` everywhere), else 0, in the dtype
    of input.
    """
    g, data, name = _generator(generator), input._data, input.dtype.name
    if p is None:
        array = drawn(Draw(rng.draw_bernoulli, g, name), data.shape, data)
    else:
        array = drawn(Draw(rng.draw_bernoulli, g, name, float(p)), data.shape)
    if out is None and p is None and _tracked(input):
        return bernoulli_draw(input, array)
    return write_out(out, wrap(array))


@function
def multinomial(
    input: Any,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Any = None,
    out: Any = None,
) -> Any:
    """Places drawn in proportion to the weights in the last dimension of `input` (1-d or 2-d)."""
    weights = input._data if isinstance(input._data, Duck) else np.asarray(input._data)
    if weights.ndim and weights.shape[-1] > 2**24:
        raise RuntimeError("number of categories cannot exceed 2^24")
    few = np.add.reduce(weights != 0, axis=-1) < num_samples
    if not replacement and 1 < num_samples <= weights.shape[-1] and somewhere(few):
        raise RuntimeError(
            "invalid multinomial distribution (with replacement=False, not enough non-negative"
            " category to sample)"
        )
    if out is not None and out.dtype is not dtypes.int64:
        raise RuntimeError(
            f"multinomial expects Long tensor out, got: {define.scalar_name(out.dtype)}"
        )
    g = _generator(generator)

    def draw(_: tuple, rows: Any) -> np.ndarray:
        return rng.draw_multinomial(g, rows, int(num_samples), bool(replacement))

    return write_out(out, wrap(drawn(draw, (*weights.shape[:-1], int(num_samples)), weights)))


@function(method=False)
def poisson(input: Any, generator: Any = None) -> Any:
    """Poisson numbers with the rates in `input`."""
    g, rates = _generator(generator), input._data
    return wrap(drawn(lambda _, each: rng.draw_poisson(g, np.asarray(each)), rates.shape, rates))


@function(method=False)
def binomial(count: Any, prob: Any, generator: Any = None) -> Any:
    """Numbers of successes in `count` trials of probability `prob`."""
    g, given = _generator(generator), (count._data, prob._data)

    def draw(_: tuple, n: Any, p: Any) -> np.ndarray:
        return rng.draw_binomial(g, np.asarray(n), np.asarray(p))

    return wrap(drawn(draw, np.broadcast_shapes(*[a.shape for a in given]), *given))


# -- in place --------------------------------------------------------------------------------------


def _filled_array(
    draw: Callable, g: Generator, name: str, parameters: tuple, like: Any, shape: tuple
) -> np.ndarray:
    """Numbers drawn into a new array, which lies in memory as `like` does if it has its shape."""
    if like is not None and like.shape == shape:
        array = vacant(like, like.dtype)
    else:
        array = np.empty(shape, dtypes.BY_NAME[name].numpy)
    rng.write(array, draw, g, *parameters)
    return array


def _filled(self: Any, draw: Callable, generator: Any, *parameters: Any, node: str = "") -> Any:
    """Fill `self` with draws, in torch's order; what it was computed from no longer matters, as its
    `node` says.
    """
    check_inplace(self)
    data, g = storage_array(self), _generator(generator)
    if state.capture is not None and isinstance(data, np.ndarray):
        state.capture.lay(self)  # the numbers are drawn anew whenever the program runs
        data = self._data
    if check_target(data) or isinstance(data, Duck):
        name = self.dtype.name
        like = data.memory() if isinstance(data, Duck) and data.ground else None
        plain = like is None or like.flags.c_contiguous
        fill: Callable = Draw(draw, g, name, *parameters)
        if not plain or any(isinstance(p, np.ndarray) for p in parameters):
            fill = functools.partial(_filled_array, draw, g, name, parameters, like)
        store(self, drawn(fill, data.shape))
    else:
        rng.write(data, draw, g, *parameters)
    storage_of(self).bump()
    usual = draw.__name__.removeprefix("draw_").title().replace("_", "") + "Backward0"
    forget(self, node or usual)
    return self


@function(namespace="Tensor")
def uniform_(
    self: Any, from_: float = 0.0, to: float = 1.0, *, generator: Any = None, **bounds: float
) -> Any:
    """Fill with uniform numbers in [from, to)."""
    return _filled(self, rng.draw_uniform, generator, bounds.get("from", from_), to)


@function(namespace="Tensor")
def normal_(self: Any, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Any:
    """Fill with normal numbers."""
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    return _filled(self, rng.draw_normal, generator, mean, std)


@function(namespace="Tensor")
def log_normal_(self: Any, mean: float = 1.0, std: float = 2.0, *, generator: Any = None) -> Any:
    """Fill with exponentials of normal numbers."""
    return _filled(self, rng.draw_log_normal, generator, mean, std)


@function(namespace="Tensor")
def exponential_(self: Any, lambd: float = 1.0, *, generator: Any = None) -> Any:
    """Fill with exponentially distributed numbers of rate `lambd`."""
    return _filled(self, rng.draw_exponential, generator, lambd)


@function(namespace="Tensor")
def cauchy_(self: Any, median: float = 0.0, sigma: float = 1.0, *, generator: Any = None) -> Any:
    """Fill with Cauchy distributed numbers."""
    return _filled(self, rng.draw_cauchy, generator, median, sigma)


@function(namespace="Tensor")
def geometric_(self: Any, p: float, *, generator: Any = None) -> Any:
    """Fill with numbers of trials up to the first success."""
    return _filled(self, rng.draw_geometric, generator, p)


@function(namespace="Tensor")
def bernoulli_(self: Any, p: Any = 0.5, *, generator: Any = None) -> Any:
    """Fill with 1 (with probability `p`, a number or a tensor) and 0."""
    chances = np.asarray(p._data) if isinstance(p, define.Tensor) else float(p)
    node = "BernoulliBackward2" if isinstance(chances, float) else "BernoulliBackward1"
    return _filled(self, rng.draw_bernoulli, generator, chances, node=node)


@function(namespace="Tensor")
def random_(self: Any, *bounds: Any, generator: Any = None, **named: Any) -> Any:
    """Fill with integers: random_() over the dtype's range, random_(to), random_(from, to)."""
    bounds = (*bounds, *(named[k] for k in ("from", "to") if k in named))
    if not bounds:
        return _filled(self, rng.draw_any_integers, generator, node="RandomBackward2")
    low, high = (0, bounds[0]) if len(bounds) == 1 else bounds
    node = f"RandomBackward{2 - len(bounds)}"
    return _filled(self, rng.draw_integers, generator, low, high, node=node)


# -- dropout ---------------------------------------------------------------------------------------


def _check_chance(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _mask(x: Any, p: float, shape: tuple | None) -> Any:
    """Which elements of an array (or, by the mask's shape, channels) dropout keeps."""
    draw = Draw(rng.draw_bernoulli, default_generator, "bool", 1.0 - p)
    order = _order(x)
    if order is None:
        return drawn(draw, shape or x.shape)
    if shape is None:
        return _drawn_inward(draw, x.shape, order)
    back = [order.index(axis) for axis in range(len(order))]
    return drawn(draw, shape).transpose(order).copy().transpose(back)  # so that products lie as x


def _dropped(
    input: Any, p: float, training: bool, inplace: bool, shape: tuple | None = None
) -> Any:
    """`input` with a share p of its elements (or channels, by the mask's shape) zeroed, the rest
    scaled by 1/(1-p).
    """
    _check_chance(p)
    if not training or p == 0 or not input._data.size:
        return input
    kept = np.zeros((), bool) if p == 1 else _mask(input._data, p, shape)
    dtype = input._data.dtype
    noise = wrap(
        kept.astype(dtype) if p == 1 else (kept.astype(dtype) / dtype.type(1 - p)).astype(dtype)
    )
    return input.mul_(noise) if inplace else input * noise


@function(namespace="nn.functional", method=False)
def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero each element with probability p and scale the rest by 1 / (1 - p), while training."""
    return _dropped(input, p, training, inplace)


def _channels(input: Any) -> tuple:
    shape = input._data.shape
    return (*shape[:2], *(1,) * (len(shape) - 2))


def _whole_channels(input: Any, p: float, training: bool, inplace: bool, alone: bool) -> Any:
    """Dropout of channels; `alone`: of one example, without a dimension for the batch."""
    if alone:
        return _whole_channels(input.unsqueeze(0), p, training, inplace, False).squeeze(0)
    return _dropped(input, p, training, inplace, _channels(input))


def _expects(name: str, n: int, got: str) -> str:
    return (
        f"{name}: {got}. Note that {name} exists to provide channel-wise dropout on inputs with "
        f"{n} spatial dimension{'s' * (n > 1)}, a channel dimension, and an optional batch "
        f"dimension (i.e. {n + 1}D or {n + 2}D inputs)."
    )


@function(namespace="nn.functional", method=False)
def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero whole channels (c, l) with probability p and scale the rest, while training.

    Raises RuntimeError for other than 2 or 3 dimensions.
    """
    if input.ndim not in (2, 3):
        got = f"Expected 2D or 3D input, but received a {input.ndim}D input"
        raise RuntimeError(_expects("dropout1d", 1, got))
    return _whole_channels(input, p, training, inplace, input.ndim == 2)


@function(namespace="nn.functional", method=False)
def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero whole channels (n, c, h, w) with probability p and scale the rest, while training.

    The first dimension always counts examples; three dimensions are (n, c, l), with a warning.
    """
    if input.ndim not in (3, 4):
        _warn_of("dropout2d", 2, input.ndim)
    elif input.ndim == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout "
            "behavior is desired - input is interpreted as shape (N, C, L), where C is the channel "
            "dim; please switch to using dropout1d instead.",
            stacklevel=2,
        )
    return _whole_channels(input, p, training, inplace, False)


@function(namespace="nn.functional", method=False)
def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero whole channels (n, c, d, h, w) with probability p and scale the rest, in training."""
    if input.ndim not in (4, 5):
        _warn_of("dropout3d", 3, input.ndim)
    return _whole_channels(input, p, training, inplace, input.ndim != 5)


def _warn_of(name: str, n: int, ndim: int) -> None:
    got = f"Received a {ndim}-D input to {name}, which is deprecated; please use dropout instead"
    warnings.warn(_expects(name, n, got), stacklevel=3)


ALPHA = -1.7580993408473766


def _alpha_dropped(
    input: Any, p: float, training: bool, inplace: bool, shape: tuple | None = None
) -> Any:
    """Dropout that keeps SELU's mean and variance: dropped elements become its negative saturation
    value.
    """
    _check_chance(p)
    if not training or p == 0 or not input._data.size:
        return input
    if p == 1:
        return input.mul_(0.0) if inplace else input * 0.0
    a = ((ALPHA**2 * p + 1) * (1 - p)) ** -0.5
    kept = _mask(input._data, p, shape)
    dtype = input._data.dtype
    scale = wrap((kept * a).astype(dtype))
    shift = wrap(((~kept) * (ALPHA * a) - ALPHA * a * p).astype(dtype))
    return input.mul_(scale).add_(shift) if inplace else input * scale + shift


@function(namespace="nn.functional", method=False)
def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Dropout for SELU networks: mean and variance stay as they are."""
    return _alpha_dropped(input, p, training, inplace)


@function(namespace="nn.functional", method=False)
def feature_alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Any:
    """Alpha dropout of whole channels."""
    return _alpha_dropped(input, p, training, inplace, _channels(input))
