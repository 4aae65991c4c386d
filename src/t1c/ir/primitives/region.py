"""Markers that say something about a part of a graph and compute nothing."""

from __future__ import annotations

from enum import StrEnum

from ..fields import Array, choice, integer, text
from ..interval import Interval
from ..node import Bounds, Node, State
from ..registry import register_node
from .activation import Featured


class NeuronMode(StrEnum):
    """Which kind of network a region is."""

    SNN = "snn"
    ANN = "ann"


@register_node
class HybridRegion(Featured):
    """Marks where an 'ann' or 'snn' part of a hybrid network begins. y = x."""

    mode: str = choice(*NeuronMode)
    features: int = integer(low=1)
    name: str | None = text(default=None)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Pass ``x`` on."""
        return x, state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """What arrives leaves."""
        return x, state


@register_node
class Identity(Node):
    """y = x. Several edges into it are added. Any shape."""

    since = "0.1.0"

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Pass ``x`` on."""
        return x, state

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """What arrives leaves."""
        return x, state
