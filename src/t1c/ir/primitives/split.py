"""ChannelSplit: one value in, several out."""

from __future__ import annotations

import numpy as np

from ..errors import Problem, ShapeError
from ..fields import Array, integer, integers
from ..interval import Interval
from ..node import Bounds, Node, State
from ..registry import register_node
from ..shapes import Shape
from .merge import feature_dim


@register_node
class ChannelSplit(Node):
    """Cuts one feature dimension into sections; the k-th edge that leaves takes the k-th section.

    split_sections are the sizes, which add up to the dimension; dim counts feature dimensions, 0
    the first. The outputs are named output0, output1, ...
    """

    since = "0.1.0"
    split_sections: tuple[int, ...] = integers(low=1)
    dim: int = integer(default=0)

    @property
    def port_count(self) -> int:
        """One for each section."""
        return len(self.split_sections)

    def port_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        """The shape of each section."""
        dim = feature_dim(self.dim, len(shape))
        if shape[dim] != sum(self.split_sections):
            raise ShapeError(
                Problem(
                    f"input shape {shape}",
                    f"{sum(self.split_sections)} along dimension {dim}, the sum of the sections",
                    field="split_sections",
                )
            )
        return tuple((*shape[:dim], n, *shape[dim + 1 :]) for n in self.split_sections)

    def step(self, x: Array, state: State) -> tuple[tuple[Array, ...], State]:
        """Cut."""
        dim = feature_dim(self.dim, x.ndim - 1)
        places = np.cumsum(self.split_sections)[:-1]
        return tuple(np.split(x, places, axis=1 + dim)), state

    def bound(self, x: Interval, state: Bounds) -> tuple[Bounds, Bounds]:
        """What arrives leaves at every output."""
        return (x,) * self.port_count, state
