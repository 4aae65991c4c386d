"""Markers and borders <-> torch.nn.Identity."""

from __future__ import annotations

import torch
from torch import nn

from t1c import ir

from .exporting import Shape, exports
from .registry import imports


@imports(ir.Input, ir.Output, ir.HybridRegion, ir.Identity)
def _identity(node: ir.Node, dtype: torch.dtype) -> nn.Module:
    return nn.Identity()


@exports(nn.Identity)
def _identity_node(module: nn.Identity, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.Skip("passthrough")
