"""Layers of Brevitas become a graph with the numbers that they computed, or are refused."""

import warnings

import pytest
import torch
from torch import nn

from t1c import bridge, ir
from t1c.ir.errors import UnsupportedError

with warnings.catch_warnings():
    # It asks Python's parser for what goes away in later versions.
    warnings.simplefilter("ignore")
    import brevitas.nn as qnn
    from brevitas import quant

pytestmark = pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")


class Each(nn.Module):
    """Layers on every step of a sequence."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, xs):
        ys = (self.layers(x) for x in xs)
        return torch.stack([y if isinstance(y, torch.Tensor) else y.value for y in ys])


STEPS = {"collect_stats_steps": 8}


def settled(model, xs):
    """A model whose scales have seen inputs until they stay."""
    model.train()
    with torch.no_grad():
        for _ in range(10):
            model(xs)
    return model.eval()


def compared(model, xs, more):
    """A graph made of one sample, its output and the model's for another, and how they differ."""
    graph = bridge.torch_to_ir(model, xs)
    found, _ = bridge.ir_to_torch(graph, trainable=False).run(more)
    with torch.no_grad():
        return graph, found, model(more)


WEIGHTS = {
    "2 bits": {"weight_bit_width": 2},
    "4 bits": {"weight_bit_width": 4},
    "a scale for each channel": {"weight_quant": quant.Int8WeightPerChannelFloat},
    "a power of two": {"weight_quant": quant.Int8WeightPerTensorFixedPoint},
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_a_layer_has_the_weights_that_it_rounds_to(kind):
    torch.manual_seed(0)
    layer = qnn.QuantLinear(20, 7, bias=True, **WEIGHTS[kind])
    xs = torch.randint(-8, 9, (2, 3, 20)) / 8
    graph = bridge.torch_to_ir(Each(layer).eval(), xs)
    affine = next(n for n in graph.nodes.values() if isinstance(n, ir.Affine))
    wanted = layer.quant_weight().value.detach()
    assert torch.equal(torch.from_numpy(affine.weight), wanted)
    assert len(wanted.unique()) <= (3 if kind == "2 bits" else 200)
    assert not torch.equal(wanted, layer.weight)


ACTIVATIONS = {
    "int8": quant.Int8ActPerTensorFloat,
    "uint8": quant.Uint8ActPerTensorFloat,
    "a power of two": quant.Int8ActPerTensorFixedPoint,
    "a zero point": quant.ShiftedUint8ActPerTensorFloat,
    "binary": quant.SignedBinaryActPerTensorConst,
}


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_an_activation_has_its_levels_bit_for_bit(kind):
    torch.manual_seed(1)
    xs = torch.randn(2, 3, 20)
    model = settled(Each(qnn.QuantIdentity(act_quant=ACTIVATIONS[kind], **STEPS)), xs)
    _, found, wanted = compared(model, xs, 2 * torch.randn(7, 2, 20))
    assert torch.equal(found, wanted)
    assert 2 <= len(wanted.unique()) <= 256


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the proof could not drive")
def test_quantised_tensors_pass_between_layers():
    torch.manual_seed(2)
    xs = torch.randn(2, 3, 20)
    layers = (
        qnn.QuantIdentity(return_quant_tensor=True, **STEPS),
        qnn.QuantLinear(20, 7, bias=True, bias_quant=quant.Int32Bias, return_quant_tensor=True),
        qnn.QuantReLU(bit_width=4, return_quant_tensor=True, **STEPS),
        qnn.QuantLinear(7, 4, bias=True),
    )
    _, found, wanted = compared(settled(Each(*layers), xs), xs, torch.randn(9, 2, 20))
    assert torch.allclose(found, wanted, rtol=0, atol=1e-6)
    assert len(wanted.unique()) > 20


def test_a_network_that_spikes_fires_the_same_spikes():
    snntorch = pytest.importorskip("snntorch")
    torch.manual_seed(3)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = qnn.QuantConv2d(2, 4, 3, padding=1, bias=True, weight_bit_width=4)
            self.lif1 = snntorch.Leaky(beta=0.875, threshold=0.25)
            self.fc = qnn.QuantLinear(4 * 36, 5, bias=True, weight_bit_width=4)
            self.lif2 = snntorch.Leaky(beta=0.875, threshold=0.25)

        def forward(self, xs):
            mem1, mem2, spikes = self.lif1.init_leaky(), self.lif2.init_leaky(), []
            for x in xs:
                s, mem1 = self.lif1(self.conv(x), mem1)
                s, mem2 = self.lif2(self.fc(s.flatten(1)), mem2)
                spikes.append(s)
            return torch.stack(spikes)

    xs, more = ((torch.rand(T, B, 2, 6, 6) < 0.5).float() for T, B in ((3, 3), (40, 2)))
    _, found, wanted = compared(Net().eval(), xs, more)
    assert (found != wanted).sum() == 0
    assert 20 < wanted.sum() < wanted.numel() - 20


def test_a_layer_that_still_looks_for_its_scale_is_refused():
    layer = qnn.QuantLinear(20, 7, bias=True, weight_quant=quant.Int8WeightPerTensorFloatMSE)
    xs = torch.randn(2, 3, 20)
    with pytest.raises(UnsupportedError, match="overwritten in place"):
        bridge.torch_to_ir(Each(layer).eval(), xs)
    with torch.no_grad():
        Each(layer)(xs)
    _, found, wanted = compared(Each(layer).eval(), xs, torch.randn(4, 2, 20))
    assert torch.allclose(found, wanted, rtol=0, atol=1e-6)


def test_what_scales_in_training_is_exported_as_it_is_in_evaluation():
    torch.manual_seed(4)
    xs = torch.randn(2, 3, 20)
    model = settled(Each(qnn.QuantIdentity(bit_width=4, **STEPS)), xs)
    before = {name: x.clone() for name, x in model.state_dict().items()}
    graph = bridge.torch_to_ir(model.train(), xs)
    assert model.training
    assert all(torch.equal(before[name], x) for name, x in model.state_dict().items())
    found, _ = bridge.ir_to_torch(graph, trainable=False).run(3 * xs)
    assert torch.equal(found, model.eval()(3 * xs))
