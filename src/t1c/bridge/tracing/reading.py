"""Elementwise nodes read as algebra: what a signal is of memory, inputs and spikes.

What does not depend on the loop's memory is an input, whatever it is made of. A comparison gives a
spike; two that always agree give the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.primitives.neuron import parameter_shape

from .affine import Array, Atom, Sum, multiple
from .drawing import Signal, Spot

ELEMENTWISE = (
    *(ir.Scale, ir.Shift, ir.Clip, ir.Unary, ir.Power, ir.Binary, ir.Where, ir.Threshold),
    *(ir.Identity, ir.Skip, ir.ReLU, ir.Sigmoid, ir.Tanh),
)
"""Nodes that treat each feature by itself, and remember nothing."""


@dataclass(frozen=True)
class Spike:
    """1 where a potential reaches 0 ('ge'), or is above it ('gt'), else 0.

    Attributes:
        potential: of its loop's memory and inputs, less a threshold.
        fires_at: 'ge' or 'gt'.
        spot: the comparison that was first met.
    """

    potential: Sum
    fires_at: str
    spot: Spot


@dataclass(frozen=True)
class Other:
    """A function of something: equal ones are one atom."""

    node: ir.Node
    of: tuple[Sum, ...]


class UnreadableError(Exception):
    """More than elementwise algebra."""


def is_elementwise(spot: Spot) -> bool:
    """Whether a spot is one elementwise node, all of whose inputs have its shape."""
    node = spot.node
    joins = isinstance(node, ir.Skip) and not node.adds_inputs
    return len(spot.fragment.nodes) == 1 and isinstance(node, ELEMENTWISE) and not joins


def is_memory(spot: Spot) -> bool:
    """Whether a spot is a Delay of one step."""
    node = spot.node
    return (
        len(spot.fragment.nodes) == 1
        and isinstance(node, ir.Delay)
        and bool((node.delay == 1).all())
    )


class Reader:
    """Reads the signals around one loop.

    Args:
        memories: its Delays.
        region: the elementwise spots that depend on them in the same step.
    """

    def __init__(self, memories: Sequence[Spot], region: Collection[Spot]) -> None:
        self.memories, self._region = list(memories), region
        self.inputs: list[Signal] = []
        self.spikes: list[Spike] = []
        self.others: list[Other] = []
        self._read: dict[Spot, Sum] = {}

    def read(self, signal: Signal) -> Sum:
        """What a signal is.

        Raises:
            UnreadableError: shapes are stretched on the way.
            TooManyTermsError: it is long.
        """
        spot = signal.spot
        if spot in self.memories:
            return Sum.of(Atom("memory", self.memories.index(spot)))
        numbers = constant(signal)
        if numbers is not None:
            return Sum.constant(numbers)
        if spot not in self._region:
            return Sum.of(self._input(signal))
        if spot not in self._read:
            if any(s.features != signal.features for s in spot.inputs):
                raise UnreadableError
            self._read[spot] = self._value(spot, [self.read(s) for s in spot.inputs])
        return self._read[spot]

    def _input(self, signal: Signal) -> Atom:
        for number, known in enumerate(self.inputs):
            same = (known.spot, known.port, known.membrane)
            if same == (signal.spot, signal.port, signal.membrane):
                return Atom("input", number)
        self.inputs.append(signal)
        return Atom("input", len(self.inputs) - 1)

    def _value(self, spot: Spot, given: list[Sum]) -> Sum:
        node, features = spot.node, spot.inputs[0].features
        if isinstance(node, ir.Skip | ir.Identity):
            return sum(given[1:], given[0])
        if isinstance(node, ir.Scale):
            return given[0].times(laid(node.scale, features))
        if isinstance(node, ir.Shift):
            return given[0] + Sum.constant(laid(node.shift, features))
        if isinstance(node, ir.Threshold):
            level = Sum.constant(laid(node.threshold, features))
            return self._compared(given[0] - level, node.fires_at, spot)
        if isinstance(node, ir.Binary):
            return self._combined(node, spot, *given)
        if isinstance(node, ir.Where):
            return self._chosen(node, *given)
        if isinstance(node, ir.Unary) and node.op == "neg":
            return given[0].times(-1.0)
        return self._other(node, *given)

    def _combined(self, node: ir.Binary, spot: Spot, a: Sum, b: Sum) -> Sum:
        if node.op == "subtract":
            return a - b
        if node.op == "multiply":
            return a * b
        if node.op == "divide" and set(b.terms) == {()} and np.all(b.coefficient()):
            return a.times(1 / b.coefficient())
        if node.op in ("greater", "greater_or_equal"):
            return self._compared(a - b, "gt" if node.op == "greater" else "ge", spot)
        known = _tested(a - b, lambda x: x == 0) if node.op == "equal" else None
        return self._other(node, a, b) if known is None else known

    def _chosen(self, node: ir.Where, condition: Sum, a: Sum, b: Sum) -> Sum:
        if not self._is_truth(condition):
            return self._other(node, condition, a, b)
        return condition * a + (Sum.constant(1.0) - condition) * b

    def _is_truth(self, value: Sum) -> bool:
        """Whether a value is a spike, or 1 less a spike."""
        opposite = Sum.constant(1.0) - value
        found = value.only() or opposite.only()
        return found is not None and found.kind == "spike"

    def _compared(self, potential: Sum, fires_at: str, spot: Spot) -> Sum:
        """The spike of a potential; of one that is a spike itself, what that makes of it."""
        known = _tested(potential, lambda x: x > 0 if fires_at == "gt" else x >= 0)
        if known is not None:
            return known
        first = next(c for term, c in sorted(potential.terms.items()) if term)
        if np.all(first < 0):
            # -x > 0 is where x >= 0 is not.
            opposite = "ge" if fires_at == "gt" else "gt"
            return Sum.constant(1.0) - Sum.of(self._spike(potential.times(-1.0), opposite, spot))
        return Sum.of(self._spike(potential, fires_at, spot))

    def _spike(self, potential: Sum, fires_at: str, spot: Spot) -> Atom:
        for number, known in enumerate(self.spikes):
            alike = multiple(potential, known.potential)
            if alike is not None and known.fires_at == fires_at:
                factor, rest = alike
                if np.all(factor > 0) and not np.any(rest):
                    return Atom("spike", number)
        self.spikes.append(Spike(potential, fires_at, spot))
        return Atom("spike", len(self.spikes) - 1)

    def _other(self, node: ir.Node, *given: Sum) -> Sum:
        for number, known in enumerate(self.others):
            alike = known.node.equals(node) and len(known.of) == len(given)
            if alike and all(a.equals(b) for a, b in zip(known.of, given, strict=True)):
                return Sum.of(Atom("other", number))
        self.others.append(Other(node, given))
        return Sum.of(Atom("other", len(self.others) - 1))


def _tested(value: Sum, test: Callable[[Array], Array]) -> Sum | None:
    """What a test gives of a constant, or of one spike: 0 or 1 where it is silent and fires."""
    atoms = value.atoms()
    off = test(value.coefficient()).astype(np.float64)
    if not atoms:
        return Sum.constant(off)
    (atom, *more) = atoms
    if more or atom.kind != "spike":
        return None
    on = test(value.coefficient() + value.coefficient(atom)).astype(np.float64)
    return Sum({(atom,): on - off, (): off})


def laid(values: Any, features: tuple[int, ...]) -> Array:
    """A parameter, ready to broadcast over the features."""
    return np.asarray(values, np.float64).reshape(parameter_shape(values.shape, features))


def constant(signal: Signal) -> Array | None:
    """The numbers that a signal is at every step, if it is the same at all; see ``Drawing``."""
    node = signal.spot.node
    if isinstance(node, ir.Clip) and node.low is not None and node.high is not None:
        same = node.low.shape == node.high.shape and np.array_equal(node.low, node.high)
        return laid(node.low, signal.features) if same else None
    if not isinstance(node, ir.Shift | ir.Scale) or len(signal.spot.inputs) != 1:
        return None
    before = constant(signal.spot.inputs[0])
    if before is None:
        return None
    if isinstance(node, ir.Shift):
        return before + laid(node.shift, signal.features)
    return before * laid(node.scale, signal.features)
