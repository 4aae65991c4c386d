"""Gradients of the engine against autograd of the stepwise definition, snnTorch and by hand."""

import itertools
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch import surrogate as slopes
from torch import nn

from t1c import bridge, ir
from t1c.bridge.engine.kernels import definition
from t1c.bridge.engine.kernels.rule import COEFFICIENTS
from t1c.bridge.engine.kernels.scan import Coefficients, scan
from t1c.bridge.engine.kernels.surrogate import SLOPES, Surrogate

from .engine_helpers import RULES, grid, imported, inputs, lif, mlp, recurrent, rule, threads
from .strategies_executor import chain

pytestmark = pytest.mark.usefixtures("one_thread")


def gradients(function, xs, state, coefficients, learning, seed=1):
    """Outputs, states, and gradients of a random weighting of all of them."""
    xs, state, coefficients = (
        [t.clone().requires_grad_(flag) for t in ts]
        for ts, flag in (([xs], True), (state, True), (coefficients, learning))
    )
    out, after = function(xs[0], tuple(state), tuple(coefficients))
    g = torch.Generator().manual_seed(seed)
    loss = sum((y * torch.randn(y.shape, generator=g, dtype=y.dtype)).sum() for y in (out, *after))
    wanted = [*xs, *state, *(coefficients if learning else [])]
    found = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
    return [out, *after], found


def compare(rule_, shape=(3, 2, 6), learning=True, last=False, dtype=torch.float64):
    torch.manual_seed(0)
    features = shape[2:]
    xs = torch.randn(shape, dtype=dtype) * 1.5
    if last:
        xs = xs.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    state = [torch.randn(shape[1:], dtype=dtype) for _ in range(1 + rule_.synapse)]
    column = (features[0], *[1] * (len(features) - 1))
    forms = [(), features, column]
    c = [torch.rand(forms[n % 3], dtype=dtype) * 0.8 + 0.1 for n in range(len(COEFFICIENTS))]
    values, expected = gradients(
        lambda x, s, k: definition.scan(x, s, k, rule_), xs, state, c, learning
    )
    results, found = gradients(
        lambda x, s, k: scan(x, s, Coefficients(k), rule_, "numba"), xs, state, c, learning
    )
    for a, b in zip(results, values, strict=True):
        assert torch.equal(a, b), rule_
    tolerance = 1e-9 if dtype == torch.float64 else 1e-4
    for n, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert torch.allclose(a, b, rtol=tolerance, atol=tolerance), (n, rule_)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(("reset", "delay"), RULES)
def test_every_rule_and_surrogate_learns_as_its_definition_says(reset, delay):
    for detach, synapse, strict in itertools.product((False, True), repeat=3):
        for name in SLOPES:
            options = {"detach_reset": detach, "synapse": synapse, "strict": strict}
            compare(rule(reset, delay, surrogate=Surrogate(name, 1.5), **options))


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(("reset", "delay"), RULES[1:])
def test_several_spikes_and_a_bound_learn_as_their_definition_says(reset, delay):
    for detach, name in itertools.product((False, True), SLOPES):
        surrogate, synapse = Surrogate(name, 1.5), name == "sigmoid"
        options = {"detach_reset": detach, "synapse": synapse, "surrogate": surrogate}
        compare(rule(reset, delay, many=True, bounded=True, **options))


@pytest.mark.parametrize("option", ["many", "bounded"])
def test_several_spikes_or_a_bound_learn_as_their_definition_says(option):
    for detach in (False, True):
        compare(rule("subtract", False, detach_reset=detach, **{option: True}))


@pytest.mark.parametrize(("reset", "delay"), [("zero", False), ("subtract", True)])
@pytest.mark.parametrize("learning", [False, True])
def test_maps_of_any_layout_learn(reset, delay, learning):
    made = rule(reset, delay, synapse=True, detach_reset=False)
    for last in (False, True):
        compare(made, (4, 2, 3, 2, 5), learning, last)
    compare(made, (3, 2, 700), learning)  # more than one block of neurons
    compare(rule(reset, delay), (3, 2, 40), learning, dtype=torch.float32)


def test_threads_do_not_change_a_gradient():
    torch.manual_seed(0)
    made = rule("subtract", True)
    xs, v = torch.randn(30, 8, 500, dtype=torch.float64), torch.zeros(8, 500, dtype=torch.float64)
    c = [torch.tensor(x, dtype=torch.float64) for x in (0.5, 1.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0)]
    found = []
    for count in (1, 2, 3):
        with threads(count):
            found.append(
                gradients(
                    lambda x, s, k: scan(x, s, Coefficients(k), made, "numba"), xs, [v], c, False
                )[1]
            )
    for other in found[1:]:
        assert all(map(torch.equal, other, found[0]))


@pytest.mark.parametrize("kind", [ir.LI, ir.I, ir.CubaLI])
@pytest.mark.parametrize("kernels", ["torch", "numba"])
def test_neurons_that_do_not_fire_pass_gradcheck(kind, kernels):
    rng = np.random.default_rng(0)
    values = {"tau": 3.0, "tau_mem": 3.0, "tau_syn": 2.0, "r": 1.5, "v_leak": 0.25, "w_in": 1.25}
    names = [n for n in values if n in kind.kinds]
    node = kind(**{n: np.array([values[n]]) for n in names})
    graph = chain(("input", ir.Input((3,))), ("neuron", node), ("output", ir.Output((3,))))
    executor = imported(graph, torch.float64, learn=names, kernels=kernels)
    xs = torch.from_numpy(rng.normal(size=(4, 2, 3))).requires_grad_()
    parameters = [p.detach().double().requires_grad_() for p in executor.parameters()]
    keys = [name for name, _ in executor.named_parameters()]

    def function(x: torch.Tensor, *given: torch.Tensor) -> Any:
        wrapped = {f"net.{k}": p for k, p in zip(keys, given, strict=True)}
        y, state = torch.func.functional_call(_Run(executor), wrapped, (x,))
        return (y, *state["neuron"])

    assert len(keys) == len(names)
    assert torch.autograd.gradcheck(function, (xs, *parameters))


class _Run(nn.Module):
    """``run`` as ``forward``."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, xs: Any) -> Any:
        return self.net.run(xs)  # type: ignore[operator]


def of_network(graph, xs, way, **options):
    """The outputs and all gradients, the input's included."""
    executor = imported(graph, torch.float64, **options)
    x = xs.clone().requires_grad_()
    if way == "steps":
        outs, state = [], None
        for t in range(len(x)):
            out, state = executor(x[t], state)
            outs.append(out)
        y = torch.stack(outs)
    else:
        y, state = executor.run(x, chunk=way)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    ((y * weights).sum() + sum(v.sum() for own in state.values() for v in own)).backward()
    return y.detach(), {"x": x.grad} | {n: p.grad for n, p in executor.named_parameters()}


@pytest.mark.parametrize("make", [mlp, recurrent])
@pytest.mark.parametrize("detach", [False, True])
def test_run_chunks_and_steps_learn_the_same(make, detach):
    xs = inputs(dtype=torch.float64)
    options = {"detach_reset": detach, "learn": ("tau", "r", "v_leak", "v_threshold")}
    expected, wanted = of_network(make(), xs, "steps", kernels="torch", events=False, **options)
    assert expected.any()
    assert all(g is not None for g in wanted.values())
    assert all(g.any() for name, g in wanted.items() if "tau" in name or "threshold" in name)
    for way in ("steps", None, 1, 3):
        for events in (True, False):
            y, found = of_network(make(), xs, way, events=events, **options)
            assert torch.equal(y, expected)
            for name, g in wanted.items():
                assert torch.allclose(found[name], g, rtol=1e-9, atol=1e-9), (way, events, name)


@pytest.mark.parametrize(
    ("kind", "reset"), [("leaky", "subtract"), ("leaky", "zero"), ("synaptic", "subtract")]
)
def test_gradients_are_snntorchs(kind, reset):
    """Its reset is delayed and detached, its surrogate atan with slope 2."""
    rng = np.random.default_rng(4)
    torch.manual_seed(0)
    first, second = nn.Linear(5, 8), nn.Linear(8, 3)
    beta, alpha = 0.75, 0.5
    options: dict[str, Any] = {"spike_grad": slopes.atan(2.0), "reset_mechanism": reset}
    options["threshold"] = 0.5
    peers = [
        snn.Leaky(beta, **options) if kind == "leaky" else snn.Synaptic(alpha, beta, **options)
        for _ in range(2)
    ]
    tau, syn = np.array([1 / (1 - beta)]), np.array([1 / (1 - alpha)])
    half, zero = np.array([0.5]), np.array([0.0])
    how: dict[str, Any] = {"reset": reset, "reset_delay": True, "fires_at": "gt"}
    cell: Any = (
        ir.LIF(tau, tau, zero, half, **how)
        if kind == "leaky"
        else ir.CubaLIF(syn, tau, tau, zero, half, w_in=syn, **how)
    )
    fc = [ir.Affine(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in (first, second)]
    graph = chain(
        ("input", ir.Input((5,))),
        ("fc", fc[0]),
        ("a", cell),
        ("fc2", fc[1]),
        ("b", cell.replace()),
        ("output", ir.Output((3,))),
    )
    xs = torch.from_numpy(rng.normal(0.3, 1, (9, 4, 5))).float()
    states: list[Any] = [p.reset_mem() for p in peers]
    states = [[*own] if kind == "synaptic" else [own] for own in states]
    outs = []
    for x in xs:
        h, *states[0] = peers[0](first(x), *states[0])
        y, *states[1] = peers[1](second(h), *states[1])
        outs.append(y)
    expected = torch.stack(outs)
    weights = torch.linspace(-1, 1, expected.numel()).view_as(expected)
    (expected * weights).sum().backward()
    executor = imported(graph, events=True)
    y, _ = executor.run(xs)
    (y * weights).sum().backward()
    assert expected.any()
    assert torch.equal(y, expected)
    for ours, theirs in ((executor.fc, first), (executor.fc2, second)):
        assert theirs.weight.grad.any()
        assert torch.allclose(ours.weight.grad, theirs.weight.grad, rtol=1e-5, atol=1e-6)
        assert torch.allclose(ours.bias.grad, theirs.bias.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_an_event_driven_layer_learns_as_nn_linear(graded, bias):
    from t1c.bridge.engine.kernels.events import affine

    torch.manual_seed(0)
    plain = nn.Linear(37, 21, bias=bias).double()
    x = (torch.rand(300, 37, dtype=torch.float64) < 0.2).double()
    if graded:
        x = x * torch.randn_like(x)
    found, expected = [], []
    for results, function in (
        (found, lambda z: affine(z, plain.weight, plain.bias)),
        (expected, plain),
    ):
        plain.zero_grad()
        z = x.clone().requires_grad_()
        y = function(z)
        y.square().sum().backward()
        results += [y.detach(), z.grad, *(p.grad.clone() for p in plain.parameters())]
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_optimizers_take_the_same_steps_whichever_way_layers_are_worked(optimizer):
    xs = inputs(dtype=torch.float64)
    trained = []
    for events in (True, False):
        executor = imported(mlp(), torch.float64, events=events)
        steps = optimizer(executor.parameters(), lr=0.05)
        for _ in range(4):
            steps.zero_grad()
            y, _ = executor.run(xs)
            (y - 0.5).square().sum().backward()
            assert executor.fc.weight.grad.stride() == executor.fc.weight.stride()
            steps.step()
        with torch.no_grad():
            trained.append((executor.fc.weight.clone(), executor(xs[0])[1]["lif"][0]))
    for a, b in zip(*trained, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-9)
    start = imported(mlp(), torch.float64).fc.weight
    assert not torch.allclose(trained[0][0], start)


def test_truncation_is_detaching_at_the_borders_of_chunks():
    xs = inputs(10, dtype=torch.float64)
    truncated, manual = (imported(recurrent(), torch.float64) for _ in range(2))
    truncated.run(
        xs, chunk=4, truncate=True, collect=lambda first, y: (y * (first + 1)).sum().backward()
    )
    state: Any = None
    for first in range(0, 10, 4):
        y, state = manual.run(xs[first : first + 4], state)
        (y * (first + 1)).sum().backward()
        state = {name: tuple(v.detach() for v in own) for name, own in state.items()}
    for a, b in zip(truncated.parameters(), manual.parameters(), strict=True):
        assert a.grad is not None
        assert torch.equal(a.grad, b.grad)


@pytest.mark.parametrize("size", [(0, 3), (4, 0)])
def test_no_steps_and_no_samples_teach_nothing(size):
    executor = imported(mlp(), learn=("tau", "v_threshold"))
    y, state = executor.run(torch.zeros(*size, 4))
    (y.sum() + sum(v.sum() for own in state.values() for v in own)).backward()
    assert all(p.grad is None or not p.grad.any() for p in executor.parameters())


def test_outputs_of_which_some_have_a_history_are_stacked():
    """The first chunk depends on a state that learns, later ones are detached."""
    two = np.array([2.0])
    graph = chain(
        ("input", ir.Input((4,))), ("li", ir.LI(two, two, 0 * two)), ("output", ir.Output((4,)))
    )
    executor = imported(graph)
    state = {"li": (torch.ones(3, 4, requires_grad=True),)}
    xs = inputs()
    expected, _ = executor.run(xs, state)
    for chunk in (1, 3):
        y, _ = executor.run(xs, state, chunk=chunk, truncate=True)
        assert torch.equal(y, expected)


def test_what_is_learnt_takes_part_in_both_directions():
    """d v / d r by hand: v = r x / tau after one step."""
    two = np.array([2.0])
    graph = chain(
        ("input", ir.Input((1,))), ("li", ir.LI(two, two, 0 * two)), ("output", ir.Output((1,)))
    )
    executor = bridge.ir_to_torch(graph, learn="r", dtype=torch.float64)
    y, _ = executor.run(torch.full((1, 1, 1), 3.0, dtype=torch.float64))
    y.sum().backward()
    (r,) = executor.parameters()
    assert y.item() == 3.0
    assert r.grad is not None
    assert r.grad.item() == 1.5


def test_layers_in_a_grid_learn_the_same_with_a_convolution():
    """Steps of plain torch, and a convolution, its neuron and a pool as one."""
    rng = np.random.default_rng(0)
    graph = chain(
        ("input", ir.Input((2, 5, 4))),
        ("conv", ir.Conv2d(grid(rng, 3, 2, 3, 3), grid(rng, 3))),
        ("lif", lif(0.25)),
        ("pool", ir.AvgPool2d((2, 2))),
        ("output", ir.Output((3, 1, 1))),
    )
    xs = torch.from_numpy(grid(rng, 6, 2, 2, 5, 4))
    wanted = of_network(graph, xs, "steps", kernels="torch")
    for events in (True, None):
        y, found = of_network(graph, xs, None, events=events)
        assert torch.equal(y, wanted[0])
        for name, g in wanted[1].items():
            assert torch.allclose(found[name], g, rtol=1e-9, atol=1e-9), name
