"""What moves numbers, or picks some, and changes none: their unit goes along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.primitives.merge import feature_dim

from .builder import Builder
from .rescale import at_unit, merged, narrowed, together, whole
from .units import constant_along, counts, laid, narrowest, smallest_integers, spread
from .wire import Wire, rule_for


def one_wire(b: Builder, name: str, wires: Sequence[Wire]) -> tuple[Wire, Any]:
    """The sum of what reaches a node as one wire, and its unit."""
    wire = merged(b, name, wires, b.arriving_shape(name))
    return wire, wire.unit


@rule_for(ir.Identity, ir.HybridRegion, ir.Dropout)
def _passes(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    made = together(b, name, wires, b.arriving_shape(name))
    sent = replace(made[0], node=b.emit(name, node, made), port=0)
    sent = replace(sent, wide=any(wire.wide for wire in made))
    return [b.saturated(sent, name) if len(made) > 1 else sent]


@rule_for(ir.Skip)
def _skip(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    return _passes(b, name, node, wires) if node.adds_inputs else _joined(b, name, node, wires, 0)


@rule_for(ir.Concat)
def _concat(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    return _joined(b, name, node, wires, feature_dim(node.dim, len(b.shape(name))))


def _joined(b: Builder, name: str, node: Any, wires: Sequence[Wire], dim: int) -> Sequence[Wire]:
    sources = b.topology.before[name]
    ports = [b.graph.ports()[source, name] for source in sources]
    shapes = [b.shape(source, port) for source, port in zip(sources, ports, strict=True)]
    made = [whole(b, name, wire, shape) for wire, shape in zip(wires, shapes, strict=True)]
    if len(made) > 1:
        # Each by itself: a shift for the largest of all would leave nothing of spikes beside them.
        made = [narrowed(b, name, w, s) for w, s in zip(made, sources, strict=True)]
    units = [spread(w.unit, s) for w, s in zip(made, shapes, strict=True) if w.unit is not None]
    sent = b.emit(name, node, made)
    unit = narrowest(np.concatenate(units, axis=dim))
    return [Wire(sent, unit, any(wire.wide for wire in made))]


@rule_for(ir.Flatten, ir.Reshape)
def _reshaped(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    wire, unit = one_wire(b, name, wires)
    over = spread(unit, b.arriving_shape(name)).reshape(b.shape(name))
    return [Wire(b.emit(name, node, [wire]), narrowest(over), wire.wide)]


@rule_for(ir.Transpose)
def _transposed(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    wire, unit = one_wire(b, name, wires)
    return [Wire(b.emit(name, node, [wire]), unit.transpose(node.order), wire.wide)]


@rule_for(ir.Slice)
def _sliced(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    wire, unit = one_wire(b, name, wires)
    shape = b.arriving_shape(name)
    axis = feature_dim(node.axis, len(shape), "axis")
    taken = spread(unit, shape)[(slice(None),) * axis + (node.taken,)]
    return [Wire(b.emit(name, node, [wire]), narrowest(taken), wire.wide)]


@rule_for(ir.ChannelSplit)
def _split(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    wire, unit = one_wire(b, name, wires)
    shape = b.arriving_shape(name)
    dim = feature_dim(node.dim, len(shape))
    places = np.cumsum(node.split_sections)[:-1]
    parts = np.split(np.array(spread(unit, shape)), places, axis=dim)
    sent = b.emit(name, node, [wire])
    return [Wire(sent, narrowest(part), wire.wide, port) for port, part in enumerate(parts)]


@rule_for(ir.Delay)
def _delay(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    wire, unit = one_wire(b, name, wires)
    begun = counts(laid(node.initial, b.arriving_shape(name)), unit)
    initial = np.asarray(0.0)
    if begun.any():
        initial = smallest_integers(narrowest(np.rint(begun)))
    return [replace(wire, node=b.emit(name, node.replace(initial=initial), [wire]))]


@rule_for(ir.MaxPool1d, ir.MaxPool2d, ir.MaxPool3d, ir.Upsample)
def _picked(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    if isinstance(node, ir.Upsample) and node.mode != "nearest":
        raise b.refusal(name, "what lies between its inputs is no integer")
    wire = even(b, name, wires)
    return [replace(wire, node=b.emit(name, node, [wire]), port=0)]


def even(b: Builder, name: str, wires: Sequence[Wire]) -> Wire:
    """One wire whose unit is the same in all places of a channel."""
    wire, unit = one_wire(b, name, wires)
    return at_unit(b, name, wire, constant_along(unit, range(1, unit.ndim)))
