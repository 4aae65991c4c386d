"""Arithmetic on each element by itself."""

from __future__ import annotations

from collections.abc import Callable

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.primitives.neuron import parameter_shape

from ..registry import translates
from ..writer import Value, Writer


def _sign(w: Writer, x: Value) -> Value:
    """0 for NaN too, as torch has it."""
    zero = w.number(0)
    return w.cast(w.compare("Greater", x, zero)) - w.cast(w.compare("Less", x, zero))


POWERS: dict[float, Callable[[Writer, Value], Value]] = {
    0.5: lambda w, x: w.apply("Sqrt", x),
    2.0: lambda w, x: x * x,
    3.0: lambda w, x: x * x * x,
    -1.0: lambda w, x: w.apply("Reciprocal", x),
    -2.0: lambda w, x: w.apply("Reciprocal", x * x),
}
"""Exponents that are a product, a root or a quotient, rounded as written."""


def laid(w: Writer, array: Array, word: str, x: Value) -> Value:
    """A parameter, ready to broadcast over ``x``."""
    return w.parameter(array.reshape(parameter_shape(array.shape, x.shape)), word)


@translates(ir.Unary)
def unary(w: Writer, node: ir.Unary, x: Value) -> Value:
    """Apply the function; ONNX calls them as we do."""
    return _sign(w, x) if node.op == "sign" else w.apply(node.op.capitalize(), x)


@translates(ir.Shift)
def shift(w: Writer, node: ir.Shift, x: Value) -> Value:
    """Add."""
    return x + laid(w, node.shift, "shift", x)


@translates(ir.Scale)
def scale(w: Writer, node: ir.Scale, x: Value) -> Value:
    """Multiply."""
    return laid(w, node.scale, "scale", x) * x


@translates(ir.Clip)
def clip(w: Writer, node: ir.Clip, x: Value) -> Value:
    """Bound from below, then from above."""
    if node.low is not None:
        x = w.apply("Max", x, laid(w, node.low, "low", x))
    if node.high is not None:
        x = w.apply("Min", x, laid(w, node.high, "high", x))
    return x


@translates(ir.Power)
def power(w: Writer, node: ir.Power, x: Value) -> Value:
    """Raise."""
    exponent = node.exponent.astype(w.dtype)
    if exponent.size == 1 and float(exponent.flat[0]) in POWERS:
        return POWERS[float(exponent.flat[0])](w, x)
    return w.apply("Pow", x, laid(w, node.exponent, "exponent", x))
