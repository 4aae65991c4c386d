"""Numbers as C writes them, one by one and as constant arrays."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from t1c.ir.fields import Array

from .names import Names

TYPES = {
    "float32": "float",
    "float64": "double",
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "uint16": "uint16_t",
    "int32": "int32_t",
    "uint32": "uint32_t",
    "int64": "int64_t",
}
"""NumPy's name of a type -> C's."""
WIDTH = 96


def literal(value: Any, dtype: np.dtype[Any]) -> str:
    """A number in C: the shortest decimal fraction that is read back as it, or an integer.

    Example:
        >>> literal(0.1, np.dtype("float32")), literal(-3, np.dtype("int8"))
        ('0.1f', '-3')
    """
    number = dtype.type(value)
    if dtype.kind != "f":
        whole = int(number)
        if whole == -(2**63):
            return "INT64_MIN"
        if whole == -(2**31):
            return "INT32_MIN"
        return f"INT64_C({whole})" if not -(2**31) <= whole < 2**31 else str(whole)
    if np.isnan(number):
        return "NAN"
    if np.isinf(number):
        return "INFINITY" if number > 0 else "-INFINITY"
    text = str(number)
    return f"{text}f" if dtype == np.float32 else text


@dataclass
class Constants:
    """The constant arrays of a source; equal ones are written once.

    Attributes:
        names: gives each its name.
    """

    names: Names
    _known: dict[tuple[str, bytes], str] = field(default_factory=dict)
    _arrays: dict[str, Array] = field(default_factory=dict)

    def array(self, values: Array, name: str) -> str:
        """The name of a constant array of these values, flat; ``name`` is what it may be called."""
        flat = np.ascontiguousarray(values).ravel()
        key = (flat.dtype.name, flat.tobytes())
        if key not in self._known:
            self._known[key] = self.names.unique(name)
            self._arrays[self._known[key]] = flat
        return self._known[key]

    def keep(self, used: Collection[str]) -> None:
        """Drop the arrays that nothing names."""
        self._arrays = {name: each for name, each in self._arrays.items() if name in used}

    @property
    def bytes(self) -> int:
        """How many the arrays take."""
        return sum(each.nbytes for each in self._arrays.values())

    def lines(self) -> Iterator[str]:
        """Their definitions."""
        for name, values in self._arrays.items():
            kind = TYPES[values.dtype.name]
            yield f"static const {kind} {name}[{values.size}] = {{"
            yield from _rows(values)
            yield "};"


def _rows(values: Array) -> Iterator[str]:
    row: list[str] = []
    length = 3
    for value in values:
        text = literal(value, values.dtype)
        if length + len(text) + 2 > WIDTH:
            yield f"    {' '.join(row)}"
            row, length = [], 3
        row.append(f"{text},")
        length += len(text) + 2
    if row:
        yield f"    {' '.join(row)}"
