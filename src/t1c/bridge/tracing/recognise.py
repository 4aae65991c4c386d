"""Neurons written out in operations, written as the primitive that they are.

A loop of elementwise nodes through Delays of one step is read as algebra; where its sums are those
of a primitive, its comparison becomes that neuron, and what it was made of is left out. Names play
no part. A neuron whose membrane something else takes stays as it is, as no primitive sends it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.topology import Topology

from ..modules.exporting import Fragment
from ..modules.tied import trained_fields, with_constants
from .affine import Array, Atom, Sum, TooManyTermsError
from .drawing import Drawing, Signal, Spot
from .membrane import Membrane, firing, membrane_of
from .reading import Reader, UnreadableError, is_elementwise, is_memory, laid
from .solving import gain_of, numbers, time_constant_of


def recognise(drawing: Drawing, outputs: list[Signal]) -> None:
    """Make neurons of all loops that are such.

    Args:
        drawing: whose spots are changed.
        outputs: what the model returns; those that are spikes of a neuron become its.
    """
    drawn = _Drawn(drawing, outputs)
    for loop in drawn.loops():
        drawn.rewrite(loop)
    drawn.join_currents()
    for spot, label in zip(drawn.found, drawn.labels(), strict=True):
        spot.home, spot.label, spot.own = label
        spot.recognised = True


class _Drawn:
    def __init__(self, drawing: Drawing, outputs: list[Signal]) -> None:
        self.spots, self.outputs = drawing.spots, outputs
        self.found: list[Spot] = []
        self._loops: dict[Spot, list[Spot]] = {}
        self._after: dict[Spot, list[Spot]] = {}
        self._index()

    def _index(self) -> None:
        self._after = {spot: [] for spot in self.spots}
        for spot in self.spots:
            for signal in spot.inputs:
                self._after[signal.spot].append(spot)

    def loops(self) -> list[list[Spot]]:
        """The loops of elementwise spots and Delays of one step, in the order of the drawing."""
        kept = {s: str(i) for i, s in enumerate(self.spots) if is_elementwise(s) or is_memory(s)}
        edges = [
            (kept[signal.spot], name)
            for spot, name in kept.items()
            for signal in spot.inputs
            if signal.spot in kept
        ]
        found = Topology(kept.values(), edges).loops()
        return [[self.spots[int(i)] for i in sorted(loop, key=int)] for loop in found]

    def rewrite(self, loop: list[Spot]) -> None:
        """Make a neuron of a loop, if it is one."""
        memories = [spot for spot in loop if is_memory(spot)]
        if len(memories) > 2 or any(laid_over(m).any() for m in memories):
            return
        region = self._region(memories)
        for order in (memories, memories[::-1])[: len(memories)]:
            reader = Reader(order, region)
            try:
                self._read(reader, region)
                made = membrane_of(reader, order[0].inputs[0].features)
                if made is None:
                    continue
                if self._write(reader, loop, made, region):
                    return
            except (UnreadableError, TooManyTermsError):
                continue

    def _region(self, memories: Iterable[Spot]) -> list[Spot]:
        """The elementwise spots that depend on memories in the same step."""
        waiting, seen = list(memories), set(memories)
        while waiting:
            for spot in self._after[waiting.pop()]:
                if spot not in seen and is_elementwise(spot):
                    seen.add(spot)
                    waiting.append(spot)
        return [spot for spot in self.spots if spot in seen and not is_memory(spot)]

    @staticmethod
    def _read(reader: Reader, region: Iterable[Spot]) -> None:
        """Meet the comparisons: those of the loop, and those of its membrane."""
        for memory in reader.memories:
            reader.read(memory.inputs[0])
        for spot in region:
            if isinstance(spot.node, ir.Threshold | ir.Binary):
                try:
                    reader.read(Signal(spot, spot.inputs[0].features))
                except (UnreadableError, TooManyTermsError):
                    continue

    # Writing -----------------------------------------------------------------------------------

    def _write(
        self, reader: Reader, loop: list[Spot], made: Membrane, region: Collection[Spot]
    ) -> bool:
        """Put the neuron in the place of its comparison, or of its membrane where it has none."""
        memory = reader.memories[0]
        carried = memory.inputs[0]
        if made.spike is None and (fires := firing(reader, made)) is not None:
            changes = self._neuron(reader, fires, carried, region)
            if self._settle(changes, loop, memory):
                return True
        return self._settle(self._neuron(reader, made, carried, region), loop, memory)

    def _neuron(
        self, reader: Reader, made: Membrane, carried: Signal, region: Collection[Spot]
    ) -> _Changes:
        features = carried.features
        changes = _Changes(self.outputs, self.spots)
        if made.spike is None:
            spot, value = carried.spot, reader.read(carried)
        else:
            value = Sum.of(Atom("spike", made.spike))
            senders = (s for s in region if _reads(reader, s, features, value))
            sender = next(senders, None)
            if sender is None:
                return changes
            spot = sender
        inputs, gains = self._driven(reader, made, spot, features, changes)
        node = _node(made, gains, reader, features)
        if made.ago:
            earlier = Spot(Fragment({"": node}), inputs, "", spot.call)
            changes.insert(earlier, spot)
            changes.put(spot, ir.Delay(np.array(1)), [Signal(earlier, features)])
            changes.neuron = earlier
        else:
            changes.put(spot, node, inputs)
            changes.neuron = spot
        same = {
            other
            for other in region
            if other is not spot and _reads(reader, other, features, value)
        }
        changes.redirect(same, spot)
        return changes

    def _driven(
        self,
        reader: Reader,
        made: Membrane,
        spot: Spot,
        features: tuple[int, ...],
        changes: _Changes,
    ) -> tuple[list[Signal], Array]:
        """What drives a neuron, and its one gain."""
        given = [reader.inputs[number] for number in made.gains]
        if any(signal.features != features for signal in given):
            raise UnreadableError
        gains = list(made.gains.values())
        for i, signal in enumerate(given):
            factor, before = self._scaled(signal)
            if before is not None and self._is_near(signal.spot, spot):
                given[i], gains[i] = before, gains[i] * factor
        if all(
            np.array_equal(np.broadcast_to(g, features), np.broadcast_to(gains[0], features))
            for g in gains
        ):
            return given, gains[0]
        for i, (signal, gain) in enumerate(zip(given, gains, strict=True)):
            if np.any(gain != 1):
                scale = with_constants(ir.Scale(numbers(gain)))
                scaled = Spot(Fragment({"": scale}), [signal], "mul", spot.call)
                changes.insert(scaled, spot)
                given[i] = Signal(scaled, features)
        return given, np.ones(())

    @staticmethod
    def _scaled(signal: Signal) -> tuple[Array, Signal | None]:
        """The factor and the rest of what is a product with a constant that does not train."""
        node = signal.spot.node
        alone = len(signal.spot.inputs) == 1
        if isinstance(node, ir.Scale) and alone and not trained_fields(node):
            return laid(node.scale, signal.features), signal.spot.inputs[0]
        return np.ones(()), None

    def _is_near(self, spot: Spot, neuron: Spot) -> bool:
        """Whether a product was written with the neuron, and for nothing else."""
        alone = len(self._after[spot]) == 1 and all(o.spot is not spot for o in self.outputs)
        here, there = (s.call.scope if s.call is not None else "" for s in (spot, neuron))
        return alone and not spot.own and (here == there or _inside(there, here))

    def _settle(self, changes: _Changes, loop: list[Spot], memory: Spot) -> bool:
        """Keep changes if the loop is then no longer needed; a Delay of what an LI sends may be."""
        neuron = changes.neuron
        if neuron is None:
            return False
        needed = _needed(self.outputs)
        left = memory in needed
        if left and neuron is memory.inputs[0].spot:
            left = False
        if left or neuron not in needed:
            changes.undo()
            return False
        self._index()
        self.found.append(neuron)
        self._loops[neuron] = loop
        return True

    def join_currents(self) -> None:
        """A leaky synapse that does nothing but drive a membrane is part of that neuron."""
        needed = _needed(self.outputs)
        for spot in list(self.found):
            node = spot.node
            if not isinstance(node, ir.LIF | ir.LI) or len(spot.inputs) != 1:
                continue
            synapse = spot.inputs[0].spot
            inner = synapse.node
            if synapse not in self.found or type(inner) is not ir.LI or inner.v_leak.any():
                continue
            users = [other for other in self._after[synapse] if other in needed]
            if users != [spot] or any(o.spot is synapse for o in self.outputs):
                continue
            spot.fragment = Fragment({"": _current_based(inner, node)})
            spot.inputs = synapse.inputs
            self._loops[spot] = [*self._loops[synapse], *self._loops[spot]]
            self.found.remove(synapse)
            self._index()

    # Names -------------------------------------------------------------------------------------

    def labels(self) -> Iterator[tuple[str, str, bool]]:
        """For each neuron where it lives, its name there, and whether that is a module's path."""
        needed = _needed(self.outputs)
        for spot in self.found:
            path = _common(s.call.scope for s in (*self._loops[spot], spot) if s.call is not None)
            others = {
                other
                for other in self.spots
                if other is not spot
                and other in needed
                and other.call is not None
                and _inside(other.call.scope, path)
            }
            if path and not others:
                yield "", path, True
                continue
            held = next((s.held for s in self._loops[spot] if s.held), "")
            home, _, name = held.rpartition(".")
            yield (home, name, False) if held else (path, spot.node.primitive.lower(), False)


class _Changes:
    """What is changed in a drawing, which can be taken back."""

    def __init__(self, outputs: list[Signal], spots: list[Spot]) -> None:
        self.neuron: Spot | None = None
        self._outputs, self._spots = outputs, spots
        self._before_outputs, self._before_spots = list(outputs), list(spots)
        self._before: list[tuple[Spot, Fragment, list[Signal], bool]] = []

    def put(self, spot: Spot, node: ir.Node, inputs: list[Signal]) -> None:
        """Another node in the place of one."""
        self._keep(spot)
        spot.fragment, spot.inputs, spot.memory = Fragment({"": node}), inputs, False

    def insert(self, spot: Spot, before: Spot) -> None:
        """A new spot."""
        self._spots.insert(self._spots.index(before), spot)

    def redirect(self, same: Collection[Spot], spot: Spot) -> None:
        """Whoever takes what is the same takes it from this spot."""

        def now(signal: Signal) -> Signal:
            return Signal(spot, signal.features) if signal.spot in same else signal

        for user in self._spots:
            if user is not spot and any(signal.spot in same for signal in user.inputs):
                self._keep(user)
                user.inputs = [now(signal) for signal in user.inputs]
        self._outputs[:] = [now(signal) for signal in self._outputs]

    def undo(self) -> None:
        """Everything as it was."""
        self._outputs[:], self._spots[:] = self._before_outputs, self._before_spots
        for spot, fragment, inputs, memory in reversed(self._before):
            spot.fragment, spot.inputs, spot.memory = fragment, inputs, memory

    def _keep(self, spot: Spot) -> None:
        self._before.append((spot, spot.fragment, spot.inputs, spot.memory))


def _reads(reader: Reader, spot: Spot, features: tuple[int, ...], value: Sum) -> bool:
    """Whether a spot sends the same value."""
    try:
        return spot.inputs[0].features == features and reader.read(Signal(spot, features)).equals(
            value
        )
    except (UnreadableError, TooManyTermsError):
        return False


def _node(made: Membrane, gain: Array, reader: Reader, features: tuple[int, ...]) -> ir.Node:
    """The primitive."""
    options: dict[str, Any] = {}
    if made.spike is not None:
        options["v_threshold"] = numbers(made.threshold)
        options["reset"] = None if made.reset == "zero" and not made.late else made.reset
        options["reset_delay"] = made.late
        options["fires_at"] = reader.spikes[made.spike].fires_at
        for name in ("v_reset", "v_min"):
            held = getattr(made, name)
            options[name] = None if held is None else numbers(held)
    kind: Any
    if np.all(made.beta == 1):
        kind = ir.I if made.spike is None else ir.IF
        options["r"] = numbers(gain)
    else:
        kind, tau = ir.LI if made.spike is None else ir.LIF, time_constant_of(made.beta)
        options |= {"tau": numbers(tau), "r": numbers(gain_of(gain, tau))}
        options["v_leak"] = numbers(gain_of(made.leak, tau))
    node: ir.Node = kind(**options)
    return node


def _current_based(synapse: ir.LI, neuron: ir.LIF | ir.LI) -> ir.Node:
    """A synapse and the neuron that it drives, as one."""
    fields = {**neuron.values(), "tau_syn": synapse.tau, "w_in": synapse.r}
    fields["tau_mem"] = fields.pop("tau")
    return (ir.CubaLIF if isinstance(neuron, ir.LIF) else ir.CubaLI)(**fields)


def laid_over(memory: Spot) -> Array:
    """What a Delay starts from."""
    return np.asarray(memory.node.initial)  # type: ignore[attr-defined]


def _needed(outputs: Iterable[Signal]) -> set[Spot]:
    waiting, seen = [signal.spot for signal in outputs], set[Spot]()
    while waiting:
        spot = waiting.pop()
        if spot not in seen:
            seen.add(spot)
            waiting += [signal.spot for signal in spot.inputs]
    return seen


def _inside(scope: str, path: str) -> bool:
    """Whether a module is another, or a part of it."""
    return not path or scope == path or scope.startswith(f"{path}.")


def _common(scopes: Iterable[str]) -> str:
    """The innermost module that all are in."""
    parts = [scope.split(".") for scope in scopes]
    shared: list[str] = []
    for names in zip(*parts, strict=False):
        if len(set(names)) > 1:
            break
        shared.append(names[0])
    return ".".join(shared)
