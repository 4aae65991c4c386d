"""What a picture says of an array: its shape, its range, and how its values are spread."""

from __future__ import annotations

from typing import Any

import numpy as np

from t1c.ir.fields import Array
from t1c.sdk.jsonable import jsonable

BINS = 24
FEW = 8
"""As many values are shown themselves."""
MOST = 1 << 18
"""A histogram of more values than these counts as many of them, evenly spread."""


def summarize_array(array: Array) -> dict[str, Any]:
    """An array in numbers that JSON can hold.

    Keys: ``shape``, ``dtype``, ``count``; of the finite values ``min``, ``max``, ``mean``, ``std``
    and ``zeros`` (how many are 0); ``nonfinite`` where there are others; ``values`` of a small
    array; ``histogram`` where the values differ: ``low``, ``high``, ``counts`` in bins of equal
    width, and ``of``, how many values were counted.
    """
    found: dict[str, Any] = {
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "count": array.size,
    }
    if array.size <= FEW:
        found["values"] = jsonable(array.ravel())
    numbers = array.astype(np.float64).ravel()
    finite = numbers[np.isfinite(numbers)]
    if finite.size < numbers.size:
        found["nonfinite"] = int(numbers.size - finite.size)
    if not finite.size:
        return found
    low, high = float(finite.min()), float(finite.max())
    # Scaled, so that a sum of the largest numbers is not infinite.
    scale = max(abs(low), abs(high)) or 1.0
    scaled = finite / scale
    found |= {
        "min": low,
        "max": high,
        "mean": float(scaled.mean()) * scale,
        "std": float(scaled.std()) * scale,
        "zeros": int(finite.size - np.count_nonzero(finite)),
    }
    if low < high and finite.size > FEW:
        some = scaled[:: -(-finite.size // MOST)]
        counts, _ = np.histogram(some, BINS, (low / scale, high / scale))
        found["histogram"] = {
            "low": low,
            "high": high,
            "counts": counts.tolist(),
            "of": some.size,
        }
    return found


def brief(value: Any) -> Any:
    """Notes as JSON can hold them, large arrays by shape and dtype alone."""
    if isinstance(value, dict):
        return {str(key): brief(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray) and value.size > 64:
        return f"array of shape {value.shape}, {value.dtype}"
    if isinstance(value, list) and len(value) > 64:
        return [*map(brief, value[:64]), f"({len(value) - 64} more)"]
    if isinstance(value, str) and len(value) > 4000:
        return f"{value[:4000]} ({len(value) - 4000} more characters)"
    return jsonable(value)
