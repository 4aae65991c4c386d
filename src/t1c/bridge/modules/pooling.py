"""ir.MaxPool2d, ir.AvgPool2d <-> the torch modules; ir.SumPool2d <-> SumPool2dModule."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t1c import ir

from ..exporting import Shape, exports, refuse
from ..registry import imports
from ..stateless import StatelessModule


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


class SumPool2dModule(StatelessModule):
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


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    rows, columns = (value, value) if isinstance(value, int) else value
    return rows, columns


@exports(nn.MaxPool2d)
def _max_pool_node(module: nn.MaxPool2d, entering: Shape, leaving: Shape) -> ir.Node:
    if module.return_indices:
        raise refuse("return_indices=True", "the maxima alone: no primitive gives indices")
    return ir.MaxPool2d(
        _pair(module.kernel_size),
        _pair(module.stride),
        _pair(module.padding),
        _pair(module.dilation),
        module.ceil_mode,
    )


@exports(nn.AvgPool2d)
def _avg_pool_node(module: nn.AvgPool2d, entering: Shape, leaving: Shape) -> ir.Node:
    if module.divisor_override is not None:
        raise refuse(
            f"divisor_override={module.divisor_override}",
            "the mean of each window",
            "Multiply the result of a plain AvgPool2d by a number.",
        )
    return ir.AvgPool2d(
        _pair(module.kernel_size),
        _pair(module.stride),
        _pair(module.padding),
        module.ceil_mode,
        module.count_include_pad,
    )


@exports(SumPool2dModule)
def _sum_pool_node(module: SumPool2dModule, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.SumPool2d(module.kernel_size, module.stride, module.padding)


def _equal_windows(entering: Shape, leaving: Shape) -> tuple[int, int]:
    """The window of the plain pool that an adaptive one equals on this shape."""
    size, target = entering[-2:], leaving[-2:]
    if len(entering) != 3 or any(n % m for n, m in zip(size, target, strict=True)):
        raise refuse(
            f"adaptive pooling of {tuple(size)} to {tuple(target)}",
            "an output size that divides the input size, so that all windows are equal",
            "Use a pool with a kernel_size.",
        )
    return size[0] // target[0], size[1] // target[1]


@exports(nn.AdaptiveAvgPool2d)
def _adaptive_avg_node(module: nn.Module, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.AvgPool2d(_equal_windows(entering, leaving))


@exports(nn.AdaptiveMaxPool2d)
def _adaptive_max_node(module: nn.AdaptiveMaxPool2d, entering: Shape, leaving: Shape) -> ir.Node:
    if module.return_indices:
        raise refuse("return_indices=True", "the maxima alone: no primitive gives indices")
    return ir.MaxPool2d(_equal_windows(entering, leaving))
