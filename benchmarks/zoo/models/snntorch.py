"""Networks in the shapes of snnTorch's tutorials and examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import snntorch as snn
import torch
import torch.nn.functional as F
from snntorch import surrogate, utils
from torch import Tensor, nn

from ..entry import Entry, current, events, fixed, image
from ..layouts import IMAGE, SEQUENCE, STEP, TIME_LAST

# Not the number of classes: axes are told apart by their length.
STEPS = 8


def _rest(model: nn.Module) -> None:
    """As ``utils.reset``, which resets all neurons that there are, and fails for some."""
    for module in model.modules():
        if hasattr(module, "reset_mem"):
            module.reset_mem()


class Static(nn.Module):
    """Tutorials 3 and 5: one image, the same at every step; spikes and membranes come back."""

    def __init__(self, first: nn.Module, second: nn.Module, states: int = 1) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(28 * 28, 100), first
        self.fc2, self.lif2 = nn.Linear(100, 10), second
        self.states = states

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.flatten(1)
        state1 = self.lif1.reset_mem()
        state2 = self.lif2.reset_mem()
        state1 = state1 if isinstance(state1, tuple) else (state1,)
        state2 = state2 if isinstance(state2, tuple) else (state2,)
        spk2_rec, mem2_rec = [], []
        for _ in range(STEPS):
            spk1, *state1 = self.lif1(self.fc1(x), *state1)
            spk2, *state2 = self.lif2(self.fc2(spk1), *state2)
            spk2_rec.append(spk2)
            mem2_rec.append(state2[-1])
        return torch.stack(spk2_rec, dim=0), torch.stack(mem2_rec, dim=0)


def _static(make: Callable[..., nn.Module], **options: Any) -> nn.Module:
    return Static(make(**options), make(**options))


class OneNeuron(nn.Module):
    """Tutorial 2: a neuron by itself, given a current."""

    def __init__(self, lif: nn.Module) -> None:
        super().__init__()
        self.lif = lif

    def forward(self, cur_in: Tensor) -> tuple[Tensor, Tensor]:
        mem = self.lif.init_leaky() if hasattr(self.lif, "init_leaky") else self.lif.init_lapicque()
        spk_rec, mem_rec = [], []
        for step in range(cur_in.size(0)):
            spk, mem = self.lif(cur_in[step], mem)
            spk_rec.append(spk)
            mem_rec.append(mem)
        return torch.stack(spk_rec), torch.stack(mem_rec)


class Ahead(nn.Module):
    """A layer applied to all steps at once, before the loop over its neurons."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(20, 40), snn.Leaky(beta=0.8)
        self.fc2, self.lif2 = nn.Linear(40, 5), snn.Leaky(beta=0.8)

    def forward(self, x: Tensor) -> Tensor:
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        cur1, out = self.fc1(x), []
        for step in range(x.shape[0]):
            spk1, mem1 = self.lif1(cur1[step], mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            out.append(spk2)
        return torch.stack(out)


class TimeLast(nn.Module):
    """Sequences (B, F, T), as audio and Tonic's sensors give them."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(20, 40), snn.Leaky(beta=0.9)
        self.fc2, self.lif2 = nn.Linear(40, 5), snn.Leaky(beta=0.9)

    def forward(self, x: Tensor) -> Tensor:
        mem1, mem2, out = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for step in range(x.shape[-1]):
            spk1, mem1 = self.lif1(self.fc1(x[:, :, step]), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            out.append(spk2)
        return torch.stack(out)


class ConvNet(nn.Module):
    """Tutorial 6's network as a class: convolutions, pools, an image held still."""

    def __init__(self) -> None:
        super().__init__()
        grad = surrogate.fast_sigmoid(slope=25)
        self.conv1, self.lif1 = nn.Conv2d(1, 12, 5), snn.Leaky(beta=0.5, spike_grad=grad)
        self.conv2, self.lif2 = nn.Conv2d(12, 64, 5), snn.Leaky(beta=0.5, spike_grad=grad)
        self.fc1, self.lif3 = nn.Linear(64 * 4 * 4, 10), snn.Leaky(beta=0.5, spike_grad=grad)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mem1, mem2, mem3 = (lif.init_leaky() for lif in (self.lif1, self.lif2, self.lif3))
        spk_rec, mem_rec = [], []
        for _ in range(STEPS):
            spk1, mem1 = self.lif1(F.max_pool2d(self.conv1(x), 2), mem1)
            spk2, mem2 = self.lif2(F.max_pool2d(self.conv2(spk1), 2), mem2)
            spk3, mem3 = self.lif3(self.fc1(spk2.view(x.size(0), -1)), mem3)
            spk_rec.append(spk3)
            mem_rec.append(mem3)
        return torch.stack(spk_rec), torch.stack(mem_rec)


def _hidden(channels: int = 1, flat: int = 64 * 4 * 4) -> nn.Module:
    """Tutorials 6 and 7: nn.Sequential of neurons that keep their states, one step a call."""
    lif = partial(snn.Leaky, beta=0.5, spike_grad=surrogate.atan(), init_hidden=True)
    return nn.Sequential(
        nn.Conv2d(channels, 12, 5),
        nn.MaxPool2d(2),
        lif(),
        nn.Conv2d(12, 64, 5),
        nn.MaxPool2d(2),
        lif(),
        nn.Flatten(),
        nn.Linear(flat, 10),
        lif(output=True),
    )


class HiddenLoop(nn.Module):
    """The same, with the loop over steps (``forward_pass``) in it."""

    def __init__(self, net: nn.Module, reset: bool = True) -> None:
        super().__init__()
        self.net = net
        self.reset = reset

    def forward(self, data: Tensor) -> tuple[Tensor, Tensor]:
        utils.reset(self.net)
        spk_rec, mem_rec = [], []
        for step in range(data.size(0)):
            spk, mem = self.net(data[step])
            spk_rec.append(spk)
            mem_rec.append(mem)
        return torch.stack(spk_rec), torch.stack(mem_rec)


class Regression(nn.Module):
    """Regression tutorial 1: the membrane of a neuron that never fires is the answer."""

    def __init__(self, hidden: int = 64) -> None:
        super().__init__()
        self.fc_in, self.lif_in = nn.Linear(1, hidden), snn.Leaky(beta=torch.rand(hidden))
        self.fc_hidden = nn.Linear(hidden, hidden)
        self.lif_hidden = snn.Leaky(beta=torch.rand(hidden), learn_beta=True)
        self.fc_output = nn.Linear(hidden, 1)
        self.li_out = snn.Leaky(beta=0.7, learn_beta=True, reset_mechanism="none")

    def forward(self, x: Tensor) -> Tensor:
        mem_1, mem_2, mem_3 = (
            self.lif_in.init_leaky(),
            self.lif_hidden.init_leaky(),
            self.li_out.init_leaky(),
        )
        mem_rec = []
        for step in range(x.shape[0]):
            spk_1, mem_1 = self.lif_in(self.fc_in(x[step]), mem_1)
            spk_2, mem_2 = self.lif_hidden(self.fc_hidden(spk_1), mem_2)
            _, mem_3 = self.li_out(self.fc_output(spk_2), mem_3)
            mem_rec.append(mem_3)
        return torch.stack(mem_rec)


class Recurrent(nn.Module):
    """Regression tutorial 2 and the recurrent neurons' pages."""

    def __init__(self, cell: nn.Module, last: nn.Module, features: int = 28) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(features, 32), cell
        self.fc2, self.lif2 = nn.Linear(32, 10), last

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        state1: Any = self.lif1.reset_mem()
        mem2 = self.lif2.init_leaky()
        spk_rec, mem_rec = [], []
        for step in range(x.shape[0]):
            spk1, *rest = self.lif1(self.fc1(x[step]), *state1)
            state1 = (spk1, *rest)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spk_rec.append(spk2)
            mem_rec.append(mem2)
        return torch.stack(spk_rec), torch.stack(mem_rec)


def _recurrent(make: Callable[..., nn.Module], **options: Any) -> nn.Module:
    return Recurrent(make(**options), snn.Leaky(beta=0.9))


class Population(nn.Module):
    """Population coding: many output neurons for each class, counted."""

    def __init__(self) -> None:
        super().__init__()
        lif = partial(snn.Leaky, beta=0.9, init_hidden=True)
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(784, 64), lif(), nn.Linear(64, 100), lif(output=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        utils.reset(self.net)
        counts = torch.stack([self.net(x)[0] for _ in range(STEPS)]).sum(0)
        return counts.view(x.size(0), 10, 10).sum(-1)


class Lstm(nn.Module):
    """A spiking LSTM in a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.slstm1 = snn.SLSTM(28, 32, threshold=0.1)
        self.slstm2 = snn.SLSTM(32, 10, threshold=0.1)

    def forward(self, x: Tensor) -> Tensor:
        syn1, mem1 = self.slstm1.init_slstm()
        syn2, mem2 = self.slstm2.init_slstm()
        out = []
        for step in range(x.size(0)):
            spk1, syn1, mem1 = self.slstm1(x[step], syn1, mem1)
            spk2, syn2, mem2 = self.slstm2(spk1, syn2, mem2)
            out.append(spk2)
        return torch.stack(out)


class ConvLstm(nn.Module):
    """A spiking convolutional LSTM with pools inside."""

    def __init__(self) -> None:
        super().__init__()
        self.sclstm1 = snn.SConv2dLSTM(1, 8, 3, max_pool=2, threshold=0.05)
        self.sclstm2 = snn.SConv2dLSTM(8, 8, 3, avg_pool=2, threshold=0.05)
        self.fc1, self.lif1 = nn.Linear(8 * 4 * 4, 10), snn.Leaky(beta=0.5)

    def forward(self, x: Tensor) -> Tensor:
        syn1, mem1 = self.sclstm1.init_sconv2dlstm()
        syn2, mem2 = self.sclstm2.init_sconv2dlstm()
        mem3, out = self.lif1.init_leaky(), []
        for step in range(x.size(0)):
            spk1, syn1, mem1 = self.sclstm1(x[step], syn1, mem1)
            spk2, syn2, mem2 = self.sclstm2(spk1, syn2, mem2)
            spk3, mem3 = self.lif1(self.fc1(spk2.flatten(1)), mem3)
            out.append(spk3)
        return torch.stack(out)


class Bntt(nn.Module):
    """Batch normalisation through time: another layer at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(784, 64), snn.Leaky(beta=0.9)
        self.bntt1 = snn.BatchNormTT1d(64, STEPS)
        self.fc2, self.lif2 = nn.Linear(64, 10), snn.Leaky(beta=0.9)

    def forward(self, x: Tensor) -> Tensor:
        mem1, mem2, out = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for step in range(STEPS):
            spk1, mem1 = self.lif1(self.bntt1[step](self.fc1(x.flatten(1))), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            out.append(spk2)
        return torch.stack(out)


class StateSpace(nn.Module):
    """StateLeaky: all steps at once, no reset."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(28, 32), snn.StateLeaky(beta=0.9, channels=32)
        self.fc2, self.lif2 = nn.Linear(32, 10), snn.StateLeaky(beta=0.8, channels=10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        spk1, _ = self.lif1(self.fc1(x))
        return self.lif2(self.fc2(spk1))


def _parallel() -> nn.Module:
    return nn.Sequential(snn.LeakyParallel(28, 32, beta=0.7), snn.LeakyParallel(32, 10, beta=0.5))


class Delta(nn.Module):
    """Fires when the membrane has risen enough; one step a call."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(28, 32)
        self.lif1 = snn.DeltaLeaky(beta=0.9, delta_threshold=0.2, init_hidden=True)
        self.fc2, self.lif2 = nn.Linear(32, 10), snn.Leaky(beta=0.9, init_hidden=True)

    def forward(self, x: Tensor) -> Tensor:
        spk1, _ = self.lif1(self.fc1(x))
        return self.lif2(self.fc2(spk1))


class Autoencoder(nn.Module):
    """The autoencoder tutorial: spikes in, spikes between, an image from the last membrane."""

    def __init__(self) -> None:
        super().__init__()
        lif = partial(snn.Leaky, beta=0.9, init_hidden=True)
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1, stride=2),
            nn.BatchNorm2d(8),
            lif(),
            nn.Conv2d(8, 16, 3, padding=1, stride=2),
            nn.BatchNorm2d(16),
            lif(),
            nn.Flatten(),
            nn.Linear(16 * 7 * 7, 32),
            lif(),
        )
        self.decoder = nn.Sequential(
            nn.Linear(32, 16 * 7 * 7),
            lif(),
            nn.Unflatten(1, (16, 7, 7)),
            nn.ConvTranspose2d(16, 8, 3, padding=1, stride=2, output_padding=1),
            nn.BatchNorm2d(8),
            lif(),
            nn.ConvTranspose2d(8, 1, 3, padding=1, stride=2, output_padding=1),
            snn.Leaky(beta=0.9, init_hidden=True, output=True, threshold=20000.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        utils.reset(self.encoder)
        utils.reset(self.decoder)
        for _ in range(STEPS):
            _, image_ = self.decoder(self.encoder(x))
        return image_


_entry = partial(Entry, "snnTorch", rest=_rest)
MNIST = (1, 28, 28)
_still = partial(_entry, shape=MNIST, layout=IMAGE, draw=image, **fixed(STEPS))
_line = partial(_entry, shape=(28,), layout=SEQUENCE, draw=current)

ENTRIES = [
    _entry("2: Lapicque", lambda: OneNeuron(snn.Lapicque(beta=0.9, threshold=0.2)), (6,), SEQUENCE),
    _entry("2: Leaky", lambda: OneNeuron(snn.Leaky(beta=0.8)), (6,), SEQUENCE),
    _entry(
        "2: Leaky, reset to zero",
        lambda: OneNeuron(snn.Leaky(beta=0.8, reset_mechanism="zero")),
        (6,),
        SEQUENCE,
    ),
    _still("3, 5: Leaky, an image held still", partial(_static, snn.Leaky, beta=0.95)),
    _still("4: Synaptic", partial(_static, snn.Synaptic, alpha=0.9, beta=0.8)),
    _still("4: Alpha", partial(_static, snn.Alpha, alpha=0.9, beta=0.8)),
    _still("5: Leaky, learnt", partial(_static, snn.Leaky, beta=0.8, learn_threshold=True)),
    _still("Leaky, inhibition", partial(_static, snn.Leaky, beta=0.9, inhibition=True)),
    _still("6: convolutions", ConvNet),
    _entry("6: Sequential, states kept inside", _hidden, MNIST, STEP, events),
    _entry("6: Sequential, with its loop", lambda: HiddenLoop(_hidden()), MNIST, SEQUENCE, events),
    _entry("7: two channels of events", lambda: _hidden(2, 64 * 5 * 5), (2, 34, 34), STEP, events),
    _entry("a layer ahead of the loop", Ahead, (20,), SEQUENCE, events),
    _entry("time last", TimeLast, (20,), TIME_LAST, events, steps=6, fresh=(7, 3)),
    _entry("regression 1: membranes", Regression, (1,), SEQUENCE, current, steps=6, fresh=(9, 3)),
    _line("regression 2: RLeaky", partial(_recurrent, snn.RLeaky, beta=0.9, linear_features=32)),
    _line("RLeaky, one to one", partial(_recurrent, snn.RLeaky, beta=0.9, all_to_all=False, V=0.5)),
    _line(
        "RSynaptic",
        partial(_recurrent, snn.RSynaptic, alpha=0.8, beta=0.9, linear_features=32),
    ),
    _still("population coding", Population),
    _line("SLSTM", Lstm),
    _entry("SConv2dLSTM", ConvLstm, (1, 16, 16), SEQUENCE, current),
    replace(_still("BatchNormTT", Bntt), refusal="has other weights at every step"),
    _line("StateLeaky", StateSpace),
    _line("LeakyParallel", _parallel),
    _entry("DeltaLeaky", Delta, (28,), STEP, current),
    _still("autoencoder", Autoencoder),
]
