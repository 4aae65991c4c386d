"""What a profile tells: against counts by hand, and those of the float64 reference."""

import doctest
import importlib
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, event, given
from hypothesis import strategies as st

from t1c import bridge, ir, nir, sdk
from t1c.sdk.measure import FLOAT32_45NM, INT8_45NM, profile

from .examples import examples
from .neuron_examples import adaptive, refractory
from .strategies_executor import chain, networks, sequences
from .test_analyze import DIGITS, FILES, NIR_FILES, valid
from .test_executor import reference_trace
from .test_recording import reference_values

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_examples_of_docstrings_run():
    for name in ("profile", "operations", "energy"):
        module = importlib.import_module(f"t1c.sdk.measure.{name}")
        found = doctest.testmod(module)
        assert found.attempted > 1
        assert found.failed == 0
    assert doctest.testmod(importlib.import_module("t1c.sdk.samples")).failed == 0


def small():
    """Two neurons that a third of weights reach: one is dead, one fires whenever it is fed."""
    return chain(
        ("input", ir.Input((3,))),
        ("fc", ir.Affine(np.array([[1.0, 0.0, 1.0], [-1.0, 0.0, 0.0]]), np.zeros(2))),
        ("if", ir.IF(np.array(1.0))),
        ("fc2", ir.Linear(np.array([[0.5, 0.5]]))),
        ("relu", ir.ReLU(1)),
        ("fc3", ir.Linear(np.ones((2, 1)))),
        ("output", ir.Output((2,))),
    )


def test_everything_of_a_small_network_by_hand():
    # Two samples of four steps, of spikes but for one step of the second sample.
    a = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]
    b = [[1, 1, 1], [0, 0, 0], [1, 0, 0], [0.5, 0, 0]]
    xs = np.stack([a, b], axis=1).astype(float)
    found = sdk.profile_graph(small(), xs, dt=1e-3, saturated=0.5)
    assert (found.weights, found.state, found.macs) == (8 * (6 + 2 + 1 + 1 + 2 + 2), 8, 10)
    assert found.activations == 4 * (3 + 2 + 2 + 1 + 1 + 2 + 2)
    # Biases are no connections: three of six weights are zero, of ten in all.
    assert found.connection_sparsity == 3 / 10
    did = found.measured
    assert (did.samples, did.steps) == (2, 4)
    neuron, relu = did.activity
    # The first neuron fires at a1, a3, b1 (once), b3; at b4 it is at 0.5. The second never does.
    assert (neuron.spikes, neuron.active.tolist()) == (4, [4, 0])
    assert (neuron.rate, neuron.sparsity) == (4 / 16, 12 / 16)
    assert (neuron.dead, neuron.saturated) == (1, 1)
    assert (relu.spiking, relu.spikes, relu.sparsity) == (False, None, 4 / 8)
    assert did.activation_sparsity == 16 / 24
    assert did.spikes == 2
    fc, fc2, fc3 = did.operations
    # Weights met: 2 for the first input, 0 for the second, 1 for the third. Three steps of spikes;
    # the last step of both samples is graded, for b has 0.5 in it.
    assert (fc.dense, fc.acs, fc.macs) == (6 * 4, (2 + 0 + 1 + 3 + 2) / 2, 2 / 2)
    assert (fc2.dense, fc2.acs, fc2.macs) == (2 * 4, 4 / 2, 0)
    # What comes out of fc2 is 0.5.
    assert (fc3.dense, fc3.acs, fc3.macs) == (2 * 4, 0, 8 / 2)
    assert (did.dense, did.effective_macs, did.effective_acs) == (40, 5, 6)
    assert did.energy.effective == pytest.approx((5 * 4.6 + 6 * 0.9) * 1e-12)
    assert did.energy.dense == pytest.approx(40 * 4.6e-12)
    text = str(found)
    for words in ("250", "1 (50 %)", "estimate", "4.6 pJ", "Horowitz", "30 %", "28.4 pJ"):
        assert words in text
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["measured"]["activity"][0]["dead"] == 1
    assert told["measured"]["spikes"] == 2
    assert told["weights"] == found.weights


def test_the_table_of_energy_can_be_replaced():
    xs = np.ones((1, 1, 3))
    mine = sdk.EnergyTable("mine", "measured at home", mac=10, ac=2)
    did = sdk.profile_graph(small(), xs, energy=mine).measured
    expected = (did.effective_macs * 10 + did.effective_acs * 2) * 1e-12
    assert did.energy.effective == pytest.approx(expected)
    assert "measured at home" in str(sdk.profile_graph(small(), xs, energy=mine))
    # Figures of the paper: an addition and a product make up a MAC.
    assert FLOAT32_45NM.mac == pytest.approx(3.7 + FLOAT32_45NM.ac)
    assert INT8_45NM.mac == pytest.approx(0.2 + INT8_45NM.ac)


@examples(20, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_activity_is_that_of_the_reference(data):
    graph = data.draw(networks(every=True, cyclic=data.draw(st.booleans())))
    xs = data.draw(sequences(graph))
    batch_size = data.draw(st.integers(1, 4))
    values, _ = reference_trace(graph, xs, torch.float64)
    found = sdk.profile_graph(graph, xs, batch_size=batch_size, dtype="float64").measured
    event(f"spikes: {found.spikes > 0}")
    steps, count = next(iter(xs.values())).shape[:2]
    fired = [n for n, node in graph.nodes.items() if hasattr(node, "fires_at")]
    assert {node.name for node in found.activity if node.spiking} == set(fired)
    for node in found.activity:
        y = values[node.name]
        assert np.array_equal(node.active, (y != 0).sum((0, 1)))
        assert node.dead == (y == 0).all((0, 1)).sum()
        assert node.saturated == ((y != 0).mean((0, 1)) >= 0.95).sum()
        assert node.neurons == y[0, 0].size
        if node.spiking:
            assert node.spikes == y.sum()
            assert node.rate == pytest.approx(y.sum() / y.size)
    assert (found.steps, found.samples) == (steps, count)


def test_pieces_of_time_and_of_samples_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    graph = recurrent(rng)
    xs = rng.integers(0, 2, (50, 6, 5)).astype(float)
    whole = sdk.profile_graph(graph, xs).measured
    monkeypatch.setattr(profile, "STEPS_AT_ONCE", 7)
    assert whole.spikes > 20
    for batch_size in (6, 4, 1):
        parts = sdk.profile_graph(graph, xs, batch_size=batch_size).measured
        assert parts.operations == whole.operations
        for mine, theirs in zip(parts.activity, whole.activity, strict=True):
            assert np.array_equal(mine.active, theirs.active)


def recurrent(rng):
    weights = rng.integers(-64, 128, (4, 4)) / 256
    return ir.Graph(
        {
            "input": ir.Input((5,)),
            "fc": ir.Affine(rng.integers(-64, 192, (4, 5)) / 256, np.zeros(4)),
            "lif": ir.LIF(*map(np.array, (2.0, 2.0, 0.0, 0.5))),
            "back": ir.Linear(weights),
            "output": ir.Output((4,)),
        },
        [("input", "fc"), ("fc", "lif"), ("back", "lif"), ("lif", "back"), ("lif", "output")],
        allow_cycles=True,
    )


def test_a_layer_on_the_way_back_counts_what_was_sent_a_step_before():
    rng = np.random.default_rng(1)
    graph = recurrent(rng)
    xs = rng.integers(0, 2, (30, 3, 5)).astype(float)
    values, _ = reference_trace(graph, {"input": xs}, torch.float32)
    found = {n.name: n for n in sdk.profile_graph(graph, xs).measured.operations}
    met = (graph.nodes["back"].weight != 0).sum(0)
    assert values["lif"].sum() > 20
    assert found["back"].acs == (values["lif"][:-1] * met).sum() / 3
    assert found["back"].dense == 16 * 30


def test_products_and_transposed_convolutions_are_told_apart():
    rng = np.random.default_rng(0)
    weight, a, b = rng.integers(-1, 2, (2, 3, 3, 2)), rng.integers(0, 2, (6, 2, 3, 4)), None
    b = rng.integers(0, 2, (6, 2, 4, 5)) * rng.random((6, 2, 4, 5))
    graph = ir.Graph(
        {
            "a": ir.Input((3, 4)),
            "b": ir.Input((4, 5)),
            "map": ir.Input((2, 4, 4)),
            "product": ir.MatMul(),
            "up": ir.ConvTranspose2d(weight.astype(float), np.zeros(3), (2, 1), (1, 0)),
            "out": ir.Output((3, 5)),
            "out2": ir.Output((3, 7, 5)),
        },
        [("a", "product"), ("b", "product"), ("map", "up"), ("product", "out"), ("up", "out2")],
    )
    maps = rng.integers(0, 3, (6, 2, 2, 4, 4))
    found = sdk.profile_graph(graph, {"a": a, "b": b, "map": maps}).measured
    product, up = found.operations
    pairs = np.einsum("tbij,tbjk->", (a != 0).astype(int), (b != 0).astype(int))
    assert (product.acs, product.macs) == (pairs / 2, 0)
    assert product.dense == 3 * 4 * 5 * 6
    met = torch.nn.functional.conv_transpose2d(
        torch.from_numpy(maps != 0).double().flatten(0, 1),
        torch.from_numpy(weight != 0).double(),
        stride=(2, 1),
        padding=(1, 0),
    ).sum()
    assert up.macs == met.item() / 2
    assert up.acs == 0
    assert product.beyond
    assert up.beyond
    assert found.dense == 0
    assert found.energy.effective > 0
    assert "not in NeuroBench" in str(sdk.profile_graph(graph, {"a": a, "b": b, "map": maps}))


def test_separable_convolutions_count_both_parts():
    rng = np.random.default_rng(0)
    deep = rng.integers(-1, 2, (3, 1, 3, 3)).astype(float)
    point = rng.integers(-1, 2, (4, 3, 1, 1)).astype(float)
    node = ir.SepConv2d(deep, point, np.ones(3), None, (2, 2), (1, 1))
    graph = chain(("in", ir.Input((3, 6, 6))), ("sep", node), ("out", ir.Output((4, 3, 3))))
    xs = rng.integers(0, 2, (5, 2, 3, 6, 6))
    (found,) = sdk.profile_graph(graph, xs).measured.operations
    x = torch.from_numpy(xs).double().flatten(0, 1)
    functional = torch.nn.functional
    weights = torch.from_numpy(deep), torch.from_numpy(point)
    binary = [(w != 0).double() for w in weights]
    first = functional.conv2d(x, binary[0], None, 2, 1, groups=3).sum()
    between = functional.conv2d(x, weights[0], torch.ones(3).double(), 2, 1, groups=3)
    second = functional.conv2d((between != 0).double(), binary[1]).sum()
    assert (found.acs, found.macs) == (first.item() / 2, second.item() / 2)
    taps = functional.conv2d(torch.ones(1, 3, 6, 6), torch.ones(3, 1, 3, 3), None, 2, 1, groups=3)
    assert found.dense == (taps.sum().item() + 9 * 12) * 5


def test_neurons_that_are_graphs_and_nested_layers_are_told_by_name():
    block = chain(
        ("input", ir.Input((4,))),
        ("fc", ir.Affine(np.eye(4), np.zeros(4))),
        ("lif", ir.LIF(*map(np.array, (1.0, 1.0, 0.0, 0.5)))),
        ("own", refractory(4)),
        ("output", ir.Output((4,))),
    )
    graph = chain(
        ("input", ir.Input((4,))),
        ("block", block),
        ("1", adaptive(4)),
        ("output", ir.Output((4,))),
    )
    xs = np.random.default_rng(0).integers(0, 3, (30, 2, 4)) / 2
    found = sdk.profile_graph(graph, xs)
    values = list(reference_values(graph, torch.from_numpy(xs).float()))
    sent = {"block/lif": "block/lif", "block/own": "block/own/output", "1": "1/output"}
    activity = {node.name: node for node in found.measured.activity}
    assert set(activity) == set(sent)
    for name, inside in sent.items():
        assert activity[name].spikes == sum(step[inside].sum() for step in values) > 10
    assert [node.name for node in found.measured.operations] == ["block/fc"]
    assert [node.name for node in found.nodes] == list(graph.nodes)


def test_inputs_come_as_arrays_files_and_samples(tmp_path):
    rng = np.random.default_rng(0)
    still = rng.random((3, 2))
    graph = ir.Graph(
        {
            "a": ir.Input((2,), hold=6),
            "b": ir.Input((2,)),
            "lif": ir.LIF(*map(np.array, (2.0, 2.0, 0.0, 0.5))),
            "mean": ir.Accumulate("mean"),
            "out": ir.Output((2,), final=True),
            "out2": ir.Output((2,)),
        },
        [("a", "lif"), ("b", "lif"), ("lif", "mean"), ("mean", "out"), ("lif", "out2")],
    )
    moving = rng.random((6, 3, 2)) < 0.5
    np.savez(tmp_path / "data.npz", **{"x/a": still, "x/b": moving})
    ways = [
        {"a": still, "b": moving},
        {"a": torch.from_numpy(still), "b": torch.from_numpy(moving)},
        tmp_path / "data.npz",
        sdk.read_samples(tmp_path / "data.npz", graph),
        {"a": np.broadcast_to(still, (6, 3, 2)), "b": moving},
    ]
    for given_ in ways:
        did = sdk.profile_graph(graph, given_).measured
        assert (did.steps, did.samples) == (6, 3)
        assert did.spikes > 2
        assert did.spikes == sdk.profile_graph(graph, ways[0]).measured.spikes
    single = chain(("in", ir.Input((2,))), ("if", ir.IF(np.array(1.0))), ("out", ir.Output((2,))))
    assert sdk.profile_graph(single, still, steps=9).measured.steps == 9
    with pytest.raises(ir.InputError, match="nothing says for how many steps"):
        sdk.profile_graph(single, still)
    with pytest.raises(ir.InputError, match=r"inputs for \['c'\].*one for each Input: 'in'"):
        sdk.profile_graph(single, {"c": still})
    with pytest.raises(ir.InputError, match="one for each Input: 'a', 'b'"):
        sdk.profile_graph(graph, still)
    with pytest.raises(ir.InputError, match=r"input 'in': shape \(3, 5\)"):
        sdk.profile_graph(single, np.ones((3, 5)))
    with pytest.raises(ir.InputError, match="NaN"):
        sdk.profile_graph(single, np.full((2, 1, 2), np.nan))
    with pytest.raises(ir.InputError, match="saturated=0"):
        sdk.profile_graph(single, still, saturated=0)


def test_every_file_is_profiled():
    """Each with random inputs; figures are finite and hang together."""
    rng = np.random.default_rng(0)
    fired = 0
    for path, graph in valid([*FILES, *NIR_FILES]):
        xs = {n: rng.integers(0, 3, (5, 2, *x.shape)) for n, x in graph.inputs().items()}
        found = sdk.profile_graph(path, xs, dt=1e-4 if path.suffix == ".nir" else None)
        json.dumps(found.to_dict(), allow_nan=False)
        assert str(found)
        did = found.measured
        fired += did.spikes > 0
        assert did.uncounted == ()
        for node in did.operations:
            assert node.macs + node.acs <= node.dense
            assert node.dense <= 5 * graph.macs()
    assert fired > 10


def test_the_digits_are_profiled_as_they_run():
    data = Path(DIGITS).with_name("digits_test.npz")
    graph = ir.read(DIGITS)
    did = sdk.profile_graph(DIGITS, data).measured
    samples = sdk.read_samples(data, graph)
    executor = bridge.ir_to_torch(graph, trainable=False)
    xs = torch.from_numpy(np.array(samples.inputs["input"])).float()
    sent = executor.trace(xs)
    assert [node.name for node in did.activity] == ["lif1", "lif2", "lif3"]
    for node in did.activity:
        assert node.spikes == sent[node.name].double().sum().item() > 1000
    assert did.activity[-1].spikes == sdk.run(graph, samples).out_sum["output"].sum()


def test_a_layer_that_never_fires_is_named():
    found = sdk.profile_graph(small(), np.zeros((3, 1, 3)))
    assert found.measured.silent == ("if", "relu")
    assert "silent" in str(found)
    assert "if, relu" in str(found)
    busy = sdk.profile_graph(small(), np.ones((3, 1, 3)))
    assert busy.measured.silent == ()
    assert "silent" not in str(busy)


def test_without_inputs_nothing_runs_and_dt_is_recorded():
    path = next(p for p in NIR_FILES if p.name == "lif.nir")
    found = sdk.profile_graph(path, dt=1e-4)
    assert found.measured is None
    assert found.dt == 1e-4
    assert "What it did" not in str(found)
    assert found.to_dict()["measured"] is None
    assert nir.read_graph(path, 1e-4).macs() == found.macs == 0


def test_no_torch_is_loaded_until_something_runs():
    code = (
        "import sys; from t1c import sdk; "
        f"print(sdk.profile_graph({str(DIGITS)!r}).macs, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["84224", "False"]


def test_a_name_that_would_be_mistaken_is_refused():
    graph = chain(
        ("in", ir.Input((2,))),
        ("fc", ir.Linear(np.eye(2))),
        ("fc.input", ir.IF(np.array(1.0))),
        ("out", ir.Output((2,))),
    )
    with pytest.raises(ir.UnsupportedError, match=r"'fc\.input' beside 'fc'"):
        sdk.profile_graph(graph, np.ones((1, 1, 2)))


def leaky(threshold, tau=2.0, r=2.0):
    return ir.LIF(*(np.array(x) for x in (tau, r, 0.0, threshold)))


@pytest.mark.parametrize("batch_size", [1, 8])
def test_silence_is_explained_by_what_reached_a_layer_and_how_far_it_got(batch_size):
    """Against membranes of the float64 reference, and causes that were built in."""
    nodes = {
        "input": ir.Input((2,)),
        "fires": leaky(0.25),
        "high": leaky(np.array([5.0, 4.0])),
        "after": leaky(0.5),
        "minus": ir.Scale(np.array(-1.0)),
        "down": leaky(1.0),
        "slow": ir.LIF(*(np.array(x) for x in (400.0, 400.0, 0.0, 12.0))),
        "weak": leaky(1.0, tau=8.0, r=1.0),
        "cut": ir.Linear(np.zeros((2, 2))),
        "deaf": leaky(1.0),
        "relu": ir.ReLU(2),
        "bias": ir.Shift(np.array(0.25)),
        "idle": leaky(1.0),
        "mark": ir.Threshold(np.array(7.0)),
        "out": ir.Output((2,)),
    }
    ways = "input fires high after out,input minus down out,fires slow out,fires weak out"
    ways += ",fires cut deaf out,minus relu out,fires mark out"
    ways += ",high bias idle out"
    edges = [edge for way in ways.split(",") for edge in itertools.pairwise(way.split())]
    graph = ir.Graph(nodes, edges)
    xs = np.random.default_rng(3).integers(64, 257, (9, 5, 2)) / 256
    did = sdk.profile_graph(graph, xs, batch_size=batch_size, dtype="float64").measured
    found = {node.name: node for node in did.explained}
    silent = ("high", "after", "down", "slow", "weak", "deaf", "relu", "mark", "idle")
    assert set(found) == set(did.silent) == set(silent)
    assert did.spikes > 0  # of the one that fires

    values, _ = reference_trace(graph, {"input": xs}, torch.float64)
    alone, state = ir.Reference(graph, np.float64), None
    membranes = []
    for x in xs:
        _, state = alone.step({"input": x}, state)
        membranes.append(state)
    for name in ("high", "down", "slow", "weak"):
        v = np.stack([step[name][0] for step in membranes]).max((0, 1))
        limits = np.broadcast_to(nodes[name].v_threshold, v.shape)
        near = (v - limits).argmax()
        assert (found[name].peak, found[name].threshold) == pytest.approx((v[near], limits[near]))
        assert not found[name].input_zero
    assert found["mark"].peak == pytest.approx(float(np.max(values["fires"])))
    assert found["relu"].peak == pytest.approx(-float(xs.min()))
    assert (found["after"].peak, found["after"].input_zero) == (0.0, True)

    reasons = {name: node.reason for name, node in found.items()}
    assert reasons == {
        "high": "below threshold",
        "after": "no input",
        "down": "driven down",
        "slow": "below threshold",
        "weak": "below threshold",
        "deaf": "no input",
        "relu": "not positive",
        "mark": "below threshold",
        "idle": "below threshold",
    }
    assert "'high' before it is silent, so that biases alone" in found["idle"].cause
    assert "'high' before it is silent" in found["after"].cause
    assert found["after"].remedy == "See to 'high' first."
    assert found["slow"].rising
    assert "more steps" in found["slow"].remedy
    assert "0.125 of its input" in found["weak"].cause
    assert "weights before it" in found["deaf"].remedy
    # The remedy is taken at its word.
    factor = float(found["mark"].remedy.split(" by ")[1].split(" ")[0])
    louder = graph.replace(nodes={**nodes, "mark": ir.Threshold(np.array(7.0 / factor))})
    assert "mark" not in sdk.profile_graph(louder, xs, dtype="float64").measured.silent

    text = str(did)
    assert "Silent layers (highest membrane)" in text
    told = json.loads(json.dumps(did.to_dict(), allow_nan=False))
    assert [n["name"] for n in told["explained"]] == list(did.silent)


def test_samples_of_zeros_are_found_to_be_so():
    did = sdk.profile_graph(small(), np.zeros((4, 1, 3))).measured
    first = did.explained[0]
    assert (first.name, first.input_zero, first.reason) == ("if", True, "no input")
    assert "samples" in first.remedy


def test_a_neuron_that_is_a_graph_is_told_of_without_a_membrane():
    graph = chain(("input", ir.Input((3,))), ("cell", adaptive(3)), ("out", ir.Output((3,))))
    did = sdk.profile_graph(graph, np.zeros((3, 2, 3))).measured
    (node,) = did.explained
    assert (node.name, node.peak, node.reason) == ("cell", None, "no input")
