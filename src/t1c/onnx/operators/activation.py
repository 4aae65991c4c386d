"""Activation functions, element by element or along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from t1c import ir

from ..values import Signal
from .call import Call, laid
from .registry import operator


@operator("Relu")
def relu(call: Call) -> Signal:
    """max(x, 0)."""
    x = call.signal()
    return call.add(ir.ReLU(x.shape[0]), x)


@operator("LeakyRelu")
def leaky_relu(call: Call) -> Signal:
    """X above 0, else alpha * x."""
    x = call.signal()
    return call.add(ir.ReLU(x.shape[0], float(call.attributes("alpha", 0.01))), x)


@operator("PRelu")
def prelu(call: Call) -> Signal:
    """X above 0, else slope * x, with one slope or one for each channel."""
    x = call.signal()
    slope = laid(call, call.known(1), x)
    if slope.size > 1 and slope.shape != (x.shape[0], *(1,) * (len(x.shape) - 1)):
        raise call.refuse(f"slopes of shape {call.known(1).shape}", "one, or one for each channel")
    return call.add(ir.PReLU(x.shape[0], slope.reshape(-1)), x)


@operator("Sigmoid", "Tanh")
def curve(call: Call) -> Signal:
    """1 / (1 + exp(-x)), or the hyperbolic tangent."""
    x = call.signal()
    return call.add({"Sigmoid": ir.Sigmoid, "Tanh": ir.Tanh}[call.op](x.shape[0]), x)


@operator("Elu")
def elu(call: Call) -> Signal:
    """X above 0, else alpha * (exp(x) - 1)."""
    x = call.signal()
    return call.add(ir.ELU(x.shape[0], float(call.attributes("alpha", 1.0))), x)


@operator("Selu")
def selu(call: Call) -> Signal:
    """Gamma times an Elu."""
    x = call.signal()
    alpha = float(call.attributes("alpha", 1.67326319217681884765625))
    gamma = float(call.attributes("gamma", 1.05070102214813232421875))
    x = call.add(ir.ELU(x.shape[0], alpha), x, part="elu")
    return call.add(ir.Scale(np.array([gamma], np.float32)), x)


@operator("HardSigmoid")
def hard_sigmoid(call: Call) -> Signal:
    """Alpha * x + beta, kept between 0 and 1."""
    alpha, beta = call.attributes("alpha", 0.2), call.attributes("beta", 0.5)
    return _ramp(call, call.signal(), float(alpha), float(beta))


@operator("HardSwish")
def hard_swish(call: Call) -> Signal:
    """X times x / 6 + 1/2, the latter kept between 0 and 1."""
    x = call.signal()
    return call.add(ir.Binary("multiply"), x, _ramp(call, x, 1 / 6, 0.5))


@operator("Softsign")
def softsign(call: Call) -> Signal:
    """X / (1 + abs(x))."""
    x = call.signal()
    size = call.add(ir.Unary("abs"), x, part="abs")
    size = call.add(ir.Shift(np.ones(1, np.float32)), size, part="more")
    return call.add(ir.Binary("divide"), x, size)


@operator("Gelu")
def gelu(call: Call) -> Signal:
    """X times the normal distribution's share below x, or its tanh form."""
    x = call.signal()
    how = call.attributes("approximate", "none")
    if how not in ("none", "tanh"):
        raise call.refuse(f"approximate={how!r}", "'none' or 'tanh'")
    return call.add(ir.GELU(x.shape[0], approximate=how == "tanh"), x)


@operator("Clip")
def clip(call: Call) -> Signal:
    """Bounded from below, from above, or both; by nothing it is passed on."""
    x = call.signal()
    bounds: list[Any]
    if call.opset < 11:
        bounds = [call.attributes("min"), call.attributes("max")]
    else:
        bounds = [call.known(1), call.known(2)]
    low, high = (None if b is None else np.reshape(b, (1,)) for b in bounds)
    return call.add(ir.Identity() if low is None and high is None else ir.Clip(low, high), x)


@operator("Softmax", "LogSoftmax")
def softmax(call: Call) -> Signal:
    """Normalised along one axis; before opset 13 over all axes from one on, taken for one."""
    x = call.signal()
    stated = int(call.attributes("axis", -1 if call.opset >= 13 else 1))
    axis = call.axis(stated, x.rank)
    if call.opset < 13 and any(n != 1 for n in x.shape[axis + 1 :]):
        raise call.refuse(
            f"axis={stated} of {x.rank} in opset {call.opset}: over several axes at once",
            "the last axis",
            "Export the model with opset 13 or later.",
        )
    kind = ir.Softmax if call.op == "Softmax" else ir.LogSoftmax
    return call.add(kind(x.shape[0], dim=1 + axis), x)


def _ramp(call: Call, x: Signal, slope: float, height: float) -> Signal:
    x = call.add(ir.Scale(np.array([slope], np.float32)), x, part="slope")
    x = call.add(ir.Shift(np.array([height], np.float32)), x, part="height")
    return call.add(ir.Clip(np.zeros(1, np.float32), np.ones(1, np.float32)), x, part="ramp")
