"""Between which bounds, and on which grid, the numbers of a graph lie: told without running it.

Intervals (``ir.interval``) are sent along the edges, each node by the rule of its primitive, and
what is carried from step to step grows until another step adds nothing: then the bounds hold at
every step of every run. A bound that keeps growing is doubled, and past the largest it is none.
This is what proves that a sum cannot leave its accumulator, which integers a C program needs, and
in which floating-point format a graph of integers is worked exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .errors import GraphError, Problem
from .graph import Graph
from .interval import EMPTY, UNKNOWN, ZERO, Interval
from .node import Bounds
from .primitives.border import Input
from .shapes import Shape, as_shape
from .topology import Topology

PATIENCE = 3
"""After so many rounds, what still grows is doubled."""
LARGEST = 2.0**52
"""A bound that grows beyond this is none: soon float64 could not tell that it still grows."""
GRIDS = (1.0, 2.0**-8, 2.0**-16, 2.0**-32)
"""A grid that keeps getting finer is taken for the next of these, and past the last for none."""
TIGHTENING = 2
"""Rounds that make doubled bounds tighter again."""

MANTISSA = {"bfloat16": 8, "float16": 11, "float32": 24, "float64": 53}
"""Float format -> bits of a number that it holds exactly."""


@dataclass(frozen=True)
class NodeRange:
    """What is known of one node.

    Attributes:
        arriving: what the edges into it become.
        sent: what leaves it, at each of its outputs.
        state: what it carries from step to step, in the order of its state variables.
        span: the largest magnitude, counted in units of the grid, of any number that it works
            with; see ``Interval``. Infinite where its numbers are real or unbounded.
    """

    arriving: Interval
    sent: tuple[Interval, ...]
    state: Bounds = ()
    span: float = math.inf

    @property
    def whole(self) -> bool:
        """Whether all that it sends are integers."""
        return all(each.whole for each in self.sent)

    @property
    def exact(self) -> bool:
        """Whether a float format with enough bits works it exactly."""
        return math.isfinite(self.span)


class Ranges(Mapping[str, NodeRange]):
    """What is known of the nodes of a graph, by their names in ``graph.flat()``.

    Bounds are those of exact arithmetic: numbers on no grid, which are rounded, may be past them by
    as much as that.

    Args:
        graph: the graph.
        inputs: Input name -> what arrives there; those left out may be any real numbers.

    Example:
        >>> import numpy as np
        >>> from t1c import ir
        >>> graph = ir.Graph(
        ...     {"in": ir.Input((3,)),
        ...      "fc": ir.Affine(np.array([[3, -5, 1]], np.int8), np.array([2])),
        ...      "out": ir.Output((1,))},
        ...     [("in", "fc"), ("fc", "out")],
        ... )
        >>> found = Ranges(graph, {"in": ir.Interval(0, 1, unit=1)})  # spikes
        >>> found["fc"].sent[0].low, found["fc"].sent[0].high, found["fc"].whole
        (-3.0, 6.0, True)
        >>> found.integer("fc"), found.inexact(np.float32)
        ('int8', [])
    """

    def __init__(self, graph: Graph, inputs: Mapping[str, Interval] | None = None) -> None:
        given = dict(inputs or {})
        unknown = set(given) - set(graph.inputs())
        if unknown:
            raise GraphError(
                Problem(f"ranges of {sorted(unknown)}", f"Inputs: {sorted(graph.inputs())}")
            )
        self.graph = graph
        self._analysis = _Analysis(graph, given)
        self._found = self._analysis.settle()

    def __getitem__(self, name: str) -> NodeRange:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def integer(self, name: str) -> str | None:
        """The least signed integer type that holds what a node sends; None if none does.

        Returns:
            'int8', 'int16', 'int32' or 'int64'.
        """
        return integer_type(*self._found[name].sent)

    def inexact(self, dtype: object = np.float64) -> list[str]:
        """The nodes whose numbers a float format may not hold exactly, in the order of the graph.

        Args:
            dtype: of NumPy or torch, or its name: one of ``MANTISSA``.
        """
        name = str(dtype).removeprefix("torch.")
        if name not in MANTISSA:
            name = np.dtype(dtype).name  # type: ignore[call-overload]
        most = 2.0 ** MANTISSA[name]
        return [name for name, found in self._found.items() if found.span > most]


def integer_type(*numbers: Interval) -> str | None:
    """The least signed integer type that holds all of these numbers; None if none does.

    Example:
        >>> integer_type(Interval(-3.0, 200.0, 1.0)), integer_type(Interval(0.0, 0.5, 0.5))
        ('int16', None)
    """
    if not all(each.whole and each.bounded for each in numbers):
        return None
    for bits in (8, 16, 32, 64):
        most = 2.0 ** (bits - 1)
        if all(-most <= each.low and each.high < most for each in numbers):
            return f"int{bits}"
    return None


class _Analysis:
    """The rounds in which the intervals of a graph settle."""

    def __init__(self, graph: Graph, given: Mapping[str, Interval]) -> None:
        flat = graph.flat()
        self.nodes, self.ports = flat.nodes, flat.ports()
        self.late = set(flat.feedback_edges())
        topology = Topology(flat.nodes, flat.edges)
        self.before = topology.before
        looped = {name for loop in topology.loops() for name in loop}
        # As in a run: a Delay in a loop is read before it is written.
        self.early = [n for n in flat.nodes if n in looped and flat.nodes[n].emits_early]
        forward = [e for e in flat.edges if e not in self.late and e[1] not in self.early]
        self.order = Topology(flat.nodes, forward).order()
        self.rest = {name: node.initial_bounds() for name, node in flat.nodes.items()}
        self.state = dict(self.rest)
        self.was: dict[str, Bounds] = {a: (ZERO,) * flat.nodes[a].port_count for a, _ in self.late}
        self.sent: dict[str, Bounds] = {}
        self.after: dict[str, Bounds] = {}
        self.found: dict[str, NodeRange] = {}
        self.seen: dict[str, tuple[Bounds, Bounds]] = {}
        for name, node in flat.nodes.items():
            if isinstance(node, Input):
                x = given.get(name, UNKNOWN).settled()
                self.sent[name], self.after[name] = (x,), ()
                self.found[name] = NodeRange(x, (x,), (), x.span)

    def settle(self) -> dict[str, NodeRange]:
        """Rounds until nothing grows, and a few that tighten what was doubled."""
        number = 0
        while self._grow(number):
            number += 1
        for _ in range(TIGHTENING):
            for name, first in self.rest.items():
                self.state[name] = _joined(first, self.after[name])
            self.was = {n: _joined((ZERO,) * len(w), self.sent[n]) for n, w in self.was.items()}
            self._round()
        return {name: self.found[name] for name in self.nodes}

    def _grow(self, number: int) -> bool:
        """A round; whether it left anything larger than it was."""
        self._round()
        state = {n: _grown(self.state[n], after, number) for n, after in self.after.items()}
        was = {name: _grown(w, self.sent[name], number) for name, w in self.was.items()}
        grew = state != self.state or was != self.was
        self.state, self.was = state, was
        return grew

    def _round(self) -> None:
        """A step of every node of which inputs or state are new."""
        for name in self.early:
            self.sent[name] = self._bound(name, EMPTY)[0]
        for name in self.order:
            if name not in self.early and not isinstance(self.nodes[name], Input):
                self._work(name)
        for name in self.early:
            self._work(name)

    def _work(self, name: str) -> None:
        inputs, shapes = self._arriving(name)
        if self.seen.get(name) == (inputs, self.state[name]):
            return
        self.seen[name] = inputs, self.state[name]
        node = self.nodes[name]
        x = node.merge_bounds(inputs, shapes) if inputs else ZERO
        sent, after = self._bound(name, x)
        span = max(x.span, *(each.span for each in (*sent, *after)))
        settled = tuple(each.settled() for each in sent)
        self.sent[name] = settled
        self.after[name] = tuple(each.settled() for each in after)
        self.found[name] = NodeRange(x.settled(), settled, self.after[name], span)

    def _bound(self, name: str, x: Interval) -> tuple[Bounds, Bounds]:
        sent, after = self.nodes[name].bound(x, self.state[name])
        return (sent if isinstance(sent, tuple) else (sent,)), after

    def _arriving(self, name: str) -> tuple[Bounds, list[Shape]]:
        """What is known of the inputs of a node, and their shapes."""
        inputs, shapes = [], []
        for source in self.before[name]:
            port = self.ports[source, name]
            late = (source, name) in self.late
            inputs.append((self.was if late else self.sent)[source][port])
            ports = list((self.nodes[source].output_type or {}).values())
            shapes.append(as_shape(ports[port]) or ())
        return tuple(inputs), shapes


def _joined(old: Bounds, new: Bounds) -> Bounds:
    return tuple(a.union(b).settled() for a, b in zip(old, new, strict=True))


def _grown(old: Bounds, new: Bounds, number: int) -> Bounds:
    """What was known, and what a step makes of it; widened where rounds do not end."""
    return tuple(_widened(a, b, number) for a, b in zip(old, new, strict=True))


def _widened(old: Interval, new: Interval, number: int) -> Interval:
    both = old.union(new)
    if both.within(old):
        return old
    low, high, unit = both.low, both.high, both.unit
    if number >= PATIENCE:
        low = low if low >= old.low else -_doubled(-low)
        high = high if high <= old.high else _doubled(high)
    if number >= PATIENCE and unit < old.unit:
        unit = next((grid for grid in GRIDS if grid <= unit), 0.0)
    return Interval(low, high, unit)


def _doubled(bound: float) -> float:
    """The next power of two, or 0; past the largest nothing is known."""
    if bound <= 0:
        return 0.0
    if bound > LARGEST:
        return math.inf
    part, exponent = math.frexp(bound)
    return bound if part == 0.5 else 2.0**exponent
