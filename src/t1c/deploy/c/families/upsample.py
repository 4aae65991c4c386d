"""A feature map at another size."""

from __future__ import annotations

import numpy as np

from t1c import ir

from ..registry import with_loops
from ..stage import Block, place, steps


@with_loops(ir.Upsample)
def upsample(b: Block, node: ir.Upsample) -> None:
    """Pick or mix neighbours, along the rows first."""
    shape, sent = b.arriving[0], b.sent[0]
    if node.mode == "nearest":
        rows, columns = (
            b.constant(node.nearest(shape[1 + a], sent[1 + a]).astype(np.uint16), f"source{a}")
            for a in (0, 1)
        )
        at = place(
            [
                ("c", shape[1] * shape[2]),
                (f"(size_t){rows}[h]", shape[2]),
                (f"(size_t){columns}[w]", 1),
            ]
        )
        to = place(list(zip(("c", "h", "w"), steps(sent), strict=True)))
        with b.loops(c=sent[0], h=sent[1], w=sent[2]):
            b.put(to, f"{b.x}[{at}]")
        return
    between = (shape[0], sent[1], shape[2])
    part = b.scratch(shape[0] * sent[1] * shape[2])
    _mixed(b, node, 0, b.x, part, shape, between)
    _mixed(b, node, 1, part, b.y, between, sent)


def _mixed(
    b: Block,
    node: ir.Upsample,
    axis: int,
    x: str,
    y: str,
    shape: tuple[int, ...],
    sent: tuple[int, ...],
) -> None:
    """Mix two neighbours along one axis."""
    low, high, share = node.linear(shape[1 + axis], sent[1 + axis])
    upper = share.astype(b.stage.dtype)
    lows, highs = (
        b.constant(p.astype(np.uint16), f"{n}{axis}") for p, n in ((low, "low"), (high, "high"))
    )
    weights = b.constant(upper, f"upper{axis}")
    others = b.constant(1 - upper, f"lower{axis}")
    own = "hw"[axis]
    to = place(list(zip(("c", "h", "w"), steps(sent), strict=True)))

    def source(index: str) -> str:
        names = ["c", "h", "w"]
        names[1 + axis] = f"(size_t){index}[{own}]"
        return f"{x}[{place(list(zip(names, steps(shape), strict=True)))}]"

    with b.loops(c=sent[0], h=sent[1], w=sent[2]):
        below = b.let("below", f"{source(lows)} * {others}[{own}]")
        above = b.let("above", f"{source(highs)} * {weights}[{own}]")
        b.line(f"{y}[{to}] = {below} + {above};")
