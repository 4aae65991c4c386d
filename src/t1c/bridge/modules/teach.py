"""How an executor learns: the gradient of spikes, and which parameters of neurons change."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import nullcontext

import torch
from torch import nn

from t1c.ir.errors import InputError, Problem

from ..engine.kernels.surrogate import Surrogate, Surrogated
from . import NeuronModule
from .tied import freeze, staying_one


def teach(
    model: nn.Module,
    surrogate: str | Surrogate,
    detach_reset: bool,
    learn: Collection[str],
    dtype: torch.dtype | None = None,
) -> None:
    """Set these options on all neurons and comparisons in ``model``; see ``ir_to_torch``.

    Raises:
        InputError: there is no such surrogate, or no neuron has a parameter to learn.
    """
    slope = Surrogate(surrogate) if isinstance(surrogate, str) else surrogate
    wanted = {learn} if isinstance(learn, str) else set(learn)
    if dtype is None:
        found = (p.dtype for p in model.parameters() if p.is_floating_point())
        dtype = next(found, torch.get_default_dtype())
    known: set[str] = set()
    with staying_one(model) if wanted else nullcontext():
        for module in model.modules():
            if isinstance(module, Surrogated):
                module.surrogate = slope
            if isinstance(module, NeuronModule):
                # Past ``nn.Module.__setattr__``, which takes longer than all of this.
                module.__dict__ |= {"surrogate": slope, "detach_reset": detach_reset}
                known |= set(module.exact)
                learnt = [name for name in module.exact if name in wanted]
                if learnt:
                    module.learn(learnt, dtype)
                    freeze(module)
    if wanted - known:
        raise InputError(
            Problem(
                f"{sorted(wanted - known)}, which no neuron has",
                f"parameters of neurons: {sorted(known)}",
                field="learn",
            )
        )
