"""How torch's threads wait between their tasks: awake on a quiet machine, asleep on a busy one.

GNU's OpenMP lets a thread without work look for more for some milliseconds before it sleeps. Where
other processes want the same cores, that uses up its share of them, and it comes late to real work:
runs take several times as long. It cuts this short by itself while it manages more threads than
there are processors, as its manual says of ``GOMP_SPINCOUNT``: so a thread more, which sleeps, is
kept for as long as the machine is busy. It is told by how often the process had to leave a
processor although it had work.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

EVERY = 0.05
"""Seconds between two looks."""
BUSY, QUIET = 80.0, 20.0
"""Times a second that a process is put aside: on a busy machine more, on a quiet one less."""
PATIENCE = 1.0
"""Seconds of quiet after which threads wait awake again."""
VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""What a user says about waiting; then nothing is done here."""
MOST = 16
"""Threads that are kept asleep: a process that uses few of many processors does without."""


class Waiting:
    """The threads of one process.

    Args:
        region: runs a parallel region of so many threads that do nothing; None: there is no such.
        count: how many threads a region has that exceeds the processors, those of torch counted.
        put_aside: how often the process had to leave a processor so far.
        clock: seconds.
    """

    def __init__(
        self,
        region: Callable[[int], None] | None,
        count: Callable[[], int],
        put_aside: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._region = None if any(name in os.environ for name in VARIABLES) else region
        self._count, self._put_aside, self._clock = count, put_aside, clock
        self._looked = self._calm = clock()
        self._times = put_aside()
        self._leave: threading.Event | None = None
        self._looking = threading.Lock()

    @property
    def asleep(self) -> bool:
        """Whether threads sleep as soon as they have no work."""
        return self._leave is not None

    def look(self) -> None:
        """Choose anew, if the last look was a while ago."""
        now = self._clock()
        if self._region is None or now - self._looked < EVERY:
            return
        if not self._looking.acquire(blocking=False):
            return
        try:
            times = self._put_aside()
            rate = (times - self._times) / (now - self._looked)
            self._looked, self._times = now, times
            if rate > QUIET:
                self._calm = now
            if rate > BUSY and not self.asleep:
                self._sleep(self._region, self._count())
            elif self.asleep and now - self._calm > PATIENCE:
                self.wake()
        finally:
            self._looking.release()

    def wake(self) -> None:
        """Let threads wait awake, as they do by themselves."""
        if self._leave is not None:
            self._leave.set()
            self._leave = None

    def _sleep(self, region: Callable[[int], None], threads: int) -> None:
        if threads > MOST:
            return
        leave = self._leave = threading.Event()

        def stay() -> None:
            # The threads of a region belong to the one that opened it, and end with it.
            region(threads)
            leave.wait()

        threading.Thread(target=stay, name="t1c-waiting", daemon=True).start()
