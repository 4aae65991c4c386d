"""Neurons: their formulas are the declaration's own, worked on terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.primitives.neuron import Neuron

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
    sent: Term
    sent, v = node.settle(c, v, drive, OnTerms())
    for name, term in zip(node.state_names, (*before, v), strict=True):
        e.carry(name, term)
    return sent


class OnTerms:
    """Firing and reset on terms."""

    def fire(self, u: Term, threshold: Term, fires_at: str, several: bool) -> Term:
        """Compare, and count."""
        fires = u >= threshold if fires_at == "ge" else u > threshold
        return fires.where((u / threshold).call("t1c_floor") if several else 1, 0)

    def once(self, spikes: Term) -> Term:
        """What is known to be one spike at most needs no more."""
        return spikes if spikes.spikes else spikes.minimum(1)

    def where(self, spikes: Term, yes: Term, no: Term) -> Term:
        """Choose."""
        return (spikes > 0).where(yes, no)

    def raised(self, v: Term, low: Term) -> Term:
        """Choose."""
        return (v < low).where(low, v)
