"""Parameters that are one stay one, imported, trained, written back; frozen ones stay frozen."""

import copy
import itertools

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, event, given
from hypothesis import strategies as st
from torch import nn

from t1c.ir.primitives.neuron import Neuron

from .examples import examples
from .export_helpers import bridge, dyadic, ir, spikes, written
from .strategies_executor import networks, sequences


def affine(seed=0, **notes):
    draws = np.random.default_rng(seed)
    weight = (draws.integers(-256, 257, (4, 4)) / 256).astype(np.float32)
    bias = (draws.integers(-256, 257, 4) / 256).astype(np.float32)
    return ir.Affine(weight, bias, metadata=notes)


def chain(*nodes):
    """input -> 0 -> 1 ... -> output, on four features."""
    names = ["input", *(str(i) for i in range(len(nodes))), "output"]
    graph = dict(zip(names, [ir.Input((4,)), *nodes, ir.Output((4,))], strict=True))
    return ir.Graph(graph, list(itertools.pairwise(names)))


def train(model, forward, steps=4):
    """A few steps of gradient descent, on fresh inputs."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)
    for step in range(steps):
        optimizer.zero_grad()
        forward(spikes(8, 4, seed=step)).square().sum().backward()
        optimizer.step()


class TwiceTheSame(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.act = nn.Linear(4, 4), nn.Tanh()

    def forward(self, x):
        return self.fc(self.act(self.fc(x)))


class Tied(nn.Module):
    """Two layers with biases of their own and one weight."""

    def __init__(self):
        super().__init__()
        self.encoder, self.act, self.decoder = nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)
        self.decoder.weight = self.encoder.weight

    def forward(self, x):
        return self.decoder(self.act(self.encoder(x)))


def test_a_module_used_twice_trains_as_one(tmp_path):
    model = dyadic(TwiceTheSame()).train()
    graph = written(bridge.to_ir(model, torch.zeros(1, 4)), tmp_path)
    executor = bridge.ir_to_torch(graph)
    first, second = executor.node("fc"), executor.node("fc_2")
    assert first.weight is second.weight
    assert first.bias is second.bias
    assert len(list(executor.parameters())) == 2
    before = first.weight.detach().clone()
    train(model, model)
    train(executor, executor)
    assert not torch.equal(first.weight, before)
    torch.testing.assert_close(first.weight, model.fc.weight)
    torch.testing.assert_close(second.bias, model.fc.bias)
    back = written(bridge.to_ir(executor, torch.zeros(1, 4)), tmp_path)
    assert back.nodes["fc_2"].metadata["copy_of"] == "fc"
    assert np.array_equal(back.nodes["fc"].weight, back.nodes["fc_2"].weight)
    assert not np.array_equal(back.nodes["fc"].weight, graph.nodes["fc"].weight)
    assert len(list(bridge.ir_to_torch(back).parameters())) == 2


def test_a_weight_of_two_modules_trains_as_one(tmp_path):
    model = dyadic(Tied()).train()
    encoder, decoder = (
        ir.Affine(m.weight.detach().numpy(), m.bias.detach().numpy(), metadata=notes)
        for m, notes in (
            (model.encoder, {}),
            (model.decoder, {"tied": {"weight": "my.encoder.weight"}}),
        )
    )
    nodes = {
        "input": ir.Input((4,)),
        "my.encoder": encoder,
        "act": ir.Tanh(4),
        "decoder": decoder,
        "output": ir.Output((4,)),
    }
    names = list(nodes)
    graph = written(ir.Graph(nodes, list(itertools.pairwise(names))), tmp_path)
    executor = bridge.ir_to_torch(graph)
    assert executor.node("my.encoder").weight is executor.node("decoder").weight
    assert executor.node("my.encoder").bias is not executor.node("decoder").bias
    train(model, model)
    train(executor, executor)
    torch.testing.assert_close(executor.node("decoder").weight, model.encoder.weight)
    torch.testing.assert_close(executor.node("decoder").bias, model.decoder.bias)
    back = bridge.to_ir(executor, torch.zeros(1, 4))
    assert back.nodes["decoder"].metadata == {"tied": {"weight": "my.encoder.weight"}}
    assert bridge.ir_to_torch(back).node("decoder").weight.shape == (4, 4)


def test_an_untouched_executor_gives_back_its_notes():
    graph = chain(affine(), affine(copy_of="0"), affine(tied={"bias": "1.bias"}, frozen=["weight"]))
    assert bridge.to_ir(bridge.ir_to_torch(graph), torch.zeros(1, 4)).equals(graph)


def test_ties_are_followed_through_each_other():
    """Whatever the order: a copy of a copy, and a field tied to a copy's."""
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)):
        names = [str(order.index(i)) for i in range(4)]
        nodes = [
            affine(copy_of=names[1]),
            affine(copy_of=names[2]),
            affine(),
            affine(tied={"weight": f"{names[0]}.weight"}),
        ]
        graph = chain(*(nodes[i] for i in order))
        executor = bridge.ir_to_torch(graph)
        assert len({id(executor.node(n).weight) for n in names}) == 1
        assert len(list(executor.parameters())) == 3
        assert bridge.to_ir(executor, torch.zeros(1, 4)).equals(graph)


@pytest.mark.parametrize(
    "notes",
    [
        {"copy_of": "0", "seed": 1},
        {"copy_of": "nobody"},
        {"copy_of": "input"},
        {"copy_of": "1"},
        {"copy_of": 0},
        {"tied": "0.weight"},
        {"tied": {"weight": "0.bias", "bias": "nobody.bias", "nothing": "0.weight"}},
        {"tied": {"weight": 3.0}},
        {"tied": {"weight": "0"}},
        {"frozen": "weight"},
        {"frozen": [1.0]},
        {"frozen": ["nothing"]},
    ],
)
def test_a_note_that_does_not_fit_has_no_effect(notes):
    graph = chain(affine(), affine(**notes))
    executor = bridge.ir_to_torch(graph)
    assert len(list(executor.parameters())) == 4
    assert all(p.requires_grad for p in executor.parameters())
    assert bridge.to_ir(executor, torch.zeros(1, 4)).equals(graph)


def test_what_became_two_is_written_as_two_and_what_became_one_as_one():
    executor = bridge.ir_to_torch(chain(affine(), affine(copy_of="0"), affine(seed=2)))
    one, two, three = (executor.node(n) for n in "012")
    two.weight = nn.Parameter(two.weight.detach().clone())
    three.bias = one.bias
    back = bridge.to_ir(executor, torch.zeros(1, 4))
    assert back.nodes["1"].metadata == {"tied": {"bias": "0.bias"}}
    assert back.nodes["2"].metadata == {"tied": {"bias": "0.bias"}}
    again = bridge.ir_to_torch(back)
    assert len({id(again.node(n).bias) for n in "012"}) == 1
    assert len({id(again.node(n).weight) for n in "012"}) == 3


def test_casting_and_copying_keep_one_buffer():
    norm = {"weight": np.ones(4), "bias": np.zeros(4), "running_mean": np.zeros(4)}
    norm |= {"num_features": 4, "running_var": np.ones(4)}
    graph = chain(ir.BatchNorm1d(**norm), ir.BatchNorm1d(**norm, metadata={"copy_of": "0"}))
    executor = copy.deepcopy(bridge.ir_to_torch(graph).double()).train()
    executor(torch.arange(8.0, dtype=torch.float64).reshape(2, 4))
    module = nn.BatchNorm1d(4, dtype=torch.float64)
    model = nn.Sequential(module, module).train()
    model(torch.arange(8.0, dtype=torch.float64).reshape(2, 4))
    assert bool(module.running_mean.any())
    for name in "01":
        torch.testing.assert_close(executor.node(name).running_mean, module.running_mean)
        torch.testing.assert_close(executor.node(name).running_var, module.running_var)


def test_what_a_tied_neuron_learns_is_one(tmp_path):
    def lif(**notes):
        tau, r, leak, threshold = (np.array(v) for v in (2.0, 2.0, 0.25, 0.5))
        return ir.LIF(tau, r, leak, threshold, metadata=notes)

    graph = chain(affine(), lif(), affine(seed=1), lif(copy_of="1"))
    executor = bridge.ir_to_torch(graph, learn=("tau", "v_threshold"))
    one, two = executor.node("1"), executor.node("3")
    assert one.tau is two.tau
    assert one.v_threshold is two.v_threshold
    assert one.v_leak is two.v_leak
    assert not isinstance(one.v_leak, nn.Parameter)
    assert len(list(executor.parameters())) == 6
    xs = spikes(12, 8, 4, seed=3)
    out, _ = executor.run(xs)
    assert 0 < out.mean() < 1
    out.sum().backward()
    apart = bridge.ir_to_torch(
        chain(affine(), lif(), affine(seed=1), lif()), learn=("tau", "v_threshold")
    )
    apart.run(xs)[0].sum().backward()
    parts = [apart.node(n).tau.grad for n in "13"]
    assert all(bool(g) for g in parts)
    torch.testing.assert_close(one.tau.grad, parts[0] + parts[1])
    torch.optim.SGD([one.tau], lr=1e-3).step()
    back = written(bridge.to_ir(executor, torch.zeros(1, 4)), tmp_path)
    assert back.nodes["1"].tau == back.nodes["3"].tau != 2.0
    assert back.nodes["3"].metadata == {"copy_of": "1"}


def test_fields_of_two_names_learn_as_one_whichever_is_named():
    def values(*numbers):
        return [np.array(v) for v in numbers]

    first = ir.LIF(*values(2.0, 2.0, 0.25, 0.5))
    second = ir.CubaLIF(*values(3.0, 2.0, 2.0, 0.25, 0.5), metadata={"tied": {"tau_mem": "0.tau"}})
    for name in ("tau", "tau_mem"):
        executor = bridge.ir_to_torch(chain(first, second), learn=name)
        (learned,) = executor.parameters()
        assert executor.node("0").tau is learned
        assert executor.node("1").tau_mem is learned
        executor.double()
        assert executor.node("0").tau is executor.node("1").tau_mem


def test_requires_grad_survives_a_round_trip(tmp_path):
    model = dyadic(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)))
    model[0].weight.requires_grad_(False)
    graph = written(bridge.to_ir(model, torch.zeros(1, 4)), tmp_path)
    assert graph.nodes["0"].metadata == {"frozen": ["weight"]}
    assert graph.nodes["2"].metadata == {}
    executor = bridge.ir_to_torch(graph)
    trains = {name: p.requires_grad for name, p in executor.named_parameters()}
    assert trains == {"0.weight": False, "0.bias": True, "2.weight": True, "2.bias": True}
    train(model, model)
    train(executor, executor)
    assert np.array_equal(executor.node("0").weight.numpy(), graph.nodes["0"].weight)
    torch.testing.assert_close(executor.node("2").weight, model[2].weight)
    executor.node("2").requires_grad_(False)
    executor.node("0").weight.requires_grad_(True)
    back = bridge.to_ir(executor, torch.zeros(1, 4))
    assert back.nodes["0"].metadata == {}
    assert back.nodes["2"].metadata == {"frozen": ["weight", "bias"]}


def test_parts_of_a_separable_convolution_are_tied_and_frozen():
    draws = np.random.default_rng(0)

    def convolution(**notes):
        return ir.SepConv2d(depth, point, metadata=notes)

    depth, point = draws.normal(size=(2, 1, 3, 3)), draws.normal(size=(2, 2, 1, 1))
    nodes = {
        "input": ir.Input((2, 5, 5)),
        "a": convolution(frozen=["depthwise_weight"]),
        "b": convolution(tied={"pointwise_weight": "a.pointwise_weight"}),
        "output": ir.Output((2, 1, 1)),
    }
    names = list(nodes)
    graph = ir.Graph(nodes, list(itertools.pairwise(names)))
    executor = bridge.ir_to_torch(graph)
    a, b = executor.node("a"), executor.node("b")
    assert a.pointwise.weight is b.pointwise.weight
    assert a.depthwise.weight is not b.depthwise.weight
    assert (a.depthwise.weight.requires_grad, b.depthwise.weight.requires_grad) == (False, True)
    assert bridge.to_ir(executor, torch.zeros(1, 2, 5, 5)).equals(graph)


def test_a_note_inside_a_nested_graph_names_its_neighbour():
    inner = chain(affine(), affine(copy_of="0"))
    outer = ir.Graph(
        {"input": ir.Input((4,)), "part": inner, "output": ir.Output((4,))},
        [("input", "part"), ("part", "output")],
    )
    executor = bridge.ir_to_torch(outer)
    assert executor.node("part/0").weight is executor.node("part/1").weight
    assert bridge.to_ir(executor, torch.zeros(1, 4)).equals(outer)


# Beside everything else a graph says ---------------------------------------------------------


def doubled(graph, name, **notes):
    """The graph with a node of the same parameters behind ``name``, before all that follows it."""
    again = f"{name} again"
    nodes = {**graph.nodes, again: graph.nodes[name].replace(metadata=notes)}
    edges = [(again if source == name else source, target) for source, target in graph.edges]
    try:
        return ir.Graph(nodes, [*edges, (name, again)], allow_cycles=graph.allow_cycles)
    except ir.GraphError as error:
        assume(not all("symmetric" in p.found for p in error.problems))
        raise


# Two executors of the same loops, compiled or not.
@pytest.mark.usefixtures("uncompiled")
@examples(25, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_neuron_used_twice_is_one_in_any_graph(data, tmp_path_factory):
    """Inputs held still, final outputs, memory, cycles: the gradient is the sum of both places'."""
    graph = data.draw(networks(every=True, cyclic=data.draw(st.booleans())))
    neurons = [n for n, node in graph.nodes.items() if isinstance(node, Neuron)]
    assume(neurons)
    name = data.draw(st.sampled_from(neurons))
    tied = written(doubled(graph, name, copy_of=name), tmp_path_factory.mktemp("tied"))
    learn = sorted(graph.nodes[name].parameters())
    executors = [
        bridge.ir_to_torch(g, return_state=True, dtype=torch.float64, learn=learn)
        for g in (tied, doubled(graph, name))
    ]
    xs = {n: torch.from_numpy(x) for n, x in data.draw(sequences(graph)).items()}
    answers = []
    for executor in executors:
        out, _ = executor.run(xs, collect="stack")
        outs = list(out.values()) if isinstance(out, dict) else [out]
        answers.append(torch.cat([y.flatten() for y in outs]))
    assert torch.equal(*answers)
    if not answers[0].requires_grad:
        return
    weights = torch.from_numpy(np.random.default_rng(0).normal(size=len(answers[0])))
    for answer in answers:
        (weights * answer).sum().backward()
    one, first, second = (
        dict(executor.node(n).named_parameters())
        for executor, n in (
            (executors[0], name), (executors[1], name), (executors[1], f"{name} again")
        )
    )  # fmt: skip
    assert len(one) == len(learn)
    for field, parameter in one.items():
        grads = [p.grad for p in (first[field], second[field]) if p.grad is not None]
        if grads:
            torch.testing.assert_close(parameter.grad, sum(grads), rtol=1e-9, atol=1e-9)
    event(f"moved: {any(p.grad is not None and p.grad.any() for p in one.values())}")
    sample = {n: x[0] for n, x in xs.items()}
    sample = sample if len(sample) > 1 else next(iter(sample.values()))
    assert bridge.to_ir(executors[0], sample).equals(tied)
    assert bridge.verify(tied, executors[0], xs).agree
