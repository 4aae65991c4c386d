"""Between which numbers values must lie, whatever the input: what can be proven of a neuron.

Spikes lie between 0 and 1; everything else follows from them through the layers between. What is
not known lies anywhere. Bounds are arrays that broadcast to a node's features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.flat import Flat
from t1c.ir.primitives.neuron import Neuron, SpikingNeuron, parameter_shape
from t1c.ir.shapes import Shape, as_shape
from t1c.ir.topology import Edge, Topology

Bounds = tuple[Array, Array]
"""The lowest and the highest that a value can be."""

ANYTHING: Bounds = (np.array(-np.inf), np.array(np.inf))
UNIT: Bounds = (np.array(0.0), np.array(1.0))


def output_bounds(flat: Flat, topology: Topology, back: set[Edge]) -> dict[str, Bounds]:
    """Node -> the bounds of what arrives at it (merged), for neurons and Thresholds.

    Args:
        flat: the graph.
        topology: of its edges.
        back: the edges that run back in time.
    """
    forward = [edge for edge in flat.edges if edge not in back]
    present = Topology(flat.nodes, forward)
    loops = {name for loop in present.loops() for name in loop}
    order = [name for part in present.parts() for name in part]
    sent: dict[str, Bounds] = {}
    arriving: dict[str, Bounds] = {}
    with np.errstate(all="ignore"):
        for name in order:
            node = flat.nodes[name]
            inputs = [
                _before(flat.nodes[s]) if (s, name) in back else sent.get(s, ANYTHING)
                for s in topology.before[name]
            ]
            merged = _merged(node, inputs)
            if isinstance(node, Neuron | ir.Threshold):
                arriving[name] = merged
            sent[name] = ANYTHING if name in loops else _sent(node, merged)
    return arriving


def highest_membrane(node: SpikingNeuron, drive: Bounds, shape: Shape) -> tuple[Array, Array]:
    """How far the membrane of a neuron can rise that has never fired, and its threshold.

    Args:
        node: the neuron.
        drive: the bounds of its input.
        shape: its features.
    """
    p = {
        name: value.astype(np.float64).reshape(parameter_shape(value.shape, shape))
        for name, value in node.parameters().items()
    }
    with np.errstate(all="ignore"):
        c = node.fold(p)
        low, high = drive
        if "alpha" in c:
            low, high = _times(c["weight"], (low, high))
            low, high = (
                _settled(low, c["alpha"], np.minimum),
                _settled(high, c["alpha"], np.maximum),
            )
        _, most = _times(c["gain"], (low, high))
        most = most + c.get("leak", 0.0)
        beta = c.get("beta", np.array(1.0))
        reach = _settled(most, beta, np.maximum)
        floor = p.get("v_min")
        if floor is not None:
            reach = np.maximum(reach, beta * np.maximum(floor, 0) + most)
    return reach, p["v_threshold"]


def _settled(drive: Array, decay: Array, extreme: Callable[..., Array]) -> Array:
    """The extreme of v = decay * v + drive over all steps: the first, or where it tends to."""
    limit = np.where(drive == 0, 0.0, drive / (1 - decay))
    settled: Array = extreme(drive, limit)
    return settled


def _times(factor: Array, bounds: Bounds) -> Bounds:
    """The bounds of a product; zero times anything is zero."""
    ends = [np.where(factor == 0, 0.0, factor * end) for end in bounds]
    return np.minimum(*ends), np.maximum(*ends)


def _before(node: ir.Node) -> Bounds:
    """What a node sent in the step before, or zero."""
    return UNIT if _binary(node) else ANYTHING


def _binary(node: ir.Node) -> bool:
    return isinstance(node, SpikingNeuron) and node.spikes == "binary"


def _shape(node: ir.Node, which: str = "input") -> Shape:
    types: Any = node.input_type if which == "input" else node.output_type
    return as_shape(types.get(which)) or ()


def _merged(node: ir.Node, inputs: list[Bounds]) -> Bounds:
    """The bounds of what several edges become."""
    if not inputs:
        return np.array(0.0), np.array(0.0)
    if len(inputs) == 1:
        return inputs[0]
    if not node.adds_inputs:
        # Joined or combined: only what holds for all of them, and only for what is joined.
        if not isinstance(node, ir.Skip | ir.Concat):
            return ANYTHING
        return (
            np.array(min(float(low.min()) for low, _ in inputs)),
            np.array(max(float(high.max()) for _, high in inputs)),
        )
    low, high = inputs[0]
    for other in inputs[1:]:
        low, high = low + other[0], high + other[1]
    return low, high


def _sent(node: ir.Node, bounds: Bounds) -> Bounds:
    """The bounds of what a node sends, from those of what arrives."""
    if _binary(node) or isinstance(node, ir.Threshold | ir.Sigmoid | ir.Softmax):
        return UNIT
    for kinds, rule in _RULES:
        if isinstance(node, kinds):
            return rule(node, bounds)
    return ANYTHING


def _passed(node: Any, bounds: Bounds) -> Bounds:
    return bounds


def _rectified(node: Any, bounds: Bounds) -> Bounds:
    if node.negative_slope:
        return ANYTHING
    return np.maximum(bounds[0], 0), np.maximum(bounds[1], 0)


def _per_channel(bounds: Bounds, shape: Shape) -> Bounds:
    """The widest over all places of a channel, as (C, 1, ...)."""
    axes = tuple(range(1, len(shape)))
    low, high = (np.broadcast_to(end, shape) for end in bounds)
    return low.min(axis=axes, keepdims=True), high.max(axis=axes, keepdims=True)


def _pooled(node: Any, bounds: Bounds) -> Bounds:
    low, high = _per_channel(bounds, _shape(node))
    if isinstance(node, ir.MaxPool1d | ir.MaxPool2d | ir.MaxPool3d):
        return low, high
    return np.minimum(low, 0), np.maximum(high, 0)  # padding counts as zeros


def _flattened(node: Any, bounds: Bounds) -> Bounds:
    shape, out = _shape(node), _shape(node, "output")
    low, high = (np.broadcast_to(end, shape).reshape(out) for end in bounds)
    return low, high


def _scaled(node: Any, bounds: Bounds) -> Bounds:
    scale = node.scale.astype(np.float64)
    return _times(scale.reshape(parameter_shape(scale.shape, _shape(node))), bounds)


def _normed(node: Any, bounds: Bounds) -> Bounds:
    mean, var, weight, bias = (
        p.astype(np.float64).reshape(-1, *[1] * (len(_shape(node)) - 1))
        for p in (node.running_mean, node.running_var, node.weight, node.bias)
    )
    factor = weight / np.sqrt(var + node.eps)
    low, high = _times(factor, bounds)
    return low - mean * factor + bias, high - mean * factor + bias


def _dense(node: Any, bounds: Bounds) -> Bounds:
    if len(_shape(node)) != 1:
        return ANYTHING
    weight = node.weight.astype(np.float64)
    low, high = _times(weight, (bounds[0], bounds[1]))
    bias = getattr(node, "bias", np.zeros(len(weight)))
    width = weight.shape
    sums = [np.broadcast_to(end, width).sum(axis=1) + bias for end in (low, high)]
    return sums[0], sums[1]


def _convolved(node: Any, bounds: Bounds) -> Bounds:
    weight, shape, groups = node.weight.astype(np.float64), _shape(node), node.groups
    low, high = (end.reshape(-1) for end in _per_channel(bounds, shape))
    if node.padding != "valid" and np.any(np.atleast_1d(np.asarray(node.padding) != 0)):
        low, high = np.minimum(low, 0), np.maximum(high, 0)  # zeros around the border
    outputs, channels = weight.shape[:2]
    kernel = weight.reshape(groups, outputs // groups, channels, -1)
    laid = [end.reshape(groups, 1, channels, 1) for end in (low, high)]
    ends = _times(kernel, (laid[0], laid[1]))
    ones = [1] * (len(shape) - 1)
    sums = [(end.sum(axis=(2, 3)).reshape(-1) + node.bias).reshape(-1, *ones) for end in ends]
    return sums[0], sums[1]


_RULES: tuple[tuple[Any, Callable[[Any, Bounds], Bounds]], ...] = (
    ((ir.Identity, ir.HybridRegion, ir.Dropout, ir.Skip, ir.Concat), _passed),
    ((ir.ReLU,), _rectified),
    (
        (ir.MaxPool1d, ir.MaxPool2d, ir.MaxPool3d, ir.AvgPool1d, ir.AvgPool2d, ir.AvgPool3d),
        _pooled,
    ),
    ((ir.Flatten,), _flattened),
    ((ir.Scale,), _scaled),
    ((ir.BatchNorm1d, ir.BatchNorm2d, ir.BatchNorm3d), _normed),
    ((ir.Affine, ir.SpikingAffine, ir.Linear), _dense),
    ((ir.Conv1d, ir.Conv2d, ir.Conv3d), _convolved),
)
"""Primitives -> how bounds pass through them."""
