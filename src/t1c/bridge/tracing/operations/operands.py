"""The operands of an operation of two: tensors and numbers, in the order of the formula."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from t1c import ir

from ..drawing import Signal
from ..record import Value

if TYPE_CHECKING:
    from ..bench import Bench


def operands(b: Bench) -> tuple[Any, Any]:
    """The two operands in the order of the formula: tensors as Values, numbers as they are."""
    x, y = b.call.args[0], b.call.args[1] if len(b.call.args) > 1 else b.call.kwargs.get("other")
    if b.call.name in ("rsub", "__rsub__", "__rtruediv__", "__rdiv__", "__rpow__"):
        return y, x
    return x, y


def both(b: Bench, x: Value, y: Value) -> tuple[Signal, Signal]:
    """Two signals of equal rank, in features; the shorter one gets leading axes of 1."""
    left, right = b.signal(x), b.signal(y)
    rank = max(len(left.features), len(right.features))
    return b.ranked(left, rank), b.ranked(right, rank)


def binary(b: Bench, op: str, x: Any, y: Any) -> Signal:
    """A node of two inputs; a constant is made one that flows."""
    if b.is_constant(x):
        right = b.stretched(y)
        return b.emit(ir.Binary(op), b.constant(x, right), right)
    if b.is_constant(y):
        left = b.stretched(x)
        return b.emit(ir.Binary(op), left, b.constant(y, left))
    return b.emit(ir.Binary(op), *b.apart(*both(b, x, y)))
