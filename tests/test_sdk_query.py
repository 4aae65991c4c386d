"""Questions to a graph: one node, ways, patterns, numbers."""

import itertools
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from t1c import ir, sdk

from .sdk_files import FILES, opened
from .strategies import graphs
from .test_sdk_change import lively

DIGITS = Path(__file__).parent.parent / "examples" / "digits.t1c"


# Statistics --------------------------------------------------------------------------------------


def test_statistics_by_hand():
    graph = ir.Graph(
        {
            "in": ir.Input((2,)),
            "fc": ir.Affine(np.array([[0.0, 1.0], [-3.0, 0.0]]), np.zeros(2, np.float32)),
            "out": ir.Output((2,)),
        },
        [("in", "fc"), ("fc", "out")],
    )
    weight, bias = sdk.get_node_statistics(graph).arrays
    assert (weight.node, weight.field, weight.shape) == ("fc", "weight", (2, 2))
    assert (weight.minimum, weight.maximum, weight.mean) == (-3.0, 1.0, -0.5)
    assert weight.std == pytest.approx(np.sqrt((0.25 + 2.25 + 6.25 + 0.25) / 4))
    assert weight.zeros == 0.5
    assert (bias.dtype, bias.zeros) == ("float32", 1.0)
    assert "50.0%" in str(sdk.get_node_statistics(graph))


def test_statistics_of_what_is_not_finite():
    values = np.array([np.nan, np.inf, 2.0, 4.0])
    graph = ir.Graph(
        {"in": ir.Input((4,)), "s": ir.Scale(values), "out": ir.Output((4,))},
        [("in", "s"), ("s", "out")],
        allow_nonfinite=True,
    )
    (found,) = sdk.get_node_statistics(graph, "s").arrays
    assert (found.minimum, found.maximum, found.mean, found.nonfinite) == (2.0, 4.0, 3.0, 2)
    assert "not finite" in str(sdk.get_node_statistics(graph))


def test_statistics_look_into_nested_graphs():
    found = sdk.get_node_statistics(lively())
    assert "nest/n" in {array.node for array in found.arrays}
    inner = sdk.get_node_statistics(lively(), "nest")
    assert {array.node for array in inner.arrays} == {"nest/n"}
    assert inner.arrays[0] in found.arrays


# inspect_node ------------------------------------------------------------------------------------


def test_everything_about_a_node():
    node = sdk.inspect_node(DIGITS, "lif1")
    assert (node.type, node.state, node.state_size) == ("LIF", ("v",), 16 * 8 * 8)
    assert node.input_type == {"input": (16, 8, 8)}
    assert [n.node for n in node.inputs] == ["conv1"]
    assert [n.node for n in node.outputs] == ["pool1"]
    assert node.fields["reset"] == "subtract"
    assert node.format_version == "0.1.0"
    assert "u = beta * v" in node.meaning
    text = str(node)
    assert re.search(r"v_threshold +1, float64 \(1,\)", text)
    for word in ("conv1 (Conv2d) (16, 8, 8)", "0.1.0 and later", "reset_delay", "u = beta * v"):
        assert word in text
    assert json.loads(json.dumps(node.to_dict()))["fields"]["reset"] == "subtract"


def test_neighbours_know_ports_and_time():
    graph = lively()
    assert [(n.node, n.port, n.shape) for n in sdk.inspect_node(graph, "split").outputs] == [
        ("left", 0, (1,)),
        ("right", 1, (2,)),
    ]
    (source,) = sdk.inspect_node(graph, "back").inputs
    assert source.feedback
    assert "one step late" in source.text
    assert sdk.inspect_node(graph, "nest/n").inputs[0].node == "i"
    assert sdk.inspect_node(graph, "nest").fields == {"i": "Input", "n": "IF", "o": "Output"}


def test_feedback_within_nested_graphs():
    lif = ir.LIF(*(np.array([float(v)]) for v in (2, 2, 0, 1)))
    inner = ir.Graph(
        {"i": ir.Input((1,)), "n": lif, "o": ir.Output((1,))},
        [("i", "n"), ("n", "n"), ("n", "o")],
        allow_cycles=True,
    )
    graph = ir.Graph(
        {"in": ir.Input((1,)), "g": inner, "out": ir.Output((1,))}, [("in", "g"), ("g", "out")]
    )
    assert [n.feedback for n in sdk.inspect_node(graph, "g/n").inputs] == [False, True]


def test_unknown_nodes_are_told_apart_from_near_ones():
    for ask in (sdk.inspect_node, sdk.get_node_statistics):
        with pytest.raises(ir.InputError, match=r"no node 'lif4'.*'lif"):
            ask(DIGITS, "lif4")
    with pytest.raises(ir.InputError, match="no node 'lif1/x'"):
        sdk.inspect_node(DIGITS, "lif1/x")


# trace_path --------------------------------------------------------------------------------------


def simple_paths(graph, start, end):
    """All ways by trying every order of nodes: slow, and independent."""
    flat = graph.flat()
    edges, middle = set(flat.edges), [n for n in flat.nodes if n not in (start, end)]
    found = set()
    for size in range(len(middle) + 1):
        for between in itertools.permutations(middle, size):
            way = (start, *between, end)
            if all(edge in edges for edge in itertools.pairwise(way)):
                found.add(way)
    return found


@given(graphs(max_nodes=3, nested=False, notes=False))
def test_ways_are_all_there_are(graph):
    if len(graph.nodes) > 8:
        return
    for start in graph.inputs():
        for end in graph.outputs():
            found = sdk.trace_path(graph, start, end, limit=10_000)
            assert {path.nodes for path in found.paths} == simple_paths(graph, start, end)
            assert found.complete
            lengths = [len(path.nodes) for path in found.paths]
            assert lengths == sorted(lengths)


def test_ways_mark_feedback_and_pass_nested_graphs():
    graph = lively()
    loops = sdk.trace_path(graph, "lif", "lif")
    assert [path.nodes for path in loops.paths] == [("lif", "back", "sum", "lif")]
    assert loops.paths[0].late == (0,)
    assert "lif ~> back -> sum -> lif" in str(loops)
    (way,) = sdk.trace_path(graph, "lif", "two").paths
    assert way.nodes == ("lif", "nest/i", "nest/n", "nest/o", "split", "right", "two")
    assert sdk.trace_path(graph, "nest", "nest").paths[0].nodes == ("nest/i", "nest/n", "nest/o")
    nothing = sdk.trace_path(graph, "left", "two")
    assert not nothing
    assert "no path" in str(nothing)


def test_shortest_and_limits():
    nodes, edges, last = {"in": ir.Input((1,))}, [], "in"
    for i in range(60):  # 2 ** 60 ways
        nodes[f"a{i}"], nodes[f"s{i}"] = ir.Identity(), ir.Skip()
        edges += [(last, f"a{i}"), (f"a{i}", f"s{i}"), (last, f"s{i}")]
        last = f"s{i}"
    nodes["out"] = ir.Output((1,))
    graph = ir.Graph(nodes, [*edges, (last, "out")])
    begin = time.thread_time()
    shortest = sdk.trace_path(graph, "in", "out", "shortest")
    some = sdk.trace_path(graph, "in", "out", limit=200)
    assert time.thread_time() - begin < 10
    assert [len(path.nodes) for path in shortest.paths] == [62]
    assert not shortest.complete
    assert len(some.paths) == len({path.nodes for path in some.paths}) == 200
    assert sorted({len(path.nodes) for path in some.paths}) == [62, 63, 64]
    with pytest.raises(ir.InputError, match="at least 1"):
        sdk.trace_path(graph, "in", "out", limit=0)
    with pytest.raises(ir.InputError, match="'all' or 'shortest'"):
        sdk.trace_path(graph, "in", "out", "longest")


# find_pattern ------------------------------------------------------------------------------------


def test_patterns():
    found = sdk.find_pattern(DIGITS, "Conv2d->LIF->MaxPool2d")
    assert found.chains == (("conv1", "lif1", "pool1"), ("conv2", "lif2", "pool2"))
    assert len(found) == 2
    assert "conv2 -> lif2 -> pool2" in str(found)
    assert sdk.find_pattern(DIGITS, "Affine -> * -> Output").chains == (("fc", "lif3", "output"),)
    assert len(sdk.find_pattern(DIGITS, "Conv*|Affine->LIF|IF")) == 3
    nothing = sdk.find_pattern(DIGITS, "LIF->LIF")
    assert not nothing
    assert "not found" in str(nothing)
    with pytest.raises(ir.InputError, match="'Conv2D'"):
        sdk.find_pattern(DIGITS, "Conv2D->LIF")
    with pytest.raises(ir.InputError, match="primitives with"):
        sdk.find_pattern(DIGITS, "")


def test_patterns_pass_borders_and_loops():
    graph = lively()
    assert sdk.find_pattern(graph, "LIF->IF->ChannelSplit").chains == (("lif", "nest/n", "split"),)
    assert sdk.find_pattern(graph, "LIF->Affine->Skip->LIF").chains == (
        ("lif", "back", "sum", "lif"),
    )


@given(graphs(notes=False))
def test_any_two_neighbours_are_found(graph):
    flat = graph.flat()
    pairs = set(sdk.find_pattern(graph, "*->*").chains)
    plain = {(a, b) for a, b in flat.edges if "/" not in a and "/" not in b}
    assert plain <= pairs
    assert len(sdk.find_pattern(graph, "Input")) == len(graph.inputs())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_answers(path):
    graph = opened(path)
    for name in [*graph.nodes, *(n for n in graph.flat().nodes if "/" in n)]:
        node = sdk.inspect_node(graph, name)
        assert node.name in str(node)
        assert node.meaning
        json.dumps(node.to_dict(), allow_nan=False)
    assert str(sdk.get_node_statistics(graph))
    ways = [
        sdk.trace_path(graph, start, end) for start in graph.inputs() for end in graph.outputs()
    ]
    assert any(ways)
    assert len(sdk.find_pattern(graph, "*->Output")) >= len(graph.outputs())


def test_more_paths_than_anybody_reads_are_counted():
    """Twenty diamonds in a row: 2 ** 20 ways, none of which is walked to be counted."""
    nodes, edges, before = {"in": ir.Input((2,))}, [], "in"
    for i in range(20):
        a, b, s = f"a{i}", f"b{i}", f"s{i}"
        nodes |= {a: ir.Identity(), b: ir.Identity(), s: ir.Skip()}
        edges += [(before, a), (before, b), (a, s), (b, s)]
        before = s
    nodes["out"] = ir.Output((2,))
    graph = ir.Graph(nodes, [*edges, (before, "out")])
    found = sdk.trace_path(graph, "in", "out", limit=3)
    assert (len(found.paths), found.complete, found.total) == (3, False, 2**20)
    assert str(found).startswith("3 of 1,048,576 paths, the shortest first")
    few = sdk.trace_path(graph, "in", "s3", limit=3)
    walked = sdk.trace_path(graph, "in", "s3")
    assert few.total == len(walked.paths) == walked.total == 16
    assert walked.complete


def test_ways_round_a_loop_are_not_counted():
    nodes = {"in": ir.Input((2,)), "out": ir.Output((2,))}
    nodes |= {n: ir.IF(np.ones(2)) for n in "abc"}
    edges = [("in", "a"), ("a", "b"), ("b", "a"), ("a", "c"), ("b", "c"), ("c", "out")]
    graph = ir.Graph(nodes, edges, allow_cycles=True)
    found = sdk.trace_path(graph, "in", "out", limit=1)
    assert (found.complete, found.total) == (False, None)
    assert str(found).startswith("1 of more paths")
    assert sdk.trace_path(graph, "in", "out").total == 2
