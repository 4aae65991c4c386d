"""ONNX models become graphs that compute what onnxruntime computes."""

import doctest
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from t1c import ir

pytest.importorskip("onnx", reason="needs t1c[onnx]")
pytest.importorskip("onnxruntime", reason="the runtime that the graphs are compared with")

import onnx
from onnx import helper

from t1c.onnx import OPERATORS, OPSETS, api, from_onnx, read

from .examples import examples
from .onnx_models import made, node, same, signal

few = examples(20)


def f32(rng, *shape):
    return rng.normal(0, 0.5, shape).astype(np.float32)


@few
@given(
    dims=st.integers(1, 3),
    data=st.data(),
    groups=st.sampled_from([1, 2]),
    biased=st.booleans(),
    auto=st.sampled_from(["NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]),
)
def test_convolutions(dims, data, groups, biased, auto):
    rng = np.random.default_rng(0)
    each = lambda low, high: [data.draw(st.integers(low, high)) for _ in range(dims)]  # noqa: E731
    kernel, size = each(1, 3), each(5, 7)
    attributes = {"group": groups, "strides": each(1, 2), "kernel_shape": kernel}
    if auto == "NOTSET":
        attributes |= {"pads": [*each(0, 2), *each(0, 2)], "dilations": each(1, 2)}
    else:
        attributes["auto_pad"] = auto
    weight = {"w": f32(rng, 4, 2, *kernel)} | ({"b": f32(rng, 4)} if biased else {})
    model = made(
        [node("Conv", "x w b" if biased else "x w", **attributes)], (2 * groups, *size), weight
    )
    same(model, signal((2 * groups, *size)))


@few
@given(dims=st.integers(1, 2), data=st.data(), groups=st.sampled_from([1, 2]))
def test_transposed_convolutions(dims, data, groups):
    rng = np.random.default_rng(0)
    each = lambda low, high: [data.draw(st.integers(low, high)) for _ in range(dims)]  # noqa: E731
    kernel, size, pads, strides = each(2, 3), each(3, 5), each(0, 1), each(1, 2)
    attributes = {
        "group": groups,
        "strides": strides,
        "pads": [*pads, *pads],
        "output_padding": [s - 1 for s in strides],
    }
    model = made(
        [node("ConvTranspose", "x w", **attributes)], (4, *size), {"w": f32(rng, 4, 3, *kernel)}
    )
    same(model, signal((4, *size)))


@few
@given(
    op=st.sampled_from(["MaxPool", "AveragePool"]),
    dims=st.integers(1, 3),
    data=st.data(),
    ceil=st.booleans(),
    counted=st.booleans(),
    auto=st.sampled_from(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER"]),
)
def test_pools(op, dims, data, ceil, counted, auto):
    each = lambda low, high: [data.draw(st.integers(low, high)) for _ in range(dims)]  # noqa: E731
    kernel, size, strides = each(2, 3), each(5, 8), each(1, 3)
    attributes = {"kernel_shape": kernel, "strides": strides}
    if auto == "NOTSET":
        pads = each(0, 1)
        attributes |= {"pads": [*pads, *pads], "ceil_mode": int(ceil)}
    else:
        assume(all(s <= k for s, k in zip(strides, kernel, strict=True)))  # as onnxruntime wants
        attributes["auto_pad"] = auto
    if op == "AveragePool":
        attributes["count_include_pad"] = int(counted)
    elif auto == "NOTSET":
        attributes["dilations"] = each(1, 2)
    model = made([node(op, **attributes)], (2, *size), opset=22)
    try:
        from_onnx(model)
    except ir.UnsupportedError as error:
        assume("of different sizes before" not in str(error))
        assume("ceil_mode=1 with padding" not in str(error))
        raise
    same(model, signal((2, *size)))


ONE = [
    node("Relu"),
    node("LeakyRelu", alpha=0.3),
    node("Sigmoid"),
    node("Tanh"),
    node("Elu", alpha=0.7),
    node("Selu"),
    node("HardSigmoid", alpha=0.3),
    node("HardSwish"),
    node("Softsign"),
    node("Abs"),
    node("Neg"),
    node("Floor"),
    node("Ceil"),
    node("Round"),
    node("Sign"),
    node("Exp"),
    node("Reciprocal"),
    node("Softmax", axis=1),
    node("Softmax"),
    node("LogSoftmax", axis=-2),
    node("GlobalAveragePool"),
    node("GlobalMaxPool"),
    node("Flatten"),
    node("Flatten", axis=-3),
    node("Transpose", perm=[0, 3, 1, 2]),
    node("ReduceMean", axes=[2, 3]),
    node("ReduceMean", axes=[-1], keepdims=0),
    node("ReduceMax", axes=[1], keepdims=0),
    node("ReduceMin", axes=[1, 2]),
    node("Identity"),
    node("Dropout"),
    node("Max"),
    node("Cast", to=1),
]


@pytest.mark.parametrize("one", ONE, ids=lambda n: n.op_type)
def test_operators_of_one_signal(one):
    same(made([one], (3, 4, 5)), signal((3, 4, 5)))


WITH = {
    "Clip": (("x a b", {"a": np.float32(-0.5), "b": np.float32(1.25)}),),
    "Clip from above": (("x  b", {"b": np.float32(0.25)}),),
    "PRelu": (("x a", {"a": np.array([0.5, 0.25, -1.0], np.float32).reshape(3, 1, 1)}),),
    "ReduceSum": (("x a", {"a": np.array([1, -1])}),),
    "Reshape": (("x a", {"a": np.array([-1, 6, 10])}),),
    "Reshape by zeros": (("x a", {"a": np.array([0, 0, -1])}),),
    "Reshape of an open size": (("x a", {"a": np.array([0, 20, -1])}),),
    "Squeeze": (("x a", {"a": np.array([2])}), (3, 1, 5)),
    "Unsqueeze": (("x a", {"a": np.array([1, -1])}),),
    "Slice": (
        (
            "x a b c d",
            {
                "a": np.array([1, -4]),
                "b": np.array([3, 2**40]),
                "c": np.array([1, 3]),
                "d": np.array([1, 2]),
            },
        ),
    ),
    "Pad": (("x a", {"a": np.array([0, 1, 2, 0, 0, 0, 1, 3])}),),
    "Pad that cuts": (("x a", {"a": np.array([0, -1, 2, 0, 0, 0, 1, -2])}),),
    "LayerNormalization": (
        ("x a b", {"a": np.linspace(0.5, 1, 5, dtype=np.float32), "b": np.ones(5, np.float32)}),
    ),
    "InstanceNormalization": (
        ("x a b", {"a": np.array([1, 2, 3], np.float32), "b": np.ones(3, np.float32)}),
    ),
    "BatchNormalization": (
        (
            "x a b c d",
            {
                "a": np.array([1, 2, 3], np.float32),
                "b": np.array([0.5, -1, 0], np.float32),
                "c": np.array([0.1, 0.2, 0.3], np.float32),
                "d": np.array([1, 0.5, 2], np.float32),
            },
        ),
    ),
    "Pow": (("x a", {"a": np.float32(2)}),),
    "MatMul": (("x a", {"a": f32(np.random.default_rng(0), 5, 7)}),),
}
MODES = {
    "Clip": {},
    "LayerNormalization": {"epsilon": 1e-3},
    "BatchNormalization": {"epsilon": 1e-2},
}


@pytest.mark.parametrize("case", WITH)
def test_operators_with_constants(case):
    (inputs, constants), *shape = WITH[case]
    shape = shape[0] if shape else (3, 4, 5)
    op = case.split()[0]
    made_of = helper.make_node(op, inputs.split(" "), ["y"], name=op, **MODES.get(case, {}))
    same(made([made_of], shape, constants), signal(shape))


@pytest.mark.parametrize("mode", ["edge", "reflect"])
def test_padding_with_rows_of_the_signal(mode):
    constants = {"a": np.array([0, 0, 2, 1, 0, 0, 1, 3])}
    same(made([node("Pad", "x a", mode=mode)], (2, 4, 5), constants), signal((2, 4, 5)))


@few
@given(
    op=st.sampled_from(["Add", "Sub", "Mul", "Div", "Max", "Min"]),
    laid=st.sampled_from([(), (1,), (5,), (4, 5), (3, 1, 1), (3, 4, 5), (1, 3, 4, 1), (1, 1, 5)]),
    first=st.booleans(),
)
def test_numbers_laid_over_a_signal(op, laid, first):
    numbers = np.random.default_rng(1).uniform(0.5, 2, laid).astype(np.float32)
    model = made([node(op, "a x" if first else "x a")], (3, 4, 5), {"a": numbers})
    same(model, signal((3, 4, 5)))


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "Sum"])
@pytest.mark.parametrize("other", ["t", "r", "s"])
def test_two_signals(op, other):
    """t: the same shape; r: a row of each channel, which stretches; s: the signal itself."""
    nodes = [
        node("Abs", "x", "s0", name="abs"),
        node("Exp", "x", "t", name="exp"),
        node("ReduceMax", "t", "r", name="row", axes=[3]),
        node("Identity", "s0", "s", name="same"),
        node(op, f"s0 {other if other != 's' else 's0'}"),
    ]
    xs = signal((3, 4, 5)) if (op, other) not in (("Sub", "s"), ("Div", "s")) else None
    if xs is None:
        return
    same(made(nodes, (3, 4, 5)), xs)


def test_signals_times_signals():
    nodes = [node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x t")]
    same(made(nodes, (3, 4)), signal((3, 4)))


@pytest.mark.parametrize("how", ["none", "tanh"])
def test_gelu_and_group_normalisation_of_late_opsets(how):
    same(made([node("Gelu", approximate=how)], (3, 4), opset=20, gives=(3, 4)), signal((3, 4)))
    constants = {"a": np.arange(1, 5, dtype=np.float32), "b": np.ones(4, np.float32)}
    late = made(
        [node("GroupNormalization", "x a b", num_groups=2)],
        (4, 3),
        constants,
        opset=21,
        gives=(4, 3),
    )
    same(late, signal((4, 3)))


GELUS = {
    "as torch": [
        node("Div", "x root", "a", name="/a"),
        node("Erf", "a", "b", name="/b"),
        node("Add", "b one", "c", name="/c"),
        node("Mul", "x c", "d", name="/d"),
        node("Mul", "d half", "y", name="/y"),
    ],
    "halved first": [
        node("Mul", "inverse x", "a", name="/a"),
        node("Erf", "a", "b", name="/b"),
        node("Add", "one b", "c", name="/c"),
        node("Mul", "x half", "h", name="/h"),
        node("Mul", "h c", "y", name="/y"),
    ],
    "halved inside": [
        node("Mul", "x inverse", "a", name="/a"),
        node("Erf", "a", "b", name="/b"),
        node("Add", "b one", "c", name="/c"),
        node("Div", "c two", "d", name="/d"),
        node("Mul", "d x", "y", name="/y"),
    ],
}
NUMBERS = {"root": 2**0.5, "inverse": 0.5**0.5, "one": 1.0, "half": 0.5, "two": 2.0}


def gelu_of(form, **changed):
    used = {name for n in GELUS[form] for name in n.input}
    numbers = {**NUMBERS, **changed}
    constants = {n: np.float32(v) for n, v in numbers.items() if n in used}
    return made(GELUS[form], (3, 4), constants, opset=13)


@pytest.mark.parametrize("form", GELUS)
def test_gelu_before_it_had_an_operator(form):
    graph = same(gelu_of(form), signal((3, 4)))
    assert sum(isinstance(n, ir.GELU) for n in graph.nodes.values()) == 1


@pytest.mark.parametrize(
    ("form", "changed"),
    [
        ("as torch", {"root": 1.4}),
        ("as torch", {"one": 0.9}),
        ("as torch", {"half": 0.6}),
        ("halved first", {"half": 1.0}),
        ("halved inside", {"two": 3.0}),
    ],
)
def test_what_is_nearly_a_gelu_is_refused(form, changed):
    with pytest.raises(ir.UnsupportedError, match="operator Erf"):
        from_onnx(gelu_of(form, **changed))


def test_joining_and_splitting():
    nodes = [
        node("Split", "x s", "a b", axis=1),
        node("Relu", "a", "c"),
        node("Concat", "c b a", axis=1),
    ]
    same(made(nodes, (5, 2), {"s": np.array([2, 3])}), signal((5, 2)))
    even = [node("Split", "x", "a b c", axis=2), node("Concat", "b a", axis=1)]
    same(made(even, (2, 6), opset=13), signal((2, 6)))


GEMM = [{}, {"transB": 1}, {"alpha": 0.5, "beta": 2.0}]


@pytest.mark.parametrize("attributes", GEMM)
@pytest.mark.parametrize("bias", [None, (6,), (1, 6), (1,)])
def test_gemm(attributes, bias):
    rng = np.random.default_rng(0)
    weight = f32(rng, *((6, 4) if attributes.get("transB") else (4, 6)))
    constants = {"w": weight} | ({} if bias is None else {"b": f32(rng, *bias)})
    model = made([node("Gemm", "x w" if bias is None else "x w b", **attributes)], (4,), constants)
    graph = same(model, signal((4,)))
    assert isinstance(graph.nodes["gemm.Gemm"], ir.Affine if bias else ir.Linear)


@pytest.mark.parametrize("order", ["m b", "b m"])
def test_a_product_and_its_bias_are_one_affine(order):
    rng = np.random.default_rng(0)
    constants = {"w": f32(rng, 4, 6), "b": f32(rng, 6)}
    model = made([node("MatMul", "x w", "m"), node("Add", order)], (4,), constants)
    graph = same(model, signal((4,)))
    assert [type(n) for n in graph.nodes.values()] == [ir.Input, ir.Affine, ir.Output]
    shared = made(
        [node("MatMul", "x w", "m"), node("Add", order, "a"), node("Mul", "a m")], (4,), constants
    )
    assert any(isinstance(n, ir.Linear) for n in same(shared, signal((4,))).nodes.values())


def test_constants_have_the_meaning_of_the_models_opset():
    """Axes of an Unsqueeze are an attribute in opset 11, and an input later."""
    nodes = [node("Unsqueeze", "w", "u", axes=[0]), node("Add", "x u")]
    constants = {"w": np.arange(4, dtype=np.float32)}
    same(made(nodes, (3, 4), constants, opset=11), signal((3, 4)))


def test_the_size_of_the_batch_may_be_asked_for():
    """x.view(x.size(0), -1), as torch writes it."""
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "b"),
        node("Unsqueeze", "b at", "u"),
        node("Concat", "u rest", "t", axis=0),
        node("Reshape", "x t"),
    ]
    constants = {"zero": np.array(0), "at": np.array([0]), "rest": np.array([-1])}
    graph = same(made(nodes, (3, 4), constants), signal((3, 4)))
    assert sum(isinstance(n, ir.Flatten) for n in graph.nodes.values()) == 1


@pytest.mark.parametrize("at", [np.array(1), np.array(-1), np.array([2, 0]), np.array([1])])
def test_places_of_an_axis(at):
    same(made([node("Gather", "x i", axis=1)], (3, 4), {"i": at}), signal((3, 4)))


def test_constants_are_computed_when_the_model_is_read():
    rng = np.random.default_rng(0)
    nodes = [
        node("Transpose", "w", "t", perm=[1, 0]),
        helper.make_node("Constant", [], ["c"], value_float=2.0),
        node("Mul", "t c", "u"),
        node("MatMul", "x u"),
    ]
    graph = same(made(nodes, (4,), {"w": f32(rng, 6, 4)}), signal((4,)))
    assert len(graph.nodes) == 3


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 18, OPSETS[-1]])
def test_every_opset_has_its_way_to_say_the_same(opset):
    """Axes, bounds and padding were attributes once, and are inputs now."""
    as_inputs = {
        "Clip": opset >= 11,
        "Pad": opset >= 11,
        "Slice": opset >= 10,
        "Squeeze": opset >= 13,
        "ReduceMean": opset >= 18,
        "Dropout": opset >= 12,
    }
    constants = {
        "low": np.float32(-1),
        "high": np.float32(1.5),
        "pads": np.array([0, 0, 1, 0, 0, 1]),
        "start": np.array([1]),
        "end": np.array([3]),
        "axis": np.array([1]),
        "last": np.array([2]),
        "p": np.float32(0.25),
    }
    said = {
        "Clip": ("low high", {"min": -1.0, "max": 1.5}),
        "Pad": ("pads", {"pads": [0, 0, 1, 0, 0, 1]}),
        "Slice": ("start end axis", {"starts": [1], "ends": [3], "axes": [1]}),
        "ReduceMean": ("last", {"axes": [2]}),
        "Squeeze": ("last", {"axes": [2]}),
        "Dropout": ("p", {"ratio": 0.25}),
    }
    nodes, before = [], "x"
    for op, (inputs, attributes) in said.items():
        after = "y" if op == "Dropout" else op.lower()
        if as_inputs[op]:
            nodes.append(node(op, f"{before} {inputs}", after))
        else:
            nodes.append(node(op, before, after, **attributes))
        before = after
    used = {name for n in nodes for name in n.input}
    model = made(nodes, (4, 3), {n: v for n, v in constants.items() if n in used}, opset=opset)
    graph = same(model, signal((4, 3)))
    assert graph.metadata["onnx"]["opset"] == opset
    assert [n.p for n in graph.nodes.values() if isinstance(n, ir.Dropout)] == [0.25]


def test_several_inputs_and_outputs_and_odd_names():
    nodes = [
        node("Add", "x z", "/a/Add_output_0", name="/a/Add"),
        node("Relu", "/a/Add_output_0", "y", name=""),
        node("Neg", "x", "x.out", name="y"),
    ]
    model = made(nodes, (3,), inputs=("x", "z"), outputs=("y", "x.out"))
    graph = same(model, signal((3,)), signal((3,), 1))
    assert list(graph.nodes) == ["x", "z", "a.Add", "relu.Relu", "y.2", "y", "x.out"]


def test_a_batch_of_a_fixed_size_is_a_batch():
    model = made([node("Reshape", "x a")], (2, 3), {"a": np.array([4, -1])}, batch=4)
    assert same(model, signal((2, 3), batch=4)).nodes["x"].shape == (2, 3)


def test_what_leads_nowhere_is_left_out():
    model = made([node("Relu"), node("Det", "x", "unused")], (3,))
    assert "det.Det" not in same(model, signal((3,))).nodes


SQUARE = (4, 4)
REFUSED = [
    ([node("Det")], "operator Det", {}),
    ([node("Relu", "x", "t"), node("Hardmax", "t")], "operator Hardmax", {}),
    ([node("Transpose", perm=[1, 0, 2])], "batch would not stay first", {}),
    ([node("Softmax", axis=0)], "axis 0 is the batch", {}),
    ([node("ReduceMean", axes=[0, 1])], "axis 0 is the batch", {}),
    ([node("ReduceMean")], "the batch too", {}),
    ([node("Concat", "x x", axis=0)], "axis 0 is the batch", {}),
    ([node("Flatten", axis=2)], "merge the batch", {}),
    ([node("Reshape", "x a")], "mix samples", {"a": np.array([-1, 4])}),
    ([node("Reshape", "x a")], "mix samples", {"a": np.array([4, 4, -1])}),
    ([node("Reshape", "x a")], "it would mix", {"a": np.array([1, -1])}),
    ([node("MatMul", "a x")], "a known matrix times a signal", {"a": np.eye(4, dtype=np.float32)}),
    ([node("Add", "x a")], "for a signal of shape", {"a": np.ones((3, 4, 4), np.float32)}),
    ([node("Pad", "x a")], "of the batch", {"a": np.array([1, 0, 0, 0, 0, 0])}),
    ([node("Pad", "x a b")], "padding with 2", {"a": [0, 0, 1, 0, 0, 0], "b": np.float32(2)}),
    ([node("Dropout", "x a b")], "training_mode=1", {"a": np.float32(0.5), "b": np.array(True)}),
    ([node("Dropout", "x", "t y")], "its output 2, 'y', is used", {}),
    ([node("Cast", to=7)], "a cast to type 7", {}),
    ([node("Slice", "x a b c d")], "backwards", {"a": [3], "b": [0], "c": [1], "d": [-1]}),
    ([node("Gemm", "x a", transA=1)], "transA=1", {"a": np.eye(4, dtype=np.float32)}),
    ([node("MatMul", "x a")], "a known factor", {"a": np.ones((1, 4, 4), np.float32)}),
    ([node("Squeeze")], "the batch would go too", {}),
    ([node("Squeeze", "x a")], "axes of size 1", {"a": np.array([1])}),
    ([node("ReduceMax", axes=[1, 2], keepdims=0)], "nothing but the batch", {}),
    ([node("Concat", "x a", axis=1)], "input 2 is numbers", {"a": np.ones((3, 4, 4), np.float32)}),
    ([node("Div", "x a")], "a division by 0", {"a": np.float32(0)}),
    ([node("PRelu", "x a")], "slopes of shape", {"a": np.ones(4, np.float32)}),
    ([node("Pad", "x a", mode="wrap")], "mode='wrap'", {"a": np.array([0, 0, 1, 0, 0, 1])}),
    ([node("Pad", "x a", mode="reflect")], "4 mirrored rows", {"a": np.array([0, 0, 4, 0, 0, 0])}),
    ([node("Shape", "x", "s"), node("Add", "x s")], "a sum with sizes", {}),
    ([node("MaxPool", kernel_shape=[2], pads=[1, 0])], "different sizes before", {}),
    ([node("AveragePool", kernel_shape=[2], pads=[1, 0])], "different sizes before", {}),
    ([node("Conv", "x a", kernel_shape=[2])], "kernel_shape=", {"a": np.ones((4, 4, 3), "f")}),
    ([node("Conv", "x a", pads=[-1, 0])], "which cut off", {"a": np.ones((4, 4, 3), "f")}),
    ([node("Gather", "x a", axis=1)], "indices of shape", {"a": np.zeros((2, 2), np.int64)}),
    ([node("ReduceMax", "x", "t", axes=[2], keepdims=0), node("Add", "x t")], "3 and 2 axes", {}),
]


@pytest.mark.parametrize(("nodes", "said", "constants"), REFUSED, ids=[r[1] for r in REFUSED])
def test_what_a_graph_cannot_say_is_refused_by_name(nodes, said, constants):
    model = made(nodes, SQUARE, constants, gives=SQUARE)
    with pytest.raises(ir.UnsupportedError, match=said) as refusal:
        from_onnx(model)
    assert f"node {nodes[-1].name!r}" in str(refusal.value)


MISFITS = [
    ([node("Gemm", "x w b")], {"w": np.eye(4, dtype=np.float32), "b": np.ones(3, np.float32)}),
    ([node("Conv", "x w", pads=[1])], {"w": np.ones((2, 4, 1), np.float32)}),
    ([node("Gather", "x w", axis=1)], {"w": np.array(7)}),
    ([node("ConstantOfShape", "w", "c"), node("Add", "x c")], {"w": np.array([2**20, 2**20])}),
    ([node("RandomNormalLike", "w", "c"), node("Add", "x c")], {"w": np.ones(4, np.float32)}),
]


@pytest.mark.parametrize(("nodes", "constants"), MISFITS, ids=[m[0][0].op_type for m in MISFITS])
def test_what_does_not_fit_is_refused_before_it_harms(nodes, constants):
    shape = (4, 4) if nodes[0].op_type == "Conv" else (4,)
    with pytest.raises(ir.UnsupportedError, match=nodes[0].name):
        from_onnx(made(nodes, shape, constants, gives=shape))


def test_the_example_of_the_docstring():
    assert doctest.testmod(api, raise_on_error=True).attempted == 5


def test_an_attribute_that_is_not_understood_is_refused():
    strange = node("Relu")
    strange.attribute.append(helper.make_attribute("axis", 1))
    with pytest.raises((ir.UnsupportedError, ir.T1CFormatError), match="axis"):
        from_onnx(made([strange], (3,)))


def test_a_batch_norm_in_training_is_refused():
    """Before opset 14 more than one output says so; later an attribute does."""
    ones = {n: np.ones(3, np.float32) for n in "abcd"}
    old = node("BatchNormalization", "x a b c d", "y m v s t")
    with pytest.raises(ir.UnsupportedError, match="5 outputs"):
        from_onnx(made([old], (3,), ones, opset=9, gives=(3,)))
    late = node("BatchNormalization", "x a b c d", "y m v", training_mode=1)
    with pytest.raises(ir.UnsupportedError, match="training_mode=1"):
        from_onnx(made([late], (3,), ones, opset=15, gives=(3,)))


def test_opsets_and_shapes_that_are_not_known():
    with pytest.raises(ir.UnsupportedError, match="opsets 7 to 23"):
        from_onnx(made([node("Relu")], (3,), opset=6))
    open_size = made([node("Relu")], ("width",))
    with pytest.raises(ir.UnsupportedError, match="input_shapes"):
        from_onnx(open_size)
    assert from_onnx(open_size, input_shapes={"x": (7,)}).nodes["x"].shape == (7,)
    with pytest.raises(ir.UnsupportedError, match="of which the file says"):
        from_onnx(made([node("Relu")], (3,)), input_shapes={"x": (7,)})
    with pytest.raises(ir.UnsupportedError, match="inputs: "):
        from_onnx(open_size, input_shapes={"z": (7,)})


def test_files(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(made([node("Relu")], (3,)), path)
    assert isinstance(read(path).nodes["relu.Relu"], ir.ReLU)
    path.write_bytes(b"\xff\xff\xff nothing")
    with pytest.raises(ir.T1CFormatError, match="not an ONNX file"):
        read(path)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.onnx")


def test_weights_in_a_file_beside_it(tmp_path):
    weight = np.eye(64, dtype=np.float32)
    model = made([node("MatMul", "x w")], (64,), {"w": weight})
    path = tmp_path / "model.onnx"
    where = {"save_as_external_data": True, "size_threshold": 0}
    onnx.save(model, path, location="weights.bin", **where)
    np.testing.assert_array_equal(read(path).nodes["matmul.MatMul"].weight, weight)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ir.T1CFormatError, match=r"model\.onnx"):
        read(path)
    secret = tmp_path / "secret.bin"
    secret.write_bytes(weight.tobytes())
    (tmp_path / "inside").mkdir()
    for outside in ("../secret.bin", str(secret)):
        stored = onnx.load(path, load_external_data=False)
        (tensor,) = stored.graph.initializer
        (place,) = [entry for entry in tensor.external_data if entry.key == "location"]
        place.value = outside
        (tmp_path / "inside" / "model.onnx").write_bytes(stored.SerializeToString())
        with pytest.raises(ir.T1CFormatError):
            read(tmp_path / "inside" / "model.onnx")


def test_without_the_package_it_says_what_to_install(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ir.UnsupportedError, match=r"pip install 't1c\[onnx\]'"):
        read(tmp_path / "model.onnx")


def test_the_operators_are_listed():
    assert {"Conv", "Gemm", "LayerNormalization", "Pad", "Concat"} <= set(OPERATORS)


SAME_SHAPE = ["Relu", "Sigmoid", "LeakyRelu", "Softmax", "Dropout", "Neg", "Identity", "HardSwish"]


@examples(25)
@given(st.data())
def test_random_networks(data):
    """Layers behind each other, over shortcuts of every kind, and a head: as onnxruntime has it."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    nodes, constants, at, shape = [], {}, "x", (4, 6, 6)
    seen = {at: shape}

    def put(op, inputs, **attributes):
        name = f"v{len(nodes)}"
        nodes.append(node(op, inputs, name, name=f"/{name}/{op}", **attributes))
        return name

    def constant(value):
        name = f"c{len(constants)}"
        constants[name] = value.astype(np.float32) if value.dtype.kind == "f" else value
        return name

    for _ in range(data.draw(st.integers(2, 6))):
        kind = data.draw(
            st.sampled_from(["one", "conv", "add", "mul", "concat", "scale", "norm", "transpose"])
        )
        like = [name for name, s in seen.items() if s == shape]
        other = data.draw(st.sampled_from(like))
        if kind == "one":
            at = put(data.draw(st.sampled_from(SAME_SHAPE)), at)
        elif kind == "conv":
            weight = constant(rng.normal(0, 0.3, (4, shape[0], 3, 3)))
            at = put("Conv", f"{at} {weight}", pads=[1, 1, 1, 1])
            shape = (4, *shape[1:])
        elif kind in ("add", "mul"):
            at = put("Add" if kind == "add" else "Mul", f"{at} {other}")
        elif kind == "concat":
            at = put("Concat", f"{at} {other}", axis=1)
            shape = (2 * shape[0], *shape[1:])
        elif kind == "scale":
            factor = constant(rng.uniform(0.5, 1.5, data.draw(st.sampled_from([(6,), (6, 6)]))))
            at = put("Mul", f"{factor} {at}")
        elif kind == "norm":
            params = [constant(rng.uniform(0.5, 1.5, shape[0])) for _ in range(4)]
            at = put("BatchNormalization", " ".join([at, *params]))
        else:
            at = put("Transpose", at, perm=[0, 1, 3, 2])
        seen[at] = shape
    pooled = put("GlobalAveragePool", at)
    flat = put("Flatten", pooled)
    weight, bias = constant(rng.normal(0, 0.5, (shape[0], 5))), constant(rng.normal(0, 1, 5))
    product = put("MatMul", f"{flat} {weight}")
    nodes.append(node("Add", f"{bias} {product}"))
    graph = same(made(nodes, (4, 6, 6), constants), signal((4, 6, 6)), rtol=1e-4, atol=1e-5)
    assert isinstance(graph.nodes[f"{product}.MatMul"], ir.Affine)


EXPORTED = sorted((Path(__file__).parent / "data" / "onnx").glob("*.onnx"))


@pytest.mark.parametrize("path", EXPORTED, ids=lambda path: path.stem)
def test_what_torch_exports(path):
    """By both of its exporters; compared with torch, and with onnxruntime at another batch."""
    with np.load(path.with_name(path.stem.partition("_")[0] + ".npz")) as file:
        x, y = file["x"], file["y"]
    graph = read(path)
    found = ir.Reference(graph).run(x[None])[0][0]
    np.testing.assert_allclose(found, y, rtol=1e-5, atol=1e-5)
    same(onnx.load(path), np.concatenate([x, -x]))


def test_both_exporters_are_covered():
    ways = [path.stem.partition("_")[2] for path in EXPORTED]
    assert (ways.count(""), ways.count("dynamo"), ways.count("old")) == (5, 5, 1)
