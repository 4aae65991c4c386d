"""What a model keeps from step to step, and parameters that several of its layers share."""

import collections
import copy

import pytest
import snntorch as snn
import torch
from torch import nn

from t1c.ir.errors import UnsupportedError

from .export_helpers import (
    LENGTH,
    SAMPLES,
    Wrapped,
    bridge,
    drawn,
    dyadic,
    equal,
    net,
    same,
    spikes,
    there_and_back,
    types_of,
    whole,
)

T, B = 200, 2


# Recurrences -----------------------------------------------------------------------------------


class Recurrent(nn.Module):
    """Hidden spikes run back through a layer: y_t = lif(W x_t + U y_(t-1))."""

    def __init__(self):
        super().__init__()
        self.fc, self.rec, self.lif = nn.Linear(6, 8), nn.Linear(8, 8), snn.Leaky(0.5)
        self.out, self.lif_out = nn.Linear(8, 3), snn.Leaky(0.75, reset_mechanism="zero")

    def forward(self, x):
        spk = torch.zeros(x.shape[1], 8)
        mem, mem_out = self.lif.init_leaky(), self.lif_out.init_leaky()
        out = []
        for t in range(len(x)):
            spk, mem = self.lif(self.fc(x[t]) + self.rec(spk), mem)
            spk_out, mem_out = self.lif_out(self.out(spk), mem_out)
            out.append(spk_out)
        return torch.stack(out)


def test_recurrent_classifier(tmp_path):
    model = dyadic(Recurrent(), 1.0)
    xs = spikes(T, B, 6)
    executor = there_and_back(model, xs[:3], tmp_path)
    assert executor.graph.feedback_edges() == [("lif", "rec")]
    wanted = model(xs).detach()
    assert same(executor.run(xs)[0], wanted)
    assert wanted.any()


def test_feedback_computed_at_the_end_of_a_step(tmp_path):
    class Late(Recurrent):
        def forward(self, x):
            back = self.rec(torch.zeros(x.shape[1], 8))
            mem, out = None, []
            for x_t in x:
                spk, mem = self.lif(self.fc(x_t) + back, mem)
                back = self.rec(spk)
                out.append(spk)
            return torch.stack(out)

    model = dyadic(Late(), 1.0)
    xs = spikes(50, B, 6)
    executor = there_and_back(model, xs[:3], tmp_path)
    assert executor.graph.feedback_edges() == [("lif", "rec")]
    assert same(executor.run(xs)[0], model(xs).detach())


def test_feedback_against_the_rule_is_stated(tmp_path):
    """The first layer listens to the present of the second: no rule could guess that."""

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = snn.Leaky(0.5), snn.Leaky(0.75)
            self.into_b, self.into_a = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            mem_a = mem_b = None
            spk_a, out = torch.zeros(x.shape[1], 4), []
            for x_t in x:
                spk_b, mem_b = self.b(self.into_b(spk_a), mem_b)
                spk_a, mem_a = self.a(x_t + self.into_a(spk_b), mem_a)
                out.append(spk_b)
            return torch.stack(out)

    model = dyadic(Odd())
    xs = spikes(50, B, 4)
    executor = there_and_back(model, xs[:4], tmp_path)
    assert executor.graph.feedback == [("a", "into_b")]
    wanted = model(xs).detach()
    assert same(executor.run(xs)[0], wanted)
    assert wanted.any()


def test_a_past_value_outside_of_any_loop(tmp_path):
    class Delayed(Recurrent):
        def forward(self, x):
            spk, mem, mem_out, out = torch.zeros(x.shape[1], 8), None, None, []
            for x_t in x:
                before = spk
                spk, mem = self.lif(self.fc(x_t), mem)
                spk_out, mem_out = self.lif_out(self.out(spk + before), mem_out)
                out.append(spk_out)
            return torch.stack(out)

    model = dyadic(Delayed(), 1.0)
    xs = spikes(50, B, 6)
    executor = there_and_back(model, xs[:4], tmp_path)
    wanted = model(xs).detach()
    assert same(executor.run(xs)[0], wanted)
    assert wanted.any()


def test_ordinary_weights_part_at_most_by_rounding(tmp_path):
    torch.manual_seed(0)
    model = Recurrent()
    xs = spikes(T, B, 6)
    graph = bridge.to_ir(model, xs[:2], verify=xs)
    report = bridge.verify(model, graph, xs)
    assert report.within_rounding
    assert model(xs).any()


# Attributes ------------------------------------------------------------------------------------


def readout_from_none(m, x):
    m.v = m.fc(x) if m.v is None else 0.5 * m.v + m.fc(x)
    return m.v


def readout_from_zero(m, x):
    m.v = 0.5 * m.v + m.fc(x)
    return m.v


def readout_in_a_list(m, x):
    for i, fc in enumerate((m.fc, m.head)):
        x = m.v[i] = 0.5 * m.v[i] + fc(x)
    return x


def readout_in_a_dict(m, x):
    m.v["mem"] = 0.5 * m.v.get("mem", 0) + m.fc(x)
    return m.v["mem"]


def readout_in_a_tuple(m, x):
    syn, mem = m.v or (torch.zeros(len(x), 8), torch.zeros(len(x), 8))
    syn = 0.5 * syn + m.fc(x)
    m.v = syn, 0.75 * mem + syn
    return m.v[1]


def readout_in_place(m, x):
    if m.v is None:
        m.v = torch.zeros(len(x), 8)
    m.v.mul_(0.5).add_(m.fc(x))
    return m.v.clone()


def recurrent_relu(m, x):
    m.v = torch.relu(m.fc(x) + m.rec(m.v) if torch.is_tensor(m.v) else m.fc(x))
    return m.v


def running_maximum(m, x):
    y = m.fc(x)
    m.v = y if m.v is None else torch.maximum(m.v, y)
    return m.v


def running_maximum_from_zero(m, x):
    y = m.fc(x)
    m.v = torch.maximum(torch.zeros_like(y) if m.v is None else m.v, y)
    return m.v


def difference(m, x):
    before, m.v = m.v, x
    return m.fc(x if before is None else x - before)


def difference_from_zeros(m, x):
    before = torch.zeros_like(x) if m.v is None else m.v
    m.v = x
    return x - before


def two_steps_ago(m, x):
    y = m.fc(x)
    m.v = [*m.v, y][-3:]
    return m.v[0] if len(m.v) == 3 else torch.zeros_like(y)


def two_steps_ago_and_now(m, x):
    past, m.v = m.v, (x, m.v[0])
    return m.fc(x + past[1])


def moving_sum(m, x):
    past, m.v = m.v, (x, m.v[0])
    return x + past[0] + past[1]


def adaptive_threshold(m, x):
    m.v = 0.5 * m.v + m.fc(x)
    spk = (m.v > 1 + m.a).float()
    m.a = 0.75 * m.a + 0.25 * spk
    m.v = m.v * (1 - spk)
    return spk


def refractory(m, x):
    """Silent for two steps after a spike."""
    m.v = 0.5 * m.v + m.fc(x)
    spk = ((m.v > 1) & (m.a <= 0)).float()
    m.a = torch.where(spk > 0, torch.full_like(spk, 2.0), m.a * torch.ones_like(spk) - 1)
    m.v = m.v * (1 - spk)
    return spk


def until_three_spikes(m, x):
    """What reaches the neuron, and from its third spike on nothing but its spikes."""
    y = m.fc(x)
    spk, m.v = m.lif(y, m.v)
    m.a = m.a + spk
    return torch.where(m.a < 3, y, spk - 1)


def with_the_largest(largest):
    """A running maximum, in one way of many."""

    def forward(m, x):
        y = m.fc(x)
        m.v = y if m.v is None else largest(m.v, y)
        return m.v

    return forward


def ring_buffer(m, x):
    if m.v is None:
        m.v = torch.zeros(3, len(x), 8)
    m.v = torch.cat([m.v[1:], m.fc(x)[None]])
    return m.v.mean(0)


def window(m, x):
    """Half of the features are the last step's."""
    y = m.fc(x)
    m.v = y if m.v is None else torch.cat([y[:, :4], m.v[:, :4]], 1)
    return m.v


def mean_so_far(m, x):
    m.a = m.a + 1.0
    m.v = m.v + m.fc(x)
    return m.v / m.a


def clamped(m, x):
    m.v = (m.v + m.fc(x)).clamp(-2, 2)
    return m.v


def first_doubled(m, x):
    if m.v:
        m.v = False
        return 2 * m.fc(x)
    return m.fc(x)


def queued(m, x):
    m.v.append(m.fc(x))
    return m.v[0] if len(m.v) == 3 else torch.zeros(len(x), 8)


# What each works with: its attributes v and a, as they are before the first call.
MEMORY = {
    "adaptive threshold, from zeros": (adaptive_threshold, 0, torch.zeros(1, 8)),
    "adaptive threshold, from 0": (adaptive_threshold, 0, 0),
    "refractory, from zeros": (refractory, 0, torch.zeros(1, 8)),
    "refractory, from 0": (refractory, 0, 0),
    "until three spikes": (until_three_spikes, None, torch.zeros(1, 8)),
    "ring buffer": (ring_buffer, None),
    "window": (window, None),
    "clamped": (clamped, 0),
    "first step doubled": (first_doubled, True),
    "largest by where": (with_the_largest(lambda v, y: torch.where(y > v, y, v)), None),
    "largest of a stack": (with_the_largest(lambda v, y: torch.stack([v, y]).amax(0)), None),
    "two steps ago in a queue": (queued, collections.deque(maxlen=3)),
    "readout from None": (readout_from_none, None),
    "readout from zero": (readout_from_zero, 0),
    "readout from a float": (readout_from_zero, 0.0),
    "readout from a tensor": (readout_from_zero, torch.zeros(1, 8)),
    "readout from one": (readout_from_zero, 1.0),
    "readout in a list": (readout_in_a_list, [0, 0]),
    "readout in a dict": (readout_in_a_dict, {}),
    "readout in a tuple": (readout_in_a_tuple, None),
    "readout in place": (readout_in_place, None),
    "recurrent relu": (recurrent_relu, None),
    "running maximum": (running_maximum, None),
    "running maximum from zero": (running_maximum_from_zero, None),
    "difference": (difference, None),
    "difference from zeros": (difference_from_zeros, None),
    "two steps ago": (two_steps_ago, []),
    "two steps ago and now": (two_steps_ago_and_now, (0, 0)),
    "moving sum": (moving_sum, (0, 0)),
}


@pytest.mark.grid(1)
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", MEMORY)
def test_memory_in_an_attribute(name, batch):
    forward, v, *a = MEMORY[name]
    model = net(forward, v=copy.copy(v), a=a[0] if a else None, rec=nn.Linear(8, 8))
    with torch.no_grad():
        model.rec.weight.div_(8)
    xs = drawn(LENGTH, SAMPLES, 6)
    graph = equal(model, drawn(batch, 6, seed=1), xs, atol=1e-5)
    memory = {"Delay", "LI", "CubaLI", "Accumulate"}
    assert memory & set(types_of(graph).values())


def test_a_counter_in_a_tensor_is_refused():
    model = net(mean_so_far, v=0.0, a=torch.zeros(()), rec=nn.Linear(8, 8))
    with pytest.raises(UnsupportedError) as error:
        bridge.to_ir(model, drawn(1, 6))
    assert "test_export_memory.py" in str(error.value)
    assert "steps 0 and 6 differ" in str(error.value)


def test_a_value_of_two_steps_ago_is_a_delay_of_two():
    graph = equal(net(two_steps_ago, v=[]), drawn(1, 6), drawn(LENGTH, SAMPLES, 6))
    assert [int(n.delay) for n in graph.nodes.values() if n.primitive == "Delay"] == [2]


def test_a_running_maximum_is_an_accumulate():
    graph = equal(net(running_maximum, v=None), drawn(1, 6), drawn(LENGTH, SAMPLES, 6))
    kept = [node for node in graph.nodes.values() if node.primitive == "Accumulate"]
    assert [node.how for node in kept] == ["max"]


def test_two_inputs_of_a_step_model_with_memory():
    def forward(m, x, y):
        m.v = 0.5 * m.v + m.fc(x) * m.other(y)
        return m.v

    model = net(forward, v=0, other=nn.Linear(4, 8))
    xs, ys = drawn(LENGTH, SAMPLES, 6), drawn(LENGTH, SAMPLES, 4, seed=2)
    graph = bridge.to_ir(model, (drawn(2, 6), drawn(2, 4)))
    with torch.no_grad():
        found, _ = bridge.ir_to_torch(graph).run((xs, ys))
        wanted = torch.stack([model(x, y) for x, y in zip(xs, ys, strict=True)])
    assert wanted.any()
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


# States passed in and out ----------------------------------------------------------------------


def cell(layers, x, v=None):
    """A step that takes its state and hands it back, as Norse's do."""
    current = layers.fc(x)
    v = current if v is None else 0.5 * v + current
    spk = (v > 1).float()
    return layers.head(spk), v - spk


def two_states(layers, x, hx=None):
    i, v = (torch.zeros(len(x), 8), torch.zeros(len(x), 8)) if hx is None else hx
    i = 0.5 * i + layers.fc(x)
    out, v = cell(layers, x, 0.5 * v + i)
    return out, (i, v)


def states_by_name(layers, x, hx=None):
    out, (i, v) = two_states(layers, x, None if hx is None else (hx["i"], hx["v"]))
    return out, {"i": i, "v": v}


PROTOCOLS = {"one": cell, "a tuple": two_states, "a dict": states_by_name}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_states_passed_in_and_out(name):
    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.head = nn.Linear(6, 8), nn.Linear(8, 4)

        def forward(self, x, state=None):
            return PROTOCOLS[name](self, x, state)

    def run(model, xs):
        state, out = None, []
        for x in xs:
            y, state = model(x, state)
            out.append(y)
        return torch.stack(out)

    graph = equal(dyadic(Cell(), 1.0), drawn(2, 6), drawn(LENGTH, SAMPLES, 6), run, atol=1e-5)
    assert len(graph.outputs()) == 1
    over_time = Wrapped(lambda m, xs: run(m.cell, xs).mean(0), cell=dyadic(Cell(), 1.0))
    equal(over_time, drawn(5, 2, 6), drawn(LENGTH, SAMPLES, 6), whole, atol=1e-5)


def test_a_state_that_is_given_in_the_sample():
    """It is memory as well, and no input."""

    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.head = nn.Linear(6, 8), nn.Linear(8, 4)

        def forward(self, x, v):
            return cell(self, x, v)

    def run(model, xs):
        v, out = torch.zeros(xs.shape[1], 8), []
        for x in xs:
            y, v = model(x, v)
            out.append(y)
        return torch.stack(out)

    sample = (drawn(2, 6), torch.zeros(2, 8))
    equal(dyadic(Cell(), 1.0), sample, drawn(LENGTH, SAMPLES, 6), run, atol=1e-5)


# Membranes -------------------------------------------------------------------------------------


def test_a_membrane_used_as_a_value():
    """It is there where the neuron is written out."""
    model = net(lambda m, x: m.head(m.lif(m.fc(x))[1]))
    equal(model, torch.rand(1, 6), drawn(LENGTH, SAMPLES, 6), atol=1e-5)


def test_nothing_but_membranes():
    model = Wrapped(lambda m, x: m.lif(x)[1], lif=snn.Leaky(0.5))
    equal(model, torch.rand(1, 4), drawn(LENGTH, SAMPLES, 4))


def test_an_lstm_cell_whose_state_is_a_constant():
    """A parameter, from which every step starts."""

    def forward(m, xs):
        rest = m.hidden.expand(xs.shape[1], 8), m.cell.expand(xs.shape[1], 8)
        return torch.stack(fired(m, [m.lstm(x, rest)[0] for x in xs]))

    def fired(m, currents):
        mem, out = None, []
        for current in currents:
            spk, mem = m.lif(8 * current, mem)
            out.append(spk)
        return out

    generator = torch.Generator().manual_seed(0)
    hidden, cell = (nn.Parameter(torch.randn(8, generator=generator)) for _ in range(2))
    model = net(forward, lstm=nn.LSTMCell(6, 8), hidden=hidden, cell=cell)
    equal(model, torch.rand(5, 2, 6), drawn(LENGTH, SAMPLES, 6), whole)


# Sharing ---------------------------------------------------------------------------------------


def test_a_layer_used_twice_over_time():
    def forward(m, x):
        m.v = 0.5 * m.v + m.twice(torch.relu(m.twice(x)))
        return m.v

    model = net(forward, v=0, twice=nn.Linear(6, 6))
    graph = equal(model, drawn(2, 6), drawn(LENGTH, SAMPLES, 6), atol=1e-4)
    copies = [n.metadata["copy_of"] for n in graph.nodes.values() if "copy_of" in n.metadata]
    assert copies == ["twice"]
    executor = bridge.ir_to_torch(graph)
    assert executor.node("twice").weight is executor.node("twice_2").weight


def test_tied_weights_over_time():
    model = net(
        lambda m, x: m.back(m.lif(m.over(x))[0]), over=nn.Linear(6, 6), back=nn.Linear(6, 6)
    )
    model.back.weight = model.over.weight
    graph = equal(model, drawn(2, 6), drawn(LENGTH, SAMPLES, 6))
    executor = bridge.ir_to_torch(graph)
    assert executor.node("back").weight is executor.node("over").weight
    assert executor.node("back").bias is not executor.node("over").bias


def test_frozen_parameters_over_time():
    model = net(lambda m, x: m.head(m.lif(m.fc(x))[0]))
    model.fc.requires_grad_(False)
    model.head.bias.requires_grad_(False)
    graph = equal(model, drawn(2, 6), drawn(LENGTH, SAMPLES, 6))
    executor = bridge.ir_to_torch(graph)
    trains = {
        f"{name}.{field}": getattr(executor.node(name), field).requires_grad
        for name in ("fc", "head")
        for field in ("weight", "bias")
    }
    assert trains == {
        "fc.weight": False, "fc.bias": False, "head.weight": True, "head.bias": False,
    }  # fmt: skip
