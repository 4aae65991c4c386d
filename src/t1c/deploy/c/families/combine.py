"""Two or three inputs become one value, element by element."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from t1c import ir
from t1c.ir.primitives.combine import BINARY as MEANINGS

from ..element import Element
from ..registry import element_by_element
from ..term import Term

BINARY: dict[str, Callable[[Term, Term], Term]] = {
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "minimum": lambda a, b: a.minimum(b),
    "maximum": lambda a, b: a.maximum(b),
    "power": lambda a, b: a.loop.call("t1c_power", a, b),
    "greater": lambda a, b: (a > b).where(1, 0),
    "greater_or_equal": lambda a, b: (a >= b).where(1, 0),
    "equal": lambda a, b: a.equals(b).where(1, 0),
}
assert set(BINARY) == set(MEANINGS)


@element_by_element(ir.Binary)
def binary(e: Element, node: ir.Binary, terms: Sequence[Term]) -> Term:
    """Apply the function to the first input and the second."""
    return BINARY[node.op](*terms)


@element_by_element(ir.Where)
def where(e: Element, node: ir.Where, terms: Sequence[Term]) -> Term:
    """Choose."""
    condition, a, b = terms
    return condition.differs(0).where(a, b)
