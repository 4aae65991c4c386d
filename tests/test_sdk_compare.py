"""Comparing graphs, their fingerprints and stamps."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t1c import ir, sdk
from t1c.ir.fingerprint import fingerprint_node

from .sdk_files import FILES, opened, quiet
from .strategies import graphs


def chain(**changes):
    """in -> fc -> lif -> out."""
    nodes = {
        "in": ir.Input(shape=(2,)),
        "fc": ir.Affine(np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), np.zeros(2, np.float32)),
        "lif": ir.LIF(*(np.array([value]) for value in (2.0, 2.0, 0.0, 1.0))),
        "out": ir.Output(shape=(2,)),
    }
    edges = [("in", "fc"), ("fc", "lif"), ("lif", "out")]
    return ir.Graph({**nodes, **changes}, edges)


# Graph.replace -----------------------------------------------------------------------------------


def test_a_graph_is_replaced_as_a_node_is():
    graph = chain()
    changed = graph.replace(metadata={"note": 1})
    assert changed.metadata == {"note": 1}
    assert graph.metadata == {}
    assert changed.replace(metadata={}).equals(graph)
    with pytest.raises(ir.GraphError, match="there is no node 'gone'"):
        graph.replace(edges=[*graph.edges, ("lif", "gone")])


@given(graphs())
def test_a_replaced_graph_keeps_everything_else(graph):
    with quiet():
        assert graph.replace().equals(graph)


# Comparison --------------------------------------------------------------------------------------


def test_what_changed_is_told_by_how_much():
    old = chain()
    weight = np.array([[1.0, 2.5], [3.0, 3.0]], np.float32)
    new = chain(fc=old.nodes["fc"].replace(weight=weight, metadata={"by": "me"}))
    found = sdk.compare_graphs(old, new)
    assert not found
    assert found.same_structure
    (change,) = found.changed
    values, note = change.fields
    assert (change.name, values.field, values.kind) == ("fc", "weight", "values")
    assert (values.differing, values.size, values.largest) == (2, 4, 1.0)
    assert values.relative == 0.25
    assert (note.field, note.a, note.b) == ("metadata.by", "(absent)", "'me'")
    assert "2 of 4 numbers differ, by up to 1" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["changed"][0]["name"] == "fc"
    assert sdk.compare_graphs(old, new, atol=1.0, metadata=False)
    assert sdk.compare_graphs(old, new, rtol=0.25, metadata=False)
    assert not sdk.compare_graphs(old, new, rtol=0.24, metadata=False)


def test_nodes_and_edges_that_come_and_go():
    old = chain()
    nodes = {**old.nodes, "extra": ir.Scale(np.array([2.0])), "lif": ir.IF(np.array([1.0]))}
    edges = [("in", "fc"), ("fc", "extra"), ("extra", "lif"), ("lif", "out")]
    found = sdk.compare_graphs(old, ir.Graph(nodes, edges))
    assert found.added == (("extra", "Scale"),)
    assert found.removed == ()
    assert found.edges_added == (("fc", "extra"), ("extra", "lif"))
    assert found.edges_removed == (("fc", "lif"),)
    assert [(f.field, f.a, f.b) for f in found.changed[0].fields] == [("type", "LIF", "IF")]
    assert not found.same_structure
    back = sdk.compare_graphs(ir.Graph(nodes, edges), old)
    assert (back.removed, back.edges_removed) == (found.added, found.edges_added)


def test_a_renamed_node_is_recognised():
    old = chain()
    nodes = {("dense" if n == "fc" else n): node for n, node in old.nodes.items()}
    found = sdk.compare_graphs(
        old, ir.Graph(nodes, [("in", "dense"), ("dense", "lif"), ("lif", "out")])
    )
    assert found.renamed == (("fc", "dense"),)
    assert (found.added, found.removed, found.edges_added) == ((), (), ())
    assert not found


def joined(order, nodes=("in", "a", "b", "join", "out")):
    made = {
        "in": ir.Input(shape=(2,)),
        "a": ir.Scale(np.array([1.0])),
        "b": ir.Scale(np.array([2.0])),
        "join": ir.Skip("concatenate"),
        "out": ir.Output(shape=(4,)),
    }
    return ir.Graph(
        {name: made[name] for name in nodes},
        [("in", "a"), ("in", "b"), *((n, "join") for n in order), ("join", "out")],
    )


def test_order_of_inputs_is_meaning_and_order_of_nodes_is_not():
    found = sdk.compare_graphs(joined("ab"), joined("ba"))
    assert found.inputs_reordered == ("join",)
    assert sdk.fingerprint_graph(joined("ab")) != sdk.fingerprint_graph(joined("ba"))
    other = joined("ab", ("out", "join", "b", "a", "in"))
    assert sdk.compare_graphs(joined("ab"), other).order is False
    assert sdk.compare_graphs(joined("ab"), other, order=False)
    assert sdk.fingerprint_graph(joined("ab")) == sdk.fingerprint_graph(other)


def split(order):
    return ir.Graph(
        {
            "in": ir.Input(shape=(4,)),
            "split": ir.ChannelSplit((2, 2)),
            "a": ir.Output(shape=(2,)),
            "b": ir.Output(shape=(2,)),
        },
        [("in", "split"), *(("split", n) for n in order)],
    )


def test_the_output_that_an_edge_takes_is_meaning():
    found = sdk.compare_graphs(split("ab"), split("ba"))
    assert set(found.ports_changed) == {("split", "a"), ("split", "b")}
    assert not found.same_structure
    assert sdk.fingerprint_graph(split("ab")) != sdk.fingerprint_graph(split("ba"))


def test_nested_graphs_are_looked_into():
    def around(inner):
        return ir.Graph(
            {"x": ir.Input(shape=(2,)), "g": inner, "y": ir.Output(shape=(2,))},
            [("x", "g"), ("g", "y")],
        )

    found = sdk.compare_graphs(around(chain()), around(chain(lif=ir.IF(np.array([1.0])))))
    assert [change.name for change in found.changed] == ["g/lif"]
    with pytest.raises(ir.InputError, match="compare_graphs"):
        sdk.compare_nodes(chain(), chain())


def test_not_finite_and_unequal_kinds():
    def scale(value):
        return ir.Scale(np.asarray(value))

    nan = np.array([np.nan, 1.0])
    assert not sdk.compare_nodes(scale(nan), scale(nan.copy()))
    (change,) = sdk.compare_nodes(scale(nan), scale([2.0, 1.0]), rtol=1e9).fields
    assert (change.differing, change.largest) == (1, np.inf)
    (change,) = sdk.compare_nodes(scale([1.0, 2.0]), scale(np.float32([1.0, 2.0]))).fields
    assert (change.kind, change.differing) == ("dtype", 0)
    (change,) = sdk.compare_nodes(scale([1.0]), scale([1.0, 1.0])).fields
    assert (change.kind, change.a, change.b) == ("shape", "shape (1,)", "shape (2,)")
    big = 2**62
    (change,) = sdk.compare_nodes(scale([big]), scale([big + 1])).fields
    assert change.largest == 1.0


def test_assertion_holds_the_report():
    sdk.assert_graphs_equal(chain(), chain())
    with pytest.raises(AssertionError, match=r"only in b|differ") as caught:
        sdk.assert_graphs_equal(chain(), joined("ab"))
    assert "join" in str(caught.value)


@given(graphs(), st.data())
def test_equal_means_what_equals_means(graph, data):
    other = data.draw(st.one_of(st.just(graph), graphs()))
    assert bool(sdk.compare_graphs(graph, graph))
    assert bool(sdk.compare_graphs(graph, other)) == graph.equals(other)


# Fingerprints ------------------------------------------------------------------------------------


def test_fingerprint_is_the_hash_of_what_is_written_down():
    """The canonical form by hand: if this changes, every stamp out there stops to fit."""
    graph = ir.Graph(
        {"x": ir.Input((1,)), "s": ir.Scale(np.array([0.5], "<f4")), "y": ir.Output((1,))},
        [("x", "s"), ("s", "y")],
    )
    digest = hashlib.sha256(bytes([0, 0, 0, 0x3F])).hexdigest()
    array = f'{{"dtype":"f4","sha256":"{digest}","shape":[1]}}'
    form = (
        '{"feedback":[],"graph":{'
        f'"s":{{"fields":{{"scale":{array}}},"from":[["x",0]],"input":[[1]],"output":[[1]],'
        '"type":"Scale"},'
        '"x":{"fields":{"shape":[1]},"from":[],"input":[[1]],"output":[[1]],"type":"Input"},'
        '"y":{"fields":{"shape":[1]},"from":[["s",0]],"input":[[1]],"output":[[1]],'
        '"type":"Output"}},"scheme":"t1c-1","weights":true}'
    )
    assert sdk.fingerprint_graph(graph) == hashlib.sha256(form.encode()).hexdigest()


@given(graphs(), st.randoms())
def test_fingerprint_survives_files_orders_and_notes(tmp_path_factory, graph, random):
    path = tmp_path_factory.mktemp("fingerprint") / "g.t1c"
    ir.write(path, graph)
    found = sdk.fingerprint_graph(graph)
    with quiet():
        assert sdk.fingerprint_graph(path) == found
    names = list(graph.nodes)
    random.shuffle(names)
    nodes = {name: graph.nodes[name].replace(metadata={"n": 1}) for name in names}
    with quiet():
        shuffled = graph.replace(nodes=nodes, metadata={"other": "notes"})
    assert sdk.fingerprint_graph(shuffled) == found
    structure = sdk.fingerprint_graph(graph, weights=False)
    assert sdk.fingerprint_graph(shuffled, weights=False) == structure != found


def test_fingerprint_does_not_see_byte_order_layout_and_nan_payload():
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    first = sdk.fingerprint_graph(chain(fc=ir.Affine(weight[:, :2], np.zeros(2))))
    forms = [weight.astype(">f4")[:, :2], np.asfortranarray(weight)[:, :2]]
    for form in forms:
        assert sdk.fingerprint_graph(chain(fc=ir.Affine(form, np.zeros(2)))) == first
    wide = weight[:, :2].astype(np.float64)
    assert sdk.fingerprint_graph(chain(fc=ir.Affine(wide, np.zeros(2)))) != first
    payloads = [np.array([0x7FC00000], np.uint32), np.array([0xFFC00001], np.uint32)]
    scales = [ir.Scale(bits.view(np.float32)) for bits in payloads]
    assert len({fingerprint_node(node) for node in scales}) == 1


def test_every_change_of_a_field_shows():
    seen = {sdk.fingerprint_graph(chain())}
    lif = chain().nodes["lif"]
    variants = [
        chain(lif=lif.replace(tau=np.array([3.0]))),
        chain(lif=lif.replace(reset="subtract")),
        chain(lif=lif.replace(fires_at="gt")),
        chain(lif=lif.replace(v_min=np.array([0.0]))),
        chain(lif=ir.IF(np.array([1.0]))),
        chain(**{"in": ir.Input(shape=(2,), hold=3)}),
        chain(out=ir.Output(shape=(2,), final=True)),
    ]
    for graph in variants:
        seen.add(sdk.fingerprint_graph(graph))
    assert len(seen) == 1 + len(variants)


def test_feedback_counts_and_how_it_was_said_does_not():
    def loop(**options):
        return chain().replace(edges=[*chain().edges, ("lif", "fc")], allow_cycles=True, **options)

    plain = loop()
    assert plain.feedback_edges() == [("lif", "fc")]
    assert sdk.fingerprint_graph(plain) == sdk.fingerprint_graph(loop(feedback=[("lif", "fc")]))
    assert sdk.fingerprint_graph(plain) != sdk.fingerprint_graph(chain())


# Stamps ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_is_stamped_compared_and_checked(path, tmp_path):
    graph = opened(path)
    assert not sdk.verify_fingerprint(graph)
    with quiet():
        stamped = sdk.stamp_graph(graph)
        ir.write(tmp_path / "g.t1c", stamped)
        assert sdk.verify_fingerprint(tmp_path / "g.t1c").verdict == "unchanged"
        found = sdk.compare_graphs(graph, tmp_path / "g.t1c")
    assert sdk.get_stamp(stamped).full == sdk.fingerprint_graph(graph)
    assert {change.field for change in found.metadata} == {"metadata.fingerprint"}
    assert not found.changed
    assert found.unchanged


def test_a_stamp_tells_what_changed():
    stamped = sdk.stamp_graph(chain())
    assert bool(sdk.verify_fingerprint(stamped))
    noted = stamped.replace(metadata={**stamped.metadata, "note": "harmless"})
    assert sdk.verify_fingerprint(noted).verdict == "unchanged"
    fc = ir.Affine(np.ones((2, 2), np.float32), np.zeros(2, np.float32))
    trained = stamped.replace(nodes={**stamped.nodes, "fc": fc})
    check = sdk.verify_fingerprint(trained)
    assert check.verdict == "weights changed"
    assert not check
    assert check.stamp.full in str(check)
    other = stamped.replace(nodes={**stamped.nodes, "lif": ir.IF(np.array([1.0]))})
    assert sdk.verify_fingerprint(other).verdict == "structure changed"
    assert sdk.verify_fingerprint(sdk.stamp_graph(other)).verdict == "unchanged"
    broken = stamped.replace(metadata={"fingerprint": "nonsense"})
    assert sdk.verify_fingerprint(broken).verdict == "no stamp"
    assert sdk.get_stamp(chain()) is None
