"""Several features become one."""

from __future__ import annotations

import math

from t1c import ir

from ..registry import with_loops
from ..stage import Block, place, steps


@with_loops(ir.Reduce)
def reduce(b: Block, node: ir.Reduce) -> None:
    """One after another in ascending order, a mean divided at the end."""
    shape = b.arriving[0]
    axes = node.along(len(shape))
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    step = steps(shape)
    count = math.prod(shape[axis] for axis in axes)
    sizes = tuple(shape[axis] for axis in kept)
    outer = {f"q{axis}": shape[axis] for axis in kept}
    inner = {f"r{axis}": shape[axis] for axis in axes}
    to = place(list(zip(outer, steps(tuple(sizes)), strict=True)))
    start = place([(f"q{axis}", step[axis]) for axis in kept])
    rest = place([(f"r{axis}", step[axis]) for axis in axes])
    with b.loops(**outer):
        b.line(f"const size_t first = {start};")
        b.line(f"{b.real} found = {b.x}[first];")
        b.line("int begun = 0;")
        with b.loops(**inner):
            x = b.let("x", f"{b.x}[first + {rest}]")
            if node.how == "max":
                taken = b.extreme("found", x)
            elif node.how == "min":
                taken = b.extreme("found", x, "<")
            else:
                taken = f"found + {x}"
            b.line(f"found = begun ? ({taken}) : {x};")
            b.line("begun = 1;")
        end = f" / {b.literal(count)}" if node.how == "mean" else ""
        b.put(to, f"found{end}")
