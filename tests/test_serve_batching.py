"""Streams worked as one batch have the numbers that each has alone, and leave nothing behind."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import event, given
from hypothesis import strategies as st

from t1c import bridge, ir
from t1c.ir.errors import InputError, UnsupportedError
from t1c.serve import Limits, serve_network
from t1c.serve.batching import Batching, Lane, Piece

from .engine_helpers import lif, mlp, recurrent
from .examples import examples
from .strategies_executor import chain, networks

pytestmark = pytest.mark.usefixtures("one_thread", "uncompiled")
ACTIONS = ["open", "send", "send", "work", "close"]
RNG = np.random.default_rng(0)


def batching(graph: ir.Graph, dtype: Any = "float32", rows: int = 64, **limits: Any) -> Batching:
    served = serve_network(graph, dtype=dtype)
    ports = served.inputs, served.outputs
    return Batching(served.executor, served.rest(), *ports, Limits(**limits), rows)


@dataclass
class Stream:
    """A lane, with all that was sent and all that came back."""

    lane: Lane
    sent: list[dict[str, Any]] = field(default_factory=list)
    waiting: deque[Piece] = field(default_factory=deque)
    came: list[dict[str, Any]] = field(default_factory=list)

    def push(self, work: Batching, xs: dict[str, Any]) -> None:
        self.sent.append(xs)
        self.waiting.append(work.push(self.lane, xs, self.done))

    def done(self, piece: Piece) -> None:
        # In the order in which they were sent.
        assert piece is self.waiting.popleft()
        assert piece.error is None
        self.came.append(piece.outputs)


def arrivals(draw: Any, work: Batching, graph: ir.Graph, grid: bool = False) -> list[Stream]:
    """Streams that open, send, wait and close as it comes; all of them are answered at the end."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    streams: list[Stream] = []
    closed: list[Stream] = []
    for action in draw(st.lists(st.sampled_from(ACTIONS), min_size=8)):
        if action == "open" or not streams:
            streams.append(Stream(work.open()))
        if action == "send":
            stream = streams[draw(st.integers(0, len(streams) - 1))]
            steps = draw(st.integers(1, 9))
            shapes = {name: (steps, *node.shape) for name, node in graph.inputs().items()}
            stream.push(
                work, {n: numbers(rng, s, work.inputs.dtype, grid) for n, s in shapes.items()}
            )
        elif action == "work":
            work.round()
        elif action == "close" and len(streams) > 1:
            gone = streams.pop(draw(st.integers(0, len(streams) - 1)))
            batch = work.pick() if draw(st.booleans()) else None
            work.close(gone.lane)
            work.close(gone.lane)
            if batch is not None:
                # Whoever goes while a batch has the row is worked to its end, for nobody.
                work.settle(batch, work.work(batch))
            closed.append(gone)
    while work.round():
        pass
    assert not any(stream.waiting for stream in streams)
    assert work.rows.taken == len(streams)
    return streams


def numbers(rng: Any, shape: Any, dtype: Any, grid: bool) -> Any:
    values = rng.integers(-128, 257, shape) / 256 if grid else rng.normal(0.3, 1, shape)
    return values.astype(dtype)


def joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def compared(work: Batching, graph: ir.Graph, streams: list[Stream], reference: Any) -> int:
    """Every stream beside itself alone and beside the reference; numbers that are not zero."""
    executor = bridge.ir_to_torch(
        graph,
        dtype=getattr(torch, work.inputs.dtype.name),
        trainable=False,
        reproducible=True,
    )
    busy = 0
    for stream in streams:
        if not stream.sent:
            continue
        xs = {name: x[:, None] for name, x in joined(stream.sent).items()}
        tensors = {name: torch.from_numpy(x) for name, x in xs.items()}
        alone, _ = executor.run(tensors, collect="stack")
        with np.errstate(all="ignore"):
            referred, _ = ir.Reference(graph, reference).run(xs, collect="stack")
        for name, y in joined(stream.came).items():
            one = alone[name] if isinstance(alone, dict) else alone
            other = referred[name] if isinstance(referred, dict) else referred
            assert y.dtype == work.outputs.dtype
            np.testing.assert_array_equal(y, one[:, 0].numpy())
            np.testing.assert_array_equal(y, other[:, 0])
            busy += int(np.count_nonzero(y))
    return busy


@examples(15)
@given(st.data())
def test_streams_on_the_grid_are_those_of_the_float64_reference(data):
    graph = data.draw(st.sampled_from([mlp(1), recurrent(1)]))
    work = batching(
        graph, chunk=data.draw(st.sampled_from([1, 4])), batch=data.draw(st.integers(1, 5))
    )
    streams = arrivals(data.draw, work, graph, grid=True)
    event(f"spikes: {compared(work, graph, streams, np.float64) > 0}")


@examples(8)
@given(st.data())
def test_streams_of_any_network_are_those_of_the_reference_in_its_dtype(data):
    cyclic = data.draw(st.booleans())
    graph = data.draw(networks(grid=False, cyclic=cyclic, every=True))
    dtype = data.draw(st.sampled_from(["float32", "float64"]))
    work = batching(graph, dtype, chunk=4, batch=data.draw(st.integers(1, 5)))
    streams = arrivals(data.draw, work, graph)
    event(f"numbers: {compared(work, graph, streams, np.dtype(dtype).type) > 0}")


@pytest.mark.parametrize("graph", [mlp(1), recurrent(1)], ids=["mlp", "recurrent"])
def test_fifty_streams_at_random_fire_the_spikes_of_each_alone(graph):
    work = batching(graph, chunk=8, batch=20)
    work.warm_up()
    streams = [Stream(work.open()) for _ in range(50)]
    for _ in range(20):
        for stream in RNG.permutation(np.array(streams, object))[: RNG.integers(1, 50)]:
            steps = int(RNG.integers(1, 6))
            stream.push(work, {"input": (RNG.random((steps, 4)) < 0.5).astype(np.float32)})
        work.round()
    while work.round():
        pass
    assert compared(work, graph, streams, np.float64) > 1000
    # Many at once: that is what it is for.
    assert work.steps == sum(len(x["input"]) for s in streams for x in s.sent)
    assert work.batches < work.steps / 8
    for stream in streams:
        work.close(stream.lane)
    assert work.rows.taken == work.rows.held == 0


def test_memory_with_a_beginning_starts_from_it_in_a_row_that_was_used():
    graph = chain(
        ("input", ir.Input((2,))),
        ("late", ir.Delay(np.array([1, 3]), np.array([5.0, -1.0]))),
        ("most", ir.Accumulate("max")),
        ("output", ir.Output((2,))),
    )
    work = batching(graph, rows=1)
    for x in (9.0, 2.0):
        stream = Stream(work.open())
        stream.push(work, {"input": np.full((4, 2), x, np.float32)})
        while work.round():
            pass
        work.close(stream.lane)
        expected = [[5, -1], [max(5, x), -1], [max(5, x), -1], [max(5, x), x]]
        np.testing.assert_array_equal(joined(stream.came)["output"], expected)


def test_no_lane_waits_for_the_long_sequence_of_another():
    work = batching(mlp(), chunk=8)
    long, short = Stream(work.open()), Stream(work.open())
    long.push(work, {"input": np.zeros((100, 4), np.float32)})
    short.push(work, {"input": np.zeros((1, 4), np.float32)})
    work.round()
    work.round()
    assert len(short.came) == 1
    assert not long.came
    assert work.batches == 2


def test_steps_that_came_apart_are_worked_at_once_and_answered_apart():
    work = batching(mlp(1), chunk=8)
    stream = Stream(work.open())
    xs = (RNG.random((8, 4)) < 0.5).astype(np.float32)
    for part in np.split(xs, [1, 3, 4]):
        stream.push(work, {"input": part})
    assert work.round()
    assert work.batches == 1
    assert [len(ys["output"]) for ys in stream.came] == [1, 2, 1, 4]
    assert not work.round()


def test_a_batch_that_fails_is_told_to_all_that_it_had_and_to_nobody_else():
    work = batching(mlp(1))
    streams = [Stream(work.open()) for _ in range(3)]
    told: list[Piece] = []
    for stream in streams[:2]:
        work.push(stream.lane, {"input": np.zeros((1, 4), np.float32)}, told.append)
    batch = work.pick()
    assert batch is not None
    # One more waits behind it, on a state that nobody knows now.
    work.push(streams[0].lane, {"input": np.zeros((1, 4), np.float32)}, told.append)
    work.close(streams[1].lane)
    work.settle(batch, MemoryError("none left"))
    assert [type(piece.error) for piece in told] == [MemoryError] * 2
    assert work.rows.taken == 2
    assert not work.round()
    streams[2].push(work, {"input": np.ones((5, 4), np.float32)})
    while work.round():
        pass
    assert compared(work, mlp(1), streams[2:], np.float64) > 0


def test_rows_are_as_many_as_there_may_be_and_no_more():
    work = batching(mlp(), rows=20)
    lanes = [work.open() for _ in range(20)]
    with pytest.raises(InputError, match="20 rows of state are taken"):
        work.open()
    work.push(lanes[19], {"input": np.zeros((1, 4), np.float32)}, lambda piece: None)
    work.round()
    assert work.rows.held == 32
    assert work.rows.bytes == 4 * (6 + 3)
    for lane in lanes:
        work.close(lane)
    assert work.rows.held == work.rows.taken == 0


def test_what_has_no_written_order_is_refused_unless_any_order_will_do():
    graph = chain(
        ("input", ir.Input((3,))),
        ("power", ir.Power(np.array(1.7))),
        ("lif", lif()),
        ("output", ir.Output((3,))),
    )
    with pytest.raises(UnsupportedError, match=r"'power'.*--any-order"):
        serve_network(graph)
    assert serve_network(graph, any_order=True).any_order


def test_limits_that_limit_nothing_are_refused():
    for name, value in {"streams": 0, "queue": 1.5, "idle": float("inf"), "chunk": 12}.items():
        with pytest.raises(InputError, match=name):
            Limits(**{name: value})
    with pytest.raises(InputError, match=r"a step of 16 bytes.*message=12"):
        serve_network(mlp()).message_steps(Limits(message=12))
