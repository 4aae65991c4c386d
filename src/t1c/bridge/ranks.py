"""Networks in several processes (ranks), worked beside the wrapper that holds the ranks together.

``DistributedDataParallel`` adds up gradients over ranks for what went through its own forward. What
is worked beside it trains as well, without an error, and every rank another network. DDP leaves no
mark on the module that it wraps, so each is noted as it registers what it wraps. ``fully_shard``
leaves a rank its part of the parameters, of which nothing but its forward makes whole ones.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook
from torch.nn.parallel import DistributedDataParallel

from t1c.ir.errors import Problem, UnsupportedError

_wrappers: weakref.WeakSet[DistributedDataParallel] = weakref.WeakSet()

REMEDY = "Call the wrapped network: ddp(xs, state, sequence=True), which is its run."


def _note(parent: nn.Module, name: str, child: nn.Module | None) -> None:
    if isinstance(parent, DistributedDataParallel):
        _wrappers.add(parent)


register_module_module_registration_hook(_note)


def is_beside(module: nn.Module) -> bool:
    """Whether a call of ``module`` now is beside the forward of a DDP that it lies in.

    Where nothing can part it is not: without gradients, in one process, and under ``no_sync``,
    which asks for gradients that stay.
    """
    if torch.compiler.is_compiling() or not _wrappers or not torch.is_grad_enabled():
        return False
    active = DistributedDataParallel._get_active_ddp_module()
    if active is not None and _holds(active, module):
        return False
    return any(_would_add_up(ddp) and _holds(ddp, module) for ddp in list(_wrappers))


def _would_add_up(ddp: DistributedDataParallel) -> bool:
    # Torch's reducer in Python adds up whatever reaches a parameter, by hooks of its own.
    own_hooks = bool(getattr(ddp, "_use_python_reducer", False))
    return ddp.require_backward_grad_sync and not own_hooks and ddp.process_group.size() > 1


def _holds(ddp: DistributedDataParallel, module: nn.Module) -> bool:
    return ddp.module is module or any(inner is module for inner in ddp.module.modules())


def refusing_gradients(found: Any) -> Any:
    """What a call beside DDP's forward found, of which no gradient can be taken.

    Args:
        found: tensors, in tuples, lists and dicts of any depth. They serve as any others, but
            ``backward`` through one of them raises UnsupportedError.

    Returns:
        The same objects.
    """
    _each(found, _refuse_beside)
    return found


def handing_over(collect: Any, beside: bool) -> Any:
    """A ``collect`` of ``run`` that may not call ``backward`` where gradients would part.

    That is beside DDP's forward, and as long as this lasts: DDP adds up nothing before its end.
    What is kept until then serves as any other.

    Args:
        collect: the argument; all but functions are returned as they are.
        beside: what ``is_beside`` says.
    """
    if not callable(collect) or torch.compiler.is_compiling() or not _wrappers:
        return collect
    hook = _refuse_beside if beside else _refuse_within

    def handed(*given: Any) -> object:
        _each(given, hook)
        return collect(*given)

    return handed


def refuse_sharded(module: nn.Module, like: Tensor | None) -> None:
    """Refuse to work with parameters of which each process holds a part.

    Args:
        module: the network. Layers that are sharded each for itself get theirs as they are called.
        like: its first parameter.

    Raises:
        UnsupportedError: some are in parts now.
    """
    parted = sys.modules.get("torch.distributed.tensor")
    if torch.compiler.is_compiling() or parted is None or not isinstance(like, parted.DTensor):
        return
    from torch.distributed import fsdp

    sharded = getattr(fsdp, "FSDPModule", ())  # older torch has none
    if any(isinstance(p, parted.DTensor) for p in _group(module, sharded)):
        raise UnsupportedError(
            Problem(
                "parameters of which every process holds a part (DTensor)",
                "whole ones",
                "Behind fully_shard(net), call net(xs, state, sequence=True), or say "
                "torch.distributed.fsdp.register_fsdp_forward_method(net, 'run') once.",
            )
        )


def _group(module: nn.Module, sharded: Any) -> Iterator[Tensor]:
    """Its parameters, without those of inner modules that are sharded each for itself."""
    yield from (p for p in module._parameters.values() if p is not None)
    for inner in module.children():
        if not isinstance(inner, sharded):
            yield from _group(inner, sharded)


def _each(found: Any, hook: Callable[[Tensor], None]) -> None:
    if isinstance(found, Tensor):
        if found.grad_fn is not None:
            found.register_hook(hook)
    elif isinstance(found, dict):
        for value in found.values():
            _each(value, hook)
    elif isinstance(found, tuple | list):
        for value in found:
            _each(value, hook)


def _refuse_beside(_: Tensor) -> None:
    raise UnsupportedError(
        Problem(
            "a gradient through a network that DistributedDataParallel wraps, and that was worked "
            "beside its forward: no other process would get it, and the ranks would part",
            "a call of the wrapper",
            f"{REMEDY} Gradients that are to stay in one process: under ddp.no_sync().",
        )
    )


def _refuse_within(_: Tensor) -> None:
    active = DistributedDataParallel._get_active_ddp_module()
    if active is None or not _would_add_up(active):
        return
    raise UnsupportedError(
        Problem(
            "backward() within the forward of DistributedDataParallel, which adds up no gradient "
            "before its forward has ended: the ranks would part",
            "backward() behind the call",
            "Call the wrapper for each stretch of time: outputs, state = ddp(xs[a:b], state, "
            "sequence=True); backward(); then detach the state.",
            field="collect",
        )
    )
