"""A graph with its nested graphs inlined: what runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .node import Node
from .primitives.border import Input, Output
from .primitives.region import Identity
from .topology import Edge, feedback_edges


@dataclass(frozen=True)
class Flat:
    """Plain nodes and edges. A node ``n`` of a nested graph ``g`` is named ``g/n``.

    The Inputs and Outputs of nested graphs have become Identity nodes.

    Attributes:
        nodes: name -> node, none of them a graph.
        edges: (source, target) pairs; their order is the order of inputs.
        stated: edges that run back because the graphs say so.
    """

    nodes: dict[str, Node]
    edges: list[Edge]
    stated: list[Edge]

    def ports(self) -> dict[Edge, int]:
        """Which output of its source each edge takes."""
        return output_ports(self.nodes, self.edges)

    def feedback_edges(self) -> list[Edge]:
        """The edges that run back in time, by the rule in ``t1c.ir.topology``."""
        return feedback_edges(
            list(self.nodes),
            self.edges,
            neurons=[n for n, node in self.nodes.items() if node.breaks_cycles],
            delays=[n for n, node in self.nodes.items() if node.emits_early],
            inputs=[n for n, node in self.nodes.items() if isinstance(node, Input)],
            outputs=[n for n, node in self.nodes.items() if isinstance(node, Output)],
            stated=self.stated,
        )


def output_ports(nodes: Mapping[str, Node], edges: Iterable[Edge]) -> dict[Edge, int]:
    """Which output of its source each edge takes: the k-th edge that leaves takes the k-th."""
    several = {name for name, node in nodes.items() if node.port_count > 1}
    taken: Counter[str] = Counter()
    ports = dict.fromkeys(edges, 0)
    for edge in ports if several else ():
        if edge[0] in several:
            ports[edge] = taken[edge[0]]
            taken[edge[0]] += 1
    return ports


def inline(nodes: Mapping[str, Node], edges: Sequence[Edge], feedback: Iterable[Edge]) -> Flat:
    """Put the nodes of nested graphs, however deep, in the place of the graphs.

    Args:
        nodes: by name, some of them graphs.
        edges: between them.
        feedback: those of the edges that are said to run back.
    """
    plain: dict[str, Node] = {}
    inside: list[Edge] = []
    stated: list[Edge] = []
    entries: dict[str, Sequence[str]] = {}
    exits: dict[str, Sequence[str]] = {}
    for name, node in nodes.items():
        if not hasattr(node, "flat"):
            plain[name] = node
            continue
        inner: Flat = node.flat()
        plain |= {f"{name}/{n}": _passing(part) for n, part in inner.nodes.items()}
        inside += [(f"{name}/{a}", f"{name}/{b}") for a, b in inner.edges]
        stated += [(f"{name}/{a}", f"{name}/{b}") for a, b in inner.stated]
        entries[name] = [f"{name}/{n}" for n, p in inner.nodes.items() if isinstance(p, Input)]
        exits[name] = [f"{name}/{n}" for n, p in inner.nodes.items() if isinstance(p, Output)]
    arrived: Counter[str] = Counter()
    outer = {}
    for edge, port in output_ports(nodes, edges).items():
        source, target = edge
        place = arrived[target] if len(entries.get(target, ())) > 1 else 0
        arrived[target] += 1
        outer[edge] = (
            exits[source][port] if source in exits else source,
            entries[target][place] if target in entries else target,
        )
    inside += outer.values()
    stated += [outer[edge] for edge in feedback]
    return Flat(plain, inside, stated)


def _passing(node: Node) -> Node:
    """Inside a nested graph a border passes on what it gets."""
    if not isinstance(node, Input | Output):
        return node
    return Identity(input_type=dict(node.input_type or {}), metadata=node.metadata)
