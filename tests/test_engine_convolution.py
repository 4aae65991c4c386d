"""A convolution, its neuron and the pooling behind it as one, against one after the other."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, event, given
from hypothesis import strategies as st

from t1c import bridge, ir

from .engine_helpers import assert_equal, grid, imported, lif, referred, spikes, threads
from .examples import examples
from .strategies_executor import chain

many = examples(60, suppress_health_check=list(HealthCheck))


pytestmark = pytest.mark.usefixtures("one_thread")


def neurons(channels):
    two, rng = np.array([2.0]), np.random.default_rng(0)
    return {
        "lif": lif(0.25),
        "per channel": ir.LIF(two, two, 0 * two, rng.choice((0.25, 0.5), channels), fires_at="gt"),
        "delayed": lif(0.25, reset="subtract", reset_delay=True),
        "synapse": ir.CubaLIF(two, two, two, 0 * two, two / 8),
        "integrator": ir.LI(two, two, 0 * two),
    }


@st.composite
def blocks(draw):
    """Nodes after the Input of a network, as they follow each other."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.tuples(*[st.integers(1, n) for n in (3, 8, 8)]))
    kernel = [draw(st.integers(1, min(4, n))) for n in shape[1:]]
    padding = draw(st.sampled_from(["same", "valid", None]))
    reach = [(n - 1) // max(k - 1, 1) for n, k in zip(shape[1:], kernel, strict=True)]
    dilation = tuple(draw(st.integers(1, max(1, min(2, r)))) for r in reach)
    stride = (1, 1) if padding == "same" else tuple(draw(st.integers(1, 3)) for _ in kernel)
    if padding is None:
        padding = tuple(draw(st.integers(0, 2)) for _ in kernel)
    outs = draw(st.integers(1, 5))
    weight = grid(rng, outs, shape[0], *kernel)
    bias = grid(rng, outs) if draw(st.booleans()) else np.zeros(outs)
    nodes = [("conv", ir.Conv2d(weight, bias, stride, padding, dilation))]
    size = nodes[0][1].output_shape(shape)
    kind = draw(st.sampled_from([None, *neurons(1)]))
    if kind is not None:
        nodes.append(("neuron", neurons(outs)[kind]))
    if draw(st.booleans()):
        window = tuple(draw(st.integers(1, min(3, n))) for n in size[1:])
        steps = tuple(draw(st.integers(1, 3)) for _ in window)
        edge = tuple(draw(st.sampled_from([0, 0, k // 2])) for k in window)
        pool = draw(st.sampled_from([ir.MaxPool2d, ir.AvgPool2d]))
        nodes.append(("pool", pool(window, steps, edge, ceil_mode=draw(st.booleans()))))
        size = nodes[-1][1].output_shape(size)
    graph = chain(("input", ir.Input(shape)), *nodes, ("output", ir.Output(size)))
    return graph, rng


# torch says that it copies; the numbers are what they should be.
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@many
@given(blocks(), st.booleans(), st.sampled_from(["plain", "last", "slice", "turned"]))
@torch.no_grad()
def test_blocks_give_what_their_layers_give(drawn, graded, layout):
    graph, rng = drawn
    shape = graph.nodes["input"].shape
    xs = torch.from_numpy(spikes(rng, 4, 3, *shape, graded=graded))
    if layout == "last":
        xs = xs.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    elif layout == "slice":
        xs = torch.stack([xs, xs], dim=-1)[..., 0]
    elif layout == "turned":
        xs = xs.transpose(0, 1).contiguous().transpose(0, 1)
    executor = bridge.ir_to_torch(graph, dtype=torch.float64, kernels="torch")
    expected = executor.run(xs)
    fast = bridge.ir_to_torch(graph, dtype=torch.float64, events=True)
    for chunk in (None, 1, 3):
        assert_equal(fast.run(xs, chunk=chunk), expected, chunk)
    assert fast.network.choices["conv"].way == "events"
    event(f"nodes: {len(graph.nodes) - 2}")
    # In the order of work, as a trace asks for every node.
    for name, y in fast.trace(xs).items():
        assert torch.equal(y, executor.trace(xs)[name]), name


def small(*after, **options):
    """A convolution of 2x6x5 to 4x6x5, and whatever comes behind it."""
    rng = np.random.default_rng(0)
    conv = ir.Conv2d(grid(rng, 4, 2, 3, 3), grid(rng, 4), padding=(1, 1), **options)
    return ("input", ir.Input((2, 6, 5))), ("conv", conv), *after


def maps(steps=5, batch=2, dtype=torch.float32):
    return torch.from_numpy(spikes(np.random.default_rng(1), steps, batch, 2, 6, 5)).to(dtype)


def names_of_the_block(executor, xs, keep=()):
    from t1c.bridge.engine.blocks import find_block

    keep = keep or executor.plan.outputs
    now = executor.network.look(xs)
    block = find_block(executor.network, "conv", xs, keep, {"input": xs}, False, now)
    return None if block is None else block.names


POOLS = {
    "max": (ir.MaxPool2d((2, 2)), True),
    "mean": (ir.AvgPool2d((2, 2)), True),
    "overlapping": (ir.MaxPool2d((3, 2), (1, 2)), True),
    "apart": (ir.AvgPool2d((1, 2), (2, 3)), True),
    "mean of nine": (ir.AvgPool2d((3, 3)), True),
    "padded": (ir.MaxPool2d((2, 2), padding=(1, 1)), False),
    "ceil": (ir.MaxPool2d((2, 2), ceil_mode=True), False),
    "dilated": (ir.MaxPool2d((2, 2), dilation=(2, 2)), False),
}


@pytest.mark.parametrize("kind", POOLS)
@torch.no_grad()
def test_a_pool_is_part_of_the_block_if_its_windows_allow(kind):
    pool, fused = POOLS[kind]
    graph = chain(
        *small(("lif", lif(0.25)), ("pool", pool)),
        ("output", ir.Output(pool.output_shape((4, 6, 5)))),
    )
    xs = maps()
    executor = imported(graph, events=True)
    assert_equal(executor.run(xs), referred(graph, xs, torch.float32))
    names = ("conv", "lif", "pool") if fused else ("conv", "lif")
    assert names_of_the_block(executor, xs) == names


@torch.no_grad()
def test_what_several_nodes_take_is_not_hidden_in_a_block():
    graph = ir.Graph(
        {
            **dict(small(("lif", lif(0.25)), ("pool", ir.MaxPool2d((2, 2))))),
            "early": ir.Output((4, 6, 5)),
            "late": ir.Output((4, 3, 2)),
        },
        [
            ("input", "conv"),
            ("conv", "lif"),
            ("lif", "pool"),
            ("lif", "early"),
            ("pool", "late"),
        ],
    )
    xs = maps()
    executor = imported(graph, events=True)
    assert names_of_the_block(executor, xs) == ("conv", "lif")
    found, _ = executor.run(xs)
    expected, _ = imported(graph, kernels="torch").run(xs)
    assert torch.equal(found["early"], expected["early"])
    assert torch.equal(found["late"], expected["late"])


@torch.no_grad()
def test_two_takers_of_a_convolution_leave_it_alone():
    nodes = dict(small(("a", lif(0.25)), ("b", lif(0.5)), ("join", ir.Skip("residual"))))
    graph = ir.Graph(
        {**nodes, "output": ir.Output((4, 6, 5))},
        [
            ("input", "conv"),
            ("conv", "a"),
            ("conv", "b"),
            ("a", "join"),
            ("b", "join"),
            ("join", "output"),
        ],
    )
    xs = maps()
    executor = imported(graph, events=True)
    assert names_of_the_block(executor, xs) == ("conv",)
    assert_equal(executor.run(xs), referred(graph, xs, torch.float32))


@torch.no_grad()
def test_groups_and_gradients_have_no_block():
    rng = np.random.default_rng(0)
    grouped = ir.Conv2d(grid(rng, 4, 1, 3, 3), grid(rng, 4), padding=(1, 1), groups=2)
    graph = chain(
        ("input", ir.Input((2, 6, 5))), ("conv", grouped), ("output", ir.Output((4, 6, 5)))
    )
    executor = imported(graph, events=True)
    xs = maps()
    assert names_of_the_block(executor, xs) is None
    assert_equal(executor.run(xs), referred(graph, xs, torch.float32))
    plain = imported(chain(*small(), ("output", ir.Output((4, 6, 5)))), events=True)
    with torch.enable_grad():
        assert names_of_the_block(plain, xs) is None


@torch.no_grad()
def test_threads_share_a_block_without_a_trace():
    graph = chain(
        *small(("lif", lif(0.25)), ("pool", ir.MaxPool2d((2, 2)))), ("output", ir.Output((4, 3, 2)))
    )
    xs = maps(30, 9)
    expected = referred(graph, xs, torch.float32)
    for count in (1, 2, 4):
        with threads(count):
            assert_equal(imported(graph, events=True).run(xs), expected, count)
