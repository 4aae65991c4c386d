"""convert_to_spiking and batch_convert."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from t1c import bridge, ir, sdk

from .test_sdk_change import traced

DATA = Path(__file__).parent / "data"


# convert_to_spiking ------------------------------------------------------------------------------


def mlp(*widths, seed=0):
    """in -> fc0 -> relu0 -> ... -> fc -> out."""
    rng = np.random.default_rng(seed)
    nodes, edges, last = {"in": ir.Input((widths[0],))}, [], "in"
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
        weight = rng.standard_normal((b, a)) / np.sqrt(a)
        nodes[f"fc{i}"] = ir.Affine(weight, rng.standard_normal(b) / 4)
        edges.append((last, f"fc{i}"))
        last = f"fc{i}"
        if i < len(widths) - 2:
            nodes[f"relu{i}"] = ir.ReLU(b)
            edges.append((last, f"relu{i}"))
            last = f"relu{i}"
    nodes["out"] = ir.Output((widths[-1],))
    return ir.Graph(nodes, [*edges, (last, "out")])


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_one_layer_is_right_to_a_threshold_over_the_steps(seed, steps):
    rng = np.random.default_rng(seed)
    graph = ir.Graph(
        {
            "in": ir.Input((5,)),
            "fc": ir.Affine(rng.standard_normal((7, 5)), rng.standard_normal(7)),
            "relu": ir.ReLU(7),
            "out": ir.Output((7,)),
        },
        [("in", "fc"), ("fc", "relu"), ("relu", "out")],
    )
    x = rng.standard_normal((20, 5))
    spiking = sdk.convert_to_spiking(graph, x, steps=steps)
    expected = ir.Reference(graph).step(x)[0]
    threshold = spiking.nodes["relu"].v_threshold
    assert threshold == expected.max()
    found, _ = ir.Reference(spiking).run(x)
    assert np.abs(found - expected).max() <= threshold / steps * (1 + 1e-9)
    sent, _ = traced(spiking, {"in": np.broadcast_to(x, (steps, *x.shape))})
    spikes = np.stack(sent["relu"])
    assert set(np.unique(spikes)) <= {0.0, 1.0}
    assert spikes.sum() > 0


def test_deep_networks_come_nearer_with_time():
    graph = mlp(6, 20, 20, 4)
    x = np.random.default_rng(1).standard_normal((50, 6))
    expected = ir.Reference(graph).step(x)[0]
    errors = []
    for steps in (10, 100, 1000):
        found, _ = ir.Reference(sdk.convert_to_spiking(graph, x, steps=steps)).run(x)
        errors.append(float(np.abs(found - expected).mean()))
    assert errors[0] > 3 * errors[1] > 9 * errors[2]
    assert errors[2] < 0.01 * np.abs(expected).mean() + 0.005


def test_a_convolutional_network_of_torch_answers_the_same():
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.AvgPool2d(2),
        torch.nn.Conv2d(4, 6, 3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(24, 5),
    ).eval()
    x = torch.rand(30, 1, 8, 8)
    graph = bridge.to_ir(model, x[:1])
    spiking = sdk.convert_to_spiking(graph, x.numpy(), steps=300)
    with torch.no_grad():
        expected = model(x)
    found, _ = bridge.ir_to_torch(spiking).run(x)
    assert found.shape == expected.shape
    assert (found.argmax(1) == expected.argmax(1)).float().mean() >= 0.9
    assert torch.allclose(found, expected, atol=0.03)
    assert bridge.verify(spiking, spiking, x).agree


def test_what_is_recorded_and_given():
    graph = mlp(4, 8, 8, 3)
    x = np.random.default_rng(2).standard_normal((40, 4))
    top = sdk.convert_to_spiking(graph, x)
    sent, _ = traced(graph, {"in": x[None]})
    for name in ("relu0", "relu1"):
        assert top.nodes[name].v_threshold == sent[name][0].max()
        assert top.nodes[f"{name}.height"].scale == sent[name][0].max()
    lower = sdk.convert_to_spiking(graph, x, percentile=90)
    assert lower.nodes["relu0"].v_threshold < top.nodes["relu0"].v_threshold
    above = sent["relu0"][0][sent["relu0"][0] > 0]
    assert lower.nodes["relu0"].v_threshold == np.percentile(above, 90)
    mixed = sdk.convert_to_spiking(graph, x, thresholds={"relu0": 2.5})
    note = mixed.metadata["converted"]
    assert note["neurons"] == ["relu0", "relu1"]
    assert note["thresholds"] == [2.5, top.metadata["converted"]["thresholds"][1]]
    assert note["calibrated"] == ["relu1"]
    every = sdk.convert_to_spiking(graph, thresholds=1.5, answer="steps", neuron="LIF", tau=8)
    assert isinstance(every.nodes["relu1"], ir.LIF)
    assert every.nodes["relu1"].tau == 8
    assert not every.nodes["out"].final
    assert top.nodes["out"].final
    assert [type(n).__name__ for n in top.nodes.values()].count("Accumulate") == 1


def test_a_softmax_at_the_end_works_on_the_mean():
    graph = mlp(4, 8, 3)
    nodes = {**graph.nodes, "soft": ir.Softmax(3)}
    edges = [*graph.edges[:-1], ("fc1", "soft"), ("soft", "out")]
    graph = ir.Graph(nodes, edges)
    x = np.random.default_rng(3).standard_normal((20, 4))
    spiking = sdk.convert_to_spiking(graph, x, steps=500)
    found, _ = ir.Reference(spiking).run(x)
    np.testing.assert_allclose(found, ir.Reference(graph).step(x)[0], atol=0.01)


def test_nested_graphs_are_converted():
    inner = mlp(4, 8, 3)
    graph = ir.Graph(
        {"x": ir.Input((4,)), "g": inner, "y": ir.Output((3,))}, [("x", "g"), ("g", "y")]
    )
    x = np.random.default_rng(4).standard_normal((20, 4))
    spiking = sdk.convert_to_spiking(graph, x, steps=500)
    assert isinstance(spiking.nodes["g"].nodes["relu0"], ir.IF)
    found, _ = ir.Reference(spiking).run(x)
    np.testing.assert_allclose(found, ir.Reference(graph).step(x)[0], atol=0.02)


def test_what_cannot_be_converted():
    one = np.ones(1)
    graph = ir.Graph(
        {
            "in": ir.Input((2, 4, 4)),
            "leaky": ir.ReLU(2, negative_slope=0.1),
            "gelu": ir.GELU(2),
            "pool": ir.MaxPool2d(),
            "if": ir.IF(one),
            "out": ir.Output((2, 2, 2)),
        },
        [("in", "leaky"), ("leaky", "gelu"), ("gelu", "pool"), ("pool", "if"), ("if", "out")],
    )
    with pytest.raises(ir.UnsupportedError) as caught:
        sdk.convert_to_spiking(graph, np.zeros((1, 2, 4, 4)))
    text = str(caught.value)
    for part in ("negative_slope", "'gelu' (GELU)", "allow_max_pool=True", "memory already"):
        assert part in text
    plain = ir.Graph({"in": ir.Input((1,)), "out": ir.Output((1,))}, [("in", "out")])
    with pytest.raises(ir.UnsupportedError, match="no ReLU"):
        sdk.convert_to_spiking(plain)
    net = mlp(4, 8, 3)
    with pytest.raises(ir.InputError, match=r"no threshold for 'relu0'.*inputs="):
        sdk.convert_to_spiking(net)
    dead = net.replace(nodes={**net.nodes, "fc0": ir.Affine(np.zeros((8, 4)), np.zeros(8))})
    with pytest.raises(ir.InputError, match="no activation above 0"):
        sdk.convert_to_spiking(dead, np.ones((2, 4)))
    with pytest.raises(ir.InputError, match="thresholds for"):
        sdk.convert_to_spiking(net, thresholds={"relu": 1.0})
    with pytest.raises(ir.InputError, match="-1; expected a threshold above 0"):
        sdk.convert_to_spiking(net, thresholds=-1.0)
    for wrong in ({"neuron": "I"}, {"answer": "sum"}, {"percentile": 0}, {"tau": 0.5}):
        with pytest.raises(ir.InputError):
            sdk.convert_to_spiking(net, thresholds=1.0, **wrong)


def test_max_pools_if_allowed():
    graph = ir.Graph(
        {
            "in": ir.Input((1, 4, 4)),
            "relu": ir.ReLU(1),
            "p": ir.MaxPool2d(),
            "out": ir.Output((1, 2, 2)),
        },
        [("in", "relu"), ("relu", "p"), ("p", "out")],
    )
    x = np.random.default_rng(5).uniform(0, 1, (3, 1, 4, 4))
    spiking = sdk.convert_to_spiking(graph, x, steps=50, allow_max_pool=True)
    # Spikes of different neurons fall into different steps: the mean of maxima is the larger.
    assert (ir.Reference(spiking).run(x)[0] >= ir.Reference(graph).step(x)[0] - 0.02).all()


# batch_convert -----------------------------------------------------------------------------------


@pytest.fixture
def models(tmp_path):
    """A folder with files of both kinds, one of them broken, one in a folder of its own."""
    place = tmp_path / "models"
    (place / "deep").mkdir(parents=True)
    shutil.copy(DATA / "nir" / "lif.nir", place / "lif.nir")
    shutil.copy(DATA / "t1cir" / "net_mlp_snn.t1c", place / "mlp.t1c")
    shutil.copy(DATA / "t1cir" / "prim_relu.t1c", place / "deep" / "relu.t1c")
    (place / "broken.t1c").write_bytes(b"no HDF5")
    (place / "notes.txt").write_text("not a model")
    return place


def test_a_folder_is_converted_and_errors_stop_nothing(models, tmp_path):
    seen = []
    report = sdk.batch_convert(
        models, tmp_path / "out", to=".t1c", dt=1e-4, progress=lambda a, b: seen.append((a, b))
    )
    assert not report
    status = {Path(e.source).name: e.status for e in report.entries}
    assert status == {
        "broken.t1c": "failed",
        "relu.t1c": "written",
        "lif.nir": "written",
        "mlp.t1c": "written",
    }
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert "broken.t1c" in report.of("failed")[0].error
    assert "3 written, 0 skipped, 1 failed" in str(report)
    assert json.loads(json.dumps(report.to_dict()))["failed"] == 1
    for name, source in (("mlp.t1c", "mlp.t1c"), ("deep/relu.t1c", "deep/relu.t1c")):
        sdk.assert_graphs_equal(tmp_path / "out" / name, models / source)
    sdk.assert_graphs_equal(tmp_path / "out" / "lif.t1c", models / "lif.nir", dt=1e-4)
    again = sdk.batch_convert(models, tmp_path / "out", to=".t1c", dt=1e-4)
    assert len(again.of("skipped")) == 3
    anew = sdk.batch_convert(models, tmp_path / "out", to=".t1c", dt=1e-4, overwrite=True)
    assert len(anew.of("written")) == 3


def test_transforms_in_order_and_what_they_raise(models, tmp_path):
    def fail(graph):
        raise ValueError("not today")

    done = sdk.batch_convert(
        models / "mlp.t1c", tmp_path / "a", transforms=[sdk.fold_batchnorm, sdk.stamp_graph]
    )
    assert done
    assert sdk.verify_fingerprint(tmp_path / "a" / "mlp.t1c")
    failed = sdk.batch_convert(models / "mlp.t1c", tmp_path / "b", transforms=[fail])
    assert failed.entries[0].error == "ValueError: not today"
    assert not (tmp_path / "b" / "mlp.t1c").exists()


def test_to_nir_and_what_it_loses(models, tmp_path):
    strict = sdk.batch_convert(models / "deep", tmp_path / "a", to=".nir", dt=1e-4)
    assert "ReLU" in strict.entries[0].error
    lossy = sdk.batch_convert(models / "deep", tmp_path / "a", to=".nir", dt=1e-4, lossy=True)
    assert lossy
    assert "ReLU" in lossy.entries[0].losses[0]
    assert "1 losses" in str(lossy)
    there = sdk.batch_convert(models / "*.nir", tmp_path / "b", to=".t1c", dt=1e-4)
    back = sdk.batch_convert(tmp_path / "b", tmp_path / "c", to=".nir")
    assert there
    assert back
    sdk.assert_graphs_equal(tmp_path / "c" / "lif.nir", models / "lif.nir", dt=1e-4)


def test_patterns_and_what_collides(models, tmp_path):
    report = sdk.batch_convert(models / "**" / "*.t1c", tmp_path / "out")
    places = {Path(e.target).relative_to(tmp_path / "out").as_posix() for e in report.entries}
    assert places == {"broken.t1c", "mlp.t1c", "deep/relu.t1c"}
    shutil.copy(models / "mlp.t1c", models / "lif.t1c")
    both = sdk.batch_convert([models / "lif.t1c", models / "lif.nir"], tmp_path / "x", to=".t1c")
    assert [entry.status for entry in both.entries] == ["written", "failed"]
    assert "is where" in both.entries[1].error
    itself = sdk.batch_convert(models / "mlp.t1c", models, overwrite=True)
    assert "the source itself" in itself.entries[0].error
    missing = sdk.batch_convert(models / "gone.t1c", tmp_path / "y")
    assert "gone.t1c" in missing.entries[0].error
    wrong = sdk.batch_convert(models / "notes.txt", tmp_path / "y")
    assert "suffix '.txt'" in wrong.entries[0].error
    with pytest.raises(ir.InputError, match="no files in"):
        sdk.batch_convert(models / "*.onnx", tmp_path / "y")
    with pytest.raises(ir.InputError, match="no sources"):
        sdk.batch_convert([], tmp_path / "y")
    with pytest.raises(ir.InputError, match=r"to='\.onnx'"):
        sdk.batch_convert(models, tmp_path / "y", to=".onnx")


def test_warnings_are_told_not_raised(models, tmp_path):
    def dead_end(graph):
        nodes = {**graph.nodes, "dead": ir.Identity()}
        return graph.replace(nodes=nodes, edges=[*graph.edges, ("input", "dead")])

    report = sdk.batch_convert(models / "mlp.t1c", tmp_path / "a", transforms=[dead_end])
    assert report
    assert any("no path leads" in text for text in report.entries[0].warnings)
