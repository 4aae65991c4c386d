"""Inputs joined along an axis."""

from __future__ import annotations

import math

from t1c import ir

from ..registry import with_loops
from ..stage import Block


def joins(node: ir.Concat | ir.Skip) -> bool:
    """Whether it joins its inputs, and adds nothing."""
    return not node.adds_inputs


@with_loops(ir.Concat, ir.Skip, when=joins)
def concat(b: Block, node: ir.Concat | ir.Skip) -> None:
    """Each input in its place."""
    b.moves = True
    shape = b.sent[0]
    axis = node.dim % len(shape) if isinstance(node, ir.Concat) else 0
    outer, below = math.prod(shape[:axis]), math.prod(shape[axis:])
    start = 0
    for x, arriving in zip(b.inputs, b.arriving, strict=True):
        size = math.prod(arriving[axis:])
        with b.loops(q=outer, i=size):
            moved = f" + {start}" if start else ""
            b.put(f"q * {below} + i{moved}", f"{x}[q * {size} + i]")
        start += size
