"""What a neuron's kernel has to know besides numbers: how it fires, resets and learns."""

from __future__ import annotations

from dataclasses import dataclass

from .surrogate import Surrogate

COEFFICIENTS = ("beta", "gain", "leak", "v_threshold", "v_reset", "alpha", "weight", "v_min")
"""The order in which kernels take coefficients; alpha and weight are those of a synapse.

In the place of v_reset is what a reset to a value sets, or what 'lower' takes off.
"""


@dataclass(frozen=True)
class Rule:
    """The options of a neuron.

    Attributes:
        reset: 'zero', 'value', 'subtract', 'none', 'hold', 'carry' or 'lower'; 'no_fire' of a
            neuron whose output is its membrane.
        delay: the reset caused by a step is applied in the next.
        strict: fires at u > threshold, not at u >= threshold.
        synapse: a current that decays by itself drives the membrane.
        surrogate: the slope of a spike, going backwards.
        detach_reset: no gradient flows through the spike that resets.
        many: several spikes at once, one for each threshold that the membrane holds.
        bounded: the membrane that is carried on is raised to v_min.
    """

    reset: str
    delay: bool
    strict: bool
    synapse: bool
    surrogate: Surrogate
    detach_reset: bool = True
    many: bool = False
    bounded: bool = False
