"""Training in two processes: the gradients of one, or a refusal; docs/distributed.md."""

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from t1c import bridge
from t1c.ir.errors import InputError, UnsupportedError

from . import ranks
from .engine_helpers import threads

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    with threads(1):
        yield


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    if not dist.is_gloo_available():
        pytest.skip("this torch was built without gloo")
    return ranks.two_ranks(tmp_path_factory.mktemp("ranks"))


@pytest.fixture(scope="module")
def alone():
    """Gradients of one process on all samples, and its parameters after two steps of SGD."""
    net: Any = ranks.executor()
    xs, labels = ranks.data()
    spikes, _ = net.run(xs)
    assert spikes.sum() > 100
    assert spikes[1:].sum() > 0
    ranks.loss_of(spikes, labels).backward()
    first = {name: p.grad.clone() for name, p in net.named_parameters()}
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        ranks.loss_of(net.run(xs)[0], labels).backward()
        optimizer.step()
    return first, {name: p.detach() for name, p in net.named_parameters()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def close(a, b):
    assert a.keys() == b.keys()
    for name, value in a.items():
        torch.testing.assert_close(value, b[name], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["sequence", "checkpoint", "steps", "kept", "again"])
def test_two_ranks_have_the_gradients_of_one_process(way, found, alone):
    mine, theirs = (rank[way] for rank in found)
    assert same(mine, theirs)
    assert len(mine) == 6
    assert all(g.abs().max() > 0.01 for g in mine.values())
    close(mine, alone[0])


@pytest.mark.slow
def test_without_the_wrapper_the_ranks_would_have_parted(found, alone):
    mine, theirs = (rank["own"] for rank in found)
    assert not any(torch.equal(mine[name], theirs[name]) for name in mine)
    # Half of each is what the wrapper would have made of them.
    halves = {name: (mine[name] + theirs[name]) / 2 for name in mine}
    close(halves, alone[0])
    # The sum of two has one order.
    assert same(halves, found[0]["sequence"])


@pytest.mark.slow
@pytest.mark.parametrize("way", ["beside", "state beside", "step beside", "collect beside"])
def test_a_gradient_beside_the_wrapper_is_refused(way, found):
    for rank in found:
        assert "the ranks would part" in rank[way]
        assert "ddp(xs, state, sequence=True)" in rank[way]


@pytest.mark.slow
def test_a_gradient_within_the_wrapper_s_forward_is_refused(found):
    for rank in found:
        assert "within the forward of DistributedDataParallel" in rank["within"]
        assert rank["untouched"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["whole", "layers", "run"])
def test_fully_sharded_networks_learn_what_one_process_learns(kind, found, alone):
    for rank in found:
        close(rank[f"fsdp {kind}"], alone[1])
        assert "DTensor" in rank["beside fsdp"]


# In shards --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_training_in_shards_goes_on_bit_for_bit_with_another_number_of_ranks(found):
    net: Any = ranks.executor(grid=False, dropout=True)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    losses = [ranks.step_in_shards(net, optimizer, seed) for seed in range(2)]
    for rank in found:
        assert same(rank["model"], net.state_dict())
        assert rank["losses"] == losses
    ranks.step_in_shards(net, optimizer, 2)

    again: Any = ranks.executor(grid=False, dropout=True)
    resumed = torch.optim.Adam(again.parameters(), 0.01)
    again.load_state_dict(found[1]["model"])
    resumed.load_state_dict(found[1]["optimizer"])
    ranks.step_in_shards(again, resumed, 2)
    assert same(again.state_dict(), net.state_dict())
    assert not same(again.state_dict(), found[0]["model"])


def test_shards_sum_to_the_gradients_of_the_batch(alone):
    net: Any = ranks.executor()
    xs, labels = ranks.data()

    def one(k):
        return ranks.loss_of(net.run(xs[:, 2 * k : 2 * k + 2])[0], labels[2 * k : 2 * k + 2])

    loss = bridge.backward_in_shards(net, one, 4)
    grads = {name: p.grad.clone() for name, p in net.named_parameters()}
    close(grads, alone[0])
    assert float(loss) == pytest.approx(sum(float(one(k).detach()) for k in range(4)) / 4)
    bridge.backward_in_shards(net, one, 4)
    twice = {name: 2 * g for name, g in grads.items()}
    assert same({name: p.grad for name, p in net.named_parameters()}, twice)


def test_what_no_order_of_shards_could_keep_is_refused():
    def loss(_):
        return torch.zeros(())

    line = nn.Linear(2, 2)
    with pytest.raises(InputError, match="power of two"):
        bridge.backward_in_shards(line, loss, 6)
    with pytest.raises(InputError, match="seed"):
        bridge.backward_in_shards(line, loss, 2, seed=-1)
    with pytest.raises(UnsupportedError, match="moves its statistics"):
        bridge.backward_in_shards(nn.Sequential(line, nn.BatchNorm1d(2)), loss, 2)
    with pytest.raises(UnsupportedError, match="a seed"):
        bridge.backward_in_shards(nn.Sequential(line, nn.Dropout()), loss, 2)


# The call --------------------------------------------------------------------------------------


def test_a_call_with_sequence_is_run():
    net: Any = ranks.executor().eval()
    xs, _ = ranks.data()
    spikes, state, recorded = net(xs, None, sequence=True, record=["lif1.v"], chunk=4)
    expected, after, kept = net.run(xs, record=["lif1.v"], chunk=4)
    assert spikes.sum() > 100
    assert torch.equal(spikes, expected)
    assert same({n: s[0] for n, s in state.items()}, {n: s[0] for n, s in after.items()})
    assert torch.equal(recorded["lif1.v"], kept["lif1.v"])
    with pytest.raises(InputError, match="collect for one step"):
        net(xs[0], collect="sum")


def test_the_example_trains_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))

    def train(epochs, checkpoint):
        line = f"train --samples 128 --batch 64 --shards 4 --epochs {epochs} --checkpoint"
        monkeypatch.setattr(sys, "argv", [*line.split(), str(checkpoint)])
        runpy.run_path(str(ROOT / "examples" / "train_ddp.py"), run_name="__main__")
        return capsys.readouterr().out

    train(1, tmp_path / "a.pt")
    resumed, whole = train(2, tmp_path / "a.pt"), train(2, tmp_path / "b.pt")
    assert "1 epochs from 1" in resumed
    assert resumed.split("test")[1] == whole.split("test")[1]
