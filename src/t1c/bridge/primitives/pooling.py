"""ir.MaxPool2d, ir.AvgPool2d -> the torch modules of the same names."""

from __future__ import annotations

import torch
from torch import nn

from t1c import ir

from ..registry import imports


@imports(ir.MaxPool2d)
def _max_pool(node: ir.MaxPool2d, dtype: torch.dtype) -> nn.Module:
    return nn.MaxPool2d(
        node.kernel_size, node.stride, node.padding, node.dilation, ceil_mode=node.ceil_mode
    )


@imports(ir.AvgPool2d)
def _avg_pool(node: ir.AvgPool2d, dtype: torch.dtype) -> nn.Module:
    return nn.AvgPool2d(
        node.kernel_size, node.stride, node.padding, node.ceil_mode, node.count_include_pad
    )
