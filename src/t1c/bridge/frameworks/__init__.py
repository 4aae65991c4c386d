"""Other spiking frameworks: their neurons and the modules they expect to find."""

from __future__ import annotations

import importlib
import sys
from contextlib import AbstractContextManager, nullcontext

from torch import nn

FRAMEWORKS = ("snntorch", "spikingjelly", "norse", "sinabs")
"""Packages with exporters of their own, in the file of that name."""

_RESETS = {"snntorch": "reset_mem", "sinabs": "reset_states", "spikingjelly": "reset"}
"""Framework -> the method by which its neurons forget what they kept from earlier calls."""


def load() -> None:
    """Load the exporters of every framework whose neurons a model may hold: those imported."""
    for name in FRAMEWORKS:
        # A package can be imported in part, by somebody who only asked for a module beside it.
        needed = {"spikingjelly": "spikingjelly.activation_based", "norse": "norse.torch"}
        if needed.get(name, name) in sys.modules:
            importlib.import_module(f"{__name__}.{name}")


def unfused(module: nn.Module) -> AbstractContextManager[None]:
    """Have a framework's neuron run as torch's own operations, where one call could be all."""
    for cls in type(module).__mro__:
        framework = cls.__module__.split(".")[0]
        if framework in FRAMEWORKS:
            found = getattr(sys.modules.get(f"{__name__}.{framework}"), "unfused", None)
            return found(module) if found is not None else nullcontext()
    return nullcontext()


def forget(module: nn.Module) -> None:
    """Bring a framework's neuron to rest; any other module stays as it is."""
    for cls in type(module).__mro__:
        reset = getattr(module, _RESETS.get(cls.__module__.split(".")[0], ""), None)
        if callable(reset):
            reset()
            break
