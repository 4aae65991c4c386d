"""Pooling: by ONNX's own pools where they are PyTorch's, else by hand, place by place of a window.

They are not where a window holds nothing but padding, or reaches further than ONNX lets it, nor for
sums; and onnxruntime has no AveragePool in float64.
"""

from __future__ import annotations

import numpy as np

from t1c import ir

from ..registry import translates
from ..writer import Value, Writer
from .convolution import flat_pads
from .window import beyond, places

Pool = ir.MaxPool2d | ir.AvgPool2d | ir.SumPool2d


@translates(ir.MaxPool1d, ir.MaxPool2d, ir.MaxPool3d)
def max_pool(w: Writer, node: ir.MaxPool2d, x: Value) -> Value:
    """The largest value in each window."""
    kernel, stride, padding, dilation = node.window
    pads = list(zip(padding, _beyond(node, x), strict=True))
    short = all(max(both) < k for both, k in zip(pads, kernel, strict=True))
    if not short or not _all_hold(node, x):
        return w.apply("Max", *_places(w, node, x, -np.inf))
    return w.op(
        "MaxPool",
        x,
        shape=node.output_shape(x.shape),
        kernel_shape=kernel,
        strides=stride,
        pads=flat_pads(pads),
        dilations=dilation,
    )


@translates(ir.AvgPool1d, ir.AvgPool2d, ir.AvgPool3d)
def avg_pool(w: Writer, node: ir.AvgPool2d, x: Value) -> Value:
    """The mean of each window."""
    kernel, stride, padding, _ = node.window
    further = any(n > p for n, p in zip(_beyond(node, x), padding, strict=True))
    if further or w.dtype == np.float64:
        return _sum(w, node, x) / w.constant(node.elements(x.shape[1:]), "elements")
    return w.op(
        "AveragePool",
        x,
        shape=node.output_shape(x.shape),
        kernel_shape=kernel,
        strides=stride,
        pads=[*padding, *padding],
        count_include_pad=int(node.count_include_pad),
    )


@translates(ir.SumPool2d)
def sum_pool(w: Writer, node: ir.SumPool2d, x: Value) -> Value:
    """The sum of each window."""
    return _sum(w, node, x)


def _sum(w: Writer, node: Pool, x: Value) -> Value:
    """Row by row, as ``t1c.ir`` adds."""
    total, *rest = _places(w, node, x, 0.0)
    for value in rest:
        total = total + value
    return total


def _pads(node: Pool) -> list[tuple[int, int]]:
    return [(p, p) for p in node.window[2]]


def _beyond(node: Pool, x: Value) -> list[int]:
    """How far the last window reaches behind the map, along each axis."""
    size, (kernel, stride, _, dilation) = x.shape[1:], node.window
    return beyond(size, node.counts(size), kernel, stride, _pads(node), dilation)


def _all_hold(node: Pool, x: Value) -> bool:
    """Whether each window holds an element of the map."""
    axes = zip(node.counts(x.shape[1:]), *node.window, x.shape[1:], strict=True)
    return all(
        any(0 <= i * s - p + j * d < n for j in range(k))
        for c, k, s, p, d, n in axes
        for i in range(c)
    )


def _places(w: Writer, node: Pool, x: Value, fill: float) -> list[Value]:
    """What lies in each place of the windows, of all of them at once, row by row."""
    kernel, stride, _, dilation = node.window
    counts = node.counts(x.shape[1:])
    return places(w, x, counts, kernel, stride, _pads(node), dilation, fill)
