"""Arithmetic of sliding windows, shared by convolution and pooling.

All of it follows the definitions of ``torch.nn.Conv2d``, ``MaxPool2d`` and ``AvgPool2d`` and works
for any number of spatial dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import Problem, ShapeError
from ..fields import Array
from ..shapes import Shape

Pads = list[tuple[int, int]]

LARGEST = 2**31 - 1
"""The largest kernel, stride, padding or dilation: 32 bits hold it on every target, and whatever is
computed with it stays within 64."""


def pads_of(padding: tuple[int, ...] | str, kernel: Sequence[int], dilation: Sequence[int]) -> Pads:
    """Padding before and after, for each spatial dimension; 'same' may be uneven."""
    if padding == "valid":
        return [(0, 0)] * len(kernel)
    if isinstance(padding, str):
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return [(t // 2, t - t // 2) for t in totals]
    return [(p, p) for p in padding]


def window_counts(
    size: Shape,
    kernel: Sequence[int],
    stride: Sequence[int],
    pads: Pads,
    dilation: Sequence[int],
    ceil_mode: bool = False,
) -> Shape:
    """How many windows fit along each spatial dimension.

    Raises:
        ShapeError: not even one fits.
    """
    counts = []
    for n, k, s, (before, after), d in zip(size, kernel, stride, pads, dilation, strict=True):
        span = n + before + after - (d * (k - 1) + 1)
        count = (span + (s - 1 if ceil_mode else 0)) // s + 1
        # A last window that would begin in the right padding is dropped.
        if ceil_mode and (count - 1) * s >= n + before:
            count -= 1
        if count < 1:
            raise ShapeError(
                Problem(
                    f"a window of {d * (k - 1) + 1} does not fit into {n} + {before + after} "
                    "(size and padding)",
                    "a kernel no larger than the padded input",
                )
            )
        counts.append(count)
    return tuple(counts)


def windows(
    x: Array,
    counts: Shape,
    kernel: Sequence[int],
    stride: Sequence[int],
    pads: Pads,
    dilation: Sequence[int],
    fill: float = 0.0,
) -> Array:
    """All windows of ``x`` (B, C, *size) as (B, C, *counts, *kernel); padding holds ``fill``."""
    dims = len(kernel)
    after = []
    for i in range(dims):
        needed = (counts[i] - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1
        after.append(max(needed - x.shape[2 + i] - pads[i][0], 0))
    widths = [(0, 0), (0, 0), *((pads[i][0], after[i]) for i in range(dims))]
    padded = np.ascontiguousarray(np.pad(x, widths, constant_values=fill))
    steps = padded.strides
    # Where there is one only, there is no step: its length may be more than an address holds.
    strides = [s if n > 1 else 0 for s, n in zip(stride, counts, strict=True)]
    dilations = [d if k > 1 else 0 for d, k in zip(dilation, kernel, strict=True)]
    return np.lib.stride_tricks.as_strided(
        padded,
        shape=(*x.shape[:2], *counts, *kernel),
        strides=(
            *steps[:2],
            *(steps[2 + i] * strides[i] for i in range(dims)),
            *(steps[2 + i] * dilations[i] for i in range(dims)),
        ),
        writeable=False,
    )
