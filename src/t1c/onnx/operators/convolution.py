"""Conv and ConvTranspose, in one, two or three dimensions."""

from __future__ import annotations

import numpy as np

from t1c import ir

from ..values import Signal
from .call import Call
from .padding import zeros_around
from .registry import operator
from .windows import of_dims, windows_of

CONVOLUTIONS = {1: ir.Conv1d, 2: ir.Conv2d, 3: ir.Conv3d}
TRANSPOSED = {1: ir.ConvTranspose1d, 2: ir.ConvTranspose2d}


@operator("Conv")
def conv(call: Call) -> Signal:
    """A convolution; uneven padding is put around the signal by a node of its own."""
    x, weight = call.signal(0), call.known(1)
    bias = call.known(2, np.zeros(weight.shape[0], weight.dtype))
    w = windows_of(call, weight.shape[2:], x.shape[1:])
    padding = w.before
    if not w.even:
        x = zeros_around(call, x, [(0, 0), *w.pads])
        padding = (0,) * len(padding)
    node = CONVOLUTIONS[len(w.kernel)](
        weight,
        bias,
        stride=of_dims(w.stride),
        padding=of_dims(padding),
        dilation=of_dims(w.dilation),
        groups=int(call.attributes("group", 1)),
    )
    return call.add(node, x)


@operator("ConvTranspose")
def conv_transpose(call: Call) -> Signal:
    """A transposed convolution of one or two dimensions with even padding."""
    x, weight = call.signal(0), call.known(1)
    groups = int(call.attributes("group", 1))
    bias = call.known(2, np.zeros(weight.shape[1] * groups, weight.dtype))
    for name in ("auto_pad", "output_shape"):
        if call.attributes(name) not in (None, "NOTSET"):
            raise call.refuse(f"{name}={call.attributes(name)!r}", "pads and output_padding")
    w = windows_of(call, weight.shape[2:], x.shape[1:])
    if len(w.kernel) not in TRANSPOSED:
        raise call.refuse(f"a kernel of {len(w.kernel)} dimensions", "one or two")
    if not w.even:
        raise call.refuse(
            f"padding {w.pads} of different sizes before and after", "the same before and after"
        )
    extra = call.attributes.ints("output_padding", (0,) * len(w.kernel))
    node = TRANSPOSED[len(w.kernel)](
        weight,
        bias,
        stride=of_dims(w.stride),
        padding=of_dims(w.before),
        output_padding=of_dims(extra),
        dilation=of_dims(w.dilation),
        groups=groups,
    )
    return call.add(node, x)
