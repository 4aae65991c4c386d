"""A convolution over what fires, and what stands behind it, as one loop on a CPU.

A zero input contributes nothing here, even to a weight that is not finite, where a product would
give NaN: callers make sure that weights are finite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .generated.neuron import in_place
from .generated.scan import called
from .layout import copied, flat, unflat
from .rule import Rule
from .scan import Coefficients, State
from .threads import PIECES
from .weights import by_place

WINDOW = 64
"""Elements of a kernel of which one word tells which are active."""
BAND_BYTES = 2**17
"""Membranes of a band of rows that stay in the second-level cache, with what else there is."""
TILE_BYTES = 2**19
"""Weights of a convolution that stay in the second-level cache."""


@dataclass(frozen=True)
class Convolution:
    """A convolution in one group, and the maps it is between.

    Attributes:
        inputs: (C, H, W) of the input.
        outputs: (C, H, W) of the output.
        kernel: rows and columns of the kernel.
        stride: of its steps.
        padding: zeros above and to the left.
        dilation: of its elements.
        line: the maps are of one row, and values (T, B, C, W).
    """

    inputs: tuple[int, int, int]
    outputs: tuple[int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    line: bool = False

    @property
    def entering(self) -> tuple[int, ...]:
        """The features of the input."""
        return (self.inputs[0], self.inputs[2]) if self.line else self.inputs

    @property
    def leaving(self) -> tuple[int, ...]:
        """The features of the output."""
        return (self.outputs[0], self.outputs[2]) if self.line else self.outputs


@dataclass(frozen=True)
class Pool:
    """Windows without padding that all lie within the map.

    Attributes:
        kind: 'max' or 'mean'.
        window: rows and columns of a window.
        stride: from one to the next.
        outputs: (C, H, W) of what comes out.
    """

    kind: str
    window: tuple[int, int]
    stride: tuple[int, int]
    outputs: tuple[int, int, int]


@dataclass(frozen=True)
class Behind:
    """What follows a convolution, each if it is there, in this order.

    Between ``norm`` and ``neuron`` may be added what comes another way.

    Attributes:
        norm: (2, out): by what each channel is multiplied, and what is added then; (T, 2, out) of
            each step.
        neuron: its coefficients and options.
        pool: windows.
    """

    norm: Tensor | None = None
    neuron: tuple[Coefficients, Rule] | None = None
    pool: Pool | None = None


@dataclass(frozen=True)
class PlacedWeight:
    """A convolution's weight and bias as the loop takes them.

    Attributes:
        weight: flat; see ``by_place``.
        bias: (out,).
        tile: outputs that are worked together.
        ordered: sums are taken channel by channel, each row by row, and not place by place; for
            kernels of at most ``WINDOW`` elements.
    """

    weight: Tensor
    bias: Tensor
    tile: int
    ordered: bool


def placed(weight: Tensor, bias: Tensor | None, ordered: bool = False) -> PlacedWeight:
    """Lay a weight (out, in, *kernel) and a bias out."""
    tile = _tile(weight)
    b = weight.detach().new_zeros(len(weight)) if bias is None else bias.detach().contiguous()
    return PlacedWeight(by_place(weight, tile, ordered), b, tile, ordered)


class ConvolutionLoop:
    """A convolution and what is behind it, with all that stays the same from call to call.

    Args:
        shape: what convolves.
        behind: what follows.
        batch: samples.
        like: a tensor of the dtype of all values.
    """

    def __init__(self, shape: Convolution, behind: Behind, batch: int, like: Tensor) -> None:
        from .native import FREE
        from .numba_convolution import MAX, MEAN, NO_POOL, block_kernel

        self.shape, self.behind, self.batch = shape, behind, batch
        outs, rows, columns = shape.outputs
        pool, neuron = behind.pool, behind.neuron
        self.left = pool.outputs if pool is not None else shape.leaving
        self._like = like.detach().new_empty(0)
        self._alive: list[Tensor] = []
        coefficients: Tensor | None = None
        self._synapse, loop, numbers, period = False, 0, 0, 1
        if neuron is not None:
            laid, rule = neuron
            self._synapse = rule.synapse
            loop, own = called(in_place(rule), like)
            numbers = self._at(own)
            coefficients = laid.laid(torch.Size(shape.leaving), True)
            period = coefficients.shape[1]
        norm = None if behind.norm is None else behind.norm.detach().contiguous()
        self._kernel = block_kernel(_KINDS[like.dtype])
        element = like.element_size()
        self._bands = [_bands(batch, shape, pool, element, known) for known in (False, True)]
        self._cost = 4 * batch * outs * rows * columns
        geometry = (rows, columns, outs, *shape.kernel, *shape.stride, *shape.padding)
        windows = (*pool.window, *pool.stride, *pool.outputs[1:]) if pool else (0,) * 6
        kind = NO_POOL if pool is None else MAX if pool.kind == "max" else MEAN
        options = (loop, numbers, self._synapse, kind, period)
        self._head = [0] * FREE
        self._options = [int(option) for option in options]
        self._fixed = [self._at(norm), self._at(coefficients)]
        self._norm_steps = len(norm) if norm is not None and norm.ndim == 3 else 1
        self._geometry = [*geometry, *shape.dilation, *shape.inputs, *windows]

    def _at(self, x: Tensor | None) -> int:
        """Where a tensor lies that stays; 0 if there is none."""
        self._alive += [] if x is None else [x]
        return _address(x)

    def gathered(
        self, xs: Tensor, placed: PlacedWeight, beside: Tensor | None, state: State
    ) -> tuple[Tensor, State]:
        """Work what fires.

        Args:
            xs: (T, B, C, H, W), or (T, B, C, W).
            placed: weight and bias.
            beside: (T, B, out, rows, columns): what comes another way and is added.
            state: of the neuron; from rest if it is empty.

        Returns:
            (what comes out (T, B, C', H', W'), the neuron's state, () without one).
        """
        x = flat(xs.detach(), True)
        arrays = x.data_ptr(), placed.weight.data_ptr(), placed.bias.data_ptr(), 0
        return self._work(len(xs), 1, placed.tile, placed.ordered, arrays, beside, state)

    def behind_sums(
        self, sums: Tensor, steps: int, beside: Tensor | None, state: State
    ) -> tuple[Tensor, State]:
        """Work what is behind sums that are known.

        Args:
            sums: (T, B, out, rows, columns), or (1, B, ...) if they are the same at every step.
            steps: T.
            beside: as in ``gathered``.
            state: likewise.
        """
        given = flat(sums.detach(), True)
        arrays = 0, 0, 0, given.data_ptr()
        return self._work(steps, len(given), self.shape.outputs[0], False, arrays, beside, state)

    def _work(
        self,
        steps: int,
        given_steps: int,
        tile: int,
        ordered: bool,
        arrays: tuple[int, int, int, int],
        beside: Tensor | None,
        state: State,
    ) -> tuple[Tensor, State]:
        from .native import share_out

        batch, left, like = self.batch, self.left, self._like
        added = None if beside is None else flat(beside.detach(), True)
        y = like.new_empty(steps, batch, math.prod(left))
        v = i = None
        if self.behind.neuron is not None:
            v = self._membranes(state[-1] if state else None)
            i = self._membranes(state[0] if state else None) if self._synapse else None
        loop, numbers, synapse, pooling, period = self._options
        bands = self._bands[arrays[3] != 0]
        norm, coefficients = self._fixed
        table = np.array(
            [
                *self._head, steps, batch, bands, tile, ordered, loop, numbers, synapse, pooling,
                period, given_steps, self._norm_steps, *arrays, norm, _address(added), _address(v),
                _address(i), coefficients, y.data_ptr(), *self._geometry,
            ],
            np.int64,
        )  # fmt: skip
        pieces = batch * bands * -(-self.shape.outputs[0] // tile)
        share_out(self._kernel, table, pieces, steps * self._cost)
        out = unflat(y, torch.Size((steps, batch, *left)), True)
        if v is None:
            return out, ()
        laid = torch.Size((1, batch, *self.shape.leaving))
        own = [v] if i is None else [i, v]
        return out, tuple(unflat(part.view(1, -1), laid, True)[0] for part in own)

    def _membranes(self, before: Tensor | None) -> Tensor:
        """A copy of what a neuron carries, (B, N) channels last; zeros from rest."""
        if before is None:
            return torch.zeros(self.batch, math.prod(self.shape.leaving), dtype=self._like.dtype)
        return copied(flat(before.detach().unsqueeze(0), True))


_KINDS: dict[torch.dtype, type] = {torch.float32: np.float32, torch.float64: np.float64}


def _address(x: Tensor | None) -> int:
    return 0 if x is None else x.data_ptr()


def _tile(weight: Tensor) -> int:
    """How many outputs are worked together, so that their weights stay in the cache."""
    outs = len(weight)
    fitting = TILE_BYTES // max(1, weight[0].numel() * weight.element_size())
    return outs if fitting >= outs else max(32, fitting // 32 * 32)


def _bands(batch: int, shape: Convolution, pool: Pool | None, size: int, sums_known: bool) -> int:
    """Into how many bands of rows each sample is cut.

    So that all threads have work, and that the membranes of a band, which walks through all steps,
    stay in the second-level cache. What convolves looks at rows of its neighbours too, so that its
    bands are not narrow.
    """
    if pool is not None and pool.window[0] > pool.stride[0]:
        return 1
    outs, high, columns = shape.outputs
    rows = pool.outputs[1] if pool is not None else high
    shared = -(-torch.get_num_threads() * PIECES // batch)
    cached = -(-outs * high * columns * size // BAND_BYTES)
    if not sums_known:
        cached = min(cached, high // (4 * shape.kernel[0]))
    return min(rows, max(shared, cached))
