"""ir.Affine, ir.SpikingAffine, ir.Linear <-> torch.nn.Linear; ir.Scale <-> ScaleModule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from t1c import ir
from t1c.ir.primitives.neuron import parameter_shape

from ..engine.ordered import as_written, in_order
from ..engine.ordered_sums import weighted
from ..engine.script import Script, instructs
from ..engine.stateless import StatelessModule
from .exporting import Shape, array, exports
from .registry import imports, load, tensor, unfilled

NO_BIAS = {"bias": "none"}
"""The note on a node whose module has no bias: the zeros are there for readers that need one."""


def has_bias(node: Any) -> bool:
    """Whether the module of a node needs its bias; False if it is noted to be made up."""
    return node.metadata.get("bias") != "none" or bool(node.bias.any())


def bias_of(module: Any) -> dict[str, Any]:
    """The bias of a linear layer or convolution, or zeros and a note, as fields of its node."""
    if module.bias is not None:
        return {"bias": array(module.bias)}
    outputs = module.out_features if isinstance(module, nn.Linear) else module.out_channels
    return {"bias": array(module.weight.new_zeros(outputs)), "metadata": NO_BIAS}


class ScaleModule(StatelessModule):
    """y = scale * x, with the meaning of ``ir.Scale``; the scale is learnable."""

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.scale = nn.Parameter(scale)

    def forward(self, x: Tensor) -> Tensor:
        """(B, *features) to the same shape."""
        return self.over(tuple(x.shape[1:])) * x

    def over(self, features: Shape) -> Tensor:
        """The scale, ready to broadcast over features."""
        return self.scale.reshape(parameter_shape(tuple(self.scale.shape), features))


@instructs(ScaleModule)
def _scaled(script: Script, module: ScaleModule, x: int, entering: Shape, leaving: Shape) -> int:
    return script.product(module, "scale", x, leaving)


@imports(ir.Linear)
def _linear_without_bias(node: ir.Linear, dtype: torch.dtype) -> nn.Module:
    outputs, inputs = node.weight.shape
    module = unfilled(nn.Linear, inputs, outputs, bias=False, dtype=dtype)
    load(module, "weight", node.weight)
    return module


@imports(ir.Scale)
def _scale(node: ir.Scale, dtype: torch.dtype) -> nn.Module:
    return ScaleModule(tensor(node.scale, dtype))


@imports(ir.Affine, ir.SpikingAffine)
def _linear(node: ir.Affine, dtype: torch.dtype) -> nn.Module:
    outputs, inputs = node.weight.shape
    module = unfilled(nn.Linear, inputs, outputs, bias=has_bias(node), dtype=dtype)
    load(module, "weight", node.weight)
    load(module, "bias", node.bias)
    return module


@exports(nn.Linear)
def _affine(module: nn.Linear, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.Affine(weight=array(module.weight), **bias_of(module))


@exports(ScaleModule)
def _scale_node(module: ScaleModule, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.Scale(scale=array(module.scale))


@in_order(nn.Linear)
def _summed(module: nn.Linear, sent: Sequence[Tensor]) -> Tensor:
    return weighted(module, sent[0])


as_written(ScaleModule)
