"""CyclicGraphExecutor: several time steps of a recurrent graph on a constant input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from t1c.ir.errors import GraphError, Problem
from t1c.ir.topology import Edge

from .engine.state_checks import States
from .engine.step import step_by_node
from .engine.values import outputs_of
from .executor import GraphExecutor
from .ranks import is_beside, refuse_sharded, refusing_gradients


class CyclicGraphExecutor(GraphExecutor):
    """A graph with cycles that takes ``timesteps`` steps on the same input in one call.

    A cycle costs one step, as in ``GraphExecutor``, of which this is the older interface. The
    state that a call returns holds what runs back as well, so that the next call goes on exactly
    where this one ended.

    Args:
        modules: node name -> module.
        edges: (source, target) pairs.
        timesteps: how many steps a call takes, at least 1.
        output_nodes: the nodes whose values are returned; those without outgoing edges if None.
        return_state: whether a call returns ``(outputs, state)``.
        feedback: the edges that run back in time; decided by the rule if None.
    """

    timesteps: int = 1

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        edges: Sequence[Edge],
        timesteps: int = 1,
        output_nodes: Sequence[str] | None = None,
        return_state: bool = False,
        *,
        feedback: Iterable[Edge] | None = None,
    ) -> None:
        super().__init__(modules, edges, return_state, output_nodes=output_nodes, feedback=feedback)
        if timesteps < 1:
            raise GraphError(Problem(str(timesteps), "at least 1", field="timesteps"))
        self.timesteps = timesteps

    @property
    def output_nodes(self) -> tuple[str, ...]:
        """The nodes whose values are returned."""
        return self.plan.outputs

    def forward(
        self, x: Any, state: States | None = None, *, sequence: bool = False, **options: Any
    ) -> Any:
        """``timesteps`` steps on ``x`` (B, *shape); with ``sequence`` as of ``GraphExecutor``.

        Returns:
            A list with the output of each step (a dict by name where there are several outputs),
            or with ``return_state`` the pair (list, state).
        """
        if sequence or options:
            return super().forward(x, state, sequence=sequence, **options)
        refuse_sharded(self, self.network.like())
        inputs = self._inputs(x, 1)
        outputs = []
        state = self._states(state)
        for _ in range(self.timesteps):
            values, state = step_by_node(self.network, inputs, state)
            outputs.append(outputs_of(self.plan, values))
        if is_beside(self):
            refusing_gradients((outputs, state))
        return (outputs, state) if self.return_state else outputs
