"""What is asked of several targets, and checked alike."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, get_args

from t1c.ir.errors import InputError, Problem

DType = Literal["float32", "float64"]
"""What a program of a runtime may compute in."""


def check_suffix(path: str | os.PathLike[str], suffix: str, why: str = "") -> None:
    """Refuse a path that does not end in ``suffix``; ``why`` follows it in the error.

    Raises:
        InputError: it ends otherwise.
    """
    found = Path(path).suffix
    if found != suffix:
        raise InputError(Problem(f"the suffix {found!r}", f"{suffix}{why}", where=str(path)))


def check_dtype(dtype: str) -> None:
    """Refuse what is no DType.

    Raises:
        InputError: it is another word.
    """
    if dtype not in get_args(DType):
        raise InputError(Problem(repr(dtype), " or ".join(get_args(DType)), field="dtype"))
