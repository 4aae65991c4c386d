"""One meaning in every mode: stepping, running, chunks and batches give the reference's numbers."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, event, given
from hypothesis import strategies as st

from t1c import bridge, ir
from t1c.ir.shapes import as_shape

from .examples import examples
from .strategies import grid_graphs
from .strategies_executor import chain, networks, sequences, sums_are_exact

DTYPES = {torch.float32: np.float32, torch.float64: np.float64}
many = examples(100, suppress_health_check=list(HealthCheck))
some = examples(40, suppress_health_check=list(HealthCheck))


pytestmark = pytest.mark.usefixtures("one_thread")


def tensors(xs, dtype):
    return {name: torch.from_numpy(x).to(dtype) for name, x in xs.items()}


def each(f, xs):
    return {name: f(x) for name, x in xs.items()}


def by_name(outputs, graph):
    names = list(graph.outputs())
    return outputs if len(names) > 1 else {names[0]: outputs}


def sends(graph, name):
    """The shape of what a node sends."""
    return as_shape((graph.nodes[name].output_type or {})["output"])


def stepped(executor, graph, xs, state=None):
    """Outputs (T, B, ...) and the last state of an executor that is called once for each step."""
    steps = []
    for t in range(len(next(iter(xs.values())))):
        out, state = executor(each(lambda x, t=t: x[t], xs), state)
        steps.append(by_name(out, graph))
    return {name: torch.stack([step[name] for step in steps]) for name in steps[0]}, state


def assert_same(found, expected):
    """Equal bit for bit: names, shapes, dtypes, values."""
    assert set(found) == set(expected)
    for name, value in expected.items():
        value = torch.as_tensor(value)
        assert found[name].dtype == value.dtype, name
        assert found[name].shape == value.shape, name
        assert torch.equal(found[name], value), name


def assert_same_state(found, expected):
    assert set(found) == set(expected)
    for name, own in expected.items():
        assert type(found[name]) is tuple
        assert_same(dict(enumerate(found[name])), dict(enumerate(own)))


def reference_trace(graph, xs, dtype):
    """What every node of the reference sends at every step, and its last state."""
    reference = ir.Reference(graph, DTYPES[dtype])
    state: dict[str, Any] = {}
    steps = []
    for t in range(len(next(iter(xs.values())))):
        values, state = reference.trace(each(lambda x, t=t: x[t], xs), state)
        steps.append(values)
    return {name: np.stack([step[name] for step in steps]) for name in graph.nodes}, state


# On the grid: bit for bit --------------------------------------------------------------------


@torch.no_grad()
def assert_every_way_agrees(graph, xs, dtype, cut):
    executor = bridge.ir_to_torch(graph, return_state=True, dtype=dtype)
    expected, last = reference_trace(graph, xs, dtype)
    assume(sums_are_exact(graph, expected))
    inputs = tensors(xs, dtype)
    spikes = sum(expected[n].sum() for n, node in graph.nodes.items() if isinstance(node, ir.LIF))
    event(f"spikes: {spikes > 0}")

    assert_same(executor.trace(inputs), expected)
    outputs = {name: expected[name] for name in graph.outputs()}

    whole, state = executor.run(inputs, collect="stack")
    assert_same(by_name(whole, graph), outputs)
    assert_same_state(state, last)
    assert_answers_agree(executor, xs, dtype, outputs)

    stepwise, state = stepped(executor, graph, inputs)
    assert_same(stepwise, outputs)
    assert_same_state(state, last)

    # In chunks, one of them stepped, one perhaps empty.
    first, state = executor.run(each(lambda x: x[:cut], inputs), collect="stack")
    found = by_name(first, graph)
    if cut < len(next(iter(xs.values()))):
        second, state = stepped(executor, graph, each(lambda x: x[cut:], inputs), state)
        found = {name: torch.cat([found[name], second[name]]) for name in found}
    assert_same(found, outputs)
    assert_same_state({n: own for n, own in state.items() if n in last}, last)

    # Among other samples, and alone.
    size = len(next(iter(xs.values()))[0])
    bigger = each(lambda x: torch.cat([1 - x, x], dim=1), inputs)
    more, state = executor.run(bigger, collect="stack")
    assert_same(each(lambda y: y[:, size:], by_name(more, graph)), outputs)
    assert_same_state({n: tuple(v[size:] for v in own) for n, own in state.items()}, last)
    alone, _ = executor.run(each(lambda x: x[:, :1], inputs), collect="stack")
    assert_same(by_name(alone, graph), each(lambda y: y[:, :1], outputs))


def assert_answers_agree(executor, xs, dtype, outputs):
    """What is returned unasked: of final outputs the last step; inputs held still are held."""
    graph = executor.graph
    final = {name for name, node in graph.outputs().items() if node.final}
    answer, _ = executor.run(tensors(xs, dtype))
    assert_same(by_name(answer, graph), {n: y[-1] if n in final else y for n, y in outputs.items()})
    held = {name for name, node in graph.inputs().items() if node.hold is not None}
    event(f"final: {bool(final)}, held: {bool(held)}")
    if not held:
        return
    still = {name: x[0] if name in held else x for name, x in xs.items()}
    steps = len(next(iter(xs.values())))
    expected, last = ir.Reference(graph, DTYPES[dtype]).run(still, steps=steps)
    for chunk in (None, 2):
        found, state = executor.run(tensors(still, dtype), steps=steps, chunk=chunk)
        assert_same(by_name(found, graph), by_name(expected, graph))
        assert_same_state(state, last)


@many
@given(st.data())
def test_every_way_of_running_gives_the_reference_bit_for_bit(data):
    dtype = data.draw(st.sampled_from(list(DTYPES)))
    graph = data.draw(networks())
    xs = data.draw(sequences(graph))
    cut = data.draw(st.integers(0, len(next(iter(xs.values())))))
    assert_every_way_agrees(graph, xs, dtype, cut)


@many
@given(st.data())
def test_cycles_give_the_reference_bit_for_bit_in_every_way(data):
    dtype = data.draw(st.sampled_from(list(DTYPES)))
    graph = data.draw(networks(cyclic=True))
    event(f"nodes in the largest loop: {max(map(len, graph.topology().loops()))}")
    xs = data.draw(sequences(graph))
    cut = data.draw(st.integers(0, len(next(iter(xs.values())))))
    assert_every_way_agrees(graph, xs, dtype, cut)


# torch says that it copies; the numbers are what they should be.
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@many
@given(st.data())
def test_graphs_of_every_exact_primitive_give_the_reference_bit_for_bit(data):
    graph = data.draw(grid_graphs(notes=False))
    dtype = data.draw(st.sampled_from(list(DTYPES)))
    xs = data.draw(sequences(graph))
    with np.errstate(invalid="ignore"):
        values, _ = reference_trace(graph, xs, dtype)
    # A dilated window of MaxPool2d can lie in the padding as a whole: -inf, in torch as well.
    assume(all(np.isfinite(v).all() for v in values.values()))
    assert_every_way_agrees(graph, xs, dtype, len(next(iter(xs.values()))) // 2)


def test_the_shapes_in_a_loop_do_not_depend_on_the_order_of_nodes():
    flat, one = np.full(12, 2.0), np.ones(1)
    neurons = {name: ir.LIF(flat, one, 0 * one, one) for name in ("back", "lif")}
    ends = {"input": ir.Input((2, 3, 2)), "output": ir.Output((2, 3, 2))}
    edges = [("input", "lif"), ("lif", "back"), ("back", "lif"), ("lif", "output")]
    graph = ir.Graph({**neurons, **ends}, edges, allow_cycles=True)
    assert sends(graph, "back") == (2, 3, 2)


@some
@given(st.data())
@torch.no_grad()
def test_an_executor_built_by_hand_from_a_graphs_modules_is_the_imported_one(data):
    graph = data.draw(networks(cyclic=data.draw(st.booleans())))
    inputs = tensors(data.draw(sequences(graph)), torch.float32)
    imported = bridge.ir_to_torch(graph)
    by_hand = bridge.GraphExecutor(bridge.from_ir(graph), graph.edges)
    assert by_hand.plan == imported.plan
    found, state = by_hand.run(inputs)
    expected, last = imported.run(inputs)
    assert_same(by_name(found, graph), by_name(expected, graph))
    assert_same_state(state, last)


@some
@given(st.data())
@torch.no_grad()
def test_a_graph_keeps_its_numbers_through_a_file(tmp_path_factory, data):
    graph = data.draw(networks(cyclic=data.draw(st.booleans())))
    inputs = tensors(data.draw(sequences(graph)), torch.float32)
    path = tmp_path_factory.mktemp("files") / "model.t1c"
    ir.write(path, graph)
    found, state = bridge.load(path).run(inputs)
    expected, last = bridge.ir_to_torch(graph).run(inputs)
    assert_same(by_name(found, graph), by_name(expected, graph))
    assert_same_state(state, last)


@pytest.mark.parametrize("cyclic", [False, True])
@some
@given(st.data())
@torch.no_grad()
def test_no_steps_and_no_samples(cyclic, data):
    graph = data.draw(networks(cyclic=cyclic))
    executor = bridge.ir_to_torch(graph, return_state=True)
    xs = tensors(data.draw(sequences(graph)), torch.float32)
    steps, size = next(iter(xs.values())).shape[:2]
    shapes = {name: node.shape for name, node in graph.outputs().items()}

    none, state = executor.run(each(lambda x: x[:0], xs))
    assert each(lambda y: y.shape, by_name(none, graph)) == each(lambda s: (0, size, *s), shapes)
    assert all(not v.any() for own in state.values() for v in own)
    # No steps leave a state as it was, and lead nowhere.
    _, state = executor.run(xs)
    again, same = executor.run(each(lambda x: x[:0], xs), state)
    assert_same_state(same, state)
    assert each(lambda y: len(y), by_name(again, graph)) == dict.fromkeys(shapes, 0)

    nobody = each(lambda x: x[:, :0], xs)
    out, state = executor.run(nobody)
    assert each(lambda y: y.shape, by_name(out, graph)) == each(lambda s: (steps, 0, *s), shapes)
    out, state = executor(each(lambda x: x[0], nobody), state)
    assert each(lambda y: y.shape, by_name(out, graph)) == each(lambda s: (0, *s), shapes)
    for name, own in state.items():
        assert all(v.shape == (0, *sends(graph, name)) for v in own)


# Off the grid: within rounding ------------------------------------------------------------------


def membranes(graph, xs):
    """What each neuron of the float64 reference compares with its threshold: (T, B, ...)."""
    reference = ir.Reference(graph)
    state: dict[str, Any] = {}
    found: dict[str, list[Any]] = {n: [] for n, v in graph.nodes.items() if isinstance(v, ir.LIF)}
    for t in range(len(next(iter(xs.values())))):
        values, after = reference.trace(each(lambda x, t=t: x[t], xs), state)
        for name, us in found.items():
            node = graph.nodes[name]
            deaf = node.replace(v_threshold=np.array(1e300))  # never fires, so never resets
            sources = [values[a.name] for a in reference.plan.sources[name]]
            x = node.merge_values(sources) if sources else np.zeros_like(values[name])
            own = state.get(name, node.initial_state(x.shape, x.dtype))
            us.append(deaf.step(x, own)[1][0])
        state = after
    return {name: np.stack(us) for name, us in found.items()}


def check_differing_spikes(graph, xs, executor=None, tolerance=1e-5):
    """Where float32 first parts from the reference, the membrane is within rounding of firing.

    ``tolerance`` is relative to the largest number in the network. Returns how many samples part.
    """
    executor = executor or bridge.ir_to_torch(graph)
    with torch.no_grad():
        found = executor.trace(tensors(xs, torch.float32))
    expected, _ = reference_trace(graph, xs, torch.float64)
    tolerance *= max(1, *(np.abs(v).max() for v in expected.values()))
    us = membranes(graph, xs)
    topology = graph.topology()
    steps, size = next(iter(xs.values())).shape[:2]
    parted = 0
    for b in range(size):
        differs = {n: found[n][:, b].numpy() != expected[n][:, b] for n in us}
        when = [t for t in range(steps) if any(d[t].any() for d in differs.values())]
        same = when[0] if when else steps
        for name in graph.outputs():
            # Before that, rounding is all there is.
            np.testing.assert_allclose(
                found[name][:same, b].numpy(), expected[name][:same, b], rtol=1e-4, atol=1e-4
            )
        if not when:
            continue
        parted += 1
        for name, d in differs.items():
            upstream = topology.leading_to(topology.before[name])
            if not d[same].any() or any(differs[n][same].any() for n in upstream & set(us)):
                continue
            features = expected[name].shape[2:]
            laid = np.zeros((1, *features))
            threshold = graph.nodes[name].coefficients(laid)["v_threshold"]
            gap = np.abs(us[name][same, b] - np.broadcast_to(threshold, features))[d[same]]
            assert (gap <= tolerance).all(), (name, same, gap)
    return parted


@some
@given(st.data())
def test_a_differing_spike_lies_within_rounding_of_its_threshold(data):
    graph = data.draw(networks(grid=False, plain=True))
    xs = data.draw(sequences(graph, grid=False))
    # Thresholds at membranes that do occur, so that float32 and float64 have to disagree.
    for name in graph.topology().order():
        node = graph.nodes[name]
        if isinstance(node, ir.LIF):
            us = membranes(graph, xs)[name]
            node.v_threshold = us[-1, 0]
    event(f"parted: {check_differing_spikes(graph, xs) > 0}")


def at_its_thresholds():
    """A layer of neurons, one of whose membranes comes to 1e-9 of each threshold, and inputs."""
    rng = np.random.default_rng(5)
    fc = ir.Affine(rng.normal(0, 0.3, (64, 20)), rng.normal(0, 0.3, 64))
    tau, never = np.full(64, 3.0), np.full(64, 1e3)
    lif = ir.LIF(tau=tau, r=tau, v_leak=0 * tau, v_threshold=never)
    ends = ("input", ir.Input((20,))), ("output", ir.Output((64,)))
    graph = chain(ends[0], ("fc", fc), ("lif", lif), ends[1])
    xs = {"input": rng.normal(0.5, 1, (6, 16, 20))}
    graph.nodes["lif"].v_threshold = membranes(graph, xs)["lif"][2, 0] + 1e-9
    return graph, xs


def test_spikes_that_differ_are_seen():
    assert check_differing_spikes(*at_its_thresholds()) > 0


def test_spikes_that_differ_by_more_than_rounding_are_not_excused():
    graph, xs = at_its_thresholds()
    with pytest.raises(AssertionError, match="lif"):
        check_differing_spikes(graph, xs, tolerance=1e-12)
    executor: Any = bridge.ir_to_torch(graph)
    executor.lif.v_threshold += 0.01
    with pytest.raises(AssertionError, match="lif"):
        check_differing_spikes(graph, xs, executor)
