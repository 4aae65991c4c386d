"""Random valid nodes and graphs, of everything the representation can say.

``nodes()`` draws one node of any primitive, ``fitting(shape)`` one that takes that shape,
``graphs()`` whole graphs, and ``grid_graphs()`` graphs whose weights lie on the grid k/256 and
whose sums are therefore exact in float32, in any order. What is drawn is small, so that hundreds of
examples take seconds; arrays come from a drawn seed, which shrinks badly but draws fast. A strategy
that is the same each time is built once: to look through it costs more than to draw from it.
"""

import dataclasses
import functools
import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from t1c import ir
from t1c.ir.metadata import name_problem
from t1c.ir.primitives.combine import BINARY
from t1c.ir.primitives.elementwise import UNARY
from t1c.ir.primitives.window import pads_of, window_counts

from . import neuron_catalogue

FLOATS = ("float16", "float32", "float64")
DTYPES = (*FLOATS, "int8", "int32", "int64", "uint8")

# Names, text, metadata ---------------------------------------------------------------------------

ODD_NAMES = (
    "fc1", "layers.0.conv", "a b", " ", "...", "-", "type", "nodes", "src", "shape", "weight",
    "вход", "層", "é", "e\u0301", "🧠", "a\nb", "<b>&", "'quoted\"", "%s{}", "C:\\x", "self",
)  # fmt: skip
"""Each has broken a file, a table or a module path somewhere."""

names = st.one_of(
    st.sampled_from(ODD_NAMES),
    st.text(min_size=1, max_size=12).filter(lambda t: not name_problem(t)),
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
int64s = st.integers(-(2**63), 2**63 - 1)


@st.composite
def arrays(draw: Any, shape: tuple[int, ...], dtypes: tuple[str, ...] = DTYPES) -> Any:
    """An array of finite numbers, some of them at the ends of the dtype's range."""
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ends: list[Any]
    if dtype.kind == "f":
        real = np.finfo(dtype)
        ends = [0.0, -0.0, real.max, real.min, real.tiny, real.smallest_subnormal]
        values = rng.standard_normal(shape).astype(dtype)
    else:
        whole = np.iinfo(dtype)
        ends = [whole.min, whole.max]
        values = rng.integers(-4 if dtype.kind == "i" else 0, 9, shape).astype(dtype)
    if values.size and draw(st.booleans()):
        values.flat[draw(st.integers(0, values.size - 1))] = draw(st.sampled_from(ends))
    return values


@functools.cache
def _notes() -> st.SearchStrategy[Any]:
    scalars = st.one_of(
        st.none(),
        st.booleans(),
        int64s,
        st.floats(),
        texts,
        st.sampled_from([np.int8(-3), np.uint64(7), np.float16(0.1), np.bool_(True), np.str_("s")]),
    )
    lists = st.one_of(
        *(st.lists(kind, max_size=4) for kind in (st.booleans(), int64s, st.floats(), texts)),
        st.lists(int64s, max_size=3).map(tuple),
        st.just([[1, 2], [3, 4]]),
    )
    shapes = st.sampled_from([(), (0,), (3,), (2, 0), (2, 3)])
    kinds = ("float16", "float32", "float64", ">f4", "int8", "uint64", "int64", "bool")
    return st.one_of(scalars, lists, shapes.flatmap(lambda s: arrays(s, DTYPES)),
                     st.builds(np.ones, shapes, st.sampled_from(kinds)))  # fmt: skip


@functools.cache
def metadata(max_leaves: int = 5) -> st.SearchStrategy[dict[str, Any]]:
    """Notes of every kind that may be given, nested."""
    return st.dictionaries(
        names,
        st.recursive(_notes(), lambda v: st.dictionaries(names, v, max_size=3), max_leaves=4),
        max_size=max_leaves,
    )


# Nodes -------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Numbers:
    """Where parameters come from: anywhere, or the grid on which sums are exact."""

    draw: Any
    grid: bool = False

    def weight(self, *shape: int) -> Any:
        """A weight or bias; on the grid at most 1/4 in magnitude."""
        if not self.grid:
            return self.draw(arrays(shape))
        rng = np.random.default_rng(self.draw(st.integers(0, 2**32 - 1)))
        dtype = self.draw(st.sampled_from(["float32", "float64"]))
        return (rng.integers(-64, 65, shape) / 256).astype(dtype)

    def neuron(
        self,
        features: tuple[int, ...],
        dyadic: tuple[float, ...],
        low: float = -4.0,
        laid: bool | None = None,
    ) -> Any:
        """A neuron's parameter, in any of the forms that lie over ``features``.

        ``laid``: one number for each of several neurons, or one in all; None: either.
        """
        channels = features[0]
        forms = [] if laid else [(), (1,)]
        if laid is not False:
            forms += [(channels,), features, (math.prod(features),)]
            if len(features) > 1:
                forms.append((channels, *[1] * (len(features) - 1)))
        shape = self.draw(st.sampled_from(forms))
        rng = np.random.default_rng(self.draw(st.integers(0, 2**32 - 1)))
        if self.grid:
            dtype = self.draw(st.sampled_from(["float32", "float64"]))
            return rng.choice(dyadic, shape).astype(dtype)
        dtype = self.draw(st.sampled_from(DTYPES))
        if dtype in FLOATS:
            return (low + rng.exponential(4.0, shape)).astype(dtype)
        return np.asarray(rng.integers(max(int(low), 0), 9, shape)).astype(dtype)


def affine(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    out = n.draw(st.integers(1, 5))
    return ir.Affine(n.weight(out, shape[-1]), n.weight(out))


def spiking_affine(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    out, bits = n.draw(st.integers(1, 5)), n.draw(st.integers(1, 32))
    return ir.SpikingAffine(
        n.weight(out, shape[-1]),
        n.weight(out),
        spike_mode=n.draw(st.sampled_from([*ir.SpikeMode, "binary", "graded", "rate"])),
        weight_bits=bits,
        accumulator_bits=n.draw(st.integers(bits, 64)),
    )


def _window(n: Numbers, size: tuple[int, ...], pool: bool) -> dict[str, Any]:
    """Kernel, stride, padding and dilation of which at least one window fits into ``size``."""
    pairs = [[n.draw(st.integers(1, 3)) for _ in size] for _ in range(2)]
    kernel, stride = tuple(pairs[0]), tuple(pairs[1])
    limits = [k // 2 if pool else 2 for k in kernel]
    padding: Any = tuple(n.draw(st.integers(0, limit)) for limit in limits)
    dilation = tuple(n.draw(st.integers(1, 2)) for _ in size)
    if not pool and n.draw(st.booleans()):
        padding = n.draw(st.sampled_from(["same", "valid"]))
        stride = (1, 1) if padding == "same" else stride
    try:
        window_counts(size, kernel, stride, pads_of(padding, kernel, dilation), dilation)
    except ir.ShapeError:
        kernel, padding = (1,) * len(size), (0,) * len(size)
    return {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}


def conv2d(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    window = _window(n, shape[1:], pool=False)
    kernel = window.pop("kernel")
    groups = n.draw(st.sampled_from([g for g in range(1, shape[0] + 1) if shape[0] % g == 0]))
    out = groups * n.draw(st.integers(1, 2))
    weight = n.weight(out, shape[0] // groups, *kernel)
    return ir.Conv2d(weight, n.weight(out), groups=groups, **window)


def sep_conv2d(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    window = _window(n, shape[1:], pool=False)
    out, channels, kernel = n.draw(st.integers(1, 3)), shape[0], window.pop("kernel")
    return ir.SepConv2d(
        n.weight(channels, 1, *kernel),
        n.weight(out, channels, 1, 1),
        n.weight(channels) if n.draw(st.booleans()) else None,
        n.weight(out) if n.draw(st.booleans()) else None,
        **window,
    )


def max_pool2d(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    window = _window(n, shape[1:], pool=True)
    stride = window.pop("stride") if n.draw(st.booleans()) else None
    return ir.MaxPool2d(
        window.pop("kernel"), **{**window, "stride": stride}, ceil_mode=n.draw(st.booleans())
    )


def avg_pool2d(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    if n.grid:
        # A mean over a power of two stays on a grid.
        rows, columns = (1 + (size > 1) for size in shape[1:])
        return ir.AvgPool2d((rows, columns))
    window = _window(n, shape[1:], pool=True)
    del window["dilation"]
    return ir.AvgPool2d(
        window.pop("kernel"),
        **window,
        ceil_mode=n.draw(st.booleans()),
        count_include_pad=n.draw(st.booleans()),
    )


def upsample(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    mode = "nearest" if n.grid else n.draw(st.sampled_from(ir.UpsampleMode))
    return ir.Upsample(
        scale_factor=n.draw(st.integers(1, 2)),
        size=n.draw(st.none() | st.tuples(st.integers(1, 5), st.integers(1, 5))),
        mode=mode,
        align_corners=mode == "bilinear" and n.draw(st.booleans()),
    )


def flatten(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    rank = len(shape)
    start = n.draw(st.integers(0, rank - 1))
    end = n.draw(st.integers(start, rank - 1))
    return ir.Flatten(*(dim - rank * n.draw(st.booleans()) for dim in (start, end)))


def grid_lif(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    """One on the grid, which engines run: of each combination of options a loop is compiled."""
    row = n.draw(neuron_catalogue.rows("LIF", ("zero", "value", "subtract", "lower", "none")))
    values: dict[str, tuple[float, ...]] = {
        "tau": (1.0, 2.0, 4.0, 8.0),
        "r": (1.0, 2.0, 4.0, 8.0),
        "v_leak": (-0.25, 0.0, 0.5),
        "v_threshold": (0.25, 0.5, 1.0),
    }
    if row["reset"] in ("value", "lower"):
        values["v_reset"] = (-0.5, 0.0, 0.25)
    if row["bounded"]:
        values["v_min"] = (-1.0, -0.25, 0.0)
    fields = {
        name: n.neuron(shape, dyadic, laid=neuron_catalogue.over(row["form"], name))
        for name, dyadic in values.items()
    }
    return ir.LIF(**fields, **neuron_catalogue.options_of(n.draw, row))


def lif(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    if n.grid:
        return grid_lif(n, shape)
    options: dict[str, Any] = {}
    if n.draw(st.booleans()):
        reset = n.draw(st.sampled_from([None, "zero", "value", "subtract", "lower", "none"]))
        valued = reset in ("value", "lower") or (reset is None and n.draw(st.booleans()))
        options = {
            "reset": reset,
            "v_reset": n.neuron(shape, (-0.5, 0.0, 0.25)) if valued else None,
            "reset_delay": n.draw(st.booleans()),
            "fires_at": n.draw(st.sampled_from(["ge", "gt"])),
        }
    several = options.get("fires_at") != "gt" and n.draw(st.booleans())
    if n.draw(st.booleans()):
        options["spikes"] = "multiple" if several else "binary"
        options["v_min"] = n.neuron(shape, (-1.0, -0.25, 0.0)) if n.draw(st.booleans()) else None
    return ir.LIF(
        tau=n.neuron(shape, (1.0, 2.0, 4.0, 8.0), low=1.0),
        r=n.neuron(shape, (1.0, 2.0, 4.0, 8.0)),
        v_leak=n.neuron(shape, (-0.25, 0.0, 0.5)),
        v_threshold=n.neuron(shape, (0.25, 0.5, 1.0), low=1.0 if several else -4.0),
        **options,
    )


def skip(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    aliases = ["residual", "add", "concatenate", "concat", "passthrough", "identity"]
    return ir.Skip(n.draw(st.sampled_from([*ir.SkipType, *aliases])))


def _features(n: Numbers, shape: tuple[int, ...]) -> int:
    chosen: int = n.draw(st.sampled_from([shape[0], shape[-1], math.prod(shape)]))
    return chosen


def relu(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    slope = 0.0 if n.grid else n.draw(st.floats(-1, 1))
    return ir.ReLU(_features(n, shape), negative_slope=slope)


def sigmoid(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    return ir.Sigmoid(_features(n, shape))


def tanh(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    return ir.Tanh(_features(n, shape))


def softmax(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    dims = [d for d in range(-len(shape), len(shape) + 1) if d]
    return ir.Softmax(_features(n, shape), dim=n.draw(st.sampled_from(dims)))


def gelu(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    return ir.GELU(_features(n, shape), approximate=n.draw(st.booleans()))


def elu(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    return ir.ELU(_features(n, shape), alpha=n.draw(st.floats(-2, 2)))


def prelu(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    size = n.draw(st.sampled_from([1, shape[0]]))
    return ir.PReLU(shape[0], n.weight(size))


def _batch_norm(n: Numbers, channels: int) -> dict[str, Any]:
    names = ("weight", "bias", "running_mean", "running_var")
    given = {name: n.weight(channels) for name in names}
    variance = given["running_var"]
    given["running_var"] = np.where(variance < 0, variance.dtype.type(1), variance)
    given["eps"] = n.draw(st.floats(0, 1))
    given["momentum"] = n.draw(st.floats(0, 1))
    given["statistics"] = n.draw(st.sampled_from(["step", "sequence", "once", "last"]))
    return given


def batch_norm1d(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    return ir.BatchNorm1d(shape[0], **_batch_norm(n, shape[0]))


def batch_norm2d(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    return ir.BatchNorm2d(shape[0], **_batch_norm(n, shape[0]))


def layer_norm(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    last = shape[-n.draw(st.integers(1, len(shape))) :]
    return ir.LayerNorm(last, n.weight(*last), n.weight(*last), eps=n.draw(st.floats(0, 1)))


def dropout(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    mask = n.draw(st.sampled_from(["step", "sequence"]))
    drops = n.draw(st.sampled_from(["elements", "channels"]))
    return ir.Dropout(_features(n, shape), n.draw(st.floats(0, 1)), mask, drops)


def hybrid_region(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    mode = n.draw(st.sampled_from([*ir.NeuronMode, "ann", "snn"]))
    return ir.HybridRegion(mode, _features(n, shape), name=n.draw(st.none() | texts))


def delay(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    rng = np.random.default_rng(n.draw(st.integers(0, 2**32 - 1)))
    steps = rng.integers(0, 4, n.draw(st.sampled_from([(), (1,), shape[:1], shape])))
    if n.draw(st.booleans()):
        return ir.Delay(steps)
    return ir.Delay(steps, n.neuron(shape, (-0.25, 0.0, 0.5, 1.0)))


def accumulate(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    return ir.Accumulate(n.draw(st.sampled_from(["sum", "mean", "max", "min"])))


# Those of later versions of the format.


def unary(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    exact = ["abs", "neg", "floor", "round", "sign"]
    return ir.Unary(n.draw(st.sampled_from(exact if n.grid else list(UNARY))))


def shift(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    return ir.Shift(n.neuron(shape, (-0.5, 0.25, 1.0)))


def clip(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    low, high = n.neuron(shape, (-1.0, -0.25)), n.neuron(shape, (-0.5, 0.5, 1.0))
    kept = n.draw(st.sampled_from(["low", "high", "both"]))
    return ir.Clip(None if kept == "high" else low, None if kept == "low" else high)


def power(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    return ir.Power(np.array(2.0)) if n.grid else ir.Power(n.neuron(shape, (2.0,)))


def reduce(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    keepdims = len(shape) == 1 or n.draw(st.booleans())
    most = len(shape) if keepdims else len(shape) - 1
    chosen = n.draw(st.permutations(range(len(shape))))[: n.draw(st.integers(1, most))]
    # A mean over a power of two stays on a grid.
    count = math.prod(shape[axis] for axis in chosen)
    whole = n.grid and count & (count - 1)
    how = n.draw(st.sampled_from(["sum", "max", "min"] + ["mean"] * (not whole)))
    axes = tuple(a - len(shape) * n.draw(st.booleans()) for a in chosen)
    return ir.Reduce(how, axes, keepdims)


def transpose(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    rank = len(shape)
    axes = n.draw(st.permutations(range(rank)))
    return ir.Transpose(tuple(a - rank * n.draw(st.booleans()) for a in axes))


def reshape(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    count = math.prod(shape)
    first = n.draw(st.sampled_from([k for k in range(1, count + 1) if count % k == 0]))
    forms = [(-1,), (count,), (first, -1), (-1, first), (1, first, count // first)]
    return ir.Reshape(n.draw(st.sampled_from(forms)))


def slices(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    axis = n.draw(st.integers(0, len(shape) - 1))
    size = shape[axis]
    start = n.draw(st.integers(0, size - 1))
    stop = n.draw(st.none() | st.integers(start + 1, size + 2))
    return ir.Slice(
        axis - len(shape) * n.draw(st.booleans()),
        start - size * n.draw(st.booleans()),
        stop,
        n.draw(st.integers(1, 3)),
    )


def log_softmax(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    dims = [d for d in range(-len(shape), len(shape) + 1) if d]
    return ir.LogSoftmax(_features(n, shape), dim=n.draw(st.sampled_from(dims)))


def _window1d(n: Numbers, shape: tuple[int, ...]) -> dict[str, Any]:
    return {name: values[0] for name, values in _window(n, shape[1:], pool=True).items()}


def max_pool1d(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    window = _window1d(n, shape)
    return ir.MaxPool1d(window.pop("kernel"), **window, ceil_mode=n.draw(st.booleans()))


def avg_pool1d(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    if n.grid:
        return ir.AvgPool1d(1 + (shape[1] > 1))
    window = _window1d(n, shape)
    del window["dilation"]
    return ir.AvgPool1d(
        window.pop("kernel"),
        **window,
        ceil_mode=n.draw(st.booleans()),
        count_include_pad=n.draw(st.booleans()),
    )


def group_norm(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    channels = shape[0]
    groups = [g for g in range(1, channels + 1) if channels % g == 0 and g != math.prod(shape)]
    if not groups:
        return ir.Unary("neg")  # one value has no spread
    weight, bias = n.weight(channels), n.weight(channels)
    return ir.GroupNorm(n.draw(st.sampled_from(groups)), weight, bias, eps=n.draw(st.floats(0, 1)))


def _transposed(n: Numbers, shape: tuple[int, ...]) -> dict[str, Any]:
    axes = len(shape) - 1
    options = {
        name: tuple(n.draw(st.integers(low, 2)) for _ in range(axes))
        for name, low in (("stride", 1), ("padding", 0), ("dilation", 1))
    }
    steps = zip(options["stride"], options["dilation"], strict=True)
    options["output_padding"] = tuple(n.draw(st.integers(0, max(both) - 1)) for both in steps)
    groups = n.draw(st.sampled_from([g for g in range(1, shape[0] + 1) if shape[0] % g == 0]))
    out, kernel = n.draw(st.integers(1, 2)), [n.draw(st.integers(1, 3)) for _ in range(axes)]
    reach = [d * (k - 1) for d, k in zip(options["dilation"], kernel, strict=True)]
    sizes = zip(shape[1:], options["stride"], reach, options["padding"], strict=True)
    if any((size - 1) * s + 1 + r - 2 * p < 1 for size, s, r, p in sizes):
        options["padding"] = (0,) * axes
    weight = n.weight(shape[0], out, *kernel)
    return {"weight": weight, "bias": n.weight(out * groups), "groups": groups, **options}


def conv_transpose1d(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    given = _transposed(n, shape)
    return ir.ConvTranspose1d(**{k: v[0] if isinstance(v, tuple) else v for k, v in given.items()})


def conv_transpose2d(n: Numbers, shape: tuple[int, ...]) -> ir.Node:
    return ir.ConvTranspose2d(**_transposed(n, shape))


COMPARISONS = ("greater", "greater_or_equal", "equal")


def binary(n: Numbers) -> ir.Node:
    """A Binary; on the grid one that neither divides nor raises to a power."""
    exact = ("subtract", "multiply", "minimum", "maximum", *COMPARISONS)
    return ir.Binary(n.draw(st.sampled_from(exact if n.grid else list(BINARY))))


ANY, FLAT, MAP = (1, 2, 3), (1, 2), (3,)
BUILDERS = {
    "Affine": (ANY, affine),
    "SpikingAffine": (ANY, spiking_affine),
    "Conv2d": (MAP, conv2d),
    "SepConv2d": (MAP, sep_conv2d),
    "MaxPool2d": (MAP, max_pool2d),
    "AvgPool2d": (MAP, avg_pool2d),
    "Upsample": (MAP, upsample),
    "Flatten": (ANY, flatten),
    "LIF": (ANY, lif),
    "Skip": (ANY, skip),
    "ReLU": (ANY, relu),
    "Sigmoid": (ANY, sigmoid),
    "Tanh": (ANY, tanh),
    "Softmax": (ANY, softmax),
    "GELU": (ANY, gelu),
    "ELU": (ANY, elu),
    "PReLU": (ANY, prelu),
    "BatchNorm1d": (FLAT, batch_norm1d),
    "BatchNorm2d": (MAP, batch_norm2d),
    "LayerNorm": (ANY, layer_norm),
    "Dropout": (ANY, dropout),
    "HybridRegion": (ANY, hybrid_region),
    "Delay": (ANY, delay),
    "Accumulate": (ANY, accumulate),
}
"""Primitive -> (the ranks of shape it takes, how to draw one)."""

LATER = {
    "Unary": (ANY, unary),
    "Shift": (ANY, shift),
    "Clip": (ANY, clip),
    "Power": (ANY, power),
    "Reduce": (ANY, reduce),
    "Transpose": (ANY, transpose),
    "Reshape": (ANY, reshape),
    "Slice": (ANY, slices),
    "LogSoftmax": (ANY, log_softmax),
    "MaxPool1d": ((2,), max_pool1d),
    "AvgPool1d": ((2,), avg_pool1d),
    "GroupNorm": (ANY, group_norm),
    "ConvTranspose1d": ((2,), conv_transpose1d),
    "ConvTranspose2d": (MAP, conv_transpose2d),
}
"""The same of primitives that came with later versions of the format."""

COMBINING = ("Binary", "Where", "MatMul")
"""Primitives whose inputs each have a place."""

WEIGHTED = {"Affine", "SpikingAffine", "Conv2d", "Reduce", "ConvTranspose1d", "ConvTranspose2d"}
INEXACT = WEIGHTED | {"AvgPool2d", "AvgPool1d", "Power", "Accumulate"}
"""What leaves the grid, or takes so many of its values that a sum over the result would."""
ON_THE_GRID = INEXACT | {
    "MaxPool2d", "Upsample", "Flatten", "LIF", "Skip", "ReLU", "Dropout", "HybridRegion", "Unary",
    "Shift", "Clip", "Transpose", "Reshape", "Slice", "MaxPool1d", "Delay",
}  # fmt: skip

shapes = st.one_of(
    st.tuples(st.integers(1, 6)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(*[st.integers(1, 4)] * 3),
)


@st.composite
def fitting(
    draw: Any,
    shape: tuple[int, ...],
    *,
    only: set[str] | None = None,
    grid: bool = False,
    later: bool = True,
) -> ir.Node:
    """A node that takes ``shape`` (of rank 1 to 3), sometimes with its types declared.

    Args:
        shape: of its input.
        only: the primitives to draw from.
        grid: parameters on the grid.
        later: primitives of later versions of the format too.
    """
    builders = BUILDERS | (LATER if later else {})
    choices = [
        name
        for name, (ranks, _) in builders.items()
        if len(shape) in ranks and (only is None or name in only)
    ]
    node = builders[draw(st.sampled_from(choices))][1](Numbers(draw, grid), shape)
    declared: dict[str, Any] = {}
    if draw(st.integers(0, 3)) == 0:
        declared["input_type"] = {"input": draw(st.sampled_from([tuple, list, np.array]))(shape)}
        if draw(st.booleans()):
            declared["output_type"] = {"output": node.output_shape(shape)}
    return node.replace(**declared) if declared else node


@st.composite
def nodes(draw: Any) -> ir.Node:
    """A node of any primitive, Input and Output included, with metadata of any kind."""
    shape = draw(shapes)
    builders = BUILDERS | LATER
    kind = draw(st.sampled_from([*builders, *COMBINING, "Input", "Output"]))
    if kind in COMBINING:
        node = binary(Numbers(draw)) if kind == "Binary" else ir.str_to_node(kind)()
    elif kind in builders:
        ranks, _ = builders[kind]
        shape = draw(shapes.filter(lambda s: len(s) in ranks))
        node = draw(fitting(shape, only={kind}))
    elif draw(st.booleans()):
        node = draw(entries(shape)) if kind == "Input" else draw(exits(shape))
    else:
        node = (
            ir.Input(input_type={"input": np.array(shape)})
            if kind == "Input"
            else ir.Output(output_type={"output": np.array(shape)})
        )
    noted: ir.Node = node.replace(metadata=draw(metadata()))
    return noted


@functools.cache
def entries(shape: tuple[int, ...]) -> st.SearchStrategy[ir.Input]:
    """An Input, one of two held still."""
    return st.builds(ir.Input, st.just(shape), st.none() | st.integers(1, 5))


@functools.cache
def exits(shape: tuple[int, ...]) -> st.SearchStrategy[ir.Output]:
    """An Output of every step, or of the last."""
    return st.builds(ir.Output, st.just(shape), st.booleans())


# Graphs ------------------------------------------------------------------------------------------


@dataclasses.dataclass
class _Sketch:
    """A graph while it grows: what each node sends, and whether a weight may follow on the grid."""

    nodes: dict[str, ir.Node] = dataclasses.field(default_factory=dict)
    edges: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    sends: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    takes: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    exact: dict[str, bool] = dataclasses.field(default_factory=dict)

    def add(
        self, name: str, node: ir.Node, sources: list[str], shape: tuple[int, ...], exact: bool
    ) -> None:
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        self.takes[name], self.sends[name] = shape, node.output_shape(shape)
        self.exact[name] = exact


def _fresh(draw: Any, sketch: _Sketch) -> str:
    """A name that no node has."""
    name: str = draw(names)
    while name in sketch.nodes:
        name += "'"
    return name


def _combine(draw: Any, sketch: _Sketch, name: str, grid: bool) -> bool:
    """One more node whose inputs each have a place; False if nothing fits together."""
    sent, node = sketch.sends, draw(st.sampled_from([*[binary(Numbers(draw, grid))] * 2, ir.Where(),
                                                     ir.MatMul()]))  # fmt: skip
    sources = draw(st.permutations(list(sent)))[: len(node.places)]
    exact = all(sketch.exact[s] for s in sources)
    summed = isinstance(node, ir.MatMul)
    try:
        shape = node.merge([sent[s] for s in sources])
    except ir.ShapeError:
        return False
    if grid and summed and not exact:
        return False
    if isinstance(node, ir.Binary):
        exact = node.op in COMPARISONS or (exact and node.op != "multiply")
    sketch.add(name, node, sources, shape, exact and not summed)
    return True


def _grow(
    draw: Any, sketch: _Sketch, name: str, grid: bool, nested: bool, later: bool, notes: bool
) -> None:
    """One more node, fed by one or several of those that are there."""
    sent = sketch.sends
    if later and draw(st.integers(0, 3)) == 0 and _combine(draw, sketch, name, grid):
        return
    first = draw(st.sampled_from(list(sent)))
    alike = [n for n in sent if sent[n] == sent[first] and n != first]
    joinable = [n for n in sent if sent[n][1:] == sent[first][1:] and n != first]
    sources = [first]
    if alike and draw(st.integers(0, 2)) == 0:
        sources += draw(st.lists(st.sampled_from(alike), min_size=1, max_size=2, unique=True))
    elif joinable and draw(st.integers(0, 2)) == 0:
        sources += draw(st.lists(st.sampled_from(joinable), min_size=1, max_size=2, unique=True))
        joined = (sum(sent[s][0] for s in sources), *sent[first][1:])
        exact = all(sketch.exact[s] for s in sources)
        sketch.add(name, ir.Skip("concatenate"), sources, joined, exact)
        return
    shape, exact = sent[first], all(sketch.exact[s] for s in sources)
    if nested and draw(st.integers(0, 7)) == 0:
        inner = draw(chains(shape, later=later, notes=notes))
        sketch.add(name, inner, sources, shape, False)
        return
    only = None if not grid else ON_THE_GRID if exact else ON_THE_GRID - INEXACT
    node = draw(fitting(shape, only=only, grid=grid, later=later))
    if len(sources) > 1 and isinstance(node, ir.Skip):
        node = ir.Skip("residual")
    inexact = type(node).__name__ in INEXACT
    sketch.add(name, node, sources, shape, isinstance(node, ir.LIF) or (exact and not inexact))


@st.composite
def chains(
    draw: Any,
    shape: tuple[int, ...],
    max_nodes: int = 2,
    *,
    later: bool = True,
    notes: bool = True,
) -> ir.Graph:
    """A plain chain with one Input of ``shape`` and one Output."""
    sketch = _Sketch()
    sketch.add("input", draw(entries(shape)), [], shape, True)
    last = "input"
    for i in range(draw(st.integers(0, max_nodes))):
        node = draw(fitting(sketch.sends[last], later=later))
        sketch.add(f"n{i}", node, [last], sketch.sends[last], False)
        last = f"n{i}"
    sketch.add("output", draw(exits(sketch.sends[last])), [last], sketch.sends[last], False)
    return ir.Graph(sketch.nodes, sketch.edges, metadata=draw(metadata(1)) if notes else None)


def _close_a_loop(draw: Any, sketch: _Sketch) -> None:
    """An edge from a neuron to itself or to any other node, through an Affine if need be."""
    targets = [
        n
        for n, node in sketch.nodes.items()
        if node.adds_inputs
        and not isinstance(node, ir.Input | ir.Output | ir.Graph)
        and not (isinstance(node, ir.Skip) and node.skip_type == "passthrough")
    ]
    neurons = [n for n, node in sketch.nodes.items() if isinstance(node, ir.LIF)]
    if not targets or not neurons:
        return
    source, target = draw(st.sampled_from(neurons)), draw(st.sampled_from(targets))
    sent, taken = sketch.sends[source], sketch.takes[target]
    if sent == taken and (source, target) not in sketch.edges:
        sketch.edges.append((source, target))
    elif sent[:-1] == taken[:-1]:
        n = Numbers(draw, grid=True)
        back = ir.Affine(n.weight(taken[-1], sent[-1]), n.weight(taken[-1]))
        sketch.add(_fresh(draw, sketch), back, [source], sent, False)
        sketch.edges.append((next(reversed(sketch.nodes)), target))


@st.composite
def graphs(
    draw: Any,
    *,
    grid: bool = False,
    cycles: bool | None = None,
    nested: bool = True,
    notes: bool = True,
    max_nodes: int = 6,
    later: bool = True,
) -> ir.Graph:
    """A valid graph: chains, branches, skips, joins, several Inputs and Outputs.

    Args:
        grid: weights k/256 and dyadic neurons; sums of a layer are exact in float32 for inputs
            k/256 of magnitude at most 1.
        cycles: close loops (True), do not (False), or either (None). A loop is left out where
            the graph would be ambiguous, so True makes cycles likely, not certain.
        nested: graphs as nodes.
        notes: metadata on the graph and on nodes.
        max_nodes: beside Inputs and Outputs.
        later: primitives of later versions of the format too.
    """
    size = draw(st.integers(0, max_nodes))
    sketch = _Sketch()
    for _ in range(draw(st.integers(1, 3))):
        shape = draw(shapes)
        sketch.add(_fresh(draw, sketch), draw(entries(shape)), [], shape, True)
    for _ in range(size):
        _grow(draw, sketch, _fresh(draw, sketch), grid, nested, later, notes)
    looped = bool(cycles or (cycles is None and draw(st.booleans())))
    if looped:
        neuron = lif(Numbers(draw, grid=True), sketch.sends[last := next(reversed(sketch.sends))])
        sketch.add(_fresh(draw, sketch), neuron, [last], sketch.sends[last], True)
    used = {source for source, _ in sketch.edges}
    ends = [n for n in sketch.sends if n not in used]
    while ends:
        # Two ends of equal shape may share an Output, which adds them.
        end = ends.pop()
        shape = sketch.sends[end]
        mates = [n for n in ends if sketch.sends[n] == shape][: draw(st.integers(0, 1))]
        ends = [n for n in ends if n not in mates]
        sketch.add(_fresh(draw, sketch), draw(exits(shape)), [end, *mates], shape, False)
    plain = list(sketch.edges)
    if looped:
        spare = dict(sketch.nodes)
        for _ in range(draw(st.integers(1, 2))):
            _close_a_loop(draw, sketch)
        if not _accepted(sketch):
            sketch.nodes, sketch.edges = spare, plain
    if notes:
        for name in sketch.nodes:
            if not isinstance(sketch.nodes[name], ir.Graph) and draw(st.integers(0, 3)) == 0:
                sketch.nodes[name] = sketch.nodes[name].replace(metadata=draw(metadata(2)))
    return ir.Graph(
        {name: sketch.nodes[name] for name in draw(st.permutations(list(sketch.nodes)))},
        _mixed(draw, sketch),
        metadata=draw(metadata()) if notes else None,
        allow_cycles=len(sketch.edges) > len(plain),
    )


def _mixed(draw: Any, sketch: _Sketch) -> list[tuple[str, str]]:
    """The edges in another order; but for those into a node whose inputs each have a place."""
    edges: list[tuple[str, str]] = draw(st.permutations(sketch.edges))
    for name, node in sketch.nodes.items():
        if node.primitive in COMBINING:
            kept = iter([edge for edge in sketch.edges if edge[1] == name])
            edges = [next(kept) if edge[1] == name else edge for edge in edges]
    return edges


def _accepted(sketch: _Sketch) -> bool:
    try:
        ir.Graph(sketch.nodes, sketch.edges, allow_cycles=True)
    except ir.GraphError as error:
        if not any("symmetric" in p.found or "neither a neuron" in p.found for p in error.problems):
            raise
        return False
    return True


def grid_graphs(**options: Any) -> st.SearchStrategy[ir.Graph]:
    """Graphs on the grid, without nested ones: what every engine must run bit for bit alike."""
    return graphs(grid=True, **{"nested": False, **options})
