"""reproducible=True: the same bits in every mode, on any weights, and those of the reference."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import event, given
from hypothesis import strategies as st
from torch import nn

from t1c import bridge, ir
from t1c.bridge.engine.kernels import threads as sharing
from t1c.ir.errors import InputError, UnsupportedError
from t1c.ir.primitives import functions

from .engine_helpers import DTYPES, threads
from .examples import examples
from .strategies import graphs
from .strategies_executor import chain, networks

RNG = np.random.default_rng(0)


def one(value: float) -> Any:
    return np.array([value])


def lif(threshold: float = 0.5, **options: Any) -> ir.LIF:
    return ir.LIF(one(2.0), one(2.0), one(0.0), one(threshold), **options)


def any_weights(*shape: int) -> Any:
    """Weights of which float32 holds hardly any sum exactly."""
    return RNG.normal(0.02, 1 / math.prod(shape[1:]) ** 0.5, shape).astype(np.float32)


def imported(graph: ir.Graph, **options: Any) -> Any:
    given = {"return_state": True, "dtype": torch.float32, "reproducible": True, **options}
    return bridge.ir_to_torch(graph, **given)


def referred(graph: ir.Graph, xs: Any, dtype: Any = np.float32) -> Any:
    with np.errstate(all="ignore"):
        return ir.Reference(graph, dtype).run(xs)


def stacked(outs: list[Any]) -> Any:
    if isinstance(outs[0], dict):
        return {name: torch.stack([out[name] for out in outs]) for name in outs[0]}
    return torch.stack(outs)


def joined(first: Any, second: Any, dim: int = 0) -> Any:
    if isinstance(first, dict):
        return {name: torch.cat([first[name], second[name]], dim) for name in first}
    return torch.cat([first, second], dim)


def part(xs: dict[str, Any], *where: slice) -> dict[str, Any]:
    return {name: x[where] for name, x in xs.items()}


def every_way(executor: Any, xs: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The outputs of all steps, by every way to work them."""
    steps, batch = next(iter(xs.values())).shape[:2]
    all_steps = {"collect": "stack"}
    yield "whole", executor.run(xs, **all_steps)[0]
    for chunk in (1, 2):
        yield f"chunks of {chunk}", executor.run(xs, chunk=chunk, **all_steps)[0]
    outs, state = [], None
    for t in range(steps):
        y, state = executor({name: x[t] for name, x in xs.items()}, state)
        outs.append(y)
    yield "steps", stacked(outs)
    if steps > 1:
        first, state = executor.run(part(xs, slice(1)), **all_steps)
        second, _ = executor.run(part(xs, slice(1, None)), state, **all_steps)
        yield "two runs", joined(first, second)
    if batch > 1:
        every = slice(None)
        first, _ = executor.run(part(xs, every, slice(1)), **all_steps)
        second, _ = executor.run(part(xs, every, slice(1, None)), **all_steps)
        yield "sample by sample", joined(first, second, 1)
    for count in (2, 4):
        with threads(count):
            yield f"{count} threads", executor.run(xs, **all_steps)[0]


def assert_one_answer(graph: ir.Graph, raw: dict[str, Any], dtype: Any = torch.float32) -> Any:
    """Every way gives the reference's bits; returns them."""
    with np.errstate(all="ignore"):
        arrays = {name: x.astype(DTYPES[dtype]) for name, x in raw.items()}
        expected, _ = ir.Reference(graph, DTYPES[dtype]).run(arrays, collect="stack")
    xs = {name: torch.from_numpy(x) for name, x in arrays.items()}
    named = expected if isinstance(expected, dict) else {"": expected}
    for kernels, grad in ((None, False), (None, True), ("torch", False)):
        executor = imported(graph, dtype=dtype, kernels=kernels)
        with contextlib.nullcontext() if grad else torch.no_grad():
            for way, outs in every_way(executor, xs):
                found = outs if isinstance(outs, dict) else {"": outs}
                for name, y in named.items():
                    where = f"{way}, kernels {kernels}, gradients {grad}, output {name!r}"
                    got = found[name].detach().numpy()
                    assert got.dtype == y.dtype
                    np.testing.assert_array_equal(got, y, where)
    return expected


def drawn_inputs(graph: ir.Graph, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    lead = rng.integers(1, 5), rng.integers(1, 4)
    found = {}
    for name, node in graph.inputs().items():
        x = rng.normal(0.3, 1, (*lead, *node.shape))
        kind = rng.integers(3)
        # Spikes, graded ones, and values that are hardly ever zero.
        found[name] = (x > 0.5) * 1.0 if kind == 0 else np.where(x > 0.5, x, 0) if kind == 1 else x
    return found


@pytest.fixture(autouse=True)
def _many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little work is shared out too."""
    monkeypatch.setattr(sharing, "WORTH", 1)


# Random graphs ---------------------------------------------------------------------------------


@examples(25)
@given(st.data(), st.booleans(), st.sampled_from(list(DTYPES)), st.integers(0, 2**32 - 1))
def test_random_networks_give_one_answer(data, cyclic, dtype, seed):
    graph = data.draw(networks(grid=False, cyclic=cyclic, every=True))
    assert_one_answer(graph, drawn_inputs(graph, seed), dtype)


@examples(40)
@given(st.data(), st.sampled_from(list(DTYPES)), st.integers(0, 2**32 - 1))
def test_random_graphs_of_every_primitive_give_one_answer_or_are_refused(data, dtype, seed):
    graph = data.draw(graphs(nested=False, notes=False))
    try:
        assert_one_answer(graph, drawn_inputs(graph, seed), dtype)
    except UnsupportedError as error:
        for problem in error.problems:
            assert any(repr(name) in problem.where for name in graph.nodes)
            assert any(word in problem.found for word in ("GELU", "Power", "power"))
        event("refused")


# Networks whose layers are large enough for every kernel -----------------------------------------


def conv(outs: int, ins: int, *kernel: int, node: Any = ir.Conv2d, **options: Any) -> Any:
    groups = options.get("groups", 1)
    return node(any_weights(outs, ins // groups, *kernel), any_weights(outs), **options)


def norm(channels: int) -> ir.BatchNorm2d:
    weight, bias, mean, var = (any_weights(channels) for _ in range(4))
    return ir.BatchNorm2d(channels, weight, bias, mean, np.abs(var) + np.float32(0.1))


def mlp() -> ir.Graph:
    return chain(
        ("in", ir.Input((70,))),
        ("fc", ir.Affine(any_weights(300, 70), any_weights(300))),
        ("lif", lif(0.3)),
        ("fc2", ir.Linear(any_weights(11, 300))),
        ("li", ir.LI(one(3.0), one(2.0), one(0.1))),
        ("out", ir.Output((11,))),
    )


def maps(*nodes: tuple[str, Any], shape: tuple[int, ...], out: tuple[int, ...]) -> ir.Graph:
    return chain(("in", ir.Input(shape)), *nodes, ("out", ir.Output(out)))


LARGE = {
    "mlp": mlp(),
    "conv, norm, neuron, mean": maps(
        ("c", conv(40, 3, 3, 3, padding=(1, 1))),
        ("bn", norm(40)),
        ("lif", lif(0.4)),
        ("pool", ir.AvgPool2d((2, 2))),
        ("c2", conv(33, 40, 3, 3, stride=(1, 2), padding=(2, 1))),
        ("lif2", lif(0.2)),
        shape=(3, 8, 10),
        out=(33, 6, 3),
    ),
    "dilated and strided": maps(
        ("c", conv(9, 2, 2, 3, padding=(1, 4), dilation=(2, 3))),
        ("lif", lif(0.3)),
        ("c2", conv(10, 9, 3, 2, stride=(2, 3), padding="valid")),
        ("bn", norm(10)),
        shape=(2, 9, 9),
        out=(10, 4, 4),
    ),
    "a large kernel": maps(
        ("c", conv(5, 2, 9, 9, padding="same")), ("lif", lif(0.4)), shape=(2, 6, 7), out=(5, 6, 7)
    ),
    "groups": maps(
        ("c", conv(24, 4, 3, 3, padding=(1, 1), groups=2)),
        ("lif", lif(0.3)),
        ("c2", conv(24, 24, 2, 2, groups=24)),
        shape=(4, 5, 6),
        out=(24, 4, 5),
    ),
    "along one axis": maps(
        ("c", conv(20, 6, 5, node=ir.Conv1d, padding=2, stride=2)),
        ("lif", lif(0.3)),
        ("c2", conv(7, 20, 2, node=ir.Conv1d, dilation=2)),
        shape=(6, 17),
        out=(7, 7),
    ),
    "three axes": maps(
        ("c", conv(9, 2, 2, 2, 3, node=ir.Conv3d, padding=(1, 0, 1), stride=(1, 2, 1))),
        ("pool", ir.AvgPool3d((2, 1, 2), padding=(1, 0, 1), ceil_mode=True)),
        shape=(2, 3, 4, 5),
        out=(9, 3, 2, 3),
    ),
    "transposed": maps(
        ("c", ir.ConvTranspose2d(any_weights(4, 10, 3, 2), any_weights(20), (2, 3), (1, 0),
                                 (1, 2), (2, 1), 2)),
        ("lif", lif(0.4)),
        ("c1", ir.Flatten(1)),
        ("t", ir.ConvTranspose1d(any_weights(20, 3, 4), any_weights(3), 2, 1)),
        shape=(4, 3, 4),
        out=(3, 208),
    ),
    "separable": maps(
        ("c", ir.SepConv2d(any_weights(6, 1, 3, 3), any_weights(17, 6, 1, 1), any_weights(6),
                           any_weights(17), padding=(1, 1))),
        ("lif", lif(0.2)),
        ("sum", ir.SumPool2d((2, 3), (1, 2), (1, 1))),
        shape=(6, 5, 5),
        out=(17, 6, 3),
    ),
    "norms": maps(
        ("ln", ir.LayerNorm((5, 7), any_weights(5, 7), any_weights(5, 7))),
        ("gn", ir.GroupNorm(2, any_weights(6), any_weights(6))),
        ("sm", ir.Softmax(6, dim=2)),
        ("elu", ir.ELU(6, 1.3)),
        ("gelu", ir.GELU(6)),
        ("mean", ir.Reduce("mean", (0, 2))),
        shape=(6, 5, 7),
        out=(5,),
    ),
}  # fmt: skip


def shown(name: str, steps: int = 5, batch: int = 3) -> dict[str, Any]:
    (node,) = LARGE[name].inputs().values()
    return {"in": RNG.normal(0.3, 1, (steps, batch, *node.shape))}


@pytest.mark.parametrize("name", LARGE)
def test_large_layers_give_one_answer(name):
    graph = LARGE[name]
    y = assert_one_answer(graph, shown(name))
    assert np.count_nonzero(y) > 0
    if any(isinstance(node, ir.LIF) for node in graph.nodes.values()):
        executor = imported(graph)
        with torch.no_grad():
            xs = torch.from_numpy(shown(name)["in"].astype(np.float32))
            sent = executor.trace(xs)
        fired = [sent[n].mean() for n, node in graph.nodes.items() if isinstance(node, ir.LIF)]
        assert all(0.01 < share < 0.99 for share in fired)


def convolution(rng: np.random.Generator) -> tuple[Any, tuple[int, ...]]:
    """A convolution of any kind and geometry, and the shape of an input."""
    axes, groups = int(rng.integers(1, 4)), int(rng.integers(1, 4))

    def draw(low: int, high: int) -> Any:
        return tuple(map(int, rng.integers(low, high, axes)))

    ins, outs = groups * int(rng.integers(1, 3)), groups * int(rng.choice([1, 2, 9]))
    kernel, size = draw(1, 4), draw(4, 8)
    options: dict[str, Any] = {"stride": draw(1, 4), "padding": draw(0, 3), "dilation": draw(1, 3)}
    if transposed := axes < 3 and rng.random() < 0.5:
        longest = map(max, options["stride"], options["dilation"])
        options["output_padding"] = tuple(int(rng.integers(0, n)) for n in longest)
    if axes == 1:
        options = {name: values[0] for name, values in options.items()}
    plain = {1: ir.Conv1d, 2: ir.Conv2d, 3: ir.Conv3d}
    kind = {1: ir.ConvTranspose1d, 2: ir.ConvTranspose2d}[axes] if transposed else plain[axes]
    lead = (ins, outs // groups) if transposed else (outs, ins // groups)
    weight = rng.normal(size=(*lead, *kernel))
    return kind(weight, rng.normal(size=outs), groups=groups, **options), (ins, *size)


def test_convolutions_of_any_geometry_give_the_references_bits_and_torchs_numbers():
    rng, kinds = np.random.default_rng(0), set()
    for _ in range(200):
        node, shape = convolution(rng)
        try:
            leaving = node.output_shape(shape)
        except ir.ShapeError:
            continue
        graph = chain(("in", ir.Input(shape)), ("c", node), ("out", ir.Output(leaving)))
        x = rng.normal(size=(2, *shape)).astype(np.float32)
        x[rng.random(x.shape) < rng.choice([0, 0.7])] = 0
        expected, _ = ir.Reference(graph, np.float32).step(x)
        with torch.no_grad():
            y, _ = imported(graph)(torch.from_numpy(x))
            near, _ = imported(graph, reproducible=False)(torch.from_numpy(x))
        np.testing.assert_array_equal(y.numpy(), expected)
        np.testing.assert_allclose(near.numpy(), expected, 1e-3, 1e-4)
        kinds.add((type(node), node.groups > 1))
    assert len(kinds) == 10


def attention() -> ir.Graph:
    nodes = {
        "in": ir.Input((3, 9, 20)),
        "q": lif(0.4),
        "k": ir.Transpose((0, 2, 1)),
        "qk": ir.MatMul(),
        "v": ir.MatMul(),
        "out": ir.Output((3, 9, 20)),
    }
    edges = [("in", "q"), ("q", "k"), ("q", "qk"), ("k", "qk"), ("qk", "v"), ("in", "v")]
    return ir.Graph(nodes, [*edges, ("v", "out")])


def test_attention_gives_one_answer():
    y = assert_one_answer(attention(), {"in": RNG.normal(0.3, 1, (4, 3, 3, 9, 20))})
    assert np.count_nonzero(y)


def residual() -> ir.Graph:
    """A convolution to which what entered is added, behind a norm and before a neuron."""
    nodes = {
        "in": ir.Input((8, 6, 6)),
        "c": conv(8, 8, 3, 3, padding=(1, 1)),
        "bn": norm(8),
        "skip": ir.Skip("residual"),
        "lif": lif(0.4),
        "pool": ir.MaxPool2d((2, 2)),
        "out": ir.Output((8, 3, 3)),
    }
    edges = [("in", "c"), ("c", "bn"), ("bn", "skip"), ("in", "skip"), ("skip", "lif")]
    return ir.Graph(nodes, [*edges, ("lif", "pool"), ("pool", "out")])


def test_a_residual_block_gives_one_answer():
    y = assert_one_answer(residual(), {"in": RNG.normal(0.3, 1, (4, 2, 8, 6, 6))})
    assert 0 < y.mean() < 1


@pytest.mark.parametrize("node", [ir.Tanh(40), ir.Unary("exp"), ir.ELU(40, 0.7), ir.Clip(one(-1))])
def test_a_loop_over_functions_gives_one_answer(node):
    nodes = {
        "in": ir.Input((40,)),
        "f": node,
        "less": ir.Scale(one(-0.7)),
        "d": ir.Delay(np.array([1])),
        "out": ir.Output((40,)),
    }
    edges = [("in", "f"), ("f", "less"), ("less", "d"), ("d", "f"), ("f", "out")]
    graph = ir.Graph(nodes, edges, allow_cycles=True)
    y = assert_one_answer(graph, {"in": RNG.normal(0, 1, (12, 3, 40))})
    assert np.isfinite(y).all()
    assert len(np.unique(y)) > 100


def test_a_held_input_gives_one_answer():
    graph = chain(
        ("in", ir.Input((3, 6, 6), hold=5)),
        ("c", conv(12, 3, 3, 3)),
        ("lif", lif(0.6)),
        ("out", ir.Output((12, 4, 4))),
    )
    x = RNG.normal(0.5, 1, (2, 3, 6, 6)).astype(np.float32)
    expected, _ = referred(graph, x)
    with torch.no_grad():
        y, _ = imported(graph).run(torch.from_numpy(x))
    np.testing.assert_array_equal(y.numpy(), expected)
    assert 0 < expected.mean() < 1


def test_the_default_mode_gives_other_numbers():
    """Otherwise nothing here would test anything; where it adds up what is active, it may not."""
    wide = chain(
        ("in", ir.Input((1000,))),
        ("fc", ir.Affine(any_weights(50, 1000), any_weights(50))),
        ("out", ir.Output((50,))),
    )
    deep = maps(("c", conv(30, 40, 3, 3)), shape=(40, 6, 6), out=(30, 4, 4))
    for graph in (LARGE["norms"], wide, deep):
        (node,) = graph.inputs().values()
        xs = RNG.normal(0.3, 1, (4, 2, *node.shape)).astype(np.float32)
        expected, _ = referred(graph, xs)
        with torch.no_grad():
            y, _ = imported(graph, reproducible=False, events=False).run(torch.from_numpy(xs))
        assert (y.numpy() != expected).mean() > 0.1
        np.testing.assert_allclose(y.numpy(), expected, 1e-2, 1e-4)


# Worked by hand --------------------------------------------------------------------------------

BIG = 1e8
"""A float32 beside which 1 is lost."""


def worked(node: ir.Node, x: Any, out: tuple[int, ...], **options: Any) -> list[Any]:
    """What the reference and the executor, in a step and in a run, make of one sample."""
    x = np.asarray(x, np.float32)
    nodes = {"in": ir.Input(x.shape), "n": node, "out": ir.Output(out)}
    graph = ir.Graph(nodes, [("in", "n"), ("n", "out")], **options)
    executor = imported(graph)
    xs = torch.from_numpy(x)[None, None]
    with torch.no_grad():
        found = [executor.run(xs)[0][0, 0].tolist(), executor(xs[0])[0][0].tolist()]
    return [referred(graph, xs.numpy())[0][0, 0].tolist(), *found]


def test_features_are_added_in_their_order_behind_the_bias():
    weight = np.array([[BIG, 1, -BIG], [BIG, -BIG, 1], [1, BIG, -BIG]])
    node = ir.Affine(weight, np.zeros(3))
    assert worked(node, np.ones(3), (3,)) == [[0, 1, 0]] * 3
    node = ir.Affine(np.array([[BIG, -BIG]]), np.ones(1))
    assert worked(node, np.ones(2), (1,)) == [[0]] * 3


def test_what_does_not_fire_adds_nothing():
    """Not even through a weight that is infinite, and leaves a zero its sign."""
    node = ir.Affine(np.array([[1, np.inf, 2], [2, np.nan, 3]]), np.array([0.5, 0]))
    assert worked(node, [1, 0, 1], (2,), allow_nonfinite=True) == [[3.5, 5]] * 3
    weight = np.array([[[1, np.inf, 2]]])
    node = ir.Conv1d(weight, np.zeros(1))
    assert worked(node, [[1, 0, 1]], (1, 1), allow_nonfinite=True) == [[[3]]] * 3
    for y in worked(ir.Affine(np.ones((1, 2)), np.array([-0.0])), [0, 0], (1,)):
        assert math.copysign(1, y[0]) == -1


@pytest.mark.parametrize("groups", [1, 2])
def test_a_window_is_added_channel_by_channel_and_row_by_row(groups):
    """By place and then channel the first would be 1, and the second 0."""
    first = [[[BIG, 1]], [[-BIG, 0]]]
    second = [[[BIG, -BIG]], [[1, 0]]]
    # In groups, each output sees two channels of its own.
    weight = np.array([first, second])
    x = np.ones((2 * groups, 1, 2))
    node = ir.Conv2d(weight, np.zeros(2), groups=groups)
    assert worked(node, x, (2, 1, 1)) == [[[[0]], [[1]]]] * 3
    down = np.array([[[[BIG], [1]], [[-BIG], [0]]]])
    node = ir.Conv2d(np.tile(down, (groups, 1, 1, 1)), np.zeros(groups), groups=groups)
    x = np.ones((2 * groups, 2, 1))
    assert worked(node, x, (groups, 1, 1)) == [[[[0]]] * groups] * 3


def test_a_transposed_convolution_adds_its_inputs_in_their_order():
    # The second output takes element 1 from the first input and element 0 from the second.
    weight = np.array([[[1.0, BIG]], [[-BIG, 0.0]]])
    node = ir.ConvTranspose1d(weight, np.zeros(1))
    # Channel 0: 1e8 of place 0, then 1 of place 1; channel 1: nothing of place 0, then -1e8.
    assert worked(node, np.ones((2, 2)), (1, 3))[0] == worked(node, np.ones((2, 2)), (1, 3))[1]
    assert [y[0][1] for y in worked(node, np.ones((2, 2)), (1, 3))] == [0, 0, 0]


def test_pools_products_and_reductions_go_row_by_row():
    window = np.array([[[BIG, 1], [-BIG, 0]]])
    across = np.array([[[BIG, -BIG], [1, 0]]])
    assert worked(ir.AvgPool2d((2, 2)), window, (1, 1, 1)) == [[[[0]]]] * 3
    assert worked(ir.AvgPool2d((2, 2)), across, (1, 1, 1)) == [[[[0.25]]]] * 3
    assert worked(ir.SumPool2d((2, 2)), across, (1, 1, 1)) == [[[[1]]]] * 3
    assert worked(ir.Reduce("sum", (1, 2)), window, (1,)) == [[0]] * 3
    assert worked(ir.Reduce("mean", (1, 2)), across, (1,)) == [[0.25]] * 3
    nodes = {
        "a": ir.Input((1, 3)),
        "b": ir.Input((3, 2)),
        "m": ir.MatMul(),
        "out": ir.Output((1, 2)),
    }
    graph = ir.Graph(nodes, [("a", "m"), ("b", "m"), ("m", "out")])
    a, b = np.ones((1, 1, 1, 3)), np.array([[BIG, BIG], [1, -BIG], [-BIG, 1]]).reshape(1, 1, 3, 2)
    y = assert_one_answer(graph, {"a": a, "b": b})
    assert y.tolist() == [[[[0, 1]]]]


def test_a_sum_of_outputs_goes_step_by_step():
    """In chunks of two the last two steps would be added first."""
    graph = chain(("in", ir.Input((1,))), ("n", ir.Identity()), ("out", ir.Output((1,))))
    xs = torch.tensor([1.0, 0.0, BIG, -BIG]).view(4, 1, 1)
    for chunk in (None, 1, 2, 3):
        y, _ = imported(graph).run(xs, collect="sum", chunk=chunk)
        assert y.item() == 0


def test_functions_are_near_the_exact_ones():
    x = np.concatenate([RNG.normal(0, 1, 5000), RNG.uniform(-740, 709, 5000), [1e-9, -1e-9]])
    pairs = [
        (functions.exp, np.exp, x),
        (functions.expm1, np.expm1, x),
        (functions.tanh, np.tanh, x),
        (functions.log, np.log, np.abs(x)),
    ]
    for own, theirs, values in pairs:
        exact = theirs(values)
        assert (np.abs(own(values) - exact) <= 4 * np.spacing(np.abs(exact))).all()
        narrow = values.astype(np.float32)
        with np.errstate(over="ignore"):
            rounded = theirs(narrow.astype(np.float64)).astype(np.float32)
        found = own(narrow)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, rounded)
    ends = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -1.0, 710.0, -750.0, 5e-324])
    with np.errstate(all="ignore"):
        for own, theirs, _ in pairs:
            np.testing.assert_array_equal(own(ends)[:5], theirs(ends)[:5])
            np.testing.assert_allclose(own(ends), theirs(ends), 1e-15)
    assert np.signbit(functions.tanh(np.array(-0.0)))


# What is refused -------------------------------------------------------------------------------


def alone(node: ir.Node, *shape: int) -> ir.Graph:
    return chain(("in", ir.Input(shape)), ("odd", node), ("out", ir.Output(shape)))


@pytest.mark.parametrize("train", [False, True])
def test_a_batch_norm_in_float64_is_folded_as_the_reference_does(train):
    """Of so many channels some would show a root that is not rounded correctly."""
    channels = 4000
    weight, bias, mean, var = RNG.normal(0, 1, (4, channels))
    graph = alone(ir.BatchNorm1d(channels, weight, bias, mean, np.abs(var)), channels)
    executor = imported(graph, dtype=torch.float64, batchnorm="frozen").train(train)
    x = RNG.normal(0, 1, (2, 1, channels))
    expected, _ = referred(graph, x, np.float64)
    np.testing.assert_array_equal(executor.run(torch.from_numpy(x))[0].detach().numpy(), expected)


@pytest.mark.parametrize(
    ("node", "word"),
    [
        (ir.GELU(3, approximate=False), "GELU"),
        (ir.Power(one(1.5)), "Power"),
        (ir.Power(np.array([2.0, 3.0, 2.0])), "Power"),
    ],
)
def test_what_has_no_written_order_is_refused_by_name(node, word):
    with pytest.raises(UnsupportedError, match=f"'odd'.*{word}"):
        imported(alone(node, 3))
    executor = imported(alone(node, 3), reproducible=False)
    assert not executor.reproducible
    with pytest.raises(UnsupportedError, match=word):
        executor.reproducible = True
    assert not executor.reproducible


def test_a_module_of_the_users_is_refused():
    class Own(nn.Linear):
        pass

    graph = alone(ir.Linear(np.eye(3)), 3)
    with pytest.raises(UnsupportedError, match=r"'odd'.*Own"):
        imported(graph, node_map={ir.Linear: lambda node: Own(3, 3)})


def test_torchs_order_cannot_be_asked_for_as_well():
    graph = alone(ir.Linear(np.eye(3)), 3)
    with pytest.raises(InputError, match="events=False"):
        imported(graph, events=False)
    executor = imported(graph)
    assert executor.reproducible
    with pytest.raises(InputError, match="events=False"):
        executor.events = False
    executor.events = True
    assert executor.events


def test_a_layer_that_is_not_as_it_was_imported_is_refused(monkeypatch):
    x = torch.ones(1, 3)
    graph = alone(ir.Linear(np.eye(3)), 3)
    with pytest.raises(UnsupportedError, match=r"'odd'.*float16"):
        imported(graph, dtype=torch.float16)(x.half())
    executor = imported(graph)
    executor.node("odd").register_forward_hook(lambda *_: None)
    with pytest.raises(UnsupportedError, match=r"'odd'.*hooks"):
        executor(x)
    executor = imported(graph)
    executor.node("odd").bias = nn.Parameter(torch.ones(1))
    with torch.no_grad(), pytest.raises(UnsupportedError, match=r"'odd'.*shapes"):
        executor(x)
    executor = imported(graph)
    executor.node("odd").weight = nn.Parameter(torch.ones(3, 5))
    with torch.no_grad(), pytest.raises(UnsupportedError, match=r"'odd'.*shapes"):
        executor.run(x[None])
    executor = imported(graph)
    with monkeypatch.context() as patched:
        patched.setattr(torch.compiler, "is_compiling", lambda: True)
        with pytest.raises(UnsupportedError, match=r"'odd'.*torch\.compile"):
            executor(x)
    with torch.autocast("cpu"), pytest.raises(UnsupportedError, match="autocast"):
        executor(x)
    executor = imported(alone(ir.BatchNorm1d(3, *np.ones((4, 3))), 3)).train()
    with pytest.raises(UnsupportedError, match=r"'odd'.*statistics"):
        executor.run(x.expand(2, 2, 3))


def test_no_samples_are_an_answer_too():
    for name, graph in LARGE.items():
        with torch.no_grad():
            y, _ = imported(graph).run(torch.zeros(3, 0, *graph.nodes["in"].shape))
        assert y.shape == (3, 0, *graph.nodes["out"].shape), name


# Gradients ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["mlp", "conv, norm, neuron, mean", "groups", "transposed", "separable", "norms"]
)
def test_gradients_are_those_of_torchs_layers(name):
    graph = LARGE[name]
    found = []
    for reproducible in (True, False):
        executor = imported(graph, reproducible=reproducible, dtype=torch.float64)
        xs = torch.from_numpy(
            np.random.default_rng(3).normal(0.3, 1, (4, 2, *graph.nodes["in"].shape))
        )
        xs.requires_grad_()
        y, _ = executor.run(xs)
        (y * torch.linspace(1, 2, y.numel(), dtype=y.dtype).view(y.shape)).sum().backward()
        grads = {n: p.grad for n, p in executor.named_parameters()}
        found.append({"xs": xs.grad, **grads})
    ours, torchs = found
    assert set(ours) == set(torchs)
    for n, g in ours.items():
        assert (g is None) == (torchs[n] is None), n
        if g is not None:
            assert g.abs().sum() > 0, n
            torch.testing.assert_close(g, torchs[n], msg=n)
