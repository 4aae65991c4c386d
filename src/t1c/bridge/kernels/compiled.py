"""How loops are compiled on a CPU: Numba, without any liberty in the arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile at first use, keep the machine code on disk, let go of Python's lock.

    Neither reordering nor fused multiply-add: numbers are those of the definition.
    """
    made = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)(function)
    return cast(F, made)
