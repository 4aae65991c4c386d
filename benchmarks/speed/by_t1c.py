"""This project: the graph, imported, and nothing but its public interface."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from t1c import bridge, ir

from .graphs import graph
from .model import Model
from .networks import Network


class T1C(Model):
    """`executor.run` for sequences, `executor(x, state)` for steps."""

    reproducible = False

    def __init__(self, network: Network):
        super().__init__()
        self.executor = bridge.ir_to_torch(
            graph(ir, network), return_state=True, reproducible=self.reproducible
        )

    def forward(self, xs: Tensor) -> Tensor:
        """One call."""
        return self.executor.run(xs)[0]

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One call."""
        return self.executor(x, state)


class Checkpointed(T1C):
    """The same, keeping of each chunk what enters it."""

    def forward(self, xs: Tensor) -> Tensor:
        """One call."""
        return self.executor.run(xs, checkpoint=True)[0]


class Reproducible(T1C):
    """The same with every sum in its written order."""

    reproducible = True
