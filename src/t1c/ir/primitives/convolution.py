"""Convolutions over feature maps (C, H, W), as ``torch.nn.Conv2d`` computes them."""

from __future__ import annotations

import math
from typing import Any

from ..errors import Problem, ShapeError
from ..fields import Array, Pair, array, integer, integers
from ..node import Node, Shape, State, register_node
from .window import pads_of, window_counts, windows

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
    """Cross-correlation of ``x`` (B, C, *size) with ``weight`` (out, C/groups, *kernel)."""
    kernel, out = weight.shape[2:], weight.shape[0]
    pads = pads_of(padding, kernel, dilation)
    counts = window_counts(x.shape[2:], kernel, stride, pads, dilation)
    view = windows(x, counts, kernel, stride, pads, dilation)
    batch, channels, dims = x.shape[0], x.shape[1] // groups, len(kernel)
    view = view.reshape(batch, groups, channels, *counts, *kernel)
    # (B, G, C/G, *counts, *kernel) -> (B, G, *counts, C/G, *kernel): one matrix product per group.
    order = [0, 1, *range(3, 3 + dims), 2, *range(3 + dims, 3 + 2 * dims)]
    columns = view.transpose(order).reshape(batch, groups, math.prod(counts), -1)
    matrix = weight.astype(x.dtype).reshape(groups, out // groups, -1).transpose(0, 2, 1)
    y: Array = (columns @ matrix).transpose(0, 1, 3, 2).reshape(batch, out, *counts)
    if bias is not None:
        y = y + bias.astype(x.dtype).reshape(-1, *[1] * dims)
    return y


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
    """Checks that Conv2d and SepConv2d share."""

    stride: Any
    padding: Any

    def check_groups(self, groups: int, channels: int) -> None:
        """Every group makes as many output channels."""
        if channels % groups:
            raise self._error("groups", groups, f"a divisor of the {channels} output channels")

    def check_padding(self) -> None:
        """Torch knows padding='same' for stride 1 only."""
        if self.padding == "same" and self.stride not in (1, (1, 1)):
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


@register_node
class Conv2d(_Convolution):
    """2-D convolution, as ``torch.nn.Conv2d``.

    weight (out, in/groups, kH, kW), bias (out,); padding is two numbers, 'same' or 'valid'.
    Input (in, H, W), output (out, H', W').
    """

    weight: Array = array(ndim=4)
    bias: Array = array(ndim=1)
    stride: Pair = integers(length=2, low=1, default=(1, 1))
    padding: Padding = integers(length=2, words=("same", "valid"), default=(0, 0))
    dilation: Pair = integers(length=2, low=1, default=(1, 1))
    groups: int = integer(low=1, default=1)

    def check(self) -> None:
        """Bias, groups and padding go with the weight."""
        self.check_bias("bias", self.bias, self.weight.shape[0])
        self.check_groups(self.groups, self.weight.shape[0])
        self.check_padding()

    def output_shape(self, shape: Shape) -> Shape:
        """(in, H, W) becomes (out, H', W')."""
        return convolved_shape(
            shape, self.weight.shape, self.stride, self.padding, self.dilation, self.groups
        )

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Convolve, in the dtype of ``x``."""
        options = (self.stride, self.padding, self.dilation, self.groups)
        return convolve(x, self.weight, self.bias, *options), state


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
    stride: Pair = integers(length=2, low=1, default=(1, 1))
    padding: Padding = integers(length=2, words=("same", "valid"), default=(0, 0))
    dilation: Pair = integers(length=2, low=1, default=(1, 1))

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

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Convolve twice, in the dtype of ``x``."""
        options = (self.stride, self.padding, self.dilation, self.depthwise_weight.shape[0])
        y = convolve(x, self.depthwise_weight, self.depthwise_bias, *options)
        return convolve(
            y, self.pointwise_weight, self.pointwise_bias, (1, 1), (0, 0), (1, 1), 1
        ), state


@register_node
class Conv1d(_Convolution):
    """1-D convolution, as ``torch.nn.Conv1d``.

    weight (out, in/groups, k), bias (out,); padding is a number, 'same' or 'valid'.
    Input (in, L), output (out, L').
    """

    since = "0.1.0"
    weight: Array = array(ndim=3)
    bias: Array = array(ndim=1)
    stride: int = integer(low=1, default=1)
    padding: int | str = integer(low=0, words=("same", "valid"), default=0)
    dilation: int = integer(low=1, default=1)
    groups: int = integer(low=1, default=1)

    def check(self) -> None:
        """Bias, groups and padding go with the weight."""
        self.check_bias("bias", self.bias, self.weight.shape[0])
        self.check_groups(self.groups, self.weight.shape[0])
        self.check_padding()

    @property
    def options(self) -> tuple[tuple[int, ...], tuple[int, ...] | str, tuple[int, ...], int]:
        """stride, padding, dilation and groups, as the arithmetic of windows takes them."""
        padding = self.padding if isinstance(self.padding, str) else (self.padding,)
        return (self.stride,), padding, (self.dilation,), self.groups

    def output_shape(self, shape: Shape) -> Shape:
        """(in, L) becomes (out, L')."""
        return convolved_shape(shape, self.weight.shape, *self.options)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Convolve, in the dtype of ``x``."""
        return convolve(x, self.weight, self.bias, *self.options), state
