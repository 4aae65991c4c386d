"""A loop with convolutions, each step worked in parts: the numbers of its nodes one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from t1c import ir
from t1c.bridge.engine import parted

from .engine_helpers import assert_equal, every_way, grid, imported, lif, spikes, stepped
from .examples import examples
from .test_engine_chains import norm

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = (4, 6, 6)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """However small values are, it counts as worth it."""
    monkeypatch.setattr(parted, "LARGE", 1)


@st.composite
def loops(draw):
    """Neurons, convolutions and what may stand behind them, of which a Delay brings some back."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kernel = draw(st.sampled_from([1, 3]))

    def conv() -> ir.Conv2d:
        weight = grid(rng, SHAPE[0], SHAPE[0], kernel, kernel)
        return ir.Conv2d(weight, grid(rng, SHAPE[0]), padding=kernel // 2)

    nodes: dict[str, ir.Node] = {
        "input": ir.Input(SHAPE),
        "delay": ir.Delay(np.full(SHAPE, draw(st.integers(1, 2)))),
        "add": ir.Skip("residual"),
        "lif": lif(0.25),
        "scale": ir.Scale(np.array([0.5])),
        "conv": conv(),
    }
    edges = [
        *(("input", "add"), ("delay", "add"), ("add", "lif"), ("add", "scale")),
        ("lif", "conv"),
    ]
    last = "conv"

    def behind(name: str, node: ir.Node) -> None:
        nonlocal last
        nodes[name] = node
        edges.append((last, name))
        last = name

    if draw(st.booleans()):
        behind("norm", norm(rng, SHAPE[0]))
    behind("sum", ir.Skip("residual"))
    edges.append(("scale", "sum"))
    if draw(st.booleans()):
        behind("lif2", lif(0.5, reset=draw(st.sampled_from(["zero", "subtract"]))))
        behind("conv2", conv())
    if draw(st.booleans()):
        # Not a mean: a ninth is no multiple of 1/256, and sums of them have an order.
        behind("highest", ir.MaxPool2d((3, 3), (1, 1), (1, 1)))
    if draw(st.booleans()):
        # A neuron whose output runs back, too.
        behind("last", lif(0.5))
        edges.append(("last", "lif"))
    nodes["output"] = ir.Output(SHAPE)
    edges += [(last, "delay"), (last, "output")]
    return ir.Graph(nodes, edges, allow_cycles=True), rng


@examples(25)
@given(loops(), st.sampled_from([None, True, False]))
def test_parts_give_the_numbers_of_the_nodes(drawn: Any, events: Any) -> None:
    graph, rng = drawn
    xs = torch.from_numpy(spikes(rng, 5, 3, *SHAPE))
    plain = imported(graph, dtype=torch.float64, kernels="torch", events=False)
    expected = stepped(plain, xs)
    assume(expected[0].any())
    executor = imported(graph, dtype=torch.float64, events=events)
    with torch.no_grad():
        for way, found in every_way(executor, xs):
            assert_equal(found, expected, way)
    assert executor.network.parts
    assert "parts" in str(executor.explain())


@given(loops())
@examples(5)
@torch.no_grad()
def test_a_write_to_a_weight_in_a_loop_is_seen(drawn: Any) -> None:
    graph, rng = drawn
    xs = torch.from_numpy(spikes(rng, 5, 3, *SHAPE))
    executor = imported(graph, dtype=torch.float64)
    assume(executor.run(xs)[0].any())
    weight = executor.network.node("conv").weight
    weight.numpy()[...] = grid(rng, *weight.shape)
    plain = imported(graph, dtype=torch.float64, kernels="torch", events=False)
    plain.network.node("conv").weight.copy_(weight)
    assert_equal(executor.run(xs), stepped(plain, xs))
    assert executor.network.parts


def test_gradients_are_those_of_the_nodes() -> None:
    rng = np.random.default_rng(5)
    nodes = {
        "input": ir.Input(SHAPE),
        "delay": ir.Delay(np.ones(SHAPE)),
        "add": ir.Skip("residual"),
        "lif": lif(0.25),
        "conv": ir.Conv2d(grid(rng, 4, 4, 3, 3), grid(rng, 4), padding=(1, 1)),
        "norm": norm(rng, 4),
        "output": ir.Output(SHAPE),
    }
    edges = [("input", "add"), ("delay", "add"), ("add", "lif"), ("lif", "conv")]
    edges += [("conv", "norm"), ("norm", "delay"), ("norm", "output")]
    graph = ir.Graph(nodes, edges, allow_cycles=True)
    xs = torch.from_numpy(spikes(rng, 5, 3, *SHAPE))
    grads = []
    for kernels in (None, "torch"):
        executor = imported(graph, dtype=torch.float64, kernels=kernels)
        out, _ = executor.run(xs)
        out.square().sum().backward()
        assert not executor.network.parts
        grads.append(executor.network.node("conv").weight.grad)
    assert grads[0].any()
    torch.testing.assert_close(*grads)
