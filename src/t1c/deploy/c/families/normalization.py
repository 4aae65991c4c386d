"""Normalisation in eval mode."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from t1c import ir
from t1c.ir.fields import Array

from ..element import Element
from ..loop import summed
from ..registry import element_by_element, with_loops
from ..stage import Block
from ..term import Term


@element_by_element(ir.BatchNorm1d, ir.BatchNorm2d, ir.BatchNorm3d)
def batch_norm(
    e: Element, node: ir.BatchNorm1d | ir.BatchNorm2d | ir.BatchNorm3d, terms: Sequence[Term]
) -> Term:
    """Multiply and add what the stored statistics come to."""
    axes = (-1, *[1] * (len(e.shape) - 1))
    factor, shift = (p.reshape(axes) for p in node.coefficients(e.loop.dtype))
    return summed(terms) * e.laid(factor, "factor") + e.laid(shift, "shift")


@with_loops(ir.LayerNorm)
def layer_norm(b: Block, node: ir.LayerNorm) -> None:
    """Each sample by its own mean and variance, over the last axes."""
    size = math.prod(node.normalized_shape)
    rows = math.prod(b.arriving[0]) // size
    _normalised(b, rows, size, node.eps, node.weight, node.bias, 1)


@with_loops(ir.GroupNorm)
def group_norm(b: Block, node: ir.GroupNorm) -> None:
    """Each group of channels."""
    size = math.prod(b.arriving[0]) // node.num_groups
    inner = math.prod(b.arriving[0][1:])
    _normalised(b, node.num_groups, size, node.eps, node.weight, node.bias, inner)


def _normalised(
    b: Block, rows: int, size: int, eps: float, weight: Array, bias: Array, inner: int
) -> None:
    """Rows of ``size``; ``inner`` neighbours share a weight, of which rows may share all."""
    zero, count = b.literal(0), b.literal(size)
    w, first = b.parameter(weight, "weight"), b.parameter(bias, "bias")
    root = b.function("t1c_sqrt")
    across = weight.size * inner > size
    with b.loops(r=rows):
        b.line(f"{b.real} mean = {b.x}[r * {size}];")
        with b.braces(f"for (size_t i = 1; i < {size}; i++)"):
            b.line(f"mean += {b.x}[r * {size} + i];")
        b.line(f"mean /= {count};")
        b.line(f"{b.real} var = {zero};")
        with b.loops(i=size):
            centred = b.let("centred", f"{b.x}[r * {size} + i] - mean")
            b.line(f"{b.y}[r * {size} + i] = {centred};")
            square = b.let("square", f"{centred} * {centred}")
            b.line(f"var = i == 0 ? {square} : var + {square};")
        b.line(f"var /= {count};")
        b.let("spread", f"{root}(var + {b.literal(np.asarray(eps))})")
        with b.loops(i=size):
            place = f"(r * {size} + i)" if across else "i"
            at = place if inner == 1 else f"{place} / {inner}"
            scaled = b.let("scaled", f"{b.y}[r * {size} + i] / spread")
            weighed = b.let("weighed", f"{scaled} * {w}[{at}]")
            b.line(f"{b.y}[r * {size} + i] = {weighed} + {first}[{at}];")
