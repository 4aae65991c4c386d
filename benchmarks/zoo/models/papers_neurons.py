"""Neurons as papers' code has them, each with its own surrogate gradient and its own reset."""

from __future__ import annotations

from typing import Any

import torch
from spikingjelly.activation_based import functional, neuron
from torch import Tensor, nn

from ..neurons import Spiking


def at_rest(model: nn.Module) -> None:
    """SpikingJelly's neurons and those written here."""
    functional.reset_net(model)
    for module in model.modules():
        if hasattr(module, "forget"):
            module.forget()


class Zif(torch.autograd.Function):
    """TET's triangle: fires at 0 and above."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.gamma = gamma
        return (x >= 0).float()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        slope = (1 / ctx.gamma**2) * (ctx.gamma - x.abs()).clamp(min=0)
        return grad * slope, None


class Dspike(torch.autograd.Function):
    """Dspike: fires above 0, with a tanh for a gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, b: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.b = b
        return x.gt(0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grad * ctx.b * (1 - torch.tanh(ctx.b * x) ** 2), None


class Fire(Spiking):
    """Where a network steps its neurons itself: what decides about a spike."""

    def __init__(self, function: type[torch.autograd.Function], *options: float) -> None:
        super().__init__()
        self.function, self.options = function, options

    def forward(self, x: Tensor) -> Tensor:
        return self.function.apply(x, *self.options)


class LIFSpike(Spiking):
    """TET: (B, T, ...) in, (B, T, ...) out, the membrane set to 0 by a product."""

    def __init__(self, thresh: float = 1.0, tau: float = 0.5, gamma: float = 1.0) -> None:
        super().__init__()
        self.thresh, self.tau, self.gamma = thresh, tau, gamma

    def forward(self, x: Tensor) -> Tensor:
        mem: Any = 0
        spikes = []
        T = x.shape[1]
        for t in range(T):
            mem = mem * self.tau + x[:, t, ...]
            spike = Zif.apply(mem - self.thresh, self.gamma)
            mem = (1 - spike) * mem
            spikes.append(spike)
        return torch.stack(spikes, dim=1)


class DspikeLif(Spiking):
    """Dspike's neuron: a hard reset, time first, the steps written into what was allocated."""

    def __init__(self, decay: float = 0.5, v_th: float = 1.0) -> None:
        super().__init__()
        self.decay, self.v_th = decay, v_th

    def forward(self, x: Tensor) -> Tensor:
        u = torch.zeros_like(x[0])
        out = torch.zeros_like(x)
        for t in range(x.shape[0]):
            u = self.decay * u + x[t]
            out[t] = Dspike.apply(u - self.v_th, 3.0)
            u = u * (1.0 - out[t])
        return out


class SoftReset(Spiking):
    """DSR's kind: what was sent is taken off, scaled by the threshold that it is sent with."""

    def __init__(self, v_th: float = 1.0, decay: float = 0.8) -> None:
        super().__init__()
        self.v_th, self.decay = v_th, decay

    def forward(self, x: Tensor) -> Tensor:
        mem = torch.zeros_like(x[0])
        spikes = []
        for x_t in x:
            mem = self.decay * mem + x_t
            spike = (mem > self.v_th).float() * self.v_th
            mem = mem - spike
            spikes.append(spike)
        return torch.stack(spikes)


class KeptLif(Spiking):
    """One step a call; the membrane is an attribute, a float before the first one."""

    def __init__(self, v_th: float = 1.0, tau: float = 2.0) -> None:
        super().__init__()
        self.v_th, self.tau = v_th, tau
        self.v: Any = 0.0

    def forget(self) -> None:
        self.v = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.v = self.v + (x - self.v) / self.tau
        spike = (self.v >= self.v_th).float()
        self.v = self.v * (1.0 - spike)
        return spike


class ParametricLif(Spiking):
    """The decay is the sigmoid of what is learnt; the membrane None before the first step."""

    def __init__(self, v_th: float = 1.0) -> None:
        super().__init__()
        self.w, self.v_th = nn.Parameter(torch.tensor(0.3)), v_th
        self.v: Tensor | None = None

    def forget(self) -> None:
        self.v = None

    def forward(self, x: Tensor) -> Tensor:
        if self.v is None:
            self.v = torch.zeros_like(x)
        self.v = self.v * torch.sigmoid(self.w) + x
        spike = Zif.apply(self.v - self.v_th, 1.0)
        self.v = self.v - spike.detach() * self.v_th
        return spike


class QcfsIf(Spiking):
    """QCFS: T steps merged with the batch; the membrane starts at half of the threshold."""

    def __init__(self, T: int = 4, thresh: float = 1.0) -> None:
        super().__init__()
        self.T = T
        self.thresh = nn.Parameter(torch.tensor([thresh]))

    def forward(self, x: Tensor) -> Tensor:
        x = x.view(self.T, x.shape[0] // self.T, *x.shape[1:])
        thre = self.thresh.data
        mem = 0.5 * thre
        spikes = []
        for t in range(self.T):
            mem = mem + x[t, ...]
            spike = Zif.apply(mem - thre, 1.0) * thre
            mem = mem - spike
            spikes.append(spike)
        return torch.stack(spikes, dim=0).flatten(0, 1)


def lif(tau: float = 2.0, v_threshold: float = 1.0) -> nn.Module:
    """What the transformers' code takes: SpikingJelly's neuron for all steps."""
    return neuron.LIFNode(tau=tau, v_threshold=v_threshold, detach_reset=True, step_mode="m")
