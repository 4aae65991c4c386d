"""Many streams worked as one batch, each with the numbers that it would have alone.

A stream is a lane: a row of state, and the steps that wait to be worked, in order. A batch takes
the lane that waits longest, and with it all lanes that have as many steps to be worked at once: the
largest power of two of what waits, and at most ``chunk``. So there are few sizes of batches, no
lane waits for the long sequences of another for longer than one batch takes, and none is passed
over.

Nothing here knows of a network, of threads or of time: ``batches`` are picked and settled by one
thread, and may be worked by another meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from t1c.bridge import GraphExecutor
from t1c.bridge.engine.state_checks import States
from t1c.ir.fields import Array

from .limits import Limits
from .ports import Ports
from .rows import Rows
from .stepping import Stepping

Named = dict[str, Array]
"""Arrays by the name of an Input or an Output."""


class Piece:
    """Steps of one lane that came together, and are answered together.

    Args:
        inputs: Input name -> (T, *shape).
        steps: T.
        done: called with this piece once it is worked, or failed.

    Attributes:
        error: why it failed; None if it did not.
    """

    def __init__(self, inputs: Named, steps: int, done: Callable[[Piece], object]) -> None:
        self.inputs, self.steps, self.done = inputs, steps, done
        self.taken = 0
        self.error: Exception | None = None
        self._parts: list[Named] = []
        self._worked = 0

    def add(self, part: Named, steps: int) -> bool:
        """Take in what came of the next steps; whether that was the last of it."""
        self._parts.append(part)
        self._worked += steps
        return self._worked == self.steps

    @property
    def outputs(self) -> Named:
        """Output name -> (T, *shape)."""
        if len(self._parts) > 1:
            names = self._parts[0]
            self._parts = [{n: np.concatenate([p[n] for p in self._parts]) for n in names}]
        return self._parts[0]


@dataclass(eq=False)
class Lane:
    """A stream, or a sample of a call: a row of state and what waits.

    Attributes:
        row: of the table of states.
        pieces: in the order in which they came; those of which all steps are taken are not here.
        waiting: steps in them.
        fresh: nothing was worked yet: the row is to start from rest.
        busy: a batch has it.
        closed: nobody waits for it any more.
    """

    row: int
    pieces: deque[Piece] = field(default_factory=deque)
    waiting: int = 0
    fresh: bool = True
    busy: bool = False
    closed: bool = False


@dataclass(frozen=True)
class Part:
    """What a batch takes of a piece: ``count`` steps from ``first`` on, placed at step ``at``."""

    piece: Piece
    first: int
    count: int
    at: int


@dataclass(frozen=True)
class Batch:
    """Lanes that are worked as one: ``steps`` each."""

    steps: int
    lanes: tuple[Lane, ...]
    parts: tuple[tuple[Part, ...], ...]
    fresh: tuple[int, ...]


class Batching:
    """Lanes of one network.

    Args:
        executor: the network.
        rest: its state before the first step, of one sample.
        inputs: what it takes.
        outputs: what it gives.
        limits: those of ``batch`` and ``chunk`` count here.
        rows: how many lanes there may be.

    Attributes:
        steps: that were worked, over all lanes.
        batches: that they took.
    """

    def __init__(
        self,
        executor: GraphExecutor,
        rest: States,
        inputs: Ports,
        outputs: Ports,
        limits: Limits,
        rows: int,
    ) -> None:
        self.inputs, self.outputs, self.limits = inputs, outputs, limits
        self._stepping = Stepping(executor, inputs, outputs)
        self.rows = Rows(rest, rows)
        self._ready: dict[Lane, None] = {}
        self.steps = self.batches = 0

    def warm_up(self) -> None:
        """Compile, and see what is faster, before anybody waits for it."""
        steps = self.limits.chunk
        self._stepping.warm_up(steps, self._lanes_at_once(steps), self.rows.at_rest)

    # Lanes -----------------------------------------------------------------------------------

    def open(self) -> Lane:
        """A lane at rest.

        Raises:
            InputError: there are as many as there may be.
        """
        return Lane(self.rows.take())

    def push(self, lane: Lane, inputs: Named, done: Callable[[Piece], object]) -> Piece:
        """Let steps wait behind those that wait already.

        Args:
            lane: that is open.
            inputs: Input name -> (T, *shape), T at least 1, of the network's dtype.
            done: called once they are worked; see ``Piece``.
        """
        assert not lane.closed
        piece = Piece(inputs, len(next(iter(inputs.values()))), done)
        lane.pieces.append(piece)
        lane.waiting += piece.steps
        if not lane.busy:
            self._ready[lane] = None
        return piece

    def close(self, lane: Lane) -> None:
        """Drop what waits, and free the row as soon as no batch has it."""
        if lane.closed:
            return
        lane.closed = True
        lane.pieces.clear()
        lane.waiting = 0
        self._ready.pop(lane, None)
        if not lane.busy:
            self.rows.free(lane.row)

    @property
    def waiting(self) -> int:
        """Steps that wait, over all lanes that no batch has."""
        return sum(lane.waiting for lane in self._ready)

    # Batches ---------------------------------------------------------------------------------

    def pick(self) -> Batch | None:
        """What is to be worked next; None if nothing waits.

        The lanes are busy until the batch is settled.
        """
        first = next(iter(self._ready), None)
        if first is None:
            return None
        steps = self._at_once(first)
        lanes, most = [], self._lanes_at_once(steps)
        for lane in self._ready:
            if self._at_once(lane) == steps:
                lanes.append(lane)
                if len(lanes) == most:
                    break
        for lane in lanes:
            del self._ready[lane]
            lane.busy = True
        fresh = tuple(lane.row for lane in lanes if lane.fresh)
        return Batch(steps, tuple(lanes), tuple(tuple(_take(x, steps)) for x in lanes), fresh)

    def work(self, batch: Batch) -> Named:
        """What comes of a batch: Output name -> (steps, lanes or more, *shape)."""
        index = self._stepping.index([lane.row for lane in batch.lanes])
        xs = self._stepping.room(batch.steps, len(index))
        for column, parts in enumerate(batch.parts):
            for part in parts:
                stop = part.first + part.count
                for name, x in xs.items():
                    x[part.at : part.at + part.count, column] = part.piece.inputs[name][
                        part.first : stop
                    ]
        if batch.fresh:
            self.rows.rest(batch.fresh)
        ys, after = self._stepping.run(xs, self.rows.gather(index))
        self.rows.put(index[: len(batch.lanes)], after)
        return ys

    def settle(self, batch: Batch, outputs: Named | Exception) -> None:
        """Hand out what came of a batch, or why nothing did.

        Where nothing did, the state of its lanes is not known: all that waits in them fails too.
        """
        for column, (lane, parts) in enumerate(zip(batch.lanes, batch.parts, strict=True)):
            lane.busy = False
            if lane.closed:
                self.rows.free(lane.row)
                continue
            if isinstance(outputs, Exception):
                pieces = dict.fromkeys([*(part.piece for part in parts), *lane.pieces])
                lane.pieces.clear()
                lane.waiting = 0
                for piece in pieces:
                    piece.error = outputs
                    piece.done(piece)
                continue
            lane.fresh = False
            if lane.waiting:
                self._ready[lane] = None
            for part in parts:
                stop = part.at + part.count
                # A copy: a view would keep what belongs to all.
                ys = {name: y[part.at : stop, column].copy() for name, y in outputs.items()}
                if part.piece.add(ys, part.count):
                    part.piece.done(part.piece)
        if not isinstance(outputs, Exception):
            self.batches += 1
            self.steps += batch.steps * len(batch.lanes)

    def round(self) -> bool:
        """Pick, work and settle one batch; whether there was one."""
        batch = self.pick()
        if batch is None:
            return False
        self.settle(batch, self.work(batch))
        return True

    def _lanes_at_once(self, steps: int) -> int:
        """How many lanes are worked as one: no more than one call's numbers, so that they fit."""
        size = steps * max(self.inputs.bytes, self.outputs.bytes)
        return max(1, min(self.limits.batch, self.limits.call // size))

    def _at_once(self, lane: Lane) -> int:
        """How many steps of a lane are worked at once: a power of two."""
        return min(self.limits.chunk, 1 << (lane.waiting.bit_length() - 1))


def _take(lane: Lane, steps: int) -> Iterator[Part]:
    """Take the next steps from what waits in a lane."""
    lane.waiting -= steps
    at = 0
    while at < steps:
        piece = lane.pieces[0]
        count = min(steps - at, piece.steps - piece.taken)
        yield Part(piece, piece.taken, count, at)
        piece.taken += count
        at += count
        if piece.taken == piece.steps:
            lane.pieces.popleft()
