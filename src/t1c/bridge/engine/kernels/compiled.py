"""How loops are compiled on a CPU: Numba, without any liberty in the arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


HOW: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}
"""What is said to Numba of every loop."""


def compiled(function: F) -> F:
    """Compile at first use, keep the machine code on disk, let go of Python's lock.

    Neither reordering nor fused multiply-add: numbers are those of the definition.
    """
    return cast(F, numba.njit(cache=True, **HOW)(function))


def inlined(function: F) -> F:
    """Compile into each function that calls it, because a call would take longer than it does.

    What is kept on disk goes by the file of the caller: remove its ``*.nbi`` after a change here.
    """
    return cast(F, numba.njit(inline="always", **HOW)(function))


@compiled
def put(numbers: Any, place: Any) -> None:
    """Write the numbers of an array into another of as many, which is not checked.

    For a slice that is assigned Numba compiles, once in each process, seconds of what to say where
    lengths differ.
    """
    for k in range(numbers.shape[0]):
        place[k] = numbers[k]
