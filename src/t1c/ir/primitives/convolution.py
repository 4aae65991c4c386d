"""Convolutions over (C, L), (C, H, W) and (C, D, H, W), as torch computes them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import Problem, ShapeError
from ..fields import Array, Pair, Triple, array, integer, integers
from ..interval import Interval, weighted_sums
from ..node import Bounds, Node, State
from ..registry import register_node
from ..shapes import Shape
from .sums import weighted_sum
from .window import LARGEST, pads_of, window_counts, windows

Padding = Pair | str


def convolve(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: tuple[int, ...],
    padding: tuple[int, ...] | str,
    dilation: tuple[int, ...],
    groups: int,
) -> Array:
    """Cross-correlation of ``x`` (B, C, *size) with ``weight`` (out, C/groups, *kernel).

    The bias, then what lies in a window channel by channel, each row by row.
    """
    kernel, out = weight.shape[2:], weight.shape[0]
    pads = pads_of(padding, kernel, dilation)
    counts = window_counts(x.shape[2:], kernel, stride, pads, dilation)
    view = windows(x, counts, kernel, stride, pads, dilation)
    batch, channels, dims = x.shape[0], x.shape[1] // groups, len(kernel)
    # One group, one channel and one place of the kernel at a time, for all outputs.
    view = view.reshape(batch, groups, 1, channels, *counts, math.prod(kernel))
    w = weight.astype(x.dtype).reshape(groups, out // groups, channels, -1)
    first = np.zeros(out, x.dtype) if bias is None else bias.astype(x.dtype)
    begun = first.reshape(1, groups, out // groups, *[1] * dims)
    total = np.broadcast_to(begun, (batch, groups, out // groups, *counts))
    terms = (
        (view[:, :, :, c, ..., k], w[:, :, c, k].reshape(groups, -1, *[1] * dims))
        for c, k in itertools.product(range(channels), range(math.prod(kernel)))
    )
    total = weighted_sum(total, terms, bool(np.isfinite(w).all()))
    return total.reshape(batch, out, *counts)


def convolved_shape(
    shape: Shape,
    weight: Shape,
    stride: tuple[int, ...],
    padding: tuple[int, ...] | str,
    dilation: tuple[int, ...],
    groups: int,
) -> Shape:
    """The shape that a convolution makes of ``shape`` (C, *size)."""
    kernel = weight[2:]
    if len(shape) != 1 + len(kernel) or shape[0] != weight[1] * groups:
        sizes = ", ".join("DHW"[-len(kernel) :])
        raise ShapeError(
            Problem(
                f"input shape {shape}",
                f"({weight[1] * groups}, {sizes}), for a weight of shape {weight} and "
                f"groups={groups}",
            )
        )
    pads = pads_of(padding, kernel, dilation)
    return (weight[0], *window_counts(shape[1:], kernel, stride, pads, dilation))


class _Convolution(Node):
    """Checks that all convolutions share."""

    stride: Any
    padding: Any

    def check_groups(self, groups: int, channels: int) -> None:
        """Every group makes as many output channels."""
        if channels % groups:
            raise self._error("groups", groups, f"a divisor of the {channels} output channels")

    def check_padding(self) -> None:
        """Torch knows padding='same' for stride 1 only."""
        if self.padding == "same" and set(each_axis(self.stride)) != {1}:
            raise self._error(
                "padding",
                f"'same' with stride {self.stride}",
                "stride 1 where padding is 'same'",
                "Give the padding as numbers.",
            )

    def check_bias(self, name: str, bias: Array | None, channels: int) -> None:
        """One bias for each output channel."""
        if bias is not None and bias.shape != (channels,):
            raise self._error(
                name, f"shape {bias.shape}", f"shape ({channels},): one for each output channel"
            )


class _Plain(_Convolution):
    """One weight (out, in/groups, *kernel) and one bias (out,)."""

    weight: Array
    bias: Array
    dilation: Any
    groups: int

    def check(self) -> None:
        """Bias, groups and padding go with the weight."""
        self.check_bias("bias", self.bias, self.weight.shape[0])
        self.check_groups(self.groups, self.weight.shape[0])
        self.check_padding()

    @property
    def options(self) -> tuple[tuple[int, ...], tuple[int, ...] | str, tuple[int, ...], int]:
        """stride, padding, dilation and groups, as the arithmetic of windows takes them."""
        padding = self.padding if isinstance(self.padding, str) else each_axis(self.padding)
        return each_axis(self.stride), padding, each_axis(self.dilation), self.groups

    def output_shape(self, shape: Shape) -> Shape:
        """(in, *size) becomes (out, *counts)."""
        return convolved_shape(shape, self.weight.shape, *self.options)

    def macs(self, arriving: Sequence[Shape] = ()) -> int:
        """Each value of the output takes one window of weights."""
        outputs = self.output_shape(self.reached_by(arriving))
        return math.prod(outputs) * math.prod(self.weight.shape[1:])

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Convolve, in the dtype of ``x``."""
        return convolve(x, self.weight, self.bias, *self.options), state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """Every window of weights against its worst inputs; some hang over the border."""
        rows = self.weight.reshape(len(self.weight), -1)
        return weighted_sums(x, rows, self.bias, partly=True), state


def each_axis(value: int | tuple[int, ...]) -> tuple[int, ...]:
    """An option of one axis, or of several, as a tuple."""
    return (value,) if isinstance(value, int) else value


@register_node
class Conv2d(_Plain):
    """2-D convolution, as ``torch.nn.Conv2d``.

    weight (out, in/groups, kH, kW), bias (out,); padding is two numbers, 'same' or 'valid'.
    Input (in, H, W), output (out, H', W').
    """

    weight: Array = array(ndim=4)
    bias: Array = array(ndim=1)
    stride: Pair = integers(length=2, low=1, high=LARGEST, default=(1, 1))
    padding: Padding = integers(length=2, high=LARGEST, words=("same", "valid"), default=(0, 0))
    dilation: Pair = integers(length=2, low=1, high=LARGEST, default=(1, 1))
    groups: int = integer(low=1, default=1)


@register_node
class SepConv2d(_Convolution):
    """Depthwise separable convolution: each channel by itself, then a 1x1 convolution.

    depthwise_weight (in, 1, kH, kW), pointwise_weight (out, in, 1, 1), and a bias for either.
    stride, padding and dilation act on the depthwise part.
    Input (in, H, W), output (out, H', W').
    """

    depthwise_weight: Array = array(ndim=4)
    pointwise_weight: Array = array(ndim=4)
    depthwise_bias: Array | None = array(ndim=1, default=None)
    pointwise_bias: Array | None = array(ndim=1, default=None)
    stride: Pair = integers(length=2, low=1, high=LARGEST, default=(1, 1))
    padding: Padding = integers(length=2, high=LARGEST, words=("same", "valid"), default=(0, 0))
    dilation: Pair = integers(length=2, low=1, high=LARGEST, default=(1, 1))

    def check(self) -> None:
        """The two weights follow each other, and each bias its weight."""
        depth, point = self.depthwise_weight.shape, self.pointwise_weight.shape
        if depth[1] != 1:
            raise self._error("depthwise_weight", f"shape {depth}", "shape (in, 1, kH, kW)")
        if point[1:] != (depth[0], 1, 1):
            raise self._error(
                "pointwise_weight", f"shape {point}", f"shape (out, {depth[0]}, 1, 1)"
            )
        self.check_bias("depthwise_bias", self.depthwise_bias, depth[0])
        self.check_bias("pointwise_bias", self.pointwise_bias, point[0])
        self.check_padding()

    def output_shape(self, shape: Shape) -> Shape:
        """(in, H, W) becomes (out, H', W')."""
        weight = self.depthwise_weight.shape
        options = (self.stride, self.padding, self.dilation, weight[0])
        _, *size = convolved_shape(shape, weight, *options)
        return (self.pointwise_weight.shape[0], *size)

    def macs(self, arriving: Sequence[Shape] = ()) -> int:
        """One window for each channel of each place, then one of channels for each output."""
        outputs, *places = self.output_shape(self.reached_by(arriving))
        each = self.depthwise_weight.size + len(self.depthwise_weight) * outputs
        return math.prod(places) * each

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Convolve twice, in the dtype of ``x``."""
        options = (self.stride, self.padding, self.dilation, self.depthwise_weight.shape[0])
        y = convolve(x, self.depthwise_weight, self.depthwise_bias, *options)
        return convolve(
            y, self.pointwise_weight, self.pointwise_bias, (1, 1), (0, 0), (1, 1), 1
        ), state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """Of the one convolution, and then of the other."""
        deep, point = self.depthwise_weight, self.pointwise_weight
        y = weighted_sums(x, deep.reshape(len(deep), -1), self.depthwise_bias, partly=True)
        return weighted_sums(y, point.reshape(len(point), -1), self.pointwise_bias), state


@register_node
class Conv1d(_Plain):
    """1-D convolution, as ``torch.nn.Conv1d``.

    weight (out, in/groups, k), bias (out,); padding is a number, 'same' or 'valid'.
    Input (in, L), output (out, L').
    """

    since = "0.1.0"
    weight: Array = array(ndim=3)
    bias: Array = array(ndim=1)
    stride: int = integer(low=1, high=LARGEST, default=1)
    padding: int | str = integer(low=0, high=LARGEST, words=("same", "valid"), default=0)
    dilation: int = integer(low=1, high=LARGEST, default=1)
    groups: int = integer(low=1, default=1)


@register_node
class Conv3d(_Plain):
    """3-D convolution, as ``torch.nn.Conv3d``.

    weight (out, in/groups, kD, kH, kW), bias (out,); padding is three numbers, 'same' or 'valid'.
    Input (in, D, H, W), output (out, D', H', W').
    """

    since = "0.2.0"
    weight: Array = array(ndim=5)
    bias: Array = array(ndim=1)
    stride: Triple = integers(length=3, low=1, high=LARGEST, default=(1, 1, 1))
    padding: Triple | str = integers(
        length=3, high=LARGEST, words=("same", "valid"), default=(0, 0, 0)
    )
    dilation: Triple = integers(length=3, low=1, high=LARGEST, default=(1, 1, 1))
    groups: int = integer(low=1, default=1)


class _Transposed(_Convolution):
    """A convolution run backwards: every input adds its own window of weights to the output.

    weight (in, out/groups, *kernel), bias (out,).
    """

    weight: Array
    bias: Array
    output_padding: Any
    dilation: Any
    groups: int

    @property
    def options(self) -> dict[str, tuple[int, ...]]:
        """The options of each spatial axis, by name."""
        names = ("stride", "padding", "output_padding", "dilation")
        return {name: each_axis(getattr(self, name)) for name in names}

    def check(self) -> None:
        """Bias and groups go with the weight; torch pads the output by less than a step."""
        channels, outputs = self.weight.shape[:2]
        if channels % self.groups:
            divisor = f"a divisor of the {channels} input channels"
            raise self._error("groups", self.groups, divisor)
        self.check_bias("bias", self.bias, outputs * self.groups)
        o = self.options
        for extra, stride, dilation in zip(
            o["output_padding"], o["stride"], o["dilation"], strict=True
        ):
            if extra >= max(stride, dilation):
                raise self._error(
                    "output_padding", self.output_padding, "less than the stride or the dilation"
                )

    def margins(self) -> list[tuple[int, int]]:
        """What lies before the first input and after the last, along each spatial axis."""
        o = self.options
        reach = [
            d * (k - 1) - p
            for d, k, p in zip(o["dilation"], self.weight.shape[2:], o["padding"], strict=True)
        ]
        return [(r, r + extra) for r, extra in zip(reach, o["output_padding"], strict=True)]

    def output_shape(self, shape: Shape) -> Shape:
        """(in, *size) becomes (out, *size'): the input size of the convolution run forwards."""
        kernel, channels = self.weight.shape[2:], self.weight.shape[0]
        if len(shape) != 1 + len(kernel) or shape[0] != channels:
            sizes = ", ".join("DHW"[-len(kernel) :])
            raise ShapeError(
                Problem(
                    f"input shape {shape}",
                    f"({channels}, {sizes}), for a weight of shape {self.weight.shape}",
                )
            )
        o, size = self.options, []
        for n, s, d, k, (before, after) in zip(
            shape[1:], o["stride"], o["dilation"], kernel, self.margins(), strict=True
        ):
            size.append((n - 1) * s + 1 + before + after - d * (k - 1))
        if min(size) < 1:
            raise ShapeError(
                Problem(
                    f"padding={self.padding} leaves nothing of the output",
                    "less padding, or a larger input",
                    field="padding",
                )
            )
        return (self.weight.shape[1] * self.groups, *size)

    def macs(self, arriving: Sequence[Shape] = ()) -> int:
        """Each value of the input takes one window of weights, what is cut off of it included."""
        shape = self.reached_by(arriving)
        self.output_shape(shape)
        return math.prod(shape) * math.prod(self.weight.shape[1:])

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Convolve what is spread out by the stride with the weight turned around."""
        channels, outputs, *kernel = self.weight.shape
        stride, dilation, margins = self.options["stride"], self.options["dilation"], self.margins()
        size = [(n - 1) * s + 1 for n, s in zip(x.shape[2:], stride, strict=True)]
        spread = np.zeros((*x.shape[:2], *size), x.dtype)
        whole = slice(None)
        spread[whole, whole, *(slice(None, None, s) for s in stride)] = x
        # A margin below zero is cut off.
        added = [(max(before, 0), max(after, 0)) for before, after in margins]
        kept = [slice(max(-before, 0), -max(-after, 0) or None) for before, after in margins]
        framed = np.pad(spread, [(0, 0), (0, 0), *added])[whole, whole, *kept]
        grouped = self.weight.reshape(self.groups, channels // self.groups, outputs, *kernel)
        forwards = grouped.swapaxes(1, 2).reshape(-1, channels // self.groups, *kernel)
        turned = np.flip(forwards, tuple(range(2, forwards.ndim)))
        once, nothing = (1,) * len(kernel), (0,) * len(kernel)
        return convolve(framed, turned, self.bias, once, nothing, dilation, self.groups), state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """Of the most weights that can meet in one value of the output."""
        channels, outputs, *kernel = self.weight.shape
        grouped = self.weight.reshape(self.groups, channels // self.groups, outputs, *kernel)
        rows = grouped.swapaxes(1, 2).reshape(self.groups * outputs, -1)
        return weighted_sums(x, rows, self.bias, partly=True), state


@register_node
class ConvTranspose1d(_Transposed):
    """1-D transposed convolution, as ``torch.nn.ConvTranspose1d``.

    weight (in, out/groups, k), bias (out,); output_padding adds to one side of the output.
    Input (in, L), output (out, L').
    """

    since = "0.2.0"
    weight: Array = array(ndim=3)
    bias: Array = array(ndim=1)
    stride: int = integer(low=1, high=LARGEST, default=1)
    padding: int = integer(low=0, high=LARGEST, default=0)
    output_padding: int = integer(low=0, high=LARGEST, default=0)
    dilation: int = integer(low=1, high=LARGEST, default=1)
    groups: int = integer(low=1, default=1)


@register_node
class ConvTranspose2d(_Transposed):
    """2-D transposed convolution, as ``torch.nn.ConvTranspose2d``.

    weight (in, out/groups, kH, kW), bias (out,); output_padding adds to one side of the output.
    Input (in, H, W), output (out, H', W').
    """

    since = "0.2.0"
    weight: Array = array(ndim=4)
    bias: Array = array(ndim=1)
    stride: Pair = integers(length=2, low=1, high=LARGEST, default=(1, 1))
    padding: Pair = integers(length=2, high=LARGEST, default=(0, 0))
    output_padding: Pair = integers(length=2, high=LARGEST, default=(0, 0))
    dilation: Pair = integers(length=2, low=1, high=LARGEST, default=(1, 1))
    groups: int = integer(low=1, default=1)
