"""How a model takes a sequence, and how what it gives back is read.

Every input is drawn as a graph takes it: (T, B, *shape), or (B, *shape) for a model that holds one
image still. A layout turns that into the model's argument, and the model's answer back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layout:
    """One way to call a model.

    Attributes:
        sample: from the drawn input to what ``to_ir`` is given.
        run: the model's answer to the drawn input, from rest.
        held: whether the model repeats its input by itself, so that one image is drawn.
        batch_first: whether a merged axis counts samples before steps.
    """

    sample: Callable[[Tensor], Any]
    run: Callable[[nn.Module, Tensor], Any]
    held: bool = False
    batch_first: bool = False

    def outputs(self, model: nn.Module, xs: Tensor, steps: int) -> list[Tensor]:
        """What the model returns, tensor by tensor, time first."""
        batch = xs.shape[0 if self.held else 1]
        found = list(tensors(answer := self.run(model, xs)))
        if isinstance(answer, list) and len(found) == steps > 1:
            # A list of what each step gave.
            found = [torch.stack(found)]
        return [self.time_first(y, steps, batch) for y in found]

    def time_first(self, y: Tensor, steps: int, batch: int) -> Tensor:
        """A tensor of the model as (T, B, ...); one that has no time in it as it is.

        Steps and samples are told apart by their number, which therefore differs.
        """
        if y.shape[:2] == (steps, batch):
            return y
        if y.shape[:2] == (batch, steps):
            return y.transpose(0, 1)
        if y.ndim and y.shape[0] == steps * batch:
            if self.batch_first:
                return y.unflatten(0, (batch, steps)).transpose(0, 1)
            return y.unflatten(0, (steps, batch))
        if y.ndim > 2 and y.shape[0] == batch and y.shape[-1] == steps:
            return y.movedim(-1, 0)
        return y


def tensors(answer: Any) -> Iterator[Tensor]:
    """The tensors of an answer, depth first."""
    if isinstance(answer, Tensor):
        yield answer
    elif isinstance(answer, dict):
        for part in answer.values():
            yield from tensors(part)
    elif isinstance(answer, tuple | list):
        for part in answer:
            yield from tensors(part)


def _stepped(model: nn.Module, xs: Tensor) -> Any:
    answers = [list(tensors(model(x))) for x in xs]
    return [torch.stack(steps) for steps in zip(*answers, strict=True)]


def _stepped_with_state(model: nn.Module, xs: Tensor) -> Tensor:
    state, outs = None, []
    for x in xs:
        out, state = model(x, state)
        outs.append(out)
    return torch.stack(outs)


def _whole(model: nn.Module, xs: Tensor) -> Any:
    return model(xs)


def _merged(xs: Tensor) -> Tensor:
    return xs.transpose(0, 1).flatten(0, 1)


def _batch_first(xs: Tensor) -> Tensor:
    return xs.transpose(0, 1)


def _time_last(xs: Tensor) -> Tensor:
    return xs.movedim(0, -1)


STEP = Layout(lambda xs: xs[0], _stepped)
"""A step at a time, the state kept inside."""

STEP_WITH_STATE = Layout(lambda xs: xs[0], _stepped_with_state)
"""A step at a time: ``out, state = model(x, state)``."""

SEQUENCE = Layout(lambda xs: xs, _whole)
"""All steps at once, time first."""

SEQUENCE_WITH_STATE = Layout(lambda xs: xs, lambda model, xs: model(xs)[0])
"""All steps at once; the state after the last one is returned too."""

IMAGE = Layout(lambda x: x, _whole, held=True)
"""One image, which the model repeats."""

MERGED = Layout(_merged, lambda model, xs: model(_merged(xs)), batch_first=True)
"""Samples and steps in one axis."""

BATCH_FIRST = Layout(_batch_first, lambda model, xs: model(_batch_first(xs)), batch_first=True)
"""(B, T, ...)."""

TIME_LAST = Layout(_time_last, lambda model, xs: model(_time_last(xs)))
"""(B, ..., T)."""
