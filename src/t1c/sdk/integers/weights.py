"""Weights as integers: one scale for each output channel, and rounding to the nearest."""

from __future__ import annotations

from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.norm_folding import CHANNEL_AXIS, DENSE, by_output

from .options import Fit
from .units import limit

SHARES = np.linspace(1.0, 0.4, 25)
"""How much of the largest weight the largest integer may stand for, where that is fitted."""

TRIED_FIRST = 16
"""Weights of a channel on which a step is tried before all of them are."""
TOLERANCE = 4e-7
"""Relative: two roundings to float32."""

LAYERS = tuple(kind for kind in CHANNEL_AXIS if kind is not ir.SepConv2d)
"""Layers with one weight."""


def channels_of(node: ir.Node) -> int:
    """How many output channels a layer has."""
    return len(by_output(node, getattr(node, "weight")))  # noqa: B009 - any layer has one


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
    error. 0 where all weights are 0. Weights that are integers times one number already, because
    somebody quantised them, keep their values whatever the fit.

    Args:
        rows: weights (channels, terms), in float64.
        bits: of an integer weight; it lies in -(2**(bits-1) - 1) to 2**(bits-1) - 1.
        fit: which.
    """
    step = steps_of(rows, bits)
    on_a_grid = step > 0
    # Integers times a step already: some multiples of these, so that none of them is rounded.
    most = np.abs(rows).max(axis=1)
    count = np.rint(most / np.where(on_a_grid, step, 1.0))
    finer = step / np.maximum(1.0, limit(bits) // np.maximum(count, 1.0))
    largest: Array = np.where(on_a_grid, finer, most / limit(bits))
    if fit == "largest" or on_a_grid.all():
        return largest
    best, least = largest.copy(), np.where(on_a_grid, 0.0, np.inf)
    for share in SHARES:
        scale = largest * share
        safe = np.where(scale > 0, scale, 1.0)[:, None]
        error = ((rounded(rows, safe, bits) * safe - rows) ** 2).sum(axis=1)
        better = error < least * (1 - 1e-9)
        best, least = np.where(better, scale, best), np.where(better, error, least)
    return best


def steps_of(rows: Array, bits: int) -> Array:
    """The number of which all weights of an output channel are integer multiples; 0 for none.

    Args:
        rows: weights (channels, terms), in float64, as exact as float32.
        bits: of the integers, which are told up to 8.

    Example:
        >>> import numpy as np
        >>> steps_of(np.array([[0.3, -0.1, 0.7], [0.3, 0.1, 0.11111]]), 4)
        array([0.1, 0. ])
    """
    largest = np.abs(rows).max(axis=1)
    found = np.zeros(len(rows))
    few = np.sort(np.abs(rows), axis=1)[:, -TRIED_FIRST:]
    for count in range(1, limit(min(bits, 8)) + 1):
        open_ = np.flatnonzero((found == 0) & (largest > 0))
        if not open_.size:
            break
        step = (largest / count)[:, None]
        fits = open_[_are_whole(few[open_] / step[open_])]
        fits = fits[_are_whole(rows[fits] / step[fits])]
        found[fits] = step[fits, 0]
    return found


def _are_whole(counts: Array) -> Array:
    whole: Array = (np.abs(counts - np.rint(counts)) <= TOLERANCE * np.abs(counts)).all(axis=1)
    return whole


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
