"""sinabs's neurons keep their meaning: against sinabs itself, over 32 steps."""

import re

import pytest
import torch
from torch import nn

from t1c.ir.errors import InputError, UnsupportedError

from .export_helpers import bridge, dyadic, spikes, types_of
from .peers import HIDDEN, IN, B, T, agree, batch_first, equal, peer

layers, activation, from_torch = peer("sinabs.layers", "sinabs.activation", "sinabs.from_torch")
from_model = from_torch.from_model

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


# Neurons that no primitive says: followed through their own code ----------------------------------


class Square(nn.Linear):
    """Recurrent weights on the grid, weak enough that several spikes at once do not multiply."""

    def __init__(self):
        super().__init__(HIDDEN, HIDDEN)

    def forward(self, x):
        return super().forward(x / 16)


HALF = activation.MembraneSubtract(0.5)
FOLLOWED = {
    "IAF, at most two": lambda: layers.IAF(spike_fn=activation.MaxSpike(2)),
    "IAF, at most two, bounded": lambda: layers.IAF(
        spike_fn=activation.MaxSpike(2), min_v_mem=-0.5
    ),
    "IAF, half subtracted": lambda: layers.IAF(reset_fn=HALF, **ONCE),
    "IAF, half subtracted, several": lambda: layers.IAF(reset_fn=HALF),
    "IAF, to a value": lambda: layers.IAF(reset_fn=activation.MembraneReset(0.25), **ONCE),
    "IAF, synapse": lambda: layers.IAF(tau_syn=2.0, **ONCE),
    "IAF, negative threshold": lambda: layers.IAF(spike_threshold=torch.tensor(-0.5), **ONCE),
    "LIF, synapse, several, bounded": lambda: layers.LIF(
        tau_mem=4.0, tau_syn=2.0, norm_input=False, min_v_mem=-1.0
    ),
    "LIF, synapse, train_alphas": lambda: layers.LIF(
        tau_mem=4.0, tau_syn=2.0, train_alphas=True, norm_input=False, **ONCE
    ),
    "ALIF": lambda: layers.ALIF(2.0, 2.0),
    "ALIF, synapse": lambda: layers.ALIF(4.0, 2.0, tau_syn=2.0),
    "ALIF, bounded": lambda: layers.ALIF(4.0, 2.0, min_v_mem=-0.5),
    "ALIF, adapting strongly": lambda: layers.ALIF(4.0, 8.0, adapt_scale=4.0, norm_input=False),
    "IAFRecurrent": lambda: layers.IAFRecurrent(Square()),
    "IAFRecurrent, once": lambda: layers.IAFRecurrent(Square(), **ONCE),
    "LIFRecurrent": lambda: layers.LIFRecurrent(2.0, Square()),
    "LIFRecurrent, once": lambda: layers.LIFRecurrent(2.0, Square(), **ONCE),
    "LIFRecurrent, synapse, bounded": lambda: layers.LIFRecurrent(
        4.0, Square(), tau_syn=2.0, min_v_mem=-1.0, **ONCE
    ),
    "LIFRecurrent, two layers back": lambda: layers.LIFRecurrent(
        2.0, nn.Sequential(nn.Linear(HIDDEN, 3), nn.Linear(3, HIDDEN)), **ONCE
    ),
    "ALIFRecurrent": lambda: layers.ALIFRecurrent(2.0, 2.0, Square()),
}
VALUES = {
    "ExpLeak, bounded": lambda: layers.ExpLeak(2.0, min_v_mem=-1.0),
    "ExpLeak, train_alphas": lambda: layers.ExpLeak(4.0, train_alphas=True),
}


def at_rest(model):
    for module in model.modules():
        if isinstance(module, layers.StatefulLayer):
            module.reset_states()


# What is followed is compared, not what a compiler makes of it.
@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("name", [*FOLLOWED, *VALUES])
def test_a_neuron_is_followed_through_its_own_code(name, tmp_path):
    make = FOLLOWED.get(name) or VALUES[name]
    model = dyadic(nn.Sequential(nn.Linear(IN, HIDDEN), make()), 2.0)
    _, wanted = equal(
        model, batch_first, spikes(40, 5, IN), tmp_path, exact=name in FOLLOWED, reset=at_rest
    )
    assert 0 < wanted.count_nonzero() < wanted.numel() or name in VALUES
    if "two" in name and "layers" not in name:
        assert wanted.max() == 2


def test_a_negative_threshold_of_several_spikes_at_once(tmp_path):
    """sinabs counts v / threshold where v is above 0: a negative number of spikes, or none."""
    model = dyadic(
        nn.Sequential(nn.Linear(IN, HIDDEN), layers.IAF(spike_threshold=torch.tensor(-0.5)))
    )
    equal(model, batch_first, spikes(6, 5, IN), tmp_path, reset=at_rest)


SQUEEZED = {
    "IAFSqueeze": lambda **o: layers.IAFSqueeze(**o),
    "IAFSqueeze, bounded": lambda **o: layers.IAFSqueeze(min_v_mem=-1.0, **o),
    "LIFSqueeze": lambda **o: layers.LIFSqueeze(tau_mem=5.0, norm_input=False, **o),
    "LIFSqueeze, bounded": lambda **o: layers.LIFSqueeze(
        tau_mem=5.0, min_v_mem=-0.5, norm_input=False, **o
    ),
    "ExpLeakSqueeze": lambda **o: layers.ExpLeakSqueeze(tau_mem=5.0, **o),
}


@pytest.mark.parametrize("fixed", [{"batch_size": 5}, {"num_timesteps": 40}])
@pytest.mark.parametrize("name", SQUEEZED)
def test_a_squeezing_layer_with_its_defaults(name, fixed, tmp_path):
    model = dyadic(nn.Sequential(nn.Linear(IN, HIDDEN), SQUEEZED[name](**fixed)), 2.0)
    steps, batch = 40, 5
    graph = bridge.to_ir(model, torch.rand(steps * batch, IN))
    xs = spikes(steps, batch, IN)
    at_rest(model)
    with torch.no_grad():
        flat = model(xs.transpose(0, 1).flatten(0, 1))
    wanted = flat.unflatten(0, (batch, steps)).transpose(0, 1)
    at_rest(model)
    assert stepped_and_run(graph, xs, wanted, exact="bounded" not in name and name[0] != "E")


def stepped_and_run(graph, xs, wanted, exact=True):
    """Whether a graph runs and steps to what is wanted; spikes are the same in any case."""
    executor = bridge.ir_to_torch(graph, return_state=True)
    state, outs = {}, []
    with torch.no_grad():
        found, _ = executor.run(xs)
        for x in xs:
            out, state = executor(x, state)
            outs.append(out)
    for mine in (found, torch.stack(outs)):
        if exact:
            assert torch.equal(mine, wanted)
        else:
            torch.testing.assert_close(mine, wanted, rtol=1e-5, atol=1e-5)
    return bool(wanted.any() and (wanted[1:] != wanted[:1]).any())


def ann():
    return dyadic(
        nn.Sequential(
            nn.Conv2d(1, 4, 3, bias=False),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(4, 4, 3),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(4, 10, bias=False),
        )
    )


FOUR = torch.tensor(4.0)
CONVERTED = {
    "a batch of 1": {"batch_size": 1},
    "a batch of 3": {"batch_size": 3},
    "10 steps": {"num_timesteps": 10},
    "spiking at the end": {"batch_size": 2, "add_spiking_output": True},
    "once": {"batch_size": 2, "spike_fn": activation.SingleSpike, "spike_threshold": FOUR},
    "no bound": {"batch_size": 2, "min_v_mem": None},
    "reset to zero": {"batch_size": 2, "reset_fn": activation.MembraneReset()},
}


@pytest.mark.parametrize("name", CONVERTED)
def test_a_network_that_from_model_made(name):
    """sinabs's own conversion, with its defaults: several spikes at once, a bound of -1."""
    options = CONVERTED[name]
    model = from_model(ann(), input_shape=(1, 8, 8), **options).spiking_model.eval()
    batch, steps = options.get("batch_size", 3), options.get("num_timesteps", 40)
    graph = bridge.to_ir(model, torch.rand(batch * 4 if "batch_size" in options else 20, 1, 8, 8))
    xs = spikes(steps, batch, 1, 8, 8)
    at_rest(model)
    with torch.no_grad():
        flat = model(xs.transpose(0, 1).flatten(0, 1))
    at_rest(model)
    assert stepped_and_run(graph, xs, flat.unflatten(0, (batch, steps)).transpose(0, 1))
    fires = [n for n in graph.nodes.values() if hasattr(n, "v_threshold")]
    assert len(fires) == 2 + ("add_spiking_output" in options)
    assert all(n.spikes == ("binary" if name == "once" else "multiple") for n in fires)


@pytest.mark.parametrize("ran", [False, True])
def test_a_network_that_counts_operations(ran):
    """Its hooks only look; what they keep is of so many samples, and stays what it was."""
    steps, batch = 30, 3
    with pytest.warns(DeprecationWarning, match="SNNAnalyzer"):
        model = from_model(ann(), input_shape=(1, 8, 8), num_timesteps=steps, synops=True).eval()
    sample = spikes(2 * steps, 1, 8, 8, seed=1)
    if ran:
        with torch.no_grad():
            model(sample)
    layer = model.spiking_model[0]
    before = layer.n_batches, float(layer.accumulated_synops)
    graph = bridge.to_ir(model, sample)
    assert (layer.n_batches, float(layer.accumulated_synops)) == before
    assert ran == bool(before[1])
    model.synops_counter.reset()
    at_rest(model)
    xs = spikes(steps, batch, 1, 8, 8)
    with torch.no_grad():
        flat = model(xs.transpose(0, 1).flatten(0, 1))
    assert layer.accumulated_synops > 0
    assert stepped_and_run(graph, xs, flat.unflatten(0, (batch, steps)).transpose(0, 1))
    assert "its forward hooks return nothing" in str(graph.metadata["notes"])


def test_a_network_that_has_counted_other_samples_is_refused_by_what_counts():
    """It does not run on the sample by itself."""
    with pytest.warns(DeprecationWarning, match="SNNAnalyzer"):
        model = from_model(ann(), input_shape=(1, 8, 8), num_timesteps=6, synops=True).eval()
    with torch.no_grad():
        model(spikes(4 * 6, 1, 8, 8))
    at_rest(model)
    with pytest.raises(RuntimeError):
        model(spikes(2 * 6, 1, 8, 8))
    with pytest.raises(UnsupportedError) as error:
        bridge.to_ir(model, spikes(2 * 6, 1, 8, 8))
    assert "synopcounter.py" in str(error.value)
    assert "Try the model on the sample by itself" in str(error.value)


def test_two_branches_merged(tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(IN, HIDDEN), nn.Linear(IN, HIDDEN)
            self.iaf, self.merge, self.lif = layers.IAF(), layers.Merge(), layers.LIF(4.0)

        def forward(self, xs):
            return self.lif(self.merge(self.iaf(self.a(xs)), self.b(xs)))

    _, wanted = equal(dyadic(Net()), batch_first, spikes(40, 5, IN), tmp_path, reset=at_rest)
    assert 0 < wanted.count_nonzero() < wanted.numel()


# Refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 3, IN), (4, 6, IN)])
def test_two_layouts_in_one_model_are_refused(shape):
    """What the first layer takes for time and batch the second takes for a batch of features."""
    second = layers.IAFSqueeze(batch_size=2, spike_threshold=torch.tensor(2.0), **ONCE)
    with pytest.raises((UnsupportedError, bridge.VerificationError)) as error:
        bridge.to_ir(nn.Sequential(layers.IAF(**ONCE), second), torch.rand(shape))
    assert "steps" in str(error.value)


def test_time_unflattened_for_one_number_of_samples_is_refused():
    model = nn.Sequential(
        layers.FlattenTime(),
        nn.Conv2d(1, 4, 3),
        nn.ReLU(),
        layers.UnflattenTime(batch_size=5),
        layers.IAF(min_v_mem=-1.0),
    )
    with pytest.raises(UnsupportedError) as error:
        bridge.to_ir(dyadic(model), torch.rand(5, 6, 1, 4, 4))
    assert "in module '3': sequences of 5 and 2 steps in one model" in str(error.value)
    assert "pool time outside of the model" in str(error.value)


def test_a_layer_that_counts_other_steps_than_the_model_is_refused():
    model = nn.Sequential(layers.IAF(**ONCE), layers.IAFSqueeze(batch_size=2, **ONCE))
    with pytest.raises(UnsupportedError) as error:
        bridge.to_ir(model, torch.rand(4, 6, IN))
    assert "sequences of 2 and 6 steps in one model" in str(error.value)
