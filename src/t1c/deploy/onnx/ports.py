"""The states of a model, and what else it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from t1c.ir.fields import Array
from t1c.ir.shapes import Shape
from t1c.ir.step_plan import StepPlan

from ..ports import at_rest

STEPS = "run/steps"
"""The input that says for how many steps held values are held, where no sequence does."""


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
    # The line of a Delay of no steps is empty, and no state.
    return [StatePort(*each) for each in at_rest(plan, dtype) if each[-1].size]
