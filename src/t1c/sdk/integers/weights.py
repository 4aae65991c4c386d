"""Weights as integers: one scale for each output channel, and rounding to the nearest."""

from __future__ import annotations

from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.norm_folding import CHANNEL_AXIS, DENSE

from .options import Fit
from .units import limit

SHARES = np.linspace(1.0, 0.4, 25)
"""How much of the largest weight the largest integer may stand for, where that is fitted."""

LAYERS = tuple(kind for kind in CHANNEL_AXIS if kind is not ir.SepConv2d)
"""Layers with one weight."""


def channels_of(node: ir.Node) -> int:
    """How many output channels a layer has."""
    return len(by_output(node, getattr(node, "weight")))  # noqa: B009 - any layer has one


def by_output(node: ir.Node, weight: Array) -> Array:
    """A weight as (output channels, all that leads to each)."""
    if CHANNEL_AXIS[type(node)] == 0:
        return weight.reshape(len(weight), -1)
    groups: int = getattr(node, "groups", 1)
    inputs, outputs = weight.shape[:2]
    grouped = weight.reshape(groups, inputs // groups, outputs, -1).swapaxes(1, 2)
    return grouped.reshape(groups * outputs, -1)


def over_outputs(node: ir.Node, weight: Array, channels: Array) -> Array:
    """One number for each output channel, laid over a weight."""
    if CHANNEL_AXIS[type(node)] == 0:
        return channels.reshape(-1, *[1] * (weight.ndim - 1))
    groups: int = getattr(node, "groups", 1)
    inputs, outputs, *kernel = weight.shape
    laid = channels.reshape(groups, 1, outputs, *[1] * len(kernel))
    shape = (groups, inputs // groups, outputs, *[1] * len(kernel))
    return np.broadcast_to(laid, shape).reshape(inputs, outputs, *[1] * len(kernel))


def over_inputs(node: ir.Node, weight: Array, channels: Array) -> Array:
    """One number for each input channel, laid over a weight; ``channels`` may be one for all."""
    if channels.size == 1:
        return channels.reshape((1,) * weight.ndim)
    if isinstance(node, DENSE):
        return channels.reshape(1, -1)
    ones = [1] * (weight.ndim - 2)
    if CHANNEL_AXIS[type(node)] == 1:
        return channels.reshape(-1, 1, *ones)
    groups: int = getattr(node, "groups", 1)
    each = channels.reshape(groups, -1)
    rows = np.repeat(each, len(weight) // groups, axis=0)
    return rows.reshape(len(weight), -1, *ones)


def fitted_scale(rows: Array, bits: int, fit: Fit) -> Array:
    """What one of an integer weight stands for, for each output channel.

    'largest': the largest weight becomes the largest integer. 'least_squares': of that scale and
    shares of it down to 0.4, with larger weights cut off, the one that leaves the least squared
    error. 0 where all weights are 0.

    Args:
        rows: weights (channels, terms), in float64.
        bits: of an integer weight; it lies in -(2**(bits-1) - 1) to 2**(bits-1) - 1.
        fit: which.
    """
    largest: Array = np.abs(rows).max(axis=1) / limit(bits)
    if fit == "largest":
        return largest
    best, least = largest.copy(), np.full(len(rows), np.inf)
    for share in SHARES:
        scale = largest * share
        safe = np.where(scale > 0, scale, 1.0)[:, None]
        error = ((rounded(rows, safe, bits) * safe - rows) ** 2).sum(axis=1)
        better = error < least * (1 - 1e-9)
        best, least = np.where(better, scale, best), np.where(better, error, least)
    return best


def rounded(weight: Array, scale: Array, bits: int) -> Array:
    """Integer weights, still as floats: the nearest, halves to even, none past the largest."""
    most = limit(bits)
    nearest: Array = np.clip(np.rint(weight / scale), -most, most)
    return nearest


def integers(values: Array, bits: int) -> Array:
    """Whole numbers in the integer type for so many bits."""
    size = next(n for n in (8, 16, 32, 64) if bits <= n)
    return values.astype(f"int{size}")


def weight_of(node: Any) -> Array:
    """The weight of a layer, in float64."""
    return np.asarray(node.weight, np.float64)
