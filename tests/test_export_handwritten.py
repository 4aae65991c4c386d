"""Neurons written by hand, and operations outside of any module."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from .export_helpers import (
    LENGTH,
    SAMPLES,
    Wrapped,
    bridge,
    drawn,
    dyadic,
    equal,
    net,
    reference,
    types_of,
    whole,
)

# Neurons by hand -------------------------------------------------------------------------------


class Above(torch.autograd.Function):
    """A step, whose gradient is a triangle."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x > 0).float()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (1 - x.abs()).clamp(min=0)


FIRES = {
    "(v > 1).float()": lambda v: (v > 1).float(),
    "(v >= 1).float()": lambda v: (v >= 1).float(),
    "(v - 1 > 0).to(dtype)": lambda v: (v - 1 > 0).to(v.dtype),
    "v.gt(1) * 1.0": lambda v: v.gt(1) * 1.0,
    "where": lambda v: torch.where(v > 1, 1.0, 0.0),
    "where of tensors": lambda v: torch.where(v >= 1, torch.ones_like(v), torch.zeros_like(v)),
    "heaviside, 0": lambda v: torch.heaviside(v - 1, torch.tensor(0.0)),
    "heaviside, 1": lambda v: torch.heaviside(v - 1, torch.ones(1)),
    "a function of autograd": lambda v: Above.apply(v - 1),
    "straight through": lambda v: (
        ((v > 1).float() - torch.sigmoid(v - 1)).detach() + torch.sigmoid(v - 1)
    ),
}


RESETS = {
    "to zero": lambda v, s: v * (1 - s),
    "by subtraction": lambda v, s: v - s,
    "by where": lambda v, s: torch.where(s > 0, torch.zeros_like(v), v),
    "detached": lambda v, s: v - s.detach() * 1.0,
    "to a value": lambda v, s: (1 - s) * v + s * -0.5,
}


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("fires", FIRES)
def test_a_neuron_by_hand(fires, reset):
    def forward(m, x):
        v = 0.5 * m.v + m.fc(x)
        spk = FIRES[fires](v)
        m.v = RESETS[reset](v, spk)
        return spk

    model = net(forward, v=0)
    # Multiples of 1/4 meet the threshold itself, where > and >= part.
    with torch.no_grad():
        model.fc.weight.copy_((model.fc.weight * 4).round())
        model.fc.bias.copy_((model.fc.bias * 4).round() / 4)
    xs = drawn(LENGTH, SAMPLES, 6)
    equal(model, drawn(1, 6, seed=1), xs, atol=1e-6 * (fires == "straight through"))


@pytest.mark.parametrize("fires", FIRES)
def test_a_neuron_by_hand_in_a_loop(fires):
    def forward(m, xs):
        v, out = torch.zeros(xs.shape[1], 8), []
        for x in xs:
            v = 0.75 * v + m.fc(x)
            spk = FIRES[fires](v)
            v = v - spk
            out.append(m.head(spk))
        return torch.stack(out).mean(0)

    graph = equal(net(forward), drawn(5, 2, 6, seed=1), drawn(LENGTH, SAMPLES, 6), whole, atol=1e-5)
    assert next(iter(graph.outputs().values())).final


def test_firing_at_the_threshold_is_told_apart():
    """One multiple of the threshold after the other: > and >= give other spikes."""
    xs = torch.tensor([0.5, 1.0, 1.5, 1.0, 0.25] * 6).reshape(30, 1, 1).expand(30, 3, 6)
    found = {}
    for name in ("(v > 1).float()", "(v >= 1).float()"):
        model = Wrapped(lambda m, x, f=FIRES[name]: f(x))
        graph = equal(model, drawn(1, 6), xs.contiguous())
        found[name] = bridge.ir_to_torch(graph).run(xs)[0].sum()
    assert found["(v > 1).float()"] == 6 * 18
    assert found["(v >= 1).float()"] == 18 * 18


# Operations ------------------------------------------------------------------------------------


OPERATIONS = {
    "mean": (lambda x: x.mean((2, 3)), ["Reduce"]),
    "permute": (lambda x: x.permute(0, 2, 3, 1), ["Transpose"]),
    "unsqueeze": (lambda x: x.unsqueeze(1), ["Reshape"]),
    "relu6": (lambda x: F.relu6(x), ["Clip"]),
    "where": (lambda x: torch.where(x > 0, x, 0 * x), ["Threshold", "Scale", "Where"]),
    "a slice": (lambda x: x[:, :2], ["Slice"]),
    "mT": (lambda x: x.mT, ["Transpose"]),
    "max_pool1d": (lambda x: F.max_pool1d(x.flatten(2), 2), ["Flatten", "MaxPool1d"]),
    "a product of two values": (lambda x: x * x, ["Skip", "Binary"]),
    "a division": (lambda x: x / 3, None),
    "addition with a number": (lambda x: x + 1, ["Shift"]),
    "addition with alpha": (lambda x: torch.add(x, x, alpha=2), ["Scale", "Skip"]),
    "addition of a constant": (lambda x: x + torch.ones_like(x), ["Shift"]),
    "silu": (F.silu, ["Sigmoid", "Binary"]),
    "a broadcast": (lambda x: x + F.max_pool2d(x, 6), None),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(name):
    operation, expected = OPERATIONS[name]
    model = Wrapped(lambda m, x: operation(x))
    # A mean may be taken in another order; torch's silu is no sigmoid times x.
    atol = 1e-6 * (name in ("mean", "silu"))
    graph = equal(model, torch.rand(2, 4, 6, 6), drawn(9, 3, 4, 6, 6), atol=atol)
    if expected is not None:
        assert list(types_of(graph).values()) == ["Input", *expected, "Output"]


@pytest.mark.parametrize("operation", ["squeeze_", "transpose_"])
def test_a_shape_that_is_changed_in_place(operation):
    def forward(m, x):
        y = m.conv(x)
        dims = (1,) if operation == "squeeze_" else (2, 3)
        return getattr(y, operation)(*dims)

    model = dyadic(Wrapped(forward, conv=nn.Conv2d(2, 1, 1)))
    graph = equal(model, torch.rand(2, 2, 4, 4), drawn(9, 3, 2, 4, 4))
    changed = {"squeeze_": "Flatten", "transpose_": "Transpose"}[operation]
    assert list(types_of(graph).values()) == ["Input", "Conv2d", changed, "Output"]


# One of several --------------------------------------------------------------------------------


def rows(x, index, value, base=None):
    """A tensor with a value at an index in each row."""
    y = torch.zeros_like(x) if base is None else base.clone()
    y[torch.arange(len(y)), index] = value
    return y


PICKED = {
    "the largest wins": lambda v: rows(v, v.argmax(1), 1),
    "the smallest is overwritten": lambda v: rows(v, v.argmin(dim=-1), 2.5, v),
    "one_hot": lambda v: F.one_hot(v.argmax(1), 8).float() * v,
    "one_hot in each group": lambda v: (
        F.one_hot(v.unflatten(1, (2, 4)).argmax(-1), 4).flatten(1).float()
    ),
    "scatter": lambda v: torch.zeros_like(v).scatter(1, v.argmax(1, keepdim=True), 1.0),
    "scatter_, index of max": lambda v: torch.zeros_like(v).scatter_(
        1, v.max(1, keepdim=True)[1], value=2.0
    ),
    "index of min, as a number": lambda v: v.min(1)[1].unsqueeze(1).float() * v,
    "index along another axis": lambda v: torch.argmax(v.unflatten(1, (2, 4)), dim=1).float(),
    "one number for each sample": lambda v: (v[:, 0] > v[:, 1]).float().unsqueeze(1) * v,
    "a sum over all": lambda v: v / (1 + v.abs().sum(1)).unsqueeze(1),
    "numbers stacked": lambda v: torch.stack([v[:, 0], v.sum(1), v.argmax(1).float()], 1),
}


@pytest.mark.parametrize("name", PICKED)
def test_which_is_the_largest(name):
    """Membranes on a grid are equal often: the first of them wins, as in torch."""

    def forward(m, x):
        m.v = 0.5 * m.v + m.fc(x).round()
        return PICKED[name](m.v - (m.v > 1).float())

    xs = drawn(LENGTH, SAMPLES, 6)
    graph = equal(net(forward, v=0.0), torch.rand(2, 6), xs, atol=1e-6)
    found = torch.as_tensor(reference(graph, xs)[0])
    torch.testing.assert_close(found, bridge.ir_to_torch(graph).run(xs)[0].detach())


def test_the_index_of_a_largest_in_its_ties():
    model = Wrapped(lambda m, x: x.argmax(1, keepdim=True).float())
    graph = bridge.to_ir(model, torch.rand(1, 4))
    xs = torch.tensor([[[0.0, 2.0, 2.0, 1.0]], [[-1.0, -1.0, -1.0, -1.0]], [[3.0, 4.0, 5.0, 5.0]]])
    assert bridge.ir_to_torch(graph).run(xs)[0].flatten().tolist() == [1, 0, 2]
    infinite = xs.masked_fill(xs == xs.amax(-1, keepdim=True), float("inf"))
    assert bridge.ir_to_torch(graph).run(infinite)[0].flatten().tolist() == [1, 0, 2]
