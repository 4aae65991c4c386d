"""How to see the membrane that a neuron compares with its threshold: filled by ``frameworks``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

Note = Callable[[Tensor], None]
Watch = Callable[[Any, Note], "Tensor | None"]

_WATCHES: dict[type[nn.Module], Watch] = {}


def watches(*types: type[nn.Module]) -> Callable[[Watch], Watch]:
    """Decorator: the function makes a module of these types note what it tests.

    It takes the module, which it may change (hand in a copy), and a function to call with the
    membrane (B, *features) at every test, and returns the threshold.
    """

    def register(watch: Watch) -> Watch:
        _WATCHES.update(dict.fromkeys(types, watch))
        return watch

    return register


def watch(module: nn.Module, note: Note) -> Tensor | None:
    """Have ``module`` note every membrane it tests: the threshold, or None if it tests none."""
    found = next((_WATCHES[cls] for cls in type(module).__mro__ if cls in _WATCHES), None)
    return None if found is None else found(module, note)
