"""Normalisation in eval mode, as torch defines it: stored statistics, fixed at inference.

What training would do is written down where frameworks differ, and changes no result in eval mode.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import Problem, ShapeError
from ..fields import Array, array, choice, integer, integers, real
from ..interval import Interval
from ..node import Bounds, Node, State
from ..registry import register_node
from ..shapes import Shape
from .activation import Featured
from .sums import mean_along

TRAINING_SINCE = "0.2.0"


def _statistics() -> Any:
    """The field that says what a batch is in training."""
    words = ("step", "sequence", "once", "last")
    return choice(*words, default="step", since=TRAINING_SINCE)


class _BatchNorm(Node):
    """y = (x - running_mean) / sqrt(running_var + eps) * weight + bias, per channel.

    That is one factor and one shift for each channel, y = factor * x + shift, which are folded in
    float64 and then cast, as the coefficients of a neuron are.

    ``statistics`` says what training takes mean and variance of, and how often the running ones
    move: 'step' of the batch at each step, moving T times in a sequence; 'sequence' of all steps
    and the batch, T*B samples, moving once; 'once' of the batch at one step, moving once, for a
    value that is the same at every step; 'last' as 'step', moving at the last step alone, for an
    answer that is only complete then. In eval mode it says nothing.
    """

    num_features: int
    weight: Array
    bias: Array
    running_mean: Array
    running_var: Array
    eps: float
    statistics: str

    def check(self) -> None:
        """One of each statistic per channel, and no negative variance."""
        for name, value in self.parameters().items():
            if value.shape != (self.num_features,):
                raise self._error(name, f"shape {value.shape}", f"shape ({self.num_features},)")
        if (self.running_var < 0).any():
            raise self._error("running_var", f"{self.running_var.min()}", "values of at least 0")

    def channels_first(self, shape: Shape, ranks: tuple[int, ...], form: str) -> Shape:
        """Check the rank and the number of channels."""
        if len(shape) not in ranks or shape[0] != self.num_features:
            raise ShapeError(
                Problem(f"input shape {shape}", form.replace("C", str(self.num_features)))
            )
        return shape

    def coefficients(self, dtype: np.dtype[Any]) -> tuple[Array, Array]:
        """Factor and shift of each channel (C,), in the dtype of the arithmetic."""
        mean, var, weight, bias = (
            p.astype(dtype).astype(np.float64)
            for p in (self.running_mean, self.running_var, self.weight, self.bias)
        )
        factor = 1 / np.sqrt(var + self.eps) * weight
        return factor.astype(dtype), (-mean * factor + bias).astype(dtype)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Multiply and add what the stored statistics come to."""
        axes = (-1, *[1] * (x.ndim - 2))
        factor, shift = (p.reshape(axes) for p in self.coefficients(x.dtype))
        return x * factor + shift, state


@register_node
class BatchNorm1d(_BatchNorm):
    """Batch normalisation in eval mode over (C,) or (C, L), as ``torch.nn.BatchNorm1d``.

    statistics: what training takes mean and variance of: 'step', 'sequence', 'once', 'last'.
    """

    num_features: int = integer(low=1)
    weight: Array = array(ndim=1)
    bias: Array = array(ndim=1)
    running_mean: Array = array(ndim=1)
    running_var: Array = array(ndim=1)
    eps: float = real(low=0.0, default=1e-5)
    momentum: float = real(default=0.1)
    statistics: str = _statistics()

    def natural_input(self) -> Shape:
        """A plain vector of features."""
        return (self.num_features,)

    def output_shape(self, shape: Shape) -> Shape:
        """The shape stays."""
        return self.channels_first(shape, (1, 2), "(C,) or (C, L)")


@register_node
class BatchNorm2d(_BatchNorm):
    """Batch normalisation in eval mode over (C, H, W), as ``torch.nn.BatchNorm2d``.

    statistics: what training takes mean and variance of: 'step', 'sequence', 'once', 'last'.
    """

    num_features: int = integer(low=1)
    weight: Array = array(ndim=1)
    bias: Array = array(ndim=1)
    running_mean: Array = array(ndim=1)
    running_var: Array = array(ndim=1)
    eps: float = real(low=0.0, default=1e-5)
    momentum: float = real(default=0.1)
    statistics: str = _statistics()

    def output_shape(self, shape: Shape) -> Shape:
        """The shape stays."""
        return self.channels_first(shape, (3,), "(C, H, W)")


@register_node
class BatchNorm3d(_BatchNorm):
    """Batch normalisation in eval mode over (C, D, H, W), as ``torch.nn.BatchNorm3d``.

    statistics: what training takes mean and variance of: 'step', 'sequence', 'once', 'last'.
    """

    since = "0.2.0"
    num_features: int = integer(low=1)
    weight: Array = array(ndim=1)
    bias: Array = array(ndim=1)
    running_mean: Array = array(ndim=1)
    running_var: Array = array(ndim=1)
    eps: float = real(low=0.0, default=1e-5)
    momentum: float = real(default=0.1)
    statistics: str = _statistics()

    def output_shape(self, shape: Shape) -> Shape:
        """The shape stays."""
        return self.channels_first(shape, (4,), "(C, D, H, W)")


@register_node
class LayerNorm(Node):
    """y = (x - mean) / sqrt(var + eps) * weight + bias over the last axes of each sample.

    normalized_shape names these axes, as in ``torch.nn.LayerNorm``; weight and bias have it.
    """

    normalized_shape: tuple[int, ...] = integers(low=1)
    weight: Array = array()
    bias: Array = array()
    eps: float = real(low=0.0, default=1e-5)

    def check(self) -> None:
        """Weight and bias have the normalised shape."""
        for name, value in self.parameters().items():
            if value.shape != self.normalized_shape:
                raise self._error(name, f"shape {value.shape}", f"shape {self.normalized_shape}")

    def natural_input(self) -> Shape:
        """The normalised shape."""
        return self.normalized_shape

    def output_shape(self, shape: Shape) -> Shape:
        """The shape stays, if it ends in the normalised one."""
        if shape[-len(self.normalized_shape) :] != self.normalized_shape:
            raise ShapeError(
                Problem(
                    f"input shape {shape}",
                    f"a shape that ends in {self.normalized_shape}",
                    field="normalized_shape",
                )
            )
        return shape

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Normalise each sample by its own mean and (biased) variance."""
        axes = tuple(range(-len(self.normalized_shape), 0))
        centred = x - mean_along(x, axes)
        var = mean_along(centred * centred, axes)
        scaled = centred / np.sqrt(var + x.dtype.type(self.eps))
        weight, bias = self.weight.astype(x.dtype), self.bias.astype(x.dtype)
        return scaled * weight + bias, state


@register_node
class GroupNorm(Node):
    """y = (x - mean) / sqrt(var + eps) * weight + bias over groups of channels of each sample.

    Mean and (biased) variance are those of a group of neighbouring channels, as in
    ``torch.nn.GroupNorm``; weight and bias (C,). Input (C, ...).
    """

    since = "0.2.0"
    num_groups: int = integer(low=1)
    weight: Array = array(ndim=1)
    bias: Array = array(ndim=1)
    eps: float = real(low=0.0, default=1e-5)

    def check(self) -> None:
        """As many channels in every group, and one weight and bias for each."""
        channels = self.weight.size
        if self.bias.shape != self.weight.shape:
            raise self._error("bias", f"shape {self.bias.shape}", f"shape {self.weight.shape}")
        if channels % self.num_groups:
            divisor = f"a divisor of the {channels} channels"
            raise self._error("num_groups", self.num_groups, divisor)

    def output_shape(self, shape: Shape) -> Shape:
        """The shape stays."""
        if shape[:1] != self.weight.shape:
            raise ShapeError(
                Problem(f"input shape {shape}", f"({self.weight.size}, ...): one for each weight")
            )
        if math.prod(shape) == self.num_groups:
            raise ShapeError(
                Problem(
                    f"input shape {shape} in {self.num_groups} groups of one value",
                    "groups of several: one value is its own mean, and nothing is left of it",
                    field="num_groups",
                )
            )
        return shape

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Normalise each group of channels."""
        count = math.prod(x.shape[1:]) // self.num_groups
        groups = x.reshape(x.shape[0], self.num_groups, count)
        centred = groups - mean_along(groups, (-1,))
        var = mean_along(centred * centred, (-1,))
        scaled = (centred / np.sqrt(var + x.dtype.type(self.eps))).reshape(x.shape)
        over = (-1, *[1] * (x.ndim - 2))
        weight, bias = (p.astype(x.dtype).reshape(over) for p in (self.weight, self.bias))
        return scaled * weight + bias, state


@register_node
class Dropout(Featured):
    """Drops features with probability p while training; in eval mode y = x.

    ``mask`` says how often training draws which: 'step' anew at every step, 'sequence' once for
    all steps of a sequence. ``drops`` says what falls together: 'elements' each by itself,
    'channels' all of a channel (the first feature axis).
    """

    features: int = integer(low=1)
    p: float = real(low=0.0, high=1.0, default=0.5)
    mask: str = choice("step", "sequence", default="step", since=TRAINING_SINCE)
    drops: str = choice("elements", "channels", default="elements", since=TRAINING_SINCE)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Pass ``x`` on: inference drops nothing."""
        return x, state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """What arrives leaves."""
        return x, state
