"""Train a spiking network on handwritten digits in several processes, and stop and go on at will.

    torchrun --nproc-per-node 2 examples/train_ddp.py        (needs: pip install 't1c[demo]')

Each process (rank) takes its part of every batch, and ``DistributedDataParallel`` adds up the
gradients: what it must see is the call of the wrapper, ``net(xs, sequence=True)``, which is the
executor's ``run``. Without torchrun it is one process, and the same program.

With ``--shards 8`` gradients are added up in an order that does not depend on the number of ranks.
Then training gives the same network, bit for bit, with 1, 2, 4 or 8 of them, also where it was
stopped with one number and goes on with another:

    torchrun --nproc-per-node 2 examples/train_ddp.py --shards 8 --checkpoint ddp.pt --epochs 2
    torchrun --nproc-per-node 4 examples/train_ddp.py --shards 8 --checkpoint ddp.pt --epochs 4
"""

import argparse
import hashlib
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import digits
import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from t1c import bridge, ir
from t1c.ir.atomic import replacing

SEED = 0
HIDDEN = 96
LEARNING_RATE = 2e-3


def build() -> bridge.GraphExecutor:
    """Two dense layers of leaky neurons, the same on every rank."""
    rng = np.random.default_rng(SEED)

    def dense(inputs: int, outputs: int) -> ir.Affine:
        weight = rng.normal(0, 2 / inputs**0.5, (outputs, inputs)).astype(np.float32)
        return ir.Affine(weight, np.zeros(outputs, np.float32))

    def leaky() -> ir.LIF:
        return ir.LIF(np.full(1, 4.0), np.full(1, 4.0), np.zeros(1), np.ones(1))

    nodes: dict[str, ir.Node] = {
        "input": ir.Input((1, 8, 8)),
        "flatten": ir.Flatten(),
        "fc1": dense(64, HIDDEN),
        "lif1": leaky(),
        "fc2": dense(HIDDEN, len(digits.CLASSES)),
        "lif2": leaky(),
        "output": ir.Output((len(digits.CLASSES),)),
    }
    names = list(nodes)
    graph = ir.Graph(nodes, list(pairwise(names)))
    return bridge.ir_to_torch(graph).train()


def loss_of(net: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the spike counts, of samples that this rank works."""
    counts, _ = net(digits.encode(images), sequence=True, collect="sum")
    return nn.functional.cross_entropy(counts / 4, labels)


def batches(count: int, size: int, epoch: int) -> list[Tensor]:
    """The samples of each batch of all ranks; a rest that fills none is left for another epoch."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(SEED + epoch))
    return [part for part in order.split(size) if len(part) == size]


def backward(net: nn.Module, data: digits.Digits, batch: Tensor, shards: int) -> None:
    """Give every rank the gradients of a batch, of which it works its part."""
    ranks, rank = ranks_and_rank()
    parts = batch.chunk(shards or ranks)

    def loss(part: int) -> Tensor:
        return loss_of(net, data.images[parts[part]], data.labels[parts[part]])

    if shards:
        bridge.backward_in_shards(net, loss, shards)
    else:
        loss(rank).backward()


def ranks_and_rank() -> tuple[int, int]:
    """How many processes there are, and which this is."""
    return (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)


def save(path: Path, executor: nn.Module, optimizer: Any, epochs: int) -> None:
    """Write what training needs to go on; the file is there whole, or as it was."""
    with replacing(path) as temporary:
        state = {"model": executor.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save({**state, "epochs": epochs}, temporary)


def resume(path: Path, executor: nn.Module, optimizer: Any) -> int:
    """Read it; how many epochs it has behind it."""
    saved = torch.load(path, weights_only=True)
    executor.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return int(saved["epochs"])


def digest(executor: nn.Module) -> str:
    """A fingerprint of all weights, by which two trainings can be told apart."""
    found = hashlib.sha256()
    for parameter in executor.parameters():
        found.update(parameter.detach().numpy().tobytes())
    return found.hexdigest()[:16]


def main() -> None:
    """Train, and tell how well it went."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64, help="samples, of all ranks together")
    parser.add_argument("--shards", type=int, default=0, help="of a batch; 0: plain DDP")
    parser.add_argument("--samples", type=int, default=None, help="train on so many only")
    parser.add_argument("--checkpoint", type=Path, default=None)
    args = parser.parse_args()
    if "RANK" in os.environ:
        dist.init_process_group("gloo")
    ranks, rank = ranks_and_rank()
    torch.set_num_threads(1)
    training, test = digits.load_split()
    training = digits.Digits(*(t[: args.samples] for t in training))

    executor = build()
    optimizer = torch.optim.Adam(executor.parameters(), LEARNING_RATE)
    start = 0
    if args.checkpoint is not None and args.checkpoint.exists():
        start = resume(args.checkpoint, executor, optimizer)
    net = DistributedDataParallel(executor) if ranks > 1 else executor
    for epoch in range(start, args.epochs):
        for batch in batches(len(training.images), args.batch, epoch):
            optimizer.zero_grad()
            backward(net, training, batch, args.shards)
            optimizer.step()
        if rank == 0 and args.checkpoint is not None:
            save(args.checkpoint, executor, optimizer, epoch + 1)
    if rank == 0:
        with torch.no_grad():
            spikes, _ = executor.run(digits.encode(test.images))
        print(
            f"{ranks} ranks, {args.epochs - start} epochs from {start}: "
            f"test accuracy {digits.accuracy(spikes, test.labels):.2%}, weights {digest(executor)}"
        )
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
