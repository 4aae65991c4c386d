"""What goes into a program and comes out of it, by name: inputs, outputs and states."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.step_plan import StepPlan

Size = int | str
"""Of an axis: a number, or 'T' or 'B', which a call decides."""
SENT = "sent"
"""The state variable of a node whose output runs back in time: what it sent in the last step."""


@dataclass(frozen=True)
class Port:
    """A tensor that goes in or comes out.

    Attributes:
        name: of an Input, an Output, or a state variable.
        shape: with time and batch, if it has them.
    """

    name: str
    shape: tuple[Size, ...]


def input_ports(graph: ir.Graph, step: bool) -> tuple[Port, ...]:
    """The Inputs, for one step or for a sequence, in which what is held has no time."""
    return tuple(
        _port(name, node.shape, step or node.hold is not None)
        for name, node in graph.inputs().items()
    )


def output_ports(graph: ir.Graph, step: bool) -> tuple[Port, ...]:
    """The Outputs, for one step or for a sequence, in which what is final has no time."""
    return tuple(
        _port(name, node.shape, step or node.final) for name, node in graph.outputs().items()
    )


def _port(name: str, shape: tuple[int, ...], still: bool) -> Port:
    return Port(name, ("B", *shape) if still else ("T", "B", *shape))


def at_rest(plan: StepPlan, dtype: np.dtype[Any]) -> Iterator[tuple[str, str, Array]]:
    """(node, state variable, its value at rest (1, *shape)), in the order of the nodes."""
    for name, node in plan.nodes.items():
        own = node.initial_state((1, *plan.arriving_shape(name)), dtype)
        yield from ((name, v, value) for v, value in zip(node.state_names, own, strict=True))
        if name in plan.fed_back:
            yield name, SENT, np.zeros((1, *plan.sent_shapes(name)[0]), dtype)
