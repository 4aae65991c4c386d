"""bridge.verify: agreement, the first difference, its cause, and what cannot be compared."""

import contextlib
import io
import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from t1c import bridge, ir, nir
from t1c.bridge import verify
from t1c.bridge.verify import VerificationError

snn = pytest.importorskip("snntorch")

T, B = 8, 3
DELAYED: dict[str, Any] = {"reset": "subtract", "reset_delay": True, "fires_at": "gt"}


def grid(*shape, seed=0, step=32):
    """Multiples of 1/step in -1..1, whose sums are exact in any order."""
    return np.random.default_rng(seed).integers(-step, step + 1, shape) / step


def one(value):
    return np.array([float(value)])


def lif(beta=0.5, threshold=1.0, **options):
    """A LIF as snnTorch's Leaky has it: its gain is 1."""
    tau = 1 / (1 - beta)
    return ir.LIF(
        tau=one(tau), r=one(tau), v_leak=one(0), v_threshold=one(threshold), **(DELAYED | options)
    )


def network(fc1=None, lif1=None, lif2=None):
    """6 inputs, 8 hidden neurons, 5 that speak."""
    return ir.Graph(
        {
            "input": ir.Input(shape=(6,)),
            "fc1": fc1 or ir.Affine(weight=grid(8, 6, seed=1), bias=grid(8, seed=2)),
            "lif1": lif1 or lif(),
            "fc2": ir.Affine(weight=grid(5, 8, seed=3), bias=grid(5, seed=4)),
            "lif2": lif2 or lif(),
            "output": ir.Output(shape=(5,)),
        },
        [("input", "fc1"), ("fc1", "lif1"), ("lif1", "fc2"), ("fc2", "lif2"), ("lif2", "output")],
    )


def single(node, size=1):
    return ir.Graph(
        {"input": ir.Input(shape=(size,)), "lif": node, "output": ir.Output(shape=(size,))},
        [("input", "lif"), ("lif", "output")],
    )


XS = torch.from_numpy(grid(T, B, 6, seed=9)).float()


def load(layer, node):
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(node.weight))
        layer.bias.copy_(torch.from_numpy(node.bias))


class Step(nn.Module):
    """snnTorch neurons, one step per call, state handed over."""

    def __init__(self, graph, **options):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 8), nn.Linear(8, 5)
        load(self.fc1, graph.nodes["fc1"])
        load(self.fc2, graph.nodes["fc2"])
        self.lif1 = snn.Leaky(**({"beta": 0.5} | options))
        self.lif2 = snn.Leaky(**({"beta": 0.5} | options))

    def forward(self, x, mem1=None, mem2=None):
        spk1, mem1 = self.lif1(self.fc1(x), mem1)
        spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
        return spk2, mem1, mem2


class Loop(Step):
    """The same with a loop over time, as snnTorch's tutorials write it."""

    def forward(self, xs):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spikes, membranes = [], []
        for x in xs:
            spk, mem1, mem2 = super().forward(x, mem1, mem2)
            spikes.append(spk)
            membranes.append(mem2)
        return torch.stack(spikes), torch.stack(membranes)


def sequential(graph, **options):
    """The same with hidden states; the last neuron returns its membrane too."""
    model = nn.Sequential(
        nn.Linear(6, 8),
        snn.Leaky(beta=0.5, init_hidden=True, **options),
        nn.Linear(8, 5),
        snn.Leaky(beta=0.5, init_hidden=True, output=True, **options),
    )
    load(model[0], graph.nodes["fc1"])
    load(model[2], graph.nodes["fc2"])
    return model


# Agreement -------------------------------------------------------------------------------------


def test_a_graph_agrees_with_its_file(tmp_path):
    graph = network()
    ir.write(tmp_path / "net.t1c", graph)
    report = verify(graph, tmp_path / "net.t1c", XS, tolerance=0)
    assert report
    assert report.nodes == ("fc1", "lif1", "fc2", "lif2")
    assert report.outputs.compared == T * B * 5
    assert report.spikes.compared == report.potentials.compared == T * B * (8 + 5)
    assert report.values.compared == T * B * (8 + 5)
    assert report.parting is None
    assert report.causes == ()
    report.raise_if_different()
    assert "agree" in str(report).splitlines()[0]


@pytest.mark.parametrize("make", [Step, Loop], ids=["step", "loop"])
def test_snntorch_models_agree_with_their_graph(make):
    graph = network()
    report = verify(make(graph), graph, XS, tolerance=0)
    assert report, str(report)
    assert report.nodes == ("fc1", "lif1", "fc2", "lif2")
    assert report.potentials.compared == T * B * (8 + 5)
    assert report.spikes.differing == report.potentials.differing == 0
    assert report.dtype == "float32"


def test_hidden_states_are_reset_and_left_alone():
    graph = network()
    model = sequential(graph)
    for x in XS:
        model(x)  # leaves a membrane behind, which hangs in a gradient graph
    before = model[1].mem
    report = verify(model, graph, XS, tolerance=0)
    assert report, str(report)
    assert model[1].mem is before
    assert model.training


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_executor_run_agrees_with_itself_stepped(dtype):
    executor = bridge.ir_to_torch(network(), dtype=dtype)
    report = verify(executor, executor, XS, a_kind="sequence", b_kind="step", tolerance=0)
    assert report, str(report)
    assert report.potentials.compared
    assert "at once" in report.a
    assert "step by step" in report.b


def test_a_loop_and_several_inputs_and_outputs_agree():
    graph = ir.Graph(
        {
            "left": ir.Input(shape=(3,)),
            "right": ir.Input(shape=(3,)),
            "lif": lif(),
            "back": ir.Affine(weight=grid(3, 3, seed=5), bias=grid(3, seed=6)),
            "spikes": ir.Output(shape=(3,)),
            "current": ir.Output(shape=(3,)),
        },
        [
            ("left", "lif"),
            ("right", "lif"),
            ("lif", "back"),
            ("back", "lif"),
            ("lif", "spikes"),
            ("back", "current"),
        ],
        allow_cycles=True,
    )
    xs = {"left": XS[..., :3], "right": XS[..., 3:]}
    executor = bridge.ir_to_torch(graph)
    report = verify(executor, graph, xs, a_kind="sequence", tolerance=0)
    assert report, str(report)
    assert report.outputs.compared == 2 * T * B * 3


def test_snntorch_modules_inside_an_executor_show_their_potentials():
    graph = network()
    executor = bridge.ir_to_torch(graph, node_map={ir.LIF: lambda _: snn.Leaky(beta=0.5)})
    for kind in ("step", "sequence"):
        report = verify(executor, graph, XS, a_kind=kind, tolerance=0)
        assert report, str(report)
        assert report.potentials.compared == T * B * (8 + 5)


class Folded(nn.Module):
    """A sequence model whose convolution takes all steps as one batch."""

    def __init__(self, weight, bias):
        super().__init__()
        self.conv, self.lif = nn.Conv2d(1, 2, 3), snn.Leaky(beta=0.5)
        self.conv.load_state_dict(
            {"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)}
        )

    def forward(self, xs):
        currents = self.conv(xs.flatten(0, 1)).unflatten(0, xs.shape[:2])
        mem, spikes = self.lif.init_leaky(), []
        for x in currents:
            spk, mem = self.lif(x, mem)
            spikes.append(spk)
        return torch.stack(spikes)


def test_a_convolution_over_all_steps_at_once_and_its_missing_bias():
    weight, bias = grid(2, 1, 3, 3, seed=1), np.array([0.5, -0.25])
    xs = torch.from_numpy(grid(6, 2, 1, 5, 5, seed=2)).float()

    def graph(bias):
        return ir.Graph(
            {
                "input": ir.Input(shape=(1, 5, 5)),
                "conv": ir.Conv2d(weight=weight, bias=bias),
                "lif": lif(),
                "output": ir.Output(shape=(2, 3, 3)),
            },
            [("input", "conv"), ("conv", "lif"), ("lif", "output")],
        )

    report = verify(Folded(weight, bias), graph(bias), xs, tolerance=0)
    assert report, str(report)
    assert report.nodes == ("conv", "lif")
    report = verify(Folded(weight, bias), graph(np.zeros(2)), xs)
    assert [(c.kind, c.nodes, c.explains) for c in report.causes] == [("bias", ("conv",), True)]


def branched(threshold=0.5, back=0.5):
    """A split, a threshold, a concatenation and a loop."""
    return ir.Graph(
        {
            "input": ir.Input(shape=(6,)),
            "split": ir.ChannelSplit(split_sections=(2, 4)),
            "step": ir.Threshold(threshold=one(threshold)),
            "join": ir.Concat(),
            "lif": lif(),
            "back": ir.Scale(scale=one(back)),
            "output": ir.Output(shape=(6,)),
        },
        [
            ("input", "split"),
            ("split", "step"),
            ("split", "join"),
            ("step", "join"),
            ("join", "lif"),
            ("lif", "back"),
            ("back", "lif"),
            ("lif", "output"),
        ],
        allow_cycles=True,
    )


def test_causes_beyond_neurons_are_found():
    assert verify(branched(), branched(), XS, a_kind="sequence", tolerance=0)
    report = verify(branched(), branched(threshold=0.25), XS)
    assert report.parting is not None
    assert report.parting.node == "step"
    assert [(c.kind, c.nodes) for c in report.causes] == [("threshold", ("step",))]
    report = verify(branched(), branched(back=0.75), XS, nodes=False)
    assert ("scale", ("back",)) in [(c.kind, c.nodes) for c in report.causes]
    assert all(c.explains for c in report.causes)


# The first difference --------------------------------------------------------------------------


def test_the_first_difference_is_the_one_found_by_hand():
    # 0.75, then 0.5 * 0.75 + 0.75 = 1.125: fires at 1 but not at 1.25, in step 1.
    xs = torch.full((4, 2, 1), 0.75)
    xs[:, 0] = 0
    report = verify(single(lif()), single(lif(threshold=1.25)), xs)
    found = report.parting
    assert found is not None
    assert (found.step, found.node, found.sample, found.element) == (1, "lif", 1, (0,))
    assert (found.what, found.values) == ("spike", (1.0, 0.0))
    assert found.potentials == (1.125, 1.125)
    assert found.threshold == 1.0
    assert found.distances == (0.125, 0.125)
    assert not found.within_rounding
    assert report.differing_samples == 1
    assert report.rounding_samples == 0


def test_a_potential_that_differs_without_a_spike_is_a_difference():
    xs = torch.full((3, 1, 1), 0.25)
    report = verify(single(lif()), single(lif(beta=0.75)), xs)
    found = report.parting
    assert report.spikes.differing == report.outputs.differing == 0
    assert found is not None
    assert (found.step, found.what) == (1, "potential")
    assert found.potentials == (0.375, 0.4375)
    assert verify(single(lif()), single(lif(beta=0.75)), xs, nodes=False)


def test_a_hidden_neuron_is_named_before_the_output_that_follows():
    report = verify(network(), network(lif1=lif(threshold=0.75)), XS)
    mine = bridge.ir_to_torch(network()).trace(XS)["lif1"]
    theirs = bridge.ir_to_torch(network(lif1=lif(threshold=0.75))).trace(XS)["lif1"]
    first = int((mine != theirs).flatten(1).any(1).float().argmax())
    assert report.parting is not None
    assert (report.parting.node, report.parting.is_output) == ("lif1", False)
    assert report.parting.step == first


# Causes ----------------------------------------------------------------------------------------


PLANTED = {
    "zero for subtract": ({"reset": "zero"}, "reset"),
    "none for subtract": ({"reset": "none", "reset_delay": False}, "reset"),
    "immediate for delayed": ({"reset_delay": False}, "reset_delay"),
    "another threshold": ({"threshold": 0.875}, "threshold"),
    "another beta": ({"beta": 0.53125}, "decay"),
}


@pytest.mark.parametrize(("options", "kind"), PLANTED.values(), ids=PLANTED)
def test_a_planted_cause_is_found_between_graphs(options, kind):
    report = verify(network(), network(lif1=lif(**options)), XS)
    assert not report
    assert report.parting is not None
    assert report.parting.node == "lif1"
    assert report.causes[0].explains
    assert (report.causes[0].kind, report.causes[0].nodes) == (kind, ("lif1",))
    assert report.causes[0].step is None


LEAKY = {
    "zero": ({"reset_mechanism": "zero"}, "reset"),
    "none": ({"reset_mechanism": "none"}, "reset"),
    "threshold": ({"threshold": 0.875}, "threshold"),
    "beta": ({"beta": 0.53125}, "decay"),
}


@pytest.mark.grid(1)
@pytest.mark.parametrize("make", [Step, Loop], ids=["step", "loop"])
@pytest.mark.parametrize(("options", "kind"), LEAKY.values(), ids=LEAKY)
def test_a_planted_cause_is_found_in_a_snntorch_model(make, options, kind):
    report = verify(make(network(), **options), network(), XS)
    assert not report
    assert report.causes[0].explains
    assert report.causes[0].kind == kind
    assert report.causes[0].text.startswith("a acts as if")


def test_ge_for_gt_is_found_where_the_input_hits_the_threshold():
    xs = torch.tensor([0.25, 0.875, 0.5]).reshape(3, 1, 1)  # 0.5 * 0.25 + 0.875 = 1
    report = verify(single(lif(fires_at="ge")), single(lif(fires_at="gt")), xs)
    assert report.parting is not None
    assert (report.parting.step, report.parting.distances) == (1, (0.0, 0.0))
    assert not report.parting.within_rounding
    assert [(c.kind, c.explains) for c in report.causes] == [("fires_at", True)]
    assert report.causes[0].text == ("b acts as if 'lif' had fires_at='gt'; a has fires_at='ge'")


def test_a_reset_to_a_value_is_found():
    plain = {"reset_delay": False, "fires_at": "ge"}
    other = lif(reset="value", v_reset=one(0.25), **plain)
    report = verify(network(lif1=lif(reset="zero", **plain)), network(lif1=other), XS)
    assert [(c.kind, c.nodes, c.explains) for c in report.causes] == [("reset", ("lif1",), True)]
    assert "had reset='value', v_reset=0.25; a has reset='zero'" in report.causes[0].text


def test_a_threshold_for_each_neuron_is_found_behind_one_for_all():
    each = lif().replace(v_threshold=np.linspace(0.5, 1, 8))
    report = verify(network(), network(lif1=each), XS)
    assert [(c.kind, c.explains) for c in report.causes] == [("threshold", True)]
    assert "were 0.5 to 1; a has 1" in report.causes[0].text


def test_every_parameter_at_once_is_found():
    fc1 = ir.Affine(weight=grid(8, 6, seed=11), bias=grid(8, seed=12))
    report = verify(network(), network(fc1=fc1), XS)
    assert [(c.kind, c.nodes, c.explains) for c in report.causes] == [
        ("weight+bias", ("fc1",), True)
    ]


def test_parameters_of_other_shapes_are_left_alone():
    def graph(size):
        weight = grid(1, 1, size, size, seed=size)
        return ir.Graph(
            {
                "input": ir.Input(shape=(1, 5, 5)),
                "conv": ir.Conv2d(weight=weight, bias=np.zeros(1), padding=(size // 2, size // 2)),
                "output": ir.Output(shape=(1, 5, 5)),
            },
            [("input", "conv"), ("conv", "output")],
        )

    report = verify(graph(3), graph(5), torch.from_numpy(grid(3, 2, 1, 5, 5)).float())
    assert report.parting is not None
    assert report.parting.node == "conv"
    assert report.causes == ()
    assert "not found (" in str(report)


def test_two_options_at_once_are_found():
    xs = torch.from_numpy(grid(40, 4, 6, seed=3, step=4)).float()
    a = single(lif(beta=0.75, reset_delay=False, fires_at="ge", threshold=0.5), 6)
    b = single(lif(beta=0.75, reset="none", reset_delay=False, fires_at="gt", threshold=0.5), 6)
    report = verify(a, b, xs)
    assert [c.kind for c in report.causes] == ["reset+fires_at"]
    assert report.causes[0].explains


@pytest.mark.parametrize("missing", ["a", "b"])
def test_a_missing_bias_is_found(missing):
    with_bias, without = Step(network()), Step(network())
    without.fc1.register_parameter("bias", None)
    models = {"a": without, "b": with_bias} if missing == "a" else {"a": with_bias, "b": without}
    models["b"] = network() if missing == "a" else models["b"]
    models["a"] = network() if missing == "b" else models["a"]
    report = verify(models["a"], models["b"], XS)
    assert report.parting is not None
    assert (report.parting.step, report.parting.node) == (0, "fc1")
    assert report.parting.what == "value"
    assert [(c.kind, c.nodes, c.explains) for c in report.causes] == [("bias", ("fc1",), True)]
    assert f"{missing} acts as if 'fc1' had no bias" in report.causes[0].text


def test_a_bias_that_only_the_other_side_adds_is_found():
    graph = network(fc1=ir.Linear(weight=grid(8, 6, seed=1)))
    model = Step(network())
    report = verify(model, graph, XS)
    assert [(c.kind, c.nodes, c.explains) for c in report.causes] == [("bias", ("fc1",), True)]


class Opaque(nn.Module):
    """A neuron with nothing to look at but its output."""

    def __init__(self, threshold, late=False):
        super().__init__()
        self.limit, self.late = threshold, late

    def forward(self, xs):
        v, spikes = torch.zeros_like(xs[0]), []
        for x in xs:
            v = 0.5 * v + x
            spikes.append((v >= self.limit).to(x))
            v = v * (1 - spikes[-1])
        if self.late:
            spikes = [torch.zeros_like(v), *spikes[:-1]]
        return torch.stack(spikes)


PLAIN = {"reset": "zero", "reset_delay": False, "fires_at": "ge"}


def test_a_threshold_that_cannot_be_read_is_closed_in_on():
    report = verify(Opaque(0.4), single(lif(**PLAIN), 6), XS, a_kind="sequence")
    assert report.nodes == ()
    assert report.parting is not None
    assert (report.parting.node, report.parting.is_output) == ("output", True)
    assert report.parting.threshold == 1
    assert report.parting.potentials[0] is None
    assert [(c.kind, c.nodes) for c in report.causes] == [("threshold", ("lif",))]
    found = float(report.causes[0].text.split("about ")[1].split(";")[0])
    assert found == pytest.approx(0.4, abs=0.02)


def test_an_output_one_step_late_is_found():
    graph = single(lif(threshold=0.5, **PLAIN), 6)
    report = verify(graph, Opaque(0.5, late=True), XS, b_kind="sequence")
    assert [c.kind for c in report.causes] == ["shift"]
    assert report.causes[0].text == "the outputs of b come one step later"


def test_what_explains_a_part_says_so():
    # Two wrong neurons; only the first can be read, the second is known by its output alone.
    other = network(lif1=lif(threshold=0.75), lif2=lif(reset="zero"))
    report = verify(network(), other, XS)
    (cause,) = report.causes
    assert cause.kind == "threshold"
    assert not cause.explains
    assert cause.step is not None
    assert "(in part: " in str(report)


def test_without_a_graph_no_cause_is_claimed():
    other = Step(network())
    other.lif1.threshold.fill_(0.875)
    report = verify(Step(network()), other, XS)
    assert report.parting is not None
    assert report.parting.node == "lif1"
    assert report.parting.potentials[0] == report.parting.potentials[1]
    assert report.parting.threshold == 1
    assert report.causes == ()
    assert "neither is a graph" in str(report)


# Rounding --------------------------------------------------------------------------------------


class Reordered(nn.Module):
    """A weighted sum in another order, before a neuron."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(weight).float())
        self.lif1 = snn.Leaky(beta=0.5)

    def forward(self, x, mem=None):
        total = torch.zeros(len(x), len(self.weight))
        for i in reversed(range(x.shape[1])):
            total = total + x[:, i : i + 1] * self.weight[:, i]
        return self.lif1(total, mem)


def rounding_case(threshold=None):
    """A model and its graph, whose threshold lies where the two sums of one step fall apart."""
    rng = np.random.default_rng(0)
    weight, xs = rng.normal(size=(8, 50)), torch.from_numpy(rng.random((6, 4, 50))).float()
    model = Reordered(weight)
    model.lif1.threshold.fill_(1e9)
    total = torch.stack([model(x)[1] for x in xs[:1]]).detach()
    dense = (xs[:1] @ model.weight.T).detach()
    place = (total != dense).nonzero()[0]
    limit = float(min(total[tuple(place)], dense[tuple(place)])) if threshold is None else threshold
    model.lif1.threshold.fill_(limit)
    graph = ir.Graph(
        {
            "input": ir.Input(shape=(50,)),
            "fc": ir.Linear(weight=weight),
            "lif1": lif(threshold=limit),
            "output": ir.Output(shape=(8,)),
        },
        [("input", "fc"), ("fc", "lif1"), ("lif1", "output")],
    )
    return model, graph, xs, tuple(place.tolist())


def test_rounding_at_the_threshold_is_recognised():
    model, graph, xs, (step, sample, neuron) = rounding_case()
    report = verify(model, graph, xs, a_kind="step")
    found = report.parting
    assert not report
    assert found is not None
    assert (found.step, found.sample, found.element, found.what) == (
        step,
        sample,
        (neuron,),
        "spike",
    )
    assert found.within_rounding
    first, second = found.potentials
    assert first is not None
    assert second is not None
    assert 0 < abs(first - second) <= found.bound < 1e-4
    assert report.within_rounding
    assert [c.kind for c in report.causes] == ["rounding"]
    assert report.tested == 0
    report.raise_if_different(allow_rounding=True)
    with pytest.raises(VerificationError, match="rounding at the threshold"):
        report.raise_if_different()


def test_a_real_difference_is_not_taken_for_rounding():
    model, graph, xs, _ = rounding_case(threshold=1.0)
    model.lif1.threshold.fill_(1.0625)
    report = verify(model, graph, xs, a_kind="step")
    assert not report
    assert not report.within_rounding
    assert report.causes[0].kind == "threshold"
    with pytest.raises(VerificationError):
        report.raise_if_different(allow_rounding=True)


def test_other_sums_are_equal_within_the_tolerance_but_not_bit_for_bit():
    model, graph, xs, _ = rounding_case(threshold=1e9)
    assert verify(model, graph, xs, a_kind="step")
    exact = verify(model, graph, xs, a_kind="step", tolerance=0)
    assert not exact
    assert exact.within_rounding
    assert exact.potentials.largest < 1e-4
    assert exact.parting is not None
    assert exact.parting.what == "potential"


# Numbers that are not finite ---------------------------------------------------------------------


class Constant(nn.Module):
    def __init__(self, *values):
        super().__init__()
        self.values = torch.tensor(values)

    def forward(self, xs):
        return self.values.expand(*xs.shape[:2], -1)


def constants(a, b):
    xs = torch.zeros(2, 1, 1)
    return verify(Constant(*a), Constant(*b), xs, a_kind="sequence", b_kind="sequence")


@pytest.mark.parametrize("other", [0.0, float("nan"), float("inf")])
def test_nan_never_agrees(other):
    report = constants([1.0, float("nan")], [1.0, other])
    assert not report
    assert (report.outputs.compared, report.outputs.differing) == (4, 2)
    assert report.parting is not None
    assert report.parting.element == (1,)
    assert not report.within_rounding
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["outputs"]["largest"] == "nan"


def test_infinities_agree_with_themselves_and_hide_nothing():
    infinity = float("inf")
    assert constants([1.0, infinity], [1.0, infinity])
    assert constants([1.0, infinity], [2.0, infinity]).outputs.differing == 2
    assert constants([1.0, infinity], [1.0, -infinity]).outputs.differing == 2
    assert constants([1.0, infinity], [1.0, 1.0]).outputs.differing == 2


# How a module is called ------------------------------------------------------------------------


class Doubles(nn.Module):
    """Says nothing of time, and gives something else either way."""

    def forward(self, x):
        return x * x.dim()


def test_what_tells_nothing_is_asked_for():
    with pytest.raises(ir.InputError, match="a_kind='step' or a_kind='sequence'"):
        verify(Doubles(), Doubles(), XS)
    assert verify(Doubles(), Doubles(), XS, a_kind="step", b_kind="step")
    assert not verify(Doubles(), Doubles(), XS, a_kind="step", b_kind="sequence")


def test_the_evidence_is_told():
    graph = network()
    assert "ran 'fc1' 8 times" in verify(Loop(graph), graph, XS).a
    assert "its neuron 'lif1' takes one step a call" in verify(Step(graph), graph, XS).a
    flat = ir.Graph(
        {"input": ir.Input(shape=(6,)), "output": ir.Output(shape=(6,))}, [("input", "output")]
    )
    assert "gives the same" in verify(nn.Identity(), flat, XS).a
    conv = nn.Conv2d(1, 1, 3, bias=False)
    images = torch.from_numpy(grid(5, 2, 1, 4, 4)).float()
    node = ir.Conv2d(weight=conv.weight.detach().numpy(), bias=np.zeros(1))
    picture = ir.Graph(
        {"input": ir.Input(shape=(1, 4, 4)), "conv": node, "output": ir.Output(shape=(1, 2, 2))},
        [("input", "conv"), ("conv", "output")],
    )
    assert "does not take a whole sequence" in verify(conv, picture, images).a


def test_a_model_that_runs_neither_way_says_both_reasons():
    with pytest.raises(
        ir.InputError,
        match=r"whole sequence: given \(T, B, \.\.\.\): RuntimeError.*\n.*step: Runtime",
    ):
        verify(nn.Linear(7, 5), network(), XS)


# What cannot be compared -----------------------------------------------------------------------


def test_outputs_of_other_shapes_are_an_error():
    with pytest.raises(ir.InputError, match=r"\(8, 3, 5\) from a and \(8, 3, 6\) from b"):
        verify(network(), single(lif(), 6), XS)


def test_other_numbers_of_outputs_are_an_error():
    two = ir.Graph(
        {
            "input": ir.Input(shape=(6,)),
            "lif": lif(),
            "one": ir.Output(shape=(6,)),
            "two": ir.Output(shape=(6,)),
        },
        [("input", "lif"), ("lif", "one"), ("lif", "two")],
    )
    with pytest.raises(ir.InputError, match=r"a has the outputs \['one', 'two'\], b has"):
        verify(two, single(lif(), 6), XS)
    with pytest.raises(ir.InputError, match=r"a tensor for each of \['one', 'two'\]"):
        verify(nn.Identity(), two, XS, a_kind="step")


@pytest.mark.parametrize("xs", [XS[:0], XS[:, :0], torch.zeros(3)])
def test_an_empty_run_proves_nothing(xs):
    with pytest.raises(ir.InputError, match="at least one step"):
        verify(network(), network(), xs)


def test_a_nir_file_needs_its_time_step(tmp_path):
    path = tmp_path / "model.nir"
    plain = network(lif1=lif(fires_at="gt"))
    nir.write(path, plain, dt=0.5, lossy=True)
    report = verify(path, plain, XS)  # its dt is recorded by our writer
    assert report, str(report)
    assert "model.nir" in report.a
    foreign = Path(__file__).parent / "data" / "nir" / "lif.nir"
    with pytest.raises(ir.T1CError, match="no time step is known"):
        verify(foreign, foreign, torch.rand(4, 2, 6))
    assert verify(foreign, foreign, torch.rand(4, 2, 6), dt=1e-3)


def test_what_is_no_executable_or_no_input_is_an_error():
    with pytest.raises(ir.InputError, match="a list"):
        verify([], network(), XS)
    with pytest.raises(ir.InputError, match="a list"):
        verify(network(), network(), {"input": [1.0]})
    with pytest.raises(ir.InputError, match="a_kind"):
        verify(network(), network(), XS, a_kind="whole")


def test_state_that_a_step_cannot_take_back_is_an_error():
    class Forgets(Step):
        def forward(self, x):
            return super().forward(x)

    with pytest.raises(ir.InputError, match="no place to take them back"):
        verify(Forgets(network()), network(), XS, a_kind="step")


def test_a_sequence_that_lacks_steps_is_an_error():
    class Sums(Loop):
        def forward(self, xs):
            return super().forward(xs)[0].sum(0)

    with pytest.raises(ir.InputError, match="an output for every step and sample"):
        verify(Sums(network()), network(), XS, a_kind="sequence")


# The report ------------------------------------------------------------------------------------


def test_a_person_reads_ten_lines_and_a_machine_json():
    report = verify(Step(network()), network(lif1=lif(threshold=0.875)), XS.numpy())
    lines = str(report).splitlines()
    assert len(lines) <= 10
    assert lines[0] == "a and b DIFFER: 8 steps, batch 3, float32"
    assert "the threshold of 'lif1' were 1; b has 0.875" in lines[-1]
    found = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert found["agree"] is False
    assert found["within_rounding"] is False
    assert found["parting"]["node"] == "lif1"
    assert found["causes"][0]["kind"] == "threshold"
    assert found["spikes"]["differing"] == report.spikes.differing > 0


def test_the_example_on_the_page_prints_what_it_says():
    page = (Path(__file__).parent.parent / "docs" / "verify.md").read_text()
    names: dict[str, Any] = {}
    for code, text in re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", page, re.S):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        assert printed.getvalue() == text


# What two sides are told to be -------------------------------------------------------------------


def test_graphs_that_agree_on_these_inputs_and_are_not_the_same():
    """The weights of an input that is always 0 are not seen, nor is an option that never acts."""
    fc = network().nodes["fc1"]
    weight = fc.weight.copy()
    weight[2:5, 3] += 0.5
    quiet = XS.clone()
    quiet[..., 3] = 0
    changed = network(fc1=ir.Affine(weight=weight, bias=fc.bias))
    report = verify(network(), changed, quiet)
    assert report.agree
    assert not report.silent
    assert report.unlike == ("fc1.weight (3 of 48 differ, by up to 0.5)",)
    assert (
        "they agree on these inputs, but differ in: fc1.weight (3 of 48 differ, by up to 0.5)"
        in str(report)
    )
    assert json.loads(json.dumps(report.to_dict()))["unlike"] == list(report.unlike)
    same = verify(network(), network(), quiet)
    assert same.unlike == ()
    assert "differ" not in str(same)
    parted = verify(network(), changed, XS)
    assert not parted.agree
    assert parted.unlike == ()


def test_unlike_options_and_many_unlike_parameters_are_told():
    never = torch.zeros(4, 1, 1)
    report = verify(single(lif()), single(lif(reset="zero", threshold=2.0, beta=0.75)), never)
    assert report.agree
    assert report.silent
    assert {entry.partition(" ")[0] for entry in report.unlike} == {
        "lif.tau",
        "lif.r",
        "lif.v_threshold",
        "lif.reset",
    }


SIDES = re.compile(r"were (?:about )?(.*); [ab] has (.*)")


@pytest.mark.parametrize(
    "change",
    [
        lambda w: np.where(np.arange(w.size).reshape(w.shape) == 20, -w, w),  # between the ends
        lambda w: np.roll(w, 1, axis=0),  # the same numbers elsewhere
        lambda w: w * (1 + 1e-7),
    ],
    ids=["one weight", "rolled", "a hair"],
)
def test_no_cause_reads_the_same_on_both_sides(change):
    fc = network().nodes["fc1"]
    other = network(fc1=ir.Affine(weight=change(fc.weight), bias=fc.bias))
    report = verify(network(), other, XS.double(), tolerance=0)
    assert not report.agree
    cause = report.causes[0]
    if cause.kind != "rounding":
        new, old = SIDES.search(cause.text).groups()
        assert new != old
    part = next(line for line in str(report).splitlines() if "part at" in line)
    mine, theirs = re.search(r": \S+ (\S+) in a, (\S+) in b", part).groups()
    assert mine != theirs


def test_a_threshold_that_differs_by_a_hair_is_shown_to():
    xs = torch.full((40, 1, 1), 0.03125, dtype=torch.float64)
    report = verify(single(ir.IF(one(1.0))), single(ir.IF(one(1.0 + 1e-9))), xs)
    (cause,) = [cause for cause in report.causes if cause.kind == "threshold"]
    new, old = SIDES.search(cause.text).groups()
    assert (new, old) == ("1.0000000010000001", "1")


def test_spikes_are_what_neurons_and_thresholds_send():
    """A Flatten behind a neuron, and a ReLU that happens to send 0 and 1, send values."""
    nodes = {
        "in": ir.Input((2, 3)),
        "relu": ir.ReLU(6),
        "lif": lif(threshold=0.5, **PLAIN),
        "flat": ir.Flatten(),
        "fire": ir.Threshold(np.array(0.5)),
        "out": ir.Output((6,)),
        "spikes": ir.Output((6,)),
    }
    edges = [(a, b) for a, b in itertools.pairwise(["in", "relu", "lif", "flat", "out"])]
    graph = ir.Graph(nodes, [*edges, ("flat", "fire"), ("fire", "spikes")])
    xs = (torch.rand(7, 2, 2, 3) > 0.5).float()
    same = verify(graph, graph, xs)
    count = 7 * 2 * 6
    assert (same.spikes.compared, same.values.compared) == (2 * count, 2 * count)
    other = graph.replace(nodes={**nodes, "fire": ir.Threshold(np.array(2.0))})
    assert verify(graph, other, xs).parting.what == "spike"
    louder = graph.replace(nodes={**nodes, "relu": ir.ReLU(6, negative_slope=0.5)})
    parting = verify(graph, louder, xs - 0.5).parting
    assert (parting.node, parting.what) == ("relu", "value")
