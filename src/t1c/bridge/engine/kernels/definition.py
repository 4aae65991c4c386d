"""What a neuron computes, in plain torch, step by step: autograd gives its gradients.

Mirrors ``ir.primitives.neuron``, in one form for all neurons: one without leak has beta = 1 and
leak = 0, which changes no bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .rule import Rule
from .surrogate import jump, once, spike, spikes

State = tuple[Tensor, ...]


def scan(xs: Tensor, state: State, c: Sequence[Tensor], rule: Rule) -> tuple[Tensor, State]:
    """All steps of ``xs`` (T, B, *features): outputs, and the state (v,) or (i, v) after them."""
    outputs = []
    for x in xs:
        output, state = step(x, state, c, rule)
        outputs.append(output)
    return torch.stack(outputs) if outputs else torch.empty_like(xs), state


def step(x: Tensor, state: State, c: Sequence[Tensor], rule: Rule) -> tuple[Tensor, State]:
    """One step: the output, and the state.

    Args:
        x: input current (B, *features).
        state: (v,), or (i, v) behind a synapse.
        c: the coefficients, in the order of ``rule.COEFFICIENTS``, broadcasting over the features.
        rule: the neuron's options.
    """
    _, gain, leak, _, _, alpha, weight, v_min = c
    *extra, v = state
    if rule.synapse:
        i = alpha * extra[0] + weight * x
        output, v = _settle(v, gain * i + leak, c, rule)
        return output, (i, _bounded(v, v_min, rule))
    output, v = _settle(v, gain * x + leak, c, rule)
    return output, (_bounded(v, v_min, rule),)


def _bounded(v: Tensor, v_min: Tensor, rule: Rule) -> Tensor:
    """The membrane to carry on; where it is raised, the gradient is that of the bound."""
    return torch.where(v < v_min, v_min, v) if rule.bounded else v


def carried(u: Tensor, fired: Tensor, c: Sequence[Tensor], rule: Rule) -> Tensor:
    """The membranes that steps carry on, from those when firing was tested and the outputs.

    Of every reset but 'carry', which needs to know more.
    """
    _, _, _, threshold, target, _, _, v_min = c
    if rule.reset in ("subtract", "lower") and not rule.delay:
        u = u - fired * (target if rule.reset == "lower" else threshold)
    elif rule.reset != "no_fire" and not rule.delay:
        u = _jump(u, fired, target, rule)
    return _bounded(u, v_min, rule)


def _settle(v: Tensor, drive: Tensor, c: Sequence[Tensor], rule: Rule) -> tuple[Tensor, Tensor]:
    """(output, membrane to carry on); mirrors ``SpikingNeuron`` line by line."""
    beta, _, _, threshold, target, *_ = c
    mode = rule.reset
    if mode == "no_fire":
        u = beta * v + drive
        return u, u
    fires_at = "gt" if rule.strict else "ge"

    def fire(u: Tensor, limit: Tensor) -> Tensor:
        if rule.many:
            return spikes(u, limit, rule.surrogate)
        return spike(u, limit, fires_at, rule.surrogate)

    if rule.detach_reset:
        due = fire(v.detach(), threshold.detach()) if rule.delay or mode == "carry" else v
    else:
        due = fire(v, threshold) if rule.delay or mode == "carry" else v
    if rule.delay:
        u = beta * _jump(v, due, target, rule) + drive
        if mode == "subtract":
            u = u - due * threshold
        elif mode == "lower":
            u = u - due * target
        elif mode == "hold":
            u = u * (1 - _once(due, rule))
        return fire(u, threshold), u
    u = beta * v + drive
    if mode == "carry":
        u = u - due * threshold
    fired = fire(u, threshold)
    resets = fired.detach() if rule.detach_reset else fired
    if mode == "carry":
        return fired, u - (resets - due) * threshold
    if mode == "subtract":
        return fired, u - resets * threshold
    if mode == "lower":
        return fired, u - resets * target
    return fired, _jump(u, resets, target, rule)


def _once(fired: Tensor, rule: Rule) -> Tensor:
    """1 where there are spikes, with the gradient that they have."""
    return once(fired) if rule.many else fired


def _jump(u: Tensor, fired: Tensor, target: Tensor, rule: Rule) -> Tensor:
    """The membrane after a reset that sets it, if the rule has one."""
    if rule.reset == "zero":
        return u * (1 - _once(fired, rule))
    if rule.reset != "value":
        return u
    return torch.where(fired > 0, target, u) if rule.detach_reset else jump(fired, target, u)
