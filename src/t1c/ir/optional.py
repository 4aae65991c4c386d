"""Packages that not every installation has, imported where they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from .errors import Problem, UnsupportedError


def imported(module: str, what: str, extra: str, where: str = "") -> Any:
    """A module of an optional package.

    Args:
        module: its full name.
        what: who misses it, as it stands before 'cannot be imported'.
        extra: of t1c, which brings it.
        where: what it was needed for, as a Problem says it.

    Raises:
        UnsupportedError: it cannot be imported; the message says how to get it.

    Example:
        >>> imported("json", "a note, and json", "none").dumps([1])
        '[1]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as cause:
        raise UnsupportedError(
            Problem(
                f"{what} cannot be imported ({cause})",
                remedy=f"Install it with: pip install 't1c[{extra}]'",
                where=where,
            )
        ) from cause
