"""Pools: windows, row by row."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from t1c import ir
from t1c.ir.primitives.window import pads_of

from ..registry import with_loops
from ..stage import Block, place, steps
from .convolution import AXES

MaxPool = ir.MaxPool1d | ir.MaxPool2d | ir.MaxPool3d
AvgPool = ir.AvgPool1d | ir.AvgPool2d | ir.AvgPool3d
Pool = MaxPool | AvgPool | ir.SumPool2d


@with_loops(ir.MaxPool1d, ir.MaxPool2d, ir.MaxPool3d)
def max_pool(b: Block, node: MaxPool) -> None:
    """The largest of each window; padding never wins."""
    b.moves = True
    with _windows(b, b.least), _elements(b, node) as x:
        b.line(f"most = {b.extreme(x, 'most')};")


@with_loops(ir.SumPool2d)
def sum_pool(b: Block, node: ir.SumPool2d) -> None:
    """The sum of each window."""
    with _windows(b, b.literal(0)), _elements(b, node) as x:
        b.line(f"most += {x};")


@with_loops(ir.AvgPool1d, ir.AvgPool2d, ir.AvgPool3d)
def avg_pool(b: Block, node: AvgPool) -> None:
    """The sum of each window, divided by how many elements it holds."""
    counts = node.elements(b.arriving[0][1:])
    if (counts == counts.flat[0]).all():
        divided = f"/ {b.literal(counts.flat[0])}"
    else:
        array = b.constant(counts.astype(b.stage.dtype), "counts")
        axes = AXES[-counts.ndim :]
        at = place([(f"o{a}", n) for a, n in zip(axes, steps(counts.shape), strict=True)])
        divided = f"/ {array}[{at}]"
    with _windows(b, b.literal(0), divided), _elements(b, node) as x:
        b.line(f"most += {x};")


@contextlib.contextmanager
def _windows(b: Block, start: str, end: str = "") -> Iterator[None]:
    """For each window: ``most`` begins with a number, and is written at the end."""
    axes = AXES[-len(b.sent[0]) + 1 :]
    outputs = {f"o{a}": n for a, n in zip(axes, b.sent[0][1:], strict=True)}
    at = place(list(zip(("c", *outputs), steps(b.sent[0]), strict=True)))
    with b.loops(c=b.sent[0][0], **outputs):
        b.line(f"{b.real} most = {start};")
        yield
        b.put(at, f"most{' ' + end if end else ''}")


@contextlib.contextmanager
def _elements(b: Block, node: Pool) -> Iterator[str]:
    """For each element in a window, outside of the padding."""
    kernel, stride, padding, dilation = node.window
    pads = [before for before, _ in pads_of(padding, kernel, dilation)]
    axes = AXES[-len(kernel) :]
    shape = b.arriving[0]
    with contextlib.ExitStack() as stack:
        for n, a in enumerate(axes):
            head = f"for (size_t k{a} = 0; k{a} < {kernel[n]}; k{a}++)"
            stack.enter_context(b.braces(head))
            b.line(f"const size_t t{a} = {place([(f'o{a}', stride[n]), (f'k{a}', dilation[n])])};")
            inside = f"t{a}"
            if pads[n]:
                b.line(f"if (t{a} < {pads[n]}) {{ continue; }}")
                inside = f"t{a} - {pads[n]}"
            b.line(f"const size_t i{a} = {inside};")
            reach = (b.sent[0][1 + n] - 1) * stride[n] + (kernel[n] - 1) * dilation[n] - pads[n]
            if reach >= shape[1 + n]:
                b.line(f"if (i{a} >= {shape[1 + n]}) {{ break; }}")
        at = place(list(zip(("c", *(f"i{a}" for a in axes)), steps(shape), strict=True)))
        yield b.let("x", f"{b.x}[{at}]")
