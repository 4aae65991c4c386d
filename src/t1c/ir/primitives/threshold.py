"""Threshold: a spike wherever the input is large enough, without memory."""

from __future__ import annotations

from ..fields import Array, array, choice
from ..interval import SPIKES, Interval
from ..node import Bounds, Node, State
from ..registry import register_node
from ..shapes import Shape
from .neuron import check_parameters, parameter_shape


@register_node
class Threshold(Node):
    """s = 1 if x >= threshold else 0; with fires_at='gt', NIR's reading, x > threshold.

    threshold is one number, per channel, or per element. Any shape.
    """

    since = "0.1.0"
    threshold: Array = array()
    fires_at: str = choice("ge", "gt", default="ge")

    def natural_input(self) -> Shape | None:
        """The shape of the threshold, unless it could be one number or per channel."""
        shape = self.threshold.shape
        return shape if self.threshold.size > 1 and 1 not in shape else None

    def output_shape(self, shape: Shape) -> Shape:
        """The shape stays."""
        check_parameters(self, shape)
        return shape

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Compare."""
        laid = self.threshold.reshape(parameter_shape(self.threshold.shape, x.shape[1:]))
        threshold = laid.astype(x.dtype)
        return (x >= threshold if self.fires_at == "ge" else x > threshold).astype(x.dtype), state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """Spikes."""
        return SPIKES, state
