"""Sums, means and extremes over axes of features."""

from __future__ import annotations

from t1c import ir

from ..values import Signal
from .call import Call
from .registry import operator

HOW = {"ReduceSum": "sum", "ReduceMean": "mean", "ReduceMax": "max", "ReduceMin": "min"}
"""Of these, ReduceSum takes its axes as an input since opset 13, the others since 18."""


@operator(*HOW)
def reduce(call: Call) -> Signal:
    """Over the axes that are named, none of which may be the batch."""
    x = call.signal()
    as_input = call.opset >= (13 if call.op == "ReduceSum" else 18)
    axes = call.ints(1) if as_input else call.attributes.ints("axes")
    nothing = bool(call.attributes("noop_with_empty_axes", 0))
    if not axes:
        if nothing:
            return call.add(ir.Identity(), x)
        raise call.refuse("no axes: over all of them, the batch too", "the axes to reduce")
    along = tuple(call.axis(axis, x.rank) for axis in axes)
    keep = bool(call.attributes("keepdims", 1))
    if len(along) == len(x.shape) and not keep:
        raise call.refuse("nothing but the batch is left", "keepdims=1, or an axis less")
    return call.add(ir.Reduce(HOW[call.op], along, keepdims=keep), x)
