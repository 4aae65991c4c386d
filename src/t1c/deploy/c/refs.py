"""What a node takes: values, seen through the nodes that pass them on as they are."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from t1c import ir
from t1c.ir.shapes import Shape
from t1c.ir.step_plan import StepPlan

PASSING = (ir.Output, ir.Identity, ir.HybridRegion, ir.Dropout, ir.Flatten, ir.Reshape)
"""Nodes that send what arrives, element for element, in the same order."""


@dataclass(frozen=True)
class Ref:
    """A stretch of a value.

    Attributes:
        source: the node that sends it.
        port: which of its outputs.
        back: what it sent in the step before.
        offset: the first element.
        size: how many.
    """

    source: str
    port: int
    back: bool
    offset: int
    size: int

    @property
    def value(self) -> tuple[str, int]:
        """The node and its output."""
        return self.source, self.port


class Values:
    """The values of a step, without those that are another one under a new name.

    Args:
        plan: of the step.
    """

    def __init__(self, plan: StepPlan) -> None:
        self.plan = plan
        self._passed: dict[tuple[str, int], Ref] = {}
        for name in plan.order:
            self._pass_on(name)

    def arriving(self, name: str) -> list[Ref]:
        """What each edge brings to a node, in the order of the edges."""
        found = []
        for source in self.plan.sources[name]:
            ref = self.sent(source.name, source.port)
            found.append(replace(ref, back=True) if source.back else ref)
        return found

    def sent(self, name: str, port: int = 0) -> Ref:
        """What a node sends."""
        if (name, port) in self._passed:
            return self._passed[name, port]
        size = math.prod(self.plan.sent_shapes(name)[port])
        return Ref(name, port, False, 0, size)

    def is_passed(self, name: str) -> bool:
        """Whether a node sends what another one sent."""
        return (name, 0) in self._passed

    def _pass_on(self, name: str) -> None:
        node, sources = self.plan.nodes[name], self.plan.sources[name]
        # What came from the step before is memory by itself when it is sent back again.
        if len(sources) != 1 or sources[0].back or name in self.plan.early:
            return
        ref = self.sent(sources[0].name, sources[0].port)
        shape = self.plan.arriving_shape(name)
        for port, (offset, size) in enumerate(_stretches(node, shape)):
            self._passed[name, port] = replace(ref, offset=ref.offset + offset, size=size)


def _stretches(node: ir.Node, shape: Shape) -> list[tuple[int, int]]:
    """Where the outputs of a node lie in its input, if each is a stretch of it; else nothing."""
    size = math.prod(shape)
    if isinstance(node, PASSING) or (isinstance(node, ir.Skip) and node.adds_inputs):
        return [(0, size)]
    if isinstance(node, ir.Delay) and node.longest == 0:
        return [(0, size)]
    if isinstance(node, ir.Concat) or (isinstance(node, ir.Skip) and not node.adds_inputs):
        return [(0, size)]
    if isinstance(node, ir.Slice):
        axis = node.axis % len(shape)
        start, stop, stride = node.taken.indices(shape[axis])
        taken = len(range(start, stop, stride))
        row = math.prod(shape[axis + 1 :])
        if math.prod(shape[:axis]) == 1 and (stride == 1 or taken == 1):
            return [(start * row, taken * row)]
    if isinstance(node, ir.ChannelSplit):
        axis = node.dim % len(shape)
        row = math.prod(shape[axis + 1 :])
        if math.prod(shape[:axis]) == 1:
            return _one_after_another([n * row for n in node.split_sections])
    return []


def _one_after_another(sizes: list[Any]) -> list[tuple[int, int]]:
    found, offset = [], 0
    for size in sizes:
        found.append((offset, size))
        offset += size
    return found
