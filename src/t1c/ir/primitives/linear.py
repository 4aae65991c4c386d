"""Weighted sums of features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from ..errors import Problem, ShapeError
from ..fields import Array, array, choice, integer
from ..interval import Interval, weighted_sums
from ..node import Bounds, Node, State
from ..registry import register_node
from ..shapes import Shape
from .neuron import check_parameters, parameter_shape
from .sums import weighted_sum


def dense_shape(weight: Shape, shape: Shape) -> Shape:
    """(..., in) becomes (..., out) for a weight (out, in)."""
    if not shape or shape[-1] != weight[1]:
        raise ShapeError(
            Problem(
                f"input shape {shape}",
                f"{weight[1]} features on the last axis, for a weight of shape {weight}",
                "Put a Flatten before it if the input is a feature map.",
            )
        )
    return (*shape[:-1], weight[0])


def dense_macs(weight: Shape, shape: Shape) -> int:
    """A weight (out, in) on each vector of an input (..., in)."""
    return math.prod(dense_shape(weight, shape)) * weight[1]


def dense(x: Array, weight: Array, bias: Array) -> Array:
    """The bias, then each feature of ``x`` (..., in) times its column of ``weight`` (out, in)."""
    w = weight.astype(x.dtype)
    total = np.broadcast_to(bias.astype(x.dtype), (*x.shape[:-1], len(w)))
    terms = ((x[..., i : i + 1], w[:, i]) for i in range(w.shape[1]))
    return weighted_sum(total, terms, bool(np.isfinite(w).all()))


class _Dense(Node):
    """y = W x + b over the last feature axis, as ``torch.nn.Linear`` has it."""

    weight: Array
    bias: Array

    def check(self) -> None:
        """One bias for each row of the weight."""
        if self.bias.shape != self.weight.shape[:1]:
            raise self._error(
                "bias",
                f"shape {self.bias.shape}",
                f"shape {self.weight.shape[:1]}: one for each row of weight {self.weight.shape}",
            )

    def natural_input(self) -> Shape:
        """The weight's columns."""
        return (self.weight.shape[1],)

    def output_shape(self, shape: Shape) -> Shape:
        """(..., in) becomes (..., out)."""
        return dense_shape(self.weight.shape, shape)

    def macs(self, arriving: Sequence[Shape] = ()) -> int:
        """Every weight once, for each vector of the input."""
        return dense_macs(self.weight.shape, self.reached_by(arriving))

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Multiply and add, in the dtype of ``x``."""
        return dense(x, self.weight, self.bias), state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """Every row of weights against its worst inputs."""
        return weighted_sums(x, self.weight, self.bias), state


class SpikeMode(StrEnum):
    """What a SpikingAffine's inputs are."""

    BINARY = "binary"
    GRADED = "graded"
    RATE = "rate"


@register_node
class Affine(_Dense):
    """y = W x + b.

    weight (out, in), bias (out,). Input (..., in), output (..., out).
    """

    weight: Array = array(ndim=2)
    bias: Array = array(ndim=1)


@register_node
class SpikingAffine(_Dense):
    """y = W x + b, with hints for hardware that do not change the result.

    weight (out, in), bias (out,); spike_mode says what the inputs are, weight_bits and
    accumulator_bits how wide the hardware may make its numbers.
    """

    weight: Array = array(ndim=2)
    bias: Array = array(ndim=1)
    spike_mode: str = choice(*SpikeMode, default="binary")
    weight_bits: int = integer(low=1, high=32, default=8)
    accumulator_bits: int = integer(low=1, high=64, default=16)

    def check(self) -> None:
        """The accumulator is at least as wide as a weight."""
        super().check()
        if self.accumulator_bits < self.weight_bits:
            raise self._error(
                "accumulator_bits",
                self.accumulator_bits,
                f"at least weight_bits = {self.weight_bits}",
            )


@register_node
class Linear(Node):
    """y = W x, without a bias.

    weight (out, in). Input (..., in), output (..., out).
    """

    since = "0.1.0"
    weight: Array = array(ndim=2)

    def natural_input(self) -> Shape:
        """The weight's columns."""
        return (self.weight.shape[1],)

    def output_shape(self, shape: Shape) -> Shape:
        """(..., in) becomes (..., out)."""
        return dense_shape(self.weight.shape, shape)

    def macs(self, arriving: Sequence[Shape] = ()) -> int:
        """Every weight once, for each vector of the input."""
        return dense_macs(self.weight.shape, self.reached_by(arriving))

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Multiply, in the dtype of ``x``."""
        return dense(x, self.weight, np.zeros(len(self.weight))), state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """Every row of weights against its worst inputs."""
        return weighted_sums(x, self.weight, None), state


@register_node
class Scale(Node):
    """y = scale * x, element by element.

    scale is one number, per channel, or per element. Any shape.
    """

    since = "0.1.0"
    scale: Array = array()

    def natural_input(self) -> Shape | None:
        """The shape of the scale, unless it could be one number or per channel."""
        shape = self.scale.shape
        return shape if self.scale.size > 1 and 1 not in shape else None

    def output_shape(self, shape: Shape) -> Shape:
        """The shape stays."""
        check_parameters(self, shape)
        return shape

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Multiply, in the dtype of ``x``."""
        laid = self.scale.reshape(parameter_shape(self.scale.shape, x.shape[1:]))
        return laid.astype(x.dtype) * x, state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """The product."""
        return Interval.of(self.scale) * x, state
