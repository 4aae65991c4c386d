"""What is worked out once of a network is worked out again when anything of it changes."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from t1c import bridge
from t1c.bridge.engine.kernels.fingerprint import Fingerprints, fingerprint

from .test_engine_chains import drawn, whole


def fresh():
    return bridge.ir_to_torch(whole(), dtype=torch.float64, events=True)


def plain():
    """The same network by torch's own operations, of which nothing is remembered."""
    return bridge.ir_to_torch(whole(), dtype=torch.float64, kernels="torch")


def eps(network):
    network.node("norm").eps = 0.5


def training(network):
    network.node("norm").train()


def statistics(network):
    network.node("norm").running_var.data.numpy()[1] = 9.0


def no_bias(network):
    network.node("conv").bias = None


def another_bias(network):
    network.node("conv").bias = nn.Parameter(network.node("conv").bias + 1)


def turned(network):
    weight = network.node("conv").weight
    weight.data = weight.data.flip(2).contiguous()


def transposed(network):
    """The same memory, read otherwise."""
    weight = network.node("conv").weight
    weight.data = weight.data.transpose(2, 3)


def spread(network):
    network.node("conv").padding = network.node("conv").dilation = (2, 2)


def threshold(network):
    network.node("lif").v_threshold.fill_(0.5)


def reset(network):
    network.node("lif").reset_mode = "none"


def hooked(network):
    network.node("conv").register_forward_hook(lambda module, given, y: y + 1)


def wrapped(network):
    layer = network.node("conv")
    own = layer.forward
    layer.forward = lambda x: 2 * own(x)


def of_another_class(network):
    network.node("conv").__class__ = Doubled


def replaced(network):
    layer = copy.deepcopy(network.node("conv"))
    layer.weight.data *= -1
    network.modules[network.slots["conv"]] = layer


def pooled(network):
    network.node("pool").stride = (1, 1)


class Doubled(nn.Conv2d):
    def forward(self, x):
        return 2 * super().forward(x)


CHANGES = [
    *(eps, training, statistics, no_bias, another_bias, turned, transposed, spread),
    *(threshold, reset, hooked, wrapped, of_another_class, replaced, pooled),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@torch.no_grad()
def test_every_change_counts(change):
    xs, executor = drawn(), fresh()
    before = executor.run(xs)[0]
    assert before.any()
    assert executor.network.look(xs).number == executor.network.look(xs).number
    slow = plain()
    for each in (executor, slow):
        change(each.network)
    after = executor.run(xs)[0]
    assert after.shape != before.shape or not torch.equal(after, before), "nothing changes"
    torch.testing.assert_close(after, slow.run(xs)[0], rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_hook_that_went_leaves_the_network_as_it_was():
    xs, executor = drawn(), fresh()
    before = executor.run(xs)[0]
    hook = executor.network.node("conv").register_forward_hook(lambda module, given, y: y + 1)
    assert executor.network.look(xs).number is None
    assert not torch.equal(executor.run(xs)[0], before)
    hook.remove()
    assert torch.equal(executor.run(xs)[0], before)
    assert executor.network.look(xs).number is not None


@torch.no_grad()
def test_what_was_made_is_kept_and_let_go_of():
    xs, executor = drawn(), fresh()
    network = executor.network
    moment = network.look(xs)
    made = moment.once("this", list)
    assert network.look(xs).once("this", list) is made
    # Another batch is another input to the same network.
    assert network.look(xs[:, :1]).once("this", list) is made
    executor.events = None
    assert network.look(xs).once("this", list) is not made
    network.node("norm").bias.data.numpy()[0] += 1
    assert network.look(xs).once("this", list) is not made


def test_copies_look_at_their_own_modules():
    xs, executor = drawn(), fresh()
    with torch.no_grad():
        before = executor.run(xs)[0]
        twin = copy.deepcopy(executor)
        twin.network.node("conv").weight.mul_(-1)
        assert not torch.equal(twin.run(xs)[0], before)
        assert torch.equal(executor.run(xs)[0], before)


@pytest.mark.parametrize("size", [1, 63, 64, 65, 1000, 2**17 + 3, 2**18 + 64])
def test_a_fingerprint_tells_every_element(size):
    rng = np.random.default_rng(size)
    x = torch.from_numpy(rng.standard_normal(size)).float()
    before = fingerprint(x)
    assert fingerprint(x.clone()) == before
    for k in {0, size - 1, *rng.integers(0, size, 20).tolist()}:
        x[k].neg_()
        assert fingerprint(x) != before, k
        x[k].neg_()
    assert fingerprint(x) == before
    # Of several tensors each has its own, which does not depend on the others.
    several = Fingerprints([torch.ones(3), x, torch.empty(0), x[: size // 2]])
    taken = several.take()
    assert several.of(1, taken) == before
    assert several.of(2, taken) == b""
