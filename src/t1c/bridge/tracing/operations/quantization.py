"""Fake quantisation: what rounds to the levels of an integer and is a real number again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from t1c import ir
from t1c.ir.fields import Array

from ...modules.exporting import refuse
from ..drawing import Signal
from ..effects.rules import argument
from ..record import Value
from .rules import rule

if TYPE_CHECKING:
    from ..bench import Bench


@rule("fake_quantize_per_tensor_affine")
def _per_tensor(b: Bench) -> Signal:
    scale = _numbers(b, argument(b.call, 1, "scale"), "scale")
    zero = _numbers(b, argument(b.call, 2, "zero_point"), "zero_point")
    if b.dtype == np.float64 and not (np.frexp(scale)[0] == 0.5).all():
        raise refuse(
            "a fake quantisation of float64 with one scale, whose result torch rounds to float32",
            "float32, or a scale that is a power of two",
            "Export the model in float32.",
        )
    return _rounded(b, scale, zero, 3)


@rule("fake_quantize_per_channel_affine")
def _per_channel(b: Bench) -> Signal:
    scale = _numbers(b, argument(b.call, 1, "scale"), "scale")
    zero = _numbers(b, argument(b.call, 2, "zero_point"), "zero_point")
    axis = b.feature_axis(b.call.inputs[0], argument(b.call, 3, "axis"))
    behind = len(b.out()) - axis - 1
    if scale.size > 1:
        scale, zero = (a.reshape(*(1,) * axis, -1, *(1,) * behind) for a in (scale, zero))
    return _rounded(b, scale, zero, 4)


def _numbers(b: Bench, item: Any, name: str) -> Array:
    """A scale or a zero point, one number or one for each channel."""
    if not b.is_constant(item):
        raise refuse(f"a {name} that comes from the input", "one that was settled")
    if not isinstance(item, Value):
        return np.array([item], np.float32)
    if name == "zero_point" and item.tensor.is_floating_point():
        raise refuse("a zero_point that is no integer", "a level", "Use an affine qscheme.")
    return item.tensor.detach().cpu().reshape(-1).numpy().astype(np.float32)


def _rounded(b: Bench, scale: Array, zero: Array, place: int) -> Signal:
    """Torch's own order: times 1/scale, rounded, plus zero, cut off, minus zero, times scale."""
    low = float(argument(b.call, place, "quant_min"))
    high = float(argument(b.call, place + 1, "quant_max"))
    if b.call.inputs[0].tensor.dtype not in (torch.float32, torch.float64):
        raise refuse(f"a fake quantisation of {b.call.inputs[0].tensor.dtype}", "float32")
    with np.errstate(divide="ignore"):
        inverse = (np.float32(1) / scale).astype(b.dtype)
    if not (np.isfinite(inverse).all() and (scale > 0).all()):
        raise refuse("a fake quantisation whose scale is not above 0", "a scale above 0")
    scale, zero = scale.astype(b.dtype), zero.astype(b.dtype)
    signal = b.emit(ir.Scale(inverse), b.x(), label="levels")
    signal = b.emit(ir.Unary("round"), signal, label="levels.round")
    if zero.any():
        signal = b.emit(ir.Shift(zero), signal, label="levels.zero")
    bounds = ir.Clip(b.scalar(low), b.scalar(high))
    signal = b.emit(bounds, signal, label="levels.clip")
    if zero.any():
        signal = b.emit(ir.Shift(-zero), signal, label="levels.centre")
    return b.emit(ir.Scale(scale), signal)
