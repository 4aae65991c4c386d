"""Why two sides part: hypotheses, each tested by running the graph with one thing changed."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from t1c.ir.errors import NodeError

from .changes import (
    Change,
    bias_changes,
    option_changes,
    parameter_changes,
    threshold_change,
    value_changes,
)
from .compare import Comparison, Place, compare
from .executors import ExecutorSide
from .rounding import evidence
from .trace import Side, Trace, Xs

THRESHOLDS_TRIED = 20


@dataclass(frozen=True)
class Cause:
    """A likely cause.

    Attributes:
        kind: 'rounding', 'reset', 'reset_delay', 'fires_at' (or several of these three joined by
            '+'), 'threshold', 'decay', 'weight', 'bias', another field's name, or 'shift'.
        nodes: the nodes that it is about.
        text: one sentence.
        explains: with the change made, no difference is left, or none beyond rounding.
        step: the first step that differs with the change made; None if none does.
    """

    kind: str
    nodes: tuple[str, ...]
    text: str
    explains: bool
    step: int | None


class Search:
    """Looks for what would make a graph do as the other side does.

    Args:
        side: the graph, of which changed copies are run.
        other: the other side.
        mine, theirs: what the two did.
        found: how these compare.
        place: the difference to be explained.
        xs: the input.
        tolerance: as for ``compare``.
    """

    def __init__(
        self,
        side: ExecutorSide,
        other: Side,
        mine: Trace,
        theirs: Trace,
        found: Comparison,
        place: Place,
        xs: Xs,
        tolerance: float,
    ) -> None:
        self.side, self.other = side, other
        self.mine, self.theirs = mine, theirs
        self.found, self.xs, self.tolerance = found, xs, tolerance
        self.place = place
        self.node = side.origin(place.node) if place.is_output else place.node
        self.tried = 0

    def causes(self) -> tuple[Cause, ...]:
        """The changes after which nothing differs; failing that, the one that comes nearest.

        Several changes may explain what was seen equally well; of those the smallest are told.
        """
        explaining = self._shifted()
        nearest, reach = [], self.found.reach
        by_size = sorted(self._changes(), key=lambda change: change.size)
        for size, changes in itertools.groupby(by_size, key=lambda change: change.size):
            for change in changes:
                result = self._run(change)
                if result is None:
                    continue
                if result.agrees:
                    explaining.append(self._cause(change, result))
                elif result.found.reach > reach:
                    nearest, reach = [self._cause(change, result)], result.found.reach
            if size == 1 and not explaining:
                explaining += self._threshold()
            if explaining:
                return tuple({(c.kind, c.nodes): c for c in reversed(explaining)}.values())[::-1]
        return tuple(nearest)

    def _changes(self) -> Iterator[Change]:
        yield from parameter_changes(self.side, self.other, self.node)
        yield from value_changes(self.side, self.other)
        yield from bias_changes(self.side, self.node, self.place, self.mine, self.theirs)
        yield from option_changes(self.side, self.node)

    def _cause(self, change: Change, result: _Result) -> Cause:
        step = result.found.places[0].step if result.found.places else None
        text = f"{self.other.name} acts as if {change.new}; {self.side.name} has {change.old}"
        return Cause(change.kind, change.nodes, text, result.agrees, step)

    def _run(self, change: Change) -> _Result | None:
        """Run the graph with the change made; None if it is not possible."""
        executor = copy.deepcopy(self.side.executor)
        try:
            change.apply(executor)
        except NodeError:
            return None  # out of range
        self.tried += 1
        side = self.side.changed(executor)
        trace = side.trace(self.xs)
        found = compare(trace, self.theirs, self.tolerance, self.found.nodes)
        agrees = all(
            evidence(place, trace, self.theirs, self.xs, side).rounding for place in found.places
        )
        return _Result(trace, found, agrees)

    def _threshold(self) -> list[Cause]:
        """Close in on the threshold of the node that parts, from the spikes alone.

        Where one side fires and the other does not, the membrane there bounds the threshold from
        above or below.
        """
        value = self.mine.thresholds.get(self.node)
        if value is None or not bool((value > 0).all()):
            return []
        low, high, factor = 0.0, math.inf, 1.0
        trace, place = self.mine, self.place
        for _ in range(THRESHOLDS_TRIED):
            seen = evidence(place, trace, self.theirs, self.xs, self.side)
            u, limit = seen.potentials[0], seen.threshold
            if place.what != "spike" or u is None or limit is None:
                return []
            if seen.values[0] > seen.values[1]:
                low = max(low, factor * u / limit)
            else:
                high = min(high, factor * u / limit)
            if not low < high:
                return []
            factor = low * 1.25 if high == math.inf else (low + high) / 2 if low else high * 0.8
            change = threshold_change(self.side, self.node, factor)
            result = self._run(change)
            if result is None:
                return []
            if result.agrees:
                return [self._cause(change, result)]
            trace, place = result.trace, result.found.places[0]
        return []

    def _shifted(self) -> list[Cause]:
        """Whether the outputs of one side are the other's, one step later."""
        found = []
        pairs = ((self.theirs, self.mine, self.other), (self.mine, self.theirs, self.side))
        for late, early, who in pairs:
            after = Trace({name: value[1:] for name, value in late.outputs.items()})
            before = Trace({name: value[:-1] for name, value in early.outputs.items()})
            moves = any(bool((value != value[:1]).any()) for value in after.outputs.values())
            if moves and not compare(after, before, self.tolerance, ()).places:
                text = f"the outputs of {who.name} come one step later"
                found.append(Cause("shift", (), text, True, None))
        return found


@dataclass(frozen=True)
class _Result:
    """What came of running a changed graph."""

    trace: Trace
    found: Comparison
    agrees: bool
