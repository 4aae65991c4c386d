"""Other spiking frameworks: their neurons and the modules they expect to find."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import cast

from torch import nn

from t1c.ir.errors import Problem

FRAMEWORKS = ("snntorch", "spikingjelly", "norse", "sinabs", "torch_ao")
"""Packages with exporters of their own, in the file of that name."""

_RESETS = {"snntorch": "reset_mem", "sinabs": "reset_states", "spikingjelly": "reset"}
"""Framework -> the method by which its neurons forget what they kept from earlier calls."""


def load() -> None:
    """Load the exporters of every framework whose neurons a model may hold: those imported."""
    for name in FRAMEWORKS:
        # A package can be imported in part, by somebody who only asked for a module beside it.
        needed = {
            "spikingjelly": "spikingjelly.activation_based",
            "norse": "norse.torch",
            "torch_ao": "torch.ao.quantization.fake_quantize",
        }
        if needed.get(name, name) in sys.modules:
            importlib.import_module(f"{__name__}.{name}")


def unfused(module: nn.Module) -> AbstractContextManager[None]:
    """Have a framework's neuron run as torch's own operations, where one call could be all."""
    found = _said(module, "unfused")
    return nullcontext() if found is None else cast("AbstractContextManager[None]", found(module))


def unfollowed(module: nn.Module) -> Problem | None:
    """Why a framework's module cannot be followed as it stands, where that can be told at once."""
    found = _said(module, "unfollowed")
    return None if found is None else cast("Problem | None", found(module))


def _said(module: nn.Module, name: str) -> Callable[[nn.Module], object] | None:
    """What the file of a module's framework says of it, under a name."""
    for cls in type(module).__mro__:
        ours = cls.__module__.startswith("torch.ao.")
        framework = "torch_ao" if ours else cls.__module__.split(".")[0]
        if framework in FRAMEWORKS:
            return getattr(sys.modules.get(f"{__name__}.{framework}"), name, None)
    return None


def forget(module: nn.Module) -> None:
    """Bring a framework's neuron to rest; any other module stays as it is."""
    for cls in type(module).__mro__:
        reset = getattr(module, _RESETS.get(cls.__module__.split(".")[0], ""), None)
        if callable(reset):
            reset()
            break
