"""What is wrong is said: where, what was found, what was expected, what to do; and all of it."""

import copy
import enum
import itertools
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t1c import ir
from t1c.ir.errors import Problem

from . import strategies
from .examples import examples

ones, zeros = np.ones, np.zeros


def affine(**changes):
    return ir.Affine(**{"weight": ones((3, 3)), "bias": zeros(3), **changes})


def lif(**changes):
    names = ("tau", "r", "v_leak", "v_threshold")
    given = {
        name: np.array([value]) for name, value in zip(names, (2.0, 2.0, 0.0, 1.0), strict=True)
    }
    return ir.LIF(**{**given, **changes})


def chain(**middle):
    nodes = {"input": ir.Input((3,)), **middle, "output": ir.Output((3,))}
    names = list(nodes)
    return nodes, list(itertools.pairwise(names))


def problems(nodes, edges, error=ir.GraphError, **options):
    """What is wrong with a graph, as a list of lines."""
    with pytest.raises(error) as caught:
        ir.Graph(nodes, edges, **options)
    return [str(problem) for problem in caught.value.problems]


# The errors themselves ---------------------------------------------------------------------------

CLASSES = [
    ir.T1CError, ir.NodeError, ir.GraphError, ir.ShapeError, ir.T1CFormatError, ir.VersionError,
    ir.UnknownPrimitiveError, ir.InputError, ir.UnsupportedError,
]  # fmt: skip


def test_one_hierarchy():
    assert all(issubclass(cls, ir.T1CError) for cls in CLASSES)
    assert issubclass(ir.VersionError, ir.T1CFormatError)
    assert issubclass(ir.ShapeError, ir.GraphError)
    assert issubclass(ir.GraphWarning, UserWarning)
    # What users of the first implementation and of NumPy catch.
    assert issubclass(ir.NodeError, ValueError)
    assert issubclass(ir.T1CFormatError, ValueError)


def test_the_text_of_one_and_of_several_problems():
    one = Problem("7", "an even number", "Double it.", "node 'a'", "bits")
    assert str(one) == "node 'a', field 'bits': 7; expected an even number. Double it."
    assert str(ir.T1CError(one)) == str(one)
    assert str(ir.T1CError(one, "bad")) == f"bad: {one}"
    several = ir.GraphError([one, Problem("8")], "bad")
    assert str(several) == f"bad: 2 problems:\n  1. {one}\n  2. 8"
    assert one.at("graph").where == "graph > node 'a'"


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy])
def test_errors_travel_between_processes(cls, copied):
    error = cls([Problem("7", "8", "Add 1.", "node 'a'", "bits"), Problem("x")], "bad")
    again = copied(error)
    assert type(again) is cls
    assert again.problems == error.problems
    assert (str(again), again.heading) == (str(error), error.heading)


def test_an_error_that_was_raised_travels_too(tmp_path):
    with pytest.raises(ir.GraphError) as caught:
        ir.Graph({}, [])
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert len(again.problems) == 2


# Fields ------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


BAD_FIELDS = {
    "weight that is text": (ir.Affine, {"weight": "w", "bias": zeros(2)}, "weight", "numeric"),
    "weight of another rank": (ir.Affine, {"weight": ones(3), "bias": zeros(3)}, "weight", "2 dim"),
    "weight of booleans": (
        ir.Affine, {"weight": ones((2, 2), bool), "bias": zeros(2)}, "weight", "float32",
    ),
    "weight of complex numbers": (
        ir.Affine, {"weight": ones((2, 2), complex), "bias": zeros(2)}, "weight", "float32",
    ),
    "weight of long doubles": (
        ir.Affine, {"weight": ones((2, 2), np.longdouble), "bias": zeros(2)}, "weight", "float64",
    ),
    "weight of objects": (
        ir.Affine, {"weight": np.full((2, 2), None), "bias": zeros(2)}, "weight", "numeric",
    ),
    "ragged weight": (ir.Affine, {"weight": [[1], [1, 2]], "bias": zeros(2)}, "weight", "NumPy"),
    "no weight": (ir.Affine, {"weight": None, "bias": zeros(2)}, "weight", "numeric array"),
    "empty weight": (ir.Affine, {"weight": ones((0, 2)), "bias": zeros(0)}, "weight", "at least"),
    "bias of another size": (ir.Affine, {"weight": ones((2, 3)), "bias": zeros(3)}, "bias", "(2,)"),
    "0 bits": (ir.SpikingAffine, {"weight_bits": 0}, "weight_bits", "from 1 to 32"),
    "33 bits": (ir.SpikingAffine, {"weight_bits": 33}, "weight_bits", "from 1 to 32"),
    "65 bits": (ir.SpikingAffine, {"accumulator_bits": 65}, "accumulator_bits", "from 1 to 64"),
    "narrow accumulator": (
        ir.SpikingAffine, {"weight_bits": 9, "accumulator_bits": 8}, "accumulator_bits", "at least",
    ),
    "bits that are true": (ir.SpikingAffine, {"weight_bits": True}, "weight_bits", "an integer"),
    "half a bit": (ir.SpikingAffine, {"weight_bits": 7.5}, "weight_bits", "an integer"),
    "bits as text": (ir.SpikingAffine, {"weight_bits": "8"}, "weight_bits", "an integer"),
    "unknown spike mode": (ir.SpikingAffine, {"spike_mode": "morse"}, "spike_mode", "'graded'"),
    "foreign enum": (ir.SpikingAffine, {"spike_mode": Colour.RED}, "spike_mode", "'graded'"),
    "stride 0": (ir.Conv2d, {"stride": 0}, "stride", "from 1"),
    "three strides": (ir.Conv2d, {"stride": (1, 1, 1)}, "stride", "2 integers"),
    "half a stride": (ir.Conv2d, {"stride": (1, 1.5)}, "stride", "2 integers"),
    "negative padding": (ir.Conv2d, {"padding": -1}, "padding", "from 0"),
    "padding of another word": (ir.Conv2d, {"padding": "full"}, "padding", "'same'"),
    "same with stride": (ir.Conv2d, {"padding": "same", "stride": 2}, "padding", "stride 1"),
    "groups that do not divide": (ir.Conv2d, {"groups": 3}, "groups", "divisor"),
    "padding beyond half": (ir.MaxPool2d, {"padding": 2}, "padding", "half"),
    "ceil_mode as a number": (ir.MaxPool2d, {"ceil_mode": 1}, "ceil_mode", "True or False"),
    "same for a pool": (ir.AvgPool2d, {"padding": "same"}, "padding", "2 integers"),
    "corners of nearest": (ir.Upsample, {"align_corners": True}, "align_corners", "nearest"),
    "scale 0": (ir.Upsample, {"scale_factor": 0}, "scale_factor", "from 1"),
    "tau below 1": (ir.LIF, {"tau": np.array([2.0, 0.5])}, "tau", "at least 1"),
    "infinite tau": (ir.LIF, {"tau": np.array(np.inf)}, "tau", "finite"),
    "tau that is no number": (ir.LIF, {"tau": np.array(np.nan)}, "tau", "finite"),
    "reset to a value without one": (ir.LIF, {"reset": "value"}, "v_reset", "a value"),
    "value that is not used": (ir.LIF, {"reset": "zero", "v_reset": ones(1)}, "v_reset", "nothing"),
    "unknown reset": (ir.LIF, {"reset": "soft"}, "reset", "'subtract'"),
    "unknown skip": (ir.Skip, {"skip_type": "sum"}, "skip_type", "'concatenate'"),
    "0 features": (ir.ReLU, {"features": 0}, "features", "at least 1"),
    "features beyond 64 bits": (ir.ReLU, {"features": 2**64}, "features", "an integer"),
    "infinite slope": (
        ir.ReLU, {"features": 3, "negative_slope": np.inf}, "negative_slope", "number",
    ),
    "slope beyond a float": (
        ir.ReLU, {"features": 3, "negative_slope": 10**400}, "negative_slope", "number",
    ),
    "softmax over the batch": (ir.Softmax, {"features": 3, "dim": 0}, "dim", "batch axis"),
    "three slopes for four": (ir.PReLU, {"features": 4, "weight": ones(3)}, "weight", "(4,)"),
    "chance above 1": (ir.Dropout, {"features": 3, "p": 1.5}, "p", "from 0.0 to 1.0"),
    "negative variance": (ir.BatchNorm1d, {"running_var": -ones(3)}, "running_var", "at least 0"),
    "two means of three": (ir.BatchNorm2d, {"running_mean": ones(2)}, "running_mean", "(3,)"),
    "negative eps": (ir.BatchNorm1d, {"eps": -1e-5}, "eps", "at least 0"),
    "another normalised shape": (
        ir.LayerNorm, {"normalized_shape": (2,), "weight": ones(3), "bias": ones(2)}, "weight",
        "(2,)",
    ),
    "no shape": (ir.LayerNorm, {"normalized_shape": (), "weight": ones(3), "bias": ones(3)},
                 "normalized_shape", "tuple of integers"),
    "unknown region": (ir.HybridRegion, {"mode": "bnn", "features": 3}, "mode", "'ann'"),
    "a name that UTF-8 cannot hold": (
        ir.HybridRegion, {"mode": "ann", "features": 3, "name": "\ud800"}, "name", "UTF-8",
    ),
    "a name with NUL": (
        ir.HybridRegion, {"mode": "ann", "features": 3, "name": "a\0b"}, "name", "NUL",
    ),
    "input without shape": (ir.Input, {"shape": None}, "shape", "feature shape"),
    "input of size 0": (ir.Input, {"shape": (3, 0)}, "shape", "at least 1"),
    "input of text": (ir.Input, {"shape": "three"}, "shape", "integers"),
    "output of floats": (ir.Output, {"shape": (3.0,)}, "shape", "integers"),
    "input beyond 64 bits": (ir.Input, {"shape": (2**64,)}, "shape", "integers"),
    "declared shape that is text": (
        ir.Skip, {"input_type": {"input": "x"}}, "input_type", "a shape",
    ),
    "declared shape that is ragged": (
        ir.Skip, {"input_type": {"input": [[1], [1, 2]]}}, "input_type", "a shape",
    ),
    "declared size of 0": (ir.Skip, {"output_type": {"output": (0,)}}, "output_type", "at least 1"),
    "port with a slash": (ir.Skip, {"input_type": {"a/b": (3,)}}, "input_type", "slash"),
    "contradicting declaration": (ir.Flatten, {"input_type": {"input": (2, 3)},
                                               "output_type": {"output": (5,)}},
                                  "output_type", "contradicts the inferred shape (6,)"),
    "metadata that is no dict": (ir.Skip, {"metadata": 5}, "metadata", "a dict"),
    "metadata that is an object": (ir.Skip, {"metadata": {"x": object()}}, "metadata.x", "json"),
    "metadata deep inside": (ir.Skip, {"metadata": {"x": {"y": {1, 2}}}}, "metadata.x.y", "a dict"),
    "metadata with a slash": (ir.Skip, {"metadata": {"a/b": 1}}, "metadata", "slash"),
    "metadata with a number for a name": (ir.Skip, {"metadata": {1: 1}}, "metadata", "not text"),
    "metadata beyond 64 bits": (ir.Skip, {"metadata": {"x": 2**64}}, "metadata.x", "number"),
    "metadata that UTF-8 cannot hold": (
        ir.Skip, {"metadata": {"x": "\ud800"}}, "metadata.x", "text",
    ),
}  # fmt: skip

STATISTICS: dict[str, Any] = {
    "num_features": 3,
    **{name: ones(3) for name in ("weight", "bias", "running_mean", "running_var")},
}
REST: dict[type[ir.Node], dict[str, Any]] = {
    ir.SpikingAffine: {"weight": ones((2, 2)), "bias": zeros(2)},
    ir.Conv2d: {"weight": ones((4, 2, 3, 3)), "bias": zeros(4)},
    ir.LIF: {n: ones(1) for n in ("tau", "r", "v_leak", "v_threshold")},
    ir.BatchNorm1d: STATISTICS,
    ir.BatchNorm2d: STATISTICS,
}


@pytest.mark.parametrize("case", BAD_FIELDS)
def test_a_bad_field_names_primitive_field_value_and_what_to_do(case):
    primitive, fields, field, expected = BAD_FIELDS[case]
    with pytest.raises(ir.NodeError) as caught:
        primitive(**{**REST.get(primitive, {}), **fields})
    (problem,) = caught.value.problems
    assert problem.where == primitive.__name__
    assert problem.field.partition("[")[0] == field
    assert expected in str(problem)
    assert problem.found
    assert len(str(problem)) < 500


# Some value that each field of some primitive cannot hold, and that others can.
VALUES = [
    None, True, 0, -1, 7, 2**64, 0.5, np.nan, 1j, "", "morse", "a\0b", b"x", (), (0, 1), (2, 2),
    (1, 2, 3), [1.5], {}, object(), ones(2), ones((2, 2)), ones((2, 2, 3, 3)), ones((1,) * 5),
    -ones(3), np.zeros(0), np.array("x"), np.full(3, None), Colour.RED, ir.SkipType.RESIDUAL,
]  # fmt: skip


@examples(150)
@given(node=strategies.nodes().filter(lambda node: node.kinds), data=st.data())
def test_setting_a_field_is_refused_without_a_trace_or_leaves_a_valid_node(node, data):
    field = data.draw(st.sampled_from(sorted(node.kinds)))
    value = data.draw(st.sampled_from(VALUES))
    before = copy.deepcopy(node.__dict__)
    try:
        setattr(node, field, value)
    except ir.NodeError as error:
        (problem,) = error.problems
        assert problem.where == node.primitive
        assert problem.field in node.kinds
        assert problem.found
        assert repr(node.__dict__) == repr(before)
        for name in node.kinds:
            np.testing.assert_array_equal(getattr(node, name), before[name])
    else:
        node.check()
        assert type(node)(**{**node.values(), "metadata": node.metadata}).equals(node)


@pytest.mark.parametrize(
    ("node", "field", "bad", "expected"),
    [
        (ir.SpikingAffine(ones((2, 2)), ones(2)), "weight_bits", 17, "accumulator_bits"),
        (ir.SpikingAffine(ones((2, 2)), ones(2)), "accumulator_bits", 7, "weight_bits = 8"),
        (ir.Affine(ones((2, 2)), ones(2)), "weight", ones((3, 2)), "bias"),
        (ir.Conv2d(ones((2, 2, 1, 1)), ones(2)), "groups", 4, "divisor"),
        (ir.Conv2d(ones((2, 2, 1, 1)), ones(2), padding="same"), "stride", 2, "stride 1"),
        (ir.MaxPool2d((3, 3), padding=(1, 1)), "kernel_size", 1, "half"),
        (ir.LIF(*[ones(1)] * 4), "reset", "value", "v_reset"),
        (ir.LIF(*[ones(1)] * 4, v_reset=ones(1)), "v_reset", "zero", "numeric array"),
        (ir.LIF(*[ones(1)] * 4), "tau", np.array([0.5]), "at least 1"),
        (ir.PReLU(3, ones(3)), "features", 4, "weight"),
        (ir.Upsample(mode="bilinear", align_corners=True), "mode", "nearest", "align_corners"),
        (ir.BatchNorm1d(2, ones(2), ones(2), ones(2), ones(2)), "num_features", 3, "(3,)"),
        (ir.LayerNorm((2,), ones(2), ones(2)), "normalized_shape", (3,), "(3,)"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_fields_that_no_longer_fit_each_other_are_refused_together(node, field, bad, expected):
    before = copy.deepcopy(getattr(node, field))
    with pytest.raises(ir.NodeError, match=f"{type(node).__name__}, field") as caught:
        setattr(node, field, bad)
    assert expected in str(caught.value)
    np.testing.assert_array_equal(getattr(node, field), before)
    node.check()


CONV: dict[str, Any] = {"weight": ones((4, 2, 3, 3)), "bias": ones(4)}


def takes(*shape: int) -> dict[str, Any]:
    return {"input_type": {"input": np.array(shape)}}


def gives(*shape: int) -> dict[str, Any]:
    return {"output_type": {"output": np.array(shape)}}


@pytest.mark.parametrize(
    ("node", "field", "bad", "expected"),
    [
        (ir.Conv2d(**CONV, **takes(2, 5, 5)), "dilation", 3, "5"),
        (
            ir.Conv2d(**CONV, **takes(2, 5, 5), **gives(4, 3, 3)),
            "stride",
            2,
            "declared shape (4, 3, 3) contradicts the inferred shape (4, 2, 2)",
        ),
        (ir.Affine(ones((2, 2)), ones(2), **takes(2)), "weight", ones((2, 3)), "(2,)"),
        (ir.Input(**takes(3)), "shape", (4,), "declared shape (4,)"),
        (ir.Flatten(**takes(2, 3)), "start_dim", 5, ""),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_field_that_no_longer_fits_the_declared_shapes_is_refused(node, field, bad, expected):
    before = copy.deepcopy(node.__dict__)
    with pytest.raises(ir.NodeError) as caught:
        setattr(node, field, bad)
    assert f"{node.primitive}, field {field!r}" in str(caught.value)
    assert expected in str(caught.value)
    assert repr(node.__dict__) == repr(before)


def shapes_of(node):
    return [{k: tuple(v) for k, v in t.items()} for t in (node.input_type, node.output_type)]


def test_the_types_of_a_node_follow_its_fields():
    fc = ir.Linear(ones((3, 2)))
    fc.weight = ones((5, 4))
    assert shapes_of(fc) == [{"input": (4,)}, {"output": (5,)}]
    conv = ir.Conv2d(**CONV, **takes(2, 5, 5))
    conv.stride = 2
    assert shapes_of(conv) == [{"input": (2, 5, 5)}, {"output": (4, 2, 2)}]
    lif = ir.LIF(*[ones(1)] * 4)
    lif.tau = ones(1) * 7
    assert shapes_of(lif) == [{}, {}]
    border = ir.Input((3,))
    border.shape = (4,)
    assert shapes_of(border) == [{"input": (4,)}, {"output": (4,)}]


def test_the_types_of_a_node_in_a_graph_follow_its_fields_and_keep_what_was_inferred():
    graph = ir.Graph(
        {
            "input": ir.Input((2, 5, 5)),
            "conv": ir.Conv2d(**CONV),
            "lif": ir.LIF(*[ones(1)] * 4),
            "output": ir.Output((4, 3, 3)),
        },
        [("input", "conv"), ("conv", "lif"), ("lif", "output")],
    )
    conv, lif = graph.nodes["conv"], graph.nodes["lif"]
    lif.tau = ones(1) * 7
    assert shapes_of(lif) == [{"input": (4, 3, 3)}, {"output": (4, 3, 3)}]
    conv.padding = 1
    assert shapes_of(conv) == [{"input": (2, 5, 5)}, {"output": (4, 5, 5)}]
    conv.dilation = 5  # fits no more: unknown until the graph is checked
    assert shapes_of(conv) == [{}, {}]
    with pytest.raises(ir.GraphError, match="node 'conv'"):
        graph.check()
    conv.dilation, conv.padding = 1, 0
    graph.check()
    assert shapes_of(graph.nodes["conv"]) == [{"input": (2, 5, 5)}, {"output": (4, 3, 3)}]


def test_a_missing_or_surplus_argument_is_named():
    with pytest.raises(TypeError, match=r"Affine.*'bias'"):
        ir.Affine(ones((2, 2)))
    with pytest.raises(TypeError, match=r"Affine.*'biass'"):
        ir.Affine(ones((2, 2)), ones(2), biass=ones(2))


@pytest.mark.parametrize("name", ["Affin", "LIFs", "", None, 5, [], "Conv4d"])
def test_an_unknown_primitive_suggests_near_ones(name):
    with pytest.raises(ir.UnknownPrimitiveError, match="unknown primitive") as caught:
        ir.str_to_node(name)
    assert repr(name) in str(caught.value)
    near = {"Affin": "Affine", "LIFs": "LIF", "Conv4d": "Conv"}.get(str(name), "")
    assert f"Did you mean {near}" in str(caught.value) if near else "mean" not in str(caught.value)


# Graphs ------------------------------------------------------------------------------------------


def test_an_empty_graph_lacks_both_borders():
    assert problems({}, []) == [
        "graph: there is no Input; expected at least one. Add ir.Input(shape=...) and an edge.",
        "graph: there is no Output; expected at least one. Add ir.Output(shape=...) and an edge.",
    ]


@pytest.mark.parametrize(
    ("edge", "expected"),
    [
        (
            ("fc", "nowhere"),
            "there is no node 'nowhere'; expected an edge between nodes of the graph. "
            "Add the node, or drop the edge.",
        ),
        (
            ("nowhere", "fc"),
            "there is no node 'nowhere'; expected an edge between nodes of the graph. "
            "Add the node, or drop the edge.",
        ),
        (
            ("fc", "outputs"),
            "there is no node 'outputs'; expected an edge between nodes of the graph. "
            "Did you mean 'output'? Add the node, or drop the edge.",
        ),
        (
            ("input", "fc"),
            "duplicate edge; expected each edge once. "
            "Drop one; to add a value twice, put a node with twice its weight between.",
        ),
        (("fc", "fc"), "a self-loop; expected no cycles. Pass allow_cycles=True if it is meant."),
        (("fc", "input"), "an edge leads into an Input; expected edges out of it only"),
        (("output", "fc"), "an edge leads out of an Output; expected edges into it only"),
    ],
)
def test_an_edge_that_cannot_be(edge, expected):
    nodes, edges = chain(fc=affine())
    source, target = edge
    found = problems(nodes, [*edges, edge])
    assert found == [f"edge {source!r} -> {target!r}: {expected}"]


@pytest.mark.parametrize(
    "edge",
    [("a",), ("a", "b", "c"), "ab", 7, None, ("a", 1), ("a", None), {"a": "b"}, [["a"], "b"]],
)
def test_an_edge_that_is_no_pair_of_names(edge):
    nodes, edges = chain(fc=affine())
    expected = f"edge 2: {edge!r}; expected a pair of node names"
    assert problems(nodes, [*edges, edge]) == [expected]
    with pytest.raises(ir.GraphError, match=r"^the graph is not valid: edge 2"):
        ir.Graph(nodes, [*edges, edge])
    # One list holds what is stated to run back as well.
    assert problems(nodes, edges, feedback=[edge]) == [expected]


def test_an_edge_may_be_a_list_of_two_names():
    nodes, edges = chain(fc=affine())
    assert ir.Graph(nodes, [list(edge) for edge in edges]).edges == edges


@pytest.mark.parametrize(
    ("name", "expected"),
    [("", "empty"), ("a/b", "slash"), ("/", "slash"), ("a\0", "NUL"), (".", "folder"),
     ("..", "folder"), ("\ud800", "UTF-8"), (7, "not text"), (None, "not text")],
)  # fmt: skip
def test_a_name_that_no_file_can_hold(name, expected):
    nodes = {"input": ir.Input((3,)), "output": ir.Output((3,)), name: lif()}
    edges = [("input", "output")]
    if isinstance(name, str):
        edges += [("input", name), (name, "output")]
    found = problems(nodes, edges)
    (line,) = [line for line in found if line.startswith(f"node {name!r}: ")]
    assert expected in line
    assert line.endswith(". Rename the node.")


@pytest.mark.parametrize("node", [None, "fc", 5, ir.Affine, np.eye(3), {"weight": 1}])
def test_a_node_that_is_none(node):
    nodes, edges = chain(fc=node)
    expected = f"node 'fc': a {type(node).__name__}; expected a node of t1c.ir"
    assert problems(nodes, edges) == [expected]


def test_a_module_in_the_place_of_a_node_is_told_what_to_do():
    class Module:
        def forward(self):
            raise AssertionError

    nodes, edges = chain(fc=Module(), last=None)
    assert problems(nodes, edges) == [
        "node 'fc': a Module; expected a node of t1c.ir. Convert modules with bridge.to_ir.",
        "node 'last': a NoneType; expected a node of t1c.ir",
    ]


@pytest.mark.parametrize(
    ("nodes", "edges"), [(None, []), (5, []), ({}, None), ({}, 5), ([1, 2], []), ("ab", [])]
)
def test_arguments_of_another_kind(nodes, edges):
    with pytest.raises(ir.T1CError, match="expected"):
        ir.Graph(nodes, edges)


def test_a_node_that_nothing_feeds():
    nodes, edges = chain(fc=affine())
    nodes["lost"] = affine()
    assert problems(nodes, [*edges, ("lost", "output")]) == [
        "node 'lost' (Affine): no edge leads to it; expected at least one: it computes nothing by "
        "itself. Add an edge, or drop the node."
    ]
    # A neuron runs on its leak, if it says how many of it there are.
    nodes["lost"] = lif()
    assert problems(nodes, [*edges, ("lost", "output")]) == [
        "nodes 'lost': the shape cannot be told from the edges; expected a path from an Input, or "
        "a declared shape. Give one of them input_type={'input': shape}."
    ]
    nodes["lost"] = lif(v_leak=ones(3))
    graph = ir.Graph(nodes, [*edges, ("lost", "output")])
    np.testing.assert_array_equal(graph.nodes["lost"].output_type["output"], [3])


def test_a_cycle_is_spelt_out():
    nodes, edges = chain(a=affine(), b=affine(), c=affine())
    assert problems(nodes, [*edges, ("c", "a")]) == [
        "graph: the cycle a -> b -> c -> a; expected no cycles. "
        "Pass allow_cycles=True if the recurrence is meant."
    ]
    (problem,) = problems(nodes, [*edges, ("c", "a")], allow_cycles=True)
    assert "neither a neuron nor a Delay" in problem


def test_what_is_said_to_run_back_lies_on_a_cycle_and_leaves_a_neuron():
    nodes, edges = chain(a=lif(), fc=affine(), b=lif())
    edges.append(("b", "a"))
    found = problems(
        nodes,
        edges,
        allow_cycles=True,
        feedback=[("a", "b"), ("fc", "b"), ("a", "fc"), ("b", "fc")],
    )
    assert found == [
        "feedback edge 'a' -> 'b': not an edge of the graph; expected one of its edges",
        "feedback edge 'fc' -> 'b': it leaves a Affine; "
        "expected an edge that leaves a neuron, which remembers what it sent",
        "feedback edge 'b' -> 'fc': not an edge of the graph; expected one of its edges",
    ]
    assert problems(
        nodes, edges, allow_cycles=True, feedback=[("b", "a"), ("input", "a"), ("b", "output")]
    ) == [
        "feedback edge 'input' -> 'a': it leaves a Input; "
        "expected an edge that leaves a neuron, which remembers what it sent",
    ]
    assert problems(nodes, edges, allow_cycles=True, feedback=[("b", "a"), ("b", "output")]) == [
        "feedback edge 'b' -> 'output': it lies on no cycle; "
        "expected an edge of a cycle: only a cycle needs one that runs back"
    ]


def test_more_edges_than_outputs_leave_no_node_of_several():
    nodes = {
        "input": ir.Input((3,)),
        "s": ir.ChannelSplit((1, 2)),
        **{f"o{i}": ir.Output((i,)) for i in (1, 2, 3)},
    }
    edges = [("input", "s"), *(("s", f"o{i}") for i in (1, 2, 3))]
    assert problems(nodes, edges) == [
        "node 's' (ChannelSplit): 3 edges leave it, and it has 2 outputs; "
        "expected at most one edge for each output. "
        "Send an output on through an Identity to use it more than once."
    ]
    # As many as there are, or fewer, and any number from a node that has one.
    del nodes["o3"]
    ir.Graph(nodes, edges[:-1])


def test_what_was_changed_into_no_node_is_found_where_it_stands():
    nodes, edges = chain(fc=affine(), lif=lif())
    nodes["lif"].tau[:] = 0.5
    expected = "field 'tau': 0.5 (1 of 1 values); expected finite values of at least 1."
    (problem,) = problems(nodes, edges)
    assert problem.startswith(f"node 'lif' (LIF), {expected}")
    good = ir.Graph(*chain(lif=lif()))
    nodes, edges = chain(g=good)
    good.nodes["lif"].tau[:] = 0.5
    (problem,) = problems(nodes, edges)
    assert problem.startswith(f"node 'g' (Graph) > node 'lif' (LIF), {expected}")


def test_notes_that_no_file_can_hold_are_named_by_their_node():
    nodes, edges = chain(fc=affine())
    nodes["fc"].metadata = {"x": object()}
    (problem,) = problems(nodes, edges)
    assert problem.startswith("node 'fc' (Affine)")
    assert "metadata.x" in problem
    nodes["fc"].metadata = {}
    (problem,) = problems(nodes, edges, metadata={"x": object()})
    assert problem.startswith("graph")
    assert "metadata.x" in problem


def test_every_separate_cycle_is_listed():
    nodes, edges = chain(a=lif(), b=lif(), c=lif(), d=lif())
    found = problems(nodes, [*edges, ("b", "a"), ("d", "c")])
    assert ["a -> b -> a" in line or "c -> d -> c" in line for line in found] == [True, True]


def test_shapes_that_do_not_fit_along_an_edge():
    nodes, edges = chain(fc=ir.Affine(ones((2, 4)), zeros(2)))
    (problem,) = problems(nodes, edges)  # what follows from it is not listed
    assert problem.startswith("node 'fc' (Affine): input shape (3,) (from 'input' (3,))")
    assert "4 features" in problem
    nodes, edges = chain(fc=ir.Affine(ones((2, 3)), zeros(2)))
    (problem,) = problems(nodes, edges)
    assert problem.startswith("node 'output' (Output), field 'shape'")
    assert "(3,)" in problem
    assert "(2,)" in problem


def test_an_addition_of_unequal_shapes_names_both():
    nodes, edges = chain(fc=affine())
    nodes["wide"] = ir.Affine(ones((4, 3)), zeros(4))
    assert problems(nodes, [*edges, ("input", "wide"), ("wide", "output")]) == [
        "node 'output' (Output): inputs of unequal shapes (3,) and (4,) are added "
        "(from 'fc' (3,), 'wide' (4,)); expected equal shapes. "
        "Make the shapes equal, or join them with Skip(skip_type='concatenate')."
    ]


def test_a_loop_whose_first_input_suggests_another_shape_asks_for_it():
    nodes, edges = chain(m=ir.Binary("multiply"), fc=ir.Affine(ones((3, 1)), zeros(3)), lif=lif())
    nodes["input"] = ir.Input((1,))
    assert problems(nodes, [*edges, ("lif", "m")], allow_cycles=True) == [
        "node 'm' (Binary): (1,) was taken for the shape of what it sends, and it sends (3,); "
        "expected a loop whose shapes follow from what reaches it first. "
        "Give the node input_type={'input': shape}."
    ]


def test_joined_shapes_that_differ_beyond_the_first_axis():
    nodes = {"a": ir.Input((2, 3)), "b": ir.Input((2, 4)), "cat": ir.Skip("concatenate"),
             "output": ir.Output((4, 3))}  # fmt: skip
    found = problems(nodes, [("a", "cat"), ("b", "cat"), ("cat", "output")])
    assert "(2, 3) and (2, 4)" in found[0]


def test_a_declaration_that_contradicts_what_is_inferred_names_both():
    nodes, edges = chain(skip=ir.Skip(input_type={"input": (5,)}))
    (problem,) = problems(nodes, edges)
    assert "node 'skip' (Skip), field 'input_type'" in problem
    assert "declared shape (5,)" in problem
    assert "inferred shape (3,)" in problem


def test_everything_that_is_wrong_is_listed_at_once():
    nodes = {
        "input": ir.Input((3,)),
        "a/b": affine(),
        "nan": affine(weight=np.full((3, 3), np.nan)),
        "lost": affine(),
        "output": ir.Output((3,)),
    }
    edges = [("input", "a/b"), ("a/b", "nan"), ("nan", "output"), ("nan", "output"),
             ("input", "gone"), ("nan", "nan")]  # fmt: skip
    found = "\n".join(problems(nodes, edges, metadata={"x": object()}))
    for part in ("a/b", "9 of 9 values", "'lost' (Affine): no edge", "duplicate", "'gone'",
                 "self-loop", "metadata.x"):  # fmt: skip
        assert part in found
    assert found.count("\n") == 6


def test_all_shapes_that_do_not_fit_are_listed_at_once():
    nodes, edges = chain(a=affine(), b=affine())
    nodes |= {"c": ir.Affine(ones((3, 5)), zeros(3)), "d": ir.Affine(ones((3, 6)), zeros(3))}
    edges += [("a", "c"), ("c", "output"), ("b", "d"), ("d", "output")]
    nodes["bad"] = affine(weight=np.full((3, 3), np.inf))
    edges += [("input", "bad"), ("bad", "output")]
    found = problems(nodes, edges)
    assert ["'c'" in found[0], "'d'" in found[1], "'bad'" in found[2]] == [True] * 3
    assert len(found) == 3


# Numbers that are none ---------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", ["weight", "bias"])
def test_nonfinite_weights_are_refused_unless_asked_for(tmp_path, field, value):
    node = affine()
    getattr(node, field)[..., 1] = value
    nodes, edges = chain(fc=node)
    (problem,) = problems(nodes, edges)
    count = 3 if field == "weight" else 1
    assert f"node 'fc' (Affine), field {field!r}: {count} of" in problem
    assert "allow_nonfinite=True" in problem
    graph = ir.Graph(nodes, edges, allow_nonfinite=True)
    ir.write(tmp_path / "graph.t1c", graph)
    with pytest.raises(ir.GraphError, match="allow_nonfinite=True"):
        ir.read(tmp_path / "graph.t1c")
    back = ir.read(tmp_path / "graph.t1c", allow_nonfinite=True)
    assert graph.equals(back)
    assert back.allow_nonfinite


@pytest.mark.parametrize("field", ["r", "v_leak", "v_threshold", "v_reset"])
def test_nonfinite_neurons_are_refused_unless_asked_for(field):
    nodes, edges = chain(lif=lif(**{field: np.array([np.inf])}))
    (problem,) = problems(nodes, edges)
    assert f"field {field!r}" in problem
    ir.Graph(nodes, edges, allow_nonfinite=True)


def test_a_tau_that_is_no_number_is_never_allowed():
    node = lif()
    node.tau[:] = np.nan
    nodes, edges = chain(lif=node)
    found = problems(nodes, edges, allow_nonfinite=True)
    assert found == [
        "node 'lif' (LIF), field 'tau': nan (1 of 1 values); expected finite values of at least 1. "
        "tau is in time steps: divide a time constant in seconds by the time step."
    ]


def test_nonfinite_weights_inside_a_nested_graph(tmp_path):
    inner = ir.Graph(*chain(fc=affine(bias=np.array([0, np.nan, 0]))), allow_nonfinite=True)
    nodes, edges = chain(inner=inner)
    (problem,) = problems(nodes, edges)
    assert "'inner'" in problem
    assert "'fc'" in problem
    ir.write(tmp_path / "graph.t1c", ir.Graph(nodes, edges, allow_nonfinite=True))
    with pytest.raises(ir.T1CError, match="'fc'"):
        ir.read(tmp_path / "graph.t1c")
    ir.read(tmp_path / "graph.t1c", allow_nonfinite=True)


def test_an_integer_weight_is_never_nonfinite():
    ir.Graph(*chain(fc=affine(weight=ones((3, 3), np.int8))))


# Warnings ----------------------------------------------------------------------------------------


def dead_end():
    nodes, edges = chain(fc=affine())
    nodes |= {"idle": affine(), "idler": affine()}
    return nodes, [*edges, ("fc", "idle"), ("idle", "idler")]


def test_a_part_that_leads_nowhere_is_a_warning_where_the_graph_is_made():
    with pytest.warns(ir.GraphWarning, match="'idle', 'idler': no path leads") as caught:
        ir.Graph(*dead_end())
    assert [warning.filename for warning in caught] == [__file__]


def test_a_file_with_a_part_that_leads_nowhere_opens_with_the_warning(tmp_path):
    with pytest.warns(ir.GraphWarning):
        graph = ir.Graph(*dead_end())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ir.write(tmp_path / "graph.t1c", graph)  # said once is enough
    with pytest.warns(ir.GraphWarning, match="'idle', 'idler'"):
        assert ir.read(tmp_path / "graph.t1c").equals(graph)


def test_an_input_that_leads_nowhere_is_a_warning():
    nodes, edges = chain(fc=affine())
    with pytest.warns(ir.GraphWarning, match="'spare'"):
        ir.Graph({**nodes, "spare": ir.Input((5,))}, edges)


# What is handed in at run time -------------------------------------------------------------------


def two_inputs():
    nodes = {"a": ir.Input((3,)), "b": ir.Input((3,)), "lif": lif(), "output": ir.Output((3,))}
    return ir.Graph(nodes, [("a", "lif"), ("b", "lif"), ("lif", "output")])


@pytest.mark.parametrize(
    ("x", "found", "expected"),
    [
        (zeros((4, 2, 5)), "shape (4, 2, 5)", "(T, B, 3)"),
        (zeros((4, 3)), "shape (4, 3)", "(T, B, 3)"),
        (zeros(3), "shape (3,)", "(T, B, 3)"),
        (zeros((4, 2, 3, 1)), "shape (4, 2, 3, 1)", "(T, B, 3)"),
        (zeros((4, 2, 3), complex), "complex128", "numbers"),
        (np.full((4, 2, 3), "x"), "<U1", "numbers"),
        (np.full((4, 2, 3), None), "object", "numbers"),
        ({"other": zeros((4, 2, 3))}, "['other']", "['input']"),
        ({}, "[]", "['input']"),
    ],
)
def test_an_input_of_the_wrong_shape_dtype_or_name(x, found, expected):
    reference = ir.Reference(ir.Graph(*chain(lif=lif())))
    with pytest.raises(ir.InputError) as caught:
        reference.run(x)
    assert found in str(caught.value)
    assert expected in str(caught.value)


def test_one_step_takes_no_time():
    reference = ir.Reference(ir.Graph(*chain(lif=lif())))
    with pytest.raises(ir.InputError, match=r"numbers of shape \(B, 3\)"):
        reference.step(zeros((4, 2, 3)))
    assert reference.step(zeros((2, 3)))[0].shape == (2, 3)


def test_several_inputs_are_given_by_name_and_agree():
    reference = ir.Reference(two_inputs())
    with pytest.raises(ir.InputError, match="one for each of"):
        reference.run(zeros((4, 2, 3)))
    for other in (zeros((4, 1, 3)), zeros((5, 2, 3))):
        with pytest.raises(ir.InputError, match=r"input 'b'.*the same T and B"):
            reference.run({"a": zeros((4, 2, 3)), "b": other})
    assert reference.run({"b": zeros((4, 2, 3)), "a": zeros((4, 2, 3))})[0].shape == (4, 2, 3)


@pytest.mark.parametrize(
    "state",
    [{"lif": (zeros((5, 3)),)}, {"lif": (zeros(3),)}, {"lif": ()}, {"lif": (zeros((2, 3)),) * 2}],
)
def test_a_state_that_does_not_fit(state):
    reference = ir.Reference(ir.Graph(*chain(lif=lif())))
    with pytest.raises(ir.InputError, match="node 'lif'") as caught:
        reference.run(zeros((4, 2, 3)), state)
    assert "(2, 3)" in str(caught.value)


def test_a_state_without_what_ran_back_is_not_taken_for_it():
    nodes, edges = chain(lif=lif())
    graph = ir.Graph(nodes, [*edges, ("lif", "lif")], allow_cycles=True)
    reference = ir.Reference(graph)
    _, state = reference.run(ones((4, 2, 3)))
    reference.run(ones((1, 2, 3)), state)
    with pytest.raises(ir.InputError, match="node 'lif'"):
        reference.run(ones((1, 2, 3)), {"lif": state["lif"][:1]})


@given(graph=strategies.grid_graphs(max_nodes=3))
@examples(15)
def test_no_state_and_an_empty_one_are_both_rest_and_neither_is_changed(graph):
    xs = {name: ones((2, 1, *node.shape)) for name, node in graph.inputs().items()}
    xs = xs if len(xs) > 1 else next(iter(xs.values()))
    reference = ir.Reference(graph)
    empty: dict[str, tuple[np.ndarray, ...]] = {}
    out, state = reference.run(xs, empty)
    assert empty == {}
    again, _ = reference.run(xs, None)
    np.testing.assert_equal(out, again)
    kept = copy.deepcopy(state)
    reference.run(xs, state)
    np.testing.assert_equal(state, kept)
