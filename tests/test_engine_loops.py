"""Loops of elementwise nodes and Affines as one list of instructions: the reference's bits."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from t1c import bridge, ir
from t1c.bridge.engine import program, stretch

from .engine_helpers import (
    assert_equal,
    every_way,
    grid,
    imported,
    inputs,
    mlp,
    referred,
    spikes,
    stage_by_stage,
    stepped,
    threads,
)
from .examples import drawn, examples
from .neuron_examples import adaptive, exponential, refractory
from .neuron_grammar import neurons

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def launched(monkeypatch):
    """No loop is worth generating; the lists of instructions that were carried out are listed."""
    done = []
    launch = program.Program.launch

    def noted(self, *rest):
        done.append(self)
        launch(self, *rest)

    monkeypatch.setattr(stretch, "WORTH", 10**9)
    monkeypatch.setattr(stretch, "LARGE", 10**9)
    monkeypatch.setattr(stretch, "at_hand", lambda *_: False)
    monkeypatch.setattr(program.Program, "launch", noted)
    return done


def feeding_back(neuron: ir.Graph, seed: int = 0, inputs: int = 4, outputs: int = 3) -> ir.Graph:
    """A neuron behind an Affine, whose spikes reach it again through another, and a readout."""
    (node,) = neuron.inputs().values()
    (size,) = node.shape
    rng = np.random.default_rng(seed)
    inner = {n: part for n, part in neuron.nodes.items() if n not in ("input", "output")}
    nodes = {
        "input": ir.Input((inputs,)),
        "fc": ir.Affine(grid(rng, size, inputs), grid(rng, size)),
        "sum": ir.Identity(),
        **inner,
        "late": ir.Delay(np.array(1), input_type={"input": np.array([size])}),
        "rec": ir.Affine(grid(rng, size, size), grid(rng, size)),
        "readout": ir.Linear(grid(rng, outputs, size)),
        "output": ir.Output((outputs,)),
    }
    renamed = {"input": "sum", "output": "late"}
    edges = [(renamed.get(a, a), renamed.get(b, b)) for a, b in neuron.edges]
    (last,) = [a for a, b in edges if b == "late"]
    edges += [("input", "fc"), ("fc", "sum"), ("late", "rec"), ("rec", "sum"),
              (last, "readout"), ("readout", "output")]  # fmt: skip
    return ir.Graph(nodes, edges, allow_cycles=True)


@st.composite
def recurrent_neurons(draw: Any) -> ir.Graph:
    """A random neuron, two of whose sources are reached by its own spikes through an Affine."""
    graph = draw(neurons(shapes=((3,),)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    nodes, edges = dict(graph.nodes), list(graph.edges)
    memories = [n for n, node in nodes.items() if isinstance(node, ir.Delay)]
    inside = [n for n in nodes if n not in graph.inputs() and not isinstance(nodes[n], ir.Output)]
    for k in range(draw(st.integers(1, 2))):
        # Spikes, weighed: on the grid such a sum is exact in any order.
        source = draw(st.sampled_from(inside))
        memory = draw(st.sampled_from(memories))
        nodes[f"fires{k}"] = ir.Threshold(grid(rng, 3), draw(st.sampled_from(["ge", "gt"])))
        bias = grid(rng, 3) if draw(st.booleans()) else None
        weight = grid(rng, 3, 3)
        nodes[f"rec{k}"] = ir.Linear(weight) if bias is None else ir.Affine(weight, bias)
        edges += [(source, f"fires{k}"), (f"fires{k}", f"rec{k}"), (f"rec{k}", memory)]
    return ir.Graph(nodes, edges, allow_cycles=True)


def sequence(graph: ir.Graph, steps: int, batch: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        name: rng.integers(-512, 513, (steps, batch, *node.shape)) / 256
        for name, node in graph.inputs().items()
    }


def assert_as_reference(graph: ir.Graph, dtype: Any, chunk: int | None, events: Any = None) -> int:
    """Run whole or in chunks, and stepped: every output and state, bit for bit; what was sent."""
    xs, kind = sequence(graph, 6, 3), torch.from_numpy(np.zeros((), dtype)).dtype
    with np.errstate(all="ignore"):
        expected, after = ir.Reference(graph, dtype).run(xs)
    executor = bridge.ir_to_torch(graph, dtype=kind, return_state=True, events=events)
    given = {name: torch.from_numpy(x).to(kind) for name, x in xs.items()}
    with torch.no_grad():
        outputs, state = executor.run(given, chunk=chunk)
        each: list[Any] = []
        now: dict[str, Any] = {}
        for t in range(6):
            y, now = executor({name: x[t] for name, x in given.items()}, now)
            each.append(y)
    for name, y in expected.items():
        assert np.array_equal(outputs[name].numpy(), y, equal_nan=True), name
        found = torch.stack([y[name] for y in each]).numpy()
        assert np.array_equal(found, y, equal_nan=True), name
    for states in (state, now):
        assert set(states) == set(after)
        for name, own in after.items():
            for v, wanted in zip(states[name], own, strict=True):
                assert np.array_equal(v.numpy(), wanted, equal_nan=True), name
    return sum(int((y > 0).sum()) for y in expected.values())


@pytest.mark.parametrize("fed_back", [True, False])
def test_any_neuron_in_a_loop_is_the_reference_bit_for_bit(launched, fed_back):
    sent = [0]

    @examples(40)
    @given(
        recurrent_neurons() if fed_back else neurons(),
        st.sampled_from([np.float32, np.float64]),
        st.sampled_from([None, 1, 4]),
        st.sampled_from([None, True, False] if fed_back else [None]),
    )
    def check(graph, dtype, chunk, events):
        before = len(launched)
        sent[0] += assert_as_reference(graph, dtype, chunk, events)
        worked = launched[before:]
        assert (not worked) if events is False else worked

    check()
    assert sent[0] > drawn(100)
    assert any(p.script.written for p in launched)


EXAMPLES = {
    "adaptive": lambda: feeding_back(adaptive(6)),
    "detuned": lambda: feeding_back(adaptive(6, detuned=True)),
    "refractory": lambda: feeding_back(refractory(6)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("narrow", [True, False])
@pytest.mark.parametrize("name", EXAMPLES)
@torch.no_grad()
def test_it_runs_and_steps_as_the_reference(name, narrow, dtype, monkeypatch, launched):
    if not narrow:
        monkeypatch.setattr("t1c.bridge.engine.sequence.NARROW", 0)
        monkeypatch.setattr("t1c.bridge.engine.sequence.LITTLE", 0)
    graph = EXAMPLES[name]()
    xs = torch.from_numpy(spikes(np.random.default_rng(1), 9, 4, 4)).to(dtype)
    executor = imported(graph, dtype)
    expected = referred(graph, xs, dtype)
    assert expected[0].any()
    for way, found in every_way(executor, xs):
        before = len(launched)
        assert_equal(found, expected, way)
        assert len(launched) >= before
    assert len({id(p) for p in launched}) == (1 if narrow else 2)
    for way in ("torch", "numba"):
        other = imported(graph, dtype, kernels=way, events=False)
        assert_equal(other.run(xs), expected, way)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@torch.no_grad()
def test_sums_in_the_written_order_have_the_references_bits_on_any_weights(dtype, launched):
    graph, rng = feeding_back(adaptive(6, detuned=True)), np.random.default_rng(2)
    nodes = dict(graph.nodes)
    for name in ("fc", "rec"):
        weight = rng.normal(size=nodes[name].weight.shape)
        nodes[name] = ir.Affine(weight, rng.normal(size=6) / 4)
    graph = ir.Graph(nodes, graph.edges, allow_cycles=True)
    xs = torch.from_numpy(rng.normal(size=(9, 4, 4))).to(dtype)
    expected = referred(graph, xs, dtype)
    assert expected[0].any()
    executor = imported(graph, dtype, reproducible=True)
    for way, found in every_way(executor, xs):
        assert_equal(found, expected, way)
    assert launched


@torch.no_grad()
def test_every_node_can_be_looked_at(launched):
    graph = feeding_back(refractory(6))
    xs = spikes(np.random.default_rng(1), 7, 2, 4)
    seen = imported(graph).trace(torch.from_numpy(xs).float())
    assert launched
    reference, state = ir.Reference(graph, np.float32), {}
    for t, x in enumerate(xs):
        values, state = reference.trace(x, state)
        for name, value in values.items():
            assert np.array_equal(seen[name][t].numpy(), value), name


def around_a_loop(how: str) -> ir.Graph:
    """Joins, parts, other shapes, one number for all, and what is accumulated, with a loop."""
    rng, graph = np.random.default_rng(3), feeding_back(adaptive(6))
    nodes = dict(graph.nodes) | {
        "gate": ir.Input((1,)),
        "part": ir.Slice(0, 2, 5),
        "joined": ir.Concat(0),
        "shape": ir.Reshape((3, 3)),
        "flat": ir.Flatten(),
        "gated": ir.Binary("multiply"),
        "mixed": ir.Affine(grid(rng, 3, 9), grid(rng, 3)),
        "both": ir.Skip("concatenate"),
        "rate": ir.Accumulate(how),
        "output": ir.Output((6,)),
    }
    edges = [e for e in graph.edges if e[1] != "output"]
    edges += [("spike", "part"), ("part", "joined"), ("spike", "joined"), ("joined", "shape"),
              ("shape", "flat"), ("flat", "gated"), ("gate", "gated"), ("gated", "mixed"),
              ("mixed", "both"), ("readout", "both"), ("both", "rate"),
              ("rate", "output")]  # fmt: skip
    return ir.Graph(nodes, edges, allow_cycles=True)


@pytest.mark.parametrize("how", ["sum", "mean", "max", "min"])
@torch.no_grad()
def test_what_stands_around_a_loop_is_worked_with_it(how, launched):
    graph, rng = around_a_loop(how), np.random.default_rng(1)
    xs = {"input": spikes(rng, 9, 4, 4), "gate": grid(rng, 9, 4, 1)}
    expected, after = ir.Reference(graph, np.float32).run(xs)
    assert expected.any()
    executor, given = imported(graph), {n: torch.from_numpy(x).float() for n, x in xs.items()}
    wanted = (
        torch.from_numpy(expected),
        {n: tuple(map(torch.as_tensor, own)) for n, own in after.items()},
    )
    for chunk in (None, 2):
        assert_equal(executor.run(given, chunk=chunk), wanted)
    assert len(launched) == 6
    state: Any = None
    for t, y in enumerate(wanted[0]):
        now, state = executor({n: x[t] for n, x in given.items()}, state)
        assert torch.equal(now, y)
    assert_equal((now, state), (now, wanted[1]))
    assert len(launched) == 15
    executor.node("part").node.start = 1
    executor.node("part").node.stop = 4
    with np.errstate(all="ignore"):
        nodes = dict(graph.nodes) | {"part": ir.Slice(0, 1, 4)}
        moved, _ = ir.Reference(ir.Graph(nodes, graph.edges, allow_cycles=True), np.float32).run(xs)
    assert not np.array_equal(moved, expected)
    assert np.array_equal(executor.run(given)[0], moved)


@torch.no_grad()
def test_a_long_delay_in_a_loop_is_stepped_by_modules(launched):
    graph = feeding_back(adaptive(6))
    nodes = dict(graph.nodes) | {
        "late": ir.Delay(np.array(20), input_type={"input": np.array([6])})
    }
    graph = ir.Graph(nodes, graph.edges, allow_cycles=True)
    xs = torch.from_numpy(spikes(np.random.default_rng(1), 24, 2, 4)).float()
    expected = referred(graph, xs, torch.float32)
    assert expected[0].any()
    executor = imported(graph)
    for found in (executor.run(xs), stepped(executor, xs)):
        assert_equal(found, expected)
    assert not any("late" in worked.names for worked in launched)


@torch.no_grad()
def test_a_small_network_is_worked_in_one_call(launched):
    graph, xs = mlp(), inputs()
    expected = referred(graph, xs, torch.float32)
    assert expected[0].any()
    executor = imported(graph)
    assert_equal(executor.run(xs), expected)
    assert len(launched) == 1
    (row,) = executor.explain().rows
    assert row.why == "little to do for a call"
    with stage_by_stage():
        assert_equal(executor.run(xs), expected)
    assert len(launched) == 1
    assert len(executor.explain().rows) > 1


@torch.no_grad()
def test_many_samples_on_several_threads(launched):
    graph = feeding_back(adaptive(150, detuned=True))
    xs = torch.from_numpy(spikes(np.random.default_rng(1), 8, 100, 4)).float()
    expected = referred(graph, xs, torch.float32)
    for count in (1, 2):
        with threads(count):
            assert_equal(imported(graph).run(xs), expected)
    assert sum("v" in worked.names for worked in launched) == 2
    assert expected[1]["v"][0].any()


@torch.no_grad()
def test_a_step_of_a_function_that_libraries_round_is_a_step_of_a_run(launched):
    graph = feeding_back(exponential(6))
    nodes, edges = dict(graph.nodes), list(graph.edges)
    # What no instruction serves: a step of the whole graph is no list of instructions.
    nodes["soft"] = ir.Softmax(3)
    edges = [e for e in edges if e[1] != "output"] + [("readout", "soft"), ("soft", "output")]
    executor = imported(ir.Graph(nodes, edges, allow_cycles=True))
    xs = torch.from_numpy(spikes(np.random.default_rng(1), 12, 3, 4)).float() / 4
    whole = executor.run(xs)
    assert_equal(stepped(executor, xs), whole)
    assert len(launched) == 13
    defined = imported(ir.Graph(nodes, edges, allow_cycles=True), kernels="torch").run(xs)[0]
    torch.testing.assert_close(whole[0], defined)


def test_gradients_are_those_of_stepping_by_modules(launched):
    graph, found = feeding_back(adaptive(6)), []
    xs = torch.from_numpy(spikes(np.random.default_rng(1), 9, 4, 4))
    for kernels in (None, "torch"):
        executor = imported(graph, torch.float64, kernels=kernels)
        for call in (executor.run, lambda xs, executor=executor: stepped(executor, xs)):
            executor.zero_grad()
            call(xs)[0].square().sum().backward()
            found.append([p.grad.clone() for p in executor.parameters()])
    assert not launched
    assert all(float(g.abs().sum()) for g in found[0])
    for other in found[1:]:
        for g, e in zip(other, found[0], strict=True):
            torch.testing.assert_close(g, e)


def test_hooks_are_called_at_every_step(launched):
    executor, called = imported(feeding_back(adaptive(6))), []
    xs = torch.ones(5, 1, 4)
    with torch.no_grad():
        before = executor.run(xs)
        executor.node("raised").register_forward_hook(lambda *_: called.append(1))
        assert_equal(executor.run(xs), before)
    assert len(called) == 5
    assert "raised" in launched[0].names
    assert not any("raised" in worked.names for worked in launched[1:])


# Nothing stale ------------------------------------------------------------------------------------


def through_data(executor: Any) -> None:
    executor.node("faded").scale.data.fill_(0.5)


def through_numpy(executor: Any) -> None:
    executor.node("threshold").shift.detach().numpy()[...] = -0.5


def by_a_fused_optimizer(executor: Any) -> None:
    shift = executor.node("threshold").shift
    shift.grad = torch.ones_like(shift)
    torch.optim.SGD([shift], lr=1.0, fused=True).step()


def replaced(executor: Any) -> None:
    executor.raised = bridge.node_to_module(ir.Scale(np.array(4.0)))


def another_option(executor: Any) -> None:
    executor.node("spike").node.op = "maximum"


def another_node(executor: Any) -> None:
    executor.node("lost").node = ir.Binary("maximum")


def another_start(executor: Any) -> None:
    executor.node("v").initial.fill_(2.0)


def another_input(executor: Any) -> None:
    executor.input = Doubling()


def another_class(executor: Any) -> None:
    executor.node("raised").__class__ = Halving


class Doubling(torch.nn.Identity):
    """A module of the user's, in the place of what only passes on."""

    def forward(self, x):
        return 2 * x


class Halving(type(bridge.node_to_module(ir.Scale(np.array(1.0))))):  # type: ignore[misc]
    """What a Scale may be made of afterwards."""

    def forward(self, x):
        return super().forward(x) / 2


CHANGES = [through_data, through_numpy, by_a_fused_optimizer, replaced, another_option,
           another_node, another_start, another_input, another_class]  # fmt: skip


@pytest.mark.grid(2)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("recurrent", [True, False])
@pytest.mark.parametrize("generated", [True, False])
def test_a_change_of_a_neuron_is_seen(change, recurrent, generated, monkeypatch, launched):
    if generated:
        monkeypatch.setattr(stretch, "WORTH", 0)
        monkeypatch.setattr(stretch, "OFTEN", 0)
        monkeypatch.setattr("t1c.bridge.engine.sequence.NARROW", 0)
        monkeypatch.setattr("t1c.bridge.engine.sequence.LITTLE", 0)
    graph = feeding_back(adaptive(6)) if recurrent else adaptive(4)
    executor = imported(graph)
    xs = torch.from_numpy(spikes(np.random.default_rng(1), 12, 3, 4)).float() / 2
    with torch.no_grad():
        *_, (_, before) = every_way(executor, xs)
        change(executor)
        other = copy.deepcopy(executor)
        other.kernels, other.events = "torch", False
        expected = stepped(other, xs)
        assert not torch.equal(expected[1]["a"][0], before[1]["a"][0])
        for way, found in every_way(executor, xs):
            assert_equal(found, expected, way)
    assert launched or generated


def test_a_neuron_that_learns_is_seen():
    """Runs with and without gradients in turn, as in training and validation."""
    executor = imported(feeding_back(adaptive(6)))
    xs = torch.from_numpy(spikes(np.random.default_rng(1), 12, 3, 4)).float()
    shift = executor.node("threshold").shift
    seen = set()
    for _ in range(4):
        with torch.no_grad():
            found = executor.run(xs)
            other = copy.deepcopy(executor)
            other.kernels, other.events = "torch", False
            assert_equal(found, stepped(other, xs))
        seen.add(float(found[1]["a"][0].sum()))
        y, _ = executor.run(xs)
        shift.grad = None
        y.sum().backward()
        assert shift.grad.abs().sum() > 0
        with torch.no_grad():
            shift -= 0.125 * shift.grad.sign()
    assert len(seen) > 1
