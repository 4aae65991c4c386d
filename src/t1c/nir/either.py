"""A graph, whatever it comes as: itself, a ``.t1c`` file, or a ``.nir`` file."""

from __future__ import annotations

import os
from pathlib import Path

from t1c import ir

from .api import read

GraphSource = ir.Graph | str | os.PathLike[str]
"""What tools take: a graph, or the path of a file that holds one."""


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
    if Path(source).suffix == ".nir":
        return read(source, dt=dt, allow_nonfinite=allow_nonfinite)
    return ir.read(source, allow_nonfinite=allow_nonfinite)
