"""How a module may be worked: folded over time, stepped, or cut in a cycle."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from .primitives import SepConv2dModule, SkipModule
from .registry import node_of
from .stateful import StatefulModule

_FOLDABLE = (SepConv2dModule, SkipModule)


def can_fold(module: nn.Module) -> bool:
    """Whether T steps of a batch may pass through ``module`` as one batch of T*B.

    True for torch's own layers, whose samples do not meet. Statistics of a batch being trained
    are taken per step, as stepping takes them; a module of the user's is never folded.
    """
    if isinstance(module, _FOLDABLE):
        return True
    if isinstance(module, _BatchNorm | _InstanceNorm) and module.training:
        return False
    known = type(module).__module__.startswith("torch.nn.modules.")
    return known and next(module.children(), None) is None and not isinstance(module, nn.RNNBase)


def feeds_back(module: nn.Module) -> bool:
    """Whether a cycle may be cut at this module's output.

    True for neurons, and for modules that nothing is known of: they may be neurons.
    """
    node = node_of(module)
    if node is not None:
        return node.breaks_cycles
    return isinstance(module, StatefulModule) or not can_fold(module)


def rest(module: nn.Module) -> None:
    """Let a module of the user's forget what it kept from earlier calls.

    snnTorch's neurons fall back on the membrane of the last call where none is passed.
    """
    for inner in module.modules():
        reset = getattr(inner, "reset_mem", None)
        if callable(reset):
            reset()
