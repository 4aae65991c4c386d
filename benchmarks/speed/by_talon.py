"""talon-bridge: the successor of the guide's first implementation, of the same design."""

from __future__ import annotations

from typing import Any

from talon import bridge, ir
from torch import Tensor

from .graphs import graph
from .model import Stepped
from .networks import Network


class Talon(Stepped):
    """`executor(x, state)`, step after step: it has nothing for sequences."""

    def __init__(self, network: Network):
        super().__init__()
        self.executor = bridge.ir_to_torch(graph(ir, network), return_state=True)

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One call."""
        return self.executor(x, state)


class TalonCyclic(Stepped):
    """Its executor for graphs with cycles; it forgets the feedback between two calls."""

    def __init__(self, network: Network):
        super().__init__()
        made = graph(ir, network)
        self.executor = bridge.CyclicGraphExecutor(
            bridge.from_ir(made), made.edges, timesteps=1, return_state=True
        )

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One call, of one step."""
        sent, state = self.executor(x, state)
        return sent[-1], state
