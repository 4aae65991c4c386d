"""What the functions that change graphs share: the same time in every loop, outputs by their place.

Which edges run back in time follows from a rule that looks at the whole graph, so that a change
somewhere could move a step of delay elsewhere. What is built here keeps every step where it was.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from t1c import ir
from t1c.ir.errors import GraphError, GraphWarning, Problem, UnsupportedError
from t1c.ir.naming import unique
from t1c.ir.topology import Edge


def late_edges(graph: ir.Graph) -> dict[Edge, Edge]:
    """The edges of a graph that run back in time, and how ``flat()`` names them.

    One into a nested graph is among them; one within is not.
    """
    flat = graph.flat()
    back = set(flat.feedback_edges())
    outer = flat.edges[len(flat.edges) - len(graph.edges) :]  # in the order of the graph's edges
    return {mine: there for mine, there in zip(graph.edges, outer, strict=True) if there in back}


def rebuilt(
    graph: ir.Graph,
    nodes: Mapping[str, ir.Node],
    edges: Iterable[Edge],
    back: Collection[Edge],
    *,
    stated: Iterable[Edge] | None = None,
    **changes: Any,
) -> ir.Graph:
    """A graph of other nodes and edges in which those of ``back`` run back, and no others.

    Dead ends are not warned of: who made the graph was told.

    Args:
        graph: what it is made of; gives everything that is not said.
        nodes: all nodes.
        edges: all edges.
        back: edges that run back as far as they are there, named as in ``flat()``.
        stated: what is stated of feedback; None: what the graph states.
        changes: as of ``Graph.replace``.

    Raises:
        UnsupportedError: the rule for feedback would have other edges run back.
    """
    edges, late = list(edges), set(back)
    said = graph.feedback if stated is None else stated
    some = [edge for edge in said if edge in edges]
    every = [edge for edge in edges if edge in late]
    moved: set[Edge] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GraphWarning)
        for feedback in (some, every):
            try:
                made: ir.Graph = graph.replace(
                    nodes=nodes, edges=edges, feedback=feedback, **changes
                )
            except GraphError:
                if feedback == every:
                    raise
                continue
            moved = set(made.feedback_edges()) ^ late.intersection(made.flat().edges)
            if not moved:
                return made
    listed = ", ".join(f"{a!r} -> {b!r}" for a, b in sorted(moved))
    raise UnsupportedError(
        Problem(
            f"the edges that run back in time would be others: {listed}",
            "every step of delay where it was",
            "Take the whole loop along, or state the graph's feedback=[...].",
        )
    )


def with_places_held(
    graph: ir.Graph, edges: Iterable[Edge]
) -> tuple[dict[str, ir.Node], list[Edge]]:
    """Some edges of a graph, each with the output that it takes.

    The k-th edge that leaves a node with several outputs takes the k-th. Where one before is
    dropped, an Identity that leads nowhere takes its output.

    Returns:
        (those Identities by name; the edges to them and the given ones, in the graph's order)
    """
    kept = set(edges)
    last: dict[str, int] = {}
    for (source, target), port in graph.ports().items():
        if (source, target) in kept:
            last[source] = max(port, last.get(source, 0))
    held: dict[str, ir.Node] = {}
    found: list[Edge] = []
    for (source, target), port in graph.ports().items():
        if (source, target) in kept:
            found.append((source, target))
        elif graph.nodes[source].port_count > 1 and port < last.get(source, 0):
            name = unique(f"{source}.{port}", {*graph.nodes, *held})
            held[name] = ir.Identity()
            found.append((source, name))
    return held, found
