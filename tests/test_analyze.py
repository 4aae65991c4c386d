"""What is told of a network without running it: against values by hand and those of torch."""

import doctest
import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from t1c import bridge, ir, nir, sdk
from t1c.sdk.measure import neuron_settings

from .neuron_examples import adaptive, refractory
from .strategies_executor import chain

ROOT = Path(__file__).parent
DIGITS = ROOT.parent / "examples" / "digits.t1c"
FILES = sorted([*ROOT.glob("data/t1cir/*.t1c"), *ROOT.glob("data/talonir/*.t1c")])
NIR_FILES = sorted(ROOT.glob("data/nir/*.nir"))


def valid(paths):
    for path in paths:
        try:
            yield path, nir.read_graph(path, 1e-4)
        except ir.T1CError:
            continue


def test_the_examples_of_docstrings_run():
    tried = 0
    for name in ("analyze", "summarize", "neurons"):
        module = importlib.import_module(f"t1c.sdk.measure.{name}")
        found = doctest.testmod(module, raise_on_error=True)
        assert found.failed == 0
        tried += found.attempted
    assert doctest.testmod(importlib.import_module("t1c.sdk.numbers")).failed == 0
    assert tried > 10


def test_the_digits_network_by_hand():
    found = sdk.analyze_graph(DIGITS)
    macs = {node.name: node.macs for node in found.nodes if node.macs}
    # Outputs times window: 16x8x8 of 1x3x3, 32x4x4 of 16x3x3, and a product of 10 by 128.
    assert macs == {"conv1": 1024 * 9, "conv2": 512 * 144, "fc": 1280}
    assert found.macs == 9216 + 73728 + 1280
    assert found.parameters == (16 * 9 + 16) + (32 * 144 + 32) + (1280 + 10) + 3 * 4
    assert found.state == 1024 + 512 + 10
    assert (found.depth, found.layers) == (9, 3)
    assert (found.width, found.widest) == (1024, "conv1")
    assert found.dt is None
    assert found.feedback == ()
    lif = found.neurons()["lif1"].neuron
    assert [(s.name, s.low, s.high, s.unit) for s in lif.settings[:2]] == [
        ("tau", 8, 8, "steps"),
        ("v_threshold", 1, 1, ""),
    ]
    assert (lif.reset, lif.reset_delay, lif.fires_at) == ("subtract", True, "gt")
    text = str(found)
    for words in ("6,102", "84,224", "tau 8 steps", "v_threshold 1", "reset by subtraction"):
        assert words in text
    assert "tau 8 steps (800 µs)" in str(sdk.analyze_graph(DIGITS, dt=1e-4))
    assert "lif1, lif2, lif3 (1,546): LIF, tau 8 steps" in str(sdk.summarize(DIGITS))


@pytest.mark.slow
def test_counts_are_those_of_torch():
    """On every file: parameters of the modules, and what torch counts in a step."""
    counted = 0
    for path, graph in valid([*FILES, *NIR_FILES, DIGITS]):
        found = sdk.analyze_graph(path, dt=1e-4 if path.suffix == ".nir" else None)
        executor = bridge.ir_to_torch(graph, kernels="torch", events=False, return_state=True)
        xs = {name: torch.zeros(1, *node.shape) for name, node in graph.inputs().items()}
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            _, state = executor(xs)
        assert counter.get_total_flops() == 2 * found.macs, path
        assert sum(v.numel() for own in state.values() for v in own) == found.state, path
        sizes = [p.size for node in graph.flat().nodes.values() for p in node.parameters().values()]
        assert sum(sizes) == found.parameters, path
        counted += found.macs > 0
        json.dumps(found.to_dict(), allow_nan=False)
        assert str(found)
        assert str(sdk.summarize(path, dt=1e-4 if path.suffix == ".nir" else None))
        for node in found.nodes:
            alone = sdk.analyze_node(graph, node.name, dt=found.dt)
            assert alone.to_dict() == node.to_dict()
            assert str(alone)
    assert counted > 40


def test_parameters_are_ranges_with_units():
    node = ir.CubaLIF(
        np.array([4.0, 10.0]), np.array(20.0), np.array(1.0), np.zeros(2), np.array([0.5, 1.5])
    )
    found = neuron_settings(node, dt=1e-3)
    settings = {s.name: s for s in found.settings}
    assert [s.name for s in found.settings][:3] == ["tau_mem", "tau_syn", "v_threshold"]
    assert settings["tau_syn"].text == "tau_syn 4 to 10 steps (4 ms to 10 ms)"
    assert settings["tau_mem"].text == "tau_mem 20 steps (20 ms)"
    assert settings["tau_syn"].seconds == pytest.approx((0.004, 0.01))
    assert settings["v_threshold"].text == "v_threshold 0.5 to 1.5"
    assert (settings["v_threshold"].count, settings["tau_mem"].count) == (2, 1)
    assert neuron_settings(ir.Delay(np.array([1, 3])), 1e-3).text == (
        "delay 1 to 3 steps (1 ms to 3 ms)"
    )
    assert neuron_settings(ir.Threshold(np.array(0.25))).text == "threshold 0.25"
    assert neuron_settings(ir.Affine(np.ones((2, 2)), np.ones(2))) is None
    several = ir.IF(np.array(1.0), spikes="multiple", reset="subtract")
    assert neuron_settings(several).text.endswith("reset by subtraction, several spikes in a step")


def test_seconds_come_from_what_was_recorded_at_import():
    path = next(p for p in NIR_FILES if p.name == "lif.nir")
    graph = nir.read(path, dt=1e-4)
    (lif,) = sdk.analyze_graph(graph).neurons().values()
    tau = lif.neuron.settings[0]
    raw = np.asarray(nir.to_nir(graph).nodes[lif.name].tau)
    assert tau.seconds == pytest.approx((raw.min(), raw.max()))
    assert sdk.analyze_graph(graph).dt == 1e-4


def nested():
    block = chain(
        ("input", ir.Input((4,))),
        ("fc", ir.Affine(np.ones((6, 4)), np.ones(6))),
        ("lif", ir.LIF(*map(np.array, (3.0, 3.0, 0.0, 1.0)))),
        ("output", ir.Output((6,))),
    )
    return chain(
        ("input", ir.Input((4,))),
        ("block", block),
        ("own", adaptive(6)),
        ("output", ir.Output((6,))),
    )


def test_nested_graphs_count_with_what_they_hold():
    found = sdk.analyze_graph(nested())
    block = next(node for node in found.nodes if node.name == "block")
    assert (block.macs, block.parameters, block.state) == (24, 24 + 6 + 4, 6)
    assert [node.name for node in block.inside] == [
        "block/input",
        "block/fc",
        "block/lif",
        "block/output",
    ]
    assert found.neurons()["block/lif"].neuron.settings[0].low == 3
    assert sdk.analyze_node(nested(), "block/fc").macs == 24
    own = found.neurons()["own"].neuron
    values = {s.name: s.text for s in own.settings}
    assert values["v.delay"] == "v.delay 1 step"
    assert values["threshold.shift"] == "threshold.shift 0.5"
    assert set(found.neurons()) == {"block/lif", "own"}
    assert found.state == 6 + 12  # v and a of 6 neurons wait in Delays
    assert found.depth == 3  # fc, lif, and a neuron that is a graph
    assert "block/lif" in str(found)


def test_depth_follows_no_edge_that_runs_back():
    weight = np.full((3, 3), 0.25)
    graph = ir.Graph(
        {
            "input": ir.Input((3,)),
            "lif": ir.LIF(*map(np.array, (2.0, 2.0, 0.0, 0.5))),
            "back": ir.Linear(weight),
            "late": ir.Delay(np.array(2)),
            "output": ir.Output((3,)),
        },
        [("input", "lif"), ("lif", "back"), ("back", "lif"), ("lif", "late"), ("late", "lif"),
         ("lif", "output")],
        allow_cycles=True,
    )  # fmt: skip
    found = sdk.analyze_graph(graph)
    assert found.feedback == (("lif", "back"),)
    assert found.depth == 2  # back, then lif
    assert found.layers == 1
    assert "lif -> back runs back in time" in str(sdk.summarize(graph))
    assert sdk.analyze_graph(refractory_alone()).depth == 1


def refractory_alone():
    return chain(("input", ir.Input((2,))), ("n", refractory(2)), ("output", ir.Output((2,))))


def test_several_borders_and_what_they_say_of_time():
    graph = ir.Graph(
        {
            "a": ir.Input((2,), hold=7),
            "b": ir.Input((2,)),
            "sum": ir.Accumulate("mean"),
            "out": ir.Output((2,), final=True),
            "out2": ir.Output((2,)),
        },
        [("a", "sum"), ("b", "sum"), ("sum", "out"), ("sum", "out2")],
    )
    assert str(sdk.summarize(graph)).split("\n")[0] == (
        "Takes a (2,), held for 7 steps and b (2,); gives out (2,) at the last step and out2 (2,) "
        "at every step."
    )
    assert sdk.analyze_graph(graph).state == 3


def test_what_is_wrong_is_said():
    with pytest.raises(ir.InputError, match=r"no node 'lif9'; expected one of 'input', 'conv1'"):
        sdk.analyze_node(DIGITS, "lif9")
    with pytest.raises(FileNotFoundError):
        sdk.analyze_graph("nowhere.t1c")
