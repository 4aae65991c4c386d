"""ir.ChannelSplit <-> SplitModule."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from t1c import ir

from ..engine.ordered import as_written
from ..engine.stateless import StatelessModule
from .exporting import Shape, exports
from .registry import imports


class SplitModule(StatelessModule):
    """Cuts one feature dimension into sections, with the meaning of ``ir.ChannelSplit``."""

    several_outputs = True

    def __init__(self, split_sections: tuple[int, ...], dim: int = 0) -> None:
        super().__init__()
        self.node = ir.ChannelSplit(split_sections, dim)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, *features) to one tensor for each section."""
        self.node.port_shapes(tuple(x.shape[1:]))
        dim = 1 + self.node.dim % (x.ndim - 1)
        return torch.split(x, list(self.node.split_sections), dim=dim)

    def extra_repr(self) -> str:
        """The sections."""
        return f"{self.node.split_sections}, dim={self.node.dim}"


@imports(ir.ChannelSplit)
def _split(node: ir.ChannelSplit, dtype: torch.dtype) -> nn.Module:
    return SplitModule(node.split_sections, node.dim)


@exports(SplitModule)
def _split_node(module: SplitModule, entering: Shape, leaving: Shape) -> ir.Node:
    return module.node


as_written(SplitModule)
