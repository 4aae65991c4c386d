"""What all neurons share: parameters over features, one order of operations, firing and reset.

Time is discrete and tau counts steps. A neuron says how its parameters fold into coefficients, what
drives its membrane, and how the membrane decays; coefficients are folded once, in float64, and then
cast, so that every engine computes the same floating-point numbers in the same order. The formulas
use ``+``, ``-``, ``*`` and ``/`` only and so serve NumPy arrays and tensors alike.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..errors import Problem, ShapeError
from ..fields import Array, array, boolean, choice
from ..interval import SPIKES, ZERO, Interval
from ..node import Bounds, Node, State
from ..shapes import Shape, as_shape
from .firing import Firing, OnArrays

OPTIONS_SINCE = "0.1.0"
COUNTS_SINCE = "0.2.0"
LOWER_SINCE = "0.3.0"
ON_ARRAYS = OnArrays()
PLAIN = ("v_threshold", "v_reset", "v_min")
"""Parameters that a step takes as they are."""


def plain(p: Mapping[str, Any], reset: str | None) -> dict[str, Any]:
    """The parameters that a step takes unfolded, for a neuron with this reset.

    What reset='lower' takes off, ``v_threshold - v_reset``, is in the place of ``v_reset``: it is
    folded as all coefficients are.
    """
    kept = {name: p[name] for name in PLAIN if name in p}
    if reset == "lower":
        kept["v_reset"] = p["v_threshold"] - p["v_reset"]
    return kept


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


class Neuron(Node):
    """A membrane ``v`` that is driven and decays; without firing, its output is the updated v.

    State: (..., v), the membrane last.
    """

    breaks_cycles: ClassVar[bool] = True
    runs_alone: ClassVar[bool] = True
    state_names: ClassVar[tuple[str, ...]] = ("v",)

    @staticmethod
    def fold(p: Mapping[str, Any]) -> dict[str, Any]:
        """The coefficients of a step, from parameters that broadcast with each other."""
        raise NotImplementedError

    @staticmethod
    def drive(c: Mapping[str, Any], x: Any, extra: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """What drives the membrane, and the state variables before it, from the input ``x``."""
        raise NotImplementedError

    @staticmethod
    def decay(c: Mapping[str, Any], v: Any, drive: Any) -> Any:
        """The membrane before firing is tested."""
        raise NotImplementedError

    def natural_input(self) -> Shape | None:
        """The shape of the largest parameter, unless it may be one number, per channel or flat."""
        return natural_shape(self)

    def output_shape(self, shape: Shape) -> Shape:
        """A neuron for every feature: the shape stays."""
        check_parameters(self, shape)
        return shape

    def coefficients(self, x: Array) -> dict[str, Array]:
        """The folded coefficients, and the plain parameters, laid over ``x`` in its dtype."""
        p = {
            name: value.astype(np.float64).reshape(parameter_shape(value.shape, x.shape[1:]))
            for name, value in self.parameters().items()
        }
        kept = plain(p, getattr(self, "reset_mode", None))
        return {name: value.astype(x.dtype) for name, value in (self.fold(p) | kept).items()}

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Integrate, decay, and whatever follows from the membrane."""
        c = self.coefficients(x)
        *extra, v = state
        drive, before = self.drive(c, x, tuple(extra))
        output, v = self.settle(c, v, drive)
        return output, (*before, v)

    def settle(
        self, c: Mapping[str, Any], v: Any, drive: Any, on: Firing = ON_ARRAYS
    ) -> tuple[Any, Any]:
        """(output, membrane to carry on).

        Args:
            c: the coefficients, as of ``coefficients``, but of whatever kind of numbers.
            v: the membrane that was carried.
            drive: what drives it.
            on: firing and reset on that kind of numbers.
        """
        u = self.decay(c, v, drive)
        return u, u

    def bound(self, x: Interval, state: Bounds) -> tuple[Interval, Bounds]:
        """The formulas of a step, on what is known of their numbers."""
        p = {n: value.astype(np.float64) for n, value in self.parameters().items()}
        # Where a graph has not told it, the largest parameter stands for the features.
        features = as_shape((self.input_type or {}).get("input"))
        if features is None:
            features = max((value.shape for value in p.values()), key=math.prod)
        laid = {n: v.reshape(parameter_shape(v.shape, features)) for n, v in p.items()}
        kept = plain(laid, getattr(self, "reset_mode", None))
        c = {name: Interval.of(value) for name, value in (self.fold(laid) | kept).items()}
        *extra, v = state
        drive, before = self.drive(c, x, tuple(extra))
        output, v = self.settle_bounds(c, v, drive)
        return output, (*before, v)

    def settle_bounds(
        self, c: Mapping[str, Interval], v: Interval, drive: Interval
    ) -> tuple[Interval, Interval]:
        """What is known of (output, membrane to carry on)."""
        u: Interval = self.decay(c, v, drive)
        return u, u


@dataclasses.dataclass(eq=False, repr=False, kw_only=True)
class SpikingNeuron(Neuron):
    """The firing and reset that all spiking neurons share.

    Attributes:
        v_reset: the value that a reset jumps to; given alone it means ``reset='value'``.
        reset: 'zero' (the default), 'value', 'subtract' (the threshold), 'lower' (by
            ``v_threshold - v_reset``, so that a membrane at its threshold comes to v_reset and
            what it had above is kept), 'none', or one of two that other frameworks have. 'hold',
            with reset_delay only: the step after a spike ends at zero, so that its input is lost.
            'carry', without reset_delay only: a subtraction that takes place once for each spike
            but for a membrane that its reset left where it would fire: that one pays before the
            next step tests it, and not after it:
            ``u = decay - due * threshold; v = u - (s - due) * threshold``, with due = 1 where the
            stored membrane would fire.
        reset_delay: the reset caused by step t is applied at the start of step t+1: 'zero' and
            'value' before the decay, 'subtract', 'lower' and 'hold' after it. The state is then the
            potential as it was when firing was tested, and a stored potential that would fire is
            one that did.
        fires_at: 'ge' fires at u >= v_threshold, 'gt' at u > v_threshold.
        spikes: 'binary' sends one spike at most, 'multiple' several at once:
            ``s = floor(u / v_threshold)``, the quotient rounded, where u >= v_threshold, else 0.
            It goes with fires_at='ge' and thresholds above 0. A subtraction takes off as many
            thresholds, ``u - s * v_threshold``, and 'lower' as many distances; every other reset
            asks only whether s is above 0.
        v_min: the membrane never falls below: what a step carries on is raised to it at the end of
            the step, after the resets of that step, ``v = v_min if v < v_min else v``. Spikes are
            those of the membrane before. None: no bound.

    A step is, in this order: the drive; with reset_delay the reset that is due; the decay; firing;
    without reset_delay the reset; the bound.
    """

    v_reset: Array | None = array(default=None, since=OPTIONS_SINCE)  # noqa: RUF009 - a field
    reset: str | None = choice(
        "zero",
        "value",
        "subtract",
        "none",
        "hold",
        "carry",
        "lower",
        default=None,
        since=OPTIONS_SINCE,
        later={"lower": LOWER_SINCE},
    )
    reset_delay: bool = boolean(default=False, since=OPTIONS_SINCE)
    fires_at: str = choice("ge", "gt", default="ge", since=OPTIONS_SINCE)
    spikes: str = choice("binary", "multiple", default="binary", since=COUNTS_SINCE)
    v_min: Array | None = array(default=None, since=COUNTS_SINCE)  # noqa: RUF009 - a field

    @property
    def reset_mode(self) -> str:
        """The reset in force: 'zero', 'value', 'subtract', 'lower', 'none', 'hold' or 'carry'."""
        return self.reset or ("zero" if self.v_reset is None else "value")

    def check(self) -> None:
        """A value to reset to is given if and only if the reset uses one; delays go with resets."""
        if self.reset_mode == "hold" and not self.reset_delay:
            remedy = "Without a delay a reset to zero is reset='zero'."
            raise self._error("reset", "hold", "reset_delay=True beside reset='hold'", remedy)
        if self.reset_mode == "carry" and self.reset_delay:
            remedy = "With a delay a reset by subtraction is reset='subtract'."
            raise self._error("reset", "carry", "reset_delay=False beside reset='carry'", remedy)
        uses = self.reset_mode in ("value", "lower")
        if uses and self.v_reset is None:
            raise self._error("v_reset", None, f"a value, because reset={self.reset!r}")
        if not uses and self.v_reset is not None:
            raise self._error(
                "v_reset",
                self.v_reset,
                f"nothing, because reset={self.reset!r} does not use it",
                "Drop v_reset, or use reset='value', or reset='lower' to subtract "
                "v_threshold - v_reset.",
            )
        if self.spikes == "multiple":
            self._check_counts()

    def _check_counts(self) -> None:
        if self.fires_at != "ge":
            remedy = "With spikes='multiple' use fires_at='ge'."
            raise self._error("fires_at", self.fires_at, "'ge' beside spikes='multiple'", remedy)
        threshold = self.parameters()["v_threshold"]
        if not (threshold > 0).all():
            raise self._error(
                "v_threshold",
                f"{threshold.min()} beside spikes='multiple'",
                "thresholds above 0, of which a membrane can hold several",
                "Use spikes='binary'.",
            )

    def settle(
        self, c: Mapping[str, Any], v: Any, drive: Any, on: Firing = ON_ARRAYS
    ) -> tuple[Any, Any]:
        """Fire, reset and bound: (spikes, membrane to carry on)."""
        spikes, v = self._fire_and_reset(c, v, drive, on)
        return spikes, on.raised(v, c["v_min"]) if "v_min" in c else v

    def _fire_and_reset(
        self, c: Mapping[str, Any], v: Any, drive: Any, on: Firing
    ) -> tuple[Any, Any]:
        threshold, target, mode = c["v_threshold"], c.get("v_reset"), self.reset_mode

        def fire(u: Any) -> Any:
            return on.fire(u, threshold, self.fires_at, self.spikes == "multiple")

        def jump(u: Any, spikes: Any) -> Any:
            if target is not None:
                return on.where(spikes, target, u)
            return u * (1 - (on.once(spikes) if self.spikes == "multiple" else spikes))

        if self.reset_delay:
            due = fire(v)
            u = self.decay(c, jump(v, due) if mode in ("zero", "value") else v, drive)
            if mode == "subtract":
                u = u - due * threshold
            elif mode == "lower":
                u = u - due * target
            elif mode == "hold":
                u = jump(u, due)
            return fire(u), u
        u = self.decay(c, v, drive)
        if mode == "carry":
            due = fire(v)
            u = u - due * threshold
            spikes = fire(u)
            return spikes, u - (spikes - due) * threshold
        spikes = fire(u)
        if mode == "subtract":
            return spikes, u - spikes * threshold
        if mode == "lower":
            return spikes, u - spikes * target
        return spikes, jump(u, spikes) if mode in ("zero", "value") else u

    def settle_bounds(
        self, c: Mapping[str, Interval], v: Interval, drive: Interval
    ) -> tuple[Interval, Interval]:
        """Of spikes, and of the membrane with every reset or without."""
        threshold, mode = c["v_threshold"], self.reset_mode
        target = c.get("v_reset", ZERO)

        def jumped(u: Interval) -> Interval:
            """A membrane that was reset where it fired: what did not lies below the threshold."""
            return u.minimum(threshold).union(target)

        if self.reset_delay or mode == "carry":
            due = self._count_bounds(v, threshold)
            u = self.decay(c, jumped(v) if mode in ("zero", "value") else v, drive)
            if mode in ("subtract", "carry"):
                u = u - due * threshold
            elif mode == "lower":
                u = u - due * target
            elif mode == "hold":
                u = u.union(ZERO)
            spikes = self._count_bounds(u, threshold)
            after = u - (spikes - due) * threshold if mode == "carry" else u
        else:
            u = self.decay(c, v, drive)
            spikes, after = self._count_bounds(u, threshold), u
            if mode == "subtract":
                after = self._lowered(u, spikes, threshold)
            elif mode == "lower":
                after = u.union(u - spikes * target)
            elif mode != "none":
                after = jumped(u)
        return spikes, after.maximum(c["v_min"]) if "v_min" in c else after

    def _lowered(self, u: Interval, spikes: Interval, threshold: Interval) -> Interval:
        """A membrane that lost its thresholds if it fired, and then at most what is above them."""
        rest = u - spikes * threshold
        left = u.high - threshold.low if self.spikes == "binary" else threshold.high
        high = u.high if u.high < threshold.low else max(min(u.high, threshold.high), left)
        return Interval(min(u.low, 0.0), high, rest.unit, rest.span)

    def _count_bounds(self, u: Interval, threshold: Interval) -> Interval:
        """Of the spikes of a membrane."""
        if self.spikes == "binary":
            return SPIKES
        most = np.floor(u.high / threshold.low) if u.high < np.inf else np.inf
        return Interval(0.0, max(0.0, float(most)), 1.0)


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


def natural_shape(node: Node) -> Shape | None:
    """The shape of the largest parameter, unless it may be one number, per channel or flat."""
    several = [p.shape for p in node.parameters().values() if p.size > 1]
    if not several:
        return None
    full = max(several, key=lambda shape: (math.prod(shape), len(shape)))
    # A vector beside smaller shapes that divide it may be a whole feature map, flattened.
    flat = len(full) == 1 and any(
        shape != full and full[0] % math.prod(shape) == 0 for shape in several
    )
    return None if flat or 1 in full else full


def check_parameters(node: Node, shape: Shape) -> None:
    """Raise ShapeError, naming the field, if a parameter does not lie over ``shape``."""
    for name, parameter in node.parameters().items():
        try:
            parameter_shape(parameter.shape, shape)
        except ShapeError as error:
            raise ShapeError([dataclasses.replace(p, field=name) for p in error.problems]) from None
