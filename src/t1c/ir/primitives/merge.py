"""Where several paths meet."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from ..errors import Problem, ShapeError
from ..fields import Array, choice, integer
from ..interval import Interval
from ..node import Bounds, Node, State
from ..registry import register_node
from ..shapes import Shape


class SkipType(StrEnum):
    """How a Skip joins its inputs."""

    RESIDUAL = "residual"
    CONCATENATE = "concatenate"
    PASSTHROUGH = "passthrough"


@register_node
class Skip(Node):
    """Joins the edges that lead into it, then passes the result on.

    'residual' adds them (equal shapes), 'concatenate' joins them along the first feature axis in
    the order of the edges, 'passthrough' takes exactly one.
    """

    skip_type: str = choice(
        *SkipType,
        default="residual",
        aliases={"add": "residual", "concat": "concatenate", "identity": "passthrough"},
    )

    @property
    def adds_inputs(self) -> bool:
        """Unless they are joined."""
        return self.skip_type != "concatenate"

    def merge(self, inputs: Sequence[Shape]) -> Shape:
        """The joined shape."""
        if self.skip_type == "passthrough" and len(inputs) != 1:
            raise ShapeError(
                Problem(
                    f"{len(inputs)} edges lead into a passthrough",
                    "exactly one",
                    "Use skip_type='residual' to add them or 'concatenate' to join them.",
                    field="skip_type",
                )
            )
        if self.adds_inputs:
            return super().merge(inputs)
        return joined_shape(inputs, 0)

    def merge_values(self, inputs: Sequence[Array]) -> Array:
        """Join along the first feature axis, or add."""
        if not self.adds_inputs:
            return np.concatenate(list(inputs), axis=1)
        return super().merge_values(inputs)

    def merge_bounds(self, inputs: Sequence[Interval], shapes: Sequence[Shape]) -> Interval:
        """What is in any of what is joined; else their sum."""
        return super().merge_bounds(inputs, shapes) if self.adds_inputs else joined_bounds(inputs)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Pass the joined value on."""
        return x, state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """What arrives leaves."""
        return x, state


@register_node
class Concat(Node):
    """Joins the edges that lead into it along one feature dimension, in the order of the edges.

    dim counts feature dimensions, 0 the first; num_inputs, where given, is how many edges there
    must be.
    """

    since = "0.1.0"
    dim: int = integer(default=0)
    num_inputs: int | None = integer(low=1, default=None)

    @property
    def adds_inputs(self) -> bool:
        """They are joined."""
        return False

    def merge(self, inputs: Sequence[Shape]) -> Shape:
        """The joined shape."""
        if self.num_inputs is not None and len(inputs) != self.num_inputs:
            raise ShapeError(
                Problem(
                    f"{len(inputs)} edges lead into it",
                    f"num_inputs = {self.num_inputs}",
                    field="num_inputs",
                )
            )
        return joined_shape(inputs, self.dim)

    def merge_values(self, inputs: Sequence[Array]) -> Array:
        """Join."""
        dim = feature_dim(self.dim, inputs[0].ndim - 1)
        return np.concatenate(list(inputs), axis=1 + dim)

    def merge_bounds(self, inputs: Sequence[Interval], shapes: Sequence[Shape]) -> Interval:
        """What is in any of them."""
        return joined_bounds(inputs)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Pass the joined value on."""
        return x, state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """What arrives leaves."""
        return x, state


def feature_dim(dim: int, rank: int, field: str = "dim") -> int:
    """A feature dimension counted from the start; ``field`` is what the node calls it."""
    if not -rank <= dim < rank:
        raise ShapeError(
            Problem(f"{field}={dim} for {rank} feature dimensions", "one of them", field=field)
        )
    return dim % rank


def joined_shape(inputs: Sequence[Shape], dim: int) -> Shape:
    """The shape of what is joined along ``dim``; the other dimensions must be equal."""
    first = inputs[0]
    dim = feature_dim(dim, len(first))
    for shape in inputs[1:]:
        alike = len(shape) == len(first) and all(
            a == b for i, (a, b) in enumerate(zip(shape, first, strict=True)) if i != dim
        )
        if not alike:
            raise ShapeError(
                Problem(
                    f"inputs of shapes {first} and {shape} are joined along dimension {dim}",
                    f"shapes that differ in dimension {dim} only",
                )
            )
    return (*first[:dim], sum(shape[dim] for shape in inputs), *first[dim + 1 :])


def joined_bounds(inputs: Sequence[Interval]) -> Interval:
    """What is known of values that are joined."""
    return functools.reduce(Interval.union, inputs)
