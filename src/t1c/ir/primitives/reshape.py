"""Nodes that rearrange or resize features."""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np

from ..errors import Problem, ShapeError
from ..fields import Array, Pair, boolean, choice, integer, integers
from ..interval import Interval
from ..node import Bounds, Node, State
from ..registry import register_node
from ..shapes import Shape
from .merge import feature_dim
from .window import LARGEST


class UpsampleMode(StrEnum):
    """How Upsample fills in between."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"


@register_node
class Flatten(Node):
    """Joins the dimensions start_dim to end_dim of the feature shape into one.

    Dimensions are those of the feature shape, so that time and batch are never touched: the
    default makes (C, H, W) into (C*H*W,), and start_dim=1 into (C, H*W).
    """

    start_dim: int = integer(default=0)
    end_dim: int = integer(default=-1)

    def span(self, rank: int) -> tuple[int, int]:
        """First and last joined dimension, counted from the start of ``rank`` dimensions."""
        start = self.start_dim + rank * (self.start_dim < 0)
        end = self.end_dim + rank * (self.end_dim < 0)
        if not 0 <= start <= end < rank:
            raise ShapeError(
                Problem(
                    f"start_dim={self.start_dim}, end_dim={self.end_dim} for {rank} feature "
                    "dimensions",
                    "dimensions of the feature shape, start before end (batch is not counted)",
                    field="start_dim",
                )
            )
        return start, end

    def output_shape(self, shape: Shape) -> Shape:
        """The named dimensions become their product."""
        start, end = self.span(len(shape))
        return (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Reshape."""
        return x.reshape(x.shape[0], *self.output_shape(x.shape[1:])), state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """What arrives leaves."""
        return x, state


@register_node
class Upsample(Node):
    """Resizes a feature map (C, H, W), as ``torch.nn.Upsample``.

    size (H', W') wins over scale_factor. mode 'nearest' or 'bilinear'; align_corners is for
    bilinear only.
    """

    scale_factor: int | None = integer(low=1, high=LARGEST, default=2)
    size: Pair | None = integers(length=2, low=1, high=LARGEST, default=None)
    mode: str = choice(*UpsampleMode, default="nearest")
    align_corners: bool = boolean(default=False)

    def check(self) -> None:
        """A size or a factor; corners are aligned only where torch can."""
        if self.size is None and self.scale_factor is None:
            raise self._error("scale_factor", None, "scale_factor or size")
        if self.align_corners and self.mode != "bilinear":
            raise self._error("align_corners", True, f"False, because mode is {self.mode!r}")

    def output_shape(self, shape: Shape) -> Shape:
        """(C, H, W) becomes (C, H', W')."""
        if len(shape) != 3:
            raise ShapeError(Problem(f"input shape {shape}", "a feature map (C, H, W)"))
        if self.size is not None:
            return (shape[0], *self.size)
        factor = self.scale_factor or 1
        return (shape[0], shape[1] * factor, shape[2] * factor)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Pick or mix neighbours along H, then along W."""
        target = self.output_shape(x.shape[1:])[1:]
        if self.mode == "nearest":
            rows, columns = (self.nearest(x.shape[2 + a], target[a]) for a in (0, 1))
            return x[:, :, rows][:, :, :, columns], state
        for axis in (0, 1):
            low, high, share = self.linear(x.shape[2 + axis], target[axis])
            share = share.astype(x.dtype).reshape(-1, *[1] * (1 - axis))
            lower, upper = (np.take(x, index, axis=2 + axis) for index in (low, high))
            x = lower * (1 - share) + upper * share
        return x, state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """Neighbours, or what lies between them."""
        return (x if self.mode == "nearest" else x.real()), state

    def nearest(self, size: int, target: int) -> Array:
        """Of each place along an axis of ``target``, the place that it takes its value from."""
        # torch computes the source index in float32, whatever the dtype of the values.
        scale = np.float32(size / target)
        index = np.floor(np.arange(target, dtype=np.float32) * scale).astype(np.int64)
        nearest: Array = np.minimum(index, size - 1)
        return nearest

    def linear(self, size: int, target: int) -> tuple[Array, Array, Array]:
        """Of each place along an axis of ``target``, its two neighbours and the second's share."""
        at = np.arange(target, dtype=np.float64)
        if self.align_corners:
            source = at * ((size - 1) / (target - 1) if target > 1 else 0.0)
        else:
            source = np.maximum((at + 0.5) * (size / target) - 0.5, 0.0)
        low = np.minimum(source.astype(np.int64), size - 1)
        return low, np.minimum(low + 1, size - 1), source - low


@register_node
class Transpose(Node):
    """Puts the feature axes in another order: the i-th of the output is axes[i] of the input.

    axes is a permutation that counts features from 0, negative from the end.
    """

    since = "0.2.0"
    axes: tuple[int, ...] = integers(low=None)

    def check(self) -> None:
        """Every axis occurs once."""
        rank = len(self.axes)
        if sorted(a % rank for a in self.axes if -rank <= a < rank) != list(range(rank)):
            raise self._error("axes", self.axes, f"each of 0 to {rank - 1} once")

    @property
    def order(self) -> tuple[int, ...]:
        """The axes, counted from the start."""
        return tuple(axis % len(self.axes) for axis in self.axes)

    def output_shape(self, shape: Shape) -> Shape:
        """The sizes in the new order."""
        if len(shape) != len(self.axes):
            raise ShapeError(
                Problem(
                    f"input shape {shape}",
                    f"{len(self.axes)} feature dimensions, one for each of axes={self.axes} "
                    "(batch is not counted)",
                    field="axes",
                )
            )
        return tuple(shape[axis] for axis in self.order)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Permute."""
        return x.transpose(0, *(1 + axis for axis in self.order)), state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """What arrives leaves."""
        return x, state


@register_node
class Reshape(Node):
    """Lays the features out as another shape, row by row.

    shape is the new feature shape; one size may be -1: whatever is left. Batch is never touched.
    """

    since = "0.2.0"
    shape: tuple[int, ...] = integers(low=-1)

    def check(self) -> None:
        """At most one size is open."""
        if 0 in self.shape or self.shape.count(-1) > 1:
            raise self._error("shape", self.shape, "sizes of at least 1, at most one of them -1")

    def output_shape(self, shape: Shape) -> Shape:
        """The new shape, of as many elements."""
        count, known = math.prod(shape), math.prod(n for n in self.shape if n != -1)
        if count % known or (-1 not in self.shape and count != known):
            raise ShapeError(
                Problem(
                    f"input shape {shape} of {count} elements for shape={self.shape}",
                    "as many elements" if -1 not in self.shape else f"a multiple of {known}",
                    field="shape",
                )
            )
        return tuple(count // known if n == -1 else n for n in self.shape)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Reshape."""
        return x.reshape(x.shape[0], *self.output_shape(x.shape[1:])), state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """What arrives leaves."""
        return x, state


@register_node
class Slice(Node):
    """Takes start, start + stride, ... before stop along one feature axis, by Python's rules.

    axis counts features from 0, negative from the end; so do start and stop along it. stop None is
    the end.
    """

    since = "0.2.0"
    axis: int = integer()
    start: int = integer(default=0)
    stop: int | None = integer(default=None)
    stride: int = integer(low=1, high=LARGEST, default=1)

    @property
    def taken(self) -> slice:
        """What is taken along the axis."""
        return slice(self.start, self.stop, self.stride)

    def output_shape(self, shape: Shape) -> Shape:
        """Fewer along the axis."""
        axis = feature_dim(self.axis, len(shape), "axis")
        count = len(range(shape[axis])[self.taken])
        if not count:
            raise ShapeError(
                Problem(
                    f"start={self.start}, stop={self.stop} takes nothing of the {shape[axis]} "
                    f"along dimension {axis}",
                    "at least one",
                    field="stop" if self.stop is not None else "start",
                )
            )
        return (*shape[:axis], count, *shape[axis + 1 :])

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Take."""
        axis = feature_dim(self.axis, x.ndim - 1, "axis")
        return x[(slice(None),) * (1 + axis) + (self.taken,)], state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """What arrives leaves."""
        return x, state
