"""What cannot be expressed never yields a graph: every refusal, and what it says."""

import colorsys
import re

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn
from torch.nn import functional as F

from t1c.bridge.tracing.proof import ProofWarning
from t1c.bridge.verify import VerificationError
from t1c.ir.errors import InputError, NodeError, T1CError, UnsupportedError

from .export_helpers import Wrapped, bridge, drawn, dyadic, equal, ir

HERE = "test_export_refusals.py:"


def refusal(function, sample=None, error=UnsupportedError, where=True, **modules):
    sample = torch.rand(2, 4, 6, 6) if sample is None else sample
    with pytest.raises(error) as caught:
        bridge.to_ir(Wrapped(function, **modules).eval(), sample)
    message = str(caught.value)
    assert HERE in message or not where
    return message


OPERATIONS = {
    "sin": lambda m, x: torch.sin(x),
    "hardswish": lambda m, x: F.hardswish(x),
    "bernoulli draws random numbers": lambda m, x: torch.bernoulli(x),
    "an axis of its own for time, or in front of the batch": lambda m, x: (
        x * torch.ones(3, 1, 1, 1, 1)
    ),
    "batch and features share an axis (torch's cat)": lambda m, x: torch.cat([x, x]),
    "chunk works across the batch": lambda m, x: torch.cat(x.chunk(2), 1),
    "a reshape": lambda m, x: x.view(2, 6, 4, 6),
    "batch and features share an axis (torch's view)": lambda m, x: x.view(-1),
    "becomes torch.float64": lambda m, x: x.double(),
    "drops in eval mode": lambda m, x: F.dropout(x),
    "adaptive pooling of (6, 6) to (4, 4)": lambda m, x: F.adaptive_avg_pool2d(x, 4),
    "mode='bicubic'": lambda m, x: F.interpolate(x, scale_factor=2, mode="bicubic"),
    "scale_factor=1.3": lambda m, x: F.interpolate(x, scale_factor=1.3),
    "divisor_override": lambda m, x: F.avg_pool2d(x, 2, divisor_override=1),
    "softmax works across the batch": lambda m, x: F.softmax(x, 0),
    "mean works across the batch": lambda m, x: x - x.mean(0),
    "argmax works across the batch": lambda m, x: x.argmax(0, keepdim=True) + x,
    "pad works across the batch": lambda m, x: F.pad(x, (0, 0, 0, 0, 0, 0, 1, 0))[1:],
    "index_select works across the batch": lambda m, x: x.index_select(0, torch.tensor([1, 0])),
    "var works across the batch": lambda m, x: x + x.var(False),
    "argmax without dim": lambda m, x: x + x.argmax(),
    "one_hot without num_classes": lambda m, x: F.one_hot(x.argmax(1)),
    "a write by an index into features (4, 6, 6)": lambda m, x: torch.zeros_like(x).scatter(
        1, x.argmax(1, keepdim=True), 1.0
    ),
    "a scatter into some of the rows": lambda m, x: x.scatter(
        1, x[..., :3].argmax(1, keepdim=True), 1.0
    ),
    "a scatter of several places": lambda m, x: torch.zeros_like(x).scatter(
        1, x.unflatten(1, (2, 2)).argmax(1), 1.0
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(name):
    assert name in refusal(OPERATIONS[name])


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
def test_a_variance_of_one_element():
    assert "a variance of too few elements" in refusal(lambda m, x: x[:, :1].var(1))


INDEXES = {
    "mask": lambda m, x: x[:, torch.tensor([True, False, True, False])],
    "list of truths": lambda m, x: x[:, [True, False, True, False]],
    "two lists": lambda m, x: x[:, [0, 1], [2, 3]],
    "list beside a number": lambda m, x: x[:, 0, [1, 2]],
    "list beside a new axis": lambda m, x: x[:, None, [1, 2]],
    "table": lambda m, x: x[:, torch.tensor([[0, 1], [2, 3]])],
    "nothing": lambda m, x: x[:, []].sum(1) + x[:, 0],
}


@pytest.mark.parametrize("name", INDEXES)
def test_an_index(name):
    assert "an index by a mask, by several lists or tensors" in refusal(INDEXES[name])


def test_an_operation_names_the_way_out():
    """No node is a sine, so that no custom_map helps."""
    message = refusal(OPERATIONS["sin"])
    assert "operations that have one" in message
    assert "custom_map" not in message


def test_what_does_not_reach_the_output_may_be_anything():
    def forward(model, x):
        model.rate = torch.sin(x).mean()
        return F.relu(x)

    graph = bridge.to_ir(Wrapped(forward), torch.zeros(1, 3))
    assert list(graph.nodes) == ["input", "relu", "output"]


READERS = {
    "bool": lambda m, x: x if x.sum() > 0 else -x,
    "item": lambda m, x: x * x.max().item(),
    "float": lambda m, x: x * float(x[0, 0, 0, 0]),
    "numpy": lambda m, x: torch.from_numpy(np.sin(x.numpy())),
    "tolist": lambda m, x: x * len(x.flatten().tolist()),
}


@pytest.mark.parametrize("name", READERS)
def test_reading_values(name):
    message = refusal(READERS[name])
    assert "reads the values" in message
    assert name in message


def test_flags_shapes_and_none_are_free():
    def forward(model, x, extra=None, flag=True):
        if extra is None and flag and x.shape[1] == 4 and x.dim() == 2 and len(x):
            x = model.fc(x) if x.is_floating_point() else x
        repr(x)
        return x

    graph = bridge.to_ir(Wrapped(forward, fc=nn.Linear(4, 2)), torch.zeros(1, 4))
    assert "fc" in graph.nodes


# In place --------------------------------------------------------------------------------------


def test_a_value_overwritten_through_a_view():
    def forward(model, x):
        y = F.relu(x)
        flat = y.view(2, -1)
        flat *= 2
        return y

    assert "overwritten in place" in refusal(forward)


def test_a_value_overwritten_through_data_is_refused_by_name():
    def forward(m, x):
        y = m.fc(x)
        y.data.mul_(3)
        return y

    message = refusal(forward, torch.rand(2, 4), fc=nn.Linear(4, 4))
    assert "what 'fc'" in message
    assert "overwritten in place" in message


def test_a_value_overwritten_by_an_index():
    def forward(model, x):
        y = F.relu(x)
        y[0] = 0
        return y

    message = refusal(forward)
    assert "a write into a part of a tensor" in message
    assert "torch.where" in message


FILLED = {
    "a write into a part of a tensor": lambda m, x, z: z.__setitem__(
        (slice(None), slice(2)), x[:, :2]
    ),
    "overwritten in place": lambda m, x, z: z.view(4).copy_(x[0]),
}


def times_what_was_filled(fill):
    """With one sample it has the shape of a scale."""

    def forward(model, x):
        z = torch.zeros(1, 4)
        fill(model, x, z)
        return x * z

    return forward


@pytest.mark.parametrize("name", FILLED)
def test_a_constant_that_was_filled_in_is_none(name):
    assert name in refusal(times_what_was_filled(FILLED[name]), torch.rand(1, 4))


def test_a_value_without_features_is_refused_by_its_line():
    for forward in (lambda m, x: x[:, 0], lambda m, x: x.argmax(1), lambda m, x: x.sum(1) + 1):
        message = refusal(forward, torch.rand(2, 4))
        assert "output 'output' of shape (3,) has no features" in message
        assert "unsqueeze(-1)" in message


def test_a_constant_that_was_filled_as_a_whole_is_what_filled_it():
    model = Wrapped(times_what_was_filled(lambda m, x, z: z[:].copy_(x)))
    graph = equal(model, torch.rand(1, 4), drawn(30, 1, 4))
    assert graph.nodes["mul"].primitive == "Binary"


@pytest.mark.parametrize("operation", [torch.add, torch.mul])
def test_random_numbers_are_no_constants(operation):
    message = refusal(lambda m, x: operation(x, torch.rand(1, 4)), torch.rand(1, 4))
    assert "random" in message or "product of two" in message


def test_a_constant_that_is_filled_with_numbers_is_one():
    def forward(model, x):
        return x * torch.empty(4).fill_(0.5)

    graph = equal(Wrapped(forward), torch.rand(1, 4), drawn(30, 3, 4))
    assert graph.nodes["mul"].scale.tolist() == [0.5] * 4


def test_in_inference_mode():
    with torch.inference_mode():
        model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
        graph = bridge.to_ir(model, torch.rand(1, 4))
    assert list(graph.nodes) == ["input", "0", "1", "output"]


# Modules ---------------------------------------------------------------------------------------

MODULES = {
    "padding_mode='reflect'": nn.Conv2d(4, 2, 3, padding=1, padding_mode="reflect"),
    "return_indices": nn.MaxPool2d(2, return_indices=True),
    "track_running_stats=False": nn.BatchNorm2d(4, track_running_stats=False),
    "momentum=None": nn.BatchNorm2d(4, momentum=None),
    "module 'layer' (Flatten": nn.Flatten(0),
    "instance_norm": nn.InstanceNorm2d(4),
    "hardswish": nn.Hardswish(),
    "pixel_shuffle": nn.PixelShuffle(2),
}


@pytest.mark.parametrize("name", MODULES)
def test_module(name):
    def forward(model, x):
        y = model.layer(x)
        return y[0] if isinstance(y, tuple) else y

    message = refusal(forward, layer=MODULES[name])
    assert name in message


def test_a_subclass_with_a_forward_of_its_own_is_not_its_parent():
    class Odd(nn.Linear):
        def forward(self, x):
            return torch.sin(super().forward(x))

    assert "sin" in refusal(lambda m, x: m.fc(x), torch.rand(1, 4), fc=Odd(4, 2))


def test_a_subclass_that_masks_its_weight_exports_what_it_does():
    class Masked(nn.Linear):
        def forward(self, x):
            return F.linear(x, self.weight * 0.5, self.bias)

    layer = Masked(4, 2)
    graph = bridge.to_ir(Wrapped(lambda m, x: m.fc(x), fc=layer), torch.rand(1, 4))
    assert np.array_equal(graph.nodes["fc.linear"].weight, layer.weight.detach().numpy() * 0.5)


def test_forward_hooks():
    layer = nn.Linear(4, 2)
    layer.register_forward_hook(lambda module, given, output: output * 2)
    assert "hook" in refusal(lambda m, x: m.fc(x), torch.rand(1, 4), fc=layer)


def test_a_recurrent_layer_of_torch():
    message = refusal(
        lambda m, x: m.rnn(x)[0], torch.rand(2, 3, 4), rnn=nn.LSTM(4, 5, batch_first=True)
    )
    assert "lstm" in message


# State -----------------------------------------------------------------------------------------


def test_a_state_of_another_neuron():
    def forward(model, x):
        _, mem = model.a(x)
        return model.b(x, mem)[0]

    message = refusal(forward, torch.rand(1, 4), a=snn.Leaky(0.5), b=snn.Leaky(0.5))
    assert "the state of 'a'" in message


def test_a_state_that_was_changed():
    def forward(model, x):
        _, mem = model.a(x)
        return model.a(x, mem * 0.5)[0]

    assert "as its state" in refusal(forward, torch.rand(1, 4), a=snn.Leaky(0.5))


def test_a_state_that_is_not_zero():
    def forward(model, x):
        return model.a(x, torch.ones_like(x))[0]

    assert "not zero" in refusal(forward, torch.rand(1, 4), a=snn.Leaky(0.5))


def test_a_state_that_is_not_zero_before_the_first_of_several_steps():
    def loop(m, xs):
        mem, out = torch.ones(2, 4), []
        for x in xs:
            spk, mem = m.lif(x, mem)
            out.append(spk)
        return torch.stack(out)

    message = refusal(loop, torch.rand(3, 2, 4), lif=snn.Leaky(0.5))
    assert "a neuron starts from a state that is not zero" in message


def test_a_state_used_twice():
    def forward(model, x):
        first, mem = model.a(x)
        left, _ = model.a(x, mem)
        right, _ = model.a(first, mem)
        return left + right

    assert "a second time" in refusal(forward, torch.rand(1, 4), a=snn.Leaky(0.5))


def test_half_of_a_state():
    def forward(model, x):
        _, syn, mem = model.a(x)
        spk, _, _ = model.a(x, syn, torch.zeros_like(mem))
        return spk

    assert "different steps" in refusal(forward, torch.rand(1, 4), a=snn.Synaptic(0.5, 0.5))


# Loops -----------------------------------------------------------------------------------------


def loop(step):
    """A model that calls ``step(model, x_t, t, xs)`` before a neuron."""

    def forward(model, x):
        mem, out = None, []
        for t in range(len(x)):
            spk, mem = model.lif(step(model, x[t], t, x), mem)
            out.append(spk)
        return torch.stack(out)

    return forward


# What reaches a call at two steps, and what it is in them.
LOOPS = {
    "reaches 'mul'": lambda m, x, t, xs: x * (0.5 + t),
    "reaches 'add'": lambda m, x, t, xs: x + (t + 1),
    "reaches 'div'": lambda m, x, t, xs: m.fc(x) / (t + 1),
    "input 0 of step 4": lambda m, x, t, xs: xs[4],
    "what 'other'": lambda m, x, t, xs: m.other(x) if t == 4 else m.fc(x),
    "what 'relu'": lambda m, x, t, xs: F.relu(x) if t == 2 else x,
    "what 'fc'": lambda m, x, t, xs: m.fc(x) if t % 2 else m.other(x),
}


@pytest.mark.parametrize("name", LOOPS)
def test_steps_that_differ(name):
    message = refusal(
        loop(LOOPS[name]),
        torch.rand(5, 1, 4),
        lif=snn.Leaky(0.5),
        fc=nn.Linear(4, 4),
        other=nn.Linear(4, 4),
    )
    assert "steps" in message
    assert "differ in what" in message
    assert "expected a model whose steps are all the same" in message
    assert name in message


SIZES = {
    "/ len(x) at every step": loop(lambda m, x, t, xs: m.fc(x) / len(xs)),
    "* (1 / T) at every step": loop(lambda m, x, t, xs: m.fc(x) * (1 / xs.shape[0])),
    "+ T at every step": loop(lambda m, x, t, xs: x + xs.size(0)),
    "/ T of the stack": lambda m, x: torch.stack([m.fc(y) for y in x]) / len(x),
    "the mean, by T again": lambda m, x: torch.stack([m.fc(y) for y in x]).mean(0) / len(x),
    "the last step by T": lambda m, x: torch.stack([m.fc(y) for y in x])[-1] / len(x),
    "/ B of the stack": lambda m, x: torch.stack([m.fc(y) for y in x]) / x.shape[1],
    "* B at every step": loop(lambda m, x, t, xs: m.fc(x) * x.shape[0]),
    "/ (T * B)": lambda m, x: torch.stack([m.fc(y) for y in x]) / (len(x) * x.shape[1]),
}


@pytest.mark.parametrize("name", SIZES)
def test_numbers_that_are_the_samples_sizes(name):
    """They would become constants."""
    message = refusal(SIZES[name], torch.rand(5, 2, 4), lif=snn.Leaky(0.5), fc=nn.Linear(4, 4))
    assert "depend on how many steps or samples there are" in message


@pytest.mark.parametrize("size", [lambda x: len(x), lambda x: 1 / x.shape[0]])
def test_numbers_that_are_the_samples_batch_in_a_step(size):
    message = refusal(lambda m, x: m.fc(x) * size(x), torch.rand(2, 4), fc=nn.Linear(4, 4))
    assert "depend on how many steps or samples there are" in message


def test_a_number_of_features_is_a_constant():
    model = Wrapped(lambda m, x: m.fc(x) / x.shape[-1], fc=nn.Linear(4, 4))
    graph = equal(dyadic(model), torch.rand(2, 4), drawn(30, 3, 4))
    assert graph.nodes["div"].scale == 0.25


COUNTED = {
    "a gain from the third call": lambda m, x: x * 2 if m.count >= 3 else x,
    "a gain from the ninth call": lambda m, x: x * 2 if m.count >= 9 else x,
    "every other call": lambda m, x: x if m.count % 2 else -x,
    "times the number of calls": lambda m, x: x * m.count,
}


@pytest.mark.parametrize("name", COUNTED)
def test_calls_that_are_counted(name):
    def forward(model, x):
        model.count += 1
        return COUNTED[name](model, model.fc(x))

    message = refusal(forward, torch.rand(2, 4), where=False, fc=nn.Linear(4, 4), count=0)
    assert "the attribute 'count' is 1 after call 1 and 2 after call 2" in message
    assert "pass them in as an input" in message


def burned_in(m, xs):
    mem, out = None, []
    for t in range(len(xs)):
        spk, mem = m.lif(xs[t], mem)
        if t >= 2:
            out.append(spk)
    return torch.stack(out).mean(0)


def run_of(m, xs):
    return torch.stack([m.lif(x)[0] for x in xs])


# What no graph that runs step by step can say, and a word of why.
AHEAD = {
    "backwards": ("step", lambda m, x: run_of(m, [x[t] for t in range(len(x) - 1, -1, -1)])),
    "reversed": ("__reversed__", lambda m, x: run_of(m, reversed(x))),
    "flip": ("flip", lambda m, x: run_of(m, x).flip(0)),
    "x - x.mean(0)": ("looks ahead", lambda m, x: run_of(m, x - x.mean(0))),
    "x / x.amax(0)": ("looks ahead", lambda m, x: run_of(m, x / x.amax(0))),
    "the second half": ("across time", lambda m, x: run_of(m, x)[len(x) // 2 :].mean(0)),
    "burn in": ("step", burned_in),
    "softmax over time": ("across time", lambda m, x: run_of(m, x).softmax(0)),
    "sorted over time": ("sort", lambda m, x: run_of(m, x).sort(0).values),
    "the first spike": ("argmax", lambda m, x: run_of(m, x).argmax(0)),
    "std over time": ("std", lambda m, x: run_of(m, x).std(0)),
}


@pytest.mark.parametrize("name", AHEAD)
def test_what_looks_ahead(name):
    word, forward = AHEAD[name]
    message = refusal(forward, torch.rand(5, 2, 4), lif=snn.Leaky(0.5))
    assert word in message


HELD = {
    "switched off": lambda m, x, t: m.fc(x if t < 6 else torch.zeros_like(x)),
    "there once": lambda m, x, t: m.fc(x if t == 0 else torch.zeros_like(x)),
    "fading": lambda m, x, t: m.fc(x) * (1 - t / 12),
}


@pytest.mark.parametrize("name", HELD)
def test_a_held_image_that_changes_is_refused_by_its_line(name):
    def forward(m, x):
        return torch.stack([m.lif(HELD[name](m, x, t))[0] for t in range(12)])

    message = refusal(forward, torch.rand(2, 4), lif=snn.Leaky(0.5), fc=nn.Linear(4, 4))
    assert "differ in what" in message


BATCH = {
    "less the mean of the samples": lambda m, x: run_of(m, x - x.mean(1, keepdim=True)),
    "the largest sample": lambda m, x: run_of(m, x).amax(1),
    "the first sample": lambda m, x: run_of(m, x)[:, 0],
    "the sum of all": lambda m, x: run_of(m, x).sum((0, 1)),
}


@pytest.mark.parametrize("name", BATCH)
def test_what_mixes_samples(name):
    message = refusal(BATCH[name], torch.rand(5, 2, 4), lif=snn.Leaky(0.5))
    assert "across the batch" in message


LATER = {
    "a reset every ten steps": lambda t, steps: t % 10 == 9,
    "a reset at the eighth step": lambda t, steps: t == 8,
}


@pytest.mark.parametrize("name", LATER)
def test_what_shows_behind_the_sample_only(name):
    """The proof is longer than the trace."""

    def forward(m, xs):
        mem, out = None, []
        for t in range(len(xs)):
            spk, mem = m.lif(m.fc(xs[t]), mem)
            if LATER[name](t, len(xs)):
                mem = torch.zeros_like(mem)
            out.append(spk)
        return torch.stack(out)

    torch.manual_seed(0)
    refusal(
        forward, torch.rand(5, 2, 4), VerificationError, where=False, lif=snn.Leaky(0.5),
        fc=nn.Linear(4, 4),
    )  # fmt: skip


@torch.no_grad()
def test_what_an_earlier_run_left_behind():
    def forward(m, x):
        m.v = m.fc(x) if m.v is None else 0.5 * m.v + m.fc(x)
        return m.v

    model = Wrapped(forward, fc=nn.Linear(4, 4), v=None)
    model(torch.rand(2, 4))
    with pytest.raises(UnsupportedError, match="Bring the model to rest") as caught:
        bridge.to_ir(model, torch.rand(2, 4))
    assert "what the attribute 'v' holds" in str(caught.value)
    assert HERE in str(caught.value)
    model.v = None
    equal(model, torch.rand(2, 4), drawn(30, 3, 4), atol=1e-6)


def test_neurons_that_cannot_fire_are_named():
    """What they would do was not proven."""
    model = Wrapped(lambda m, x: (F.relu(x) > -1).float() * x + m.fc(x), fc=nn.Linear(4, 4))
    with pytest.warns(ProofWarning, match=r"never stays silent: 'gt'"):
        bridge.to_ir(model, torch.rand(2, 4))
    model = Wrapped(lambda m, x: (F.relu(x) < -1).float() + m.fc(x), fc=nn.Linear(4, 4))
    with pytest.warns(ProofWarning, match=r"never fires: 'lt'"):
        bridge.to_ir(model, torch.rand(2, 4))
    assert bridge.to_ir(model, torch.rand(2, 4), verify=False).nodes["lt"].primitive == "Threshold"


def test_steps_along_two_dimensions_are_refused():
    """With as many steps as samples their shapes would not tell."""

    def loop(m, xs):
        mem, out = None, []
        for t in range(3):
            spk, mem = m.lif(m.fc(xs[t]) + m.fc(xs[:, t]), mem)
            out.append(spk)
        return torch.stack(out)

    modules = {"fc": nn.Linear(4, 4), "lif": snn.Leaky(0.5)}
    message = refusal(loop, torch.rand(3, 3, 4), **modules)
    assert "has the axes (T, T, B), and no features" in message
    assert "Two of its axes are gone along step by step" in message


def test_a_swapped_input_as_a_whole_is_refused():
    message = refusal(lambda m, x: m.fc(x.transpose(0, 1)), torch.rand(3, 2, 4), fc=nn.Linear(4, 4))
    assert "or in front of the batch" in message


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_what_torch_jit_compiled():
    model = torch.jit.trace(nn.Linear(4, 3), torch.rand(1, 4))
    with pytest.raises(UnsupportedError, match=r"compiled by torch\.jit"):
        bridge.to_ir(model, torch.rand(1, 4))
    assert "module 'fc' is compiled" in refusal(lambda m, x: m.fc(x), torch.rand(1, 4), fc=model)


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_parameters_without_values():
    lazy = nn.Sequential(nn.LazyLinear(3), nn.ReLU())
    empty = nn.Sequential(nn.Linear(4, 3, device="meta"))
    for model in (lazy, empty):
        with pytest.raises(UnsupportedError, match=r"'0\.weight' has no values yet"):
            bridge.to_ir(model, torch.rand(1, 4))
    assert type(lazy[0]) is nn.LazyLinear
    lazy(torch.rand(1, 4))
    assert bridge.to_ir(lazy, torch.rand(1, 4)).nodes["0"].weight.shape == (3, 4)


def test_autocast():
    def forward(m, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return m.fc(x)

    message = refusal(forward, torch.rand(1, 4), fc=nn.Linear(4, 4))
    assert "torch.float32 into torch.bfloat16" in message


def test_parameters_that_change_between_steps():
    def step(model, x, t, xs):
        with torch.no_grad():
            model.fc.weight.mul_(0.5)
        return model.fc(x)

    message = refusal(loop(step), torch.rand(5, 1, 4), lif=snn.Leaky(0.5), fc=nn.Linear(4, 4))
    assert "the parameter 'fc.weight' is changed while the model runs" in message


def test_neurons_that_take_different_steps_are_refused_by_name():
    def forward(model, x):
        spk, mem = model.a(x)
        spk, mem = model.a(x, mem)
        return model.b(spk)[0]

    message = refusal(forward, torch.rand(1, 4), a=snn.Leaky(0.5), b=snn.Leaky(0.5))
    assert re.search(r"'[ab]' takes [12] steps", message)
    assert "one step in each step" in message


def test_half_of_the_input():
    def forward(model, x):
        mem, out = None, []
        for t in range(3):
            spk, mem = model.lif(x[t], mem)
            out.append(spk)
        return torch.stack(out)

    message = refusal(forward, torch.rand(5, 1, 4), lif=snn.Leaky(0.5))
    assert re.search(r"\b3 (of the \d+ )?steps", message)


def test_half_of_the_output():
    step = loop(lambda m, x, t, xs: x)

    def forward(model, x):
        return torch.stack(list(step(model, x).unbind())[:1])

    assert refusal(forward, torch.rand(5, 1, 4), lif=snn.Leaky(0.5))
    message = refusal(lambda m, x: step(m, x)[:1], torch.rand(5, 1, 4), lif=snn.Leaky(0.5))
    assert "computes something else with 7 steps" in message


def test_a_shared_neuron_without_a_state_of_its_own_is_refused_by_name():
    """snnTorch's neuron goes on from its last membrane: this is no pair of neurons."""

    def forward(model, x):
        return model.lif(model.b(model.lif(model.a(x))[0]))[0]

    message = refusal(
        forward,
        torch.rand(1, 4),
        where=False,
        lif=snn.Leaky(0.5),
        a=nn.Linear(4, 4),
        b=nn.Linear(4, 4),
    )
    assert "'lif'" in message
    assert "one step in each step" in message


def test_encoding_inside_of_the_model():
    from snntorch import spikegen

    message = refusal(lambda m, x: spikegen.rate(x, num_steps=3), torch.rand(2, 4))
    assert "draws random numbers" in message


# The call --------------------------------------------------------------------------------------


def test_a_sample_that_is_no_tensor():
    with pytest.raises(InputError, match="a sample of type list"):
        bridge.to_ir(nn.ReLU(), [1, 2])


def test_an_output_that_is_a_constant():
    message = refusal(lambda m, x: torch.ones(1, 3), where=False)
    assert "the model's output does not depend on the input" in message
    assert "Return what the model works out" in message


def test_custom_map_wins_and_is_checked():
    class Odd(nn.Module):
        def forward(self, x):
            return torch.sin(x) * 0

    model = nn.Sequential(nn.Linear(4, 3), Odd())
    zero = ir.Scale(np.zeros(1))
    graph = bridge.to_ir(model, torch.zeros(1, 4), custom_map={Odd: lambda m: zero})
    assert graph.nodes["1"].equals(zero)
    as_function = bridge.to_ir(
        model, torch.zeros(1, 4), custom_map=lambda m: zero if isinstance(m, Odd) else None
    )
    assert as_function.equals(graph)
    over = bridge.to_ir(
        model,
        torch.zeros(1, 4),
        {nn.Linear: lambda m: ir.Linear(np.ones((3, 4))), Odd: lambda m: zero},
    )
    assert over.nodes["0"].primitive == "Linear"
    for wrong in (3, None):
        with pytest.raises(NodeError, match="custom_map returned"):
            bridge.to_ir(model, torch.zeros(1, 4), {Odd: lambda m, w=wrong: w})


def test_custom_map_for_a_neuron_of_ones_own():
    class Neuron(nn.Module):
        def forward(self, x, v=None):
            v = x if v is None else v + x
            spk = (v >= 1).float()
            return spk, v * (1 - spk)

    def forward(model, x):
        v, out = None, []
        for x_t in x:
            spk, v = model.neuron(x_t, v)
            out.append(spk)
        return torch.stack(out)

    model = Wrapped(forward, neuron=Neuron())
    xs = torch.randint(0, 3, (20, 2, 4)) / 4
    graph = bridge.to_ir(model, xs, {Neuron: lambda m: ir.IF(np.ones(1))})
    assert torch.equal(bridge.ir_to_torch(graph).run(xs)[0], model(xs))


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2)).train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(T1CError):
        bridge.to_ir(nn.Sequential(model, nn.Hardswish()), torch.rand(3, 4))
    bridge.to_ir(model, torch.rand(3, 4))
    assert [m.training for m in model] == [True, False, True]
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())
    assert torch.is_grad_enabled()
    assert model(torch.rand(3, 4)).requires_grad


# What the model does at other sizes ------------------------------------------------------------

ANY = "expected a model that takes any number of steps and samples"


def test_a_model_that_raises_on_its_sample():
    message = refusal(lambda m, x: m.fc(x), torch.rand(2, 5), fc=nn.Linear(4, 4))
    assert "in module 'fc': the model raises RuntimeError: mat1 and mat2" in message
    assert "expected a model that runs on the sample" in message


def test_a_step_model_that_raises_at_a_later_call_ran_on_its_sample():
    def forward(m, x):
        m.seen.append(1)
        if len(m.seen) > 2:
            raise ValueError("enough")
        return m.fc(x)

    message = refusal(forward, torch.rand(2, 4), fc=nn.Linear(4, 4), seen=[])
    assert "the model runs on the sample, but called 7 times with 3 samples it raises" in message
    assert ANY in message
    assert "take sizes from the input" in message


def test_a_model_that_takes_no_more_steps_than_the_trace_had_is_told_by_a_warning():
    """Its graph is proven at those sizes."""

    def forward(m, xs):
        if len(xs) > 10:
            raise ValueError("too long")
        return torch.stack([m.lif(m.fc(x))[0] for x in xs])

    model = dyadic(Wrapped(forward, fc=nn.Linear(4, 4), lif=snn.Leaky(0.5, init_hidden=False)))
    with pytest.warns(ProofWarning, match=r"64 steps of 2 samples it raises ValueError: too long"):
        graph = bridge.to_ir(model, torch.rand(5, 2, 4))
    xs = drawn(10, 3, 4)
    sent = bridge.ir_to_torch(graph).run(xs)[0]
    assert torch.equal(sent, model(xs))
    assert 0 < sent.count_nonzero() < sent.numel()


def test_a_model_of_no_other_batch_than_its_samples_is_proven_with_that():
    model = dyadic(Wrapped(lambda m, x: m.fc(x) + torch.zeros(4, 4), fc=nn.Linear(4, 4)))
    graph = bridge.to_ir(model, torch.rand(4, 4))
    xs = drawn(10, 4, 4)
    assert torch.equal(bridge.ir_to_torch(graph).run(xs)[0], torch.stack([model(x) for x in xs]))


def test_a_squeezed_batch_of_one():
    """With one sample the batch is gone too."""
    message = refusal(
        lambda m, x: m.fc(x.unsqueeze(0).squeeze()), torch.rand(2, 4), VerificationError,
        fc=nn.Linear(4, 4),
    )  # fmt: skip
    assert "'output' has shape (7, 4) in the model and (7, 1, 4) in the graph" in message
    assert "seen called 7 times with 1 sample" in message
    assert "squeeze(dim)" in message


# Where a refusal is ------------------------------------------------------------------------------


def two_lengths(m, x):
    return m.second(m.first(x)[2:])


def test_sequences_of_two_lengths_are_named():
    from spikingjelly.activation_based import neuron

    modules = {n: neuron.IFNode(step_mode="m") for n in ("first", "second")}
    message = refusal(two_lengths, torch.rand(5, 2, 4), **modules)
    assert "sequences of 5 and 3 steps in one model" in message
    assert "input 0 has 5 and what 'indexing'" in message


FEATURELESS = {
    "has the axes (B), and no features": (lambda m, x: m.lif(x)[0], (4,)),
    "has the axes (), and no features": (lambda m, x: x * 2, ()),
    "has the axes (T, B), and no features": (lambda m, x: run_of(m, x), (5, 4)),
}


@pytest.mark.parametrize("name", FEATURELESS)
def test_an_input_without_features_names_the_line_that_takes_it(name):
    forward, shape = FEATURELESS[name]
    message = refusal(forward, torch.rand(shape), lif=snn.Leaky(0.5))
    assert name in message
    assert "x.unsqueeze(0)" in message


HOME = re.compile(r"^Wrapped \(.*export_helpers\.py:\d+\): ")
OUTPUTS = {
    "the model returns None": lambda m, x: None,
    "the model returns a str, which holds no tensor": lambda m, x: "spikes",
    "the model's output does not depend on the input": lambda m, x: torch.ones(2, 3),
    "the model returns a and b at different calls": lambda m, x: (
        {"a" if m.seen.append(1) or len(m.seen) % 2 else "b": x * 2}
    ),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_is_wrong_with_the_model_as_a_whole_names_its_forward(name):
    message = refusal(OUTPUTS[name], torch.rand(2, 4), where=False, seen=[])
    assert HOME.match(message)
    assert name in message


def test_an_empty_output_is_refused_by_its_line():
    message = refusal(lambda m, x: m.fc(x)[:, :0], torch.rand(2, 4), fc=nn.Linear(4, 4))
    assert "output 'output' has the features (0,)" in message


def test_a_neuron_that_is_followed_in_vain_says_why_it_was():
    neuron = snn.Leaky(0.5, state_quant=lambda mem: mem.sort(1).values)
    message = refusal(lambda m, x: m.a(x)[0], torch.rand(2, 4), a=neuron)
    assert "in module 'a': torch's sort is nothing that a graph can say" in message
    assert "Module 'a' is followed as no primitive says it: state_quant" in message


def test_numbers_that_differ_from_step_to_step_are_told():
    message = refusal(
        loop(lambda m, x, t, xs: x * (t + 1)), torch.rand(5, 2, 4), lif=snn.Leaky(0.5)
    )
    assert "the number 1, and the number 7" in message


def test_a_history_that_grows_is_told_by_its_lengths():
    def forward(m, x):
        m.past.append(m.fc(x))
        return torch.stack(m.past).mean(0)

    message = refusal(forward, torch.rand(2, 4), fc=nn.Linear(4, 4), past=[])
    assert "steps 0 and 6 differ: stack of 1 and of 7 values" in message


def test_a_neuron_called_twice_in_a_step_is_told():
    def forward(m, x):
        spk, mem = m.a(x)
        return m.b(m.a(spk, mem)[0])[0]

    message = refusal(forward, torch.rand(1, 4), a=snn.Leaky(0.5), b=snn.Leaky(0.5))
    assert "'a' takes 2 steps where the model takes one" in message


def test_no_custom_map_is_advised_where_no_node_could_say_it():
    layer = nn.Conv2d(4, 2, 3, padding=1, padding_mode="reflect")
    message = refusal(lambda m, x: m.layer(x), layer=layer)
    assert "Use padding_mode='zeros'." in message
    assert "custom_map" not in message


# custom_map, and verify --------------------------------------------------------------------------


class Sine(nn.Module):
    def forward(self, x):
        return torch.sin(x)


MAPS = {
    "custom_map returned None": (NodeError, lambda m: None),
    "custom_map returned a list": (NodeError, lambda m: [ir.ReLU(4)]),
    "custom_map raises AttributeError": (NodeError, lambda m: m.nothing),
    "it makes (3,) of (4,)": (
        UnsupportedError,
        lambda m: ir.Affine(np.ones((3, 4)), np.ones(3)),
    ),
    "a parameter of shape (5,) for input of shape (4,)": (
        UnsupportedError,
        lambda m: ir.Scale(np.ones(5)),
    ),
}


@pytest.mark.parametrize("name", MAPS)
def test_a_custom_map_that_does_not_fit_names_the_module(name):
    error, function = MAPS[name]
    with pytest.raises(error) as caught:
        bridge.to_ir(nn.Sequential(nn.Linear(4, 4), Sine()), torch.rand(2, 4), {Sine: function})
    assert "module '1' (Sine)" in str(caught.value)
    assert name in str(caught.value)


GIVEN = {
    "shape (5, 2, 3) for input 'input_1'": torch.rand(5, 2, 3),
    "shape (2, 4) for input 'input_1'": torch.rand(2, 4),
    "str for input 'input_1'": "yes",
    "inputs ['other']": {"other": torch.rand(5, 2, 4), "input_1": torch.rand(5, 2, 4)},
}


@pytest.mark.parametrize("name", GIVEN)
def test_inputs_of_the_users_that_do_not_fit(name):
    model = Wrapped(lambda m, x: m.fc(x), fc=nn.Linear(4, 4))
    with pytest.raises(InputError) as caught:
        bridge.to_ir(model, torch.rand(2, 4), verify=GIVEN[name])
    assert f"verify: {name}" in str(caught.value)


def test_a_hook_in_a_sequential_is_placed_by_its_module_alone():
    layer = nn.Linear(4, 4)
    layer.register_forward_hook(lambda module, given, output: output * 2)
    with pytest.raises(UnsupportedError) as caught:
        bridge.to_ir(nn.Sequential(nn.Linear(4, 4), layer), torch.rand(2, 4))
    assert caught.value.problems[0].where == "module '1'"


def test_a_line_of_pythons_own_library_is_not_the_models():
    message = refusal(lambda m, x: colorsys.hls_to_rgb(x, x, x)[0], torch.rand(2, 4))
    assert "bool() reads the values" in message
    assert "colorsys.py" not in message


def test_axes_that_are_mixed_say_what_may_be_done_to_them():
    message = refusal(lambda m, x: m.fc(x.view(4, 2)), torch.rand(2, 4), fc=nn.Linear(2, 2))
    assert "share an axis (torch's view)" in message
    assert "the numbers of a sample stay with that sample" in message
