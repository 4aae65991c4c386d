"""A neuron that has no primitive is one node of the graph, and means what its nodes would."""

import pytest
import torch
from torch import nn

from t1c import bridge, ir
from t1c.bridge.tracing.nesting import nested

from .export_helpers import written

WIDTH = 8


class Adaptive(nn.Module):
    """A threshold that spikes raise, and a decay that trains and is used twice."""

    def __init__(self):
        super().__init__()
        self.input = self.a = None
        self.decay = nn.Parameter(torch.tensor(0.75))

    def forward(self, x):
        if self.input is None:
            self.input = self.a = torch.zeros_like(x)
        u = self.decay * self.input + x
        spikes = (u >= 0.5 + self.a).float()
        self.input = u * (1 - spikes)
        self.a = self.decay * self.a + 0.5 * spikes
        return spikes


class Net(nn.Module):
    def __init__(self, neuron):
        super().__init__()
        self.fc, self.cell = nn.Linear(6, WIDTH), neuron
        with torch.no_grad():
            self.fc.weight.copy_((self.fc.weight * 256).round() / 64)
            self.fc.bias.copy_((self.fc.bias * 256).round() / 256)

    def forward(self, x):
        return self.cell(self.fc(x))


def drawn(steps=30):
    return torch.randint(0, 257, (steps, 3, 6), generator=torch.Generator().manual_seed(1)) / 256


def rest(model):
    for inner in model.modules():
        for name in ("input", "a", "v"):
            if name in inner.__dict__:
                setattr(inner, name, None)


def stepped(model, xs):
    rest(model)
    with torch.no_grad():
        return torch.stack([model(x) for x in xs])


def test_it_is_one_node_with_its_variables_inside(tmp_path):
    model, xs = Net(Adaptive()), drawn()
    graph = bridge.to_ir(model, xs[:1, :1].flatten(0, 1))
    assert list(graph.nodes) == ["input", "fc", "cell", "output"]
    cell = graph.nodes["cell"]
    assert isinstance(cell, ir.Graph)
    # The names of borders are taken: a variable of such a name keeps its own.
    assert [n for n, node in cell.nodes.items() if isinstance(node, ir.Delay)] == ["input_", "a"]
    wanted = stepped(model, xs)
    assert 0 < wanted.mean() < 1
    executor = bridge.ir_to_torch(written(graph, tmp_path))
    with torch.no_grad():
        found, state = executor.run(xs)
    assert torch.equal(found, wanted)
    assert torch.equal(state["cell"]["input_"], model.cell.input)
    assert torch.equal(state["cell"]["a"], model.cell.a)
    again = {**state}
    assert type(again) is dict
    with torch.no_grad():
        assert torch.equal(executor.run(xs, again)[0], torch.stack([model(x) for x in xs]).detach())


def test_what_is_one_parameter_stays_one():
    graph = bridge.to_ir(Net(Adaptive()), torch.zeros(1, 6))
    executor = bridge.ir_to_torch(graph)
    trained = {name for name, p in executor.named_parameters() if p.requires_grad}
    assert {name.partition(".")[0] for name in trained} >= {"fc"}
    inside = [name for name in trained if not name.startswith("fc.")]
    assert len(inside) == 1, inside
    xs = drawn()
    executor.run(xs)[0].sum().backward()
    assert executor.get_parameter(inside[0]).grad.abs() > 0


def test_a_neuron_in_a_loop():
    class Looped(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.back, self.last = Net(Adaptive()), nn.Linear(WIDTH, 6), None
            with torch.no_grad():
                self.back.weight.copy_((self.back.weight * 256).round() / 256)
                self.back.bias.zero_()

        def forward(self, x):
            sent = 0 * x[:, :1].expand(-1, WIDTH) if self.last is None else self.last
            self.last = self.net(x + self.back(sent))
            return self.last

    model, xs = Looped(), drawn()
    graph = bridge.to_ir(model, xs[0])
    assert isinstance(graph.nodes["net.cell"], ir.Graph)
    rest(model)
    model.last = None
    with torch.no_grad():
        wanted = torch.stack([model(x) for x in xs])
        executor = bridge.ir_to_torch(graph, return_state=True)
        assert torch.equal(executor.run(xs)[0], wanted)
        state, sent = {}, []
        for x in xs:
            y, state = executor(x, state)
            sent.append(y)
    assert wanted.any()
    assert torch.equal(torch.stack(sent), wanted)


class TwoSent(nn.Module):
    """The model takes its membrane too."""

    def __init__(self):
        super().__init__()
        self.v = None

    def forward(self, x):
        u = x if self.v is None else 0.5 * self.v * (1 - (self.v > 1).float()) + x
        self.v = u
        return torch.cat([(u > 1).float(), u], 1)


class Weighted(nn.Module):
    """A cell with weights between its steps."""

    def __init__(self):
        super().__init__()
        self.v, self.own = None, nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x):
        u = x if self.v is None else self.own(self.v * self.v) + x
        self.v = u * (1 - (u > 1).float())
        return (u > 1).float()


@pytest.mark.parametrize("kind", [TwoSent, Weighted])
def test_what_is_no_single_neuron_stays_as_it_is(kind):
    graph = bridge.to_ir(Net(kind()), torch.rand(1, 6))
    assert not any(isinstance(node, ir.Graph) for node in graph.nodes.values())
    assert any(name.startswith("cell.") for name in graph.nodes)


def test_nesting_moves_nothing():
    """Inlined again, a nested graph has the nodes and the edges that it was made of."""
    graph = bridge.to_ir(Net(Adaptive()), torch.zeros(1, 6))
    flat = graph.flat()
    renamed = {n: n.replace("cell/", "cell.") for n in flat.nodes}
    plain = ir.Graph(
        {renamed[n]: node for n, node in flat.nodes.items()},
        [(renamed[a], renamed[b]) for a, b in flat.edges],
        allow_cycles=True,
    )
    # Its borders are Identity nodes now, which are no part of a neuron.
    assert nested(plain) is plain
    xs = drawn().double()
    with torch.no_grad():
        one, other = (bridge.ir_to_torch(g, dtype=torch.float64).run(xs)[0] for g in (graph, plain))
    assert one.any()
    assert torch.equal(one, other)
