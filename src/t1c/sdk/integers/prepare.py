"""A graph made ready to be said in integers: plain nodes, each layer with one weight."""

from __future__ import annotations

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.naming import unique

from ..change.inline import inlined
from ..change.rebuild import rebuilt


def plain(graph: ir.Graph) -> ir.Graph:
    """The graph without nested graphs, in which every layer has one weight."""
    return parted(inlined(graph)[0])


def parted(graph: ir.Graph) -> ir.Graph:
    """Each SepConv2d as two convolutions, ``name.depthwise`` and ``name``.

    Args:
        graph: without nested graphs, every edge that runs back stated.
    """
    nodes, edges, back = dict(graph.nodes), list(graph.edges), list(graph.feedback)
    for name, node in graph.nodes.items():
        if not isinstance(node, ir.SepConv2d):
            continue
        deep, point = node.depthwise_weight, node.pointwise_weight
        first = unique(f"{name}.depthwise", nodes)
        nodes[first] = ir.Conv2d(
            deep,
            _or_zeros(node.depthwise_bias, deep),
            node.stride,
            node.padding,
            node.dilation,
            groups=len(deep),
        )
        nodes[name] = ir.Conv2d(
            point, _or_zeros(node.pointwise_bias, point), metadata=node.metadata
        )
        edges = [(a, first) if b == name else (a, b) for a, b in edges]
        back = [(a, first) if b == name else (a, b) for a, b in back]
        edges.append((first, name))
    return rebuilt(graph, nodes, edges, back, stated=back)


def _or_zeros(bias: Array | None, weight: Array) -> Array:
    return np.zeros(len(weight)) if bias is None else bias
