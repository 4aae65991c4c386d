"""What firing and reset take beside sums, differences and products.

The step of a neuron is written once (``SpikingNeuron.settle``), whatever stands for its numbers:
arrays in the reference, expressions in C, values in ONNX. Each says here what these operations are.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ..fields import Array


class Firing(Protocol):
    """The operations, element by element, on some kind of numbers."""

    def fire(self, u: Any, threshold: Any, fires_at: str, several: bool) -> Any:
        """The spikes of a membrane.

        1, or floor(u / threshold) where it sends ``several``, where u >= threshold ('ge') or
        u > threshold ('gt'); else 0.
        """
        ...

    def once(self, spikes: Any) -> Any:
        """The spikes, several counted as one."""
        ...

    def where(self, spikes: Any, yes: Any, no: Any) -> Any:
        """``yes`` where there are spikes, else ``no``."""
        ...

    def raised(self, v: Any, low: Any) -> Any:
        """``low`` where v < low, else v."""
        ...


class OnArrays:
    """On NumPy's arrays, in their dtype."""

    def fire(self, u: Array, threshold: Array, fires_at: str, several: bool) -> Array:
        """Compare, and count."""
        fires = u >= threshold if fires_at == "ge" else u > threshold
        count = np.floor(u / threshold) if several else u.dtype.type(1)
        return np.where(fires, count, u.dtype.type(0))

    def once(self, spikes: Array) -> Array:
        """Take the lesser of each and 1."""
        lesser: Array = np.minimum(spikes, spikes.dtype.type(1))
        return lesser

    def where(self, spikes: Array, yes: Array, no: Array) -> Array:
        """Choose."""
        return np.where(spikes > 0, yes, no)

    def raised(self, v: Array, low: Array) -> Array:
        """Choose."""
        return np.where(v < low, low, v)
