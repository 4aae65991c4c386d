"""The neuron scan on a GPU: launches the kernels of ``triton_scan`` and ``triton_backward``."""

from __future__ import annotations

import functools
from typing import Any

import torch
import triton
from torch import Tensor

from .arithmetic import constants, of_arithmetic
from .rule import Rule
from .surrogate import Surrogate
from .triton_backward import backward
from .triton_scan import forward

BLOCK = 128
"""Neurons of one program: one for each thread, for T steps in a row leave little else to do."""

OPTIONS = {"num_warps": BLOCK // 32, "enable_fp_fusion": False}
"""How kernels are compiled: products are rounded before they are added to something."""


def launch_forward(rule: Rule, keep: bool, *arrays: Tensor) -> None:
    """Walk ``i`` and ``v``, in place, through all steps of ``x``; fill ``out``.

    Args:
        rule: the options.
        keep: note what the way back needs: membranes ``tested``; ``beside`` them, carried membranes
            or those before a hold; and ``currents``.
        arrays: x, i, v, c, out, tested, beside, currents: (T, N), states (N,), coefficients (8, P).
            What a rule does not need is some array of that dtype, which is left alone.
    """
    _launch(forward, arrays, arrays[3].shape[1], forward_options(rule, keep))


def launch_backward(rule: Rule, learning: bool, *arrays: Tensor) -> None:
    """Walk ``gi`` and ``gv``, in place, back from the gradients after the last step.

    Args:
        rule: the options.
        learning: add gradients of coefficients to ``gc`` (8, N), in the dtype of the arithmetic.
        arrays: grads, gi, gv, x, i0, v0, c, tested, beside, currents, gx, gc, as above; ``gx`` is
            filled.
    """
    numbers = _constants(rule.surrogate, of_arithmetic(arrays[0].dtype), arrays[0].device)
    _launch(backward, (*arrays, numbers), arrays[6].shape[1], backward_options(rule, learning))


def forward_options(rule: Rule, keep: bool) -> dict[str, Any]:
    """What ``forward`` is compiled for, besides dtypes."""
    return {
        "RESET": rule.reset,
        "EARLY": rule.delay,
        "STRICT": rule.strict,
        "MANY": rule.many,
        "BOUNDED": rule.bounded,
        "SYNAPSE": rule.synapse,
        "KEEP": keep,
        "BLOCK": BLOCK,
    }


def backward_options(rule: Rule, learning: bool) -> dict[str, Any]:
    """What ``backward`` is compiled for, besides dtypes."""
    return {
        "RESET": rule.reset,
        "EARLY": rule.delay,
        "STRICT": rule.strict,
        "MANY": rule.many,
        "BOUNDED": rule.bounded,
        "SYNAPSE": rule.synapse,
        "KIND": rule.surrogate.name,
        "DETACH": rule.detach_reset,
        "LEARNING": learning,
        "BLOCK": BLOCK,
    }


def _launch(kernel: Any, arrays: tuple[Tensor, ...], period: int, options: dict[str, Any]) -> None:
    steps, size = arrays[0].shape
    if not steps or not size:
        return
    # Triton launches on the current device, which need not be that of the tensors.
    with torch.cuda.device_of(arrays[0]):
        kernel[(triton.cdiv(size, BLOCK),)](*arrays, steps, size, period, **options, **OPTIONS)


@functools.cache
def _constants(surrogate: Surrogate, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.from_numpy(constants(surrogate, dtype)).to(device)
