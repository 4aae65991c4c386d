"""Activation functions, in the order of operations of ``t1c.ir``."""

from __future__ import annotations

import math

import numpy as np

from t1c import ir

from ..registry import translates
from ..writer import Value, Writer


def _bent(w: Writer, x: Value, below: Value) -> Value:
    """Keep what is above 0, and take ``below`` elsewhere."""
    return w.where(w.compare("Greater", x, w.number(0)), x, below)


@translates(ir.ReLU)
def relu(w: Writer, node: ir.ReLU, x: Value) -> Value:
    """Rectify."""
    if not node.negative_slope:
        return w.apply("Relu", x)
    return _bent(w, x, x * node.negative_slope)


@translates(ir.PReLU)
def prelu(w: Writer, node: ir.PReLU, x: Value) -> Value:
    """Rectify with a slope per channel."""
    slope = node.weight.reshape(-1, *[1] * (len(x.shape) - 1))
    return _bent(w, x, w.constant(slope, "weight") * x)


@translates(ir.ELU)
def elu(w: Writer, node: ir.ELU, x: Value) -> Value:
    """Bend below zero; exp(x) - 1 is 2 t / (1 - t) with t = tanh(x / 2), which keeps its digits."""
    t = w.apply("Tanh", w.apply("Min", x, w.number(0)) * 0.5)
    return _bent(w, x, (t * 2 / (1 - t)) * node.alpha)


@translates(ir.Sigmoid, ir.Tanh)
def squash(w: Writer, node: ir.Sigmoid | ir.Tanh, x: Value) -> Value:
    """Squash."""
    return w.apply(node.primitive, x)


@translates(ir.Softmax, ir.LogSoftmax)
def softmax(w: Writer, node: ir.Softmax | ir.LogSoftmax, x: Value) -> Value:
    """Normalise along an axis, which ONNX counts on a batch too."""
    return w.op(node.primitive, x, shape=x.shape, axis=node.dim)


@translates(ir.GELU)
def gelu(w: Writer, node: ir.GELU, x: Value) -> Value:
    """Weigh by the normal distribution."""
    if node.approximate:
        gate = w.apply("Tanh", (x + x * x * x * 0.044715) * math.sqrt(2 / math.pi))
    elif w.dtype == np.float64:
        w.refuse(
            "a GELU of the exact kind in float64, for which onnxruntime has no Erf",
            remedy="Use dtype='float32', or approximate=True.",
            field="approximate",
        )
    else:
        gate = w.apply("Erf", x / math.sqrt(2))
    return x * 0.5 * (gate + 1)
