"""snnTorch's neurons keep their meaning: 32 steps on a dyadic grid, not one number different."""

import itertools
import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch import surrogate, utils
from torch import nn

from t1c.bridge.frameworks.snntorch import node_map
from t1c.ir.errors import GraphWarning, UnsupportedError

from .export_helpers import (
    Loop,
    bridge,
    dyadic,
    ir,
    reference,
    same,
    spikes,
    there_and_back,
    types_of,
)
from .peers import at_once, equal, stepwise

T, B, IN, HIDDEN = 32, 3, 6, 8
RESETS = ["subtract", "zero", "none"]


def vector(*values):
    return torch.tensor(list(itertools.islice(itertools.cycle(values), HIDDEN)))


PARAMETERS = {
    "scalar": {"beta": 0.75, "threshold": 1.5},
    "vector": {"beta": vector(0.5, 0.75, 0.875), "threshold": vector(0.5, 1.0, 2.25)},
    "learned": {"beta": 0.5, "threshold": 1.0, "learn_beta": True, "learn_threshold": True},
    "no leak": {"beta": 1.0, "threshold": 3.0},
    "no memory": {"beta": 0.0, "threshold": 0.5},
    "integers": {"beta": 1, "threshold": 2},
}


def check(neuron, tmp_path, states=1, strong=2.0, exact=True):
    """Spikes and membranes of the model and of its graph, and of the graph's reference."""
    model = dyadic(Loop(neuron, IN, HIDDEN, states), strong)
    xs = spikes(T, B, IN)
    with torch.no_grad():
        wanted, membranes = model(xs)
    executor = there_and_back(model, xs[:4], tmp_path)
    found, state = executor.run(xs)
    assert same(found, wanted)
    assert 0 < wanted.count_nonzero() < wanted.numel()
    if "neuron" in state:
        own = len(executor.node("neuron").state_names)
        potential = state["neuron"][own - 1]
        assert torch.allclose(potential, membranes[-1], rtol=0, atol=1e-5)
        assert same(potential, membranes[-1]) or not exact
    meant, _ = reference(executor.graph, xs)
    assert np.array_equal(meant, wanted.numpy())
    return executor.graph


@pytest.mark.grid(2)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS)
def test_leaky(parameters, delay, reset, tmp_path):
    neuron = snn.Leaky(**parameters, reset_mechanism=reset, reset_delay=delay)
    graph = check(neuron, tmp_path, strong=1.0 if reset == "none" else 2.0)
    assert types_of(graph)["neuron"] == ("IF" if (neuron.beta >= 1).all() else "LIF")
    assert graph.nodes["neuron"].fires_at == "gt"


CLAMPS = "a Leaky has beta = {}, and snnTorch clamps it"


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("delay", [True, False])
def test_a_leaky_with_a_beta_above_1_is_clamped_with_a_warning_and_a_note(delay, reset, tmp_path):
    neuron = snn.Leaky(beta=1.5, threshold=3.0, reset_mechanism=reset, reset_delay=delay)
    with pytest.warns(GraphWarning, match=CLAMPS.format(1.5)):
        graph = check(neuron, tmp_path, strong=1.0 if reset == "none" else 2.0)
    assert types_of(graph)["neuron"] == "IF"
    assert graph.nodes["neuron"].fires_at == "gt"
    assert graph.nodes["neuron"].metadata == {"clamped_beta": 1.5}


def test_immediate_subtraction_of_strong_input_is_not_a_plain_one(tmp_path):
    """What `v = u - s * threshold` would give differs: the trap that reset='carry' is for."""
    neuron = snn.Leaky(beta=0.5, threshold=1.0, reset_delay=False)
    graph = check(neuron, tmp_path, strong=4.0)
    assert graph.nodes["neuron"].reset == "carry"
    plain = ir.Graph(
        {**graph.nodes, "neuron": graph.nodes["neuron"].replace(reset="subtract")}, graph.edges
    )
    xs = spikes(T, B, IN)
    assert not same(bridge.ir_to_torch(plain).run(xs)[0], bridge.ir_to_torch(graph).run(xs)[0])


@pytest.mark.grid(2)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("values", [(0.5, 0.75), (vector(0.5, 0.25), vector(0.75, 0.875))])
def test_synaptic(values, delay, reset, tmp_path):
    alpha, beta = values
    neuron = snn.Synaptic(alpha, beta, threshold=2.0, reset_mechanism=reset, reset_delay=delay)
    graph = check(neuron, tmp_path, 2)
    assert types_of(graph)["neuron"] == "CubaLIF"


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("options", [{"R": 1, "C": 4}, {"R": 2.0, "C": 4.0}, {"R": 1, "C": 1}])
def test_lapicque(options, reset, tmp_path):
    check(snn.Lapicque(threshold=0.5, reset_mechanism=reset, **options), tmp_path)


def test_lapicque_on_ordinary_numbers_is_close(tmp_path):
    neuron = snn.Lapicque(beta=0.9, threshold=0.3)
    graph = bridge.to_ir(Loop(neuron), spikes(2, 1, 6))
    node = graph.nodes["neuron"]
    decay = 1 - neuron.time_step / (neuron.R * neuron.C)
    assert np.float32(1 - 1 / node.tau) == decay.numpy()


@pytest.mark.grid(2)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("shape", ["all to all", "one to one", "one to one, vector"])
@pytest.mark.parametrize("beta", [0.75, 1.0])
def test_rleaky(beta, shape, delay, reset, tmp_path):
    options: Any = {
        "all to all": {"linear_features": HIDDEN},
        "one to one": {"all_to_all": False, "V": 0.5},
        "one to one, vector": {"all_to_all": False, "V": vector(0.5, -1.0, 0.25)},
    }[shape]
    neuron = snn.RLeaky(beta, threshold=2.0, reset_mechanism=reset, reset_delay=delay, **options)
    # snnTorch adds input and recurrence to the decayed membrane one after the other, a graph adds
    # their sum: the same wherever no sum is rounded, which beta = 1 sees to.
    graph = check(neuron, tmp_path, 2, strong=0.5, exact=beta == 1)
    assert graph.allow_cycles
    assert ("neuron", "neuron.recurrent") in graph.feedback_edges()
    assert graph.feedback == []


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("options", [{"linear_features": HIDDEN}, {"all_to_all": False, "V": 0.5}])
def test_rsynaptic(options, reset, tmp_path):
    neuron = snn.RSynaptic(0.5, 0.75, threshold=2.0, reset_mechanism=reset, **options)
    check(neuron, tmp_path, 3, strong=0.5, exact=False)


def test_rleaky_over_a_feature_map(tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3, padding=1)
            self.lif = snn.RLeaky(0.5, conv2d_channels=2, kernel_size=3)

        def forward(self, x):
            spk, mem, out = None, None, []
            for x_t in x:
                spk, mem = self.lif(self.conv(x_t), spk, mem)
                out.append(spk)
            return torch.stack(out)

    model = dyadic(Net(), 1.0)
    xs = spikes(50, 2, 1, 4, 4)
    executor = there_and_back(model, xs[:3], tmp_path)
    assert same(executor.run(xs)[0], model(xs).detach())
    assert types_of(executor.graph)["lif.recurrent"] == "Conv2d"


def test_alpha_without_reset(tmp_path):
    neuron = snn.Alpha(0.75, 0.5, threshold=0.25, reset_mechanism="none")
    model = dyadic(Loop(neuron, IN, HIDDEN, 3), 1.0)
    xs = spikes(20, B, IN)
    executor = there_and_back(model, xs[:3], tmp_path)
    wanted = model(xs)[0].detach()
    # tau_alpha is no dyadic number: its products round alike in both.
    assert same(executor.run(xs)[0], wanted)
    assert wanted.any()


@pytest.mark.parametrize("factor", [0.5, 2.0, vector(1.0, 0.25)])
def test_graded_spikes_become_a_scale(factor, tmp_path):
    neuron = snn.Leaky(0.5, graded_spikes_factor=factor, reset_delay=False)
    graph = check(neuron, tmp_path)
    assert types_of(graph)["neuron.graded_spikes_factor"] == "Scale"


def test_a_threshold_per_column_is_not_taken_for_channels(tmp_path):
    """torch lines (W,) up with the last axis, a graph (C,) with the first."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 3, 1)
            self.lif = snn.Leaky(0.5, threshold=torch.tensor([0.25, 1.0, 4.0]))

        def forward(self, x):
            mem, out = None, []
            for x_t in x:
                spk, mem = self.lif(self.conv(x_t), mem)
                out.append(spk)
            return torch.stack(out)

    model = dyadic(Net())
    xs = spikes(50, 2, 1, 3, 3)
    executor = there_and_back(model, xs[:3], tmp_path)
    assert executor.graph.nodes["lif"].v_threshold.shape == (1, 1, 3)
    assert same(executor.run(xs)[0], model(xs).detach())


@pytest.mark.parametrize("beta", [0.9, 0.95, 1 / 3, 0.999999, 1e-3])
def test_any_float32_beta_is_folded_bit_for_bit(beta):
    graph = bridge.to_ir(Loop(snn.Leaky(beta)), spikes(2, 1, 6))
    node = graph.nodes["neuron"]
    assert np.float32(1 - 1 / node.tau[0]) == np.float32(beta)
    assert np.float32(node.r[0] / node.tau[0]) == 1


@pytest.mark.parametrize("beta", [0.9, 0.95, 0.7, 0.5])
def test_double_beta_is_folded_bit_for_bit(beta):
    model = Loop(snn.Leaky(torch.tensor(beta, dtype=torch.float64))).double()
    node = bridge.to_ir(model, spikes(2, 1, 6).double()).nodes["neuron"]
    assert 1 - 1 / node.tau[0] == beta


# Hidden states, membranes, node_map ------------------------------------------------------------


@pytest.mark.parametrize("output", [True, False])
def test_sequential_with_hidden_states(output, tmp_path):
    model = nn.Sequential(
        nn.Linear(IN, HIDDEN),
        snn.Leaky(0.5, init_hidden=True),
        nn.Linear(HIDDEN, 4),
        snn.Leaky(0.75, init_hidden=True, output=output),
    )
    dyadic(model)
    xs = spikes(T, B, IN)
    executor = there_and_back(model, xs[0], tmp_path)
    utils.reset(model)
    results = [model(x) for x in xs]
    wanted = torch.stack([r[0] if output else r for r in results]).detach()
    assert same(executor.run(xs)[0], wanted)


def test_the_export_leaves_hidden_states_alone():
    model: Any = nn.Sequential(nn.Linear(IN, 4), snn.Leaky(0.5, init_hidden=True))
    x = spikes(B, IN)
    model(x)
    kept = model[1].mem.clone()
    model.train()
    bridge.to_ir(model, spikes(1, IN))
    assert same(model[1].mem, kept)
    assert model.training
    assert model[1].training


def test_hidden_states_over_time(tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.lif = nn.Linear(IN, 4), snn.Leaky(0.5, init_hidden=True)

        def forward(self, x):
            self.lif.reset_mem()
            return torch.stack([self.lif(self.fc(x_t)) for x_t in x])

    model = dyadic(Net())
    xs = spikes(T, B, IN)
    executor = there_and_back(model, xs[:3], tmp_path)
    assert same(executor.run(xs)[0], model(xs).detach())


def test_the_membrane_without_reset_is_an_output(tmp_path):
    class Regression(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(IN, 4)
            self.li = snn.Leaky(0.5, reset_mechanism="none")

        def forward(self, x):
            mem, out = None, []
            for x_t in x:
                _, mem = self.li(self.fc(x_t), mem)
                out.append(mem)
            return torch.stack(out)

    model = dyadic(Regression())
    xs = spikes(20, B, IN)
    executor = there_and_back(model, xs[:3], tmp_path)
    assert types_of(executor.graph)["li"] == "LI"
    assert same(executor.run(xs)[0], model(xs).detach())


def test_membrane_and_spikes_both_used(tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.li, self.fc = snn.Synaptic(0.5, 0.75, reset_mechanism="none"), nn.Linear(IN, 4)

        def forward(self, x):
            state, out = (), []
            for x_t in x:
                spk, *state = self.li(x_t, *state)
                out.append(self.fc(state[-1] * 0.5 + spk))
            return torch.stack(out)

    model = dyadic(Net())
    xs = spikes(20, B, IN)
    executor = there_and_back(model, xs[:3], tmp_path)
    assert torch.allclose(executor.run(xs)[0], model(xs), atol=1e-5)
    assert types_of(executor.graph)["li.spk"] == "Threshold"


@pytest.mark.grid(2)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("kind", ["Leaky", "integrating", "Synaptic"])
def test_node_map_gives_snntorch_back(kind, delay, reset, tmp_path):
    options = {"threshold": vector(1.0, 1.5), "reset_mechanism": reset, "reset_delay": delay}
    neuron = {
        "Leaky": lambda: snn.Leaky(vector(0.5, 0.75), **options),
        "integrating": lambda: snn.Leaky(1.0, **options),
        "Synaptic": lambda: snn.Synaptic(0.5, 0.75, **options),
    }[kind]()
    states = 2 if kind == "Synaptic" else 1
    model = dyadic(Loop(neuron, IN, HIDDEN, states))
    xs = spikes(50, B, IN)
    graph = bridge.to_ir(model, xs[:2])
    executor = bridge.ir_to_torch(graph, node_map=node_map)
    assert type(executor.node("neuron")) is type(neuron)
    assert same(executor.run(xs)[0].detach(), model(xs)[0].detach())
    assert bridge.to_ir(executor, xs[0]).difference(graph) == []
    executor.node("neuron").threshold += 1
    changed = bridge.to_ir(executor, xs[0])
    assert [line.split(":")[1] for line in changed.difference(graph)] == [" v_threshold"]


@pytest.mark.parametrize(
    "changes",
    [
        {"fires_at": "ge"},
        {"reset": "value", "v_reset": np.ones(1)},
        {"reset": "hold", "reset_delay": True},
        {"reset": "subtract"},
        {"r": np.ones(1)},
        {"v_leak": np.ones(1)},
        {"v_threshold": -np.ones(1)},
    ],
)
def test_node_map_leaves_the_rest_to_the_default(changes):
    one = np.ones(1)
    node = ir.LIF(2 * one, 2 * one, 0 * one, one, reset="zero", fires_at="gt")
    assert isinstance(node_map(node), snn.Leaky)
    assert node_map(node.replace(**changes)) is None


# Neurons that no primitive says: followed through their own code ----------------------------------


def twice_before(*args, **options):
    class Twice(snn.Leaky):
        """A membrane of its own."""

        def _base_state_function(self, input_):
            return super()._base_state_function(2 * input_)

    return Twice(*args, **options)


def twice_forward(*args, **options):
    class Twice(snn.Leaky):
        """A forward of its own."""

        def forward(self, input_, mem=None):
            return super().forward(2 * input_, mem)

    return Twice(*args, **options)


def adaptive(*args, **options):
    class Adaptive(snn.Leaky):
        """A second state."""

        def forward(self, input_, mem=None, adaptation=None):
            adaptation = torch.zeros_like(input_) if adaptation is None else adaptation
            spk, mem = super().forward(input_ - adaptation, mem)
            return spk, mem, 0.5 * adaptation + spk

    return Adaptive(*args, **options)


def with_reset(neuron, mechanism):
    """snnTorch goes on with the old one where it is delayed, and takes the new one where not."""
    neuron.reset_mechanism = mechanism
    return neuron


def held(mem):
    return torch.clamp(mem, -1.5, 1.5)


def rounded(mem):
    return torch.round(mem * 8) / 8


FOLLOWED = {
    "state_quant, the identity": lambda: snn.Leaky(0.5, state_quant=lambda mem: mem),
    "state_quant, clamped": lambda: snn.Leaky(0.5, state_quant=held),
    "state_quant, rounded": lambda: snn.Leaky(0.5, state_quant=rounded),
    "a reset changed afterwards": lambda: with_reset(snn.Leaky(0.5), "zero"),
    "a reset changed afterwards, at once": lambda: with_reset(
        snn.Leaky(0.5, reset_delay=False), "zero"
    ),
    "a membrane of its own": lambda: twice_before(0.5),
    "a forward of its own": lambda: twice_forward(0.5),
    "beta near 0": lambda: snn.Leaky(1e-12),
    "beta 1 for some": lambda: snn.Leaky(vector(0.5, 1.0)),
    "Lapicque that swings": lambda: snn.Lapicque(R=1, C=0.25),
    "negative threshold, zero": lambda: snn.Leaky(0.5, threshold=-0.5, reset_mechanism="zero"),
    "negative threshold, zero, at once": lambda: snn.Leaky(
        0.5, threshold=-0.5, reset_mechanism="zero", reset_delay=False
    ),
    "a surrogate of the user's": lambda: snn.Leaky(
        0.5, spike_grad=lambda u: torch.where(u > -0.25, 1.0, 0.0)
    ),
    "a surrogate with a window": lambda: snn.Leaky(
        0.5, spike_grad=lambda u: ((u > 0) & (u < 1)).float()
    ),
    "RLeaky, all the same": lambda: snn.RLeaky(vector(0.5, 1.0), linear_features=HIDDEN),
}
ANALOG = {
    "a surrogate that is no step": lambda: snn.Leaky(0.5, spike_grad=torch.sigmoid),
    "another that is no step": lambda: snn.Leaky(0.5, spike_grad=torch.relu),
}
SEVERAL = {
    "Synaptic, alpha 1": (2, lambda: snn.Synaptic(1.0, 0.5)),
    "Synaptic, beta 1": (2, lambda: snn.Synaptic(0.5, 1.0)),
    "Synaptic, both 1 for some": (2, lambda: snn.Synaptic(vector(0.5, 1.0), vector(1.0, 0.75))),
    "Adaptive": (2, lambda: adaptive(0.5)),
    **{
        f"Alpha, {kind}": (3, partial(snn.Alpha, 0.75, 0.5, reset_mechanism=kind))
        for kind in ("subtract", "zero")
    },
    **{
        f"SLSTM, {kind}": (
            2,
            partial(snn.SLSTM, HIDDEN, HIDDEN, threshold=0.125, reset_mechanism=kind),
        )
        for kind in RESETS
    },
}


class Sent(Loop):
    """The loop, without its membranes."""

    def forward(self, x):
        return super().forward(x)[0]


class Kept(Loop):
    """The loop's membranes, without its spikes."""

    def forward(self, x):
        return super().forward(x)[1]


# The gate that would reset a membrane once more, where its reset already was, never opens.
@pytest.mark.filterwarnings("ignore:the proof could not drive")
# What is followed is compared, not what a compiler makes of it.
@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("name", [*FOLLOWED, *ANALOG, *SEVERAL])
def test_a_neuron_is_followed_through_its_own_code(name, tmp_path):
    states, make = SEVERAL.get(name, (1, FOLLOWED.get(name) or ANALOG.get(name)))
    model = dyadic(Sent(make(), IN, HIDDEN, states), 2.0)
    # A spike is the same or another.
    _, wanted = equal(model, at_once, spikes(40, 5, IN), tmp_path, exact=name not in ANALOG)
    assert 0 < wanted.count_nonzero() < wanted.numel() or name in ANALOG


HIDDEN_STATES = {
    "Alpha": lambda **o: snn.Alpha(0.75, 0.5, threshold=0.25, **o),
    "Lapicque": lambda **o: snn.Lapicque(R=2.0, C=4.0, threshold=0.5, **o),
    "Leaky": lambda **o: snn.Leaky(0.5, **o),
    "Leaky, learned": lambda **o: snn.Leaky(0.5, learn_beta=True, learn_threshold=True, **o),
    "Leaky, at once": lambda **o: snn.Leaky(0.5, reset_delay=False, **o),
    "Leaky, its own membrane": lambda **o: twice_before(0.5, **o),
    "Leaky, its own forward": lambda **o: twice_forward(0.5, **o),
    "Synaptic": lambda **o: snn.Synaptic(0.5, 0.75, **o),
    "RLeaky": lambda **o: snn.RLeaky(0.5, linear_features=HIDDEN, **o),
    "RLeaky, one to one": lambda **o: snn.RLeaky(0.5, all_to_all=False, V=-0.5, **o),
    "RSynaptic": lambda **o: snn.RSynaptic(0.5, 0.75, linear_features=HIDDEN, **o),
    "SLSTM": lambda **o: snn.SLSTM(HIDDEN, HIDDEN, threshold=0.125, **o),
}


@pytest.mark.grid(1)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("name", HIDDEN_STATES)
def test_every_neuron_with_a_hidden_state(name, reset, tmp_path):
    neuron = HIDDEN_STATES[name](reset_mechanism=reset, init_hidden=True)
    model = dyadic(nn.Sequential(nn.Linear(IN, HIDDEN), neuron))
    _, wanted = equal(model, stepwise, spikes(40, 5, IN), tmp_path, reset=utils.reset)
    assert 0 < wanted.count_nonzero() < wanted.numel()


# The gate that would reset a membrane once more, where its reset already was, never opens.
@pytest.mark.grid(2)
@pytest.mark.filterwarnings("ignore:the proof could not drive")
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("kind", ["Leaky", "Synaptic", "RLeaky"])
def test_a_membrane_with_a_reset_is_an_output(kind, delay, reset, tmp_path):
    options = {"reset_mechanism": reset, "reset_delay": delay}
    neuron, states = {
        "Leaky": lambda: (snn.Leaky(0.5, **options), 1),
        "Synaptic": lambda: (snn.Synaptic(0.5, 0.75, **options), 2),
        "RLeaky": lambda: (snn.RLeaky(0.5, linear_features=HIDDEN, **options), 2),
    }[kind]()
    model = dyadic(Kept(neuron, IN, HIDDEN, states), 2.0 / states)
    xs = spikes(40, 5, IN)
    equal(model, at_once, xs, tmp_path, exact=False)
    assert Loop.forward(model, xs)[0].any()


def test_a_membrane_that_is_returned_as_a_state_is_no_output(tmp_path):
    model = dyadic(Loop(snn.Leaky(0.75), IN, HIDDEN))
    xs = spikes(40, 5, IN)
    executor = there_and_back(model, spikes(6, 3, IN), tmp_path)
    spk, mem = (t.detach() for t in model(xs))
    found, state = executor.run(xs)
    assert list(executor.graph.outputs()) == ["output"]
    assert torch.equal(found, spk)
    torch.testing.assert_close(state["neuron"][0], mem[-1], rtol=0, atol=1e-5)
    assert 0 < spk.count_nonzero() < spk.numel()


@pytest.mark.parametrize("reset", ["none", "zero"])
@pytest.mark.parametrize("threshold", [float("inf"), torch.tensor(float("inf"))])
def test_a_readout_whose_threshold_is_infinite(threshold, reset, tmp_path):
    """As snnTorch's tutorials on regression write it: what never fires only integrates."""
    neuron = snn.Leaky(0.75, threshold=threshold, reset_mechanism=reset)
    model = dyadic(Kept(neuron, IN, HIDDEN))
    graph, _ = equal(model, at_once, spikes(40, 5, IN), tmp_path, exact=False)
    assert types_of(graph)["neuron"] == "LI"


def test_a_beta_below_0_is_clamped_with_a_warning_and_a_note(tmp_path):
    model = dyadic(Sent(snn.Leaky(-0.5), IN, HIDDEN), 2.0)
    with pytest.warns(GraphWarning, match=CLAMPS.format(-0.5)):
        graph, wanted = equal(model, at_once, spikes(40, 5, IN), tmp_path)
    assert graph.nodes["neuron"].metadata == {"clamped_beta": -0.5}
    assert 0 < wanted.count_nonzero() < wanted.numel()


def test_a_beta_above_1_for_some_is_clamped_with_a_warning(tmp_path):
    model = dyadic(Sent(snn.Leaky(vector(0.5, 1.5)), IN, HIDDEN), 2.0)
    with pytest.warns(GraphWarning, match=CLAMPS.format(1.5)):
        _, wanted = equal(model, at_once, spikes(40, 5, IN), tmp_path)
    assert 0 < wanted.count_nonzero() < wanted.numel()


@pytest.mark.parametrize("beta", [1.25, vector(1.5, 0.75, -0.25)])
def test_a_beta_that_training_pushed_out_of_its_range(beta, tmp_path):
    """snnTorch clamps it to 0 and 1 in every step."""
    neuron = snn.Leaky(0.5, learn_beta=True, threshold=2.0)
    neuron.beta.data = torch.as_tensor(beta)
    model = dyadic(Sent(neuron, IN, HIDDEN))
    if neuron.beta.numel() == 1:
        with pytest.warns(UserWarning, match="beta"):
            bridge.to_ir(model, spikes(2, 1, IN))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*beta.*")
        _, wanted = equal(model, at_once, spikes(40, 5, IN), tmp_path)
    assert 0 < wanted.count_nonzero() < wanted.numel()


@pytest.mark.parametrize("reset", RESETS)
def test_a_spiking_lstm_of_another_width_than_its_input(reset, tmp_path):
    """snnTorch puts its state to rest at every step then: the gates get a constant."""
    neuron = snn.SLSTM(HIDDEN, 5, threshold=0.125, reset_mechanism=reset)
    model = dyadic(Sent(neuron, IN, HIDDEN, 2), 1.0)
    graph, wanted = equal(model, at_once, spikes(40, 5, IN), tmp_path)
    assert 0 < wanted.count_nonzero() < wanted.numel()
    assert not any(isinstance(node, ir.Delay) for node in graph.nodes.values())


@pytest.mark.grid(1)
@pytest.mark.parametrize("pool", [{}, {"max_pool": 2}, {"avg_pool": 2}])
@pytest.mark.parametrize("reset", RESETS)
def test_a_spiking_lstm_over_feature_maps(reset, pool, tmp_path):
    model = snn.SConv2dLSTM(
        1, 2, 3, init_hidden=True, threshold=0.125, reset_mechanism=reset, **pool
    )
    dyadic(model, 1.0)
    _, wanted = equal(model, stepwise, spikes(40, 2, 1, 4, 4), tmp_path, reset=utils.reset)
    assert 0 < wanted.count_nonzero() < wanted.numel()


class Delta(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.fc = nn.Linear(IN, HIDDEN)
        self.lif = snn.DeltaLeaky(beta=0.75, delta_threshold=1.0, init_hidden=hidden)
        self.hidden = hidden

    def forward(self, x):
        state, out = self.lif.reset_mem(), []
        for x_t in x:
            spk, state = self.lif(self.fc(x_t)) if self.hidden else self.lif(self.fc(x_t), state)
            out.append(spk)
        return torch.stack(out)


@pytest.mark.parametrize("hidden", [True, False])
def test_delta_leaky(hidden, tmp_path):
    model = dyadic(Delta(hidden))
    _, wanted = equal(model, at_once, spikes(40, 5, IN), tmp_path)
    assert 0 < wanted.count_nonzero() < wanted.numel()


WHOLE = {
    "LeakyParallel, a beta": lambda: snn.LeakyParallel(IN, HIDDEN, beta=0.75),
    "LeakyParallel, a beta each": lambda: snn.LeakyParallel(
        IN, HIDDEN, beta=torch.linspace(0.25, 0.875, HIDDEN)
    ),
    "LeakyParallel, drawn": lambda: snn.LeakyParallel(IN, HIDDEN),
    "LeakyParallel, all to all": lambda: snn.LeakyParallel(IN, HIDDEN, weight_hh_enable=True),
    "StateLeaky": lambda: nn.Sequential(nn.Linear(IN, HIDDEN), snn.StateLeaky(0.75, HIDDEN)),
    "StateLeaky, a beta each": lambda: nn.Sequential(
        nn.Linear(IN, HIDDEN), snn.StateLeaky(torch.linspace(0.25, 0.875, HIDDEN), HIDDEN)
    ),
    "LinearLeaky": lambda: snn.LinearLeaky(0.75, IN, HIDDEN),
    "LinearLeaky without bias": lambda: snn.LinearLeaky(0.75, IN, HIDDEN, bias=False),
}


@pytest.mark.parametrize("spikes_too", [False, True])
def test_the_membrane_of_a_linear_leaky(spikes_too):
    class Membrane(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = snn.LinearLeaky(0.75, IN, HIDDEN)

        def forward(self, xs):
            spk, mem = self.inner(xs)
            return 2 * mem + spk if spikes_too else 2 * mem

    torch.manual_seed(2)
    model = Membrane()
    xs = 8 * torch.rand(30, 3, IN)
    with torch.no_grad():
        wanted = model(xs)
    graph = bridge.to_ir(model, torch.rand(5, 2, IN))
    torch.testing.assert_close(bridge.ir_to_torch(graph).run(xs)[0], wanted, rtol=1e-5, atol=1e-5)
    assert len(wanted.unique()) > 20


@pytest.mark.parametrize("name", WHOLE)
def test_a_neuron_of_whole_sequences(name, tmp_path):
    torch.manual_seed(2)
    module = WHOLE[name]()

    class Spikes(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = module

        def forward(self, xs):
            found = self.inner(xs)
            return found[0] if isinstance(found, tuple) else found

    model = Spikes()
    with torch.no_grad():
        for n, p in model.named_parameters():
            if "weight_ih" in n or n.endswith(("weight", "bias")):
                p.copy_(torch.round(p * 8 * 256) / 256)
    # These take their sums over time in another order than a step does: thresholds off the grid.
    xs = spikes(40, 5, IN) * 0.8125
    _, wanted = equal(model, at_once, xs, tmp_path)
    assert 0 < wanted.count_nonzero() < wanted.numel()


SURROGATES = ["atan", "fast_sigmoid", "sigmoid", "triangular", "straight_through_estimator"]


@pytest.mark.parametrize("name", SURROGATES)
def test_a_surrogate_of_snntorch_fires_as_any_other(name, tmp_path):
    neuron = snn.Leaky(0.5, spike_grad=getattr(surrogate, name)())
    model = dyadic(Sent(neuron, IN, HIDDEN))
    graph, wanted = equal(model, at_once, spikes(40, 5, IN), tmp_path)
    assert types_of(graph)["neuron"] == "LIF"
    assert 0 < wanted.count_nonzero() < wanted.numel()


def test_a_grade_of_zero_sends_nothing(tmp_path):
    model = dyadic(Sent(snn.Leaky(0.5, graded_spikes_factor=0.0), IN, HIDDEN))
    executor = there_and_back(model, spikes(6, 3, IN), tmp_path)
    assert not executor.run(spikes(40, 5, IN))[0].any()


class Static(nn.Module):
    """snnTorch's tutorials: one image, held still over a fixed number of steps."""

    def __init__(self, collect):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(IN, HIDDEN), snn.Leaky(0.75)
        self.fc2, self.lif2 = nn.Linear(HIDDEN, 4), snn.Leaky(0.5)
        self.collect = collect

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        sent = []
        for _ in range(25):
            spk1, mem1 = self.lif1(self.fc1(x), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            sent.append(spk2)
        return self.collect(torch.stack(sent, dim=0))


@pytest.mark.parametrize(
    "collect",
    [lambda s: s, lambda s: s.sum(0), lambda s: s.mean(0), lambda s: s.max(0)[0]],
    ids=["all", "sum", "mean", "max"],
)
def test_one_image_over_many_steps(collect, tmp_path):
    model = dyadic(Static(collect), 2.0)
    x = torch.randint(0, 257, (5, IN), generator=torch.Generator().manual_seed(4)) / 256
    executor = there_and_back(model, torch.rand(2, IN), tmp_path)
    assert executor.graph.inputs()["input"].hold == 25
    wanted = model(x).detach()
    torch.testing.assert_close(executor.run(x)[0], wanted, rtol=1e-6, atol=1e-6)
    assert wanted.any()


# Refusals --------------------------------------------------------------------------------------


def refused(neuron, states=1, x=None):
    with pytest.raises(UnsupportedError) as error:
        bridge.to_ir(Loop(neuron, IN, HIDDEN, states), spikes(2, 1, IN) if x is None else x)
    message = str(error.value)
    assert "'neuron'" in message
    assert "export_helpers.py:" in message
    return message


@pytest.mark.parametrize("reset", RESETS)
def test_inhibition(reset, tmp_path):
    """The neuron whose membrane is highest fires alone; of two that are equal, the first."""
    with pytest.warns(UserWarning, match="Inhibition"):
        neuron = snn.Leaky(0.5, inhibition=True, reset_mechanism=reset)
    model = dyadic(Sent(neuron, IN, HIDDEN))
    with torch.no_grad():
        for p in model.fc.parameters():
            p[HIDDEN // 2 :] = p[: HIDDEN // 2]
    _, wanted = equal(model, at_once, spikes(40, 5, IN), tmp_path)
    assert (wanted.sum(-1) <= 1).all()
    assert wanted.sum(-1).mean() > 0.25
    assert not wanted[0, :, HIDDEN // 2 :].any()


def test_rsynaptic_without_delay_does_not_run_in_snntorch_itself():
    neuron = snn.RSynaptic(0.5, 0.5, all_to_all=False, reset_delay=False)
    with pytest.raises(TypeError):
        Loop(neuron, IN, HIDDEN, 3)(spikes(2, 1, IN))
    with pytest.raises(UnsupportedError) as error:
        bridge.to_ir(Loop(neuron, IN, HIDDEN, 3), spikes(2, 1, IN))
    assert "rsynaptic.py:" in str(error.value)


def test_threshold_that_differs_between_samples_is_refused():
    message = refused(snn.Leaky(0.5, threshold=torch.rand(2, HIDDEN)), x=spikes(2, 2, IN))
    assert "differs from sample to sample" in message


def test_to_ir_verifies_if_asked(tmp_path):
    model = dyadic(Loop(snn.Leaky(0.5)))
    xs = spikes(20, 2, IN)
    graph = bridge.to_ir(model, xs[:2], verify=xs)
    assert graph.equals(bridge.to_ir(model, xs[:2]))
    wrong = {snn.Leaky: lambda m: ir.LIF([2.0], [2.0], [0.0], [1.0])}
    with pytest.raises(bridge.VerificationError):
        bridge.to_ir(model, xs[:2], wrong, verify=xs)


def test_the_wrapper_is_to_ir():
    from snntorch.export_t1cir import export_to_ir

    model = nn.Sequential(nn.Linear(3, 2))
    graph = export_to_ir(model, torch.zeros(1, 3), spiking=True, weight_bits=4)
    assert graph.nodes["0"].weight_bits == 4
