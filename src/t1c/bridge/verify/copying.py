"""A copy of a module that may be run, hooked and changed without the original noticing."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..frameworks import forget

M = TypeVar("M", bound=nn.Module)


def fresh(module: M, dtype: torch.dtype | None = None) -> M:
    """A copy in eval mode, at rest, in ``dtype`` (None: as it is).

    Tensors that hang in a gradient graph, as hidden membranes do after a training step, are copied
    without it.
    """
    memo: dict[int, object] = {}
    for part in module.modules():
        # SpikingJelly keeps its states in a dict of its own.
        kept = [v for d in vars(part).values() if isinstance(d, dict) for v in d.values()]
        for value in (*vars(part).values(), *kept):
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    copied = copy.deepcopy(module, memo).eval()
    if dtype is not None:
        copied = copied.to(dtype)
    for part in copied.modules():
        forget(part)
    return copied
