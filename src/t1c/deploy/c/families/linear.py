"""Weighted sums of features: the bias first, then what is not zero in ascending order."""

from __future__ import annotations

import math

import numpy as np

from t1c import ir
from t1c.ir.fields import Array

from ..registry import with_loops
from ..stage import Block


@with_loops(ir.Affine, ir.SpikingAffine)
def affine(b: Block, node: ir.Affine | ir.SpikingAffine) -> None:
    """Y = W x + b."""
    _dense(b, node.weight, node.bias)


@with_loops(ir.Linear)
def linear(b: Block, node: ir.Linear) -> None:
    """Y = W x."""
    _dense(b, node.weight, np.zeros(len(node.weight)))


def _dense(b: Block, weight: Array, bias: Array) -> None:
    outputs, inputs = weight.shape
    rows = math.prod(b.arriving[0]) // inputs
    first = b.parameter(bias, "bias") + "[o]" if bias.any() else b.literal(0)
    if b.stage.program.layout == "output":
        w = b.parameter(weight, "weight")
        with b.loops(r=rows, o=outputs):
            b.line(f"{b.real} total = {first};")
            with b.loops(j=inputs):
                x = b.let("x", f"({b.real}){b.x}[r * {inputs} + j]")
                with b.braces(f"if ({x} != 0)"):
                    b.line(f"total += {w}[o * {inputs} + j] * {x};")
            b.line(f"{b.y}[r * {outputs} + o] = total;")
        return
    w = b.parameter(weight.T, "weight")
    with b.loops(r=rows, o=outputs):
        b.line(f"{b.y}[r * {outputs} + o] = {first};")
    called = b.dense(weight, b.dtypes[0], b.spikes[0])
    if rows == 1:
        b.line(f"{called}({w}, {b.x}, {b.y}, {inputs}, {outputs});")
        return
    with b.loops(r=rows):
        x, y = f"{b.x} + r * {inputs}", f"{b.y} + r * {outputs}"
        b.line(f"{called}({w}, {x}, {y}, {inputs}, {outputs});")
