"""ONNX nodes, as they are written: values that add and multiply, constants, names.

Nothing here needs the onnx package: ``model.py`` turns what was written into its messages.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from t1c.ir.errors import Problem, UnsupportedError
from t1c.ir.fields import Array
from t1c.ir.naming import unique
from t1c.ir.shapes import Shape

from .registry import Translation

INTEGER = np.dtype(np.int64)


@dataclass(frozen=True)
class Operation:
    """One ONNX node; an attribute may be the body of a Scan."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    name: str
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Body:
    """A graph within a node: what runs at each step of a Scan."""

    name: str
    operations: list[Operation]
    inputs: list[tuple[str, np.dtype[Any]]]
    outputs: list[str]


@dataclass
class Shared:
    """What the graphs of one model have in common.

    Attributes:
        dtype: of all arithmetic.
        translations: primitive -> its ONNX.
        constants: name -> array, as the file stores them.
        prelude: what makes constants ready before anything runs.
    """

    dtype: np.dtype[Any]
    translations: dict[type, Translation]
    constants: dict[str, Array] = field(default_factory=dict)
    prelude: list[Operation] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    known: dict[Any, str] = field(default_factory=dict)

    def unused(self, name: str) -> str:
        """``name``, or ``name`` and a number where it is taken already."""
        free = unique(name, self.taken, "_")
        self.taken.add(free)
        return free


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the model: what it is called, and its shape without batch.

    It adds and multiplies as arrays do, so that the formulas of ``t1c.ir`` serve it too.
    """

    writer: Writer
    name: str
    shape: Shape
    known: Array | None = None
    """Its numbers, if it is a constant."""

    def __add__(self, other: Value | float) -> Value:
        return self._with("Add", other, 0)

    def __sub__(self, other: Value | float) -> Value:
        return self._with("Sub", other, 0)

    def __rsub__(self, other: float) -> Value:
        return self.writer.number(other) - self

    def __mul__(self, other: Value | float) -> Value:
        return self._with("Mul", other, 1)

    def __truediv__(self, other: Value | float) -> Value:
        return self._with("Div", other, 1)

    def _with(self, kind: str, other: Value | float, neutral: float) -> Value:
        if not isinstance(other, Value):
            other = self.writer.number(other)
        commutes = kind in ("Add", "Mul")
        for one, rest in ((other, self), (self, other))[: 1 + commutes]:
            # A gain of one and no leak are the most usual, and change nothing.
            if one.known is not None and (one.known == neutral).all() and rest.known is None:
                return rest
        shape = np.broadcast_shapes(self.shape, other.shape)
        return self.writer.op(kind, self, other, shape=shape)


class Writer:
    """Writes the nodes of one graph of a model.

    Args:
        shared: with the other graphs of the model.
        batch: the size of the first axis of its values, as a tensor of one integer.
    """

    def __init__(self, shared: Shared, batch: str = "") -> None:
        self.shared = shared
        self.batch = batch
        self.operations: list[Operation] = []
        self._at = ""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of all arithmetic."""
        return self.shared.dtype

    def at(self, node: str) -> None:
        """What is written next belongs to this node of the graph."""
        self._at = node

    def refuse(self, found: str, expected: str = "", remedy: str = "", field: str = "") -> NoReturn:
        """Say that ONNX has no word for what the present node means."""
        where = f"node {self._at!r}"
        raise UnsupportedError(Problem(found, expected, remedy, where=where, field=field))

    # Nodes ---------------------------------------------------------------------------------------

    def op(
        self, kind: str, *inputs: Value | str, shape: Shape, name: str = "", **attributes: Any
    ) -> Value:
        """One node with one output, which has ``shape`` beside the batch."""
        return self.several(kind, inputs, [shape], name=name, **attributes)[0]

    def several(
        self,
        kind: str,
        inputs: Iterable[Value | str],
        shapes: Sequence[Shape],
        *,
        name: str = "",
        **attributes: Any,
    ) -> tuple[Value, ...]:
        """One node with as many outputs as there are shapes."""
        base = self.shared.unused(name or self._named(kind))
        outputs = [base, *(self.shared.unused(f"{base}.{k}") for k in range(1, len(shapes)))]
        given = tuple(v.name if isinstance(v, Value) else v for v in inputs)
        self.operations.append(Operation(kind, given, tuple(outputs), base, attributes))
        return tuple(Value(self, n, s) for n, s in zip(outputs, shapes, strict=True))

    def call(self, value: Value, name: str) -> None:
        """Give a value a name that the model promises."""
        self.operations.append(
            Operation("Identity", (value.name,), (name,), f"{name}/Identity", {})
        )

    def here(self, value: Value) -> Value:
        """A value of a graph around this one, to go on with here."""
        return Value(self, value.name, value.shape, value.known)

    def _named(self, word: str) -> str:
        return f"{self._at}/{word}" if self._at else f"/{word}"

    def count(self) -> int:
        """How many nodes the model holds, those of bodies included."""
        bodies = [v for o in self.operations for v in o.attributes.values() if isinstance(v, Body)]
        inside = sum(len(body.operations) for body in bodies)
        return len(self.shared.prelude) + len(self.operations) + inside

    # Constants -----------------------------------------------------------------------------------

    def constant(self, array: Array, word: str = "constant") -> Value:
        """A constant in the dtype of the arithmetic."""
        cast = np.asarray(array).astype(self.dtype)
        return Value(self, self._stored(cast, word), cast.shape, cast)

    def parameter(self, array: Array, word: str) -> Value:
        """A constant that is stored as the graph has it where that takes fewer bytes.

        Integers of 8 bits stay such in the file, and become numbers of the arithmetic by a Cast
        that runtimes work once.
        """
        array = np.asarray(array)
        small = array.dtype.itemsize < self.dtype.itemsize
        if not small or array.size < 16 or array.dtype.kind not in "iuf":
            return self.constant(array, word)
        stored = self._stored(array, word)
        key = ("cast", stored)
        if key not in self.shared.known:
            name = self.shared.unused(f"{stored}/Cast")
            to = {"to": self.dtype}
            self.shared.prelude.append(Operation("Cast", (stored,), (name,), name, to))
            self.shared.known[key] = name
        return Value(self, self.shared.known[key], array.shape, array.astype(self.dtype))

    def number(self, value: float) -> Value:
        """One number in the dtype of the arithmetic."""
        return self.constant(np.asarray(value), "number")

    def integers(self, *values: int) -> str:
        """A tensor of integers, as shapes and axes are."""
        return self._stored(np.asarray(values, INTEGER), "integers")

    def table(self, array: Array, word: str) -> Value:
        """A constant of integers, whose shape is one of features."""
        cast = np.asarray(array).astype(INTEGER)[None]
        return Value(self, self._stored(cast, word), cast.shape[1:])

    def integer(self, value: int) -> str:
        """One integer, without an axis."""
        return self._stored(np.asarray(value, INTEGER), "integer")

    def _stored(self, array: Array, word: str) -> str:
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.shared.known:
            name = self.shared.unused(self._named(word))
            self.shared.constants[name] = array
            self.shared.known[key] = name
        return self.shared.known[key]

    # What many families need ---------------------------------------------------------------------

    def reshape(self, value: Value, shape: Shape) -> Value:
        """The same numbers laid out as another feature shape."""
        if shape == value.shape:
            return value
        return self.op("Reshape", value, self.integers(0, *shape), shape=shape)

    def spread(self, value: Value, shape: Shape) -> Value:
        """A value laid over a batch of ``shape``."""
        target = self.op("Concat", self.batch, self.integers(*shape), shape=(), axis=0)
        return self.op("Expand", value, target, shape=shape)

    def cast(self, value: Value) -> Value:
        """A truth value as 1 or 0 of the arithmetic."""
        return self.op("Cast", value, shape=value.shape, to=self.dtype)

    def compare(self, kind: str, a: Value, b: Value) -> Value:
        """A truth value: 'Greater', 'GreaterOrEqual', 'Less' or 'Equal'."""
        return self.op(kind, a, b, shape=np.broadcast_shapes(a.shape, b.shape))

    def where(self, condition: Value, a: Value, b: Value) -> Value:
        """Element by element ``a`` where the condition holds, else ``b``."""
        shape = np.broadcast_shapes(condition.shape, a.shape, b.shape)
        return self.op("Where", condition, a, b, shape=shape)

    def apply(self, kind: str, *values: Value) -> Value:
        """An operation element by element."""
        shape = np.broadcast_shapes(*(v.shape for v in values))
        return self.op(kind, *values, shape=shape)

    def over(self, kind: str, value: Value, axes: Sequence[int]) -> Value:
        """ReduceSum, ReduceMean, ReduceMax or ReduceMin over feature axes, which become 1.

        Args:
            kind: which.
            value: what is reduced.
            axes: feature axes, counted from 0.
        """
        shape = tuple(1 if i in axes else n for i, n in enumerate(value.shape))
        return self.op(kind, value, self.integers(*(1 + a for a in axes)), shape=shape, keepdims=1)

    def finite(self, array: Array, field: str) -> None:
        """Refuse weights that a zero input would turn into NaN, where in t1c it adds nothing."""
        with np.errstate(over="ignore"):
            cast = array.astype(self.dtype)
        if not np.isfinite(cast).all():
            self.refuse(
                f"weights that are NaN or infinite in {self.dtype}",
                "finite ones: in ONNX zero times infinity is NaN, and here it adds nothing",
                field=field,
            )


def size(shape: Shape) -> int:
    """How many elements a feature shape has."""
    return math.prod(shape)
