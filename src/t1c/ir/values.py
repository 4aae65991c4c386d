"""Values of fields and notes compared: equal or not, and what differs, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .fields import show

PIECE = 2**17
"""Elements that are looked at at once: so many, with an answer for each, stay in the caches."""


def same_value(a: Any, b: Any) -> bool:
    """Whether two field or metadata values are equal, arrays by dtype, shape and value.

    NaN equals NaN; a list equals the array that a file makes of it; an entry that is None equals
    one that is absent.
    """
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        keys = {k for k, v in a.items() if v is not None} | {
            k for k, v in b.items() if v is not None
        }
        return all(k in a and k in b and same_value(a[k], b[k]) for k in keys)
    if isinstance(a, list | np.ndarray) and isinstance(b, list | np.ndarray):
        x, y = np.asarray(a), np.asarray(b)
        if x.size == y.size == 0:
            return x.shape == y.shape
        if x.dtype != y.dtype or x.shape != y.shape:
            return False
        return bool(np.array_equal(x, y, equal_nan=x.dtype.kind == "f"))
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (a != a and b != b)
    return type(a) is type(b) and bool(a == b)


def all_finite(array: np.ndarray) -> bool:
    """Whether no element is NaN or infinite.

    Looked at piece by piece: what numpy says of each element of a large array fills more memory
    than the caches hold.
    """
    if array.dtype.kind != "f":
        return True
    if array.size <= PIECE or not array.flags.c_contiguous:
        return bool(np.isfinite(array).all())
    flat = array.reshape(-1)
    return all(np.isfinite(flat[at : at + PIECE]).all() for at in range(0, flat.size, PIECE))


def only_value(array: np.ndarray) -> str | None:
    """The one value that an array holds, wherever one looks, or None if it holds others too."""
    if not array.size or not same_value(array, np.broadcast_to(array.flat[0], array.shape)):
        return None
    return str(array.flat[0])


def what_differs(mine: Any, theirs: Any) -> str:
    """What differs between two values, in a few words."""
    if isinstance(mine, np.ndarray) and isinstance(theirs, np.ndarray):
        if mine.shape != theirs.shape:
            return f"shapes {mine.shape} and {theirs.shape}"
        if mine.dtype != theirs.dtype:
            return f"dtypes {mine.dtype} and {theirs.dtype}"
        if all(only_value(side) is not None for side in (mine, theirs)):
            of = f" in all of {mine.size} places" if mine.size > 1 else ""
            return f"{only_value(mine)} and {only_value(theirs)}{of}"
        differs = ~((mine == theirs) | ((mine != mine) & (theirs != theirs)))
        with np.errstate(invalid="ignore"):
            gap = np.abs(mine.astype(np.longdouble) - theirs.astype(np.longdouble))[differs]
        known = gap[~np.isnan(gap)]
        most = f", by up to {known.max():.3g}" if known.size else ""
        return f"{gap.size} of {mine.size} values differ{most}"
    return f"{show(mine)} and {show(theirs)}"
