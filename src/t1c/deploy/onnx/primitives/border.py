"""Nodes that pass on what they get: borders, markers, and Dropout, which drops nothing here."""

from __future__ import annotations

from t1c import ir

from ..registry import translates
from ..writer import Value, Writer


@translates(ir.Input, ir.Output, ir.Identity, ir.HybridRegion, ir.Dropout)
def passing(w: Writer, node: ir.Node, x: Value) -> Value:
    """Pass ``x`` on."""
    return x
