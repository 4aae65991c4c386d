"""Modules run on symbols: what one does to a step of what reaches it, whoever writes it down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .kernels import definition
from .kernels.generated.symbol import Pen, Symbol, UnsuitedError
from .scanned import is_scanned
from .stateful import StatefulModule
from .work import is_plain

LONGEST = 16
"""Steps of a Delay that are carried one by one."""


def is_known(module: nn.Module) -> bool:
    """Whether a module is one whose code may be run on symbols, and nobody looks at its calls."""
    return type(module).__module__.startswith(("t1c.", "torch.nn.modules.")) and is_plain(module)


def delays(module: nn.Module) -> int:
    """By how many steps a module delays, if that is all that it does; else 0.

    Raises:
        UnsuitedError: by too many.
    """
    steps = module.delays or 0 if isinstance(module, StatefulModule) else 0
    if steps > LONGEST:
        raise UnsuitedError
    return steps


def state_count(module: nn.Module, features: Sequence[int]) -> int:
    """How many values of these features a module carries from step to step.

    Raises:
        UnsuitedError: what it carries has another shape.
    """
    if not isinstance(module, StatefulModule):
        return 0
    shape = torch.Size((1, *features))
    if module.delays:
        return delays(module)
    if any(own != shape for own in module.state_shapes(shape)):
        raise UnsuitedError
    return len(module.state_names)


def worked(
    module: Any, x: Symbol, own: Sequence[Symbol], pen: Pen
) -> tuple[Symbol, Sequence[Symbol]]:
    """A step of a module: what it sends, and what it carries on.

    Raises:
        UnsuitedError: it is more than a loop over elements.
    """
    y: Any
    after: Any
    given: Any = x
    carried: Any = tuple(own)
    if delays(module):
        line = [*own, x]
        return line[0], line[1:]
    if is_scanned(module):
        c = module.laid(pen.shape[1:], pen.dtype, pen.device)
        y, after = definition.step(given, carried, c.tensors, module.rule)
    elif isinstance(module, StatefulModule):
        y, after = module.step(given, carried)
    else:
        y, after = module.forward(x), ()
    if not all(isinstance(v, Symbol) for v in (y, *after)):
        raise UnsuitedError
    return y, after
