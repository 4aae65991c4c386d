"""The neuron scan on a CPU: calls the compiled loops, of which ``numba_scan`` is the one there."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .arithmetic import SURROGATES, constants
from .numba_backward import backward_kernel
from .numba_plain import plain_backward_kernel
from .numba_scan import forward_kernel
from .rule import Rule, compiled_for, is_prompt
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
    back = Back(rule, learning, *arrays)
    back(0, len(arrays[0]))


class Back:
    """The way back through steps, some at a time; arrays as for ``scan.Backend``."""

    def __init__(self, rule: Rule, learning: bool, *arrays: Tensor) -> None:
        self.size = arrays[0].shape[1]
        c = constants(rule.surrogate, arrays[0].dtype)
        kind = SURROGATES.index(rule.surrogate.name)
        if not learning and is_prompt(rule):
            # Neither what entered nor what was before the first step is needed.
            grads, gi, gv, _, _, _, laid, tested, _, _, gx, _ = (a.detach().numpy() for a in arrays)
            self.kernel = plain_backward_kernel(compiled_for(rule)[0], rule.bounded, kind)
            self.arguments: tuple[Any, ...] = (
                *(rule.strict, rule.synapse, rule.detach_reset),
                *(grads, gi, gv, laid, tested, gx, c),
            )
            return
        self.kernel = backward_kernel(*compiled_for(rule))
        self.arguments = (
            rule.strict,
            rule.synapse,
            kind,
            rule.detach_reset,
            learning,
            *(a.detach().numpy() for a in arrays),
            c,
        )

    def __call__(self, begin: int, end: int) -> None:
        """From step ``end - 1`` to step ``begin``."""
        work = COST * self.size * (end - begin)
        share(self.kernel, self.size, work, begin, end, *self.arguments, multiple=16)
