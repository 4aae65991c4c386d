"""Every neuron with every option and every form of parameter, in every way of running it."""

from typing import Any

import numpy as np
import pytest
import torch

from t1c import ir
from t1c.ir.primitives.neuron import SpikingNeuron

from .engine_helpers import RULES, assert_equal, every_way, imported, lif, referred, threads
from .strategies_executor import chain

SHAPE = (2, 3, 4)
FORMS = {
    "scalar": (),
    "one": (1,),
    "channel": (2,),
    "column": (2, 1, 1),
    "full": SHAPE,
    "flat": (24,),
}
FIRES_AT = ("ge", "gt", "gt", "ge", "ge", "gt")
"""For each form."""
SPIKING = [ir.LIF, ir.IF, ir.CubaLIF]
KINDS = [ir.LIF, ir.LI, ir.IF, ir.I, ir.CubaLIF, ir.CubaLI]
VALUES: dict[str, tuple[float, ...]] = {
    "tau": (1.0, 2.0, 3.0, 7.5),
    "tau_mem": (1.0, 3.0, 7.5),
    "tau_syn": (1.0, 2.5, 4.0),
    "r": (1.0, 2.0, 3.3),
    "v_leak": (-0.25, 0.0, 0.3),
    "v_threshold": (0.125, 0.3, 0.5),
    "w_in": (0.5, 1.0, 1.7),
}


pytestmark = pytest.mark.usefixtures("one_thread")


def make(kind: Any, form: str, seed: int = 0, **options: Any) -> Any:
    rng = np.random.default_rng(seed)
    fields = {n: rng.choice(v, FORMS[form]) for n, v in VALUES.items() if n in kind.kinds}
    if options.get("reset") in ("value", "lower"):
        options["v_reset"] = rng.choice((-0.25, 0.125), FORMS[form])
    return kind(**fields, **options)


def alone(node: Any) -> ir.Graph:
    return chain(("input", ir.Input(SHAPE)), ("neuron", node), ("output", ir.Output(SHAPE)))


def currents(steps: int = 7, batch: int = 2) -> Any:
    """No grid: one neuron's arithmetic has one order."""
    return np.random.default_rng(1).normal(0.3, 0.7, (steps, batch, *SHAPE))


@torch.no_grad()
def check(node: Any, dtype: torch.dtype) -> None:
    graph, xs = alone(node), torch.from_numpy(currents()).to(dtype)
    expected = referred(graph, xs, dtype)
    if isinstance(node, SpikingNeuron):
        assert 0 < expected[0].mean() < 1
    for kernels in ("torch", "numba"):
        executor = imported(graph, dtype, kernels=kernels)
        for way, found in every_way(executor, xs):
            assert_equal(found, expected, (kernels, way))
        alone_, _ = executor.run(xs[:, :1])
        assert torch.equal(alone_, expected[0][:, :1])
        turned = xs.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
        assert_equal(executor.run(turned), expected, (kernels, "channels last"))
        assert_equal(executor.run(xs.repeat(1, 1, 1, 1, 2)[..., :4]), expected, (kernels, "slice"))


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(("reset", "delay"), RULES[1:])
@pytest.mark.parametrize("kind", SPIKING)
def test_every_reset_gives_the_reference_bit_for_bit(kind, reset, delay):
    # Every reset has met every form when all kinds have, and every kind when all resets have.
    odd = (RULES.index((reset, delay)) + SPIKING.index(kind)) % 2
    for form, fires_at in list(zip(FORMS, FIRES_AT, strict=True))[odd::2]:
        node = make(kind, form, reset=reset, reset_delay=delay, fires_at=fires_at)
        check(node, torch.float64)


@pytest.mark.parametrize(("reset", "delay"), RULES[1:])
def test_every_reset_is_the_same_when_it_is_compiled(reset, delay):
    check(make(ir.LIF, "channel", reset=reset, reset_delay=delay), torch.float64)


@pytest.mark.parametrize("kind", [ir.LI, ir.I, ir.CubaLI])
@pytest.mark.parametrize("form", FORMS)
def test_every_integrator_gives_the_reference_bit_for_bit(kind, form):
    check(make(kind, form), torch.float64)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["one", "channel", "full"])
def test_single_precision_rounds_as_the_reference_does(kind, form):
    check(make(kind, form), torch.float32)


@pytest.mark.parametrize(
    ("fires_at", "expected"), [("ge", [1, 0, 1, 0]), ("gt", [0, 1, 0, 0])], ids=["ge", "gt"]
)
def test_a_membrane_at_its_threshold_by_hand(fires_at, expected):
    """beta 1/2, threshold 1: u is 1 in the first step."""
    graph = chain(
        ("input", ir.Input((1,))),
        ("neuron", lif(1.0, fires_at=fires_at)),
        ("output", ir.Output((1,))),
    )
    xs = torch.tensor([1.0, 0.75, 0.625, 0.25]).view(4, 1, 1)
    # ge: u = 1 fires; 0.75; 0.375 + 0.625 = 1 fires; 0.25. gt: u = 1; 0.5 + 0.75 fires; 0.625.
    with torch.no_grad():
        for kernels in ("torch", "numba"):
            executor = imported(graph, kernels=kernels)
            for _, (y, _) in every_way(executor, xs):
                assert y.flatten().tolist() == expected


def test_more_neurons_than_one_block_of_the_kernel():
    """Blocks of 512 neurons of one sample, and coefficients with a period of 512 or of the map."""
    rng = np.random.default_rng(3)
    for size in (511, 512, 513, 1300):
        for tau in (np.array([3.0]), rng.choice((2.0, 3.0), size)):
            node = ir.LIF(tau, tau, 0 * tau, 0.5 + 0 * tau)
            graph = chain(
                ("input", ir.Input((size,))), ("neuron", node), ("output", ir.Output((size,)))
            )
            xs = torch.from_numpy(rng.normal(0.2, 0.5, (20, 3, size)))
            expected = referred(graph, xs, torch.float64)
            for count in (1, 2):
                with torch.no_grad(), threads(count):
                    executor = imported(graph, torch.float64)
                    assert_equal(executor.run(xs), expected, (size, count))
