"""run(..., checkpoint=True): the same numbers and gradients, less kept, or a refusal."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import t1c.bridge
import t1c.ir
from t1c.bridge.engine import chunk_size
from t1c.bridge.executor import GraphExecutor
from t1c.ir.errors import InputError, UnsupportedError
from t1c.ir.primitives.neuron import Neuron

from .engine_helpers import imported, inputs, lif, mlp, recurrent
from .examples import drawn, examples
from .strategies_executor import chain, networks, sequences

# Tests look into nodes and modules whose types they know: seen through these, all are Any.
bridge: Any = t1c.bridge
ir: Any = t1c.ir
NEURONS = ("tau", "r", "v_leak", "v_threshold")


def flat(found: Any) -> list[torch.Tensor]:
    """Outputs, one tensor or several by name."""
    return [*found.values()] if isinstance(found, dict) else [found]


def learnt(
    executor: Any, xs: Any, state: Any = None, **how: Any
) -> tuple[list[torch.Tensor], list[torch.Tensor | None]]:
    """(outputs and state, gradients of inputs, of the state and of parameters)."""
    given = {n: x.clone().requires_grad_() for n, x in xs.items()}
    entering = {
        n: tuple(v.detach().clone().requires_grad_() for v in own)
        for n, own in (state or {}).items()
    }
    found, after = executor.run(given, entering, **how)
    leaving = [*flat(found), *(v for own in after.values() for v in own)]
    if not any(y.requires_grad for y in leaving):
        # A comparison of inputs, say.
        return leaving, []
    loss: Any = sum(
        (y * torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y)).sum()
        for y in leaving
        if y.requires_grad
    )
    wanted = [*given.values(), *(v for own in entering.values() for v in own)]
    wanted += [p for p in executor.parameters() if p.requires_grad]
    grads = torch.autograd.grad(loss, wanted, allow_unused=True)
    return [y.detach() for y in leaving], [*grads]


def alike(found: Any, expected: Any, exactly: bool = True) -> None:
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is None:
            continue
        if exactly:
            assert torch.equal(a, b)
        else:
            assert torch.allclose(a, b, rtol=1e-9, atol=1e-12)


def exact(leaving: list[torch.Tensor]) -> bool:
    """Sums on the grid are exact in any order, unless a loop without a neuron that fires grows."""
    return all(float(y.abs().max()) < 2**20 for y in leaving if y.numel())


# What is taken again is what was worked, compiled or not.
@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("cyclic", [False, True])
def test_random_networks_learn_as_without_it(cyclic):
    """Chunks of one length: bit for bit. Its own length: the sums of gradients are rounded anew."""
    seen = {"spikes": 0, "gradients": 0, "networks": 0, "other lengths": 0}

    @examples(30)
    @given(st.data())
    def check(data: Any) -> None:
        graph = data.draw(networks(cyclic=cyclic, every=True))
        xs = {n: torch.from_numpy(x) for n, x in data.draw(sequences(graph)).items()}
        kernels = data.draw(st.sampled_from([None, "torch"]))
        neurons = [node for node in graph.nodes.values() if isinstance(node, Neuron)]
        learn = [name for name in NEURONS if any(name in node.kinds for node in neurons)]
        executor = imported(graph, torch.float64, learn=learn, kernels=kernels)
        state = executor.run(xs)[1] if data.draw(st.booleans()) else None
        given_chunk = data.draw(st.integers(1, 4))
        collect = data.draw(st.sampled_from([None, "stack", "sum", "last"]))
        truncate = data.draw(st.booleans())
        how = {"chunk": given_chunk, "collect": collect, "truncate": truncate}
        outs, grads = learnt(executor, xs, state, **how)
        again, found = learnt(executor, xs, state, **how, checkpoint=True)
        alike(again, outs)
        alike(found, grads)
        if not truncate and exact(outs):
            again, found = learnt(executor, xs, state, collect=collect, checkpoint=True)
            alike(again, outs)
            alike(found, grads, exactly=False)
            seen["other lengths"] += 1
        seen["spikes"] += sum(int(y.count_nonzero()) for y in outs)
        seen["gradients"] += sum(int(g.count_nonzero()) for g in grads if g is not None)
        seen["networks"] += 1

    check()
    assert seen["networks"] >= drawn(20)
    assert seen["other lengths"] >= drawn(5)
    assert seen["spikes"] > drawn(500)
    assert seen["gradients"] > drawn(500)


@pytest.mark.grid(2)
@pytest.mark.parametrize("make", [mlp, recurrent])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("events", [None, True, False])
def test_chunks_of_every_length_learn_as_without_it(make, dtype, events):
    executor = imported(make(), dtype, learn=NEURONS, events=events)
    xs = {"input": inputs(9, dtype=dtype)}
    for chunk in (1, 2, 4, 9, 20):
        outs, grads = learnt(executor, xs, chunk=chunk)
        assert outs[0].any()
        assert all(g is not None and g.any() for g in grads)
        again, found = learnt(executor, xs, chunk=chunk, checkpoint=True)
        alike(again, outs)
        alike(found, grads)


@pytest.mark.parametrize("make", [mlp, recurrent, lambda: neuron_of_its_own()])
@pytest.mark.parametrize("kernels", [None, "torch"])
def test_the_first_run_of_all_learns_as_without_it(make, kernels):
    """What a network notes of itself in its first run is no part of a chunk's history."""
    xs = {"input": inputs(9)}
    options = {"learn": NEURONS, "kernels": kernels}
    outs, grads = learnt(imported(make(), **options), xs, chunk=4)
    again, found = learnt(imported(make(), **options), xs, chunk=4, checkpoint=True)
    assert outs[0].any()
    alike(again, outs)
    alike(found, grads)


def neuron_of_its_own() -> Any:
    """A neuron that is a graph, between layers."""
    half = np.array([0.5])
    nodes = {
        "input": ir.Input((4,)),
        "v": ir.Delay(np.array(1)),
        "decayed": ir.Scale(half),
        "u": ir.Identity(),
        "spike": ir.Threshold(half),
        "lost": ir.Scale(half),
        "rest": ir.Binary("subtract"),
        "output": ir.Output((4,)),
    }
    edges = [
        ("v", "decayed"),
        ("decayed", "u"),
        ("input", "u"),
        ("u", "spike"),
        ("spike", "lost"),
        ("u", "rest"),
        ("lost", "rest"),
        ("rest", "v"),
        ("spike", "output"),
    ]
    neuron = ir.Graph(nodes, edges, allow_cycles=True)
    layer = ir.Affine(np.full((4, 4), 0.25), np.zeros(4))
    return chain(
        ("input", ir.Input((4,))),
        ("fc", layer),
        ("lif", lif()),
        ("own", neuron),
        ("output", ir.Output((4,))),
    )


def test_about_as_many_chunks_as_steps_in_each(monkeypatch):
    executor = imported(mlp())
    # What keeps little is not cut at all.
    executor.run(inputs(100), checkpoint=True)
    assert executor.network.last_chunk == 100
    monkeypatch.setattr(chunk_size, "LITTLE", 0)
    for steps, expected in ((1, 1), (2, 2), (9, 5), (10, 5), (100, 15)):
        executor.run(inputs(steps), checkpoint=True)
        assert executor.network.last_chunk == expected
    executor.run(inputs(100), checkpoint=True, chunk=7)
    assert executor.network.last_chunk == 7
    executor.run(inputs(100))
    assert executor.network.last_chunk == 100


class Noting(nn.Module):
    """Twice its input; notes what comes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(float(x.detach().max()))
        return x * 2


def test_chunks_are_worked_anew_from_the_last_to_the_first():
    noting = Noting()
    executor = GraphExecutor({"fc": nn.Linear(1, 1), "own": noting}, [("fc", "own")])
    with torch.no_grad():
        executor.fc.weight.fill_(1)
        executor.fc.bias.fill_(0)
    y, _ = executor.run(torch.arange(6.0).view(6, 1, 1), chunk=2, checkpoint=True)
    assert noting.seen == [0, 1, 2, 3, 4, 5]
    y.sum().backward()
    assert noting.seen[6:] == [4, 5, 2, 3, 0, 1]
    assert executor.fc.weight.grad.item() == 2 * 15


def kept_bytes(executor: Any, xs: torch.Tensor, **how: Any) -> int:
    """Of all that is kept for gradients, each tensor once, without what the caller holds."""
    held = {x.untyped_storage().data_ptr() for x in (xs, *executor.parameters())}
    kept: dict[int, torch.Tensor] = {}

    def keep(x: torch.Tensor) -> torch.Tensor:
        kept[x.untyped_storage().data_ptr()] = x
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        y, _ = executor.run(xs, collect="sum", **how)
    y.sum().backward()
    return sum(x.numel() * x.element_size() for at, x in kept.items() if at not in held)


@pytest.mark.parametrize("make", [mlp, recurrent])
def test_only_what_enters_a_chunk_is_kept(make):
    executor = imported(make())
    xs = inputs(64, 16)
    state = executor.run(xs[:1])[1]
    size = sum(v.numel() * v.element_size() for own in state.values() for v in own)
    everything = kept_bytes(executor, xs)
    kept = kept_bytes(executor, xs, checkpoint=True, chunk=12)
    assert 0 < kept <= 8 * size
    assert kept < everything / 6


@pytest.mark.parametrize("collect", ["stack", "sum", "last"])
def test_an_iterator_learns_as_a_tensor(collect):
    executor = imported(mlp(), torch.float64)
    xs, found = inputs(10, dtype=torch.float64), []
    for sequence, twice in ((xs, False), (iter(xs), True)):
        executor.zero_grad()
        y, _ = executor.run(sequence, chunk=3, collect=collect, checkpoint=twice)
        y.sum().backward()
        found.append([y.detach(), *(p.grad for p in executor.parameters())])
    assert found[0][0].any()
    alike(found[1], found[0])


def test_a_buffer_that_an_iterator_fills_again_is_copied():
    executor = imported(mlp())
    xs, buffer = inputs(6), torch.empty(3, 4)

    def camera():
        for x in xs:
            yield buffer.copy_(x)

    found = []
    for sequence, twice in ((xs, False), (camera(), True)):
        executor.zero_grad()
        executor.run(sequence, chunk=2, collect="sum", checkpoint=twice)[0].sum().backward()
        found.append(executor.fc.weight.grad)
    assert found[0].any()
    assert torch.equal(*found)


def test_truncated_learning_in_a_function():
    found = []
    for twice in (False, True):
        executor = imported(recurrent(), torch.float64)
        executor.run(
            inputs(10, dtype=torch.float64),
            chunk=4,
            truncate=True,
            checkpoint=twice,
            collect=lambda first, y: (y * (first + 1)).sum().backward(),
        )
        found.append([p.grad for p in executor.parameters()])
    assert all(g.any() for g in found[0])
    alike(found[1], found[0])


def test_gradients_flow_through_the_state_from_run_to_run():
    found = []
    for twice in (False, True):
        executor = imported(recurrent(), torch.float64)
        first = inputs(5, dtype=torch.float64).requires_grad_()
        _, state = executor.run(first, chunk=2, checkpoint=twice)
        y, _ = executor.run(inputs(4, dtype=torch.float64), state, chunk=2, checkpoint=twice)
        y.sum().backward()
        found.append([first.grad, *(p.grad for p in executor.parameters())])
    assert found[0][0].any()
    alike(found[1], found[0])


def test_the_way_back_can_be_taken_twice():
    executor = imported(mlp(), torch.float64)
    y, _ = executor.run(inputs(dtype=torch.float64), checkpoint=True)
    y.sum().backward(retain_graph=True)
    once = executor.fc.weight.grad.clone()
    y.sum().backward()
    assert once.any()
    assert torch.equal(executor.fc.weight.grad, 2 * once)


@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
def test_without_gradients_nothing_is_different(guard):
    executor = imported(mlp())
    xs = inputs(100)
    with guard():
        y, _ = executor.run(xs, checkpoint=True)
        assert executor.network.last_chunk == 100
        assert y.any()
        assert torch.equal(y, executor.run(xs)[0])


def test_what_was_done_is_still_explained():
    executor = imported(mlp())
    y, _ = executor.run(inputs(9), checkpoint=True)
    said = str(executor.explain())
    executor.run(inputs(40).double().float()[:0])
    other = str(executor.explain())
    y.sum().backward()
    assert str(executor.explain()) == other != said


# Training ----------------------------------------------------------------------------------------


def normed(**fields: Any) -> Any:
    given = np.linspace(0.5, 1.5, 4)
    return chain(
        ("input", ir.Input((4,))),
        ("norm", ir.BatchNorm1d(4, given, given - 1, np.zeros(4), np.ones(4), **fields)),
        ("lif", lif()),
        ("output", ir.Output((4,))),
    )


@pytest.mark.parametrize("statistics", ["step", "sequence"])
def test_statistics_move_once(statistics):
    xs, found = inputs(9, 6, dtype=torch.float64), []
    for twice in (False, True):
        executor = imported(normed(statistics=statistics), torch.float64).train()
        how = {} if statistics == "sequence" else {"chunk": 4}
        y, _ = executor.run(xs, checkpoint=twice, **how)
        y.sum().backward()
        norm = executor.norm
        moved = [norm.running_mean, norm.running_var, norm.num_batches_tracked]
        found.append([y.detach(), *moved, norm.weight.grad, norm.bias.grad])
    assert found[0][0].any()
    assert found[0][1].any()
    alike(found[1], found[0])


@pytest.mark.parametrize("mask", ["step", "sequence"])
def test_the_same_is_dropped(mask):
    graph = chain(
        ("input", ir.Input((4,))),
        ("drop", ir.Dropout(4, 0.5, mask=mask)),
        ("fc", ir.Affine(np.eye(4), np.zeros(4))),
        ("output", ir.Output((4,))),
    )
    executor = imported(graph, torch.float64).train()
    torch.manual_seed(3)
    x = torch.ones(10, 3, 4, dtype=torch.float64, requires_grad=True)
    y, _ = executor.run(x, chunk=3, checkpoint=True)
    after = torch.get_rng_state()
    y.sum().backward()
    assert torch.equal(torch.get_rng_state(), after)
    assert 0 < int(y.count_nonzero()) < y.numel()
    assert torch.equal(x.grad, y.detach())


def test_held_inputs_learn():
    graph = chain(
        ("input", ir.Input((4,), hold=7)),
        ("fc", ir.Affine(np.eye(4), np.zeros(4))),
        ("lif", lif()),
        ("output", ir.Output((4,))),
    )
    found = []
    for twice in (False, True):
        executor = imported(graph, torch.float64)
        x = torch.linspace(0.1, 1, 12, dtype=torch.float64).view(3, 4).requires_grad_()
        y, _ = executor.run(x, chunk=3, checkpoint=twice)
        y.sum().backward()
        found.append([y.detach(), x.grad, executor.fc.weight.grad])
    assert found[0][0].any()
    assert found[0][1].any()
    alike(found[1], found[0])


def test_training_takes_the_same_steps():
    found = []
    for twice in (False, True):
        executor = imported(mlp(), torch.float64)
        optimizer = torch.optim.Adam(executor.parameters(), lr=0.01, fused=True)
        for _ in range(5):
            optimizer.zero_grad()
            y, _ = executor.run(inputs(12, dtype=torch.float64), chunk=4, checkpoint=twice)
            (y - 0.5).square().sum().backward()
            optimizer.step()
        found.append([p.detach() for p in executor.parameters()])
    alike(found[1], found[0])
    assert not torch.equal(found[0][0], imported(mlp(), torch.float64).fc.weight)


# Refusals ----------------------------------------------------------------------------------------


class Counting(nn.Module):
    """Its input, and how often it was called, in a buffer."""

    calls: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x + self.calls


class Wandering(nn.Module):
    """Draws by itself: torch's generators know nothing of it."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.rng.random()


def around(module: nn.Module) -> GraphExecutor:
    return GraphExecutor({"fc": nn.Linear(4, 4), "own": module}, [("fc", "own")])


def test_a_module_that_writes_to_a_buffer_is_refused():
    with pytest.raises(UnsupportedError, match="Counting writes to a buffer"):
        around(Counting()).run(inputs(), checkpoint=True)


def test_a_module_that_draws_by_itself_is_refused():
    y, _ = around(Wandering()).run(inputs(), checkpoint=True)
    with pytest.raises(InputError, match="gives other numbers"):
        y.sum().backward()


def _to_train(executor: Any) -> None:
    executor.train()


def _to_events(executor: Any) -> None:
    executor.events = True


def _replaced(executor: Any) -> None:
    executor.fc.weight = nn.Parameter(executor.fc.weight.detach().clone())


@pytest.mark.parametrize("change", [_to_train, _to_events, _replaced])
def test_another_network_on_the_way_back_is_refused(change):
    executor = imported(mlp())
    y, _ = executor.run(inputs(), checkpoint=True)
    change(executor)
    with pytest.raises(InputError, match=r"not as it was in run\(\.\.\., checkpoint=True\)"):
        y.sum().backward()


def _written(executor: Any, x: torch.Tensor) -> None:
    with torch.no_grad():
        executor.fc.weight += 1


def _overwritten(executor: Any, x: torch.Tensor) -> None:
    x.zero_()


@pytest.mark.parametrize("write", [_written, _overwritten])
def test_what_was_written_to_is_refused_by_autograd(write):
    executor = imported(mlp())
    x = inputs()
    y, _ = executor.run(x, checkpoint=True)
    write(executor, x)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_state_may_be_written_to_by_who_was_given_it():
    executor = imported(mlp())
    y, state = executor.run(inputs(), checkpoint=True)
    with torch.no_grad():
        for own, n in zip(state.values(), itertools.count(), strict=False):
            own[0].detach().fill_(n)
    y.sum().backward()
    assert executor.fc.weight.grad.any()
