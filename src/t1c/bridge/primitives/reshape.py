"""ir.Flatten -> torch.nn.Flatten, ir.Upsample -> torch.nn.Upsample."""

from __future__ import annotations

import torch
from torch import nn

from t1c import ir

from ..registry import imports


@imports(ir.Flatten)
def _flatten(node: ir.Flatten, dtype: torch.dtype) -> nn.Module:
    # The graph counts feature dimensions; torch counts the batch too.
    start, end = (d + 1 if d >= 0 else d for d in (node.start_dim, node.end_dim))
    return nn.Flatten(start, end)


@imports(ir.Upsample)
def _upsample(node: ir.Upsample, dtype: torch.dtype) -> nn.Module:
    return nn.Upsample(
        size=node.size,
        scale_factor=None if node.size else node.scale_factor,
        mode=node.mode,
        align_corners=None if node.mode == "nearest" else node.align_corners,
    )
