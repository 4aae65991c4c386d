"""What is said of repeated measurements."""

from __future__ import annotations

import numpy as np


def spread(values: list[float]) -> dict[str, float]:
    """The median and the quartiles."""
    q1, median, q3 = np.percentile(values, [25, 50, 75])
    return {"median": float(median), "q1": float(q1), "q3": float(q3)}


def ratios(above: list[float], below: list[float]) -> dict[str, float]:
    """The median and the quartiles of what was measured in the same round."""
    return spread([a / b for a, b in zip(above, below, strict=True)])
