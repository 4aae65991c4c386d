"""Nodes that pass on what they get: what several edges bring, added."""

from __future__ import annotations

from collections.abc import Sequence

from t1c import ir

from ..element import Element
from ..loop import summed
from ..registry import element_by_element
from ..term import Term


@element_by_element(
    ir.Identity, ir.HybridRegion, ir.Dropout, ir.Flatten, ir.Reshape, ir.Skip, ir.Output
)
def passed(e: Element, node: ir.Node, terms: Sequence[Term]) -> Term:
    """The sum of the inputs, in the order of the edges."""
    return summed(terms)
