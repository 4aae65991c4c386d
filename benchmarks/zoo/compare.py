"""How many numbers of a graph differ from a model's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .neurons import is_spikes

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Count:
    """Differing numbers, of how many."""

    differing: int = 0
    compared: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.differing + other.differing, self.compared + other.compared)


def count(want: Tensor, got: Tensor) -> Count:
    """Spikes must be equal, values within 1e-4 of their size and of the usual size among them."""
    if is_spikes(want):
        off = want != got
    else:
        usual = want.square().mean().sqrt()
        # Written so that a NaN on either side differs, unless it stands on both.
        near = (want - got).abs() <= TOLERANCE * (want.abs() + usual)
        off = ~(near | (want == got) | (want.isnan() & got.isnan()))
    return Count(int(off.sum()), want.numel())


def same_shape(want: Tensor, got: Tensor) -> bool:
    """Whether two answers can be compared number by number."""
    return tuple(want.shape) == tuple(torch.as_tensor(got).shape)
