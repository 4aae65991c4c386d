"""Residual blocks: SEW's three connections, and the membrane shortcut."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from ..entry import Entry, current, fixed
from ..layouts import IMAGE, SEQUENCE
from .papers_neurons import at_rest, lif
from .papers_vision import SeqToAnn


def _conv(inputs: int, outputs: int) -> nn.Module:
    return SeqToAnn(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))


class SewBlock(nn.Module):
    """Spikes of the block joined with those around it."""

    def __init__(self, channels: int, connect: str) -> None:
        super().__init__()
        self.conv1, self.sn1 = _conv(channels, channels), lif()
        self.conv2, self.sn2 = _conv(channels, channels), lif()
        self.connect = connect

    def forward(self, x: Tensor) -> Tensor:
        out = self.sn2(self.conv2(self.sn1(self.conv1(x))))
        if self.connect == "ADD":
            return out + x
        if self.connect == "AND":
            return out * x
        return x * (1.0 - out)


class SewNet(nn.Module):
    """A stem, two blocks, the mean over time."""

    def __init__(self, connect: str, T: int = 4) -> None:
        super().__init__()
        self.T, self.stem, self.sn = T, nn.Sequential(nn.Conv2d(3, 16, 3, padding=1)), lif()
        self.blocks = nn.Sequential(SewBlock(16, connect), SewBlock(16, connect))
        self.pool, self.fc = SeqToAnn(nn.AdaptiveAvgPool2d(1)), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x.unsqueeze(0)
        x = x.repeat(self.T, 1, 1, 1, 1)
        x = self.blocks(self.sn(x))
        return self.fc(torch.flatten(self.pool(x), 2)).mean(dim=0)


class MsBlock(nn.Module):
    """The membrane goes around, and the spikes through."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.sn1, self.conv1 = lif(), _conv(channels, channels)
        self.sn2, self.conv2 = lif(), _conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.sn2(self.conv1(self.sn1(x)))) + x


class MsNet(nn.Module):
    """A stem, two blocks, a neuron before the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.blocks = _conv(3, 16), nn.Sequential(MsBlock(16), MsBlock(16))
        self.sn, self.pool, self.fc = lif(), SeqToAnn(nn.AvgPool2d(8)), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.sn(self.blocks(self.stem(x)))).flatten(2))


def residual_entries() -> list[Entry]:
    """Every network of this file."""
    entry = partial(Entry, "papers", rest=at_rest)
    rgb = (3, 16, 16)
    kinds = ("ADD", "AND", "IAND")
    return [
        *(
            entry(f"SEW block, {how}", partial(SewNet, how), rgb, IMAGE, current, **fixed(4))
            for how in kinds
        ),
        entry("MS-ResNet block", MsNet, rgb, SEQUENCE, current),
    ]
