"""Primitive -> what it is in ONNX: each family of ``primitives`` enters its own.

A primitive of your own is entered in the same way::

    from t1c.deploy.onnx.registry import translates

    @translates(Halve)
    def halve(w, node, x):
        return x * 0.5
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from t1c import ir

F = TypeVar("F", bound=Callable[..., Any])
Merge = Callable[..., Any]


@dataclass(frozen=True)
class Translation:
    """One primitive in ONNX.

    Attributes:
        step: (writer, node, x) -> y, or a tuple of them for a node of several outputs; with memory
            (writer, node, x, state) -> (y, state), the states as tuples of values.
        merge: (writer, node, inputs) -> x, for a node whose inputs are not added.
        emit: (writer, node, state) -> y, for a node that may speak before it listens.
        absorb: (writer, node, x, state) -> state, for the same.
    """

    step: Callable[..., Any]
    merge: Merge | None = None
    emit: Callable[..., Any] | None = None
    absorb: Callable[..., Any] | None = None


TRANSLATIONS: dict[type[ir.Node], Translation] = {}
"""What the families entered."""


def translates(
    *kinds: type[ir.Node],
    merge: Merge | None = None,
    emit: Callable[..., Any] | None = None,
    absorb: Callable[..., Any] | None = None,
) -> Callable[[F], F]:
    """Decorator: the function is the step of these primitives in ONNX (see ``Translation``)."""

    def enter(function: F) -> F:
        for kind in kinds:
            TRANSLATIONS[kind] = Translation(function, merge, emit, absorb)
        return function

    return enter
