"""ir.Affine, ir.SpikingAffine -> torch.nn.Linear."""

from __future__ import annotations

import torch
from torch import nn

from t1c import ir

from ..registry import imports, load


@imports(ir.Affine, ir.SpikingAffine)
def _linear(node: ir.Affine, dtype: torch.dtype) -> nn.Module:
    outputs, inputs = node.weight.shape
    module = nn.Linear(inputs, outputs, dtype=dtype)
    load(module.weight, node.weight)
    load(module.bias, node.bias)
    return module
