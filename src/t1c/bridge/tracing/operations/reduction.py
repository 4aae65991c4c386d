"""Sums, means and extremes: over features they reduce, over time they accumulate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from t1c import ir

from ...modules.exporting import refuse
from .. import axes
from ..axes import STILL, TIME, AxisError
from ..drawing import Signal
from ..effects.reduction import keeps_axes, reduced_axes
from ..effects.rules import argument
from ..names import plain_name
from .along import mixed
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
    keep = keeps_axes(call)
    over_time = [i for i in gone if TIME in axes.roles(dims[i])]
    still = [i for i in gone if axes.roles(dims[i]) == {STILL}]
    others = [b.feature_axis(x, i) for i in sorted(gone) if i not in (*over_time, *still)]
    if any(axes.roles(dims[i]) != {TIME} for i in over_time):
        raise AxisError("a reduction over time and other axes that were merged with it")
    signal = b.signal(x)
    if others:
        # A value without features is one number for each sample.
        keep = keep or len(others) == len(signal.features)
        shape = tuple(
            1 if i in others else n
            for i, n in enumerate(signal.features)
            if keep or i not in others
        )
        signal = b.emit(ir.Reduce(how, tuple(others), keep), signal, features=shape)
    if over_time:
        signal = b.emit(ir.Accumulate(how), signal, features=signal.features)
    signal = b.reshaped(signal, b.out())
    if len(call.outputs) == 1:
        return [signal]
    if 1 not in b.used or over_time:
        return [signal, b.unsaid("the index of an extreme")]
    return [signal, first_extreme(b, how, argument(call, 1, "dim"))]


@rule("var")
def _variance(b: Bench) -> Signal:
    """The mean square of what is left of the mean; unbiased unless said otherwise."""
    call = b.call
    x = call.inputs[0]
    gone = tuple(sorted(b.feature_axis(x, i) for i in reduced_axes(call)))
    signal = b.signal(x)
    unbiased = next((a for a in call.args[1:3] if isinstance(a, bool)), True)
    less = call.kwargs.get("correction", int(call.kwargs.get("unbiased", unbiased)))
    count = math.prod(signal.features[i] for i in gone) - (1 if less is None else less)
    if count <= 0:
        raise refuse("a variance of too few elements", "more, or unbiased=False")
    one = tuple(1 if i in gone else n for i, n in enumerate(signal.features))
    mean = b.emit(ir.Reduce("mean", gone, True), signal, features=one)
    away = b.emit(ir.Binary("subtract"), *b.apart(signal, mean), features=signal.features)
    squares = b.emit(ir.Power(b.scalar(2)), away, features=signal.features)
    total = b.emit(ir.Reduce("sum", gone, True), squares, features=one)
    return b.reshaped(b.emit(ir.Scale(b.scalar(1 / count)), total, features=one), b.out())


@rule("argmax argmin")
def _argument(b: Bench) -> Signal:
    return first_extreme(b, b.call.name.removeprefix("arg"), argument(b.call, 1, "dim"))


def first_extreme(b: Bench, how: str, dim: int | None) -> Signal:
    """Which element along an axis is the largest, or smallest; the first of several that are.

    Those that are get numbers that fall along the axis, and the others 0: the largest tells.
    """
    (x,) = b.call.inputs
    if dim is None:
        raise refuse(f"{b.call.name} without dim", "one feature axis: dim=1, or dim=-1")
    axis = b.feature_axis(x, dim)
    signal = b.signal(x)
    n = signal.features[axis]
    if n * np.finfo(b.dtype).eps > 1:
        raise refuse(f"{b.call.name} of {n} elements", f"as many as {b.dtype} counts exactly")
    one = tuple(1 if i == axis else k for i, k in enumerate(signal.features))
    extreme = b.emit(ir.Reduce(how, (axis,), True), signal, features=one)
    reached = b.emit(ir.Binary("equal"), *b.apart(signal, extreme), features=signal.features)
    falling = np.arange(n, 0, -1).reshape([n if i == axis else 1 for i in range(len(one))])
    ranks = b.emit(ir.Scale(falling.astype(b.dtype)), reached, features=signal.features)
    first = b.emit(ir.Reduce("max", (axis,), True), ranks, features=one)
    minus = b.emit(ir.Scale(b.scalar(-1)), first, features=one)
    index = b.emit(ir.Shift(b.scalar(n)), minus, features=one)
    return b.reshaped(index, b.out(len(b.call.outputs) - 1))


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
    return mixed(b, b.x(), axis, np.tril(np.ones((n, n), b.dtype)), "cumsum")
