"""Networks that hold every primitive: those whose numbers are exact on a grid, and the others."""

import warnings

import numpy as np

from t1c import ir
from t1c.ir.primitives.combine import BINARY
from t1c.ir.primitives.elementwise import UNARY

RNG = np.random.default_rng(7)
INPUTS = {"row": (6,), "line": (2, 8), "image": (2, 8, 8), "volume": (2, 4, 4, 4)}


def grid(*shape):
    return RNG.integers(-64, 65, shape) / 256


def neurons():
    """Every kind of neuron, and what a step of one may read."""
    p, up = np.array(0.25), {"reset": "subtract"}
    lif, cuba = (np.array([2.0, 4.0]), 2.0, 0.125), (2.0, 4.0, np.array([1.0, 2.0]), 0.0)
    yield from (ir.LIF(*lif, p, reset=how) for how in ("zero", "carry"))
    yield ir.LIF(*lif, p, v_reset=np.array([-0.25, 0.125]))
    yield ir.LIF(*lif, p, reset="lower", v_reset=np.array([-0.25, 0.125]))
    yield ir.LIF(*lif, p, reset="hold", reset_delay=True)
    yield ir.LIF(*lif, p, spikes="multiple", v_min=np.array(-0.25), **up)
    yield from (ir.IF(p, np.array(0.5)), ir.LI(*lif), ir.I(np.array(0.5)))
    yield from (ir.CubaLI(*cuba), ir.CubaLIF(*cuba, p, 0.5, **up))


def exact():
    """Branch -> what it takes, and its node: sums and products of few bits."""
    nodes = [
        ("row", ir.Affine(grid(5, 6), grid(5))),
        ("row", ir.SpikingAffine(grid(5, 6), grid(5))),
        ("line", ir.Linear(grid(4, 8))),
        ("line", ir.Scale(np.array([0.5, 2.0]))),
        ("line", ir.Shift(grid(2))),
        ("row", ir.Clip(np.array(-0.125), np.array(0.25))),
        ("row", ir.Power(np.array(2.0))),
        ("row", ir.Threshold(grid(6), fires_at="gt")),
        ("image", ir.Conv2d(grid(4, 1, 3, 3), grid(4), (2, 1), (1, 2), (1, 2), 2)),
        ("image", ir.Conv2d(grid(3, 2, 3, 1), grid(3), padding="same")),
        ("image", ir.SepConv2d(grid(2, 1, 3, 3), grid(3, 2, 1, 1), grid(2), padding=(1, 1))),
        ("line", ir.Conv1d(grid(4, 2, 3), grid(4), 2, 1)),
        ("volume", ir.Conv3d(grid(2, 2, 2, 2, 2), grid(2), padding=(1, 0, 1))),
        ("line", ir.ConvTranspose1d(grid(2, 2, 3), grid(2), 2, 1, 1)),
        ("image", ir.ConvTranspose2d(grid(2, 2, 3, 3), grid(2), (2, 2), (1, 1), (1, 0))),
        ("image", ir.MaxPool2d((3, 2), (2, 2), (1, 0), (1, 2), ceil_mode=True)),
        ("image", ir.AvgPool2d((2, 2))),
        ("image", ir.AvgPool2d((2, 4), (2, 2), (1, 1), count_include_pad=True)),
        ("image", ir.SumPool2d((3, 3), (2, 2), (1, 1))),
        ("line", ir.MaxPool1d(3, 2, 1)),
        ("line", ir.AvgPool1d(4, 2)),
        ("volume", ir.MaxPool3d()),
        ("volume", ir.AvgPool3d()),
        ("image", ir.Upsample(2)),
        ("image", ir.Upsample(size=(5, 11))),
        ("image", ir.Flatten(1, 2)),
        ("image", ir.Transpose((2, 0, 1))),
        ("image", ir.Reshape((4, 32))),
        ("image", ir.Slice(1, 1, 7, 2)),
        ("image", ir.Slice(2, -6, None, 3)),
        ("image", ir.Reduce("sum", (1, 2))),
        ("image", ir.Reduce("mean", (1,), keepdims=True)),
        ("image", ir.Reduce("max", (0, 2))),
        ("row", ir.ReLU(6, 0.25)),
        ("line", ir.PReLU(2, np.array([0.5, 0.25]))),
        ("row", ir.Dropout(6)),
        ("row", ir.HybridRegion("snn", 6, "here")),
        ("row", ir.Identity()),
        ("line", ir.Delay(np.array(2), np.array([0.5, -0.5]))),
        ("line", ir.Delay(np.array([0, 3]))),
        ("row", ir.Delay(np.array([1, 3, 2, 1, 1, 2]), grid(6))),
        *(("row", ir.Accumulate(how)) for how in ("sum", "max", "min")),
        *(("row", ir.Unary(op)) for op in UNARY if op in ("abs", "neg", "floor", "round", "sign")),
        *(("line", node) for node in neurons()),
    ]  # fmt: skip
    return {f"{node.primitive} {n}": (takes, node) for n, (takes, node) in enumerate(nodes)}


def rounded():
    """Branch -> what it takes, and its node: functions whose last bit is the machine's own."""
    norm = (2, grid(2) + 1, grid(2), grid(2), np.abs(grid(2)) + 0.5)
    nodes = [
        ("row", ir.Sigmoid(6)),
        ("row", ir.Tanh(6)),
        ("line", ir.Softmax(8, 1)),
        ("line", ir.LogSoftmax(8, -1)),
        ("row", ir.GELU(6)),
        ("row", ir.ELU(6, 0.5)),
        ("line", ir.BatchNorm1d(*norm)),
        ("image", ir.BatchNorm2d(*norm)),
        ("volume", ir.BatchNorm3d(*norm)),
        ("line", ir.LayerNorm((8,), grid(8), grid(8))),
        ("image", ir.GroupNorm(2, grid(2), grid(2))),
        ("image", ir.Upsample(3, mode="bilinear", align_corners=True)),
        ("image", ir.Upsample(size=(5, 11), mode="bilinear")),
        ("row", ir.Accumulate("mean")),
        ("row", ir.Power(np.array([2.0, 3.0, 2.0, 1.0, 4.0, 2.0]))),
        *(("row", ir.Unary(op)) for op in UNARY if op in ("exp", "reciprocal")),
    ]  # fmt: skip
    return {f"{node.primitive} {n}": (takes, node) for n, (takes, node) in enumerate(nodes)}


def joined():
    """Branch -> the branches or inputs that it takes, in order, and its node."""
    found = {
        "Skip add": (("row", "same", "size"), ir.Skip()),
        "Skip join": (("row", "same"), ir.Skip("concatenate")),
        "Concat": (("line", "line late"), ir.Concat(1)),
        "MatMul": (("line", "turned"), ir.MatMul()),
        "Where": (("fired", "row", "late"), ir.Where()),
    }
    inexact = {"divide", "power"}
    found |= {
        f"Binary {op}": (("row", "size" if op == "equal" else "late"), ir.Binary(op))
        for op in BINARY
        if op not in inexact
    }
    return found


def branches():
    """A graph with an output for each branch, and branch -> (primitive, whether it is exact)."""
    nodes = {name: ir.Input(shape) for name, shape in INPUTS.items()}
    edges, found = [], {}

    def add(name, node, *sources):
        nodes[name] = node
        edges.extend((source, name) for source in sources)

    # What several branches take.
    add("same", ir.Identity(), "row")
    add("size", ir.Unary("abs"), "row")
    add("turned", ir.Transpose((1, 0)), "line")
    add("line late", ir.Delay(np.array(1)), "line")
    add("fired", ir.Threshold(np.array(0.0)), "row")
    add("late", ir.Delay(np.array(1)), "row")
    for is_exact, table in ((True, exact()), (False, rounded()), (True, joined())):
        for name, (takes, node) in table.items():
            add(name, node, *((takes,) if isinstance(takes, str) else takes))
            found[name] = node.primitive, is_exact
    add("split", ir.ChannelSplit((2, 3, 1)), "row")
    for n in range(3):
        add(f"part {n}", ir.Identity(), "split")
        found[f"part {n}"] = "ChannelSplit", True
    inner = {
        "in": ir.Input((6,)), "lif": ir.LIF(2.0, 2.0, 0.0, 0.25),
        "back": ir.Linear(grid(6, 6)), "out": ir.Output((6,)),
    }  # fmt: skip
    ways = [("in", "lif"), ("lif", "back"), ("back", "lif"), ("lif", "out")]
    add("nested", ir.Graph(inner, ways, allow_cycles=True), "row")
    found["nested"] = "Graph", True
    add("same.", ir.Output((6,)), "same")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ir.GraphWarning)  # of shapes alone
        known = ir.Graph(nodes, edges).flat().nodes
    for name in found:
        sent = known["nested/out" if name == "nested" else name].output_type["output"]
        add(f"{name}.", ir.Output(tuple(sent)), name)
    return ir.Graph(nodes, edges), found


def small(hold=None, name="in", several=False):
    """A recurrent layer behind one of weights; ``several``: a second input and two outputs."""
    nodes = {
        name: ir.Input((6,), hold=hold),
        "fc": ir.Affine(grid(5, 6) * 2, grid(5)),
        "lif": ir.LIF(2.0, 2.0, 0.0, 0.25, reset="subtract"),
        "back": ir.Linear(grid(5, 5)),
        "out": ir.Output((5,)),
    }
    edges = [(name, "fc"), ("fc", "lif"), ("lif", "back"), ("back", "lif"), ("lif", "out")]
    if several:
        nodes |= {
            "other": ir.Input((5,)), "late": ir.Delay(np.array([1, 2, 3, 1, 2])),
            "second": ir.Output((5,)),
        }  # fmt: skip
        edges += [("other", "lif"), ("lif", "late"), ("late", "second")]
    return ir.Graph(nodes, edges, allow_cycles=True)


def by_hand():
    """A neuron of nodes: u = v / 2 + x, fires at 1/4, which it takes off."""
    nodes = {
        "x": ir.Input((8,)),
        "v": ir.Delay(np.array(1), np.array(0.125), input_type={"input": np.array([8])}),
        "decay": ir.Scale(np.array(0.5)),
        "u": ir.Skip(),
        "s": ir.Threshold(np.array(0.25)),
        "quarter": ir.Scale(np.array(0.25)),
        "after": ir.Binary("subtract"),
        "y": ir.Output((8,)),
    }
    edges = [
        ("v", "decay"), ("decay", "u"), ("x", "u"), ("u", "s"), ("s", "quarter"), ("u", "after"),
        ("quarter", "after"), ("after", "v"), ("s", "y"),
    ]  # fmt: skip
    return ir.Graph(nodes, edges, allow_cycles=True)


def everything():
    """Every topology: loops over a layer and a Delay, a neuron by hand, held and final ends."""
    nodes = {
        "x": ir.Input((2, 6, 6)),
        "still": ir.Input((8,), hold=4),
        "conv": ir.Conv2d(grid(4, 2, 3, 3), grid(4), padding=(1, 1)),
        "a b": ir.LIF(np.array([2.0, 4.0, 2.0, 1.0]), 2.0, 0.0, 0.25, v_reset=np.array(-0.125)),
        "pool": ir.MaxPool2d((2, 2)),
        "flat": ir.Flatten(),
        "fc": ir.Affine(grid(8, 36), grid(8)),
        "層": by_hand(),
        "rec": ir.CubaLIF(2.0, 2.0, 2.0, 0.0, 0.25, reset="subtract"),
        "back": ir.Affine(grid(8, 8), grid(8)),
        "slow": ir.Delay(np.array([2, 3, 2, 2, 3, 4, 2, 3])),
        "mix": ir.Linear(grid(8, 8)),
        "best": ir.Accumulate("max"),
        "mean": ir.Accumulate("sum"),
        "spikes": ir.Output((8,)),
        "so far": ir.Output((8,), final=True),
    }
    edges = [
        ("x", "conv"), ("conv", "a b"), ("a b", "pool"), ("pool", "flat"), ("flat", "fc"),
        ("fc", "層"), ("層", "rec"), ("still", "rec"), ("rec", "back"), ("back", "rec"),
        ("rec", "slow"), ("slow", "mix"), ("mix", "rec"), ("rec", "spikes"), ("fc", "best"),
        ("rec", "mean"), ("mean", "so far"), ("best", "so far"),
    ]  # fmt: skip
    return ir.Graph(nodes, edges, allow_cycles=True)
