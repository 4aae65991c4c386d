"""Activation functions, and what passes numbers on as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from t1c import ir

from ...modules.exporting import array, module_to_node, refuse
from ..drawing import Signal
from ..effects.rules import argument
from ..names import plain_name
from .comparison import negated
from .rules import rule

if TYPE_CHECKING:
    from ..bench import Bench


@rule("same bool int long")
def _same(b: Bench) -> Signal:
    call = b.call
    x, y = call.inputs[0], call.outputs[0]
    if call.name == "copy_":
        x = call.inputs[1]
        if x.constant:
            return b.constant(x, b.signal(call.inputs[0]))
    if plain_name(call.name) == "same" and "dropout" in call.name:
        p, training = argument(call, 1, "p", 0.5), argument(call, 2, "training", True)
        if training and p:
            raise refuse(
                "a dropout that also drops in eval mode",
                "training=self.training",
                "Use nn.Dropout, or pass training=self.training.",
            )
    before, after = x.tensor.dtype, y.tensor.dtype
    numbers = before.is_floating_point and after.is_floating_point
    if numbers and before != after:
        raise refuse(
            f"{before} becomes {after}",
            "one dtype in the whole model",
            "Convert the model and the sample before the export.",
        )
    if before.is_floating_point and not after.is_floating_point:
        if after is torch.bool:
            equal = b.emit(ir.Binary("equal"), b.stretched(x), b.constant(0, b.stretched(x)))
            return negated(b, equal)
        raise refuse(f"{before} becomes {after}", "floating point", "Use torch.floor, or round.")
    return b.stretched(x)


@rule("silu")
def _silu(b: Bench) -> Signal:
    x = b.x()
    gate = b.emit(ir.Sigmoid(channels_of(x)), x)
    return b.emit(ir.Binary("multiply"), x, gate)


MODULES: dict[str, Callable[..., nn.Module]] = {
    "relu": lambda inplace=False: nn.ReLU(),
    "leaky_relu": lambda negative_slope=0.01, inplace=False: nn.LeakyReLU(negative_slope),
    "elu": lambda alpha=1.0, inplace=False: nn.ELU(alpha),
    "gelu": lambda *, approximate="none": nn.GELU(approximate),
    "sigmoid": lambda: nn.Sigmoid(),
    "tanh": lambda: nn.Tanh(),
}


@rule(" ".join(MODULES))
def _activation(b: Bench) -> Signal:
    options = {k: v for k, v in b.call.kwargs.items() if k not in ("input", "self")}
    module = MODULES[plain_name(b.call.name)](*b.call.args[1:], **options)
    x = b.x()
    node = module_to_node(module, x.features, x.features)
    return b.emit(node, x)


@rule("prelu")
def _prelu(b: Bench) -> Signal:
    x, weight = b.x(), b.call.inputs[1]
    if not weight.constant:
        raise refuse("a slope that comes from the input", "a parameter")
    b.feature_axis(b.call.inputs[0], 1)
    return b.emit(ir.PReLU(channels_of(x), array(weight.tensor)), x, of={"weight": weight})


def channels_of(x: Signal) -> int:
    """How many features an activation serves."""
    return x.features[0] if x.features else 1


@rule("softmax log_softmax")
def _softmax(b: Bench) -> Signal:
    x = b.x()
    dim = argument(b.call, 1, "dim")
    dtype = b.call.kwargs.get("dtype")
    if dim is None:
        raise refuse("a softmax without dim", "dim=-1, or another feature axis")
    if dtype not in (None, b.call.inputs[0].tensor.dtype):
        raise refuse(f"dtype={dtype}", "the dtype of the input")
    axis = b.feature_axis(b.call.inputs[0], dim) - len(x.features)
    kind = ir.Softmax if b.call.name.startswith("softmax") else ir.LogSoftmax
    return b.emit(kind(channels_of(x), axis), x)
