"""Graphs as ONNX models in onnxruntime, beside the reference: every primitive, every option.

On the grid k/256 float32 holds every sum exactly, so that not one number may differ; what is no
sum, product or comparison is compared within rounding, and its spikes all the same.
"""

import collections
import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from t1c import deploy, ir, sdk
from t1c.cli import app
from t1c.deploy.onnx.registry import TRANSLATIONS, translates
from t1c.ir.integers import exact_formats
from t1c.ir.primitives.combine import BINARY
from t1c.ir.primitives.elementwise import UNARY

from . import neuron_examples
from .onnx_runs import Model, differing, onnx, reference, session
from .strategies import grid_graphs
from .strategies_executor import chain, networks

T = 40
"""Steps: several times as many as any delay, and as a membrane takes to its threshold."""
ROOT = Path(__file__).parent.parent
RNG = np.random.default_rng(0)


def grid(*shape):
    return (RNG.integers(-64, 65, shape) / 256).astype("float32")


def drawn(graph, steps=T, batch=3, seed=1):
    """Inputs on the grid, which drive a neuron on both sides of its threshold."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.integers(-128, 257, (steps, batch, *node.shape)) / 256).astype("float32")
        for name, node in graph.inputs().items()
    }


def one(node, shape, inputs=1):
    """The node between as many inputs as it takes, and a neuron behind it, which fires on it."""
    # A logarithm of what is less than 1 drives nothing.
    leak = 3.0 if node.primitive == "LogSoftmax" else 0.0
    nodes = {f"in{k}": ir.Input(shape) for k in range(inputs)}
    sent = node.port_shapes(node.merge([shape] * inputs))
    nodes |= {"node": node}
    edges = [(f"in{k}", "node") for k in range(inputs)]
    for k, out in enumerate(sent):
        nodes |= {
            f"seen{k}": ir.Identity(),
            f"lif{k}": ir.LIF(*(np.array(v) for v in (2.0, 2.0, leak, 0.375)), reset="subtract"),
            f"value{k}": ir.Output(out),
            f"spikes{k}": ir.Output(out),
        }
        edges += [("node", f"seen{k}"), (f"seen{k}", f"value{k}"), (f"seen{k}", f"lif{k}"),
                  (f"lif{k}", f"spikes{k}")]  # fmt: skip
    return ir.Graph(nodes, edges)


def norm(n):
    return grid(n) + 1, grid(n), grid(n), np.abs(grid(n)) + 1


NEURON: Any = {"tau": np.array(2.0), "r": np.array(2.0), "v_leak": np.array(0.125)}
CUBA: Any = {"tau_syn": np.array(2.0), "tau_mem": np.array(4.0), "r": np.array(4.0),
        "v_leak": np.array(0.0), "w_in": np.array(2.0)}  # fmt: skip
LEVEL: Any = {"v_threshold": np.array(0.25)}
MAP = (3, 6, 5)
EXAMPLES: dict[str, Any] = {
    "Affine": [(ir.Affine(grid(4, 6), grid(4)), (6,)), (ir.Affine(grid(4, 5), grid(4)), MAP)],
    "SpikingAffine": [(ir.SpikingAffine(grid(4, 6), grid(4)), (6,))],
    "Linear": [(ir.Linear(grid(4, 6)), (6,)), (ir.Linear(grid(4, 5)), MAP)],
    "Scale": [(ir.Scale(grid(3) * 4), MAP)],
    "Conv1d": [(ir.Conv1d(grid(4, 3, 3), grid(4), 2, 1, 2), (3, 9))],
    "Conv2d": [
        (ir.Conv2d(grid(6, 1, 3, 2), grid(6), (2, 1), (1, 0), (1, 2), groups=3), MAP),
        (ir.Conv2d(grid(4, 3, 2, 2), grid(4), padding="same"), MAP),
    ],
    "Conv3d": [(ir.Conv3d(grid(2, 2, 2, 3, 2), grid(2), padding=(1, 0, 1)), (2, 3, 4, 3))],
    "SepConv2d": [
        (ir.SepConv2d(RNG.integers(-1, 2, (3, 1, 2, 2)), grid(4, 3, 1, 1), None, grid(4)), MAP)
    ],
    "ConvTranspose1d": [(ir.ConvTranspose1d(grid(3, 2, 3), grid(2), 2, 1, 1), (3, 5))],
    "ConvTranspose2d": [
        (ir.ConvTranspose2d(grid(3, 2, 2, 3), grid(6), (2, 1), (1, 0), (0, 1), (1, 2), 3), MAP)
    ],
    "MaxPool1d": [(ir.MaxPool1d(3, 2, 1, 2, ceil_mode=True), (3, 9))],
    "MaxPool2d": [
        (ir.MaxPool2d((2, 3), (2, 2), (1, 1), ceil_mode=True), MAP),
        # Some of whose windows hold nothing but padding.
        (ir.MaxPool2d((2, 2), (1, 1), (1, 1), (2, 2)), (3, 1, 2)),
    ],
    "MaxPool3d": [(ir.MaxPool3d((2, 2, 2), padding=(1, 0, 1)), (2, 3, 4, 3))],
    "AvgPool1d": [(ir.AvgPool1d(3, 2, 1, ceil_mode=True), (3, 8))],
    "AvgPool2d": [
        (ir.AvgPool2d((3, 3), (1, 1), (1, 1)), MAP),
        (ir.AvgPool2d((3, 2), (2, 2), (1, 1), ceil_mode=True, count_include_pad=False), MAP),
    ],
    "AvgPool3d": [(ir.AvgPool3d((2, 2, 2)), (2, 3, 4, 4))],
    "SumPool2d": [(ir.SumPool2d((2, 2), (2, 1), (1, 0)), MAP)],
    "Upsample": [
        (ir.Upsample(2), MAP),
        (ir.Upsample(2, (4, 9)), MAP),
        (ir.Upsample(2, (5, 8), mode="bilinear"), MAP),
        (ir.Upsample(2, mode="bilinear", align_corners=True), MAP),
    ],
    "Flatten": [(ir.Flatten(), MAP), (ir.Flatten(1), MAP)],
    "Reshape": [(ir.Reshape((5, -1)), MAP)],
    "Transpose": [(ir.Transpose((2, 0, -2)), MAP)],
    "Slice": [(ir.Slice(-1, -4, None, 2), MAP), (ir.Slice(1, 1, 4), MAP)],
    "Reduce": [
        (ir.Reduce(how, axes, keep), MAP)
        for how, axes, keep in (("sum", (0, -1), False), ("mean", (1,), True), ("max", (2,), False),
                                ("min", (0, 1, 2), True))
    ],
    "LIF": [(ir.LIF(**NEURON, **LEVEL), (6,))],
    "IF": [(ir.IF(**LEVEL), (6,))],
    "CubaLIF": [(ir.CubaLIF(**CUBA, **LEVEL), (6,))],
    "LI": [(ir.LI(**NEURON), (6,))],
    "I": [(ir.I(np.array(0.5)), (6,))],
    "CubaLI": [(ir.CubaLI(**CUBA), (6,))],
    "Skip": [(ir.Skip(kind), MAP, n) for kind, n in (("residual", 3), ("concatenate", 2),
                                                     ("passthrough", 1))],
    "Concat": [(ir.Concat(-1), MAP, 3)],
    "ChannelSplit": [(ir.ChannelSplit((1, 2)), MAP), (ir.ChannelSplit((4, 1), -1), MAP)],
    "ReLU": [(ir.ReLU(3), MAP), (ir.ReLU(3, 0.25), MAP)],
    "PReLU": [(ir.PReLU(3, grid(3)), MAP), (ir.PReLU(3, grid(1)), MAP)],
    "Sigmoid": [(ir.Sigmoid(6), (6,))],
    "Tanh": [(ir.Tanh(6), (6,))],
    "Softmax": [(ir.Softmax(3, 1), MAP), (ir.Softmax(5, -1), MAP)],
    "LogSoftmax": [(ir.LogSoftmax(3, 1), (3, 2))],
    "GELU": [(ir.GELU(6), (6,)), (ir.GELU(6, False), (6,))],
    "ELU": [(ir.ELU(6, 0.5), (6,))],
    "BatchNorm1d": [(ir.BatchNorm1d(3, *norm(3)), (3, 4)), (ir.BatchNorm1d(6, *norm(6)), (6,))],
    "BatchNorm2d": [(ir.BatchNorm2d(3, *norm(3)), MAP)],
    "BatchNorm3d": [(ir.BatchNorm3d(2, *norm(2)), (2, 3, 2, 2))],
    "LayerNorm": [(ir.LayerNorm((6, 5), grid(6, 5) + 1, grid(6, 5)), MAP)],
    "GroupNorm": [(ir.GroupNorm(2, grid(4) + 1, grid(4)), (4, 3))],
    "Dropout": [(ir.Dropout(6), (6,))],
    "HybridRegion": [(ir.HybridRegion("snn", 6), (6,))],
    "Identity": [(ir.Identity(), (6,), 2)],
    "Input": [(ir.Identity(), MAP)],
    "Output": [(ir.Identity(), MAP)],
    "Threshold": [(ir.Threshold(grid(6), kind), (6,)) for kind in ("ge", "gt")],
    "Delay": [
        (ir.Delay(np.array(3)), (6,)),
        (ir.Delay(np.array([0, 2, 1]), np.array([0.5, 0.0, -0.25])), MAP),
        (ir.Delay(np.array(0)), (6,)),
    ],
    "Accumulate": [(ir.Accumulate(how), (6,)) for how in ("sum", "mean", "max", "min")],
    "Unary": [(ir.Unary(op), (6,)) for op in UNARY],
    "Shift": [(ir.Shift(grid(3)), MAP)],
    "Clip": [(ir.Clip(np.array(-0.25), grid(3)), MAP), (ir.Clip(high=np.array(0.5)), MAP)],
    "Power": [(ir.Power(np.array(p)), (6,)) for p in (2.0, 3.0, 0.5, -1.0, -2.0, 1.5)],
    "Binary": [(ir.Binary(op), (6,), 2) for op in BINARY],
    "Where": [(ir.Where(), (6,), 3)],
    "MatMul": [(ir.MatMul(), (2, 3, 3), 2)],
}  # fmt: skip
ROUNDED = {"Sigmoid", "Tanh", "Softmax", "LogSoftmax", "GELU", "ELU", "LayerNorm", "GroupNorm",
           "Unary", "Power", "Binary"}  # fmt: skip
"""What onnxruntime may round otherwise."""


def agree(found, expected, exact=True):
    """That all numbers are the same, those called spikes in any case; and how many spikes."""
    if exact:
        assert not differing(found, expected)
    for name, value in expected.items():
        if name.startswith("spikes"):
            np.testing.assert_array_equal(found[name], value)
        else:
            scale = np.abs(value[np.isfinite(value)]).max(initial=1e-6)
            np.testing.assert_allclose(found[name], value, rtol=2e-6, atol=2e-6 * scale)
    return sum(int((v > 0).sum()) for n, v in expected.items() if n.startswith("spikes"))


def test_every_primitive_has_an_example_and_a_translation():
    kinds = {name: ir.str_to_node(name) for name in ir.list_primitives()}
    ours = {n for n, kind in kinds.items() if kind.__module__.startswith("t1c.ir.primitives.")}
    assert set(EXAMPLES) == ours
    assert {ir.str_to_node(name) for name in ours} <= set(TRANSLATIONS)


@pytest.mark.parametrize("primitive", EXAMPLES)
def test_a_primitive_is_in_onnx_what_it_is_here(primitive, tmp_path):
    """At B=1 step by step, at B=3 as a sequence."""
    fired = 0
    for node, shape, *inputs in EXAMPLES[primitive]:
        assert node.primitive == primitive or primitive in ("Input", "Output")
        graph = one(node, shape, *inputs)
        xs = drawn(graph)
        single = {name: x[:, :1] for name, x in xs.items()}
        exact = primitive not in ROUNDED
        want, states = reference(graph, xs)
        outs, last = Model(graph, tmp_path, step=False)(xs)
        fired += agree(outs, want, exact)
        agree(last, states, exact)
        outs, last = Model(graph, tmp_path).steps(single)
        fired += agree(outs, {name: value[:, :1] for name, value in want.items()}, exact)
        agree(last, {name: value[:1] for name, value in states.items()}, exact)
    assert fired > T


def options():
    """Every reset, delayed and at once, one and several spikes, bounded and not, both firings."""
    for kind, reset, delay, spikes, bound, fires in itertools.product(
        (ir.LIF, ir.CubaLIF),
        ("zero", "value", "subtract", "lower", "none", "hold", "carry"),
        (False, True),
        ("binary", "multiple"),
        (None, -0.125),
        ("ge", "gt"),
    ):
        if (reset == "hold") > delay or (reset == "carry") > (not delay):
            continue
        if fires == "gt" and (spikes == "multiple" or kind is not ir.LIF):
            continue
        given = {ir.LIF: NEURON, ir.CubaLIF: CUBA, ir.IF: {}}[kind]
        yield kind(
            **given,
            v_threshold=grid(4) / 2 + 0.25,
            reset=reset,
            v_reset=grid(4) / 4 if reset in ("value", "lower") else None,
            reset_delay=delay,
            spikes=spikes,
            v_min=None if bound is None else np.array(bound),
            fires_at=fires,
        )


def test_every_option_of_a_neuron(tmp_path):
    """All of them side by side in one graph."""
    cells = list(options())
    assert len(cells) == 120
    nodes = {"in": ir.Input((4,))}
    edges = []
    for k, cell in enumerate(cells):
        nodes |= {f"n{k}": cell, f"spikes{k}": ir.Output((4,))}
        edges += [("in", f"n{k}"), (f"n{k}", f"spikes{k}")]
    graph = ir.Graph(nodes, edges)
    xs = drawn(graph)
    want, states = reference(graph, xs)
    assert all(value.sum() > 0 for value in want.values())
    for outs, last in (Model(graph, tmp_path).steps(xs), Model(graph, tmp_path, step=False)(xs)):
        assert agree(outs, want) > 120 * T
        assert not differing(last, states)


@pytest.mark.parametrize("name", ["adaptive", "refractory"])
def test_a_neuron_that_is_a_graph(name, tmp_path):
    inner = getattr(neuron_examples, name)(4)
    graph = chain(("in", ir.Input((4,))), ("cell", inner), ("spikes", ir.Output((4,))))
    xs = drawn(graph)
    want, states = reference(graph, xs)
    assert any(name.startswith("state/cell/") for name in states)
    for outs, last in (Model(graph, tmp_path).steps(xs), Model(graph, tmp_path, step=False)(xs)):
        assert agree(outs, want) > T / 4
        assert not differing(last, states)


# Graphs at random -------------------------------------------------------------------------------


def compared(graph, folder, batch, steps, exact):
    """A graph step by step and as a sequence; what was compared, counted."""
    xs = drawn(graph, steps, batch)
    counted = collections.Counter()
    held = {name for name, node in graph.inputs().items() if node.hold is not None}
    still = {name: x[0] if name in held else x for name, x in xs.items()}
    asked = len(held) == len(xs)
    runs = [
        (Model(graph, folder).steps(xs), reference(graph, xs)),
        (
            Model(graph, folder, step=False)(
                still | ({"run/steps": np.array(steps)} if asked else {})
            ),
            reference(graph, still, **({"steps": steps} if asked else {})),
        ),
    ]
    for (outs, last), (want, states) in runs:
        agree(outs, want, exact)
        agree(last, states, exact)
        counted["steps"] += steps
        counted["ones"] += sum(int((value == 1).sum()) for value in want.values())
        counted["numbers"] += sum(value.size for value in want.values())
    return counted


@pytest.mark.parametrize("cyclic", [False, True])
def test_random_networks_are_the_reference(cyclic, tmp_path):
    """Bit for bit, at two batch sizes; derandomised, because a loop may leave the grid."""
    counted = collections.Counter()

    @settings(max_examples=14, derandomize=True, database=None)
    @given(networks(every=True, cyclic=cyclic), st.sampled_from([1, 4]))
    def run(graph, batch):
        counted.update(compared(graph, tmp_path, batch, T, exact=True))

    run()
    assert counted["steps"] == 28 * T
    assert counted["ones"] > T, counted


def test_random_graphs_are_the_reference_within_rounding(tmp_path):
    """Every name, border and shape; sums may leave the grid."""
    counted = collections.Counter()

    @settings(max_examples=25, derandomize=True, database=None)
    @given(grid_graphs(notes=False, max_nodes=4), st.sampled_from([1, 2]))
    def run(graph, batch):
        counted.update(compared(graph, tmp_path, batch, 24, exact=False))

    run()
    assert counted["numbers"] > 5_000


# The door ---------------------------------------------------------------------------------------


def small(**options):
    rng = np.random.default_rng(3)
    weight = (rng.integers(-64, 65, (5, 6)) / 256).astype("float32")
    return chain(
        ("in", ir.Input((6,), **options)),
        ("fc", ir.Affine(weight, np.full(5, 0.125))),
        ("lif", ir.LIF(**NEURON, **LEVEL)),
        ("spikes", ir.Output((5,))),
    )


def test_a_model_says_what_goes_in_and_out(tmp_path):
    model = Model(small(), tmp_path)
    assert [(i.name, i.shape) for i in model.session.get_inputs()] == [("in", ["B", 6])]
    given = [(i.name, i.shape) for i in model.session.get_overridable_initializers()]
    assert given == [("state/lif/v", [None, 5])]
    outputs = [(o.name, o.shape) for o in model.session.get_outputs()]
    assert outputs == [("spikes", ["B", 5]), ("next/lif/v", ["B", 5])]
    notes = model.session.get_modelmeta().custom_metadata_map
    assert json.loads(notes["t1c.states"]) == {"state/lif/v": "next/lif/v"}
    assert notes["t1c.kind"] == "step"
    loaded = onnx.load(tmp_path / "model.onnx")
    assert [(o.domain, o.version) for o in loaded.opset_import] == [("", 18)]
    assert {node.domain for node in loaded.graph.node} == {""}
    assert model.report.to_dict()["states"] == [{"name": "state/lif/v", "shape": ["B", 5]}]
    assert "one step in ONNX, opset 18" in str(model.report)


def test_a_sequence_goes_on_from_the_states_of_another(tmp_path):
    graph = small()
    model, xs = Model(graph, tmp_path, step=False), drawn(graph)
    first, states = model({"in": xs["in"][:15]})
    second, states = model({"in": xs["in"][15:]}, states)
    want, last = reference(graph, xs)
    both = {"spikes": np.concatenate([first["spikes"], second["spikes"]])}
    assert agree(both, want) > T
    assert not differing(states, last)


def test_a_state_of_one_sample_is_for_all_and_of_another_batch_for_none(tmp_path):
    graph = small()
    model, xs = Model(graph, tmp_path), drawn(graph)
    one = {"state/lif/v": np.full((1, 5), 0.2, "float32")}
    each = {"state/lif/v": np.full((3, 5), 0.2, "float32")}
    x = {"in": xs["in"][0]}
    assert not differing(model(x, one)[1], model(x, each)[1])
    for batch in (1, 2, 6):
        with pytest.raises(Exception, match=r"Reshape|Expand"):
            model({"in": np.zeros((batch, 6), "float32")}, each)
    sequence = Model(graph, tmp_path, step=False)
    with pytest.raises(Exception, match=r"Reshape|Expand"):
        sequence({"in": np.zeros((4, 1, 6), "float32")}, each)


def test_inputs_of_other_sizes_are_refused(tmp_path):
    nodes = {"a": ir.Input((3,)), "b": ir.Input((3,)), "spikes": ir.Output((3,))}
    graph = ir.Graph(nodes, [("a", "spikes"), ("b", "spikes")])
    step, sequence = Model(graph, tmp_path), Model(graph, tmp_path, step=False)
    zeros = {n: np.zeros(n, "float32") for n in ((1, 3), (2, 3), (4, 2, 3), (2, 4, 3), (1, 1, 3))}
    assert step({"a": zeros[2, 3], "b": zeros[2, 3]})[0]["spikes"].shape == (2, 3)
    with pytest.raises(Exception, match="Reshape"):
        step({"a": zeros[2, 3], "b": zeros[1, 3]})
    for other in ((2, 4, 3), (1, 1, 3)):
        with pytest.raises(Exception, match="Reshape"):
            sequence({"a": zeros[4, 2, 3], "b": zeros[other]})


def test_held_inputs_say_for_how_long_and_a_call_may_say_otherwise(tmp_path):
    graph = small(hold=7)
    model = Model(graph, tmp_path, step=False)
    x = drawn(graph)["in"][0]
    for steps in (None, 4):
        given = {} if steps is None else {"run/steps": np.array(steps)}
        want, _ = reference(graph, {"in": x}, steps=steps)
        outs, _ = model({"in": x} | given)
        assert outs["spikes"].shape == (steps or 7, 3, 5)
        assert agree(outs, want) > 0


def test_float64_is_the_reference_in_float64_or_refused(tmp_path):
    graph = small()
    xs = {name: x.astype("float64") for name, x in drawn(graph).items()}
    want, states = reference(graph, xs, "float64")
    outs, last = Model(graph, tmp_path, step=False, dtype="float64")(xs)
    assert agree(outs, want) > T
    assert not differing(last, states)
    node, shape = EXAMPLES["ConvTranspose2d"][0]
    with pytest.raises(ir.UnsupportedError, match=r"node 'node': float64.*dtype='float32'"):
        deploy.to_onnx(one_of(node, shape), tmp_path / "m.onnx", dtype="float64")
    fired = 0
    for primitive in ("Conv1d", "Conv2d", "Conv3d", "SepConv2d", "AvgPool2d", "MaxPool2d"):
        for node, shape in EXAMPLES[primitive]:
            graph = one(node, shape)
            xs = {name: x.astype("float64") for name, x in drawn(graph, 20).items()}
            outs, _ = Model(graph, tmp_path, step=False, dtype="float64")(xs)
            fired += agree(outs, reference(graph, xs, "float64")[0])
    assert fired > T


def one_of(node, shape):
    return chain(
        ("in", ir.Input(shape)), ("node", node), ("out", ir.Output(node.output_shape(shape)))
    )


def test_weights_of_few_bits_stay_so_in_the_file(tmp_path):
    weight = RNG.integers(-128, 128, (64, 128)).astype("int8")
    sizes = {}
    for kind in ("int8", "float32"):
        graph = one_of(ir.Affine(weight.astype(kind), np.zeros(64)), (128,))
        model = Model(graph, tmp_path, step=False)
        xs = drawn(graph, 4)
        assert not differing(model(xs)[0], reference(graph, xs)[0])
        sizes[kind] = model.report.bytes
    assert sizes["float32"] - sizes["int8"] == pytest.approx(3 * weight.size, abs=200)


@pytest.mark.parametrize("bits", [16, 32])
def test_graphs_of_integers_are_exact(bits, tmp_path):
    """The demo's network in integers, of which float32 holds sums of 16 bits, but not of 32."""
    samples = np.load(ROOT / "examples" / "digits_test.npz")
    x, steps = samples["x"][:3], int(samples["steps"])
    given = {"weight_bits": 8, "accumulator_bits": bits, "state_bits": bits}
    graph = sdk.quantize(ROOT / "examples" / "digits.t1c", **given, calibrate=x, steps=steps)
    xs = {"input": np.repeat(x[None], T, 0).astype("float64")}
    want, states = reference(graph, xs, "float64")
    kinds = [k for k in ("float32", "float64") if not exact_formats(graph)[k]]
    assert "float64" in kinds
    for kind in kinds:
        model = Model(graph, tmp_path, step=False, dtype=kind)
        outs, last = model({"input": xs["input"].astype(kind)})
        assert sum(v.sum() for v in outs.values()) > T
        assert not differing(wide(outs), want)
        assert not differing(wide(last), states)
        assert model.report.bytes < os.stat(ROOT / "examples" / "digits.t1c").st_size
    if "float32" not in kinds:
        with pytest.raises(ir.UnsupportedError, match="dtype='float64'"):
            deploy.to_onnx(graph, tmp_path / "m.onnx")


def wide(values):
    return {name: value.astype("float64") for name, value in values.items()}


def test_what_onnx_cannot_say_is_refused_by_name(tmp_path):
    endless = np.full((2, 3), 1e300)
    graph = one_of(ir.Affine(endless, np.zeros(2)), (3,))
    with pytest.raises(ir.UnsupportedError, match=r"node 'node', field 'weight'.*finite"):
        deploy.to_onnx(graph, tmp_path / "m.onnx")
    with pytest.raises(ir.T1CError, match=r"'.pb'; expected .onnx"):
        deploy.to_onnx(small(), tmp_path / "m.pb")
    with pytest.raises(ir.T1CError, match="field 'dtype': 'int8'"):
        deploy.to_onnx(small(), tmp_path / "m.onnx", dtype="int8")
    assert not list(tmp_path.iterdir())


def test_a_primitive_of_ones_own_is_refused_until_it_is_translated(tmp_path):
    @ir.register_node
    class HalvedForOnnx(ir.Node):
        """y = x / 2."""

        def step(self, x, state):
            return x / 2, state

    graph = one_of(HalvedForOnnx(), (3,))
    with pytest.raises(ir.UnsupportedError, match=r"node 'node': a HalvedForOnnx.*@t1c.deploy"):
        deploy.to_onnx(graph, tmp_path / "m.onnx")

    @translates(HalvedForOnnx)
    def halve(w, node, x):
        return x / 2

    try:
        xs = drawn(graph, 3)
        assert not differing(Model(graph, tmp_path).steps(xs)[0], reference(graph, xs)[0])
    finally:
        del TRANSLATIONS[HalvedForOnnx]


def test_without_the_package_it_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ir.UnsupportedError, match=r"pip install 't1c\[onnx\]'"):
        deploy.to_onnx(small(), tmp_path / "m.onnx")


def test_the_command_writes_a_sequence_or_a_step(tmp_path):
    ir.write(tmp_path / "model.t1c", small())
    target = tmp_path / "model.onnx"
    arguments = ["deploy", "onnx", str(tmp_path / "model.t1c"), "-o", str(target)]
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 0
    assert "a sequence in ONNX" in told.output
    xs = drawn(small())
    (found,) = session(target).run(["spikes"], xs)
    np.testing.assert_array_equal(found, reference(small(), xs)[0]["spikes"])
    told = json.loads(CliRunner().invoke(app, [*arguments, "--step", "--json"]).output)
    assert told["kind"] == "step"
    assert told["states"] == [{"name": "state/lif/v", "shape": ["B", 5]}]
    (found,) = session(target).run(["spikes"], {"in": xs["in"][0]})
    assert found.shape == (3, 5)
