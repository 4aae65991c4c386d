"""Questions about a graph that users of the bridge ask."""

from __future__ import annotations

from collections.abc import Sequence

from t1c import ir
from t1c.ir.errors import GraphError, Problem
from t1c.ir.topology import Edge, Topology


def validate_graph(graph: ir.Graph) -> None:
    """Check a graph anew.

    Raises:
        GraphError: listing all that is wrong with it.
    """
    graph.check()


def has_cycles(graph: ir.Graph) -> bool:
    """Whether a graph holds a cycle."""
    return bool(graph.topology().loops())


def get_topological_order(nodes: Sequence[str], edges: Sequence[Edge]) -> list[str]:
    """The names, each after those that lead to it.

    Raises:
        GraphError: there is a cycle; the message shows it. Or an edge names another node.
    """
    problems = [
        Problem(f"there is no node {name!r}", f"one of {list(nodes)}", where=f"edge {a!r} -> {b!r}")
        for a, b in edges
        for name in (a, b)
        if name not in nodes
    ]
    if problems:
        raise GraphError(problems)
    return Topology(nodes, edges).order()


def get_input_nodes(graph: ir.Graph) -> list[str]:
    """The names of the Inputs, in order."""
    return list(graph.inputs())


def get_output_nodes(graph: ir.Graph) -> list[str]:
    """The names of the Outputs, in order."""
    return list(graph.outputs())


def get_disconnected_nodes(graph: ir.Graph) -> set[str]:
    """The names of the nodes that no Input leads to."""
    return set(graph.nodes) - graph.topology().reachable(graph.inputs())
