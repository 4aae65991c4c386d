"""What others quantised becomes a graph with the numbers that they computed, or is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.ao.nn import qat
from torch.ao.nn.intrinsic import qat as fused
from torch.ao.quantization import (
    FakeQuantize,
    FusedMovingAvgObsFakeQuantize,
    HistogramObserver,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
    PerChannelMinMaxObserver,
    QConfig,
    disable_fake_quant,
    disable_observer,
)

from t1c import bridge, ir, sdk
from t1c.ir.errors import UnsupportedError

PER_TENSOR: dict[str, Any] = {"quant_min": 0, "quant_max": 15, "dtype": torch.quint8}
KINDS = {
    "per tensor": lambda: FakeQuantize(
        MovingAverageMinMaxObserver, qscheme=torch.per_tensor_affine, **PER_TENSOR
    ),
    "per channel": lambda: FakeQuantize(
        MovingAveragePerChannelMinMaxObserver,
        qscheme=torch.per_channel_affine,
        ch_axis=1,
        **PER_TENSOR,
    ),
    "fused": lambda: FusedMovingAvgObsFakeQuantize(qscheme=torch.per_tensor_affine, **PER_TENSOR),
}
WEIGHTS = FakeQuantize.with_args(
    observer=MovingAveragePerChannelMinMaxObserver,
    quant_min=-7,
    quant_max=7,
    dtype=torch.qint8,
    qscheme=torch.per_channel_symmetric,
    ch_axis=0,
)
QCONFIG = QConfig(activation=nn.Identity, weight=WEIGHTS)


def settled(model, x):
    """A model that has observed once, and observes no more."""
    model(x)
    return model.eval().apply(disable_observer)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fake_quantised_activation_has_its_levels_in_the_graph(kind):
    torch.manual_seed(0)
    x = torch.randn(40, 3, 4)
    quantizer = KINDS[kind]()
    model = settled(nn.Sequential(quantizer, nn.Sigmoid()), x)
    assert bool(quantizer.zero_point.any())
    graph = bridge.to_ir(model, x[:2], verify=False)
    # Every tie between two levels, and what lies beside it and beyond all of them.
    scale, ties = quantizer.scale.reshape(-1), torch.arange(-20, 21) + 0.5
    near = (ties[:, None, None] * scale.reshape(1, -1, 1)).expand(-1, 3, 4)
    x = torch.cat([x * 3, near, near.nextafter(near + 1), near.nextafter(near - 1)])
    expected = model(x).detach()
    found = bridge.ir_to_torch(graph)(x)
    assert torch.equal(found, expected)
    assert 8 < expected.unique().numel() <= 16 * scale.numel()
    model.apply(disable_fake_quant)
    assert (model(x) != expected).float().mean() > 0.9


def test_a_scale_that_still_moves_is_refused_by_the_module():
    x = torch.randn(4, 6)
    for made in (KINDS["per tensor"], KINDS["fused"]):
        model = nn.Sequential(nn.Linear(6, 5), made())
        model(x)
        with pytest.raises(UnsupportedError, match=r"module '1'.*observes.*disable_observer"):
            bridge.to_ir(model, x)
    layer = qat.Linear(6, 5, qconfig=QCONFIG)
    layer(x)
    with pytest.raises(UnsupportedError, match=r"module '0.weight_fake_quant'.*observes"):
        bridge.to_ir(nn.Sequential(layer), x)


def test_an_observer_passes_on_what_it_looks_at_and_keeps_what_it_saw():
    seen = HistogramObserver()
    model = nn.Sequential(nn.Linear(6, 5), seen, nn.ReLU())
    x = torch.randn(4, 6)
    model(x)
    before = seen.histogram.clone()
    graph = bridge.to_ir(model, x, verify=False)
    assert [type(n) for n in graph.nodes.values()] == [ir.Input, ir.Affine, ir.ReLU, ir.Output]
    assert torch.equal(seen.histogram, before)
    assert before.sum() > 0


class Rounds(nn.Module):
    """A call of an operation of torch.ao, as it stands."""

    def __init__(self, call):
        super().__init__()
        self.call = call

    def forward(self, x):
        return self.call(x)


SCALES, NONE = torch.tensor([0.25, 0.5, 0.125]), torch.zeros(3, dtype=torch.int32)
ONE, NO = torch.tensor([0.1]), torch.tensor([0], dtype=torch.int32)
REFUSED = {
    "a zero_point that is no integer": lambda x: torch.fake_quantize_per_channel_affine(
        x, SCALES, torch.full((3,), 0.3), 1, 0, 15
    ),
    "amax works across the batch": lambda x: torch.fake_quantize_per_tensor_affine(
        x, x.abs().amax().reshape(1) / 7, NO, -7, 7
    ),
    "affine works across the batch": lambda x: torch.fake_quantize_per_channel_affine(
        x, SCALES, NONE, 0, 0, 15
    ),
    "quantize_per_tensor": lambda x: torch.quantize_per_tensor(
        x, 0.1, 0, torch.quint8
    ).dequantize(),
    "rounds to float32": lambda x: torch.fake_quantize_per_tensor_affine(
        x.double(), ONE, NO, -7, 7
    ),
}


@pytest.mark.filterwarnings("ignore:.*quantized tensor creation functions")
@pytest.mark.parametrize("said", REFUSED)
def test_what_is_not_understood_is_refused(said):
    x = torch.randn(3, 3, 2)
    model = Rounds(REFUSED[said])
    sample = x.double() if "float32" in said else x
    model(sample)
    with pytest.raises(UnsupportedError, match=said):
        bridge.to_ir(nn.Sequential(model), sample)


def test_channels_are_found_wherever_they_are_in_a_sequence():
    """Time first: the third axis of the tensor is the first of the features."""
    snn = pytest.importorskip("snntorch")

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lif = snn.Leaky(beta=0.75, threshold=0.5)

        def forward(self, xs):
            levels = torch.fake_quantize_per_channel_affine(xs, SCALES, NONE, 2, 0, 3)
            mem, out = self.lif.init_leaky(), []
            for x in levels:
                spikes, mem = self.lif(x, mem)
                out.append(spikes)
            return torch.stack(out)

    model = Net()
    graph = bridge.to_ir(model, torch.rand(4, 3, 3, 2), verify=False)
    xs = torch.rand(9, 5, 3, 2) * 2
    expected = model(xs).detach()
    found, _ = bridge.ir_to_torch(graph).run(xs)
    assert 20 < expected.sum() < expected.numel() - 20
    assert torch.equal(found, expected)


def network():
    """A fake-quantised input, convolution, and classifier, with neurons between them."""
    snn = pytest.importorskip("snntorch")

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.shown = KINDS["per tensor"]()
            self.conv = qat.Conv2d(2, 4, 3, padding=1, qconfig=QCONFIG)
            self.sums = KINDS["per channel"]()
            self.lif1 = snn.Leaky(beta=0.75, threshold=0.25)
            self.fc = qat.Linear(64, 5, qconfig=QCONFIG)
            self.lif2 = snn.Leaky(beta=0.875, threshold=0.25)

        def forward(self, xs):
            first, second = self.lif1.init_leaky(), self.lif2.init_leaky()
            out = []
            for x in xs:
                spikes, first = self.lif1(self.sums(self.conv(self.shown(x))), first)
                spikes, second = self.lif2(self.fc(spikes.flatten(1)), second)
                out.append(spikes)
            return torch.stack(out)

    torch.manual_seed(0)
    return settled(Net(), torch.rand(6, 3, 2, 4, 4) * 4)


def test_a_network_trained_for_integers_becomes_the_integers_that_were_trained():
    model = network()
    graph = bridge.to_ir(model, torch.rand(6, 3, 2, 4, 4))
    xs = torch.rand(11, 5, 2, 4, 4) * 4
    expected = model(xs).detach()
    found, _ = bridge.ir_to_torch(graph).run(xs)
    assert 20 < expected[1:].sum() < expected.numel() - 20
    assert torch.equal(found, expected)

    small = sdk.quantize(graph, 4, calibrate=xs.numpy())
    bridge.ir_to_torch(small, quantized=True)
    arriving = {"conv": float(model.shown.scale), "fc": 1.0}
    for name, node_name in (("conv", "conv.conv2d"), ("fc", "fc.linear")):
        layer = model.get_submodule(name)
        trained = layer.weight_fake_quant(layer.weight).detach().numpy()
        node = small.nodes[node_name]
        assert node.weight.dtype == np.int8
        unit = np.ravel(node.metadata["quantized"]["unit"]) / arriving[name]
        counted = node.weight * unit.reshape(-1, *(1,) * (trained.ndim - 1))
        assert np.allclose(counted, trained, rtol=1e-5, atol=0)
        assert np.unique(trained).size > 8
    integers, _ = ir.Reference(small).run(xs.numpy())
    assert (integers != expected.numpy()).mean() < 0.1


@pytest.mark.parametrize("layer", [qat.Conv1d, qat.Conv2d, qat.Conv3d, fused.ConvBnReLU2d])
def test_layers_of_every_rank_work_with_their_rounded_weights(layer):
    torch.manual_seed(0)
    rank = int(layer.__name__.removesuffix("d")[-1])
    x = torch.randn(4, 2, *(5,) * rank)
    module = layer(2, 3, 3, qconfig=QCONFIG)
    model = settled(nn.Sequential(module), x)
    graph = bridge.to_ir(model, x[:2], verify=False)
    expected = model(x).detach()
    assert torch.allclose(bridge.ir_to_torch(graph)(x), expected, atol=1e-5)
    model.apply(disable_fake_quant)
    assert not torch.allclose(model(x), expected, atol=1e-2)


def test_a_channel_that_saw_nothing_is_refused():
    """A scale of 0 has no levels."""
    quantizer = FakeQuantize(
        PerChannelMinMaxObserver, qscheme=torch.per_channel_affine, ch_axis=1, **PER_TENSOR
    )
    x = torch.randn(4, 3)
    model = settled(nn.Sequential(quantizer), x)
    quantizer.scale[1] = 0
    with pytest.raises(UnsupportedError, match=r"module '0'.*scale is not above 0"):
        bridge.to_ir(model, x)


LEVELS = {
    "2 bits": {"num_bits": 2},
    "4 bits around the threshold": {"num_bits": 4, "uniform": False, "threshold": 0.5},
    "6 bits around zero": {
        "num_bits": 6,
        "uniform": False,
        "thr_centered": False,
        "multiplier": 0.9,
        "lower_limit": 0.5,
    },
    "8 bits": {"num_bits": 8, "lower_limit": 0.1, "upper_limit": 0.5},
}


@pytest.mark.parametrize("kind", LEVELS)
def test_levels_of_snntorch_are_the_nearest_bit_for_bit(kind):
    pytest.importorskip("snntorch")
    from snntorch.functional import quant

    from t1c.bridge.frameworks.snntorch_quant import bounds_between, levels_of, staircase

    own = quant.state_quant(**LEVELS[kind])
    levels = levels_of(own)
    bounds = bounds_between(levels)
    far = np.float32(100)
    beside = [bounds, np.nextafter(bounds, -far), np.nextafter(bounds, far)]
    anywhere = np.random.default_rng(0).normal(0, 2, 5000).astype(np.float32)
    x = torch.from_numpy(np.concatenate([levels, *beside, anywhere, [-far, 0, far]]))
    expected = own(x.float())
    assert torch.equal(staircase(levels, own)(x.float()), expected)
    assert expected.unique().numel() == len(levels) == 2 ** LEVELS[kind]["num_bits"]


def neurons():
    snn = pytest.importorskip("snntorch")
    from snntorch.functional import quant

    few, some, many = (quant.state_quant(num_bits=n) for n in (2, 5, 8))
    return {
        "leaky, few levels": snn.Leaky(0.75, state_quant=few),
        "leaky, many levels": snn.Leaky(0.75, state_quant=some),
        "synaptic": snn.Synaptic(0.5, 0.75, state_quant=many, reset_mechanism="none"),
    }


@pytest.mark.parametrize("kind", ["leaky, few levels", "leaky, many levels", "synaptic"])
def test_a_neuron_whose_state_is_rounded_fires_as_in_snntorch(kind):
    made = neurons()[kind]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.lif = nn.Linear(6, 5), made

        def forward(self, xs):
            state, out = (), []
            for x in xs:
                spikes, *state = self.lif(self.fc(x), *state)
                out.append(spikes)
            return torch.stack(out)

    torch.manual_seed(0)
    model = Net()
    with torch.no_grad():
        for p in model.fc.parameters():
            p.copy_((p * 256).round() / 256)
    graph = bridge.to_ir(model, torch.rand(4, 2, 6))
    xs = (torch.rand(24, 7, 6) * 5 * 256).round() / 256
    with torch.no_grad():
        expected = model(xs)
        own, made.state_quant = made.state_quant, False
        plain, made.state_quant = model(xs), own
    found, _ = bridge.ir_to_torch(graph).run(xs)
    exact, _ = ir.Reference(graph, dtype=np.float32).run(xs.numpy())
    assert 20 < expected[1:].sum() < expected[1:].numel() - 20
    assert (expected != plain).sum() > 5
    assert torch.equal(found, expected)
    assert np.array_equal(exact, expected.numpy())
