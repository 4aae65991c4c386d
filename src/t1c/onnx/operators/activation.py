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
