"""Neurons that nobody foresaw, in a few lines of torch: exported, run, streamed, trained."""

import copy

import pytest
import torch
from torch import nn

from .export_helpers import bridge, drawn, dyadic, ir, written

STEPS, BATCH, WIDTH = 60, 3, 8


class Neuron(nn.Module):
    """What is kept from step to step starts at 0, but for a membrane that starts at ``rest``."""

    names: tuple[str, ...] = ("v",)
    rest = 0.0

    def __init__(self):
        super().__init__()
        for name in self.names:
            setattr(self, name, None)

    def forward(self, x):
        for name in self.names:
            if getattr(self, name) is None:
                setattr(self, name, torch.full_like(x, self.rest if name == "v" else 0.0))
        return self.step(x)


class ResonateAndFire(Neuron):
    """A damped oscillator whose membrane is its imaginary part."""

    names = ("re", "im")

    def step(self, x):
        re = 0.875 * self.re - 0.25 * self.im + x
        im = 0.25 * self.re + 0.875 * self.im
        s = (im > 1).float()
        self.re, self.im = re * (1 - s), im - s
        return s


class AdaptiveExponential(Neuron):
    """The membrane runs away above a level, and each spike adds to a current that calms it."""

    names = ("v", "w")

    def step(self, x):
        run = 0.125 * torch.exp(torch.clamp(4 * (self.v - 1), max=4.0))
        v = 0.75 * self.v + run + x - self.w
        s = (v >= 2).float()
        self.w = 0.875 * self.w + 0.0625 * v + 0.25 * s
        self.v = torch.where(s > 0, torch.zeros_like(v), v)
        return s


class SecondOrder(Neuron):
    """A membrane that is pushed: it has a velocity."""

    names = ("v", "speed")

    def step(self, x):
        self.speed = 0.75 * self.speed + 0.5 * x - 0.25 * self.v
        v = self.v + self.speed
        s = (v >= 1.5).to(x.dtype)
        self.v = v - 1.5 * s
        self.speed = self.speed * (1 - 0.5 * s)
        return s


class Gated(Neuron):
    """How much is kept depends on what arrives."""

    def step(self, x):
        gate = torch.clamp(0.5 + 0.25 * x, 0, 0.75)
        u = gate * self.v + (1 - gate) * 2 * x
        s = torch.gt(u, 1).float()
        self.v = u - s * u
        return s


class Ternary(Neuron):
    """Sends 1 and -1, and loses what it sent."""

    def step(self, x):
        u = 0.75 * self.v + x
        s = (u >= 1).float() - (u <= -1).float()
        self.v = u - s
        return s


class Integer(Neuron):
    """Sends as many spikes as the membrane holds, four at most."""

    def step(self, x):
        u = 0.75 * self.v + x
        s = sum((u >= k).float() for k in (1, 2, 3, 4))
        self.v = u - s
        return s


class Counting(Neuron):
    """Counts three steps down after a spike, in which nothing reaches the membrane."""

    names = ("v", "left")

    def step(self, x):
        free = (self.left <= 0).float()
        u = 0.75 * self.v + free * x
        s = free * (u >= 1).float()
        self.v = u * (1 - s)
        self.left = torch.clamp(self.left - 1, min=0) + 3 * s
        return s


class Izhikevich(Neuron):
    """Quadratic, with recovery; in units of its own."""

    names = ("v", "u")
    rest = -0.5

    def step(self, x):
        v = self.v + 0.25 * (self.v * self.v + self.v) - self.u + 0.5 * x
        v = torch.clamp(v, -2, 2)
        u = self.u + 0.125 * (0.25 * v - self.u)
        s = (v >= 1).float()
        self.v = torch.where(s.bool(), torch.full_like(v, -0.5), v)
        self.u = u + 0.25 * s
        return s


class Bistable(Neuron):
    """A switch: once on, it fires until it is pushed off."""

    names = ("v", "on")

    def step(self, x):
        u = 0.5 * self.v + x + 0.5 * self.on
        self.on = torch.where(u > 1.5, torch.ones_like(u), torch.where(u < -0.5, 0.0, self.on))
        self.v = u
        return self.on * (u > 0).float()


class TwoThresholds(Neuron):
    """A small spike at the lower threshold, a large one at the upper, each with its own reset."""

    def step(self, x):
        u = 0.75 * self.v + x
        low, high = (u >= 0.75).float(), (u >= 1.5).float()
        self.v = torch.where(high > 0, torch.full_like(u, -0.25), u - 0.5 * low)
        return 0.25 * low + 0.75 * high


NEURONS = [ResonateAndFire, AdaptiveExponential, SecondOrder, Gated, Ternary, Integer, Counting,
           Izhikevich, Bistable, TwoThresholds]  # fmt: skip


class Net(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.fc, self.cell = nn.Linear(6, WIDTH), kind()
        dyadic(self, 1.0)

    def forward(self, x):
        return self.cell(self.fc(x))


@pytest.fixture(scope="module", params=NEURONS, ids=lambda kind: kind.__name__)
def known(request):
    """A model, the graph of it, inputs that drive it, and what it makes of them step by step."""
    model = Net(request.param)
    graph = bridge.to_ir(model, drawn(1, 6, seed=1))
    xs = drawn(STEPS, BATCH, 6, seed=5) / 2
    stepped = copy.deepcopy(model)
    with torch.no_grad():
        wanted = torch.stack([stepped(x) for x in xs])
    fired = (wanted != 0).sum()
    assert 20 < fired < wanted.numel() - 20
    return request.param, graph, xs, wanted


def test_it_runs_and_streams_as_the_model_steps(known):
    kind, graph, xs, wanted = known
    # torch's exp and the loop's may differ in the last digit; what is sent does not.
    with torch.no_grad():
        executor = bridge.ir_to_torch(graph, return_state=True)
        whole, last = executor.run(xs)
        assert torch.equal(whole, wanted)
        assert torch.equal(executor.run(xs, chunk=7)[0], wanted)
        first, state = executor.run(xs[:25])
        second, after = executor.run(xs[25:], state)
        assert torch.equal(torch.cat([first, second]), wanted)
        state, sent = {}, []
        for x in xs:
            out, state = executor(x, state)
            sent.append(out)
        assert torch.equal(torch.stack(sent), wanted)
    assert set(last) == set(after) == {f"cell/{name}" for name in kind.names}
    # By the neuron's name its variables are found, and each is what the module holds.
    assert set(last["cell"]) == set(kind.names)
    for name, value in last["cell"].items():
        assert torch.equal(value, last[f"cell/{name}"][0][:, 0])
        assert value.shape == (xs.shape[1], WIDTH)
    with pytest.raises(KeyError):
        last["fc"]


def test_it_survives_the_file(known, tmp_path):
    _, graph, xs, wanted = known
    with torch.no_grad():
        assert torch.equal(bridge.ir_to_torch(written(graph, tmp_path)).run(xs)[0], wanted)


def test_it_is_worked_by_one_loop(known):
    _, graph, xs, _ = known
    executor = bridge.ir_to_torch(graph)
    with torch.no_grad():
        executor.run(xs)
    assert list(graph.nodes) == ["input", "fc", "cell", "output"]
    inside = graph.nodes["cell"].nodes
    memories = {f"cell/{name}" for name, node in inside.items() if isinstance(node, ir.Delay)}
    assert memories
    (loop,) = [names for names in executor.network.blocks.values() if memories & set(names)]
    assert memories <= set(loop)


def test_it_trains_as_its_steps_do(known):
    _, graph, xs, _ = known
    found = []
    for kernels in (None, "torch"):
        executor = bridge.ir_to_torch(graph, dtype=torch.float64, kernels=kernels)
        given = xs.double().requires_grad_()
        out, _ = executor.run(given)
        weight = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).reshape(out.shape)
        (out * weight).sum().backward()
        found.append((given.grad, executor.fc.weight.grad))
    assert found[0][0].abs().sum() > 0
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


class Escaping(Neuron):
    """Fires with a probability that grows with its membrane."""

    def step(self, x):
        u = 0.75 * self.v + x
        s = (torch.rand_like(u) < torch.sigmoid(u - 1)).float()
        self.v = u - s
        return s


class Noisy(Neuron):
    def step(self, x):
        u = 0.75 * self.v + x + 0.1 * torch.randn(x.shape)
        s = (u > 1).float()
        self.v = u - s
        return s


class Drawing(Neuron):
    def step(self, x):
        u = 0.75 * self.v + x
        s = torch.bernoulli(torch.clamp(u, 0, 1))
        self.v = u - s
        return s


@pytest.mark.parametrize("kind", [Escaping, Noisy, Drawing])
def test_chance_is_refused(kind):
    with pytest.raises(ir.UnsupportedError, match="draws random numbers") as error:
        bridge.to_ir(Net(kind), drawn(1, 6))
    assert "module 'cell'" in str(error.value)
