"""What a module says that decides how several inputs become one."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .stateless import StatelessModule


class MergeModule(StatelessModule):
    """A module that decides how several inputs become one."""

    stretches: bool = False
    """An axis of size 1 of an input stands for a longer one."""

    @property
    def joins(self) -> bool:
        """The inputs are joined, not added."""
        return True

    def joined_along(self, rank: int) -> int | None:
        """The feature axis along which inputs of this many axes are joined, if they are."""
        return None

    def adds(self, count: int) -> bool:
        """Whether so many inputs are added up, and nothing else becomes of them."""
        return False

    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        """Join tensors (B, *features)."""
        raise NotImplementedError

    def magnitude(self, inputs: Sequence[Tensor]) -> tuple[Tensor, int]:
        """Magnitudes of the terms of the value, from those of the inputs, and how many terms."""
        return self.merge(inputs), 1

    def forward(self, x: Tensor) -> Tensor:
        """Pass the joined ``x`` on."""
        return x
