"""Arithmetic on each element by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from t1c import ir
from t1c.ir.primitives.elementwise import POWERS

from ..element import Element
from ..loop import summed
from ..registry import element_by_element
from ..term import Term

UNARY: dict[str, Callable[[Term], Term]] = {
    "abs": lambda x: x.call("t1c_abs"),
    "neg": lambda x: -x,
    "floor": lambda x: x.call("t1c_floor"),
    "round": lambda x: x.call("t1c_round"),
    "sign": lambda x: x.call("t1c_sign"),
    "exp": lambda x: x.call("t1c_exp"),
    "log": lambda x: x.call("t1c_log"),
    "sqrt": lambda x: x.call("t1c_sqrt"),
    "reciprocal": lambda x: 1 / x,
}
POWER: dict[float, Callable[[Term], Term]] = {
    0.5: lambda x: x.call("t1c_sqrt"),
    2.0: lambda x: x * x,
    3.0: lambda x: x * x * x,
    -1.0: lambda x: 1 / x,
    -2.0: lambda x: 1 / (x * x),
}
assert set(POWER) == set(POWERS)


@element_by_element(ir.Unary)
def unary(e: Element, node: ir.Unary, terms: Sequence[Term]) -> Term:
    """Apply the function."""
    return UNARY[node.op](summed(terms))


@element_by_element(ir.Shift)
def shift(e: Element, node: ir.Shift, terms: Sequence[Term]) -> Term:
    """Add."""
    return summed(terms) + e.parameter(node.shift, "shift")


@element_by_element(ir.Scale)
def scale(e: Element, node: ir.Scale, terms: Sequence[Term]) -> Term:
    """Multiply."""
    return e.parameter(node.scale, "scale") * summed(terms)


@element_by_element(ir.Clip)
def clip(e: Element, node: ir.Clip, terms: Sequence[Term]) -> Term:
    """Bound from below, then from above."""
    x = summed(terms)
    if node.low is not None:
        x = x.maximum(e.parameter(node.low, "low"))
    return x if node.high is None else x.minimum(e.parameter(node.high, "high"))


@element_by_element(ir.Power)
def power(e: Element, node: ir.Power, terms: Sequence[Term]) -> Term:
    """Raise; what is a product, a root or a quotient is worked as one."""
    x, exponent = summed(terms), node.exponent
    if exponent.size == 1 and float(exponent.astype(e.loop.dtype).flat[0]) in POWER:
        return POWER[float(exponent.astype(e.loop.dtype).flat[0])](x)
    return e.loop.call("t1c_power", x, e.parameter(exponent, "exponent"))
