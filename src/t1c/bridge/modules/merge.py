"""Where several paths meet: ir.Skip <-> SkipModule, ir.Concat <-> ConcatModule."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from t1c import ir

from ..engine.merging import MergeModule
from ..engine.ordered import as_written
from ..engine.script import Script, instructs
from .exporting import Shape, exports
from .registry import imports


class SkipModule(MergeModule):
    """Joins what leads into it: 'residual' adds, 'concatenate' joins channels (dim 1).

    The executor gathers the inputs and calls ``merge``; ``forward`` takes one of them, or the
    joined result, and passes it on.

    Args:
        skip_type: 'residual', 'concatenate' or 'passthrough' ('add', 'concat' and 'identity' are
            older names for them).

    Raises:
        NodeError: another skip_type.
    """

    def __init__(self, skip_type: str = "residual") -> None:
        super().__init__()
        self.node = ir.Skip(skip_type)
        self.skip_type = self.node.skip_type

    @property
    def joins(self) -> bool:
        """Only 'concatenate' joins."""
        return self.skip_type == "concatenate"

    def joined_along(self, rank: int) -> int | None:
        """The channels."""
        return 0 if self.joins else None

    def adds(self, count: int) -> bool:
        """Only 'residual' adds up several."""
        return not self.joins and (self.skip_type == "residual" or count == 1)

    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        """Join tensors (B, C, ...).

        Raises:
            ShapeError: their shapes do not fit together.
        """
        self.node.merge([tuple(x.shape[1:]) for x in inputs])
        if self.skip_type == "concatenate":
            return torch.cat(list(inputs), dim=1)
        total = inputs[0]
        for x in inputs[1:]:
            total = total + x
        return total

    def extra_repr(self) -> str:
        """The skip_type."""
        return repr(self.skip_type)


@imports(ir.Skip)
def _skip(node: ir.Skip, dtype: torch.dtype) -> nn.Module:
    return SkipModule(node.skip_type)


class ConcatModule(MergeModule):
    """Joins its inputs along one feature dimension, with the meaning of ``ir.Concat``."""

    def __init__(self, dim: int = 0, num_inputs: int | None = None) -> None:
        super().__init__()
        self.node = ir.Concat(dim, num_inputs)

    def joined_along(self, rank: int) -> int | None:
        """The dimension."""
        return self.node.dim % rank

    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        """Join tensors (B, *features).

        Raises:
            ShapeError: their shapes do not fit together.
        """
        self.node.merge([tuple(x.shape[1:]) for x in inputs])
        return torch.cat(list(inputs), dim=1 + self.node.dim % (inputs[0].ndim - 1))

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.node.dim}"


@instructs(SkipModule, ConcatModule)
def _passed(script: Script, module: MergeModule, x: int, entering: Shape, leaving: Shape) -> int:
    return script.passed(x, entering, leaving)


@imports(ir.Concat)
def _concat(node: ir.Concat, dtype: torch.dtype) -> nn.Module:
    return ConcatModule(node.dim, node.num_inputs)


@exports(SkipModule, ConcatModule)
def _merge_node(module: SkipModule | ConcatModule, entering: Shape, leaving: Shape) -> ir.Node:
    return module.node


as_written(SkipModule, ConcatModule)
