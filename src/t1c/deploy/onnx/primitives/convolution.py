"""Convolutions, which ONNX has as PyTorch has them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.primitives.convolution import convolved_shape
from t1c.ir.primitives.window import pads_of

from ..registry import translates
from ..writer import Value, Writer
from .window import places


@translates(ir.Conv1d, ir.Conv2d, ir.Conv3d)
def convolution(w: Writer, node: ir.Conv2d, x: Value) -> Value:
    """Convolve."""
    return convolve(w, x, node.weight, node.bias, *node.options)


@translates(ir.SepConv2d)
def separable(w: Writer, node: ir.SepConv2d, x: Value) -> Value:
    """Convolve each channel by itself, then across channels."""
    options = (node.stride, node.padding, node.dilation, len(node.depthwise_weight))
    y = convolve(w, x, node.depthwise_weight, node.depthwise_bias, *options, part="depthwise_")
    weight, bias = node.pointwise_weight, node.pointwise_bias
    return convolve(w, y, weight, bias, (1, 1), (0, 0), (1, 1), 1, part="pointwise_")


@translates(ir.ConvTranspose1d, ir.ConvTranspose2d)
def transposed(w: Writer, node: ir.ConvTranspose2d, x: Value) -> Value:
    """Spread each input over a window of weights.

    What output_padding adds is less padding at the end, and beyond that the bias alone: onnxruntime
    refuses an output_padding of the stride or more.
    """
    if w.dtype == np.float64:
        found = "float64, for which onnxruntime has no ConvTranspose"
        w.refuse(found, "float32", "Use dtype='float32'.")
    w.finite(node.weight, "weight")
    o = node.options
    ends = [p - extra for p, extra in zip(o["padding"], o["output_padding"], strict=True)]
    beyond = [max(-end, 0) for end in ends]
    shape = node.output_shape(x.shape)
    inputs = [x, w.parameter(node.weight, "weight")]
    if not any(beyond):
        inputs.append(w.parameter(node.bias, "bias"))
    y = w.op(
        "ConvTranspose",
        *inputs,
        shape=(shape[0], *(n - b for n, b in zip(shape[1:], beyond, strict=True))),
        strides=o["stride"],
        pads=[*o["padding"], *(max(end, 0) for end in ends)],
        dilations=o["dilation"],
        group=node.groups,
    )
    if not any(beyond):
        return y
    pads = w.integers(0, 0, *[0] * len(beyond), 0, 0, *beyond)
    y = w.op("Pad", y, pads, w.number(0), shape=shape)
    return y + w.constant(node.bias.reshape(-1, *[1] * len(beyond)), "bias")


def convolve(
    w: Writer,
    x: Value,
    weight: Array,
    bias: Array | None,
    stride: tuple[int, ...],
    padding: tuple[int, ...] | str,
    dilation: tuple[int, ...],
    groups: int,
    part: str = "",
) -> Value:
    """A Conv; ``part`` is what the names of its fields begin with.

    In float64, for which onnxruntime has no Conv, a product of matrices.
    """
    w.finite(weight, f"{part}weight")
    pads = pads_of(padding, weight.shape[2:], dilation)
    shape = convolved_shape(x.shape, weight.shape, stride, padding, dilation, groups)
    if w.dtype == np.float64:
        around = places(w, x, shape[1:], weight.shape[2:], stride, pads, dilation, 0.0)
        y = _multiplied(w, around, weight, groups, part)
        over = (-1, *[1] * (len(shape) - 1))
        y = w.reshape(y, shape)
        return y if bias is None else y + w.parameter(bias.reshape(over), f"{part}bias")
    inputs = [x, w.parameter(weight, f"{part}weight")]
    if bias is not None:
        inputs.append(w.parameter(bias, f"{part}bias"))
    return w.op(
        "Conv",
        *inputs,
        shape=shape,
        strides=stride,
        pads=flat_pads(pads),
        dilations=dilation,
        group=groups,
    )


def _multiplied(w: Writer, around: Sequence[Value], weight: Array, groups: int, part: str) -> Value:
    """(groups, out/groups, places): each group's weights by all that lies around its places."""
    channels, *counts = around[0].shape
    each, count = channels // groups, math.prod(counts)
    rows = [w.reshape(value, (groups, each, count)) for value in around]
    shape = (groups, each * len(rows), count)
    columns = w.op("Concat", *rows, shape=shape, axis=2)
    # In the order of the columns: place by place, channel by channel.
    split = weight.reshape(groups, len(weight) // groups, each, -1)
    laid = split.swapaxes(2, 3).reshape(groups, len(weight) // groups, -1)
    shape = (groups, len(weight) // groups, count)
    return w.op("MatMul", w.parameter(laid, f"{part}weight"), columns, shape=shape)


def flat_pads(pads: Sequence[tuple[int, int]]) -> list[int]:
    """All that lies before, then all that lies after."""
    return [before for before, _ in pads] + [after for _, after in pads]
