"""Two or three inputs become one value, in the order of their edges."""

from __future__ import annotations

from collections.abc import Sequence

from t1c import ir

from ..registry import translates
from ..writer import Value, Writer

ARITHMETIC = {
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "minimum": "Min",
    "maximum": "Max",
    "power": "Pow",
}
COMPARISONS = {
    "greater": "Greater",
    "greater_or_equal": "GreaterOrEqual",
    "equal": "Equal",
}


def of_two(w: Writer, node: ir.Binary, inputs: Sequence[Value]) -> Value:
    """Apply the function; a comparison gives 1 or 0."""
    a, b = inputs
    if node.op in COMPARISONS:
        return w.cast(w.compare(COMPARISONS[node.op], a, b))
    return w.apply(ARITHMETIC[node.op], a, b)


def choice(w: Writer, node: ir.Where, inputs: Sequence[Value]) -> Value:
    """The first of two where the condition is not 0."""
    condition, a, b = inputs
    return w.where(w.compare("Equal", condition, w.number(0)), b, a)


def product(w: Writer, node: ir.MatMul, inputs: Sequence[Value]) -> Value:
    """Multiply as matrices."""
    a, b = inputs
    return w.op("MatMul", a, b, shape=node.merge([a.shape, b.shape]))


def passing(w: Writer, node: ir.Node, x: Value) -> Value:
    """Pass on what the inputs became."""
    return x


translates(ir.Binary, merge=of_two)(passing)
translates(ir.Where, merge=choice)(passing)
translates(ir.MatMul, merge=product)(passing)
