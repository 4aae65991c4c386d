"""Neurons as graphs of integers: shift, add, compare, reset, saturate.

One step, for the sum x of what arrives, saturated at accumulator_bits::

    u = ((beta * v) >> k) + (x << f) + leak       >> k: divided by 2**k, rounded down
    s = 1 if u >= threshold else 0
    v = u where it did not fire, else as the reset says
    v = v saturated at state_bits, or at v_min where that is higher

The membrane counts units of the sum, divided by 2**f, so that it has places behind the point where
state_bits leave room for them. The order of reset, decay and firing is that of the primitive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.primitives.neuron import SpikingNeuron, plain
from t1c.ir.topology import Topology

from .builder import SUM, Builder, clip
from .rescale import FLOOR, at_unit, merged, together
from .units import (
    MARGIN,
    counts,
    field,
    laid,
    limit,
    most_shifts,
    narrowest,
    one,
    smallest_integers,
    up_to_power_of_two,
)
from .wire import Wire, rule_for

MOST_SHIFTS = 8
"""A membrane has at most so many places behind the point of its input."""
HEADROOM = 4.0
"""How many thresholds a membrane is given room for, where it was not looked at."""
SEEN_ROOM = 1.25
"""How much more than the largest that was seen."""

NEURONS = (ir.LIF, ir.LI, ir.IF, ir.I, ir.CubaLIF, ir.CubaLI)


def coefficients(b: Builder, name: str) -> dict[str, Array]:
    """The folded coefficients of a neuron, and its plain parameters, over its features."""
    node: Any = b.graph.nodes[name]
    shape = b.arriving_shape(name)
    p = {key: laid(value, shape) for key, value in node.parameters().items()}
    kept = plain(p, getattr(node, "reset_mode", None))
    return {key: np.asarray(value) for key, value in (node.fold(p) | kept).items()}


def gain_of(b: Builder, name: str) -> Array:
    """What one of the input of a neuron adds to its membrane."""
    c = coefficients(b, name)
    return c["gain"] * c.get("weight", np.ones(()))


def needs(b: Builder, name: str) -> Array | None:
    """The least unit of its input with which a neuron's states can hold what they have to.

    None for what is no neuron.
    """
    node = b.graph.nodes[name]
    if not isinstance(node, NEURONS):
        return None
    c, most = coefficients(b, name), limit(b.options.state_bits) - 1
    least = room(b, name, "v", c) / (np.abs(c["gain"] * c.get("weight", np.ones(()))) * most)
    if "weight" in c:
        least = np.maximum(least, room(b, name, "i", c) / (np.abs(c["weight"]) * most))
    return np.where(np.isfinite(least), least, 0.0)


def room(b: Builder, name: str, variable: str, c: dict[str, Array], wanted: bool = False) -> Array:
    """How large a state variable must be able to be; ``wanted``: how large it should be."""
    shape = b.arriving_shape(name)
    seen = b.most_seen(f"{name}.{variable}")
    need = np.zeros((1,) * len(shape))
    if variable == "v":
        for key in ("v_threshold", "v_reset"):
            if key in c:
                share = (2.0 if seen is not None else HEADROOM) if wanted else 1.0
                need = np.maximum(need, share * np.abs(c[key]))
    if seen is not None:
        need = np.maximum(need, seen * (SEEN_ROOM if wanted else 1.0))
    elif wanted and not need.any():
        need = np.full_like(need, _told(b, name, variable))
    return need


def _told(b: Builder, name: str, variable: str) -> float:
    """How large a state variable can be, as far as that is known without a run; else 0."""
    node = b.graph.nodes[name]
    state = b.ranges[name].state[node.state_names.index(variable)]
    return max(-state.low, state.high) if state.bounded else 0.0


@rule_for(*NEURONS)
def _neuron(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    shape, c = b.arriving_shape(name), coefficients(b, name)
    for key in ("gain", "weight"):
        if key in c and not (c[key] > 0).all():
            raise b.refusal(name, f"a {key} of {c[key].min():g}, where thresholds take one above 0")
    made = together(b, name, wires, shape) if wires else [_nothing(b, name)]
    unit = made[0].integer_unit
    least = needs(b, name)
    assert least is not None
    ratio = (least / unit).max()
    if ratio > 1 + MARGIN:
        # What it is given comes in a unit too fine for its states.
        unit = unit * up_to_power_of_two(ratio)
        made = [at_unit(b, name, merged(b, name, made, shape), unit)]
    sketch = _Sketch(b, name, c, unit)
    graph, state_unit = sketch.graph()
    fires = isinstance(node, SpikingNeuron)
    notes = b.note(node, state_unit, state_bits=b.options.state_bits, primitive=node.primitive)
    b.emit(name, graph.replace(metadata=notes), made)
    sent = one(shape) if fires else narrowest(state_unit)
    return [Wire(name, sent, wide=not fires)]


def _nothing(b: Builder, name: str) -> Wire:
    """Zeros for a neuron that no edge leads to, and that runs on its leak."""
    shape = b.arriving_shape(name)
    silent = ir.I(r=np.array(0, np.int8), input_type={"input": np.array(shape)})
    return Wire(b.emit(f"{name}.nothing", silent, []), one(shape))


class _Sketch:
    """The nodes of one neuron."""

    def __init__(self, b: Builder, name: str, c: dict[str, Array], unit: Array) -> None:
        self.b, self.name, self.c, self.unit = b, name, c, unit
        self.node: Any = b.graph.nodes[name]
        self.shape = b.arriving_shape(name)
        self.nodes: dict[str, ir.Node] = {"input": ir.Input(self.shape)}
        self.edges: list[tuple[str, str]] = []

    def add(self, name: str, node: ir.Node, *sources: str) -> str:
        """A node, and the edges into it."""
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        return name

    def graph(self) -> tuple[ir.Graph, Array]:
        """The neuron, and the unit of its membrane."""
        c, x = self.c, "input"
        if f"{self.name}/{SUM}" not in self.b.needless:
            x = self.add(SUM, clip(self.b.options.accumulator_bits), x)
        if "weight" in c:
            x, before = self._current(x)
        else:
            before = self.unit
        x, unit = self._raised(x, before * c["gain"], "v")
        sent = self._membrane(x, unit)
        self.add("output", ir.Output(self.shape), sent)
        # Where nothing is kept from step to step, no reset matters.
        useful = Topology(self.nodes, self.edges).leading_to(["output"])
        nodes = {name: node for name, node in self.nodes.items() if name in useful}
        edges = [(a, b) for a, b in self.edges if b in useful]
        return ir.Graph(nodes, edges, allow_cycles=True), unit

    def _current(self, x: str) -> tuple[str, Array]:
        """The synaptic current of a CubaLIF, and its unit."""
        x, unit = self._raised(x, self.unit * self.c["weight"], "i")
        fading = self._decayed("i", "i", self.c["alpha"])
        new = self.add("current", ir.Identity(), *fading, x)
        kept = self.add("current_kept", clip(self.b.options.state_bits), new)
        self.add("i", ir.Delay(np.array(1)), kept)
        return kept, unit

    def _raised(self, x: str, unit: Array, variable: str) -> tuple[str, Array]:
        """A value with places behind its point, as many as the state has room for.

        The current of a CubaLIF has such places, and a membrane may have no room for all of them.
        """
        bits = self.b.options.state_bits
        wanted, least = (
            self._largest(unit, variable, wanted=True),
            self._largest(unit, variable, wanted=False),
        )
        f = min(most_shifts(wanted, bits), MOST_SHIFTS)
        if f < 0:
            f = min(0, most_shifts(least, bits))
        if f > 0:
            x = self.add(f"{variable}_raised", ir.Scale(np.array(2**f, np.int16)), x)
        elif f < 0:
            lowered = self.add(f"{variable}_lowered", ir.Scale(np.array(2.0**f)), x)
            x = self.add(f"{variable}_given", FLOOR, lowered)
        return x, unit / 2.0**f

    def _largest(self, unit: Array, variable: str, wanted: bool) -> float:
        """How many of a unit a state variable has to hold, or should."""
        return float((room(self.b, self.name, variable, self.c, wanted=wanted) / unit).max())

    def _decayed(self, variable: str, value: str, beta: Array) -> list[str]:
        """Floor(beta * v): a product with an integer, and a shift."""
        k = self.b.options.decay_bits
        times = np.rint(beta * 2.0**k)
        stuck = (times >= 2.0**k) & (beta < 1)
        if stuck.any():
            tau = 1 / (1 - beta[stuck].max())
            raise self.b.refusal(
                self.name,
                f"a time constant of {tau:.6g} steps is no decay at all in {k} bits",
                f"Pass decay_bits of at least {int(np.ceil(np.log2(tau)))}.",
            )
        if not times.any():
            return []
        if (beta == 1).all():
            return [value]
        while k and not (times % 2).any():
            times, k = times / 2, k - 1
        factor = smallest_integers(field(times))
        product = self.add(f"{variable}_times", ir.Scale(factor), value)
        shifted = self.add(f"{variable}_shifted", ir.Scale(np.array(2.0**-k)), product)
        return [self.add(f"{variable}_decayed", FLOOR, shifted)]

    def _membrane(self, x: str, unit: Array) -> str:
        """Decay, drive, firing, reset and bound; what the neuron sends."""
        node, mode, c = self.node, getattr(self.node, "reset_mode", "none"), self.c
        delayed = getattr(node, "reset_delay", False)
        fires = isinstance(node, SpikingNeuron)
        self.nodes["v"] = ir.Delay(np.array(1))
        before = "v"
        due = ""
        if fires and ((delayed and mode != "none") or mode == "carry"):
            due = self._fire("due", "v", unit)
        if due and mode in ("zero", "value"):
            before = self._jump("started", "v", due, unit)
        fading = self._decayed("v", before, c["beta"]) if "beta" in c else [before]
        lost = (
            [self._taken("due_taken", due, unit)]
            if due and mode in ("subtract", "lower", "carry")
            else []
        )
        leak = np.rint(counts(c["leak"], unit)) if "leak" in c else np.zeros(())
        drive: ir.Node = ir.Identity()
        if leak.any():
            drive = ir.Shift(smallest_integers(field(narrowest(leak))))
        u = self.add("u", drive, *fading, x, *lost)
        if due and mode == "hold":
            u = self._jump("held", u, due, unit)
        spikes = self._fire("spikes", u, unit) if fires else ""
        after = u
        if fires and not delayed and mode != "none":
            if mode in ("zero", "value"):
                after = self._jump("after", u, spikes, unit)
            else:
                back = [self._given("due_back", due, unit)] if mode == "carry" else []
                taken = self._taken("taken", spikes, unit)
                after = self.add("after", ir.Identity(), u, taken, *back)
        kept = self.add("kept", self._bounds(unit), after)
        self.edges.append((kept, "v"))
        return spikes or kept

    def _bounds(self, unit: Array) -> ir.Clip:
        """Saturation at state_bits, or at v_min where that is higher."""
        whole = clip(self.b.options.state_bits)
        if "v_min" not in self.c:
            return whole
        assert whole.low is not None
        low = np.maximum(whole.low, np.rint(counts(self.c["v_min"], unit)))
        return ir.Clip(smallest_integers(field(narrowest(low))), whole.high)

    def _threshold(self, unit: Array) -> Array:
        """The least whole membrane that fires: as many are above the real threshold."""
        found = counts(self.c["v_threshold"], unit)
        least = np.ceil(found) if self.node.fires_at == "ge" else np.floor(found) + 1
        most = limit(self.b.options.state_bits)
        if (np.abs(least) > most).any():
            raise self.b.refusal(
                self.name,
                f"a threshold of {np.abs(least).max():.0f} units, where a state holds {most}",
                f"Pass state_bits above {self.b.options.state_bits}, or show it in calibrate=.",
            )
        return least

    def _fire(self, name: str, u: str, unit: Array) -> str:
        threshold = self._threshold(unit)
        if self.node.spikes == "binary":
            return self.add(name, ir.Threshold(smallest_integers(field(narrowest(threshold)))), u)
        k = np.log2(threshold)
        if (k != np.rint(k)).any():
            raise self.b.refusal(
                self.name,
                "it sends several spikes at once, for which its threshold has to be a power of two "
                f"units of its input, and is {threshold.max():.0f}",
            )
        each = self.add(f"{name}_each", ir.Scale(field(narrowest(1 / threshold))), u)
        floor = self.add(f"{name}_floored", FLOOR, each)
        return self.add(name, ir.Clip(low=np.array(0, np.int8)), floor)

    def _amount(self, unit: Array) -> Array:
        """What a reset by subtraction takes off."""
        if self.node.reset_mode == "lower":
            return np.rint(counts(self.c["v_reset"], unit))
        if self.node.spikes == "multiple":
            return self._threshold(unit)
        return np.rint(counts(self.c["v_threshold"], unit))

    def _taken(self, name: str, spikes: str, unit: Array) -> str:
        amount = smallest_integers(field(narrowest(-self._amount(unit))))
        return self.add(name, ir.Scale(amount), spikes)

    def _given(self, name: str, spikes: str, unit: Array) -> str:
        amount = smallest_integers(field(narrowest(self._amount(unit))))
        return self.add(name, ir.Scale(amount), spikes)

    def _jump(self, name: str, u: str, spikes: str, unit: Array) -> str:
        """The membrane, or the value of the reset where there were spikes."""
        target = self.c.get("v_reset", np.zeros(()))
        value = smallest_integers(field(narrowest(np.rint(counts(target, unit)))))
        zero = self.add(f"{name}_zero", ir.Scale(np.array(0, np.int8)), u)
        if value.any():
            zero = self.add(f"{name}_value", ir.Shift(value), zero)
        return self.add(name, ir.Where(), spikes, zero, u)
