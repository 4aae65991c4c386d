"""Every primitive against torch.nn.functional, called here with the raw parameters.

For random parameters, valid and not: the shape that a graph infers, the reference step and the
bridge's module agree with torch, and what torch refuses is refused. Weights and inputs lie on the
grid k/256, so that sums are exact in any order and can be compared bit for bit.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from t1c import bridge, ir
from t1c.ir.primitives.window import window_counts

from .against_torch import agree, grid, pairs, real, seeds, torch_says
from .examples import examples

pytestmark = pytest.mark.usefixtures("one_thread")


# Convolution -------------------------------------------------------------------------------------

paddings = st.one_of(pairs(0, 3), st.sampled_from(["same", "valid"]))
side = st.sampled_from([5, 7, 8, 9, 4, 3, 2, 1])
sides = st.tuples(side, side)
# torch says that an uneven 'same' costs it a copy; the numbers are those asked for.
uneven_same = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


@uneven_same
@examples(180)
@given(st.data(), seeds)
def test_conv2d(data, seed):
    groups = data.draw(st.integers(1, 3), "groups")
    per_group = data.draw(st.integers(1, 3), "in/groups")
    # Mostly a multiple of groups; where not, torch refuses.
    out = data.draw(st.sampled_from([groups, 2 * groups, 3 * groups, 4]), "out")
    kernel = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)), "kernel")
    channels = data.draw(st.sampled_from([per_group * groups] * 7 + [per_group * groups + 1]))
    size = data.draw(sides, "size")
    stride, dilation = data.draw(pairs(1, 3), "stride"), data.draw(pairs(1, 3), "dilation")
    padding = data.draw(paddings, "padding")
    weight, bias = grid(seed, out, per_group, *kernel), grid(seed + 1, out)
    x = grid(seed + 2, 2, channels, *size)
    want = torch_says(lambda: F.conv2d(x, weight, bias, stride, padding, dilation, groups))
    agree(
        lambda: ir.Conv2d(weight.numpy(), bias.numpy(), stride, padding, dilation, groups),
        x,
        want,
        exact=True,
    )


@uneven_same
@examples(60)
@given(st.data(), seeds)
def test_depthwise_conv2d_with_several_outputs_per_channel(data, seed):
    channels = data.draw(st.integers(2, 5), "channels")
    times = data.draw(st.integers(1, 3), "outputs per channel")
    kernel = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 4)), "kernel")
    stride, padding = data.draw(pairs(1, 2), "stride"), data.draw(pairs(0, 2), "padding")
    weight, bias = grid(seed, channels * times, 1, *kernel), grid(seed + 1, channels * times)
    x = grid(seed + 2, 1, channels, *data.draw(sides, "size"))
    want = torch_says(lambda: F.conv2d(x, weight, bias, stride, padding, 1, channels))
    agree(
        lambda: ir.Conv2d(weight.numpy(), bias.numpy(), stride, padding, groups=channels),
        x,
        want,
        exact=True,
    )


@uneven_same
@examples(120)
@given(st.data(), seeds)
def test_sep_conv2d(data, seed):
    channels, out = data.draw(st.integers(1, 4), "in"), data.draw(st.integers(1, 4), "out")
    kernel = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)), "kernel")
    stride, dilation = data.draw(pairs(1, 3), "stride"), data.draw(pairs(1, 3), "dilation")
    padding = data.draw(paddings, "padding")
    # Coarser than elsewhere: two convolutions in a row stay exact in float32.
    depth, point = (
        (256 * grid(s, *shape, low=-8, high=8)).round() / 16
        for s, shape in ((seed, (channels, 1, *kernel)), (seed + 1, (out, channels, 1, 1)))
    )
    depth_bias = grid(seed + 2, channels) if data.draw(st.booleans(), "depthwise bias") else None
    point_bias = grid(seed + 3, out) if data.draw(st.booleans(), "pointwise bias") else None
    x = grid(seed + 4, 2, channels, *data.draw(sides, "size"), low=-64, high=64)

    def torch_result():
        y = F.conv2d(x, depth, depth_bias, stride, padding, dilation, channels)
        return F.conv2d(y, point, point_bias)

    agree(
        lambda: ir.SepConv2d(
            depth.numpy(),
            point.numpy(),
            None if depth_bias is None else depth_bias.numpy(),
            None if point_bias is None else point_bias.numpy(),
            stride,
            padding,
            dilation,
        ),
        x,
        torch_says(torch_result),
        exact=True,
    )


@pytest.mark.parametrize("wrong", [{"stride": 0}, {"dilation": 0}, {"padding": (-1, 0)}])
def test_conv2d_refuses_numbers_that_torch_refuses(wrong):
    weight, bias, x = grid(0, 2, 2, 3, 3), grid(1, 2), grid(2, 1, 2, 5, 5)
    assert torch_says(lambda: F.conv2d(x, weight, bias, **wrong)) is None
    agree(lambda: ir.Conv2d(weight.numpy(), bias.numpy(), **wrong), x, None)


# Pooling -----------------------------------------------------------------------------------------

strides = st.none() | pairs(1, 4)


def half(kernel, excess):
    """Padding up to half the kernel, which torch allows, and now and then beyond."""
    smallest = min(kernel) if isinstance(kernel, tuple) else kernel
    return pairs(0, smallest // 2 + excess)


excesses = st.sampled_from([0, 0, 0, 0, 1])


@examples(180)
@given(st.data(), seeds)
def test_max_pool2d(data, seed):
    kernel, stride = data.draw(pairs(1, 5), "kernel"), data.draw(strides, "stride")
    padding = data.draw(half(kernel, data.draw(excesses)), "padding")
    dilation, ceil = data.draw(pairs(1, 3), "dilation"), data.draw(st.booleans(), "ceil_mode")
    # All below zero: padding must never win.
    x = grid(seed, 2, 2, *data.draw(sides, "size"), low=-512, high=-1)
    want = torch_says(lambda: F.max_pool2d(x, kernel, stride, padding, dilation, ceil))
    agree(lambda: ir.MaxPool2d(kernel, stride, padding, dilation, ceil), x, want, exact=True)


@examples(180)
@given(st.data(), seeds)
def test_avg_pool2d(data, seed):
    kernel, stride = data.draw(pairs(1, 5), "kernel"), data.draw(strides, "stride")
    padding = data.draw(half(kernel, data.draw(excesses)), "padding")
    ceil, counts = (data.draw(st.booleans(), n) for n in ("ceil_mode", "count_include_pad"))
    x = grid(seed, 2, 2, *data.draw(sides, "size"))
    want = torch_says(lambda: F.avg_pool2d(x, kernel, stride, padding, ceil, counts))
    agree(lambda: ir.AvgPool2d(kernel, stride, padding, ceil, counts), x, want, exact=True)


def test_ceil_mode_takes_a_window_larger_than_the_map():
    # torch lets the last window hang over; with nothing before it, it is the first one too.
    x = grid(0, 1, 1, 3, 3)
    want = F.max_pool2d(x, 4, 2, ceil_mode=True)
    assert want.shape == (1, 1, 1, 1)
    agree(lambda: ir.MaxPool2d((4, 4), (2, 2), ceil_mode=True), x, want, exact=True)
    agree(lambda: ir.MaxPool2d((4, 4), (2, 2)), x, None)


def test_a_window_that_holds_nothing_has_no_maximum():
    # One column between two of padding: with dilation 2 the window sees the padding only.
    x = grid(0, 1, 1, 1, 1)
    want = F.max_pool2d(x, 2, 1, 1, 2)
    assert want.tolist() == [[[[-math.inf]]]]
    node = ir.MaxPool2d((2, 2), (1, 1), (1, 1), (2, 2))
    agree(lambda: node, x, want, exact=True)
    # What comes after it in torch maps minus infinity to 0, and so does ours.
    rectified, _ = ir.ReLU(features=1).step(want.numpy(), ())
    assert rectified.tolist() == F.relu(want).tolist() == [[[[0.0]]]]


@examples(100)
@given(
    st.integers(1, 30), st.integers(1, 6), st.integers(1, 6), st.integers(0, 3), st.integers(1, 3)
)
def test_windows_are_those_that_can_be_counted(size, kernel, stride, padding, dilation):
    """The floor-mode count, by putting down one window after another."""
    span = dilation * (kernel - 1) + 1
    starts = range(-padding, size + padding - span + 1, stride)
    arguments = ((size,), (kernel,), (stride,), [(padding, padding)], (dilation,))
    if len(starts):
        assert window_counts(*arguments) == (len(starts),)
    else:
        with pytest.raises(ir.ShapeError):
            window_counts(*arguments)


# Linear, reshape, merge --------------------------------------------------------------------------


@pytest.mark.parametrize("primitive", [ir.Affine, ir.SpikingAffine])
@examples(60)
@given(st.data(), seeds)
def test_affine(primitive, data, seed):
    inputs, out = data.draw(st.integers(1, 6), "in"), data.draw(st.integers(1, 6), "out")
    lead = data.draw(st.lists(st.integers(1, 3), max_size=2), "leading axes")
    found = data.draw(st.sampled_from([inputs] * 5 + [inputs + 1]), "features")
    weight, bias, x = grid(seed, out, inputs), grid(seed + 1, out), grid(seed + 2, 3, *lead, found)
    want = torch_says(lambda: F.linear(x, weight, bias))
    agree(lambda: primitive(weight.numpy(), bias.numpy()), x, want, exact=True)


@examples(150)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data(), seeds)
def test_flatten(shape, data, seed):
    dims = st.integers(-len(shape) - 1, len(shape))
    start, end = (data.draw(dims, name) for name in ("start_dim", "end_dim"))
    x = grid(seed, 3, *shape)
    # Sample by sample, so that the dimensions mean those of the features.
    want = torch_says(lambda: torch.stack([torch.flatten(sample, start, end) for sample in x]))
    agree(lambda: ir.Flatten(start, end), x, want, exact=True)


@examples(150)
@given(st.data(), seeds)
def test_upsample(data, seed):
    mode = data.draw(st.sampled_from(["nearest", "bilinear"]), "mode")
    corners = data.draw(st.booleans(), "align_corners")
    if data.draw(st.booleans(), "by size"):
        how = {"size": data.draw(pairs(1, 20), "size")}
    else:
        how = {"scale_factor": data.draw(st.integers(1, 6), "scale_factor")}
    x = real(seed, 2, 2, *data.draw(sides, "input size"))
    # torch takes align_corners for bilinear only, and refuses even False elsewhere.
    said = None if mode == "nearest" and not corners else corners
    want = torch_says(lambda: F.interpolate(x, **how, mode=mode, align_corners=said))
    agree(lambda: ir.Upsample(**how, mode=mode, align_corners=corners), x, want)


def test_upsample_size_wins_over_scale_factor():
    x = grid(0, 1, 1, 3, 4)
    want = F.interpolate(x, size=(5, 7))
    agree(lambda: ir.Upsample(scale_factor=2, size=(5, 7)), x, want, exact=True)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 28, 41])
def test_upsample_nearest_picks_torch_s_pixels_at_every_scale(size):
    # 2 -> 82 and others fall between two pixels, where rounding decides.
    x = torch.arange(size, dtype=torch.float32).reshape(1, 1, size, 1)
    for target in range(1, 200):
        want = F.interpolate(x, size=(target, 2))
        y, _ = ir.Upsample(size=(target, 2)).step(x.numpy(), ())
        assert (y == want.numpy()).all(), target


@examples(100)
@given(st.sampled_from(["residual", "concatenate", "passthrough"]), st.data(), seeds)
def test_skip(skip_type, data, seed):
    rest = data.draw(st.lists(st.integers(1, 3), max_size=2), "shape without channels")
    one_channels = st.lists(st.just(2), min_size=1, max_size=3)
    any_channels = st.lists(st.integers(1, 3), min_size=1, max_size=3)
    channels = data.draw(one_channels | any_channels, "channels")
    xs = [grid(seed + i, 2, c, *rest) for i, c in enumerate(channels)]
    if data.draw(st.integers(0, 9), "one of another rank") == 0:
        xs[-1] = xs[-1][..., None]

    def torch_result():
        if skip_type == "concatenate":
            return torch.cat(xs, dim=1)
        if len({x.shape for x in xs}) > 1 or (skip_type == "passthrough" and len(xs) > 1):
            return None  # torch would broadcast; equal shapes only, as SPEC 3 has it
        return sum(xs[1:], xs[0])

    want = torch_says(torch_result)
    agree(lambda: ir.Skip(skip_type), xs if len(xs) > 1 else xs[0], want, exact=True)


def test_concatenation_follows_the_order_of_the_edges():
    xs = {"a": grid(0, 1, 2), "b": grid(1, 1, 3)}
    for order in (("a", "b"), ("b", "a")):
        nodes = {name: ir.Input(shape=tuple(x.shape[1:])) for name, x in xs.items()}
        graph = ir.Graph(
            {**nodes, "join": ir.Skip("concatenate"), "output": ir.Output(shape=(5,))},
            [*((name, "join") for name in order), ("join", "output")],
        )
        y, _ = ir.Reference(graph).step({name: x.numpy() for name, x in xs.items()})
        assert (y == torch.cat([xs[name] for name in order], dim=1).numpy()).all()
        assert torch.equal(bridge.ir_to_torch(graph, dtype=torch.float64)(xs), torch.from_numpy(y))


# Element by element ------------------------------------------------------------------------------

shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3)
slopes = st.sampled_from([0.0, 0.01, 0.25, 1.0, -0.5])


def features_of(data, shape):
    """A number of features that a layer over ``shape`` may have been made for."""
    return data.draw(st.sampled_from([shape[0], shape[-1], math.prod(shape)]), "features")


@examples(40)
@given(shapes, st.data(), slopes, seeds)
def test_relu(shape, data, slope, seed):
    features, x = features_of(data, shape), real(seed, 2, *shape)
    agree(lambda: ir.ReLU(features, slope), x, F.leaky_relu(x, slope))


ELEMENTWISE = {
    "Sigmoid": (lambda n: ir.Sigmoid(n), torch.sigmoid),
    "Tanh": (lambda n: ir.Tanh(n), torch.tanh),
    "GELU tanh": (lambda n: ir.GELU(n), lambda x: F.gelu(x, approximate="tanh")),
    "GELU erf": (lambda n: ir.GELU(n, approximate=False), F.gelu),
    "ELU": (lambda n: ir.ELU(n), F.elu),
    "ELU 0.3": (lambda n: ir.ELU(n, alpha=0.3), lambda x: F.elu(x, 0.3)),
    "Dropout": (lambda n: ir.Dropout(n, p=0.9), lambda x: F.dropout(x, 0.9, training=False)),
    "HybridRegion": (lambda n: ir.HybridRegion("snn", n, "part"), lambda x: x),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
@examples(25)
@given(shapes, st.data(), st.sampled_from([0.01, 1.0, 30.0, 800.0]), seeds)
def test_elementwise(name, shape, data, scale, seed):
    make, function = ELEMENTWISE[name]
    features, x = features_of(data, shape), real(seed, 2, *shape, scale=scale)
    agree(lambda: make(features), x, function(x))


@examples(80)
@given(shapes, st.data(), st.integers(-5, 4), seeds)
def test_softmax(shape, data, dim, seed):
    features, x = features_of(data, shape), real(seed, 3, *shape, scale=20)
    batch = dim in (0, -1 - len(shape))
    want = None if batch else torch_says(lambda: F.softmax(x, dim))
    agree(lambda: ir.Softmax(features, dim), x, want)


@examples(80)
@given(shapes, st.data(), seeds)
def test_prelu(shape, data, seed):
    count = data.draw(st.sampled_from([1, shape[0], shape[-1]]), "weights")
    weight, x = real(seed, count, scale=1), real(seed + 1, 2, *shape)
    want = torch_says(lambda: F.prelu(x, weight))
    features = count if count > 1 else features_of(data, shape)
    agree(lambda: ir.PReLU(features, weight.numpy()), x, want)


@pytest.mark.parametrize("primitive", [ir.ReLU, ir.Sigmoid, ir.Tanh, ir.Softmax, ir.GELU, ir.ELU])
def test_features_that_no_axis_has_are_refused(primitive):
    with pytest.raises(ir.ShapeError, match="5 channels, 5 on the last axis, or 5 elements"):
        primitive(5).shapes([(2, 3, 4)])


# Normalisation -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("primitive", "ranks"), [(ir.BatchNorm1d, (1, 2)), (ir.BatchNorm2d, (3,))])
@examples(60)
@given(shapes, st.data(), st.sampled_from([0.0, 1e-5, 0.1]), seeds)
def test_batch_norm(primitive, ranks, shape, data, eps, seed):
    channels = data.draw(st.sampled_from([shape[0]] * 5 + [shape[0] + 1]), "num_features")
    weight, bias, mean = (real(seed + i, channels) for i in range(3))
    var, x = grid(seed + 3, channels, low=1, high=512), real(seed + 4, 3, *shape)
    want = None
    if len(shape) in ranks:
        # Statistics by position, momentum is of no account in eval mode.
        want = torch_says(lambda: F.batch_norm(x, mean, var, weight, bias, False, 0.1, eps))
    arrays = [t.numpy() for t in (weight, bias, mean, var)]
    agree(lambda: primitive(channels, *arrays, eps), x, want)


@examples(80)
@given(shapes, st.data(), st.sampled_from([1e-5, 0.1]), seeds)
def test_layer_norm(shape, data, eps, seed):
    last = data.draw(st.integers(1, len(shape)), "axes")
    normalized = tuple(shape[-last:])
    if data.draw(st.integers(0, 5), "another shape") == 0:
        normalized = (normalized[0] + 1, *normalized[1:])
    weight, bias, x = (
        real(seed, *normalized),
        real(seed + 1, *normalized),
        real(seed + 2, 3, *shape),
    )
    want = torch_says(lambda: F.layer_norm(x, normalized, weight, bias, eps))
    agree(lambda: ir.LayerNorm(normalized, weight.numpy(), bias.numpy(), eps), x, want)


# The list is complete ----------------------------------------------------------------------------


def test_every_primitive_is_compared_here():
    ours = {
        name
        for name in ir.list_primitives()
        if ir.str_to_node(name).__module__.startswith("t1c.ir.primitives.")
        and not ir.str_to_node(name).since  # tests/test_later_primitives.py has the others
    }
    compared = {
        *("Conv2d", "SepConv2d", "MaxPool2d", "AvgPool2d", "Affine", "SpikingAffine"),
        *("Flatten", "Upsample", "Skip", "ReLU", "Softmax", "PReLU"),
        *("BatchNorm1d", "BatchNorm2d", "LayerNorm", "Input", "Output"),
        *(name.split()[0] for name in ELEMENTWISE),
    }
    assert ours - compared == {"LIF"}  # see test_lif.py
    assert compared <= ours
