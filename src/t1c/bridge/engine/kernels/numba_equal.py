"""Whether memory is as it was, for CPUs."""

from __future__ import annotations

from .compiled import compiled
from .numba_scan import Array

PART = 4096
"""Words that are compared before it is asked whether any differs."""


@compiled
def differ(first: int, last: int, a: Array, b: Array, found: Array) -> None:
    """Set ``found[0]`` if words ``first`` to ``last`` of ``a`` and ``b`` are not the same."""
    for begin in range(first, last, PART):
        if found[0]:
            return
        x, y = a[begin : min(begin + PART, last)], b[begin : min(begin + PART, last)]
        apart = x[0] ^ y[0]
        for k in range(len(x)):
            apart |= x[k] ^ y[k]
        if apart != 0:
            found[0] = True
