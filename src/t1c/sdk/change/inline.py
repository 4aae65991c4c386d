"""Nested graphs put in their place, each node under a name that a graph may have."""

from __future__ import annotations

from t1c import ir
from t1c.ir.naming import unique
from t1c.ir.topology import Topology

from .rebuild import rebuilt


def inlined(graph: ir.Graph) -> tuple[ir.Graph, dict[str, str]]:
    """The graph without nested graphs, every edge that runs back stated.

    Its meaning is kept. A node ``g/n`` is called ``g.n``, with a number behind it where that is
    taken; those of the graph itself keep their names.

    Returns:
        The graph, and name in ``graph.flat()`` -> name in it.
    """
    flat = graph.flat()
    names = {name: name for name in flat.nodes if name in graph.nodes}
    taken = set(names)
    for name in flat.nodes:
        if name not in names:
            names[name] = unique(name.replace("/", "."), taken)
            taken.add(names[name])
    edges = [(names[a], names[b]) for a, b in flat.edges]
    back = [(names[a], names[b]) for a, b in flat.feedback_edges()]
    nodes = {names[name]: node for name, node in flat.nodes.items()}
    # A loop within a nested graph is one of the whole now, one through a Delay too.
    loops = graph.allow_cycles or bool(Topology(flat.nodes, flat.edges).loops())
    return rebuilt(graph, nodes, edges, back, stated=back, allow_cycles=loops), names
