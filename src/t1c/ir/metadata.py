"""Metadata: free notes on a graph or node that travel with the file and change no result.

Kept are text, booleans, integers, floats, numeric arrays, lists of one of these, and nested dicts;
what HDF5 cannot hold unchanged is refused where it is given, not lost where it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .errors import NodeError, Problem
from .fields import show, storable

Metadata = dict[str, Any]
MAX_DEPTH = 32


def name_problem(name: object) -> str:
    """Why ``name`` cannot name a node or a metadata entry in a file, or '' if it can."""
    if not isinstance(name, str):
        return f"the name {show(name)} is not text"
    if not name:
        return "the name is empty"
    if "/" in name:
        return f"the name {name!r} holds a slash, which separates groups in the file"
    if "\0" in name:
        return f"the name {name!r} holds a NUL character"
    if name in (".", ".."):
        return f"the name {name!r} means a folder, not a node"
    try:
        name.encode()
    except UnicodeEncodeError:
        return f"the name {name!r} cannot be encoded as UTF-8"
    return ""


def clean_metadata(value: object, path: str = "metadata", depth: int = 0) -> Metadata:
    """A copy of ``value`` in which everything is of a kind that survives a round trip.

    Raises:
        NodeError: naming the entry that does not.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise NodeError(Problem(show(value), "a dict of notes", field=path))
    if depth > MAX_DEPTH:
        raise NodeError(Problem("nested too deeply", f"at most {MAX_DEPTH} levels", field=path))
    cleaned: Metadata = {}
    for key, entry in value.items():
        problem = name_problem(key)
        if problem:
            raise NodeError(Problem(problem, remedy="Rename the entry.", field=path))
        cleaned[key] = _clean_entry(entry, f"{path}.{key}", depth)
    return cleaned


def _clean_entry(entry: Any, path: str, depth: int) -> Any:
    if isinstance(entry, Mapping):
        return clean_metadata(entry, path, depth + 1)
    if isinstance(entry, np.generic) or (isinstance(entry, np.ndarray) and entry.shape == ()):
        entry = entry.item()
    if entry is None or isinstance(entry, bool):
        return entry
    # Enums and other subclasses become what a file makes of them.
    if isinstance(entry, float):
        return float(entry)
    if isinstance(entry, int) and -(2**63) <= entry < 2**63:
        return int(entry)
    if isinstance(entry, str) and storable(entry):
        return str.__str__(entry)
    if isinstance(entry, list | tuple) and all(isinstance(e, str) and storable(e) for e in entry):
        return [str.__str__(e) for e in entry]
    if isinstance(entry, list | tuple | np.ndarray):
        try:
            array = np.asarray(entry)
        except ValueError:
            array = np.asarray(None)
        if array.dtype.kind in "biuf" and array.dtype.itemsize <= 8:
            return entry.copy() if isinstance(entry, np.ndarray) else list(entry)
        if array.dtype.kind in "UT" and isinstance(entry, np.ndarray) and array.ndim == 1:
            return _clean_entry([str(e) for e in array], path, depth)
    raise NodeError(
        Problem(
            show(entry),
            "text, a boolean, a number, an array, a list of one of these, or a dict",
            "Store anything else as text, for example json.dumps(...).",
            field=path,
        )
    )
