"""Pooling over sequences (C, L), feature maps (C, H, W) and volumes (C, D, H, W), as in torch."""

from __future__ import annotations

import functools
import math
from typing import Any, ClassVar

import numpy as np

from ..errors import Problem, ShapeError
from ..fields import Array, Pair, Triple, boolean, integer, integers
from ..interval import ZERO, Interval
from ..node import Bounds, Node, State
from ..registry import register_node
from ..shapes import Shape
from .window import LARGEST, pads_of, window_counts, windows


class _Pool(Node):
    """What all pools share: windows, their checks and their shapes."""

    kernel_size: Any
    stride: Any
    padding: Any
    ceil_mode: bool = False
    dilation: Any = 1
    spatial: ClassVar[str] = "a feature map (C, H, W)"

    def check(self) -> None:
        """Torch allows padding up to half the kernel."""
        kernel, _, padding, _ = self.window
        if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
            raise self._error(
                "padding", self.padding, f"at most half of kernel_size {self.kernel_size}"
            )

    @property
    def steps(self) -> Any:
        """The stride in force: kernel_size where none is given."""
        return self.kernel_size if self.stride is None else self.stride

    @property
    def window(self) -> tuple[Shape, Shape, Shape, Shape]:
        """Kernel, stride, padding and dilation along each spatial axis."""
        dims = self.spatial.count(",")
        kernel, stride, padding, dilation = (
            (v,) * dims if isinstance(v, int) else tuple(v)
            for v in (self.kernel_size, self.steps, self.padding, self.dilation)
        )
        return kernel, stride, padding, dilation

    def counts(self, size: Shape) -> Shape:
        """How many windows fit along each spatial axis."""
        kernel, stride, padding, dilation = self.window
        pads = pads_of(padding, kernel, dilation)
        return window_counts(size, kernel, stride, pads, dilation, self.ceil_mode)

    def patches(self, x: Array, fill: float) -> Array:
        """All windows of ``x`` (B, C, *size), as (B, C, *counts, all of a window)."""
        kernel, stride, padding, dilation = self.window
        pads = pads_of(padding, kernel, dilation)
        counts = self.counts(x.shape[2:])
        view = windows(x, counts, kernel, stride, pads, dilation, fill)
        return view.reshape(*view.shape[: 2 + len(kernel)], math.prod(kernel))

    def sums(self, x: Array) -> Array:
        """The sum of every window of ``x`` (B, C, *size), row by row, beginning with zero."""
        patches = self.patches(x, 0.0)
        total = np.zeros(patches.shape[:-1], x.dtype)
        for k in range(patches.shape[-1]):
            total += patches[..., k]
        return total

    def output_shape(self, shape: Shape) -> Shape:
        """(C, *size) becomes (C, *counts)."""
        if len(shape) != 1 + self.spatial.count(","):
            raise ShapeError(Problem(f"input shape {shape}", self.spatial))
        return (shape[0], *self.counts(shape[1:]))


class _MaxPool(_Pool):
    """The largest value in each window; padding never wins."""

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Take the maximum of every window."""
        return self.patches(x, -np.inf).max(axis=-1), state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """One of what arrives."""
        return x, state


class _AvgPool(_Pool):
    """The mean of each window."""

    count_include_pad: bool

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Sum every window and divide by how many elements it holds."""
        return self.sums(x) / self.elements(x.shape[2:]).astype(x.dtype), state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """Between what arrives and the padding; on a grid where all windows hold as many."""
        size = math.prod(self.window[0])
        if self.holds_alike:
            mean = x.summed(size) * Interval.of(1 / size)
            some = x.union(ZERO)
            return Interval(some.low, some.high, mean.unit, mean.span), state
        return x.union(ZERO).real(), state

    @property
    def holds_alike(self) -> bool:
        """Every window holds as many elements."""
        padded = any(self.window[2])
        return not self.ceil_mode and (self.count_include_pad or not padded)

    def elements(self, size: Shape) -> Array:
        """How many elements each window on a map of this size holds."""
        along = [self._elements(axis, n) for axis, n in enumerate(size)]
        counts: Array = functools.reduce(np.multiply.outer, along)
        return counts

    def _elements(self, axis: int, size: int) -> Array:
        kernel, stride, pad, _ = (values[axis] for values in self.window)
        # counts() needs all sizes; the other axes do not matter to this one's windows.
        count = window_counts((size,), (kernel,), (stride,), [(pad, pad)], (1,), self.ceil_mode)[0]
        start = np.arange(count) * stride - pad
        end = np.minimum(start + kernel, size + pad)
        if not self.count_include_pad:
            start, end = np.maximum(start, 0), np.minimum(end, size)
        return end - start


@register_node
class MaxPool2d(_MaxPool):
    """The largest value in each window, as ``torch.nn.MaxPool2d``; padding never wins.

    stride defaults to kernel_size. Input (C, H, W), output (C, H', W').
    """

    kernel_size: Pair = integers(length=2, low=1, high=LARGEST, default=(2, 2))
    stride: Pair | None = integers(length=2, low=1, high=LARGEST, default=None)
    padding: Pair = integers(length=2, high=LARGEST, default=(0, 0))
    dilation: Pair = integers(length=2, low=1, high=LARGEST, default=(1, 1))
    ceil_mode: bool = boolean(default=False)


@register_node
class AvgPool2d(_AvgPool):
    """The mean of each window, as ``torch.nn.AvgPool2d``.

    Padding counts as zeros in the mean if count_include_pad, else not at all; what ceil_mode adds
    beyond the padding never counts. stride defaults to kernel_size.
    Input (C, H, W), output (C, H', W').
    """

    kernel_size: Pair = integers(length=2, low=1, high=LARGEST, default=(2, 2))
    stride: Pair | None = integers(length=2, low=1, high=LARGEST, default=None)
    padding: Pair = integers(length=2, high=LARGEST, default=(0, 0))
    ceil_mode: bool = boolean(default=False)
    count_include_pad: bool = boolean(default=True)


@register_node
class SumPool2d(_Pool):
    """The sum of each window, padding included as zeros. NIR's SumPool2d.

    stride defaults to kernel_size. Input (C, H, W), output (C, H', W').
    """

    since = "0.1.0"
    kernel_size: Pair = integers(length=2, low=1, high=LARGEST, default=(2, 2))
    stride: Pair | None = integers(length=2, low=1, high=LARGEST, default=None)
    padding: Pair = integers(length=2, high=LARGEST, default=(0, 0))

    def check(self) -> None:
        """Any padding has a sum."""

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Sum every window."""
        return self.sums(x), state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """The sum of a whole window, or of a part of one."""
        return x.summed(math.prod(self.window[0])), state


@register_node
class MaxPool1d(_MaxPool):
    """The largest value in each window, as ``torch.nn.MaxPool1d``; padding never wins.

    stride defaults to kernel_size. Input (C, L), output (C, L').
    """

    since = "0.2.0"
    spatial = "a sequence (C, L)"
    kernel_size: int = integer(low=1, high=LARGEST, default=2)
    stride: int | None = integer(low=1, high=LARGEST, default=None)
    padding: int = integer(low=0, high=LARGEST, default=0)
    dilation: int = integer(low=1, high=LARGEST, default=1)
    ceil_mode: bool = boolean(default=False)


@register_node
class AvgPool1d(_AvgPool):
    """The mean of each window, as ``torch.nn.AvgPool1d``; otherwise as AvgPool2d.

    Input (C, L), output (C, L').
    """

    since = "0.2.0"
    spatial = "a sequence (C, L)"
    kernel_size: int = integer(low=1, high=LARGEST, default=2)
    stride: int | None = integer(low=1, high=LARGEST, default=None)
    padding: int = integer(low=0, high=LARGEST, default=0)
    ceil_mode: bool = boolean(default=False)
    count_include_pad: bool = boolean(default=True)


@register_node
class MaxPool3d(_MaxPool):
    """The largest value in each window, as ``torch.nn.MaxPool3d``; padding never wins.

    stride defaults to kernel_size. Input (C, D, H, W), output (C, D', H', W').
    """

    since = "0.2.0"
    spatial = "a volume (C, D, H, W)"
    kernel_size: Triple = integers(length=3, low=1, high=LARGEST, default=(2, 2, 2))
    stride: Triple | None = integers(length=3, low=1, high=LARGEST, default=None)
    padding: Triple = integers(length=3, high=LARGEST, default=(0, 0, 0))
    dilation: Triple = integers(length=3, low=1, high=LARGEST, default=(1, 1, 1))
    ceil_mode: bool = boolean(default=False)


@register_node
class AvgPool3d(_AvgPool):
    """The mean of each window, as ``torch.nn.AvgPool3d``; otherwise as AvgPool2d.

    Input (C, D, H, W), output (C, D', H', W').
    """

    since = "0.2.0"
    spatial = "a volume (C, D, H, W)"
    kernel_size: Triple = integers(length=3, low=1, high=LARGEST, default=(2, 2, 2))
    stride: Triple | None = integers(length=3, low=1, high=LARGEST, default=None)
    padding: Triple = integers(length=3, high=LARGEST, default=(0, 0, 0))
    ceil_mode: bool = boolean(default=False)
    count_include_pad: bool = boolean(default=True)

    def output_shape(self, shape: Shape) -> Shape:
        """(C, D, H, W) becomes (C, D', H', W'); torch wants no window larger than the volume."""
        if any(k > n for k, n in zip(self.kernel_size, shape[1:], strict=False)):
            raise ShapeError(
                Problem(f"input shape {shape}", f"at least the window {self.kernel_size}")
            )
        return super().output_shape(shape)
