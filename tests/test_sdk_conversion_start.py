"""convert_to_spiking: where membranes start, thresholds per channel, activations in steps."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from t1c import bridge, ir, sdk

from .examples import examples
from .test_sdk_conversion import mlp


def one_layer(rng, activation):
    nodes = {
        "in": ir.Input((5,)),
        "fc": ir.Affine(rng.standard_normal((7, 5)), rng.standard_normal(7)),
        **activation,
        "out": ir.Output((7,)),
    }
    names = list(nodes)
    return ir.Graph(nodes, list(itertools.pairwise(names)))


@examples(20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_a_start_at_half_the_threshold_halves_the_error(seed, steps):
    rng = np.random.default_rng(seed)
    graph = one_layer(rng, {"relu": ir.ReLU(7)})
    x = rng.standard_normal((20, 5))
    expected = ir.Reference(graph).step(x)[0]
    spiking = sdk.convert_to_spiking(graph, x, steps=steps, start=0.5)
    found, _ = ir.Reference(spiking).run(x)
    threshold = float(spiking.nodes["relu"].v_threshold.max())
    assert np.abs(found - expected).max() <= threshold / (2 * steps) * (1 + 1e-9)
    assert found.max() > 0


@pytest.mark.parametrize("neuron", ["IF", "LIF"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_it_is_what_the_state_of_every_neuron_says(neuron, per_channel):
    """The same spikes as from a state that the caller gives; here it stands in the graph."""
    graph = mlp(6, 20, 12, 4)
    x = np.random.default_rng(1).standard_normal((9, 6))
    options = {"neuron": neuron, "tau": 4.0, "answer": "steps", "per_channel": per_channel}
    plain = sdk.convert_to_spiking(graph, x, **options)
    started = sdk.convert_to_spiking(graph, x, start=0.5, **options)
    state = {
        name: (np.broadcast_to(node.v_threshold / 2, (9, *node.input_type["input"])),)
        for name, node in plain.nodes.items()
        if isinstance(node, ir.IF | ir.LIF)
    }
    xs = np.broadcast_to(x, (30, *x.shape))
    theirs = ir.Reference(plain).run(xs, state)[0]
    mine = ir.Reference(started).run(xs)[0]
    np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12)
    assert np.abs(mine - ir.Reference(plain).run(xs)[0]).max() > 0.1


def test_the_executor_starts_there_too():
    """On a grid, bit for bit."""
    rng = np.random.default_rng(3)
    graph = mlp(6, 10, 8, 4)
    for node in graph.nodes.values():
        if isinstance(node, ir.Affine):
            node.weight, node.bias = (np.round(p * 64) / 64 for p in (node.weight, node.bias))
    started = sdk.convert_to_spiking(graph, thresholds=1.5, start=0.5, answer="steps")
    xs = np.broadcast_to(rng.integers(-64, 64, (5, 6)) / 64, (20, 5, 6)).astype(np.float32)
    with torch.no_grad():
        out, _ = bridge.ir_to_torch(started).run(torch.tensor(xs))
    mine = ir.Reference(started).run(xs)[0]
    np.testing.assert_array_equal(out.numpy(), mine)
    assert len(np.unique(mine)) > 10


def test_thresholds_of_channels():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((3, 2, 3, 3))
    weight[1] = -np.abs(weight[1])  # this channel is never above 0
    nodes = {
        "in": ir.Input((2, 6, 6)),
        "conv": ir.Conv2d(weight, np.array([0.0, -1.0, 0.5])),
        "relu": ir.ReLU(3),
        "mean": ir.Reduce("mean", (1, 2)),
        "out": ir.Output((3,)),
    }
    names = list(nodes)
    graph = ir.Graph(nodes, list(itertools.pairwise(names)))
    x = rng.random((10, 2, 6, 6))
    sent = ir.Reference(graph).trace(x)[0]["relu"]
    spiking = sdk.convert_to_spiking(graph, x, percentile=95, per_channel=True, steps=400)
    above = [channel[channel > 0] for channel in np.moveaxis(sent, 1, 0)]
    assert above[1].size == 0
    heights = [np.percentile(a, 95) if a.size else np.percentile(sent[sent > 0], 95) for a in above]
    threshold = spiking.nodes["relu"].v_threshold
    assert threshold.shape == (3, 1, 1)
    np.testing.assert_array_equal(threshold.ravel(), heights)
    np.testing.assert_array_equal(spiking.nodes["relu.height"].scale, threshold)
    assert spiking.metadata["converted"]["thresholds"] == [max(heights)]
    clipped = np.minimum(sent, threshold).mean(axis=(2, 3))
    np.testing.assert_allclose(ir.Reference(spiking).run(x)[0], clipped, atol=max(heights) / 400)


def test_a_relu_that_saturates_is_a_neuron_that_does():
    rng = np.random.default_rng(5)
    graph = one_layer(rng, {"relu6": ir.Clip(np.zeros(1), np.array([1.5]))})
    x = 2 * rng.standard_normal((50, 5))
    expected = ir.Reference(graph).step(x)[0]
    assert (expected == 1.5).sum() > 20
    spiking = sdk.convert_to_spiking(graph, x, steps=50, start=0.5)
    assert spiking.nodes["relu6"].v_threshold == 1.5
    found = ir.Reference(spiking).run(x)[0]
    assert np.abs(found - expected).max() <= 1.5 / 100 * (1 + 1e-9)
    with pytest.raises(ir.InputError, match=r"at most 1\.5, above which it clips"):
        sdk.convert_to_spiking(graph, thresholds=2.0)
    for low, high in ((-1.0, 1.0), (0.0, None)):
        bounds = (np.array([low]), None if high is None else np.array([high]))
        with pytest.raises(ir.UnsupportedError):
            sdk.convert_to_spiking(one_layer(rng, {"clip": ir.Clip(*bounds)}), x)


# Activations in steps ----------------------------------------------------------------------------

THETA, LEVELS = 2.5, 4


def in_steps(form, theta=THETA, levels=LEVELS, half=0.5):
    one = lambda value: np.asarray(value, np.float64).reshape(-1)  # noqa: E731
    floor = ir.Unary("floor")
    forms = {
        "clip first": {
            "a": ir.Scale(1 / one(theta)),
            "b": ir.Clip(one(0), one(1)),
            "c": ir.Scale(one(levels)),
            "d": ir.Shift(one(half)),
            "e": floor,
            "f": ir.Scale(1 / one(levels)),
            "g": ir.Scale(one(theta)),
        },
        "clip last": {
            "a": ir.Scale(one(levels) / one(theta)),
            "d": ir.Shift(one(half)),
            "e": floor,
            "f": ir.Scale(1 / one(levels)),
            "b": ir.Clip(one(0), one(1)),
            "g": ir.Scale(one(theta)),
        },
        "clip in levels": {
            "a": ir.Scale(levels / one(theta)),
            "d": ir.Shift(one(half)),
            "e": floor,
            "b": ir.Clip(one(0), one(levels)),
            "g": ir.Scale(one(theta) / levels),
        },
    }
    return forms[form]


FORMS = ["clip first", "clip last", "clip in levels"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("theta", [THETA, [0.5, 1.0, 2.0, 3.0, 1.5, 0.75, 4.0]])
def test_what_was_trained_in_steps_is_met_exactly(form, theta):
    """One layer, over as many steps as it has levels: bit for bit but for rounding."""
    rng = np.random.default_rng(0)
    graph = one_layer(rng, in_steps(form, theta))
    x = rng.standard_normal((200, 5))
    expected = ir.Reference(graph).step(x)[0]
    spiking = sdk.convert_to_spiking(graph, steps=LEVELS)
    found, _ = ir.Reference(spiking).run(x)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert len(np.unique(expected)) >= LEVELS
    last = list(in_steps(form))[-1]
    note = spiking.metadata["converted"]
    assert (note["read"], note["levels"], note["calibrated"]) == ([last], [LEVELS], [])
    np.testing.assert_allclose(spiking.nodes[last].v_threshold, np.ravel(theta))


def test_a_threshold_that_is_given_wins():
    graph = one_layer(np.random.default_rng(0), in_steps("clip first"))
    spiking = sdk.convert_to_spiking(graph, thresholds={"g": 7.0})
    assert spiking.nodes["g"].v_threshold == 7
    assert "read" not in spiking.metadata["converted"]
    assert "g.start" not in spiking.nodes


def test_a_scale_before_it_is_not_of_it():
    """Scale by 3, then the activation: only the latter becomes the neuron."""
    rng = np.random.default_rng(0)
    graph = one_layer(rng, {"s": ir.Scale(np.array([3.0])), **in_steps("clip first")})
    spiking = sdk.convert_to_spiking(graph, steps=LEVELS)
    assert "s" in spiking.nodes
    x = rng.standard_normal((50, 5))
    expected = ir.Reference(graph).step(x)[0]
    np.testing.assert_allclose(ir.Reference(spiking).run(x)[0], expected, atol=1e-12)


NEAR = {
    "another shift": in_steps("clip last", half=0.4),
    "no whole number of levels": in_steps("clip last", levels=2.5),
    "no clip": {n: v for n, v in in_steps("clip last").items() if n != "b"},
    "not back to its height": {n: v for n, v in in_steps("clip last").items() if n != "g"},
    "turned around": {**in_steps("clip last"), "a": ir.Scale(np.array([-1.6]))},
}


@pytest.mark.parametrize("case", NEAR)
def test_what_is_nearly_so_is_refused(case):
    graph = one_layer(np.random.default_rng(0), NEAR[case])
    with pytest.raises(ir.UnsupportedError, match="node 'e'"):
        sdk.convert_to_spiking(graph, steps=4)


def test_in_a_nested_graph_and_two_in_a_row():
    rng = np.random.default_rng(0)
    inner = one_layer(rng, in_steps("clip first"))
    more = {f"{n}2": v for n, v in in_steps("clip last", theta=5.0).items()}
    graph = ir.Graph(
        {"x": ir.Input((5,)), "g": inner, "w": ir.Linear(rng.standard_normal((7, 7))), **more,
         "y": ir.Output((7,))},
        [("x", "g"), ("g", "w"), ("w", "a2"), ("a2", "d2"), ("d2", "e2"), ("e2", "f2"),
         ("f2", "b2"), ("b2", "g2"), ("g2", "y")],
    )  # fmt: skip
    spiking = sdk.convert_to_spiking(graph, steps=64)
    assert spiking.metadata["converted"]["read"] == ["g/g", "g2"]
    x = rng.standard_normal((50, 5))
    error = np.abs(ir.Reference(spiking).run(x)[0] - ir.Reference(graph).step(x)[0])
    assert error.mean() < 5.0 / LEVELS / 2


def test_a_start_outside_the_threshold_is_refused():
    with pytest.raises(ir.InputError, match=r"start=1\.0"):
        sdk.convert_to_spiking(mlp(4, 8, 3), thresholds=1.0, start=1.0)
