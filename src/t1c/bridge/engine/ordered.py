"""Layers worked in the written order of a sum, whose numbers are the same everywhere.

``bridge.modules`` says for each module how that is done, or that its own ``forward`` does it. What
nobody said it of is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call

from t1c.ir.errors import Problem, UnsupportedError

from .merging import MergeModule
from .scanned import is_scanned
from .stateful import StatefulModule
from .work import is_plain

DTYPES = (torch.float32, torch.float64)
"""What sums are worked in."""

Work = Callable[[Any, Sequence[Tensor]], Tensor]
Doubt = Callable[[Any], "str | None"]
F = TypeVar("F", bound=Work)

_WORKS: dict[type[nn.Module], Work] = {}
_AS_WRITTEN: set[type[nn.Module]] = set()
_DOUBTS: dict[type[nn.Module], Doubt] = {}


def in_order(*types: type[nn.Module], unless: Doubt | None = None) -> Callable[[F], F]:
    """Decorator: the function works modules of exactly these types in the written order.

    It takes the module and what reaches it, one tensor (B, *features) or several where the module
    merges them, and gives numbers alone: gradients are those of the module's own ``forward``.

    Args:
        types: of modules.
        unless: says of a module what of it has no written order; None if all has.
    """

    def register(work: F) -> F:
        _WORKS.update(dict.fromkeys(types, work))
        if unless is not None:
            _DOUBTS.update(dict.fromkeys(types, unless))
        return work

    return register


def as_written(*types: type[nn.Module], unless: Doubt | None = None) -> None:
    """Say that modules of exactly these types round as written, in their own ``forward``.

    They move or choose values, or each of their operations is one of IEEE arithmetic.
    """
    _AS_WRITTEN.update(types)
    if unless is not None:
        _DOUBTS.update(dict.fromkeys(types, unless))


def obstacle(module: nn.Module) -> Problem | None:
    """Why a module cannot be worked in the written order; None if it can."""
    kind = type(module)
    if kind in _DOUBTS and (found := _DOUBTS[kind](module)) is not None:
        return Problem(found, "what has one written order of operations with reproducible=True")
    if kind in _WORKS or kind in _AS_WRITTEN or is_scanned(module):
        return None
    return Problem(
        f"a {kind.__name__}, of which nothing says in what order it adds up",
        "a module that ir_to_torch makes itself, with reproducible=True",
        "Leave node_map or reproducible out.",
    )


def work_in_order(name: str, module: nn.Module, x: Tensor) -> Any:
    """What a module without memory makes of ``x`` (B, *features), in the written order.

    Args:
        name: of the node, for errors.
        module: of it.
        x: what reaches it, made one.

    Raises:
        UnsupportedError: the module, or the tensor, is not one that can be worked so.
    """
    if isinstance(module, MergeModule):
        return module(x)
    work = _work_of(name, module, [x])
    return module(x) if work is None else _worked(name, work, module, [x])


def merge_in_order(name: str, module: MergeModule, sent: Sequence[Tensor]) -> Tensor:
    """What a module makes of its several inputs; otherwise as ``work_in_order``."""
    work = _work_of(name, module, sent)
    return module.merge(sent) if work is None else _worked(name, work, module, sent)


def _work_of(name: str, module: nn.Module, sent: Sequence[Tensor]) -> Work | None:
    """How a module is worked; None if as it is."""
    work = _WORKS.get(type(module))
    problem = obstacle(module) or (None if work is None else _hindrance(module, sent))
    if problem is not None:
        raise UnsupportedError(problem.at(f"node {name!r}"))
    return work


def _worked(name: str, work: Work, module: nn.Module, sent: Sequence[Tensor]) -> Tensor:
    parameters = dict(module.named_parameters())
    wanted = any(t.requires_grad for t in (*sent, *parameters.values()))
    try:
        if not (torch.is_grad_enabled() and wanted):
            return work(module, [x.detach() for x in sent])
        worked: Tensor = _InOrder.apply(  # type: ignore[no-untyped-call]
            work, module, tuple(parameters), len(sent), *sent, *parameters.values()
        )
    except UnsupportedError as error:
        raise UnsupportedError([p.at(f"node {name!r}") for p in error.problems]) from None
    return worked


def refuse_disorder(modules: Sequence[tuple[str, nn.Module]]) -> None:
    """Refuse modules that cannot be worked in the written order.

    Args:
        modules: with the names of their nodes.

    Raises:
        UnsupportedError: naming each of them.
    """
    problems = []
    for name, module in modules:
        known = isinstance(module, StatefulModule) and type(module) in _AS_WRITTEN
        problem = None if known else obstacle(module)
        if problem is not None:
            problems.append(problem.at(f"node {name!r}"))
    if problems:
        raise UnsupportedError(problems)


def _hindrance(module: nn.Module, sent: Sequence[Tensor]) -> Problem | None:
    """What keeps these tensors from being worked in order."""
    x = sent[0]
    found = None
    if torch.compiler.is_compiling():
        found = "torch.compile or torch.export"
    elif torch.is_autocast_enabled("cpu"):
        found = "autocast"
    elif not is_plain(module):
        found = "hooks on a layer, or a forward or parameter that was replaced"
    elif any(not t.is_cpu or t.dtype not in DTYPES or t.dtype != x.dtype for t in sent):
        found = f"values of {', '.join(f'{t.dtype} on {t.device}' for t in sent)}"
    elif any(p.dtype != x.dtype for p in module.parameters()):
        found = f"parameters of another dtype than {x.dtype}"
    if found is None:
        return None
    return Problem(
        f"{found}, with reproducible=True",
        "layers as they were imported, in float32 or float64 on a CPU",
        "Import the graph with reproducible=False.",
    )


class _InOrder(torch.autograd.Function):
    """Numbers in the written order, with the gradients of the module's own forward."""

    @staticmethod
    def forward(
        ctx: Any,
        work: Work,
        module: nn.Module,
        names: tuple[str, ...],
        count: int,
        *tensors: Tensor,
    ) -> Tensor:
        ctx.module, ctx.names, ctx.count = module, names, count
        ctx.save_for_backward(*tensors)
        return work(module, [t.detach() for t in tensors[:count]])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        wanted = ctx.needs_input_grad[4:]
        with torch.enable_grad():
            tensors = [
                t.detach().requires_grad_(need)
                for t, need in zip(ctx.saved_tensors, wanted, strict=True)
            ]
            sent, parameters = tensors[: ctx.count], tensors[ctx.count :]
            if isinstance(ctx.module, MergeModule):
                y = ctx.module.merge(sent)
            else:
                own = dict(zip(ctx.names, parameters, strict=True))
                y = functional_call(ctx.module, own, (sent[0],))
        found = torch.autograd.grad(y, [t for t in tensors if t.requires_grad], g)
        grads = iter(found)
        return (*[None] * 4, *(next(grads) if need else None for need in wanted))
