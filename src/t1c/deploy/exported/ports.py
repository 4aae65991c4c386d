"""What goes into a program and comes out of it, by name, in the order of its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.shapes import as_shape

Size = int | str
"""Of an axis: a number, or 'T' or 'B', which a call decides."""
SENT = "sent"
"""The state variable of a node whose output runs back in time: what it sent in the last step."""


@dataclass(frozen=True)
class Port:
    """A tensor that goes in or comes out.

    Attributes:
        name: of an Input, an Output, or a state variable as ``node.variable``.
        shape: with time and batch, if it has them.
    """

    name: str
    shape: tuple[Size, ...]


@dataclass(frozen=True)
class StatePort(Port):
    """A state variable.

    Attributes:
        rest: its value before the first step, of one sample; one number where all are the same.
    """

    rest: Any


@dataclass(frozen=True)
class Ports:
    """All that goes in and out.

    Attributes:
        inputs: by the Inputs' names.
        outputs: by the Outputs' names.
        rest: state variable as ``node.variable`` -> its value at rest (1, *shape).
    """

    inputs: dict[str, ir.Input]
    outputs: dict[str, ir.Output]
    rest: dict[str, Array]

    def state_ports(self) -> tuple[StatePort, ...]:
        """The states."""
        return tuple(
            StatePort(name, ("B", *value.shape[1:]), _told(value[0]))
            for name, value in self.rest.items()
        )


def ports_of(graph: ir.Graph, dtype: np.dtype[Any]) -> Ports:
    """The ports of a graph whose states have this dtype."""
    flat = graph.flat()
    back = {source for source, _ in flat.feedback_edges()}
    rest: dict[str, Array] = {}
    for name, node in flat.nodes.items():
        own = node.initial_state((1, *_shape(node.input_type, "input")), dtype)
        rest |= {f"{name}.{v}": value for v, value in zip(node.state_names, own, strict=True)}
        if name in back:
            rest[f"{name}.{SENT}"] = np.zeros((1, *_shape(node.output_type, "output")), dtype)
    return Ports(graph.inputs(), graph.outputs(), rest)


def _shape(types: Mapping[str, Any] | None, port: str) -> tuple[int, ...]:
    return as_shape((types or {}).get(port)) or ()


def _told(value: Array) -> Any:
    """A number if all are the same, so that large states at rest stay short; else the array."""
    return value.flat[0].item() if value.size and (value == value.flat[0]).all() else value
