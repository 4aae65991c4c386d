"""Where numbers lie: in the state that lasts, in scratch that is shared, or with the caller."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from t1c.ir.fields import Array

Place = Literal["state", "scratch", "caller"]


@dataclass(eq=False)
class Storage:
    """An array of a step.

    Attributes:
        name: its own name in C.
        dtype: of its elements.
        size: how many they are.
        place: 'state' lasts from step to step, 'scratch' is shared by what is not needed at the
            same time, 'caller' is an argument of the step.
        rest: what a state holds after a reset: one number, or one for each element.
        first: the stage that writes it.
        last: the last stage that reads it.
        offset: of scratch, where it begins among all scratch of its type.
    """

    name: str
    dtype: np.dtype[Any]
    size: int
    place: Place = "scratch"
    rest: Array = field(default_factory=lambda: np.zeros(()))
    first: int = -1
    last: int = -1
    offset: int = 0

    @property
    def bytes(self) -> int:
        """How many bytes it takes."""
        return self.size * self.dtype.itemsize

    def used(self, stage: int) -> None:
        """Note that a stage reads or writes it."""
        self.first = stage if self.first < 0 else min(self.first, stage)
        self.last = max(self.last, stage)


def share(storages: Iterable[Storage]) -> dict[np.dtype[Any], int]:
    """Lay out scratch so that what is needed at the same time does not overlap.

    The largest come first, each at the lowest place that is free for as long as it is needed.

    Returns:
        For each type, how many elements are needed in all.
    """
    laid: list[Storage] = []
    sizes: dict[np.dtype[Any], int] = {}
    for each in sorted(storages, key=lambda s: (-s.size, s.first, s.name)):
        beside = sorted(
            (o.offset, o.offset + o.size)
            for o in laid
            if o.dtype == each.dtype and o.first <= each.last and each.first <= o.last
        )
        each.offset = 0
        for start, end in beside:
            if start >= each.offset + each.size:
                break
            each.offset = max(each.offset, end)
        laid.append(each)
        sizes[each.dtype] = max(sizes.get(each.dtype, 0), each.offset + each.size)
    return sizes
