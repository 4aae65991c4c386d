"""What nodes send one another, in one step or in all steps of a chunk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from t1c.ir.step_plan import Source

from .plan import Plan

Sent = Any
"""What a node sends: a tensor, or a tuple of tensors where it has several outputs."""
Values = dict[str, Sent]
"""Node name -> what it sends."""


def carried_by(name: str) -> str:
    """The key under which values hold what a node carried after each step: no name of a node."""
    return f"{name}\0"


def at_port(values: Values, source: Source) -> Tensor:
    """What arrives from a source, of several outputs the right one."""
    value = values[source.name]
    port: Tensor = value[source.port] if isinstance(value, tuple) else value
    return port


def at_step(value: Sent, t: int) -> Sent:
    """One step of a sequence; zeros of the right shape where the sequence has no steps."""
    if isinstance(value, tuple):
        return tuple(at_step(part, t) for part in value)
    return value[t] if len(value) else value.new_zeros(value.shape[1:])


def stacked(sent: list[Sent], steps: int) -> Sent:
    """A sequence of the first ``steps`` values."""
    if isinstance(sent[0], tuple):
        return tuple(stacked(list(parts), steps) for parts in zip(*sent, strict=True))
    return torch.stack(sent)[:steps]


def each_port(value: Sent, function: Callable[[Tensor], Tensor]) -> Sent:
    """What a function makes of each output."""
    return tuple(map(function, value)) if isinstance(value, tuple) else function(value)


def outputs_of(plan: Plan, values: Values) -> Any:
    """What is returned: the value of the one output, or a dict of them by name."""
    if len(plan.outputs) == 1:
        return values[plan.outputs[0]]
    return {name: values[name] for name in plan.outputs}
