"""exp, expm1, log and tanh, written out: the same bits on every machine.

The C library's and each vector library's differ in their last bits, and some of them between the
elements of one array. These are additions, products and quotients in float64, each rounded once,
whose result is within three units in the last place; in float32 it is as good as rounded correctly.
"""

from __future__ import annotations

import math

import numpy as np

from ..fields import Array

_LN2_HIGH = float.fromhex("0x1.62e42feep-1")
"""The first bits of ln 2, of which products with small whole numbers are exact."""
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_PER_LN2 = float.fromhex("0x1.71547652b82fep+0")
_INVERSE_FACTORIALS = [1 / math.factorial(n) for n in range(1, 15)]


def exp(x: Array) -> Array:
    """E to the power of ``x``, in its dtype."""
    wide = np.asarray(x, np.float64)
    k, rest = _reduced(np.clip(wide, -750.0, 710.0))
    half = k // 2
    with np.errstate(all="ignore"):
        y = (1 + _grown(rest)) * _power_of_two(half) * _power_of_two(k - half)
        return _narrow(np.where(np.isnan(wide), wide, y), x)


def expm1(x: Array) -> Array:
    """E to the power of ``x``, less one: exact to the last places near zero too."""
    wide = np.asarray(x, np.float64)
    k, rest = _reduced(np.clip(wide, -50.0, 50.0))
    power = _power_of_two(k)
    y = power * _grown(rest) + (power - 1)
    with np.errstate(all="ignore"):
        y = np.where(wide > 50, exp(wide) - 1, y)
        # Zero keeps its sign.
        return _narrow(np.where(np.isnan(wide) | (wide == 0), wide, y), x)


def log(x: Array) -> Array:
    """The natural logarithm of ``x``, in its dtype."""
    wide = np.asarray(x, np.float64)
    inside = (wide > 0) & np.isfinite(wide)
    part, e = np.frexp(np.where(inside, wide, 1.0))
    small = part < math.sqrt(0.5)
    part, e = np.where(small, 2 * part, part), np.where(small, e - 1, e)
    # log(1 + f) = 2 atanh(s): a series in s squared.
    f = part - 1
    s = f / (2 + f)
    z, series = s * s, np.zeros_like(s)
    for n in range(11, -1, -1):
        series = series * z + 1 / (2 * n + 1)
    y = e * _LN2_HIGH + (2 * s * series + e * _LN2_LOW)
    outside = np.where(wide == 0, -np.inf, np.where(wide == np.inf, np.inf, np.nan))
    with np.errstate(all="ignore"):
        return _narrow(np.where(inside, y, outside), x)


def tanh(x: Array) -> Array:
    """The hyperbolic tangent of ``x``, in its dtype."""
    wide = np.asarray(x, np.float64)
    grown = expm1(2 * np.minimum(np.abs(wide), 25.0))
    with np.errstate(all="ignore"):
        return _narrow(np.copysign(grown / (grown + 2), wide), x)


def _narrow(y: Array, x: Array) -> Array:
    return y.astype(np.asarray(x).dtype)


def _reduced(x: Array) -> tuple[Array, Array]:
    """Whole k and a rest of at most half of ln 2 with x = k ln 2 + rest."""
    x = np.where(np.isnan(x), 0.0, x)
    k = np.rint(x * _PER_LN2)
    return k.astype(np.int64), (x - k * _LN2_HIGH) - k * _LN2_LOW


def _grown(r: Array) -> Array:
    """exp(r) - 1 by its series, for small r."""
    series = np.zeros_like(r)
    for factor in reversed(_INVERSE_FACTORIALS):
        series = (series + factor) * r
    return series


def _power_of_two(k: Array) -> Array:
    return ((k + 1023) << 52).view(np.float64)
