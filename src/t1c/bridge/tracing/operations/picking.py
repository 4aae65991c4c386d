"""What an index says: a 1 at its place, or a number written there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from t1c import ir

from ...modules.exporting import refuse
from ..drawing import Signal
from ..effects.rules import argument
from ..record import Value
from .comparison import chosen
from .rules import rule

if TYPE_CHECKING:
    from ..bench import Bench


def at_index(b: Bench, index: Signal, count: int) -> Signal:
    """1 at the place that an index (..., 1) says, along a last axis of ``count``; 0 elsewhere."""
    shape = (*index.features[:-1], count)
    spread = b.emit(ir.Linear(np.ones((count, 1), b.dtype)), index, features=shape)
    places = np.arange(count).astype(b.dtype).reshape([1] * (len(shape) - 1) + [count])
    away = b.emit(ir.Shift(-places), spread, features=shape)
    here = b.constant(0, away)
    return b.emit(ir.Binary("equal"), away, here, features=shape)


@rule("one_hot")
def _one_hot(b: Bench) -> Signal:
    count = argument(b.call, 1, "num_classes", -1)
    if count < 0:
        raise refuse("one_hot without num_classes", "a number of classes", "Say how many.")
    index = b.signal(b.call.inputs[0])
    shape = b.out()[:-1]
    return at_index(b, b.reshaped(index, (*shape, 1)), count)


def written_at(b: Bench, base: Value, axis: int, index: Value, value: Any) -> Signal:
    """``base`` with ``value`` where an index says, one place along a feature axis.

    Raises:
        UnsupportedError: there are other feature axes.
    """
    at = b.feature_axis(b.call.outputs[0], axis)
    if len(b.out()) != 1:
        raise refuse(f"a write by an index into features {b.out()}", "features of one axis")
    here = at_index(b, b.reshaped(b.signal(index), (1,)), b.out()[at])
    if b.is_constant(base) and b.number(value) == 1 and not bool(base.tensor.any()):
        return here
    return chosen(b, here, value, base)


@rule("scatter")
def _scatter(b: Bench) -> Signal:
    call = b.call
    base = call.inputs[0]
    dim, index = argument(call, 1, "dim"), argument(call, 2, "index")
    value = argument(call, 3, "value", call.kwargs.get("src"))
    single = isinstance(index, Value) and index.shape[dim] == 1
    if not single or not b.is_constant(value) or b.number(value) is None or "reduce" in call.kwargs:
        raise refuse("a scatter of several places or values", "one place, and one number")
    return written_at(b, base, dim % len(base.shape), index, value)
