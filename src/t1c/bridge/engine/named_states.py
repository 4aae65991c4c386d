"""The state of a network by node, and that of a neuron which is a graph by its variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from .stateful import State, StatefulModule


class NamedStates(dict[str, State]):
    """States by node, of which those of a nested graph are also found under its own name.

    A copy of it, pickled or by hand, is a plain dict: what is in there is all that counts.

    Args:
        states: node -> its state.
        single: the nodes whose state is one value that waits for one step.

    Example:
        >>> import torch
        >>> states = NamedStates({"lif/v": (torch.zeros(2, 1, 8),)}, frozenset(["lif/v"]))
        >>> states["lif"]["v"].shape
        torch.Size([2, 8])
    """

    def __init__(self, states: Mapping[str, State], single: frozenset[str]) -> None:
        super().__init__(states)
        self._single = single

    def __missing__(self, name: str) -> Any:
        """The variables of a nested graph: name -> (B, *features), or what its node carries."""
        inside = {n: own for n, own in self.items() if n.startswith(f"{name}/")}
        if not inside:
            raise KeyError(name)
        return {n.removeprefix(f"{name}/"): self._value(n, own) for n, own in inside.items()}

    def _value(self, name: str, own: State) -> Tensor | State:
        if name in self._single:
            return own[0][:, 0]
        return own[0] if len(own) == 1 else own

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def single_of(nodes: Iterable[tuple[str, Any]]) -> frozenset[str] | None:
    """The nodes inside of nested graphs whose state waits for one step; None: no graph is nested.

    Args:
        nodes: names and modules.
    """
    inside = [(name, module) for name, module in nodes if "/" in name]
    stateful = [(n, m) for n, m in inside if isinstance(m, StatefulModule)]
    if not stateful:
        return None
    return frozenset(name for name, module in stateful if module.delays == 1)
