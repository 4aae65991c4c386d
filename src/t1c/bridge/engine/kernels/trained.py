"""A convolution and the norm, neuron and pool behind it, in training: one function, one gradient.

All that is kept of it are the convolution's sums, and its input as bits where it is of spikes. What
lies between is computed again, patch by patch, on the way back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .arithmetic import SURROGATES, constants
from .convolution import Behind, Convolution, ConvolutionLoop, Pool, placed
from .crossing import crossing
from .events import packed, unpacked
from .layout import flat, unflat
from .rule import COEFFICIENTS, Rule, compiled_for
from .scan import Coefficients, State, reduced
from .threads import PIECES, share

PATCH, LEAST, ROOM = 512, 64, 2**16
"""Elements that are walked through time together: as few as stay in the caches, and how many of all
steps that is."""
COLUMNS = 64
"""Outputs whose gradients are added up together: what fits the registers."""
SAMPLE = (2, 4)
"""Steps and samples on which the ways of taking a weight's gradient are timed."""


@dataclass(frozen=True)
class Norm:
    """A batch norm: y = (x - mean) / sqrt(var + eps) * weight + bias.

    Attributes:
        eps: what is added to the variance.
        groups: into how many groups of steps, one after another, each with statistics of its own,
            all steps are cut; 0: statistics are given.
        mean: what is given (out,).
        var: likewise.
    """

    eps: float
    groups: int
    mean: Tensor
    var: Tensor

    def moments(self, z: Tensor, outs: int) -> tuple[Tensor, Tensor]:
        """Mean and variance (groups, out) in float64, of sums (T, B, map)."""
        if not self.groups:
            return self.mean.double()[None], self.var.double()[None]
        from .numba_moments import moments

        x = z.detach().view(self.groups, -1, outs)
        parts = -(-torch.get_num_threads() * PIECES // self.groups)
        parts = max(1, min(parts, x.shape[1]))
        found = np.empty((self.groups, parts, 2, outs))
        share(moments, self.groups * parts, 2 * x.numel(), parts, x.numpy(), found)
        pixels = x.shape[1]
        sizes = np.diff(pixels * np.arange(parts + 1) // parts)[:, None]
        mean = (found[:, :, 0] * sizes).sum(1) / pixels
        apart = (found[:, :, 0] - mean[:, None]) ** 2 * sizes
        var = (found[:, :, 1].sum(1) + apart.sum(1)) / pixels
        return torch.from_numpy(mean), torch.from_numpy(var)

    def factors(
        self, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None
    ) -> Tensor:
        """By what each channel is multiplied, and what is added then: (groups, 2, out)."""
        factor = 1 / torch.sqrt(var + self.eps)
        if weight is not None:
            factor = factor * weight.detach().double()
        shift = -mean * factor
        if bias is not None:
            shift = shift + bias.detach().double()
        return torch.stack([factor, shift], 1)

    def back(
        self,
        mean: Tensor,
        factor: Tensor,
        inverse: Tensor,
        g: Tensor,
        gx: Tensor,
        size: int,
        dtype: torch.dtype,
    ) -> Tensor:
        """The norm backwards, of x and the gradients g of what it gives.

        Args:
            mean: (groups, out), of x.
            factor: likewise, by what x is multiplied.
            inverse: likewise, 1 / sqrt(var + eps).
            g: likewise, sums of g.
            gx: likewise, of g (x - mean) / sqrt(var + eps).
            size: how many elements x has.
            dtype: of what is returned.

        Returns:
            (groups, 4, out): a, m, b and c such that a g + (b (x - m) + c) is the gradient of x.
        """
        centre = mean.to(dtype)
        slope = rest = torch.zeros_like(mean)
        if self.groups:
            count = size // mean.numel()
            slope = -factor * inverse * gx / count
            # The centre is the mean in another dtype.
            rest = slope * (centre.double() - mean) - factor * g / count
        return torch.stack([factor.to(dtype), centre, slope.to(dtype), rest.to(dtype)], 1)


@dataclass(frozen=True)
class Trained:
    """What is worked as one.

    Attributes:
        shape: of the convolution.
        groups: into which its channels are cut.
        dense: the convolution of a sequence by torch.
        gathers: whether active inputs are added up instead.
        events: whether they are for the gradient of the weight; None: where that is faster.
        density: of the input.
        norm: behind it.
        c: the neuron's coefficients.
        rule: its options.
        pool: behind the neuron.
    """

    shape: Convolution
    groups: int
    dense: Callable[[Tensor], Tensor]
    gathers: bool
    events: bool | None
    density: float
    norm: Norm | None
    c: Coefficients
    rule: Rule
    pool: Pool | None


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
            inverse = 1 / torch.sqrt(var + norm.eps)
            gx = deviating * inverse
            fold = norm.back(mean, factors[:, 0], inverse, given, gx, z.numel(), z.dtype)
            g_scale = gx.sum(0)
            # A norm that takes away the mean gives nothing to what is added to all.
            g_bias = g_bias * 0 if norm.groups else g_bias * factors[0, 0]
        events = bits is not None and block.groups == 1 and math.isfinite(float(given.sum()))
        gxs, gw = _through_convolution(
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
    from .numba_trained import behind_kernel

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
    gv, v0 = to_flat(grads[2]), to_flat(v)
    gi, i0 = (to_flat(grads[1]), to_flat(i)) if rule.synapse else (gv, v0)
    windows = (*pool.window, *pool.stride, *pool.outputs[1:]) if pool is not None else (1,) * 6
    bands = pool.outputs[1] if pool is not None else rows
    above, aside = max(windows[0], windows[2]), max(windows[1], windows[3])
    patch = max(LEAST, min(PATCH, ROOM // steps))
    tile = min(outs, max(16, patch // (above * aside) // 16 * 16))
    groups = len(mean) if factors is not None else 1
    gy = torch.empty_like(z)
    gc = z.new_zeros((len(COEFFICIENTS), v0.numel()) if learning else (1, 1))
    summed = np.zeros((batch * bands, groups, 2, outs))
    none = z.new_empty(0, 0, 0)
    share(
        behind_kernel(*compiled_for(rule)),
        batch * bands,
        16 * z.numel(),
        bands,
        tile,
        max(1, patch // (above * aside * tile)),
        rule.strict,
        rule.synapse,
        SURROGATES.index(rule.surrogate.name),
        rule.detach_reset,
        learning,
        z.numpy(),
        (none if factors is None else factors.to(z.dtype)).numpy(),
        mean.to(z.dtype).numpy(),
        rows,
        columns,
        outs,
        i0.numpy(),
        v0.numpy(),
        block.c.laid(torch.Size(shape.leaving), True).numpy(),
        NO_POOL if pool is None else MAX if pool.kind == "max" else MEAN,
        np.array(windows, np.int64),
        flat(g, True).view(steps, batch, -1).numpy(),
        gi.numpy(),
        gv.numpy(),
        gy.numpy(),
        gc.numpy(),
        summed,
        constants(rule.surrogate, z.dtype),
    )
    given, deviating = torch.from_numpy(summed.sum(0)).unbind(1)
    if factors is not None:
        # The kernel's centre is the mean in its own dtype.
        deviating = deviating + (mean.to(z.dtype).double() - mean) * given

    def back(x: Tensor) -> Tensor:
        return unflat(x.view(1, -1), features, True)[0]

    rows_of = [back(row) for row in gc] if learning else [gc] * len(COEFFICIENTS)
    return gy, (back(gi) if rule.synapse else None), back(gv), rows_of, given, deviating


def _through_convolution(
    gy: Tensor,
    z: Tensor,
    fold: Tensor | None,
    given: tuple[Tensor | None, Tensor | None],
    weight: Tensor,
    block: Trained,
    size: torch.Size,
    wanted: tuple[bool, ...],
    events: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """Back through the norm and the convolution.

    Args:
        gy: gradients of what the norm gives (T, B, map); those of the sums afterwards.
        z: the sums.
        fold: the norm backwards, if there is one; see ``Norm.back``.
        given: the input, or its bits.
        weight: of the convolution.
        block: what is worked.
        size: of the input.
        wanted: gradients of the input and of the weight.
        events: the latter may be added up where inputs fired.

    Returns:
        Both gradients.
    """
    x, bits = given
    if not any(wanted[:2]):
        return None, None
    gw = None
    by_events = wanted[1] and events and _by_events(block, weight, z.dtype)
    if by_events:
        assert bits is not None
        gw = _added_up(gy, z, fold, bits, weight, block.shape, wanted[0])
    elif fold is not None:
        _added_up(gy, z, fold, None, weight, block.shape, True)
    masked = wanted[0], wanted[1] and not by_events
    if not any(masked):
        return None, gw
    if masked[1] and x is None:
        assert bits is not None
        plain = torch.Size((*size[:2], *size[3:], size[2]))
        x = unpacked(bits, size[2], gy.dtype).view(plain).movedim(-1, 2)
    gz = unflat(gy.view(len(gy), -1), torch.Size((*size[:2], *block.shape.leaving)), True)
    gx, dense = _by_torch(gz, x, weight, block, size, masked)
    return gx, gw if by_events else dense


def _by_torch(
    gz: Tensor,
    x: Tensor | None,
    weight: Tensor,
    block: Trained,
    size: torch.Size,
    masked: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of a convolution's input and weight, dense."""
    shape = block.shape
    if x is None:
        # Only its shape, and how it lies, counts.
        x = gz.new_empty(*size[:2], *size[3:], size[2]).movedim(-1, 2)
    # Of lines the second axis alone is there.
    axis = 1 if shape.line else 0
    options = [list(pair[axis:]) for pair in (shape.stride, shape.padding, shape.dilation)]
    gx, gw, _ = torch.ops.aten.convolution_backward(
        gz.flatten(0, 1),
        x.flatten(0, 1),
        weight,
        None,
        *options,
        False,
        [0] * len(options[0]),
        block.groups,
        [*masked, False],
    )
    return (gx.view(size) if masked[0] else None), (gw if masked[1] else None)


def _added_up(
    gy: Tensor,
    z: Tensor,
    fold: Tensor | None,
    bits: Tensor | None,
    weight: Tensor,
    shape: Convolution,
    writes: bool,
) -> Tensor | None:
    """The gradient of a weight, added up where its input fired.

    Args:
        gy: as of ``_through_convolution``.
        z: likewise.
        fold: likewise.
        bits: of the input; None: only the norm is taken back.
        weight: whose gradient.
        shape: of the convolution.
        writes: gradients of the sums are left in ``gy``.
    """
    from .numba_convolution_gradient import convolution_gradient

    outs, rows, columns = shape.outputs
    samples, adds = gy.shape[0] * gy.shape[1], bits is not None
    tile = min(outs, COLUMNS)
    tiles = -(-outs // tile)
    parts = max(1, min(samples, torch.get_num_threads() * PIECES // tiles))
    gw = gy.new_empty(parts, weight.numel() if adds else 0)
    geometry = (rows, columns, outs, *shape.kernel, *shape.stride, *shape.padding, *shape.dilation)
    share(
        convolution_gradient,
        parts * tiles,
        4 * gy.numel(),
        tile,
        parts,
        writes and fold is not None,
        adds,
        (gy.new_empty(1, 1, dtype=torch.uint8) if bits is None else bits).numpy(),
        gy.view(samples, -1).numpy(),
        z.view(samples, -1).numpy(),
        (gy.new_empty(0, 4, outs) if fold is None else fold).numpy(),
        np.array((*geometry, *shape.inputs), np.int64),
        gw.numpy(),
    )
    if not adds:
        return None
    found, laid = torch.empty_like(weight, memory_format=torch.contiguous_format), gw.sum(0)
    row = weight[0].numel()
    for begin in range(0, outs, tile):
        # Places of the kernel, inputs, outputs.
        part = found[begin : begin + tile].flatten(2)
        own = laid[begin * row :][: part.numel()].view(part.shape[2], part.shape[1], -1)
        part.copy_(own.permute(2, 1, 0))
    return found


def _by_events(block: Trained, weight: Tensor, dtype: torch.dtype) -> bool:
    """Whether adding up is the faster way for the gradient of a weight."""
    if block.events is not None:
        return block.events
    shape = block.shape
    size = torch.Size((*SAMPLE, *shape.entering))

    def ones(z: Tensor) -> Tensor:
        return z.new_ones(*SAMPLE, math.prod(shape.outputs))

    def sparse(z: Tensor) -> object:
        bits = packed(flat(unflat(z.flatten(1), size, True), True).view(-1, shape.inputs[0]))
        g = ones(z)
        return _added_up(g, g, None, bits, weight, shape, False)

    def dense(z: Tensor) -> object:
        x = unflat(z.flatten(1), size, True)
        g = unflat(ones(z).flatten(1), torch.Size((*SAMPLE, *shape.leaving)), True)
        return _by_torch(g, x, weight, block, size, (False, True))

    limit = crossing(f"gradient of a convolution {shape}", tuple(size), dtype, dense, sparse)
    return block.density < limit
