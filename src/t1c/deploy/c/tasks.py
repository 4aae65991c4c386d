"""What there is to do in a step, and in which order: neighbours of one size in one loop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from t1c import ir
from t1c.ir.step_plan import StepPlan

from .refs import Ref, Values
from .registry import is_block, sends_channels_last

Role = Literal["node", "sum", "plain", "emit", "absorb", "output"]
RAW = -1
"""The port of a value whose channels still lie last."""


@dataclass(frozen=True, eq=False)
class Task:
    """A node's work, or a part of it.

    Attributes:
        name: of the node.
        role: 'node' all of it; 'sum' what its edges bring, added, for a node that is no loop over
            elements; 'plain' its output in the order that others read; 'emit' and 'absorb' the two
            halves of a Delay in a loop; 'output' what the caller gets.
        inputs: what it takes.
        size: of the loop over elements that it belongs in; 0: it has loops of its own.
        sends: the values that it makes.
        after: what else must be done before.
    """

    name: str
    role: Role
    inputs: Sequence[Ref]
    size: int
    sends: Sequence[tuple[str, int]]
    after: Sequence[Task] = ()

    def aligned(self, ref: Ref) -> bool:
        """Whether a loop over its elements reads element i of a value at i."""
        return ref.offset == 0 and ref.size == self.size


def tasks(plan: StepPlan, values: Values) -> list[Task]:
    """All that a step does, each after what it takes, but for what the halves of Delays take."""
    found: list[Task] = []
    halves: dict[str, Task] = {}
    for name in plan.order:
        node, size = plan.nodes[name], math.prod(plan.arriving_shape(name))
        if isinstance(node, ir.Output):
            found.append(Task(name, "output", values.arriving(name), size, []))
        elif isinstance(node, ir.Input) or values.is_passed(name):
            continue
        elif name in plan.early:
            halves[name] = Task(name, "emit", [], size, [(name, 0)])
            found.append(halves[name])
        elif is_block(node):
            found += _block(plan, values, name)
        else:
            found.append(Task(name, "node", values.arriving(name), size, [(name, 0)]))
    for name, emitted in halves.items():
        found.append(Task(name, "absorb", values.arriving(name), emitted.size, [], after=[emitted]))
    return found


def _block(plan: StepPlan, values: Values, name: str) -> list[Task]:
    """A node with loops of its own, what adds up its inputs, and what puts its output in order."""
    node, inputs, found = plan.nodes[name], values.arriving(name), []
    if node.adds_inputs and len(inputs) > 1:
        size = math.prod(plan.arriving_shape(name))
        found.append(Task(name, "sum", inputs, size, [(f"{name}+", 0)]))
        inputs = [Ref(f"{name}+", 0, False, 0, size)]
    shapes = plan.sent_shapes(name)
    if sends_channels_last(node, plan.arriving_shape(name)):
        size = math.prod(shapes[0])
        raw = Ref(name, RAW, False, 0, size)
        found.append(Task(name, "node", inputs, 0, [(name, RAW)]))
        found.append(Task(name, "plain", [raw], size, [(name, 0)]))
    else:
        ports = [(name, port) for port in range(len(shapes))]
        found.append(Task(name, "node", inputs, 0, ports))
    return found


def scheduled(todo: Sequence[Task]) -> list[list[Task]]:
    """Stages, one after another: a task with loops of its own, or several that share a loop.

    What has loops of its own comes as soon as it can, so that the loops over elements that follow
    are as long as they can be.
    """
    made_by = {value: task for task in todo for value in task.sends}
    stages: list[list[Task]] = []
    done: set[Task] = set()
    waiting = list(todo)

    def ready(task: Task, beside: Sequence[Task] = ()) -> bool:
        """Whether all that a task takes is there, or made in the same loop."""
        for ref in task.inputs:
            maker = None if ref.back else made_by.get(ref.value)
            if maker is None or maker in done:
                continue
            if maker not in beside or not task.aligned(ref):
                return False
        return all(each in done or each in beside for each in task.after)

    while waiting:
        blocks = [task for task in waiting if not task.size and ready(task)]
        if blocks:
            stages.append(blocks[:1])
        else:
            first = next(task for task in waiting if ready(task))
            together = [first]
            growing = True
            while growing:
                growing = False
                for task in waiting:
                    fits = task.size == first.size and task not in together
                    if fits and ready(task, together):
                        together.append(task)
                        growing = True
            stages.append(together)
        done.update(stages[-1])
        waiting = [task for task in waiting if task not in done]
    return stages
