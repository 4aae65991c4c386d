"""What a side did on the input, in a form that can be laid beside another's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..frameworks.watching import watch

Xs = Any
"""An input sequence: a tensor (T, B, ...), a dict of them by Input name, or a tuple."""


@dataclass
class Trace:
    """What a run left behind; every tensor is (T, B, *features).

    Attributes:
        outputs: output name -> its values; of one that is final the last step alone, (1, B, ...).
        values: node name -> what the node sent.
        potentials: node name -> the membrane at the moment when firing is tested (before a reset
            in the same step).
        thresholds: node name -> what the potentials are compared with, without time.
        last: outputs that are final -> the number of the last step.
        fired: neuron or Threshold -> whether it fired at all.
        spiking: the outputs that pass on what one of these sends.
    """

    outputs: dict[str, Tensor]
    values: dict[str, Tensor] = field(default_factory=dict)
    potentials: dict[str, Tensor] = field(default_factory=dict)
    thresholds: dict[str, Tensor] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    fired: dict[str, bool] = field(default_factory=dict)
    spiking: frozenset[str] = frozenset()


class Side(Protocol):
    """One of the two that are compared."""

    name: str
    """How the report calls it: 'a' or 'b'."""

    label: str
    """What it is, in a few words."""

    def trace(self, xs: Xs) -> Trace:
        """Run all steps from rest."""
        ...

    def module(self, node: str) -> nn.Module | None:
        """What computes a node, if it can be looked at."""
        ...


def tensors(xs: Xs) -> list[Tensor]:
    """The tensors of an input sequence, in order."""
    if isinstance(xs, dict):
        return list(xs.values())
    return list(xs) if isinstance(xs, tuple) else [xs]


def as_given(xs: Xs, given: Sequence[Tensor]) -> Xs:
    """Tensors in the form in which ``xs`` holds its own."""
    if isinstance(xs, dict):
        return dict(zip(xs, given, strict=True))
    return tuple(given) if isinstance(xs, tuple) else given[0]


def each(xs: Xs, function: Callable[[Any], Tensor]) -> Xs:
    """The input sequence with ``function`` applied to each of its tensors."""
    if isinstance(xs, dict):
        return {name: function(x) for name, x in xs.items()}
    return tuple(function(x) for x in xs) if isinstance(xs, tuple) else function(xs)


def device_of(module: nn.Module) -> torch.device:
    """Where a module's numbers are; the CPU if it has none."""
    found = next(iter((*module.parameters(), *module.buffers())), None)
    return torch.device("cpu") if found is None else found.device


def watch_firing(module: nn.Module, tested: list[Tensor]) -> Tensor | None:
    """Let a framework's neuron note the membrane each time it tests for a spike.

    Changes this very object: hand in a copy.

    Returns:
        What it compares the membrane with; None if it is no neuron that can be watched.
    """
    threshold = watch(module, lambda membrane: tested.append(membrane.detach().clone()))
    return None if threshold is None else threshold.detach()
