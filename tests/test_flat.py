"""Nested graphs in the place of their nodes, and the order in which a step works what is left."""

import numpy as np
import pytest

from t1c import ir
from t1c.ir.step_plan import Source, StepPlan
from t1c.ir.unknown import Unknown

from .written_edges import edges_of


def lif():
    return ir.LIF(*(np.array([number]) for number in (4.0, 4.0, 0.0, 0.5)))


def crossed():
    """Two Inputs, two Outputs, and a neuron that remembers."""
    nodes = {
        "a": ir.Input((1,), metadata={"from": "left"}),
        "b": ir.Input((2,)),
        "lif": lif(),
        "w": ir.Linear(np.eye(2)),
        "x": ir.Output((2,)),
        "y": ir.Output((1,)),
    }
    edges = edges_of("a>y b>lif lif>w w>lif lif>x")
    return ir.Graph(nodes, edges, allow_cycles=True, feedback=[("lif", "w")])


def nested():
    """Two of them, one after the other, whose wide and narrow sides are crossed in between."""
    nodes = {
        "one": ir.Input((1,)),
        "two": ir.Input((2,)),
        "first": crossed(),
        "swap": lif(),
        "second": crossed(),
        "out": ir.Output((2,)),
        "rest": ir.Output((1,)),
    }
    edges = edges_of(
        "one>first two>first first>swap first>second swap>second second>out second>rest"
    )
    return ir.Graph(nodes, edges)


def one_way():
    nodes = {"in": ir.Input((2,)), "lif": lif(), "w": ir.Linear(np.eye(2)), "out": ir.Output((2,))}
    edges = edges_of("in>lif lif>w w>lif lif>out")
    return ir.Graph(nodes, edges, allow_cycles=True, feedback=[("lif", "w")])


def test_the_nodes_of_nested_graphs_take_their_place_in_order():
    flat = nested().flat()
    inside = ["a", "b", "lif", "w", "x", "y"]
    assert list(flat.nodes) == [
        *("one", "two"),
        *(f"first/{n}" for n in inside),
        "swap",
        *(f"second/{n}" for n in inside),
        *("out", "rest"),
    ]


def test_edges_lead_to_the_inputs_and_from_the_outputs_of_nested_graphs_in_their_order():
    flat = nested().flat()
    inside = "a>y b>lif lif>w w>lif lif>x"
    expected = [(f"{g}/{a}", f"{g}/{b}") for g in ("first", "second") for a, b in edges_of(inside)]
    expected += edges_of(
        "one>first/a two>first/b first/x>swap first/y>second/a swap>second/b"
        " second/x>out second/y>rest"
    )
    assert flat.edges == expected


def test_what_is_stated_to_run_back_is_stated_of_the_whole():
    flat = nested().flat()
    assert flat.stated == edges_of("first/lif>first/w second/lif>second/w")
    assert flat.feedback_edges() == flat.stated
    nodes = {"in": ir.Input((2,)), "g": one_way(), "lif": lif(), "out": ir.Output((2,))}
    graph = ir.Graph(
        nodes, edges_of("in>g g>lif lif>g lif>out"), allow_cycles=True, feedback=[("lif", "g")]
    )
    assert graph.flat().stated == edges_of("g/lif>g/w lif>g/in")


def test_a_loop_is_found_however_deep_it_lies():
    graph = one_way().replace(feedback=())
    back = graph.feedback_edges()
    assert len(back) == 1
    for _ in range(2):
        nodes = {"in": ir.Input((2,)), "g": graph, "out": ir.Output((2,))}
        graph = ir.Graph(nodes, edges_of("in>g g>out"))
        back = [(f"g/{source}", f"g/{target}") for source, target in back]
        assert graph.feedback_edges() == graph.flat().feedback_edges() == back


def test_what_is_stated_to_run_back_does_so_where_the_rule_would_choose_another_edge():
    nodes = {"in": ir.Input((1,)), "near": lif(), "far": lif(), "out": ir.Output((1,))}
    edges = edges_of("in>near near>far far>near far>out")
    assert ir.Graph(nodes, edges, allow_cycles=True).feedback_edges() == edges_of("far>near")
    stated = ir.Graph(nodes, edges, allow_cycles=True, feedback=edges_of("near>far"))
    assert stated.feedback_edges() == edges_of("near>far")


def test_several_edges_into_the_only_input_of_a_nested_graph_are_added_there():
    inner = ir.Graph({"in": ir.Input((1,)), "out": ir.Output((1,))}, [("in", "out")])
    nodes = {"a": ir.Input((1,)), "b": ir.Input((1,)), "g": inner, "out": ir.Output((1,))}
    graph = ir.Graph(nodes, edges_of("a>g b>g g>out"))
    assert graph.flat().edges == edges_of("g/in>g/out a>g/in b>g/in g/out>out")
    out, _ = ir.Reference(graph).run({"a": np.full((1, 1, 1), 2.0), "b": np.full((1, 1, 1), 3.0)})
    assert out.tolist() == [[[5.0]]]


def test_three_inputs_of_a_nested_graph_take_an_edge_each():
    nodes = {f"in{i}": ir.Input((i + 1,)) for i in range(3)}
    nodes |= {f"out{i}": ir.Output((i + 1,)) for i in range(3)}
    edges = [(f"in{i}", f"out{i}") for i in range(3)]
    inner = ir.Graph(nodes, edges)
    graph = ir.Graph(
        {**nodes, "g": inner},
        [(f"in{i}", "g") for i in range(3)] + [("g", f"out{i}") for i in range(3)],
    )
    outer = edges_of("in0>g/in0 in1>g/in1 in2>g/in2 g/out0>out0 g/out1>out1 g/out2>out2")
    assert graph.flat().edges == [(f"g/{a}", f"g/{b}") for a, b in edges] + outer
    assert set(graph.flat().ports().values()) == {0}


def test_the_borders_of_a_nested_graph_pass_on_and_keep_what_they_say():
    flat = nested().flat()
    for name, node in flat.nodes.items():
        inside = "/" in name and name[-1] in "abxy"
        assert (node.primitive == "Identity") == inside, name
    assert flat.nodes["first/a"].metadata == {"from": "left"}
    assert flat.nodes["first/a"].input_type["input"].tolist() == [1]
    assert flat.nodes["first/x"].input_type["input"].tolist() == [2]
    assert flat.nodes["one"].primitive == "Input"


def test_edges_take_the_outputs_of_a_node_in_order():
    nodes = {
        "in": ir.Input((6,)),
        "s": ir.ChannelSplit((3, 3)),
        "left": ir.ChannelSplit((1, 1, 1)),
        "right": ir.Identity(),
        **{f"o{i}": ir.Output((1,)) for i in range(3)},
        "all": ir.Output((3,)),
        "again": ir.Output((3,)),
    }
    edges = edges_of("left>o2 s>left in>s left>o0 right>all s>right left>o1 right>again")
    ports = ir.Graph(nodes, edges).flat().ports()
    assert list(ports) == edges
    assert list(ports.values()) == [0, 0, 0, 1, 0, 1, 2, 0]


def test_a_loop_starts_where_the_inputs_reach_it_and_a_delay_is_a_delay_of_its_own():
    nodes = {
        "in": ir.Input((1,)),
        "near": lif(),
        "far": lif(),
        "d": ir.Delay(np.array([1.0])),
        "out": ir.Output((1,)),
    }
    around = edges_of("in>near near>far far>d d>near far>out")
    assert ir.Graph(nodes, around, allow_cycles=True).feedback_edges() == []
    # The outside reaches both, as near to the Output; only the Input is nearer to one of them.
    nodes = {"in": ir.Input((1,)), "alone": lif(), "near": lif(), "far": lif(), "sum": ir.Skip()}
    nodes |= {"out": ir.Output((1,))}
    edges = edges_of("in>near in>alone alone>far near>far far>near near>sum far>sum sum>out")
    assert ir.Graph(nodes, edges, allow_cycles=True).feedback_edges() == [("far", "near")]


def test_a_step_visits_each_node_after_what_feeds_it():
    nodes = {
        "out": ir.Output((1,)),
        "d": ir.Delay(np.array([2.0])),
        "behind": ir.Delay(np.array([1.0])),
        "lif": lif(),
        "w": ir.Linear(np.eye(1)),
        "self": lif(),
        "in": ir.Input((1,)),
    }
    edges = edges_of("in>lif w>lif lif>w lif>d d>lif lif>self self>self self>behind behind>out")
    plan = StepPlan(ir.Graph(nodes, edges, allow_cycles=True))
    assert plan.early == ["d"]
    assert plan.fed_back == ["lif", "self"]
    assert plan.sources == {
        "out": (Source("behind", 0, False),),
        "d": (Source("lif", 0, False),),
        "behind": (Source("self", 0, False),),
        "lif": (Source("in", 0, False), Source("w", 0, False), Source("d", 0, False)),
        "w": (Source("lif", 0, True),),
        "self": (Source("lif", 0, False), Source("self", 0, True)),
        "in": (),
    }
    assert set(plan.order) == set(nodes)
    place = {name: i for i, name in enumerate(plan.order)}
    for name, sources in plan.sources.items():
        for source in sources:
            if name not in plan.early and not source.back:
                assert place[source.name] < place[name]


def test_a_plan_knows_what_arrives_and_what_is_sent():
    nodes = {
        "in": ir.Input((3,)),
        "s": ir.ChannelSplit((1, 2)),
        "a": ir.Output((1,)),
        "b": ir.Output((2,)),
    }
    plan = StepPlan(ir.Graph(nodes, edges_of("in>s s>a s>b")))
    assert plan.sources["b"] == (Source("s", 1, False),)
    assert plan.arriving_shape("s") == (3,)
    assert plan.sent_shapes("s") == ((1,), (2,))


def test_a_node_of_an_unknown_primitive_has_no_step():
    inner = {"in": ir.Input((1,)), "wave": Unknown("Wave@9.0.0", {}, "9.0.0")}
    inner |= {"out": ir.Output((1,))}
    nodes = {"in": ir.Input((1,)), "g": ir.Graph(inner, edges_of("in>wave wave>out"))}
    nodes |= {"out": ir.Output((1,))}
    with pytest.raises(ir.UnsupportedError, match=r"node 'g/wave'.*Wave@9\.0\.0.*not run"):
        StepPlan(ir.Graph(nodes, edges_of("in>g g>out")))


# What a nested graph takes and sends --------------------------------------------------------------


def narrow():
    return ir.Graph({"in": ir.Input((2,)), "out": ir.Output((2,))}, edges_of("in>out"))


def test_a_nested_graph_sends_the_shapes_of_its_outputs():
    assert crossed().shapes([(1,), (2,)]) == ((1,), ((2,), (1,)))
    assert narrow().shapes([(2,), (2,)]) == ((2,), ((2,),))
    assert narrow().output_shape((2,)) == (2,)


def test_where_nothing_arrives_only_one_input_says_what_would():
    assert narrow().shapes([]) == ((2,), ((2,),))
    assert crossed().shapes([]) == (None, ((2,), (1,)))


@pytest.mark.parametrize("arriving", [[(1,)], [(2,), (1,)], [(1,), (2,), (2,)]])
def test_a_nested_graph_says_what_does_not_fit_its_inputs(arriving):
    with pytest.raises(ir.ShapeError) as caught:
        crossed().shapes(arriving)
    (problem,) = caught.value.problems
    assert problem.found == f"inputs of shapes {arriving}"
    assert problem.expected == "one for each of its Inputs ['a', 'b']: [(1,), (2,)]"
