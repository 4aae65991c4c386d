"""Where a graph of integers begins: real numbers are brought to a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.errors import Problem, UnsupportedError
from t1c.ir.shapes import Shape

from .builder import Builder
from .calibrate import Calibration
from .options import Options
from .units import limit, one, up_to_power_of_two
from .wire import Wire, rule_for


def brought_in(b: Builder, wire: Wire, name: str, shape: Shape) -> Wire:
    """Real numbers on a grid: scaled by a power of two, clipped and rounded to nearest.

    That gives the same integer in any float format that holds the number. Whole numbers that fit
    keep 1 for a unit.
    """
    low, high, are_whole = extent(b.graph, b.seen, b.options, b.seen_as(name))
    bits = b.options.input_bits
    least, most = (0, 2**bits - 1) if low >= 0 else (-limit(bits) - 1, limit(bits))
    unit = 1.0
    if not (are_whole and least <= low and high <= most):
        largest = max(high / most, low / least if least else 0.0)
        unit = float(up_to_power_of_two(np.array(largest))) if largest > 0 else 1.0
    elif low >= 0:
        most = max(int(high), 1)
    scaled = [("counted", ir.Scale(np.array(1 / unit)))] if unit != 1 else []
    bounds = ir.Clip(low=np.array(least, np.int32), high=np.array(most, np.int32))
    steps = [*scaled, ("clipped", bounds), ("rounded", ir.Unary("round"))]
    return replace(b.chained(wire, name, *steps), unit=one(shape) * unit)


def extent(
    graph: ir.Graph, seen: Calibration | None, options: Options, name: str
) -> tuple[float, float, bool]:
    """The least and the greatest number that a node brings, and whether all are whole."""
    given = options.inputs
    if name in graph.inputs() and given is not None:
        low, high = (0.0, 1.0) if isinstance(given, str) else given
        return float(low), float(high), isinstance(given, str)
    if seen is None or name not in seen.lows:
        raise UnsupportedError(
            Problem(
                "how large the numbers are that it brings is not known",
                "calibrate=, inputs that show it, or inputs='spikes' or (least, greatest)",
                where=f"node {name!r}",
            )
        )
    low, high = float(seen.lows[name].min()), float(seen.highs[name].max())
    return low, high, name in seen.whole


@rule_for(ir.Input)
def _input(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    wire = Wire(b.emit(name, node, []), None)
    return [brought_in(b, wire, name, tuple(node.shape))]
