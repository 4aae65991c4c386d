"""The neuron scan on a CPU: calls the compiled loops of ``numba_scan`` and ``numba_backward``."""

from __future__ import annotations

from torch import Tensor

from .arithmetic import SURROGATES, constants
from .numba_backward import backward_kernel
from .numba_scan import forward_kernel
from .rule import Rule, compiled_for
from .threads import share

COST = 4
"""What one update costs, in elements of a plain loop."""


def launch_forward(rule: Rule, keep: bool, *arrays: Tensor) -> None:
    """See ``scan.Backend``."""
    x = arrays[0]
    steps, size = x.shape
    share(
        forward_kernel(*compiled_for(rule)),
        size,
        COST * size * steps,
        rule.strict,
        rule.synapse,
        keep,
        *(a.detach().numpy() for a in arrays),
        constants(rule.surrogate, x.dtype),
        multiple=16,
    )


def launch_backward(rule: Rule, learning: bool, *arrays: Tensor) -> None:
    """See ``scan.Backend``."""
    grads = arrays[0]
    steps, size = grads.shape
    share(
        backward_kernel(*compiled_for(rule)),
        size,
        COST * size * steps,
        rule.strict,
        rule.synapse,
        SURROGATES.index(rule.surrogate.name),
        rule.detach_reset,
        learning,
        *(a.detach().numpy() for a in arrays),
        constants(rule.surrogate, grads.dtype),
        multiple=16,
    )
