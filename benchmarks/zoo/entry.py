"""A model of the zoo: how to make it, feed it, and put it to rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .layouts import Layout

Draw = Callable[[tuple[int, ...], torch.Generator], Tensor]


def image(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Numbers between 0 and 1, as pixels are."""
    return torch.rand(shape, generator=generator)


def current(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Numbers around 0, as a normalised image or a layer's sums are."""
    return torch.randn(shape, generator=generator)


def events(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Spikes, three in ten."""
    return (torch.rand(shape, generator=generator) < 0.3).float()


@dataclass(frozen=True)
class Entry:
    """One model, and what is needed to try it.

    Attributes:
        framework: under which heading it stands.
        name: what it is called.
        make: the model, its weights drawn anew; called after ``torch.manual_seed``.
        shape: of the features of its input.
        layout: how it is called.
        draw: numbers of a given shape.
        rest: brings a model that has been run back to rest.
        steps: of the sample; and of the run, if the model has a fixed number.
        batch: of the sample.
        fresh: steps and samples of the run, both other than the sample's.
        refusal: why no step-by-step graph can say it; "" where one can.
        after: tried before, so that what is loaded and compiled once is not counted.
        seconds, times: the most that exporting may take in time, and in memory as a multiple of the
            model's own; 0 for no such limit.
    """

    framework: str
    name: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    layout: Layout
    draw: Draw = image
    rest: Callable[[nn.Module], Any] = field(kw_only=True)
    steps: int = 4
    batch: int = 2
    fresh: tuple[int, int] = (5, 3)
    refusal: str = ""
    after: Entry | None = None
    seconds: float = 0
    times: float = 0

    def model(self) -> nn.Module:
        """The model in eval mode; the same weights at every call."""
        torch.manual_seed(0)
        return self.make().eval()

    def input(self, steps: int, batch: int, seed: int) -> Tensor:
        """(T, B, *shape), or (B, *shape) if the model holds its input still."""
        lead = (batch,) if self.layout.held else (steps, batch)
        return self.draw((*lead, *self.shape), torch.Generator().manual_seed(seed))

    def run(self, model: nn.Module, xs: Tensor) -> list[Tensor]:
        """What the model gives from rest: (T, B, ...), or (B, ...) where time is summed up."""
        self.rest(model)
        with torch.no_grad():
            return self.layout.outputs(model, xs, self.steps_of(xs))

    def steps_of(self, xs: Tensor) -> int:
        """Over how many steps the model runs on this input."""
        return self.steps if self.layout.held else len(xs)


def fixed(steps: int, batch: int = 3) -> dict[str, Any]:
    """For a model that knows its number of steps: only the batch is another in the run."""
    return {"steps": steps, "fresh": (steps, batch)}
