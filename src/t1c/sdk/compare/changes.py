"""What differs between two nodes, field by field, and by how much."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from t1c import ir
from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array, show
from t1c.ir.values import only_value, same_value

from ..report import Part, Report, Table

Kind = Literal["type", "values", "shape", "dtype", "option", "metadata"]


@dataclasses.dataclass(frozen=True)
class FieldChange:
    """One field of a node that is not what it was.

    Attributes:
        field: its name; 'type' where the primitive is another, and 'metadata.<key>' for a note.
        kind: 'type', 'values' (an array of the same shape and dtype), 'dtype' (the same shape;
            the numbers may differ too), 'shape', 'option' (a field that is no array) or 'metadata'.
        a: how it was, in a few words.
        b: how it is.
        differing: how many numbers differ, of an array of the same shape.
        size: of how many.
        largest: the largest difference; infinite where a number is finite on one side only.
        relative: the largest difference of two numbers, as a share of the larger of the two.
        single: whether either side holds one value wherever one looks, which a and b then are.
    """

    field: str
    kind: Kind
    a: str
    b: str
    differing: int = 0
    size: int = 0
    largest: float = 0.0
    relative: float = 0.0
    single: bool = False

    @property
    def text(self) -> str:
        """The change in a few words."""
        if not self.size:
            return f"{self.a} -> {self.b}"
        if self.single:
            return f"{self.a} -> {self.b}" + (f", {self.size:,} numbers" if self.size > 1 else "")
        dtypes = f"{self.a} -> {self.b}, " if self.kind == "dtype" else ""
        return (
            f"{dtypes}{self.differing:,} of {self.size:,} numbers differ, by up to "
            f"{self.largest:.3g} ({self.relative:.3g} of the larger)"
        )


@dataclasses.dataclass(frozen=True, repr=False)
class NodeChange(Report):
    """How one node differs; false if it does not.

    Attributes:
        name: of the node; a node ``n`` of a nested graph ``g`` is ``g/n``.
        type: its primitive, in the second graph.
        fields: what differs.
    """

    name: str
    type: str
    fields: tuple[FieldChange, ...]

    def __bool__(self) -> bool:
        return bool(self.fields)

    def to_dict(self) -> dict[str, Any]:
        """The attributes; each change with its ``text``."""
        plain = super().to_dict()
        for entry, change in zip(plain["fields"], self.fields, strict=True):
            entry["text"] = change.text
        return plain

    def parts(self) -> Sequence[Part]:
        """A row for each field."""
        if not self.fields:
            return ["the nodes are equal"]
        rows = tuple((change.field, change.text) for change in self.fields)
        return [Table(("field", "change"), rows)]


def compare_nodes(
    a: ir.Node,
    b: ir.Node,
    *,
    name: str = "",
    rtol: float = 0.0,
    atol: float = 0.0,
    metadata: bool = True,
) -> NodeChange:
    """What differs between two nodes.

    Args:
        a: a node; of nested graphs use ``compare_graphs``.
        b: another.
        name: what the report calls them.
        rtol: numbers that differ by at most this share of the larger one count as equal.
        atol: numbers that differ by at most this much count as equal.
        metadata: compare notes too.

    Returns:
        The changes; false if there are none. NaN equals NaN.

    Raises:
        InputError: both are graphs.

    Example:
        >>> import numpy as np
        >>> from t1c import ir
        >>> change = compare_nodes(ir.Scale(np.array([1.0, 2.0])), ir.Scale(np.array([1.0, 2.5])))
        >>> change.fields[0].field, change.fields[0].differing, change.fields[0].largest
        ('scale', 1, 0.5)
    """
    if isinstance(a, ir.Graph) and isinstance(b, ir.Graph):
        raise InputError(Problem("two graphs", "two plain nodes", "Use sdk.compare_graphs."))
    found: list[FieldChange] = []
    if a.primitive != b.primitive:
        found.append(FieldChange("type", "type", a.primitive, b.primitive))
    else:
        for field, mine in a.values().items():
            theirs = getattr(b, field)
            if isinstance(mine, np.ndarray) and isinstance(theirs, np.ndarray):
                found += _array_changes(field, mine, theirs, rtol, atol)
            elif not same_value(mine, theirs):
                found.append(FieldChange(field, "option", show(mine), show(theirs)))
    if metadata:
        found += note_changes(a.metadata, b.metadata)
    return NodeChange(name, b.primitive, tuple(found))


def note_changes(
    a: Mapping[str, Any], b: Mapping[str, Any], path: str = "metadata"
) -> list[FieldChange]:
    """What differs between the notes of two nodes or graphs, each entry by itself."""
    found: list[FieldChange] = []
    for key in dict.fromkeys([*a, *b]):
        mine, theirs, place = a.get(key), b.get(key), f"{path}.{key}"
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            found += note_changes(mine, theirs, place)
        elif not same_value(mine, theirs):
            absent = "(absent)"
            before, after = (absent if v is None else show(v) for v in (mine, theirs))
            found.append(FieldChange(place, "metadata", before, after))
    return found


def _array_changes(field: str, a: Array, b: Array, rtol: float, atol: float) -> list[FieldChange]:
    if a.shape != b.shape:
        return [FieldChange(field, "shape", f"shape {a.shape}", f"shape {b.shape}")]
    # Whole numbers of 64 bits are exact here, and nowhere else.
    x, y = a.astype(np.longdouble), b.astype(np.longdouble)
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(x - y)
        larger = np.maximum(np.abs(x), np.abs(y))
        same = (x == y) | (np.isnan(x) & np.isnan(y))
        one_sided = ~same & ~(np.isfinite(x) & np.isfinite(y))
        apart = np.where(same, 0, np.where(one_sided, np.inf, apart))
        # Among huge tolerances an infinite difference is still one.
        differs = (apart > atol + rtol * np.where(one_sided, 0, larger)) & ~same
        share = np.where(one_sided, np.inf, apart / np.where(larger > 0, larger, 1))
    count = int(differs.sum())
    if not count and a.dtype == b.dtype:
        return []
    kind: Kind = "values" if a.dtype == b.dtype else "dtype"
    ones = only_value(a), only_value(b)
    single = kind == "values" and None not in ones
    before, after = (str(a.dtype), str(b.dtype)) if kind == "dtype" else (show(a), show(b))
    if single:
        before, after = map(str, ones)
    largest, relative = (float(value[differs].max()) if count else 0.0 for value in (apart, share))
    return [FieldChange(field, kind, before, after, count, a.size, largest, relative, single)]
