"""Integrators without leak: IF fires, I does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..fields import Array, array
from ..registry import register_node
from .neuron import Neuron, SpikingNeuron


class Integrating(Neuron):
    """A membrane that forgets nothing."""

    @staticmethod
    def fold(p: Mapping[str, Any]) -> dict[str, Any]:
        """Gain = r."""
        return {"gain": p["r"]}

    @staticmethod
    def drive(c: Mapping[str, Any], x: Any, extra: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """R * x."""
        return c["gain"] * x, extra

    @staticmethod
    def decay(c: Mapping[str, Any], v: Any, drive: Any) -> Any:
        """V + drive."""
        return v + drive


@register_node
class IF(Integrating, SpikingNeuron):
    """Integrate-and-fire neuron: u = v + r * x; fires and resets as a LIF.

    NIR's IF, dv/dt = r x, in steps of one. Output: spikes. State: (v,).
    """

    since = "0.1.0"
    v_threshold: Array = array()
    r: Array = array(default=1.0, since="0.1.0")


@register_node
class I(Integrating):  # noqa: E742 - NIR's name for it
    """Integrator: v = v + r * x.

    NIR's I, dv/dt = r x, in steps of one. Output: the updated v. State: (v,).
    """

    since = "0.1.0"
    r: Array = array()
