"""The operations of a loop, one row each: what it means, how two languages say it, its gradient.

Operands are numbers of one floating-point type, or conditions. In sources {0}, {1}, ... stand for
variables that hold the operands, ``zero`` and ``one`` for these numbers in that type. Each row is
one rounded operation, or several in the order written; nothing is fused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..surrogate import Surrogate
from .loop import Value

Array = npt.NDArray[Any]
Gradient = Callable[..., Sequence[Value | None]]


@dataclass(frozen=True)
class Operation:
    """A row of the table.

    Attributes:
        meaning: the function of arrays.
        scalar: it in Python, for one element, in the forms that ``llvm_rows`` knows.
        triton: it in Triton, for a block of elements; None where Triton has no such function.
        gradient: ``(g, y, *operands)``, the gradient of the result, the result and the operands
            -> the gradient of each operand, None where none flows. A row that fires takes its
            surrogate before these.
        exact: IEEE arithmetic says every bit of the result.
        fires: its entries name a surrogate gradient.
        condition: the result is a condition.
    """

    meaning: Callable[..., Array]
    scalar: str
    triton: str | None
    gradient: Gradient | None = None
    exact: bool = True
    fires: bool = False
    condition: bool = False


def _number(condition: Array, like: Array) -> Array:
    found: Array = condition.astype(like.dtype)
    return found


def _choose(condition: Array, yes: Array, no: Array) -> Array:
    found: Array = np.where(condition, yes, no)
    return found


def slope(surrogate: Surrogate, d: Value) -> Value:
    """The derivative of ``surrogate`` at the distance ``d`` of a membrane from its threshold."""
    k = surrogate.k
    if surrogate.name == "atan":
        z = d * (math.pi / 2 * k)
        return k / 2 / (1 + z * z)
    if surrogate.name == "fast_sigmoid":
        z = 1 + abs(d) * k
        return 1 / (z * z)
    if surrogate.name == "sigmoid":
        s = 1 / (1 + (d * -k).apply("exp"))
        return k * s * (1 - s)
    if surrogate.name == "triangular":
        return (1 - abs(d) * k).apply("rectify")
    return d.writer.number(1)


def _fire(surrogate: Surrogate, g: Value, y: Value, u: Value, threshold: Value) -> Any:
    through = g * slope(surrogate, u - threshold)
    return through, -through


def _count(surrogate: Surrogate, g: Value, y: Value, u: Value, threshold: Value) -> Any:
    nearest = (u / threshold + 0.5).apply("floor").apply("maximum", 1)
    through = g * slope(surrogate, u - nearest * threshold)
    return through, -(nearest * through)


def _extreme(g: Value, a: Value, b: Value, first: Value) -> Any:
    """Of two that are equal, each takes half."""
    halves = a.equals(b)
    half = g * 0.5
    return halves.where(half, first.where(g, 0)), halves.where(half, first.where(0, g))


def _power(g: Value, y: Value, a: Value, b: Value) -> Any:
    to_a = b.equals(0).where(0, g * (b * a.apply("power", b - 1)))
    # 0 to a power has no logarithm, and no slope either.
    to_b = a.equals(0).where(0, g * (y * a.apply("log")))
    return to_a, to_b


def _jump(g: Value, y: Value, s: Value, target: Value, u: Value) -> Any:
    fired = s > 0
    return g * (target - u), fired.where(g, 0), fired.where(0, g)


OPERATIONS: dict[str, Operation] = {
    # Arithmetic.
    "add": Operation(np.add, "{0} + {1}", "{0} + {1}", lambda g, y, a, b: (g, g)),
    "subtract": Operation(np.subtract, "{0} - {1}", "{0} - {1}", lambda g, y, a, b: (g, -g)),
    "multiply": Operation(np.multiply, "{0} * {1}", "{0} * {1}", lambda g, y, a, b: (g * b, g * a)),
    "divide": Operation(
        np.divide, "{0} / {1}", "over({0}, {1})", lambda g, y, a, b: (g / b, -(g / b) * y)
    ),
    "negative": Operation(np.negative, "-{0}", "-{0}", lambda g, y, a: (-g,)),
    "absolute": Operation(
        np.abs, "abs({0})", "tl.abs({0})", lambda g, y, a: (g * a.apply("sign"),)
    ),
    "sign": Operation(
        lambda a: _number(a > 0, a) - _number(a < 0, a),
        "(one if {0} > zero else zero) - (one if {0} < zero else zero)",
        "tl.where({0} > 0, one, zero) - tl.where({0} < 0, one, zero)",
    ),
    "floor": Operation(np.floor, "np.floor({0})", "tl.floor({0})"),
    "round": Operation(np.rint, "np.rint({0})", "to_even({0})"),
    "reciprocal": Operation(
        np.reciprocal, "one / {0}", "over(one, {0})", lambda g, y, a: (-(g * y * y),)
    ),
    "sqrt": Operation(np.sqrt, "np.sqrt({0})", "root({0})", lambda g, y, a: (g / (y * 2),)),
    "exp": Operation(np.exp, "np.exp({0})", "tl.exp({0})", lambda g, y, a: (g * y,), exact=False),
    "log": Operation(np.log, "np.log({0})", "tl.log({0})", lambda g, y, a: (g / a,), exact=False),
    "tanh": Operation(
        np.tanh, "np.tanh({0})", None, lambda g, y, a: (g * (1 - y * y),), exact=False
    ),
    "sigmoid": Operation(
        lambda a: 1 / (1 + np.exp(-a)),
        "one / (one + np.exp(-{0}))",
        "over(one, one + tl.exp(-{0}))",
        lambda g, y, a: (g * (y * (1 - y)),),
        exact=False,
    ),
    "power": Operation(np.power, "np.power({0}, {1})", None, _power, exact=False),
    # Choosing.
    "minimum": Operation(
        np.minimum,
        "{0} if ({0} < {1} or {0} != {0}) else {1}",
        "tl.where(({0} < {1}) | ({0} != {0}), {0}, {1})",
        lambda g, y, a, b: _extreme(g, a, b, a < b),
    ),
    "maximum": Operation(
        np.maximum,
        "{0} if ({0} > {1} or {0} != {0}) else {1}",
        "tl.where(({0} > {1}) | ({0} != {0}), {0}, {1})",
        lambda g, y, a, b: _extreme(g, a, b, a > b),
    ),
    "raise_to": Operation(
        np.maximum,
        "{0} if ({0} > {1} or {0} != {0}) else {1}",
        "tl.where(({0} > {1}) | ({0} != {0}), {0}, {1})",
        lambda g, y, a, low: ((a < low).where(0, g), (a < low).where(g, 0)),
    ),
    "cap_at": Operation(
        np.minimum,
        "{0} if ({0} < {1} or {0} != {0}) else {1}",
        "tl.where(({0} < {1}) | ({0} != {0}), {0}, {1})",
        lambda g, y, a, high: ((a > high).where(0, g), (a > high).where(g, 0)),
    ),
    "rectify": Operation(
        lambda a: np.where(a <= 0, a.dtype.type(0), a),
        "zero if {0} <= zero else {0}",
        "tl.where({0} <= 0, zero, {0})",
        lambda g, y, a: ((a <= 0).where(0, g),),
    ),
    "where": Operation(
        _choose,
        "{1} if {0} else {2}",
        "tl.where({0}, {1}, {2})",
        lambda g, y, c, a, b: (None, c.where(g, 0), c.where(0, g)),
    ),
    # Conditions.
    "greater": Operation(np.greater, "{0} > {1}", "{0} > {1}", condition=True),
    "greater_or_equal": Operation(np.greater_equal, "{0} >= {1}", "{0} >= {1}", condition=True),
    "less": Operation(np.less, "{0} < {1}", "{0} < {1}", condition=True),
    "less_or_equal": Operation(np.less_equal, "{0} <= {1}", "{0} <= {1}", condition=True),
    "equal": Operation(np.equal, "{0} == {1}", "{0} == {1}", condition=True),
    "unequal": Operation(np.not_equal, "{0} != {1}", "{0} != {1}", condition=True),
    # Firing.
    "fires_at": Operation(
        lambda u, threshold: _number(u >= threshold, u),
        "one if {0} >= {1} else zero",
        "tl.where({0} >= {1}, one, zero)",
        _fire,
        fires=True,
    ),
    "fires_above": Operation(
        lambda u, threshold: _number(u > threshold, u),
        "one if {0} > {1} else zero",
        "tl.where({0} > {1}, one, zero)",
        _fire,
        fires=True,
    ),
    "counts": Operation(
        lambda u, threshold: np.where(u >= threshold, np.floor(u / threshold), u.dtype.type(0)),
        "np.floor({0} / {1}) if {0} >= {1} else zero",
        "tl.where({0} >= {1}, tl.floor(rounded(over({0}, {1}), dtype)), zero)",
        _count,
        fires=True,
    ),
    "once": Operation(
        lambda s: np.minimum(s, s.dtype.type(1)),
        "one if {0} > one else {0}",
        "tl.where({0} > 1, one, {0})",
        lambda g, y, s: (g,),
    ),
    "jump": Operation(
        lambda s, target, u: _choose(s > 0, target, u),
        "{1} if {0} > zero else {2}",
        "tl.where({0} > 0, {1}, {2})",
        _jump,
    ),
    "detach": Operation(lambda a: a, "{0}", "{0}"),
}
"""Name of an operation -> its row."""
NUMBERS = {name: number for number, name in enumerate(OPERATIONS)}
"""Name of an operation -> its number, for who is told by number which one to work."""
