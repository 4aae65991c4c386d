"""Neurons: what a membrane does in one time step, and when it fires.

Time is discrete and tau counts steps. The coefficients are folded once, in float64, and then cast,
so that every engine computes the same floating-point numbers in the same order.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from ..errors import Problem, ShapeError
from ..fields import Array, array, boolean, choice
from ..node import Node, Shape, State, register_node

OPTIONS_SINCE = "0.1.0"


def parameter_shape(shape: Shape, features: Shape) -> Shape:
    """How a neuron's parameter of ``shape`` lies over a feature map, ready to broadcast.

    One number is for all. ``(C,)`` over ``(C, H, W)`` is per channel, never per column;
    ``(C, 1, 1)``, the full shape and the full shape flattened are what they look like.

    Raises:
        ShapeError: it is none of these.
    """
    if math.prod(shape) == 1:
        return ()
    if len(shape) == len(features) and all(
        p in (1, f) for p, f in zip(shape, features, strict=True)
    ):
        return shape
    if len(shape) == 1 and features and shape[0] == features[0]:
        return (shape[0], *[1] * (len(features) - 1))
    if shape == (math.prod(features),):
        return features
    ones = tuple([1] * (len(features) - 1))
    channels = f", per channel ({features[0]},) or {(features[0], *ones)}" if ones else ""
    raise ShapeError(
        Problem(
            f"a parameter of shape {shape} for input of shape {features}",
            f"one number{channels}, or the full shape {features}",
        )
    )


def over(parameter: Array, features: Shape, dtype: np.dtype[np.generic]) -> Array:
    """A parameter cast to ``dtype`` and laid over ``features``."""
    return parameter.astype(dtype).reshape(parameter_shape(parameter.shape, features))


class Neuron(Node):
    """What all neurons share: parameters that broadcast over the feature shape."""

    breaks_cycles: ClassVar[bool] = True
    runs_alone: ClassVar[bool] = True

    def natural_input(self) -> Shape | None:
        """The shape of the largest parameter, unless it may be one number, per channel or flat."""
        several = [p.shape for p in self.parameters().values() if p.size > 1]
        if not several:
            return None
        full = max(several, key=lambda shape: (math.prod(shape), len(shape)))
        # A vector beside smaller shapes that divide it may be a whole feature map, flattened.
        flat = len(full) == 1 and any(
            shape != full and full[0] % math.prod(shape) == 0 for shape in several
        )
        return None if flat or 1 in full else full

    def output_shape(self, shape: Shape) -> Shape:
        """A neuron for every feature: the shape stays."""
        for name, parameter in self.parameters().items():
            try:
                parameter_shape(parameter.shape, shape)
            except ShapeError as error:
                raise ShapeError(
                    [dataclasses.replace(p, field=name) for p in error.problems]
                ) from None
        return shape


@dataclasses.dataclass(eq=False, repr=False, kw_only=True)
class SpikingNeuron(Neuron):
    """The firing and reset that all spiking neurons share.

    Attributes:
        v_reset: the value that a reset jumps to; given alone it means ``reset='value'``.
        reset: 'zero' (the default), 'value', 'subtract' (the threshold) or 'none'.
        reset_delay: the reset caused by step t is applied at the start of step t+1: 'zero' and
            'value' before the decay, 'subtract' after it. The state is then the potential as it
            was when firing was tested, and a stored potential that would fire is one that did.
        fires_at: 'ge' fires at u >= v_threshold, 'gt' at u > v_threshold.
    """

    v_reset: Array | None = array(default=None, since=OPTIONS_SINCE)  # noqa: RUF009 - a field
    reset: str | None = choice(
        "zero", "value", "subtract", "none", default=None, since=OPTIONS_SINCE
    )
    reset_delay: bool = boolean(default=False, since=OPTIONS_SINCE)
    fires_at: str = choice("ge", "gt", default="ge", since=OPTIONS_SINCE)

    @property
    def reset_mode(self) -> str:
        """The reset in force: 'zero', 'value', 'subtract' or 'none'."""
        return self.reset or ("zero" if self.v_reset is None else "value")

    def check(self) -> None:
        """A value to reset to is given if and only if the reset uses one."""
        if self.reset_mode == "value" and self.v_reset is None:
            raise self._error("v_reset", None, "a value, because reset='value'")
        if self.reset_mode != "value" and self.v_reset is not None:
            raise self._error(
                "v_reset",
                self.v_reset,
                f"nothing, because reset={self.reset!r} does not use it",
                "Drop v_reset, or use reset='value'.",
            )

    def threshold(self, u: Array) -> Array:
        """v_threshold laid over ``u``, in its dtype."""
        return over(self.parameters()["v_threshold"], u.shape[1:], u.dtype)

    def fire(self, u: Array) -> Array:
        """1 where ``u`` reaches (or with fires_at='gt' passes) the threshold, else 0."""
        threshold = self.threshold(u)
        spikes = u >= threshold if self.fires_at == "ge" else u > threshold
        return spikes.astype(u.dtype)

    def fire_and_reset(self, v: Array, decay: Callable[[Array], Array]) -> tuple[Array, Array]:
        """One step of the membrane ``v``: (spikes, membrane to carry on).

        ``decay`` maps the membrane carried in to the membrane before firing is tested.
        """
        features, dtype = v.shape[1:], v.dtype
        threshold = self.threshold(v)
        target = None if self.v_reset is None else over(self.v_reset, features, dtype)
        one = dtype.type(1)

        def jump(u: Array, spikes: Array) -> Array:
            return u * (one - spikes) if target is None else np.where(spikes > 0, target, u)

        mode = self.reset_mode
        if self.reset_delay:
            due = self.fire(v)
            u = decay(jump(v, due) if mode in ("zero", "value") else v)
            if mode == "subtract":
                u = u - due * threshold
            return self.fire(u), u
        u = decay(v)
        spikes = self.fire(u)
        if mode == "subtract":
            return spikes, u - spikes * threshold
        return spikes, jump(u, spikes) if mode in ("zero", "value") else u


def check_tau(node: Node, name: str, tau: Array) -> None:
    """Tau counts steps: finite, and at least 1 because beta = 1 - 1/tau is at least 0."""
    bad = ~(np.isfinite(tau) & (tau >= 1))
    if bad.any():
        raise node._error(
            name,
            f"{tau[bad].ravel()[0]!s} ({int(bad.sum())} of {tau.size} values)",
            "finite values of at least 1",
            "tau is in time steps: divide a time constant in seconds by the time step.",
        )


def leaky_coefficients(tau: Array, r: Array, v_leak: Array) -> tuple[Array, Array, Array]:
    """Beta = 1 - 1/tau, gain = (1 - beta) r and leak = (1 - beta) v_leak, in float64.

    1 - beta is taken as 1/tau, so that r = tau gives a gain of exactly 1. The three parameters
    must broadcast with each other.
    """
    tau, r, v_leak = (p.astype(np.float64) for p in (tau, r, v_leak))
    return 1 - 1 / tau, r / tau, v_leak / tau


@register_node
class LIF(SpikingNeuron):
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
    state_names: ClassVar[tuple[str, ...]] = ("v",)

    def check(self) -> None:
        """Options that go together, and a tau that decays."""
        super().check()
        check_tau(self, "tau", self.tau)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Decay, integrate, fire, reset."""
        features = x.shape[1:]
        folded = leaky_coefficients(
            *(over(p, features, np.dtype(np.float64)) for p in (self.tau, self.r, self.v_leak))
        )
        beta, gain, leak = (c.astype(x.dtype) for c in folded)
        spikes, v = self.fire_and_reset(state[0], lambda v: beta * v + (gain * x + leak))
        return spikes, (v,)
