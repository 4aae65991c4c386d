"""Nodes that rearrange or resize features."""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np

from ..errors import Problem, ShapeError
from ..fields import Array, Pair, boolean, choice, integer, integers
from ..node import Node, Shape, State, register_node


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


@register_node
class Upsample(Node):
    """Resizes a feature map (C, H, W), as ``torch.nn.Upsample``.

    size (H', W') wins over scale_factor. mode 'nearest' or 'bilinear'; align_corners is for
    bilinear only.
    """

    scale_factor: int | None = integer(low=1, default=2)
    size: Pair | None = integers(length=2, low=1, default=None)
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
            rows, columns = (self._nearest(x.shape[2 + a], target[a]) for a in (0, 1))
            return x[:, :, rows][:, :, :, columns], state
        for axis in (0, 1):
            low, high, share = self._linear(x.shape[2 + axis], target[axis])
            share = share.astype(x.dtype).reshape(-1, *[1] * (1 - axis))
            lower, upper = (np.take(x, index, axis=2 + axis) for index in (low, high))
            x = lower * (1 - share) + upper * share
        return x, state

    def _nearest(self, size: int, target: int) -> Array:
        # torch computes the source index in float32, whatever the dtype of the values.
        scale = np.float32(size / target)
        index = np.floor(np.arange(target, dtype=np.float32) * scale).astype(np.int64)
        nearest: Array = np.minimum(index, size - 1)
        return nearest

    def _linear(self, size: int, target: int) -> tuple[Array, Array, Array]:
        at = np.arange(target, dtype=np.float64)
        if self.align_corners:
            source = at * ((size - 1) / (target - 1) if target > 1 else 0.0)
        else:
            source = np.maximum((at + 0.5) * (size / target) - 0.5, 0.0)
        low = np.minimum(source.astype(np.int64), size - 1)
        return low, np.minimum(low + 1, size - 1), source - low
