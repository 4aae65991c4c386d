"""Arithmetic, element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from t1c import ir

from ...modules.exporting import refuse
from ..drawing import Signal
from ..effects.rules import argument
from ..names import plain_name
from ..record import Value
from .operands import binary, both, operands
from .rules import rule

if TYPE_CHECKING:
    from ..bench import Bench


@rule("add")
def _add(b: Bench) -> Signal:
    x, y = operands(b)
    alpha = b.call.kwargs.get("alpha", 1)
    if b.is_constant(x) and not b.is_constant(y) and alpha == 1:
        x, y = y, x
    if b.is_constant(y):
        if b.number(y) == 0 and not b.trains(y):
            return b.stretched(x)
        own, made = ({"shift": y}, None) if alpha == 1 else (None, {"shift": y})
        return b.emit(ir.Shift(b.laid(y) * alpha), b.stretched(x), of=own, out_of=made)
    left, right = both(b, x, y)
    if alpha != 1:
        right = b.emit(ir.Scale(b.scalar(alpha)), right, features=right.features)
    if left.features != right.features:
        # A graph adds equal shapes; a difference is laid out as torch lays it.
        minus = b.emit(ir.Scale(b.scalar(-1)), right, features=right.features)
        return b.emit(ir.Binary("subtract"), *b.apart(left, minus))
    return b.emit(ir.Skip("residual"), *b.apart(left, right), label="add")


@rule("sub rsub")
def _subtract(b: Bench) -> Signal:
    x, y = operands(b)
    alpha = b.call.kwargs.get("alpha", 1)
    if alpha != 1:
        raise refuse("a subtraction with alpha", "x - y", "Multiply first.")
    if b.is_constant(y):
        if b.number(y) == 0 and not b.trains(y):
            return b.stretched(x)
        return b.emit(ir.Shift(-b.laid(y)), b.stretched(x), out_of={"shift": y})
    if b.is_constant(x):
        minus = b.emit(ir.Scale(b.scalar(-1)), b.stretched(y))
        if b.number(x) == 0 and not b.trains(x):
            return minus
        return b.emit(ir.Shift(b.laid(x)), minus, of={"shift": x})
    return binary(b, "subtract", x, y)


@rule("mul")
def _multiply(b: Bench) -> Signal:
    x, y = operands(b)
    if b.is_constant(x):
        x, y = y, x
    if b.is_constant(y):
        number = b.number(y)
        mean = _mean(b, x, 1 / number if number else 0)
        return mean or b.emit(ir.Scale(b.laid(y)), b.stretched(x), of={"scale": y})
    return binary(b, "multiply", x, y)


def _mean(b: Bench, x: Value, count: float | None) -> Signal | None:
    """The mean over time, where a sum over time is divided by the number of steps."""
    if not b.final or count is None or abs(count - b.steps.count) > 1e-6 * b.steps.count:
        return None
    signal = b.stretched(x)
    total = signal.spot.node
    if not isinstance(total, ir.Accumulate) or total.how != "sum":
        return None
    return b.emit(ir.Accumulate("mean"), signal.spot.inputs[0])


@rule("div floor_divide")
def _divide(b: Bench) -> Signal:
    x, y = operands(b)
    rounding = b.call.kwargs.get("rounding_mode")
    if rounding == "floor" or plain_name(b.call.name) == "floor_divide":
        return _rounded_down(b, x, y)
    if rounding == "trunc":
        return _towards_zero(b, _quotient(b, x, y))
    if rounding is not None:
        raise refuse(f"a division with rounding_mode={rounding!r}", "x / y, or 'floor'")
    return _quotient(b, x, y)


def _rounded_down(b: Bench, x: Any, y: Any) -> Signal:
    """A quotient rounded down, where it is exact.

    torch rounds down what the true quotient is: 1 // 0.1 is 9, although 1 / 0.1 rounds to 10.
    """
    if not b.is_constant(y) or not _is_power_of_two(b.laid(y)):
        raise refuse(
            "a division that rounds down, by what is no power of two",
            "a power of two, by which quotients are exact",
            "Write torch.floor(x / y), which may be one more where x / y is rounded up.",
        )
    return b.emit(ir.Unary("floor"), _quotient(b, x, y))


def _is_power_of_two(divisor: Any) -> bool:
    with np.errstate(divide="ignore"):
        return bool(np.all(np.abs(np.frexp(divisor)[0]) == 0.5))


@rule("trunc fix")
def _truncate(b: Bench) -> Signal:
    return _towards_zero(b, b.x())


@rule("frac")
def _fraction(b: Bench) -> Signal:
    """What is behind the point, with the sign."""
    whole = _towards_zero(b, b.x())
    return b.emit(ir.Binary("subtract"), b.x(), whole)


def _towards_zero(b: Bench, x: Signal) -> Signal:
    down = b.emit(ir.Unary("floor"), b.emit(ir.Unary("abs"), x))
    return b.emit(ir.Binary("multiply"), b.emit(ir.Unary("sign"), x), down)


@rule("rdiv")
def _number_over(b: Bench) -> Signal:
    """A number over a tensor, which torch takes as the number times a reciprocal, rounded twice."""
    number, _ = operands(b)
    inverse = b.emit(ir.Unary("reciprocal"), b.x())
    return inverse if b.number(number) == 1 else b.emit(ir.Scale(b.laid(number)), inverse)


def _quotient(b: Bench, x: Any, y: Any) -> Signal:
    if b.is_constant(y):
        mean = _mean(b, x, b.number(y))
        if mean is not None:
            return mean
        divisor = b.laid(y)
        if _is_power_of_two(divisor):
            return b.emit(ir.Scale(1 / divisor), b.stretched(x), out_of={"scale": y})
    return binary(b, "divide", x, y)


@rule("neg")
def _negate(b: Bench) -> Signal:
    return b.emit(ir.Scale(b.scalar(-1)), b.x())


@rule("abs")
def _absolute(b: Bench) -> Signal:
    return b.emit(ir.Unary("abs"), b.x())


@rule("floor round sign exp log sqrt reciprocal")
def _unary(b: Bench) -> Signal:
    if len(b.call.args) > 1 or b.call.kwargs:
        raise refuse(f"{b.call.name} with options", "without")
    return b.emit(ir.Unary(plain_name(b.call.name)), b.x())


@rule("ceil")
def _ceil(b: Bench) -> Signal:
    minus = b.emit(ir.Scale(b.scalar(-1)), b.x())
    down = b.emit(ir.Unary("floor"), minus)
    return b.emit(ir.Scale(b.scalar(-1)), down)


@rule("rsqrt")
def _rsqrt(b: Bench) -> Signal:
    root = b.emit(ir.Unary("sqrt"), b.x())
    return b.emit(ir.Unary("reciprocal"), root)


@rule("square")
def _square(b: Bench) -> Signal:
    return b.emit(ir.Power(b.scalar(2)), b.x())


@rule("pow")
def _power(b: Bench) -> Signal:
    x, y = operands(b)
    if b.is_constant(y) and not b.is_constant(x):
        return b.emit(ir.Power(b.laid(y)), b.stretched(x))
    return binary(b, "power", x, y)


@rule("clamp")
def _clamp(b: Bench) -> Signal:
    name = b.call.name
    low, high = argument(b.call, 1, "min"), argument(b.call, 2, "max")
    if name == "clamp_max":
        low, high = None, argument(b.call, 1, "max")
    elif name == "hardtanh":
        low, high = argument(b.call, 1, "min_val", -1.0), argument(b.call, 2, "max_val", 1.0)
    elif name == "relu6":
        low, high = 0.0, 6.0
    x = b.call.args[0]
    if all(v is None or b.is_constant(v) for v in (low, high)):
        bounds = [None if v is None else b.laid(v) for v in (low, high)]
        return b.emit(ir.Clip(*bounds), b.stretched(x))
    raise refuse("bounds that come from the input", "constants", "Use torch.maximum.")


@rule("maximum minimum")
def _extreme(b: Bench) -> Signal:
    x, y = operands(b)
    op = plain_name(b.call.name)
    if b.is_constant(x):
        x, y = y, x
    if b.is_constant(y):
        bound = b.laid(y)
        return b.emit(
            ir.Clip(low=bound) if op == "maximum" else ir.Clip(high=bound), b.stretched(x)
        )
    return binary(b, op, x, y)


@rule("lerp")
def _lerp(b: Bench) -> Signal:
    raise refuse("torch.lerp", "sums and products, whose order is known", "Write a + w * (b - a).")


@rule("addcmul")
def _addcmul(b: Bench) -> Signal:
    raise refuse("torch.addcmul", "sums and products", "Write a + v * b * c.")
