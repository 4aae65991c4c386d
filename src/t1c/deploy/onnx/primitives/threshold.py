"""Threshold: a spike wherever the input is large enough, without memory."""

from __future__ import annotations

from t1c import ir

from ..registry import translates
from ..writer import Value, Writer
from .elementwise import laid


@translates(ir.Threshold)
def threshold(w: Writer, node: ir.Threshold, x: Value) -> Value:
    """Compare."""
    kind = "GreaterOrEqual" if node.fires_at == "ge" else "Greater"
    return w.cast(w.compare(kind, x, laid(w, node.threshold, "threshold", x)))
