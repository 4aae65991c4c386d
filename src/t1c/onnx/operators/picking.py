"""Gather: some places of an axis, by their numbers."""

from __future__ import annotations

import numpy as np

from t1c import ir

from ..values import Sizes, Value
from .call import Call
from .layout import of_shape
from .registry import operator
from .sizes import picked_sizes


@operator("Gather")
def gather(call: Call) -> Value:
    """Places of an axis of features that stand in the file; one by itself takes the axis away."""
    if isinstance(call.value(0), Sizes):
        return picked_sizes(call)
    x, at = call.signal(), call.known(1)
    axis = call.axis(int(call.attributes("axis", 0)), x.rank)
    if np.ndim(at) > 1:
        raise call.refuse(f"indices of shape {np.shape(at)}", "one, or one after another")
    size = x.shape[axis]
    places = [int(n) for n in np.ravel(at)]
    if not places or any(not -size <= n < size for n in places):
        raise call.refuse(f"indices {places} of an axis of {size}", f"{-size} to {size - 1}")
    parts = [call.add(ir.Slice(axis, n % size, n % size + 1), x, part="place") for n in places]
    if np.ndim(at) == 0:
        return of_shape(call, parts[0], (*x.shape[:axis], *x.shape[axis + 1 :]))
    return parts[0] if len(parts) == 1 else call.add(ir.Concat(axis), *parts)
