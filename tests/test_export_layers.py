"""Every module that has a primitive, to its node and back: the same numbers, the same node."""

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from t1c.bridge.modules.exporting import over_features
from t1c.ir.errors import UnsupportedError

from .export_helpers import (
    LENGTH,
    SAMPLES,
    Wrapped,
    bridge,
    drawn,
    equal,
    ir,
    stepped,
    there_and_back,
    types_of,
)

VOLUME, MAP, LINE, FLAT = (4, 4, 6, 6), (4, 6, 6), (4, 9), (5,)

LAYERS = {
    "Linear": (nn.Linear(5, 3), FLAT),
    "Linear over a map": (nn.Linear(6, 3), MAP),
    "Linear without bias": (nn.Linear(5, 3, bias=False), FLAT),
    "Conv2d": (nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), groups=2), MAP),
    "Conv2d same": (nn.Conv2d(4, 2, 3, padding="same"), MAP),
    "Conv2d without bias": (nn.Conv2d(4, 2, 3, bias=False), MAP),
    "Conv1d": (nn.Conv1d(4, 6, 3, 2, 1, groups=2), LINE),
    "Conv1d same": (nn.Conv1d(4, 2, 3, padding="same", dilation=2), LINE),
    "Conv1d without bias": (nn.Conv1d(4, 2, 3, bias=False), LINE),
    "SepConv2d": (bridge.SepConv2dModule(np.ones((4, 1, 3, 3)), np.ones((2, 4, 1, 1))), MAP),
    "MaxPool2d": (nn.MaxPool2d(3, 2, 1, ceil_mode=True), MAP),
    "AvgPool2d": (nn.AvgPool2d((2, 3), padding=(1, 0), count_include_pad=False), MAP),
    "AdaptiveAvgPool2d": (nn.AdaptiveAvgPool2d((2, None)), MAP),
    "AdaptiveMaxPool2d": (nn.AdaptiveMaxPool2d(3), MAP),
    "Upsample": (nn.Upsample(scale_factor=2, mode="bilinear"), MAP),
    "Upsample to a size": (nn.Upsample((9, 7)), MAP),
    "Upsample by a fraction": (nn.Upsample(scale_factor=(1.5, 2.0)), MAP),
    "Flatten": (nn.Flatten(), MAP),
    "Flatten a part": (nn.Flatten(2, -1), MAP),
    "ReLU": (nn.ReLU(), MAP),
    "LeakyReLU": (nn.LeakyReLU(0.2), FLAT),
    "Sigmoid": (nn.Sigmoid(), FLAT),
    "Tanh": (nn.Tanh(), FLAT),
    "Softmax": (nn.Softmax(1), MAP),
    "GELU": (nn.GELU(), FLAT),
    "GELU tanh": (nn.GELU("tanh"), FLAT),
    "ELU": (nn.ELU(0.5), FLAT),
    "PReLU": (nn.PReLU(), MAP),
    "PReLU per channel": (nn.PReLU(4), MAP),
    "BatchNorm1d": (nn.BatchNorm1d(4), LINE),
    "BatchNorm2d": (nn.BatchNorm2d(4, eps=1e-3, momentum=0.2), MAP),
    "BatchNorm2d without weights": (nn.BatchNorm2d(4, affine=False), MAP),
    "LayerNorm": (nn.LayerNorm((6, 6)), MAP),
    "LayerNorm without bias": (nn.LayerNorm(5, bias=False), FLAT),
    "LayerNorm without weights": (nn.LayerNorm(5, elementwise_affine=False), FLAT),
    "Dropout": (nn.Dropout(0.3), FLAT),
    "Identity": (nn.Identity(), FLAT),
    "Conv3d": (nn.Conv3d(4, 2, (2, 3, 1), (1, 2, 1), padding=(0, 1, 0), groups=2), VOLUME),
    "ConvTranspose1d": (nn.ConvTranspose1d(4, 6, 3, 2, 1, output_padding=1, groups=2), LINE),
    "ConvTranspose2d": (nn.ConvTranspose2d(4, 2, (3, 2), (2, 1), (1, 0)), MAP),
    "MaxPool1d": (nn.MaxPool1d(3, 2, 1), LINE),
    "MaxPool3d": (nn.MaxPool3d((1, 2, 3)), VOLUME),
    "AvgPool1d": (nn.AvgPool1d(3, 2, 1, count_include_pad=False), LINE),
    "AvgPool3d": (nn.AvgPool3d((1, 2, 3)), VOLUME),
    "AdaptiveAvgPool1d": (nn.AdaptiveAvgPool1d(3), LINE),
    "BatchNorm3d": (nn.BatchNorm3d(4, eps=1e-3), VOLUME),
    "GroupNorm": (nn.GroupNorm(2, 4, eps=1e-3), MAP),
    "GroupNorm without weights": (nn.GroupNorm(4, 4, affine=False), MAP),
    "LogSoftmax": (nn.LogSoftmax(1), MAP),
    "ReLU6": (nn.ReLU6(), MAP),
    "Hardtanh": (nn.Hardtanh(-0.5, 0.25), FLAT),
    "Unflatten": (nn.Unflatten(1, (2, 2)), LINE),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, tmp_path):
    layer, shape = LAYERS[name]
    torch.manual_seed(0)
    with torch.no_grad():
        for p in [*layer.parameters(), *layer.buffers()]:
            if p.is_floating_point():
                p.uniform_(0.5, 1.5)
    layer.eval()
    x = torch.randn(3, *shape)
    executor = there_and_back(nn.Sequential(layer), x, tmp_path)
    assert torch.allclose(executor(x), layer(x), atol=1e-6)
    # The graph of the import is the graph.
    assert bridge.to_ir(executor, x).equals(executor.graph)
    # And a module is a module again, without a bias that it did not have.
    back = executor.node("0")
    assert (getattr(layer, "bias", None) is None) == (getattr(back, "bias", None) is None) or (
        "without" in name
    )


WEIGHT = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(1))
ORDER = torch.randperm(35, generator=torch.Generator().manual_seed(3))
WEIGHTS = torch.randn(4, 3, 3, 2, generator=torch.Generator().manual_seed(2))

FUNCTIONS = {
    "conv_transpose1d": (lambda x: F.conv_transpose1d(x, WEIGHT, stride=2, padding=1), LINE),
    "conv_transpose2d": (
        lambda x: F.conv_transpose2d(x, WEIGHTS, torch.arange(6.0), 2, (1, 0), (1, 0), groups=2),
        MAP,
    ),
    "roll": (lambda x: x.roll(2, -1), FLAT),
    "roll back": (lambda x: torch.roll(x, -1, 1), MAP),
    "roll along two": (lambda x: torch.roll(x, (1, 7), (2, 3)), MAP),
    "flip": (lambda x: x.flip(-1), FLAT),
    "flip along two": (lambda x: torch.flip(x, [1, 3]), MAP),
    "fliplr": (lambda x: x.fliplr(), FLAT),
    "cumsum": (lambda x: x.cumsum(-1), FLAT),
    "cumsum of channels": (lambda x: torch.cumsum(x, dim=1), MAP),
    "cumsum of rows": (lambda x: x.cumsum(2), MAP),
    "expand": (lambda x: x.mean(1, keepdim=True).expand(-1, 4, -1, -1), MAP),
    "expand in the middle": (lambda x: x.unsqueeze(2).expand(-1, 4, 3, 9), LINE),
    "expand_as": (lambda x: x.mean((2, 3), keepdim=True).expand_as(x), MAP),
    "repeat": (lambda x: x.repeat(1, 3), FLAT),
    "repeat along two": (lambda x: x.repeat(1, 2, 1, 3), MAP),
    "repeat_interleave": (lambda x: x.repeat_interleave(3, 1), LINE),
    "times more": (lambda x: x.mean(1, keepdim=True) * torch.arange(24.0).view(4, 6, 1), MAP),
    "plus more": (lambda x: x.unsqueeze(-1) + torch.arange(4.0), FLAT),
    "less more": (lambda x: torch.arange(4.0) - x.unsqueeze(-1), FLAT),
    "divided by more": (lambda x: x.unsqueeze(-1) / torch.arange(1, 5.0), FLAT),
    "greater than more": (lambda x: (x.unsqueeze(-1) > torch.arange(4.0)).float(), FLAT),
    "var": (lambda x: x.var(1, keepdim=True), MAP),
    "var over a map": (lambda x: torch.var(x, dim=(2, 3), unbiased=False), MAP),
    "var, corrected by two": (lambda x: x.var(-1, correction=2), MAP),
    "var by place": (lambda x: x.var(2, False, True), MAP),
    "a layer norm by hand": (
        lambda x: (x - x.mean(-1, keepdim=True)) / (x.var(-1, False, True) + 0.01).sqrt(),
        MAP,
    ),
    "pad": (lambda x: F.pad(x, (1, 2)), FLAT),
    "pad with a number, on both axes": (lambda x: F.pad(x, (1, 0, 2, 3), value=-1.5), MAP),
    "pad wider than it is": (lambda x: F.pad(x, (20, 0), value=0.25), LINE),
    "pad and cut": (lambda x: F.pad(x, (-1, 2, 0, -2)), MAP),
    "pad reflecting": (lambda x: F.pad(x, (2, 1, 0, 2), mode="reflect"), MAP),
    "pad repeating the border": (lambda x: F.pad(x, (2, 1), mode="replicate"), LINE),
    "pad in a circle": (lambda x: F.pad(x, (2, 1, 0, 2), mode="circular"), MAP),
    "pad in whole circles": (lambda x: F.pad(x, (6, 6, 1, 0), mode="circular"), MAP),
    "ZeroPad2d": (nn.ZeroPad2d((1, 2, 3, 0)), MAP),
    "ReflectionPad1d": (nn.ReflectionPad1d(2), LINE),
    "index_select": (lambda x: x.index_select(1, torch.tensor([1, 0, 1])), MAP),
    "a list of places": (lambda x: x[:, [4, 0, 0, -2]], FLAT),
    "a tensor of places and a slice": (lambda x: x[:, :, 1:, torch.tensor([2, 0])], MAP),
    "a permutation of many": (lambda x: x.repeat(1, 7)[:, ORDER], FLAT),
    "a permutation of many rows": (lambda x: x.repeat(1, 1, 6, 1)[:, :, ORDER], MAP),
    "where more": (lambda x: torch.where(x.unsqueeze(-1) > 1, torch.arange(4.0), 0.5), FLAT),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_features(name):
    """Driven by 30 steps of a sequence behind which neurons fire."""
    function, shape = FUNCTIONS[name]
    model = Wrapped(lambda m, x: m.lif(function(x)), lif=snn.Leaky(0.5, init_hidden=True))
    xs = drawn(LENGTH, SAMPLES, *shape)
    wanted = torch.stack([function(x) for x in xs])
    graph = bridge.to_ir(Wrapped(lambda m, x: function(x)), torch.rand(2, *shape))
    torch.testing.assert_close(bridge.ir_to_torch(graph).run(xs)[0], wanted, rtol=1e-6, atol=1e-5)
    assert len(wanted.unique()) > 1
    graph = equal(model, torch.rand(2, *shape), xs, run=fresh)
    assert "LIF" in types_of(graph).values()


def fresh(model, xs):
    model.lif.reset_mem()
    return stepped(model, xs)


@pytest.mark.parametrize("name", ["Linear without bias", "Conv2d without bias"])
def test_a_missing_bias_is_zeros_and_a_note(name, tmp_path):
    layer, shape = LAYERS[name]
    executor = there_and_back(nn.Sequential(layer), torch.zeros(1, *shape), tmp_path)
    node = executor.graph.nodes["0"]
    assert not node.bias.any()
    assert node.metadata == {"bias": "none"}
    assert executor.node("0").bias is None


def test_a_noted_bias_that_is_not_zero_is_kept():
    node = ir.Affine(np.eye(2), np.ones(2), metadata={"bias": "none"})
    assert bridge.node_to_module(node).bias is not None


def test_double_weights_stay_double():
    graph = bridge.to_ir(nn.Linear(3, 2).double(), torch.zeros(1, 3, dtype=torch.float64))
    assert graph.nodes["linear"].weight.dtype == np.float64


def test_bfloat16_weights_become_float32():
    layer = nn.Linear(3, 2).bfloat16()
    graph = bridge.to_ir(layer, torch.zeros(1, 3, dtype=torch.bfloat16))
    weight = graph.nodes["linear"].weight
    assert weight.dtype == np.float32
    assert np.array_equal(weight, layer.weight.detach().float().numpy())


def test_a_parametrized_weight_is_the_weight_in_use():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    graph = bridge.to_ir(nn.Sequential(layer), torch.zeros(1, 3))
    assert np.array_equal(graph.nodes["0"].weight, layer.weight.detach().numpy())


def test_a_pruned_weight_is_the_weight_in_use():
    layer = prune.l1_unstructured(nn.Linear(4, 4), "weight", amount=0.5)
    graph = bridge.to_ir(nn.Sequential(layer), torch.zeros(1, 4))
    assert (graph.nodes["0"].weight == 0).sum() == 8


@pytest.mark.parametrize(
    ("shape", "features", "laid"),
    [
        ((), (3,), (1,)),
        ((1, 1), (3, 2, 2), (1,)),
        ((3,), (3,), (3,)),
        ((3,), (3, 3, 3), (1, 1, 3)),
        ((3, 1, 1), (3, 2, 2), (3, 1, 1)),
        ((1, 3, 1, 1), (3, 2, 2), (3, 1, 1)),
    ],
)
def test_over_features(shape, features, laid):
    assert over_features(torch.ones(shape), features, "it").shape == laid


@pytest.mark.parametrize("shape", [(2,), (2, 3), (5, 3), (2, 1, 3)])
def test_what_differs_between_samples_is_no_parameter(shape):
    with pytest.raises(UnsupportedError, match="it of shape"):
        over_features(torch.ones(shape), (3,), "it")
