"""Batch normalisation taken into the weights of the layer before it."""

from __future__ import annotations

from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.shapes import as_shape
from t1c.ir.topology import Edge, Topology
from t1c.nir import GraphSource, read_graph

from ..ties import stated_ties
from .rebuild import rebuilt

KEY = "folded"
"""Where a layer keeps in its metadata what was folded into it."""

NORMS = (ir.BatchNorm1d, ir.BatchNorm2d, ir.BatchNorm3d)
DENSE = (ir.Affine, ir.SpikingAffine, ir.Linear)
CHANNEL_AXIS: dict[type[ir.Node], int] = {
    **dict.fromkeys([*DENSE, ir.Conv1d, ir.Conv2d, ir.Conv3d, ir.SepConv2d], 0),
    **dict.fromkeys([ir.ConvTranspose1d, ir.ConvTranspose2d], 1),
}
"""Layer -> the axis of its weight along which its output channels lie."""


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
        if layer is None or not lone or f"{path}{before}" in tied or not _channels_fit(layer, norm):
            continue
        taken = _with(layer, norm, name)
        if taken is None:
            continue
        nodes[before] = taken
        del nodes[name]
        edges = [_past(edge, name, before) for edge in edges if edge[1] != name]
        topology = Topology(nodes, edges)
    return rebuilt(graph, nodes, edges, graph.feedback_edges())


def _past(edge: Edge, gone: str, before: str) -> Edge:
    return (before, edge[1]) if edge[0] == gone else edge


def _channels_fit(layer: ir.Node, norm: Any) -> bool:
    """Whether the layer's outputs are the norm's channels; a dense layer's are on the last axis."""
    axis = CHANNEL_AXIS.get(type(layer))
    if axis is None:
        return False
    return not isinstance(layer, DENSE) or len(as_shape(norm.input_type["input"]) or ()) == 1


def _with(layer: ir.Node, norm: Any, name: str) -> ir.Node | None:
    """The layer with the norm taken in; None where a number would not be finite."""
    mean, var, scale, shift = (
        p.astype(np.float64) for p in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(var + norm.eps)
        field = "pointwise_weight" if isinstance(layer, ir.SepConv2d) else "weight"
        bias_field = "pointwise_bias" if isinstance(layer, ir.SepConv2d) else "bias"
        old: Array = getattr(layer, field)
        bias = getattr(layer, bias_field, None)
        weight = _scaled(old.astype(np.float64), factor, layer)
        moved = shift - mean * factor
        if bias is not None:
            moved = moved + factor * bias.astype(np.float64)
        kind = old.dtype if old.dtype.kind == "f" else np.dtype(np.float64)
        new = {field: weight.astype(kind), bias_field: moved.astype(kind)}
        if not all(np.isfinite(value).all() for value in new.values()):
            return None
        errors = np.abs(new[field].astype(np.float64) - weight)
        error = _most(errors, layer) + np.abs(new[bias_field].astype(np.float64) - moved)
    note = {"batchnorm": name, "largest_change": float(error.max())}
    notes = {**layer.metadata, KEY: note}
    if notes.get(bias_field) == "none":  # the layer had no bias, and has one now
        del notes[bias_field]
    if isinstance(layer, ir.Linear):
        return ir.Affine(**new, metadata=notes)
    changed: ir.Node = layer.replace(**new, metadata=notes)
    return changed


def _by_output(weight: Array, layer: ir.Node) -> Array:
    """A weight as (outputs, all that leads to each); a view."""
    if CHANNEL_AXIS[type(layer)] == 0:
        return weight.reshape(len(weight), -1)
    groups: int = getattr(layer, "groups", 1)
    inputs, outputs = weight.shape[:2]
    grouped = weight.reshape(groups, inputs // groups, outputs, -1).swapaxes(1, 2)
    return grouped.reshape(groups * outputs, -1)


def _scaled(weight: Array, factor: Array, layer: ir.Node) -> Array:
    """Every output's weights times its factor."""
    if CHANNEL_AXIS[type(layer)] == 0:
        return weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
    groups: int = getattr(layer, "groups", 1)
    inputs, outputs, *kernel = weight.shape
    grouped = weight.reshape(groups, inputs // groups, outputs, *kernel)
    laid = factor.reshape(groups, 1, outputs, *[1] * len(kernel))
    return (grouped * laid).reshape(weight.shape)


def _most(errors: Array, layer: ir.Node) -> Array:
    """For each output, how far errors of its weights can move it."""
    most: Array = _by_output(errors, layer).sum(axis=1)
    return most
