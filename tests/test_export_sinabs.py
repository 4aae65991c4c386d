"""sinabs's neurons keep their meaning: against sinabs itself, over 200 steps."""

import re

import pytest
import torch
from torch import nn

from t1c.ir.errors import InputError, UnsupportedError

from .export_helpers import bridge, types_of
from .peers import HIDDEN, IN, B, T, agree, peer

layers, activation = peer("sinabs.layers", "sinabs.activation")

ONCE = {"spike_fn": activation.SingleSpike}
NEURONS = {
    "IAF": lambda: layers.IAF(**ONCE),
    "IAF, MaxSpike(1)": lambda: layers.IAF(spike_fn=activation.MaxSpike(1)),
    "IAF, to zero": lambda: layers.IAF(reset_fn=activation.MembraneReset(), **ONCE),
    "IAF, threshold": lambda: layers.IAF(spike_threshold=torch.tensor(2.5), **ONCE),
    "LIF": lambda: layers.LIF(tau_mem=10.0, **ONCE),
    "LIF, input not normed": lambda: layers.LIF(tau_mem=10.0, norm_input=False, **ONCE),
    "LIF, train_alphas": lambda: layers.LIF(tau_mem=2.0, train_alphas=True, **ONCE),
    "LIF, a tau each": lambda: layers.LIF(tau_mem=torch.arange(1.0, 1 + HIDDEN), **ONCE),
    "LIF, recording": lambda: layers.LIF(tau_mem=3.0, record_states=True, **ONCE),
    "IAF, as it comes": lambda: layers.IAF(),
    "IAF, MaxSpike without a limit": lambda: layers.IAF(spike_fn=activation.MaxSpike()),
    "IAF, as from_model makes it": lambda: layers.IAF(min_v_mem=-1.0),
    "IAF, several to zero": lambda: layers.IAF(
        reset_fn=activation.MembraneReset(), spike_threshold=torch.tensor(0.25)
    ),
    "LIF, several": lambda: layers.LIF(
        tau_mem=10.0, norm_input=False, spike_threshold=torch.tensor(0.3)
    ),
    "LIF, bounded": lambda: layers.LIF(tau_mem=10.0, norm_input=False, min_v_mem=-0.25, **ONCE),
    "LIF, a bound each": lambda: layers.LIF(
        tau_mem=4.0, norm_input=False, min_v_mem=-torch.rand(HIDDEN), **ONCE
    ),
    "LIF, synapse": lambda: layers.LIF(tau_mem=4.0, tau_syn=2.0, **ONCE),
    "LIF, synapse, not normed": lambda: layers.LIF(
        tau_mem=4.0, tau_syn=2.0, norm_input=False, **ONCE
    ),
    "ExpLeak": lambda: layers.ExpLeak(tau_mem=3.0),
    "ExpLeak, normed": lambda: layers.ExpLeak(tau_mem=3.0, norm_input=True),
}


@pytest.mark.parametrize("name", NEURONS)
def test_neuron(name, tmp_path):
    """Batch first, as sinabs takes it; its order of operations is a graph's, with two exceptions.

    Those are a synapse, and the way in which it raises a membrane to a bound.
    """
    model = nn.Sequential(nn.Linear(IN, HIDDEN), NEURONS[name]())
    exact = not {"synapse", "bounded", "bound"} & set(re.findall(r"\w+", name))
    graph = agree(model, lambda xs: xs.transpose(0, 1)[:, :4], tmp_path, exact)
    assert list(graph.nodes) == ["input", "0", "1", "output"]


@pytest.mark.parametrize("fixed", [{"batch_size": B}, {"num_timesteps": T}])
def test_a_convolutional_network_with_time_folded_into_the_batch(fixed, tmp_path):
    """The form of sinabs's tutorials, and of what from_torch makes."""
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False),
        layers.IAFSqueeze(**fixed, **ONCE),
        layers.SumPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 10, bias=False),
        layers.LIFSqueeze(tau_mem=5.0, **fixed, **ONCE),
    )
    graph = agree(model, lambda xs: xs.transpose(0, 1).flatten(0, 1), tmp_path, features=(2, 8, 8))
    assert list(types_of(graph).values()) == [
        *("Input", "Conv2d", "IF", "SumPool2d", "Flatten", "Affine", "LIF", "Output")
    ]
    assert model[1].num_timesteps == fixed.get("num_timesteps", -1)


def test_a_layer_repeated_over_time(tmp_path):
    model = nn.Sequential(layers.Repeat(nn.Conv2d(2, 4, 3)), layers.IAF(**ONCE))
    agree(model, lambda xs: xs.transpose(0, 1)[:, :3], tmp_path, features=(2, 4, 4))


def test_one_membrane_by_hand():
    """Fires on the threshold, once, and what is above stays."""
    graph = bridge.to_ir(nn.Sequential(layers.IAF(**ONCE)), torch.zeros(1, 3, 1))
    xs = torch.tensor([1.0, 2.5, 0.0, 0.0]).reshape(4, 1, 1)
    executor = bridge.ir_to_torch(graph, return_state=True)
    assert executor.run(xs)[0].flatten().tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize("reset", [activation.MembraneSubtract(), activation.MembraneReset()])
@pytest.mark.parametrize("tau", [None, 10.0])
def test_several_spikes_and_a_bound_are_those_of_sinabs_bit_for_bit(tau, reset):
    """On a grid, where sinabs's way of raising a membrane rounds nothing."""
    options = {"reset_fn": reset, "min_v_mem": -0.5, "spike_threshold": torch.tensor(0.75)}
    neuron = layers.IAF(**options) if tau is None else layers.LIF(tau, norm_input=False, **options)
    neuron.record_states = True
    xs = torch.randint(-384, 640, (200, 3, HIDDEN), generator=torch.Generator().manual_seed(0))
    xs = (xs / 256).float()
    graph = bridge.to_ir(nn.Sequential(neuron), xs.transpose(0, 1)[:, :4])
    node = graph.nodes["0"]
    assert (node.spikes, node.v_min.tolist()) == ("multiple", [-0.5])
    executor = bridge.ir_to_torch(graph, return_state=True)
    with torch.no_grad():
        expected = neuron(xs.transpose(0, 1)).transpose(0, 1)
        membranes = neuron.recordings["v_mem"].transpose(0, 1)
        found, _ = executor.run(xs)
        state = {}
        for x, y, v in zip(xs, expected, membranes, strict=True):
            out, state = executor(x, state)
            assert torch.equal(out, y)
            # A decay leaves the grid.
            torch.testing.assert_close(state["0"][0], v, rtol=0, atol=0 if tau is None else 1e-6)
    assert torch.equal(found, expected)
    assert expected.max() > 1
    assert (membranes == -0.5).any()


def test_the_batch_that_a_squeezing_layer_fixes_is_told():
    model = nn.Sequential(layers.IAFSqueeze(batch_size=2, **ONCE))
    graph = bridge.to_ir(model, torch.rand(8, IN))
    with pytest.raises(InputError) as error:
        bridge.verify(model, graph, torch.rand(4, 3, IN))
    assert "its modules fix how many" in str(error.value)


# Refusals --------------------------------------------------------------------------------------


def refused(module, sample=None):
    with pytest.raises(UnsupportedError) as error:
        bridge.to_ir(nn.Sequential(module), torch.rand(2, 3, IN) if sample is None else sample)
    message = str(error.value)
    assert "module '0'" in message
    return message


def test_other_ways_of_firing_are_refused():
    assert "max_num_spikes_per_bin=2" in refused(layers.IAF(spike_fn=activation.MaxSpike(2)))
    threshold = torch.tensor(-0.5)
    assert "spike_threshold=-0.5" in refused(layers.IAF(spike_threshold=threshold))


def test_a_bound_of_an_integrator_that_does_not_fire_is_refused():
    assert "min_v_mem=-1 in an ExpLeak" in refused(layers.ExpLeak(2.0, min_v_mem=-1.0))


def test_other_resets_are_refused():
    half = activation.MembraneSubtract(0.5)
    assert "subtract_value=0.5" in refused(layers.IAF(reset_fn=half, **ONCE))
    value = activation.MembraneReset(0.25)
    assert "to every neuron in every step" in refused(layers.IAF(reset_fn=value, **ONCE))


def test_a_synapse_on_an_integrator_is_refused():
    assert "tau_syn in an IAF" in refused(layers.IAF(tau_syn=2.0, **ONCE))


@pytest.mark.parametrize("name", ["ALIF", "LIFRecurrent", "IAFRecurrent"])
def test_another_neuron_is_refused_by_name(name):
    made = {
        "ALIF": lambda: layers.ALIF(2.0, 2.0),
        "LIFRecurrent": lambda: layers.LIFRecurrent(2.0, nn.Linear(IN, IN)),
        "IAFRecurrent": lambda: layers.IAFRecurrent(nn.Linear(IN, IN)),
    }[name]()
    assert f"sinabs's {name}" in refused(made)


def test_two_layouts_in_one_model_are_refused():
    model = nn.Sequential(layers.IAF(**ONCE), layers.IAFSqueeze(batch_size=2, **ONCE))
    with pytest.raises(UnsupportedError, match="different layouts"):
        bridge.to_ir(model, torch.rand(2, 3, IN))
