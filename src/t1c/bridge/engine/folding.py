"""A stateless module on all steps of a chunk at once, by the way that its input makes faster."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .choices import Choice, way_of_affine
from .kernels.events import affine
from .kernels.few_rows import product
from .ordered import work_in_order
from .work import is_plain

DENSE_BYTES = 2 * 2**20
"""What the map of a dense convolution may take: a share of the second-level cache."""


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
        if choice.way != "dense":
            rows = x.reshape(-1, x.shape[-1]).contiguous()
            work = affine if choice.way == "events" else product
            y = work(rows, module.weight, module.bias)
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


def fold_in_order(name: str, module: nn.Module, xs: Tensor) -> Any:
    """As ``fold``, with every sum in its written order.

    Args:
        name: of the node, for errors.
        module: a stateless module.
        xs: its input.
    """
    y = work_in_order(name, module, xs.flatten(0, 1))
    lead = xs.shape[:2]
    if isinstance(y, tuple):
        return tuple(part.reshape(*lead, *part.shape[1:]) for part in y)
    return y.reshape(*lead, *y.shape[1:])


def in_order_of_torch(module: nn.Linear, x: Tensor) -> Tensor:
    """What a ``Linear`` of torch's own gives, bit for bit: its sums depend on how weights lie."""
    return nn.functional.linear(x, module.weight.contiguous(), module.bias)


def _piece(layer: nn.Conv2d, xs: Tensor) -> int:
    """How many steps of a convolution fit the cache."""
    size = xs.shape[1] * max(xs[0].numel() // max(1, xs.shape[1]), 1)
    growth = layer.out_channels / max(1, layer.in_channels)
    return max(1, int(DENSE_BYTES // max(1, size * growth * xs.element_size())))
