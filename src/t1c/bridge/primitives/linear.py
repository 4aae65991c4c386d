"""ir.Affine, ir.SpikingAffine, ir.Linear -> torch.nn.Linear; ir.Scale -> ScaleModule."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from t1c import ir
from t1c.ir.primitives.neuron import parameter_shape

from ..registry import imports, load, tensor


class ScaleModule(nn.Module):
    """y = scale * x, with the meaning of ``ir.Scale``; the scale is learnable."""

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.scale = nn.Parameter(scale)

    def forward(self, x: Tensor) -> Tensor:
        """(B, *features) to the same shape."""
        shape = parameter_shape(tuple(self.scale.shape), tuple(x.shape[1:]))
        return self.scale.reshape(shape) * x


@imports(ir.Linear)
def _linear_without_bias(node: ir.Linear, dtype: torch.dtype) -> nn.Module:
    outputs, inputs = node.weight.shape
    module = nn.Linear(inputs, outputs, bias=False, dtype=dtype)
    load(module.weight, node.weight)
    return module


@imports(ir.Scale)
def _scale(node: ir.Scale, dtype: torch.dtype) -> nn.Module:
    return ScaleModule(tensor(node.scale, dtype))


@imports(ir.Affine, ir.SpikingAffine)
def _linear(node: ir.Affine, dtype: torch.dtype) -> nn.Module:
    outputs, inputs = node.weight.shape
    module = nn.Linear(inputs, outputs, dtype=dtype)
    load(module.weight, node.weight)
    load(module.bias, node.bias)
    return module
