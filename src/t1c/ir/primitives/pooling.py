"""Pooling over feature maps (C, H, W), as torch computes it."""

from __future__ import annotations

import numpy as np

from ..errors import Problem, ShapeError
from ..fields import Array, Pair, boolean, integers
from ..node import Node, Shape, State, register_node
from .window import pads_of, window_counts, windows


class _Pool(Node):
    """What all pools share: windows, their checks and their shapes."""

    kernel_size: Pair
    stride: Pair | None
    padding: Pair
    ceil_mode: bool = False
    dilation: Pair = (1, 1)

    def check(self) -> None:
        """Torch allows padding up to half the kernel."""
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise self._error(
                "padding", self.padding, f"at most half of kernel_size {self.kernel_size}"
            )

    @property
    def steps(self) -> Pair:
        """The stride in force: kernel_size where none is given."""
        return self.kernel_size if self.stride is None else self.stride

    def counts(self, size: Shape) -> Shape:
        """How many windows fit along H and W."""
        pads = pads_of(self.padding, self.kernel_size, self.dilation)
        return window_counts(
            size, self.kernel_size, self.steps, pads, self.dilation, self.ceil_mode
        )

    def patches(self, x: Array, fill: float) -> Array:
        """All windows of ``x`` (B, C, H, W), as (B, C, H', W', kH, kW)."""
        pads = pads_of(self.padding, self.kernel_size, self.dilation)
        counts = self.counts(x.shape[2:])
        return windows(x, counts, self.kernel_size, self.steps, pads, self.dilation, fill)

    def output_shape(self, shape: Shape) -> Shape:
        """(C, H, W) becomes (C, H', W')."""
        if len(shape) != 3:
            raise ShapeError(Problem(f"input shape {shape}", "a feature map (C, H, W)"))
        return (shape[0], *self.counts(shape[1:]))


@register_node
class MaxPool2d(_Pool):
    """The largest value in each window, as ``torch.nn.MaxPool2d``; padding never wins.

    stride defaults to kernel_size. Input (C, H, W), output (C, H', W').
    """

    kernel_size: Pair = integers(length=2, low=1, default=(2, 2))
    stride: Pair | None = integers(length=2, low=1, default=None)
    padding: Pair = integers(length=2, default=(0, 0))
    dilation: Pair = integers(length=2, low=1, default=(1, 1))
    ceil_mode: bool = boolean(default=False)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Take the maximum of every window."""
        return self.patches(x, -np.inf).max(axis=(-2, -1)), state


@register_node
class AvgPool2d(_Pool):
    """The mean of each window, as ``torch.nn.AvgPool2d``.

    Padding counts as zeros in the mean if count_include_pad, else not at all; what ceil_mode adds
    beyond the padding never counts. stride defaults to kernel_size.
    Input (C, H, W), output (C, H', W').
    """

    kernel_size: Pair = integers(length=2, low=1, default=(2, 2))
    stride: Pair | None = integers(length=2, low=1, default=None)
    padding: Pair = integers(length=2, default=(0, 0))
    ceil_mode: bool = boolean(default=False)
    count_include_pad: bool = boolean(default=True)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Sum every window and divide by how many elements it holds."""
        total = self.patches(x, 0.0).sum(axis=(-2, -1))
        rows, columns = (self._elements(axis, x.shape[2 + axis]) for axis in (0, 1))
        return total / np.outer(rows, columns).astype(x.dtype), state

    def _elements(self, axis: int, size: int) -> Array:
        pad, kernel = self.padding[axis], self.kernel_size[axis]
        # counts() needs both sizes; the other axis does not matter to this one's windows.
        count = window_counts(
            (size,), (kernel,), (self.steps[axis],), [(pad, pad)], (1,), self.ceil_mode
        )[0]
        start = np.arange(count) * self.steps[axis] - pad
        end = np.minimum(start + kernel, size + pad)
        if not self.count_include_pad:
            start, end = np.maximum(start, 0), np.minimum(end, size)
        return end - start


@register_node
class SumPool2d(_Pool):
    """The sum of each window, padding included as zeros. NIR's SumPool2d.

    stride defaults to kernel_size. Input (C, H, W), output (C, H', W').
    """

    since = "0.1.0"
    kernel_size: Pair = integers(length=2, low=1, default=(2, 2))
    stride: Pair | None = integers(length=2, low=1, default=None)
    padding: Pair = integers(length=2, default=(0, 0))

    def check(self) -> None:
        """Any padding has a sum."""

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Sum every window."""
        return self.patches(x, 0.0).sum(axis=(-2, -1)), state
