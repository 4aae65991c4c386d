"""ir.Skip -> SkipModule: where several paths meet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from t1c import ir

from ..registry import imports


class SkipModule(nn.Module):
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

    def forward(self, x: Tensor) -> Tensor:
        """Pass ``x`` on."""
        return x

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
