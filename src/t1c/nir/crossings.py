"""How one field crosses between NIR, in seconds, and a graph, in steps; both ways side by side.

With ``T = tau/dt``, a time constant is carried as ``1 / (1 - beta)``, so that the node's own
``beta = 1 - 1/tau`` gives back the decay of the integrator:

=============  =================  ========================
integrator     beta               tau in steps
=============  =================  ========================
euler          1 - dt/tau         T
exponential    exp(-dt/tau)       1 / (1 - exp(-1/T))
=============  =================  ========================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from t1c.ir import Node
from t1c.ir.errors import NodeError, Problem
from t1c.ir.fields import Array, ArrayKind, show

from .conventions import Conventions, Gain

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """A field that means the same on both sides.

    Attributes:
        name: on both sides.
        default: what an absent field means; None if it must be there.
    """

    name: str
    default: Any = None

    def take(self, fields: Fields, c: Conventions, kind: str) -> Any:
        """The value for the node, from all fields of a NIR node of type ``kind``."""
        return self.found(fields)

    def give(self, node: Node, c: Conventions) -> Any:
        """The value for NIR, from the node."""
        return getattr(node, self.name)

    def found(self, fields: Fields) -> Any:
        """The value in NIR.

        Raises:
            NodeError: it is not there.
        """
        if self.name in fields:
            return fields[self.name]
        if self.default is None:
            raise NodeError(Problem("it is missing", "a value", field=self.name))
        return self.default

    def number(self, fields: Fields) -> Array:
        """The value in NIR as an array of double precision."""
        return numbers(self.found(fields), self.name)


@dataclass(frozen=True)
class Parameter(Field):
    """An array with one number for each neuron, as which NIR writes it in full."""


@dataclass(frozen=True)
class Bias(Field):
    """A bias that some producers leave out where it is zero."""

    def take(self, fields: Fields, c: Conventions, kind: str) -> Any:
        """Zeros where there is none."""
        if self.name in fields or "weight" not in fields:
            return self.found(fields)
        weight = np.asarray(fields["weight"])
        return np.zeros(weight.shape[:1], weight.dtype)


@dataclass(frozen=True)
class Sizes(Field):
    """One size for each spatial dimension; written as an array."""

    def give(self, node: Node, c: Conventions) -> Any:
        """An array of integers, or text."""
        value = getattr(node, self.name)
        return np.array(value, dtype=np.int64) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Stride(Sizes):
    """A pool's stride, which is its kernel where a graph has none."""

    def give(self, node: Any, c: Conventions) -> Any:
        """Never absent."""
        return np.array(node.kernel_size if node.stride is None else node.stride, dtype=np.int64)


@dataclass(frozen=True)
class Scaled(Parameter):
    """A parameter that is multiplied or divided by dt; ``like`` names one that keeps its dtype."""

    like: str = ""

    def typed(self, value: Array, node: Node) -> Array:
        """``value`` in the precision of the node's unscaled parameters."""
        beside = getattr(node, self.like).dtype if self.like else value.dtype
        return value.astype(beside if beside.kind == "f" else np.float64)


@dataclass(frozen=True)
class Tau(Scaled):
    """A time constant: seconds in NIR, steps in the graph."""

    def take(self, fields: Fields, c: Conventions, kind: str) -> Array:
        """Steps, at least 1.

        Raises:
            NodeError: it is not a time, or shorter than a step of forward Euler can follow.
        """
        stored = self.found(fields)
        steps = self.steps(fields, c)
        bad = ~(steps > 0)
        if bad.any():
            raise self._refused(stored, bad, "time constants above 0 s")
        if c.integrator == "exponential":
            return np.asarray(1 / -np.expm1(-1 / steps))
        # A tau of one step, in the file's precision, may come out a little below 1.
        dtype = np.asarray(stored).dtype
        slack = 4 * float(np.finfo(dtype if dtype.kind == "f" else np.float64).eps)
        steps = np.where((steps < 1) & (steps > 1 - slack), 1.0, steps)
        bad = steps < 1
        if bad.any():
            raise self._refused(
                stored,
                bad,
                f"at least dt = {c.dt:g} s: a longer step of forward Euler overshoots",
                "Pass a smaller dt, or integrator='exponential'; if the file counts in another "
                "unit, name its dialect.",
            )
        return steps

    def give(self, node: Node, c: Conventions) -> Array:
        """Seconds."""
        steps = getattr(node, self.name).astype(np.float64)
        if c.integrator == "exponential":
            with np.errstate(divide="ignore"):
                steps = -1 / np.log1p(-1 / steps)
            if (steps == 0).any():
                raise NodeError(
                    Problem(
                        "1 step, which forgets everything",
                        "more than 1: no time constant decays to 0 in one step",
                        "Export with integrator='euler'.",
                        field=self.name,
                    )
                )
        return self.typed(steps * c.dt / c.tau_unit, node)

    def steps(self, fields: Fields, c: Conventions) -> Array:
        """T = tau/dt."""
        return self.number(fields) * c.tau_unit / c.dt

    def _refused(self, stored: Any, bad: Array, expected: str, remedy: str = "") -> NodeError:
        first = np.asarray(stored)[bad].flat[0] if np.ndim(stored) else stored
        count = f" ({int(bad.sum())} of {bad.size} values)" if bad.size > 1 else ""
        return NodeError(Problem(f"{first!s}{count}", expected, remedy, field=self.name))


@dataclass(frozen=True)
class Charge(Scaled):
    """The r of an integrator, dv/dt = r x: per second in NIR, per step in the graph."""

    def take(self, fields: Fields, c: Conventions, kind: str) -> Any:
        """R dt."""
        r = self.number(fields)
        return r if self._per_step(c, kind, r) else r * c.dt

    def give(self, node: Node, c: Conventions) -> Array:
        """R / dt."""
        r = getattr(node, self.name).astype(np.float64)
        return self.typed(r if self._per_step(c, node.primitive, r) else r / c.dt, node)

    def _per_step(self, c: Conventions, kind: str, r: Array) -> bool:
        gain = c.gains.get(f"{kind}.{self.name}")
        return gain is not None and gain.meant == "step" and _close(r, np.ones_like(r))


@dataclass(frozen=True)
class Weight(Parameter):
    """A weight of the input (r, w_in), of which (1 - beta) enters in a step.

    Some producers write one that NIR's equation does not give back; the dialect says what was
    meant, and is followed where the file holds what that producer writes.
    """

    tau: Tau = Tau("tau")

    def take(self, fields: Fields, c: Conventions, kind: str) -> Any:
        """As it is, or what the dialect says was meant."""
        stored = self.found(fields)
        gain = c.gains.get(f"{kind}.{self.name}")
        if gain is None:
            return stored
        written, meant = _weights(gain, self.tau.steps(fields, c), self.tau.take(fields, c, kind))
        same = _close(numbers(stored, self.name), written)
        return meant if same else stored

    def give(self, node: Node, c: Conventions) -> Any:
        """As it is, or what the dialect's producer writes for it."""
        value = getattr(node, self.name)
        gain = c.gains.get(f"{node.primitive}.{self.name}")
        if gain is None:
            return value
        carried = getattr(node, self.tau.name).astype(np.float64)
        seconds = self.tau.give(node, c).astype(np.float64)
        written, meant = _weights(gain, seconds * c.tau_unit / c.dt, carried)
        return written if _close(value.astype(np.float64), meant) else value


@dataclass(frozen=True)
class Steps(Scaled):
    """A delay: seconds in NIR, whole steps in the graph."""

    def take(self, fields: Fields, c: Conventions, kind: str) -> Array:
        """The nearest whole number of steps."""
        steps = np.rint(self.number(fields) / c.dt)
        if not (np.isfinite(steps) & (np.abs(steps) < 2**31)).all():
            raise NodeError(
                Problem(show(self.found(fields)), "a delay in seconds", field=self.name)
            )
        return steps.astype(np.int64)

    def give(self, node: Node, c: Conventions) -> Array:
        """Seconds."""
        return np.asarray(getattr(node, self.name).astype(np.float64) * c.dt)


def numbers(value: Any, name: str) -> Array:
    """A value as an array of double precision.

    Raises:
        NodeError: it is not numeric.
    """
    try:
        array: Array = ArrayKind().convert(value).astype(np.float64)
    except NodeError as error:
        raise NodeError(
            [Problem(p.found, p.expected, p.remedy, field=name) for p in error.problems]
        ) from None
    return array


def _weights(gain: Gain, steps: Array, carried: Array) -> tuple[Array, Array]:
    """What the producer writes for T = ``steps``, and the weight that its neuron has.

    A weight of ``carried`` = 1 / (1 - beta) adds the input as it is.
    """
    written = {
        "1": np.ones_like(steps),
        "tau/dt": steps,
        "tau/dt - 1": steps - 1,
        "1 - dt/tau": 1 - 1 / steps,
        "tau/dt * exp(-dt/tau)": steps * np.exp(-1 / steps),
    }[gain.written]
    return written, carried if gain.meant == "unit" else carried - 1


def _close(a: Array, b: Array) -> bool:
    """Equal to single precision."""
    try:
        return bool(np.allclose(a, b, rtol=1e-5, atol=0))
    except ValueError:  # shapes that do not go together
        return False
