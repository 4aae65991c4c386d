"""Pools over one, two and three axes <-> the torch modules; ir.SumPool2d <-> SumPool2dModule."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from t1c import ir

from ..engine.ordered import as_written, in_order
from ..engine.stateless import StatelessModule
from .exporting import Shape, exporter_of, exports, refuse
from .registry import imports

MaxPool = ir.MaxPool1d | ir.MaxPool2d | ir.MaxPool3d
AvgPool = ir.AvgPool1d | ir.AvgPool2d | ir.AvgPool3d


MAX_POOLS: dict[type[ir.Node], Any] = {
    ir.MaxPool1d: nn.MaxPool1d,
    ir.MaxPool2d: nn.MaxPool2d,
    ir.MaxPool3d: nn.MaxPool3d,
}
AVG_POOLS: dict[type[ir.Node], Any] = {
    ir.AvgPool1d: nn.AvgPool1d,
    ir.AvgPool2d: nn.AvgPool2d,
    ir.AvgPool3d: nn.AvgPool3d,
}


@imports(*MAX_POOLS)
def _max_pool(node: MaxPool, dtype: torch.dtype) -> nn.Module:
    made: nn.Module = MAX_POOLS[type(node)](
        node.kernel_size, node.stride, node.padding, node.dilation, ceil_mode=node.ceil_mode
    )
    return made


@imports(*AVG_POOLS)
def _avg_pool(node: AvgPool, dtype: torch.dtype) -> nn.Module:
    made: nn.Module = AVG_POOLS[type(node)](
        node.kernel_size, node.stride, node.padding, node.ceil_mode, node.count_include_pad
    )
    return made


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


@exports(nn.MaxPool1d)
def _max_pool_1d_node(module: nn.MaxPool1d, entering: Shape, leaving: Shape) -> ir.Node:
    return _max_node(ir.MaxPool1d, module)


@exports(nn.MaxPool2d)
def _max_pool_2d_node(module: nn.MaxPool2d, entering: Shape, leaving: Shape) -> ir.Node:
    return _max_node(ir.MaxPool2d, module)


@exports(nn.MaxPool3d)
def _max_pool_3d_node(module: nn.MaxPool3d, entering: Shape, leaving: Shape) -> ir.Node:
    return _max_node(ir.MaxPool3d, module)


@exports(nn.AvgPool1d)
def _avg_pool_1d_node(module: nn.AvgPool1d, entering: Shape, leaving: Shape) -> ir.Node:
    return _avg_node(ir.AvgPool1d, module)


@exports(nn.AvgPool2d)
def _avg_pool_2d_node(module: nn.AvgPool2d, entering: Shape, leaving: Shape) -> ir.Node:
    return _avg_node(ir.AvgPool2d, module)


@exports(nn.AvgPool3d)
def _avg_pool_3d_node(module: nn.AvgPool3d, entering: Shape, leaving: Shape) -> ir.Node:
    return _avg_node(ir.AvgPool3d, module)


def _window(module: Any, *names: str) -> dict[str, Any]:
    """Fields of a node from the attributes of a module: one axis has a number, not a tuple."""
    values = {name: getattr(module, name) for name in names}
    one = isinstance(module, nn.MaxPool1d | nn.AvgPool1d)
    return {n: v[0] if one and isinstance(v, tuple) else v for n, v in values.items()}


def _max_node(node_type: type[MaxPool], module: Any) -> ir.Node:
    if module.return_indices:
        raise refuse("return_indices=True", "the maxima alone: no primitive gives indices")
    window = _window(module, "kernel_size", "stride", "padding", "dilation")
    return node_type(**window, ceil_mode=module.ceil_mode)


def _avg_node(node_type: type[AvgPool], module: Any) -> ir.Node:
    if getattr(module, "divisor_override", None) is not None:
        raise refuse(
            f"divisor_override={module.divisor_override}",
            "the mean of each window",
            "Multiply the result of a plain AvgPool2d by a number.",
        )
    window = _window(module, "kernel_size", "stride", "padding")
    return node_type(
        **window, ceil_mode=module.ceil_mode, count_include_pad=module.count_include_pad
    )


@exports(SumPool2dModule)
def _sum_pool_node(module: SumPool2dModule, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.SumPool2d(module.kernel_size, module.stride, module.padding)


def _equal_windows(entering: Shape, leaving: Shape, axes: int) -> tuple[int, ...]:
    """The window of the plain pool that an adaptive one equals on this shape."""
    size, target = entering[-axes:], leaving[-axes:]
    if len(entering) != 1 + axes or any(n % m for n, m in zip(size, target, strict=True)):
        raise refuse(
            f"adaptive pooling of {tuple(size)} to {tuple(target)}",
            "an output size that divides the input size, so that all windows are equal",
            "Use a pool with a kernel_size.",
        )
    return tuple(n // m for n, m in zip(size, target, strict=True))


@exports(nn.AdaptiveAvgPool1d)
def _adaptive_avg_1d_node(module: nn.Module, entering: Shape, leaving: Shape) -> ir.Node:
    (kernel,) = _equal_windows(entering, leaving, 1)
    return ir.AvgPool1d(kernel)


@exports(nn.AdaptiveAvgPool2d)
def _adaptive_avg_node(module: nn.Module, entering: Shape, leaving: Shape) -> ir.Node:
    more = all(m % n == 0 for n, m in zip(entering[1:], leaving[1:], strict=True))
    if more and entering[1:] != leaving[1:]:
        # Windows of one value each, which is copied.
        return ir.Upsample(size=(leaving[1], leaving[2]))
    rows, columns = _equal_windows(entering, leaving, 2)
    return ir.AvgPool2d((rows, columns))


@exports(nn.AdaptiveMaxPool1d)
def _adaptive_max_1d_node(module: nn.AdaptiveMaxPool1d, entering: Shape, leaving: Shape) -> ir.Node:
    if module.return_indices:
        raise refuse("return_indices=True", "the maxima alone: no primitive gives indices")
    (kernel,) = _equal_windows(entering, leaving, 1)
    return ir.MaxPool1d(kernel)


@exports(nn.AdaptiveMaxPool2d)
def _adaptive_max_node(module: nn.AdaptiveMaxPool2d, entering: Shape, leaving: Shape) -> ir.Node:
    if module.return_indices:
        raise refuse("return_indices=True", "the maxima alone: no primitive gives indices")
    rows, columns = _equal_windows(entering, leaving, 2)
    return ir.MaxPool2d((rows, columns))


@in_order(*AVG_POOLS.values(), SumPool2dModule)
def _pooled(module: Any, sent: Sequence[Tensor]) -> Tensor:
    """Every window row by row, all windows side by side, divided at the end."""
    (x,) = sent
    size = tuple(x.shape[2:])
    node: Any = exporter_of(type(module))(module, size, size)
    kernel, stride, padding, _ = node.window
    counts = node.counts(size)
    ends = [
        max((count - 1) * s + k - p - n, 0)
        for count, s, k, p, n in zip(counts, stride, kernel, padding, size, strict=True)
    ]
    borders = list(zip(padding, ends, strict=True))
    padded = F.pad(x, [n for pair in reversed(borders) for n in pair])
    total = x.new_zeros(*x.shape[:2], *counts)
    for where in itertools.product(*map(range, kernel)):
        seen = (
            slice(k, k + (count - 1) * s + 1, s)
            for k, count, s in zip(where, counts, stride, strict=True)
        )
        total = total + padded[:, :, *seen]
    if isinstance(module, SumPool2dModule):
        return total
    return total / torch.from_numpy(node.elements(size)).to(x.dtype)


as_written(*MAX_POOLS.values())
