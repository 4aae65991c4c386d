"""Parameters as they were found, and whether they still are."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
from torch import Tensor, nn

from .kernels.fingerprint import extent

_shape, _learns = operator.attrgetter("shape"), operator.attrgetter("requires_grad")


def held(module: nn.Module, name: str) -> Tensor | None:
    """The parameter or buffer of a module that has this name."""
    own = module.__dict__  # at hand, where attributes of a module are looked for
    parameter: Tensor | None = own["_parameters"].get(name)
    return own["_buffers"].get(name) if parameter is None else parameter


class Watched:
    """What some parameters and buffers of modules were when this was made.

    Told from what they hold, so that no way of writing to them goes unseen.

    Args:
        entries: modules, and the names of their own parameters or buffers, which may be None;
            all on a CPU.
        unread: more of them, of whose numbers nothing is remembered: of these it counts only
            where they are, and how they lie.

    Attributes:
        tensors: those that are there.

    Example:
        >>> import torch
        >>> layer = nn.Linear(2, 3)
        >>> watched = Watched([(layer, "weight"), (layer, "bias")])
        >>> watched.holds()
        True
        >>> layer.bias.data.zero_().sum().item(), watched.holds()
        (0.0, False)
    """

    def __init__(
        self, entries: Iterable[tuple[nn.Module, str]], unread: Iterable[tuple[nn.Module, str]] = ()
    ) -> None:
        read = [(_home(module, name), name) for module, name in entries]
        homes = read + [(_home(module, name), name) for module, name in unread]
        self._homes, self._names = [home for home, _ in homes], [name for _, name in homes]
        found: list[Tensor | None] = [home.get(name) for home, name in homes]
        self._found = found
        self.tensors: list[Tensor] = [t for t in found if t is not None]
        count = sum(t is not None for t in found[: len(read)])
        places, shapes, lying = self._now()
        one: dict[Any, Any] = {}  # equal shapes are kept once
        self._marks = places, [one.setdefault(shape, shape) for shape in shapes], lying
        self._loose = [t for t, lies in zip(self.tensors, lying, strict=True) if not lies]
        self._strides = self._loosely()
        self._addresses = np.array(places[:count], np.int64)
        self._sizes = np.array([extent(t) for t in self.tensors[:count]], np.int64)
        self._held = self._fingerprint()

    def _now(self) -> tuple[list[Any], ...]:
        """Where the tensors are, their shapes, and which lie in one piece, as they read."""
        return (
            list(map(Tensor.data_ptr, self.tensors)),
            list(map(_shape, self.tensors)),
            list(map(Tensor.is_contiguous, self.tensors)),
        )

    def _loosely(self) -> list[Any]:
        """How those lie that do not."""
        return list(map(Tensor.stride, self._loose))

    def _fingerprint(self) -> bytes:
        from .kernels.numba_fingerprint import LANES, take_in_all

        lanes = np.zeros(LANES, np.uint64)
        take_in_all(self._addresses, self._sizes, lanes)
        return lanes.tobytes()

    def holds(self) -> bool:
        """Whether they are the same tensors, and hold what they held."""
        now = map(dict.get, self._homes, self._names)
        if not all(map(operator.is_, now, self._found)):
            return False
        if self._now() != self._marks or self._loosely() != self._strides:
            return False
        return self._fingerprint() == self._held

    def learning(self) -> list[bool]:
        """Of each that there is, whether a gradient flows into it now."""
        return list(map(_learns, self.tensors))


def _home(module: nn.Module, name: str) -> Any:
    return module._buffers if name in module._buffers else module._parameters
