"""The time constant that a file must hold for a reader to have one decay, to the last bit.

A reader works out its decay in single precision from the time constant in the file. Of the numbers
near to the right one, that is written which comes out as it should.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from t1c.ir.fields import Array

NEAR = 8
"""How many numbers on each side are tried."""


def nearest(tau: Array, wanted: Array, rate: Callable[[Array], Array]) -> Array:
    """The number of single precision near to ``tau`` whose ``rate`` is nearest to ``wanted``."""
    best = tau.astype(np.float32)
    error = np.abs(rate(best) - wanted)
    for direction in (np.float32(0), np.float32(np.inf)):
        other = tau.astype(np.float32)
        for _ in range(NEAR):
            other = np.nextafter(other, direction)
            off = np.abs(rate(other) - wanted)
            best, error = np.where(off < error, other, best), np.minimum(error, off)
    return np.asarray(best, dtype=np.float32)


def of_inverse(steps: Array, dt: float) -> Array:
    """For a reader that multiplies dt by 1/tau, each in single precision."""

    def rate(tau: Array) -> Array:
        return (np.float32(dt) * (np.float32(1) / tau)).astype(np.float64)

    wanted = (1 / steps).astype(np.float32).astype(np.float64)
    return nearest(steps * dt, wanted, rate)


def of_exponential_in_time(steps: Array, dt: float) -> Array:
    """For a reader that takes exp(-dt/tau) of seconds."""
    with np.errstate(divide="ignore"):
        return np.asarray(-1 / np.log1p(-1 / steps) * dt)


def of_exponential(steps: Array, dt: float) -> Array:
    """For a reader that takes exp(-1/tau), the division in single precision.

    ``steps`` are those of forward Euler: a decay of 1 - 1/steps.
    """
    wanted = (1 - 1 / steps).astype(np.float32).astype(np.float64)

    def rate(tau: Array) -> Array:
        found: Array = np.exp((np.float32(-1) / tau).astype(np.float64))
        return found

    with np.errstate(divide="ignore"):
        return nearest(-1 / np.log1p(-1 / steps), wanted, rate)
