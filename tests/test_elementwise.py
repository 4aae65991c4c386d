"""Arithmetic, combinations, reductions and reshapes, and what came with them: against torch."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from t1c import bridge, ir
from t1c.bridge.engine.kernels.root import root
from t1c.ir.primitives.combine import BINARY
from t1c.ir.primitives.elementwise import UNARY

from .against_torch import agree, combining, grid, pairs, real, seeds, torch_says
from .examples import examples

RNG = np.random.default_rng(0)
SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


pytestmark = pytest.mark.usefixtures("one_thread")


# One input ---------------------------------------------------------------------------------------

TORCH_UNARY = {
    name: getattr(torch, name)
    for name in ("abs", "neg", "floor", "round", "sign", "exp", "log", "sqrt", "reciprocal")
}
ROUNDED = ("exp", "log", "sqrt")
"""Functions whose last bit libraries choose; the others are exact, or correctly rounded."""
ODD = [0.0, -0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 1e30, -1e30, math.inf, -math.inf, math.nan]


def test_every_function_is_compared():
    assert set(TORCH_UNARY) == set(UNARY)
    assert set(TORCH_BINARY) == set(BINARY)


@pytest.mark.parametrize("op", TORCH_UNARY)
@examples(15)
@given(SHAPES, seeds)
def test_unary(op, shape, seed):
    x = real(seed, 3, *shape)
    x.view(-1)[: len(ODD)] = torch.tensor(ODD[: x.numel()], dtype=x.dtype)
    want = TORCH_UNARY[op](x)
    for dtype in (torch.float64, torch.float32):
        given_x = x.to(dtype)
        expected = TORCH_UNARY[op](given_x)
        found, _ = ir.Unary(op).step(given_x.numpy(), ())
        assert found.dtype == given_x.numpy().dtype
        close = {} if op in ROUNDED else {"rtol": 0, "atol": 0}
        torch.testing.assert_close(torch.from_numpy(found), expected, equal_nan=True, **close)
        module = bridge.node_to_module(ir.Unary(op), dtype=dtype)
        # A root is the reference's: torch has it from MKL, which need not round it correctly.
        own = torch.from_numpy(found) if op == "sqrt" else expected
        assert torch.equal(module(given_x).nan_to_num(), own.nan_to_num())
    if torch.isfinite(want).all():
        agree(lambda: ir.Unary(op), x, want, exact=op not in ROUNDED)


def parameter(data, seed, shape, label):
    """A parameter in any form that lies over ``shape``: as a node takes it, and as torch does."""
    ones = (1,) * (len(shape) - 1)
    forms = {
        (): (),
        (1,): (),
        (shape[0],): (shape[0], *ones),
        (shape[0], *ones): (shape[0], *ones),
        shape: shape,
        (math.prod(shape),): shape,
    }
    # A full vector of as many elements as channels means the channels.
    forms[(shape[0],)] = (shape[0], *ones) if shape[0] > 1 else ()
    form = data.draw(st.sampled_from(list(forms)), label)
    value = grid(seed, *form)
    return value.numpy(), value.reshape(forms[form] if value.numel() > 1 else ())


@examples(60)
@given(SHAPES, st.data(), seeds)
def test_shift(shape, data, seed):
    x = grid(seed, 3, *shape)
    mine, laid = parameter(data, seed + 1, shape, "shift")
    agree(lambda: ir.Shift(mine), x, x + laid, exact=True)


@examples(80)
@given(SHAPES, st.data(), seeds)
def test_clip(shape, data, seed):
    x = grid(seed, 3, *shape)
    low, laid_low = parameter(data, seed + 1, shape, "low")
    high, laid_high = parameter(data, seed + 2, shape, "high")
    # Bounds in the wrong order are drawn too: the upper one wins.
    agree(lambda: ir.Clip(low, high), x, torch.clamp(x, laid_low, laid_high), exact=True)
    agree(lambda: ir.Clip(low), x, torch.clamp(x, min=laid_low), exact=True)
    agree(lambda: ir.Clip(high=high), x, torch.clamp(x, max=laid_high), exact=True)


@examples(60)
@given(SHAPES, st.data(), seeds)
def test_power(shape, data, seed):
    x = real(seed, 3, *shape).abs() + 0.1
    mine, laid = parameter(data, seed + 1, shape, "exponent")
    agree(lambda: ir.Power(4 * mine), x, torch.pow(x, 4 * laid))


@pytest.mark.parametrize("exponent", [2.0, 3.0, -1.0, -2.0, 1.0, 0.0])
def test_powers_that_torch_knows_a_short_way_to_are_the_same_bits(exponent):
    x = real(0, 3, 1000)
    for dtype in (torch.float64, torch.float32):
        values = x.to(dtype)
        found, _ = ir.Power(np.array(exponent)).step(values.numpy(), ())
        assert torch.equal(torch.from_numpy(found), values**exponent)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_stays_what_it_is(value):
    x = torch.tensor([[value, 1.0]])
    for node, want in (
        (ir.Clip(np.array(-1.0), np.array(1.0)), torch.clamp(x, -1, 1)),
        (ir.Power(np.array(1.5)), x**1.5),
    ):
        found, _ = node.step(x.numpy(), ())
        np.testing.assert_array_equal(found, want.numpy())


@pytest.mark.parametrize("primitive", [ir.Shift, ir.Power, ir.Clip])
def test_a_parameter_that_does_not_lie_over_the_features_is_refused(primitive):
    with pytest.raises(ir.ShapeError, match=r"shape \(2,\) for input of shape \(3, 2\)"):
        primitive(np.ones(2)).shapes([(3, 2)])


def test_a_clip_needs_a_bound():
    with pytest.raises(ir.NodeError, match="at least one of them"):
        ir.Clip()


@examples(40)
@given(SHAPES, st.data(), st.sampled_from([1, 2, -1, 0, 5]), seeds)
def test_log_softmax(shape, data, dim, seed):
    x = real(seed, 3, *shape)
    rank = len(shape) + 1
    mixes = dim == 0 or dim in (-rank, rank) or not -rank < dim < rank
    want = None if mixes else F.log_softmax(x, dim)
    agree(lambda: ir.LogSoftmax(shape[0], dim), x, want)


# Several inputs ----------------------------------------------------------------------------------

TORCH_BINARY = {
    "subtract": torch.sub,
    "multiply": torch.mul,
    "divide": torch.div,
    "minimum": torch.minimum,
    "maximum": torch.maximum,
    "power": torch.pow,
    "greater": lambda a, b: (a > b).to(a.dtype),
    "greater_or_equal": lambda a, b: (a >= b).to(a.dtype),
    "equal": lambda a, b: (a == b).to(a.dtype),
}


def stretched(data, shape, label):
    """A shape that broadcasts with ``shape``, or one that does not."""
    other = [1 if data.draw(st.booleans(), label) else n for n in shape]
    change = data.draw(st.sampled_from(["none"] * 6 + ["size", "rank"]), label)
    if change == "size":
        other[0] += 1
    return (*other, 1) if change == "rank" else tuple(other)


def same_rank(*tensors):
    return len({x.ndim for x in tensors}) == 1


@pytest.mark.parametrize("op", TORCH_BINARY)
@examples(30)
@given(SHAPES, st.data(), seeds)
def test_binary(op, shape, data, seed):
    a, b = grid(seed, 3, *shape), grid(seed + 1, 3, *stretched(data, shape, "b"))
    if op in ("divide", "power"):
        a, b = a.abs() + 0.5, b.abs() + 0.25
    want = torch_says(lambda: TORCH_BINARY[op](a, b)) if same_rank(a, b) else None
    agree(lambda: ir.Binary(op), [a, b], want, exact=op not in ("power", "divide"))


@examples(60)
@given(SHAPES, st.data(), seeds)
def test_where(shape, data, seed):
    condition = torch.from_numpy(np.random.default_rng(seed).integers(-1, 2, (3, *shape)) * 1.0)
    a, b = (grid(seed + i, 3, *stretched(data, shape, "shape")) for i in (1, 2))
    want = None
    if same_rank(condition, a, b):
        want = torch_says(lambda: torch.where(condition != 0, a, b))
    agree(ir.Where, [condition, a, b], want, exact=True)


@examples(80)
@given(st.data(), seeds)
def test_matmul(data, seed):
    lead = data.draw(st.lists(st.integers(1, 3), max_size=2), "lead")
    n, k, m = (data.draw(st.integers(1, 4), name) for name in "nkm")
    other = data.draw(st.sampled_from([k] * 5 + [k + 1]), "k of b")
    a, b = (
        grid(seed, 3, *lead, n, k),
        grid(seed + 1, 3, *stretched(data, (*lead, 1), "b")[:-1], other, m),
    )
    want = torch_says(lambda: torch.matmul(a, b)) if same_rank(a, b) else None
    agree(ir.MatMul, [a, b], want, exact=True)


def test_the_order_of_the_edges_decides():
    values = {"x0": np.array([[5.0]]), "x1": np.array([[3.0]])}
    found = {}
    for order in ((0, 1), (1, 0)):
        graph = combining(ir.Binary("subtract"), (1,), (1,), order=order)
        found[order], _ = ir.Reference(graph).step(values)
        tensors = {name: torch.from_numpy(v).float() for name, v in values.items()}
        assert bridge.ir_to_torch(graph)(tensors).item() == found[order].item()
    assert found[0, 1].item() == 2
    assert found[1, 0].item() == -2


@pytest.mark.parametrize("node", [ir.Binary("multiply"), ir.Where(), ir.MatMul()])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_place_left_empty_or_one_too_many_is_refused(node, count):
    if count == len(node.places):
        return
    with pytest.raises(ir.ShapeError, match=f"{count} edges .* in this order: {node.places[0]}"):
        node.shapes([(2, 2)] * count)
    module = bridge.node_to_module(node)
    with pytest.raises(ir.ShapeError, match=f"{count} edges"):
        module.merge([torch.ones(1, 2, 2)] * count)


def test_a_value_is_multiplied_by_itself_through_an_identity():
    nodes = {
        "x": ir.Input((2,)),
        "same": ir.Identity(),
        "n": ir.Binary("multiply"),
        "out": ir.Output((2,)),
    }
    edges = [("x", "n"), ("x", "same"), ("same", "n"), ("n", "out")]
    out, _ = ir.Reference(ir.Graph(nodes, edges)).step(np.array([[3.0, -4.0]]))
    assert out.tolist() == [[9.0, 16.0]]
    with pytest.raises(ir.GraphError, match="duplicate edge"):
        ir.Graph(nodes, [*edges, ("x", "n")])


def test_where_takes_one_side_whatever_the_other_is():
    graph = combining(ir.Where(), (4,), (4,), (4,))
    condition = np.array([[1.0, 0.0, -2.0, 0.0]])
    a = np.array([[1.0, np.inf, 2.0, np.nan]])
    b = np.array([[np.nan, 3.0, -np.inf, 4.0]])
    values = {"x0": condition, "x1": a, "x2": b}
    out, _ = ir.Reference(graph).step(values)
    assert out.tolist() == [[1.0, 3.0, 2.0, 4.0]]
    tensors = {name: torch.from_numpy(v).float() for name, v in values.items()}
    tensors["x1"].requires_grad_()
    y = bridge.ir_to_torch(graph)(tensors)
    assert y.tolist() == [[1.0, 3.0, 2.0, 4.0]]
    y.sum().backward()
    assert tensors["x1"].grad.tolist() == [[1.0, 0.0, 1.0, 0.0]]


# Fewer and other features ------------------------------------------------------------------------

TORCH_REDUCE = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax, "min": torch.amin}


@pytest.mark.parametrize("how", TORCH_REDUCE)
@examples(40)
@given(SHAPES, st.data(), st.booleans(), seeds)
def test_reduce(how, shape, data, keepdims, seed):
    rank = len(shape)
    axis = st.integers(-rank - 1, rank)
    axes = data.draw(st.lists(axis, min_size=1, max_size=3).map(tuple), "axes")
    x = grid(seed, 3, *shape)
    counted = {a % rank for a in axes if -rank <= a < rank}
    want = None
    if len(counted) == len(axes) and (keepdims or len(axes) < rank):
        want = TORCH_REDUCE[how](x, tuple(1 + a for a in counted), keepdims)
    agree(lambda: ir.Reduce(how, axes, keepdims), x, want, exact=how != "mean")


def test_sums_are_taken_in_ascending_order_in_the_dtype():
    big = np.float32(2**25)
    # Row by row: ((2**25 + 1) - 2**25) + 1, of which float32 keeps the last 1 only.
    x = np.array([[[big, 1], [-big, 1]]], np.float32)
    found, _ = ir.Reduce("sum", (1, 0), keepdims=True).step(x, ())
    assert found.tolist() == [[[1.0]]]
    ones = np.ones((1, 4, 1), np.float32)
    product = ir.MatMul().merge_values([x.reshape(1, 1, 4), ones])
    assert product.tolist() == [[[1.0]]]
    mean, _ = ir.Reduce("mean", (0, 1), keepdims=True).step(x, ())
    assert mean.tolist() == [[[0.25]]]
    assert x.astype(np.float64).sum() == 2


@examples(60)
@given(SHAPES, st.data(), seeds)
def test_transpose(shape, data, seed):
    rank = len(shape)
    axes = tuple(data.draw(st.permutations(range(rank)), "axes"))
    signs = tuple(a - rank * data.draw(st.booleans()) for a in axes)
    x = grid(seed, 3, *shape)
    agree(lambda: ir.Transpose(signs), x, x.permute(0, *(1 + a for a in axes)), exact=True)
    agree(lambda: ir.Transpose((*axes, rank)), x, None)


@pytest.mark.parametrize("axes", [(0, 0), (0, 2), (1, -1), (-3, 0)])
def test_a_transpose_is_a_permutation(axes):
    with pytest.raises(ir.NodeError, match="each of 0 to 1 once"):
        ir.Transpose(axes)


@examples(80)
@given(SHAPES, st.lists(st.integers(-1, 6), min_size=1, max_size=3), seeds)
def test_reshape(shape, target, seed):
    x = grid(seed, 3, *shape)
    want = None
    if 0 not in target:
        want = torch_says(lambda: torch.stack([sample.reshape(target) for sample in x]))
    agree(lambda: ir.Reshape(tuple(target)), x, want, exact=True)


@examples(120)
@given(SHAPES, st.data(), seeds)
def test_slice(shape, data, seed):
    rank = len(shape)
    axis = data.draw(st.integers(-rank, rank - 1), "axis")
    start = data.draw(st.integers(-5, 5), "start")
    stop = data.draw(st.none() | st.integers(-5, 5), "stop")
    stride = data.draw(st.integers(1, 3), "stride")
    x = grid(seed, 3, *shape)
    want = torch.from_numpy(
        np.take(x.numpy(), range(shape[axis])[start:stop:stride], axis=1 + axis % rank)
    )
    node = (axis, start, stop, stride)
    agree(lambda: ir.Slice(*node), x, want if want.numel() else None, exact=True)


# Pools, convolutions, groups ---------------------------------------------------------------------


@examples(80)
@given(st.integers(1, 9), st.data(), seeds)
def test_pools_over_a_sequence(size, data, seed):
    kernel, dilation = data.draw(st.integers(1, 4), "kernel"), data.draw(st.integers(1, 2))
    stride = data.draw(st.none() | st.integers(1, 4), "stride")
    padding = data.draw(st.integers(0, kernel // 2 + 1), "padding")
    ceil, counts = data.draw(st.booleans(), "ceil"), data.draw(st.booleans(), "count")
    x = grid(seed, 2, 2, size, low=-512, high=-1)
    want = torch_says(lambda: F.max_pool1d(x, kernel, stride, padding, dilation, ceil))
    agree(lambda: ir.MaxPool1d(kernel, stride, padding, dilation, ceil), x, want, exact=True)
    want = torch_says(lambda: F.avg_pool1d(x, kernel, stride, padding, ceil, counts))
    agree(lambda: ir.AvgPool1d(kernel, stride, padding, ceil, counts), x, want)


@examples(40)
@given(st.tuples(*[st.integers(1, 4)] * 3), st.data(), seeds)
def test_pools_over_a_volume(size, data, seed):
    kernel = data.draw(st.tuples(*[st.integers(1, 3)] * 3), "kernel")
    stride = data.draw(st.none() | st.integers(1, 3), "stride")
    padding = tuple(data.draw(st.integers(0, k // 2), "padding") for k in kernel)
    ceil, counts = data.draw(st.booleans(), "ceil"), data.draw(st.booleans(), "count")
    x = grid(seed, 2, 2, *size, low=-512, high=-1)
    want = torch_says(lambda: F.max_pool3d(x, kernel, stride, padding, 1, ceil))
    agree(lambda: ir.MaxPool3d(kernel, stride, padding, 1, ceil), x, want, exact=True)
    want = torch_says(lambda: F.avg_pool3d(x, kernel, stride, padding, ceil, counts))
    agree(lambda: ir.AvgPool3d(kernel, stride, padding, ceil, counts), x, want)


@examples(40)
@given(st.data(), seeds)
def test_conv3d(data, seed):
    groups, per_group = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2))
    kernel = data.draw(st.tuples(*[st.integers(1, 3)] * 3), "kernel")
    stride, dilation = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2))
    padding = data.draw(st.tuples(*[st.integers(0, 2)] * 3) | st.just("valid"), "padding")
    weight, bias = grid(seed, 2 * groups, per_group, *kernel), grid(seed + 1, 2 * groups)
    x = grid(seed + 2, 2, per_group * groups, *data.draw(st.tuples(*[st.integers(1, 4)] * 3)))
    want = torch_says(lambda: F.conv3d(x, weight, bias, stride, padding, dilation, groups))
    options = (stride, padding, dilation, groups)
    agree(lambda: ir.Conv3d(weight.numpy(), bias.numpy(), *options), x, want, exact=True)


@pytest.mark.parametrize("axes", [1, 2])
@examples(120)
@given(st.data(), seeds)
def test_conv_transpose(axes, data, seed):
    function, primitive = [
        (F.conv_transpose1d, ir.ConvTranspose1d),
        (F.conv_transpose2d, ir.ConvTranspose2d),
    ][axes - 1]
    numbers = st.integers(1, 3) if axes == 1 else pairs(1, 3)
    fewer = st.integers(0, 3) if axes == 1 else pairs(0, 3)
    groups = data.draw(st.integers(1, 3), "groups")
    channels = groups * data.draw(st.integers(1, 2), "in")
    kernel = [data.draw(st.integers(1, 3), "kernel") for _ in range(axes)]
    stride, dilation = data.draw(numbers, "stride"), data.draw(numbers, "dilation")
    padding, extra = data.draw(fewer, "padding"), data.draw(fewer, "output_padding")
    weight, bias = grid(seed, channels, 2, *kernel), grid(seed + 1, 2 * groups)
    x = grid(seed + 2, 2, channels, *(data.draw(st.integers(1, 4), "size") for _ in range(axes)))
    options = (stride, padding, extra)
    want = torch_says(lambda: function(x, weight, bias, *options, groups, dilation))
    arrays = (weight.numpy(), bias.numpy())
    agree(lambda: primitive(*arrays, *options, dilation, groups), x, want, exact=True)


@examples(30)
@given(SHAPES, st.sampled_from([1e-5, 0.1]), seeds)
def test_batch_norm_over_a_volume(shape, eps, seed):
    weight, bias, mean = (real(seed + i, shape[0]) for i in range(3))
    var, x = grid(seed + 3, shape[0], low=1, high=512), real(seed + 4, 3, *shape)
    want = F.batch_norm(x, mean, var, weight, bias, False, 0.1, eps) if len(shape) == 4 else None
    arrays = [t.numpy() for t in (weight, bias, mean, var)]
    agree(lambda: ir.BatchNorm3d(shape[0], *arrays, eps), x, want)


@examples(80)
@given(SHAPES, st.data(), st.sampled_from([1e-5, 0.1]), seeds)
def test_group_norm(shape, data, eps, seed):
    groups = data.draw(st.integers(1, 4), "groups")
    weight, bias = real(seed, shape[0]), real(seed + 1, shape[0])
    x = real(seed + 2, 1, *shape)
    want = torch_says(lambda: F.group_norm(x, groups, weight, bias, eps))
    agree(lambda: ir.GroupNorm(groups, weight.numpy(), bias.numpy(), eps), x, want)


# Roots -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_root_is_rounded_correctly_and_learns(dtype):
    x = real(0, 40, 50, scale=100).abs().to(dtype)
    for y in (root(x), root(x.T).T, root(x[0, 0]), root(x[:, ::3])):
        assert y.dtype == dtype
    assert np.array_equal(root(x).numpy(), np.sqrt(x.numpy()))
    assert np.array_equal(root(x[::2, ::3].T).numpy(), np.sqrt(x[::2, ::3].T.numpy()))
    assert root(x[0, 0]).item() == np.sqrt(x[0, 0].numpy())
    assert root(torch.tensor([-1.0], dtype=dtype)).isnan().all()
    given = x.double().requires_grad_()
    assert torch.autograd.gradcheck(root, given[:3, :4])
    assert torch.autograd.gradgradcheck(root, given[:3, :4])
    mapped = torch.func.vmap(root)(x)
    torch.testing.assert_close(mapped, root(x))


@pytest.mark.parametrize("node", [ir.Unary("sqrt"), ir.Power(np.array(0.5))], ids=str)
def test_every_way_of_running_has_the_reference_s_root(node):
    nodes = {"in": ir.Input((7,)), "node": node, "out": ir.Output((7,))}
    graph = ir.Graph(nodes, [("in", "node"), ("node", "out")])
    x = real(1, 9, 3, 7, scale=10).abs().float()
    expected, _ = ir.Reference(graph, np.float32).run(x.numpy())
    for kernels in (None, "torch"):
        executor = bridge.ir_to_torch(graph, return_state=True, kernels=kernels)
        with torch.no_grad():
            found, _ = executor.run(x)
            steps = torch.stack([executor(step)[0] for step in x])
        assert np.array_equal(found.numpy(), expected)
        assert np.array_equal(steps.numpy(), expected)
