"""Gradients of a batch in shards: the same bits, in however many processes the shards are worked.

An all-reduce adds up in an order that depends on the number of processes (ranks), and so a network
trained by four of them is another one than that trained by two. Here the order is written down: the
sums of a batch of ``2**k`` shards are those of a binary tree over the shards. A rank works a
subtree, and the ranks' sums are added up in the order of the tree above.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parallel import DistributedDataParallel

from t1c.ir.errors import InputError, Problem, UnsupportedError

from .engine.kernels.crossing import unmeasured

BUCKET = 2**22
"""Numbers that are sent to the other ranks at once."""

WIDE = 2**63
"""What a seed of torch's generator is below."""


def backward_in_shards(
    module: nn.Module,
    loss_of: Callable[[int], Tensor],
    shards: int,
    *,
    seed: int | None = None,
    group: Any = None,
) -> Tensor:
    """Add the gradients of a batch's mean loss to ``.grad``: in one order, on any number of ranks.

    Every rank calls it, and each works its part of the shards, one after the other: with one rank
    all of them, without ``torch.distributed`` too. All ranks then hold the same gradients, and an
    optimizer that takes the same steps everywhere keeps them alike. The number of ranks may change
    from call to call, or from one start of the training to the next, without changing a bit.

    That is promised for the same shards on processors of one kind, with the same number of threads
    in each process (``torch.set_num_threads``) and the same versions, for modules whose forward
    writes to nothing.

    Args:
        module: whose parameters learn: an executor, a model that holds some, or a
            ``DistributedDataParallel`` of one, which then adds up nothing itself.
        loss_of: the loss of one shard, by its number: a mean over its samples, so that the mean
            over shards of equal size is the mean over the batch.
        shards: of the whole batch; a power of two.
        seed: for ``Dropout`` and whatever else draws from torch's generator, which starts anew
            for each shard; give another one at every step. None: nothing may draw.
        group: of ``torch.distributed``; None is all ranks.

    Returns:
        The mean loss over all shards, without a gradient; the same bits on all ranks.

    Raises:
        InputError: the shards or the ranks are no power of two, or there are fewer shards than
            ranks.
        UnsupportedError: a norm moves its statistics, which shards would move one after the other;
            something draws random numbers and has no seed; or parameters are in parts.

    Example:
        >>> net = nn.Linear(3, 2)
        >>> x = torch.ones(8, 3)
        >>> loss = backward_in_shards(net, lambda k: net(x[2 * k : 2 * k + 2]).square().mean(), 4)
        >>> net.weight.grad.shape
        torch.Size([2, 3])
    """
    alone = not (dist.is_available() and dist.is_initialized())
    ranks = 1 if alone else dist.get_world_size(group)
    rank = 0 if alone else dist.get_rank(group)
    _check(module, shards, ranks, seed)
    learning = [p for p in module.parameters() if p.requires_grad]
    own = shards // ranks

    def worked(shard: int) -> list[Tensor]:
        return _gradients(loss_of(shard), learning)

    with ExitStack() as stack:
        stack.enter_context(unmeasured())
        if isinstance(module, DistributedDataParallel):
            stack.enter_context(module.no_sync())
        numbers = range(rank * own, (rank + 1) * own)
        sums = _tree(_seeded(worked, shard, seed) for shard in numbers)
    if ranks > 1:
        sums = list(_over_ranks(sums, ranks, group))
    *grads, loss = (total / shards for total in sums)
    for parameter, grad in zip(learning, grads, strict=True):
        parameter.grad = grad if parameter.grad is None else parameter.grad + grad
    return loss


def _check(module: nn.Module, shards: int, ranks: int, seed: int | None) -> None:
    for count, what in ((shards, "shards"), (ranks, "ranks")):
        if count < 1 or count & (count - 1):
            raise InputError(Problem(f"{count} {what}", "a power of two", field=what))
    if shards < ranks:
        raise InputError(
            Problem(f"{shards} shards for {ranks} ranks", "one for each rank", field="shards")
        )
    if seed is not None and seed < 0:
        raise InputError(Problem(f"seed={seed}", "at least 0", field="seed"))
    for name, inner in module.named_modules():
        where = f"module {name!r}"
        if isinstance(inner, _NormBase) and inner.training and inner.track_running_stats:
            raise UnsupportedError(
                Problem(
                    f"a {type(inner).__name__} that moves its statistics",
                    "modules whose forward writes to nothing",
                    "Import with batchnorm='frozen', or put it into eval mode.",
                    where,
                )
            )
        if isinstance(inner, _DropoutNd) and inner.training and inner.p and seed is None:
            raise UnsupportedError(
                Problem(f"a {type(inner).__name__} in training", "a seed", where=where)
            )
    for name, parameter in module.named_parameters():
        if type(parameter) is not nn.Parameter:
            raise UnsupportedError(
                Problem(f"a {type(parameter).__name__}", "whole parameters", where=name)
            )


def _seeded(worked: Callable[[int], list[Tensor]], shard: int, seed: int | None) -> list[Tensor]:
    if seed is None:
        return worked(shard)
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices):
        drawn = np.random.SeedSequence([seed, shard]).generate_state(1, np.uint64)[0]
        torch.manual_seed(int(drawn) % WIDE)
        return worked(shard)


def _gradients(loss: Tensor, learning: Sequence[Tensor]) -> list[Tensor]:
    """Those of one shard, zeros where none flows, and behind them its loss."""
    # Not backward(): DDP waits for what it accumulates.
    found: Sequence[Tensor | None] = torch.autograd.grad(loss, learning, allow_unused=True)
    grads = [torch.zeros_like(p) if g is None else g for p, g in zip(learning, found, strict=True)]
    return [*grads, loss.detach().reshape(())]


def _tree(parts: Iterator[list[Tensor]]) -> list[Tensor]:
    """The sum of ``2**k`` lists, neighbours first; at most k + 1 of them are held."""
    waiting: list[tuple[int, list[Tensor]]] = []
    for part in parts:
        height, total = 0, part
        while waiting and waiting[-1][0] == height:
            _, before = waiting.pop()
            total = [a + b for a, b in zip(before, total, strict=True)]
            height += 1
        waiting.append((height, total))
    ((_, whole),) = waiting
    return whole


def _over_ranks(sums: Sequence[Tensor], ranks: int, group: Any) -> Iterator[Tensor]:
    """The sums of all ranks, in the order of the tree."""
    for bucket in _buckets(sums):
        flat = torch.cat([t.reshape(-1) for t in bucket])
        heard = [torch.empty_like(flat) for _ in range(ranks)]
        dist.all_gather(heard, flat, group=group)
        (total,) = _tree([t] for t in heard)
        sizes = [t.numel() for t in bucket]
        for part, like in zip(total.split(sizes), bucket, strict=True):
            yield part.view_as(like)


def _buckets(sums: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours of one dtype and device, not many numbers at once."""
    bucket: list[Tensor] = []
    for t in sums:
        full = sum(b.numel() for b in bucket) + t.numel() > BUCKET
        if bucket and (full or (t.dtype, t.device) != (bucket[0].dtype, bucket[0].device)):
            yield bucket
            bucket = []
        bucket.append(t)
    yield bucket
