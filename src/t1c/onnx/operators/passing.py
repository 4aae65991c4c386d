"""What passes a signal on: Identity, Dropout, Cast."""

from __future__ import annotations

import numpy as np

from t1c import ir

from ..values import Sizes, Value
from .call import Call
from .registry import operator

FLOAT, DOUBLE, INT32, INT64 = 1, 11, 6, 7
"""Types of elements, as ONNX numbers them."""


@operator("Identity")
def identity(call: Call) -> Value:
    """The same."""
    value = call.value(0)
    return value if isinstance(value, Sizes) else call.add(ir.Identity(), call.signal())


@operator("Dropout")
def dropout(call: Call) -> Value:
    """Passed on when a network is run; ``p`` is kept for training."""
    x = call.signal()
    call.attributes.means_nothing("seed")
    training = call.known(2)
    if training is not None and bool(np.any(training)):
        raise call.refuse("training_mode=1: it draws random numbers", "training_mode=0")
    if call.opset < 12:
        ratio = float(call.attributes("ratio", 0.5))
    else:
        ratio = float(np.ravel(call.known(1, np.array(0.5)))[0])
    return call.add(ir.Dropout(x.shape[0], ratio), x)


@operator("Cast")
def cast(call: Call) -> Value:
    """From one type of fractions to another, which a graph leaves to whoever runs it."""
    to = int(call.attributes("to"))
    call.attributes.means_nothing("saturate")  # of 8-bit fractions
    value = call.value(0)
    if isinstance(value, Sizes) and to in (INT32, INT64):
        return value
    if to not in (FLOAT, DOUBLE):
        raise call.refuse(f"a cast to type {to}", "to float32 or float64")
    return call.add(ir.Identity(), call.signal())
