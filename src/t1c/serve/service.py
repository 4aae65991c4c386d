"""A network at everybody's service: one thread that works batches, for as many as ask.

Lanes are opened, filled and closed in the event loop; what they wait for is worked in a thread of
its own, one batch after another, while the loop reads and answers. While one batch is worked the
next one fills up: the more there is to do, the larger the batches.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from t1c.ir.errors import Problem
from t1c.sdk import Samples

from .batching import Batching, Lane, Named, Piece
from .limits import Limits
from .network import Served
from .refusals import RefusedError

T = TypeVar("T")

BRIEF = 2**15
"""Bytes that are read and written in the event loop: handing them over takes longer."""

log = logging.getLogger("t1c.serve")


class Stoppable(Protocol):
    """Somebody who is served, and can be asked to come to an end."""

    @property
    def pending(self) -> int:
        """What was taken and is not answered."""

    def stop(self) -> None:
        """Take no more; end when what was taken is answered."""


@dataclass
class Counts:
    """What a service did.

    Attributes:
        streams: that were opened.
        messages: of them that were answered.
        calls: that were answered.
        dropped: messages and calls that were accepted and not answered, because their client had
            gone.
        unanswered: likewise, because the service stopped before it was done with them.
    """

    streams: int = 0
    messages: int = 0
    calls: int = 0
    dropped: int = 0
    unanswered: int = 0


class Service:
    """One network, its lanes and those who are served.

    Args:
        served: the network.
        limits: what is taken on at most.

    Attributes:
        stopping: nobody is let in any more.
        counts: what was done.
    """

    def __init__(self, served: Served, limits: Limits) -> None:
        self.served, self.limits = served, limits
        # The batch that is at work may have lanes whose users have gone already.
        rows = limits.streams + (limits.calls + 1) * limits.batch
        self.batching = Batching(
            served.executor, served.rest(), served.inputs, served.outputs, limits, rows
        )
        self.counts = Counts()
        self.stopping = False
        self.streams: set[Stoppable] = set()
        self.calls = 0
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._aside = asyncio.Semaphore(1)

    # Work ------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Work batches as long as this lasts."""
        with ThreadPoolExecutor(1, "t1c-serve") as thread:
            task = asyncio.create_task(self._work(thread), name="t1c-serve batches")
            try:
                yield
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _work(self, thread: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = self.batching.pick()
            if batch is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            found: Named | Exception
            try:
                found = await loop.run_in_executor(thread, self.batching.work, batch)
            except Exception as error:
                log.exception("a batch of %d lanes failed", len(batch.lanes))
                found = error
            self.batching.settle(batch, found)

    def open(self) -> Lane:
        """A lane at rest, whose user closes it."""
        return self.batching.open()

    def close(self, lane: Lane) -> None:
        """Let go of a lane, whatever it waits for."""
        self.batching.close(lane)

    def ask(self, lane: Lane, inputs: Named) -> asyncio.Future[Named]:
        """What comes of steps (T, *shape) by Input name: Output name -> (T, *shape)."""
        future: asyncio.Future[Named] = asyncio.get_running_loop().create_future()

        def done(piece: Piece) -> None:
            if future.done():
                return
            if piece.error is None:
                future.set_result(piece.outputs)
            else:
                future.set_exception(piece.error)

        self.batching.push(lane, inputs, done)
        self._wake.set()
        return future

    async def run(self, samples: Samples) -> Named:
        """What comes of samples, all from rest: Output name -> (T, N, *shape)."""
        found: list[Named] = []
        for first in range(0, samples.count, self.limits.batch):
            last = min(first + self.limits.batch, samples.count)
            lanes = [self.open() for _ in range(first, last)]
            futures = []
            try:
                for n, lane in zip(range(first, last), lanes, strict=True):
                    own = {name: x[:, n] for name, x in samples.inputs.items()}
                    futures.append(self.ask(lane, own))
                found += await asyncio.gather(*futures)
            finally:
                for lane in lanes:
                    self.close(lane)
        return {name: np.stack([ys[name] for ys in found], axis=1) for name in found[0]}

    async def aside(self, size: int, function: Callable[..., T], *given: Any) -> T:
        """What a function makes of so many bytes; of many, in a thread, one after another.

        The loop goes on meanwhile, and no more than one large body at a time is Python objects.
        """
        if size <= BRIEF:
            return function(*given)
        async with self._aside:
            return await asyncio.to_thread(function, *given)

    # Who is served -----------------------------------------------------------------------------

    def refuse_if_stopping(self) -> None:
        """Let nobody in once the service is told to stop.

        Raises:
            RefusedError: it is.
        """
        if self.stopping:
            problem = Problem("the service is stopping", remedy="Ask another, or later.")
            raise RefusedError(503, problem, {"Connection": "close", "Retry-After": "5"})

    @contextlib.contextmanager
    def stream(self, stream: Stoppable) -> Iterator[None]:
        """Count a stream as long as this lasts.

        Raises:
            RefusedError: there are as many as there may be, or the service is stopping.
        """
        self.refuse_if_stopping()
        if len(self.streams) >= self.limits.streams:
            found, expected = f"{len(self.streams)} open", f"at most {self.limits.streams}"
            problem = Problem(f"{found} streams", expected, "Ask again when one is closed.")
            raise RefusedError(503, problem, {"Retry-After": "5"})
        self.counts.streams += 1
        self.streams.add(stream)
        self._empty.clear()
        try:
            yield
        finally:
            self.streams.discard(stream)
            self._left()

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """Count a call as long as this lasts.

        Raises:
            RefusedError: there are as many as there may be, or the service is stopping.
        """
        self.refuse_if_stopping()
        if self.calls >= self.limits.calls:
            found, expected = f"{self.calls} calls at work", f"at most {self.limits.calls}"
            problem = Problem(found, expected, "Ask again in a moment.")
            raise RefusedError(503, problem, {"Retry-After": "1"})
        self.calls += 1
        self._empty.clear()
        try:
            yield
        finally:
            self.calls -= 1
            self._left()

    def _left(self) -> None:
        if not self.streams and not self.calls:
            self._empty.set()

    async def stop(self) -> None:
        """Let nobody in, answer what was accepted, and end the streams; at most ``grace`` long."""
        self.stopping = True
        for stream in list(self.streams):
            stream.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), self.limits.grace)
        self.counts.unanswered += self.calls + sum(stream.pending for stream in self.streams)
