"""The proof of an export: what it sees, what it says of it, and what it costs."""

import copy
import re
import warnings

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

from t1c.bridge.tracing import drive, proof
from t1c.bridge.tracing.proof import ProofWarning
from t1c.bridge.verify import VerificationError
from t1c.ir.errors import GraphWarning, Problem, UnsupportedError

from .export_helpers import Wrapped, bridge, drawn, dyadic, ir

HERE = "test_export_proof.py:"


def parting(function, sample, custom_map=None, **members):
    """What the proof says of a model that its graph is not."""
    torch.manual_seed(0)
    with pytest.raises(VerificationError) as caught:
        bridge.to_ir(Wrapped(function, **members), sample, custom_map)
    return str(caught.value)


# Where two sides part ----------------------------------------------------------------------------


class Sine(nn.Module):
    def forward(self, x):
        return torch.sin(x)


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


MAP = {Sine: lambda m: ir.Tanh(4), Doubled: lambda m: ir.Scale(np.array([2.0]))}


def test_the_first_node_to_differ_is_named_with_its_module_and_step():
    """The node before it is right, those behind it differ as well."""

    def forward(m, x):
        return m.last(m.sine(m.fc(m.doubled(x))))

    message = parting(
        forward, torch.rand(2, 4), MAP, fc=nn.Linear(4, 4), doubled=Doubled(), sine=Sine(),
        last=nn.Linear(4, 3),
    )  # fmt: skip
    assert "of 'output' differ" in message
    assert "the first node to differ is 'sine' (Tanh), made of module 'sine' (Sine), at" in message
    assert re.search(r"at step 0: \S+ in the model, \S+ in the graph", message)
    assert HERE in message
    assert "Have custom_map return a node that does what the module does" in message


def test_a_node_that_differs_late_is_named_with_that_step():
    """It counts its calls where nothing looks: in an object of the user's."""

    class Counter:
        calls = 0

    def forward(m, x):
        m.counter.calls += 1
        y = m.fc(x)
        return m.last(y if m.counter.calls <= 20 else -y)

    message = parting(
        forward, torch.rand(2, 4), fc=nn.Linear(4, 4), last=nn.Linear(4, 3), counter=Counter()
    )
    assert "first at step 20" in message
    assert "differ in what reaches 'last'" in message
    assert "'neg'" in message
    assert HERE in message


def test_a_line_of_the_model_is_named_where_no_module_is_to_blame():
    """``.data`` is written where no recorder sees it."""

    def forward(m, x):
        m.fc.weight.data.mul_(0.5)
        return m.fc(x) + 1

    message = parting(forward, torch.rand(2, 4), fc=nn.Linear(4, 4))
    assert "the first node to differ is 'fc' (Affine), made of module 'fc' (Linear)" in message
    assert HERE in message


def test_a_batch_that_changes_its_place_is_told():
    model = Wrapped(lambda m, x: m.fc(x.transpose(0, 1)), fc=nn.Linear(4, 4))
    with pytest.raises(UnsupportedError, match="an axis of its own for time, or in front of the"):
        bridge.to_ir(model, torch.rand(3, 2, 4))


# Exactly at a threshold --------------------------------------------------------------------------


class Neuron(nn.Module):
    """Integrates and fires at, or above, a threshold."""

    def __init__(self, reaches, threshold=1.0):
        super().__init__()
        self.reaches, self.threshold, self.v = reaches, threshold, None

    def forward(self, x):
        v = x if self.v is None else self.v + x
        spikes = (v >= self.threshold if self.reaches else v > self.threshold).float()
        self.v = v * (1 - spikes)
        return spikes


@pytest.mark.parametrize("threshold", [1.0, 0.75, 3.0])
@pytest.mark.parametrize("reaches", [True, False])
def test_a_threshold_that_is_met_exactly(reaches, threshold):
    """No drawn input meets one behind weights like these."""

    def claim(fires_at):
        return {
            Neuron: lambda m: ir.IF(np.array([threshold], np.float32), fires_at=fires_at),
        }

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), Neuron(reaches, threshold))
    right, wrong = ("ge", "gt") if reaches else ("gt", "ge")
    graph = bridge.to_ir(model, torch.rand(2, 4), claim(right))
    assert graph.nodes["1"].fires_at == right
    with pytest.raises(VerificationError) as caught:
        bridge.to_ir(model, torch.rand(2, 4), claim(wrong))
    message = str(caught.value)
    assert f"at a membrane of exactly its threshold, {threshold:g}, module '1' (Neuron)" in message
    assert f"Have custom_map give it fires_at='{right}'" in message


def test_a_threshold_node_that_is_met_exactly():
    class Step(nn.Module):
        def forward(self, x):
            return (x > 0.5).float()

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), Step(), nn.Linear(8, 3))
    for fires_at in ("gt", "ge"):
        claim = {Step: lambda m, f=fires_at: ir.Threshold(np.array([0.5]), f)}
        if fires_at == "gt":
            assert bridge.to_ir(model, torch.rand(2, 4), claim).nodes["1"].fires_at == "gt"
        else:
            with pytest.raises(VerificationError, match="module '1' \\(Step\\) does not fire"):
                bridge.to_ir(model, torch.rand(2, 4), claim)


def test_a_threshold_of_numbers_that_round_is_asked_of_nobody():
    """0.1 times 10 is not the same in every order of operations: rounding is no difference."""

    class Rounds(Neuron):
        def forward(self, x):
            return super().forward(x * 0.1 * 10)

    def claim(m):
        return ir.IF(np.array([0.7], np.float32), np.array([0.1 * 10], np.float32), fires_at="ge")

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), Rounds(True, 0.7))
    assert bridge.to_ir(model, torch.rand(2, 4), {Rounds: claim}).nodes["1"].fires_at == "ge"


@pytest.mark.parametrize("layout", ["steps", "sequence"])
def test_neurons_of_frameworks_are_fed_their_thresholds(layout, monkeypatch):
    """All of them answer as their nodes do, however they are called."""
    from spikingjelly.activation_based import neuron

    from t1c.bridge.tracing import exactly

    asked = {}

    def noting(*args):
        found = kept(*args)
        asked.update(found)
        return found

    kept = exactly._answers
    monkeypatch.setattr(exactly, "_answers", noting)
    mode = "s" if layout == "steps" else "m"
    model = nn.Sequential(
        nn.Linear(4, 6), neuron.IFNode(step_mode=mode), nn.Linear(6, 5),
        neuron.LIFNode(tau=2.0, step_mode=mode),
    )  # fmt: skip
    torch.manual_seed(0)
    sample = torch.rand(2, 4) if layout == "steps" else torch.rand(5, 2, 4)
    graph = bridge.to_ir(model, sample)
    assert {name: f.tolist() for name, f in asked.items()} == {"1": [True] * 6, "3": [True] * 5}
    assert {graph.nodes[name].fires_at for name in asked} == {"ge"}


# How far it goes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [30, 60])
def test_what_changes_at_a_late_call_is_seen(call):
    def forward(m, x):
        m.seen.append(1)
        return m.fc(x) if len(m.seen) < call else -m.fc(x)

    message = parting(forward, torch.rand(2, 4), fc=nn.Linear(4, 4), seen=[])
    assert f"first at step {call - 1}" in message


def test_a_costly_model_is_proven_on_fewer_steps():
    class Costs:
        numbers = 0

    found = Costs()
    for numbers, steps in ((10, 64), (100_000, 60), (300_000, 25)):
        found.numbers = numbers
        assert proof._steps(found, 2) == steps


# What it does not see is told ---------------------------------------------------------------------


def test_populations_behind_what_cannot_be_driven_are_named(monkeypatch):
    """Driving is not given up in silence."""
    work = drive.work_stage

    def failing(executor, stage, *args):
        if "2" in stage.names:
            raise UnsupportedError(Problem("no room", where="node '2'"))
        return work(executor, stage, *args)

    monkeypatch.setattr(drive, "work_stage", failing)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(4, 6), snn.Leaky(0.5, init_hidden=True), nn.Linear(6, 5),
        snn.Leaky(0.5, init_hidden=True),
    )  # fmt: skip
    with pytest.warns(ProofWarning, match=r"not driven: '3', because node '2': no room"):
        graph = bridge.to_ir(model, torch.rand(2, 4))
    assert graph.nodes["3"].primitive == "LIF"


# What it costs ------------------------------------------------------------------------------------


def test_a_model_that_agrees_is_not_copied(monkeypatch):
    """Float64, and the memory of a copy, are needed where float32 differs only."""
    copied = []

    def noting(item, *args):
        copied.append(type(item))
        return kept(item, *args)

    kept = copy.deepcopy
    monkeypatch.setattr(proof.copy, "deepcopy", noting)
    model = dyadic(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)))
    bridge.to_ir(model, torch.rand(2, 4))
    assert nn.Sequential not in copied
    with pytest.raises(VerificationError):
        bridge.to_ir(nn.Sequential(nn.Linear(4, 4), Sine()), torch.rand(2, 4), MAP)
    assert copied.count(nn.Sequential) == 1


def test_a_difference_that_rounding_makes_is_none(monkeypatch):
    """In float64 it vanishes; the numbers of the model are those of float32 in the graph."""

    class Third(nn.Module):
        def forward(self, x):
            return x * 0.1 + x * 0.7

    compared = []
    kept = proof.differing

    def noting(mine, theirs, unit=None, strict=True):
        if unit is None and strict:
            theirs = {name: value * (1 + 2**-11) for name, value in theirs.items()}
        compared.append(unit)
        return kept(mine, theirs, unit, strict)

    monkeypatch.setattr(proof, "differing", noting)
    torch.manual_seed(0)
    bridge.to_ir(nn.Sequential(nn.Linear(4, 4), Third()), torch.rand(2, 4))
    assert compared.count(torch.finfo(torch.float32).eps / 4) == 2


# Notes --------------------------------------------------------------------------------------------


def told(model, sample):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        graph = bridge.to_ir(model, sample)
    return graph, [str(w.message) for w in caught if issubclass(w.category, GraphWarning)]


def test_a_clamped_decay_is_told_once_for_each_node():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(4, 6), snn.Leaky(1.5, init_hidden=True), nn.Linear(6, 6),
        snn.Leaky(-0.5, init_hidden=True),
    )  # fmt: skip
    graph, said = told(model, torch.rand(2, 4))
    assert [m.split(",")[0] for m in said] == [
        "node '1': a Leaky has beta = 1.5",
        "node '3': a Leaky has beta = -0.5",
    ]
    assert graph.nodes["1"].metadata == {"clamped_beta": 1.5}


def test_a_clamped_neuron_that_is_followed_has_the_note_too():
    """No primitive has a synapse that forgets nothing."""

    def forward(m, x):
        return m.lif(m.fc(x))[0]

    model = dyadic(Wrapped(forward, fc=nn.Linear(4, 6), lif=snn.Synaptic(1.5, 0.5)))
    graph, said = told(model, torch.rand(2, 4))
    assert "lif" not in graph.nodes
    assert len(said) == 1
    assert "a Synaptic has alpha = 1.5, and snnTorch clamps it" in said[0]
    noted = [n for n, node in graph.nodes.items() if node.metadata == {"clamped_alpha": 1.5}]
    assert len(noted) == 1
    assert noted[0].startswith("lif.")
    xs = drawn(30, 3, 4)
    state, sent = (None, None), []
    with torch.no_grad():
        for x in xs:
            spikes, *state = model.lif(model.fc(x), *state)
            sent.append(spikes)
    assert torch.equal(bridge.ir_to_torch(graph).run(xs)[0], torch.stack(sent))
    assert 0 < torch.stack(sent).count_nonzero() < torch.stack(sent).numel()
