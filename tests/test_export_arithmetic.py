"""Arithmetic as torch rounds it: on ordinary numbers and on awkward ones, not a bit differs."""

import numpy as np
import pytest
import torch
from torch import nn

from t1c import bridge, ir

from .export_helpers import types_of

W = torch.tensor([0.1, -0.2, 0.3, 0.7, 1.1, -0.05])
POWERS_OF_TWO = torch.tensor([0.5, 1.0, -2.0, 4.0, 0.25, 8.0])
EXACT = {
    "x + c": lambda x: x + 1.7,
    "c - x": lambda x: 1.7 - x,
    "rsub": lambda x: torch.rsub(x, 1.7),
    "w - x": lambda x: W - x,
    "x * c": lambda x: x * 1.7,
    "x / c": lambda x: x / 1.7,
    "c / x": lambda x: 1.7 / x,
    "1 / x": lambda x: 1 / x,
    "-3 / x": lambda x: -3 / x,
    "x / w": lambda x: x / W,
    "w / x": lambda x: W / x,
    "0-d / x": lambda x: torch.tensor(1.7) / x,
    "x / y": lambda x: x / x.flip(-1),
    "x ** 2": lambda x: x**2,
    "x ** 3": lambda x: x**3,
    "x ** -1": lambda x: x**-1,
    "x ** -2": lambda x: x**-2,
    "x // 2": lambda x: x // 2,
    "x // -0.5": lambda x: x // -0.5,
    "x // w": lambda x: x // POWERS_OF_TWO,
    "floor of a quotient": lambda x: torch.floor(x / 0.1),
    "div down": lambda x: torch.div(x, 0.25, rounding_mode="floor"),
    "div to zero": lambda x: torch.div(x, 0.1, rounding_mode="trunc"),
    "trunc": torch.trunc,
    "fix": lambda x: x.fix(),
    "frac": torch.frac,
    "round": torch.round,
    "ceil": torch.ceil,
    "clamp": lambda x: x.clamp(-0.3, 0.7),
    "maximum": lambda x: torch.maximum(x, x.flip(-1)),
}


class Wrapped(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def awkward(seed=0):
    """(T, B, 6): ordinary numbers, tenths, halves and large ones; no zeros."""
    rng = np.random.default_rng(seed)
    drawn = [
        rng.normal(0, 3, (20, 4, 6)),
        (rng.integers(1, 61, (20, 4, 6)) * rng.choice([-1, 1], (20, 4, 6))) / 10,
        (2 * rng.integers(-8, 8, (20, 4, 6)) + 1) / 2,
        rng.normal(0, 1e6, (20, 4, 6)),
    ]
    return torch.from_numpy(np.concatenate(drawn).astype(np.float32))


@pytest.mark.parametrize("name", EXACT)
def test_bits_are_those_of_torch(name):
    graph = bridge.to_ir(Wrapped(EXACT[name]), torch.rand(2, 6) + 0.1)
    xs = awkward()
    wanted = torch.stack([EXACT[name](x) for x in xs])
    executor, state = bridge.ir_to_torch(graph, return_state=True), None
    with torch.no_grad():
        found, _ = executor.run(xs)
        steps = []
        for x in xs:
            y, state = executor(x, state)
            steps.append(y)
    assert torch.equal(found, wanted)
    assert torch.equal(torch.stack(steps), wanted)
    meant, _ = ir.Reference(graph, np.float32).run(xs.numpy())
    assert np.array_equal(meant, wanted.numpy())
    assert len(wanted.unique()) > 4


def test_a_number_over_a_tensor_is_a_reciprocal_times_it():
    """So torch rounds it: once more than the quotient is, which hundreds of these would show."""
    graph = bridge.to_ir(Wrapped(lambda x: 1.7 / x), torch.rand(2, 6) + 0.1)
    assert list(types_of(graph).values())[1:-1] == ["Unary", "Scale"]
    xs = awkward()
    assert (1.7 / xs != torch.tensor(1.7) / xs).sum() > 100


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.div(x, 0.1, rounding_mode="floor"),
        lambda x: x // 0.1,
        lambda x: torch.floor_divide(x, W),
        lambda x: x // (x + 2),
    ],
)
def test_a_quotient_that_is_rounded_before_it_is_rounded_down_is_refused(function):
    """1 // 0.1 is 9: what lies below the quotient; 1 / 0.1 rounds to 10."""
    assert torch.div(torch.tensor(1.0), 0.1, rounding_mode="floor") == 9
    assert torch.floor(torch.tensor(1.0) / 0.1) == 10
    with pytest.raises(ir.UnsupportedError, match=r"no power of two.*floor"):
        bridge.to_ir(Wrapped(function), torch.rand(2, 6) + 0.1)
