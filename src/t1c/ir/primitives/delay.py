"""Delay: the past of a signal, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..fields import Array, array
from ..interval import Interval
from ..node import Bounds, Node, State
from ..registry import register_node
from ..shapes import Shape
from .neuron import check_parameters, natural_shape, parameter_shape

MEMORY_SINCE = "0.2.0"
"""The format version that brought memory which starts elsewhere than at zero."""


@register_node
class Delay(Node):
    """y[t] = x[t - delay], and ``initial`` before the first step.

    delay counts steps and is at least 0: one integer, per channel, or per element; initial, which
    is 0 unless given, may likewise be one number, per channel, or per element. A Delay of at least
    one step everywhere is the delay of any loop it lies in. With initial=0 it is NIR's Delay in
    steps of one. State: (line,), the last D inputs, oldest first, of shape (B, D, *features), where
    D is the longest delay.
    """

    since = "0.1.0"
    delay: Array = array()
    initial: Array = array(default=0.0, since=MEMORY_SINCE)
    state_names = ("line",)

    def check(self) -> None:
        """Whole steps, none into the future."""
        if not np.isfinite(self.delay).all() or (self.delay < 0).any():
            raise self._error("delay", self.delay, "steps of at least 0")
        if (self.delay != np.round(self.delay)).any():
            raise self._error(
                "delay",
                self.delay,
                "whole steps",
                "Round it: a delay in seconds is divided by the time step first.",
            )

    @property
    def longest(self) -> int:
        """D, how many past inputs are kept."""
        return int(self.delay.max())

    @property
    def emits_early(self) -> bool:
        """The output never depends on the input of the same step."""
        return int(self.delay.min()) >= 1

    def natural_input(self) -> Shape | None:
        """The shape of the larger parameter, unless it may be one number, per channel or flat."""
        return natural_shape(self)

    def output_shape(self, shape: Shape) -> Shape:
        """The shape stays."""
        check_parameters(self, shape)
        return shape

    def initial_state(self, shape: Shape, dtype: np.dtype[Any]) -> State:
        """A line of ``initial``."""
        features = shape[1:]
        initial = self.initial.reshape(parameter_shape(self.initial.shape, features))
        return (np.full((shape[0], self.longest, *features), initial.astype(dtype)),)

    def emit(self, state: State) -> Array:
        """What comes out of the line in this step, where every delay is at least 1."""
        return self._read(state[0])

    def absorb(self, x: Array, state: State) -> State:
        """The line after this step's input."""
        return (np.concatenate([state[0], x[:, None]], axis=1)[:, 1:],)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Read the line, which ends in the present input."""
        (line,) = state
        return self._read(np.concatenate([line, x[:, None]], axis=1)), self.absorb(x, state)

    def initial_bounds(self) -> Bounds:
        """A line of ``initial``."""
        return (Interval.of(self.initial),)

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """Anything that is in the line, or was put into it in this step."""
        both = state[0].union(x)
        return (state[0] if self.emits_early else both), (x if self.longest == 1 else both,)

    def _read(self, line: Array) -> Array:
        """Each element from ``delay`` steps before the present, which is at index D."""
        features = line.shape[2:]
        laid = self.delay.reshape(parameter_shape(self.delay.shape, features))
        index = self.longest - np.broadcast_to(laid, features).astype(np.int64)
        return np.take_along_axis(line, index[None, None], axis=1)[:, 0]
