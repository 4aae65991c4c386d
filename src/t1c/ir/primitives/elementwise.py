"""Arithmetic on each element by itself: one input, the shape stays."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..fields import Array, array, choice
from ..interval import UNKNOWN, Interval
from ..node import Bounds, Node, State
from ..registry import register_node
from ..shapes import Shape
from . import functions
from .neuron import check_parameters, parameter_shape

UNARY: dict[str, Callable[[Array], Array]] = {
    "abs": np.abs,
    "neg": np.negative,
    "floor": np.floor,
    "round": np.rint,
    # As torch, 0 for what is neither above nor below 0.
    "sign": lambda x: (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype),
    "exp": functions.exp,
    "log": functions.log,
    "sqrt": np.sqrt,
    "reciprocal": np.reciprocal,
}
"""What ``Unary`` computes; 'round' takes halves to the even neighbour."""

BOUNDS: dict[str, Callable[[Interval], Interval]] = {
    "abs": Interval.absolute,
    "neg": lambda x: -x,
    "floor": lambda x: x.rounded(math.floor),
    "round": lambda x: x.rounded(np.rint),
    "sign": lambda x: Interval(-1.0 if x.low < 0 else 0.0, 1.0 if x.high > 0 else 0.0, 1.0),
}
"""What is known of the results of those that keep to a grid."""

POWERS: dict[float, Callable[[Array], Array]] = {
    0.5: np.sqrt,
    2.0: lambda x: x * x,
    3.0: lambda x: x * x * x,
    -1.0: np.reciprocal,
    -2.0: lambda x: np.reciprocal(x * x),
}
"""Exponents that are a product, a root or a quotient, rounded as written: as torch has them."""


class _Laid(Node):
    """A node whose parameters lie over the features as a neuron's do."""

    def natural_input(self) -> Shape | None:
        """The shape of the parameters, unless they could be one number or per channel."""
        shapes = {p.shape for p in self.parameters().values() if p.size > 1}
        # Of two, a vector may be per channel of the other.
        return shapes.pop() if len(shapes) == 1 and not any(1 in s for s in shapes) else None

    def output_shape(self, shape: Shape) -> Shape:
        """The shape stays."""
        check_parameters(self, shape)
        return shape

    def laid(self, name: str, x: Array) -> Array:
        """A parameter in the dtype of ``x``, ready to broadcast over it."""
        value = self.parameters()[name]
        return value.astype(x.dtype).reshape(parameter_shape(value.shape, x.shape[1:]))


@register_node
class Unary(Node):
    """y = op(x), element by element. Any shape.

    op is 'abs', 'neg', 'floor', 'round' (halves to the even neighbour), 'sign', 'exp', 'log',
    'sqrt' or 'reciprocal'. Outside the domain of a function the result is NaN or infinite, as IEEE
    arithmetic has it.
    """

    since = "0.2.0"
    op: str = choice(*UNARY)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Apply the function."""
        with np.errstate(all="ignore"):
            return UNARY[self.op](x), state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """Of those that keep to a grid; the others give real numbers."""
        rule = BOUNDS.get(self.op)
        return (UNKNOWN if rule is None else rule(x)), state


@register_node
class Shift(_Laid):
    """y = x + shift, element by element.

    shift is one number, per channel, or per element. Any shape.
    """

    since = "0.2.0"
    shift: Array = array()

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Add, in the dtype of ``x``."""
        return x + self.laid("shift", x), state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """The sum."""
        return x + Interval.of(self.shift), state


@register_node
class Clip(_Laid):
    """y = min(max(x, low), high), element by element; either bound may be absent, not both.

    low and high are one number, per channel, or per element. Any shape. Where low is above high,
    the result is high.
    """

    since = "0.2.0"
    low: Array | None = array(default=None)
    high: Array | None = array(default=None)

    def check(self) -> None:
        """A Clip without bounds would be a slip."""
        if self.low is None and self.high is None:
            raise self._error("low", "neither low nor high", "at least one of them")

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Bound from below, then from above."""
        if self.low is not None:
            x = np.maximum(x, self.laid("low", x))
        if self.high is not None:
            x = np.minimum(x, self.laid("high", x))
        return x, state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """Within the bounds; on the old grid where neither is ever met."""
        if self.low is not None and x.low < self.low.max():
            x = x.maximum(Interval.of(self.low))
        if self.high is not None and x.high > self.high.min():
            x = x.minimum(Interval.of(self.high))
        return x, state


@register_node
class Power(_Laid):
    """y = x ** exponent, element by element.

    exponent is one number, per channel, or per element. Any shape. As in torch one number that is
    2, 3, 0.5, -1 or -2 means x*x, x*x*x, sqrt(x), 1/x or 1/(x*x), each product rounded. A negative
    number to a power that is not whole is NaN.
    """

    since = "0.2.0"
    exponent: Array = array()

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Raise, in the dtype of ``x``."""
        exponent = self.laid("exponent", x)
        with np.errstate(all="ignore"):
            if exponent.ndim == 0 and float(exponent) in POWERS:
                return POWERS[float(exponent)](x), state
            return np.asarray(np.power(x, exponent)), state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """Squares and cubes are products; other powers are real."""
        exponent = float(self.exponent.flat[0]) if self.exponent.size == 1 else 0.0
        if exponent not in (2.0, 3.0):
            return UNKNOWN, state
        square = x.absolute() * x.absolute()
        return (square if exponent == 2 else square * x), state
