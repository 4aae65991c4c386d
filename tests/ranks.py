"""What two processes of one training find, which tests/test_distributed.py looks at.

The tests' own process is rank 0. The other one runs the same function, and need not be told.
"""

from __future__ import annotations

import multiprocessing
import traceback
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.nn.parallel import DistributedDataParallel

from t1c import bridge, ir
from t1c.ir.errors import UnsupportedError

T, B = 6, 8
SHARDS = 8
VIEW = "FSDP2-wrapped module .* returned a view tensor"
"""Said of every output that is a view; nothing here writes to one."""


def graph(grid: bool = True, dropout: bool = False) -> Any:
    """A recurrent network of two populations."""
    rng = np.random.default_rng(0)

    def w(*shape: int, scale: float = 1.0) -> Any:
        drawn = rng.integers(-128, 193, shape) / 256 if grid else rng.normal(0.1, 0.4, shape)
        return (drawn * scale).astype(np.float32)

    def lif() -> Any:
        return ir.LIF(np.full(1, 2.0), np.full(1, 2.0), np.zeros(1), np.ones(1))

    nodes: dict[str, ir.Node] = {
        "input": ir.Input((12,)),
        "fc1": ir.Affine(w(16, 12), w(16)),
        "lif1": lif(),
        "back": ir.Affine(w(16, 16, scale=0.25), w(16, scale=0.25)),
        "drop": ir.Dropout(16, 0.25 if dropout else 0.0),
        "fc2": ir.Affine(w(5, 16), w(5)),
        "lif2": lif(),
        "output": ir.Output((5,)),
    }
    edges = [
        ("input", "fc1"),
        ("fc1", "lif1"),
        ("lif1", "back"),
        ("back", "lif1"),
        ("lif1", "drop"),
        ("drop", "fc2"),
        ("fc2", "lif2"),
        ("lif2", "output"),
    ]
    return ir.Graph(nodes, edges, allow_cycles=True)


def executor(**options: Any) -> Any:
    return bridge.ir_to_torch(graph(**options), return_state=True).train()


def data() -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(1)
    xs = torch.from_numpy((rng.integers(0, 256, (T, B, 12)) / 256).astype(np.float32))
    return xs, torch.from_numpy(rng.integers(0, 5, B))


def loss_of(spikes: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(spikes.sum(0), labels)


def gradients(net: nn.Module) -> dict[str, Tensor]:
    """Whole ones, by the names that they have without a wrapper; they are gone behind it."""
    found = {}
    for name, p in net.named_parameters():
        assert p.grad is not None
        whole = p.grad.full_tensor() if hasattr(p.grad, "full_tensor") else p.grad
        found[name.removeprefix("module.")] = whole.clone()
        p.grad = None
    return found


def refused(call: Any) -> str:
    """What a call is refused with; empty where it is not."""
    try:
        call()
    except UnsupportedError as error:
        return str(error)
    return ""


def step_in_shards(net: nn.Module, optimizer: Any, seed: int, shards: int = SHARDS) -> Tensor:
    """One step of training on all samples."""
    xs, labels = data()
    size = B // shards

    def one(shard: int) -> Tensor:
        own = slice(shard * size, shard * size + size)
        return loss_of(net(xs[:, own], sequence=True)[0], labels[own])

    optimizer.zero_grad()
    loss = bridge.backward_in_shards(net, one, shards, seed=seed)
    optimizer.step()
    return loss


def work(rank: int) -> dict[str, Any]:
    """What one of two ranks finds, each with half of the samples."""
    xs, labels = data()
    own = slice(rank * B // 2, (rank + 1) * B // 2)
    xs, labels = xs[:, own], labels[own]
    return {**with_ddp(xs, labels), **with_fsdp(xs, labels), **in_shards()}


def with_ddp(xs: Tensor, labels: Tensor) -> dict[str, Any]:
    found: dict[str, Any] = {}
    net = executor()
    ddp: Any = DistributedDataParallel(net)

    def sequence(**options: Any) -> Any:
        return ddp(xs, sequence=True, **options)[0]

    loss_of(sequence(), labels).backward()
    found["sequence"] = gradients(net)
    loss_of(sequence(checkpoint=True, chunk=3), labels).backward()
    found["checkpoint"] = gradients(net)

    state, spikes = None, []
    for x in xs:
        y, state = ddp(x, state)
        spikes.append(y)
    loss_of(torch.stack(spikes), labels).backward()
    found["steps"] = gradients(net)

    kept: list[Tensor] = []
    sequence(chunk=4, collect=lambda _, ys: kept.append(ys))
    loss_of(torch.cat(kept), labels).backward()
    found["kept"] = gradients(net)

    with ddp.no_sync():
        loss_of(net.run(xs)[0], labels).backward()
    found["own"] = gradients(net)

    outputs, state = net.run(xs)  # in peace, as long as no gradient is asked for
    found["beside"] = refused(lambda: loss_of(outputs, labels).backward())
    assert state is not None
    found["state beside"] = refused(lambda: state["lif1"][0].sum().backward())
    found["step beside"] = refused(lambda: ddp.module(xs[0])[0].sum().backward())
    backward = {"chunk": 3, "truncate": True, "collect": lambda _, ys: ys.sum().backward()}
    found["collect beside"] = refused(lambda: net.run(xs, **backward))
    found["within"] = refused(lambda: sequence(**backward))
    found["untouched"] = all(p.grad is None for p in net.parameters())
    loss_of(sequence(), labels).backward()
    found["again"] = gradients(net)
    return found


def with_fsdp(xs: Tensor, labels: Tensor) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in ("whole", "layers", "run"):
        net: Any = executor()
        if kind == "layers":
            fully_shard(net.node("fc1"))
        fully_shard(net)
        found["beside fsdp"] = refused(lambda net=net: net.run(xs))
        if kind == "run":
            register_fsdp_forward_method(net, "run")
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        for _ in range(2):
            optimizer.zero_grad()
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", VIEW)
                spikes, _ = net.run(xs) if kind == "run" else net(xs, sequence=True)
            loss_of(spikes, labels).backward()
            optimizer.step()
        found[f"fsdp {kind}"] = {n: p.full_tensor().detach() for n, p in net.named_parameters()}
    return found


def in_shards() -> dict[str, Any]:
    net = executor(grid=False, dropout=True)
    ddp = DistributedDataParallel(net)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    losses = [step_in_shards(ddp, optimizer, seed) for seed in range(2)]
    return {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses}


def _join(rank: int, folder: str) -> dict[str, Any]:
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=120),
    )
    try:
        return work(rank)
    finally:
        dist.destroy_process_group()


def _other(folder: str) -> None:
    torch.set_num_threads(1)
    try:
        torch.save(_join(1, folder), Path(folder) / "found")
    except BaseException:
        (Path(folder) / "failed").write_text(traceback.format_exc())
        raise


def two_ranks(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What each of two ranks found."""
    other = multiprocessing.get_context("spawn").Process(target=_other, args=(str(folder),))
    other.start()
    try:
        found = _join(0, str(folder))
        other.join(120)
    finally:
        failed = folder / "failed"
        assert not failed.exists(), failed.read_text()
        other.kill()
        other.join()
    return found, torch.load(folder / "found", weights_only=True)
