"""Parameters as they were found, and whether they still are."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

_version, _shape = operator.attrgetter("_version"), operator.attrgetter("shape")


class Watched:
    """What some parameters and buffers of modules were when this was made.

    Writing through ``.data`` or a NumPy view goes unseen.

    Args:
        entries: modules, and the names of their own parameters or buffers, which may be None.

    Example:
        >>> import torch
        >>> layer = nn.Linear(2, 3)
        >>> watched = Watched([(layer, "weight"), (layer, "bias")])
        >>> watched.holds()
        True
        >>> with torch.no_grad():
        ...     watched.holds(), layer.bias.zero_().sum().item(), watched.holds()
        (True, 0.0, False)
    """

    def __init__(self, entries: Iterable[tuple[nn.Module, str]]) -> None:
        self._homes = [(_home(module, name), name) for module, name in entries]
        found: list[Tensor | None] = [home.get(name) for home, name in self._homes]
        self._found = found
        self._tensors = [t for t in found if t is not None]
        self._sized = [t for t in self._tensors if t.numel() > 1]
        # Nothing tells when an inference tensor is written to.
        self._tells = not any(t.is_inference() for t in self._tensors)
        self._marks = self._now() if self._tells else ()

    def _now(self) -> tuple[list[Any], ...]:
        return (
            list(map(_version, self._tensors)),
            list(map(Tensor.data_ptr, self._tensors)),
            list(map(_shape, self._sized)),
            list(map(Tensor.stride, self._sized)),
        )

    def holds(self) -> bool:
        """Whether they are the same tensors, and nobody wrote to them."""
        if not self._tells:
            return False
        for (home, name), t in zip(self._homes, self._found, strict=True):
            if home.get(name) is not t:
                return False
        return self._now() == self._marks


def _home(module: nn.Module, name: str) -> Any:
    return module._buffers if name in module._buffers else module._parameters
