"""The meaning of a graph: a plain interpreter, one step at a time, in NumPy.

Every engine is tested against this file. It favours being read over being fast: nodes are visited
in an order in which each comes after those that feed it in the same step; an edge that runs back
in time delivers what its source sent in the step before, zeros at first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from .errors import InputError, Problem
from .fields import Array
from .graph import Graph
from .node import State
from .primitives.border import how_many_steps
from .step_plan import StepPlan

States = dict[str, State]


class Reference:
    """Runs a graph in any NumPy float dtype; float64 is the meaning.

    Every sum has one order (see ``ir.primitives.sums``), so that in the dtype of an executor that
    was made with ``reproducible=True`` the numbers are its own, bit for bit.

    ``state`` maps the name of each node with state to its state variables; a node whose output
    runs back in time has that output as a further, last one. A node ``n`` of a nested graph ``g``
    is named ``g/n``.

    Args:
        graph: what to run.
        dtype: of all arithmetic. Neuron coefficients are folded in float64 first (see
            ``ir.primitives.neuron``).

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
        self.graph = graph
        self.dtype = np.dtype(dtype)
        self.plan = StepPlan(graph)
        self.nodes = self.plan.nodes

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

    def run(
        self,
        xs: Any,
        state: States | None = None,
        *,
        steps: int | None = None,
        collect: Literal["stack", "last"] | None = None,
    ) -> tuple[Any, States]:
        """All steps of a sequence.

        Args:
            xs: array (T, B, *shape), or a dict of them by Input name where there are several. An
                Input with ``hold`` also takes one value (B, *shape) for all steps.
            state: as for ``step``.
            steps: how many steps held values are held; None: as many as the sequences beside them
                have, or else ``hold``.
            collect: 'stack' for the outputs of all steps (T, B, ...), 'last' for those of the last
                (B, ...); None: what each Output says.

        Returns:
            The outputs (a dict by Output name where there are several) and the final state.
        """
        inputs, T = self._sequences(xs, steps)
        outputs: dict[str, list[Array]] = {name: [] for name in self.graph.outputs()}
        state = dict(state or {})
        for t in range(T):
            values, state = self.trace({name: x[t] for name, x in inputs.items()}, state)
            for name, sent in outputs.items():
                sent.append(values[name])
        batch = next(iter(inputs.values())).shape[1]
        found = {}
        for name, node in self.graph.outputs().items():
            sent = outputs[name]
            if collect == "last" or (collect is None and node.final):
                if not sent:
                    raise InputError(
                        Problem("no steps", "at least one", where=f"the last of output {name!r}")
                    )
                found[name] = sent[-1]
            else:
                nothing = np.zeros((0, batch, *node.shape), self.dtype)
                found[name] = np.stack(sent) if sent else nothing
        return _single(found), state

    def trace(self, x: Any, state: States | None = None) -> tuple[dict[str, Array], States]:
        """One time step: what every node sent, by name, and the new state."""
        inputs = self._inputs(x, "B")
        batch = len(next(iter(inputs.values())))
        before = self._state(state or {}, batch)
        values: dict[str, Any] = dict(inputs)
        after: States = {}
        for name in self.plan.order:
            if name in inputs:
                continue
            node, own = self.nodes[name], self._own(name, before)
            if name in self.plan.early:
                values[name] = node.emit(own)
            else:
                arriving = self._arriving(name, batch, values, before)
                values[name], after[name] = node.step(arriving, own)
        for name in self.plan.early:
            arriving = self._arriving(name, batch, values, before)
            after[name] = self.nodes[name].absorb(arriving, self._own(name, before))
        for name in self.plan.fed_back:
            after[name] = (*after[name], values[name])
        return values, {name: after[name] for name in self.nodes if after.get(name)}

    def _arriving(self, name: str, batch: int, values: dict[str, Any], before: States) -> Array:
        """What reaches a node in this step; zeros for a neuron that no edge leads to."""
        sent = []
        for source in self.plan.sources[name]:
            if source.back:
                sent.append(before[source.name][-1])
            else:
                value = values[source.name]
                sent.append(value[source.port] if isinstance(value, tuple) else value)
        node = self.nodes[name]
        if sent:
            return node.merge_values(sent)
        return np.zeros((batch, *self.plan.arriving_shape(name)), self.dtype)

    def _own(self, name: str, before: States) -> State:
        """The state variables of a node, without what it sent."""
        return before[name][:-1] if name in self.plan.fed_back else before[name]

    def _state(self, given: States, batch: int) -> States:
        """The state of every node before a step: what is given, zeros where nothing is."""
        state: States = {}
        for name, node in self.nodes.items():
            full = (batch, *self.plan.arriving_shape(name))
            rest = node.initial_state(full, self.dtype)
            if name in self.plan.fed_back:
                sent = (batch, *self.plan.sent_shapes(name)[0])
                rest = (*rest, np.zeros(sent, self.dtype))
            state[name] = tuple(np.asarray(v, self.dtype) for v in given.get(name, rest))
            found, expected = [v.shape for v in state[name]], [v.shape for v in rest]
            if found != expected:
                raise InputError(
                    Problem(
                        f"state of shapes {found}",
                        f"{expected} for a batch of {batch}",
                        "Pass what an earlier step returned, or None to start at rest.",
                        f"node {name!r}",
                    )
                )
        return state

    def _sequences(self, xs: Any, steps: int | None) -> tuple[dict[str, Array], int]:
        """The inputs of all steps by name, and how many steps that are."""
        nodes, given = self.graph.inputs(), self._named(xs)
        held = {
            name: node.hold
            for name, node in nodes.items()
            if node.hold is not None and given[name].ndim == 1 + len(node.shape)
        }
        if held or steps is not None:
            T = how_many_steps({n: len(x) for n, x in given.items() if n not in held}, held, steps)
            given |= {n: np.broadcast_to(given[n], (T, *given[n].shape)) for n in held}
        inputs = self._inputs(given, "T", "B")
        return inputs, len(next(iter(inputs.values())))

    def _named(self, x: Any) -> dict[str, Array]:
        """The caller's arrays by Input name."""
        inputs = self.graph.inputs()
        given = x if isinstance(x, Mapping) else {next(iter(inputs)): x}
        if set(given) != set(inputs):
            raise InputError(
                Problem(f"inputs for {sorted(given)}", f"one for each of {sorted(inputs)}")
            )
        return {name: np.asarray(given[name]) for name in inputs}

    def _inputs(self, x: Any, *lead: str) -> dict[str, Array]:
        """The inputs by name; ``lead`` names the dimensions before those of the features."""
        inputs, arrays = self.graph.inputs(), self._named(x)
        sizes = next(iter(arrays.values())).shape[: len(lead)]
        for name, node in inputs.items():
            array = arrays[name]
            fits = len(sizes) == len(lead) and array.shape == (*sizes, *node.shape)
            if not fits or array.dtype.kind not in "biuf":
                raise InputError(
                    Problem(
                        f"an array of shape {array.shape} and dtype {array.dtype}",
                        f"numbers of shape ({', '.join([*lead, *map(str, node.shape)])})",
                        f"All inputs have the same {' and '.join(lead)}."
                        if len(inputs) > 1
                        else "",
                        f"input {name!r}",
                    )
                )
        return {name: array.astype(self.dtype) for name, array in arrays.items()}


def _single(values: dict[str, Array]) -> Any:
    return next(iter(values.values())) if len(values) == 1 else values
