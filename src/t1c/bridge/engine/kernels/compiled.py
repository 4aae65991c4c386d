"""How loops are compiled on a CPU: Numba, without any liberty in the arithmetic."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy.typing as npt

from .on_disk import kept

Array = npt.NDArray[Any]
F = TypeVar("F", bound=Callable[..., Any])


HOW: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}
"""What is said to Numba of every loop."""


@functools.cache
def sources(folder: Path = Path(__file__).parent) -> str:
    """A short name for the text of all kernels: another as soon as one of them changes."""
    text = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        text.update(path.read_bytes())
    return text.hexdigest()[:16]


def compiled(function: F) -> F:
    """Compile at first use, keep the machine code on disk if possible, let go of Python's lock.

    Neither reordering nor fused multiply-add: numbers are those of the definition.

    Numba keeps machine code for a file as long as that file stays as it is, what it calls in other
    files compiled in. So the name that it keeps it under says what all of them hold: where one
    changes, as in a checkout that is updated, all are compiled again.
    """
    function.__qualname__ = f"{function.__name__}_{sources()}"
    return kept(function, **HOW)


def inlined(function: F) -> F:
    """Compile into each function that calls it, because a call would take longer than it does."""
    return cast(F, numba.njit(inline="always", **HOW)(function))


@compiled
def put(numbers: Any, place: Any) -> None:
    """Write the numbers of an array into another of as many, which is not checked.

    For a slice that is assigned Numba compiles, once in each process, seconds of what to say where
    lengths differ.
    """
    for k in range(numbers.shape[0]):
        place[k] = numbers[k]
