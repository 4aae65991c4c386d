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

    emits_early: bool = False
    """The output of a step never depends on the input of the same step (a Delay)."""

    breaks_cycles: bool = True
    """A cycle may be cut at this module's output: it is a neuron."""

    @property
    def delays(self) -> int | None:
        """By how many steps, if all that a step does is to delay all elements by as many."""
        return None

    def state_shapes(self, shape: torch.Size) -> tuple[torch.Size, ...]:
        """The shape of each state variable for an input of ``shape`` (B, *features)."""
        return (shape,) * len(self.state_names)

    def initial_state(self, x: Tensor) -> State:
        """The state at rest for an input ``x`` of shape (B, *features)."""
        return tuple(x.new_zeros(shape) for shape in self.state_shapes(x.shape))

    def emit(self, state: State) -> Tensor:
        """The output of a step, before its input is known; for modules that emit early."""
        raise NotImplementedError

    def absorb(self, x: Tensor, state: State) -> State:
        """The state after a step's input; for modules that emit early."""
        raise NotImplementedError

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

    def states(self, xs: Tensor, state: State) -> State:
        """The state after every step of ``xs`` (T, B, *features): each variable (T, B, ...).

        Gives what ``scan`` carries from step to step; a subclass may do it faster.
        """
        after: list[State] = []
        for t in range(len(xs)):
            _, state = self.scan(xs[t : t + 1], state)
            after.append(state)
        if not after:
            return tuple(v.new_zeros(0, *v.shape) for v in state)
        return tuple(torch.stack(steps) for steps in zip(*after, strict=True))
