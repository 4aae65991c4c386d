"""How deep and how wide a graph is, and how long its steps are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from t1c import ir
from t1c.ir.flat import Flat
from t1c.ir.shapes import as_shape
from t1c.ir.topology import Topology
from t1c.nir.conventions import Conventions

from .neurons import is_neuron

PASSING = (ir.Input, ir.Output, ir.Identity)
"""Nodes that do nothing to what they are given."""


def seconds_in_step(graph: ir.Graph, dt: float | None = None) -> float | None:
    """How long a step is: ``dt``, or what the graph's metadata records of its import from NIR.

    Raises:
        ConventionError: the record is damaged.
    """
    if dt is not None:
        return dt
    conventions = Conventions.recorded(graph.metadata)
    return None if conventions is None else conventions.dt


def depth_of(graph: ir.Graph, counted: Iterable[str] | None = None) -> int:
    """How many nodes lie on the longest way through a graph, with nested graphs inlined.

    What runs back in time is not followed. A graph that is a neuron counts as one node.

    Args:
        graph: the graph.
        counted: the names, as in ``graph.flat()``, of the nodes that count; if None, all that do
            something.
    """
    counts = set(_working(graph) if counted is None else counted)
    forward = _forward(graph.flat())
    longest: dict[str, int] = {}
    for name in forward.order():
        longest[name] = (name in counts) + max(
            (longest[s] for s in forward.before[name]), default=0
        )
    return max(longest.values(), default=0)


def _working(graph: ir.Graph) -> Iterator[str]:
    """The nodes that do something, and of a graph that is a neuron its output in their place."""
    for name, node in graph.nodes.items():
        if not isinstance(node, ir.Graph):
            if not isinstance(node, PASSING):
                yield name
        else:
            inside = node.outputs() if is_neuron(node) else _working(node)
            yield from (f"{name}/{inner}" for inner in inside)


def _forward(flat: Flat) -> Topology:
    """The edges that act within a step."""
    back = set(flat.feedback_edges())
    loops = Topology(flat.nodes, flat.edges).loops()
    late = {n for loop in loops for n in loop if flat.nodes[n].emits_early}
    return Topology(flat.nodes, [e for e in flat.edges if e not in back and e[1] not in late])


def weighted(graph: ir.Graph) -> list[str]:
    """The names, as in ``graph.flat()``, of the nodes that multiply and add up."""
    return [name for name, count in flat_macs(graph).items() if count]


def flat_macs(graph: ir.Graph) -> dict[str, int]:
    """The multiply-accumulates of each node of ``graph.flat()``."""
    counts: dict[str, int] = {}
    for name, count in graph.node_macs().items():
        node = graph.nodes[name]
        if isinstance(node, ir.Graph):
            counts |= {f"{name}/{n}": inner for n, inner in flat_macs(node).items()}
        else:
            counts[name] = count
    return counts


def sent_by(node: ir.Node) -> int:
    """How many numbers a node sends in a step of a sample."""
    return sum(math.prod(as_shape(port) or ()) for port in (node.output_type or {}).values())
