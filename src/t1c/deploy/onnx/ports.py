"""What goes into a model and comes out of it, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from t1c.ir.fields import Array
from t1c.ir.shapes import Shape
from t1c.ir.step_plan import StepPlan

Size = int | str
"""Of an axis: a number, or 'T' or 'B', which a call decides."""
SENT = "sent"
"""The state variable of a node whose output runs back in time: what it sent in the last step."""
STEPS = "run/steps"
"""The input that says for how many steps held values are held, where no sequence does."""


@dataclass(frozen=True)
class Port:
    """A tensor that goes in or comes out.

    Attributes:
        name: of an Input or an Output.
        shape: with time and batch, if it has them.
    """

    name: str
    shape: tuple[Size, ...]


@dataclass(frozen=True)
class StatePort:
    """A state variable, which goes in as ``state/...`` and comes out as ``next/...``.

    Attributes:
        node: whose it is.
        variable: which of its variables.
        rest: its value before the first step, (1, *shape).
    """

    node: str
    variable: str
    rest: Array

    @property
    def name(self) -> str:
        """Of the input."""
        return f"state/{self.node}/{self.variable}"

    @property
    def next_name(self) -> str:
        """Of the output."""
        return f"next/{self.node}/{self.variable}"

    @property
    def shape(self) -> Shape:
        """Without the batch."""
        return self.rest.shape[1:]


def states_of(plan: StepPlan, dtype: np.dtype[Any]) -> list[StatePort]:
    """All state variables that hold something, in the order of the nodes."""
    found = []
    for name, node in plan.nodes.items():
        rest = node.initial_state((1, *plan.arriving_shape(name)), dtype)
        # The line of a Delay of no steps is empty, and no state.
        found += [
            StatePort(name, variable, value)
            for variable, value in zip(node.state_names, rest, strict=True)
            if value.size
        ]
        if name in plan.fed_back:
            found.append(StatePort(name, SENT, np.zeros((1, *plan.sent_shapes(name)[0]), dtype)))
    return found
