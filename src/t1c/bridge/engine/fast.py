"""A stateless module on all steps of a chunk at once, by the way that its input makes faster."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from .kernels.choose import choose
from .work import is_plain

DENSE_BYTES = 2 * 2**20
"""What the map of a dense convolution may take: a share of the second-level cache."""
SAMPLE = 2**20
"""Elements in and out of a layer when it is timed."""
FEW = 8
"""Rows up to which a product is bound by reading its weight, which moves the crossing."""


@dataclass(frozen=True)
class Choice:
    """How a layer was worked, and why.

    Attributes:
        way: 'events' or 'dense'.
        density: the share of its inputs that were not zero; None where it did not matter.
        crossing: the density up to which 'events' is faster; None where it was not asked for.
        reason: in words.
    """

    way: str
    density: float | None
    crossing: float | None
    reason: str


def fold(
    module: nn.Module,
    xs: Tensor,
    kernels: str | None = None,
    events: bool | None = None,
    choice: Choice | None = None,
) -> tuple[Any, Choice | None]:
    """What ``module`` gives for every step of ``xs`` (T, B, *features), time folded into the batch.

    Args:
        module: a stateless module.
        xs: its input.
        kernels: which are used; see ``kernels.choose``.
        events: whether a layer adds up active inputs only; None: where that is faster.
        choice: how it is to be worked, if that was decided already.

    Returns:
        (the output, a tuple where the module has several; how it was worked, if there was a choice)
    """
    if isinstance(module, nn.Identity):
        return module(xs), None
    x = xs.flatten(0, 1)
    lead = xs.shape[:2]
    if type(module) is nn.Linear and events is not False and is_plain(module):
        choice = choice or way_of_affine(module, xs, kernels, events)
        if choice.way == "events":
            from .kernels.events import affine

            rows = x.reshape(-1, x.shape[-1]).contiguous()
            y = affine(rows, module.weight, module.bias)
            return y.view(*xs.shape[:-1], module.out_features), choice
        return module(x).reshape(*xs.shape[:-1], module.out_features), choice
    if type(module) is nn.Linear and is_plain(module):
        return in_order_of_torch(module, x).reshape(*xs.shape[:-1], module.out_features), None
    if isinstance(module, nn.Conv2d) and len(xs) > 1 and (piece := _piece(module, xs)) < len(xs):
        # The maps of many steps leave the cache: a few at a time are faster.
        return torch.cat([fold(module, part)[0] for part in xs.split(piece)]), choice
    y = module(x)
    if isinstance(y, tuple):
        return tuple(part.reshape(*lead, *part.shape[1:]) for part in y), choice
    return y.reshape(*lead, *y.shape[1:]), choice


def in_order_of_torch(module: nn.Linear, x: Tensor) -> Tensor:
    """What a ``Linear`` of torch's own gives, bit for bit: its sums depend on how weights lie."""
    return nn.functional.linear(x, module.weight.contiguous(), module.bias)


def _piece(layer: nn.Conv2d, xs: Tensor) -> int:
    """How many steps of a convolution fit the cache."""
    size = xs.shape[1] * max(xs[0].numel() // max(1, xs.shape[1]), 1)
    growth = layer.out_channels / max(1, layer.in_channels)
    return max(1, int(DENSE_BYTES // max(1, size * growth * xs.element_size())))


def way_of_affine(
    module: nn.Linear, xs: Tensor, kernels: str | None, events: bool | None
) -> Choice:
    """How a Linear is best worked on ``xs`` (T, B, ..., in); arguments as for ``fold``."""
    obstacle = obstacle_to_events(module.weight, xs, kernels)
    if obstacle is None and not fits(module, xs.shape[-1]):
        obstacle = "parameters that do not fit its input"
    if obstacle is not None:
        return Choice("dense", None, None, obstacle)
    from .kernels.events import affine

    weight = module.weight.detach()
    given: Tensor | None = module.bias
    bias = given.detach() if given is not None else None
    words, shape = sample_of_affine(module, xs)
    return measured(
        xs,
        events,
        words,
        shape,
        lambda z: nn.functional.linear(z, weight, bias),
        lambda z: affine(z.flatten(0, 1), weight, bias),
    )


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


def measured(
    xs: Tensor,
    events: bool | None,
    words: str,
    shape: tuple[int, ...],
    dense: Callable[[Tensor], object],
    sparse: Callable[[Tensor], object],
) -> Choice:
    """Which of two ways is taken for ``xs``, by its density.

    Args:
        xs: (T, B, *features).
        events: as for ``fold``.
        words: what is worked, as for ``crossing``.
        shape: of the input that the ways are timed on.
        dense: one way.
        sparse: the other.
    """
    from .kernels.crossing import crossing
    from .kernels.events import density

    found = density(xs)
    if events:
        return Choice("events", found, None, "asked for")
    limit = crossing(words, shape, xs.dtype, dense, sparse)
    return Choice("events" if found < limit else "dense", found, limit, "measured")


def fits(layer: nn.Linear | nn.Conv2d, channels: int) -> bool:
    """Whether parameters have the shapes that kernels go by, which check nothing.

    Args:
        layer: whose parameters may have been replaced.
        channels: of its input; features of a Linear's.
    """
    weight, bias = layer.weight, layer._parameters.get("bias")
    if channels != weight.shape[1]:
        return False
    return bias is None or (bias.dtype == weight.dtype and bias.shape == weight.shape[:1])


def obstacle_to_events(weight: Tensor, x: Tensor, kernels: str | None) -> str | None:
    """Why only a dense product will do; None if there is a choice."""
    if torch.compiler.is_compiling():
        return "torch.compile fuses products itself"
    if choose(x, kernels) != "numba":
        return f"no event-driven kernels for {x.dtype} on {x.device.type} with these kernels"
    if weight.dtype != x.dtype:
        return "autocast or mixed dtypes"
    if not x.numel():
        return "nothing to work on"
    if torch.is_autocast_enabled("cpu"):
        return "autocast"
    if not finite(weight):
        return "weights that are not finite"
    return None


_FINITE: Any = WeakTensorKeyDictionary()
"""Weight -> (its version and address, whether it is finite)."""


def finite(weight: Tensor) -> bool:
    """Whether all weights are finite, which is told anew when they are written to.

    Writing through ``.data`` or a NumPy view goes unseen.
    """
    if weight.is_inference():
        return math.isfinite(float(weight.sum()))
    now = weight._version, weight.data_ptr()
    kept: tuple[tuple[int, int], bool] | None = _FINITE.get(weight)
    if kept is None or kept[0] != now:
        # A sum is finite only if its terms are, unless it overflows, which errs on the safe side.
        kept = now, math.isfinite(float(weight.detach().sum()))
        _FINITE[weight] = kept
    return kept[1]
