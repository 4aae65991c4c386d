"""Large weights under few rows of input: read once as they lie, and not looked at besides."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from t1c import bridge, ir
from t1c.bridge.engine import choices, looked
from t1c.bridge.engine.kernels import few_rows
from t1c.bridge.engine.kernels.fingerprint import Fingerprints

from .engine_helpers import assert_equal, every_way, grid, lif, stage_by_stage, stepped, threads
from .strategies_executor import chain

pytestmark = pytest.mark.usefixtures("one_thread")

DTYPES = (torch.float32, torch.float64)


# The product --------------------------------------------------------------------------------------


@pytest.mark.grid(2)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("rows", [1, 3, 8, 9, 32, 37])
@pytest.mark.parametrize("outs", [7, 8, 29])
@pytest.mark.parametrize("ins", [1, 6, 4099])
def test_the_product_is_torchs(dtype, biased, rows, outs, ins):
    # On a grid every order of a sum gives the same bits.
    rng = np.random.default_rng(rows + outs + ins)
    x = torch.tensor(rng.integers(-2, 3, (rows, ins)), dtype=dtype)
    weight = torch.tensor(grid(rng, outs, ins), dtype=dtype)
    bias = torch.tensor(grid(rng, outs), dtype=dtype) if biased else None
    assert torch.equal(few_rows.product(x, weight, bias), nn.functional.linear(x, weight, bias))


def test_every_thread_has_its_outputs():
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.integers(-2, 3, (5, 1024)), dtype=torch.float32)
    weight = torch.tensor(grid(rng, 1021, 1024), dtype=torch.float32)
    with threads(2):
        assert torch.equal(few_rows.product(x, weight, None), nn.functional.linear(x, weight))


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_a_zero_counts(bad):
    """A product of zero and what is not finite is no number, as in torch."""
    weight = torch.ones(9, 40)
    weight[4, 7] = bad
    y = few_rows.product(torch.zeros(3, 40), weight, None)
    assert y[:, 4].isnan().all()
    assert (y[:, [0, 1, 2, 3, 5, 6, 7, 8]] == 0).all()


# Networks with weights that count as large ------------------------------------------------------


@pytest.fixture
def small(monkeypatch):
    """A weight of 300 x 256 is as large as can be."""
    for module in (looked, choices):
        monkeypatch.setattr(module, "UNSEEN", 2**15)
    monkeypatch.setattr(few_rows, "WORTH", 2**15)


def layers(loop: bool) -> ir.Graph:
    """300 inputs, 256 neurons, which may hear themselves, and 5 more."""
    rng = np.random.default_rng(3)
    nodes: list[tuple[str, ir.Node]] = [
        ("input", ir.Input((300,))),
        ("fc", ir.Affine(grid(rng, 256, 300) / 8, grid(rng, 256))),
        ("lif", lif()),
        ("fc2", ir.Affine(grid(rng, 5, 256) / 4, grid(rng, 5))),
        ("lif2", lif()),
        ("output", ir.Output((5,))),
    ]
    graph = chain(*nodes)
    if not loop:
        return graph
    back = ir.Affine(grid(rng, 256, 256) / 32, grid(rng, 256) / 8)
    edges = [*graph.edges, ("lif", "back"), ("back", "lif")]
    return ir.Graph({**graph.nodes, "back": back}, edges, allow_cycles=True)


def sequence(steps: int = 4, batch: int = 3) -> Tensor:
    rng = np.random.default_rng(7)
    return torch.tensor(rng.random((steps, batch, 300)) < 0.2, dtype=torch.float32)


def through_data(weight: Tensor) -> None:
    weight.data[3] -= 1


def through_numpy(weight: Tensor) -> None:
    weight.detach().numpy()[3] -= 1


def no_number(weight: Tensor) -> None:
    weight.detach().numpy()[3, 0] = np.nan


def defined(executor: Any, xs: Tensor) -> Any:
    """The numbers of plain torch, on a copy that remembers nothing."""
    other = copy.deepcopy(executor)
    other.kernels, other.events = "torch", False
    with torch.no_grad():
        return stepped(other, xs)


@pytest.mark.grid(2)
@pytest.mark.parametrize(("loop", "named"), [(False, "fc"), (True, "fc"), (True, "back")])
@pytest.mark.parametrize("events", [None, True])
@pytest.mark.parametrize("change", [through_data, through_numpy, no_number])
@pytest.mark.parametrize("batch", [3, 30])
def test_a_write_is_seen(small, loop, named, events, change, batch):
    executor = bridge.ir_to_torch(layers(loop), return_state=True, events=events)
    xs = sequence(batch=batch)
    with torch.no_grad():
        before = executor.run(xs)
        executor.run(xs)
    assert_equal(before, defined(executor, xs))
    assert before[0].any()
    change(executor.network.node(named).weight)
    after = defined(executor, xs)
    assert not torch.equal(after[1]["lif"][0], before[1]["lif"][0])
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            for way, found in every_way(executor, xs):
                _assert_same(found, after, (way, grad))


def _assert_same(found: Any, expected: Any, what: Any) -> None:
    """Equal, and not a number in the same places."""
    assert_equal(_marked(found), _marked(expected), what)


def _marked(found: Any) -> Any:
    out, state = found
    marked = {name: tuple(v.nan_to_num(77.0) for v in own) for name, own in state.items()}
    return out.nan_to_num(77.0), marked


def test_such_a_weight_is_not_looked_at(small, monkeypatch):
    executor = bridge.ir_to_torch(layers(loop=False))
    network, xs = executor.network, sequence()
    taken: list[int] = []
    take = Fingerprints.__init__

    def counted(self: Fingerprints, tensors: Any) -> None:
        taken.extend(t.numel() for t in tensors)
        take(self, tensors)

    monkeypatch.setattr(Fingerprints, "__init__", counted)
    with torch.no_grad(), stage_by_stage():
        executor.run(xs)
    assert network.choices["fc"].way == "rows"
    assert "reading weights once" in str(executor.explain())
    assert taken
    assert max(taken) < 300 * 256


def test_a_tied_weight_is_looked_at(small):
    """What another module makes of it is remembered, so that it must be told from what it holds."""
    executor = bridge.ir_to_torch(layers(loop=False))
    xs = sequence()
    network = executor.network
    assert network.look(xs).unseen == {id(network.node("fc").weight)}
    network.node("lif").register_buffer("beside", network.node("fc").weight)
    assert not network.look(xs).unseen


def test_gradients_are_those_of_torch(small):
    executor = bridge.ir_to_torch(layers(loop=False), dtype=torch.float64)
    plain = bridge.ir_to_torch(layers(loop=False), dtype=torch.float64, kernels="torch")
    xs = sequence().double()
    for each in (executor, plain):
        each.run(xs, collect="sum")[0].sum().backward()
    mine, theirs = (each.network.node("fc").weight.grad for each in (executor, plain))
    assert mine.any()
    assert torch.equal(mine, theirs)
