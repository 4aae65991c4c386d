"""Normalisation and Dropout <-> the torch modules of the same names."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from t1c import ir

from .exporting import Shape, array, channels, exports, refuse
from .registry import imports, load

BATCH_NORMS: dict[type[ir.Node], Any] = {
    ir.BatchNorm1d: nn.BatchNorm1d,
    ir.BatchNorm2d: nn.BatchNorm2d,
    ir.BatchNorm3d: nn.BatchNorm3d,
}


@imports(*BATCH_NORMS)
def _batch_norm(node: Any, dtype: torch.dtype) -> nn.Module:
    make = BATCH_NORMS[type(node)]
    module: nn.Module = make(node.num_features, node.eps, node.momentum, dtype=dtype)
    for name in ("weight", "bias", "running_mean", "running_var"):
        load(getattr(module, name), getattr(node, name))
    return module


@imports(ir.LayerNorm)
def _layer_norm(node: ir.LayerNorm, dtype: torch.dtype) -> nn.Module:
    module = nn.LayerNorm(node.normalized_shape, node.eps, dtype=dtype)
    load(module.weight, node.weight)
    load(module.bias, node.bias)
    return module


@imports(ir.GroupNorm)
def _group_norm(node: ir.GroupNorm, dtype: torch.dtype) -> nn.Module:
    module = nn.GroupNorm(node.num_groups, node.weight.size, node.eps, dtype=dtype)
    load(module.weight, node.weight)
    load(module.bias, node.bias)
    return module


@imports(ir.Dropout)
def _dropout(node: ir.Dropout, dtype: torch.dtype) -> nn.Module:
    return nn.Dropout(node.p)


def _array_or(module: nn.Module, name: str, default: torch.Tensor) -> Any:
    """A parameter, or what torch computes with where it has none."""
    value = getattr(module, name)
    return array(default if value is None else value)


def _statistics(module: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) -> dict[str, Any]:
    mean, var = module.running_mean, module.running_var
    if mean is None or var is None:
        raise refuse(
            "track_running_stats=False",
            "stored statistics: those of a batch depend on the other samples",
            "Use track_running_stats=True.",
        )
    if module.momentum is None:
        raise refuse("momentum=None", "a number", "Set momentum; eval mode does not use it.")
    return {
        "num_features": module.num_features,
        "weight": _array_or(module, "weight", torch.ones_like(mean)),
        "bias": _array_or(module, "bias", torch.zeros_like(mean)),
        "running_mean": array(mean),
        "running_var": array(var),
        "eps": module.eps,
        "momentum": module.momentum,
    }


BY_RANK = {1: ir.BatchNorm1d, 2: ir.BatchNorm1d, 3: ir.BatchNorm2d, 4: ir.BatchNorm3d}
"""How many axes features have -> what normalises their channels."""


@exports(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
def _batch_norm_node(module: Any, entering: Shape, leaving: Shape) -> ir.Node:
    """The node for as many axes as features have: one axis of a layer may be time."""
    node: ir.Node = batch_norm_of(entering)(**_statistics(module))
    return node


def batch_norm_of(features: Shape) -> Any:
    """What normalises the channels of features.

    Raises:
        UnsupportedError: they have too many axes, or none.
    """
    if len(features) not in BY_RANK:
        raise refuse(f"a batch norm of features {features}", "one to four axes, channels first")
    return BY_RANK[len(features)]


@exports(nn.LayerNorm)
def _layer_norm_node(module: nn.LayerNorm, entering: Shape, leaving: Shape) -> ir.Node:
    ones = torch.ones(module.normalized_shape)
    return ir.LayerNorm(
        tuple(module.normalized_shape),
        _array_or(module, "weight", ones),
        _array_or(module, "bias", torch.zeros_like(ones)),
        module.eps,
    )


@exports(nn.GroupNorm)
def _group_norm_node(module: nn.GroupNorm, entering: Shape, leaving: Shape) -> ir.Node:
    ones = torch.ones(module.num_channels)
    return ir.GroupNorm(
        module.num_groups,
        _array_or(module, "weight", ones),
        _array_or(module, "bias", torch.zeros_like(ones)),
        module.eps,
    )


@exports(nn.Dropout, nn.Dropout1d, nn.Dropout2d)
def _dropout_node(module: nn.Dropout, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.Dropout(channels(entering), module.p)
