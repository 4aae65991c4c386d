"""The graph of integers while it is being made: the walk, and what was emitted so far."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.errors import Problem, UnsupportedError
from t1c.ir.fields import Array
from t1c.ir.integers import KEY, is_kept
from t1c.ir.naming import unique
from t1c.ir.shapes import Shape, as_shape
from t1c.ir.topology import Edge, Topology

from .calibrate import Calibration
from .options import Options
from .shared import Shared
from .units import field, limit, one, same
from .wire import Rule, Wire

SUM = "saturated"
"""What the Clip of a sum is called: ``fc.saturated``, or ``lif/saturated`` in a neuron."""


class Builder:
    """Walks a graph and emits one of integers.

    An edge that runs back becomes a Delay of one step, because a neuron that is a graph cannot be
    where a cycle is cut; it delivers the same.

    Args:
        graph: without nested graphs, its edges that run back all stated.
        options: how.
        seen: how large its numbers get, if that was looked at.
        ranges: what is known of its numbers.
        rules: how each primitive is said in integers.
        needless: Clips of sums that never act, which are left out.
    """

    def __init__(
        self,
        graph: ir.Graph,
        options: Options,
        seen: Calibration | None,
        ranges: ir.Ranges,
        rules: Mapping[type[ir.Node], Rule],
        needless: frozenset[str] = frozenset(),
    ) -> None:
        self.graph, self.options, self.seen, self.ranges = graph, options, seen, ranges
        self.rules, self.needless = rules, needless
        self.whole = {name for name, found in ranges.items() if found.whole}
        self.shared = Shared(graph, self.whole)
        self.scales: dict[str, tuple[Array, Array]] = {}
        """Of each layer, as soon as it is chosen: its scale, and the largest weights it is for."""
        self.sent: dict[str, Sequence[Wire]] = {}
        self.nodes: dict[str, ir.Node] = {}
        self.edges: list[Edge] = []
        self.given_back: list[str] = []
        """The nodes that give integers their real unit back."""
        self.topology = graph.topology()
        self._taken: dict[Edge, int] = {}
        self._ports = graph.ports()
        self._late = set(graph.feedback)
        self._supposed: dict[str, Array | None] = {}
        self._before: dict[str, str] = {}

    # The walk ---------------------------------------------------------------------------------

    def build(self) -> None:
        """Emit all nodes and edges."""
        looped = {name for loop in self.topology.loops() for name in loop}
        early = [n for n in self.graph.nodes if n in looped and self.graph.nodes[n].emits_early]
        forward = [e for e in self.graph.edges if e not in self._late and e[1] not in early]
        order = [n for n in Topology(self.graph.nodes, forward).order() if n not in early]
        late = list(dict.fromkeys(a for a, _ in self.graph.feedback))
        for name in dict.fromkeys([*early, *late]):
            self._supposed[name] = self._count(name)
        for name in late:
            self._before[name] = self.emit(f"{name}.before", ir.Delay(np.array(1)), [])
        # What is read before it is written is emitted when all that leads to it is known.
        for name in [*order, *early]:
            self.sent[name] = self._said(name)
        for name, unit in self._supposed.items():
            (wire,) = self.sent[name]
            kept = wire.unit is None and unit is None
            if not kept and (wire.unit is None or unit is None or not same(wire.unit, unit)):
                raise self.refusal(name, "what it sends runs back in a loop, and is no count")
            if name in self._before:
                self.edges.append((wire.node, self._before[name]))
        self._put_in_place()

    def _count(self, name: str) -> Array | None:
        """The unit of what is read before it is known: of counts, or it cannot be told."""
        if name not in self.whole and is_kept(name, tuple(self.options.keep)):
            return None
        if name not in self.whole:
            reason = "what it sends runs back in a loop, and is no count of spikes: what one of it "
            raise self.refusal(name, reason + "stands for would follow from itself")
        return one(self.shape(name))

    def _said(self, name: str) -> Sequence[Wire]:
        node = self.graph.nodes[name]
        wires = [self._wire(source, name) for source in self.topology.before[name]]
        if is_kept(name, tuple(self.options.keep)):
            return self._kept(name, node, wires)
        rule = self.rules.get(type(node))
        if rule is None:
            raise self.refusal(name, "no integers say what it does")
        return rule(self, name, node, wires)

    def _wire(self, source: str, name: str) -> Wire:
        if (source, name) in self._late:
            return Wire(self._before[source], self._supposed[source])
        if source not in self.sent:
            return Wire(source, self._supposed[source])
        return self.sent[source][self._ports[source, name]]

    def _kept(self, name: str, node: ir.Node, wires: Sequence[Wire]) -> Sequence[Wire]:
        self.emit(name, node, [self.real(wire) for wire in wires])
        unit = one(self.shape(name)) if name in self.whole else None
        return [Wire(name, unit, port=port) for port in range(node.port_count)]

    def _put_in_place(self) -> None:
        """Put the edges from a node with several outputs in the order of these."""
        for name, node in self.nodes.items():
            if node.port_count > 1:
                places = [i for i, edge in enumerate(self.edges) if edge[0] == name]
                leaving = sorted((self.edges[i] for i in places), key=self._taken.__getitem__)
                for i, edge in zip(places, leaving, strict=True):
                    self.edges[i] = edge

    # What rules use ---------------------------------------------------------------------------

    def refusal(self, name: str, reason: str, remedy: str = "") -> UnsupportedError:
        """The error that says why a node cannot be said in integers."""
        return UnsupportedError(
            Problem(
                reason,
                remedy=remedy or f"keep=[{name!r}] leaves it in real numbers.",
                where=f"node {name!r} ({self.graph.nodes[name].primitive})",
            )
        )

    def shape(self, name: str, port: int = 0) -> Shape:
        """The features that a node of the old graph sends."""
        ports = list((self.graph.nodes[name].output_type or {}).values())
        return as_shape(ports[port]) or ()

    def arriving_shape(self, name: str) -> Shape:
        """The features that reach a node of the old graph."""
        return as_shape((self.graph.nodes[name].input_type or {}).get("input")) or ()

    def seen_as(self, name: str) -> str:
        """Under which name was recorded what a node sends."""
        return next((old for old, new in self._before.items() if new == name), name)

    def most_seen(self, name: str) -> Array | None:
        """The largest magnitude of what was recorded under a name, if anything was shown."""
        return None if self.seen is None else self.seen.most(name)

    def most_there(self, name: str) -> Array | None:
        """The largest magnitude of what was recorded, or of what can be; None if that is endless.

        Args:
            name: of a node, for what it sends, or with ``.input``, for what reaches it.
        """
        if (seen := self.most_seen(name)) is not None:
            return seen
        node = name.removesuffix(".input")
        of_node, shape = self.ranges[node], self.shape(node)
        bounds = of_node.sent[0]
        if node != name:
            bounds, shape = of_node.arriving, self.arriving_shape(node)
        most = max(abs(bounds.low), abs(bounds.high))
        return np.full(shape, most) if math.isfinite(most) else None

    def emit(self, name: str, node: ir.Node, wires: Iterable[Wire]) -> str:
        """Add a node behind others; its name, with a number where it is taken."""
        name = unique(name, self.nodes)
        self.nodes[name] = node
        for wire in wires:
            edge = (wire.node, name)
            self.edges.append(edge)
            self._taken[edge] = wire.port
        return name

    def chained(self, wire: Wire, name: str, *steps: tuple[str, ir.Node]) -> Wire:
        """Add nodes one behind another: ``name.step``."""
        for step, node in steps:
            made = self.emit(f"{name}.{step}", node, [wire])
            wire = replace(wire, node=made, port=0)
        return wire

    def real(self, wire: Wire) -> Wire:
        """What a wire stands for, as real numbers."""
        if wire.unit is None or (wire.unit == 1).all():
            return replace(wire, unit=None)
        scaled = self.chained(wire, wire.node, ("real", ir.Scale(field(wire.unit))))
        self.given_back.append(scaled.node)
        return replace(scaled, unit=None)

    def saturated(self, wire: Wire, name: str) -> Wire:
        """A sum, saturated at accumulator_bits unless it cannot get there."""
        if f"{name}.{SUM}" in self.needless:
            return wire
        return self.chained(wire, name, (SUM, clip(self.options.accumulator_bits)))

    def note(self, node: ir.Node, unit: Array, **notes: Any) -> dict[str, Any]:
        """The metadata of what a node became: its own, its unit, and more."""
        kept = {k: v for k, v in node.metadata.items() if k not in ("tied", "copy_of", "bias")}
        told = float(unit.flat[0]) if (unit == unit.flat[0]).all() else unit
        return {**kept, KEY: {"unit": told, **notes}}


def clip(bits: int) -> ir.Clip:
    """Saturation at so many bits."""
    kind = next(f"int{n}" for n in (8, 16, 32) if bits <= n)
    most = limit(bits)
    return ir.Clip(low=np.array(-most - 1, kind), high=np.array(most, kind))
