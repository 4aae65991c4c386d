"""SpikingJelly's neurons keep their meaning: against SpikingJelly itself, over 32 steps."""

import numpy as np
import pytest
import torch
from torch import nn

from t1c.ir.errors import UnsupportedError

from .export_helpers import bridge, dyadic, edges_of, spikes, types_of
from .peers import HIDDEN, IN, B, T, agree, at_once, equal, peer, stepwise

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


@pytest.mark.grid(1)
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


# Neurons that no primitive says: followed through their own code ----------------------------------

CALLS = {"s": stepwise, "m": at_once}


def twice(**options):
    class Twice(neuron.IFNode):
        """A user's own: twice the input."""

        def single_step_functional_forward(self, inputs, states, **kwargs):
            return super().single_step_functional_forward((2 * inputs[0],), states)

    return Twice(**options)


def adapting(**options):
    class Adapting(base.MemoryModule):
        """A user's own: a threshold that rises with every spike, and falls again."""

        def __init__(self, step_mode):
            super().__init__()
            self.step_mode = step_mode
            self.fire = surrogate.ATan()
            self.register_memory("v", 0.0)
            self.register_memory("a", 0.0)

        def single_step_forward(self, x):
            self.v = 0.5 * self.v + x
            spike = self.fire(self.v - (1.0 + self.a))
            self.a = 0.5 * self.a + spike
            self.v = self.v - spike
            return spike

        def multi_step_forward(self, x_seq):
            return torch.stack([self.single_step_forward(x) for x in x_seq])

    return Adapting(**options)


def started(module, **values):
    for name, value in values.items():
        module.set_reset_value(name, value)
    module.reset()
    return module


def with_tau(module, tau):
    module.tau = tau
    return module


def normed(module):
    """Batch statistics as a trained layer has them."""
    generator = torch.Generator().manual_seed(5)
    for m in module.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm):
            m.running_mean.copy_(torch.rand(m.running_mean.shape, generator=generator) - 0.5)
            m.running_var.copy_(torch.rand(m.running_var.shape, generator=generator) + 0.5)
    return module


SIGMOID = {"surrogate_function": surrogate.Sigmoid()}
TABLE = neuron.FewSpikeTable([0.5, 0.5, 0.25], [1.0, 0.5, 0.25], [1.0, 0.5, 0.25])
FOLLOWED = {
    "SimpleIFNode": lambda **o: neuron.SimpleIFNode(1.0, 0.0, **SIGMOID, **o),
    "SimpleIFNode, soft": lambda **o: neuron.SimpleIFNode(1.0, None, **SIGMOID, **o),
    "SimpleLIFNode": lambda **o: neuron.SimpleLIFNode(2.0, True, 1.0, 0.0, **SIGMOID, **o),
    "SimpleLIFNode, not decayed": lambda **o: neuron.SimpleLIFNode(
        4.0, False, 1.0, 0.5, **SIGMOID, **o
    ),
    "HalfThresholdIFNode": lambda **o: neuron.HalfThresholdIFNode(v_threshold=2.0, **o),
    "IzhikevichNode": lambda **o: neuron.IzhikevichNode(**o),
    "QIFNode": lambda **o: neuron.QIFNode(**o),
    "EIFNode": lambda **o: neuron.EIFNode(**o),
    "RAFNode": lambda **o: neuron.RAFNode(**o),
    "TernaryIFNode": lambda **o: neuron.TernaryIFNode(**o),
    "TernaryLIFNode": lambda **o: neuron.TernaryLIFNode(**o),
    "KLIFNode": lambda **o: neuron.KLIFNode(**o),
    "ComplementaryLIFNode": lambda **o: neuron.ComplementaryLIFNode(**o),
    "MPBNLIFNode": lambda **o: normed(neuron.MPBNLIFNode(out_features=HIDDEN, **o)),
    "ActivationAwareIFNode": lambda **o: neuron.ActivationAwareIFNode(**o),
    "ILIFNode": lambda **o: neuron.ILIFNode(**o),
    "STBIFNode": lambda **o: neuron.STBIFNode(1.0, 3, **o),
    "STBIFNode, both signs": lambda **o: neuron.STBIFNode(0.5, 8, sym=True, **o),
    "IFNode from 0.5": lambda **o: started(neuron.IFNode(**o), v=0.5),
    "LIFNode that swings": lambda **o: with_tau(neuron.LIFNode(**o), 0.5625),
    "a subclass": twice,
    "a neuron of the user's": adapting,
}
GRADED = {
    "LIAFNode": lambda **o: neuron.LIAFNode(nn.ReLU(), False, **o),
    "LIAFNode, over the threshold": lambda **o: neuron.LIAFNode(nn.ReLU(), True, **o),
    "IFNode, not spiking": lambda **o: neuron.IFNode(
        surrogate_function=surrogate.Sigmoid(spiking=False), **o
    ),
}
ONE_STEP = {
    "OTTTLIFNode": lambda: neuron.OTTTLIFNode(),
    "SLTTLIFNode": lambda: neuron.SLTTLIFNode(),
    "CUBALIFNode": lambda: neuron.CUBALIFNode(),
    "CUBALIFNode, soft": lambda: neuron.CUBALIFNode(v_reset=None),
    "FewSpikeNode": lambda: neuron.FewSpikeNode(TABLE),
}
SEQUENCES = {
    "DSRIFNode": lambda: neuron.DSRIFNode(step_mode="m"),
    "DSRLIFNode": lambda: neuron.DSRLIFNode(step_mode="m"),
    "CUBALIFNode": lambda: started_at(neuron.CUBALIFNode(), "m"),
    "ILCIFNode": lambda: neuron.ILCIFNode(2, 4),
    "ILCIFNode, soft": lambda: neuron.ILCIFNode(2, 4, v_reset=0.0),
    "ILCLIFNode": lambda: neuron.ILCLIFNode(2, 4),
    "ILCCUBALIFNode": lambda: neuron.ILCCUBALIFNode(2, 4),
}


def started_at(module, mode):
    module.step_mode = mode
    return module


def behind_a_layer(module, mode, scale=4.0):
    return dyadic(nn.Sequential(layer.Linear(IN, HIDDEN, step_mode=mode), module), scale)


# What is followed is compared, not what a compiler makes of it.
@pytest.mark.grid(1)
@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("mode", "sm")
@pytest.mark.parametrize("name", [*FOLLOWED, *GRADED])
def test_a_neuron_is_followed_through_its_own_code(name, mode, tmp_path):
    make = FOLLOWED.get(name) or GRADED[name]
    model = behind_a_layer(make(step_mode=mode), mode)
    xs = spikes(40, 5, IN)
    # A spike is the same or another; a membrane may lie within rounding.
    _, wanted = equal(
        model, CALLS[mode], xs, tmp_path, exact=name in FOLLOWED, reset=functional.reset_net
    )
    assert 0 < wanted.count_nonzero() <= wanted.numel()
    assert all(m.step_mode == mode for m in model)


@pytest.mark.parametrize("mode", "sm")
@pytest.mark.parametrize("order", [1, 3, 8])
def test_a_neuron_that_weighs_its_last_inputs(order, mode, tmp_path):
    """Delays of one step and a Scale for each: of more steps than the trace has, too."""
    sliding = neuron.SlidingPSN(k=order, exp_init=False, step_mode=mode)
    model = behind_a_layer(sliding, mode)
    xs = spikes(40, 5, IN)
    graph, wanted = equal(model, CALLS[mode], xs, tmp_path, reset=functional.reset_net)
    assert 0 < wanted.count_nonzero() < wanted.numel()
    kinds = list(types_of(graph).values())
    assert kinds.count("Delay") == order - 1
    assert kinds.count("Scale") == order
    back = bridge.ir_to_torch(graph)
    assert bridge.to_ir(back, xs[0]).equals(graph)


def test_a_loop_as_long_as_the_neuron_was_made_for():
    """All its steps are alike until training parts them: a graph says them for any number."""
    model = nn.Sequential(
        layer.Conv2d(1, 4, 3), neuron.GatedLIFNode(T=7), layer.Flatten(), layer.Linear(64, 4)
    )
    functional.set_step_mode(dyadic(model, 4.0), "m")
    graph = bridge.to_ir(model, torch.rand(7, 2, 1, 6, 6))
    xs = 2 * spikes(7, 5, 1, 6, 6)
    functional.reset_net(model)
    with torch.no_grad():
        wanted = model(xs)
    torch.testing.assert_close(bridge.ir_to_torch(graph).run(xs)[0], wanted, rtol=1e-5, atol=1e-5)
    assert len(wanted.unique()) > 20


@pytest.mark.parametrize("name", ONE_STEP)
def test_a_neuron_of_single_steps_is_followed(name, tmp_path):
    model = behind_a_layer(ONE_STEP[name](), "s")
    xs = spikes(40, 5, IN)
    _, wanted = equal(model, stepwise, xs, tmp_path, reset=functional.reset_net)
    assert 0 < wanted.count_nonzero() < wanted.numel()


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_neuron_of_whole_sequences_is_followed(name, tmp_path):
    model = behind_a_layer(SEQUENCES[name](), "m")
    xs = spikes(40, 5, IN)
    _, wanted = equal(model, at_once, xs, tmp_path, reset=functional.reset_net)
    assert 0 < wanted.count_nonzero() < wanted.numel()


@pytest.mark.parametrize("make", [neuron.NonSpikingIFNode, neuron.NonSpikingLIFNode])
@pytest.mark.parametrize("decode", [None, "max-mem", "max-abs-mem", "mean-mem", "last_mem"])
def test_a_readout_that_does_not_spike(decode, make, tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.readout = nn.Linear(IN, HIDDEN), make(decode=decode)

        def forward(self, xs):
            found = self.readout(self.fc(xs))
            return torch.stack(found) if decode is None else found

    xs = 2 * spikes(40, 5, IN) - 1
    graph, wanted = equal(
        dyadic(Net()), at_once, xs, tmp_path, exact=False, final=decode is not None
    )
    assert wanted.shape == ((40, 5, HIDDEN) if decode is None else (5, HIDDEN))
    assert graph.outputs()["output"].final == (decode is not None)


# Layers and containers ----------------------------------------------------------------------------


WITH_STATE = {
    "Delay": lambda: layer.Delay(3),
    "SynapseFilter": lambda: layer.SynapseFilter(tau=4.0),
    "SynapseFilter, learnable": lambda: layer.SynapseFilter(tau=2.0, learnable=True),
    "LinearRecurrentContainer": lambda: layer.LinearRecurrentContainer(
        neuron.IFNode(v_threshold=2.0), HIDDEN, HIDDEN
    ),
    "LinearRecurrentContainer, LIF": lambda: layer.LinearRecurrentContainer(
        neuron.LIFNode(v_reset=None), HIDDEN, HIDDEN
    ),
    "LinearRecurrentContainer, EIF": lambda: layer.LinearRecurrentContainer(
        neuron.EIFNode(), HIDDEN, HIDDEN
    ),
    "ElementWiseRecurrentContainer": lambda: layer.ElementWiseRecurrentContainer(
        neuron.IFNode(v_threshold=2.0), lambda y, x: x - y
    ),
    "ElementWiseRecurrentContainer, a product": lambda: layer.ElementWiseRecurrentContainer(
        neuron.LIFNode(tau=2.0), lambda y, x: x * (1 - y) + 0.25
    ),
}
NO_STATE = {
    "BatchNorm1d": lambda: normed(layer.BatchNorm1d(HIDDEN)),
    "VotingLayer": lambda: layer.VotingLayer(4),
    "Dropout": lambda: layer.Dropout(0.5),
    "WSLinear": lambda: layer.WSLinear(HIDDEN, 4),
}


@pytest.mark.grid(1)
@pytest.mark.parametrize("mode", "sm")
@pytest.mark.parametrize("name", [*WITH_STATE, *NO_STATE])
def test_layer(name, mode, tmp_path):
    """Between two neurons, in both modes."""
    make = WITH_STATE.get(name) or NO_STATE[name]
    model = dyadic(
        nn.Sequential(layer.Linear(IN, HIDDEN), neuron.IFNode(), make(), neuron.IFNode()), 4.0
    )
    if name == "BatchNorm1d":
        model[2].bias.data.fill_(0.5)
    functional.set_step_mode(model, mode)
    xs = spikes(40, 5, IN)
    _, wanted = equal(model, CALLS[mode], xs, tmp_path, reset=functional.reset_net)
    assert 0 < wanted.count_nonzero() < wanted.numel()


@pytest.mark.grid(1)
@pytest.mark.parametrize("mode", "sm")
@pytest.mark.parametrize(
    "make",
    [
        lambda: layer.Conv2d(2, 4, 3, padding=1, groups=2),
        lambda: layer.ConvTranspose2d(2, 4, 2, stride=2),
        lambda: normed(layer.BatchNorm2d(2)),
        lambda: layer.GroupNorm(2, 2),
        lambda: layer.MaxPool2d(2),
        lambda: layer.AvgPool2d(2),
        lambda: layer.AdaptiveAvgPool2d((3, 3)),
        lambda: layer.Upsample(scale_factor=2),
        lambda: layer.WSConv2d(2, 4, 3),
        lambda: layer.Flatten(),
    ],
    ids=lambda make: type(make()).__name__,
)
def test_layer_over_feature_maps(make, mode, tmp_path):
    model = dyadic(
        nn.Sequential(layer.Conv2d(1, 2, 3, padding=1), neuron.IFNode(), make(), neuron.IFNode()),
        2.0,
    )
    functional.set_step_mode(model, mode)
    xs = spikes(30, 2, 1, 6, 6)
    _, wanted = equal(model, CALLS[mode], xs, tmp_path, reset=functional.reset_net)
    assert 0 < wanted.count_nonzero() < wanted.numel()


CONTAINERS = {
    "MultiStepContainer": lambda: layer.MultiStepContainer(nn.Linear(IN, HIDDEN), neuron.LIFNode()),
    "SeqToANNContainer": lambda: nn.Sequential(
        layer.SeqToANNContainer(nn.Linear(IN, HIDDEN), normed(nn.BatchNorm1d(HIDDEN))),
        neuron.IFNode(step_mode="m"),
    ),
    "StepModeContainer, stateful": lambda: layer.StepModeContainer(
        True, "m", nn.Linear(IN, HIDDEN), neuron.LIFNode()
    ),
    "StepModeContainer, stateless": lambda: nn.Sequential(
        layer.StepModeContainer(False, "m", nn.Linear(IN, HIDDEN), nn.ReLU()),
        neuron.IFNode(step_mode="m"),
    ),
}


def test_a_batch_norm_that_knows_of_the_threshold(tmp_path):
    """It takes whole sequences only."""
    model = nn.Sequential(
        layer.Conv2d(1, 2, 3, padding=1),
        normed(layer.ThresholdDependentBatchNorm2d(0.5, 1.0, 2)),
        neuron.IFNode(),
    )
    functional.set_step_mode(dyadic(model), "m")
    xs = spikes(30, 2, 1, 6, 6)
    _, wanted = equal(model, at_once, xs, tmp_path, reset=functional.reset_net)
    assert 0 < wanted.count_nonzero() < wanted.numel()


@pytest.mark.parametrize("name", CONTAINERS)
def test_container(name, tmp_path):
    model = dyadic(CONTAINERS[name](), 4.0)
    _, wanted = equal(model, at_once, spikes(40, 5, IN), tmp_path, reset=functional.reset_net)
    assert 0 < wanted.count_nonzero() < wanted.numel()


def test_a_container_with_time_last():
    model = dyadic(layer.TLastMultiStepContainer(nn.Linear(IN, HIDDEN), neuron.LIFNode()), 4.0)
    xs = spikes(40, 5, IN)
    graph = bridge.to_ir(model, torch.rand(2, IN, 6))
    functional.reset_net(model)
    with torch.no_grad():
        wanted = model(xs.permute(1, 2, 0)).permute(2, 0, 1)
    functional.reset_net(model)
    executor = bridge.ir_to_torch(graph, return_state=True)
    assert torch.equal(executor.run(xs)[0], wanted)
    state = {}
    for x, y in zip(xs, wanted, strict=True):
        out, state = executor(x, state)
        assert torch.equal(out, y)
    assert wanted[5].any()
    assert not torch.equal(wanted[0], wanted[5])


@pytest.mark.parametrize("mode", "sm")
@pytest.mark.parametrize("shared", [False, True])
def test_a_norm_that_spreads_its_channels_mean(shared, mode, tmp_path):
    norm = layer.NeuNorm(2, 6, 6, shared_across_channels=shared)
    model = nn.Sequential(
        layer.Conv2d(1, 2, 3, padding=1), neuron.IFNode(), norm, neuron.IFNode(v_threshold=0.5)
    )
    functional.set_step_mode(dyadic(model, 2.0), mode)
    with torch.no_grad():
        norm.w.copy_(-torch.rand(norm.w.shape, generator=torch.Generator().manual_seed(1)))
    xs = 2 * spikes(30, 2, 1, 6, 6)
    _, wanted = equal(model, CALLS[mode], xs, tmp_path, reset=functional.reset_net)
    assert 0 < wanted.count_nonzero() < wanted.numel()


def test_layers_over_sequences_with_time_last():
    """Their torch.vmap is followed one step after the other."""
    model = nn.Sequential(
        layer.TLastSeqToANNContainer(nn.Linear(IN, HIDDEN), nn.ReLU()),
        layer.TLastMultiStepContainer(neuron.LIFNode()),
        layer.TLastSeqToANNContainer(nn.Linear(HIDDEN, 4)),
    )
    xs = spikes(30, 5, IN)
    graph = bridge.to_ir(dyadic(model, 4.0), torch.rand(2, IN, 6))
    functional.reset_net(model)
    with torch.no_grad():
        wanted = model(xs.permute(1, 2, 0)).permute(2, 0, 1)
    assert torch.equal(bridge.ir_to_torch(graph).run(xs)[0], wanted)
    assert list(types_of(graph).values()) == ["Input", "Affine", "ReLU", "LIF", "Affine", "Output"]
    assert len(wanted.unique()) > 20


# Models as the tutorials write them ---------------------------------------------------------------


class Net(nn.Module):
    """SpikingJelly's multi-step networks: what is around the layers is the user's."""

    def __init__(self, before=None, after=None, functions=False):
        super().__init__()
        self.conv, self.norm = layer.Conv2d(1, 2, 3, padding=1), normed(layer.BatchNorm2d(2))
        self.lif1, self.fc = neuron.LIFNode(tau=2.0), layer.Linear(72, 10)
        self.lif2 = neuron.IFNode(v_threshold=2.0)
        self.before, self.after, self.functions = before, after, functions
        functional.set_step_mode(self, "m")
        dyadic(self, 1.0)

    def forward(self, xs):
        xs = xs if self.before is None else self.before(xs)
        if self.functions:
            functional.set_step_mode(self, "s")
            ys = functional.seq_to_ann_forward(xs, [self.conv, self.norm])
            ys = functional.multi_step_forward(ys, self.lif1)
            functional.set_step_mode(self, "m")
        else:
            ys = self.lif1(self.norm(self.conv(xs)))
        ys = self.lif2(self.fc(ys.flatten(2)))
        return ys if self.after is None else self.after(ys)


AFTER = {
    "all steps": None,
    "mean": lambda ys: ys.mean(0),
    "mean, by hand": lambda ys: ys.sum(0) / ys.shape[0],
    "sum": lambda ys: ys.sum(0),
    "max": lambda ys: ys.max(0).values,
    "last": lambda ys: ys[-1],
    "mean and a vote": lambda ys: nn.functional.avg_pool1d(ys.mean(0).unsqueeze(1), 2).squeeze(1),
    "log_softmax of the mean": lambda ys: torch.log_softmax(ys.mean(0), -1),
}


@pytest.mark.parametrize("name", AFTER)
def test_a_network_of_whole_sequences_and_its_answer(name, tmp_path):
    xs = spikes(40, 5, 1, 6, 6)
    graph, wanted = equal(
        Net(after=AFTER[name]),
        at_once,
        xs,
        tmp_path,
        exact=name == "all steps",
        final=name != "all steps",
        reset=functional.reset_net,
    )
    assert graph.outputs()["output"].final == (name != "all steps")
    assert wanted.shape[-1] == (5 if name == "mean and a vote" else 10)


def test_a_network_written_with_functions(tmp_path):
    xs = spikes(40, 5, 1, 6, 6)
    equal(Net(functions=True), at_once, xs, tmp_path, reset=functional.reset_net)


def test_batch_first_and_permuted_inside(tmp_path):
    model = Net(before=lambda xs: xs.permute(1, 0, 2, 3, 4), after=lambda ys: ys.mean(0))
    xs = spikes(40, 5, 1, 6, 6)
    graph = bridge.to_ir(model, torch.rand(2, 6, 1, 6, 6))
    functional.reset_net(model)
    wanted = model(xs.transpose(0, 1)).detach()
    functional.reset_net(model)
    torch.testing.assert_close(bridge.ir_to_torch(graph).run(xs)[0], wanted, rtol=1e-6, atol=1e-6)
    assert wanted.any()


REPEATS = {
    "unsqueeze and repeat": lambda x: x.unsqueeze(0).repeat(7, 1, 1, 1, 1),
    "expand": lambda x: x.expand(7, *x.shape),
    "stack": lambda x: torch.stack([x] * 7),
}


@pytest.mark.parametrize("name", REPEATS)
def test_a_static_image_repeated_inside_of_the_model(name):
    model = Net(before=REPEATS[name], after=lambda ys: ys.mean(0))
    graph = bridge.to_ir(model, torch.rand(2, 1, 6, 6))
    assert graph.inputs()["input"].hold == 7
    x = 2 * spikes(5, 1, 6, 6, seed=1)
    functional.reset_net(model)
    with torch.no_grad():
        wanted = model(x)
    functional.reset_net(model)
    executor = bridge.ir_to_torch(graph, return_state=True)
    torch.testing.assert_close(executor.run(x)[0], wanted, rtol=1e-6, atol=1e-6)
    state = {}
    for _ in range(7):
        out, state = executor(x, state)
    torch.testing.assert_close(out, wanted, rtol=1e-6, atol=1e-6)
    assert wanted.any()
    assert not (wanted == 1).all()


HELD = {
    "repeat": lambda y: y.repeat(7, 1, 1),
    "expand": lambda y: y.expand(7, -1, -1),
    "cat": lambda y: torch.cat([y] * 7),
    "interleaved": lambda y: y.repeat_interleave(7, 0),
    "without the axis": lambda y: y.squeeze(0).repeat(7, 1, 1),
    "one step of it": lambda y: torch.stack([y[0]] * 7),
    "a sum over one step": lambda y: y.sum(0, keepdim=True).repeat(7, 1, 1),
    "and broadcast": lambda y: y.repeat(7, 1, 1) * torch.sigmoid(y),
}


class Held(nn.Module):
    """Layers on one step, of which copies are made for what comes behind."""

    def __init__(self, copies, *first):
        super().__init__()
        self.first = nn.Sequential(layer.Linear(IN, HIDDEN), *first)
        self.rest = nn.Sequential(neuron.IFNode(), layer.Linear(HIDDEN, 4), neuron.LIFNode())
        self.copies = copies
        functional.set_step_mode(dyadic(self, 2.0), "m")

    def forward(self, x):
        return self.rest(self.copies(self.first(x.unsqueeze(0))))


@pytest.mark.parametrize("name", HELD)
def test_layers_before_a_static_value_is_repeated(name):
    model = Held(HELD[name], layer.BatchNorm1d(HIDDEN)).eval()
    graph = bridge.to_ir(model, torch.rand(2, IN))
    assert graph.inputs()["input"].hold == 7
    x = 2 * spikes(30, IN, seed=1)
    functional.reset_net(model)
    with torch.no_grad():
        wanted = model(x)
    assert torch.equal(bridge.ir_to_torch(graph).run(x)[0], wanted)
    assert 0 < wanted.count_nonzero() < wanted.numel()


def test_a_neuron_of_one_step_behind_which_copies_are_made_is_refused():
    message = refused(Held(HELD["repeat"], neuron.IFNode()), torch.rand(2, IN))
    assert "a neuron takes one step, of which 7 copies are made" in message


@pytest.mark.parametrize("middle", ["LIFNode", "SynapseFilter"])
def test_modules_of_sequences_that_are_given_one_step_a_call(middle, tmp_path):
    class OneStep(nn.Module):
        def __init__(self):
            super().__init__()
            made = neuron.LIFNode() if middle == "LIFNode" else layer.SynapseFilter(2.0)
            self.net = nn.Sequential(layer.Linear(IN, HIDDEN), made, layer.Linear(HIDDEN, 4))
            functional.set_step_mode(dyadic(self, 2.0), "m")

        def forward(self, x):
            return self.net(x.unsqueeze(0)).squeeze(0)

    xs = spikes(30, 5, IN)
    _, wanted = equal(OneStep(), stepwise, xs, tmp_path, exact=False, reset=functional.reset_net)
    assert len(wanted.unique()) > 20


def test_time_merged_with_the_batch_comes_out_apart(tmp_path):
    """A graph's answer has time and batch on their own."""
    model = dyadic(OverTime(lambda ys: ys.flatten(0, 1)))
    graph = bridge.to_ir(model, torch.rand(3, 2, 2, 4, 4))
    xs = 2 * torch.rand(40, 5, 2, 4, 4)
    functional.reset_net(model)
    wanted = model(xs).unflatten(0, (40, 5)).detach()
    assert torch.equal(bridge.ir_to_torch(graph).run(xs)[0], wanted)
    assert wanted.any()


class OverTime(nn.Module):
    """Whole sequences, with something between the modules."""

    def __init__(self, function):
        super().__init__()
        self.lif, self.function = neuron.LIFNode(tau=2.0, step_mode="m"), function

    def forward(self, xs):
        return self.function(self.lif(xs))


ACROSS = {
    "flatten features": lambda ys: ys.flatten(2),
    "cat of features": lambda ys: torch.cat([ys, 2 * ys], 2),
    "chunk of features": lambda ys: ys.chunk(2, dim=2)[1],
    "softmax over features": lambda ys: torch.softmax(ys, 2),
    "to the batch first and back": lambda ys: (2 * ys.transpose(0, 1)).transpose(0, 1),
}


@pytest.mark.parametrize("name", ACROSS)
def test_axes_of_a_sequence_are_told_apart(name, tmp_path):
    xs = 2 * torch.rand(40, 5, 2, 4, 4)
    model = OverTime(ACROSS[name])
    equal(model, at_once, xs, tmp_path, exact="softmax" not in name, reset=functional.reset_net)


def test_a_membrane_used_as_a_value(tmp_path):
    class Reading(nn.Module):
        def __init__(self):
            super().__init__()
            self.lif, self.fc = neuron.LIFNode(), nn.Linear(IN, 2)

        def forward(self, x):
            self.lif(x)
            return self.fc(self.lif.v)

    xs = 3 * torch.rand(40, 5, IN)
    equal(dyadic(Reading()), stepwise, xs, tmp_path, exact=False, reset=functional.reset_net)


# Refusals --------------------------------------------------------------------------------------


def refused(model, sample=None):
    with pytest.raises(UnsupportedError) as error:
        bridge.to_ir(model, torch.rand(2, IN) if sample is None else sample)
    return str(error.value)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda ys: torch.cat([ys, ys], 1), "cat"),
        (lambda ys: torch.softmax(ys, 1), "softmax works across the batch"),
        (lambda ys: torch.softmax(ys, 0), "softmax"),
        (lambda ys: ys.flip(0), "flip"),
    ],
    ids=["cat of samples", "softmax over samples", "softmax over time", "backwards in time"],
)
def test_what_no_step_of_a_sample_can_say_is_refused(function, words):
    model = OverTime(function)
    message = refused(model, torch.rand(3, 2, 2, 4, 4))
    assert words in message
    assert "test_export_spikingjelly.py:" in message
    assert model.lif.step_mode == "m"


def apart(module):
    """Another number for each step, as training leaves it."""
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.linspace(0.5, 1.5, p.numel()).view(p.shape))
    return module


FIXED = {
    "GatedLIFNode": lambda: apart(neuron.GatedLIFNode(T=7, step_mode="m")),
    "TemporalEffectiveBatchNorm1d": lambda: apart(layer.TemporalEffectiveBatchNorm1d(7, HIDDEN)),
    "BatchNormThroughTime1d": lambda: layer.BatchNormThroughTime1d(7, HIDDEN, step_mode="m"),
}


@pytest.mark.parametrize("name", FIXED)
def test_parameters_for_each_step_are_refused(name):
    """Another number of steps means nothing to such a module, and each step another thing."""
    module = FIXED[name]()
    mode = getattr(module, "step_mode", "m")
    message = refused(behind_a_layer(module, mode), torch.rand(*(7,) * (mode == "m"), 2, IN))
    assert "'1'" in message
    assert "site-packages" in message
    # The model does run on the sample: what its own code raises at another number is no reason.
    assert "cannot be multiplied" not in message
    assert "by itself" not in message


PARALLEL = {
    "PSN": ("m", lambda: neuron.PSN(T=7), "those to come included"),
    "PSN, half masked": ("m", lambda: neuron.MaskedPSN(3, 7, 0.5), "those to come included"),
    "MaskedPSN": ("m", lambda: neuron.MaskedPSN(3, 7, 1.0), "weights of its own for each of 7"),
    "MaskedPSN, one step": ("s", lambda: neuron.MaskedPSN(3, 7, 1.0), "for each of 7 steps"),
}


@pytest.mark.parametrize("name", PARALLEL)
def test_weights_for_each_pair_of_steps_are_refused_by_what_they_are(name):
    mode, make, words = PARALLEL[name]
    module = make() if name == "PSN" else started_at(make(), mode)
    message = refused(behind_a_layer(module, mode), torch.rand(*(7,) * (mode == "m"), 2, IN))
    assert words in message
    assert "module '1'" in message
    assert "SlidingPSN" in message


@pytest.mark.parametrize("name", ["NoisyCUBALIFNode", "NoisyNonSpikingIFNode"])
def test_noise_is_refused(name):
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(IN, HIDDEN)
            self.noisy = getattr(neuron, name)(HIDDEN, 8)

        def forward(self, xs):
            self.noisy.reset_noise(len(xs)) if hasattr(self.noisy, "reset_noise") else None
            found = self.noisy(self.fc(xs))
            return torch.stack(found) if isinstance(found, list) else found

    message = refused(Noisy(), torch.rand(7, 2, IN))
    assert "noisy" in message


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


def test_the_export_leaves_hidden_states_and_the_graph_behind_them_alone():
    model = nn.Sequential(nn.Linear(IN, HIDDEN), neuron.LIFNode())
    loss = sum(model(x).sum() for x in torch.rand(5, 2, IN))
    kept = model[1].v
    graph = bridge.to_ir(model, torch.rand(2, IN))
    assert bridge.verify(model, graph, torch.rand(5, 2, IN))
    assert model[1].v is kept
    loss.backward()
