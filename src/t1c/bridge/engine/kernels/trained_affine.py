"""A Linear and the neuron behind it as one function with a gradient, on a CPU.

What the neuron's gradient needs of each step takes the place of the layer's sums, and of its input,
if it is of spikes, nothing but bits is kept.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .events import packed, sums, weight_gradient
from .generated.loop import Loop
from .generated.neuron import loop_of
from .generated.scan import apart, together, with_gradient, work
from .rule import Rule
from .scan import Coefficients, State
from .tape import keeps


@dataclass(frozen=True)
class TrainedLayer:
    """How a layer and its neuron are worked.

    Attributes:
        events: active inputs are added up, and not multiplied.
        c: the coefficients of the neuron, of which none is learnt.
        rule: its options.
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
        steps, x = len(xs), xs.detach().flatten(0, 1).contiguous()
        if layer.events:
            given = sums(x, weight, bias)
        else:
            given = torch.nn.functional.linear(x, weight, bias)
        loop, places, _ = walked(layer.rule)
        size, given = torch.Size((steps, *v.shape)), given.view(steps, -1)
        carried = together([v] if i is None else [i, v], given, size, False)
        arrays = layer.c.laid(v.shape[1:], False), given.new_empty(0)
        wrote, _ = work(loop, "numba", [given], carried, arrays, size, False)
        values = [given, *wrote]
        kept = x
        if keeps() and ctx.needs_input_grad[1] and xs.requires_grad:
            # What the caller holds anyway is kept as it is, spikes from inside as bits.
            bits = packed(x)
            kept = x if bits is None else bits
        kept = kept if ctx.needs_input_grad[1] else x.new_empty(0)
        ctx.save_for_backward(kept, weight, *(values[place] for place in places))
        ctx.layer, ctx.shape, ctx.arrays = layer, xs.shape, arrays
        ctx.set_materialize_grads(False)
        *current, v = apart(carried, size, False)
        return wrote[0].view(size), current[0] if current else None, v

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_out: Tensor | None, g_i: Tensor | None, g_v: Tensor | None) -> Any:
        kept, weight, *values = (t.detach() for t in ctx.saved_tensors)
        layer, (steps, batch, inputs), outs = ctx.layer, ctx.shape, len(weight)
        _, _, back = walked(layer.rule)
        size = torch.Size((steps, batch, outs))
        after = [
            weight.new_zeros(size[1:]) if own is None else own
            for own in ((g_i, g_v) if layer.rule.synapse else (g_v,))
        ]
        carried = together(after, weight, size, False)
        g_out = weight.new_zeros(size) if g_out is None else g_out.contiguous()
        given = [*values, g_out.view(steps, -1)]
        reads = [given[n] for n in back.reads]
        (g,), _ = work(back, "numba", reads, carried, ctx.arrays, size, False)
        g = g.view(-1, outs)
        needed = ctx.needs_input_grad
        gb = g.sum(0) if needed[2] else None
        gw = weight_gradient(kept, g, inputs, gb) if needed[1] else None
        gx = (g @ weight).view(ctx.shape) if needed[0] else None
        *current, gv = apart(carried, size, False)
        return gx, gw, gb, current[0] if current else None, gv, None


@functools.lru_cache(maxsize=1024)
def walked(rule: Rule) -> tuple[Loop, tuple[int, ...], Loop]:
    """The loop of a neuron that writes what the one back needs, and that one.

    Returns:
        (the loop, what the one back is given before gradients: 0 for what the neuron was given, n
        for the n-th that the loop wrote; the one back).
    """
    forth, back = with_gradient(loop_of(rule), (0,), (), ())
    read = forth.leaves("read")[0]
    places = tuple(0 if p == read else 1 + forth.writes.index(p) for p in back.kept)
    if 0 not in places and len(forth.writes) > 1:
        forth = replace(forth, over=((1, 0),))
    return forth, places, back.loop
