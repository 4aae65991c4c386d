"""Without what has no effect."""

from __future__ import annotations

from t1c import ir
from t1c.nir import GraphSource, read_graph

from .rebuild import rebuilt, with_places_held


def prune_disconnected(
    source: GraphSource, *, inputs: bool = False, dt: float | None = None
) -> ir.Graph:
    """The graph without the nodes from which no path leads to an Output.

    Nested graphs are pruned likewise; their Inputs stay, because their order is the order of what
    arrives. Where an output of a node with several is dropped before one that is used, an Identity
    that leads nowhere holds its place.

    Precondition: none. Postcondition: for the same inputs every Output gives the same numbers, bit
    for bit, and every node that is left has the same state.

    Args:
        source: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        inputs: drop Inputs that lead nowhere too. Then callers must no longer give them.
        dt: seconds in one step, for a ``.nir`` file that does not say it.

    Example:
        >>> import warnings
        >>> import numpy as np
        >>> from t1c import ir
        >>> nodes = {"in": ir.Input((2,)), "dead": ir.Scale(np.ones(2)), "out": ir.Output((2,))}
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")  # it says that 'dead' leads nowhere
        ...     graph = ir.Graph(nodes, [("in", "out"), ("in", "dead")])
        >>> list(prune_disconnected(graph).nodes)
        ['in', 'out']
    """
    return _pruned(read_graph(source, dt), inputs)


def _pruned(graph: ir.Graph, inputs: bool) -> ir.Graph:
    useful = graph.topology().leading_to(graph.outputs())
    if not (inputs and useful & set(graph.inputs())):
        useful |= set(graph.inputs())
    held, edges = with_places_held(graph, [(a, b) for a, b in graph.edges if b in useful])
    nodes = {
        name: _pruned(node, False) if isinstance(node, ir.Graph) else node
        for name, node in graph.nodes.items()
        if name in useful
    }
    return rebuilt(graph, {**nodes, **held}, edges, graph.feedback_edges())
