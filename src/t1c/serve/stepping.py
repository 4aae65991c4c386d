"""Some steps of a batch, on an executor: the sizes that it is given, and how it is called."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from t1c.bridge import GraphExecutor
from t1c.bridge.engine.state_checks import States
from t1c.ir.fields import Array

from .ports import Ports

TRIES = 5
"""Times that each way is tried when it is seen which is faster."""


class Stepping:
    """An executor at work on batches.

    Batches come in few sizes, powers of two: what the engine makes ready for one size serves the
    next batch of that size, and making it ready takes longer than a few rows too many. Rows that
    only fill a batch up are worked and dropped; no row's numbers depend on them.

    Args:
        executor: with ``return_state``.
        inputs: what it takes.
        outputs: what it gives.
    """

    def __init__(self, executor: GraphExecutor, inputs: Ports, outputs: Ports) -> None:
        self.executor, self.inputs, self.outputs = executor, inputs, outputs
        self._size = 1
        self._by_step = False

    def index(self, rows: Sequence[int]) -> Tensor:
        """The rows of a batch, filled up to a size that was worked before, if one will do."""
        count = len(rows)
        if not count <= self._size < 4 * count:
            self._size = 1 << (count - 1).bit_length()
        return torch.tensor([*rows, *[rows[0]] * (self._size - count)])

    def room(self, steps: int, samples: int) -> dict[str, Array]:
        """Zeros for the inputs of a batch: Input name -> (steps, samples, *shape)."""
        dtype = self.inputs.dtype
        return {p.name: np.zeros((steps, samples, *p.shape), dtype) for p in self.inputs.ports}

    def run(self, xs: dict[str, Array], state: States) -> tuple[dict[str, Array], States]:
        """What comes out at each step, Output name -> (steps, samples, *shape); the state after."""
        tensors = _tensors(xs)
        with torch.inference_mode():
            if self._by_step and len(next(iter(xs.values()))) == 1:
                y, after = self.executor({n: x[0] for n, x in tensors.items()}, state)
                return {n: v.numpy()[None] for n, v in self._named(y).items()}, after
            ys, after = self.executor.run(tensors, state, collect="stack")
        return {n: v.numpy() for n, v in self._named(ys).items()}, after

    def warm_up(self, steps: int, samples: int, at_rest: Callable[[int], States]) -> None:
        """Have the engine compile what these sizes take, and see how a single step is faster."""
        rng = np.random.default_rng(0)
        few = min(8, samples)
        for count in sorted({1, 2, steps}):
            for size in sorted({1, few, samples}):
                xs = self.room(count, size)
                xs = {n: (rng.random(x.shape) < 0.1).astype(x.dtype) for n, x in xs.items()}
                self.run(xs, at_rest(size))
        xs, state = self.room(1, few), at_rest(few)

        def seconds() -> float:
            return min(_timed(lambda: self.run(xs, state)) for _ in range(TRIES))

        whole = seconds()
        self._by_step = True
        self._by_step = seconds() < whole

    def _named(self, ys: Tensor | dict[str, Tensor]) -> dict[str, Tensor]:
        return ys if isinstance(ys, dict) else {self.outputs.ports[0].name: ys}


def _tensors(xs: dict[str, Array]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(x) for name, x in xs.items()}


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
