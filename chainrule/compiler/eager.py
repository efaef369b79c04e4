"""Operators, rules and updates on large arrays, as machine code.

What runs here is array code that would run on NumPy as well: the kernel of an operator, the rule of
a derivative, the update of an optimizer. Once a call of it on large arrays has come back so often
that NumPy has had as much work with it as compiling makes (`PAYS` elements), it is traced on the
arrays of that call, as `compile` traces a step, and the program goes through the same passes,
fusion and lowering. What comes out is a `Launch`: a plan of the runtime that fills fresh memory. It
serves calls with the same shapes, strides and dtypes, and the same other arguments.

Numbers agree with NumPy's to 4 units in the last place of each function (vecmath) and, for sums, to
another order of adding; those of integers and bools are the same. Calls without an array of
`tape.LARGE` elements never get here, nor do operators of users, which may do more than return.

Only programs that are loops through and through are taken (elementwise functions, reductions, and
what is fused of them); the rest, and what a program cannot say, stays with NumPy: `None` in the
table. So do results that do not lie row by row, since NumPy gives those strides that follow the
operands'.

A thread comes here at its first large array (`begin`), and from then on its `run` looks at sizes
(`large`), and its results have memory that is used again (`recycle`).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy import empty, ndarray

from ..arrays.duck import NoRule
from ..namespace import get_num_threads
from ..ops import define
from ..tape import AT_LARGE, AtSize, state
from . import machine
from .large import BY_NUMPY, BY_PYTHON, LARGE, NOTHING, OTHERS, STRIDE, look
from .recycle import recycler

PAYS = 1 << 23  # elements after which a call is compiled
PIECES = 8  # into which a loop is cut, unless there are more threads than half of that
LINE = 64  # elements; pieces of some length begin at multiples
CALL = 1 << 10  # elements that NumPy does in the time of a call on few
SIGHTINGS = 2  # calls of an update before it is, so that numbers that change are known
ENTRIES = 2048  # calls that are remembered
ARENA = 1 << 18  # bytes that a plan may keep for itself
CONSTANT = 1 << 12  # bytes of a constant
NUMBERS = (int, float, bool, str, type(None), type(Ellipsis))
TABLE: dict[Any, Any] = {}  # what is known of a call: elements so far, a Launch, or None
PURE: set[Any] = set()  # kernels and rules of operators, which may be traced
OPERATORS = [0]  # how many there were when PURE was filled
SAMPLE = 61  # elements of the arrays on which an update is traced
EXACT = "biu"


# -- calls -----------------------------------------------------------------------------------------


class Unfit(Exception):
    """A call cannot be machine code."""


def sign(a: Any) -> Any:
    """What a call is remembered by: of an array all but its elements, of anything else itself.
    TypeError for what may hold more than it shows.
    """
    kind = type(a)
    if kind is ndarray:
        return a.shape, a.strides, a.dtype.num
    if kind is tuple:
        return tuple([sign(e) for e in a])
    if kind is float:
        return a.hex()
    if kind in NUMBERS:
        return kind, a
    if isinstance(a, np.generic):
        return kind
    if isinstance(a, (np.dtype, type)):
        return a
    raise TypeError(f"{kind.__name__} is no argument of machine code")


def taken(plain: Callable) -> Callable:
    """What a thread's `run`, which is `plain` otherwise, does for large arrays."""

    def run(kernel: Callable, *args: Any, **kwargs: Any) -> Any:
        if kwargs:
            return plain(kernel, *args, **kwargs)
        try:
            key = (kernel, *[sign(a) for a in args])
            known = TABLE.get(key, 0)
        except TypeError:
            return plain(kernel, *args)
        if type(known) is Launch:
            return known.run(plain, args)
        if known is None:
            return plain(kernel, *args)
        return plain(met, key, known, kernel, args)

    return run


def called(f: Callable, *args: Any) -> Any:
    """f(*args)."""
    return f(*args)


def met(key: Any, known: int, f: Callable, args: tuple) -> Any:
    """f(*args), which is not compiled yet: by now, perhaps."""
    if not is_pure(f):
        return f(*args)
    size = max([a.size for a in arrays_in(args)], default=0)
    work = known + (size + CALL) * (STRIDE if size < LARGE else 1)
    if work < PAYS:
        remember(key, work)
        return f(*args)
    try:
        launch = built(f, args)
    except (NoRule, Unfit):
        launch = None
    remember(key, launch)
    if launch is None:
        look().enter(f, args, BY_NUMPY)
        return f(*args)
    launch.enter_for(args)
    return launch.run(called, args)


def remember(key: Any, value: Any) -> None:
    """Enter what is known of a call."""
    if len(TABLE) >= ENTRIES:
        TABLE.clear()
        look().forget()
    TABLE[key] = value


def is_pure(f: Callable) -> bool:
    """Whether a function is a kernel or rule of an operator of ours, which only returns."""
    if OPERATORS[0] != len(define.OPS):
        OPERATORS[0] = len(define.OPS)
        for o in define.OPS.values():
            if own(o.source) or isinstance(o.kernel, np.ufunc):
                PURE.update([o.kernel, define.FAST.get(o.kernel, o.kernel)])
                PURE.update(filter(own, o.rules))
    return f in PURE


def own(f: Any) -> bool:
    """Whether a function is of this package."""
    return (getattr(f, "__module__", None) or "").startswith("chainrule.")


def arrays_in(a: Any) -> Iterator[Any]:
    """Arrays and NumPy's numbers among nested tuples, in order."""
    for e in a:
        if isinstance(e, (ndarray, np.generic)):
            yield e
        elif type(e) is tuple:
            yield from arrays_in(e)


class Launch:
    """Machine code for one call: `run` calls it.

    Args:
        planner: what made the plan.
        order: which of the call's arrays, one after the other, the plan is given.
        results: for each result that it makes, shape and dtype.
        form: the structure of what is returned, with the numbers of results in it.
    """

    def __init__(
        self, planner: Any, order: Sequence[int], results: Sequence[tuple], form: Any
    ) -> None:
        self.function, self.plan = planner.function, planner.plan
        self.enter = self.plan.enter
        self.order, self.results, self.form = order, results, form
        self.shape, self.dtype = results[0]
        self.single = form == 0 and len(results) == 1 and self.shape != ()
        self.straight = False

    def run(self, plain: Callable, args: tuple) -> Any:
        """What f(*args) gives; by NumPy, if another thread is at the plan."""
        if self.single:
            out = plain(empty, self.shape, self.dtype)
            given = args if self.straight else self.arranged(args)
            if self.enter(*given, out):
                return plain(self.function, *args)
            return out
        made = [plain(empty, shape, dtype) for shape, dtype in self.results]
        if self.enter(*self.arranged(args), *made):
            return plain(self.function, *args)
        return formed(self.form, made)

    def enter_for(self, args: tuple) -> None:
        """Let native code do calls like this one, if it can be told how."""
        flat = not any(type(a) is tuple and list(arrays_in(a)) for a in args)
        places = [n for n, a in enumerate(args) if type(a) is ndarray]
        form = coded(self.form)
        if flat and form is not None and not any(isinstance(a, np.generic) for a in args):
            order = [places[n] for n in self.order]
            look().enter(self.function, args, self.plan, order, self.results, form)
        else:
            look().enter(self.function, args, BY_PYTHON)

    def arranged(self, args: tuple) -> list:
        """The arrays of a call, in the plan's order."""
        found = [a if type(a) is ndarray else np.asarray(a) for a in arrays_in(args)]
        return [found[i] for i in self.order]


def formed(form: Any, made: list) -> Any:
    """Results in the form of a return value: a number of a result, a constant, nested tuples."""
    if type(form) is tuple:
        return tuple([formed(f, made) for f in form])
    if type(form) is list:
        return [formed(f, made) for f in form]
    if type(form) is Constant:
        return form.value
    out = made[form]
    return out if out.shape else out[()]


def coded(form: Any) -> list | None:
    """A form as native code has it; None if it has no words for it."""
    if form == 0:
        return []
    if type(form) is not tuple:
        return None
    numbers = [f for f in form if type(f) is int]
    codes = []
    for f in form:
        if type(f) is int:
            codes.append(f)
        elif type(f) is Constant and f.value is None:
            codes.append(NOTHING)
        elif type(f) is tuple and numbers == [0] and list(f) == list(range(1, len(f) + 1)):
            codes.append(OTHERS)
        else:
            return None
    return codes


class Constant:
    """A part of a return value that never changes."""

    def __init__(self, value: Any) -> None:
        self.value = value


# -- building --------------------------------------------------------------------------------------


class Refusing:
    """Stands for a capture while a kernel is traced: what asks it is no matter of arrays alone."""

    def draw(self, *_: Any) -> Any:
        """Random numbers are asked for."""
        raise NoRule("random numbers")

    setting = draw


def refuse(*_: Any) -> Any:
    """A number of an array is asked for."""
    raise NoRule("the numbers of an array")


def traced(a: Any, trace: Any, inputs: list) -> Any:
    """Arguments with inputs of the trace, which are appended to `inputs`, for arrays."""
    if isinstance(a, (ndarray, np.generic)):
        inputs.append(trace.input(a))
        return inputs[-1]
    return tuple([traced(e, trace, inputs) for e in a]) if type(a) is tuple else a


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """While array code is traced: errors of its own are left to NumPy."""
    before, state.capture = state.capture, Refusing()
    try:
        yield
    except (ValueError, TypeError, IndexError, RuntimeError, AttributeError) as error:
        raise Unfit(str(error)) from None
    finally:
        state.capture = before


def built(f: Callable, args: tuple) -> Launch:
    """Machine code for calls like f(*args)."""
    from ..arrays.trace import Trace
    from .program import Program

    if "default" in getattr(getattr(f, "__code__", None), "co_names", ()):
        raise Unfit("it depends on the default dtype")
    trace = Trace(Program(), refuse, refuse)
    inputs: list[Any] = []
    given = traced(args, trace, inputs)
    with refusing():
        result = f(*given)
    if any(i.cell.version for i in inputs):
        raise Unfit("it writes what it is given")
    values: list[Any] = []
    form = noted(result, values)
    if not values:
        raise Unfit("it computes nothing")
    given_cells = [i.cell for i in inputs]
    if any(r.cell in given_cells for r in values):
        raise Unfit("a result that is a view")
    specs = [(r.shape, r.dtype) for r in values]
    planner = planned(f, trace.program, inputs, [r.now() for r in values])
    launch = Launch(planner, planner.order, specs, form)
    plain = all(type(a) is ndarray for a in args)
    launch.straight = plain and planner.order == list(range(len(args)))
    return launch


def noted(result: Any, values: list) -> Any:
    """The form of a return value; the traced arrays in it are appended to `values`."""
    from ..arrays.trace import TraceArray

    if isinstance(result, TraceArray):
        if not np.asarray(result.value).flags.c_contiguous:
            raise Unfit("a result that does not lie row by row")
        values.append(result)
        return len(values) - 1
    if type(result) in (tuple, list):
        return type(result)([noted(r, values) for r in result])
    if result is None or isinstance(result, np.generic):
        return Constant(result)
    raise Unfit("a result that is no array of the program")


def planned(f: Callable, program: Any, inputs: Sequence, wanted: Sequence) -> Any:
    """The plan of a program of loops, whose results are `wanted`; inputs may be written."""
    from .passes import simplify
    from .plan import Output, Planner
    from .views import contiguous

    given = list(program.inputs)
    updated = [(v, i.cell.current) for v, i in zip(given, inputs, strict=True) if i.cell.version]
    program.outputs = [*wanted, *[new for _, new in updated]]
    program = simplify(program)
    for i in program.instructions:
        check(i)
    if any(v.data.nbytes > CONSTANT for v in program.constants):
        raise Unfit("a large constant")
    outputs = [Output(v) for v in program.outputs[: len(wanted)]]
    news = program.outputs[len(wanted) :]
    outputs += [Output(new, old) for new, (old, _) in zip(news, updated, strict=True)]
    planner = even(Planner)(program, outputs, {}, layouts_of(given, inputs, contiguous))
    planner.function = f
    planner.plan.code = planner.code  # stays as long as somebody may run it
    if planner.python or planner.late or planner.arena > ARENA:
        raise Unfit("it is more than loops")
    made = [o.value for o in outputs if o.target is None]
    if planner.arguments[len(planner.arguments) - len(made) :] != made:
        raise Unfit("results in another order")
    planner.order = [given.index(v) for v in planner.arguments[: -len(made) or None]]
    return planner


@functools.cache
def even(planner: type) -> type:
    """A planner whose loops are shared out in few pieces of one size: a single operation is over
    before it pays that a quicker thread takes more of them.
    """

    class Even(planner):  # type: ignore[misc]
        def nest_records(self, k: Any) -> None:
            """The record of a nest; where it keeps partial results, its code knows the grain."""
            if not k.partials and k.extent > k.grain:
                threads = get_num_threads()
                most = max(PIECES, 2 * threads)
                pieces = min(most, -(-k.extent // (k.grain * threads)) * threads)
                grain = -(-k.extent // pieces)
                k.grain = -(-grain // LINE) * LINE if grain > 16 * LINE else grain
            super().nest_records(k)

    return Even


def layouts_of(given: Sequence, inputs: Sequence, contiguous: Callable) -> dict:
    """The strides, in elements, of inputs that do not lie row by row."""
    found = {}
    for v, i in zip(given, inputs, strict=True):
        strides = getattr(i.value, "strides", ())
        if any(s % v.dtype.itemsize for s in strides) or not v.dtype.isnative:
            raise Unfit("elements that do not lie in places of their size")
        elements = tuple(s // v.dtype.itemsize for s in strides)
        if elements != contiguous(v.shape):
            found[v] = elements
    return found


def check(i: Any) -> None:
    """Raise unless an instruction is a view, or an elementwise function or reduction that gives
    what NumPy gives, exactly where numbers are exact.
    """
    from .elements import is_lowered
    from .views import is_basic

    if is_basic(i):
        return
    if not is_lowered(i) or i.name in ("gather", "assign"):
        raise Unfit(f"{i.name} is no loop")
    if i.output.dtype.kind in EXACT and i.name == "astype" and i.args[0].dtype.kind == "f":
        raise Unfit("what numbers beyond the range become is the processor's affair")


# -- updates ---------------------------------------------------------------------------------------


class Update:
    """What is known of an optimizer's rule on arrays of one size.

    Numbers that have differed from one call to the next (a bias correction, a learning rate) are
    given to the machine code; the others are constants of it.
    """

    def __init__(self, numbers: Sequence) -> None:
        self.sightings = 0
        self.last: Sequence = numbers
        self.varying: set[int] = set()
        self.launches: dict[Any, Any] = {}  # by the constants: (plan, order)

    def see(self, numbers: Sequence) -> None:
        """One call more."""
        self.sightings += 1
        for n, (a, b) in enumerate(zip(numbers, self.last, strict=True)):
            if type(a) is type(b) is float and a != b:
                self.varying.add(n)
        self.last = numbers


def updated(rule: Callable, arrays: Sequence, numbers: Sequence) -> bool:
    """Do rule(*arrays, *numbers), elementwise on flat arrays, some of which it writes, by machine
    code; False if that is not to be done.
    """
    first = arrays[0]
    if not all([type(a) is ndarray and a.shape == first.shape for a in arrays]):
        return False
    if len({id(a if a.base is None else a.base) for a in arrays}) < len(arrays):
        return False  # one might see what is written to another
    key = (rule, first.size, *[a.dtype.num for a in arrays], len(numbers))
    known = TABLE.get(key)
    if known is None:
        remember(key, known := Update(numbers))
    known.see(numbers)
    if known.sightings < SIGHTINGS or known.sightings * first.size < PAYS:
        return False
    varying = [n for n in sorted(known.varying) if type(numbers[n]) is float]
    try:
        fixed = tuple([sign(x) for n, x in enumerate(numbers) if n not in varying])
    except TypeError:
        return False
    made = (*varying, fixed)
    if made not in known.launches:
        if len(known.launches) > 2 * len(numbers):
            return False  # too many different constants
        try:
            known.launches[made] = built_update(rule, arrays, numbers, varying)
        except (NoRule, Unfit):
            known.launches[made] = None
    found = known.launches[made]
    if found is None:
        return False
    plan, order = found
    given = [*arrays, *[np.array(numbers[n], first.dtype) for n in varying]]
    return not plan.enter(*[given[n] for n in order])


def built_update(rule: Callable, arrays: Sequence, numbers: Sequence, varying: Sequence) -> Any:
    """(plan, order of what it is given) of an update: traced on few elements, planned for all."""
    from ..arrays.trace import Trace
    from .program import Program

    trace = Trace(Program(), refuse, refuse)
    sample = [trace.input(a[:SAMPLE].copy()) for a in arrays]
    settings = list(numbers)
    for n in varying:
        settings[n] = trace.input(np.array(numbers[n], arrays[0].dtype))
    with refusing():
        rule(*sample, *settings)
    program, size = trace.program, arrays[0].size
    inputs = [*sample, *[settings[n] for n in varying]]
    for v in [*program.inputs, *[v for i in program.instructions for v in i.outputs]]:
        if v is None or v.shape not in ((), (SAMPLE,)):
            raise Unfit("it is not elementwise")
        if v.shape:
            v.shape = (size,)
    if any(v.shape for v in program.constants) or not all(map(pointwise, program.instructions)):
        raise Unfit("it is not elementwise")
    planner = planned(rule, program, inputs, [])
    return planner.plan, planner.order


def pointwise(i: Any) -> bool:
    """Whether an instruction is an elementwise function, whatever its size."""
    from .elements import REDUCTIONS, is_lowered
    from .views import is_basic

    return not is_basic(i) and i.name not in REDUCTIONS and is_lowered(i)


# -- a thread's first large array ------------------------------------------------------------------


def begin() -> None:
    """Let this thread's operators use machine code on large arrays, if it can be made."""
    if not machine.available():
        AT_LARGE.clear()
        return
    try:
        builtin = look().builtin(state.context, taken(state.plain))
        state.plain(recycler().install)
    except (RuntimeError, OSError, ValueError):  # another interpreter, no memory for code ...
        AT_LARGE.clear()
        return
    state.mode = (builtin, state.grad)
    if AtSize.rule is None:
        AtSize.rule, AtSize.update = look().builtin(None, taken(called)), updated
