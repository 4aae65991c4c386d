"""A product of two inputs."""

from __future__ import annotations

import math

from t1c import ir
from t1c.ir.shapes import Shape

from ..registry import with_loops
from ..stage import Block


@with_loops(ir.MatMul)
def matmul(b: Block, node: ir.MatMul) -> None:
    """Products added in ascending order of the contracted index, each zero with the others."""
    first, second = b.arriving
    rows, inner, columns = first[-2], first[-1], second[-1]
    lead = b.sent[0][:-2]
    with b.loops(q=math.prod(lead)):
        b.line(f"const size_t left = {_matrix(first, lead)};")
        b.line(f"const size_t right = {_matrix(second, lead)};")
        with b.loops(r=rows):
            b.line(f"const size_t row = q * {rows * columns} + r * {columns};")
            with b.loops(o=columns):
                b.line(f"{b.y}[row + o] = {b.literal(0)};")
            with b.loops(k=inner):
                a = b.let("a", f"{b.inputs[0]}[left + r * {inner} + k]")
                with b.loops(o=columns):
                    other = f"{b.inputs[1]}[right + k * {columns} + o]"
                    b.line(f"{b.y}[row + o] += {a} * {other};")


def _matrix(shape: Shape, lead: Shape) -> str:
    """Where the q-th matrix of an input begins, which size 1 stretches over ``lead``."""
    parts, step, below = [], shape[-2] * shape[-1], 1
    for axis in reversed(range(len(lead))):
        if shape[axis] > 1:
            parts.append(f"q / {below} % {lead[axis]} * {step}")
        step *= shape[axis]
        below *= lead[axis]
    return " + ".join(reversed(parts)) or "0"
