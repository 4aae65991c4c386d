"""What is trained as one: a convolution, and the norm, neuron and pool behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .convolution import Convolution, Pool
from .rule import Rule
from .scan import Coefficients
from .threads import PIECES, share


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
        factor = torch.rsqrt(var + self.eps)
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
