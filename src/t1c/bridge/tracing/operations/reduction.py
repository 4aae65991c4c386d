"""Sums, means and extremes: over features they reduce, over time they accumulate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from t1c import ir

from .. import axes
from ..axes import STILL, TIME, AxisError
from ..drawing import Signal
from ..effects import argument, reduced_axes
from ..names import plain_name
from .operands import binary
from .rules import rule

if TYPE_CHECKING:
    from ..bench import Bench


@rule("sum mean max min")
def _reduce(b: Bench) -> Signal | Sequence[Signal]:
    call = b.call
    how = plain_name(call.name)
    if len(call.inputs) == 2:
        x, y = call.inputs
        return binary(b, {"max": "maximum", "min": "minimum"}[how], x, y)
    (x,) = call.inputs
    dims, gone = b.dims(x), reduced_axes(call)
    keep = bool(argument(call, 2, "keepdim", False))
    over_time = [i for i in gone if TIME in axes.roles(dims[i])]
    still = [i for i in gone if axes.roles(dims[i]) == {STILL}]
    others = [b.feature_axis(x, i) for i in sorted(gone) if i not in (*over_time, *still)]
    if any(axes.roles(dims[i]) != {TIME} for i in over_time):
        raise AxisError("a reduction over time and other axes that were merged with it")
    signal = b.signal(x)
    if others:
        shape = tuple(
            1 if i in others else n
            for i, n in enumerate(signal.features)
            if keep or i not in others
        )
        signal = b.emit(ir.Reduce(how, tuple(others), keep), signal, features=shape)
    if over_time:
        signal = b.emit(ir.Accumulate(how), signal, features=signal.features)
    signal = b.reshaped(signal, b.out())
    # Which element is the largest is nothing that a graph can say.
    return [signal] if len(call.outputs) == 1 else [signal, b.unsaid("the index of an extreme")]


@rule("cumsum")
def _cumulate(b: Bench) -> Signal:
    x = b.call.inputs[0]
    dim = argument(b.call, 1, "dim")
    roles = axes.roles(b.dims(x)[dim])
    if roles == {STILL}:
        return b.x()
    if roles == {TIME}:
        return b.emit(ir.Accumulate("sum"), b.x())
    axis, n = b.feature_axis(x, dim), x.shape[dim]
    signal, rank = b.x(), len(b.out())
    lower = ir.Linear(np.tril(np.ones((n, n), b.dtype)))
    if axis == rank - 1:
        return b.emit(lower, signal)
    order = (*(i for i in range(rank) if i != axis), axis)
    moved = tuple(signal.features[i] for i in order)
    last = b.emit(ir.Transpose(order), signal, features=moved, label="cumsum.last")
    sums = b.emit(lower, last, features=moved, label="cumsum.sums")
    return b.emit(ir.Transpose(tuple(order.index(i) for i in range(rank))), sums)
