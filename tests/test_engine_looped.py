"""A neuron that hears itself through Linears learns as autograd of its single steps says."""

from typing import Any

import numpy as np
import pytest
import torch

import t1c.ir
from t1c.bridge.engine import stages

from .engine_helpers import grid, imported, inputs, spikes

ir: Any = t1c.ir
N = 6
KINDS = [
    ("LIF", {}),
    ("LIF", {"reset": "value", "v_reset": np.array([0.125]), "fires_at": "gt"}),
    ("LIF", {"reset": "subtract", "reset_delay": True}),
    ("LIF", {"reset": "zero", "reset_delay": True}),
    ("LIF", {"reset": "subtract", "spikes": "multiple", "v_min": np.array([-0.25])}),
    ("CubaLIF", {"reset": "subtract"}),
    ("CubaLI", {}),
]


def looped(kind: str, itself: bool, options: dict[str, Any], second: bool = False) -> Any:
    rng = np.random.default_rng(3)
    two, zero = np.array([2.0]), np.array([0.0])
    given = {"tau": two} if kind == "LIF" else {"tau_syn": two, "tau_mem": 2 * two}
    given |= {"r": two, "v_leak": zero} | ({} if kind == "CubaLI" else {"v_threshold": two / 4})
    nodes = {
        "input": ir.Input((4,)),
        "fc": ir.Affine(grid(rng, N, 4), grid(rng, N)),
        "cell": getattr(ir, kind)(**given, **options),
        "back": ir.Affine(grid(rng, N, N) / 4, grid(rng, N)),
        "output": ir.Output((N,)),
    }
    edges = [("input", "fc"), ("fc", "cell"), ("cell", "back"), ("back", "cell")]
    edges.append(("cell", "output"))
    if itself:
        edges.append(("cell", "cell"))
    if second:
        nodes["again"] = ir.Linear(grid(rng, N, N) / 8)
        edges += [("cell", "again"), ("again", "cell")]
    return ir.Graph(nodes, edges, allow_cycles=True)


def learnt(executor: Any, xs: torch.Tensor, stepwise: bool, chunk: int | None = None) -> Any:
    """Outputs, and gradients of inputs, of the first state and of parameters."""
    x = xs.clone().requires_grad_()
    _, state = executor.run(xs[:2])
    first = {n: tuple(v.detach().requires_grad_() for v in own) for n, own in state.items()}
    if stepwise:
        outs, state = [], first
        for t in range(len(x)):
            y, state = executor(x[t], state)
            outs.append(y)
        y = torch.stack(outs)
    else:
        y, state = executor.run(x, first, chunk=chunk)
    left = [y, *(v for own in state.values() for v in own)]
    loss = sum((v * torch.linspace(-1, 2, v.numel(), dtype=v.dtype).view_as(v)).sum() for v in left)
    wanted = [x, *(v for own in first.values() for v in own)]
    wanted += [p for p in executor.parameters() if p.requires_grad]
    return [v.detach() for v in left], torch.autograd.grad(loss, wanted)


@pytest.fixture
def worked(monkeypatch):
    """How many loops were worked so."""
    count = [0]
    original = stages.work_looped

    def counted(*given: Any) -> Any:
        done: Any = original(*given)
        count[0] += done
        return done

    monkeypatch.setattr(stages, "work_looped", counted)
    return count


@pytest.mark.parametrize(("kind", "options"), KINDS)
@pytest.mark.parametrize("detach", [True, False])
def test_every_neuron_learns_as_in_single_steps(kind, options, detach, worked, request):
    if not detach:
        request.getfixturevalue("uncompiled")  # it is a loop more of each
    learn = ["tau", "v_threshold"] if kind == "LIF" else ["tau_mem", "tau_syn"]
    how = {"detach_reset": detach, "learn": learn}
    graph, xs = looped(kind, True, options), inputs(7, dtype=torch.float64)
    outs, grads = learnt(imported(graph, torch.float64, kernels="torch", **how), xs, True)
    assert outs[0].any()
    assert all(g.any() for g in grads)
    assert not worked[0]
    executor = imported(graph, torch.float64, **how)
    for chunk in (None, 1, 3):
        before = worked[0]
        found, again = learnt(executor, xs, False, chunk)
        assert worked[0] > before
        for a, b in zip(found, outs, strict=True):
            # What does not fire leaves the grid, on which sums are exact in any order.
            assert torch.allclose(a, b) if kind == "CubaLI" else torch.equal(a, b)
        for a, b in zip(again, grads, strict=True):
            assert torch.allclose(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("trained", ["back", "fc", "none"])
def test_what_does_not_learn_is_left_alone(trained, worked):
    graph, xs = looped("LIF", False, {}, second=True), inputs(7, dtype=torch.float64)
    found = []
    for kernels in ("torch", None):
        executor = imported(graph, torch.float64, kernels=kernels)
        for name, parameter in executor.named_parameters():
            parameter.requires_grad_(name.startswith(trained))
        found.append(learnt(executor, xs, False))
    assert worked[0]
    assert found[0][1][0].any()
    for a, b in zip(found[1][1], found[0][1], strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-11)


def test_in_float32_with_spikes_that_are_packed(worked):
    rng = np.random.default_rng(0)
    xs = torch.from_numpy(spikes(rng, 40, 9, 4)).float()
    outs, grads = learnt(imported(looped("LIF", False, {}), kernels="torch"), xs, False)
    found, again = learnt(imported(looped("LIF", False, {})), xs, False)
    assert worked[0]
    assert 0 < int(outs[0].count_nonzero()) < outs[0].numel()
    for a, b in zip(found, outs, strict=True):
        assert torch.equal(a, b)
    for a, b in zip(again, grads, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-4)


def test_what_is_looked_at_is_stepped(worked):
    """A hook on the Linear wants each of its calls."""
    executor = imported(looped("LIF", False, {}))
    seen: list[Any] = []
    executor.back.register_forward_hook(lambda *given: seen.append(given))
    executor.run(inputs(5))
    assert len(seen) == 5
    assert not worked[0]
