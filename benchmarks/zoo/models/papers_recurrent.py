"""Recurrent networks: SRNN with adaptive thresholds, LSNN, a delayed copy."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..entry import Entry, current, events
from ..layouts import BATCH_FIRST, SEQUENCE
from .papers_neurons import Fire, Zif, at_rest

INPUTS, HIDDEN, CLASSES = 20, 32, 6


class Gaussian(torch.autograd.Function):
    """SRNN's: fires above 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.gt(0).float()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * torch.exp(-(x**2) / 0.5)


def mem_update_adp(
    fire: nn.Module,
    inputs: Tensor,
    mem: Tensor,
    spike: Tensor,
    tau_adp: Tensor,
    b: Tensor,
    tau_m: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """SRNN: every spike raises the threshold, which falls back slowly."""
    alpha = torch.exp(-1.0 * 1 / tau_m)
    ro = torch.exp(-1.0 * 1 / tau_adp)
    b = ro * b + (1 - ro) * spike
    B = 0.01 + 1.8 * b
    mem = mem * alpha + (1 - alpha) * 1.0 * inputs - B * spike * 1
    spike = fire(mem - B)
    return mem, spike, B, b


class Srnn(nn.Module):
    """SRNN: a recurrent layer of adaptive neurons, a leaky readout summed over time."""

    def __init__(self) -> None:
        super().__init__()
        self.i2h, self.h2h = nn.Linear(INPUTS, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.h2o, self.fire = nn.Linear(HIDDEN, CLASSES), Fire(Gaussian)
        self.tau_adp_h = nn.Parameter(torch.empty(HIDDEN).uniform_(50, 150))
        self.tau_m_h = nn.Parameter(torch.empty(HIDDEN).uniform_(5, 20))
        self.tau_m_o = nn.Parameter(torch.empty(CLASSES).uniform_(5, 20))

    def forward(self, x: Tensor) -> Tensor:
        batch, steps, _ = x.shape
        mem = spike = torch.zeros(batch, HIDDEN)
        b = torch.ones(batch, HIDDEN) * 0.01
        out_mem = torch.zeros(batch, CLASSES)
        output_sum = torch.zeros(batch, CLASSES)
        for i in range(steps):
            h_input = self.i2h(x[:, i, :]) + self.h2h(spike)
            mem, spike, _, b = mem_update_adp(
                self.fire, h_input, mem, spike, self.tau_adp_h, b, self.tau_m_h
            )
            alpha = torch.exp(-1.0 / self.tau_m_o)
            out_mem = out_mem * alpha + (1 - alpha) * self.h2o(spike)
            output_sum = output_sum + out_mem
        return output_sum / steps


class Lsnn(nn.Module):
    """LSNN: half of the neurons adapt; they do not fire for two steps after a spike."""

    def __init__(self) -> None:
        super().__init__()
        self.w_in = nn.Linear(INPUTS, HIDDEN, bias=False)
        self.w_rec = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.w_out, self.fire = nn.Linear(HIDDEN, CLASSES), Fire(Zif, 1.0)
        self.register_buffer("beta", 0.5 * (torch.arange(HIDDEN) % 2))
        self.register_buffer("others", 1 - torch.eye(HIDDEN))

    def forward(self, x: Tensor) -> Tensor:
        v = torch.zeros(x.shape[1], HIDDEN)
        z, a, r = torch.zeros_like(v), torch.zeros_like(v), torch.zeros_like(v)
        y, out = torch.zeros(x.shape[1], CLASSES), []
        rec = self.w_rec.weight * self.others
        for t in range(x.shape[0]):
            current_ = self.w_in(x[t]) + z @ rec.t()
            v = 0.9 * v + current_ - z * 0.6
            a = 0.97 * a + z
            z = self.fire((v - 0.6 - self.beta * a) / 0.6) * (r == 0).float()
            r = torch.clamp(r + 2 * z - 1, 0, 2)
            y = 0.8 * y + self.w_out(z)
            out.append(y)
        return torch.stack(out)


class Synaptic(nn.Module):
    """The tutorials of surrogate gradients (SpyTorch): current and membrane, reset by one less."""

    def __init__(self) -> None:
        super().__init__()
        self.fire = Fire(Zif, 1.0)
        self.w1 = nn.Parameter(0.5 * torch.randn(INPUTS, HIDDEN))
        self.w2 = nn.Parameter(0.3 * torch.randn(HIDDEN, CLASSES))

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        h1 = torch.einsum("abc,cd->abd", (inputs, self.w1))
        syn = mem = torch.zeros(inputs.shape[0], HIDDEN)
        spk_rec = []
        for t in range(inputs.shape[1]):
            mthr = mem - 1.0
            out = self.fire(mthr)
            rst = out.detach()
            new_syn = 0.8 * syn + h1[:, t]
            mem = (0.9 * mem + syn) * (1.0 - rst)
            syn = new_syn
            spk_rec.append(out)
        spikes = torch.stack(spk_rec, dim=1)
        h2 = torch.einsum("abc,cd->abd", (spikes, self.w2))
        flt = out_v = torch.zeros(inputs.shape[0], CLASSES)
        out_rec = [out_v]
        for t in range(inputs.shape[1] - 1):
            new_flt = 0.8 * flt + h2[:, t]
            out_v = 0.9 * out_v + flt
            flt = new_flt
            out_rec.append(out_v)
        return torch.stack(out_rec, dim=1), spikes


def recurrent_entries() -> list[Entry]:
    """Every network of this file."""
    entry = partial(Entry, "papers", rest=at_rest, steps=8, fresh=(9, 3), shape=(INPUTS,))
    return [
        entry("SRNN, adaptive thresholds", Srnn, layout=BATCH_FIRST, draw=current),
        entry("LSNN, refractory", Lsnn, layout=SEQUENCE, draw=events),
        entry("SpyTorch", Synaptic, layout=BATCH_FIRST, draw=events),
    ]
