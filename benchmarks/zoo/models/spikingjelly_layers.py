"""SpikingJelly's layers in the forms that its examples and tutorials use."""

from __future__ import annotations

from functools import partial

import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

from ..entry import Entry, current, events, fixed
from ..layouts import IMAGE, SEQUENCE, STEP

MNIST = (1, 28, 28)


def _node(kind: type[nn.Module] = neuron.IFNode, **more: object) -> nn.Module:
    return kind(surrogate_function=surrogate.ATan(), **more)


def _multi(model: nn.Module) -> nn.Module:
    functional.set_step_mode(model, "m")
    return model


class Csnn(nn.Module):
    """conv_fashion_mnist.py: an image, expanded over time."""

    def __init__(self, T: int = 4, channels: int = 16) -> None:
        super().__init__()
        self.T = T
        self.conv_fc = nn.Sequential(
            layer.Conv2d(1, channels, 3, padding=1, bias=False),
            layer.BatchNorm2d(channels),
            _node(),
            layer.MaxPool2d(2, 2),
            layer.Conv2d(channels, channels, 3, padding=1, bias=False),
            layer.BatchNorm2d(channels),
            _node(),
            layer.MaxPool2d(2, 2),
            layer.Flatten(),
            layer.Linear(channels * 7 * 7, channels * 4 * 4, bias=False),
            _node(),
            layer.Linear(channels * 4 * 4, 10, bias=False),
            _node(),
        )
        functional.set_step_mode(self, "m")

    def forward(self, x: Tensor) -> Tensor:
        x_seq = x.unsqueeze(0).expand(self.T, -1, -1, -1, -1)
        return self.conv_fc(x_seq).mean(0)


class FunctionalCsnn(nn.Module):
    """Plain torch layers, and functional.seq_to_ann_forward around them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.pool, self.fc = nn.AvgPool2d(2), nn.Linear(16 * 8 * 8, 10)
        self.sn1, self.sn2, self.sn3 = (_multi(_node(neuron.LIFNode)) for _ in range(3))

    def forward(self, x_seq: Tensor) -> Tensor:
        x_seq = functional.seq_to_ann_forward(x_seq, [self.conv1, self.bn1])
        x_seq = functional.seq_to_ann_forward(self.sn1(x_seq), self.pool)
        x_seq = functional.seq_to_ann_forward(x_seq, [self.conv2, self.bn2])
        x_seq = functional.seq_to_ann_forward(self.sn2(x_seq), self.pool)
        return self.sn3(functional.seq_to_ann_forward(x_seq.flatten(2), self.fc))


class MergedCsnn(nn.Module):
    """Time and batch merged by hand around what has no state."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.sn, self.fc = _multi(_node(neuron.LIFNode)), nn.Linear(8 * 16 * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        T, B, _, H, W = x.shape
        y = self.bn(self.conv(x.flatten(0, 1))).reshape(T, B, -1, H, W)
        return self.fc(self.sn(y).flatten(2)).mean(0)


class Steps(nn.Module):
    """A single-step network in a loop, its answers added up, as the first tutorials do it."""

    def __init__(self, T: int = 6) -> None:
        super().__init__()
        self.T = T
        self.net = nn.Sequential(
            layer.Flatten(), layer.Linear(28 * 28, 10, bias=False), _node(neuron.LIFNode)
        )

    def forward(self, x: Tensor) -> Tensor:
        out = self.net(x)
        for _ in range(1, self.T):
            out = out + self.net(x)
        return out / self.T


def _lif_fc() -> nn.Module:
    return nn.Sequential(layer.Flatten(), layer.Linear(784, 10, bias=False), _node(neuron.LIFNode))


class Mean(nn.Module):
    """rsnn_sequential_fmnist.py: a network, and the mean of its spikes over time."""

    def __init__(self, *between: nn.Module, first: nn.Module | None = None) -> None:
        super().__init__()
        first = _node() if first is None else first
        self.fc = nn.Sequential(
            layer.Linear(28, 32), first, *between, layer.Linear(32, 10), _node()
        )
        functional.set_step_mode(self, "m")

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x).mean(0)


def _feedback() -> nn.Module:
    return Mean(first=layer.LinearRecurrentContainer(_node(), 32, 32, bias=True))


def _elementwise() -> nn.Module:
    def add(x: Tensor, y: Tensor) -> Tensor:
        return x + y

    cell = layer.ElementWiseRecurrentContainer(_node(), add)
    return _multi(nn.Sequential(layer.Linear(28, 16), cell, layer.Linear(16, 10), _node()))


def _containers() -> nn.Module:
    return nn.Sequential(
        layer.SeqToANNContainer(nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8)),
        layer.MultiStepContainer(neuron.LIFNode()),
        layer.SeqToANNContainer(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 10)),
        layer.MultiStepContainer(neuron.IFNode()),
    )


def _neuron(kind: type[nn.Module], **more: object) -> nn.Module:
    return _multi(nn.Sequential(layer.Linear(28, 32), kind(**more), layer.Linear(32, 10)))


def _voting() -> nn.Module:
    parts = (layer.Linear(28, 50), _node(neuron.LIFNode), layer.Dropout(0.5), layer.VotingLayer(5))
    return _multi(nn.Sequential(*parts))


def _delayed() -> nn.Module:
    parts = (layer.Linear(28, 32), _node(), layer.Delay(2), layer.Linear(32, 10), _node())
    return _multi(nn.Sequential(*parts))


def _readout() -> nn.Module:
    parts = (layer.Linear(28, 32), _node(), layer.Linear(32, 10), neuron.NonSpikingLIFNode(5.0))
    return nn.Sequential(*(_multi(part) if hasattr(part, "step_mode") else part for part in parts))


NEURONS = {
    "IFNode": partial(_neuron, neuron.IFNode, v_reset=None),
    "LIFNode": partial(_neuron, neuron.LIFNode, tau=3.0, decay_input=False),
    "ParametricLIFNode": partial(_neuron, neuron.ParametricLIFNode),
    "QIFNode": partial(_neuron, neuron.QIFNode),
    "EIFNode": partial(_neuron, neuron.EIFNode),
    "IzhikevichNode": partial(_neuron, neuron.IzhikevichNode),
    "KLIFNode": partial(_neuron, neuron.KLIFNode),
    "LIAFNode": partial(_neuron, neuron.LIAFNode, act=torch.relu, threshold_related=False),
    "CUBALIFNode": partial(_neuron, getattr(neuron, "CUBALIFNode", None)),
    "ILIFNode": partial(_neuron, neuron.ILIFNode),
    "STBIFNode": partial(_neuron, neuron.STBIFNode, q_threshold=0.5, level=4),
    "PSN": partial(_neuron, neuron.PSN, T=4),
    "MaskedPSN": partial(_neuron, neuron.MaskedPSN, k=2, T=4),
    "SlidingPSN": partial(_neuron, neuron.SlidingPSN, k=2),
}


def _gated() -> nn.Module:
    parts = (
        layer.Conv2d(2, 4, 3),
        neuron.GatedLIFNode(T=4),
        layer.Flatten(),
        layer.Linear(144, 10),
    )
    return _multi(nn.Sequential(*parts))


def _normed() -> nn.Module:
    parts = (layer.Conv2d(2, 4, 3), _node(), layer.NeuNorm(4, 6, 6), _node(), layer.Flatten())
    return _multi(nn.Sequential(*parts, layer.Linear(144, 10)))


NOT_CAUSAL = "each step looks at all steps, those to come included"
FOR_EACH_STEP = "has other weights at every step"


def layer_entries() -> list[Entry]:
    """The layers, containers and neurons that the models of the zoo leave out."""
    entry = partial(Entry, "SpikingJelly", rest=functional.reset_net)
    lines = partial(entry, shape=(28,), layout=SEQUENCE, draw=current)
    found = [
        entry("CSNN of conv_fashion_mnist", Csnn, MNIST, IMAGE, current, **fixed(4)),
        entry("a loop over single steps", Steps, MNIST, IMAGE, current, **fixed(6)),
        entry("the net of lif_fc_mnist", _lif_fc, MNIST, STEP, events),
        entry("functional.seq_to_ann_forward", FunctionalCsnn, (2, 32, 32), SEQUENCE, events),
        entry("time and batch merged by hand", MergedCsnn, (2, 16, 16), SEQUENCE, events),
        entry("SeqToANN and MultiStep containers", _containers, (2, 16, 16), SEQUENCE, events),
        lines("PlainNet of rsnn_sequential_fmnist", Mean),
        lines("StatefulSynapseNet", lambda: Mean(layer.SynapseFilter(2.0, learnable=True))),
        lines("FeedBackNet", _feedback),
        lines("ElementWiseRecurrentContainer", _elementwise),
        lines("VotingLayer", _voting),
        lines("layer.Delay", _delayed),
        lines("NonSpikingLIFNode", _readout),
    ]
    shape = (2, 8, 8)
    found.append(entry("neuron.GatedLIFNode", _gated, shape, SEQUENCE, current, **fixed(4)))
    found.append(entry("layer.NeuNorm", _normed, shape, SEQUENCE, current))
    for name, make in NEURONS.items():
        more = fixed(4) if "PSN" in name else {}
        refusal = {"PSN": NOT_CAUSAL, "MaskedPSN": FOR_EACH_STEP}.get(name, "")
        found.append(lines(f"neuron.{name}", make, refusal=refusal, **more))
    return found
