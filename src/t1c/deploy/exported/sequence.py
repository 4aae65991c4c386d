"""All steps of a network as a module: one loop around the step that was exported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from t1c.ir.errors import Problem, UnsupportedError

from .ports import Ports


class Sequence(nn.Module):
    """All steps: (outputs, state) from (xs, state).

    As ``Step``, with time before the batch: xs (T, B, *shape), but (B, *shape) of an Input that
    holds; outputs (T, B, ...), but (B, ...) of an Output that is final.

    Args:
        step: one step, as ``Step`` takes and returns it.
        ports: the inputs, outputs and states.
        steps: T, where all inputs are held.

    Raises:
        UnsupportedError: this torch has no loop that a program can hold.
    """

    def __init__(self, step: nn.Module, ports: Ports, steps: int) -> None:
        super().__init__()
        self.step, self.steps = step, steps
        self.held = frozenset(n for n, node in ports.inputs.items() if node.hold is not None)
        self.final = [node.final for node in ports.outputs.values()]
        self.inputs, self.outputs = tuple(ports.inputs), tuple(ports.outputs)
        self.shapes = [node.shape for node in ports.outputs.values()]
        self.states = tuple(ports.rest)
        self.scan = _scan()

    def forward(self, xs: Any, state: Mapping[str, Tensor]) -> tuple[Any, dict[str, Tensor]]:
        """All time steps."""
        given = xs if len(self.inputs) > 1 else {self.inputs[0]: xs}
        moving = [n for n in self.inputs if n not in self.held]
        first = given[moving[0] if moving else self.inputs[0]]
        batch = first.shape[1] if moving else first.shape[0]
        size = (batch, *self.shapes[0])
        # A loop needs something to walk along.
        walked = [given[n] for n in moving] or [first.new_zeros(self.steps, 1)]

        def work(carried: list[Tensor], now: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            arrived = dict(zip(moving, now, strict=False))
            x = {n: arrived[n] if n in arrived else given[n] for n in self.inputs}
            own = dict(zip(self.states, carried[: len(self.states)], strict=True))
            y, after = self.step(x if len(x) > 1 else x[self.inputs[0]], own)
            ys = list(y.values()) if isinstance(y, dict) else [y]
            # Once by its name: a compiler of the loop has to know the size of what comes out.
            ys[0] = ys[0].view(size)
            last = [v.clone() for v, final in zip(ys, self.final, strict=True) if final]
            each = [v for v, final in zip(ys, self.final, strict=True) if not final]
            return [*after.values(), *last], each

        answers = [
            first.new_zeros(batch, *shape)
            for shape, final in zip(self.shapes, self.final, strict=True)
            if final
        ]
        carried, each = self.scan(work, [*(state[n] for n in self.states), *answers], walked)
        last, stacked = iter(carried[len(self.states) :]), iter(each)
        outputs = [next(last) if final else next(stacked) for final in self.final]
        after = dict(zip(self.states, carried[: len(self.states)], strict=True))
        one = len(self.outputs) == 1
        return outputs[0] if one else dict(zip(self.outputs, outputs, strict=True)), after


def _scan() -> Any:
    try:
        from torch._higher_order_ops.scan import scan
    except ImportError as cause:
        raise UnsupportedError(
            Problem(
                f"torch {torch.__version__} has no loop over time that a program can hold",
                "torch.ops.higher_order.scan, which 2.13 has",
                "Install a newer torch, or export one step.",
            )
        ) from cause
    return scan
