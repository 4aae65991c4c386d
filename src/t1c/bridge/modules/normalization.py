"""Normalisation and Dropout <-> the torch modules of the same names.

What their nodes say of training, torch's modules have no place for: it is a mark on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from t1c import ir
from t1c.ir.errors import InputError, Problem
from t1c.ir.shapes import as_shape

from ..engine.chains import factors_of
from ..engine.ordered import as_written, in_order
from ..engine.spans import ONCE, SEQUENCE, STEP, set_span, span_of
from .by_reference import by_reference
from .exporting import Shape, array, channels, exports, refuse
from .registry import imports, load

BATCH_NORMS: dict[type[ir.Node], Any] = {
    ir.BatchNorm1d: nn.BatchNorm1d,
    ir.BatchNorm2d: nn.BatchNorm2d,
    ir.BatchNorm3d: nn.BatchNorm3d,
}
DROPOUTS: tuple[Any, ...] = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
"""Those that drop channels by how many axes a channel has."""
RECORDED, FROZEN = "recorded", "frozen"


def mark(module: nn.Module, node: ir.Node) -> None:
    """Have a norm or a Dropout of torch's own train as its node says."""
    if type(node) in BATCH_NORMS and type(module) is BATCH_NORMS[type(node)]:
        set_span(module, str(node.values()["statistics"]))
    elif isinstance(node, ir.Dropout) and type(module) in DROPOUTS:
        set_span(module, node.mask)


def as_trained(node: ir.Node, module: nn.Module, span: str) -> ir.Node:
    """A node of a module, saying what training would do where the module is called so.

    Args:
        node: what it computes in eval mode.
        module: which was called.
        span: what one call of it is given; see ``tracing.families.Families.span``.
    """
    trained = node
    if type(node) in BATCH_NORMS:
        trained = node.replace(statistics=span)
    elif isinstance(node, ir.Dropout) and isinstance(module, _DropoutNd):
        # All that one call is given is dropped anew, whatever its axes are.
        trained = node.replace(mask=SEQUENCE if span == ONCE else STEP)
    return trained


def norms_of(model: nn.Module) -> list[nn.Module]:
    """The modules in ``model`` that take statistics of a batch in training."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def choose_statistics(model: nn.Module, batchnorm: str) -> bool:
    """Have all norms take the statistics that the caller wants; see ``ir_to_torch``.

    Returns:
        Whether they are to take none.

    Raises:
        InputError: there is no such choice.
    """
    words = (RECORDED, STEP, SEQUENCE, FROZEN)
    if batchnorm not in words:
        expected = ", ".join(map(repr, words))
        raise InputError(Problem(repr(batchnorm), f"one of {expected}", field="batchnorm"))
    if batchnorm in (STEP, SEQUENCE):
        for module in norms_of(model):
            set_span(module, batchnorm)
    return batchnorm == FROZEN


@imports(*BATCH_NORMS)
def _batch_norm(node: Any, dtype: torch.dtype) -> nn.Module:
    make = BATCH_NORMS[type(node)]
    module: nn.Module = make(node.num_features, node.eps, node.momentum, dtype=dtype)
    for name in ("weight", "bias", "running_mean", "running_var"):
        load(module, name, getattr(node, name))
    mark(module, node)
    return module


@imports(ir.LayerNorm)
def _layer_norm(node: ir.LayerNorm, dtype: torch.dtype) -> nn.Module:
    module = nn.LayerNorm(node.normalized_shape, node.eps, dtype=dtype)
    load(module, "weight", node.weight)
    load(module, "bias", node.bias)
    return module


@imports(ir.GroupNorm)
def _group_norm(node: ir.GroupNorm, dtype: torch.dtype) -> nn.Module:
    module = nn.GroupNorm(node.num_groups, node.weight.size, node.eps, dtype=dtype)
    load(module, "weight", node.weight)
    load(module, "bias", node.bias)
    return module


@imports(ir.Dropout)
def _dropout(node: ir.Dropout, dtype: torch.dtype) -> nn.Module:
    axes = 0
    if node.drops == "channels":
        # Where nothing tells the shape, it is that of maps.
        axes = len(as_shape((node.input_type or {}).get("input")) or (0, 0, 0)) - 1
    module: nn.Module = DROPOUTS[min(axes, 3)](node.p)
    mark(module, node)
    return module


def _array_or(module: nn.Module, name: str, default: torch.Tensor) -> Any:
    """A parameter, or what torch computes with where it has none."""
    value = getattr(module, name)
    return array(default if value is None else value)


def absent(**parameters: Any) -> dict[str, list[str]]:
    """The note that what a norm does not have is not learnt: it stays one, or zero."""
    missing = [name for name, value in parameters.items() if value is None]
    return {"frozen": missing} if missing else {}


def _statistics(module: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) -> dict[str, Any]:
    mean, var = module.running_mean, module.running_var
    if mean is None or var is None:
        raise refuse(
            "track_running_stats=False",
            "stored statistics: those of a batch depend on the other samples",
            "Use track_running_stats=True.",
        )
    if module.momentum is None:
        raise refuse("momentum=None", "a number", "Set momentum; eval mode does not use it.")
    return {
        "num_features": module.num_features,
        "weight": _array_or(module, "weight", torch.ones_like(mean)),
        "bias": _array_or(module, "bias", torch.zeros_like(mean)),
        "running_mean": array(mean),
        "running_var": array(var),
        "eps": module.eps,
        "momentum": module.momentum,
        "statistics": span_of(module),
        "metadata": absent(weight=module.weight, bias=module.bias),
    }


BY_RANK = {1: ir.BatchNorm1d, 2: ir.BatchNorm1d, 3: ir.BatchNorm2d, 4: ir.BatchNorm3d}
"""How many axes features have -> what normalises their channels."""


@exports(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
def _batch_norm_node(module: Any, entering: Shape, leaving: Shape) -> ir.Node:
    """The node for as many axes as features have: one axis of a layer may be time."""
    node: ir.Node = batch_norm_of(entering)(**_statistics(module))
    return node


def batch_norm_of(features: Shape) -> Any:
    """What normalises the channels of features.

    Raises:
        UnsupportedError: they have too many axes, or none.
    """
    if len(features) not in BY_RANK:
        raise refuse(f"a batch norm of features {features}", "one to four axes, channels first")
    return BY_RANK[len(features)]


@exports(nn.LayerNorm)
def _layer_norm_node(module: nn.LayerNorm, entering: Shape, leaving: Shape) -> ir.Node:
    ones = torch.ones(module.normalized_shape)
    return ir.LayerNorm(
        tuple(module.normalized_shape),
        _array_or(module, "weight", ones),
        _array_or(module, "bias", torch.zeros_like(ones)),
        module.eps,
        metadata=absent(weight=module.weight, bias=module.bias),
    )


@exports(nn.GroupNorm)
def _group_norm_node(module: nn.GroupNorm, entering: Shape, leaving: Shape) -> ir.Node:
    ones = torch.ones(module.num_channels)
    return ir.GroupNorm(
        module.num_groups,
        _array_or(module, "weight", ones),
        _array_or(module, "bias", torch.zeros_like(ones)),
        module.eps,
        metadata=absent(weight=module.weight, bias=module.bias),
    )


@exports(*DROPOUTS)
def _dropout_node(module: Any, entering: Shape, leaving: Shape) -> ir.Node:
    return dropout(module.p, span_of(module), entering, not isinstance(module, nn.Dropout))


def dropout(p: float, mask: str, entering: Shape, by_channel: bool) -> ir.Node:
    """A Dropout for features; a channel of one element is an element."""
    drops = "channels" if by_channel and len(entering) > 1 else "elements"
    return ir.Dropout(channels(entering), p, mask, drops)


def _of_a_batch(module: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) -> str | None:
    return "statistics of a batch that is trained on" if module.training else None


@in_order(*BATCH_NORMS.values(), unless=_of_a_batch)
def _normalized(module: Any, sent: Sequence[Tensor]) -> Tensor:
    (x,) = sent
    factor, shift = factors_of(module, x.dtype).view(2, -1, *[1] * (x.ndim - 2))
    y: Tensor = x * factor + shift
    return y


as_written(*DROPOUTS)
in_order(nn.LayerNorm, nn.GroupNorm)(by_reference)
