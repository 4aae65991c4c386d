"""The caller's state, checked before anything runs on it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from t1c.ir.errors import InputError, Problem

from .spans import keeps_mask
from .stateful import State, StatefulModule

States = dict[str, State]


@dataclass(frozen=True)
class Kept:
    """What a node carries from step to step.

    Attributes:
        names: its state variables, as far as they are known.
        open: a module of the user's may keep more, before what is known.
    """

    names: tuple[str, ...]
    open: bool


def kept_by(module: nn.Module, remembered: bool) -> Kept:
    """What a node carries, given whether its output is needed again in the next step."""
    sent = ("what it sent",) if remembered else ()
    if keeps_mask(module):
        # A mask in training, and none in eval mode.
        return Kept(sent, open=True)
    if isinstance(module, StatefulModule):
        return Kept((*module.state_names, *sent), open=False)
    return Kept(sent, open=True)


def check_states(state: Any, names: Collection[str], kept: Mapping[str, Kept]) -> States:
    """A copy of the caller's dict.

    Args:
        state: None (rest) or a dict by node name.
        names: all nodes.
        kept: node name -> what it carries, for the nodes that carry something.

    Raises:
        InputError: listing every entry that no such node has.
    """
    if state is None:
        return {}
    if isinstance(state, dict) and _looks_right(state, kept):
        return {**state}
    if not isinstance(state, Mapping):
        raise InputError(
            Problem(f"a {type(state).__name__}", "None, or a dict by node name", where="state")
        )
    problems = [p for name, own in state.items() if (p := _problem(name, own, names, kept))]
    if problems:
        raise InputError(problems)
    return dict(state)


def _looks_right(state: dict[Any, Any], kept: Mapping[str, Kept]) -> bool:
    """Whether nothing is wrong at first sight, which is all that a step has time for."""
    for name, own in state.items():
        wanted = kept.get(name)
        if wanted is None or wanted.open or type(own) is not tuple:
            return False
        if len(own) != len(wanted.names):
            return False
        for v in own:
            if type(v) is not Tensor:
                return False
    return True


def _problem(
    name: str, own: Any, names: Collection[str], kept: Mapping[str, Kept]
) -> Problem | None:
    where = f"state of node {name!r}"
    if name not in kept:
        return Problem(
            "it has no state" if name in names else "there is no such node",
            f"state of {list(kept)} only" if kept else "no state",
            "Pass on the state that an earlier call returned.",
            where,
        )
    if not isinstance(own, tuple) or not all(isinstance(v, Tensor) for v in own):
        kinds = f" of {', '.join(type(v).__name__ for v in own)}" * isinstance(own, tuple)
        expected = "a tuple of tensors, one per state variable"
        return Problem(f"a {type(own).__name__}{kinds}", expected, where=where)
    wanted = kept[name]
    if len(own) == len(wanted.names) or (wanted.open and len(own) > len(wanted.names)):
        return None
    expected = f"{len(wanted.names)}: {', '.join(wanted.names)}"
    return Problem(f"{len(own)} tensors", expected, where=where)


def fitting(name: str, v: Tensor, x: Tensor, shape: torch.Size) -> Tensor:
    """A state variable of ``shape``, if it fits what arrives; a batch of 1 serves every sample."""
    v = for_batch(name, v, x)
    if v.shape == shape and v.dtype == x.dtype:
        return v
    raise misfit(name, v, x)


def for_batch(name: str, v: Tensor, x: Tensor) -> Tensor:
    """A state variable for the batch of ``x``; a state of batch 1 serves every sample.

    Under autocast its dtype may differ from that of what arrives, and it is cast.
    """
    if v.device != x.device:
        raise misfit(name, v, x)
    if v.dtype != x.dtype and torch.is_autocast_enabled(x.device.type):
        v = v.to(x.dtype)
    if v.shape[:1] == x.shape[:1]:
        return v
    if v.shape[:1] == (1,):
        return v.expand(len(x), *v.shape[1:])
    raise misfit(name, v, x)


def misfit(name: str, v: Tensor, x: Tensor) -> InputError:
    """The error for a state that does not fit what arrives."""
    devices = (f" on {v.device}", f" on {x.device}") if v.device != x.device else ("", "")
    return InputError(
        Problem(
            f"a state of shape {tuple(v.shape)} and dtype {v.dtype}{devices[0]} for an input of "
            f"shape {tuple(x.shape)} and dtype {x.dtype}{devices[1]}",
            "the same batch size, shape, dtype and device",
            "Start from rest with state=None, or keep the batch size.",
            f"node {name!r}",
        )
    )
