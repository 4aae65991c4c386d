"""One step with gradients on: the numbers and the gradients of plain torch, in fewer calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from t1c import bridge, ir
from t1c.bridge.engine.kernels.surrogate import SLOPES
from t1c.ir.errors import InputError

from .engine_helpers import (
    RULES,
    assert_equal,
    grid,
    imported,
    inputs,
    lif,
    mlp,
    recurrent,
    stepped,
    threads,
)
from .strategies_executor import chain


@pytest.fixture(autouse=True)
def _one_thread():
    with threads(1):
        yield


def residual() -> ir.Graph:
    """Sums, a scale, a neuron with a synapse that feeds back through a weight and as it is."""
    rng = np.random.default_rng(3)
    two, size = np.array([2.0]), 4
    nodes = {
        "input": ir.Input((size,)),
        "scale": ir.Scale(grid(rng, size)),
        "fc": ir.Affine(grid(rng, size, size), grid(rng, size)),
        "cuba": ir.CubaLIF(two, two, np.array([2.0]), np.array([0.0]), np.array([0.25])),
        "rec": ir.Linear(grid(rng, size, size)),
        "lif": lif(reset="subtract", reset_delay=True),
        "li": ir.LI(np.array([2.0, 4.0, 2.0, 4.0]), two, np.array([0.0])),
        "output": ir.Output((size,)),
    }
    edges = [
        ("input", "scale"),
        ("input", "fc"),
        ("scale", "cuba"),
        ("fc", "cuba"),
        ("cuba", "rec"),
        ("rec", "cuba"),
        ("cuba", "lif"),
        ("input", "lif"),
        ("lif", "li"),
        ("cuba", "li"),
        ("li", "output"),
    ]
    return ir.Graph(nodes, edges, allow_cycles=True)


MAKERS = {"mlp": mlp, "recurrent": recurrent, "residual": residual}


def learnt(executor: Any, xs: Tensor, state: Any = None) -> tuple[Any, dict[str, Tensor]]:
    """What stepping gives, and the gradients of a loss over outputs and last states."""
    executor.zero_grad()
    xs = xs.detach().clone().requires_grad_()
    ys, after = stepped(executor, xs, state)
    weights = torch.linspace(0.5, 1.5, ys.numel()).view(ys.shape)
    loss = (ys * weights).sum() + sum((v * v).sum() for own in after.values() for v in own)
    loss.backward()
    grads = {n: p.grad.clone() for n, p in executor.named_parameters() if p.grad is not None}
    return (ys.detach(), after), {**grads, "input": xs.grad}


def assert_learns_alike(graph: ir.Graph, xs: Tensor, state: Any = None, **options: Any) -> None:
    dtype = xs.dtype
    executor = imported(graph, dtype, **options)
    definition = imported(graph, dtype, kernels="torch", events=False, **options)
    found, grads = learnt(executor, xs, state)
    (program,) = executor.network.programs.values()
    assert program.taped.found is not None
    expected, theirs = learnt(definition, xs, state)
    assert_equal(found, expected)
    assert set(grads) == set(theirs)
    assert theirs["input"].any()
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    for name, g in theirs.items():
        assert torch.allclose(grads[name], g, rtol=tolerance, atol=tolerance * float(g.abs().max()))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("learn", [(), ("v_threshold", "r")])
@pytest.mark.parametrize("name", MAKERS)
def test_steps_learn_as_plain_torch_does(name, learn, dtype, batch):
    xs = inputs(12, batch, dtype=dtype)
    fired, _ = stepped(imported(MAKERS[name](), dtype), xs)
    assert fired.any()
    assert_learns_alike(MAKERS[name](), xs, learn=learn)


MORE = ({"v_min": np.array([-0.25])}, {"spikes": "multiple"})
"""Options that neurons of single resets may have besides."""


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize(
    ("reset", "delay", "options"),
    [
        (reset, delay, options)
        for reset, delay in RULES[1:]
        for options in (({},) if reset in ("hold", "carry") else ({}, *MORE))
    ],
)
def test_every_reset_learns(reset, delay, detach, options):
    given = {"reset": reset, "reset_delay": delay, **options}
    if reset == "value":
        given["v_reset"] = np.array([0.125])
    rng = np.random.default_rng(0)
    graph = chain(
        ("input", ir.Input((4,))),
        ("fc", ir.Affine(grid(rng, 6, 4), grid(rng, 6))),
        ("lif", lif(0.25, **given)),
        ("output", ir.Output((6,))),
    )
    xs = inputs(12, 3, dtype=torch.float64)
    assert stepped(imported(graph, torch.float64), xs)[0].sum() > 10
    assert_learns_alike(graph, xs, learn=("tau", "v_threshold"), detach_reset=detach)


@pytest.mark.parametrize("surrogate", SLOPES)
def test_every_surrogate_learns(surrogate):
    assert_learns_alike(mlp(), inputs(12, 3, dtype=torch.float64), surrogate=surrogate)


def test_a_state_for_one_sample_serves_all_and_gets_their_gradient():
    xs, v = inputs(4), torch.full((1, 6), 0.25)
    found = []
    for kernels in (None, "torch"):
        executor = imported(mlp(), kernels=kernels)
        given = v.clone().requires_grad_()
        (ys, after), _ = learnt(executor, xs, {"lif": (given,)})
        assert given.grad.any()
        found.append((ys, after, given.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.allclose(found[0][2], found[1][2])


def test_weights_written_to_before_the_way_back_are_refused():
    executor = imported(mlp())
    ys, _ = stepped(executor, inputs())
    with torch.no_grad():
        executor.fc2.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        ys.sum().backward()


def test_a_step_that_is_differentiated_twice_is_refused():
    executor, xs = imported(mlp()), inputs().requires_grad_()
    ys, _ = stepped(executor, xs)
    (g,) = torch.autograd.grad(ys.square().sum(), xs, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()


# What does not learn ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_not_trainable_keeps_nothing(name):
    executor, xs = imported(MAKERS[name](), trainable=False), inputs()
    assert not any(p.requires_grad for p in executor.parameters())
    expected = stepped(imported(MAKERS[name](), kernels="torch"), xs)
    assert expected[0].any()
    for found in (stepped(executor, xs), executor.run(xs)):
        assert_equal(found, (expected[0].detach(), expected[1]))
        assert not found[0].requires_grad
    for program in executor.network.programs.values():
        assert program.taped.found is None
    x = xs.clone().requires_grad_()
    stepped(executor, x)[0].sum().backward()
    assert x.grad.any()


def test_what_is_not_trainable_is_frozen_when_it_is_written():
    graph = bridge.to_ir(imported(mlp(), trainable=False), inputs()[0])
    assert graph.nodes["fc"].metadata["frozen"] == ["weight", "bias"]
    assert not any(p.requires_grad for p in imported(graph).parameters())


def test_to_learn_what_is_not_trainable_is_refused():
    with pytest.raises(InputError, match="trainable"):
        imported(mlp(), trainable=False, learn=("tau",))
