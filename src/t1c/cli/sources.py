"""Standard input as a file: ``-`` in the place of a path.

What is piped in is kept in a temporary file while the verb runs, because HDF5 and zip archives are
read from anywhere but front to back. Messages and results call it ``-``, as the user did.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import typer

R = TypeVar("R", bound=Any)

_folder: str | None = None


@contextlib.contextmanager
def standard_input() -> Iterator[None]:
    """Remove at the end what was kept of standard input."""
    global _folder
    try:
        yield
    finally:
        if _folder is not None:
            shutil.rmtree(_folder, ignore_errors=True)
            _folder = None


def network(path: Path) -> Path:
    """The file of a network; of ``-``, what is piped in, under the suffix that it should have.

    Raises:
        T1CFormatError: what is piped in is no network.
    """
    if str(path) != "-":
        return path
    kept = _kept("network")
    from t1c import nir

    return kept.rename(kept.with_suffix(nir.suffix_of(kept)))


def samples(path: Path) -> Path:
    """The file of samples; of ``-``, what is piped in."""
    return _kept("stdin.npz") if str(path) == "-" else path


def one_of(argument: Path | None, option: Path | None) -> Path | None:
    """The file of samples, given as an argument or as an option; None where it is not given.

    Raises:
        typer.BadParameter: it is given as both.
    """
    if argument is not None and option is not None:
        raise typer.BadParameter("samples as an argument and as --input, of which one is needed")
    given = option if argument is None else argument
    return None if given is None else samples(given)


def _kept(name: str) -> Path:
    global _folder
    from t1c.ir.errors import InputError, Problem

    if _folder is not None:
        raise InputError(
            Problem("standard input (-) is named twice", "one file from there", "Name the other.")
        )
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError(
            Problem("- means standard input, which is a terminal", "a file piped in", "Use < FILE.")
        )
    _folder = tempfile.mkdtemp(prefix="t1c-")
    path = Path(_folder) / name
    with open(path, "wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path


def is_many(path: Path) -> bool:
    """Whether one path stands for several files: a folder, or a pattern."""
    return path.is_dir() or (not path.exists() and glob.has_magic(str(path)))


def as_given(text: str) -> str:
    """A message or result in which standard input is called ``-`` again."""
    if _folder is None or _folder not in text:
        return text
    for name in ("network.t1c", "network.nir", "network", "stdin.npz"):
        text = text.replace(os.path.join(_folder, name), "-")
    return text


def renamed(report: R) -> R:
    """A report whose fields call standard input ``-`` again."""
    fields = {f.name: getattr(report, f.name) for f in dataclasses.fields(report)}
    paths = {n: as_given(value) for n, value in fields.items() if isinstance(value, str)}
    return dataclasses.replace(report, **paths)
