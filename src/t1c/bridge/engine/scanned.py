"""What a neuron says, so that kernels can work it alone, behind a layer or in a loop."""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import nn

from .kernels.rule import Rule
from .kernels.scan import Coefficients
from .kernels.surrogate import ATAN, Surrogate
from .stateful import StatefulModule


class ScannedModule(StatefulModule):
    """A neuron that kernels know: what they compute with, and by which rule.

    Attributes:
        exact: the names of its parameters.
        reset_mode: what firing does to the membrane; None for a neuron that does not fire.
    """

    exact: tuple[str, ...]
    reset_mode: str | None
    reset_delay: bool = False
    fires_at: str = "ge"
    spikes: str = "binary"
    surrogate: Surrogate = ATAN
    """The derivative that spikes pretend to have in training."""
    detach_reset: bool = True
    """No gradient flows through the spike that resets, as in snnTorch."""
    kernels: str | None = None
    """Which kernels are used; None: whatever is fastest. See ``kernels.choose``."""

    @property
    def rule(self) -> Rule:
        """The options, as kernels take them."""
        raise NotImplementedError

    def laid(self, features: torch.Size, dtype: torch.dtype, device: torch.device) -> Coefficients:
        """The coefficients as kernels take them, over features of this shape."""
        raise NotImplementedError


_KNOWN: set[type[ScannedModule]] = set()


def scanned(*types: type[ScannedModule]) -> None:
    """Say that modules of exactly these types step as their rule says."""
    _KNOWN.update(types)


def is_scanned(module: nn.Module) -> TypeGuard[ScannedModule]:
    """Whether kernels may stand in for a module: not for a subclass, which may step otherwise."""
    return type(module) in _KNOWN
