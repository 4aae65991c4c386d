"""Spiking attention: Spikformer, QKFormer, the spike-driven transformer."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from ..entry import Entry, current, fixed
from ..layouts import IMAGE
from .papers_neurons import at_rest, lif

DIM, HEADS = 32, 4


class Project(nn.Module):
    """A 1x1 convolution of tokens (T, B, C, N), its normalisation, its neuron."""

    def __init__(self, inputs: int = DIM, outputs: int = DIM, fires: bool = True) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv1d(inputs, outputs, 1, bias=False), nn.BatchNorm1d(outputs)
        self.lif = lif() if fires else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        T, B, _, N = x.shape
        return self.lif(self.bn(self.conv(x.flatten(0, 1))).reshape(T, B, -1, N).contiguous())


def _heads(x: Tensor) -> Tensor:
    """(T, B, C, N) -> (T, B, heads, N, C / heads)."""
    T, B, C, N = x.shape
    x = x.transpose(-1, -2).reshape(T, B, N, HEADS, C // HEADS)
    return x.permute(0, 1, 3, 2, 4).contiguous()


class Ssa(nn.Module):
    """Spikformer: (q k^T) v, scaled, without a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = Project(), Project(), Project()
        self.attn_lif, self.proj = lif(v_threshold=0.5), Project()

    def forward(self, x: Tensor) -> Tensor:
        T, B, C, N = x.shape
        q, k, v = (_heads(project(x)) for project in (self.q, self.k, self.v))
        attn = (q @ k.transpose(-2, -1)) * 0.125
        x = (attn @ v).transpose(3, 4).reshape(T, B, C, N).contiguous()
        return self.proj(self.attn_lif(x))


class TokenQk(nn.Module):
    """QKFormer: the sum of a token's query decides whether its key passes."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.attn_lif, self.proj = Project(), Project(), lif(), Project()

    def forward(self, x: Tensor) -> Tensor:
        T, B, C, N = x.shape
        q = self.q(x).unsqueeze(2).reshape(T, B, HEADS, C // HEADS, N)
        k = self.k(x).unsqueeze(2).reshape(T, B, HEADS, C // HEADS, N)
        attn = self.attn_lif(torch.sum(q, dim=3, keepdim=True))
        return self.proj(torch.mul(attn, k).flatten(2, 3))


class Sdsa(nn.Module):
    """The spike-driven transformer: keys mask values, their sums mask queries."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.talk = lif(), lif(v_threshold=0.5)
        self.q, self.k, self.v = Project(), Project(), Project()
        self.proj = Project(fires=False)

    def forward(self, x: Tensor) -> Tensor:
        T, B, C, N = x.shape
        identity = x
        x = self.first(x)
        q, k, v = (_heads(project(x)) for project in (self.q, self.k, self.v))
        kv = self.talk(k.mul(v).sum(dim=-2, keepdim=True))
        x = q.mul(kv).transpose(3, 4).reshape(T, B, C, N).contiguous()
        return self.proj(x) + identity


class Mlp(nn.Module):
    """Two projections, wider between them."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = Project(DIM, 2 * DIM), Project(2 * DIM, DIM)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.fc1(x))


class Transformer(nn.Module):
    """Patches, two blocks, the mean over tokens and over time."""

    def __init__(self, attention: type[nn.Module], fires: bool = True, T: int = 4) -> None:
        super().__init__()
        self.T = T
        self.patch, self.bn, self.lif = nn.Conv2d(3, DIM, 4, 4), nn.BatchNorm2d(DIM), lif()
        if not fires:
            self.lif = nn.Identity()
        self.attn = nn.ModuleList(attention() for _ in range(2))
        self.mlp = nn.ModuleList(Mlp() for _ in range(2))
        self.head = nn.Linear(DIM, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(0).repeat(self.T, 1, 1, 1, 1)
        T, B = x.shape[:2]
        x = self.bn(self.patch(x.flatten(0, 1)))
        x = self.lif(x.reshape(T, B, DIM, *x.shape[2:]).contiguous())
        x = x.flatten(3)
        for attn, mlp in zip(self.attn, self.mlp, strict=True):
            x = x + attn(x)
            x = x + mlp(x)
        return self.head(x.mean(3)).mean(0)


def attention_entries() -> list[Entry]:
    """Every network of this file."""
    entry = partial(Entry, "papers", rest=at_rest)
    kinds = {
        "Spikformer": partial(Transformer, Ssa),
        "QKFormer, tokens": partial(Transformer, TokenQk),
        "Spike-driven transformer": partial(Transformer, Sdsa, fires=False),
    }
    shape = (3, 16, 16)
    return [
        entry(f"{name} block", make, shape, IMAGE, current, **fixed(4))
        for name, make in kinds.items()
    ]
