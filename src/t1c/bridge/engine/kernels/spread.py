"""Convolutions in which each input adds to the outputs that it reaches, in the order of inputs.

They serve any number of groups and axes, and transposed ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .threads import share

FEW = 8
"""Outputs of a group below which rows of them are too short for vectors."""
PART = 64
"""Output channels that are worked together."""


@dataclass(frozen=True)
class Spread:
    """Where inputs go, along one, two or three axes.

    Attributes:
        inputs: the size of the input.
        outputs: that of the output.
        kernel: of the kernel.
        stride: of its steps.
        padding: zeros before the input; of a transposed convolution, what is cut off the output.
        dilation: of its elements.
        groups: of channels.
        transposed: the stride is that of outputs.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    transposed: bool


def spread_out(x: Tensor, weight: Tensor, bias: Tensor | None, how: Spread) -> Tensor:
    """A convolution of ``x`` (B, C, *size); no gradient.

    The bias, then what reaches an output in ascending order of channel and place of the input; an
    input of zero adds nothing.

    Args:
        x: the input.
        weight: (out, C/groups, *kernel); (C, out/groups, *kernel) of a transposed one.
        bias: (out,).
        how: where inputs go.
    """
    from .numba_spread import planes, spread

    groups, axes = how.groups, len(how.kernel)
    outs = weight.shape[1] if how.transposed else len(weight) // groups
    # (C, kernel, outs of a group): what one input weighs is one run of memory.
    if how.transposed:
        laid = weight.flatten(2).movedim(1, -1)
    else:
        laid = weight.reshape(groups, outs, weight.shape[1], -1).permute(0, 2, 3, 1)
    options = (how.inputs, how.outputs, how.kernel, how.stride, how.padding, how.dilation)
    # Two axes are three of which the first has one place.
    fill = ((1,), (1,), (1,), (1,), (0,), (1,))
    geometry = [n for own, one in zip(options, fill, strict=True) for n in one * (3 - axes) + own]
    count, places = len(x) * groups, math.prod(how.outputs)
    work = 4 * count * outs * places * math.prod(how.kernel)
    given = (
        how.transposed,
        groups,
        outs,
        x.detach().contiguous().flatten(1).numpy(),
        laid.contiguous().view(-1).numpy(),
        (x.new_zeros(groups * outs) if bias is None else bias.contiguous()).numpy(),
        np.array(geometry, np.int64),
    )
    if outs < FEW:
        y = x.new_empty(len(x), groups * outs, *how.outputs)
        share(planes, count * outs, work, *given, y.view(-1).numpy())
        return y
    y = x.new_empty(len(x), *how.outputs, groups * outs)
    parts = -(-outs // PART)
    share(spread, count * parts, work, parts, PART, *given, y.view(-1).numpy())
    return y.movedim(-1, 1)


def matrix_product(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b`` for (..., n, k) and (..., k, m), added up in ascending order of k; no gradient."""
    from .numba_spread import matrices

    lead = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    n, k, m = a.shape[-2], a.shape[-1], b.shape[-1]
    left = a.expand(*lead, n, k).reshape(-1, n, k).contiguous()
    right = b.expand(*lead, k, m).reshape(-1, k, m).contiguous()
    y = a.new_empty(*lead, n, m)
    work = y.numel() * k
    of = y.view(-1, n, m)
    share(matrices, len(left) * n, work, *(t.detach().numpy() for t in (left, right, of)))
    return y
