"""What a module without memory says of itself."""

from __future__ import annotations

from torch import nn


class StatelessModule(nn.Module):
    """A module of ours that carries nothing from step to step and keeps samples apart.

    T steps of a batch may pass through it as one batch of T*B.
    """

    several_outputs: bool = False
    """It returns a tuple, one tensor for each of its outputs."""
