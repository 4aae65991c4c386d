"""Where several paths meet."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from ..errors import Problem, ShapeError
from ..fields import Array, choice
from ..node import Node, Shape, State, register_node


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
        for shape in inputs[1:]:
            if not shape or shape[1:] != inputs[0][1:]:
                raise ShapeError(
                    Problem(
                        f"inputs of shapes {inputs[0]} and {shape} are joined along the first axis",
                        "shapes that differ in the first axis only",
                    )
                )
        return (sum(shape[0] for shape in inputs), *inputs[0][1:])

    def merge_values(self, inputs: Sequence[Array]) -> Array:
        """Join along the first feature axis, or add."""
        if not self.adds_inputs:
            return np.concatenate(list(inputs), axis=1)
        return super().merge_values(inputs)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Pass the joined value on."""
        return x, state
