"""The states of a program, in the order of its arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.step_plan import StepPlan

from ..ports import Port, at_rest


@dataclass(frozen=True)
class StatePort(Port):
    """A state variable, ``node.variable``.

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
    states = at_rest(StepPlan(graph), dtype)
    rest = {f"{node}.{variable}": value for node, variable, value in states}
    return Ports(graph.inputs(), graph.outputs(), rest)


def _told(value: Array) -> Any:
    """A number if all are the same, so that large states at rest stay short; else the array."""
    return value.flat[0].item() if value.size and (value == value.flat[0]).all() else value
