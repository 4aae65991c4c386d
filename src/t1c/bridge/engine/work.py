"""How a module may be worked: folded over time, stepped, or cut in a cycle."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm

from t1c import ir
from t1c.ir.errors import Problem, UnsupportedError

from .spans import STEP, gathers, masked, masks, refuse_step, span_of
from .stateful import State, StatefulModule
from .stateless import StatelessModule

_GLOBAL_HOOKS: tuple[Mapping[Any, Any], ...] = (
    torch_module._global_forward_hooks,
    torch_module._global_forward_pre_hooks,
    torch_module._global_backward_hooks,
    torch_module._global_backward_pre_hooks,
)
_RECURRENT = (nn.RNNBase, nn.RNNCellBase)


def is_stateless(module: nn.Module) -> bool:
    """Whether ``module`` is known to carry nothing from step to step.

    True for torch's own layers and for sequences of them. Of a module of the user's nothing is
    known: it may be a neuron.
    """
    if isinstance(module, StatelessModule):
        return True
    if not type(module).__module__.startswith("torch.nn.modules."):
        return False
    if isinstance(module, nn.Sequential):
        return all(is_stateless(child) for child in module)
    return next(module.children(), None) is None and not isinstance(module, _RECURRENT)


def wrappers_of(module: nn.Module) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Dicts that stay the same ones, and names: any that is in there wraps the module.

    A method was replaced on the module itself, or a parameter is computed from others.
    """
    for name in ("forward", "step", "scan"):
        yield module.__dict__, name
    yield module._modules, "parametrizations"


def hooks_of(module: nn.Module) -> tuple[Mapping[Any, Any], ...]:
    """The hooks on a module and on all: dicts that stay the same ones when hooks come and go."""
    own = module.__dict__  # at hand, where attributes of a module are looked for
    return (
        own["_forward_hooks"],
        own["_forward_pre_hooks"],
        own["_backward_hooks"],
        own["_backward_pre_hooks"],
        *_GLOBAL_HOOKS,
    )


def is_plain(module: nn.Module) -> bool:
    """Whether a call does nothing but what the parameters say: no hooks, no wrappers."""
    return not (any(name in own for own, name in wrappers_of(module)) or any(hooks_of(module)))


def can_fold(module: nn.Module) -> bool:
    """Whether T steps of a batch may pass through ``module`` as one batch of T*B.

    True for stateless modules in which samples do not meet, or those of all steps do. Statistics
    of a batch being trained are those of a step unless a norm is marked otherwise: see ``spans``.
    """
    return is_stateless(module) and not any(_mixes_samples(inner) for inner in module.modules())


def can_share(module: nn.Module) -> bool:
    """Whether steps with the same input may share one output: nothing is drawn at random.

    And no statistics are taken of how many steps there are.
    """
    return can_fold(module) and not any(_draws(inner) for inner in module.modules())


def _draws(module: nn.Module) -> bool:
    if isinstance(module, _DropoutNd | nn.RReLU):
        return module.training
    if isinstance(module, _BatchNorm):
        return gathers(module)
    return isinstance(module, nn.FractionalMaxPool2d | nn.FractionalMaxPool3d)


def _mixes_samples(module: nn.Module) -> bool:
    if isinstance(module, _BatchNorm | _InstanceNorm):
        return module.training and span_of(module) == STEP
    # Softmax and its like take any axis; counted from the end it may be the batch.
    dim = getattr(module, "dim", -1)
    return dim is None or (isinstance(dim, int) and dim != -1 and dim < 1)


def feeds_back(module: nn.Module, node: ir.Node | None) -> bool:
    """Whether a cycle may be cut at this module's output.

    True for neurons, and for modules that nothing is known of: they may be neurons.

    Args:
        module: of which the question is.
        node: the node that it came from, if it was imported.
    """
    if node is not None:
        return node.breaks_cycles
    if isinstance(module, StatefulModule):
        return module.breaks_cycles
    return not is_stateless(module)


def emits_early(module: nn.Module) -> bool:
    """Whether the module delays by at least one step by itself."""
    return isinstance(module, StatefulModule) and module.emits_early


def has_several(module: nn.Module) -> bool:
    """Whether the module has several outputs."""
    return isinstance(module, StatelessModule) and module.several_outputs


def rest(module: nn.Module) -> None:
    """Let a module of the user's forget what it kept from earlier calls.

    snnTorch's neurons fall back on the membrane of the last call where none is passed.
    """
    for inner in module.modules():
        reset = getattr(inner, "reset_mem", None)
        if callable(reset):
            reset()


def state_arguments(module: nn.Module) -> tuple[str, ...] | None:
    """The arguments in which a module takes its state: those after the first that may be None.

    None where the signature does not say.
    """
    return _optional_arguments(type(module).forward)


@functools.cache
def _optional_arguments(forward: Callable[..., Any]) -> tuple[str, ...] | None:
    arguments = list(inspect.signature(forward).parameters.values())[2:]
    if any(a.kind is a.VAR_POSITIONAL for a in arguments):
        return None
    positional = (a for a in arguments if a.kind in (a.POSITIONAL_ONLY, a.POSITIONAL_OR_KEYWORD))
    return tuple(a.name for a in positional if a.default in (None, a.empty))


@contextmanager
def trial(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Run modules for the shapes of their outputs alone: nothing is learnt or left behind."""
    modules = list(modules)
    training = [inner for module in modules for inner in module.modules() if inner.training]
    for inner in training:
        inner.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for inner in training:
            inner.training = True
        for module in modules:
            rest(module)


def step_of(name: str, module: nn.Module, x: Tensor, own: State) -> tuple[Any, State | None]:
    """One step of a module: its output, and its new state if it has any."""
    if isinstance(module, StatefulModule):
        own = own or module.initial_state(x)
        if is_plain(module):
            return module.step(x, own)
        output, *after = module(x, *own)
        return output, tuple(after)
    if masks(module):
        return masked(module, x, x, own)
    if is_stateless(module):
        refuse_step(name, module)
        return module(x), None
    if not own:
        rest(module)
    result = module(x, *own)
    rest(module)
    if not isinstance(result, tuple):
        return result, None
    taken = state_arguments(module)
    if taken is not None and len(taken) != len(result) - 1:
        kind = type(module).__name__
        raise UnsupportedError(
            Problem(
                f"{kind} returns {len(result) - 1} state variables and takes {len(taken)} "
                f"({', '.join(taken)})",
                "the same ones in the same order, because what it returns is passed back",
                f"Wrap it: forward(x, *state) -> (output, *state). ({kind} may count its output.)",
                f"node {name!r}",
            )
        )
    return result[0], result[1:]
