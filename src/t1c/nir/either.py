"""Graphs, whatever they come as: themselves, ``.t1c`` files, or ``.nir`` files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from t1c import ir
from t1c.ir.hdf5_guard import Guard, opened

from .api import read
from .conventions import KEY, ConventionError

GraphSource = ir.Graph | str | os.PathLike[str]
"""What tools take: a graph, or the path of a file that holds one."""


def is_nir(path: str | os.PathLike[str]) -> bool:
    """Whether a path says by its suffix that it is a NIR file."""
    return Path(path).suffix == ".nir"


def suffix_of(path: str | os.PathLike[str]) -> str:
    """The suffix that a file without one should have: ``.nir`` or ``.t1c``, told by what it holds.

    Raises:
        FileNotFoundError: there is no such file.
        T1CFormatError: it is not an HDF5 file.
    """
    with opened(path, "a .t1c or .nir file", Guard) as guard:
        names = guard.names(guard.root)
        return ".nir" if "node" in names and "graph" not in names else ".t1c"


def counterpart_dt(a: GraphSource, b: GraphSource, dt: float | None = None) -> float | None:
    """The dt by which to read two graphs that are set side by side.

    Args:
        a: one of them.
        b: the other.
        dt: what the caller says; it wins.

    Returns:
        Where one is a ``.nir`` file that does not say its dt, the dt that the other records: that
        of the file that it came from. None if neither needs one, or none is known.

    Raises:
        T1CError: a file is not valid.
    """
    if dt is not None or not any(not isinstance(s, ir.Graph) and is_nir(s) for s in (a, b)):
        return dt
    missing, known = False, None
    for source in (a, b):
        try:
            record = read_graph(source).metadata.get(KEY)
        except ConventionError:
            missing = True
        else:
            known = record.get("dt", known) if isinstance(record, Mapping) else known
    return float(known) if missing and isinstance(known, int | float) else None


def read_graph(
    source: GraphSource, dt: float | None = None, *, allow_nonfinite: bool = False
) -> ir.Graph:
    """The graph that ``source`` is, or that lies in the file that it names.

    Args:
        source: a graph, or a path; its suffix ``.nir`` says that it is a NIR file, whatever else
            is read as ``.t1c``.
        dt: seconds in one step, for a ``.nir`` file that does not say it; other sources do not
            need it, and leave it alone.
        allow_nonfinite: accept NaN and infinite parameters.

    Raises:
        FileNotFoundError: there is no such file.
        T1CError: the file is not valid, or its dt is not known.

    Example:
        >>> read_graph("model.nir", dt=1e-4)  # doctest: +SKIP
    """
    if isinstance(source, ir.Graph):
        return source
    if is_nir(source):
        return read(source, dt=dt, allow_nonfinite=allow_nonfinite)
    return ir.read(source, allow_nonfinite=allow_nonfinite)
