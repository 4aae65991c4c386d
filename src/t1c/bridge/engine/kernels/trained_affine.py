"""A Linear and the plain neuron behind it as one function with a gradient, on a CPU.

The sums of the layer are worked where the membranes that were tested are kept, and of its input,
if it is of spikes, nothing but bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .arithmetic import SURROGATES, constants
from .events import packed, sums, weight_gradient
from .layout import copied
from .rule import Rule, compiled_for
from .scan import Coefficients, State
from .tape import keeps
from .threads import share

COST = 4
"""What one update costs, in elements of a plain loop."""


@dataclass(frozen=True)
class TrainedLayer:
    """How a layer and its neuron are worked.

    Attributes:
        events: active inputs are added up, and not multiplied.
        c: the coefficients of the neuron, of which none is learnt.
        rule: its options, of which ``rule.is_prompt`` holds.
    """

    events: bool
    c: Coefficients
    rule: Rule


def train_affine(
    xs: Tensor, weight: Tensor, bias: Tensor | None, state: State, layer: TrainedLayer
) -> tuple[Tensor, State]:
    """All steps, differentiable.

    Args:
        xs: (T, B, in).
        weight: (out, in).
        bias: (out,).
        state: the neuron's, each (B, out).
        layer: how it is worked.

    Returns:
        (spikes (T, B, out), the neuron's state).
    """
    i = state[0] if layer.rule.synapse else None
    y, i, v = _Trained.apply(xs, weight, bias, i, state[-1], layer)  # type: ignore[no-untyped-call]
    return y, ((v,) if i is None else (i, v))


class _Trained(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        xs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        i: Tensor | None,
        v: Tensor,
        layer: TrainedLayer,
    ) -> Any:
        from .numba_plain import plain_forward_kernel

        steps, batch = xs.shape[:2]
        x = xs.detach().flatten(0, 1).contiguous()
        if layer.events:
            tested = sums(x, weight, bias)
        else:
            tested = torch.nn.functional.linear(x, weight, bias)
        v = copied(v.detach().contiguous())
        cs = v if i is None else copied(i.detach().contiguous())
        out = torch.empty_like(tested)
        reset, _, _, bounded = compiled_for(layer.rule)
        share(
            plain_forward_kernel(reset, bounded),
            v.numel(),
            COST * out.numel(),
            layer.rule.strict,
            layer.rule.synapse,
            cs.view(-1).numpy(),
            v.view(-1).numpy(),
            layer.c.laid(v.shape[1:], False).numpy(),
            tested.view(steps, -1).numpy(),
            out.view(steps, -1).numpy(),
            constants(layer.rule.surrogate, x.dtype),
            multiple=16,
        )
        kept = x
        if keeps() and ctx.needs_input_grad[1] and xs.requires_grad:
            # What the caller holds anyway is kept as it is, spikes from inside as bits.
            bits = packed(x)
            kept = x if bits is None else bits
        kept = kept if ctx.needs_input_grad[1] else x.new_empty(0)
        ctx.save_for_backward(kept, weight, tested)
        ctx.layer, ctx.shape = layer, xs.shape
        ctx.set_materialize_grads(False)
        return out.view(steps, batch, -1), None if i is None else cs, v

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_out: Tensor | None, g_i: Tensor | None, g_v: Tensor | None) -> Any:
        from .numba_plain import plain_backward_kernel

        kept, weight, tested = (t.detach() for t in ctx.saved_tensors)
        rule, (steps, batch, inputs), outs = ctx.layer.rule, ctx.shape, len(weight)
        g = torch.empty_like(tested)
        g_out = torch.zeros_like(tested) if g_out is None else g_out.contiguous()
        gv = tested.new_zeros(batch, outs) if g_v is None else copied(g_v.contiguous())
        gi = gv
        if rule.synapse:
            gi = tested.new_zeros(batch, outs) if g_i is None else copied(g_i.contiguous())
        reset, _, _, bounded = compiled_for(rule)
        share(
            plain_backward_kernel(reset, bounded, SURROGATES.index(rule.surrogate.name)),
            gv.numel(),
            COST * g.numel(),
            0,
            steps,
            rule.strict,
            rule.synapse,
            rule.detach_reset,
            g_out.view(steps, -1).numpy(),
            gi.view(-1).numpy(),
            gv.view(-1).numpy(),
            ctx.layer.c.laid(gv.shape[1:], False).numpy(),
            tested.view(steps, -1).numpy(),
            g.view(steps, -1).numpy(),
            constants(rule.surrogate, g.dtype),
            multiple=16,
        )
        needed = ctx.needs_input_grad
        gb = g.sum(0) if needed[2] else None
        gw = weight_gradient(kept, g, inputs, gb) if needed[1] else None
        gx = (g @ weight).view(ctx.shape) if needed[0] else None
        return gx, gw, gb, gi if rule.synapse else None, gv, None
