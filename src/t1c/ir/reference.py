"""The meaning of a graph: a plain interpreter, one step at a time, in NumPy.

Every engine is tested against this file. It favours being read over being fast: nodes are visited
in an order in which each comes after those that feed it in the same step; an edge that runs back
in time delivers what its source sent in the step before, zeros at first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .errors import InputError, Problem, UnsupportedError
from .fields import Array
from .graph import Graph
from .node import State, as_shape
from .topology import Topology

States = dict[str, State]


class Reference:
    """Runs a graph in any NumPy float dtype; float64 is the meaning.

    ``state`` maps the name of each node with state to its state variables; a node whose output
    runs back in time has that output as a further, last one.

    Args:
        graph: what to run.
        dtype: of all arithmetic. Neuron coefficients are folded in float64 first (see
            ``ir.primitives.neuron``).

    Raises:
        UnsupportedError: the graph holds a nested graph.

    Example:
        >>> import numpy as np
        >>> from t1c import ir
        >>> graph = ir.Graph(
        ...     {"input": ir.Input(shape=(2,)),
        ...      "fc": ir.Affine(weight=np.eye(2), bias=np.ones(2)),
        ...      "output": ir.Output(shape=(2,))},
        ...     [("input", "fc"), ("fc", "output")],
        ... )
        >>> out, state = ir.Reference(graph).run(np.zeros((3, 1, 2)))
        >>> out.shape
        (3, 1, 2)
    """

    def __init__(self, graph: Graph, dtype: Any = np.float64) -> None:
        nested = [name for name, node in graph.nodes.items() if isinstance(node, Graph)]
        if nested:
            raise UnsupportedError(
                Problem("a nested graph", "a flat graph", where=f"node {nested[0]!r}")
            )
        self.graph = graph
        self.dtype = np.dtype(dtype)
        self.feedback = set(graph.feedback_edges())
        self.before = graph.topology().before
        forward = [edge for edge in graph.edges if edge not in self.feedback]
        self.order = Topology(graph.nodes, forward).order()

    def step(self, x: Any, state: States | None = None) -> tuple[Any, States]:
        """One time step.

        Args:
            x: array (B, *shape), or a dict of them by Input name where there are several.
            state: what an earlier step returned; None or {} is rest. It is not changed.

        Returns:
            The output (a dict by Output name where there are several) and the new state.
        """
        values, state = self.trace(x, state)
        outputs = {name: values[name] for name in self.graph.outputs()}
        return _single(outputs), state

    def run(self, xs: Any, state: States | None = None) -> tuple[Any, States]:
        """All steps of a sequence (T, B, *shape); returns outputs (T, B, ...) and final state."""
        inputs = self._inputs(xs)
        steps = len(next(iter(inputs.values())))
        outputs: list[dict[str, Array]] = []
        state = dict(state or {})
        for t in range(steps):
            values, state = self.trace({name: x[t] for name, x in inputs.items()}, state)
            outputs.append({name: values[name] for name in self.graph.outputs()})
        stacked = {
            name: np.stack([o[name] for o in outputs])
            if outputs
            else np.zeros((0, *next(iter(inputs.values())).shape[1:2], *node.shape), self.dtype)
            for name, node in self.graph.outputs().items()
        }
        return _single(stacked), state

    def trace(self, x: Any, state: States | None = None) -> tuple[dict[str, Array], States]:
        """One time step: what every node sent, by name, and the new state."""
        inputs = self._inputs(x)
        batch = len(next(iter(inputs.values())))
        state = state or {}
        values: dict[str, Array] = {}
        after: States = {}
        for name in self.order:
            node = self.graph.nodes[name]
            if name in inputs:
                values[name] = inputs[name]
                continue
            full = (batch, *(as_shape((node.input_type or {}).get("input")) or ()))
            rest = node.initial_state(full, self.dtype)
            own = state.get(name, rest)[: len(rest)]
            arriving = [
                self._sent_before(source, batch, state)
                if (source, name) in self.feedback
                else values[source]
                for source in self.before[name]
            ]
            joined = node.merge_values(arriving) if arriving else np.zeros(full, self.dtype)
            values[name], own = node.step(joined, own)
            if own:
                after[name] = own
        for name in dict.fromkeys(source for source, _ in self.feedback):
            after[name] = (*after[name], values[name])
        return values, after

    def _sent_before(self, name: str, batch: int, state: States) -> Array:
        if name in state:
            return state[name][-1]
        shape = as_shape((self.graph.nodes[name].output_type or {}).get("output")) or ()
        return np.zeros((batch, *shape), self.dtype)

    def _inputs(self, x: Any) -> dict[str, Array]:
        names = list(self.graph.inputs())
        given = x if isinstance(x, Mapping) else {names[0]: x}
        if set(given) != set(names):
            raise InputError(
                Problem(f"inputs for {sorted(given)}", f"one for each of {sorted(names)}")
            )
        return {name: np.asarray(given[name], dtype=self.dtype) for name in names}


def _single(values: dict[str, Array]) -> Any:
    return next(iter(values.values())) if len(values) == 1 else values
