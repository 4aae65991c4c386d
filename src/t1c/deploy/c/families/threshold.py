"""Threshold: a spike wherever the input is large enough."""

from __future__ import annotations

from collections.abc import Sequence

from t1c import ir

from ..element import Element
from ..loop import summed
from ..registry import element_by_element
from ..term import Term


@element_by_element(ir.Threshold)
def threshold(e: Element, node: ir.Threshold, terms: Sequence[Term]) -> Term:
    """Compare."""
    x, least = summed(terms), e.parameter(node.threshold, "threshold")
    return (x >= least if node.fires_at == "ge" else x > least).where(1, 0)
