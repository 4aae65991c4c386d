"""A model of all steps: what has no memory over all of them at once, the rest in Scans."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.step_plan import StepPlan

from ..ports import Port
from .one_step import Asked, close_states, entered, laid_states
from .ports import STEPS, StatePort
from .stages import stages_of
from .step import Held, Sent, merged, stateless, write_steps
from .writer import INTEGER, Body, Value, Writer


def write_sequence(
    w: Writer, graph: ir.Graph, plan: StepPlan, states: Sequence[StatePort]
) -> Asked:
    """Write all steps.

    Returns:
        What goes in beside Inputs and states, and the values of it that need not be given.
    """
    work = _Sequence(w, graph, plan)
    held, back = laid_states(w, states)
    after: Held = {}
    for stage in stages_of(plan):
        if stage.scanned:
            after |= work.scan(stage.names, held, back)
        else:
            for name in stage.names:
                work.at_once(name)
    for name, node in graph.outputs().items():
        w.at(name)
        w.call(work.last(name) if node.final else work.stacked(name, 0), name)
    close_states(w, states, after, back)
    return work.asked, work.given


class _Sequence:
    """What nodes send over all steps, in the forms in which others take it.

    A value either has all steps, as (T, B, ...) or flat as (T * B, ...), or is steady, (B, ...):
    the same at every step, because it follows from held inputs without memory.

    Attributes:
        asked: what goes in beside Inputs and states.
        given: values of it that need not be given.
    """

    def __init__(self, w: Writer, graph: ir.Graph, plan: StepPlan) -> None:
        self.w, self.plan = w, plan
        nodes = graph.inputs()
        held = {name: node for name, node in nodes.items() if node.hold is not None}
        moving = {name: node.shape for name, node in nodes.items() if name not in held}
        self.given: dict[str, Array] = {}
        self.asked: list[Port] = []
        self._stacked = {(n, 0): values[0] for n, values in entered(w, moving, 2).items()}
        self._flat: dict[tuple[str, int], Value] = {}
        still = {name: node.shape for name, node in held.items()}
        if moving:
            self.steps = w.op("Shape", next(iter(moving)), shape=(), start=0, end=1).name
            self._steady = entered(w, still, 1, w.batch)
        else:
            self._steady = entered(w, still, 1)
            self.steps = self._asked({node.hold for node in held.values()})
        self._lead = w.op("Concat", self.steps, w.batch, shape=(), axis=0).name
        # All steps of all samples, as one batch.
        self._all = Writer(w.shared, w.op("Mul", self.steps, w.batch, shape=()).name)
        self._all.operations = w.operations

    def _asked(self, holds: set[int | None]) -> str:
        """For how many steps, where all inputs are held: what a call says, or else they do."""
        self.asked.append(Port(STEPS, ()))
        if len(holds) == 1:
            self.given[STEPS] = np.asarray(holds.pop(), INTEGER)
        return self.w.op("Reshape", STEPS, self.w.integers(1), shape=()).name

    # Forms of a value ----------------------------------------------------------------------------

    def flat(self, name: str, port: int) -> Value:
        """(T * B, ...)."""
        if (name, port) not in self._flat:
            value = self.stacked(name, port)
            whole = self.w.integers(-1, *value.shape)
            self._flat[name, port] = self._all.op("Reshape", value, whole, shape=value.shape)
        return self._flat[name, port]

    def stacked(self, name: str, port: int) -> Value:
        """(T, B, ...)."""
        if (name, port) not in self._stacked:
            self.w.at(name)
            if name in self._steady:
                kind, value = "Expand", self._steady[name][port]
            else:
                kind, value = "Reshape", self._flat[name, port]
            target = self.w.op(
                "Concat", self._lead, self.w.integers(*value.shape), shape=(), axis=0
            )
            self._stacked[name, port] = self.w.op(kind, value, target, shape=value.shape)
        return self._stacked[name, port]

    def last(self, name: str) -> Value:
        """(B, ...), of the last step."""
        if name in self._steady:
            return self._steady[name][0]
        value, index = self.stacked(name, 0), self.w.integers(-1)
        found = self.w.op("Gather", value, index, shape=value.shape, axis=0)
        return self.w.op("Squeeze", found, self.w.integers(0), shape=value.shape)

    # Stages --------------------------------------------------------------------------------------

    def at_once(self, name: str) -> None:
        """A node without memory: all steps of all samples as one batch."""
        node, sources = self.plan.nodes[name], self.plan.sources[name]
        if all(a.name in self._steady for a in sources):
            inputs = [self._steady[a.name][a.port] for a in sources]
            self._steady[name] = stateless(self.w, node, merged(self.w, self.plan, name, inputs))
            return
        inputs = [self.flat(a.name, a.port) for a in sources]
        x = merged(self._all, self.plan, name, inputs)
        for port, value in enumerate(stateless(self._all, node, x)):
            self._flat[name, port] = value

    def scan(self, names: Sequence[str], held: Held, back: dict[str, Value]) -> Held:
        """Nodes with memory: one step after another; ``back`` moves on to the last step.

        Returns:
            The states after the last step.
        """
        inside, plan = set(names), self.plan
        body = Writer(self.w.shared, self.w.batch)
        states = [(name, k) for name in names for k in range(len(held.get(name, ())))]
        returning = [name for name in names if name in back]
        starts = [held[name][k] for name, k in states] + [back[name] for name in returning]
        carried = [self._entry(body, value) for value in starts]
        before: dict[str, list[Value]] = {name: [] for name in names}
        for (name, _), value in zip(states, carried, strict=False):
            before[name].append(value)
        # What comes from outside: a step at a time, or what is the same at every step.
        sent: Sent = {}
        moving: list[tuple[Value, Value]] = []
        sources = [a for name in names for a in plan.sources[name] if a.name not in inside]
        for source in dict.fromkeys(a.name for a in sources):
            if source in self._steady:
                sent[source] = tuple(body.here(value) for value in self._steady[source])
                continue
            values = [self.stacked(source, k) for k in range(plan.nodes[source].port_count)]
            moving += [(value, self._entry(body, value)) for value in values]
            sent[source] = tuple(step for _, step in moving[-len(values) :])
        kind = body.dtype
        if not moving:
            # Nothing moves; what is scanned then is the time.
            zero, one = (self.w.integer(n) for n in (0, 1))
            until = self.w.op("Squeeze", self.steps, shape=())
            clock = self.w.op("Range", zero, until, one, shape=())
            moving, kind = [(clock, self._entry(body, clock))], INTEGER
        own = {name: tuple(values) for name, values in before.items()}
        returns = dict(zip(returning, carried[len(states) :], strict=True))
        after = write_steps(body, plan, names, sent, own, returns)
        leaving = self._leaving(inside)
        results = [after[name][k] for name, k in states]
        results += [sent[name][0] for name in returning]
        results += [sent[name][port] for name, port in leaving]
        graph = Body(
            self.w.shared.unused("/steps"),
            body.operations,
            [(value.name, body.dtype) for value in carried]
            + [(value.name, kind) for _, value in moving],
            _ends(body, results),
        )
        self.w.at("")
        found = self.w.several(
            "Scan",
            [*starts, *(value for value, _ in moving)],
            [value.shape for value in results],
            body=graph,
            num_scan_inputs=len(moving),
        )
        back |= zip(returning, found[len(states) :], strict=False)
        self._stacked |= zip(leaving, found[len(carried) :], strict=True)
        last: dict[str, list[Value]] = {name: [] for name, _ in states}
        for (name, _), value in zip(states, found, strict=False):
            last[name].append(value)
        return {name: tuple(values) for name, values in last.items()}

    def _entry(self, body: Writer, value: Value) -> Value:
        """An input of a body, which takes ``value``, or a step of it."""
        return Value(body, self.w.shared.unused(f"{value.name}.step"), value.shape)

    def _leaving(self, inside: set[str]) -> list[tuple[str, int]]:
        """What nodes send to others outside their Scan."""
        taken = [
            (a.name, a.port)
            for name, sources in self.plan.sources.items()
            for a in sources
            if name not in inside and a.name in inside
        ]
        return list(dict.fromkeys(taken))


def _ends(body: Writer, results: Sequence[Value]) -> list[str]:
    """The names of what leaves a body: each its own, and made within."""
    made = {name for operation in body.operations for name in operation.outputs}
    ends: list[str] = []
    for value in results:
        if value.name not in made or value.name in ends:
            value = body.op("Identity", value, shape=value.shape)
        ends.append(value.name)
    return ends
