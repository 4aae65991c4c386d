"""bridge.verify of models that lay out time in their own way, or loop over one held value."""

import numpy as np
import pytest
import torch
from torch import nn

from t1c import bridge, ir
from t1c.bridge import verify
from t1c.bridge.engine.stateful import StatefulModule

from .engine_helpers import grid
from .strategies_executor import chain

snn = pytest.importorskip("snntorch")

T, B = 7, 4
RNG = np.random.default_rng(7)
W1, B1, W2, B2 = grid(RNG, 8, 6), grid(RNG, 8), grid(RNG, 5, 8), grid(RNG, 5)


pytestmark = pytest.mark.usefixtures("one_thread")


def leaky():
    return ir.LIF(*[np.array([2.0])] * 2, np.array([0.0]), np.array([1.0]), reset="subtract",
                  reset_delay=True, fires_at="gt")  # fmt: skip


def graph(hold=None, final=False, how=None):
    readout = [("so far", ir.Accumulate(how))] if how else []
    return chain(
        ("input", ir.Input((6,), hold=hold)),
        ("fc1", ir.Affine(W1, B1)),
        ("lif1", leaky()),
        ("fc2", ir.Affine(W2, B2)),
        ("lif2", leaky()),
        *readout,
        ("output", ir.Output((5,), final=final)),
    )


class Net(nn.Module):
    """snnTorch's neurons; what ``forward`` does with time is up to the subclass."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 8), nn.Linear(8, 5)
        self.lif1, self.lif2 = snn.Leaky(beta=0.5), snn.Leaky(beta=0.5)
        with torch.no_grad():
            for layer, weight, bias in ((self.fc1, W1, B1), (self.fc2, W2, B2)):
                layer.weight.copy_(torch.from_numpy(weight))
                layer.bias.copy_(torch.from_numpy(bias))

    def spikes(self, steps):
        """The spikes of all steps, time first."""
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        found = []
        for x in steps:
            s, mem1 = self.lif1(self.fc1(x), mem1)
            s, mem2 = self.lif2(self.fc2(s), mem2)
            found.append(s)
        return torch.stack(found)


class Held(Net):
    def forward(self, x):
        return self.spikes([x] * T)


class HeldByBatch(Net):
    def forward(self, x):
        return self.spikes([x] * T).transpose(0, 1)


class HeldMean(Net):
    def forward(self, x):
        return self.spikes([x] * T).mean(0)


class LastOfHeld(Net):
    def forward(self, x):
        return self.spikes([x] * T)[-1]


class BatchFirst(Net):
    def forward(self, xs):
        return self.spikes(xs.unbind(1)).transpose(0, 1)


class BatchIn(Net):
    def forward(self, xs):
        return self.spikes(xs.unbind(1))


class TimeLast(Net):
    def forward(self, xs):
        return self.spikes(xs.unbind(-1)).movedim(0, -1)


class TimeFirst(Net):
    def forward(self, xs):
        return self.spikes(xs)


class FinalSum(Net):
    def forward(self, xs):
        return self.spikes(xs).sum(0)


class Step(Net):
    def forward(self, x, mem1=None, mem2=None):
        s, mem1 = self.lif1(self.fc1(x), self.lif1.init_leaky() if mem1 is None else mem1)
        s, mem2 = self.lif2(self.fc2(s), self.lif2.init_leaky() if mem2 is None else mem2)
        return s, mem1, mem2


def image(batch=B):
    return torch.from_numpy(np.random.default_rng(1).integers(0, 65, (batch, 6)) / 64).float()


def sequence(steps=T, batch=B):
    xs = np.random.default_rng(2).integers(-32, 129, (steps, batch, 6)) / 64
    return torch.from_numpy(xs).float()


def fired(report):
    assert not report.silent
    return report.spikes.compared


CASES = {
    "one value": (Held, {"hold": T}, image, "given (B, ...), one value for all steps, giving (T"),
    "batch first out": (HeldByBatch, {"hold": T}, image, "giving (B, T, ...)"),
    "its mean": (HeldMean, {"hold": T, "how": "mean", "final": True}, image, "the last step"),
    "its last": (LastOfHeld, {"hold": T, "final": True}, image, "giving the last step"),
    "batch first": (BatchFirst, {}, sequence, "given (B, T, ...), giving (B, T, ...)"),
    "batch first in": (BatchIn, {}, sequence, "given (B, T, ...), giving (T, B, ...)"),
    "time last": (TimeLast, {}, sequence, "given (B, ..., T), giving (B, ..., T)"),
    "time first": (TimeFirst, {}, sequence, "it ran 'fc1' 7 times)"),
    "a sum": (FinalSum, {"how": "sum", "final": True}, sequence, "giving the last step"),
    "steps": (Step, {}, sequence, "step by step"),
    "steps of one value": (Step, {"hold": T}, image, "step by step"),
    "the last of steps": (Step, {"final": True}, sequence, "step by step"),
    "the last of held steps": (Step, {"hold": T, "final": True}, image, "step by step"),
}


@pytest.mark.grid(1)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("batch", [B, T, 1])
def test_a_model_is_handed_what_it_takes(name, batch):
    model, options, make, label = CASES[name]
    xs = make(batch=batch)
    for pair in ((model(), graph(**options)), (graph(**options), model())):
        report = verify(*pair, xs)
        assert report, str(report)
        said = report.a if pair[0].__class__ is model else report.b
        assert label in said
        assert report.steps == T
        assert report.batch == batch
        assert report.outputs.compared == batch * 5 * (1 if options.get("final") else T)
        assert fired(report)


@pytest.mark.parametrize("name", CASES)
def test_a_model_that_does_otherwise_is_told_apart_however_it_is_called(name):
    model, options, make, _ = CASES[name]
    wrong = model()
    wrong.fc2.bias.data += 0.25
    report = verify(wrong, graph(**options), make())
    assert not report
    assert report.outputs.differing
    assert report.parting.step <= T - 1
    assert report.causes[0].kind == "bias"


def test_a_difference_in_a_final_output_alone_lies_at_the_last_step():
    class Other(HeldMean):
        def forward(self, x):
            return super().forward(x) + 0.125

    report = verify(Other(), graph(T, True, "mean"), image())
    assert not report
    assert report.parting.is_output
    assert report.parting.step == T - 1


def test_steps_may_be_other_than_the_input_says():
    report = verify(graph(hold=3), graph(hold=5), image(), steps=9)
    assert report.steps == 9
    assert report
    with pytest.raises(ir.InputError, match="different numbers of steps"):
        verify(graph(), graph(), sequence(), steps=9)
    report = verify(Step(), graph(hold=3), sequence(7))
    assert report
    assert report.steps == 7


def test_a_final_output_is_no_output_of_every_step():
    with pytest.raises(ir.InputError, match="final on both sides"):
        verify(graph(final=True), graph(), sequence())
    with pytest.raises(ir.InputError, match=r"(?s)the answer of the last step.*depends on another"):
        verify(TimeFirst(), graph(final=True), sequence())
    with pytest.raises(ir.InputError, match="an output for every step"):
        verify(FinalSum(), graph(), sequence(), a_kind="sequence")


def test_silence_is_no_agreement_to_rely_on():
    quiet = torch.full((T, B, 6), -1000.0) * torch.from_numpy(W1.sum(0) > -99).float()
    silent = graph()
    silent.nodes["fc1"].weight = np.abs(W1)
    model = Step()
    model.fc1.weight.data.abs_()
    for node, layer in (("fc2", model.fc2),):
        silent.nodes[node].bias = -np.abs(B2)
        layer.bias.data = -torch.from_numpy(np.abs(B2)).float()
    report = verify(model, silent, quiet)
    assert report.agree
    assert report.silent
    assert "no neuron fires on either side" in str(report)
    assert report.to_dict()["silent"] is True
    loud = verify(Step(), graph(), sequence())
    assert not loud.silent
    assert "SILENT" not in str(loud)


def test_without_neurons_nothing_is_silent():
    plain = chain(("input", ir.Input((6,))), ("fc", ir.Affine(W1, B1)), ("output", ir.Output((8,))))
    assert not verify(plain, plain, sequence()).silent


class Forgetful(StatefulModule):
    """Adds up its input, but in a scan only within the scan's first three steps."""

    state_names = ("total",)

    def step(self, x, state):
        total = state[0] + x
        return total, (total,)

    def scan(self, xs, state):
        ys, after = super().scan(xs, state)
        return torch.where(torch.arange(len(xs)).reshape(-1, 1, 1) < 3, ys, 0 * ys), after


def test_a_run_that_does_other_than_its_steps_is_no_agreement():
    def executor(module):
        modules = {"in": nn.Identity(), "sum": module, "out": nn.Identity()}
        return bridge.GraphExecutor(modules, [("in", "sum"), ("sum", "out")])

    report = verify(executor(Forgetful()), executor(Forgetful()), sequence())
    assert not report
    assert not report.within_rounding
    assert [(run.side, run.step, run.node) for run in report.runs] == [
        ("a", 3, "sum"),
        ("b", 3, "sum"),
    ]
    assert f"of a differs from its steps in {B} of {B} samples (first at step 3" in str(report)
    good = executor(bridge.modules.AccumulateModule("sum"))
    report = verify(good, good, sequence())
    assert report
    assert [run.differing for run in report.runs] == [0, 0]


def test_what_a_run_makes_of_a_held_input_is_compared_too():
    report = verify(graph(hold=T), Held(), image())
    assert [(run.side, run.differing) for run in report.runs] == [("a", 0)]


class ByHand(nn.Module):
    """A neuron written out, behind a layer that is worked once; nothing is called T times."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 8)
        with torch.no_grad():
            self.fc.weight.copy_(torch.from_numpy(W1))
            self.fc.bias.copy_(torch.from_numpy(B1))

    def forward(self, image):
        current = self.fc(image)
        v, total = torch.zeros_like(current), torch.zeros_like(current)
        for _ in range(T):
            v = 0.5 * v + current
            spike = (v > 1).float()
            v, total = v - spike, total + spike
        return total / T


def test_a_neuron_written_out_in_a_loop_over_one_value():
    reset = ir.LIF(*[np.array([2.0])] * 2, np.array([0.0]), np.array([1.0]), reset="subtract",
                   fires_at="gt")  # fmt: skip
    same = chain(
        ("input", ir.Input((6,), hold=T)),
        ("fc", ir.Affine(W1, B1)),
        ("lif", reset),
        ("rate", ir.Accumulate("mean")),
        ("output", ir.Output((8,), final=True)),
    )
    report = verify(ByHand(), same, image())
    assert report
    assert not report.silent
    assert report.outputs.compared == B * 8
    same.nodes["lif"].reset = "zero"
    assert not verify(ByHand(), same, image())


@pytest.mark.parametrize("batch", [B, T])
def test_multi_step_models_that_repeat_an_image_or_take_the_batch_first(batch):
    layer = pytest.importorskip("spikingjelly.activation_based.layer")
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")

    class Multi(nn.Module):
        def __init__(self, before):
            super().__init__()
            self.fc = layer.Linear(6, 8, step_mode="m")
            self.lif = neuron.LIFNode(decay_input=False, step_mode="m")
            self.before = before
            with torch.no_grad():
                self.fc.weight.copy_(torch.from_numpy(W1))
                self.fc.bias.copy_(torch.from_numpy(B1))

        def forward(self, x):
            return self.lif(self.fc(self.before(x))).mean(0)

    node = ir.LIF(*[np.array([2.0])] * 2, np.array([0.0]), np.array([1.0]))

    def same(hold):
        return chain(
            ("input", ir.Input((6,), hold=hold)),
            ("fc", ir.Affine(W1, B1)),
            ("lif", node),
            ("rate", ir.Accumulate("mean")),
            ("output", ir.Output((8,), final=True)),
        )

    repeating = Multi(lambda x: x.unsqueeze(0).repeat(T, 1, 1))
    report = verify(repeating, same(T), image(batch))
    assert report, str(report)
    assert "one value for all steps" in report.a
    assert fired(report) == T * batch * 8
    report = verify(Multi(lambda xs: xs.transpose(0, 1)), same(None), sequence(batch=batch))
    assert report, str(report)
    assert "given (B, T, ...), giving the last step" in report.a
    assert not report.silent
