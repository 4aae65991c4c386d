"""All neurons: the formulas of ``t1c.ir``, and firing and reset in its order of operations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from t1c import ir
from t1c.ir.primitives.neuron import Neuron, SpikingNeuron

from ..registry import translates
from ..writer import Value, Writer

Coefficients = Mapping[str, Value]
MODES = ("zero", "value", "subtract", "lower", "none", "hold", "carry")
"""The resets that are written here."""


@translates(ir.LIF, ir.LI, ir.IF, ir.I, ir.CubaLIF, ir.CubaLI)
def neuron(
    w: Writer, node: Neuron, x: Value, state: tuple[Value, ...]
) -> tuple[Value, tuple[Value, ...]]:
    """Integrate, decay, fire, reset and bound."""
    folded = node.coefficients(np.zeros((1, *x.shape), w.dtype))
    c = {name: w.constant(value, name) for name, value in folded.items()}
    *extra, v = state
    drive, before = node.drive(c, x, tuple(extra))
    if not isinstance(node, SpikingNeuron):
        u: Value = node.decay(c, v, drive)
        return u, (*before, u)
    spikes, v = fire_and_reset(w, node, c, v, drive)
    if "v_min" in c:
        v = w.where(w.compare("Less", v, c["v_min"]), c["v_min"], v)
    return spikes, (*before, v)


def fire_and_reset(
    w: Writer, node: SpikingNeuron, c: Coefficients, v: Value, drive: Value
) -> tuple[Value, Value]:
    """Spikes, and the membrane after its reset, as ``SpikingNeuron`` says it."""
    threshold, target = c["v_threshold"], c.get("v_reset")
    fires_at = "GreaterOrEqual" if node.fires_at == "ge" else "Greater"

    def fire(u: Value) -> Value:
        fires = w.compare(fires_at, u, threshold)
        if node.spikes == "binary":
            return w.cast(fires)
        return w.where(fires, w.apply("Floor", u / threshold), w.number(0))

    def jump(u: Value, spikes: Value) -> Value:
        if target is not None:
            return w.where(w.compare("Greater", spikes, w.number(0)), target, u)
        once = spikes if node.spikes == "binary" else w.apply("Min", spikes, w.number(1))
        return u * (1 - once)

    mode = node.reset_mode
    if mode not in MODES:
        w.refuse(f"reset={mode!r}", f"one of {', '.join(MODES)}", field="reset")
    taken = {"subtract": threshold, "lower": target}.get(mode)
    if node.reset_delay:
        due = fire(v)
        u = node.decay(c, jump(v, due) if mode in ("zero", "value") else v, drive)
        if taken is not None:
            u = u - due * taken
        elif mode == "hold":
            u = jump(u, due)
        return fire(u), u
    u = node.decay(c, v, drive)
    if mode == "carry":
        due = fire(v)
        u = u - due * threshold
        spikes = fire(u)
        return spikes, u - (spikes - due) * threshold
    spikes = fire(u)
    if taken is not None:
        return spikes, u - spikes * taken
    return spikes, jump(u, spikes) if mode in ("zero", "value") else u
