"""Convolutions, led by their inputs: each that is not zero adds its weights to where it counts.

An output then gets its terms in ascending order of channel and of place, as the reference has it.
The outputs of a place lie side by side while they are summed, channels last.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.primitives.window import pads_of
from t1c.ir.shapes import Shape

from ..constants import TYPES
from ..registry import with_loops
from ..stage import Block, place, steps

Convolution = ir.Conv1d | ir.Conv2d | ir.Conv3d
Transposed = ir.ConvTranspose1d | ir.ConvTranspose2d
AXES = "dhw"


def always(node: object, shape: Shape) -> bool:
    """Sums are filled in with channels last."""
    return True


@with_loops(ir.Conv1d, ir.Conv2d, ir.Conv3d, channels_last=always)
def convolution(b: Block, node: Convolution) -> None:
    """Cross-correlation."""
    stride, padding, dilation, groups = node.options
    pads = [before for before, _ in pads_of(padding, node.weight.shape[2:], dilation)]
    window = Window(stride, pads, dilation, forwards=True)
    # (out, in / groups, *kernel) -> (in, *kernel, out / groups)
    out, each, *kernel = node.weight.shape
    parts = node.weight.reshape(groups, out // groups, each, *kernel)
    weight = np.moveaxis(parts, 1, -1).reshape(groups * each, *kernel, out // groups)
    _started(b, b.y, b.sent[0], node.bias, "bias")
    _scattered(b, b.x, b.y, b.arriving[0], b.sent[0], weight, "weight", window, groups)


@with_loops(ir.ConvTranspose1d, ir.ConvTranspose2d, channels_last=always)
def transposed(b: Block, node: Transposed) -> None:
    """A convolution run backwards."""
    options = node.options
    window = Window(options["stride"], options["padding"], options["dilation"], forwards=False)
    weight = np.moveaxis(node.weight, 1, -1)
    _started(b, b.y, b.sent[0], node.bias, "bias")
    _scattered(b, b.x, b.y, b.arriving[0], b.sent[0], weight, "weight", window, node.groups)


@with_loops(ir.SepConv2d, channels_last=always)
def separable(b: Block, node: ir.SepConv2d) -> None:
    """Each channel by itself, then all channels of a place."""
    depth, point = node.depthwise_weight, node.pointwise_weight
    channels, out, size = len(depth), len(point), b.sent[0][1:]
    pads = [before for before, _ in pads_of(node.padding, depth.shape[2:], node.dilation)]
    window = Window(node.stride, pads, node.dilation, forwards=True)
    between = (channels, *size)
    part = b.scratch(math.prod(between))
    _started(b, part, between, node.depthwise_bias, "depthwise_bias")
    weight = np.moveaxis(depth, 1, -1)
    _scattered(b, b.x, part, b.arriving[0], between, weight, "depthwise_weight", window, channels)
    _started(b, b.y, b.sent[0], node.pointwise_bias, "pointwise_bias")
    w = b.parameter(point.reshape(out, channels).T, "pointwise_weight")
    called = b.dense(point, b.number, False)
    with b.loops(p=math.prod(size)):
        x, y = f"{part} + p * {channels}", f"{b.y} + p * {out}"
        b.line(f"{called}({w}, {x}, {y}, {channels}, {out});")


class Window:
    """How places of an input and of an output belong together along each axis.

    Args:
        stride: of each axis.
        pads: in front of each axis.
        dilation: of each axis.
        forwards: a convolution; else one run backwards.
    """

    def __init__(
        self, stride: Sequence[int], pads: Sequence[int], dilation: Sequence[int], forwards: bool
    ) -> None:
        self.stride, self.pads, self.dilation = stride, pads, dilation
        self.forwards = forwards

    def lines(self, axis: int, a: str, size: int) -> list[str]:
        """Lines that find the output ``o{a}`` which input ``i{a}`` adds to by weight ``k{a}``."""
        stride, pad, dilation = self.stride[axis], self.pads[axis], self.dilation[axis]
        reach = f"k{a}" if dilation == 1 else f"k{a} * {dilation}"
        moved = f"i{a}" if stride == 1 or self.forwards else f"i{a} * {stride}"
        if not self.forwards:
            lines = [f"const size_t t{a} = {moved} + {reach};"]
            if pad:
                lines.append(f"if (t{a} < {pad}) {{ continue; }}")
            from_pad = f"t{a} - {pad}" if pad else f"t{a}"
            return [*lines, f"const size_t o{a} = {from_pad};", f"if (o{a} >= {size}) {{ break; }}"]
        begun = f"{moved} + {pad}" if pad else moved
        lines = [f"if ({begun} < {reach}) {{ break; }}"]
        lines.append(f"const size_t t{a} = {begun} - {reach};")
        if stride > 1:
            lines.append(f"if (t{a} % {stride} != 0) {{ continue; }}")
        divided = f"t{a} / {stride}" if stride > 1 else f"t{a}"
        return [*lines, f"const size_t o{a} = {divided};", f"if (o{a} >= {size}) {{ continue; }}"]


def _started(b: Block, y: str, shape: Shape, bias: Array | None, name: str) -> None:
    """Every sum begins with its bias."""
    some = bias is not None and bias.any()
    first = b.parameter(bias, name) + "[o]" if bias is not None and some else b.literal(0)
    with b.loops(p=math.prod(shape[1:]), o=shape[0]):
        b.line(f"{y}[p * {shape[0]} + o] = {first};")


def _scattered(
    b: Block,
    x: str,
    y: str,
    arriving: Shape,
    sent: Shape,
    weight: Array,
    name: str,
    window: Window,
    groups: int,
) -> None:
    """Add the weights (in, *kernel, out / groups) of each input that is not zero.

    Args:
        b: where.
        x: the inputs, (in, *size).
        y: the sums, (*counts, out), which have begun.
        arriving: the shape (in, *size).
        sent: the shape (out, *counts).
        weight: the weights.
        name: of their array.
        window: how places belong together.
        groups: how many.
    """
    channels, *kernel = weight.shape[:-1]
    each, axes = weight.shape[-1], AXES[-len(kernel) :]
    w = b.parameter(weight, name)
    inputs = {f"i{a}": n for a, n in zip(axes, arriving[1:], strict=True)}
    with b.loops(c=channels, **inputs), contextlib.ExitStack() as stack:
        at = place(list(zip(("c", *inputs), steps(arriving), strict=True)))
        v = b.let("v", f"({b.real}){x}[{at}]" if b.stage.program.ranges else f"{x}[{at}]")
        stack.enter_context(b.braces(f"if ({v} != 0)"))
        for axis, (a, k) in enumerate(zip(axes, kernel, strict=True)):
            stack.enter_context(b.braces(f"for (size_t k{a} = 0; k{a} < {k}; k{a}++)"))
            for line in window.lines(axis, a, sent[1 + axis]):
                b.line(line)
        weights = place(
            list(zip(("c", *(f"k{a}" for a in axes)), steps(weight.shape)[:-1], strict=True))
        )
        sums = place(
            [(f"o{a}", step) for a, step in zip(axes, steps((*sent[1:], sent[0]))[:-1],
                                                strict=True)]
        )  # fmt: skip
        per_group = channels // groups
        if groups > 1:
            group = "c" if per_group == 1 else f"c / {per_group}"
            sums = f"{sums} + {group} * {each}"
        kind = TYPES[b.cast(weight).dtype.name]
        b.line(f"const {kind} *const row = {w} + {weights};")
        b.line(f"{b.real} *const sum = {y} + {sums};")
        term = "row[o]" if b.spikes[0] and x == b.x else f"row[o] * {v}"
        with b.loops(o=each):
            b.line(f"sum[o] += {term};")
