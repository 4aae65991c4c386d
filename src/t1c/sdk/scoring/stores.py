"""Stores of Zarr: a group with the arrays that an ``.npz`` file of samples has, or ``x`` alone.

A store may hold more than fits memory, and often is all there is: it is worked in parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.errors import InputError, Problem
from t1c.ir.optional import imported

from ..samples import LABEL_NAMES, found_under, names_of

PART = 4096
"""Samples in a part; where an array has larger chunks, those of one chunk."""


class Store:
    """A store that is open.

    Args:
        path: of it.
        graph: whose Inputs it is for.

    Attributes:
        inputs: Input name -> its array, (N, *shape) or (T, N, *shape).
        axes: Input name -> which axis counts samples.
        labels: the right classes (N,); None if unknown.
        steps: how many the store says to take; None where it does not.

    Raises:
        InputError: an Input has no array, or one of another shape.
        UnsupportedError: Zarr is not installed.
    """

    def __init__(self, path: Path, graph: ir.Graph) -> None:
        arrays = _arrays(path)
        called, under = names_of(graph), found_under(graph, arrays)
        self.inputs: dict[str, Any] = {}
        self.axes: dict[str, int] = {}
        for name, node in graph.inputs().items():
            shape, wanted, key = tuple(node.shape), called[name][0], under[name]
            if key is None:
                found = ", ".join(map(repr, arrays)) or "no arrays"
                raise InputError(Problem(f"no {wanted!r} among {found}", wanted))
            array = arrays[key]
            axis = array.ndim - len(shape) - 1
            if axis not in (0, 1) or array.shape[axis + 1 :] != shape:
                raise InputError(
                    Problem(
                        f"shape {array.shape}",
                        f"(N, *{shape}) or (T, N, *{shape})",
                        field=wanted,
                    )
                )
            self.inputs[name], self.axes[name] = array, axis
        self.labels = next((arrays[n] for n in LABEL_NAMES if n in arrays), None)
        self.steps = int(arrays["steps"][...]) if "steps" in arrays else None

    @property
    def count(self) -> int:
        """N."""
        counts = {n: int(a.shape[self.axes[n]]) for n, a in self.inputs.items()}
        if self.labels is not None:
            counts["labels"] = int(self.labels.shape[0])
        if len(set(counts.values())) > 1:
            raise InputError(Problem(f"different numbers of samples: {counts}", "the same in all"))
        return next(iter(counts.values()))

    @property
    def chunk(self) -> int:
        """The samples in one chunk; the most of all Inputs."""
        return max(int(a.chunks[self.axes[n]]) for n, a in self.inputs.items())


def parts_of(path: Path, graph: ir.Graph) -> list[tuple[int, int]]:
    """The parts of a store, each with its first sample and the one behind its last.

    They begin where chunks begin, so that none is read twice.

    Raises:
        InputError: the store does not fit the graph.
        UnsupportedError: Zarr is not installed.
    """
    try:
        store = Store(path, graph)
        size, count = store.chunk * max(1, PART // store.chunk), store.count
    except InputError as error:
        raise InputError(error.problems, str(path)) from None
    return [(first, min(first + size, count)) for first in range(0, count, size)] or [(0, 0)]


def slices(path: Path, graph: ir.Graph, part: tuple[int, int], size: int) -> Iterator[Any]:
    """Inputs by name, labels and steps, for ``size`` samples of a part after another."""
    store = Store(path, graph)
    first, end = part
    # Whole chunks are read, each once.
    stride = max(size, store.chunk)
    for begin in range(first, end, stride):
        at = slice(begin, min(begin + stride, end))
        inputs = {
            n: np.asarray(a[(slice(None),) * store.axes[n] + (at,)])
            for n, a in store.inputs.items()
        }
        yield inputs, None if store.labels is None else np.asarray(store.labels[at]), store.steps


def _arrays(path: Path) -> dict[str, Any]:
    """The arrays of a store by name, of which nothing is read yet."""
    zarr = imported("zarr", "a store of Zarr, and zarr", "score", str(path))
    try:
        opened = zarr.open(path, mode="r")
        if isinstance(opened, zarr.Array):
            return {"x": opened}
        return {name: a for name, a in opened.members(None) if isinstance(a, zarr.Array)}
    except Exception as cause:  # each codec and store has errors of its own
        raise InputError(
            Problem(f"no store that can be read ({cause})", "a store of Zarr")
        ) from cause
