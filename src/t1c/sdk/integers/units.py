"""Units: what one of an integer stands for, for each feature.

A unit is an array of as many axes as the features, of size 1 along those that it does not depend
on. An integer q of unit u stands for the real number u * q.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from t1c.ir.fields import Array
from t1c.ir.primitives.neuron import parameter_shape
from t1c.ir.shapes import Shape

MARGIN = 1e-9
"""Two numbers that differ by less than this share are one that was rounded."""


def one(shape: Shape) -> Array:
    """The unit of counts: 1 for all features."""
    return np.ones((1,) * len(shape))


def laid(value: Array, shape: Shape) -> Array:
    """A parameter over features, in float64, with as many axes."""
    over = parameter_shape(value.shape, shape)
    return value.astype(np.float64).reshape(over if over else (1,) * len(shape))


def field(value: Array) -> Array:
    """A laid array as a parameter of a node: one number where it is the same for all."""
    if (value == value.flat[0]).all():
        return np.asarray(value.flat[0])
    return value


def spread(unit: Array, shape: Shape) -> Array:
    """The unit of every feature."""
    return np.broadcast_to(unit, shape)


def narrowest(unit: Array) -> Array:
    """The same unit, of size 1 along every axis on which it does not depend."""
    for axis, size in enumerate(unit.shape):
        first = unit.take([0], axis)
        if size > 1 and (unit == first).all():
            unit = first
    return unit


def constant_along(unit: Array, axes: Collection[int]) -> Array:
    """The coarsest unit along some axes, which it no longer depends on."""
    for axis in axes:
        unit = unit.max(axis=axis, keepdims=True)
    return unit


def same(a: Array, b: Array) -> bool:
    """Whether two units are one, up to rounding."""
    return bool(np.allclose(a, b, rtol=MARGIN, atol=0.0))


def counts(value: Array, unit: Array) -> Array:
    """How many units a real number is; a count that was hit but for rounding is whole."""
    found = np.asarray(value, np.float64) / unit
    near = np.rint(found)
    hit = np.abs(found - near) <= MARGIN * np.maximum(1.0, np.abs(found))
    return np.where(hit, near, found)


def smallest_integers(values: Array) -> Array:
    """Whole numbers in the least signed integer type that holds them all."""
    most = float(np.abs(values).max()) if values.size else 0.0
    for bits in (8, 16, 32):
        if most < 2 ** (bits - 1):
            return values.astype(f"int{bits}")
    return values.astype(np.int64)


def up_to_power_of_two(value: Array) -> Array:
    """The least power of two that is not below."""
    found: Array = 2.0 ** np.ceil(np.log2(value) - MARGIN)
    return found


def limit(bits: int) -> int:
    """The greatest signed integer of so many bits."""
    return int(2 ** (bits - 1) - 1)


def most_shifts(need: float, bits: int) -> int:
    """How many bits up a number of that size may be shifted and still be held; below 0: down."""
    if need <= 0:
        return bits
    return math.floor(math.log2((limit(bits) - 1) / need) + MARGIN)
