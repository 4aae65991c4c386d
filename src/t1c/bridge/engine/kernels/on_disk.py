"""Machine code kept on disk for the next process, where there is a place for it.

Numba keeps it beside the source, or in the user's folder for such files. Where neither can be
written to (an installation and a home that are read-only), where the disk is full, or where what
lies there is broken, code is compiled anew in each process: slower to start, the same numbers. That
is said once.
"""

from __future__ import annotations

import contextlib
import pickle
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

F = TypeVar("F", bound=Callable[..., Any])

BROKEN = (OSError, EOFError, pickle.UnpicklingError, ValueError, AttributeError, ImportError)
"""What reading machine code raises that was cut off or overwritten."""

_said = False


class CacheWarning(UserWarning):
    """Machine code cannot be kept on disk: each process compiles it anew."""


class _Cache(FunctionCache):
    """Numba's own, without which everything runs all the same."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except BROKEN:
            with contextlib.suppress(OSError):
                self.flush()  # type: ignore[no-untyped-call]
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        except OSError as cause:
            not_kept(cause)


def kept(function: F, **how: Any) -> F:
    """``numba.njit``, what it compiles kept on disk if that is possible.

    Args:
        function: to compile at its first call.
        how: Numba's options.
    """
    made = numba.njit(**how)(function)
    if isinstance(made, Dispatcher):  # plain Python is left alone where Numba is told to do nothing
        try:
            made.__dict__["_cache"] = _Cache(function)  # type: ignore[no-untyped-call]
        except (RuntimeError, OSError) as cause:
            not_kept(cause)
    return cast(F, made)


def kept_for_c(signature: Any, function: Callable[..., Any], **how: Any) -> Any:
    """``numba.cfunc``, what it compiles kept on disk if that is possible."""
    try:
        return numba.cfunc(signature, cache=True, **how)(function)
    except (RuntimeError, *BROKEN) as cause:
        made = numba.cfunc(signature, **how)(function)
        not_kept(cause)
        return made


def not_kept(cause: object) -> None:
    """Warn, the first time in a process, that code is compiled in each process anew."""
    global _said
    if _said:
        return
    _said = True
    warnings.warn(
        f"compiled code cannot be kept for the next process ({cause}): each compiles anew, and "
        "starts slower. Name folders that can be written to in the environment variables "
        "NUMBA_CACHE_DIR and T1C_CACHE",
        CacheWarning,
        stacklevel=2,
    )
