"""The program of a graph: one step, or a sequence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from t1c import ir

from .capture import traced
from .ports import Ports
from .sequence import Sequence
from .step import Step, plain_network

BATCH, TIME = 2, 3
"""Of the example: sizes that are to be free have to be above 1 while they are captured."""


def step_program(graph: ir.Graph, ports: Ports, dtype: torch.dtype) -> ExportedProgram:
    """The program of one step, as it is traced; its example is zeros, at rest.

    Raises:
        UnsupportedError: no module runs a node.
    """
    free = {0: Dim("batch")}
    x = {n: torch.zeros(BATCH, *node.shape, dtype=dtype) for n, node in ports.inputs.items()}
    module = Step(plain_network(graph, dtype), ports)
    dynamic = (_one(dict.fromkeys(x, free)), dict.fromkeys(ports.rest, free))
    return traced(module, (_one(x), _at_rest(ports)), dynamic)


def sequence_program(step: ExportedProgram, ports: Ports, steps: int | None) -> ExportedProgram:
    """The program of a sequence, as it is traced, given that of a step.

    Args:
        step: the program of ``step_program``.
        ports: what goes in and out of it.
        steps: T, where all inputs are held.

    Raises:
        UnsupportedError: this torch has no loop that a program can hold.
    """
    batch, time = Dim("batch"), Dim("steps")
    x, state = step.example_inputs[0]
    each = x if len(ports.inputs) > 1 else {next(iter(ports.inputs)): x}
    moving = {n for n, node in ports.inputs.items() if node.hold is None}
    xs = {n: torch.stack([v] * TIME) if n in moving else v for n, v in each.items()}
    along = {n: {0: time, 1: batch} if n in moving else {0: batch} for n in each}
    module = Sequence(step.module(check_guards=False), ports, steps or 0)
    dynamic = (_one(along), {n: {0: batch} for n in state})
    return traced(module, (_one(xs), state), dynamic)


def _at_rest(ports: Ports) -> dict[str, Tensor]:
    return {
        name: torch.from_numpy(value).expand(BATCH, *value.shape[1:]).contiguous()
        for name, value in ports.rest.items()
    }


def _one(named: dict[str, Any]) -> Any:
    """The one value, or all of them by name."""
    return named if len(named) > 1 else next(iter(named.values()))
