"""The parameters of a neuron from the factors of its step, so that they fold to these again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .affine import Array

ULPS = (0, 1, -1, 2, -2, 3, -3, 4, -4)
"""Neighbours that are tried where a quotient was rounded the wrong way."""


def time_constant_of(beta: Array) -> Array:
    """Tau with ``1 - 1/tau`` being beta, to the last bit where float64 has such a number."""
    return np.maximum(_solved(1 / (1 - beta), beta, lambda tau: 1 - 1 / tau), 1.0)


def gain_of(factor: Array, tau: Array) -> Array:
    """R with ``r / tau`` being a factor, to the last bit where float64 has such a number."""
    if np.all(factor == 1 / tau):
        return np.ones(())
    return _solved(factor * tau, factor, lambda r: r / tau)


def numbers(values: Array) -> Array:
    """A parameter over the features: one number where all are alike."""
    values = np.asarray(values, np.float64)
    first = values.flat[0]
    return np.array([first]) if np.all(values == first) else np.array(values)


def _solved(near: Array, wanted: Array, fold: Callable[[Array], Any]) -> Array:
    """What folds to the wanted number: a short one if it does, else a neighbour."""
    found = np.array(near, np.float64)
    short = np.array([float(f"{n:.7g}") for n in found.ravel()]).reshape(found.shape)
    best = np.where(fold(short) == wanted, short, found)
    for ulps in ULPS:
        other = found * (1 + ulps * np.finfo(np.float64).eps)
        best = np.where(fold(best) == wanted, best, np.where(fold(other) == wanted, other, best))
    return best
