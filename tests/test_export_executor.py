"""An exported executor gives back its own graph, trained weights included."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from t1c.ir.errors import UnsupportedError

from .export_helpers import bridge, ir, same, spikes


def lif(**options):
    return ir.LIF([2.0], [2.0], [0.0], [1.0], **options)


def plain_graph():
    rng = np.random.default_rng(0)
    return ir.Graph(
        {
            "in put": ir.Input((1, 4, 4), metadata={"unit": "mV"}),
            "conv.1": ir.Conv2d(rng.normal(size=(2, 1, 3, 3)), np.zeros(2, np.float16)),
            "region": ir.HybridRegion("snn", 2, "first"),
            "lif": lif(metadata={"note": "kept"}),
            "alone": ir.Skip("passthrough"),
            "join": ir.Skip("concatenate"),
            "up": ir.Upsample(scale_factor=3),
            "flat": ir.Flatten(),
            "drop": ir.Dropout(144, 0.25),
            "act": ir.PReLU(144, np.array([0.5])),
            "fc": ir.SpikingAffine(rng.normal(size=(3, 144)), np.ones(3), "rate", 4, 12),
            "out": ir.Output((3,)),
        },
        [
            ("in put", "conv.1"),
            ("conv.1", "region"),
            ("region", "lif"),
            ("lif", "join"),
            ("lif", "alone"),
            ("alone", "join"),
            ("join", "up"),
            ("up", "flat"),
            ("flat", "drop"),
            ("drop", "act"),
            ("act", "fc"),
            ("fc", "out"),
        ],
        {"made by": {"someone": 1}},
    )


def rich_graph():
    inner = ir.Graph(
        {"i": ir.Input((4,)), "lif": lif(), "o": ir.Output((4,))}, [("i", "lif"), ("lif", "o")]
    )
    one = np.ones(1)
    return ir.Graph(
        {
            "input": ir.Input((4,)),
            "nested": inner,
            "scale": ir.Scale(np.arange(4.0)),
            "cuba": ir.CubaLIF(2 * one, 2 * one, one, 0 * one, one, reset="hold", reset_delay=True),
            "linear": ir.Linear(np.eye(4)),
            "delay": ir.Delay(2),
            "if": ir.IF(one, reset="carry"),
            "split": ir.ChannelSplit((1, 3)),
            "cat": ir.Concat(0),
            "threshold": ir.Threshold(one),
            "output": ir.Output((4,)),
        },
        [
            ("input", "nested"),
            ("nested", "scale"),
            ("scale", "cuba"),
            ("cuba", "linear"),
            ("linear", "cuba"),
            ("cuba", "delay"),
            ("delay", "if"),
            ("if", "split"),
            ("split", "threshold"),
            ("split", "cat"),
            ("threshold", "cat"),
            ("cat", "output"),
        ],
        {"a": "b"},
        allow_cycles=True,
        feedback=[("cuba", "linear")],
    )


@pytest.mark.parametrize("make", [plain_graph, rich_graph])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_graph_comes_back(make, dtype):
    graph = make()
    executor = bridge.ir_to_torch(graph, dtype=dtype)
    back = bridge.to_ir(executor, torch.zeros(1))
    assert back.difference(graph) == []
    for name, node in back.nodes.items():
        for field, value in node.parameters().items():
            assert value.dtype == getattr(graph.nodes[name], field).dtype
    again = bridge.to_ir(copy.deepcopy(executor), torch.zeros(1))
    assert again.equals(graph)


def test_trained_weights_come_along_in_the_arrays_dtype():
    graph = plain_graph()
    executor = bridge.ir_to_torch(graph)
    with torch.no_grad():
        executor.node("fc").bias += 0.5
        executor.node("conv.1").bias += 0.25
        executor.node("lif").v_threshold += 1
    back = bridge.to_ir(executor, torch.zeros(1))
    assert np.array_equal(back.nodes["fc"].bias, np.full(3, 1.5))
    assert back.nodes["conv.1"].bias.dtype == np.float16
    assert back.nodes["lif"].v_threshold == 2
    assert back.nodes["fc"].weight is graph.nodes["fc"].weight
    assert back.nodes["fc"].metadata == graph.nodes["fc"].metadata
    assert back.nodes["fc"].weight_bits == 4
    assert {line.split("'")[1] for line in back.difference(graph)} == {"fc", "conv.1", "lif"}
    x = spikes(2, 1, 4, 4)
    assert same(bridge.ir_to_torch(back)(x), executor(x))


def test_an_executor_made_by_hand():
    modules = {
        "input": nn.Identity(),
        "fc": nn.Linear(10, 10),
        "skip": bridge.SkipModule("residual"),
        "lif": bridge.LIFModule(2.0, 2.0, 0.0, 1.0),
        "output": nn.Identity(),
    }
    edges = [("input", "fc"), ("fc", "skip"), ("input", "skip"), ("skip", "lif"), ("lif", "output")]
    executor = bridge.GraphExecutor(modules, edges)
    graph = bridge.to_ir(executor, torch.zeros(2, 10))
    assert graph.edges == edges
    assert list(graph.nodes) == list(modules)
    assert graph.nodes["input"].shape == (10,)
    x = torch.randn(5, 2, 10)
    assert same(bridge.ir_to_torch(graph).run(x)[0].detach(), executor.run(x)[0].detach())


def test_from_ir_and_its_edges():
    graph = plain_graph()
    executor = bridge.GraphExecutor(bridge.from_ir(graph), graph.edges)
    back = bridge.to_ir(executor, torch.zeros(1, 1, 4, 4))
    assert back.nodes["lif"].metadata == {"note": "kept"}
    assert back.edges == graph.edges


def test_a_module_that_replaced_another_exports_as_what_it_is():
    graph = plain_graph()
    executor = bridge.ir_to_torch(graph, node_map={ir.PReLU: lambda node: nn.ReLU()})
    assert bridge.to_ir(executor, torch.zeros(1)).nodes["act"].primitive == "ReLU"


def test_a_module_of_the_users_that_no_node_says():
    class Odd(nn.Module):
        def forward(self, x):
            return torch.sin(x)

    executor = bridge.ir_to_torch(plain_graph(), node_map={ir.PReLU: lambda node: Odd()})
    with pytest.raises(UnsupportedError, match=r"custom_map=\{Odd: function\}"):
        bridge.to_ir(executor, torch.zeros(1))
    graph = bridge.to_ir(executor, torch.zeros(1), {Odd: lambda module: ir.Tanh(144)})
    assert graph.nodes["act"].primitive == "Tanh"


def test_spiking_is_asked_for():
    graph = ir.Graph(
        {"i": ir.Input((2,)), "fc": ir.Affine(np.eye(2), np.ones(2)), "o": ir.Output((2,))},
        [("i", "fc"), ("fc", "o")],
    )
    executor = bridge.ir_to_torch(graph)
    made = bridge.to_ir(executor, torch.zeros(1, 2), spiking=True)
    assert made.nodes["fc"].primitive == "SpikingAffine"


def test_an_executor_inside_of_a_model_is_refused():
    """It hands its neurons their state by itself, where no call shows it."""
    model = nn.Sequential(bridge.ir_to_torch(plain_graph()), nn.ReLU())
    with pytest.raises(UnsupportedError, match="module '0' is a GraphExecutor"):
        bridge.to_ir(model, spikes(2, 1, 4, 4))


def test_what_happens_to_the_callers_graph_afterwards_does_not_reach_the_executor():
    """The executor exports what it runs, and not what became of the graph it was made of."""
    one = np.ones(1)
    graph = ir.Graph(
        {
            "input": ir.Input((2, 4, 4)),
            "pool": ir.MaxPool2d((2, 2)),
            "flatten": ir.Flatten(),
            "fc": ir.Affine(np.arange(16.0).reshape(2, 8), np.zeros(2)),
            "lif": ir.LIF(2 * one, 2 * one, 0 * one, one),
            "output": ir.Output((2,)),
        },
        [
            ("input", "pool"),
            ("pool", "flatten"),
            ("flatten", "fc"),
            ("fc", "lif"),
            ("lif", "output"),
        ],
        {"by": {"whom": "me"}},
    )
    before = copy.deepcopy(graph)
    executor = bridge.ir_to_torch(graph)
    graph.nodes["fc"].weight[:] = 0
    graph.nodes["pool"].padding = (1, 1)
    graph.nodes["lif"].reset = "subtract"
    graph.nodes["lif"].metadata["note"] = "changed"
    graph.metadata["by"]["whom"] = "you"
    graph.nodes["other"] = ir.ReLU(2)
    graph.edges.append(("lif", "other"))
    exported = bridge.to_ir(executor, torch.zeros(1, 2, 4, 4))
    assert exported.difference(before) == []
