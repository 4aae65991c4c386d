"""Two or three inputs become one value, in the order of the edges that bring them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..errors import Problem, ShapeError
from ..fields import Array, choice
from ..interval import SPIKES, UNKNOWN, Interval
from ..node import Bounds, Node, State
from ..registry import register_node
from ..shapes import Shape

BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "power": np.power,
    "greater": lambda a, b: (a > b).astype(a.dtype),
    "greater_or_equal": lambda a, b: (a >= b).astype(a.dtype),
    "equal": lambda a, b: (a == b).astype(a.dtype),
}
"""What ``Binary`` computes of its first and second input."""

BOUNDS: dict[str, Callable[[Interval, Interval], Interval]] = {
    "subtract": Interval.__sub__,
    "multiply": Interval.__mul__,
    "minimum": Interval.minimum,
    "maximum": Interval.maximum,
}
"""What is known of the results of those that keep to a grid, but for comparisons."""


class _Combination(Node):
    """A node whose inputs each have a place: the order of its edges.

    The value that its inputs become is the one that leaves; ``input_type`` is its shape.
    """

    places: tuple[str, ...] = ()

    @property
    def adds_inputs(self) -> bool:
        """Each input has a meaning of its own."""
        return False

    def merge(self, inputs: Sequence[Shape]) -> Shape:
        """The shape of the value that the inputs become."""
        if len(inputs) != len(self.places):
            once = "An edge occurs once: send a value that is needed twice through an Identity."
            raise ShapeError(
                Problem(
                    f"{len(inputs)} edges lead into it",
                    f"{len(self.places)}, in this order: {', '.join(self.places)}",
                    once if len(inputs) < len(self.places) else "",
                )
            )
        return self.combined(inputs)

    def combined(self, inputs: Sequence[Shape]) -> Shape:
        """The shape of the value, from as many shapes as there are places."""
        return broadcast_shape(inputs)

    def supposed(self, arriving: Sequence[Shape | None]) -> Sequence[Shape]:
        """An input that is not known may have the shape that the others have together."""
        known = [shape for shape in arriving if shape is not None]
        if not known or self.declared_input or self.declared_output:
            return ()
        return [broadcast_shape(known) if s is None else s for s in arriving]

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Pass the value on."""
        return x, state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """What arrives leaves."""
        return x, state


@register_node
class Binary(_Combination):
    """y = op(a, b), element by element, of two inputs in the order of their edges.

    op is 'subtract', 'multiply', 'divide', 'minimum', 'maximum', 'power', or a comparison, which
    gives 1 or 0: 'greater' (a > b), 'greater_or_equal' (a >= b), 'equal'. Feature shapes have equal
    rank; size 1 stretches.
    """

    since = "0.2.0"
    places = ("a", "b")
    op: str = choice(*BINARY)

    def merge_values(self, inputs: Sequence[Array]) -> Array:
        """Apply the function."""
        a, b = inputs
        with np.errstate(all="ignore"):
            return BINARY[self.op](a, b)

    def merge_bounds(self, inputs: Sequence[Interval], shapes: Sequence[Shape]) -> Interval:
        """1 or 0 of a comparison; a quotient or a power is any real number."""
        if self.op in ("greater", "greater_or_equal", "equal"):
            return SPIKES
        rule = BOUNDS.get(self.op)
        return UNKNOWN if rule is None else rule(*inputs)


@register_node
class Where(_Combination):
    """y = a where the condition is not 0, else b: three inputs, condition, a, b.

    Exactly a or b, whatever the other is. Feature shapes have equal rank; size 1 stretches.
    """

    since = "0.2.0"
    places = ("condition", "a", "b")

    def merge_values(self, inputs: Sequence[Array]) -> Array:
        """Choose."""
        condition, a, b = inputs
        return np.where(condition != 0, a, b)

    def merge_bounds(self, inputs: Sequence[Interval], shapes: Sequence[Shape]) -> Interval:
        """Either."""
        _, a, b = inputs
        return a.union(b)


@register_node
class MatMul(_Combination):
    """y = a @ b over the last two feature axes, as ``torch.matmul`` on a batch.

    Inputs (..., n, k) and (..., k, m), of equal rank; output (..., n, m). In the axes before them
    size 1 stretches. Products are added in ascending order of k.
    """

    since = "0.2.0"
    places = ("a", "b")

    def combined(self, inputs: Sequence[Shape]) -> Shape:
        """(..., n, k) and (..., k, m) become (..., n, m)."""
        a, b = inputs
        if len(a) != len(b) or len(a) < 2 or a[-1] != b[-2]:
            raise ShapeError(
                Problem(
                    f"inputs of shapes {a} and {b} are multiplied as matrices",
                    "shapes (..., n, k) and (..., k, m) of equal rank",
                    "Put a Transpose or a Reshape before one of them.",
                )
            )
        return (*broadcast_shape([a[:-2], b[:-2]]), a[-2], b[-1])

    def supposed(self, arriving: Sequence[Shape | None]) -> Sequence[Shape]:
        """One matrix does not tell the other."""
        return ()

    def macs(self, arriving: Sequence[Shape] = ()) -> int:
        """One for each value of the output and each k, which the shapes of the inputs tell."""
        return math.prod(self.merge(arriving)) * arriving[0][-1]

    def merge_values(self, inputs: Sequence[Array]) -> Array:
        """Multiply and add, one k after another, in the dtype of the inputs."""
        a, b = inputs
        total = np.zeros_like(a[..., :, :1] * b[..., :1, :])
        for k in range(a.shape[-1]):
            total += a[..., :, k : k + 1] * b[..., k : k + 1, :]
        return total

    def merge_bounds(self, inputs: Sequence[Interval], shapes: Sequence[Shape]) -> Interval:
        """As many products as the first matrix has columns, added up."""
        a, b = inputs
        return (a * b).summed(shapes[0][-1])


def broadcast_shape(inputs: Sequence[Shape]) -> Shape:
    """The shape to which feature shapes of equal rank stretch: size 1 fits any size.

    Raises:
        ShapeError: naming two that do not fit.
    """
    result = inputs[0]
    for shape in inputs[1:]:
        alike = len(shape) == len(result) and all(
            a == b or 1 in (a, b) for a, b in zip(result, shape, strict=True)
        )
        if not alike:
            raise ShapeError(
                Problem(
                    f"inputs of shapes {result} and {shape} are combined",
                    "shapes of equal rank whose sizes are equal, or 1, which stretches",
                    "Put a Reshape before one of them.",
                )
            )
        result = tuple(b if a == 1 else a for a, b in zip(result, shape, strict=True))
    return result
