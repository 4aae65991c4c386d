"""ir.Accumulate <-> AccumulateModule."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from t1c import ir
from t1c.ir.primitives.accumulate import REST, count_shape, state_names

from ..engine.ordered import as_written
from ..engine.stateful import State, StatefulModule
from .exporting import Shape, exports
from .registry import imports


class AccumulateModule(StatefulModule):
    """The sum, mean, max or min of the input so far, with the meaning of ``ir.Accumulate``.

    Args:
        how: 'sum', 'mean', 'max' or 'min'.

    State: (total,), (total, count) for a mean, (best,) for max and min.
    """

    breaks_cycles = False

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = ir.Accumulate(how).how
        self.state_names = state_names(self.how)

    def state_shapes(self, shape: torch.Size) -> tuple[torch.Size, ...]:
        """Of the input, and one count for each sample."""
        return (shape, torch.Size(count_shape(shape)))[: len(self.state_names)]

    def initial_state(self, x: Tensor) -> State:
        """Nothing was added yet."""
        shapes = self.state_shapes(x.shape)
        return tuple(x.new_full(shape, REST.get(self.how, 0.0)) for shape in shapes)

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """One time step: (so far, *state)."""
        y, after = self.step(x, state or self.initial_state(x))
        return y, *after

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Take in this step's input."""
        first = self._combine(state[0], x)
        if self.how != "mean":
            return first, (first,)
        count = state[1] + 1
        return first / count, (first, count)

    def scan(self, xs: Tensor, state: State) -> tuple[Tensor, State]:
        """All steps, one after another: torch.cumsum adds in a wider type, and rounds otherwise."""
        if not len(xs):
            return torch.empty_like(xs), state
        so_far = _running(self._combine, state[0], xs)
        if self.how != "mean":
            return so_far, (so_far[-1].clone(),)
        counts = _running(torch.add, state[1], xs.new_ones(()).expand(len(xs), *state[1].shape))
        return so_far / counts, (so_far[-1].clone(), counts[-1].clone())

    @property
    def _combine(self) -> Callable[..., Tensor]:
        return {"max": torch.maximum, "min": torch.minimum}.get(self.how, torch.add)

    def extra_repr(self) -> str:
        """What is accumulated."""
        return repr(self.how)


def _running(combine: Callable[..., Tensor], first: Tensor, xs: Tensor) -> Tensor:
    """What ``combine`` makes of ``first`` and all steps up to each one of ``xs`` (T, ...)."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        steps = []
        for x in xs:
            first = combine(first, x)
            steps.append(first)
        return torch.stack(steps)
    # The same steps, each written where it belongs.
    so_far = xs.new_empty(xs.shape)
    for x, place in zip(xs, so_far, strict=True):
        combine(first, x, out=place)
        first = place
    return so_far


@imports(ir.Accumulate)
def _accumulate(node: ir.Accumulate, dtype: torch.dtype) -> nn.Module:
    return AccumulateModule(node.how)


@exports(AccumulateModule)
def _accumulate_node(module: AccumulateModule, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.Accumulate(module.how)


as_written(AccumulateModule)
