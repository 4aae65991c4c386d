"""Nodes that take features from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from t1c import ir
from t1c.ir.shapes import Shape

from ..registry import with_loops
from ..stage import Block, place, steps


@with_loops(ir.Transpose)
def transpose(b: Block, node: ir.Transpose) -> None:
    """The i-th axis of the output is another one of the input."""
    b.moves = True
    step = steps(b.arriving[0])
    copied(b, 0, b.sent[0], [step[axis] for axis in node.order], 0)


@with_loops(ir.Slice)
def taken(b: Block, node: ir.Slice) -> None:
    """Some along one axis."""
    b.moves = True
    shape = b.arriving[0]
    axis, step = node.axis % len(shape), steps(shape)
    start, _, stride = node.taken.indices(shape[axis])
    each = [n * stride if a == axis else n for a, n in enumerate(step)]
    copied(b, 0, b.sent[0], each, start * step[axis])


@with_loops(ir.ChannelSplit)
def split(b: Block, node: ir.ChannelSplit) -> None:
    """One section after another."""
    b.moves = True
    shape = b.arriving[0]
    axis, step = node.dim % len(shape), steps(shape)
    start = 0
    for port, sent in enumerate(b.sent):
        copied(b, port, sent, step, start * step[axis])
        start += sent[axis]


def copied(b: Block, port: int, shape: Shape, each: Sequence[int], start: int) -> None:
    """Fill an output of ``shape`` from places that lie ``each`` apart along its axes."""
    variables = {f"q{axis}": size for axis, size in enumerate(shape)}
    to = place(list(zip(variables, steps(shape), strict=True)))
    at = place(list(zip(variables, each, strict=True)))
    with b.loops(**variables):
        b.put(to, f"{b.x}[{at}{f' + {start}' if start else ''}]", port)
