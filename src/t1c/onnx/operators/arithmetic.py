"""Arithmetic element by element: of one signal, of a signal and numbers, of several signals."""

from __future__ import annotations

import numpy as np

from t1c import ir
from t1c.ir.fields import Array

from ..values import Signal, Sizes, Value
from .call import Call, laid
from .registry import operator

UNARY = {
    "Abs": "abs",
    "Neg": "neg",
    "Floor": "floor",
    "Round": "round",
    "Sign": "sign",
    "Exp": "exp",
    "Log": "log",
    "Sqrt": "sqrt",
    "Reciprocal": "reciprocal",
}


@operator(*UNARY)
def unary(call: Call) -> Signal:
    """A function of each element."""
    return call.add(ir.Unary(UNARY[call.op]), call.signal())


@operator("Ceil")
def ceil(call: Call) -> Signal:
    """-floor(-x)."""
    x = call.add(ir.Unary("neg"), call.signal(), part="negated")
    x = call.add(ir.Unary("floor"), x, part="floor")
    return call.add(ir.Unary("neg"), x)


@operator("Add", "Sum")
def add(call: Call) -> Signal:
    """Signals and numbers, added in order; numbers behind a matrix product are its bias."""
    total = None
    for value in call.inputs:
        total = value if total is None else _added(call, total, value)
    if not isinstance(total, Signal):
        raise call.refuse("no signal", "at least one")
    return total


@operator("Sub")
def subtract(call: Call) -> Signal:
    """A - b."""
    a, b = call.value(0), call.value(1)
    if isinstance(a, Signal) and isinstance(b, Signal):
        return _binary(call, "subtract", a, b)
    if isinstance(a, Signal):
        return call.add(ir.Shift(-laid(call, call.known(1), a)), a)
    x = call.add(ir.Unary("neg"), call.signal(1), part="negated")
    return call.add(ir.Shift(laid(call, call.known(0), x)), x)


@operator("Mul")
def multiply(call: Call) -> Signal:
    """A * b."""
    a, b = call.value(0), call.value(1)
    if isinstance(a, Signal) and isinstance(b, Signal):
        return _binary(call, "multiply", a, b)
    place = 0 if isinstance(a, Signal) else 1
    x = call.signal(place)
    return call.add(ir.Scale(laid(call, call.known(1 - place), x)), x)


@operator("Div")
def divide(call: Call) -> Signal:
    """A / b; by numbers, times what one is divided by them: equal up to rounding."""
    a, b = call.value(0), call.value(1)
    if isinstance(a, Signal) and isinstance(b, Signal):
        return _binary(call, "divide", a, b)
    if isinstance(a, Signal):
        divisor = laid(call, call.known(1), a)
        if not np.all(divisor):
            raise call.refuse("a division by 0", "numbers other than 0")
        return call.add(ir.Scale(1 / divisor), a)
    x = call.add(ir.Unary("reciprocal"), call.signal(1), part="reciprocal")
    return call.add(ir.Scale(laid(call, call.known(0), x)), x)


@operator("Pow")
def power(call: Call) -> Signal:
    """A signal to a known power, or to that of another signal."""
    a, b = call.signal(0), call.value(1)
    if isinstance(b, Signal):
        return _binary(call, "power", a, b)
    exponent = np.asarray(laid(call, call.known(1), a), np.float32)
    return call.add(ir.Power(exponent.reshape(()) if exponent.size == 1 else exponent), a)


@operator("Max", "Min")
def extreme(call: Call) -> Signal:
    """The largest or smallest of signals and numbers, element by element."""
    most = call.op == "Max"
    signals = [value for value in call.inputs if isinstance(value, Signal)]
    if not signals:
        raise call.refuse("no signal", "at least one")
    found = signals[0]
    for other in signals[1:]:
        found = _binary(call, "maximum" if most else "minimum", found, other)
    for place, value in enumerate(call.inputs):
        if not isinstance(value, Signal):
            bound = laid(call, call.known(place), found)
            found = call.add(ir.Clip(bound, None) if most else ir.Clip(None, bound), found)
    return found if call.inputs[1:] else call.add(ir.Identity(), found)


def _added(call: Call, a: Value | None, b: Value | None) -> Value:
    if isinstance(a, Signal) and isinstance(b, Signal):
        if a.shape == b.shape:
            return call.add(ir.Skip("residual"), a, b)
        # Only equal shapes are added by their edges; a - (-b) is the same to the last bit.
        return _binary(call, "subtract", a, call.add(ir.Unary("neg"), b, part="negated"))
    signal, numbers = (a, b) if isinstance(a, Signal) else (b, a)
    if not isinstance(numbers, np.ndarray) or isinstance(signal, Sizes) or signal is None:
        raise call.refuse("a sum with sizes of a tensor", "signals and numbers")
    if not isinstance(signal, Signal):
        return np.asarray(signal + numbers)
    bias = _bias(call, signal, numbers)
    if bias is not None:
        return call.replace(signal, bias)
    return call.add(ir.Shift(laid(call, numbers, signal)), signal)


def _bias(call: Call, signal: Signal, numbers: Array) -> ir.Affine | None:
    """An Affine, where numbers are added to a product that nothing else reads; else None."""
    node = call.node_of(signal)
    alone = len(call.inputs) == 2 and call.read_once[0 if call.inputs[0] is signal else 1]
    if not (alone and isinstance(node, ir.Linear) and numbers.size == len(node.weight)):
        return None
    if numbers.shape[-1:] != (numbers.size,) or numbers.ndim > signal.rank:
        return None
    return ir.Affine(node.weight, np.ascontiguousarray(numbers.reshape(-1)))


def _binary(call: Call, op: str, a: Signal, b: Signal) -> Signal:
    if a.rank != b.rank:
        raise call.refuse(
            f"signals of {a.rank} and {b.rank} axes, of which the last are aligned: the batch of "
            "one falls on features of the other",
            "signals of equally many axes",
            "Reshape one of them in the model.",
        )
    return call.add(ir.Binary(op), a, b)
