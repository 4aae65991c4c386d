"""ir.MaxPool2d, ir.AvgPool2d -> the torch modules of the same names."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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


class SumPool2dModule(nn.Module):
    """The sum of each window, padding included as zeros, with the meaning of ``ir.SumPool2d``."""

    def __init__(
        self, kernel_size: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) becomes (B, C, H', W')."""
        rows, columns = self.padding
        padded = F.pad(x, (columns, columns, rows, rows))
        # A divisor of 1 makes the mean a sum, without a second rounding.
        return F.avg_pool2d(padded, self.kernel_size, self.stride, divisor_override=1)

    def extra_repr(self) -> str:
        """The window."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


@imports(ir.SumPool2d)
def _sum_pool(node: ir.SumPool2d, dtype: torch.dtype) -> nn.Module:
    return SumPool2dModule(node.kernel_size, node.steps, node.padding)
