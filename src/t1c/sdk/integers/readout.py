"""What leaves a graph of integers: counts as they are, all else in its real unit again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from t1c import ir

from .builder import Builder
from .rescale import merged
from .units import one, same
from .wire import Wire, rule_for


@rule_for(ir.Output)
def _output(b: Builder, name: str, node: Any, wires: Sequence[Wire]) -> Sequence[Wire]:
    if any(wire.unit is None for wire in wires):
        b.emit(name, node, [b.real(wire) for wire in wires])
        return []
    wire = merged(b, name, wires, tuple(node.shape))
    unit = wire.integer_unit
    if b.options.readout:
        wire = b.real(wire)
    notes = {} if same(unit, one(tuple(node.shape))) else b.note(node, unit)
    b.emit(name, node.replace(metadata=notes or node.metadata), [wire])
    return []
