"""What can be wrong with a graph, part by part; each problem names its place."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from .errors import GraphError, NodeError, Problem
from .fields import show
from .guess import did_you_mean
from .metadata import clean_metadata, name_problem
from .node import Node
from .primitives.border import Input, Output
from .topology import Edge, Topology


def form_problems(nodes: Mapping[Any, Any], pairs: list[Any]) -> Iterator[Problem]:
    """Nodes that are none, and edges that are no pairs of names; the others become tuples."""
    for name, node in nodes.items():
        if not isinstance(node, Node):
            remedy = "Convert modules with bridge.to_ir." if hasattr(node, "forward") else ""
            yield Problem(
                f"a {type(node).__name__}", "a node of t1c.ir", remedy, where=f"node {name!r}"
            )
    for i, edge in enumerate(pairs):
        pair = isinstance(edge, tuple | list) and len(edge) == 2
        if not pair or not all(isinstance(name, str) for name in edge):
            yield Problem(show(edge), "a pair of node names", where=f"edge {i}")
        else:
            pairs[i] = tuple(edge)


def name_problems(nodes: Iterable[str]) -> Iterator[Problem]:
    """Names that no file can hold."""
    for name in nodes:
        problem = name_problem(name)
        if problem:
            yield Problem(problem, remedy="Rename the node.", where=f"node {name!r}")


def edge_problems(
    nodes: Mapping[str, Node],
    edges: Sequence[Edge],
    feedback: Sequence[Edge],
    allow_cycles: bool,
) -> Iterator[Problem]:
    """Edges between no nodes, twice the same, or where there can be none."""
    seen: set[Edge] = set()
    for source, target in edges:
        where = f"edge {source!r} -> {target!r}"
        for name in (source, target):
            if name not in nodes:
                yield Problem(
                    f"there is no node {name!r}",
                    "an edge between nodes of the graph",
                    did_you_mean(name, nodes, "Add the node, or drop the edge."),
                    where,
                )
        if (source, target) in seen:
            yield Problem(
                "duplicate edge",
                "each edge once",
                "Drop one; to add a value twice, put a node with twice its weight between.",
                where,
            )
        seen.add((source, target))
        if isinstance(nodes.get(target), Input):
            yield Problem("an edge leads into an Input", "edges out of it only", "", where)
        if isinstance(nodes.get(source), Output):
            yield Problem("an edge leads out of an Output", "edges into it only", "", where)
        if source == target and not allow_cycles:
            yield Problem(
                "a self-loop", "no cycles", "Pass allow_cycles=True if it is meant.", where
            )
    for edge in feedback:
        where = f"feedback edge {edge[0]!r} -> {edge[1]!r}"
        if edge not in seen:
            yield Problem("not an edge of the graph", "one of its edges", "", where)
        elif not nodes[edge[0]].breaks_cycles:
            yield Problem(
                f"it leaves a {nodes[edge[0]].primitive}",
                "an edge that leaves a neuron, which remembers what it sent",
                "",
                where,
            )


def node_problems(nodes: Mapping[str, Node], edges: Sequence[Edge]) -> Iterator[Problem]:
    """Missing borders, nodes that nothing reaches, and what nodes say of themselves."""
    for kind in (Input, Output):
        if not any(isinstance(node, kind) for node in nodes.values()):
            name = kind.__name__
            yield Problem(
                f"there is no {name}",
                "at least one",
                f"Add ir.{name}(shape=...) and an edge.",
                "graph",
            )
    fed = {target for _, target in edges}
    leaving = Counter(source for source, _ in edges)
    for name, node in nodes.items():
        where = f"node {name!r} ({node.primitive})"
        if name not in fed and not node.runs_alone:
            yield Problem(
                "no edge leads to it",
                "at least one: it computes nothing by itself",
                "Add an edge, or drop the node.",
                where,
            )
        if 1 < node.port_count < leaving[name]:
            yield Problem(
                f"{leaving[name]} edges leave it, and it has {node.port_count} outputs",
                "at most one edge for each output",
                "Send an output on through an Identity to use it more than once.",
                where,
            )
        try:
            node.check()
        except (NodeError, GraphError) as error:
            for p in error.problems:
                own = p.where in ("", node.primitive)
                yield dataclasses.replace(p, where=where) if own else p.at(where)


def value_problems(nodes: Mapping[str, Node], allow_nonfinite: bool) -> Iterator[Problem]:
    """Numbers that are none, and metadata that no file can hold."""
    for name, node in nodes.items():
        where = f"node {name!r} ({node.primitive})"
        if not allow_nonfinite:
            yield from (p.at(where) for p in node.nonfinite())
        yield from note_problems(node, where)


def cycle_problems(
    topology: Topology,
    feedback: Sequence[Edge],
    allow_cycles: bool,
    decide: Callable[[], object],
) -> Iterator[Problem]:
    """Cycles where there may be none, or that cannot be cut.

    Args:
        topology: of the graph.
        feedback: the edges that are said to run back.
        allow_cycles: whether there may be cycles.
        decide: finds the edges that run back; raises ``GraphError`` if it cannot.
    """
    loops = topology.loops()
    if not allow_cycles:
        for loop in loops:
            yield Problem(
                f"the cycle {' -> '.join(topology.cycle_in(loop))}",
                "no cycles",
                "Pass allow_cycles=True if the recurrence is meant.",
                "graph",
            )
    if allow_cycles:
        try:
            decide()
        except GraphError as error:
            yield from error.problems
    for source, target in topology.off_cycle(feedback):
        yield Problem(
            "it lies on no cycle",
            "an edge of a cycle: only a cycle needs one that runs back",
            "",
            f"feedback edge {source!r} -> {target!r}",
        )


def note_problems(node: Node, where: str) -> Iterator[Problem]:
    """Settle the node's metadata, which may have been changed, or say what no file can hold."""
    try:
        node.metadata = clean_metadata(node.metadata)
    except NodeError as error:
        yield from (p.at(where) for p in error.problems)
