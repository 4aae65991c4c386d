"""The figures of a profile are NeuroBench's own, on models that it can run."""

import copy
import functools

import numpy as np
import pytest
import snntorch as snn
import torch
from hypothesis import event, given
from hypothesis import strategies as st
from snntorch import surrogate
from torch import nn

from t1c import bridge, sdk

from .peers import peer
from .strategies_executor import networks, sequences
from .test_executor import some, tensors

workload, static, models, layers = peer(
    "neurobench.metrics.workload",
    "neurobench.metrics.static",
    "neurobench.models",
    "neurobench.metrics.utils.layers",
)
pytestmark = pytest.mark.usefixtures("one_thread")
T = 20
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def leaky(**options):
    return snn.Leaky(beta=0.75, spike_grad=surrogate.atan(), init_hidden=True, **options)


class Resetting(nn.Module):
    """NeuroBench calls ``reset``; snnTorch's own leaves neurons in a Sequential as they are."""

    def reset(self):
        for module in self.modules():
            if isinstance(module, snn.SpikingNeuron):
                module.reset_mem()


class Returning(Resetting):
    """Layers one after another; gives spikes and a membrane, as NeuroBench wants it."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = nn.Sequential(*parts)

    def forward(self, x):
        y = self.parts(x)
        return y, y


class Recurrent(Resetting):
    """A neuron that hears itself through a Linear."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 8)
        self.lif = snn.RLeaky(
            beta=0.75, linear_features=8, init_hidden=True, spike_grad=surrogate.atan()
        )
        self.out = nn.Linear(8, 3)
        self.lif2 = leaky(output=False)

    def forward(self, x):
        y = self.lif2(self.out(self.lif(self.fc(x))))
        return y, y


def thinned(model, seed=0):
    """Weights of which some are zero, large enough to fire; on a grid, so that sums are exact."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, LAYERS):
            with torch.no_grad():
                module.weight.copy_((module.weight * 2.5 * 64).round() / 64)
                module.bias.copy_((module.bias * 64).round() / 64)
                module.weight[torch.rand(module.weight.shape, generator=generator) < 0.3] = 0
    return model


def dense():
    return Returning(nn.Linear(6, 16), leaky(), nn.Linear(16, 8), leaky(), nn.Linear(8, 4), leaky())


def convolutional():
    return Returning(
        nn.Conv2d(2, 4, 3, padding=1), leaky(), nn.AvgPool2d(2), nn.Conv2d(4, 6, 3, stride=2),
        leaky(), nn.Flatten(), nn.Linear(6, 5), leaky(),
    )  # fmt: skip


def hybrid():
    return Returning(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 8), leaky(), nn.Linear(8, 3))


MODELS = {
    "dense": (dense, (6,)),
    "convolutional": (convolutional, (2, 8, 8)),
    "hybrid": (hybrid, (6,)),
    "recurrent": (Recurrent, (6,)),
}


def graph_of(model, shape):
    """The model as a graph; what it returns a second time is left out."""

    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x):
            return self.model(x)[0]

    return bridge.to_ir(First(), torch.rand(2, *shape))


@functools.cache
def made(name):
    """A model and its graph."""
    make, shape = MODELS[name]
    torch.manual_seed(0)
    model = thinned(make()).eval()
    return model, graph_of(model, shape)


def measured_by_neurobench(model, xs, batch_size):
    """Dense, MACs and ACs per sample; activation and connection sparsity."""
    wrapped = models.SNNTorchModel(model)
    wrapped.register_hooks()
    operations, sparsity = workload.SynapticOperations(), workload.ActivationSparsity()
    shares = []
    with torch.no_grad():
        for batch in xs.split(batch_size, dim=1):
            data = batch.transpose(0, 1)  # (batch, steps, ...)
            predictions = wrapped(data)
            found = operations(wrapped, predictions, (data, None))
            shares.append(sparsity(wrapped, predictions, (data, None)) * len(data))
            wrapped.reset_hooks()
    wrapped.cleanup_hooks()
    share = sum(shares) / xs.shape[1]
    return found, share, static.ConnectionSparsity()(wrapped)


@pytest.mark.grid(1)
@pytest.mark.parametrize("kind", ["spikes", "graded", "mixed"])
@pytest.mark.parametrize("name", MODELS)
def test_a_profile_gives_the_numbers_of_neurobench(name, kind):
    model, graph = copy.deepcopy(made(name))
    torch.manual_seed(1)
    xs = torch.randint(0, 257, (T, 10, *MODELS[name][1])) / 256
    if kind == "spikes":
        xs = (xs < 0.4).float()
    elif kind == "mixed":  # steps of spikes between graded ones
        xs = torch.where(torch.arange(T).reshape(-1, *[1] * (xs.ndim - 1)) % 3 == 0, xs, xs.round())
    for batch_size in (10, 4):
        theirs, activation, connection = measured_by_neurobench(model, xs, batch_size)
        mine = sdk.profile_graph(graph, xs.numpy(), batch_size=batch_size)
        found = mine.measured
        assert found.dense == theirs["Dense"]
        assert found.effective_macs == theirs["Effective_MACs"]
        assert found.effective_acs == theirs["Effective_ACs"]
        assert found.activation_sparsity == pytest.approx(activation, abs=1e-12)
        assert round(mine.connection_sparsity, 4) == connection
        assert 0.2 < mine.connection_sparsity < 0.4
        assert 0.2 < found.activation_sparsity < 0.99
        assert found.spikes > 5
        assert found.effective_acs > 2
        if kind == "mixed":
            assert found.effective_macs > 100


def test_weights_without_neurons_take_what_neurobench_says():
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()
    profile = sdk.profile_graph(bridge.to_ir(model, torch.rand(1, 2, 8, 8)))
    assert profile.weights == static.Footprint()(models.TorchModel(model))
    assert sdk.analyze_graph(bridge.to_ir(model, torch.rand(1, 2, 8, 8))).parameters == (
        static.ParameterCount()(models.TorchModel(model))
    )


@pytest.mark.usefixtures("uncompiled")
@some
@given(st.data())
def test_layers_of_random_networks_count_as_neurobench_counts(data):
    """Each layer's operations, by NeuroBench's function on what reached it, step by step."""
    graph = data.draw(networks(every=True, cyclic=data.draw(st.booleans())))
    xs = data.draw(sequences(graph))
    batch_size = data.draw(st.integers(1, 3))
    found = {
        n.name: n for n in sdk.profile_graph(graph, xs, batch_size=batch_size).measured.operations
    }
    executor = bridge.ir_to_torch(graph)
    plain = [n for n in found if isinstance(executor.node(n), LAYERS)]
    event(f"layers: {bool(plain)}")
    count = next(iter(xs.values())).shape[1]
    expected = {name: np.zeros(3) for name in plain}
    for first in range(0, count, batch_size):
        part = {name: x[:, first : first + batch_size] for name, x in xs.items()}
        _, _, reached = executor.run(
            tensors(part, torch.float32), record=[f"{n}.input" for n in plain]
        )
        for name in plain:
            for x in reached[f"{name}.input"]:
                layer = executor.node(name)
                operations, spiking = layers.single_layer_MACs(x, layer)
                every, _ = layers.single_layer_MACs(x, layer, total=True)
                expected[name] += [
                    every,
                    0 if spiking else operations,
                    operations if spiking else 0,
                ]
    for name, total in expected.items():
        mine = found[name]
        assert np.allclose(total / count, [mine.dense, mine.macs, mine.acs], rtol=1e-12), name
        assert not mine.beyond
