"""Graphs of integers: the reference, the executor and int64 by hand give the same bits."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from t1c import bridge, ir, sdk
from t1c.ir.errors import InputError, UnsupportedError
from t1c.ir.integers import integer_problems
from t1c.sdk.integers.sizes import weights_bytes

from .integer_simulator import Simulator
from .strategies_executor import chain, networks, sequences

ONE = np.array(1.0)
RESETS = [("zero", False), ("subtract", False), ("value", False), ("none", False), ("carry", False),
          ("zero", True), ("subtract", True), ("value", True), ("hold", True)]  # fmt: skip


def neuron(rng, kind, reset, delay, size=()):
    """A neuron of some kind, with numbers that are on no grid."""
    options = {"v_threshold": rng.uniform(0.4, 1.2, size)} if kind.endswith("F") else {}
    if kind.endswith("F"):
        options |= {"reset": reset, "reset_delay": delay, "fires_at": rng.choice(["ge", "gt"])}
        options |= {"v_reset": np.array(-0.13)} if reset == "value" else {}
        options |= {"v_min": np.array(-0.7)} if rng.random() < 0.5 else {}
    tau = {"tau": rng.uniform(2, 9)} if kind in ("LIF", "LI") else {}
    tau |= {"tau_mem": rng.uniform(2, 9), "tau_syn": rng.uniform(1.5, 4)} if "Cuba" in kind else {}
    leak = {} if kind in ("IF", "I") else {"v_leak": rng.uniform(-0.2, 0.2, size)}
    gain = rng.uniform(1.5, 3) if tau else rng.uniform(0.5, 1)
    given = {k: np.array(v) for k, v in {"r": gain, **tau, **leak}.items()}
    return getattr(ir, kind)(**given, **options)


def network(rng, kind, reset, delay, form):
    """Dense, recurrent or convolutional, with every neuron of that kind but the last."""
    last = neuron(rng, "LI", None, False)
    if form == "conv":
        nodes = {
            "in": ir.Input((2, 6, 6)),
            "conv": ir.Conv2d(rng.normal(0, 0.4, (3, 2, 3, 3)), rng.normal(0, 0.1, 3), padding=1),
            "hidden": neuron(rng, kind, reset, delay, (3,)),
            "pool": ir.MaxPool2d() if rng.random() < 0.5 else ir.AvgPool2d(),
            "flat": ir.Flatten(),
            "fc": ir.Affine(rng.normal(0, 0.3, (4, 27)), rng.normal(0, 0.1, 4)),
            "last": last,
            "out": ir.Output((4,)),
        }
        names = list(nodes)
        return ir.Graph(nodes, list(itertools.pairwise(names)))
    nodes = {
        "in": ir.Input((7,)),
        "fc1": ir.Affine(rng.normal(0, 0.5, (9, 7)), rng.normal(0, 0.1, 9)),
        "side": ir.Linear(rng.normal(0, 0.3, (9, 7))),
        "hidden": neuron(rng, kind, reset, delay, (9,)),
        "fc2": ir.Affine(rng.normal(0, 0.4, (4, 9)), rng.normal(0, 0.1, 4)),
        "last": last,
        "out": ir.Output((4,)),
    }
    edges = [("in", "fc1"), ("in", "side"), ("fc1", "hidden"), ("side", "hidden"),
             ("hidden", "fc2"), ("fc2", "last"), ("last", "out")]  # fmt: skip
    if form == "recurrent":
        nodes["rec"] = ir.Linear(rng.normal(0, 0.3, (9, 9)))
        edges += [("hidden", "rec"), ("rec", "hidden")]
    return ir.Graph(nodes, edges, allow_cycles=form == "recurrent")


def executed(graph, xs, dtype=None):
    executor = bridge.ir_to_torch(
        graph, quantized=True, trainable=False, return_state=True, kernels="torch", dtype=dtype
    )
    kind = next(executor.parameters()).dtype
    return executor, torch.from_numpy(xs).to(kind)


CASES = [
    (kind, *how, form)
    for number, how in enumerate(RESETS)
    for kind, form in [
        (("LIF", "IF", "CubaLIF")[number % 3], ("dense", "recurrent", "conv")[number % 2]),
        (("LIF", "IF", "CubaLIF")[(number + 1) % 3], "conv" if number % 2 else "recurrent"),
    ]
]


@pytest.mark.parametrize(("kind", "reset", "delay", "form"), CASES)
def test_integers_are_those_of_int64_by_hand(kind, reset, delay, form):
    rng = np.random.default_rng(hash_of(kind, reset, delay, form))
    real = network(rng, kind, reset, delay, form)
    spiking = rng.random() < 0.5
    shape = (12, 4, *real.nodes["in"].shape)
    xs = (rng.random(shape) < 0.4) * 1.0 if spiking else rng.integers(-64, 257, shape) / 256
    graph = sdk.quantize(
        real,
        weight_bits=int(rng.choice([3, 5, 8])),
        state_bits=int(rng.choice([12, 16])),
        calibrate=xs,
        readout=False,
        scales=str(rng.choice(["free", "power_of_two"])),
    )
    simulator, spikes, later = Simulator(graph, real, 4), 0, 0
    wanted, _ = ir.Reference(graph).run(xs)
    executor, tensor = executed(graph, xs)
    found, _, inner = executor.run(tensor, record=["hidden"])
    for t, x in enumerate(xs):
        sent = simulator.step(x)
        assert (sent["out"] == wanted[t]).all()
        assert (sent["out"] == found[t].numpy()).all()
        assert (sent["hidden"] == inner["hidden"][t].numpy()).all()
        spikes += int(sent["hidden"].sum())
        later += int(np.abs(sent["out"]).sum()) if t else 0
    assert spikes > 5
    assert later > 100


def hash_of(*parts):
    """A seed that is the same in every run."""
    return int.from_bytes(repr(parts).encode(), "big") % 2**32


@pytest.mark.parametrize("form", ["recurrent", "conv"])
def test_steps_runs_and_chunks_give_the_same_bits(form):
    rng = np.random.default_rng(3)
    real = network(rng, "LIF", "subtract", True, form)
    xs = (rng.random((9, 3, *real.nodes["in"].shape)) < 0.4) * 1.0
    graph = sdk.quantize(real, calibrate=xs, readout=False)
    executor, tensor = executed(graph, xs)
    whole, _ = executor.run(tensor)
    wanted, _ = ir.Reference(graph).run(xs)
    assert (whole.numpy() == wanted).all()
    assert np.abs(wanted).sum() > 100
    state, steps = {}, []
    for x in tensor:
        y, state = executor(x, state)
        steps.append(y)
    assert torch.equal(torch.stack(steps), whole)
    first, state = executor.run(tensor[:4])
    assert torch.equal(torch.cat([first, executor.run(tensor[4:], state)[0]]), whole)
    wide, _ = executed(graph, xs, torch.float64)[0].run(torch.from_numpy(xs))
    assert (wide.numpy() == wanted).all()
    fused = bridge.ir_to_torch(graph, quantized=True, trainable=False)
    assert torch.equal(fused.run(tensor)[0], whole)


def test_random_networks_are_refused_or_exact():
    counted = Counter()

    @given(data=st.data())
    @settings(max_examples=16, deadline=None, derandomize=True)
    def drawn(data):
        counted.update(refused_or_exact(data))

    drawn()
    assert counted["made"] >= 5
    assert counted["named"] == counted["refused"] < 12
    assert counted["loops"] > 0
    assert counted["numbers"] > 30


def refused_or_exact(data):
    """Draws a network, and compares its integers' runs; what became of it, counted."""
    real = data.draw(networks(every=True, cyclic=data.draw(st.booleans())))
    xs = data.draw(sequences(real))
    if data.draw(st.booleans()):
        xs = {name: (x > 0.3) * 1.0 for name, x in xs.items()}
    bits = st.sampled_from([8, 16])
    try:
        graph = sdk.quantize(
            real, data.draw(st.sampled_from([2, 8])), data.draw(bits), data.draw(bits),
            calibrate=xs, readout=False, per_channel=data.draw(st.booleans()),
        )  # fmt: skip
    except UnsupportedError as error:
        return {"refused": 1, "named": all("node" in problem.where for problem in error.problems)}
    assert not integer_problems(graph)
    executor = bridge.ir_to_torch(graph, quantized=True, trainable=False, kernels="torch")
    dtype = next((p.dtype for p in executor.parameters()), torch.float32)
    found, _ = executor.run({n: torch.from_numpy(x).to(dtype) for n, x in xs.items()})
    wanted, _ = ir.Reference(graph).run(xs)
    names = list(graph.outputs())
    found, wanted = ((y if isinstance(y, dict) else {names[0]: y}) for y in (found, wanted))
    for name in names:
        assert (found[name].double().numpy() == wanted[name]).all()
    numbers = sum(wanted[name].size for name in names)
    return {"made": 1, "loops": bool(real.topology().loops()), "numbers": numbers}


@pytest.mark.parametrize("kind", ["LIF", "CubaLIF", "IF"])
def test_many_bits_do_what_real_numbers_do(kind):
    rng = np.random.default_rng(5)
    real = network(rng, kind, "subtract", False, "dense")
    xs = (rng.random((40, 8, 7)) < 0.3) * 1.0
    graph = sdk.quantize(real, 16, 32, 32, calibrate=xs, decay_bits=16)
    report = sdk.quantization_report(real, graph, xs)
    nodes = {node.name: node for node in report.nodes}
    assert nodes["hidden"].agreement > 0.995
    assert nodes["hidden"].spikes[0] > 50
    assert nodes["last"].error < 0.05
    assert report.saturated == 0


def test_a_saturated_sum_is_counted_and_is_at_its_bound():
    real = ir.Graph(
        {"in": ir.Input((3,)), "fc": ir.Affine(np.full((1, 3), 0.5), np.zeros(1)),
         "out": ir.Output((1,))},
        [("in", "fc"), ("fc", "out")],
    )  # fmt: skip
    graph = sdk.quantize(real, 8, 8, inputs="spikes", readout=False)
    xs = np.array([[[0.0, 0, 1]], [[1, 1, 1]], [[1, 1, 0]]])
    found, _ = ir.Reference(graph).run(xs)
    assert found.ravel().tolist() == [127, 127, 127]
    report = sdk.quantization_report(real, graph, xs)
    assert report.nodes[0].saturated == 2
    # With more bits nothing can get there, and no node is left to see to it.
    assert "fc.saturated" in graph.nodes
    assert "fc.saturated" not in sdk.quantize(real, 8, 16, inputs="spikes").nodes


def test_layers_that_meet_share_a_unit_and_thresholds_absorb_it():
    rng = np.random.default_rng(1)
    real = network(rng, "LIF", "zero", False, "recurrent")
    graph = sdk.quantize(real, inputs="spikes")
    units = [graph.nodes[n].metadata["quantized"]["unit"] for n in ("fc1", "side", "rec")]
    assert np.array_equal(units[0], units[1])
    assert np.array_equal(units[0], units[2])
    assert isinstance(graph.nodes["fc1"], ir.SpikingAffine)
    assert graph.nodes["fc1"].weight.dtype == np.int8
    largest = np.maximum.reduce(
        [np.abs(real.nodes[n].weight).max(axis=1) for n in ("fc1", "side", "rec")]
    )
    assert np.allclose(units[0] * 127, largest)
    inner = graph.nodes["hidden"]
    unit = inner.metadata["quantized"]["unit"]
    found = inner.nodes["spikes"].threshold * unit
    assert (found >= real.nodes["hidden"].v_threshold).all()
    assert (found - unit < real.nodes["hidden"].v_threshold).all()


def test_what_no_integers_say_is_refused_by_name_or_kept():
    real = ir.Graph(
        {"in": ir.Input((4,)), "fc": ir.Linear(np.eye(4)), "soft": ir.Softmax(4),
         "out": ir.Output((4,))},
        [("in", "fc"), ("fc", "soft"), ("soft", "out")],
    )  # fmt: skip
    with pytest.raises(UnsupportedError, match=r"node 'soft' \(Softmax\).*keep=\['soft'\]"):
        sdk.quantize(real, inputs="spikes")
    graph = sdk.quantize(real, inputs="spikes", keep=["soft"])
    x = np.array([[1.0, 0, 1, 0]])
    found, _ = ir.Reference(graph).step(x)
    assert np.allclose(found, np.exp(x) / np.exp(x).sum())
    bridge.ir_to_torch(graph, quantized=True)
    with pytest.raises(UnsupportedError, match="how large the numbers are that it brings"):
        sdk.quantize(real, keep=["soft"])
    # In the middle real numbers are let pass by name only.
    middle = ir.Graph(
        {"in": ir.Input((4,)), "fc": ir.Linear(np.eye(4)), "tanh": ir.Tanh(4),
         "fc2": ir.Linear(np.eye(4)), "out": ir.Output((4,))},
        [("in", "fc"), ("fc", "tanh"), ("tanh", "fc2"), ("fc2", "out")],
    )  # fmt: skip
    kept = sdk.quantize(middle, calibrate=x[None], keep=["tanh"])
    assert np.abs(ir.Reference(kept).step(x)[0] - np.tanh(x)).max() < 0.02
    bridge.ir_to_torch(kept, quantized=True)
    with pytest.raises(UnsupportedError, match=r"node 'tanh' \(Tanh\): it works with real numbers"):
        bridge.ir_to_torch(kept.replace(metadata={}), quantized=True)
    for wrong in ({"weight_bits": 1}, {"state_bits": 40}, {"keep": ["no"]}, {"inputs": "bits"}):
        with pytest.raises(InputError):
            sdk.quantize(real, **{"inputs": "spikes", "keep": ["soft"], **wrong})


def test_a_dtype_that_cannot_hold_the_integers_is_refused():
    rng = np.random.default_rng(2)
    graph = sdk.quantize(network(rng, "LIF", "zero", False, "dense"), inputs="spikes")
    with pytest.raises(UnsupportedError, match=r"node 'hidden/v_times'.*bfloat16 holds exactly"):
        bridge.ir_to_torch(graph, quantized=True, dtype=torch.bfloat16)
    with pytest.raises(UnsupportedError, match="not one of integers"):
        bridge.ir_to_torch(network(rng, "LIF", "zero", False, "dense"), quantized=True)


def test_a_file_of_8_bits_is_a_quarter_of_the_size_and_reads_back(tmp_path):
    rng = np.random.default_rng(0)
    real = ir.Graph(
        {"in": ir.Input((784,)),
         "fc": ir.Affine(rng.normal(0, 0.1, (512, 784)).astype(np.float32), np.zeros(512)),
         "lif": ir.LIF(4 * ONE, 4 * ONE, 0 * ONE, ONE), "out": ir.Output((512,))},
        [("in", "fc"), ("fc", "lif"), ("lif", "out")],
    )  # fmt: skip
    graph = sdk.quantize(real, inputs="spikes")
    ir.write(tmp_path / "a.t1c", real)
    ir.write(tmp_path / "b.t1c", graph)
    sizes = [(tmp_path / name).stat().st_size for name in ("a.t1c", "b.t1c")]
    assert sizes[1] < 0.28 * sizes[0]
    back = ir.read(tmp_path / "b.t1c")
    assert back.equals(graph)
    assert back.nodes["fc"].weight.dtype == np.int8


def test_a_budget_of_bytes_is_kept():
    rng = np.random.default_rng(4)
    real = network(rng, "LIF", "zero", False, "dense")
    xs = (rng.random((10, 8, 7)) < 0.4) * 1.0
    full = sdk.quantize(real, calibrate=xs)
    sizes = {n: node.weight.size for n, node in full.nodes.items() if hasattr(node, "weight")}
    biases = 2 * (9 + 4)
    assert sizes == {"fc1": 63, "side": 63, "fc2": 36}
    graph = sdk.quantize(real, calibrate=xs, search=184)
    bits = {n: graph.nodes[n].weight_bits for n in sizes}
    assert sum(-(-size * bits[n] // 8) for n, size in sizes.items()) + biases <= 184
    assert max(bits.values()) <= 8
    assert min(bits.values()) >= 2
    with pytest.raises(InputError, match="at least"):
        sdk.quantize(real, calibrate=xs, search=10)


def test_training_with_rounded_weights_ends_in_these_integers():
    torch.manual_seed(0)
    rng = np.random.default_rng(6)
    real = ir.Graph(
        {"in": ir.Input((6,)), "fc1": ir.Linear(rng.normal(0, 0.6, (8, 6))),
         "lif1": ir.LIF(3 * ONE, 3 * ONE, 0 * ONE, ONE),
         "fc2": ir.Affine(rng.normal(0, 0.6, (3, 8)), np.zeros(3)),
         "li": ir.LI(3 * ONE, 3 * ONE, 0 * ONE), "out": ir.Output((3,))},
        [("in", "fc1"), ("fc1", "lif1"), ("lif1", "fc2"), ("fc2", "li"), ("li", "out")],
    )  # fmt: skip
    executor = bridge.ir_to_torch(real)
    assert bridge.fake_quantize(executor, 4) == ["fc1", "fc2"]
    xs = (torch.rand(8, 16, 6) < 0.4).float()
    wanted = torch.randint(0, 3, (16,))
    optimizer = torch.optim.Adam(executor.parameters(), lr=0.02)
    losses = []
    executor.train()
    for _ in range(8):
        ys, _ = executor.run(xs)
        loss = nn.functional.cross_entropy(ys.mean(0), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    executor.eval()
    trained = {n: executor.get_submodule(n).weight.detach().clone() for n in ("fc1", "fc2")}
    bridge.settle_weights(executor)
    assert type(executor.get_submodule("fc1")) is nn.Linear
    exported = bridge.to_ir(executor, xs)
    graph = sdk.quantize(exported, 4, inputs="spikes")
    for name, weight in trained.items():
        node = graph.nodes[name]
        unit = np.broadcast_to(node.metadata["quantized"]["unit"], len(node.weight))
        assert np.abs(node.weight).max() == 7
        assert np.array_equal((node.weight * unit[:, None]).astype(np.float32), weight.numpy())


def test_weights_that_others_quantised_keep_their_values():
    """A layer that torch.ao trained with fake quantisation."""
    from torch.ao.nn import qat
    from torch.ao.quantization import FakeQuantize, MovingAverageMinMaxObserver, QConfig

    torch.manual_seed(0)
    weights = FakeQuantize.with_args(
        observer=MovingAverageMinMaxObserver,
        quant_min=-7,
        quant_max=7,
        dtype=torch.qint8,
        qscheme=torch.per_tensor_symmetric,
    )
    layer = qat.Linear(6, 5, qconfig=QConfig(activation=nn.Identity, weight=weights))
    model = nn.Sequential(layer, nn.ReLU())
    model(torch.randn(4, 6))
    model.eval().apply(lambda m: m.disable_observer() if isinstance(m, FakeQuantize) else None)
    trained = layer.weight_fake_quant(layer.weight).detach().numpy()
    assert np.unique(trained).size > 8
    graph = sdk.quantize(bridge.to_ir(model, torch.randn(2, 6)), 4, inputs="spikes")
    (node,) = (node for node in graph.nodes.values() if isinstance(node, ir.SpikingAffine))
    unit = np.broadcast_to(node.metadata["quantized"]["unit"], 5)
    integers = np.rint(trained / layer.weight_fake_quant.scale.numpy())
    times = np.abs(node.weight).max(axis=1) // np.abs(integers).max(axis=1)
    assert np.array_equal(node.weight, integers * times[:, None])
    assert np.allclose(node.weight * unit[:, None], trained, rtol=1e-6, atol=0)


def number(value):
    return np.array(float(value))


def test_spikes_beside_wide_sums_stay_spikes():
    """An LI's potential needs a shift before weights; the spikes joined to it must not get it."""
    nodes = {
        "in": ir.Input((2,)),
        "li": ir.LI(number(4), number(4), number(0)),
        "lif": ir.LIF(number(4), number(4), number(0), number(1)),
        "join": ir.Skip("concatenate"),
        "fc": ir.Affine(np.array([[0.1, 0.2, 0.3, 0.1]]), np.zeros(1)),
        "last": ir.LIF(number(4), number(4), number(0), number(0.4)),
        "out": ir.Output((1,)),
    }
    edges = [("in", "li"), ("in", "lif"), ("li", "join"), ("lif", "join"), ("join", "fc")]
    graph = ir.Graph(nodes, [*edges, ("fc", "last"), ("last", "out")])
    xs = (np.random.default_rng(0).random((60, 3, 2)) < 0.4).astype(float)
    expected, _ = ir.Reference(graph).run(xs)
    assert 50 < expected.sum() < expected.size
    for told in ({"inputs": "spikes"}, {"calibrate": xs}):
        wide = {"weight_bits": 16, "state_bits": 32, "accumulator_bits": 32, "input_bits": 16}
        for bits in ({}, wide):
            found, _ = ir.Reference(sdk.quantize(graph, **told, **bits)).run(xs)
            assert (found != expected).mean() < 0.04


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_bias_is_kept_where_weights_are_integers_or_nothing(weight):
    graph = chain(
        ("in", ir.Input((2,))),
        ("fc", ir.Affine(np.full((1, 2), weight), np.array([0.2]))),
        ("lif", ir.LIF(number(4), number(4), number(0), number(0.3), reset="subtract")),
        ("out", ir.Output((1,))),
    )
    xs = np.zeros((40, 1, 2))
    expected, _ = ir.Reference(graph).run(xs)
    found, _ = ir.Reference(sdk.quantize(graph, inputs="spikes")).run(xs)
    assert expected.sum() == 20
    assert abs(found.sum() - 20) <= 1


@pytest.mark.slow
def test_a_budget_is_kept_by_layers_of_a_few_weights_too():
    """A bit less of one weight saves no whole byte; in the end it does."""
    graph = chain(
        ("in", ir.Input((1,))),
        ("few", ir.Affine(np.array([[0.5]]), np.array([0.1]))),
        ("lif", ir.LIF(number(4), number(4), number(0), number(0.5))),
        ("more", ir.Affine(np.array([[0.7], [0.21], [-0.14]]), np.zeros(3))),
        ("end", ir.LIF(number(4), number(4), number(0), number(0.5))),
        ("out", ir.Output((3,))),
    )
    xs = (np.random.default_rng(0).random((20, 3, 1)) < 0.5).astype(np.float32)
    for budget in (5, 4, 3):
        small = sdk.quantize(graph, calibrate=xs, search=budget)
        assert weights_bytes(small) <= budget
