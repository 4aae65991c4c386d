"""What two sides gave, number by number: whether they differ by more than rounding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

ROUNDINGS = 2048
"""Units of rounding that sums of thousands of terms, over dozens of layers and steps, may make."""


@dataclass(frozen=True)
class Difference:
    """The output that differs most often.

    Attributes:
        name: the output.
        count: how many of its values differ.
        total: how many it has.
        largest: by how much, at most.
        step: the first step at which they do; None where there is one answer.
        shapes: what shapes the two have, where these differ.
    """

    name: str
    count: int
    total: int
    largest: float
    step: int | None
    shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    def __str__(self) -> str:
        if self.shapes is not None:
            mine, theirs = self.shapes
            return f"{self.name!r} has shape {mine} in the model and {theirs} in the graph"
        first = "" if self.step is None else f", first at step {self.step}"
        return (
            f"{self.count} of {self.total} values of {self.name!r} differ, by up to "
            f"{self.largest:.3g}{first}"
        )


def differing(
    mine: Mapping[str, Tensor],
    theirs: Mapping[str, Tensor],
    unit: float | None = None,
    strict: bool = True,
) -> Difference | None:
    """The output that differs most often, if one does.

    Two numbers are the same within rounding: of the largest of their step and sample where that is
    ``strict``, of the largest of all otherwise.

    Args:
        mine: what one side gave, by output.
        theirs: what the other gave.
        unit: a unit of rounding; None: that of the outputs' dtype. A model's numbers, as 0.9, are
            rounded in its graph to the dtype that it has, also where both are run in a finer one.
        strict: see above.
    """
    found: Difference | None = None
    for name, a in mine.items():
        b = theirs[name]
        if a.shape != b.shape:
            shapes = tuple(a.shape), tuple(b.shape)
            return Difference(name, a.numel(), a.numel(), float("inf"), None, shapes)
        units = [torch.finfo(t.dtype).eps for t in (a, b) if t.is_floating_point()]
        eps = max(units, default=0.0) if unit is None else unit
        x, y = a.to(torch.float64), b.to(torch.float64)
        sizes = torch.where(torch.isfinite(x), x.abs(), 0.0)
        largest = sizes.max() if sizes.numel() else sizes.sum()
        room = ROUNDINGS * eps * largest
        if strict and x.ndim > 1:
            own = sizes.flatten(1).max(1).values if x.ndim < 3 else sizes.flatten(2).max(2).values
            own = own.reshape(*own.shape, *[1] * (x.ndim - own.ndim))
            room = 512 * eps * own + 16 * eps * largest
        gap = (x - y).abs()
        off = ~((gap <= room) | (x == y) | (x.isnan() & y.isnan()))
        count = int(off.sum())
        if count and (found is None or count > found.count):
            seen = gap[off]
            seen = seen[~seen.isnan()]
            most = float(seen.max()) if seen.numel() else float("nan")
            step = int(off.flatten(1).any(1).nonzero()[0]) if x.ndim > 2 else None
            found = Difference(name, count, a.numel(), most, step)
    return found
