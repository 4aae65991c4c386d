"""Random networks of every neuron, cyclic ones too: each kind of kernel in each way of running."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, event, given
from hypothesis import strategies as st

from t1c import bridge, ir

from .engine_helpers import (
    assert_equal,
    every_way,
    grid,
    imported,
    lif,
    mlp,
    recurrent,
    referred,
    spikes,
    stage_by_stage,
)
from .examples import examples
from .strategies_executor import chain, networks, sequences
from .test_executor import assert_every_way_agrees, assert_same, by_name, tensors

many = examples(60, suppress_health_check=list(HealthCheck))


pytestmark = pytest.mark.usefixtures("one_thread")


def forced(graph, xs, dtype):
    """Kernels and ways of working layers, forced one by one, against each other."""
    with torch.no_grad():
        expected, last = bridge.ir_to_torch(graph, dtype=dtype, kernels="torch").run(
            tensors(xs, dtype)
        )
        for events in (True, False, None):
            executor = bridge.ir_to_torch(graph, dtype=dtype, kernels="numba", events=events)
            found, state = executor.run(tensors(xs, dtype), chunk=2)
            assert_same(by_name(found, graph), by_name(expected, graph))
            for name, own in last.items():
                assert_same(dict(enumerate(state[name])), dict(enumerate(own)))
            if events:
                ways = {c.way for c in executor.network.choices.values()}
                event(f"event-driven layers: {'events' in ways}")
                assert ways <= {"events"}
    loops = [p for p in executor.network.programs.values() if p is not None]
    event(f"programs: {bool(loops)}")


@many
@given(st.data())
def test_networks_of_every_neuron(data):
    graph = data.draw(networks(every=True))
    xs = data.draw(sequences(graph))
    dtype = data.draw(st.sampled_from([torch.float64, torch.float32]))
    assert_every_way_agrees(graph, xs, dtype, data.draw(st.integers(0, 2)))
    forced(graph, xs, dtype)


@pytest.mark.slow
@many
@given(st.data())
def test_loops_of_every_neuron(data):
    graph = data.draw(networks(every=True, cyclic=True))
    xs = data.draw(sequences(graph))
    event(f"delays: {any(isinstance(n, ir.Delay) for n in graph.nodes.values())}")
    dtype = data.draw(st.sampled_from([torch.float64, torch.float32]))
    assert_every_way_agrees(graph, xs, dtype, data.draw(st.integers(0, 2)))
    forced(graph, xs, dtype)


# What is taken ---------------------------------------------------------------------------------


def two_neurons_in_a_loop() -> ir.Graph:
    """Through an Affine, a Scale and two Skips, with one neuron inside and a nested graph."""
    rng = np.random.default_rng(5)
    inner = chain(
        ("in", ir.Input((5,))),
        ("fc", ir.Affine(grid(rng, 5, 5), grid(rng, 5))),
        ("lif", lif(0.25, reset="subtract", reset_delay=True)),
        ("out", ir.Output((5,))),
    )
    nodes = {
        "input": ir.Input((5,)),
        "first": lif(0.25),
        "nested": inner,
        "skip": ir.Skip("residual"),
        "scale": ir.Scale(np.full(5, -0.5)),
        "output": ir.Output((5,)),
    }
    edges = [
        ("input", "first"),
        ("first", "nested"),
        ("nested", "skip"),
        ("first", "skip"),
        ("skip", "scale"),
        ("scale", "first"),
        ("nested", "output"),
    ]
    return ir.Graph(nodes, edges, allow_cycles=True)


@pytest.mark.parametrize("make", [recurrent, two_neurons_in_a_loop])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("narrow", [True, False])
@torch.no_grad()
def test_a_loop_is_worked_as_one_program(make, dtype, narrow, monkeypatch):
    if not narrow:
        monkeypatch.setattr("t1c.bridge.engine.sequence.NARROW", 0)
        monkeypatch.setattr("t1c.bridge.engine.sequence.LITTLE", 0)
    graph = make()
    size = next(iter(graph.inputs().values())).shape[0]
    xs = torch.from_numpy(spikes(np.random.default_rng(1), 9, 4, int(size), graded=True)).to(dtype)
    executor = imported(graph, dtype)
    expected = referred(graph, xs, dtype)
    assert expected[0].any()
    for way, found in every_way(executor, xs):
        assert_equal(found, expected, way)
    # One step of the whole graph is a program, and so is the loop alone, unless all is narrow.
    assert len(executor.network.programs) == (1 if narrow else 2)
    assert None not in executor.network.programs.values()
    assert_equal(executor.run(xs), expected, "run")
    how = [row.how for row in executor.explain().rows]
    assert how == [f"{len(executor.plan.order)} nodes step by step in one kernel"] or not narrow
    executor.events = False
    executor.network.programs.clear()
    assert_equal(executor.run(xs), expected, "plain")
    assert not executor.network.programs


@torch.no_grad()
def test_layers_and_steps_take_the_fast_ways():
    graph = mlp()
    xs = torch.from_numpy(spikes(np.random.default_rng(1), 9, 4, 4)).float()
    executor = imported(graph, events=True)
    expected = referred(graph, xs, torch.float32)
    for way, found in every_way(executor, xs):
        assert_equal(found, expected, way)
    with stage_by_stage():
        executor.run(xs)
    assert {name: c.way for name, c in executor.network.choices.items()} == {
        "fc": "events",
        "fc2": "events",
    }
    assert None not in executor.network.programs.values()


def test_a_gradient_that_is_wanted_flows_through_a_loop():
    xs = torch.rand(7, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 4
    found = []
    for kernels in (None, "torch"):
        executor = imported(recurrent(), dtype=torch.float64, kernels=kernels)
        given = xs.clone().requires_grad_()
        y, _ = executor.run(given)
        (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)).sum().backward()
        found.append((y.detach(), given.grad, *(p.grad for p in executor.parameters())))
        with torch.no_grad():
            assert torch.equal(executor.run(xs)[0], y)
    assert found[0][0].any()
    assert found[0][1].any()
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@torch.no_grad()
def test_a_delay_in_a_loop_takes_the_plain_way():
    rng = np.random.default_rng(2)
    nodes = {
        "input": ir.Input((3,)),
        "lif": lif(0.25),
        "delay": ir.Delay(np.array([1, 2, 3])),
        "fc": ir.Affine(grid(rng, 3, 3), grid(rng, 3)),
        "output": ir.Output((3,)),
    }
    edges = [("input", "lif"), ("lif", "delay"), ("delay", "fc"), ("fc", "lif"), ("lif", "output")]
    graph = ir.Graph(nodes, edges, allow_cycles=True)
    xs = torch.from_numpy(spikes(rng, 10, 2, 3))
    executor = imported(graph, torch.float64)
    expected = referred(graph, xs, torch.float64)
    for way, found in every_way(executor, xs):
        assert_equal(found, expected, way)
    assert set(executor.network.programs.values()) == {None}


def what_was_sent_before_is_passed_on() -> ir.Graph:
    """Two Skips in a row on the way back: their values are those of the step before."""
    nodes = {
        "input": ir.Input((3,)),
        "lif": lif(0.25, reset="none"),
        "first": ir.Skip("passthrough"),
        "second": ir.Skip("passthrough"),
        "scale": ir.Scale(np.array([-0.5])),
        "now": ir.Output((3,)),
        "before": ir.Output((3,)),
    }
    edges = [
        ("input", "lif"),
        ("lif", "first"),
        ("first", "second"),
        ("second", "scale"),
        ("scale", "lif"),
        ("second", "before"),
        ("lif", "now"),
    ]
    return ir.Graph(nodes, edges, allow_cycles=True, feedback=[("lif", "first")])


@torch.no_grad()
def test_a_node_that_passes_on_what_was_sent_before():
    """Its value has every step, where what is remembered has one."""
    graph = what_was_sent_before_is_passed_on()
    xs = torch.from_numpy(spikes(np.random.default_rng(1), 50, 40, 3))
    executor = imported(graph, torch.float64)
    found, state = executor.run(xs)
    assert None not in executor.network.programs.values()
    expected, after = imported(graph, torch.float64, events=False).run(xs)
    assert expected["now"].any()
    assert torch.equal(found["before"][1:], found["now"][:-1])
    for name, y in expected.items():
        assert torch.equal(found[name], y)
    assert torch.equal(state["lif"][0], after["lif"][0])


@pytest.mark.parametrize("outputs", [1, 2])
@torch.no_grad()
def test_a_layer_with_one_output_or_input_is_served(outputs):
    rng = np.random.default_rng(outputs)
    graph = chain(
        ("input", ir.Input((3 - outputs,))),
        ("fc", ir.Affine(grid(rng, outputs, 3 - outputs), grid(rng, outputs))),
        ("lif", lif(0.25)),
        ("output", ir.Output((outputs,))),
    )
    executor = imported(graph, torch.float64)
    (x,) = torch.ones(1, 2, 3 - outputs, dtype=torch.float64)
    executor(x)
    (program,) = executor.network.programs.values()
    assert program is not None
    assert program.frames.found is not None
