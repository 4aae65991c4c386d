"""Time in a model: steps and their order, readouts, inputs held still, loops."""

import functools

import pytest
import snntorch as snn
import torch
from torch import nn
from torch.nn import functional as F

from t1c.ir.errors import T1CError

from .export_helpers import (
    LENGTH,
    SAMPLES,
    Wrapped,
    bridge,
    drawn,
    dyadic,
    equal,
    fired,
    net,
    same,
    spikes,
    there_and_back,
    types_of,
    whole,
)

HERE = "test_export_time.py:"
B = 2


def refused(model, sample):
    """What the error says that a model is refused with."""
    with pytest.raises(T1CError) as caught:
        bridge.to_ir(model, sample)
    return str(caught.value)


# Steps and their order -------------------------------------------------------------------------


def test_a_list_of_steps_is_a_stack(tmp_path):
    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.lif, self.fc = snn.Leaky(0.5), nn.Linear(4, 3)

        def forward(self, x):
            mem, out = self.lif.init_leaky(), []
            for x_t in x:
                spk, mem = self.lif(x_t, mem)
                out.append(self.fc(spk))
            return out

    model = dyadic(Listed())
    for steps in (2, 5):
        xs = spikes(steps, B, 4)
        executor = there_and_back(model, xs, tmp_path)
        assert list(executor.graph.nodes) == ["input", "lif", "fc", "output"]
        assert same(executor.run(xs)[0].detach(), torch.stack(model(xs)).detach())


STEPS = {
    "x[t]": (0, lambda x: lambda t: x[t]),
    "x[t, :]": (0, lambda x: lambda t: x[t, :]),
    "x[t, ...]": (0, lambda x: lambda t: x[t, ...]),
    "x[t - T]": (0, lambda x: lambda t: x[t - len(x)]),
    "select": (0, lambda x: lambda t: x.select(0, t)),
    "x[:, t, :]": (1, lambda x: lambda t: x[:, t, :]),
    "x[:, t, ...]": (1, lambda x: lambda t: x[:, t, ...]),
    "select along 1": (1, lambda x: lambda t: x.select(1, t)),
    "permute": (1, lambda x: x.permute(1, 0, 2).__getitem__),
    "transpose": (1, lambda x: x.transpose(0, 1).__getitem__),
    "transpose twice": (0, lambda x: x.transpose(0, 1).transpose(1, 0).__getitem__),
}


@pytest.mark.grid(1)
@pytest.mark.parametrize("square", [True, False])
@pytest.mark.parametrize("how", STEPS)
def test_ways_of_taking_a_step(how, square, tmp_path):
    axis, take = STEPS[how]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.lif = nn.Linear(4, 3), snn.Leaky(0.5)

        def forward(self, x):
            step, mem, out = take(x), None, []
            for t in range(x.shape[axis]):
                spk, mem = self.lif(self.fc(step(t)), mem)
                out.append(spk)
            return torch.stack(out)

    model = dyadic(Net())
    xs = spikes(3 if square else 20, 3, 4)
    sample = xs if axis == 0 else xs.transpose(0, 1).contiguous()
    executor = there_and_back(model, sample, tmp_path)
    assert same(executor.run(xs)[0], model(sample).detach())


def test_batch_first_sequences_are_indexed_along_dim_1():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lif = snn.Leaky(0.5)

        def forward(self, x):
            mem, out = None, []
            for t in range(x.shape[1]):
                spk, mem = self.lif(x[:, t], mem)
                out.append(spk)
            return out

    graph = bridge.to_ir(Net(), torch.zeros(2, 5, 3))
    assert graph.nodes["input"].shape == (3,)


# Readouts --------------------------------------------------------------------------------------


def gathered(how, start):
    """A model that gathers its spikes while it loops."""

    def forward(model, xs):
        mem, total = None, start(xs)
        for x in xs:
            spk, mem = model.lif(model.fc(x), mem)
            total = how(total, spk)
        return total

    return forward


def zeros(xs):
    return torch.zeros(xs.shape[1], 8)


READOUTS = {
    "mean": ("mean", lambda m, x: torch.stack(fired(m, x)).mean(0)),
    "mean behind a layer": ("mean", lambda m, x: m.head(torch.stack(fired(m, x))).mean(dim=0)),
    "a layer behind the mean": ("mean", lambda m, x: m.head(torch.stack(fired(m, x)).mean(0))),
    "mean along the second": ("mean", lambda m, x: torch.stack(fired(m, x), dim=1).mean(1)),
    "sum by the number of steps": ("mean", lambda m, x: torch.stack(fired(m, x)).sum(0) / len(x)),
    "sum by the shape": ("mean", lambda m, x: sum(fired(m, x)) / x.shape[0]),
    "mean in the loop": (
        "mean",
        lambda m, x: gathered(lambda a, b: a + b, zeros)(m, x) / x.size(0),
    ),
    "sum": ("sum", lambda m, x: torch.stack(fired(m, x)).sum(0)),
    "sum of a list": ("sum", lambda m, x: sum(fired(m, x))),
    "reduced list": ("sum", lambda m, x: functools.reduce(torch.add, fired(m, x))),
    "sum in the loop": ("sum", gathered(lambda a, b: a + b, zeros)),
    "sum in the loop, from 0": ("sum", gathered(lambda a, b: a + b, lambda xs: 0)),
    "sum in the loop, in place": ("sum", gathered(lambda a, b: a.add_(b), zeros)),
    "sum in the loop, from None": (
        "sum",
        gathered(lambda a, b: b if a is None else a + b, lambda xs: None),
    ),
    "half of the sum": ("sum", lambda m, x: torch.stack(fired(m, x)).sum(0) * 0.5),
    "max": ("max", lambda m, x: m.head(torch.stack(fired(m, x))).max(0).values),
    "amax": ("max", lambda m, x: m.head(torch.stack(fired(m, x))).amax(0)),
    "max unpacked": ("max", lambda m, x: torch.max(m.head(torch.stack(fired(m, x))), 0)[0]),
    "amin": ("min", lambda m, x: m.head(torch.stack(fired(m, x))).amin(0)),
    "last of the stack": (None, lambda m, x: m.head(torch.stack(fired(m, x)))[-1]),
    "last of the list": (None, lambda m, x: m.head(fired(m, x)[-1])),
    "last in the loop": (None, gathered(lambda a, b: b, lambda xs: None)),
}


@pytest.mark.parametrize("name", READOUTS)
def test_readout(name):
    """What is gathered over time is there at the last step, and streams."""
    how, forward = READOUTS[name]
    xs = drawn(LENGTH, SAMPLES, 6)
    graph = equal(net(forward), drawn(5, 2, 6, seed=1), xs, whole, atol=1e-6)
    assert [node.final for node in graph.outputs().values()] == [True]
    kept = [node.how for node in graph.nodes.values() if node.primitive == "Accumulate"]
    assert kept == [how] * (how is not None)


def test_largest_in_the_loop():
    """A running maximum that starts from zeros, and not from the first step."""
    xs = drawn(LENGTH, SAMPLES, 6)

    def forward(m, xs):
        best, mem = torch.zeros(xs.shape[1], 4), None
        for x in xs:
            spk, mem = m.lif(m.fc(x), mem)
            best = torch.maximum(best, m.head(spk))
        return best

    graph = equal(net(forward), drawn(5, 2, 6, seed=1), xs, whole, atol=1e-6)
    assert next(iter(graph.outputs().values())).final


def test_log_softmax_behind_the_largest():
    def forward(m, xs):
        return F.log_softmax(m.head(torch.stack(fired(m, xs))).max(0).values, dim=1)

    graph = equal(net(forward), drawn(5, 2, 6, seed=1), drawn(LENGTH, SAMPLES, 6), whole, atol=1e-6)
    assert "Accumulate" in types_of(graph).values()


# Results written step by step ------------------------------------------------------------------


def filled(make, put):
    """A model that writes each step into a result that was there before."""

    def forward(model, xs):
        out, mem = make(xs), None
        for t in range(len(xs)):
            spk, mem = model.lif(model.fc(xs[t]), mem)
            put(out, t, spk)
        return out

    return forward


def in_one_line(model, xs):
    out, mem = torch.zeros(len(xs), xs.shape[1], 8), None
    for t, x in enumerate(xs):
        out[t], mem = model.lif(model.fc(x), mem)
    return out


def into_the_second(model, xs):
    out = filled(
        lambda xs: torch.zeros(xs.shape[1], len(xs), 8),
        lambda out, t, spk: out.__setitem__((slice(None), t), spk),
    )(model, xs)
    return out.transpose(0, 1)


def step_of(out, t, spk):
    out[t] = spk


WRITTEN = {
    "zeros": filled(lambda xs: torch.zeros(len(xs), xs.shape[1], 8), step_of),
    "empty": filled(lambda xs: torch.empty(*xs.shape[:2], 8), step_of),
    "new_zeros": filled(lambda xs: xs.new_zeros(xs.size(0), xs.size(1), 8), step_of),
    "all of a step": filled(
        lambda xs: torch.zeros(*xs.shape[:2], 8),
        lambda out, t, spk: out.__setitem__((t, slice(None), slice(None)), spk),
    ),
    "in one line": in_one_line,
    "into the second": into_the_second,
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_result_that_is_written_step_by_step(name):
    graph = equal(net(WRITTEN[name]), drawn(5, 2, 6, seed=1), drawn(LENGTH, SAMPLES, 6), whole)
    assert list(types_of(graph).values()) == ["Input", "Affine", "LIF", "Output"]


def into_copied(out, t, spk):
    out[t].copy_(spk)


def into_the_rest(out, t, spk):
    out[t][:] = spk


def into_selected(out, t, spk):
    out.select(0, t).copy_(spk)


def into_a_slice(out, t, spk):
    out[t : t + 1] = spk.unsqueeze(0)


def into_written_twice(out, t, spk):
    out[t].copy_(spk + 1)
    out[t].copy_(spk)


def into_added(out, t, spk):
    out[t] += spk


def into_changed_afterwards(out, t, spk):
    out[t].copy_(spk)
    spk.mul_(0)


VIEWS = {
    put.__name__: put
    for put in (
        into_copied,
        into_the_rest,
        into_selected,
        into_a_slice,
        into_written_twice,
        into_added,
        into_changed_afterwards,
    )
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_step_that_is_written_through_a_view(name):
    """A write into out[t] is one into out."""
    written = filled(lambda xs: torch.zeros(*xs.shape[:2], 8), VIEWS[name])
    graph = equal(net(written), drawn(5, 2, 6, seed=1), drawn(LENGTH, SAMPLES, 6), whole)
    assert [kind for kind in types_of(graph).values() if kind not in ("Shift", "Skip")] == [
        "Input",
        "Affine",
        "LIF",
        "Output",
    ]


def test_a_view_that_is_read_after_another_was_written_is_refused():
    def put(out, t, spk):
        view = out[t]
        out[t].copy_(spk)
        view.add_(spk)

    message = refused(
        net(filled(lambda xs: torch.zeros(*xs.shape[:2], 8), put)), drawn(5, 2, 6, seed=1)
    )
    assert "was overwritten in place" in message
    assert HERE in message


def test_a_part_of_a_step_is_no_step():
    def put(out, t, spk):
        out[t, :, :4] = spk[:, :4]

    message = refused(
        net(filled(lambda xs: torch.zeros(*xs.shape[:2], 8), put)), drawn(5, 2, 6, seed=1)
    )
    assert "__setitem__" in message
    assert HERE in message


# Steps put together ------------------------------------------------------------------------------


def late(xs):
    moved = torch.zeros_like(xs)
    moved[1:] = xs[:-1]
    return moved


# name -> what a sequence is made into before the neuron, and the Delay that it takes.
PARTS = {
    "two parts": (lambda x: torch.cat([x[:1], x[1:]]), []),
    "three parts": (lambda x: torch.cat([x[:2], x[2:3], x[3:]], 0), []),
    "a step late": (lambda x: torch.cat([torch.zeros_like(x[:1]), x[:-1]]), [1]),
    "two steps late": (lambda x: torch.cat([torch.zeros_like(x[:2]), x[:-2]]), [2]),
    "longer, then cut": (lambda x: torch.cat([torch.ones(1, *x.shape[1:]), x])[:-1], [1]),
    "beside itself": (lambda x: x + torch.cat([torch.zeros_like(x[:1]), x[:-1]]), [1]),
    "written late": (late, [1]),
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_of_a_sequence_put_together(name):
    arrange, delays = PARTS[name]
    model = net(lambda m, x: torch.stack(fired(m, arrange(x))))
    graph = equal(model, drawn(5, 2, 6, seed=1), drawn(LENGTH, SAMPLES, 6), whole)
    assert [int(n.delay) for n in graph.nodes.values() if n.primitive == "Delay"] == delays


AHEAD = {
    "a step early": lambda x: torch.cat([x[1:], torch.zeros_like(x[:1])]),
    "the first at the end": lambda x: torch.cat([x[1:], x[:1]]),
    "backwards": lambda x: torch.cat([x[t : t + 1] for t in reversed(range(len(x)))]),
    "every second first": lambda x: torch.cat([x[::2], x[1::2]]),
}


@pytest.mark.parametrize("name", AHEAD)
def test_parts_that_look_ahead_are_refused(name):
    model = net(lambda m, x: torch.stack(fired(m, AHEAD[name](x))))
    message = refused(model, drawn(5, 2, 6, seed=1))
    assert "steps later" in message
    assert "export_helpers.py:" in message


SOME = {
    "differences": lambda m, x: torch.cat([x[:1], x[1:] - x[:-1]]),
    "one part of the features": lambda m, x: torch.cat(
        [torch.cat([x[:1, :, :2], x[:-1, :, :2]]), x[:, :, 2:]], 2
    ),
    "the rest of the mean": lambda m, x: torch.stack(fired(m, x))[1:].mean(0),
    "one more in the mean": lambda m, x: torch.cat([x[:1], torch.stack(fired(m, x))[..., :6]]),
}


@pytest.mark.parametrize("name", SOME)
def test_work_on_some_steps_is_refused(name):
    def forward(m, x):
        made = SOME[name](m, x)
        return made if "mean" in name else torch.stack(fired(m, made))

    message = refused(net(forward), drawn(5, 2, 6, seed=1))
    assert "cannot be told" not in message
    assert HERE in message


def merged(m, x):
    return m.fc(x.flatten(0, 1))


def grown(m, steps):
    out, mem = torch.empty(0, steps[0].shape[0], 8), None
    for step in steps:
        spk, mem = m.lif(step, mem)
        out = torch.cat([out, spk.unsqueeze(0)])
    return out


def spikes_of(m, steps):
    mem, out = None, []
    for step in steps:
        spk, mem = m.lif(step, mem)
        out.append(spk)
    return out


CUT = {
    "chunk of merged rows": lambda m, x: torch.stack(spikes_of(m, merged(m, x).chunk(len(x)))),
    "split of merged rows": lambda m, x: torch.stack(spikes_of(m, merged(m, x).split(x.shape[1]))),
    "and merged again": lambda m, x: torch.cat(spikes_of(m, merged(m, x).split(x.shape[1]))).view(
        len(x), -1, 8
    ),
    "chunk": lambda m, x: torch.stack(spikes_of(m, [c.squeeze(0) for c in m.fc(x).chunk(len(x))])),
    "split by one": lambda m, x: torch.cat(spikes_of(m, m.fc(x).split(1))),
    "slices": lambda m, x: torch.cat(spikes_of(m, [m.fc(x[t : t + 1]) for t in range(len(x))])),
    "a result that grows": lambda m, x: grown(m, [m.fc(step) for step in x]),
}


@pytest.mark.parametrize("name", CUT)
def test_a_sequence_that_is_cut_into_steps(name):
    graph = equal(net(CUT[name]), drawn(5, 2, 6, seed=1), drawn(LENGTH, SAMPLES, 6), whole)
    assert not {"Delay", "Concat"} & set(types_of(graph).values())


def test_spikes_written_a_step_late_and_averaged():
    def forward(m, x):
        out = torch.zeros(len(x), x.shape[1], 8)
        for t, spk in enumerate(fired(m, x)[:-1]):
            out[t + 1] = spk
        return m.head(out.mean(0))

    graph = equal(net(forward), drawn(5, 2, 6, seed=1), drawn(LENGTH, SAMPLES, 6), whole, atol=1e-6)
    assert [int(n.delay) for n in graph.nodes.values() if n.primitive == "Delay"] == [1]


def test_one_line_is_one_place_however_often_it_ran():
    """Python 3.11 calls from another instruction of the line once it is warm."""

    def forward(m, x):
        mem, out = None, []
        for step in x:
            (current,) = tuple(part * 2 for part in (step,))
            spk, mem = m.lif(m.fc(current), mem)
            out.append(spk)
        return torch.stack(out)

    # Long enough to grow warm within the recording itself.
    graph = equal(net(forward), drawn(40, 2, 6, seed=1), drawn(LENGTH, SAMPLES, 6), whole)
    assert list(types_of(graph).values()) == ["Input", "Scale", "Affine", "LIF", "Output"]


# Where time lies -------------------------------------------------------------------------------


# name -> from time first to the model's order, and the model's spikes, time first again.
ORDERS = {
    "x[:, t]": ("bt", lambda m, x: fired(m, [x[:, t] for t in range(x.shape[1])])),
    "unbind(1)": ("bt", lambda m, x: fired(m, x.unbind(1))),
    "permute": ("bt", lambda m, x: fired(m, x.permute(1, 0, 2))),
    "layer before the loop": (
        "bt",
        lambda m, x: fired(Wrapped(None, fc=nn.Identity(), lif=m.lif), m.fc(x).transpose(0, 1)),
    ),
    "x[..., t]": ("last", lambda m, x: fired(m, [x[..., t] for t in range(x.shape[-1])])),
    "unbind(-1)": ("last", lambda m, x: fired(m, x.unbind(-1))),
    "permute(2, 0, 1)": ("last", lambda m, x: fired(m, x.permute(2, 0, 1))),
}


ARRANGED = {
    "bt": lambda xs: xs.transpose(0, 1).contiguous(),
    "last": lambda xs: xs.movedim(0, -1).contiguous(),
}


@pytest.mark.grid(1)
@pytest.mark.parametrize("back", ["time first", "as it came", "mean"])
@pytest.mark.parametrize("name", ORDERS)
def test_sequences_in_another_order(name, back):
    order, steps = ORDERS[name]
    arrange = ARRANGED[order]
    along = {"time first": 0, "mean": 0, "as it came": {"bt": 1, "last": -1}[order]}[back]

    def forward(model, x):
        out = torch.stack(steps(model, x), dim=along)
        return out.mean(0) if back == "mean" else out

    def run(model, xs):
        out = model(arrange(xs))
        return out if back == "mean" else out.movedim(along, 0)

    graph = equal(
        net(forward),
        arrange(drawn(5, 2, 6, seed=1)),
        drawn(LENGTH, SAMPLES, 6),
        run,
        atol=1e-6 * (back == "mean"),
    )
    assert graph.nodes["input"].shape == (6,)
    assert next(iter(graph.outputs().values())).final == (back == "mean")


def warmed(bn):
    """A batch norm as after training, with numbers on a grid."""
    generator = torch.Generator().manual_seed(3)
    for name in ("weight", "bias", "running_mean", "running_var"):
        values = torch.randint(1, 9, (bn.num_features,), generator=generator) / 4
        getattr(bn, name).data.copy_(values)
    return bn.eval()


def functional(norm):
    """A batch norm as a function, by what a module holds."""
    return lambda x: F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)


# name -> features, the model's order, the layer, and the node that it is step by step
NORMS = {
    "(B, C, T)": ((6,), lambda xs: xs.permute(1, 2, 0), nn.BatchNorm1d(6), "BatchNorm1d"),
    "(B, C, L, T)": ((3, 4), lambda xs: xs.permute(1, 2, 3, 0), nn.BatchNorm2d(3), "BatchNorm1d"),
    "(B, C, H, W, T)": (
        (2, 3, 4),
        lambda xs: xs.permute(1, 2, 3, 4, 0),
        nn.BatchNorm3d(2),
        "BatchNorm2d",
    ),
    "(B, C, T, H, W)": (
        (2, 3, 4),
        lambda xs: xs.permute(1, 2, 0, 3, 4),
        nn.BatchNorm3d(2),
        "BatchNorm2d",
    ),
}


@pytest.mark.parametrize("function", [False, True])
@pytest.mark.parametrize("name", NORMS)
def test_a_batch_norm_whose_extra_axis_is_time(name, function):
    """In eval mode it treats each number by itself, as its channel says."""
    features, order, norm, node = NORMS[name]
    norm = warmed(norm)
    axis = order(torch.zeros(9, *[1] * (1 + len(features)))).shape.index(9)
    layer = functional(norm) if function else norm

    def forward(m, x):
        y, mem, out = layer(x), None, []
        for t in range(x.shape[axis]):
            spk, mem = m.lif(y.select(axis, t), mem)
            out.append(spk)
        return torch.stack(out)

    model = Wrapped(forward, lif=snn.Leaky(0.5), **({} if function else {"norm": norm}))
    graph = equal(
        model,
        order(drawn(5, 2, *features, seed=1)),
        drawn(LENGTH, SAMPLES, *features),
        lambda model, xs: model(order(xs)),
    )
    assert list(types_of(graph).values()) == ["Input", node, "LIF", "Output"]


@pytest.mark.parametrize("channels", ["time", "batch"])
def test_a_batch_norm_whose_channels_are_time_or_batch_is_refused(channels):
    sizes = {"time": (2, 5, 6), "batch": (5, 2, 6)}

    def forward(m, x):
        return torch.stack(fired(m, m.norm(x).unbind(list(sizes[channels]).index(5))))

    model = net(forward, norm=warmed(nn.BatchNorm1d(sizes[channels][1])))
    message = refused(model, torch.rand(*sizes[channels]))
    assert f"norm works across {'time' if channels == 'time' else 'the batch'}" in message
    assert HERE in message


def convolved(m, x, merge, part):
    """A convolution on all steps at once, then the neuron step by step."""
    steps, batch = x.shape[:2]
    y = part(m.conv(merge(x)), steps, batch)
    return torch.stack(fired(m, y.flatten(2)))


MERGED = {
    "flatten and view": (
        lambda x: x.flatten(0, 1),
        lambda y, t, b: y.view(t, b, *y.shape[1:]),
    ),
    "reshape by numbers": (
        lambda x: x.reshape(x.shape[0] * x.shape[1], 1, 4, 4),
        lambda y, t, b: y.reshape(t, b, 2, 2, 2),
    ),
    "view with -1": (
        lambda x: x.view(-1, *x.shape[2:]),
        lambda y, t, b: y.view(t, -1, 2, 2, 2),
    ),
    "unflatten": (lambda x: x.flatten(0, 1), lambda y, t, b: y.unflatten(0, (t, b))),
    "unflatten with -1": (lambda x: x.flatten(0, 1), lambda y, t, b: y.unflatten(0, (t, -1))),
    "chunks": (
        lambda x: x.flatten(0, 1),
        lambda y, t, b: torch.stack(y.chunk(t, dim=0)),
    ),
    "batch first": (
        lambda x: x.transpose(0, 1).flatten(0, 1),
        lambda y, t, b: y.unflatten(0, (b, t)).transpose(0, 1),
    ),
}


@pytest.mark.parametrize("name", MERGED)
def test_time_and_batch_as_one(name):
    merge, part = MERGED[name]
    model = net(lambda m, x: convolved(m, x, merge, part), features=8, conv=nn.Conv2d(1, 2, 3))
    graph = equal(model, drawn(5, 2, 1, 4, 4, seed=1), drawn(LENGTH, SAMPLES, 1, 4, 4), whole)
    assert sorted(set(types_of(graph).values())) == [
        "Affine", "Conv2d", "Flatten", "Input", "LIF", "Output",
    ]  # fmt: skip


def test_a_mean_over_time_that_is_merged_with_batch():
    def forward(m, x):
        steps, batch = x.shape[:2]
        spk = torch.stack(fired(m, x))
        return m.head(spk.flatten(0, 1)).view(steps, batch, -1).mean(0)

    graph = equal(net(forward), drawn(5, 2, 6, seed=1), drawn(LENGTH, SAMPLES, 6), whole, atol=1e-6)
    assert next(iter(graph.outputs().values())).final


# Inputs held still -----------------------------------------------------------------------------


def image_at_every_step(m, x):
    mem, out = None, []
    for _ in range(25):
        spk, mem = m.lif(m.fc(x), mem)
        out.append(spk)
    return torch.stack(out)


def image_worked_once(m, x):
    current, mem, out = m.fc(x), None, []
    for _ in range(25):
        spk, mem = m.lif(current, mem)
        out.append(spk)
    return torch.stack(out)


HELD = {
    "in the loop": image_at_every_step,
    "worked once": image_worked_once,
    "repeat": lambda m, x: torch.stack(fired(m, x.unsqueeze(0).repeat(25, 1, 1))),
    "expand": lambda m, x: torch.stack(fired(m, x.unsqueeze(0).expand(25, -1, -1))),
    "indexed with None": lambda m, x: torch.stack(fired(m, x[None].expand(25, *x.shape))),
    "stack": lambda m, x: torch.stack(fired(m, torch.stack([x] * 25))),
    "repeat_interleave": lambda m, x: torch.stack(fired(m, x[None].repeat_interleave(25, 0))),
    "layer before": lambda m, x: torch.stack(
        fired(Wrapped(None, fc=nn.Identity(), lif=m.lif), m.fc(x)[None].repeat(25, 1, 1))
    ),
}


@pytest.mark.grid(1)
@pytest.mark.parametrize("readout", ["mean", "sum", "last", None])
@pytest.mark.parametrize("name", HELD)
def test_a_static_image(name, readout):
    ends = {
        "mean": lambda out: out.mean(0),
        "sum": lambda out: out.sum(0),
        "last": lambda out: out[-1],
        None: lambda out: out,
    }
    model = net(lambda m, x: ends[readout](m.head(HELD[name](m, x))))
    graph = equal(model, drawn(2, 6, seed=1), drawn(5, 6), whole, atol=1e-6)
    assert graph.nodes["input"].shape == (6,)
    assert graph.nodes["input"].hold == 25
    assert next(iter(graph.outputs().values())).final == (readout is not None)


def held_and_gathered(m, x):
    total, mem = torch.zeros(len(x), 8), None
    for _ in range(12):
        spk, mem = m.lif(m.fc(x), mem)
        total = total + spk
    return m.head(total / 12)


def held_by_hand(m, x):
    v, total = torch.zeros(len(x), 8), 0
    for _ in range(12):
        v = 0.5 * v + m.fc(x)
        spk = (v > 1).float()
        v = v - spk
        total = total + m.head(spk)
    return total


def held_to_the_last_membrane(m, x):
    v = torch.zeros(len(x), 8)
    for _ in range(12):
        v = 0.75 * v + m.fc(x)
        v = v - (v > 1).float()
    return m.head(v)


def held_from_a_first_step(m, x):
    """The first step stands outside of the loop, at another line."""
    total, mem = m.lif(m.fc(x), None)
    for _ in range(1, 12):
        spk, mem = m.lif(m.fc(x), mem)
        total = total + spk
    return total / 12


@pytest.mark.parametrize(
    "forward",
    [held_and_gathered, held_by_hand, held_to_the_last_membrane, held_from_a_first_step],
    ids=lambda f: f.__name__,
)
def test_a_static_image_and_what_the_loop_gathers(forward):
    graph = equal(net(forward), drawn(2, 6, seed=1), drawn(5, 6), whole, atol=1e-5)
    assert graph.nodes["input"].hold == 12
    assert next(iter(graph.outputs().values())).final


def test_a_sequence_and_a_value_beside_it():
    """What comes once is held for the sequence's steps."""

    def forward(m, xs, y):
        mem, out = None, []
        for x in xs:
            spk, mem = m.lif(m.fc(x) + m.other(y), mem)
            out.append(spk)
        return torch.stack(out)

    model = net(forward, other=nn.Linear(4, 8))
    xs, y = drawn(LENGTH, SAMPLES, 6), drawn(SAMPLES, 4, seed=2)
    graph = bridge.to_ir(model, (drawn(5, 2, 6), drawn(2, 4)))
    held, sequence = (graph.nodes[graph_input].hold for graph_input in reversed(graph.inputs()))
    assert held is not None
    assert sequence is None
    with torch.no_grad():
        found, _ = bridge.ir_to_torch(graph).run((xs, y))
        wanted = model(xs, y)
    assert wanted.any()
    assert same(found, wanted)


# Several answers, other numbers ----------------------------------------------------------------


def test_two_readouts_of_one_sequence():
    def forward(m, x):
        all_steps = m.head(torch.stack(fired(m, x)))
        return {"logits": all_steps.mean(0), "all": all_steps, "largest": all_steps.amax(0)}

    model, xs = net(forward), drawn(LENGTH, SAMPLES, 6)
    graph = bridge.to_ir(model, drawn(5, 2, 6))
    assert {name: node.final for name, node in graph.outputs().items()} == {
        "logits": True, "all": False, "largest": True,
    }  # fmt: skip
    with torch.no_grad():
        found, wanted = bridge.ir_to_torch(graph).run(xs)[0], model(xs)
    assert wanted["all"].any()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-6)


def test_a_model_in_float64():
    model = net(lambda m, x: torch.stack(fired(m, x)).mean(0)).double()
    xs = drawn(LENGTH, SAMPLES, 6).double()
    graph = bridge.to_ir(model, drawn(5, 2, 6).double())
    found, _ = bridge.ir_to_torch(graph, dtype=torch.float64).run(xs)
    assert found.any()
    # snnTorch's spikes are float32, and so is their mean.
    assert torch.allclose(found, model(xs).double(), atol=1e-7)


# Loops -----------------------------------------------------------------------------------------


def looped(step, start=torch.zeros):
    """A model that calls ``step(model, x_t, t, spk, xs)`` between a layer and a neuron."""

    def forward(model, x):
        spk, mem, out = start(x.shape[1], 8), None, []
        for t in range(len(x)):
            spk, mem = model.lif(step(model, x[t], t, spk, x), mem)
            out.append(spk)
        return torch.stack(out)

    return forward


def two_sent(m, xs):
    sent, mem = [torch.zeros(1, 8), torch.zeros(1, 8)], None
    for x in xs:
        spk, mem = m.lif(m.fc(x) + sent[-2], mem)
        sent.append(spk)
    return torch.stack(sent[2:])


def from_a_first_step(m, xs):
    """The first step stands outside of the loop over the others."""
    spk, mem = m.lif(m.fc(xs[0]), None)
    total = m.head(spk)
    out = [total]
    for t in range(1, len(xs)):
        spk, mem = m.lif(m.fc(xs[t]), mem)
        total = 0.5 * total + m.head(spk)
        out.append(total)
    return torch.stack(out)


def filtered_and_cat(m, xs):
    """An exponential filter as Norse's, and a list of one piece that is joined once more."""
    y = m.fc(xs)
    out = [y[0]]
    for t in range(len(xs) - 1):
        out.append(0.5 * out[-1] + y[t + 1])
    return torch.cat([torch.stack(out)])


def read_behind_the_loop(m, xs):
    """The membrane hears of an input one step later, as Norse's LSNN does, and is read once."""
    current, v = torch.zeros(xs.shape[1], 8), torch.full((xs.shape[1], 8), 0.25)
    for x in xs:
        v = v + current
        current = m.fc(x)
    return torch.relu(m.head(v)) - 0.25 * m.head(v)


LOOPS = {
    "a membrane that hears later, read once": read_behind_the_loop,
    "a first step by itself": from_a_first_step,
    "a filter whose first step is its input": filtered_and_cat,
    "a layer from the second step on": looped(lambda m, x, t, spk, xs: m.fc(x) if t else m.two(x)),
    "the last input, and the first twice": looped(lambda m, x, t, spk, xs: m.fc(xs[max(t - 1, 0)])),
    "feedback that starts from ones": looped(
        lambda m, x, t, spk, xs: m.fc(x) + m.back(spk), start=torch.ones
    ),
    "a value of two steps ago": two_sent,
    "a layer behind the stack": lambda m, x: m.head(torch.stack(fired(m, x))),
    "two neurons, one behind the stack": lambda m, x: torch.stack(
        [m.late(y)[0] for y in m.head(torch.stack(fired(m, x)))]
    ),
}


def test_stretches_of_time_of_which_there_is_one():
    """Norse's memory task cuts time into stretches; of one, the axis in front says nothing."""

    def forward(m, xs):
        out = [torch.stack(fired(m, xs))]
        return torch.cat(out), torch.stack([m.head(spk) for spk in out])

    model = net(forward)
    graph = bridge.to_ir(model, torch.rand(5, 2, 6))
    assert [node.shape for node in graph.outputs().values()] == [(8,), (4,)]
    xs = drawn(LENGTH, SAMPLES, 6)
    with torch.no_grad():
        spk, read = model(xs)
        found, _ = bridge.ir_to_torch(graph).run(xs)
    assert spk.any()
    assert same(found["output_1"], spk)
    assert same(found["output_2"], read[0])


@pytest.mark.parametrize("name", LOOPS)
def test_loop(name):
    model = net(LOOPS[name], two=nn.Linear(6, 8), back=nn.Linear(8, 8), late=snn.Leaky(0.75))
    # What never resets leaves the grid, and a readout of it takes its sums in the order it likes.
    atol = 1e-5 if LOOPS[name] is read_behind_the_loop else 0.0
    equal(model, torch.rand(5, 2, 6), drawn(LENGTH, SAMPLES, 6), whole, atol=atol)


def test_a_number_of_steps_that_the_model_holds():
    """For other sequences it has no meaning: the graph's answer is that for the sample's length."""

    def forward(m, xs):
        mem, out = None, []
        for t in range(6):
            spk, mem = m.lif(m.fc(xs[t]), mem)
            out.append(spk)
        return torch.stack(out)

    equal(net(forward), torch.rand(6, 2, 6), drawn(6, SAMPLES, 6), whole)
