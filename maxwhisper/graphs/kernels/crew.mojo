"""Threads that share the chunks of a kernel's phases.

A thread takes the next chunk that nobody has taken, and the next phase begins when all chunks of
the last are done. A thread only ever waits for chunks that another is computing, so a thread that
starts late, or never, holds up nothing.
"""

from std.atomic import Atomic
from std.ffi import external_call

comptime PATIENCE = 2000  # looks at a counter, about 10 us: ten times the wait on an idle machine


@fieldwise_init
struct Crew[origin: MutOrigin](TrivialRegisterPassable):
    """For each phase, how many chunks were taken and how many are done: two counters, 0 at first."""

    var counters: Pointer[Int64, Self.origin]

    @always_inline
    def take(self, phase: Int) -> Int:
        """The next chunk of a phase; past the last one when all are taken."""
        return Int(Atomic.fetch_add(self.counters.unsafe_offset(2 * phase), Int64(1)))

    @always_inline
    def finish(self, phase: Int):
        _ = Atomic.fetch_add(self.counters.unsafe_offset(2 * phase + 1), Int64(1))

    @always_inline
    def wait(self, phase: Int, n_chunks: Int):
        """Until all chunks of a phase are done. On a busy machine the thread that computes one may
        have been suspended: give it this thread's processor."""
        var looks = 0
        while Int(Atomic.load(self.counters.unsafe_offset(2 * phase + 1))) < n_chunks:
            looks += 1
            if looks > PATIENCE:
                _ = external_call["sched_yield", Int32]()
