"""Neurons: their formulas are the declaration's own, worked on terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.primitives.neuron import Neuron, SpikingNeuron

from ..element import Element
from ..loop import summed
from ..registry import element_by_element
from ..term import Term


@element_by_element(ir.LIF, ir.LI, ir.IF, ir.I, ir.CubaLIF, ir.CubaLI)
def neuron(e: Element, node: Neuron, terms: Sequence[Term]) -> Term:
    """Integrate, decay, fire and reset, in the order of the reference."""
    features = np.broadcast_to(np.zeros((), e.loop.dtype), (1, *e.shape))
    folded: Mapping[str, Any] = node.coefficients(features)
    c = {name: e.laid(values, name) for name, values in folded.items()}
    *extra, v = (e.carried(name) for name in node.state_names)
    drive, before = node.drive(c, summed(terms), tuple(extra))
    if isinstance(node, SpikingNeuron):
        sent, v = _fire_and_reset(node, c, v, drive)
        v = (v < c["v_min"]).where(c["v_min"], v) if "v_min" in c else v
    else:
        sent = v = node.decay(c, v, drive)
    for name, term in zip(node.state_names, (*before, v), strict=True):
        e.carry(name, term)
    return sent


def _fire_and_reset(
    node: SpikingNeuron, c: Mapping[str, Term], v: Term, drive: Any
) -> tuple[Term, Term]:
    threshold, target, mode = c["v_threshold"], c.get("v_reset"), node.reset_mode

    def fire(u: Term) -> Term:
        fires = u >= threshold if node.fires_at == "ge" else u > threshold
        count = 1 if node.spikes == "binary" else (u / threshold).call("t1c_floor")
        return fires.where(count, 0)

    def jump(u: Term, spikes: Term) -> Term:
        if target is not None:
            return (spikes > 0).where(target, u)
        return u * (1 - (spikes if spikes.spikes else spikes.minimum(1)))

    if node.reset_delay:
        due = fire(v)
        u = node.decay(c, jump(v, due) if mode in ("zero", "value") else v, drive)
        if mode == "subtract":
            u = u - due * threshold
        elif mode == "lower":
            u = u - due * c["v_reset"]
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
    if mode == "subtract":
        return spikes, u - spikes * threshold
    if mode == "lower":
        return spikes, u - spikes * c["v_reset"]
    return spikes, jump(u, spikes) if mode in ("zero", "value") else u
