"""What was written down from modules, and whether they still say the same."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor, nn

from t1c import ir

from .watched import Watched


class Unchanged:
    """Everything that some modules were when this was made: options, parameters and buffers.

    Args:
        modules: whose class and own attributes count, and those of the nodes that they keep; all
            parameters and buffers are on a CPU.

    Attributes:
        tensors: the parameters and buffers.

    Example:
        >>> import torch
        >>> layer = nn.LeakyReLU(0.5)
        >>> unchanged = Unchanged([layer])
        >>> unchanged.holds()
        True
        >>> layer.negative_slope = 0.25
        >>> unchanged.holds()
        False
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self._modules = list(modules)
        self._kinds = list(map(type, self._modules))
        self._options = [own for module in self._modules for own in _options(module)]
        self._held = list(itertools.chain.from_iterable(map(dict.values, self._options)))
        names = [(m, name) for m in self._modules for name in (*m._parameters, *m._buffers)]
        self._watched = Watched(names)
        self.tensors: list[Tensor] = self._watched.tensors

    def holds(self) -> bool:
        """Whether all of it is the same: options as objects, tensors by what they hold."""
        if sum(map(len, self._options)) != len(self._held):
            return False
        if list(map(type, self._modules)) != self._kinds:
            return False
        now = itertools.chain.from_iterable(map(dict.values, self._options))
        return all(map(operator.is_, now, self._held)) and self._watched.holds()


def _options(module: nn.Module) -> Iterator[dict[str, Any]]:
    own = module.__dict__
    yield own
    yield from (value.__dict__ for value in own.values() if isinstance(value, ir.Node))
