"""Several features become one."""

from __future__ import annotations

import math

import numpy as np

from ..errors import Problem, ShapeError
from ..fields import Array, boolean, choice, integers
from ..interval import UNKNOWN, Interval
from ..node import Bounds, Node, State
from ..registry import register_node
from ..shapes import Shape, as_shape


@register_node
class Reduce(Node):
    """The sum, mean, max or min over some feature axes.

    axes count features from 0, negative from the end. keepdims leaves an axis of size 1 in the
    place of each. Sums are taken in ascending order, row by row; a mean is divided at the end.
    """

    since = "0.2.0"
    how: str = choice("sum", "mean", "max", "min")
    axes: tuple[int, ...] = integers(low=None)
    keepdims: bool = boolean(default=False)

    def along(self, rank: int) -> tuple[int, ...]:
        """The axes, counted from the start of ``rank`` feature axes, in ascending order."""
        axes = {axis % rank for axis in self.axes if -rank <= axis < rank}
        if len(axes) != len(self.axes):
            raise ShapeError(
                Problem(
                    f"axes={self.axes} for {rank} feature dimensions",
                    f"different ones of them, {-rank} to {rank - 1} (batch is not counted)",
                    field="axes",
                )
            )
        return tuple(sorted(axes))

    def output_shape(self, shape: Shape) -> Shape:
        """The axes are gone, or of size 1."""
        axes = self.along(len(shape))
        if len(axes) == len(shape) and not self.keepdims:
            raise ShapeError(
                Problem(
                    f"axes={self.axes} are all that {shape} has",
                    "an axis that is left",
                    "Pass keepdims=True, and put a Reshape behind it if need be.",
                    field="keepdims",
                )
            )
        if self.keepdims:
            return tuple(1 if i in axes else n for i, n in enumerate(shape))
        return tuple(n for i, n in enumerate(shape) if i not in axes)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Reduce, in the dtype of ``x``."""
        axes = self.along(x.ndim - 1)
        kept = [i for i in range(x.ndim - 1) if i not in axes]
        order = [0, *(1 + i for i in kept), *(1 + i for i in axes)]
        count = math.prod(x.shape[1 + i] for i in axes)
        rows = x.transpose(order).reshape(*(x.shape[i] for i in [0, *(1 + k for k in kept)]), count)
        if self.how in ("max", "min"):
            y = rows.max(axis=-1) if self.how == "max" else rows.min(axis=-1)
        else:
            # Accumulating adds one after another, where a sum would add in pairs.
            y = np.add.accumulate(rows, axis=-1)[..., -1]
            if self.how == "mean":
                y = y / x.dtype.type(count)
        return y.reshape(x.shape[0], *self.output_shape(x.shape[1:])), state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """One of what arrives, or a sum of as many as there are."""
        if self.how in ("max", "min"):
            return x, state
        shape = as_shape((self.input_type or {}).get("input"))
        if shape is None:
            return UNKNOWN, state
        count = math.prod(shape[axis] for axis in self.along(len(shape)))
        total = x * Interval(count, count, 1.0)
        if self.how == "sum":
            return Interval(total.low, total.high, x.unit, x.summed(count).span), state
        mean = x.summed(count) * Interval.of(1 / count)
        return Interval(x.low, x.high, mean.unit, mean.span), state
