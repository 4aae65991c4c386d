"""Which way of working a layer is faster for its input: adding up active inputs, or densely."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from .kernels.choose import choose
from .kernels.crossing import crossing
from .kernels.events import affine, density
from .kernels.few_rows import serves
from .kernels.observed import is_observed
from .kernels.weights import UNSEEN, finite

SAMPLE = 2**20
"""Elements in and out of a layer when it is timed."""
FEW = 8
"""Rows up to which a product is bound by reading its weight, which moves the crossing."""
ONCE = 16
"""Rows up to which a dense product of a large weight takes little longer than reading it once."""


@dataclass(frozen=True)
class Choice:
    """How a layer was worked, and why.

    Attributes:
        way: 'events', 'dense', or 'rows': dense, by a kernel for few rows.
        density: the share of its inputs that were not zero; None where it did not matter.
        crossing: the density up to which 'events' is faster; None where it was not asked for.
        reason: in words.
    """

    way: str
    density: float | None
    crossing: float | None
    reason: str


IN_ORDER = Choice("events", None, None, "reproducible: one order for every sum")
"""How a layer is worked that adds up its active inputs whatever their number."""


def way_of_affine(
    module: nn.Linear, xs: Tensor, kernels: str | None, events: bool | None
) -> Choice:
    """How a Linear is best worked on ``xs`` (T, B, ..., in); arguments as for ``folding.fold``."""
    obstacle = obstacle_to_events(module.weight, xs, kernels, unseen=True)
    if obstacle is None and not fits(module, xs.shape[-1]):
        obstacle = "parameters that do not fit its input"
    if obstacle is not None:
        return Choice("dense", None, None, obstacle)
    if reads_once(module, xs, events):
        return Choice("rows", None, None, "few rows: its weight is read once")
    weight = module.weight.detach()
    given: Tensor | None = module.bias
    bias = given.detach() if given is not None else None
    words, shape = sample_of_affine(module, xs)
    limit = None
    if not events:
        limit = crossing(
            words,
            shape,
            xs.dtype,
            lambda z: nn.functional.linear(z, weight, bias),
            lambda z: affine(z.flatten(0, 1), weight, bias),
        )
    return of_affine(module, xs, chosen(xs, events, limit))


def reads_once(module: nn.Linear, xs: Tensor, events: bool | None) -> bool:
    """Whether nothing is made of the weight of a Linear that is worked on ``xs`` (T, B, ..., in).

    To add up what is active takes a copy that lies otherwise, and a look whether it still holds,
    which alone reads all of a weight; few rows have no more to do for a dense product.
    """
    if events is not None or module.weight.numel() < UNSEEN or learnt(module, xs):
        return False
    rows = xs.numel() // xs.shape[-1]
    return rows <= ONCE and serves(rows, module.weight)


def of_affine(module: nn.Linear, xs: Tensor, choice: Choice) -> Choice:
    """What becomes of a choice by density, in view of the weight and the number of rows."""
    if choice.way == "events" and not finite(module.weight):
        return replace(choice, way="dense", reason="weights that are not finite")
    rows = xs.numel() // xs.shape[-1]
    if choice.way == "dense" and serves(rows, module.weight) and not learnt(module, xs):
        return replace(choice, way="rows")
    return choice


def learnt(module: nn.Linear, xs: Tensor) -> bool:
    """Whether a gradient is wanted of what a Linear makes of ``xs``."""
    tensors = (xs, *module._parameters.values())
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def sample_of_affine(module: nn.Linear, xs: Tensor) -> tuple[str, tuple[int, int, int]]:
    """On which input (T, B, in) the ways of working a Linear are timed, and what that is called.

    So much that calling the kernels counts for little; but little where ``xs`` is little.
    """
    inputs, outs = module.in_features, module.out_features
    few = xs.shape[0] * xs.shape[1] <= FEW
    rows = 1 if few else min(max(SAMPLE // (inputs + outs), 256), 8192)
    return (
        f"affine {inputs}-{outs}, {'few rows' if few else 'many rows'}",
        (max(1, rows // 8), min(rows, 8), inputs),
    )


def chosen(xs: Tensor, events: bool | None, limit: float | None) -> Choice:
    """Which of two ways is taken for ``xs`` (T, B, *features), by its density.

    Args:
        xs: what is worked.
        events: as for ``folding.fold``.
        limit: the density up to which adding up active inputs is faster; None: it is asked for.
    """
    found = density(xs)
    if events or limit is None:
        return Choice("events", found, None, "asked for")
    return Choice("events" if found < limit else "dense", found, limit, "measured")


def fits(layer: nn.Linear | nn.Conv1d | nn.Conv2d, channels: int) -> bool:
    """Whether parameters have the shapes that kernels go by, which check nothing.

    Args:
        layer: whose parameters may have been replaced.
        channels: of its input; features of a Linear's.
    """
    weight, bias = layer.weight, layer._parameters.get("bias")
    if channels != weight.shape[1]:
        return False
    return bias is None or (bias.dtype == weight.dtype and bias.shape == weight.shape[:1])


def obstacle_to_events(
    weight: Tensor, x: Tensor, kernels: str | None, unseen: bool = False
) -> str | None:
    """Why only a dense product will do; None if there is a choice.

    ``unseen``: whether weights are finite does not matter.
    """
    if torch.compiler.is_compiling():
        return "torch.compile fuses products itself"
    if is_observed(x, weight):
        return "somebody looks at torch's operations"
    if choose(x, kernels) != "numba":
        return f"no event-driven kernels for {x.dtype} on {x.device.type} with these kernels"
    if weight.dtype != x.dtype or weight.device != x.device:
        return "autocast, mixed dtypes or devices"
    if not x.numel():
        return "nothing to work on"
    if torch.is_autocast_enabled("cpu"):
        return "autocast"
    if not (unseen or finite(weight)):
        return "weights that are not finite"
    return None
