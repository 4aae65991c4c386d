"""Arithmetic on integers: units are multiplied, or made one first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.fields import Array

from .builder import Builder, clip
from .moves import even, one_wire
from .rescale import at_unit, together, whole
from .units import constant_along, counts, field, laid, narrowest, one, smallest_integers
from .wire import Wire, rule_for


def passed(b: Builder, name: str, node: ir.Node, wire: Wire, unit: Array, wide: bool) -> Wire:
    """Emit a node of one input that sends numbers of a unit."""
    return Wire(b.emit(name, node, [wire]), unit, wide)


@rule_for(ir.Scale)
def _scale(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    """The unit takes the factor; its sign is left."""
    wire, unit = one_wire(b, name, wires)
    return [_scaled(b, name, node, wire, unit, laid(node.scale, b.arriving_shape(name)))]


def _scaled(b: Builder, name: str, node: Any, wire: Wire, unit: Array, scale: Array) -> Wire:
    sign = ir.Scale(smallest_integers(field(narrowest(np.sign(scale)))))
    made = narrowest(unit * np.where(scale == 0, 1.0, np.abs(scale)))
    wide = wire.wide or bool((made != 1).any())
    return passed(b, name, sign.replace(metadata=b.note(node, made)), wire, made, wide)


@rule_for(ir.Shift)
def _shift(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    wire, unit = one_wire(b, name, wires)
    return [_shifted(b, name, node, wire, unit, laid(node.shift, b.arriving_shape(name)))]


def _shifted(b: Builder, name: str, node: Any, wire: Wire, unit: Array, shift: Array) -> Wire:
    added = ir.Shift(smallest_integers(field(narrowest(np.rint(counts(shift, unit))))))
    made = passed(b, name, added.replace(metadata=b.note(node, unit)), wire, unit, wire.wide)
    return b.saturated(made, name)


@rule_for(ir.BatchNorm1d, ir.BatchNorm2d, ir.BatchNorm3d)
def _norm(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    """One that no layer took in: a factor and a shift for each channel."""
    wire, unit = one_wire(b, name, wires)
    shape = b.arriving_shape(name)
    mean, var, weight, bias = (
        laid(p, shape) for p in (node.running_mean, node.running_var, node.weight, node.bias)
    )
    factor = weight / np.sqrt(var + node.eps)
    scaled = _scaled(b, f"{name}.factor", node, wire, unit, factor)
    return [_shifted(b, name, node, scaled, scaled.integer_unit, bias - factor * mean)]


@rule_for(ir.Clip)
def _clip(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    wire, unit = one_wire(b, name, wires)
    shape = b.arriving_shape(name)
    low, high = (
        None
        if bound is None
        else smallest_integers(narrowest(np.rint(counts(laid(bound, shape), unit))))
        for bound in (node.low, node.high)
    )
    return [passed(b, name, node.replace(low=low, high=high), wire, unit, wire.wide)]


@rule_for(ir.ReLU)
def _relu(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    if node.negative_slope:
        raise b.refusal(name, f"a slope of {node.negative_slope:g} below zero gives no integers")
    wire, unit = one_wire(b, name, wires)
    return [passed(b, name, node, wire, unit, wire.wide)]


@rule_for(ir.Unary)
def _unary(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    wire, unit = one_wire(b, name, wires)
    if node.op == "sign":
        return [passed(b, name, node, wire, one(b.shape(name)), False)]
    if node.op == "round":
        # Fake quantisation: the numbers of other units, counted in ones.
        wire, unit = at_unit(b, name, wire, one(b.shape(name))), one(b.shape(name))
    rounds = node.op in ("floor", "round") and (unit == 1).all()
    if node.op not in ("abs", "neg") and not rounds:
        raise b.refusal(name, f"no integers say {node.op!r} of numbers with a unit of their own")
    return [passed(b, name, node, wire, unit, wire.wide)]


@rule_for(ir.Threshold)
def _threshold(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    wire, unit = one_wire(b, name, wires)
    shape = b.arriving_shape(name)
    found = counts(laid(node.threshold, shape), unit)
    least = np.ceil(found) if node.fires_at == "ge" else np.floor(found) + 1
    threshold = smallest_integers(field(narrowest(least)))
    new = ir.Threshold(threshold, metadata=b.note(node, unit))
    return [passed(b, name, new, wire, one(shape), False)]


@rule_for(ir.SumPool2d)
def _sum_pool(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    wire = even(b, name, wires)
    return [b.saturated(replace(wire, node=b.emit(name, node, [wire]), port=0), name)]


@rule_for(ir.AvgPool1d, ir.AvgPool2d, ir.AvgPool3d)
def _mean_pool(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    """A sum, in a unit that is as many times smaller as a window has places."""
    if not node.holds_alike:
        raise b.refusal(name, "its windows hold different numbers of elements")
    wire = even(b, name, wires)
    kernel, stride, padding, _ = node.window
    channels = b.arriving_shape(name)[0]
    new: ir.Node
    if isinstance(node, ir.AvgPool2d):
        new = ir.SumPool2d(kernel, stride, padding, metadata=node.metadata)
    else:
        layer: Any = ir.Conv1d if isinstance(node, ir.AvgPool1d) else ir.Conv3d
        options = (stride, padding) if len(kernel) > 1 else (stride[0], padding[0])
        ones, none = np.ones((channels, 1, *kernel), np.int8), np.zeros(channels, np.int8)
        new = layer(ones, none, *options, groups=channels, metadata=node.metadata)
    unit = wire.integer_unit / int(np.prod(kernel))
    return [b.saturated(Wire(b.emit(name, new, [wire]), unit, True), name)]


@rule_for(ir.Reduce)
def _reduce(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    wire, unit = one_wire(b, name, wires)
    shape = b.arriving_shape(name)
    axes = node.along(len(shape))
    wire = at_unit(b, name, wire, constant_along(unit, axes))
    unit = wire.integer_unit
    wide = wire.wide
    if node.how == "mean":
        node = node.replace(how="sum")
        unit, wide = unit / int(np.prod([shape[axis] for axis in axes])), True
    if not node.keepdims:
        unit = unit.squeeze(tuple(axes))
    made = passed(b, name, node, wire, unit, wide)
    return [b.saturated(made, name) if node.how == "sum" else made]


@rule_for(ir.Accumulate)
def _accumulate(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    """A sum is an integrator whose state saturates."""
    wire, unit = one_wire(b, name, wires)
    if node.how == "mean":
        raise b.refusal(name, "a mean over time is no integer")
    if node.how in ("max", "min"):
        return [passed(b, name, node, wire, unit, wire.wide)]
    shape = b.arriving_shape(name)
    nodes: dict[str, ir.Node] = {
        "input": ir.Input(shape),
        "total": ir.Delay(np.array(1)),
        "sum": ir.Identity(),
        "kept": clip(b.options.state_bits),
        "output": ir.Output(shape),
    }
    edges = [("total", "sum"), ("input", "sum"), ("sum", "kept"), ("kept", "total")]
    notes = b.note(node, unit, state_bits=b.options.state_bits, primitive="Accumulate")
    graph = ir.Graph(nodes, [*edges, ("kept", "output")], allow_cycles=True, metadata=notes)
    return [passed(b, name, graph, wire, unit, True)]


@rule_for(ir.Binary)
def _binary(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    if node.op in ("divide", "power"):
        raise b.refusal(name, f"no integers say {node.op!r}")
    shape = b.shape(name)
    if node.op == "multiply":
        made = [whole(b, name, wire, shape) for wire in wires]
        unit = narrowest(made[0].integer_unit * made[1].integer_unit)
    else:
        made = together(b, name, wires, shape)
        unit = made[0].integer_unit
    compares = node.op in ("greater", "greater_or_equal", "equal")
    sent = Wire(b.emit(name, node, made), one(shape) if compares else unit)
    if compares:
        return [sent]
    sent = replace(sent, wide=any(wire.wide for wire in made))
    return [b.saturated(sent, name) if node.op in ("subtract", "multiply") else sent]


@rule_for(ir.Where)
def _where(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    shape = b.shape(name)
    condition = whole(b, name, wires[0], shape)
    made = together(b, name, wires[1:], shape)
    sent = b.emit(name, node, [condition, *made])
    return [Wire(sent, made[0].unit, any(wire.wide for wire in made))]


@rule_for(ir.MatMul)
def _matmul(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    """The units of both, where each has one unit for all its elements."""
    made = []
    for wire in (whole(b, name, wire, b.shape(name)) for wire in wires):
        unit = wire.integer_unit
        made.append(at_unit(b, name, wire, constant_along(unit, range(unit.ndim))))
    both = made[0].integer_unit * made[1].integer_unit
    sent = Wire(b.emit(name, node, made), both, any(wire.wide for wire in made))
    return [b.saturated(sent, name)]
