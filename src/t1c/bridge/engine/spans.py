"""Over how many steps training takes statistics, and keeps a mask of what it drops.

torch's own layers know no time: what one call is given is a batch to them. Which calls a network
makes of T steps is said here, by a mark on the layer. In eval mode no mark says anything.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from t1c.ir.errors import InputError, Problem, UnsupportedError

STEP, SEQUENCE, ONCE, LAST = "step", "sequence", "once", "last"
"""Each step by itself; all steps together; one step, for all that are the same; each step by
itself, of which the last alone is remembered."""
_SPAN = "t1c_span"
_INSTEAD = (
    "Call run() on the whole sequence, import with batchnorm='step' or 'frozen', or call eval()."
)


def set_span(module: nn.Module, span: str) -> None:
    """Mark a norm or a Dropout."""
    setattr(module, _SPAN, span)


def span_of(module: nn.Module) -> str:
    """The mark; a layer without one takes each step by itself, as torch does."""
    span: str = module.__dict__.get(_SPAN, STEP)
    return span


def gathers(module: nn.Module) -> bool:
    """Whether it takes statistics now, and those of more than one step: it cannot be stepped."""
    return isinstance(module, _BatchNorm) and module.training and span_of(module) != STEP


def keeps_mask(module: nn.Module) -> bool:
    """Whether a mask that it draws in training is part of the state."""
    return isinstance(module, _DropoutNd) and span_of(module) == SEQUENCE


def masks(module: nn.Module) -> bool:
    """Whether it drops now, by one mask for all steps."""
    return module.training and keeps_mask(module)


def masked(
    module: nn.Module, x: Tensor, like: Tensor, own: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """What such a Dropout lets through, and its mask.

    Args:
        module: the Dropout.
        x: a step (B, *features), or a sequence of them.
        like: one step.
        own: the mask that was drawn before, if one was.
    """
    mask = own[0] if own else type(module).forward(module, torch.ones_like(like))
    return x * mask, (mask,)


def normed_at_last(norm: nn.Module, xs: Tensor) -> Tensor:
    """What a norm in training makes of each step of ``xs`` (T, B, ...), moving at the last."""
    assert isinstance(norm, _BatchNorm)
    weight, bias, eps = norm.weight, norm.bias, norm.eps
    steps = [
        nn.functional.batch_norm(x, None, None, weight, bias, training=True, eps=eps)
        for x in xs[:-1]
    ]
    return torch.stack([*steps, norm(xs[-1])])


def refuse_step(name: str, module: nn.Module) -> None:
    """Refuse one step of a norm whose statistics are those of a sequence.

    Raises:
        UnsupportedError: it is trained, and marked so.
    """
    if gathers(module):
        raise UnsupportedError(
            Problem(
                "statistics over all steps of a sequence, in training, of one step alone",
                "all steps at once, of a node that lies in no loop",
                _INSTEAD,
                f"node {name!r} ({type(module).__name__})",
            )
        )


def refuse_changing(name: str, module: nn.Module) -> None:
    """Refuse statistics of one step, which stand for all, of steps that differ.

    Raises:
        UnsupportedError: the norm is marked so, and trained.
    """
    if gathers(module) and span_of(module) == ONCE:
        raise UnsupportedError(
            Problem(
                "statistics taken once, in training, of values that may change from step to step",
                "what depends on held inputs alone",
                "Pass one value (B, *shape) to every Input with hold, or import with "
                "batchnorm='step', 'sequence' or 'frozen'.",
                f"node {name!r} ({type(module).__name__})",
            )
        )


def gathering(nodes: Iterable[tuple[str, nn.Module]]) -> list[str]:
    """The names of those nodes of which all steps have to be worked at once."""
    return [name for name, module in nodes if module.training and gathers(module)]


def refuse_parts(names: list[str], steps: int | None, chunk: int | None) -> None:
    """Refuse a sequence in parts, where statistics are those of all of it.

    Args:
        names: the nodes that take them.
        steps: how many steps there are; None where an iterator does not tell.
        chunk: how many the caller wants to be worked at once; None: any number.

    Raises:
        InputError: that is less than all of them.
    """
    if names and (steps is None or (chunk is not None and chunk < steps)):
        raise InputError(
            Problem(
                "an iterator" if steps is None else f"chunks of {chunk} of {steps} steps",
                "the whole sequence as a tensor, in one chunk: in training the statistics of "
                f"{', '.join(map(repr, names))} are those of all steps",
                "Leave chunk away, import with batchnorm='step' or 'frozen', or call eval().",
            )
        )
