"""What a caller of ``run`` passes and gets: collectors, chunks, streams, progress, memory."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from t1c import ir
from t1c.ir.errors import InputError

from .engine_helpers import assert_equal, imported, inputs, lif, mlp, recurrent, stepped

pytestmark = pytest.mark.usefixtures("one_thread")


def two_inputs_two_outputs() -> ir.Graph:
    nodes = {
        "a": ir.Input((4,)),
        "b": ir.Input((4,)),
        "lif": lif(),
        "other": lif(0.25),
        "x": ir.Output((4,)),
        "y": ir.Output((4,)),
    }
    edges = [("a", "lif"), ("b", "lif"), ("b", "other"), ("lif", "x"), ("other", "y")]
    return ir.Graph(nodes, edges)


@pytest.mark.parametrize("chunk", [None, 1, 3, 100])
@pytest.mark.parametrize("make", [mlp, recurrent])
def test_what_becomes_of_outputs(make, chunk):
    executor, xs = imported(make()), inputs()
    with torch.no_grad():
        whole, state = executor.run(xs)
        assert whole.any()
        assert_equal(executor.run(xs, chunk=chunk, collect="stack"), (whole, state))
        assert_equal(executor.run(xs, chunk=chunk, collect="sum"), (whole.sum(0), state))
        assert_equal(executor.run(xs, chunk=chunk, collect="last"), (whole[-1], state))
        seen: list[Any] = []
        nothing, after = executor.run(
            xs, chunk=chunk, collect=lambda first, y: seen.append((first, y))
        )
        assert nothing is None
        assert [first for first, _ in seen] == list(range(0, 8, min(chunk or 8, 8)))
        assert_equal((torch.cat([y for _, y in seen]), after), (whole, state))


@pytest.mark.parametrize("form", ["dict", "tuple"])
@pytest.mark.parametrize("stream", [False, True])
@torch.no_grad()
def test_several_inputs_and_outputs(form, stream):
    executor = imported(two_inputs_two_outputs())
    a, b = inputs(), inputs().flip(0)
    expected, state = executor.run({"a": a, "b": b})
    assert set(expected) == {"x", "y"}
    steps = [{"a": p, "b": q} if form == "dict" else (p, q) for p, q in zip(a, b, strict=True)]
    given: Any = iter(steps) if stream else ({"a": a, "b": b} if form == "dict" else (a, b))
    for collect, f in (
        ("stack", lambda y: y),
        ("sum", lambda y: y.sum(0)),
        ("last", lambda y: y[-1]),
    ):
        if stream:
            given = iter(steps)
        found, after = executor.run(given, chunk=3, collect=collect)
        for name, y in expected.items():
            assert_equal((found[name], after), (f(y), state))


@torch.no_grad()
def test_streams_of_many_kinds():
    executor, xs = imported(mlp()), inputs()
    expected = executor.run(xs)
    assert_equal(executor.run(x for x in xs), expected)
    assert_equal(executor.run(map(torch.clone, xs)), expected)
    loader: Any = DataLoader(torch.utils.data.TensorDataset(xs), batch_size=None)
    assert_equal(executor.run(loader), expected)
    assert_equal(executor.run(loader, chunk=5), expected)


class Taken:
    """Counts the steps that were asked for."""

    def __init__(self, xs: torch.Tensor) -> None:
        self.xs, self.count = iter(xs), 0

    def __iter__(self) -> "Taken":
        return self

    def __next__(self) -> torch.Tensor:
        x: torch.Tensor = next(self.xs)
        self.count += 1
        return x


@torch.no_grad()
def test_a_stream_is_read_one_chunk_ahead_at_most():
    executor, taken, counts = imported(mlp()), Taken(inputs()), []
    executor.run(taken, chunk=3, collect=lambda first, y: counts.append(taken.count))
    assert counts == [3, 6, 8]


@torch.no_grad()
def test_a_long_stream_keeps_nothing():
    executor = imported(recurrent())
    alive: list[Any] = []
    most = 0

    def steps():
        nonlocal most
        for _ in range(200):
            x = torch.ones(1, 4)
            alive.append(weakref.ref(x))
            yield x
            del x
            most = max(most, sum(r() is not None for r in alive))

    def take(first: int, y: torch.Tensor) -> None:
        alive.append(weakref.ref(y))

    executor.run(steps(), chunk=5, collect=take)
    assert most <= 2 * 5
    gc.collect()
    assert not any(r() is not None for r in alive)


@torch.no_grad()
def test_the_state_and_the_last_output_hold_no_chunk():
    executor, xs = imported(mlp()), inputs(50)
    y, state = executor.run(xs, collect="last")
    for v in (y, *(v for own in state.values() for v in own)):
        assert v.untyped_storage().nbytes() <= 4 * v.numel()


@pytest.mark.parametrize("chunk", [0, -1, 1.5, "many"])
def test_chunks_that_are_no_number_of_steps_are_refused(chunk):
    with pytest.raises(InputError, match="chunk"):
        imported(mlp()).run(inputs(), chunk=chunk)


def test_a_number_of_numpy_is_a_number_of_steps():
    executor, size = imported(mlp()), np.int64(3)
    assert_equal(executor.run(inputs(), chunk=size), executor.run(inputs()))


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        (lambda xs: xs, {"collect": "mean"}, "'stack', 'sum', 'last' or a function"),
        (lambda xs: xs[:0], {"collect": "last"}, "at least one"),
        (lambda xs: iter([]), {}, "an iterator without a step"),
        (lambda xs: iter([xs[0], xs[1, :2]]), {}, "batch sizes 3 and 2"),
        (lambda xs: iter([xs[0, :1], xs[1]]), {"chunk": 1}, "batch sizes 1 and 3"),
        (lambda xs: iter([xs[0], None, xs[1]]), {}, "NoneType"),
        (lambda xs: iter([xs[0], xs[1, :, :2]]), {}, "shape"),
        (lambda xs: iter(xs.unsqueeze(0)), {}, "shape"),
    ],
)
def test_what_cannot_be_run_is_refused(given, options, words):
    with pytest.raises(InputError, match=words):
        imported(mlp()).run(given(inputs()), **options)


@pytest.mark.parametrize("make", [mlp, recurrent, two_inputs_two_outputs])
@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0, 0)])
@torch.no_grad()
def test_no_steps_or_no_samples(make, shape):
    graph = make()
    executor = imported(graph)
    x = torch.zeros(*shape, 4)
    xs: Any = dict.fromkeys(graph.inputs(), x)
    for options in ({}, {"chunk": 2}, {"events": True}):
        executor.events = options.pop("events", None)
        y, state = executor.run(xs, **options)
        for out in y.values() if isinstance(y, dict) else [y]:
            assert out.shape[:2] == shape
        total, _ = executor.run(xs, collect="sum")
        for out in total.values() if isinstance(total, dict) else [total]:
            assert out.shape[:1] == shape[1:]
            assert not out.any()
        assert all(v.shape[0] == shape[1] and not v.any() for own in state.values() for v in own)


@torch.no_grad()
def test_progress_is_told_in_steps():
    executor, xs, seen = imported(mlp()), inputs(), []

    def note(*told: Any) -> None:
        seen.append(told)

    executor.run(xs, chunk=3, progress=note)
    assert seen == [(3, 8), (6, 8), (8, 8)]
    seen.clear()
    executor.run(iter(xs), chunk=5, progress=note)
    assert seen == [(5, None), (8, None)]


@torch.no_grad()
def test_a_bar_goes_to_stderr(capsys):
    expected = imported(mlp()).run(inputs())
    assert_equal(imported(mlp()).run(inputs(), chunk=3, progress=True), expected)
    shown = capsys.readouterr()
    assert "8/8" in shown.err
    assert not shown.out


@torch.no_grad()
def test_the_callers_state_is_not_written_to():
    for make in (mlp, recurrent):
        executor, xs = imported(make()), inputs()
        _, state = executor.run(xs)
        kept = {name: tuple(v.clone() for v in own) for name, own in state.items()}
        first = executor.run(xs, state)
        stepped(executor, xs, state)
        assert_equal((xs, state), (inputs(), kept))
        assert_equal(stepped(executor, xs, state), first)
