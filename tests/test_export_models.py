"""The graph that a model is: edges follow the tensors, names the modules."""

from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn
from torch.nn import functional as F

from .export_helpers import (
    Wrapped,
    bridge,
    drawn,
    dyadic,
    edges_of,
    fired,
    ir,
    net,
    same,
    spikes,
    there_and_back,
    types_of,
)

T, B = 200, 2


def close(model, x, tmp_path, steps=False):
    """Export, write, read, import; the same numbers as the model's on one step."""
    executor = there_and_back(model, x, tmp_path)
    with torch.no_grad():
        wanted = model(x)
    found = executor.run(x)[0] if steps else executor(x)
    assert torch.allclose(found, wanted, atol=1e-6)
    return executor.graph


# snnTorch's tutorials --------------------------------------------------------------------------


class FullyConnected(nn.Module):
    """Tutorial 5: the same input at every step, spikes and membranes recorded."""

    def __init__(self, num_steps):
        super().__init__()
        self.num_steps = num_steps
        self.fc1, self.lif1 = nn.Linear(12, 16), snn.Leaky(beta=0.875)
        self.fc2, self.lif2 = nn.Linear(16, 5), snn.Leaky(beta=0.875)

    def forward(self, x):
        mem1 = self.lif1.init_leaky()
        mem2 = self.lif2.init_leaky()
        spk2_rec, mem2_rec = [], []
        for _ in range(self.num_steps):
            cur1 = self.fc1(x)
            spk1, mem1 = self.lif1(cur1, mem1)
            cur2 = self.fc2(spk1)
            spk2, mem2 = self.lif2(cur2, mem2)
            spk2_rec.append(spk2)
            mem2_rec.append(mem2)
        return torch.stack(spk2_rec, dim=0), torch.stack(mem2_rec, dim=0)


def test_fully_connected_tutorial(tmp_path):
    model = dyadic(FullyConnected(5))
    x = spikes(B, 12)
    executor = there_and_back(model, x, tmp_path)
    assert list(executor.graph.nodes) == ["input", "fc1", "lif1", "fc2", "lif2", "output"]
    model.num_steps = T
    spk, mem = model(x)
    found, state = executor.run(x.expand(T, B, 12))
    assert same(found, spk)
    assert spk.any()
    assert same(state["lif2"][0], mem[-1])


class Convolutional(nn.Module):
    """Tutorial 6: 12C5-MP2-64C5-MP2-FC, smaller."""

    def __init__(self):
        super().__init__()
        self.conv1, self.lif1 = nn.Conv2d(1, 3, 5), snn.Leaky(beta=0.5)
        self.conv2, self.lif2 = nn.Conv2d(3, 4, 3), snn.Leaky(beta=0.5)
        self.fc1, self.lif3 = nn.Linear(4 * 2 * 2, 10), snn.Leaky(beta=0.5)

    def forward(self, x):
        mem1, mem2, mem3 = self.lif1.init_leaky(), self.lif2.init_leaky(), self.lif3.init_leaky()
        spk_rec, mem_rec = [], []
        for step in range(x.size(0)):
            cur1 = F.max_pool2d(self.conv1(x[step]), 2)
            spk1, mem1 = self.lif1(cur1, mem1)
            cur2 = F.max_pool2d(self.conv2(spk1), 2)
            spk2, mem2 = self.lif2(cur2, mem2)
            cur3 = self.fc1(spk2.view(x.size(1), -1))
            spk3, mem3 = self.lif3(cur3, mem3)
            spk_rec.append(spk3)
            mem_rec.append(mem3)
        return torch.stack(spk_rec), torch.stack(mem_rec)


def test_convolutional_tutorial(tmp_path):
    model = dyadic(Convolutional(), 1.0)
    xs = spikes(T, B, 1, 16, 16)
    executor = there_and_back(model, xs[:3], tmp_path)
    assert types_of(executor.graph) == {
        "input": "Input",
        "conv1": "Conv2d",
        "max_pool2d": "MaxPool2d",
        "lif1": "LIF",
        "conv2": "Conv2d",
        "max_pool2d_2": "MaxPool2d",
        "lif2": "LIF",
        "flatten": "Flatten",
        "fc1": "Affine",
        "lif3": "LIF",
        "output": "Output",
    }
    assert executor.graph.nodes["input"].shape == (1, 16, 16)
    with torch.no_grad():
        spk, mem = model(xs)
    found, state = executor.run(xs)
    assert same(found, spk)
    assert spk.any()
    assert same(state["lif3"][0], mem[-1])


def test_one_step_model_and_the_guides_round_trip():
    """The guide's "Round-Trip Verification", as it is printed there."""

    class SNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.lif1 = nn.Linear(784, 32), snn.Leaky(beta=0.9)
            self.fc2, self.lif2 = nn.Linear(32, 10), snn.Leaky(beta=0.9)

        def forward(self, x, mem1, mem2):
            spk1, mem1 = self.lif1(self.fc1(x), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            return spk2, mem1, mem2

    # Original model
    model = SNN()
    model.eval()

    # Export
    sample = torch.randn(1, 784)
    graph = bridge.to_ir(model, sample)

    # Import
    executor = bridge.ir_to_torch(graph, return_state=True)
    executor.eval()

    # Compare outputs
    x = torch.randn(1, 784)
    state: Any = {}

    with torch.no_grad():
        # Original
        mem1 = model.lif1.init_leaky()
        mem2 = model.lif2.init_leaky()
        out_orig, _, _ = model(x, mem1, mem2)

        # Imported
        out_import, state = executor(x, state)

    # Should be very close
    print(f"Max diff: {(out_orig - out_import).abs().max().item()}")
    assert torch.allclose(out_orig, out_import, atol=1e-5)
    assert list(graph.nodes) == ["input", "fc1", "lif1", "fc2", "lif2", "output"]

    # States in the sample are no inputs either.
    again = bridge.to_ir(model, (sample, torch.zeros(1, 32), torch.zeros(1, 10)))
    assert again.equals(graph)


# Shapes of networks ----------------------------------------------------------------------------


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding="same", bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


def test_residual_blocks(tmp_path):
    model = nn.Sequential(Block(2), Block(2), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten()).eval()
    with torch.no_grad():
        for module in model.modules():
            for name, buffer in module.named_buffers(recurse=False):
                if name.startswith("running"):
                    buffer.uniform_(0.5, 2)
    graph = close(model, torch.randn(B, 2, 4, 4), tmp_path)
    assert edges_of(graph) == [
        ("input", "0.conv1"),
        ("0.conv1", "0.bn1"),
        ("0.bn1", "0.relu"),
        ("0.relu", "0.conv2"),
        ("0.conv2", "0.bn2"),
        ("0.bn2", "0.add"),
        ("input", "0.add"),
        ("0.add", "0.relu_2"),
        ("0.relu_2", "1.conv1"),
        ("1.conv1", "1.bn1"),
        ("1.bn1", "1.relu"),
        ("1.relu", "1.conv2"),
        ("1.conv2", "1.bn2"),
        ("1.bn2", "1.add"),
        ("0.relu_2", "1.add"),
        ("1.add", "1.relu_2"),
        ("1.relu_2", "2"),
        ("2", "3"),
        ("3", "output"),
    ]
    assert graph.nodes["0.relu_2"].metadata == {"copy_of": "0.relu"}
    assert graph.nodes["2"].kernel_size == (4, 4)


def test_pyramid_pooling(tmp_path):
    class SPPF(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool = nn.MaxPool2d(5, stride=1, padding=2)
            self.mix = nn.Conv2d(8, 2, 1)

        def forward(self, x):
            y1 = self.pool(x)
            y2 = self.pool(y1)
            return self.mix(torch.cat([x, y1, y2, self.pool(y2)], dim=1))

    graph = close(SPPF(), torch.randn(B, 2, 6, 6), tmp_path)
    into = [source for source, target in graph.edges if target == "cat"]
    assert into == ["input", "pool", "pool_2", "pool_3"]
    assert types_of(graph)["cat"] == "Skip"


def test_u_shaped(tmp_path):
    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down1, self.down2 = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 4, 3, padding=1)
            self.up1, self.up2 = nn.Upsample(scale_factor=2), nn.Conv2d(6, 2, 3, padding=1)
            self.out = nn.Conv2d(3, 1, 1)

        def forward(self, x):
            a = F.relu(self.down1(x))
            b = F.leaky_relu(self.down2(F.avg_pool2d(a, 2)), 0.1)
            c = torch.cat((a, self.up1(b)), 1)
            d = F.interpolate(self.up2(c), size=(8, 8), mode="bilinear", align_corners=True)
            e = F.interpolate(d, scale_factor=0.5)
            return self.out(torch.cat([F.interpolate(e, scale_factor=2.0), x], -3))

    graph = close(UNet(), torch.randn(B, 1, 8, 8), tmp_path)
    assert types_of(graph)["cat_2"] == "Skip"
    assert graph.nodes["interpolate_2"].size == (4, 4)
    assert graph.nodes["interpolate_3"].scale_factor == 2


def test_hybrid_of_ann_and_snn(tmp_path):
    class Hybrid(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Dropout())
            self.lif = snn.Leaky(0.5)
            self.decode = nn.Linear(8, 3)

        def forward(self, x):
            mem, out = torch.zeros(x.shape[1], 8, device=x.device), []
            for x_t in x.unbind(0):
                spk, mem = self.lif(self.encode(x_t), mem)
                out.append(F.softmax(self.decode(spk), dim=1))
            return torch.stack(out)

    graph = close(Hybrid().eval(), torch.randn(4, B, 6) * 4, tmp_path, steps=True)
    assert list(graph.nodes)[1:5] == ["encode.0", "encode.1", "encode.2", "encode.3"]


# Functions, sharing, several inputs and outputs ------------------------------------------------


def test_functional_model(tmp_path):
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 2, 3, 3))
            self.scale = nn.Parameter(torch.rand(3, 1, 1))
            self.last = nn.Parameter(torch.randn(4, 12))

        def forward(self, x):
            x = F.conv2d(x, self.weight, padding=1)
            x = torch.sigmoid(x) * self.scale + torch.tanh(-x) / 4
            x = F.dropout(F.elu(x, 0.5), 0.3, training=self.training)
            x = F.adaptive_avg_pool2d(x, 2).contiguous().to(torch.float32).clone()
            x = F.gelu(x, approximate="tanh").reshape(x.size(0), -1)
            return 2 * F.linear(x, self.last).relu()

    graph = close(Functional().eval(), torch.randn(B, 2, 4, 4), tmp_path)
    assert graph.nodes["conv2d"].metadata == {"bias": "none"}
    assert "dropout" not in graph.nodes


def test_squeezing_what_a_global_pooling_left(tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4, 2)

        def forward(self, x):
            return self.fc(F.adaptive_avg_pool2d(self.conv(x), 1).squeeze(-1).squeeze(-1))

    graph = close(Net().eval(), torch.randn(B, 1, 6, 6), tmp_path)
    assert list(types_of(graph).values()) == [
        "Input", "Conv2d", "AvgPool2d", "Flatten", "Affine", "Output",
    ]  # fmt: skip


def test_shared_module_is_two_nodes_one_noted_as_a_copy(tmp_path):
    class Siamese(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Linear(4, 3), nn.Linear(6, 2)

        def forward(self, left, right):
            return self.head(torch.cat([self.embed(left), self.embed(right)], dim=-1))

    model = Siamese()
    sample = (torch.randn(B, 4), torch.randn(B, 4))
    executor = there_and_back(model, sample, tmp_path)
    graph = executor.graph
    assert list(graph.inputs()) == ["left", "right"]
    assert graph.nodes["embed_2"].metadata == {"copy_of": "embed"}
    assert np.array_equal(graph.nodes["embed"].weight, graph.nodes["embed_2"].weight)
    assert torch.allclose(executor(sample), model(*sample), atol=1e-6)
    by_name = bridge.to_ir(model, {"left": sample[0], "right": sample[1]})
    assert by_name.equals(graph)


def test_several_outputs(tmp_path):
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.a, self.b = nn.Linear(4, 3), nn.Linear(3, 2), nn.Linear(3, 1)

        def forward(self, x, as_dict=True):
            h = self.body(x)
            return {"a": self.a(h), "b": self.b(h)} if as_dict else (self.a(h), self.b(h), None, 3)

    model = Heads()
    x = torch.randn(B, 4)
    executor = there_and_back(model, x, tmp_path)
    found, wanted = executor(x), model(x)
    # The layers come by their names first.
    assert list(executor.graph.outputs()) == ["a_2", "b_2"]
    assert torch.allclose(found["b_2"], wanted["b"])
    assert list(bridge.to_ir(model, (x, False)).outputs()) == ["output_1", "output_2"]


def test_the_same_value_twice(tmp_path):
    class Twice(nn.Module):
        def forward(self, x):
            y = x + x
            return torch.cat([y, y], 1)

    graph = close(Twice(), torch.randn(B, 3), tmp_path)
    assert types_of(graph)["add.again"] == "Skip"


def test_names_of_modules_win_over_those_of_borders():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.input, self.output, self.add = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            return self.output(self.add(self.input(x)) + x)

    graph = bridge.to_ir(Named(), torch.zeros(1, 3))
    assert types_of(graph) == {
        "input_2": "Input",
        "input": "Affine",
        "add": "Affine",
        "add_2": "Skip",
        "output": "Affine",
        "output_2": "Output",
    }


def test_split_and_join_again(tmp_path):
    class Split(nn.Module):
        def forward(self, x):
            a, b = x.chunk(2, dim=1)
            return torch.cat([b, a * 0.5, b], dim=1)

    graph = close(Split(), torch.randn(B, 4, 2, 2), tmp_path)
    assert types_of(graph)["chunk"] == "ChannelSplit"


def test_concatenation_along_another_dimension(tmp_path):
    class Wide(nn.Module):
        def forward(self, x):
            return torch.cat([x, F.relu(x)], dim=3)

    assert close(Wide(), torch.randn(B, 2, 3, 3), tmp_path).nodes["cat"].dim == 2


def test_a_single_layer():
    graph = bridge.to_ir(nn.Linear(3, 2), torch.zeros(1, 3))
    assert list(graph.nodes) == ["input", "linear", "output"]


def test_lif_module_of_ours_over_time(tmp_path):
    class Ours(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 3)
            self.lif = bridge.LIFModule(2.0, 2.0, 0.0, 1.0)
            self.li = bridge.node_to_module(ir.LI([2.0], [2.0], [0.0]))

        def forward(self, x):
            mem = v = None
            out = []
            for x_t in x:
                spk, mem = self.lif(self.fc(x_t), mem)
                y, v = self.li(spk, v)
                out.append(y)
            return torch.stack(out)

    model = dyadic(Ours())
    xs = spikes(50, B, 4)
    executor = there_and_back(model, xs[:3], tmp_path)
    assert types_of(executor.graph)["li"] == "LI"
    assert same(executor.run(xs)[0], model(xs).detach())


def test_a_head_shared_by_several_scales_is_no_loop(tmp_path):
    class Pyramid(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Conv2d(2, 1, 1)

        def forward(self, x):
            return [self.head(x), self.head(F.max_pool2d(x, 2))]

    graph = bridge.to_ir(Pyramid(), torch.rand(B, 2, 4, 4))
    assert [node.shape for node in graph.outputs().values()] == [(1, 4, 4), (1, 2, 2)]


def test_work_in_place_leaves_the_sample_alone(tmp_path):
    x = torch.randn(B, 4)
    before = x.clone()
    graph = bridge.to_ir(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 2)), x)
    assert same(x, before)
    assert list(graph.nodes) == ["input", "0", "1", "output"]


@pytest.mark.parametrize("options", [{}, {"spike_mode": "rate", "weight_bits": 4}])
def test_spiking(options):
    model = nn.Sequential(nn.Linear(3, 2, bias=False))
    graph = bridge.to_ir(model, torch.zeros(1, 3), spiking=True, **options)
    node = graph.nodes["0"]
    assert node.primitive == "SpikingAffine"
    assert (node.spike_mode, node.weight_bits, node.accumulator_bits) == (
        options.get("spike_mode", "binary"),
        options.get("weight_bits", 8),
        16,
    )
    assert node.metadata == {"bias": "none"}
    exporter = bridge.T1CExporter(spiking=True, **options)
    assert exporter.export(model, torch.zeros(1, 3)).equals(graph)
    assert bridge.torch_to_ir is bridge.to_ir


def test_what_only_runs_a_model_is_looked_through():
    def forward(m, x):
        return torch.stack(fired(m, x)).mean(0)

    graph = bridge.to_ir(net(forward), drawn(5, 2, 6))
    for wrap in (lambda m: torch.compile(m, backend="eager"), nn.DataParallel):
        assert bridge.to_ir(wrap(net(forward)), drawn(5, 2, 6)).equals(graph)


def test_nodes_come_in_the_order_of_the_calls():
    """In every process, whatever hashes are there."""
    names = [f"layer_{i}" for i in (3, 1, 4, 0, 5, 9, 2, 6)]
    for _ in range(3):
        model = Wrapped(
            lambda m, x: torch.cat([getattr(m, name)(x) for name in names], 1),
            **{name: nn.Linear(4, 2) for name in sorted(names)},
        )
        graph = bridge.to_ir(model, torch.rand(1, 4))
        assert list(graph.nodes) == ["input", *names, "cat", "output"]
