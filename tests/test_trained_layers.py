"""A Linear and its neuron in training as one, against plain torch stepped under autograd."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from t1c import bridge, ir
from t1c.bridge.engine.kernels import trained_affine
from t1c.bridge.engine.kernels.surrogate import SLOPES

B, T, FEATURES = 3, 6, (11, 21, 5)
RESETS: list[dict[str, Any]] = [
    {},
    {"reset": "subtract", "fires_at": "gt"},
    {"reset": "value", "v_reset": np.array([-0.25])},
    {"reset": "none"},
    {"reset": "subtract", "v_min": np.array([-0.125])},
    {"reset": "subtract", "reset_delay": True},
    {"reset": "subtract", "spikes": "multiple"},
    {"reset": "carry"},
    {"reset": "lower", "v_reset": np.array([-0.25]), "reset_delay": True},
]

pytestmark = pytest.mark.usefixtures("one_thread")


def graph(synapse: bool, options: dict[str, Any], bias: bool = True) -> ir.Graph:
    """Two layers, whose neurons differ from one another."""
    rng = np.random.default_rng(0)
    nodes: dict[str, ir.Node] = {"input": ir.Input(FEATURES[:1])}
    for n, (inputs, outs) in enumerate(itertools.pairwise(FEATURES)):
        weight = rng.normal(size=(outs, inputs)) / inputs**0.5
        nodes[f"fc{n}"] = (
            ir.Affine(weight, rng.normal(size=outs) / 4) if bias else ir.Linear(weight)
        )
        tau, half = np.linspace(2, 4, outs), np.full(outs, 0.4)
        own: dict[str, Any] = {
            "r": 2 * np.ones(outs),
            "v_leak": 0.1 * np.ones(outs),
            "v_threshold": half,
        }
        more: dict[str, Any] = {
            k: np.full(outs, v[0]) if isinstance(v, np.ndarray) else v for k, v in options.items()
        }
        if synapse:
            nodes[f"cell{n}"] = ir.CubaLIF(tau_syn=tau / 2, tau_mem=tau, **own, **more)
        else:
            nodes[f"cell{n}"] = ir.LIF(tau=tau, **own, **more)
    nodes["output"] = ir.Output(FEATURES[-1:])
    names = list(nodes)
    return ir.Graph(nodes, list(itertools.pairwise(names)))


def learnt(executor: Any, xs: torch.Tensor, stepwise: bool, **how: Any) -> list[torch.Tensor]:
    """Outputs, and gradients of inputs, of the first state and of parameters."""
    x = xs.clone().requires_grad_()
    first = executor.run(xs[:2])[1]
    first = {n: tuple(v.detach().requires_grad_() for v in own) for n, own in first.items()}
    if stepwise:
        outs, state = [], first
        for step in x:
            y, state = executor(step, state)
            outs.append(y)
        y = torch.stack(outs)
    else:
        y, state = executor.run(x, first, **how)
    after = [v for own in state.values() for v in own]
    before = [v for own in first.values() for v in own]
    loss = (y * torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view(y.shape)).sum()
    loss = loss + sum((v * v).sum() for v in after)
    return [y.detach(), *torch.autograd.grad(loss, [x, *before, *executor.parameters()])]


@pytest.fixture
def trained(monkeypatch):
    """How many times a layer was worked with its neuron."""
    calls = []
    whole = trained_affine._Trained.apply

    def counted(*arguments):
        calls.append(arguments[-1])
        return whole(*arguments)

    monkeypatch.setattr(trained_affine._Trained, "apply", counted)
    return calls


@pytest.mark.grid(2)
@pytest.mark.parametrize("synapse", [False, True])
@pytest.mark.parametrize(("options", "surrogate"), list(zip(RESETS, itertools.cycle(SLOPES))))
@pytest.mark.parametrize("detach", [True, False])
def test_gradients_are_those_of_single_steps(trained, options, surrogate, synapse, detach):
    made = graph(synapse, options, bias=not detach)
    more = {"dtype": torch.float64, "surrogate": surrogate, "detach_reset": detach}
    steps = bridge.ir_to_torch(made, return_state=True, kernels="torch", **more)
    xs = (torch.rand(T, B, FEATURES[0], generator=torch.Generator().manual_seed(1)) < 0.3).double()
    want = learnt(steps, xs, stepwise=True)
    assert not trained
    assert 0.02 < want[0].mean() < 0.98
    for events in (True, None):
        ours = bridge.ir_to_torch(made, return_state=True, events=events, **more)
        for how in ({}, {"chunk": 4}, {"checkpoint": True, "chunk": 4}):
            found = learnt(ours, xs, stepwise=False, **how)
            torch.testing.assert_close(found, want, rtol=1e-10, atol=1e-10)
            assert ours.explain().rows[1].nodes == ("fc0", "cell0")
            assert trained
            trained.clear()


def test_a_threshold_that_learns_gets_its_gradient(trained):
    made = graph(False, {})
    xs = torch.rand(T, B, FEATURES[0])
    ours = bridge.ir_to_torch(made, return_state=True, learn=["v_threshold"])
    y, _ = ours.run(xs)
    assert y.any()
    y.sum().backward()
    assert not trained
    assert ours.cell0.v_threshold.grad.abs().sum() > 0
    ours.cell0.v_threshold.requires_grad_(False)
    ours.cell1.v_threshold.requires_grad_(False)
    assert torch.equal(ours.run(xs)[0], y)
    assert trained


def test_the_way_back_can_be_taken_twice(trained):
    ours = bridge.ir_to_torch(graph(False, {}), return_state=True, dtype=torch.float64)
    xs = torch.rand(T, B, FEATURES[0], dtype=torch.float64)
    y, _ = ours.run(xs)
    assert trained
    parameters = list(ours.parameters())
    once = torch.autograd.grad(y.sum(), parameters, retain_graph=True)
    assert all(g.any() for g in once)
    torch.testing.assert_close(torch.autograd.grad(y.sum(), parameters), once, rtol=0, atol=0)
