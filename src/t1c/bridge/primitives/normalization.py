"""Normalisation and Dropout -> the torch modules of the same names."""

from __future__ import annotations

import torch
from torch import nn

from t1c import ir

from ..registry import imports, load


def _batch_norm(
    module: nn.BatchNorm1d | nn.BatchNorm2d, node: ir.BatchNorm1d | ir.BatchNorm2d
) -> nn.Module:
    load(module.weight, node.weight)
    load(module.bias, node.bias)
    load(module.running_mean, node.running_mean)
    load(module.running_var, node.running_var)
    return module


@imports(ir.BatchNorm1d)
def _batch_norm_1d(node: ir.BatchNorm1d, dtype: torch.dtype) -> nn.Module:
    made = nn.BatchNorm1d(node.num_features, node.eps, node.momentum, dtype=dtype)
    return _batch_norm(made, node)


@imports(ir.BatchNorm2d)
def _batch_norm_2d(node: ir.BatchNorm2d, dtype: torch.dtype) -> nn.Module:
    made = nn.BatchNorm2d(node.num_features, node.eps, node.momentum, dtype=dtype)
    return _batch_norm(made, node)


@imports(ir.LayerNorm)
def _layer_norm(node: ir.LayerNorm, dtype: torch.dtype) -> nn.Module:
    module = nn.LayerNorm(node.normalized_shape, node.eps, dtype=dtype)
    load(module.weight, node.weight)
    load(module.bias, node.bias)
    return module


@imports(ir.Dropout)
def _dropout(node: ir.Dropout, dtype: torch.dtype) -> nn.Module:
    return nn.Dropout(node.p)
