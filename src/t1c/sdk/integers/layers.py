"""Layers of weights: integer weights, and a bias in the unit of their sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.norm_folding import DENSE, by_output, over_outputs
from t1c.ir.shapes import Shape

from .builder import Builder
from .neurons import gain_of, needs
from .rescale import at_unit, merged, narrowed
from .units import constant_along, counts, laid, limit, narrowest, same, up_to_power_of_two
from .weights import (
    LAYERS,
    channels_of,
    fitted_scale,
    integers,
    over_inputs,
    rounded,
    weight_of,
)
from .wire import Wire, rule_for


@rule_for(*LAYERS)
def _layer(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    entering, leaving = b.arriving_shape(name), b.shape(name)
    wire = narrowed(b, name, merged(b, name, wires, entering), f"{name}.input")
    channel = len(entering) - 1 if isinstance(node, DENSE) else 0
    unit = constant_along(wire.integer_unit, [a for a in range(len(entering)) if a != channel])
    wire = at_unit(b, name, wire, unit)
    weight = weight_of(node)
    weight = weight * over_inputs(node, weight, unit.ravel())
    bits = b.options.bits_of(name)
    scale = _scale(b, name, by_output(node, weight), bits)
    q = rounded(weight, over_outputs(node, weight, scale), bits)
    bias = getattr(node, "bias", None)
    most = limit(b.options.accumulator_bits)
    begun = np.zeros(len(scale)) if bias is None else np.rint(counts(bias, scale))
    begun = integers(np.clip(begun, -most - 1, most), b.options.accumulator_bits)
    made = _in_features(scale, leaving, node)
    notes = b.note(node, made, weight_bits=bits)
    new = _said(b, node, integers(q, bits), begun, bits, _is_spikes(b, name, unit), notes)
    sent = Wire(b.emit(name, new, [wire]), made, wide=bool((made != 1).any()))
    return [b.saturated(sent, name)]


def _said(
    b: Builder, node: Any, weight: Array, bias: Array, bits: int, spikes: bool, notes: Any
) -> ir.Node:
    """A dense layer is a SpikingAffine, which says how many bits it has."""
    if not isinstance(node, DENSE):
        made: ir.Node = node.replace(weight=weight, bias=bias, metadata=notes)
        return made
    return ir.SpikingAffine(
        weight,
        bias,
        spike_mode="binary" if spikes else "graded",
        weight_bits=bits,
        accumulator_bits=max(bits, b.options.accumulator_bits),
        metadata=notes,
    )


def _is_spikes(b: Builder, name: str, unit: Array) -> bool:
    """Whether nothing but 0 and 1 reaches a node."""
    arriving = b.ranges[name].arriving
    return bool((unit == 1).all()) and arriving.whole and 0 <= arriving.low <= arriving.high <= 1


def _in_features(scale: Array, leaving: Shape, node: ir.Node) -> Array:
    """One number for each output channel, as a unit of the features that leave."""
    channel = len(leaving) - 1 if isinstance(node, DENSE) else 0
    shape = [1] * len(leaving)
    shape[channel] = -1
    return narrowest(scale.reshape(shape))


def _scale(b: Builder, name: str, rows: Array, bits: int) -> Array:
    """The scale of the weights of a layer, for each output channel.

    Layers whose sums meet take one scale for both, if that is known in time: see ``Shared``.
    """
    largest = np.abs(rows).max(axis=1)
    if name not in b.scales:
        beside = {name: rows, **_ready(b, name)}
        scales = [fitted_scale(r, b.options.bits_of(n), b.options.fit) for n, r in beside.items()]
        common = np.maximum.reduce(scales)
        if all(_are_integers(b, n, r) for n, r in beside.items()):
            common = np.ones(len(rows))
        common = _held(b, list(beside), common)
        b.scales |= {n: (common, np.abs(r).max(axis=1)) for n, r in beside.items()}
    scale, supposed = b.scales[name]
    if same(largest, supposed):
        return scale
    # What reaches it is in another unit than was thought: what it sends will be brought to theirs.
    return _held(b, [name], fitted_scale(rows, bits, b.options.fit))


def _ready(b: Builder, name: str) -> dict[str, Array]:
    """The other layers in its class whose input units are known, and their weights in these."""
    found = {}
    for other in b.shared.layers_beside(name):
        node: Any = b.graph.nodes[other]
        if other == name or channels_of(node) != channels_of(b.graph.nodes[name]):
            continue
        if other in b.scales or other in b.options.keep:
            continue
        if all(source in b.whole for source in b.topology.before[other]):
            found[other] = by_output(node, weight_of(node))
    return found


def _are_integers(b: Builder, name: str, rows: Array) -> bool:
    """Whether a layer is one of integers already: weights, not all of them 0, and a bias."""
    bias = getattr(b.graph.nodes[name], "bias", None)
    whole = (rows == np.rint(rows)).all() and (bias is None or (bias == np.rint(bias)).all())
    largest = np.abs(rows).max(axis=1)
    return bool(whole and largest.all() and largest.max() <= limit(b.options.bits_of(name)))


def _held(b: Builder, names: Sequence[str], scale: Array) -> Array:
    """A scale with which everything fits that is counted in it."""
    most = limit(b.options.accumulator_bits)
    least = np.zeros(len(scale))
    for name in names:
        node: Any = b.graph.nodes[name]
        bias = getattr(node, "bias", None)
        if bias is not None:
            least = np.maximum(least, np.abs(bias.astype(np.float64)) / most)
        least = np.maximum(least, _by_channel(b, name, b.most_seen(name)) / most)
    for reader in b.shared.read_by(names[0]):
        least = np.maximum(least, _by_channel(b, names[0], b.most_seen(f"{reader}.input")) / most)
        least = np.maximum(least, _by_channel(b, names[0], needs(b, reader)))
    scale = np.where(scale > 0, scale, np.where(least > 0, least, 1.0))
    scale = np.maximum(scale, least)
    if not b.options.per_channel:
        scale = np.full_like(scale, scale.max())
    if b.options.scales == "power_of_two":
        scale = up_to_power_of_two(scale)
    for reader in b.shared.read_by(names[0]):
        scale = _on_lattice(b, reader, names[0], scale)
    return scale


def _by_channel(b: Builder, name: str, values: Array | None) -> Array:
    """The largest of some values over features, for each channel that a layer sends."""
    node = b.graph.nodes[name]
    channels = channels_of(node)
    if values is None:
        return np.zeros(channels)
    axis = values.ndim - 1 if isinstance(node, DENSE) else 0
    if values.ndim == 0 or values.shape[axis] not in (1, channels):
        return np.full(channels, values.max())
    others = tuple(a for a in range(values.ndim) if a != axis)
    return np.broadcast_to(values.max(axis=others), channels)


def _on_lattice(b: Builder, reader: str, name: str, scale: Array) -> Array:
    """A scale with which the thresholds of a neuron that counts are powers of two, from above."""
    node: Any = b.graph.nodes[reader]
    if getattr(node, "spikes", "binary") != "multiple":
        return scale
    threshold = laid(node.v_threshold, b.arriving_shape(reader)) / gain_of(b, reader)
    least, most = (_by_channel(b, name, t) for t in (threshold, -threshold))
    if (least != -most).any() or (not b.options.per_channel and (least != least[0]).any()):
        raise b.refusal(
            reader,
            "it sends several spikes at once, for which a threshold has to be a power of two, and "
            "its thresholds differ where weights have one scale",
        )
    found: Array = least / 2.0 ** np.floor(np.log2(least / scale) + 1e-9)
    return found
