"""Convolutional networks: TET, QCFS, tdBN, BNTT, Dspike, DSR."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..entry import Entry, current, events, fixed, image
from ..layouts import BATCH_FIRST, IMAGE, SEQUENCE, STEP, TIME_LAST
from ..neurons import Spiking
from .papers_neurons import (
    DspikeLif,
    Fire,
    KeptLif,
    LIFSpike,
    ParametricLif,
    QcfsIf,
    SoftReset,
    Zif,
    at_rest,
)

BY_STEP = "has other weights at every step"
RANDOM = "draws random numbers in forward"


class SeqToAnn(nn.Module):
    """TET's container: the first two axes become one, whatever their order."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.module = nn.Sequential(*modules)

    def forward(self, x_seq: Tensor) -> Tensor:
        y_shape = [x_seq.shape[0], x_seq.shape[1]]
        y_seq = self.module(x_seq.flatten(0, 1).contiguous())
        y_shape.extend(y_seq.shape[1:])
        return y_seq.view(y_shape)


class TetLayer(nn.Module):
    """Convolution, normalisation, neuron."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.fwd = SeqToAnn(nn.Conv2d(inputs, outputs, 3, 1, 1), nn.BatchNorm2d(outputs))
        self.act = LIFSpike()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.fwd(x))


class TetVgg(nn.Module):
    """TET's VGGSNN, fewer channels; events (B, T, C, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        pool = SeqToAnn(nn.AvgPool2d(2))
        self.features = nn.Sequential(
            TetLayer(2, 16), TetLayer(16, 32), pool, TetLayer(32, 32), pool
        )
        self.classifier = SeqToAnn(nn.Linear(32 * 8 * 8, 10))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(self.features(x), 2)
        return self.classifier(x)


class TetImage(nn.Module):
    """The same for an image, to which a time axis is added."""

    def __init__(self, T: int = 4) -> None:
        super().__init__()
        self.T, self.layer1, self.layer2 = T, TetLayer(3, 16), TetLayer(16, 16)
        self.pool, self.fc = SeqToAnn(nn.AdaptiveAvgPool2d((1, 1))), SeqToAnn(nn.Linear(16, 10))

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(1)
        x = x.repeat(1, self.T, 1, 1, 1)
        x = self.pool(self.layer2(self.layer1(x)))
        return self.fc(torch.flatten(x, 2)).mean(1)


class QcfsVgg(nn.Module):
    """QCFS at inference: time merged with the batch between all layers."""

    def __init__(self, T: int = 4) -> None:
        super().__init__()
        self.T = T
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            QcfsIf(T),
            nn.AvgPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            QcfsIf(T, 0.7),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 8 * 8, 64),
            QcfsIf(T),
            nn.Dropout(0.1),
            nn.Linear(64, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(0).repeat(self.T, 1, 1, 1, 1).flatten(0, 1)
        x = self.layers(x)
        return x.view(self.T, x.shape[0] // self.T, *x.shape[1:])


class Triangle(torch.autograd.Function):
    """tdBN: fires above the threshold, a window for a gradient."""

    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        ctx.save_for_backward(u)
        return torch.gt(u, 0.5).float()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (u,) = ctx.saved_tensors
        return grad * ((u - 0.5).abs() < 0.5).float()


class TdLayer(nn.Module):
    """tdBN: a layer at every step of (B, ..., T), written into what was allocated."""

    def __init__(self, module: nn.Module, bn: nn.Module | None = None) -> None:
        super().__init__()
        self.layer, self.bn = module, bn

    def forward(self, x: Tensor) -> Tensor:
        steps = x.shape[-1]
        first = self.layer(x[..., 0])
        y = torch.zeros((*first.shape, steps), device=x.device)
        for step in range(steps):
            y[..., step] = self.layer(x[..., step])
        return y if self.bn is None else self.bn(y)


class TdSpike(Spiking):
    """tdBN: the spike of the step before, read back from the result, resets the membrane."""

    def forward(self, x: Tensor) -> Tensor:
        steps = x.shape[-1]
        u = torch.zeros(x.shape[:-1], device=x.device)
        out = torch.zeros(x.shape, device=x.device)
        for step in range(steps):
            u = 0.25 * u * (1 - out[..., max(step - 1, 0)]) + x[..., step]
            out[..., step] = Triangle.apply(u)
        return out


class TdNet(nn.Module):
    """STBP-tdBN: time last, normalised over time as over depth."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = TdLayer(nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm3d(8))
        self.pool, self.fc = TdLayer(nn.AvgPool2d(2)), TdLayer(nn.Linear(8 * 8 * 8, 10))
        self.spike = TdSpike()

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.spike(self.conv1(x)))
        x = x.view(x.shape[0], -1, x.shape[4])
        return torch.sum(self.fc(x), dim=2) / x.shape[2]


class Bntt(nn.Module):
    """BNTT: a normalisation for every step; Poisson input or the image itself."""

    def __init__(self, T: int = 6, poisson: bool = False) -> None:
        super().__init__()
        self.T, self.poisson, self.leak = T, poisson, 0.95
        self.conv1, self.fc1 = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8 * 16 * 16, 10)
        self.fire = Fire(Zif, 1.0)
        self.bntt1 = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(T))

    def forward(self, inp: Tensor) -> Tensor:
        batch = inp.size(0)
        mem_conv = torch.zeros(batch, 8, 32, 32)
        mem_fc = torch.zeros(batch, 10)
        for t in range(self.T):
            x = inp
            if self.poisson:
                x = torch.mul(torch.le(torch.rand_like(inp), torch.abs(inp)).float(), inp.sign())
            mem_conv = self.leak * mem_conv + self.bntt1[t](self.conv1(x))
            mem_thr = mem_conv / 1.0 - 1.0
            out = self.fire(mem_thr)
            rst = torch.zeros_like(mem_conv)
            rst[mem_thr > 0] = 1.0
            mem_conv = mem_conv - rst
            out = F.avg_pool2d(out, 2).reshape(batch, -1)
            mem_fc = mem_fc + self.fc1(out)
        return mem_fc / self.T


class Whole(nn.Module):
    """Time first, a neuron for whole sequences, a mean at the end."""

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.conv, self.bn, self.sn1 = nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), make()
        self.fc, self.sn2, self.out = nn.Linear(8 * 8 * 8, 32), make(), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        T, B = x.shape[:2]
        y = self.sn1(self.bn(self.conv(x.flatten(0, 1))).view(T, B, 8, 8, 8))
        return self.out(self.sn2(self.fc(y.flatten(2)))).mean(0)


def _steps(make: Callable[[], nn.Module]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        make(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 8 * 8, 10),
        make(),
    )


class Summed(nn.Module):
    """Single steps in a loop on one image, their sum divided by T."""

    def __init__(self, make: Callable[[], nn.Module], T: int = 6) -> None:
        super().__init__()
        self.net, self.T = _steps(make), T

    def forward(self, x: Tensor) -> Tensor:
        for module in self.net:
            if hasattr(module, "forget"):
                module.forget()
        out: Any = 0
        for _ in range(self.T):
            out += self.net(x)
        return out / self.T


def vision_entries() -> list[Entry]:
    """Every network of this file."""
    entry = partial(Entry, "papers", rest=at_rest)
    small, rgb, two = (2, 8, 8), (3, 32, 32), (2, 16, 16)
    return [
        entry("TET, VGG on events", TetVgg, (2, 32, 32), BATCH_FIRST, events),
        entry("TET, an image repeated", TetImage, rgb, IMAGE, current, **fixed(4)),
        entry("QCFS, membrane from half the threshold", QcfsVgg, rgb, IMAGE, current, **fixed(4)),
        entry("STBP-tdBN, time last", TdNet, two, TIME_LAST, events, steps=5, fresh=(7, 3)),
        entry("BNTT", Bntt, rgb, IMAGE, current, **fixed(6), refusal=BY_STEP),
        entry(
            "BNTT, Poisson input",
            partial(Bntt, poisson=True),
            rgb,
            IMAGE,
            image,
            **fixed(6),
            refusal=RANDOM,
        ),
        entry("Dspike, out[t] = spike", partial(Whole, DspikeLif), small, SEQUENCE, events),
        entry(
            "DSR, spikes of the threshold's size",
            partial(Whole, SoftReset),
            small,
            SEQUENCE,
            events,
        ),
        entry("a neuron by hand, one step", partial(_steps, KeptLif), two, STEP, events),
        entry("PLIF by hand, one step", partial(_steps, ParametricLif), two, STEP, events),
        entry("sum over T divided by T", partial(Summed, KeptLif), two, IMAGE, current, **fixed(6)),
        entry("the same, PLIF", partial(Summed, ParametricLif), two, IMAGE, current, **fixed(6)),
    ]
