"""Activation functions -> the torch modules of the same names."""

from __future__ import annotations

import torch
from torch import nn

from t1c import ir

from ..registry import imports, load


@imports(ir.ReLU)
def _relu(node: ir.ReLU, dtype: torch.dtype) -> nn.Module:
    return nn.LeakyReLU(node.negative_slope) if node.negative_slope else nn.ReLU()


@imports(ir.Sigmoid)
def _sigmoid(node: ir.Sigmoid, dtype: torch.dtype) -> nn.Module:
    return nn.Sigmoid()


@imports(ir.Tanh)
def _tanh(node: ir.Tanh, dtype: torch.dtype) -> nn.Module:
    return nn.Tanh()


@imports(ir.Softmax)
def _softmax(node: ir.Softmax, dtype: torch.dtype) -> nn.Module:
    return nn.Softmax(node.dim)


@imports(ir.GELU)
def _gelu(node: ir.GELU, dtype: torch.dtype) -> nn.Module:
    return nn.GELU("tanh" if node.approximate else "none")


@imports(ir.ELU)
def _elu(node: ir.ELU, dtype: torch.dtype) -> nn.Module:
    return nn.ELU(node.alpha)


@imports(ir.PReLU)
def _prelu(node: ir.PReLU, dtype: torch.dtype) -> nn.Module:
    module = nn.PReLU(node.weight.size, dtype=dtype)
    load(module.weight, node.weight)
    return module
