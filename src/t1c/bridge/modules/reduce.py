"""ir.Reduce <-> ReduceModule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from t1c import ir

from ..engine.ordered import in_order
from ..engine.stateless import StatelessModule
from .by_reference import by_reference
from .exporting import Shape, exports
from .registry import imports

REDUCTIONS: dict[str, Callable[..., Any]] = {
    "sum": torch.sum,
    "mean": torch.mean,
    "max": torch.amax,
    "min": torch.amin,
}


class ReduceModule(StatelessModule):
    """The sum, mean, max or min over some feature axes, with the meaning of ``ir.Reduce``."""

    def __init__(self, how: str, axes: tuple[int, ...], keepdims: bool = False) -> None:
        super().__init__()
        self.node = ir.Reduce(how, axes, keepdims)

    def forward(self, x: Tensor) -> Tensor:
        """(B, *features) to the features that are left."""
        axes = tuple(1 + axis for axis in self.node.along(x.ndim - 1))
        y: Tensor = REDUCTIONS[self.node.how](x, axes, self.node.keepdims)
        return y

    def extra_repr(self) -> str:
        """What is done, and over which axes."""
        return f"{self.node.how!r}, axes={self.node.axes}, keepdims={self.node.keepdims}"


@imports(ir.Reduce)
def _reduce(node: ir.Reduce, dtype: torch.dtype) -> nn.Module:
    return ReduceModule(node.how, node.axes, node.keepdims)


@exports(ReduceModule)
def _reduce_node(module: ReduceModule, entering: Shape, leaving: Shape) -> ir.Node:
    return module.node


in_order(ReduceModule)(by_reference)
