"""Softmax and its logarithm, along one axis."""

from __future__ import annotations

import math

from t1c import ir

from ..registry import with_loops
from ..stage import Block


@with_loops(ir.Softmax, ir.LogSoftmax)
def softmax(b: Block, node: ir.Softmax | ir.LogSoftmax) -> None:
    """Shifted by the maximum so that nothing overflows; summed one after another."""
    shape = b.arriving[0]
    axis = node.dim % (1 + len(shape)) - 1
    size, inner = shape[axis], math.prod(shape[axis + 1 :])
    exp, log = b.function("t1c_exp"), isinstance(node, ir.LogSoftmax)
    with b.loops(r=math.prod(shape[:axis]), q=inner):
        b.line(f"const size_t first = r * {size * inner} + q;")
        b.line(f"{b.real} most = {b.x}[first];")
        with b.braces(f"for (size_t i = 1; i < {size}; i++)"):
            x = b.let("x", f"{b.x}[first + i * {inner}]")
            b.line(f"most = (most > {x} || most != most) ? most : {x};")
        b.line(f"{b.real} total = {b.literal(0)};")
        with b.loops(i=size):
            x = b.let("x", f"{b.x}[first + i * {inner}] - most")
            e = b.let("e", f"{exp}({x})")
            b.line(f"{b.y}[first + i * {inner}] = {x if log else e};")
            b.line(f"total = i == 0 ? {e} : total + {e};")
        if log:
            b.let("part", f"{b.function('t1c_log')}(total)")
        with b.loops(i=size):
            b.line(f"{b.y}[first + i * {inner}] {'-= part' if log else '/= total'};")
