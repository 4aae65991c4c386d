"""The neuron scan as a custom operator, which ``torch.compile`` and ``torch.export`` keep whole.

What is captured says which neuron it is; which kernels work it is decided where it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .choose import choose
from .layout import channels_last, reduced
from .rule import COEFFICIENTS, Rule
from .scan import Coefficients, State, backward, forward, scan
from .surrogate import Surrogate


def scan_in_graph(
    xs: Tensor, state: State, c: Sequence[Tensor], rule: Rule, kernels: str | None
) -> tuple[Tensor, State]:
    """All steps of a neuron, as one node of a captured graph; see ``scan.scan``."""
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in (xs, *state, *c))
    out, i, v, *_ = _scan(
        xs.contiguous(),
        state[0] if rule.synapse else None,
        state[-1],
        list(c),
        rule.reset,
        rule.delay,
        rule.strict,
        rule.surrogate.name,
        rule.surrogate.k,
        rule.detach_reset,
        rule.many,
        rule.bounded,
        kernels or "",
        keep,
    )
    return out, ((i, v) if rule.synapse else (v,))


def _rule(
    i: Tensor | None,
    reset: str,
    delay: bool,
    strict: bool,
    surrogate: str,
    slope: float,
    detach: bool,
    many: bool,
    bounded: bool,
) -> Rule:
    """The rule that an operator's plain arguments tell."""
    slopes = Surrogate(surrogate, slope)
    return Rule(reset, delay, strict, i is not None, slopes, detach, many, bounded)


@torch.library.custom_op("t1c::scan", mutates_args=())
def _scan(
    xs: Tensor,
    i: Tensor | None,
    v: Tensor,
    c: list[Tensor],
    reset: str,
    delay: bool,
    strict: bool,
    surrogate: str,
    slope: float,
    detach: bool,
    many: bool,
    bounded: bool,
    kernels: str,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    rule = _rule(i, reset, delay, strict, surrogate, slope, detach, many, bounded)
    name = choose(xs, kernels or None)
    if name != "triton":
        with torch.no_grad():
            state = (v,) if i is None else (i, v)
            out, after = scan(xs, state, Coefficients(tuple(c)), rule, name)
        first = after[0].clone() if i is not None else v.new_empty(0)
        kept = [v.new_empty((1, 1)) for _ in range(3)]
        return out, first, after[-1].clone(), kept[0], kept[1], kept[2]
    out, after_i, after_v, *more = forward(xs, i, v, Coefficients(tuple(c)), rule, keep)
    # Nothing returned may be the same tensor twice.
    tested, beside, currents = (t if t.numel() > 1 else t.clone() for t in more)
    first = v.new_empty(0) if after_i is None else after_i.contiguous()
    return out.contiguous(), first, after_v.contiguous(), tested, beside, currents


@_scan.register_fake
def _(
    xs: Tensor,
    i: Tensor | None,
    v: Tensor,
    c: list[Tensor],
    reset: str,
    *options: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    kernels, keep = options[-2:]
    compiled = keep and choose(xs, kernels or None) == "triton"
    whole, none = (xs.shape[0], v.numel()), (1, 1)
    after_v = torch.empty_like(v, memory_format=torch.contiguous_format)
    return (
        torch.empty_like(xs, memory_format=torch.contiguous_format),
        v.new_empty(0) if i is None else torch.empty_like(after_v),
        after_v,
        xs.new_empty(whole if compiled else none),
        xs.new_empty(whole if compiled and reset in ("hold", "carry") else none),
        xs.new_empty(whole if compiled and i is not None else none),
    )


@torch.library.custom_op("t1c::scan_backward", mutates_args=())
def _scan_backward(
    g_out: Tensor,
    g_i: Tensor,
    g_v: Tensor,
    xs: Tensor,
    i: Tensor | None,
    v: Tensor,
    c: list[Tensor],
    kept: list[Tensor],
    reset: str,
    delay: bool,
    strict: bool,
    surrogate: str,
    slope: float,
    detach: bool,
    many: bool,
    bounded: bool,
    kernels: str,
) -> list[Tensor]:
    rule = _rule(i, reset, delay, strict, surrogate, slope, detach, many, bounded)
    name = choose(xs, kernels or None)
    if name == "triton":
        of_i = g_i if i is not None else None
        gx, gi, gv, gc = backward(
            (g_out, of_i, g_v),
            xs,
            (i, v),
            (kept[0], kept[1], kept[2]),
            Coefficients(tuple(c)),
            rule,
            (xs.shape, channels_last(xs)),
        )
        reduced_c = [reduced(g, t) for g, t in zip(gc, c, strict=True)]
        return [g.contiguous().clone() for g in (gx, gi, gv, *reduced_c)]
    with torch.enable_grad():
        x, state = xs.detach().requires_grad_(), [s for s in (i, v) if s is not None]
        state = [s.detach().requires_grad_() for s in state]
        coefficients = [t.detach().requires_grad_() for t in c]
        out, after = scan(x, tuple(state), Coefficients(tuple(coefficients)), rule, name)
        outs, gs = [out, *after], [g_out, *([g_i] if i is not None else []), g_v]
        found = torch.autograd.grad(
            outs, [x, *state, *coefficients], gs, allow_unused=True, materialize_grads=True
        )
    gx, *own = (g.contiguous().clone() for g in found)
    # Nothing returned may be the same tensor twice.
    return [gx, own[0].clone(), *own] if i is None else [gx, *own]


@_scan_backward.register_fake
def _(
    g_out: Tensor, g_i: Tensor, g_v: Tensor, xs: Tensor, i: Any, v: Tensor, c: list[Tensor], *_: Any
) -> list[Tensor]:
    shapes = (xs, v, v, *c)
    return [torch.empty_like(t, memory_format=torch.contiguous_format) for t in shapes]


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    xs, i, v, c, *options, _ = inputs
    ctx.has_i, ctx.options = i is not None, options
    ctx.save_for_backward(xs, v, *([i] if i is not None else []), *c, *output[3:])


def _grads(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
    xs, v, *rest = ctx.saved_tensors
    i = rest.pop(0) if ctx.has_i else None
    c, kept = rest[: len(COEFFICIENTS)], rest[len(COEFFICIENTS) :]
    g_out, g_i, g_v = grads[:3]
    found = _scan_backward(
        g_out.contiguous(), g_i.contiguous(), g_v.contiguous(), xs, i, v, c, kept, *ctx.options
    )
    gx, gi, gv, *gc = found
    return gx, gi if ctx.has_i else None, gv, gc, *[None] * 10


_scan.register_autograd(_grads, setup_context=_keep_for_backward)
