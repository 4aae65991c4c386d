"""Pools with windows, and pools over whole maps."""

from __future__ import annotations

from typing import Any

from t1c import ir
from t1c.ir.errors import Problem, UnsupportedError

from ..values import Signal
from .call import Call
from .padding import zeros_around
from .registry import operator
from .windows import of_dims, windows_of

MAX: dict[int, Any] = {1: ir.MaxPool1d, 2: ir.MaxPool2d, 3: ir.MaxPool3d}
MEAN: dict[int, Any] = {1: ir.AvgPool1d, 2: ir.AvgPool2d, 3: ir.AvgPool3d}


@operator("MaxPool")
def max_pool(call: Call) -> Signal:
    """The largest value in each window; padding never wins."""
    x = call.signal()
    w = windows_of(call, None, x.shape[1:])
    call.attributes.means_nothing("storage_order")  # of the indices, which cannot be asked for
    if not w.even:
        raise call.refuse(
            f"padding {w.pads} of different sizes before and after",
            "the same before and after",
            "Pad in front of the pool, behind a ReLU with zeros.",
        )
    node = MAX[len(w.kernel)](
        kernel_size=of_dims(w.kernel),
        stride=of_dims(w.stride),
        padding=of_dims(w.before),
        dilation=of_dims(w.dilation),
        ceil_mode=bool(call.attributes("ceil_mode", 0)),
    )
    return call.add(node, x)


@operator("AveragePool")
def average_pool(call: Call) -> Signal:
    """The mean of each window; whether padding counts is stated."""
    x = call.signal()
    w = windows_of(call, None, x.shape[1:])
    counted = bool(call.attributes("count_include_pad", 0))
    ceil = bool(call.attributes("ceil_mode", 0))
    if set(w.dilation) != {1}:
        raise call.refuse(f"dilations={w.dilation}", "1")
    padding = w.before
    if not w.even:
        if not counted or ceil:
            raise call.refuse(
                f"padding {w.pads} of different sizes before and after, which does not count",
                "the same before and after, or count_include_pad=1 without ceil_mode",
            )
        x, padding = zeros_around(call, x, [(0, 0), *w.pads]), (0,) * len(padding)
    if ceil and counted and any(padding):
        # Where a window sticks out, runtimes differ in what they divide by.
        raise UnsupportedError(Problem("ceil_mode=1 with padding that counts", "one of the two"))
    node = MEAN[len(w.kernel)](
        kernel_size=of_dims(w.kernel),
        stride=of_dims(w.stride),
        padding=of_dims(padding),
        ceil_mode=ceil,
        count_include_pad=counted,
    )
    return call.add(node, x)


@operator("GlobalAveragePool", "GlobalMaxPool")
def global_pool(call: Call) -> Signal:
    """The mean or maximum of each channel's map, of which each axis becomes 1."""
    x = call.signal()
    axes = tuple(range(1, len(x.shape)))
    if not axes:
        raise call.refuse(f"a signal of shape (batch, {x.shape[0]})", "a map behind the channels")
    how = "mean" if call.op == "GlobalAveragePool" else "max"
    return call.add(ir.Reduce(how, axes, keepdims=True), x)
