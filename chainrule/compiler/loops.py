"""Kernels that do with params what others have in their text: `cr.loop` calls a loop of NumPy's
with the arrays, counts and strides that it wants; `cr.strided` copies elements of any size from
wherever they lie; `cr.argsort` and its like call a function of NumPy's for each row.
"""

from __future__ import annotations

from . import blas

MOST = 8  # arrays, dimensions of a kernel, dimensions around it
DIMS, OFFSETS, SIZES, STRIDES = 4, 4 + MOST, 4 + 2 * MOST, 4 + 3 * MOST
STEPS = STRIDES + MOST * MOST
LARGE = 32  # dimensions of a copy


def loop_text() -> str:
    """The kernel `cr.loop`. Its params: function, data, how many arrays, how many dimensions around
    the kernel; the kernel's own counts; where arrays begin (bytes); the sizes around, the strides
    around; what the function takes for strides. Without dimensions around, a unit is one of the
    kernel's first count.
    """
    f = blas.Body()
    f.do(f"%args = alloca [{MOST} x ptr]", f"%dims = alloca [{MOST} x i64]")
    f.do(f"%starts = alloca [{MOST} x i64]")
    address, data, count, rank = (f.param(n) for n in range(4))
    function, more = f(f"inttoptr i64 {address} to ptr"), f(f"inttoptr i64 {data} to ptr")
    steps = f(f"getelementptr i64, ptr %params, i64 {STEPS}")
    for k in range(MOST):
        place = f(f"getelementptr i64, ptr %dims, i64 {k}")
        f.do(f"store i64 {f.param(DIMS + k)}, ptr {place}")
    flat = f(f"icmp eq i64 {rank}, 0")
    f.do(f"br i1 {flat}, label %whole, label %units", "whole:")
    size = f("sub i64 %end, %begin")
    f.do(f"store i64 {size}, ptr %dims", "br label %unit", "units:", "br label %unit", "unit:")
    u = f("phi i64 [ %begin, %whole ], [ %begin, %units ], [ %next, %called ]")
    f.do("br label %first", "first:")
    j = f("phi i64 [ 0, %unit ], [ %j1, %placed ]")
    slot = f(f"load i32, ptr {f(f'getelementptr i32, ptr %slots, i64 {j}')}")
    base = f(f"load ptr, ptr {f(f'getelementptr ptr, ptr %buffers, i32 {slot}')}")
    offset = at(f, j, OFFSETS)
    step = f(f"load i64, ptr {f(f'getelementptr i64, ptr {steps}, i64 {j}')}")
    moved = f(f"mul i64 {f(f'select i1 {flat}, i64 %begin, i64 0')}, {step}")
    offset = f(f"add i64 {offset}, {moved}")
    f.do("br label %axis", "axis:")
    i = f(f"phi i64 [ {rank}, %first ], [ %i1, %turn ]")
    left = f(f"phi i64 [ {u}, %first ], [ %quotient, %turn ]")
    total = f(f"phi i64 [ {offset}, %first ], [ %further, %turn ]")
    f.do(f"br i1 {f(f'icmp sgt i64 {i}, 0')}, label %turn, label %placed", "turn:")
    f.do(f"%i1 = sub i64 {i}, 1")
    n = at(f, "%i1", SIZES)
    stride = at(f, f(f"add i64 {f(f'mul i64 %i1, {MOST}')}, {j}"), STRIDES)
    index = f(f"urem i64 {left}, {n}")
    f.do(f"%quotient = udiv i64 {left}, {n}")
    f.do(f"%further = add i64 {total}, {f(f'mul i64 {index}, {stride}')}", "br label %axis")
    f.do("placed:")
    place = f(f"getelementptr i8, ptr {base}, i64 {total}")
    f.do(f"store ptr {place}, ptr {f(f'getelementptr ptr, ptr %args, i64 {j}')}")
    f.do(f"%j1 = add i64 {j}, 1")
    f.do(f"br i1 {f(f'icmp slt i64 %j1, {count}')}, label %first, label %call", "call:")
    f.do(f"call void {function}(ptr %args, ptr %dims, ptr {steps}, ptr {more})")
    f.do("br label %called", "called:", f"%next = add i64 {u}, 1")
    again = f(f"icmp slt i64 {f(f'select i1 {flat}, i64 %end, i64 %next')}, %end")
    f.do(f"br i1 {again}, label %unit, label %done", "done:", "ret void")
    return "\n".join([f"define void @cr.loop({blas.KERNEL}) nounwind {{", *f.lines, "}"])


def at(f: blas.Body, index: str, start: int) -> str:
    """params[start + index]."""
    place = f(f"add i64 {index}, {start}")
    return f(f"load i64, ptr {f(f'getelementptr i64, ptr %params, i64 {place}')}")


def strided_text() -> str:
    """The kernel `cr.strided`: copies lines of elements. Params: bytes of an element, rank, offset
    of the source, of the target, count of a line, its strides in the source and the target; then
    sizes around, and strides in the source, and in the target (all in bytes).
    """
    f = blas.Body()
    size, rank, first, into, count, step, stride = (f.param(n) for n in range(7))
    to, source = f.buffer(0), f.buffer(1)
    f.do("br label %unit", "unit:")
    u = f("phi i64 [ %begin, %0 ], [ %next, %copied ]")
    f.do("br label %axis", "axis:")
    i = f(f"phi i64 [ {rank}, %unit ], [ %i1, %turn ]")
    left = f(f"phi i64 [ {u}, %unit ], [ %quotient, %turn ]")
    a = f(f"phi i64 [ {first}, %unit ], [ %a1, %turn ]")
    b = f(f"phi i64 [ {into}, %unit ], [ %b1, %turn ]")
    f.do(f"br i1 {f(f'icmp sgt i64 {i}, 0')}, label %turn, label %line", "turn:")
    f.do(f"%i1 = sub i64 {i}, 1")
    n, s, t = (at(f, "%i1", 8 + k * LARGE) for k in range(3))
    index = f(f"urem i64 {left}, {n}")
    f.do(f"%quotient = udiv i64 {left}, {n}")
    f.do(f"%a1 = add i64 {a}, {f(f'mul i64 {index}, {s}')}")
    f.do(f"%b1 = add i64 {b}, {f(f'mul i64 {index}, {t}')}", "br label %axis", "line:")
    cases = " ".join(f"i64 {w}, label %by{w}" for w in (1, 2, 4, 8))
    f.do(f"switch i64 {size}, label %by16 [ {cases} ]")
    for w in (1, 2, 4, 8, 16):
        f.do(f"by{w}:", f"br label %go{w}", f"go{w}:")
        k = f(f"phi i64 [ 0, %by{w} ], [ %k{w}, %go{w} ]")
        here = f(f"add i64 {a}, {f(f'mul i64 {k}, {step}')}")
        there = f(f"add i64 {b}, {f(f'mul i64 {k}, {stride}')}")
        x = f(f"load i{8 * w}, ptr {f(f'getelementptr i8, ptr {source}, i64 {here}')}, align 1")
        f.do(f"store i{8 * w} {x}, ptr {f(f'getelementptr i8, ptr {to}, i64 {there}')}, align 1")
        f.do(f"%k{w} = add i64 {k}, 1")
        more = f(f"icmp slt i64 %k{w}, {count}")
        f.do(f"br i1 {more}, label %go{w}, label %copied")
    f.do("copied:", f"%next = add i64 {u}, 1")
    f.do(f"br i1 {f('icmp slt i64 %next, %end')}, label %unit, label %done", "done:", "ret void")
    return "\n".join([f"define void @cr.strided({blas.KERNEL}) nounwind {{", *f.lines, "}"])


def rows_text(name: str) -> str:
    """The kernels `cr.argsort`, `cr.sort` and `cr.argmax`, of rows one after the other. Params: the
    function that does it to one, elements of a row, offset of the first (bytes), bytes of an
    element.
    """
    f = blas.Body()
    address, n, offset, size = (f.param(k) for k in range(4))
    function = f(f"inttoptr i64 {address} to ptr")
    out = f.buffer(0)
    x = f(f"getelementptr i8, ptr {out if name == 'sort' else f.buffer(1)}, i64 {offset}")
    f.do("br label %row", "row:")
    u = f("phi i64 [ %begin, %0 ], [ %next, %did ]")
    start = f(f"mul i64 {u}, {n}")
    here = f(f"getelementptr i8, ptr {x}, i64 {f(f'mul i64 {start}, {size}')}")
    if name == "sort":
        f.do(f"call i32 {function}(ptr {here}, i64 {n}, ptr null)", "br label %did")
    elif name == "argmax":
        place = f(f"getelementptr i64, ptr {out}, i64 {u}")
        f.do(f"call i32 {function}(ptr {here}, i64 {n}, ptr {place}, ptr null)", "br label %did")
    else:
        to = f(f"getelementptr i64, ptr {out}, i64 {start}")
        f.do("br label %one", "one:")
        i = f("phi i64 [ 0, %row ], [ %i1, %one ]")
        f.do(f"store i64 {i}, ptr {f(f'getelementptr i64, ptr {to}, i64 {i}')}")
        f.do(f"%i1 = add i64 {i}, 1")
        f.do(f"br i1 {f(f'icmp slt i64 %i1, {n}')}, label %one, label %go", "go:")
        f.do(f"call i32 {function}(ptr {here}, ptr {to}, i64 {n}, ptr null)", "br label %did")
    f.do("did:", f"%next = add i64 {u}, 1")
    f.do(f"br i1 {f('icmp slt i64 %next, %end')}, label %row, label %done", "done:", "ret void")
    return "\n".join([f"define void @cr.{name}({blas.KERNEL}) nounwind {{", *f.lines, "}"])


def text() -> str:
    """All of them."""
    rows = [rows_text(name) for name in ("argsort", "sort", "argmax")]
    return "\n".join([loop_text(), strided_text(), *rows])
