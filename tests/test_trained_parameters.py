"""What trains after the import of a model is what trained in the model, and nothing else."""

import copy

import numpy as np
import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from hypothesis import given
from spikingjelly.activation_based import neuron as jelly
from torch import nn

from t1c import nir
from t1c.bridge.modules.tied import TRAINED, slot_of, trained_fields

from .examples import examples
from .export_helpers import Wrapped, bridge, drawn, ir, same, written
from .strategies import nodes


class Fires(torch.autograd.Function):
    """u >= 0 with the gradient of an arctangent, as ``bridge.Surrogate('atan')`` has it."""

    @staticmethod
    def forward(ctx, u):
        ctx.save_for_backward(u)
        return (u >= 0).to(u)

    @staticmethod
    def backward(ctx, gradient):
        (u,) = ctx.saved_tensors
        return gradient / (1 + (torch.pi * u) ** 2)


VALUES = {"gain": 1.5, "decay": 0.875, "base": 0.5, "jump": 0.25, "rho": 0.75, "floor": 0.125}
"""Numbers of the neuron below."""


class Adaptive(nn.Module):
    """A neuron whose threshold rises as it fires; one of its numbers is a parameter that trains.

    The others are whatever code holds numbers in: Python's floats, buffers, plain tensors that
    require a gradient or not, parameters that do not.
    """

    def __init__(self, trained, features=4):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        for name, value in VALUES.items():
            spread = torch.randint(-8, 9, (features,), generator=generator) / 128
            numbers = (value + spread).double()
            if name == trained:
                setattr(self, name, nn.Parameter(numbers))
            elif name in ("base", "gain"):
                self.register_buffer(name, numbers)
            elif name == "jump":
                self.jump = nn.Parameter(numbers, requires_grad=False)
            elif name == "rho":
                self.rho = numbers.requires_grad_()
            else:
                setattr(self, name, value)
        self.reset()

    def reset(self):
        self.v = self.a = 0.0

    def forward(self, x):
        self.v = self.decay * self.v + (1 - 0.875) * (self.gain * x) + self.floor
        spk = Fires.apply(self.v - (self.base + self.jump * self.a))
        self.v = self.v * (1 - spk)
        self.a = self.rho * self.a + spk
        return spk


def driven(model, xs):
    model.reset()
    return torch.stack([model(x) for x in xs])


@pytest.mark.parametrize("trained", VALUES)
def test_one_number_of_a_neuron_trains_as_in_the_model(trained, tmp_path):
    model = Adaptive(trained)
    graph = bridge.to_ir(model, torch.zeros(1, 4).double())
    executor = bridge.ir_to_torch(written(graph, tmp_path), detach_reset=False, dtype=torch.float64)
    (ours,) = [p for p in executor.parameters() if p.requires_grad]
    (theirs,) = [p for p in model.parameters() if p.requires_grad]
    xs = drawn(40, 3, 4, seed=2).double()
    weights = torch.rand(40, 3, 4, generator=torch.Generator().manual_seed(3)).double()
    fired = driven(model, xs)
    assert 0.1 < fired.mean() < 0.9
    assert same(executor.run(xs)[0], fired)
    (weights * executor.run(xs)[0]).sum().backward()
    (weights * driven(model, xs)).sum().backward()
    assert theirs.grad.abs().min() > 1e-3
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-12)
    for one in (executor, model):
        torch.optim.SGD([p for p in one.parameters() if p.requires_grad], lr=0.1).step()
    with torch.no_grad():
        after = driven(model, xs)
        assert same(executor.run(xs)[0], after)
        assert not torch.equal(after, fired)
    again = bridge.to_ir(executor, xs[0])
    moved = 0
    for name, node in graph.nodes.items():
        assert again.nodes[name].metadata == node.metadata
        values = again.nodes[name].parameters()
        moved += sum(not np.array_equal(values[f], held) for f, held in node.parameters().items())
    assert moved == 1


# Where a parameter stands ------------------------------------------------------------------------


def weights_of(model, sample=None):
    """Node and field of what trains in the graph of a model, once it was imported."""
    graph = bridge.to_ir(model, torch.zeros(2, 4) if sample is None else sample)
    executor = bridge.ir_to_torch(graph)
    found = []
    for name, node in graph.nodes.items():
        for field in node.parameters():
            slot = slot_of(executor.node(name), field)
            if slot is not None and slot.get().requires_grad:
                found.append((node.primitive, field))
    return found


def parameter(*shape, trains=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return nn.Parameter(1 + torch.rand(*shape, generator=generator) / 2, requires_grad=trains)


W = {"w": parameter(4)}
PLACES = {
    "sum": (lambda m, x: x + m.w, [("Shift", "shift")]),
    "sum of a number": (lambda m, x: x + 1.5, []),
    "zero": (lambda m, x: x + m.zero, [("Shift", "shift")]),
    "zero taken off": (lambda m, x: x - m.zero, [("Shift", "shift")]),
    "zero less": (lambda m, x: m.zero - x, [("Shift", "shift")]),
    "difference": (lambda m, x: x - m.w, [("Shift", "shift")]),
    "difference to": (lambda m, x: m.w - x, [("Shift", "shift")]),
    "product": (lambda m, x: m.w * x, [("Scale", "scale")]),
    "product with a number": (lambda m, x: 3 * x - 1, []),
    "quotient": (lambda m, x: x / m.w, [("Shift", "shift")]),
    "quotient by a power of 2": (lambda m, x: x / m.two, [("Scale", "scale")]),
    "threshold": (lambda m, x: (x > m.w).float(), [("Shift", "shift")]),
    "threshold above": (lambda m, x: (m.w >= x).float(), [("Shift", "shift")]),
    "threshold of a number": (lambda m, x: (x > 1.5).float(), []),
    "worked out": (lambda m, x: x * torch.sigmoid(m.w), [("Scale", "scale")]),
    "cut off": (lambda m, x: x * torch.sigmoid(m.w.detach()), []),
    "its data": (lambda m, x: x * m.w.data, []),
    "a mask of it": (lambda m, x: x * (m.w > 1.25).float(), []),
    "a buffer": (lambda m, x: x * m.buffer + torch.sigmoid(m.buffer), []),
    "chosen": (lambda m, x: torch.where(x > 0, m.w, x), [("Shift", "shift")]),
    "matrix": (lambda m, x: x @ m.square, [("Linear", "weight")]),
    "matrix of a buffer": (lambda m, x: x @ m.square.detach(), []),
    "linear": (lambda m, x: F.linear(x, m.square, m.buffer), [("Affine", "weight")]),
    "linear, its bias": (lambda m, x: F.linear(x, m.square.data, m.w), [("Affine", "bias")]),
    "linear without a bias": (lambda m, x: F.linear(x, m.square), [("Affine", "weight")]),
    "einsum": (lambda m, x: torch.einsum("bi,ij->bj", x, m.square), [("Linear", "weight")]),
    "einsum of each": (lambda m, x: torch.einsum("bi,i->bi", x, m.w), [("Scale", "scale")]),
    "norm": (lambda m, x: F.layer_norm(x, (4,), m.w), [("LayerNorm", "weight")]),
    "norm, its bias": (
        lambda m, x: F.layer_norm(x, (4,), m.buffer, m.w),
        [("LayerNorm", "bias")],
    ),
    "group norm": (lambda m, x: F.group_norm(x, 2, m.w, m.buffer), [("GroupNorm", "weight")]),
    "batch norm": (
        lambda m, x: F.batch_norm(x, m.buffer, m.buffer, None, m.w),
        [("BatchNorm1d", "bias")],
    ),
    "slopes": (lambda m, x: F.prelu(x, m.w), [("PReLU", "weight")]),
    "copies": (lambda m, x: x[:, :1] * torch.ones(4), []),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_parameter_in_code_trains_and_constants_do_not(place):
    forward, wanted = PLACES[place]
    torch.manual_seed(0)
    members = {
        "w": parameter(4),
        "square": parameter(4, 4, seed=1),
        "two": nn.Parameter(torch.full((4,), 2.0)),
        "zero": nn.Parameter(torch.zeros(())),
    }
    model = Wrapped(forward, **members)
    model.register_buffer("buffer", 1 + torch.rand(4))
    assert weights_of(model) == wanted
    model.requires_grad_(False)
    assert weights_of(model) == []


@pytest.mark.parametrize("trains", [True, False])
@pytest.mark.parametrize(
    ("function", "weight", "sample", "kind"),
    [
        (F.conv1d, (2, 3, 2), (3, 5), "Conv1d"),
        (F.conv2d, (2, 3, 2, 2), (3, 5, 5), "Conv2d"),
        (F.conv_transpose2d, (3, 2, 2, 2), (3, 5, 5), "ConvTranspose2d"),
    ],
)
def test_convolutions_as_functions(function, weight, sample, kind, trains):
    model = Wrapped(
        lambda m, x: function(x, m.weight, m.bias),
        weight=parameter(*weight, trains=trains),
        bias=parameter(2, trains=not trains),
    )
    field = "weight" if trains else "bias"
    assert weights_of(model, torch.zeros(1, *sample)) == [(kind, field)]


def test_a_cell_whose_state_stays_at_rest():
    model = Wrapped(lambda m, x: m.cell(x)[0], cell=nn.LSTMCell(4, 3))
    model.cell.weight_ih.requires_grad_(False)
    model.cell.bias_ih.requires_grad_(False)
    # Its hidden state is 0, and gives no gradient to the weights that it is multiplied with.
    assert weights_of(model) == [("Shift", "shift")]
    model.cell.bias_hh.requires_grad_(False)
    assert weights_of(model) == []


def test_a_buffer_in_the_place_of_a_weight_does_not_train():
    model = nn.Sequential(nn.Linear(4, 4))
    weight = model[0].weight.detach().clone()
    del model[0].weight
    model[0].register_buffer("weight", weight)
    assert weights_of(model) == [("Affine", "bias")]


def test_what_is_one_parameter_in_code_is_one_after_the_import():
    def forward(m, x):
        return m.w * torch.relu(m.w * x + F.linear(x, m.fc.weight)) + m.fc(x)

    model = Wrapped(forward, w=parameter(4), fc=nn.Linear(4, 4))
    executor = bridge.ir_to_torch(bridge.to_ir(model, torch.zeros(1, 4)))
    assert len(list(executor.parameters())) == 3  # w, and the weight and the bias of fc
    xs = torch.rand(5, 8, 4)
    for one in (lambda: torch.stack([model(x) for x in xs]), lambda: executor.run(xs)[0]):
        one().square().sum().backward()
    theirs = sorted(p.grad.sum().item() for p in model.parameters())
    ours = sorted(p.grad.sum().item() for p in executor.parameters() if p.requires_grad)
    assert len(ours) == len(theirs) == 3
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


# Neurons that are recognised ---------------------------------------------------------------------


def leaky(m, x):
    m.v = 0.75 * m.v + m.gain * x
    spk = (m.v >= 1).float()
    m.v = m.v * (1 - spk)
    return spk


def test_a_gain_that_trains_stays_beside_its_neuron():
    still = Wrapped(leaky, v=0, gain=parameter(4, trains=False))
    graph = bridge.to_ir(still, torch.zeros(1, 4))
    assert [n.primitive for n in graph.nodes.values()] == ["Input", "LIF", "Output"]
    assert weights_of(still) == []
    model = Wrapped(leaky, v=0, gain=parameter(4))
    graph = bridge.to_ir(model, torch.zeros(1, 4))
    assert [n.primitive for n in graph.nodes.values()] == ["Input", "Scale", "LIF", "Output"]
    assert weights_of(model) == [("Scale", "scale")]


def test_learn_decides_on_what_a_neuron_holds_as_ever():
    graph = bridge.to_ir(Wrapped(leaky, v=0, gain=2.0), torch.zeros(1, 4))
    (neuron,) = [n for n in graph.nodes.values() if isinstance(n, ir.LIF)]
    assert "frozen" not in neuron.metadata
    assert not list(bridge.ir_to_torch(graph).parameters())
    learnt = bridge.ir_to_torch(graph, learn=["tau", "v_threshold"])
    assert len([p for p in learnt.parameters() if p.requires_grad]) == 2


# Neurons of frameworks ---------------------------------------------------------------------------


@pytest.mark.parametrize("trains", [True, False])
def test_parts_of_framework_neurons_train_where_theirs_do(trains):
    recurrent = snn.RLeaky(0.5, all_to_all=False, V=0.5, learn_recurrent=trains, init_hidden=True)
    graded = snn.Leaky(
        0.5, graded_spikes_factor=2.0, learn_graded_spikes_factor=trains, init_hidden=True
    )
    sliding = jelly.SlidingPSN(k=2, step_mode="s")
    sliding.requires_grad_(trains)
    counts = {"rleaky": 1, "graded": 1, "sliding": 3}
    for name, model in (("rleaky", recurrent), ("graded", graded), ("sliding", sliding)):
        found = weights_of(nn.Sequential(model), torch.zeros(1, 4))
        assert len(found) == (counts[name] if trains else 0), name


# Notes -------------------------------------------------------------------------------------------


@examples(300)
@given(nodes())
def test_what_trains_unless_noted_is_what_modules_hold_as_parameters(node):
    node = node.replace(metadata={})
    module = bridge.node_to_module(node) if not isinstance(node, ir.Graph) else None
    if module is None:
        return
    held = {field: slot_of(module, field) for field in node.parameters()}
    found = {
        field
        for field, slot in held.items()
        if slot is not None and isinstance(slot.get(), nn.Parameter)
    }
    assert found == trained_fields(node) == TRAINED & set(node.parameters())


def test_graphs_without_notes_train_as_they_did():
    x = np.ones(4, np.float32)
    nodes = {"input": ir.Input((4,)), "s": ir.Scale(x), "a": ir.Shift(x), "output": ir.Output((4,))}
    graph = ir.Graph(nodes, [("input", "s"), ("s", "a"), ("a", "output")])
    assert len([p for p in bridge.ir_to_torch(graph).parameters() if p.requires_grad]) == 2


def test_nir_files_hold_the_same_numbers_with_and_without_notes(tmp_path):
    def forward(m, x):
        return 0.5 * m.fc(x * 3.0)

    graph = bridge.to_ir(Wrapped(forward, fc=nn.Linear(4, 4)), torch.zeros(1, 4))
    noted = [name for name, node in graph.nodes.items() if "frozen" in node.metadata]
    assert len(noted) == 2
    bare = copy.deepcopy(graph)
    for name in noted:
        bare.nodes[name].metadata.clear()
    back = []
    for number, one in enumerate((graph, bare)):
        path = tmp_path / f"{number}.nir"
        assert not nir.write(path, one, dt=1e-3)
        back.append(nir.read(path, dt=1e-3))
    for name, node in back[1].nodes.items():
        values = back[0].nodes[name].values()
        assert values.keys() == node.values().keys()
        for field, value in node.values().items():
            np.testing.assert_array_equal(values[field], value)
