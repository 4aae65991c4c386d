"""Layers that add up what their active inputs weigh, as functions of tensors on a CPU.

A zero input contributes nothing here, even to a weight that is not finite, where a product would
give NaN: callers make sure that weights are finite.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .crossing import crossing
from .generated.neuron import in_place
from .generated.scan import called
from .layout import channels_last, copied, flat
from .rule import Rule
from .scan import Coefficients, State
from .tape import keeps
from .threads import PIECES, share
from .weights import by_place

WIDE = 512
"""Neurons that are worked side by side."""
MANY = 256
"""Rows of input from which on it pays to lay a weight out anew."""
ROWS = 64
"""Rows that are looked at to tell how dense an input is."""


def density(xs: Tensor) -> float:
    """The share of elements that are not zero, told from some samples and steps of ``xs``.

    Args:
        xs: (T, B, *features).
    """
    from .numba_events import count

    x = flat(xs.detach(), channels_last(xs)).view(xs.shape[0] * xs.shape[1], -1)
    found, seen = count(x.numpy(), max(1, len(x) // ROWS))
    return found / seen if seen else 0.0


def affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``x @ weight.T + bias`` for contiguous ``x`` (M, in) and ``weight`` (out, in).

    Differentiable.
    """
    tensors = (x, weight) if bias is None else (x, weight, bias)
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        y: Tensor = _Affine.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return y
    return sums(x, weight, bias)


def sums(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The same without a gradient."""
    from .numba_events import affine as kernel

    w, tiled = _in_tiles(weight, len(x))
    y = x.new_empty(len(x), len(weight))
    b = x.new_zeros(len(weight)) if bias is None else bias.detach().contiguous()
    work = x.numel() + y.numel() * 8
    share(kernel, len(x), work, x.detach().numpy(), w.numpy(), tiled, b.numpy(), y.numpy())
    return y


def _in_tiles(weight: Tensor, rows: int) -> tuple[Tensor, bool]:
    """A weight (out, in) flat, (in, out); for many rows of input each tile of columns by itself.

    A tile that is spread over memory would use a few sets of the caches only.
    """
    from .numba_events import TILE

    outs, tile = len(weight), TILE // weight.element_size()
    if rows < MANY or outs <= tile:
        return by_place(weight, max(1, outs)), False
    return by_place(weight, tile), True


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if ctx.needs_input_grad[1]:
            # What the caller holds anyway is kept as it is, spikes from inside as bits.
            bits = packed(x) if x.requires_grad and keeps() else None
            ctx.save_for_backward(x if bits is None else bits, weight)
        else:
            ctx.save_for_backward(None, weight)
        return sums(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        kept, weight = ctx.saved_tensors
        g = g.contiguous()
        gb = g.sum(0) if ctx.needs_input_grad[2] else None
        gw = None
        if ctx.needs_input_grad[1]:
            gw = weight_gradient(kept.detach(), g, weight.shape[1], gb)
        return g @ weight if ctx.needs_input_grad[0] else None, gw, gb


def weight_gradient(x: Tensor, g: Tensor, inputs: int, total: Tensor | None = None) -> Tensor:
    """The gradient (out, in) of a weight.

    Args:
        x: the inputs (M, in), or the bits of such spikes, as ``packed`` packs them.
        g: the gradients of the outputs (M, out).
        inputs: how many there are.
        total: ``g.sum(0)``, if that is known already.
    """
    if not x.numel() or not g.numel():
        return g.new_zeros(g.shape[1], inputs)
    limit = crossing(
        f"weight gradient of an affine {inputs}-{g.shape[1]}",
        (1024, inputs),
        g.dtype,
        lambda z: z.t() @ z.new_ones(len(z), g.shape[1]),
        lambda z: _by_events(z, z.new_ones(len(z), g.shape[1]), inputs),
    )
    # An infinite gradient times an input of zero is not a number, which events would not see.
    whole = g if total is None else total
    some = unpacked(x[:: max(1, len(x) // ROWS)], inputs, g.dtype)
    if density(some.unsqueeze(1)) < limit and math.isfinite(float(whole.sum())):
        return _by_events(x, g, inputs).t()
    return g.t() @ unpacked(x, inputs, g.dtype)


def _by_events(x: Tensor, g: Tensor, inputs: int) -> Tensor:
    from .numba_events import BLOCK, affine_gradient, index_bits, index_columns

    x, g = x.contiguous(), g.contiguous()
    blocks, packs = -(-len(x) // BLOCK), x.dtype != g.dtype
    begins, ends = (np.empty((blocks, inputs), np.int32) for _ in range(2))
    plain = np.empty((blocks, inputs), np.bool_)
    places = np.empty((blocks, BLOCK * inputs), np.int8)
    index = begins, ends, plain, places
    kernel = index_bits if packs else index_columns
    share(kernel, blocks, 2 * len(x) * inputs, x.numpy(), *index)
    gw = g.new_empty(inputs, g.shape[1])
    factors = g if packs else x
    work = len(x) * inputs + gw.numel() * 8
    share(
        affine_gradient, inputs, work, factors.numpy(), g.numpy(), *index, gw.numpy(), multiple=16
    )
    return gw


def unpacked(bits: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Spikes (M, size) that were packed, or ``bits`` itself if it is no such."""
    if bits.dtype == dtype:
        return bits.detach()
    from .numba_events import unpack

    x = torch.empty((len(bits), size), dtype=dtype)
    share(unpack, len(x), x.numel(), bits.numpy(), x.numpy())
    return x


def packed(x: Tensor) -> Tensor | None:
    """Spikes (M, N) as bits, an eighth of a byte each; None if ``x`` is not all 0 and 1."""
    from .numba_events import pack

    bits = torch.empty((len(x), -(-x.shape[1] // 8)), dtype=torch.uint8)
    plain = torch.ones(1, dtype=torch.bool)
    share(pack, len(x), x.numel(), x.detach().numpy(), bits.numpy(), plain.numpy())
    return bits if plain[0] else None


def affine_block(
    xs: Tensor, weight: Tensor, bias: Tensor | None, state: State, c: Coefficients, rule: Rule
) -> tuple[Tensor, State]:
    """A Linear and the neuron behind it; no gradient.

    Args:
        xs: (T, B, in).
        weight: (out, in).
        bias: (out,).
        state: the neuron's state.
        c: its coefficients.
        rule: its options.

    Returns:
        (spikes (T, B, out), the neuron's state).
    """
    from .numba_affine import affine
    from .numba_events import TILE

    x = xs.detach().contiguous()
    steps, batch = x.shape[:2]
    w, tiled = _in_tiles(weight, steps * batch)
    outs = len(weight)
    b = x.new_zeros(outs) if bias is None else bias.detach().contiguous()
    v = copied(state[-1].detach().contiguous())
    i = copied(state[0].detach().contiguous()) if rule.synapse else v
    loop, numbers = called(in_place(rule), x)
    y = x.new_empty(steps, batch, outs)
    # With fewer samples than threads, the neurons of a sample are shared out, in whole tiles;
    # with more, samples of few neurons are worked side by side.
    threads, tile = torch.get_num_threads(), TILE // x.element_size()
    part = max(1, outs if batch >= threads else -(-outs // (2 * threads * tile)) * tile)
    parts = -(-outs // part)
    group = max(1, min(WIDE // max(1, outs), batch // (threads * PIECES)))
    share(
        affine,
        -(-batch // group) * parts,
        steps * batch * (x.shape[2] + 16 * outs),
        group,
        parts,
        part,
        x.numpy(),
        w.numpy(),
        tiled,
        b.numpy(),
        i.data_ptr(),
        (v.data_ptr() - i.data_ptr()) // x.element_size(),
        c.laid(torch.Size((outs,)), False).numpy(),
        y.numpy(),
        loop,
        numbers.data_ptr(),
    )
    return y, ((i, v) if rule.synapse else (v,))
