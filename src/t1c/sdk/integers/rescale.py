"""Integers of one unit as integers of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.shapes import Shape

from .borders import brought_in
from .builder import Builder, clip
from .units import MARGIN, field, limit, narrowest, same, smallest_integers, spread
from .wire import Wire

Steps = list[tuple[str, ir.Node]]


def shifted_down(k: int) -> Steps:
    """Nodes that divide by 2**k and round to the nearest whole number, halves up."""
    if not k:
        return []
    half = ir.Shift(np.array(2 ** (k - 1), np.int32))
    return [("half", half), ("shifted", ir.Scale(np.array(2.0**-k))), ("floored", FLOOR)]


FLOOR = ir.Unary("floor")


def at_unit(b: Builder, name: str, wire: Wire, unit: Array) -> Wire:
    """The same numbers counted in another unit: times m, shifted down by k, rounded to nearest.

    m has about decay_bits bits. ``name`` is the node of the old graph that wants them.
    """
    if same(wire.integer_unit, unit):
        return replace(wire, unit=unit)
    ratio = narrowest(wire.integer_unit / unit)
    k = max(0, b.options.decay_bits - int(np.floor(np.log2(ratio.max()))))
    times = np.rint(ratio * 2.0**k)
    if not times.all():
        raise b.refusal(
            name,
            "what meets there lies so far apart that in one unit nothing is left of the smaller: "
            f"it would be {ratio.min():.3g} to {ratio.max():.3g} of them",
        )
    while k and not (times % 2).any():
        times, k = times / 2, k - 1
    scaled: Steps = [("times", ir.Scale(smallest_integers(field(times))))]
    steps = [*(scaled if (times != 1).any() else []), *shifted_down(k)]
    return replace(b.chained(wire, f"{wire.node}.for.{name}", *steps), unit=unit)


def together(b: Builder, name: str, wires: Sequence[Wire], shape: Shape) -> list[Wire]:
    """Wires whose numbers may be added or compared: integers of one unit, the finest of theirs."""
    made = [whole(b, name, wire, shape) for wire in wires]
    finest = made[0].integer_unit
    for wire in made[1:]:
        if not same(finest, wire.integer_unit):
            finest = np.minimum(finest, wire.integer_unit)
    return [at_unit(b, name, wire, finest) for wire in made]


def merged(b: Builder, name: str, wires: Sequence[Wire], shape: Shape) -> Wire:
    """One wire of what is added up; None reaches a node that runs alone."""
    made = together(b, name, wires, shape)
    if len(made) == 1:
        return made[0]
    total = Wire(b.emit(f"{name}.sum", ir.Identity(), made), made[0].unit, _any_wide(made))
    return b.saturated(total, f"{name}.sum")


def whole(b: Builder, name: str, wire: Wire, shape: Shape) -> Wire:
    """A wire of integers; real numbers of a node that was kept are brought to a grid."""
    return wire if wire.unit is not None else brought_in(b, wire, wire.node, shape)


def narrowed(b: Builder, name: str, wire: Wire, seen_as: str) -> Wire:
    """A wide wire shifted down to input_bits, so that weights may be multiplied with it."""
    if not wire.wide:
        return wire
    bits, unit = b.options.input_bits, wire.integer_unit
    most = b.most_there(seen_as)
    if most is None:
        raise b.refusal(
            name,
            f"how large the sums get that reach its weights (those of {seen_as!r}) is not known, "
            "and they have to be brought to few bits: show samples (calibrate=)",
        )
    largest = min(float((most / spread(unit, most.shape)).max()), limit(b.options.accumulator_bits))
    k = max(0, int(np.ceil(np.log2(max(largest, 1.0) / limit(bits)) - MARGIN)))
    steps: Steps = [*shifted_down(k), ("narrow", clip(bits))]
    made = b.chained(wire, f"{wire.node}.for.{name}", *steps)
    return replace(made, unit=unit * 2.0**k, wide=False)


def _any_wide(wires: Sequence[Wire]) -> bool:
    return any(wire.wide for wire in wires)
