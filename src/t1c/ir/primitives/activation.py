"""Activation functions, as torch defines them.

``features`` says for how many features a layer was made; it is checked and computes nothing.
"""

from __future__ import annotations

import math

import numpy as np

from ..errors import Problem, ShapeError
from ..fields import Array, array, boolean, integer, real
from ..interval import ZERO, Interval
from ..node import Bounds, Node, State
from ..registry import register_node
from ..shapes import Shape
from . import functions
from .sums import sum_along

_erf = np.vectorize(math.erf, otypes=[np.float64])


class Featured(Node):
    """A node made for a number of features: channels, the last axis, or all elements."""

    features: int

    def natural_input(self) -> Shape | None:
        """A plain vector of that many features."""
        return (self.features,)

    def output_shape(self, shape: Shape) -> Shape:
        """The shape stays."""
        if not shape or self.features not in (shape[0], shape[-1], math.prod(shape)):
            raise ShapeError(
                Problem(
                    f"input shape {shape}",
                    f"{self.features} channels, {self.features} on the last axis, or "
                    f"{self.features} elements in all",
                    field="features",
                )
            )
        return shape


@register_node
class ReLU(Featured):
    """y = x where x > 0, else negative_slope * x. Any shape."""

    features: int = integer(low=1)
    negative_slope: float = real(default=0.0)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Rectify."""
        if not self.negative_slope:
            return np.maximum(x, 0), state  # 0 * -inf would be NaN
        return np.where(x > 0, x, x * x.dtype.type(self.negative_slope)), state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """Nothing below zero, or a share of it."""
        above = x.maximum(ZERO)
        if not self.negative_slope:
            return above, state
        return above.union(x.minimum(ZERO) * Interval.of(self.negative_slope)), state


@register_node
class Sigmoid(Featured):
    """y = 1 / (1 + exp(-x)). Any shape."""

    features: int = integer(low=1)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Squash to (0, 1), without overflow on either side."""
        e = functions.exp(-np.abs(x))
        return (np.where(x >= 0, 1, e) / (1 + e)).astype(x.dtype), state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """Real numbers of that range."""
        return Interval(0.0, 1.0), state


@register_node
class Tanh(Featured):
    """y = tanh(x). Any shape."""

    features: int = integer(low=1)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Squash to (-1, 1)."""
        return functions.tanh(x), state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """Real numbers of that range."""
        return Interval(-1.0, 1.0), state


class _AlongAxis(Featured):
    """A function along one axis, dim, which counts as torch's does on a batch.

    1 is the first feature axis, negative counts from the end; 0, the batch, is refused.
    """

    dim: int

    def check(self) -> None:
        """Samples of a batch do not mix."""
        if self.dim == 0:
            raise self._error(
                "dim",
                0,
                "a feature axis: 1, 2, ... or negative, counted from the end",
                "dim=0 is a softmax over the batch axis, which would mix samples.",
            )

    def natural_input(self) -> Shape | None:
        """A plain vector, if that has the axis."""
        return super().natural_input() if self.dim in (1, -1) else None

    def output_shape(self, shape: Shape) -> Shape:
        """The shape stays, if it has the axis."""
        rank = 1 + len(shape)
        if not -rank < self.dim < rank:
            raise ShapeError(
                Problem(
                    f"dim={self.dim} for input shape {shape}",
                    f"a feature axis: 1 to {rank - 1}, or {1 - rank} to -1",
                    field="dim",
                )
            )
        return super().output_shape(shape)


@register_node
class Softmax(_AlongAxis):
    """y = exp(x) / sum(exp(x)) along one axis.

    dim counts as torch's does on a batch: 1 is the first feature axis, negative counts from the
    end; 0, the batch, is refused.
    """

    features: int = integer(low=1)
    dim: int = integer(default=-1)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Normalise, shifted by the maximum so that nothing overflows."""
        e = functions.exp(x - x.max(axis=self.dim, keepdims=True))
        return e / sum_along(e, (self.dim,)), state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """Real numbers of that range."""
        return Interval(0.0, 1.0), state


@register_node
class LogSoftmax(_AlongAxis):
    """y = x - log(sum(exp(x))) along one axis; dim as Softmax's."""

    since = "0.2.0"
    features: int = integer(low=1)
    dim: int = integer(default=-1)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Subtract, shifted by the maximum so that nothing overflows."""
        x = x - x.max(axis=self.dim, keepdims=True)
        return x - functions.log(sum_along(functions.exp(x), (self.dim,))), state


@register_node
class GELU(Featured):
    """y = x * Phi(x), with Phi the normal distribution; approximate takes its tanh form."""

    features: int = integer(low=1)
    approximate: bool = boolean(default=True)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Weigh by the normal distribution."""
        if self.approximate:
            gate = functions.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x)))
        else:
            gate = _erf(x / math.sqrt(2)) if x.size else x
        return (0.5 * x * (1 + gate)).astype(x.dtype), state


@register_node
class ELU(Featured):
    """y = x where x > 0, else alpha * (exp(x) - 1). Any shape."""

    features: int = integer(low=1)
    alpha: float = real(default=1.0)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Bend below zero."""
        return np.where(
            x > 0, x, x.dtype.type(self.alpha) * functions.expm1(np.minimum(x, 0))
        ), state


@register_node
class PReLU(Featured):
    """y = x where x > 0, else weight * x; weight (1,) for all or (features,) per channel."""

    features: int = integer(low=1)
    weight: Array = array(ndim=1)

    def check(self) -> None:
        """One weight, or one for each feature."""
        if self.weight.shape not in ((1,), (self.features,)):
            raise self._error(
                "weight", f"shape {self.weight.shape}", f"shape (1,) or ({self.features},)"
            )

    def output_shape(self, shape: Shape) -> Shape:
        """The shape stays; several weights need as many channels."""
        if self.weight.size > 1 and shape[:1] != self.weight.shape:
            raise ShapeError(
                Problem(
                    f"input shape {shape}",
                    f"{self.weight.size} channels on the first axis, one for each weight",
                    field="weight",
                )
            )
        return super().output_shape(shape)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Rectify with a slope per channel."""
        weight = self.weight.astype(x.dtype).reshape(-1, *[1] * (x.ndim - 2))
        return np.where(x > 0, x, weight * x), state
