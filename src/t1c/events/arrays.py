"""Events in NumPy's own files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array
from t1c.ir.npz import UNREADABLE, opened_npz

from .fields import EVENT, binary_polarity, event_fields


def read_npy(path: Path, _: int | None) -> tuple[Array, None, None]:
    """A structured array.

    Raises:
        InputError: it is none, or damaged.
    """
    with _loaded(path) as events:
        return _canonical(events), None, None


def read_npz(path: Path, _: int | None) -> tuple[Array, None, None]:
    """Arrays t, x, y and p, as SpikingJelly keeps its data sets; an ear's have no y.

    Raises:
        InputError: one is missing, or the file is damaged.
    """
    with _loaded(path) as file:
        missing = {"t", "x"} - set(file.files)
        if missing:
            raise InputError(
                Problem(f"arrays {', '.join(file.files)}", "events as t, x, y and p", "", str(path))
            )
        columns = {name: file[name] for name in ("x", "y", "t", "p") if name in file.files}
    if len({a.shape for a in columns.values()}) != 1 or columns["t"].ndim != 1:
        shapes = ", ".join(f"{name} {a.shape}" for name, a in columns.items())
        raise InputError(Problem(shapes, "one number for each event", "", str(path)))
    kinds = [(name, column.dtype) for name, column in columns.items()]
    events = np.empty(len(columns["t"]), np.dtype(kinds))
    for name, column in columns.items():
        events[name] = column
    return _canonical(events), None, None


@contextlib.contextmanager
def _loaded(path: Path) -> Iterator[Any]:
    try:
        with opened_npz(path) as file:
            yield file
    except InputError:
        raise
    except (OSError, *UNREADABLE) as cause:
        raise InputError(
            Problem(f"a file that NumPy cannot read ({cause})", "events", "", str(path))
        ) from None


def _canonical(events: Array) -> Array:
    """With the names and types of every recording."""
    fields = event_fields(events)
    p = None if fields.p is None else binary_polarity(fields.p)
    columns = {"x": fields.x, "y": fields.y, "t": fields.t, "p": p}
    known = {name: column for name, column in columns.items() if column is not None}
    made = np.empty(len(fields), np.dtype([(name, EVENT[name]) for name in known]))
    for name, column in known.items():
        limit = np.iinfo(EVENT[name]).max if EVENT[name].kind == "i" else 1
        if len(column) and int(column.max()) > limit:
            raise InputError(Problem(f"{name}={column.max()}", f"at most {limit}", field=name))
        made[name] = column
    return made
