"""Kernels that are always the same but for sizes and types: copies, sums of rows, the joining of
partial results. Their texts have `@KERNEL` for the name, as those of loop nests.
"""

from __future__ import annotations

import math

from .body import Value as Register
from .elements import MEMORY, REGISTER, Writer, code, combine, reduced_dtype
from .program import Instruction, Value

HEAD = """\
define void @KERNEL(ptr %buffers, ptr %slots, ptr %params, i64 %begin, i64 %end) nounwind {
entry:
"""

COPY = (
    HEAD
    + """\
  %s0 = load i32, ptr %slots
  %s1a = getelementptr i32, ptr %slots, i64 1
  %s1 = load i32, ptr %s1a
  %p0a = getelementptr ptr, ptr %buffers, i32 %s0
  %p0 = load ptr, ptr %p0a
  %p1a = getelementptr ptr, ptr %buffers, i32 %s1
  %p1 = load ptr, ptr %p1a
  %n = sub i64 %end, %begin
  %to = getelementptr i8, ptr %p0, i64 %begin
  %from = getelementptr i8, ptr %p1, i64 %begin
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %n, i1 false)
  ret void
}"""
)

# Rows of %p1 are added to the rows of %p0 that %p2 names, for columns from begin to end. The rows
# are counted from the end where negative, and kept inside the array.
SCATTER = (
    """\
declare i64 @llvm.smax.i64(i64, i64)
declare i64 @llvm.smin.i64(i64, i64)
"""
    + HEAD
    + """\
  %s0 = load i32, ptr %slots
  %s1a = getelementptr i32, ptr %slots, i64 1
  %s1 = load i32, ptr %s1a
  %s2a = getelementptr i32, ptr %slots, i64 2
  %s2 = load i32, ptr %s2a
  %p0a = getelementptr ptr, ptr %buffers, i32 %s0
  %p0 = load ptr, ptr %p0a
  %p1a = getelementptr ptr, ptr %buffers, i32 %s1
  %p1b = load ptr, ptr %p1a
  %p2a = getelementptr ptr, ptr %buffers, i32 %s2
  %p2b = load ptr, ptr %p2a
  %o1 = load i64, ptr %params
  %p1 = getelementptr TYPE, ptr %p1b, i64 %o1
  %o2a = getelementptr i64, ptr %params, i64 1
  %o2 = load i64, ptr %o2a
  %p2 = getelementptr i64, ptr %p2b, i64 %o2
  br label %zero
zero:
  %z = phi i64 [ 0, %entry ], [ %zn, %zeroed ]
  %zr = mul i64 %z, WIDTH
  %za = getelementptr TYPE, ptr %p0, i64 %zr
  br label %zeros
zeros:
  %zj = phi i64 [ %begin, %zero ], [ %zjn, %zeros ]
  %zp = getelementptr TYPE, ptr %za, i64 %zj
  store TYPE 0.0, ptr %zp
  %zjn = add i64 %zj, 1
  %zjm = icmp slt i64 %zjn, %end
  br i1 %zjm, label %zeros, label %zeroed
zeroed:
  %zn = add i64 %z, 1
  %zm = icmp slt i64 %zn, HEIGHT
  br i1 %zm, label %zero, label %row
row:
  %r = phi i64 [ 0, %zeroed ], [ %rn, %added ]
  %ia = getelementptr i64, ptr %p2, i64 %r
  %i0 = load i64, ptr %ia
  %i1 = add i64 %i0, HEIGHT
  %in = icmp slt i64 %i0, 0
  %i2 = select i1 %in, i64 %i1, i64 %i0
  %i3 = call i64 @llvm.smax.i64(i64 %i2, i64 0)
  %i4 = call i64 @llvm.smin.i64(i64 %i3, i64 LAST)
  %to = mul i64 %i4, WIDTH
  %toa = getelementptr TYPE, ptr %p0, i64 %to
  %fr = mul i64 %r, WIDTH
  %fra = getelementptr TYPE, ptr %p1, i64 %fr
  br label %one
one:
  %j = phi i64 [ %begin, %row ], [ %jn, %one ]
  %a = getelementptr TYPE, ptr %toa, i64 %j
  %b = getelementptr TYPE, ptr %fra, i64 %j
  %x = load TYPE, ptr %a, !llvm.access.group !0
  %y = load TYPE, ptr %b, !llvm.access.group !0
  %s = fadd TYPE %x, %y
  store TYPE %s, ptr %a, !llvm.access.group !0
  %jn = add i64 %j, 1
  %jm = icmp slt i64 %jn, %end
  br i1 %jm, label %one, label %added, !llvm.loop !LOOP1!
added:
  %rn = add i64 %r, 1
  %rm = icmp slt i64 %rn, COUNT
  br i1 %rm, label %row, label %done
done:
  ret void
}"""
)

# The first partial result is copied; the others are taken in, one after the other. How many there
# are and how long stands in the params: one kernel joins partial results of all sizes.
COMBINE = (
    HEAD
    + """\
  %s0 = load i32, ptr %slots
  %s1a = getelementptr i32, ptr %slots, i64 1
  %s1 = load i32, ptr %s1a
  %p0a = getelementptr ptr, ptr %buffers, i32 %s0
  %out = load ptr, ptr %p0a
  %p1a = getelementptr ptr, ptr %buffers, i32 %s1
  %from = load ptr, ptr %p1a
  %chunks = load i64, ptr %params
  %sizea = getelementptr i64, ptr %params, i64 1
  %size = load i64, ptr %sizea
  %bytes = mul i64 %size, ALIGN
  call void @llvm.memcpy.p0.p0.i64(ptr %out, ptr %from, i64 %bytes, i1 false)
  br label %chunk
chunk:
  %c = phi i64 [ 1, %entry ], [ %cn, %next ]
  %start = mul i64 %c, %size
  %part = getelementptr TYPE, ptr %from, i64 %start
  br label %one
one:
  %j = phi i64 [ 0, %chunk ], [ %jn, %one ]
  %to = getelementptr TYPE, ptr %out, i64 %j
  %at = getelementptr TYPE, ptr %part, i64 %j
  %a = load TYPE, ptr %to, align ALIGN, !llvm.access.group !0
  %b = load TYPE, ptr %at, align ALIGN, !llvm.access.group !0
BODY
  store TYPE TOTAL, ptr %to, align ALIGN, !llvm.access.group !0
  %jn = add i64 %j, 1
  %jm = icmp slt i64 %jn, %size
  br i1 %jm, label %one, label %next, !llvm.loop !LOOP1!
next:
  %cn = add i64 %c, 1
  %cm = icmp slt i64 %cn, %chunks
  br i1 %cm, label %chunk, label %done
done:
  ret void
}"""
)


def filled(template: str, **words: object) -> str:
    """A template with its capital words replaced."""
    for word, value in words.items():
        template = template.replace(word, str(value))
    return template


def scattering(i: Instruction) -> str:
    """The kernel that adds rows of an array to those of zeros, for a range of columns."""
    x, rows, shape = i.args
    type = {"<f4": "float", "<f8": "double"}[x.dtype.str]
    return filled(
        SCATTER,
        TYPE=type,
        WIDTH=math.prod(shape[1:]),
        HEIGHT=shape[0],
        LAST=shape[0] - 1,
        COUNT=rows.size,
    )


def combining(v: Value, i: Instruction) -> str:
    """The kernel that joins the partial results of a reduction; its params are how many there are,
    and the elements of each.
    """
    w, dtype = Writer(), reduced_dtype(i)
    stored, held = MEMORY[code(v.dtype)], REGISTER[code(dtype)]
    x, y = Register(w, "%a", stored), Register(w, "%b", stored)
    if stored != held:
        x, y = (w.emit(f"icmp ne {stored} {n}, 0", held) for n in ("%a", "%b"))
    total = combine(w, i, dtype, x, y)
    if stored != held:
        total = w.convert(total, "zext", stored)
    text = filled(
        COMBINE,
        TYPE=stored,
        ALIGN=v.dtype.itemsize,
        BODY="\n".join(w.lines),
        TOTAL=total.name,
    )
    return "\n".join([*sorted(w.intrinsics), text])
