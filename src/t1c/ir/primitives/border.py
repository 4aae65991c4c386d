"""Input and Output: where a graph meets the world."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..errors import InputError, Problem, ShapeError
from ..fields import Array, boolean, integer, integers
from ..interval import Interval
from ..node import Bounds, Node, State
from ..registry import register_node
from ..shapes import Shape

BORDERS_SINCE = "0.2.0"
"""The format version that brought inputs held still and answers at the last step."""


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

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """What arrives leaves."""
        return x, state


@register_node
class Input(_Border):
    """Where data enters: ``shape`` without time and batch, such as ``(1, 28, 28)``.

    ``Input(input_type={'input': shape})`` means the same. ``hold=N`` says that the network is given
    one value for N steps: whoever runs the graph takes that value (B, *shape) in the place of a
    sequence. Inside a nested graph it says nothing, because there each step brings its own value.
    """

    shape: tuple[int, ...] = integers(low=1, default=None)
    hold: int | None = integer(low=1, default=None, since=BORDERS_SINCE)
    runs_alone: ClassVar[bool] = True


@register_node
class Output(_Border):
    """Where results leave. Several edges into an Output are added.

    ``Output(output_type={'output': shape})`` means the same. ``final=True`` says that the answer is
    the value at the last step: a run returns that alone (B, *shape) unless more is asked for, and a
    step returns the answer so far. Inside a nested graph it says nothing: every step passes on.
    """

    shape: tuple[int, ...] = integers(low=1, default=None)
    final: bool = boolean(default=False, since=BORDERS_SINCE)


def how_many_steps(sequences: Mapping[str, int], held: Mapping[str, int], steps: int | None) -> int:
    """How many steps a graph takes on sequences, and on values that are held beside them.

    Args:
        sequences: Input name -> the steps of its sequence.
        held: Input name -> its ``hold``, for the Inputs that are given one value.
        steps: what the caller asks for.

    Raises:
        InputError: they contradict each other.
    """
    if steps is not None and not (hasattr(steps, "__index__") and steps >= 1):
        raise InputError(Problem(repr(steps), "an integer of at least 1", field="steps"))
    said = {f"{name!r} has {n}": n for name, n in sequences.items()}
    if steps is not None:
        said[f"steps={steps}"] = steps
    if not said:
        said = {f"{name!r} holds for {n}": n for name, n in held.items()}
    counts = list(said.values())
    if counts and all(count == counts[0] for count in counts):
        return counts[0]
    raise InputError(
        Problem(
            f"different numbers of steps: {', '.join(said)}",
            "one number for all inputs",
            "steps=N holds still inputs for N steps; a sequence has the steps that it has.",
        )
    )
