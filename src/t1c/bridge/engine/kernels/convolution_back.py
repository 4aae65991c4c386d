"""Back through a convolution and the norm behind it: the gradients of its input and its weight."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from .convolution import Convolution
from .crossing import crossing
from .events import packed, unpacked
from .layout import flat, unflat
from .threads import PIECES, share
from .trained_parts import Trained

COLUMNS = 64
"""Outputs whose gradients are added up together: what fits the registers."""
SAMPLE = (2, 4)
"""Steps and samples on which the ways of taking a weight's gradient are timed."""


def through_convolution(
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
