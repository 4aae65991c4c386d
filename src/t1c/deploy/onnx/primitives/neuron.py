"""All neurons: the formulas of ``t1c.ir``, on values of ONNX."""

from __future__ import annotations

import numpy as np

from t1c import ir
from t1c.ir.primitives.neuron import Neuron

from ..registry import translates
from ..writer import Value, Writer


@translates(ir.LIF, ir.LI, ir.IF, ir.I, ir.CubaLIF, ir.CubaLI)
def neuron(
    w: Writer, node: Neuron, x: Value, state: tuple[Value, ...]
) -> tuple[Value, tuple[Value, ...]]:
    """Integrate, decay, fire, reset and bound."""
    folded = node.coefficients(np.zeros((1, *x.shape), w.dtype))
    c = {name: w.constant(value, name) for name, value in folded.items()}
    *extra, v = state
    drive, before = node.drive(c, x, tuple(extra))
    sent, v = node.settle(c, v, drive, OnValues(w))
    return sent, (*before, v)


class OnValues:
    """Firing and reset on values.

    Args:
        w: what the operations are written into.
    """

    def __init__(self, w: Writer) -> None:
        self.w = w

    def fire(self, u: Value, threshold: Value, fires_at: str, several: bool) -> Value:
        """Compare, and count."""
        kind = "GreaterOrEqual" if fires_at == "ge" else "Greater"
        fires = self.w.compare(kind, u, threshold)
        if not several:
            return self.w.cast(fires)
        return self.w.where(fires, self.w.apply("Floor", u / threshold), self.w.number(0))

    def once(self, spikes: Value) -> Value:
        """Take the lesser of each and 1."""
        return self.w.apply("Min", spikes, self.w.number(1))

    def where(self, spikes: Value, yes: Value, no: Value) -> Value:
        """Choose."""
        return self.w.where(self.w.compare("Greater", spikes, self.w.number(0)), yes, no)

    def raised(self, v: Value, low: Value) -> Value:
        """Choose."""
        return self.w.where(self.w.compare("Less", v, low), low, v)
