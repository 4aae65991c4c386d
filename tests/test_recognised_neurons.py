"""What a model writes out in operations, and a primitive says, is that primitive."""

import numpy as np
import pytest
import torch
from torch import nn

from t1c.bridge.tracing import recognise

from .export_helpers import LENGTH, SAMPLES, bridge, drawn, dyadic, equal, ir, net, types_of, whole
from .test_export_handwritten import FIRES, RESETS, Above

RESET_OF = {
    "to zero": ("zero", None),
    "by subtraction": ("subtract", None),
    "by where": ("zero", None),
    "detached": ("subtract", None),
    "to a value": ("value", -0.5),
}
NEURONS = (ir.LIF, ir.IF, ir.LI, ir.I, ir.CubaLIF, ir.CubaLI)


def the_neuron(graph):
    """The one neuron of a graph without loops of its own."""
    assert not [n for n in graph.nodes.values() if isinstance(n, ir.Delay)]
    (found,) = [n for n in graph.nodes.values() if isinstance(n, NEURONS)]
    return found


def quartered(model):
    """Weights that bring membranes to multiples of 1/4, and so to the threshold itself."""
    with torch.no_grad():
        model.fc.weight.copy_((model.fc.weight * 4).round())
        model.fc.bias.copy_((model.fc.bias * 4).round() / 4)
    return model


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("fires", FIRES)
def test_every_way_of_firing_with_every_way_of_resetting(reset, fires):
    def forward(m, x):
        v = 0.5 * m.v + m.fc(x)
        spk = FIRES[fires](v)
        m.v = RESETS[reset](v, spk)
        return spk

    model = quartered(net(forward, v=0))
    graph = bridge.to_ir(model, drawn(1, 6, seed=1), verify=False)
    assert list(types_of(graph).values()) == ["Input", "Affine", "LIF", "Output"]
    node, (mode, value) = the_neuron(graph), RESET_OF[reset]
    assert (node.tau, node.r, node.v_leak, node.v_threshold) == (2, 2, 0, 1)
    assert (node.reset_mode, node.v_reset) == (mode, value)
    assert not node.reset_delay
    # What is exactly at the threshold tells > from >=.
    at_threshold = FIRES[fires](torch.ones(1))
    assert node.fires_at == ("ge" if at_threshold > 0.5 else "gt")


# Ten ways ----------------------------------------------------------------------------------------


def product_and_sum(m, x):
    m.v = m.v * 0.75 + x
    s = Above.apply(m.v - 0.5)
    m.v = (1 - s) * m.v
    return s


def part_of_the_way(m, x):
    m.v = m.v + (x - m.v) / 4
    s = (m.v >= 0.5).float()
    m.v = m.v * (1.0 - s)
    return s


def average(m, x):
    m.v = 0.75 * m.v + 0.25 * x
    s = torch.where(m.v < 0.5, 0.0, 1.0)
    m.v = m.v - 0.5 * s
    return s


def integrated(m, x):
    m.v += 0.5 * x
    s = torch.heaviside(m.v - 1, torch.zeros(()))
    m.v = m.v.masked_fill(s.bool(), 0.25)
    return s


def before_the_decay(m, x):
    m.v = m.v * 0.5 * (1 - m.s) + x
    m.s = m.v.gt(1).float()
    return m.s


def after_the_decay(m, x):
    m.v = 0.5 * m.v + x - 1.0 * m.s
    m.s = (m.v > 1).float()
    return m.s


def asked_of_the_membrane(m, x):
    v = m.v + torch.zeros_like(x)
    m.v = 0.5 * v + x - (v > 1).float()
    return (m.v > 1).float()


def leaking(m, x):
    m.v = m.v - 0.25 * (m.v + 0.5) + x
    s = ((m.v - 1) / 2 >= 0).float()
    m.v = torch.where(s == 1, torch.full_like(m.v, -0.5), m.v)
    return s


def bounded(m, x):
    m.v = 0.5 * m.v + x
    s = (m.v >= 1).float()
    m.v = torch.clamp(m.v - s, min=-1)
    return s


def through_a_synapse(m, x):
    m.i = 0.5 * m.i + 2 * x
    m.v = 0.75 * m.v + m.i
    s = (m.v > 2).float()
    m.v = m.v - 2 * s
    return s


WAYS = {
    product_and_sum: ("LIF", {"tau": 4, "r": 4, "v_threshold": 0.5, "fires_at": "gt"}),
    part_of_the_way: ("LIF", {"tau": 4, "r": 1, "v_threshold": 0.5, "fires_at": "ge"}),
    average: ("LIF", {"tau": 4, "r": 1, "v_threshold": 0.5, "reset": "subtract", "fires_at": "ge"}),
    integrated: ("IF", {"r": 0.5, "v_threshold": 1, "v_reset": 0.25, "fires_at": "gt"}),
    before_the_decay: ("LIF", {"tau": 2, "v_threshold": 1, "reset": None, "reset_delay": False}),
    after_the_decay: ("LIF", {"tau": 2, "reset": "subtract", "reset_delay": True}),
    asked_of_the_membrane: ("LIF", {"tau": 2, "reset": "subtract", "reset_delay": True}),
    leaking: ("LIF", {"tau": 4, "r": 4, "v_leak": -0.5, "v_reset": -0.5, "v_threshold": 1}),
    bounded: ("LIF", {"tau": 2, "reset": "subtract", "v_min": -1}),
    through_a_synapse: (
        "CubaLIF",
        {"tau_syn": 2, "w_in": 4, "tau_mem": 4, "r": 4, "v_threshold": 2, "reset": "subtract"},
    ),
}


class Neuron(nn.Module):
    def __init__(self, step):
        super().__init__()
        self.step, self.v, self.i, self.s = step, 0.0, 0.0, 0.0

    def forward(self, x):
        return self.step(self, x)


class Net(nn.Module):
    def __init__(self, step):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(6, 8), Neuron(step)
        self.fc2, self.lif2 = nn.Linear(8, 4), Neuron(step)
        dyadic(self)

    def forward(self, x):
        return self.lif2(self.fc2(self.lif1(self.fc1(x))))


@pytest.mark.parametrize("step", WAYS, ids=lambda step: step.__name__)
def test_ten_ways_of_writing_a_neuron(step, tmp_path):
    """Each is one node under its module's path, and gives what the model gives."""
    kind, fields = WAYS[step]
    xs = drawn(LENGTH, SAMPLES, 6, seed=3)
    graph = equal(Net(step), drawn(1, 6, seed=1), xs)
    assert types_of(graph) == {
        "input": "Input", "fc1": "Affine", "lif1": kind, "fc2": "Affine", "lif2": kind,
        "output": "Output",
    }  # fmt: skip
    for name, value in fields.items():
        assert getattr(graph.nodes["lif1"], name) == value, name
    seen = bridge.ir_to_torch(graph).trace(xs)
    assert all(0 < seen[n].count_nonzero() < seen[n].numel() for n in ("lif1", "lif2"))


@pytest.mark.parametrize("decay", [0.9, 0.3, 1 / 3])
def test_numbers_that_are_no_binary_fractions_give_the_same_bits(decay):
    """``beta * v + x`` in the order of a LIF: nothing is rounded otherwise."""

    def forward(m, x):
        m.v = m.v * decay + m.fc(x)
        s = (m.v > 0.7).float()
        m.v = m.v - 0.7 * s
        return s

    graph = equal(net(forward, v=0), drawn(1, 6, seed=1), drawn(400, SAMPLES, 6))
    assert isinstance(the_neuron(graph), ir.LIF)


def test_one_decay_for_each_channel():
    rates = torch.arange(1, 9) / 16

    def forward(m, x):
        m.v = m.v * m.rates + m.fc(x)
        s = (m.v > m.level).float()
        m.v = m.v - m.level * s
        return s

    level = nn.Parameter(torch.arange(1, 9) / 4)
    graph = equal(
        net(forward, v=0, rates=rates, level=level), drawn(1, 6), drawn(LENGTH, SAMPLES, 6)
    )
    node = the_neuron(graph)
    assert np.array_equal((1 - 1 / node.tau).astype(np.float32), rates.numpy())
    assert np.array_equal(node.v_threshold, level.detach().numpy())


def test_a_readout_that_integrates():
    def forward(m, xs):
        v = torch.zeros(xs.shape[1], 8)
        for x in xs:
            v = 0.75 * v + 0.25 * m.fc(x)
        return v

    graph = equal(net(forward), drawn(5, 2, 6), drawn(LENGTH, SAMPLES, 6), whole)
    node = the_neuron(graph)
    assert (node.primitive, node.tau, node.r) == ("LI", 4, 1)


@pytest.mark.parametrize(
    ("shown", "types"), [(0, ["LIF"]), (0.5, ["LI", "Threshold", "Scale", "Skip"])]
)
def test_without_a_reset(shown, types):
    """Where the membrane is used too, it is sent by an LI, and compared behind it."""

    def forward(m, x):
        m.v = 0.5 * m.v + m.fc(x)
        s = (m.v >= 1).float()
        return s + shown * m.v if shown else s

    graph = equal(net(forward, v=0), drawn(1, 6), drawn(LENGTH, SAMPLES, 6))
    assert list(types_of(graph).values()) == ["Input", "Affine", *types, "Output"]
    assert graph.nodes["v"].primitive == types[0]
    assert getattr(graph.nodes["v"], "reset", "none") == "none"


def test_spikes_of_the_membrane_that_was():
    """SpyTorch's: it fires before it is updated, and the current drives it a step later."""

    def forward(m, xs):
        i = v = torch.zeros(xs.shape[1], 8)
        out = []
        for x in xs:
            s = Above.apply(v - 1)
            v = (0.75 * v + i) * (1 - s)
            i = 0.5 * i + m.fc(x)
            out.append(s)
        return torch.stack(out)

    graph = equal(net(forward), drawn(5, 2, 6), drawn(LENGTH, SAMPLES, 6), whole)
    (neuron,) = [n for n in graph.nodes.values() if isinstance(n, NEURONS)]
    assert (neuron.primitive, neuron.reset, neuron.reset_delay) == ("CubaLIF", "hold", True)
    assert sum(isinstance(n, ir.Delay) for n in graph.nodes.values()) == 2


def test_inputs_of_several_weights():
    def forward(m, x):
        m.v = 0.5 * m.v + m.fc(x) + 0.5 * m.back(x)
        s = (m.v > 1).float()
        m.v = m.v - s
        return s

    model = dyadic(net(forward, v=0, back=nn.Linear(6, 8)))
    graph = equal(model, drawn(1, 6), drawn(LENGTH, SAMPLES, 6))
    assert the_neuron(graph).r == 2
    assert types_of(graph)["mul"] == "Scale"


def test_the_proof_guards_what_is_recognised(monkeypatch):
    """A neuron that is taken for another is written as it stands."""
    monkeypatch.setattr(recognise, "time_constant_of", lambda beta: 2 / (1 - beta))

    def forward(m, x):
        m.v = 0.5 * m.v + m.fc(x)
        s = (m.v > 1).float()
        m.v = m.v - s
        return s

    graph = equal(net(forward, v=0), drawn(1, 6), drawn(LENGTH, SAMPLES, 6))
    assert types_of(graph)["v"] == "Delay"
    assert not [n for n in graph.nodes.values() if isinstance(n, NEURONS)]


def test_recurrence_around_a_neuron():
    def forward(m, x):
        v = 0.5 * m.v + m.fc(x) + m.back(m.s)
        m.s = (v >= 1).float()
        m.v = v * (1 - m.s)
        return m.head(m.s)

    model = net(forward, v=0, s=torch.zeros(1, 8), back=nn.Linear(8, 8))
    dyadic(model, 1.0)
    graph = equal(model, drawn(1, 6), drawn(LENGTH, SAMPLES, 6))
    assert isinstance(the_neuron(graph), ir.LIF)
    assert [source for source, _ in graph.feedback_edges()] == ["v"]


def test_a_module_that_is_used_twice_is_two_neurons():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2, self.lif = nn.Linear(6, 8), nn.Linear(8, 4), Steps()
            dyadic(self)

        def forward(self, xs):
            return self.lif(self.fc2(self.lif(self.fc1(xs))))

    graph = equal(Twice(), drawn(5, 2, 6), drawn(LENGTH, SAMPLES, 6), whole)
    assert types_of(graph)["lif.lif"] == types_of(graph)["lif.lif_2"] == "LIF"


def test_two_neurons_of_one_module_are_named_by_what_holds_their_membranes():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.fc = 0.0, 0.0, nn.Linear(8, 8)

        def forward(self, x):
            self.a = 0.5 * self.a + x
            s = Above.apply(self.a - 1)
            self.a = self.a - s
            self.b = 0.5 * self.b + self.fc(s)
            z = Above.apply(self.b - 1)
            self.b = self.b - z
            return z

    model = dyadic(nn.Sequential(nn.Linear(6, 8), Pair()))
    graph = equal(model, drawn(1, 6), drawn(LENGTH, SAMPLES, 6))
    assert list(graph.nodes) == ["input", "0", "1.a", "1.fc", "1.b", "output"]
    assert {types_of(graph)[name] for name in ("1.a", "1.b")} == {"LIF"}


class Steps(nn.Module):
    """All steps of a leaky neuron."""

    def forward(self, xs):
        v, out = torch.zeros_like(xs[0]), []
        for x in xs:
            v = 0.5 * v + x
            out.append((v > 1).float())
            v = v * (1 - out[-1])
        return torch.stack(out)


# What is none ------------------------------------------------------------------------------------


def growing(m, v, x):
    v = 1.25 * v + x
    s = (v > 1).float()
    return s, v * (1 - s)


def firing_at_another_level_than_it_loses(m, v, x):
    v = 0.5 * v + x
    s = (v > 1).float()
    return s, v - 0.75 * s


def of_two_levels(m, v, x):
    v = 0.5 * v + x
    s = (v > 1).float()
    return s, v - (v > 2).float()


def squared(m, v, x):
    v = 0.5 * v * v + x
    s = (v > 1).float()
    return s, v * (1 - s)


def its_membrane_is_used(m, v, x):
    v = 0.5 * v + x
    s = (v > 1).float()
    return s + 0.5 * v, v * (1 - s)


def firing_below(m, v, x):
    v = 0.5 * v + x
    s = (v < 1).float()
    return s, v * (1 - s)


@pytest.mark.parametrize(
    "step",
    [growing, firing_at_another_level_than_it_loses, of_two_levels, squared, its_membrane_is_used,
     firing_below],
)  # fmt: skip
def test_what_no_primitive_says_stays_as_it_is(step):
    def forward(m, x):
        y, v = step(m, m.v, m.fc(x))
        m.v = v
        return y

    graph = equal(net(forward, v=0), drawn(1, 6, seed=1), drawn(12, SAMPLES, 6), atol=1e-5)
    assert not [n for n in graph.nodes.values() if isinstance(n, NEURONS)]
    assert types_of(graph)["v"] == "Delay"


def test_a_membrane_that_starts_elsewhere_stays_as_it_is():
    """QCFS's starts at half of the threshold, and no primitive does."""

    def forward(m, xs):
        v, out = torch.full((xs.shape[1], 8), 0.5), []
        for x in xs:
            v = v + m.fc(x)
            out.append((v > 1).float())
            v = v - out[-1]
        return torch.stack(out)

    graph = equal(net(forward), drawn(5, 2, 6), drawn(LENGTH, SAMPLES, 6), whole)
    assert types_of(graph)["delay"] == "Delay"
    assert (graph.nodes["delay"].initial == 0.5).all()
