"""What the exporters of all frameworks share: time constants, and what a subclass may change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..modules.exporting import Shape, known_type, over_features, refuse

Array = np.ndarray[Any, Any]


def refuse_own_methods(module: Any, methods: Sequence[str]) -> None:
    """Refuse a subclass that changes a part of the neuron that its parent is.

    Raises:
        UnsupportedError: one of ``methods`` is its own.
    """
    known = known_type(module)
    changed = [n for n in methods if getattr(type(module), n, None) is not getattr(known, n, None)]
    changed += [n for n in methods if n in vars(module)]
    if changed:
        raise refuse(
            f"a {type(module).__name__} with {changed[0]}() of its own",
            f"a plain {known.__name__ if known else 'neuron'}",
            "Pass custom_map for the class.",
        )


def time_constant(values: Tensor, features: Shape, name: str) -> Array | None:
    """Tau for a decay factor within [0, 1], None where all of them are 1.

    Raises:
        UnsupportedError: 1 - 1/tau cannot give the factor bit for bit, or only some of them are 1.
    """
    clamped = values.detach()
    if not clamped.is_floating_point():
        clamped = clamped.to(torch.get_default_dtype())
    decay = over_features(clamped, features, name)
    exact = decay.astype(np.float64)
    if not ((exact >= 0) & (exact <= 1)).all():
        raise refuse(f"{name} = {float(exact.ravel()[0])!r}", "a value from 0 to 1")
    if (exact == 1).all():
        return None
    if (exact == 1).any():
        raise refuse(
            f"{name} is 1 for some neurons and less for others",
            "all of them 1 (an IF) or none (a LIF)",
            "Split the layer in two.",
        )
    tau: Array = 1 / (1 - exact)
    for ulps in range(-4, 5):
        # Where 1/(1-beta) was rounded the wrong way, a neighbour may fold to beta.
        near = tau * (1 + ulps * np.finfo(np.float64).eps)
        tau = np.where((1 - 1 / tau).astype(decay.dtype) == decay, tau, near)
    tau = np.maximum(tau, 1.0)
    folded = (1 - 1 / tau).astype(decay.dtype)
    if not np.array_equal(folded, decay):
        bad = float(exact[folded != decay].ravel()[0])
        raise refuse(
            f"{name} = {bad!r}",
            f"a value that 1 - 1/tau gives exactly in {decay.dtype}",
            "Export the model in float32, and round so small a value to 0.",
        )
    return tau


def time_constant_of_rate(rate: Tensor, features: Shape, name: str) -> Array:
    """Tau for the part of the way that a membrane goes in a step, within (0, 1].

    Raises:
        UnsupportedError: it is outside.
    """
    part: Array = over_features(rate.detach(), features, name).astype(np.float64)
    if not ((part > 0) & (part <= 1)).all():
        bad = part[~((part > 0) & (part <= 1))].ravel()[0]
        raise refuse(
            f"{name} = {float(bad):g}",
            "more than 0 and at most 1: the part of the way to its rest that it goes in a step",
            "Use a smaller dt.",
        )
    tau: Array = np.maximum(1 / part, 1.0)
    return tau
