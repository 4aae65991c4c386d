"""A pool of scorers on this machine, each in a process of its own.

A worker says when it is ready and when it has begun, and is given a further shard only when it has
answered. One that dies is replaced, and its shard given to another; a shard at which several die
has failed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from t1c.ir.errors import Problem, T1CError, UnsupportedError

from .job import Job
from .scorer import Scorer, ShardScore
from .shards import Shard

TRIES = 3
"""Workers that a shard may cost before it has failed; or a start, before no more are hired."""

READY, BEGUN = "ready", "begun"
"""What a worker says before its first shard, and as it is given one."""


@dataclass
class Worker:
    """A process, and what it was given.

    Attributes:
        process: it.
        pipe: what it is told, and answers.
        shard: what it was given; None where it waits.
        ready: whether it can work.
        begun: whether it works its shard.
    """

    process: Any
    pipe: Connection
    shard: Shard | None = None
    ready: bool = False
    begun: bool = False


def score_here(job: Job, shards: Sequence[Shard], devices: Sequence[str]) -> Iterator[ShardScore]:
    """What became of each shard, as they are done.

    Args:
        job: the model and the options.
        shards: what is to be scored.
        devices: one for each worker; a single worker is this process.

    Raises:
        T1CError: no worker can be made ready.
    """
    if len(devices) == 1:
        scorer = Scorer(job, devices[0])
        yield from map(scorer.score, shards)
    else:
        yield from Pool(job, devices).score(shards)


class Pool:
    """Processes that score.

    Args:
        job: the model and the options.
        devices: one for each worker.
    """

    def __init__(self, job: Job, devices: Sequence[str]) -> None:
        self._job, self._devices = job, devices
        self._context = _context()
        self._lost: dict[Shard, int] = {}
        self._unready = 0

    def score(self, shards: Sequence[Shard]) -> Iterator[ShardScore]:
        """What became of each shard, as they are done.

        Raises:
            T1CError: no worker can be made ready.
        """
        waiting = deque(shards)
        workers = {number: self._hired(number) for number in range(len(self._devices))}
        try:
            while waiting or any(worker.shard for worker in workers.values()):
                heard = wait([worker.pipe for worker in workers.values()])
                for number, worker in list(workers.items()):
                    if worker.pipe not in heard:
                        continue
                    answer = _answer(worker)
                    if isinstance(answer, ShardScore):
                        assert worker.shard is not None
                        yield replace(answer, lost=self._lost.get(worker.shard, 0))
                        _give(worker, waiting)
                    elif answer == READY:
                        self._unready = 0
                        worker.ready = True
                        _give(worker, waiting)
                    elif answer == BEGUN:
                        worker.begun = True
                    else:
                        found = self._bury(workers.pop(number), waiting)
                        if found is not None:
                            yield found
                        if waiting:
                            workers[number] = self._hired(number)
        finally:
            for worker in workers.values():
                _dismiss(worker)

    def _hired(self, number: int) -> Worker:
        here, there = self._context.Pipe()
        given = there, self._job, self._devices[number]
        process = self._context.Process(target=_serve, args=given, daemon=True)
        process.start()
        # Only the worker has this end now, so that its death is the end of the pipe.
        there.close()
        return Worker(process, here)

    def _bury(self, worker: Worker, waiting: deque[Shard]) -> ShardScore | None:
        """Put the shard of a dead worker back; or say that it has failed.

        Raises:
            UnsupportedError: workers die before they are ready.
        """
        worker.process.join()
        worker.pipe.close()
        cause = _cause(worker.process.exitcode)
        self._unready += not worker.ready
        if self._unready >= TRIES * len(self._devices):
            raise UnsupportedError(
                Problem(f"workers die before they are ready, the last {cause}", "room for them")
            )
        shard = worker.shard
        if shard is None:
            return None
        lost = self._lost[shard] = self._lost.get(shard, 0) + worker.begun
        if lost < TRIES:
            waiting.appendleft(shard)
            return None
        said = f"{lost} workers died at it, the last {cause}"
        return ShardScore(shard.name, shard.results, "failed", error=said, lost=lost)


def _context() -> Any:
    """How workers come to be: forked by a process that has loaded torch once and worked nothing.

    A fork of this process would find locks held by threads that it does not have.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["t1c.bridge", "t1c.sdk"])
    return context


def _give(worker: Worker, waiting: deque[Shard]) -> None:
    worker.begun = False
    worker.shard = waiting.popleft() if waiting else None
    if worker.shard is not None:
        # A worker that is dead already tells by its silence.
        with contextlib.suppress(OSError):
            worker.pipe.send(worker.shard)


def _answer(worker: Worker) -> ShardScore | str | None:
    """What a worker says; None if it is dead.

    Raises:
        T1CError: it cannot work at all.
    """
    try:
        answer: ShardScore | str | T1CError = worker.pipe.recv()
    except (EOFError, OSError):
        return None
    if isinstance(answer, T1CError):
        raise answer
    return answer


def _dismiss(worker: Worker) -> None:
    """Have a worker end, and tidy up: at once, and then by force."""
    worker.process.terminate()
    worker.process.join(10)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()
    worker.pipe.close()


def _cause(status: int) -> str:
    if status >= 0:
        return f"with status {status}"
    name = signal.Signals(-status).name
    return f"by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _serve(pipe: Connection, job: Job, device: str) -> None:
    """The life of a worker: until it is told to end, or nobody is left to tell it."""
    # Who is told to end tidies up; an interrupt of the terminal is the parent's to act on.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        scorer = Scorer(job, device)
    except T1CError as error:
        pipe.send(UnsupportedError(error.problems))
        return
    pipe.send(READY)
    while True:
        try:
            shard = pipe.recv()
        except EOFError:
            return
        pipe.send(BEGUN)
        pipe.send(scorer.score(shard))
