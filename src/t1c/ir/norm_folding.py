"""The arithmetic of taking a batch norm into the weights of the layer before it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .fields import Array
from .node import Node
from .primitives.convolution import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    SepConv2d,
)
from .primitives.linear import Affine, Linear, SpikingAffine
from .primitives.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from .shapes import as_shape

KEY = "folded"
"""Where a layer keeps in its metadata what was folded into it."""

NORMS = (BatchNorm1d, BatchNorm2d, BatchNorm3d)
DENSE = (Affine, SpikingAffine, Linear)
CHANNEL_AXIS: dict[type[Node], int] = {
    **dict.fromkeys([*DENSE, Conv1d, Conv2d, Conv3d, SepConv2d], 0),
    **dict.fromkeys([ConvTranspose1d, ConvTranspose2d], 1),
}
"""Layer -> the axis of its weight along which its output channels lie."""


def channels_fit(layer: Node, norm: Any) -> bool:
    """Whether the layer's outputs are the norm's channels; a dense layer's are on the last axis."""
    axis = CHANNEL_AXIS.get(type(layer))
    if axis is None:
        return False
    return not isinstance(layer, DENSE) or len(as_shape(norm.input_type["input"]) or ()) == 1


def with_norm(layer: Node, norm: Any, name: str) -> Node | None:
    """The layer with the norm taken in; None where a number would not be finite."""
    mean, var, scale, shift = (
        p.astype(np.float64) for p in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(var + norm.eps)
        field = "pointwise_weight" if isinstance(layer, SepConv2d) else "weight"
        bias_field = "pointwise_bias" if isinstance(layer, SepConv2d) else "bias"
        old: Array = getattr(layer, field)
        bias = getattr(layer, bias_field, None)
        weight = old.astype(np.float64)
        weight = weight * over_outputs(layer, weight, factor)
        moved = shift - mean * factor
        if bias is not None:
            moved = moved + factor * bias.astype(np.float64)
        kind = old.dtype if old.dtype.kind == "f" else np.dtype(np.float64)
        new = {field: weight.astype(kind), bias_field: moved.astype(kind)}
        if not all(np.isfinite(value).all() for value in new.values()):
            return None
        errors = np.abs(new[field].astype(np.float64) - weight)
        error = _most(errors, layer) + np.abs(new[bias_field].astype(np.float64) - moved)
    note = {"batchnorm": name, "largest_change": float(error.max())}
    notes = {**layer.metadata, KEY: note}
    if notes.get(bias_field) == "none":  # the layer had no bias, and has one now
        del notes[bias_field]
    if isinstance(layer, Linear):
        return Affine(**new, metadata=notes)
    changed: Node = layer.replace(**new, metadata=notes)
    return changed


def by_output(layer: Node, weight: Array) -> Array:
    """A weight as (output channels, all that leads to each)."""
    if CHANNEL_AXIS[type(layer)] == 0:
        return weight.reshape(len(weight), -1)
    groups: int = getattr(layer, "groups", 1)
    inputs, outputs = weight.shape[:2]
    grouped = weight.reshape(groups, inputs // groups, outputs, -1).swapaxes(1, 2)
    return grouped.reshape(groups * outputs, -1)


def over_outputs(layer: Node, weight: Array, channels: Array) -> Array:
    """One number for each output channel, laid over a weight."""
    if CHANNEL_AXIS[type(layer)] == 0:
        return channels.reshape(-1, *[1] * (weight.ndim - 1))
    groups: int = getattr(layer, "groups", 1)
    inputs, outputs, *kernel = weight.shape
    laid = channels.reshape(groups, 1, outputs, *[1] * len(kernel))
    shape = (groups, inputs // groups, outputs, *[1] * len(kernel))
    return np.broadcast_to(laid, shape).reshape(inputs, outputs, *[1] * len(kernel))


def _most(errors: Array, layer: Node) -> Array:
    """For each output, how far errors of its weights can move it."""
    most: Array = by_output(layer, errors).sum(axis=1)
    return most
