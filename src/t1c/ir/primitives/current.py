"""Current-based neurons: a synaptic current that decays by itself drives the membrane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..fields import Array, array
from ..registry import register_node
from .neuron import Neuron, SpikingNeuron, check_tau


class CurrentBased(Neuron):
    """A leaky membrane behind a leaky synapse."""

    state_names: ClassVar[tuple[str, ...]] = ("i", "v")
    tau_syn: Array
    tau_mem: Array

    @staticmethod
    def fold(p: Mapping[str, Any]) -> dict[str, Any]:
        """Alpha and the weight of the synapse; beta, gain and leak of the membrane."""
        tau_syn, tau_mem = p["tau_syn"], p["tau_mem"]
        return {
            "alpha": 1 - 1 / tau_syn,
            "weight": p["w_in"] / tau_syn,
            "beta": 1 - 1 / tau_mem,
            "gain": p["r"] / tau_mem,
            "leak": p["v_leak"] / tau_mem,
        }

    @staticmethod
    def drive(c: Mapping[str, Any], x: Any, extra: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """The new current, i = alpha * i + weight * x, drives the membrane in the same step."""
        i = c["alpha"] * extra[0] + c["weight"] * x
        return c["gain"] * i + c["leak"], (i,)

    @staticmethod
    def decay(c: Mapping[str, Any], v: Any, drive: Any) -> Any:
        """Beta * v + drive."""
        return c["beta"] * v + drive

    def check(self) -> None:
        """Options that go together, and time constants that decay."""
        super().check()
        check_tau(self, "tau_syn", self.tau_syn)
        check_tau(self, "tau_mem", self.tau_mem)


@register_node
class CubaLIF(CurrentBased, SpikingNeuron):
    """Current-based leaky integrate-and-fire neuron.

    With alpha = 1 - 1/tau_syn and beta = 1 - 1/tau_mem, each step computes::

        i = alpha * i + (1 - alpha) * w_in * x
        u = beta * v + ((1 - beta) * r * i + (1 - beta) * v_leak)

    and fires and resets as a LIF. NIR's CubaLIF in steps of one. Output: spikes. State: (i, v).
    """

    since = "0.1.0"
    tau_syn: Array = array()
    tau_mem: Array = array()
    r: Array = array()
    v_leak: Array = array()
    v_threshold: Array = array()
    w_in: Array = array(default=1.0)


@register_node
class CubaLI(CurrentBased):
    """Current-based leaky integrator: a CubaLIF that never fires.

    NIR's CubaLI in steps of one. Output: the updated v. State: (i, v).
    """

    since = "0.1.0"
    tau_syn: Array = array()
    tau_mem: Array = array()
    r: Array = array()
    v_leak: Array = array()
    w_in: Array = array(default=1.0)
