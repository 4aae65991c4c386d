"""A dense product of few rows of input, as a function of tensors on a CPU."""

from __future__ import annotations

from torch import Tensor, nn

from .threads import share

FEWEST, MOST = 3, 32
"""Rows for which reading a weight as it lies is faster than what libraries do."""
WORTH = 2**20
"""Elements of a weight from which on that outweighs laying the rows out."""


def serves(rows: int, weight: Tensor) -> bool:
    """Whether ``product`` is fast for so many rows of input."""
    return FEWEST <= rows <= MOST and weight.numel() >= WORTH and weight.is_contiguous()


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``x @ weight.T + bias`` (M, out) for ``x`` (M, in) and a contiguous ``weight`` (out, in).

    Every input counts, zeros too, as in torch. No gradient flows back.
    """
    from .numba_few_rows import OUTS, add_products

    x, weight = x.detach(), weight.detach()
    (rows, inputs), outs = x.shape, len(weight)
    lanes = 8 if rows <= 8 else 16
    groups = -(-rows // lanes)
    whole = nn.functional.pad(x, (0, 0, 0, groups * lanes - rows))
    columns = whole.view(groups, lanes, inputs).transpose(1, 2).contiguous()
    y = x.new_zeros(groups, outs, lanes)
    if bias is not None:
        y += bias.detach().unsqueeze(1)
    work = weight.numel() * groups
    share(add_products, outs, work, columns.numpy(), weight.numpy(), y.numpy(), multiple=OUTS)
    return y.transpose(1, 2).reshape(groups * lanes, outs)[:rows]
