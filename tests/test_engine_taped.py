"""One step with gradients on: the numbers and the gradients of plain torch, in fewer calls."""

from __future__ import annotations

import copy
import gc
import itertools
import threading
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

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
)
from .examples import examples
from .strategies_executor import chain

pytestmark = pytest.mark.usefixtures("one_thread")


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


@pytest.mark.grid(2)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("learn", [(), ("v_threshold", "r")])
@pytest.mark.parametrize("name", MAKERS)
def test_steps_learn_as_plain_torch_does(name, learn, dtype, batch):
    xs = inputs(12, batch, dtype=dtype)
    fired, _ = stepped(imported(MAKERS[name](), dtype), xs)
    assert fired.any()
    assert_learns_alike(MAKERS[name](), xs, learn=learn)


BOUND, SEVERAL = {"v_min": np.array([-0.25])}, {"spikes": "multiple"}


def more(reset, delay):
    """What else neurons may have: both, or one of them where the resets part."""
    if reset in ("hold", "carry", "lower"):
        return [{}]
    alone = [BOUND, SEVERAL] if reset in ("zero", "subtract") and not delay else []
    return [{}, BOUND | SEVERAL, *alone]


@pytest.mark.grid(1)
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize(
    ("reset", "delay", "options"),
    [(reset, delay, options) for reset, delay in RULES[1:] for options in more(reset, delay)],
)
def test_every_reset_learns(reset, delay, detach, options, request):
    given = {"reset": reset, "reset_delay": delay, **options}
    if reset in ("value", "lower"):
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
    if options or not detach:
        # By what it means to NumPy: each is another loop. Compiled there is one of each reset.
        request.getfixturevalue("uncompiled")
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


def test_a_weight_whose_gradient_is_differentiated_is_refused():
    executor, xs = imported(mlp()), inputs()
    ys, _ = stepped(executor, xs)
    (g,) = torch.autograd.grad(ys.square().sum(), executor.fc.weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()


# Gradients gathered over steps --------------------------------------------------------------------


def both(graph: ir.Graph, **options: Any) -> tuple[Any, Any]:
    """An executor, and another that works by plain torch."""
    return (
        imported(graph, torch.float64, **options),
        imported(graph, torch.float64, kernels="torch", events=False, **options),
    )


def assert_gradients_alike(ours: Any, theirs: Any) -> None:
    """Both have the same gradients, of the same parameters, and of some."""
    expected = {n: p.grad for n, p in theirs.named_parameters() if p.grad is not None}
    found = {n: p.grad for n, p in ours.named_parameters() if p.grad is not None}
    assert set(found) == set(expected)
    assert any(g.any() for g in expected.values())
    for name, g in expected.items():
        assert torch.allclose(found[name], g, rtol=1e-11, atol=1e-13), name


def assert_by_tape(executor: Any) -> None:
    (program,) = executor.network.programs.values()
    assert program.taped.found is not None


@examples(100)
@given(st.data())
def test_whatever_is_asked_of_steps_is_what_autograd_gives(data):
    """Random layers, parameters that learn, losses over some steps, truncated or not."""
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    sizes = draw(st.lists(st.integers(1, 12), min_size=2, max_size=4))
    nodes: list[tuple[str, ir.Node]] = [("input", ir.Input((sizes[0],)))]
    for k, (n, m) in enumerate(itertools.pairwise(sizes)):
        nodes.append((f"fc{k}", ir.Affine(grid(rng, m, n), grid(rng, m))))
        if draw(st.booleans()):
            nodes.append((f"scale{k}", ir.Scale(grid(rng, m))))
        nodes.append((f"lif{k}", lif(0.25, reset=draw(st.sampled_from(["zero", "subtract"])))))
    graph = chain(*nodes, ("output", ir.Output((sizes[-1],))))
    learn = draw(st.sampled_from([(), ("v_threshold",), ("tau", "r")]))
    pair = both(graph, learn=learn)
    steps, batch = draw(st.integers(1, 8)), draw(st.integers(1, 6))
    xs = inputs(steps, batch, sizes[0], torch.float64)
    names = [name for name, _ in pair[0].named_parameters()]
    frozen = draw(st.sets(st.sampled_from(names), max_size=len(names) - 1))
    counted = draw(st.sets(st.integers(0, steps - 1), min_size=1))
    cut = draw(st.integers(0, steps))
    retain = draw(st.booleans())
    for executor in pair:
        for name, parameter in executor.named_parameters():
            parameter.requires_grad_(name not in frozen)
        state, loss = None, torch.zeros((), dtype=torch.float64)
        for t, x in enumerate(xs):
            if t == cut and state:
                state = {n: tuple(v.detach() for v in own) for n, own in state.items()}
            y, state = executor(x, state)
            if t in counted:
                loss = (
                    loss
                    + (y * (t + 1)).sum()
                    + sum(own[0].square().sum() for own in state.values())
                )
        loss.backward(retain_graph=retain)
        if retain:
            loss.backward()
    assert_by_tape(pair[0])
    grads = [p.grad for p in pair[1].parameters() if p.grad is not None]
    assume(any(g.any() for g in grads))
    assert_gradients_alike(*pair)


def test_part_of_what_was_taken_is_asked_for():
    asked = []
    for executor in both(mlp()):
        xs = inputs(dtype=torch.float64).requires_grad_()
        ys, state = [], None
        for x in xs:
            y, state = executor(x, state)
            ys.append(y)
        fc, fc2 = executor.fc.weight, executor.fc2.weight
        asked.append(
            [
                # One step's, then all; of an input alone no weight is on the way.
                *torch.autograd.grad(ys[3].sum(), [fc2, fc], retain_graph=True),
                *torch.autograd.grad(sum(y.sum() for y in ys), xs, retain_graph=True),
                *torch.autograd.grad(sum(y.sum() for y in ys), fc, retain_graph=True),
                *torch.autograd.grad(ys[5].sum(), [xs, fc2]),
            ]
        )
    for found, expected in zip(*asked, strict=True):
        assert expected.any()
        assert torch.allclose(found, expected, rtol=1e-11, atol=1e-13)


def ledger_of(executor: Any) -> Any:
    (program,) = executor.network.programs.values()
    return program.taped.found[1].course.gate.ledger


def test_a_hook_on_a_weight_sees_its_whole_gradient_once():
    seen: list[list[Tensor]] = []
    for executor in both(mlp()):
        seen.append([])
        executor.fc.weight.register_hook(seen[-1].append)
        ys, _ = stepped(executor, inputs(dtype=torch.float64))
        ys.sum().backward()
    (found,), (expected,) = seen
    assert expected.any()
    assert torch.allclose(found, expected, rtol=1e-11, atol=1e-13)


def test_a_way_back_that_fails_leaves_nothing_behind():
    ours, theirs = both(mlp())

    def fail(_: Tensor) -> None:
        raise ValueError("stop")

    ys, after = [], None
    for t, x in enumerate(inputs(dtype=torch.float64)):
        y, after = ours(x, after)
        if t == 3:
            after["lif"][0].register_hook(fail)
        ys.append(y)
    with pytest.raises(ValueError, match="stop"):
        torch.stack(ys).sum().backward()
    assert all(p.grad is None for p in ours.parameters())
    del ys, y, after
    for executor in (ours, theirs):
        ys, _ = stepped(executor, inputs(dtype=torch.float64))
        ys.sum().backward()
    assert_gradients_alike(ours, theirs)
    assert not ledger_of(ours)._open


@pytest.mark.parametrize("reentrant", [True, False])
def test_steps_that_are_taken_again_on_the_way_back_learn(reentrant):
    pair = both(mlp())
    for executor in pair:
        xs = inputs(dtype=torch.float64).requires_grad_()

        def run(xs: Tensor, executor: Any = executor) -> Tensor:
            return stepped(executor, xs)[0]

        ys = [checkpoint(run, part, use_reentrant=reentrant) for part in xs.split(3)]
        (torch.cat(ys).sum() + stepped(executor, xs)[0].sum()).backward()
    assert_gradients_alike(*pair)
    assert not ledger_of(pair[0])._open


def test_ways_back_in_several_threads_do_not_mix():
    ours, theirs = both(mlp())
    xs = inputs(dtype=torch.float64)
    parts: list[Tensor] = []
    losses = [stepped(ours, xs.roll(k, 1))[0].sum() * (k + 1) for k in range(4)]
    ready = threading.Barrier(8)

    def back(loss: Tensor) -> None:
        ready.wait()
        parts.extend(torch.autograd.grad(loss, ours.fc.weight, retain_graph=True))

    # Each graph in two threads.
    threads = [threading.Thread(target=back, args=(loss,)) for loss in losses * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = sum((k + 1) * stepped(theirs, xs.roll(k, 1))[0].sum() for k in range(4))
    (g,) = torch.autograd.grad(expected, theirs.fc.weight)
    assert len(parts) == 8
    assert torch.allclose(sum(parts) / 2, g, rtol=1e-11, atol=1e-13)
    assert g.any()


def test_one_parameter_in_two_layers_gets_both_gradients():
    rng = np.random.default_rng(0)
    graph = chain(
        ("input", ir.Input((4,))),
        ("fc", ir.Affine(grid(rng, 4, 4), grid(rng, 4))),
        ("lif", lif(0.25)),
        ("fc2", ir.Affine(grid(rng, 4, 4), grid(rng, 4))),
        ("lif2", lif(0.25)),
        ("output", ir.Output((4,))),
    )
    pair = both(graph)
    for executor in pair:
        executor.fc2.weight = executor.fc.weight
        stepped(executor, inputs(dtype=torch.float64))[0].sum().backward()
    assert_by_tape(pair[0])
    assert_gradients_alike(*pair)


def test_weights_made_of_others_pass_their_gradient_on():
    found = []
    for executor in both(mlp()):
        source = executor.fc.weight.detach().clone().requires_grad_()
        for _ in range(2):
            ys, state = [], None
            for x in inputs(dtype=torch.float64):
                y, state = functional_call(executor, {"fc.weight": 2 * source}, (x, state))
                ys.append(y)
            torch.stack(ys).sum().backward()
        found.append(source.grad)
    assert found[1].any()
    assert torch.allclose(*found, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", ["v_threshold", "tau"])
def test_a_neuron_written_to_before_the_way_back_is_refused(name):
    executor = imported(mlp(), learn=(name,))
    ys, _ = stepped(executor, inputs())
    with torch.no_grad():
        getattr(executor.lif, name).mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        ys.sum().backward()


def test_what_a_scale_multiplied_by_is_refused_when_it_was_written_to():
    executor = imported(residual())
    ys, _ = stepped(executor, inputs())
    with torch.no_grad():
        executor.node("scale").scale.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        ys.sum().backward()


def test_training_by_steps_is_that_of_plain_torch_and_keeps_no_old_graph():
    pair, frames = both(mlp(), learn=("v_threshold",)), []
    for executor in pair:
        optimizer = torch.optim.Adam(executor.parameters(), lr=0.01)
        for _ in range(5):
            optimizer.zero_grad()
            ys, _ = stepped(executor, inputs(dtype=torch.float64))
            (ys.sum() - 30).square().backward()
            optimizer.step()
            if executor is pair[0]:
                (program,) = executor.network.programs.values()
                frames.append(weakref.ref(program.taped.found[1]))
    for (name, p), q in zip(pair[0].named_parameters(), pair[1].parameters(), strict=True):
        assert torch.allclose(p, q, rtol=1e-9, atol=1e-12), name
    del ys, program
    gc.collect()
    assert sum(held() is not None for held in frames) == 1


def test_a_copy_learns_by_itself():
    ours, theirs = both(mlp())
    stepped(ours, inputs(dtype=torch.float64))[0].sum().backward()
    other = copy.deepcopy(ours)
    other.zero_grad()
    for executor in (other, theirs):
        (2 * stepped(executor, inputs(dtype=torch.float64))[0].sum()).backward()
    assert_gradients_alike(other, theirs)
    assert torch.allclose(2 * ours.fc.weight.grad, other.fc.weight.grad)


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
