"""A convolution and the norm, neuron and pool behind it, in training: one function, one gradient.

All that is kept of it are the convolution's sums, and its input as bits where it is of spikes. What
lies between is computed again, patch by patch, on the way back.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .convolution import Behind, ConvolutionLoop, placed
from .convolution_back import through_convolution
from .events import packed
from .generated.gradient import backward
from .generated.loop import Loop
from .generated.neuron import loop_of
from .generated.scan import called
from .layout import flat, reduced, unflat
from .rule import COEFFICIENTS, Rule
from .scan import State
from .threads import share
from .trained_parts import Trained

PATCH, LEAST, ROOM = 512, 64, 2**16
"""Elements that are walked through time together: as few as stay in the caches, and how many of all
steps that is."""


def train(
    xs: Tensor,
    layer: tuple[Tensor, Tensor | None],
    affine: tuple[Tensor | None, Tensor | None],
    state: State,
    block: Trained,
) -> tuple[Tensor, State, tuple[Tensor, Tensor] | None]:
    """All steps of a block, differentiable once.

    Args:
        xs: (T, B, C, H, W), or (T, B, C, W).
        layer: weight and bias of the convolution.
        affine: weight and bias of the norm.
        state: the neuron's.
        block: what is worked.

    Returns:
        (what comes out, the neuron's state after the last step, mean and variance (groups, out) of
        the norm if it took them).
    """
    i = state[0] if block.rule.synapse else None
    y, i, v, mean, var = _Trained.apply(  # type: ignore[no-untyped-call]
        xs, *layer, *affine, i, state[-1], block, *block.c.tensors
    )
    taken = (mean, var) if block.norm is not None and block.norm.groups else None
    return y, ((v,) if i is None else (i, v)), taken


class _Trained(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        xs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        scale: Tensor | None,
        offset: Tensor | None,
        i: Tensor | None,
        v: Tensor,
        block: Trained,
        *coefficients: Tensor,
    ) -> Any:
        shape, norm = block.shape, block.norm
        x = unflat(flat(xs.detach(), True), xs.shape, True)
        if block.gathers:
            loop = ConvolutionLoop(shape, Behind(), x.shape[1], x)
            sums = loop.gathered(x, placed(weight, bias), None, ())[0]
        else:
            sums = block.dense(x)
        z = flat(sums, True).view(*xs.shape[:2], -1)
        mean = var = xs.new_empty(0, shape.outputs[0], dtype=torch.float64)
        factors = None
        if norm is not None:
            mean, var = norm.moments(z, shape.outputs[0])
            factors = norm.factors(mean, var, scale, offset)
        state = (v,) if i is None else (i, v)
        by_step = None if factors is None else factors.to(xs.dtype)
        behind = Behind(by_step, (block.c, block.rule), block.pool)
        loop = ConvolutionLoop(shape, behind, xs.shape[1], xs)
        y, after = loop.behind_sums(unflat(z, sums.shape, True), len(xs), None, state)
        kept = bits = None
        if ctx.needs_input_grad[1]:
            # Spikes are kept as bits.
            bits = packed(flat(x, True).view(-1, xs.shape[2]))
            kept = xs if bits is None else None
        ctx.save_for_backward(kept, bits, weight, z, mean, var, factors, i, v, *coefficients)
        ctx.block, ctx.size = block, xs.shape
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(mean, var)
        return y, (after[0] if i is not None else None), after[-1], mean, var

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, g: Tensor | None, g_i: Tensor | None, g_v: Tensor | None, *_: None
    ) -> Any:
        x, bits, weight, z, mean, var, factors, i, v, *coefficients = ctx.saved_tensors
        block, wanted = ctx.block, ctx.needs_input_grad
        norm, learning = block.norm, any(wanted[8:])
        gy, gi, gv, gc, given, deviating = _through_behind(
            (g, g_i, g_v), z, (i, v), block, mean, factors, learning
        )
        g_scale = g_offset = g_bias = given.sum(0)
        fold = None
        if norm is not None:
            inverse = torch.rsqrt(var + norm.eps)
            gx = deviating * inverse
            fold = norm.back(mean, factors[:, 0], inverse, given, gx, z.numel(), z.dtype)
            g_scale = gx.sum(0)
            # A norm that takes away the mean gives nothing to what is added to all.
            g_bias = g_bias * 0 if norm.groups else g_bias * factors[0, 0]
        events = bits is not None and block.groups == 1 and math.isfinite(float(given.sum()))
        gxs, gw = through_convolution(
            gy, z, fold, (x, bits), weight, block, ctx.size, wanted, events
        )
        of = gy.dtype
        sums = [
            own.to(of) if needed else None
            for own, needed in zip((g_bias, g_scale, g_offset), wanted[2:5], strict=True)
        ]
        learnt = [
            reduced(own, tensor) if needed else None
            for own, tensor, needed in zip(gc, coefficients, wanted[8:], strict=True)
        ]
        return gxs, gw, *sums, gi, gv, None, *learnt


def _through_behind(
    grads: tuple[Tensor | None, Tensor | None, Tensor | None],
    z: Tensor,
    state: tuple[Tensor | None, Tensor],
    block: Trained,
    mean: Tensor,
    factors: Tensor | None,
    learning: bool,
) -> tuple[Tensor, Tensor | None, Tensor, list[Tensor], Tensor, Tensor]:
    """Back through pool and neuron.

    Args:
        grads: of what came out, and of i and v after the last step.
        z: the convolution's sums (T, B, map).
        state: i and v before the first step.
        block: what is worked.
        mean: (groups, out), that of the norm.
        factors: (groups, 2, out), of the norm.
        learning: gradients of coefficients are wanted.

    Returns:
        Gradients of what the neuron is given (T, B, map), of i, of v, and of coefficients
        (B, *features); and of each group and channel the sum of the first, and that of its products
        with deviations from the mean.
    """
    from .numba_convolution import MAX, MEAN, NO_POOL
    from .numba_trained import behind

    (i, v), rule, pool, shape = state, block.rule, block.pool, block.shape
    steps, batch = z.shape[:2]
    outs, rows, columns = shape.outputs
    left = pool.outputs if pool is not None else shape.leaving
    features = torch.Size((1, batch, *shape.leaving))

    def to_flat(x: Tensor | None) -> Tensor:
        """What belongs to a state, as a copy."""
        x = z.new_zeros(features) if x is None else x.detach().reshape(features)
        return flat(x, True).view(batch, -1).clone()

    g = z.new_zeros(1).expand(steps, batch, *left) if grads[0] is None else grads[0]
    kept = [(grads[2], v)] if i is None else [(grads[1], i), (grads[2], v)]
    g_state = torch.stack([to_flat(own) for own, _ in kept])
    before = torch.stack([to_flat(own) for _, own in kept])
    forth, back_again, places = loops_of(rule, learning, pool is not None and pool.kind == "max")
    (loop, numbers), (loop_back, numbers_back) = called(forth, z), called(back_again, z)
    windows = (*pool.window, *pool.stride, *pool.outputs[1:]) if pool is not None else (1,) * 6
    bands = pool.outputs[1] if pool is not None else rows
    above, aside = max(windows[0], windows[2]), max(windows[1], windows[3])
    patch = max(LEAST, min(PATCH, ROOM // steps))
    tile = min(outs, max(16, patch // (above * aside) // 16 * 16))
    groups = len(mean) if factors is not None else 1
    gy = torch.empty_like(z)
    gc = z.new_zeros((len(COEFFICIENTS), before[0].numel()) if learning else (1, 1))
    summed = np.zeros((batch * bands, groups, 2, outs))
    none = z.new_empty(0, 0, 0)
    share(
        behind,
        batch * bands,
        16 * z.numel(),
        bands,
        tile,
        max(1, patch // (above * aside * tile)),
        z.numpy(),
        (none if factors is None else factors.to(z.dtype)).numpy(),
        mean.to(z.dtype).numpy(),
        rows,
        columns,
        outs,
        before.numpy(),
        block.c.laid(torch.Size(shape.leaving), True).numpy(),
        NO_POOL if pool is None else MAX if pool.kind == "max" else MEAN,
        np.array(windows, np.int64),
        flat(g, True).view(steps, batch, -1).numpy(),
        g_state.numpy(),
        gy.numpy(),
        gc.numpy(),
        summed,
        np.array([loop, loop_back], np.int64),
        np.array(places, np.int64),
        numbers.numpy(),
        numbers_back.numpy(),
    )
    given, deviating = torch.from_numpy(summed.sum(0)).unbind(1)
    if factors is not None:
        # The kernel's centre is the mean in its own dtype.
        deviating = deviating + (mean.to(z.dtype).double() - mean) * given

    def back(x: Tensor) -> Tensor:
        return unflat(x.view(1, -1), features, True)[0]

    rows_of = [back(row) for row in gc] if learning else [gc] * len(COEFFICIENTS)
    gi = None if i is None else back(g_state[0])
    return gy, gi, back(g_state[-1]), rows_of, given, deviating


@functools.lru_cache(maxsize=1024)
def loops_of(rule: Rule, learning: bool, fired: bool) -> tuple[Loop, Loop, tuple[int, ...]]:
    """What ``numba_trained.behind`` is told of a neuron.

    Args:
        rule: the neuron's options.
        learning: gradients of coefficients are wanted.
        fired: its spikes are, for the pool behind it.

    Returns:
        (the loop that writes what the one back needs, the one back, which rows they take).
    """
    from .numba_trained import GRADS, INPUTS, OWN

    loop = loop_of(rule)
    back = backward(loop, (0,), range(len(COEFFICIENTS)) if learning else ())
    (sent,), read = loop.writes, loop.leaves("read")[0]
    written = [place for place in back.kept if place != read]
    if fired and sent not in written:
        written.append(sent)
    row = {read: INPUTS, **{place: OWN + n for n, place in enumerate(written)}}
    rows = [*(row[place] for place in back.kept), GRADS]
    places = (
        len(written),
        written.index(sent) if fired else -1,
        *(rows[n] for n in back.loop.reads),
    )
    return Loop(loop.entries, tuple(written), loop.carried).pruned(), back.loop, places
