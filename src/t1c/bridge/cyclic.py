"""CyclicGraphExecutor: several time steps of a recurrent graph on a constant input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from t1c.ir.errors import GraphError, Problem
from t1c.ir.topology import Edge

from .executor import GraphExecutor, States


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
        super().__init__(modules, edges, return_state, feedback=feedback)
        problems = [
            Problem(f"there is no module {name!r}", f"one of {list(modules)}", field="output_nodes")
            for name in output_nodes or ()
            if name not in modules
        ]
        if timesteps < 1:
            problems.append(Problem(str(timesteps), "at least 1", field="timesteps"))
        if problems:
            raise GraphError(problems)
        self.timesteps = timesteps
        self.output_nodes = tuple(output_nodes or self.plan.outputs)

    def forward(self, x: Any, state: States | None = None) -> Any:
        """``timesteps`` steps on ``x`` (B, *shape).

        Returns:
            A list with the output of each step (a dict by name where there are several outputs),
            or with ``return_state`` the pair (list, state).
        """
        inputs = self._inputs(x, 1)
        outputs = []
        state = state or {}
        for _ in range(self.timesteps):
            values, state = self._step(inputs, state)
            found = {name: values[name] for name in self.output_nodes}
            outputs.append(next(iter(found.values())) if len(found) == 1 else found)
        return (outputs, state) if self.return_state else outputs
