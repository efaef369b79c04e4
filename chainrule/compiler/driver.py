"""The native half of the runtime, as LLVM IR: the loop over a program's records, and the workers.

A record is five words: kernel, slots, params, extent, grain. `drive` runs records in order, each in
chunks of `grain` units; where a record has several and there are workers, they and the calling
thread claim chunks from one counter.

The ticket is that counter: the number of the job in its upper bits, then where the chunks not yet
claimed end, then where they begin. The calling thread claims from the front, workers from the back,
so that the same parts of arrays go to the same cores from record to record; each claims its share
of what is left. A thread reads the ticket, then what the job is, then claims by
compare-and-exchange. That cannot succeed for another job, nor for one that is over: what the job is
changes only while no chunks are left to claim, and the number of the job with every job. So nobody
waits for a worker that sleeps or was set aside by the system, only for chunks begun; and a worker
that comes late finds nothing to do.

A worker without work looks for it for a short while, then sleeps on a condition variable. It counts
itself among the sleepers before it looks for the last time, and who publishes a job looks for
sleepers after: one of them sees the other.

One program at a time has the workers, per record; whoever finds them taken does all chunks alone.
Nothing of this process is in the text: functions of the interpreter, of the C library and of BLAS
are reached through a table, `cr.table`, that is filled in when the code is loaded.
"""

from __future__ import annotations

import platform

from . import blas, guards, lapack, loops

PYTHON = (  # functions of the interpreter
    "PyLong_FromSsize_t",
    "PyLong_AsSsize_t",
    "PyEval_SaveThread",
    "PyEval_RestoreThread",
    "PyErr_CheckSignals",
    "PyObject_CallNoArgs",
    *guards.PYTHON,
)
SYSTEM = (  # of the C library; without them there are no workers
    "pthread_mutex_lock",
    "pthread_mutex_unlock",
    "pthread_cond_wait",
    "pthread_cond_broadcast",
    "sched_yield",
    "sched_getcpu",  # null where there is none
    "sched_setaffinity",
)
THREADS = ("get_blas_threads", "set_blas_threads")  # of BLAS; null where it has none of the sort
OBJECTS = ("start_workers", *guards.OBJECTS)  # Python's

# words of a program, in `Plan.words`
RECORDS, COUNT, BUFFERS, ARGUMENTS, ARGUMENT_COUNT, FLAGS, BUSY, STAMPS = range(8)
RELEASE, PARALLEL, BLAS = (
    1,
    2,
    4,
)  # FLAGS: let the interpreter lock go; has chunks to share; calls BLAS
ERROR, VALUE = 8, 9  # which error a kernel has found, and the number that it is about
WRONG_COUNT, IN_USE, INTERRUPTED, FAILED = (  # what entering or driving returns but for a record
    -1,
    -2,
    -3,
    -4,
)

# words of a pool, a cache line (8 words) for each that other threads write
OWNER, WORKERS, SPINS = 0, 1, 2
TICKET, STOP = 8, 9
JOB_RECORD, JOB_BUFFERS, JOB_THREADS, JOB_CPU = 16, 17, 18, 19
DONE = 24
SLEEPERS, WAKE = 32, 33
MUTEX, CONDITION = 40, 48
CPUS = 64  # the set of CPUs this process may use, as sched_setaffinity takes it
CPU_WORDS = 16
POOL_WORDS = 80
CHUNK_BITS = 18
MOST = (1 << CHUNK_BITS) - 1  # chunks of a record

X86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")
PAUSE = "call void @llvm.x86.sse2.pause()" if X86 else "call void @llvm.aarch64.hint(i32 1)"
CLOCK = "@llvm.readcyclecounter()" if X86 else "@llvm.readsteadycounter()"
TICKS = 1 << (28 if X86 else 24)  # about a tenth of a second between looks at signals


NAMES = (*PYTHON, *SYSTEM, *THREADS, *OBJECTS, *blas.ROUTINES)  # what `cr.table` holds


def entry(name: str) -> str:
    """The place in `cr.table` of an address, as a constant of LLVM."""
    kind = f"[{len(NAMES)} x ptr]"
    return f"getelementptr inbounds ({kind}, ptr @cr.table, i64 0, i64 {NAMES.index(name)})"


def word(name: str, of: str, index: int) -> str:
    """The line that names the address of a word."""
    return f"%{name} = getelementptr i64, ptr {of}, i64 {index}"


CHUNK = f"""
define void @cr.nothing(ptr %b, ptr %s, ptr %p, i64 %begin, i64 %end) nounwind {{
  ret void
}}

define internal void @chunk(ptr %buffers, ptr %record, i64 %index) nounwind {{
  %kernel = load ptr, ptr %record
  {word("slots_at", "%record", 1)}
  %slots = load ptr, ptr %slots_at
  {word("params_at", "%record", 2)}
  %params = load ptr, ptr %params_at
  {word("extent_at", "%record", 3)}
  %extent = load i64, ptr %extent_at
  {word("grain_at", "%record", 4)}
  %grain = load i64, ptr %grain_at
  %begin = mul i64 %index, %grain
  %next = add i64 %begin, %grain
  %end = call i64 @llvm.smin.i64(i64 %next, i64 %extent)
  call void %kernel(ptr %buffers, ptr %slots, ptr %params, i64 %begin, i64 %end)
  ret void
}}
"""

# Does some chunks of the pool's job, from its front or its back: says how many, 0 if none are left,
# -1 if another was quicker.
CLAIM = f"""
define internal i64 @claim(ptr %pool, i1 %front) nounwind {{
  {word("ticket_at", "%pool", TICKET)}
  %ticket = load atomic i64, ptr %ticket_at acquire, align 8
  %low = and i64 %ticket, {MOST}
  %above = lshr i64 %ticket, {CHUNK_BITS}
  %high = and i64 %above, {MOST}
  %left = sub i64 %high, %low
  %none = icmp eq i64 %left, 0
  br i1 %none, label %nothing, label %try
try:
  {word("record_at", "%pool", JOB_RECORD)}
  %record = load atomic ptr, ptr %record_at monotonic, align 8
  {word("buffers_at", "%pool", JOB_BUFFERS)}
  %buffers = load atomic ptr, ptr %buffers_at monotonic, align 8
  {word("threads_at", "%pool", JOB_THREADS)}
  %threads = load atomic i64, ptr %threads_at monotonic, align 8
  %fair = udiv i64 %left, %threads
  %some = icmp ne i64 %fair, 0
  %count = select i1 %some, i64 %fair, i64 1
  %less = sub i64 %high, %count
  %first = select i1 %front, i64 %low, i64 %less
  %lower = add i64 %ticket, %count
  %taken = shl i64 %count, {CHUNK_BITS}
  %upper = sub i64 %ticket, %taken
  %rest = select i1 %front, i64 %lower, i64 %upper
  %got = cmpxchg ptr %ticket_at, i64 %ticket, i64 %rest acq_rel monotonic
  %mine = extractvalue {{ i64, i1 }} %got, 1
  br i1 %mine, label %run, label %lost
run:
  %end = add i64 %first, %count
  br label %one
one:
  %i = phi i64 [ %first, %run ], [ %next, %one ]
  call void @chunk(ptr %buffers, ptr %record, i64 %i)
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %end
  br i1 %more, label %one, label %done
done:
  ret i64 %count
lost:
  ret i64 -1
nothing:
  ret i64 0
}}
"""


# Wake every sleeping worker.
WAKE_ALL = f"""
define void @cr.wake(ptr %pool) nounwind {{
  {word("mutex", "%pool", MUTEX)}
  {word("condition", "%pool", CONDITION)}
  {word("wake_at", "%pool", WAKE)}
  %lock = load ptr, ptr {entry("pthread_mutex_lock")}
  call i32 %lock(ptr %mutex)
  %old = load i64, ptr %wake_at
  %new = add i64 %old, 1
  store i64 %new, ptr %wake_at
  %broadcast = load ptr, ptr {entry("pthread_cond_broadcast")}
  call i32 %broadcast(ptr %condition)
  %unlock = load ptr, ptr {entry("pthread_mutex_unlock")}
  call i32 %unlock(ptr %mutex)
  ret void
}}
"""


# Leave the CPU of the thread that is being helped, where the system put both on one: neither
# would gain, and it may be milliseconds until the system sees it.
MOVE = f"""
define internal void @move(ptr %pool) nounwind {{
  %set = alloca [{CPU_WORDS} x i64]
  %get_cpu = load ptr, ptr {entry("sched_getcpu")}
  %known = icmp ne ptr %get_cpu, null
  br i1 %known, label %compare, label %done
compare:
  {word("cpu_at", "%pool", JOB_CPU)}
  %theirs = load atomic i64, ptr %cpu_at monotonic, align 8
  %own = call i32 %get_cpu()
  %mine = sext i32 %own to i64
  %same = icmp eq i64 %theirs, %mine
  %most = icmp ult i64 %mine, {CPU_WORDS * 64}
  %both = and i1 %same, %most
  br i1 %both, label %leave, label %done
leave:
  {word("all", "%pool", CPUS)}
  call void @llvm.memcpy.p0.p0.i64(ptr %set, ptr %all, i64 {CPU_WORDS * 8}, i1 false)
  %index = lshr i64 %mine, 6
  %at = getelementptr i64, ptr %set, i64 %index
  %bits = load i64, ptr %at
  %shift = and i64 %mine, 63
  %bit = shl i64 1, %shift
  %flip = xor i64 %bit, -1
  %rest = and i64 %bits, %flip
  store i64 %rest, ptr %at
  %assign = load ptr, ptr {entry("sched_setaffinity")}
  call i32 %assign(i32 0, i64 {CPU_WORDS * 8}, ptr %set)
  br label %done
done:
  ret void
}}
"""


# What a worker does all its life; and `cr.spin`, by which its patience is measured.
WORK = f"""
define void @cr.spin(i64 %times) nounwind {{
  br label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %next, %loop ]
  {PAUSE}
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %times
  br i1 %more, label %loop, label %done
done:
  ret void
}}

define ptr @cr.work(ptr %pool) nounwind {{
  {word("stop_at", "%pool", STOP)}
  {word("spins_at", "%pool", SPINS)}
  {word("ticket_at", "%pool", TICKET)}
  {word("done_at", "%pool", DONE)}
  {word("sleepers_at", "%pool", SLEEPERS)}
  {word("wake_at", "%pool", WAKE)}
  {word("mutex", "%pool", MUTEX)}
  {word("condition", "%pool", CONDITION)}
  %patience = load i64, ptr %spins_at
  br label %look
look:
  %spins = phi i64 [ 0, %0 ], [ 0, %did ], [ 0, %missed ], [ %more, %again ], [ 0, %awake ]
  %stop = load atomic i64, ptr %stop_at acquire, align 8
  %stopping = icmp ne i64 %stop, 0
  br i1 %stopping, label %over, label %try
try:
  %got = call i64 @claim(ptr %pool, i1 false)
  switch i64 %got, label %did [ i64 -1, label %missed
                                i64 0, label %none ]
did:
  atomicrmw add ptr %done_at, i64 %got release
  br label %look
missed:
  br label %look
none:
  %tired = icmp sge i64 %spins, %patience
  br i1 %tired, label %lie, label %pause
pause:
  {PAUSE}
  %more = add i64 %spins, 1
  %beat = and i64 %more, 255
  %turn = icmp eq i64 %beat, 0
  br i1 %turn, label %shift, label %again
shift:
  call void @move(ptr %pool)
  br label %again
again:
  br label %look
lie:
  %lock = load ptr, ptr {entry("pthread_mutex_lock")}
  call i32 %lock(ptr %mutex)
  atomicrmw add ptr %sleepers_at, i64 1 seq_cst
  %seen = load i64, ptr %wake_at
  br label %check
check:
  %wake = load i64, ptr %wake_at
  %same = icmp eq i64 %wake, %seen
  %ticket = load atomic i64, ptr %ticket_at seq_cst, align 8
  %low = and i64 %ticket, {MOST}
  %above = lshr i64 %ticket, {CHUNK_BITS}
  %high = and i64 %above, {MOST}
  %empty = icmp eq i64 %low, %high
  %end = load atomic i64, ptr %stop_at seq_cst, align 8
  %going = icmp eq i64 %end, 0
  %quiet = and i1 %same, %empty
  %asleep = and i1 %quiet, %going
  br i1 %asleep, label %wait, label %awake
wait:
  %wait_for = load ptr, ptr {entry("pthread_cond_wait")}
  call i32 %wait_for(ptr %condition, ptr %mutex)
  br label %check
awake:
  atomicrmw sub ptr %sleepers_at, i64 1 seq_cst
  %unlock = load ptr, ptr {entry("pthread_mutex_unlock")}
  call i32 %unlock(ptr %mutex)
  call void @move(ptr %pool)
  br label %look
over:
  ret ptr null
}}
"""


# Run a record of several chunks: with the workers if they can be had, else alone.
SHARE = f"""
define internal void @alone(ptr %buffers, ptr %record, i64 %chunks) nounwind {{
  br label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %next, %loop ]
  call void @chunk(ptr %buffers, ptr %record, i64 %i)
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %chunks
  br i1 %more, label %loop, label %done
done:
  ret void
}}

define internal void @share(ptr %buffers, ptr %record, i64 %chunks) nounwind {{
  %pool = load atomic ptr, ptr @cr.pool acquire, align 8
  %nobody = icmp eq ptr %pool, null
  br i1 %nobody, label %single, label %ask
ask:
  {word("workers_at", "%pool", WORKERS)}
  %workers = load i64, ptr %workers_at
  %any = icmp ne i64 %workers, 0
  br i1 %any, label %own, label %single
own:
  %got = cmpxchg ptr %pool, i64 0, i64 1 acquire monotonic
  %mine = extractvalue {{ i64, i1 }} %got, 1
  br i1 %mine, label %publish, label %single
single:
  call void @alone(ptr %buffers, ptr %record, i64 %chunks)
  ret void
publish:
  {word("done_at", "%pool", DONE)}
  store atomic i64 0, ptr %done_at monotonic, align 8
  {word("record_at", "%pool", JOB_RECORD)}
  store atomic ptr %record, ptr %record_at monotonic, align 8
  {word("buffers_at", "%pool", JOB_BUFFERS)}
  store atomic ptr %buffers, ptr %buffers_at monotonic, align 8
  %threads = add i64 %workers, 1
  {word("threads_at", "%pool", JOB_THREADS)}
  store atomic i64 %threads, ptr %threads_at monotonic, align 8
  %get_cpu = load ptr, ptr {entry("sched_getcpu")}
  %known = icmp ne ptr %get_cpu, null
  br i1 %known, label %place, label %offer
place:
  {word("cpu_at", "%pool", JOB_CPU)}
  %cpu = call i32 %get_cpu()
  %cpu64 = sext i32 %cpu to i64
  store atomic i64 %cpu64, ptr %cpu_at monotonic, align 8
  br label %offer
offer:
  {word("ticket_at", "%pool", TICKET)}
  %old = load atomic i64, ptr %ticket_at monotonic, align 8
  %number = lshr i64 %old, {2 * CHUNK_BITS}
  %another = add i64 %number, 1
  %upper = shl i64 %another, {2 * CHUNK_BITS}
  %all = shl i64 %chunks, {CHUNK_BITS}
  %ticket = or i64 %upper, %all
  store atomic i64 %ticket, ptr %ticket_at seq_cst, align 8
  {word("sleepers_at", "%pool", SLEEPERS)}
  %sleepers = load atomic i64, ptr %sleepers_at seq_cst, align 8
  %asleep = icmp ne i64 %sleepers, 0
  br i1 %asleep, label %wake, label %join
wake:
  call void @cr.wake(ptr %pool)
  br label %join
join:
  %count = phi i64 [ 0, %offer ], [ 0, %wake ], [ %after, %joined ]
  %did = call i64 @claim(ptr %pool, i1 true)
  %none = icmp eq i64 %did, 0
  br i1 %none, label %barrier, label %joined
joined:
  %add = call i64 @llvm.smax.i64(i64 %did, i64 0)
  %after = add i64 %count, %add
  br label %join
barrier:
  %others = sub i64 %chunks, %count
  br label %wait
wait:
  %spins = phi i64 [ 0, %barrier ], [ %next, %pause ], [ 0, %yield ]
  %done = load atomic i64, ptr %done_at acquire, align 8
  %over = icmp eq i64 %done, %others
  br i1 %over, label %leave, label %still
still:
  %long = icmp sgt i64 %spins, 1000
  br i1 %long, label %yield, label %pause
pause:
  {PAUSE}
  %next = add i64 %spins, 1
  br label %wait
yield:
  %give = load ptr, ptr {entry("sched_yield")}
  call i32 %give()
  br label %wait
leave:
  store atomic i64 0, ptr %pool release, align 8
  ret void
}}
"""


# Run records from `start`: 0 at the end, i + 1 at a record i without kernel, INTERRUPTED with an
# exception set and the interpreter lock held. `state` is where the thread's state is kept while
# the lock is let go, null if it is held. Where the program has STAMPS, the clock's count after each
# record is written there.
DRIVE = f"""
define internal i64 @drive(ptr %program, i64 %start, ptr %state) nounwind {{
  %records = load ptr, ptr %program
  {word("count_at", "%program", COUNT)}
  %count = load i64, ptr %count_at
  {word("buffers_at", "%program", BUFFERS)}
  %buffers = load ptr, ptr %buffers_at
  {word("error_at", "%program", ERROR)}
  {word("stamps_at", "%program", STAMPS)}
  %stamps = load ptr, ptr %stamps_at
  %timed = icmp ne ptr %stamps, null
  %begun = call i64 {CLOCK}
  br label %step
step:
  %i = phi i64 [ %start, %0 ], [ %next, %check ], [ %next, %quiet ]
  %since = phi i64 [ %begun, %0 ], [ %since, %check ], [ %now, %quiet ]
  %more = icmp slt i64 %i, %count
  %error = load i64, ptr %error_at
  %fine = icmp eq i64 %error, 0
  %go = and i1 %more, %fine
  br i1 %go, label %look, label %finished
look:
  %next = add i64 %i, 1
  %record = getelementptr [5 x i64], ptr %records, i64 %i
  %kernel = load ptr, ptr %record
  %stop = icmp eq ptr %kernel, null
  br i1 %stop, label %stopped, label %measure
measure:
  {word("extent_at", "%record", 3)}
  %extent = load i64, ptr %extent_at
  {word("grain_at", "%record", 4)}
  %grain = load i64, ptr %grain_at
  %whole = icmp sle i64 %extent, %grain
  br i1 %whole, label %one, label %several
one:
  call void @chunk(ptr %buffers, ptr %record, i64 0)
  br label %ran
several:
  %most = add i64 %extent, %grain
  %last = sub i64 %most, 1
  %chunks = sdiv i64 %last, %grain
  call void @share(ptr %buffers, ptr %record, i64 %chunks)
  br label %ran
ran:
  %now = call i64 {CLOCK}
  br i1 %timed, label %stamp, label %check
stamp:
  %stamp_at = getelementptr i64, ptr %stamps, i64 %i
  store i64 %now, ptr %stamp_at
  br label %check
check:
  %spent = sub i64 %now, %since
  %long = icmp sgt i64 %spent, {TICKS}
  br i1 %long, label %signals, label %step
signals:
  %free = icmp ne ptr %state, null
  br i1 %free, label %take, label %ask
take:
  %saved = load ptr, ptr %state
  %restore = load ptr, ptr {entry("PyEval_RestoreThread")}
  call void %restore(ptr %saved)
  br label %ask
ask:
  %look_up = load ptr, ptr {entry("PyErr_CheckSignals")}
  %raised = call i32 %look_up()
  %bad = icmp ne i32 %raised, 0
  br i1 %bad, label %interrupted, label %well
well:
  br i1 %free, label %give, label %quiet
give:
  %save = load ptr, ptr {entry("PyEval_SaveThread")}
  %new = call ptr %save()
  store ptr %new, ptr %state
  br label %quiet
quiet:
  br label %step
stopped:
  ret i64 %next
finished:
  %result = select i1 %fine, i64 0, i64 {FAILED}
  ret i64 %result
interrupted:
  ret i64 {INTERRUPTED}
}}
"""


# Run a program from `start`, with the interpreter lock held at both ends, and answer Python.
CONTINUE = f"""
define internal void @blas_alone() nounwind {{
  %users = load i64, ptr @cr.blas_users
  %more = add i64 %users, 1
  store i64 %more, ptr @cr.blas_users
  %get = load ptr, ptr {entry("get_blas_threads")}
  %first = icmp eq i64 %users, 0
  %known = icmp ne ptr %get, null
  %act = and i1 %first, %known
  br i1 %act, label %one, label %done
one:
  %threads = call i32 %get()
  %wide = sext i32 %threads to i64
  store i64 %wide, ptr @cr.blas_threads
  %set = load ptr, ptr {entry("set_blas_threads")}
  call void %set(i32 1)
  br label %done
done:
  ret void
}}

define internal void @blas_as_before() nounwind {{
  %users = load i64, ptr @cr.blas_users
  %less = sub i64 %users, 1
  store i64 %less, ptr @cr.blas_users
  %set = load ptr, ptr {entry("set_blas_threads")}
  %last = icmp eq i64 %less, 0
  %known = icmp ne ptr %set, null
  %act = and i1 %last, %known
  br i1 %act, label %back, label %done
back:
  %wide = load i64, ptr @cr.blas_threads
  %threads = trunc i64 %wide to i32
  call void %set(i32 %threads)
  br label %done
done:
  ret void
}}

define internal ptr @continue(ptr %program, i64 %start) nounwind {{
  %state = alloca ptr
  {word("flags_at", "%program", FLAGS)}
  %flags = load i64, ptr %flags_at
  {word("busy_at", "%program", BUSY)}
  %parallel_bit = and i64 %flags, {PARALLEL}
  %parallel = icmp ne i64 %parallel_bit, 0
  %blas_bit = and i64 %flags, {BLAS}
  %blas = icmp ne i64 %blas_bit, 0
  %pool = load ptr, ptr @cr.pool
  %nobody = icmp eq ptr %pool, null
  %hire = and i1 %parallel, %nobody
  br i1 %hire, label %start_workers, label %prepare
start_workers:
  %call = load ptr, ptr {entry("PyObject_CallNoArgs")}
  %starter = load ptr, ptr {entry("start_workers")}
  %none = call ptr %call(ptr %starter)
  %failed = icmp eq ptr %none, null
  br i1 %failed, label %raise, label %prepare
prepare:
  br i1 %blas, label %quieten, label %choose
quieten:
  call void @blas_alone()
  br label %choose
choose:
  %release_bit = and i64 %flags, {RELEASE}
  %release = icmp ne i64 %release_bit, 0
  br i1 %release, label %freely, label %holding
freely:
  %save = load ptr, ptr {entry("PyEval_SaveThread")}
  %thread = call ptr %save()
  store ptr %thread, ptr %state
  %stop1 = call i64 @drive(ptr %program, i64 %start, ptr %state)
  %held = icmp eq i64 %stop1, {INTERRUPTED}
  br i1 %held, label %ran, label %take
take:
  %back = load ptr, ptr %state
  %restore = load ptr, ptr {entry("PyEval_RestoreThread")}
  call void %restore(ptr %back)
  br label %ran
holding:
  %stop2 = call i64 @drive(ptr %program, i64 %start, ptr null)
  br label %ran
ran:
  %stop = phi i64 [ %stop1, %freely ], [ %stop1, %take ], [ %stop2, %holding ]
  br i1 %blas, label %loosen, label %answer
loosen:
  call void @blas_as_before()
  br label %answer
answer:
  %interrupted = icmp eq i64 %stop, {INTERRUPTED}
  br i1 %interrupted, label %raise, label %box
box:
  %ended = icmp eq i64 %stop, 0
  br i1 %ended, label %leave, label %tell
leave:
  store i64 0, ptr %busy_at
  br label %tell
tell:
  %make = load ptr, ptr {entry("PyLong_FromSsize_t")}
  %result = call ptr %make(i64 %stop)
  ret ptr %result
raise:
  store i64 0, ptr %busy_at
  ret ptr null
}}
"""


# The builtins enter(*arrays) and resume(start); their `self` is the array of a program's words.
ENTER = f"""
define ptr @cr.enter(ptr %self, ptr %arrays, i64 %count) nounwind {{
  %offset = load i64, ptr @cr.data_offset
  %program_at = getelementptr i8, ptr %self, i64 %offset
  %program = load ptr, ptr %program_at
  {word("wanted_at", "%program", ARGUMENT_COUNT)}
  %wanted = load i64, ptr %wanted_at
  %enough = icmp eq i64 %count, %wanted
  br i1 %enough, label %claim, label %refuse
claim:
  {word("busy", "%program", BUSY)}
  %old = atomicrmw xchg ptr %busy, i64 1 acquire
  %mine = icmp eq i64 %old, 0
  br i1 %mine, label %bind, label %refuse
refuse:
  %why = phi i64 [ {WRONG_COUNT}, %0 ], [ {IN_USE}, %claim ]
  %box = load ptr, ptr {entry("PyLong_FromSsize_t")}
  %answer = call ptr %box(i64 %why)
  ret ptr %answer
bind:
  {word("buffers_at", "%program", BUFFERS)}
  %buffers = load ptr, ptr %buffers_at
  {word("slots_at", "%program", ARGUMENTS)}
  %slots = load ptr, ptr %slots_at
  br label %more
more:
  %i = phi i64 [ 0, %bind ], [ %next, %one ]
  %left = icmp slt i64 %i, %count
  br i1 %left, label %one, label %go
one:
  %array_at = getelementptr ptr, ptr %arrays, i64 %i
  %array = load ptr, ptr %array_at
  %data_at = getelementptr i8, ptr %array, i64 %offset
  %data = load ptr, ptr %data_at
  %slot_at = getelementptr i32, ptr %slots, i64 %i
  %slot = load i32, ptr %slot_at
  %place = getelementptr ptr, ptr %buffers, i32 %slot
  store ptr %data, ptr %place
  %next = add i64 %i, 1
  br label %more
go:
  %result = call ptr @continue(ptr %program, i64 0)
  ret ptr %result
}}

define ptr @cr.resume(ptr %self, ptr %start) nounwind {{
  %offset = load i64, ptr @cr.data_offset
  %program_at = getelementptr i8, ptr %self, i64 %offset
  %program = load ptr, ptr %program_at
  %unbox = load ptr, ptr {entry("PyLong_AsSsize_t")}
  %i = call i64 %unbox(ptr %start)
  %result = call ptr @continue(ptr %program, i64 %i)
  ret ptr %result
}}
"""

GLOBALS = f"""
@cr.table = global [{len(NAMES)} x ptr] zeroinitializer
@cr.data_offset = global i64 0
@cr.pool = global ptr null
@cr.blas_users = global i64 0
@cr.blas_threads = global i64 0
declare {PAUSE[5:].replace("i32 1", "i32")}
declare i64 {CLOCK}
declare i64 @llvm.smin.i64(i64, i64)
declare i64 @llvm.smax.i64(i64, i64)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
"""


def text() -> str:
    """The runtime's module: the driver, the products, calls of LAPACK."""
    parts = [GLOBALS, CHUNK, CLAIM, WAKE_ALL, MOVE, WORK, SHARE, DRIVE, CONTINUE, ENTER]
    return "\n".join([*parts, guards.text(entry), blas.text(entry), lapack.text(), loops.text()])
