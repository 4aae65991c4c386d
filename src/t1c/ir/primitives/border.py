"""Input and Output: where a graph meets the world."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..errors import Problem, ShapeError
from ..fields import Array, integers
from ..node import Node, Shape, State, register_node


class _Border(Node):
    """A node that only says which shape passes; given as ``shape`` or as a type dict."""

    shape: Any

    def __post_init__(self) -> None:
        """Take the shape from whichever of the three ways it was given in."""
        given: Any = self.shape
        types: Any = self.input_type or self.output_type
        if isinstance(given, Mapping):
            self.input_type = types = dict(given)
            given = None
        if given is None:
            given = next(iter(types.values()), None) if isinstance(types, Mapping) else types
        if given is None:
            raise self._error("shape", "no shape", "the feature shape, without time and batch")
        self.shape = given
        super().__post_init__()

    def check(self) -> None:
        """A shape has no dimension of size 0."""
        if not isinstance(self.shape, tuple) or 0 in self.shape:
            raise self._error("shape", self.shape, "integers of at least 1")

    def natural_input(self) -> Shape:
        """The declared shape."""
        return tuple(self.shape)

    def output_shape(self, shape: Shape) -> Shape:
        """What passes is what was declared."""
        if shape != self.shape:
            raise ShapeError(
                Problem(
                    f"the declared shape {self.shape} contradicts the inferred shape {shape}",
                    remedy="Change the declared shape, or the node before it.",
                    field="shape",
                )
            )
        return shape

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Pass ``x`` on."""
        return x, state


@register_node
class Input(_Border):
    """Where data enters: ``shape`` without time and batch, such as ``(1, 28, 28)``.

    ``Input(input_type={'input': shape})`` means the same.
    """

    shape: tuple[int, ...] = integers(low=1, default=None)
    runs_alone: ClassVar[bool] = True


@register_node
class Output(_Border):
    """Where results leave. Several edges into an Output are added.

    ``Output(output_type={'output': shape})`` means the same.
    """

    shape: tuple[int, ...] = integers(low=1, default=None)
