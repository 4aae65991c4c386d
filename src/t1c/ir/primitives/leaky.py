"""Leaky neurons: LIF fires, LI does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..fields import Array, array
from ..registry import register_node
from .neuron import Neuron, SpikingNeuron, check_tau


class Leaky(Neuron):
    """A membrane that decays towards its leak potential by beta = 1 - 1/tau in a step."""

    tau: Array

    @staticmethod
    def fold(p: Mapping[str, Any]) -> dict[str, Any]:
        """Beta = 1 - 1/tau, gain = (1 - beta) r, leak = (1 - beta) v_leak.

        1 - beta is taken as 1/tau, so that r = tau gives a gain of exactly 1.
        """
        tau = p["tau"]
        return {"beta": 1 - 1 / tau, "gain": p["r"] / tau, "leak": p["v_leak"] / tau}

    @staticmethod
    def drive(c: Mapping[str, Any], x: Any, extra: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """Gain * x + leak."""
        return c["gain"] * x + c["leak"], extra

    @staticmethod
    def decay(c: Mapping[str, Any], v: Any, drive: Any) -> Any:
        """Beta * v + drive."""
        return c["beta"] * v + drive

    def check(self) -> None:
        """Options that go together, and a tau that decays."""
        super().check()
        check_tau(self, "tau", self.tau)


@register_node
class LIF(Leaky, SpikingNeuron):
    """Leaky integrate-and-fire neuron.

    With beta = 1 - 1/tau and the membrane v starting at 0, each step computes::

        u = beta * v + ((1 - beta) * r * x + (1 - beta) * v_leak)
        s = 1 if u >= v_threshold else 0
        v = u * (1 - s)

    This is forward Euler for NIR's LIF, tau dv/dt = (v_leak - v) + r x, in steps of one.
    tau in steps, at least 1; r, v_leak and v_threshold in the membrane's unit. Each is one number,
    per channel, or per neuron. Output: spikes, of the input's shape. State: (v,).
    """

    tau: Array = array()
    r: Array = array()
    v_leak: Array = array()
    v_threshold: Array = array()


@register_node
class LI(Leaky):
    """Leaky integrator: the membrane of a LIF that never fires.

    v = beta * v + ((1 - beta) * r * x + (1 - beta) * v_leak), with beta = 1 - 1/tau.
    NIR's LI in steps of one. Output: the updated v. State: (v,).
    """

    since = "0.1.0"
    tau: Array = array()
    r: Array = array()
    v_leak: Array = array()
