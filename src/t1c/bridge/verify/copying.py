"""A copy of a module that may be run, hooked and changed without the original noticing."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)

_RESETS = {"snntorch": "reset_mem", "sinabs": "reset_states", "spikingjelly": "reset"}
"""Framework -> the method by which its neurons forget what they kept from earlier calls."""


def fresh(module: M, dtype: torch.dtype | None = None) -> M:
    """A copy in eval mode, at rest, in ``dtype`` (None: as it is).

    Tensors that hang in a gradient graph, as hidden membranes do after a training step, are copied
    without it.
    """
    memo: dict[int, object] = {}
    for part in module.modules():
        for value in (*vars(part).values(), *part._buffers.values()):
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    copied = copy.deepcopy(module, memo).eval()
    if dtype is not None:
        copied = copied.to(dtype)
    for part in copied.modules():
        for cls in type(part).__mro__:
            reset = getattr(part, _RESETS.get(cls.__module__.split(".")[0], ""), None)
            if callable(reset):
                reset()
                break
    return copied
