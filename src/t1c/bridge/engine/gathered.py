"""The gradients of parameters, gathered from many steps and made once for each way back.

A step on its way back would make the gradient of each weight, as large as the weight, for autograd
to add up: of all that a step costs the most. Here what such a gradient is made of, what entered a
layer and the gradient of what left it, waits until all steps of one call of ``backward`` were
there, and one product makes it. Autograd itself says when that is: all steps take one scalar, the
token, that stands for the parameters, and its own way back comes last.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_task: Callable[[], int] = torch._C._current_graph_task_id
_comes: Callable[[Any], bool] = torch._C._will_engine_execute_node


class Share:
    """What one step brings, held by the step: where a way back fails, it goes with the graph.

    Attributes:
        parts: row of an instruction -> what its parameters' gradients are made of.
    """

    __slots__ = ("__weakref__", "parts")

    def __init__(self, parts: dict[int, Any]) -> None:
        self.parts = parts


class Ledger:
    """The shares that came in, by the call of ``backward`` that is under way."""

    def __init__(self) -> None:
        self._open: dict[int, list[weakref.ref[Share]]] = {}

    def enter(self, share: Share) -> None:
        """Note a share for the present call."""
        task, held = _task(), weakref.ref(share)
        if task in self._open:
            self._open[task].append(held)
            return
        # Of calls that failed nothing is left but this; others may be under way in other threads,
        # or around this one, and have shares.
        for other, shares in list(self._open.items()):
            if not any(there() for there in shares):
                self._open.pop(other, None)
        self._open[task] = [held]

    def close(self) -> list[dict[int, Any]]:
        """What came in during the present call, which is then forgotten."""
        found: list[dict[int, Any]] = []
        for held in self._open.pop(_task(), []):
            share = held()
            if share is None:
                raise RuntimeError("a step is gone that its own way back was taken through")
            found.append(share.parts)
            share.parts = {}
        return found


Make = Callable[[list[dict[int, Any]]], list[Tensor | None]]


class Gate:
    """What stands between some parameters and the steps that use them.

    It saves nothing of the parameters, so that it serves any number of graphs.

    Args:
        learning: the parameters.
        make: their gradients, in this order, from the shares of steps.

    Attributes:
        ledger: where steps enter their shares.
        token: what they take for the parameters.
    """

    def __init__(self, learning: Sequence[Tensor], make: Make) -> None:
        self.ledger = Ledger()
        self.token: Tensor = _Gate.apply(self.ledger, make, *learning)  # type: ignore[no-untyped-call]
        self.nothing = torch.zeros_like(self.token)

    def leads_on(self) -> bool:
        """Whether the present call of ``backward`` comes through here."""
        return _comes(self.token.grad_fn)


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, ledger: Ledger, make: Make, *learning: Tensor) -> Tensor:
        ctx.ledger, ctx.make = ledger, make
        ctx.set_materialize_grads(False)
        return learning[0].new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor | None) -> Any:
        return None, None, *ctx.make(ctx.ledger.close())
