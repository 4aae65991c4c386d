"""What every module with state offers, so that an executor can step it, scan it or hand it over."""

from __future__ import annotations

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]


class StatefulModule(nn.Module):
    """A module whose next output depends on earlier inputs.

    ``forward(x, *state)`` is one step and returns ``(output, *state)``; without a state it starts
    from rest. Nothing is kept in the module.
    """

    state_names: tuple[str, ...] = ()

    def initial_state(self, x: Tensor) -> State:
        """The state at rest for an input ``x`` of shape (B, *features)."""
        return tuple(torch.zeros_like(x) for _ in self.state_names)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step on ``x`` of shape (B, *features)."""
        raise NotImplementedError

    def scan(self, xs: Tensor, state: State) -> tuple[Tensor, State]:
        """All steps of ``xs`` (T, B, *features): outputs of every step, and the final state.

        Gives what stepping gives; a subclass may do it faster.
        """
        outputs = []
        for x in xs:
            y, state = self.step(x, state)
            outputs.append(y)
        return torch.stack(outputs) if outputs else torch.empty_like(xs), state
