"""The networks that are measured: weights, thresholds and inputs, drawn from a seed.

Weights and biases lie on a grid of 1/256, so that sums of spikes times weights are exact in
any order; thresholds lie off it, so that `>` and `>=` mean the same. The decay is 0.875 (tau =
r = 8 steps, so that the gain is 1). The thresholds were chosen such that the layers fire as
often as the rows say; the rates are printed with every row.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

TAU = 8.0
BETA = 1 - 1 / TAU
GRID = 256


@dataclass(frozen=True)
class Dense:
    """A fully connected layer."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """The weighted sums of a batch (N, in)."""
        return F.linear(x, self.weight, self.bias)


@dataclass(frozen=True)
class Conv:
    """A convolution that keeps the size of its map (3x3, padding 1)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """The maps of a batch (N, C, H, W)."""
        return F.conv2d(x, self.weight, self.bias, padding=1)


@dataclass(frozen=True)
class Norm:
    """A batch norm in training, which takes its statistics of all steps together."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """A batch (N, C, H, W), each channel normalised over all of it."""
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True)


@dataclass(frozen=True)
class Pool:
    """The largest of each 2x2 square."""

    def __call__(self, x: Tensor) -> Tensor:
        """A batch (N, C, H, W) at half its height and width."""
        return F.max_pool2d(x, 2)


@dataclass(frozen=True)
class Flatten:
    """All of a map in one row."""

    def __call__(self, x: Tensor) -> Tensor:
        """A batch (N, C, H, W) as (N, C*H*W)."""
        return x.flatten(1)


Stateless = Dense | Conv | Norm | Pool | Flatten


@dataclass(frozen=True)
class Lif:
    """Leaky integrate-and-fire: `u = beta v + x`, fires at the threshold, resets to zero."""

    shape: tuple[int, ...]
    threshold: float
    feedback: Tensor | None = None
    """Weights from this layer's spikes of the step before to itself."""

    def __call__(self, xs: Tensor) -> Tensor:
        """The spikes (T, B, ...) that currents cause; this loop is what is meant."""
        v = torch.zeros_like(xs[0])
        spikes = torch.zeros_like(xs)
        for t, x in enumerate(xs):
            if self.feedback is not None and t:
                x = x + F.linear(spikes[t - 1], self.feedback)
            u = BETA * v + x
            spikes[t] = u >= self.threshold
            v = u * (1 - spikes[t])
        return spikes


Layer = Stateless | Lif


@dataclass(frozen=True)
class Network:
    """Layers in a row."""

    shape: tuple[int, ...]
    layers: list[Layer]

    def stretches(self) -> list[list[Stateless]]:
        """The layers without state that stand before each neuron."""
        found: list[list[Stateless]] = [[]]
        for layer in self.layers:
            if isinstance(layer, Lif):
                found.append([])
            else:
                found[-1].append(layer)
        return found[:-1]


@dataclass(frozen=True)
class Workload:
    """A network and what is fed to it."""

    network: Network
    xs: Tensor
    """(T, B, *shape), 0 or 1."""
    labels: Tensor
    """(B,), the classes that training aims at."""
    about: str
    spikes: list[Tensor] = field(repr=False)
    """What enters the network, then what each neuron layer sends."""

    def to(self, device: torch.device) -> Workload:
        """The same on a device; the network's tensors too, for who computes with them."""
        network = replace(self.network, layers=[_moved(n, device) for n in self.network.layers])
        spikes = [s.to(device) for s in self.spikes]
        return replace(
            self, network=network, xs=spikes[0], labels=self.labels.to(device), spikes=spikes
        )

    @property
    def rates(self) -> list[float]:
        """How often an element of each of `spikes` is 1."""
        return [float(s.mean()) for s in self.spikes]


def mlp(sizes: tuple[int, ...], thresholds: tuple[float, ...], B: int, T: int) -> Workload:
    """Fully connected: sizes[0] inputs, and a LIF layer of each further size."""
    draw = torch.Generator().manual_seed(1)
    layers: list[Layer] = []
    for n_in, n_out, threshold in zip(sizes[:-1], sizes[1:], thresholds, strict=True):
        layers += [_dense(n_in, n_out, draw), _lif((n_out,), threshold)]
    network = Network((sizes[0],), layers)
    return _workload(network, T, B, draw, "-".join(map(str, sizes)))


def conv_snn(B: int, T: int) -> Workload:
    """1x28x28: 16c3-LIF-2p-32c3-LIF-2p-fc10-LIF, its hidden layers below 5 %."""
    draw = torch.Generator().manual_seed(2)
    layers: list[Layer] = [
        *(_conv(1, 16, draw), _lif((16, 28, 28), 1.5), Pool()),
        *(_conv(16, 32, draw), _lif((32, 14, 14), 2.85), Pool()),
        *(Flatten(), _dense(32 * 7 * 7, 10, draw), _lif((10,), 0.64)),
    ]
    network = Network((1, 28, 28), layers)
    return _workload(network, T, B, draw, "1x28x28, 16c3-LIF-2p-32c3-LIF-2p-fc10-LIF")


def conv_trained(B: int, T: int, norms: bool) -> Workload:
    """2x32x32: 32c3-BN-LIF-2p-32c3-BN-LIF-2p-fc10-LIF, or without the norms."""
    draw = torch.Generator().manual_seed(4)

    def normed(threshold: float) -> list[Layer]:
        if not norms:
            return [_lif((32, 1, 1), threshold)]
        norm = Norm(torch.full((32,), 0.5), torch.zeros(32))
        return [norm, _lif((32, 1, 1), 0.85)]

    layers: list[Layer] = [
        *(_conv(2, 32, draw), *normed(1.0), Pool()),
        *(_conv(32, 32, draw), *normed(2.0), Pool()),
        *(Flatten(), _dense(32 * 8 * 8, 10, draw), _lif((10,), 1.5)),
    ]
    network = Network((2, 32, 32), layers)
    about = "2x32x32, 32c3-BN-LIF-2p-32c3-BN-LIF-2p-fc10-LIF"
    return _workload(network, T, B, draw, about if norms else about.replace("-BN", ""))


def recurrent(B: int, T: int) -> Workload:
    """12-38-7, and from the spikes of the 38 back to them. Its biases are 0: Norse has none."""
    draw = torch.Generator().manual_seed(3)
    feedback = _grid(torch.randn(38, 38, generator=draw) / 38**0.5)
    layers: list[Layer] = [
        *(_dense(12, 38, draw, bias=0), _lif((38,), 0.58, feedback)),
        *(_dense(38, 7, draw, bias=0), _lif((7,), 1.42)),
    ]
    return _workload(Network((12,), layers), T, B, draw, "12-38-7, the 38 with 38x38 feedback")


def shd(B: int, T: int, looped: bool) -> Workload:
    """700-128-20, the shape of the Spiking Heidelberg Digits: 2 % of its inputs fire.

    With ``looped`` the 128 have feedback. Its biases are 0: Norse has none there.
    """
    draw = torch.Generator().manual_seed(4)
    feedback = _grid(torch.randn(128, 128, generator=draw) / 128**0.5) if looped else None
    layers: list[Layer] = [
        *(_dense(700, 128, draw, bias=0), _lif((128,), 0.54 if looped else 0.28, feedback)),
        *(_dense(128, 20, draw, bias=0), _lif((20,), 0.95 if looped else 0.79)),
    ]
    about = "700-128-20" + (", the 128 with 128x128 feedback" if looped else "")
    return _workload(Network((700,), layers), T, B, draw, about, 0.02)


def _lif(shape: tuple[int, ...], threshold: float, feedback: Tensor | None = None) -> Lif:
    """A LIF whose threshold is a float32, far from what few weights add up to."""
    return Lif(shape, float(torch.tensor(threshold + 1 / 3 / GRID)), feedback)


def _workload(
    network: Network, T: int, B: int, draw: torch.Generator, about: str, rate: float = 0.1
) -> Workload:
    xs = _spikes(T, B, network.shape, draw, rate)
    labels = torch.randint(0, 7, (B,), generator=draw)
    sent = [xs]
    x = xs
    for layer in network.layers:
        x = _over_time(layer, x)
        if isinstance(layer, Lif):
            sent.append(x)
    return Workload(network, xs, labels, f"{about}, B={B}, T={T}", sent)


def _moved(layer: Any, device: torch.device) -> Any:
    there = {f.name: getattr(layer, f.name) for f in fields(layer)}
    tensors = {name: x.to(device) for name, x in there.items() if isinstance(x, Tensor)}
    return replace(layer, **tensors)


def _over_time(layer: Layer, xs: Tensor) -> Tensor:
    if isinstance(layer, Lif):
        return layer(xs)
    if isinstance(layer, Norm):
        return layer(xs.flatten(0, 1)).unflatten(0, xs.shape[:2])
    return torch.stack([layer(x) for x in xs])


def _dense(n_in: int, n_out: int, draw: torch.Generator, bias: float = 0.02) -> Dense:
    weight = torch.randn(n_out, n_in, generator=draw) * (4 / n_in) ** 0.5
    return Dense(_grid(weight), _grid(bias * torch.randn(n_out, generator=draw)))


def _conv(n_in: int, n_out: int, draw: torch.Generator) -> Conv:
    weight = torch.randn(n_out, n_in, 3, 3, generator=draw) * (4 / (9 * n_in)) ** 0.5
    return Conv(_grid(weight), _grid(0.02 * torch.randn(n_out, generator=draw)))


def _grid(x: Tensor) -> Tensor:
    return (x * GRID).round() / GRID


def _spikes(T: int, B: int, shape: tuple[int, ...], draw: torch.Generator, rate: float) -> Tensor:
    return (torch.rand(T, B, *shape, generator=draw) < rate).float()
