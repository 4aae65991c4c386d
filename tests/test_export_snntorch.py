"""snnTorch's neurons keep their meaning: 200 steps on a dyadic grid, not one number different."""

import itertools
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch import surrogate, utils
from torch import nn

from t1c.bridge.frameworks.snntorch import node_map
from t1c.ir.errors import UnsupportedError

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

T, B, IN, HIDDEN = 200, 3, 6, 8
RESETS = ["subtract", "zero", "none"]


def vector(*values):
    return torch.tensor(list(itertools.islice(itertools.cycle(values), HIDDEN)))


PARAMETERS = {
    "scalar": {"beta": 0.75, "threshold": 1.5},
    "vector": {"beta": vector(0.5, 0.75, 0.875), "threshold": vector(0.5, 1.0, 2.25)},
    "learned": {"beta": 0.5, "threshold": 1.0, "learn_beta": True, "learn_threshold": True},
    "no leak": {"beta": 1.0, "threshold": 3.0},
    "no memory": {"beta": 0.0, "threshold": 0.5},
    "clamped": {"beta": 1.5, "threshold": 3.0},
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


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS)
def test_leaky(parameters, delay, reset, tmp_path):
    neuron = snn.Leaky(**parameters, reset_mechanism=reset, reset_delay=delay)
    graph = check(neuron, tmp_path, strong=1.0 if reset == "none" else 2.0)
    assert types_of(graph)["neuron"] == ("IF" if (neuron.beta >= 1).all() else "LIF")
    assert graph.nodes["neuron"].fires_at == "gt"


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


# Refusals --------------------------------------------------------------------------------------


def refused(neuron, states=1, x=None):
    with pytest.raises(UnsupportedError) as error:
        bridge.to_ir(Loop(neuron, IN, HIDDEN, states), spikes(2, 1, IN) if x is None else x)
    message = str(error.value)
    assert "'neuron'" in message
    assert "export_helpers.py:" in message
    return message


def test_inhibition_is_refused_by_name():
    with pytest.warns(UserWarning, match="Inhibition"):
        neuron = snn.Leaky(0.5, inhibition=True)
    assert "inhibition=True" in refused(neuron)


def test_state_quant_is_refused_by_name():
    assert "state_quant" in refused(snn.Leaky(0.5, state_quant=lambda mem: mem))


def test_a_reset_that_was_changed_afterwards_is_refused():
    """snnTorch goes on with the old one where it is delayed, and takes the new one where not."""
    neuron = snn.Leaky(0.5)
    neuron.reset_mechanism = "zero"
    assert "was set after the neuron was made" in refused(neuron)


def test_a_subclass_with_a_membrane_of_its_own_is_refused():
    class Twice(snn.Leaky):
        def _base_state_function(self, input_):
            return super()._base_state_function(2 * input_)

    assert "a Twice with _base_state_function() of its own" in refused(Twice(0.5))


def test_to_ir_verifies_if_asked(tmp_path):
    model = dyadic(Loop(snn.Leaky(0.5)))
    xs = spikes(20, 2, IN)
    graph = bridge.to_ir(model, xs[:2], verify=xs)
    assert graph.equals(bridge.to_ir(model, xs[:2]))
    wrong = {snn.Leaky: lambda m: ir.LIF([2.0], [2.0], [0.0], [1.0])}
    with pytest.raises(bridge.VerificationError):
        bridge.to_ir(model, xs[:2], wrong, verify=xs)


def test_a_surrogate_that_is_no_step_is_refused():
    assert "spike_grad" in refused(snn.Leaky(0.5, spike_grad=torch.sigmoid))
    bridge.to_ir(Loop(snn.Leaky(0.5, spike_grad=surrogate.fast_sigmoid())), spikes(2, 1, 6))


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_alpha_with_a_reset_is_refused(reset):
    assert f"reset_mechanism='{reset}'" in refused(snn.Alpha(0.75, 0.5, reset_mechanism=reset), 3)


def test_beta_that_no_tau_gives_is_refused():
    assert "beta = 9.999999960041972e-13" in refused(snn.Leaky(1e-12))


def test_beta_of_one_for_some_is_refused():
    assert "beta is 1 for some neurons" in refused(snn.Leaky(vector(0.5, 1.0)))


@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_synapse_that_forgets_nothing_is_refused(name):
    values = {"alpha": 0.5, "beta": 0.5} | {name: 1.0}
    assert f"{name} = 1 in a Synaptic" in refused(snn.Synaptic(**values), 2)


@pytest.mark.parametrize(
    ("neuron", "shape"),
    [
        (snn.SLSTM(4, 4, init_hidden=True), (1, 4)),
        (snn.SConv2dLSTM(1, 1, 3, init_hidden=True), (1, 1, 4, 4)),
        (snn.LeakyParallel(4, 4), (2, 1, 4)),
    ],
    ids=["SLSTM", "SConv2dLSTM", "LeakyParallel"],
)
def test_another_neuron_is_refused_by_name(neuron, shape):
    with pytest.raises(UnsupportedError, match=f"snnTorch's {type(neuron).__name__}"):
        bridge.to_ir(nn.Sequential(neuron), spikes(*shape))


def test_a_subclass_with_a_forward_of_its_own_is_refused_by_name():
    class Twice(snn.Leaky):
        def forward(self, input_, mem=None):
            return super().forward(2 * input_, mem)

    with pytest.raises(UnsupportedError, match="snnTorch's Twice"):
        bridge.to_ir(nn.Sequential(Twice(0.5, init_hidden=True)), spikes(1, 4))


def test_rsynaptic_without_delay_is_refused():
    neuron = snn.RSynaptic(0.5, 0.5, all_to_all=False, reset_delay=False)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.neuron = neuron

        def forward(self, x):
            zeros = torch.zeros_like(x)
            return self.neuron(x, zeros, zeros, zeros)

    with pytest.raises(UnsupportedError, match="reset_delay=False in an RSynaptic"):
        bridge.to_ir(Net(), spikes(1, 4))


def test_lapicque_that_swings_is_refused():
    assert "R * C" in refused(snn.Lapicque(R=1, C=0.25))


def test_threshold_that_differs_between_samples_is_refused():
    assert "threshold of shape (2, 8)" in refused(
        snn.Leaky(0.5, threshold=torch.rand(2, HIDDEN)), x=spikes(2, 2, IN)
    )


def test_negative_threshold_with_immediate_zero_is_refused():
    neuron = snn.Leaky(0.5, threshold=-0.5, reset_mechanism="zero", reset_delay=False)
    assert "threshold below 0" in refused(neuron)


def test_zero_grade_is_refused():
    assert "graded_spikes_factor = 0" in refused(snn.Leaky(0.5, graded_spikes_factor=0.0))


def test_the_wrapper_is_to_ir():
    from snntorch.export_t1cir import export_to_ir

    model = nn.Sequential(nn.Linear(3, 2))
    graph = export_to_ir(model, torch.zeros(1, 3), spiking=True, weight_bits=4)
    assert graph.nodes["0"].weight_bits == 4
