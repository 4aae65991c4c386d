"""A convolution with norm, sum, neuron and pool behind it as one, against one after the other."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, event, given
from hypothesis import strategies as st

from t1c import bridge, ir
from t1c.bridge.engine import blocks
from t1c.bridge.engine.choices import Choice
from t1c.bridge.engine.kernels import convolution
from t1c.bridge.engine.kernels.fingerprint import Fingerprints

from .engine_helpers import assert_equal, grid, lif, spikes, threads
from .examples import examples

many = examples(60, suppress_health_check=list(HealthCheck))
SHAPE, OUT = (2, 6, 5), (4, 6, 5)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def densely(monkeypatch):
    """Every convolution is worked by torch, and what is behind it in one loop."""
    monkeypatch.setattr(blocks, "chosen", lambda *_: Choice("dense", None, None, "a test"))


def norm(rng, channels):
    """A norm whose arithmetic is exact: it divides by one, or by two."""
    var = rng.choice([0.75, 3.75], channels)
    weight, bias, mean = (grid(rng, channels) for _ in range(3))
    return ir.BatchNorm2d(channels, weight, bias, mean, var, eps=0.25)


@st.composite
def graphs(draw, channels=4):
    """A convolution, what may stand behind it, and something that comes another way."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kernel = draw(st.sampled_from([1, 3]))
    weight = grid(rng, channels, SHAPE[0], kernel, kernel)
    here = {"conv": ir.Conv2d(weight, grid(rng, channels), padding=kernel // 2)}
    edges, last = [("input", "conv")], "conv"

    def behind(name, node):
        nonlocal last
        here[name] = node
        edges.append((last, name))
        last = name

    if draw(st.booleans()):
        behind("norm", norm(rng, channels))
    added = draw(st.sampled_from([None, "node", "neuron"]))
    if added == "node":
        behind("add", ir.Skip("residual"))
    if draw(st.booleans()) or added == "neuron":
        reset = draw(st.sampled_from(["zero", "subtract"]))
        behind("lif", lif(0.25, reset=reset))
    out = (channels, *SHAPE[1:])
    if draw(st.booleans()):
        pool = draw(st.sampled_from([ir.MaxPool2d, ir.AvgPool2d]))((2, 2))
        behind("pool", pool)
        out = pool.output_shape(out)
    # What is written first is worked first.
    other = {"other": ir.Conv2d(grid(rng, channels, SHAPE[0], 1, 1), grid(rng, channels))}
    first = draw(st.booleans())
    if added:
        edges += [("input", "other"), ("other", "add" if added == "node" else "lif")]
    parts = ({**other, **here} if first else {**here, **other}) if added else here
    nodes = {"input": ir.Input(SHAPE), **parts, "output": ir.Output(out)}
    graph = ir.Graph(nodes, [*edges, (last, "output")])
    event(f"behind: {', '.join(list(here)[1:])}")
    return graph, rng


def both(graph, xs, **options):
    expected = bridge.ir_to_torch(graph, dtype=torch.float64, kernels="torch").run(xs)
    executor = bridge.ir_to_torch(graph, dtype=torch.float64, **options)
    for chunk in (None, 1, 3):
        assert_equal(executor.run(xs, chunk=chunk), expected, chunk)
    return executor, expected[0]


@many
@given(graphs(), st.booleans())
@torch.no_grad()
def test_a_chain_by_events(drawn, graded):
    graph, rng = drawn
    xs = torch.from_numpy(spikes(rng, 5, 3, *SHAPE, graded=graded))
    executor, _ = both(graph, xs, events=True)
    assert executor.network.choices["conv"].way == "events"


@many
@given(graphs())
@torch.no_grad()
def test_a_chain_behind_a_dense_convolution(densely, drawn):
    graph, rng = drawn
    xs = torch.from_numpy(spikes(rng, 5, 3, *SHAPE, graded=True))
    both(graph, xs)


def whole(channels=4, hold=None):
    """All that may stand behind a convolution, whose other input is worked first."""
    rng = np.random.default_rng(0)
    nodes = {
        "input": ir.Input(SHAPE, hold=hold) if hold else ir.Input(SHAPE),
        "other": ir.Conv2d(grid(rng, channels, 2, 1, 1), grid(rng, channels)),
        "conv": ir.Conv2d(grid(rng, channels, 2, 3, 3), grid(rng, channels), padding=(1, 1)),
        "norm": norm(rng, channels),
        "add": ir.Skip("residual"),
        "lif": lif(0.25),
        "pool": ir.MaxPool2d((2, 2)),
        "output": ir.Output((channels, 3, 2)),
    }
    edges = [
        *[("input", "other"), ("other", "add"), ("input", "conv"), ("conv", "norm")],
        *[("norm", "add"), ("add", "lif"), ("lif", "pool"), ("pool", "output")],
    ]
    return ir.Graph(nodes, edges)


NAMES = ("conv", "norm", "add", "lif", "pool")


def drawn(steps=9, batch=3, graded=False):
    return torch.from_numpy(spikes(np.random.default_rng(1), steps, batch, *SHAPE, graded=graded))


@torch.no_grad()
def test_all_of_it_is_one():
    executor, y = both(whole(), drawn(), events=True)
    assert executor.network.blocks["conv"] == NAMES
    assert 0 < int(y.sum()) < y.numel()


@torch.no_grad()
def test_channels_in_tiles(monkeypatch):
    monkeypatch.setattr(convolution, "TILE_BYTES", 1)
    executor, y = both(whole(150), drawn(), events=True)
    assert executor.network.blocks["conv"] == NAMES
    assert 0 < int(y.sum()) < y.numel()


@torch.no_grad()
def test_one_step_of_a_dense_convolution_at_a_time(densely, monkeypatch):
    monkeypatch.setattr(blocks, "DENSE_BYTES", 1)
    executor, y = both(whole(), drawn(graded=True))
    assert executor.network.blocks["conv"] == NAMES
    assert 0 < int(y.sum()) < y.numel()


@torch.no_grad()
def test_an_input_held_still_is_convolved_once():
    graph = whole(hold=9)
    xs = drawn(1, 3, graded=True)[0]
    executor, y = both(graph, xs)
    assert executor.network.blocks["conv"] == NAMES
    assert 0 < int(y.sum()) < y.numel()


@pytest.mark.parametrize("kernel", [1, 3])
@torch.no_grad()
def test_lines_are_maps_of_one_row(kernel):
    rng = np.random.default_rng(0)
    far = ir.Conv1d(grid(rng, 12, 3, kernel), grid(rng, 12), padding=kernel // 2)
    two, var = ir.Conv1d(grid(rng, 12, 3, 1), grid(rng, 12)), rng.choice([0.75, 3.75], 12)
    parts = (grid(rng, 12) for _ in range(3))
    nodes = {
        "input": ir.Input((3, 9)),
        "other": two,
        "conv": far,
        "norm": ir.BatchNorm1d(12, *parts, var, eps=0.25),
        "lif": ir.LIF(*np.full((2, 1), 2.0), np.zeros(1), rng.choice((0.25, 0.5), 12)),
        "output": ir.Output((12, 9)),
    }
    edges = [("input", "other"), ("other", "lif"), ("input", "conv"), ("conv", "norm")]
    graph = ir.Graph(nodes, [*edges, ("norm", "lif"), ("lif", "output")])
    xs = torch.from_numpy(spikes(rng, 9, 3, 3, 9, graded=True))
    executor, y = both(graph, xs, events=True)
    assert executor.network.blocks["conv"] == ("conv", "norm", "lif")
    assert 0 < int(y.sum()) < y.numel()
    both(graph, xs)


@torch.no_grad()
def test_threads_share_bands_of_a_single_sample():
    xs = drawn(9, 1)
    _, expected = both(whole(), xs, events=True)
    for count in (2, 4):
        with threads(count):
            assert torch.equal(both(whole(), xs, events=True)[1], expected)


@torch.no_grad()
def test_a_norm_that_takes_statistics_is_no_part():
    executor = bridge.ir_to_torch(whole(), events=True)
    executor.network.node("norm").train()
    executor.run(drawn().float())
    assert executor.network.blocks["conv"] == ("conv",)


@torch.no_grad()
def test_what_is_not_a_number_stays_so_in_a_pool():
    nodes, edges = whole().nodes, [("conv", "norm"), ("norm", "pool"), ("pool", "output")]
    kept = {n: nodes[n] for n in ("input", "conv", "norm", "pool", "output")}
    graph = ir.Graph(kept, [("input", "conv"), *edges])
    executor = bridge.ir_to_torch(graph, dtype=torch.float64, events=True)
    slow = bridge.ir_to_torch(graph, dtype=torch.float64, kernels="torch")
    for each in (executor, slow):
        each.network.node("norm").bias[1] = torch.nan
    found, expected = executor.run(drawn())[0], slow.run(drawn())[0]
    assert executor.network.blocks["conv"] == ("conv", "norm", "pool")
    assert expected.isnan().any()
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("large", [False, True])
@torch.no_grad()
def test_weights_that_change_unseen_are_seen(large, told, monkeypatch):
    """Also where the network as a whole is not looked at, as somebody's module is in it."""
    from t1c.bridge.engine import looked
    from t1c.bridge.engine.kernels import weights

    for module in (weights, looked):
        monkeypatch.setattr(module, "LARGE", 0 if large else 10**9)
    if not told:
        monkeypatch.setattr(looked.Looks, "_tells", lambda *_: False)
    xs = drawn()
    executor, before = both(whole(), xs, events=True)
    layer = executor.network.node("conv")
    layer.weight.data.numpy()[:] *= -1
    after = executor.run(xs)[0]
    assert not torch.equal(after, before)
    slow = bridge.ir_to_torch(whole(), dtype=torch.float64, kernels="torch")
    slow.network.node("conv").weight.mul_(-1)
    assert torch.equal(after, slow.run(xs)[0])


@torch.no_grad()
def test_a_network_is_looked_at_once_for_a_chunk(monkeypatch):
    looks, own = [], Fingerprints.take
    noted = lambda self: looks.append(len(self._where)) or own(self)  # noqa: E731
    monkeypatch.setattr(Fingerprints, "take", noted)
    xs = drawn()
    executor = bridge.ir_to_torch(whole(), dtype=torch.float64, events=True)
    executor.run(xs, chunk=3)
    looks.clear()
    executor.run(xs, chunk=3)
    tensors = [*executor.parameters(), *executor.buffers()]
    # In each of three chunks at all parameters and buffers, and at nothing by itself.
    assert len(tensors) > 5
    assert looks == [len(tensors)] * 3
    # Where the length of chunks is asked for, the first of them is looked at by that.
    looks.clear()
    executor.run(xs)
    assert looks == [len(tensors)]
