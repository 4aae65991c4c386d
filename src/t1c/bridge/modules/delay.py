"""ir.Delay <-> DelayModule."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from t1c import ir
from t1c.ir.primitives.neuron import parameter_shape

from ..engine.ordered import as_written
from ..engine.stateful import State, StatefulModule
from .exporting import Shape, array, exports
from .registry import imports, tensor


class DelayModule(StatefulModule):
    """The input of ``delay`` steps ago, element by element, with the meaning of ``ir.Delay``.

    Args:
        delay: steps of at least 0: one integer, per channel, or per element.
        initial: what comes out before the first step: one number, per channel, or per element.

    State: (line,), the last D inputs, oldest first, (B, D, *features).
    """

    state_names = ("line",)
    breaks_cycles = False
    delay: Tensor
    initial: Tensor

    def __init__(self, delay: Tensor | int, initial: Tensor | float = 0.0) -> None:
        super().__init__()
        node = ir.Delay(torch.as_tensor(delay).numpy())
        self.register_buffer("delay", tensor(node.delay, torch.int64))
        self.register_buffer("initial", torch.as_tensor(initial))
        self.longest = node.longest
        self.emits_early = node.emits_early

    @property
    def delays(self) -> int | None:
        """The steps, if they are the same for all elements."""
        return self.longest if bool((self.delay == self.longest).all()) else None

    def state_shapes(self, shape: torch.Size) -> tuple[torch.Size, ...]:
        """The line for an input of ``shape``."""
        return (torch.Size((shape[0], self.longest, *shape[1:])),)

    def initial_state(self, x: Tensor) -> State:
        """A line of ``initial``."""
        features = tuple(x.shape[1:])
        initial = self.initial.reshape(parameter_shape(tuple(self.initial.shape), features))
        return (initial.to(x).expand(x.shape[0], self.longest, *features),)

    def forward(self, x: Tensor, line: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One time step: (delayed, line)."""
        y, (line,) = self.step(x, self.initial_state(x) if line is None else (line,))
        return y, line

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read the line, which ends in the present input."""
        past = torch.cat([state[0], x.unsqueeze(1)], dim=1)
        return self._read(past, 1)[:, 0], (past[:, 1:],)

    def scan(self, xs: Tensor, state: State) -> tuple[Tensor, State]:
        """All steps in one reading of the line."""
        past = torch.cat([state[0], xs.transpose(0, 1)], dim=1)
        return self._read(past, len(xs)).transpose(0, 1), (past[:, len(xs) :],)

    def emit(self, state: State) -> Tensor:
        """What comes out in this step, where every delay is at least 1."""
        return self._read(state[0], 1)[:, 0]

    def absorb(self, x: Tensor, state: State) -> State:
        """The line after this step's input."""
        return (torch.cat([state[0], x.unsqueeze(1)], dim=1)[:, 1:],)

    def _read(self, past: Tensor, steps: int) -> Tensor:
        """(B, steps, *features) from a past (B, ..., *features) whose index D is the first step."""
        if self.delay.numel() == 1:
            return past[:, :steps]  # the one delay is the longest
        features = tuple(past.shape[2:])
        laid = self.delay.reshape(parameter_shape(tuple(self.delay.shape), features))
        start = (self.longest - laid).expand(features)
        at = torch.arange(steps, device=past.device).reshape(-1, *[1] * len(features))
        index = (start + at).expand(past.shape[0], steps, *features)
        return past.gather(1, index)


@imports(ir.Delay)
def _delay(node: ir.Delay, dtype: torch.dtype) -> nn.Module:
    return DelayModule(tensor(node.delay, torch.int64), tensor(node.initial, dtype))


@exports(DelayModule)
def _delay_node(module: DelayModule, entering: Shape, leaving: Shape) -> ir.Node:
    if module.initial.numel() == 1 and not module.initial.any():
        return ir.Delay(array(module.delay))
    return ir.Delay(array(module.delay), array(module.initial))


as_written(DelayModule)
