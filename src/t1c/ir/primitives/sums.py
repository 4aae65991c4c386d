"""The order of a sum: terms one after another, each product and sum rounded in the dtype.

A sum of weights begins with the bias and goes through its inputs in ascending order of their
index; an input of zero adds nothing, even where its weight is infinite. NumPy's own products and
sums add in blocks and in pairs, which rounds otherwise and differs from machine to machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ..fields import Array


def weighted_sum(total: Array, terms: Iterable[tuple[Array, Array]], finite: bool) -> Array:
    """``total`` and all products of inputs and weights, added one after another.

    Args:
        total: what the sum begins with, of its shape.
        terms: (inputs, weights) that broadcast to it, in order.
        finite: all weights are.
    """
    # Then a zero input adds zero, which changes nothing but the sign of a zero.
    plain = finite and not (np.signbit(total) & (total == 0)).any()
    total = total.copy()
    with np.errstate(all="ignore"):
        for x, weight in terms:
            if plain:
                total += x * weight
            else:
                total = np.where(x != 0, total + x * weight, total)
    return total


def sum_along(x: Array, axes: tuple[int, ...]) -> Array:
    """The sum over some axes, row by row; they are of size 1 then."""
    along = sorted(axis % x.ndim for axis in axes)
    kept = [axis for axis in range(x.ndim) if axis not in along]
    count = math.prod(x.shape[axis] for axis in along)
    rows = x.transpose(*kept, *along).reshape(*(x.shape[k] for k in kept), count)
    total = np.add.accumulate(rows, axis=-1)[..., -1]
    return total.reshape([1 if axis in along else n for axis, n in enumerate(x.shape)])


def mean_along(x: Array, axes: tuple[int, ...]) -> Array:
    """The mean over some axes: their sum, divided at the end."""
    mean: Array = sum_along(x, axes) / x.dtype.type(math.prod(x.shape[axis] for axis in axes))
    return mean
