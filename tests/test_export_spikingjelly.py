"""SpikingJelly's neurons keep their meaning: against SpikingJelly itself, over 200 steps."""

import numpy as np
import pytest
import torch
from torch import nn

from t1c.ir.errors import UnsupportedError

from .export_helpers import bridge, edges_of, spikes, types_of
from .peers import HIDDEN, IN, B, T, agree, peer

layer, neuron, functional, surrogate, base = peer(
    *(
        f"spikingjelly.activation_based.{n}"
        for n in ["layer", "neuron", "functional", "surrogate", "base"]
    )
)

NEURONS = {
    "IF": lambda: neuron.IFNode(v_threshold=2.0),
    "IF, soft": lambda: neuron.IFNode(v_reset=None),
    "IF, v_reset": lambda: neuron.IFNode(v_threshold=0.75, v_reset=-0.5),
    "LIF": lambda: neuron.LIFNode(tau=2.0),
    "LIF, soft": lambda: neuron.LIFNode(tau=4.0, v_reset=None),
    "LIF, input not decayed": lambda: neuron.LIFNode(tau=4.0, decay_input=False),
    "LIF, v_reset": lambda: neuron.LIFNode(tau=2.0, v_reset=0.25, detach_reset=True),
    "LIF, another surrogate": lambda: neuron.LIFNode(surrogate_function=surrogate.ATan()),
    "PLIF": lambda: neuron.ParametricLIFNode(init_tau=2.0),
    "PLIF, soft, input not decayed": lambda: neuron.ParametricLIFNode(
        init_tau=3.0, decay_input=False, v_reset=None
    ),
}


@pytest.mark.parametrize("mode", "sm")
@pytest.mark.parametrize("name", NEURONS)
def test_neuron(name, mode, tmp_path):
    model = nn.Sequential(layer.Linear(IN, HIDDEN), NEURONS[name](), layer.Linear(HIDDEN, 4))
    functional.set_step_mode(model, mode)
    # v + (x - v) / tau rounds elsewhere than (1 - 1/tau) * v + x / tau once v fills its mantissa.
    graph = agree(model, lambda xs: xs[:4] if mode == "m" else xs[0], tmp_path, name[:2] == "IF")
    assert list(graph.nodes) == ["input", "0", "1", "2", "output"]
    assert all(m.step_mode == mode for m in model)
    assert model[1].v == (model[1].v_reset or 0.0)


@pytest.mark.parametrize("name", NEURONS)
def test_the_membrane_is_that_of_the_neuron_counted_from_v_reset(name):
    module = NEURONS[name]()
    rest = module.v_reset or 0.0
    executor = bridge.ir_to_torch(
        bridge.to_ir(nn.Sequential(module), spikes(B, IN)), return_state=True
    )
    state, xs = {}, 4 * spikes(20, B, IN) - 1
    for x in xs:
        wanted = module(x)
        sent, state = executor(x, state)
        assert torch.equal(sent, wanted)
        assert torch.allclose(state["0"][0] + rest, module.v, rtol=0, atol=1e-6)


def test_one_membrane_by_hand():
    """u = v + (x - (v - v_reset)) / tau, from v_reset; fires on the threshold."""
    model = nn.Sequential(neuron.LIFNode(tau=2.0, v_threshold=1.25, v_reset=0.25))
    executor = bridge.ir_to_torch(bridge.to_ir(model, torch.zeros(1, 1)))
    xs = torch.tensor([1.0, 1.5, 2.0, 0.0]).reshape(4, 1, 1)
    # 0.75; 1.25 fires, back to 0.25; 1.25 fires; 0.25
    assert executor.run(xs)[0].flatten().tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("mode", "sm")
def test_a_convolutional_network(mode, tmp_path):
    """The form of SpikingJelly's tutorials, with its own layers, in both step modes."""
    model = nn.Sequential(
        layer.Conv2d(1, 4, 3, padding=1, bias=False),
        layer.BatchNorm2d(4),
        neuron.IFNode(),
        layer.MaxPool2d(2, 2),
        layer.Conv2d(4, 4, 3, padding=1),
        neuron.LIFNode(tau=2.0),
        layer.AvgPool2d(2),
        layer.Flatten(),
        layer.Dropout(0.5),
        layer.Linear(16, 10),
        neuron.IFNode(v_reset=None),
    )
    functional.set_step_mode(model, mode)
    graph = agree(
        model, lambda xs: xs[:3] if mode == "m" else xs[0], tmp_path, False, features=(1, 8, 8)
    )
    assert list(types_of(graph).values()) == [
        *("Input", "Conv2d", "BatchNorm2d", "IF", "MaxPool2d", "Conv2d", "LIF", "AvgPool2d"),
        *("Flatten", "Dropout", "Affine", "IF", "Output"),
    ]


def test_a_loop_over_time(tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.lif = nn.Linear(IN, HIDDEN), neuron.LIFNode(tau=2.0)

        def forward(self, xs):
            functional.reset_net(self)
            return torch.stack([self.lif(self.fc(x)) for x in xs])

    agree(Net(), lambda xs: xs[:3], tmp_path, False)


def test_a_residual_block_over_whole_sequences(tmp_path):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = layer.SeqToANNContainer(nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2))
            self.lif = neuron.LIFNode(tau=2.0, step_mode="m")

        def forward(self, xs):
            return self.lif(self.conv(xs)) + xs

    graph = agree(Block(), lambda xs: xs[:3], tmp_path, False, features=(2, 4, 4))
    assert ("input", "add") in edges_of(graph)


# Refusals --------------------------------------------------------------------------------------


def refused(model, sample=None):
    with pytest.raises(UnsupportedError) as error:
        bridge.to_ir(model, torch.rand(2, IN) if sample is None else sample)
    return str(error.value)


@pytest.mark.parametrize("name", ["QIFNode", "EIFNode", "IzhikevichNode", "HalfThresholdIFNode"])
def test_another_neuron_is_refused_by_name(name):
    message = refused(nn.Sequential(getattr(neuron, name)()))
    assert f"SpikingJelly's {name}" in message
    assert "module '0'" in message


def test_a_subclass_is_refused():
    class Twice(neuron.IFNode):
        def single_step_functional_forward(self, inputs, states, **kwargs):
            return super().single_step_functional_forward((2 * inputs[0],), states)

    assert "a Twice with single_step_functional_forward()" in refused(nn.Sequential(Twice()))


def test_a_surrogate_that_is_no_step_is_refused():
    module = neuron.IFNode(surrogate_function=surrogate.Sigmoid(spiking=False))
    assert "surrogate_function" in refused(nn.Sequential(module))


def test_another_start_is_refused():
    module = neuron.IFNode()
    module.set_reset_value("v", 0.5)
    assert "starts at 0.5 (set_reset_value)" in refused(nn.Sequential(module))


class OverTime(nn.Module):
    """Whole sequences, with something between the modules."""

    def __init__(self, function):
        super().__init__()
        self.lif, self.function = neuron.LIFNode(tau=2.0, step_mode="m"), function

    def forward(self, xs):
        return self.function(self.lif(xs))


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda ys: ys.mean(0), "torch's mean"),
        (lambda ys: ys.flatten(2), "in another form than its single steps"),
        (lambda ys: ys.flatten(0, 1), "a reshape"),
        (lambda ys: torch.cat([ys, ys], 1), "in another form than its single steps"),
        (lambda ys: torch.softmax(ys, 1), "192 values differ, by up to"),
        (lambda ys: ys[-1], "__getitem__"),
    ],
    ids=["mean", "flatten features", "flatten time", "cat", "softmax", "last"],
)
def test_what_a_sequence_means_otherwise_than_a_step_is_refused(function, words):
    model, sample = OverTime(function), torch.rand(3, 2, 2, 4, 4)
    assert words in refused(model, sample)
    assert model.lif.step_mode == "m"
    # What a module of theirs does knows of time.
    flat = nn.Sequential(model.lif, layer.Flatten(step_mode="m"))
    assert bridge.to_ir(flat, sample).nodes["output"].shape == (32,)


def test_numbers_that_no_tau_gives_are_refused():
    module = neuron.LIFNode(tau=2.0)
    module.tau = 0.5
    assert "tau = 0.5" in refused(nn.Sequential(module))


def test_verify_sees_what_a_wrong_graph_does():
    model = nn.Sequential(neuron.LIFNode(tau=2.0, v_reset=None))
    graph = bridge.to_ir(model, torch.rand(1, IN))
    hard = graph.nodes["0"].replace(reset="zero")
    wrong = type(graph)({**graph.nodes, "0": hard}, graph.edges)
    report = bridge.verify(model, wrong, 4 * torch.rand(T, B, IN))
    assert not report
    assert report.causes[0].kind == "reset"
    assert np.isfinite(report.parting.potentials[0])


@pytest.mark.parametrize("start", [1.0, torch.ones(2, 4), torch.zeros(2, 4)])
def test_a_membrane_set_by_hand_is_refused(start):
    """A zero too: the neuron rests at v_reset, and a graph where that is."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lif = neuron.LIFNode(tau=2.0, v_reset=0.5)

        def forward(self, xs):
            self.lif.v = start
            return torch.stack([self.lif(x) for x in xs])

    message = refused(Net(), torch.rand(3, 2, 4))
    assert "a neuron starts from a state that is not its rest, 0.5" in message


def test_a_membrane_used_as_a_value_is_refused():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lif, self.fc = neuron.LIFNode(), nn.Linear(IN, 2)

        def forward(self, x):
            self.lif(x)
            return self.fc(self.lif.v)

    assert "takes the state of 'lif'" in refused(Net())


def test_the_export_leaves_hidden_states_and_the_graph_behind_them_alone():
    model = nn.Sequential(nn.Linear(IN, HIDDEN), neuron.LIFNode())
    loss = sum(model(x).sum() for x in torch.rand(5, 2, IN))
    kept = model[1].v
    graph = bridge.to_ir(model, torch.rand(2, IN))
    assert bridge.verify(model, graph, torch.rand(5, 2, IN))
    assert model[1].v is kept
    loss.backward()
