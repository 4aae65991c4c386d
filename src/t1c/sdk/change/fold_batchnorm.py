"""Batch normalisation taken into the weights of the layer before it."""

from __future__ import annotations

from t1c import ir
from t1c.ir.norm_folding import NORMS, channels_fit, with_norm
from t1c.ir.topology import Edge, Topology
from t1c.nir import GraphSource, read_graph

from ..ties import stated_ties
from .rebuild import rebuilt


def fold_batchnorm(source: GraphSource, *, dt: float | None = None) -> ir.Graph:
    """The graph without the BatchNorms that a layer of weights before them can take in.

    A BatchNorm is one factor and one shift for each channel, so that
    ``factor * (W x + b) + shift = (factor * W) x + (factor * b + shift)``. It is taken in by a
    layer (Affine, SpikingAffine, Linear, a convolution of any kind) that leads to nothing else,
    where nothing else leads to the BatchNorm. A Linear becomes an Affine. Left are BatchNorms
    elsewhere, behind a layer whose parameters are tied to another's, and those that would make a
    weight infinite.

    Precondition: none. Postcondition: eval mode gives the same up to rounding, which can flip a
    spike whose membrane lies that near to the threshold. The new weights are worked out in float64
    and rounded once to the dtype of the old ones (float64 for integers). The layer's
    ``metadata['folded']`` tells ``batchnorm``, its name, and ``largest_change``: how far that
    rounding can move an output of the layer, for inputs of at most 1 in magnitude (of a SepConv2d,
    inputs of its pointwise part). What training does is another thing: the batch's statistics are
    no longer taken.

    Args:
        source: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        dt: seconds in one step, for a ``.nir`` file that does not say it.

    Example:
        >>> import numpy as np
        >>> from t1c import ir
        >>> one, two = np.ones(1), np.full(1, 2.0)
        >>> graph = ir.Graph(
        ...     {"in": ir.Input((1,)), "fc": ir.Affine(weight=np.ones((1, 1)), bias=one),
        ...      "bn": ir.BatchNorm1d(1, weight=two, bias=one, running_mean=one, running_var=one,
        ...                           eps=0.0),
        ...      "out": ir.Output((1,))},
        ...     [("in", "fc"), ("fc", "bn"), ("bn", "out")],
        ... )
        >>> folded = fold_batchnorm(graph)
        >>> folded.nodes["fc"].weight, folded.nodes["fc"].bias, folded.nodes["fc"].metadata
        (array([[2.]]), array([1.]), {'folded': {'batchnorm': 'bn', 'largest_change': 0.0}})
    """
    graph = read_graph(source, dt)
    ties = list(stated_ties(graph.flat().nodes))
    return _folded(graph, "", {name for tie in ties for name in (tie.node, tie.owner)})


def _folded(graph: ir.Graph, path: str, tied: set[str | None]) -> ir.Graph:
    """A graph at that place among nested ones; layers that are ``tied`` stay as they are."""
    nodes = {
        name: _folded(node, f"{path}{name}/", tied) if isinstance(node, ir.Graph) else node
        for name, node in graph.nodes.items()
    }
    edges, topology = list(graph.edges), graph.topology()
    for name in graph.nodes:
        norm = nodes.get(name)
        if not isinstance(norm, NORMS) or len(topology.before[name]) != 1:
            continue
        (before,) = topology.before[name]
        layer = nodes.get(before)
        lone = layer is not None and topology.after[before] == [name]
        if layer is None or not lone or f"{path}{before}" in tied or not channels_fit(layer, norm):
            continue
        taken = with_norm(layer, norm, name)
        if taken is None:
            continue
        nodes[before] = taken
        del nodes[name]
        edges = [_past(edge, name, before) for edge in edges if edge[1] != name]
        topology = Topology(nodes, edges)
    return rebuilt(graph, nodes, edges, graph.feedback_edges())


def _past(edge: Edge, gone: str, before: str) -> Edge:
    return (before, edge[1]) if edge[0] == gone else edge
