"""Normalisation in eval mode, in the order of operations of ``t1c.ir``.

ONNX has words for these, but onnxruntime takes the variance as the difference of two large numbers.
"""

from __future__ import annotations

import numpy as np

from t1c import ir

from ..registry import translates
from ..writer import Value, Writer, size


@translates(ir.BatchNorm1d, ir.BatchNorm2d, ir.BatchNorm3d)
def batch_norm(w: Writer, node: ir.BatchNorm2d, x: Value) -> Value:
    """Multiply and add what the stored statistics come to."""
    axes = (-1, *[1] * (len(x.shape) - 1))
    factor, shift = (p.reshape(axes) for p in node.coefficients(w.dtype))
    return x * w.constant(factor, "factor") + w.constant(shift, "shift")


@translates(ir.LayerNorm)
def layer_norm(w: Writer, node: ir.LayerNorm, x: Value) -> Value:
    """Normalise each sample by its own mean and variance."""
    rank = len(x.shape)
    axes = range(rank - len(node.normalized_shape), rank)
    scaled = normalised(w, x, tuple(axes), node.eps)
    return scaled * w.constant(node.weight, "weight") + w.constant(node.bias, "bias")


@translates(ir.GroupNorm)
def group_norm(w: Writer, node: ir.GroupNorm, x: Value) -> Value:
    """Normalise each group of channels."""
    groups = w.reshape(x, (node.num_groups, size(x.shape) // node.num_groups))
    scaled = w.reshape(normalised(w, groups, (1,), node.eps), x.shape)
    over = (-1, *[1] * (len(x.shape) - 1))
    weight, bias = (np.reshape(p, over) for p in (node.weight, node.bias))
    return scaled * w.constant(weight, "weight") + w.constant(bias, "bias")


def normalised(w: Writer, x: Value, axes: tuple[int, ...], eps: float) -> Value:
    """(x - mean) / sqrt(var + eps) over feature axes."""
    centred = x - w.over("ReduceMean", x, axes)
    var = w.over("ReduceMean", centred * centred, axes)
    return centred / w.apply("Sqrt", var + eps)
