"""Shapes without time and batch, as tuples and as the dicts by port that a node carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .errors import NodeError, Problem, ShapeError
from .fields import Array, show
from .metadata import name_problem

Shape = tuple[int, ...]
Types = dict[str, Array]
"""Port name -> shape, as an integer array."""

LARGEST_SIZE = 2**63 - 1
"""The largest size along an axis that a file can hold."""


def as_shape(value: Any) -> Shape | None:
    """A shape as a tuple of ints; None stays None."""
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iu":
        return tuple(value.tolist())
    return None if value is None else tuple(int(n) for n in np.atleast_1d(np.asarray(value)))


def as_types(value: Any, field: str, port: str) -> Types:
    """Check a declared ``input_type`` or ``output_type``; a bare shape means the usual port."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        value = {port: value}
    types: Types = {}
    for name, shape in value.items():
        if shape is None:
            continue
        spot = f"{field}[{name!r}]"
        problem = name_problem(name)
        if problem:
            raise NodeError(Problem(problem, "the name of a port", field=spot))
        try:
            array = np.atleast_1d(np.asarray(shape))
        except ValueError:  # lists of unequal length
            array = np.asarray(None)
        if array.ndim != 1 or (array.size and (array.dtype.kind not in "iu" or array.min() < 1)):
            raise NodeError(Problem(show(shape), "a shape: integers of at least 1", field=spot))
        types[name] = array.astype(np.int64)
    return types


def types_of(shape: Shape | None, ports: Sequence[Shape]) -> tuple[Types, Types]:
    """The type dicts of a node; several outputs are named output0, output1, ...

    Raises:
        ShapeError: a size is more than a file can hold.
    """
    for port in ports:
        if max(port, default=1) > LARGEST_SIZE:
            raise ShapeError(Problem(f"output shape {port}", f"sizes of at most {LARGEST_SIZE}"))
    names = ["output"] if len(ports) == 1 else [f"output{i}" for i in range(len(ports))]
    return (
        {} if shape is None else {"input": np.array(shape, dtype=np.int64)},
        {n: np.array(port, dtype=np.int64) for n, port in zip(names, ports, strict=True)},
    )
