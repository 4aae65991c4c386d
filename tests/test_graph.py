"""A graph by itself: equality, how it is shown, shapes along its edges, notes, the registry."""

import copy
import dataclasses
import enum
import html.parser
import itertools
import pickle
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t1c import ir
from t1c.ir import fields
from t1c.ir import registry as room
from t1c.ir.metadata import clean_metadata
from t1c.ir.values import same_value

from . import strategies
from .examples import examples

ones, zeros = np.ones, np.zeros


def affine(out=3, given=3, **options):
    return ir.Affine(ones((out, given)), zeros(out), **options)


def lif(*shape, **options):
    return ir.LIF(*(np.full(shape, value) for value in (2.0, 2.0, 0.0, 1.0)), **options)


def chain(metadata=None, **middle):
    nodes = {"input": ir.Input((3,)), **middle, "output": ir.Output((3,))}
    names = list(nodes)
    return ir.Graph(nodes, list(itertools.pairwise(names)), metadata=metadata)


def shapes(graph):
    """What leaves each node, by name."""
    return {
        name: tuple(int(n) for n in node.output_type["output"])
        for name, node in graph.nodes.items()
        if not isinstance(node, ir.Graph)
    }


# Equality ----------------------------------------------------------------------------------------


def changed(weight):
    weight = weight.copy()
    weight[0, 1] += 0.5
    return weight


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (chain(fc=affine(), metadata={"a": 2}), "metadata: {'a': 1} and {'a': 2}"),
        (chain(fc=affine()), "metadata: {'a': 1} and {}"),
        (chain(fc=ir.Affine(changed(ones((3, 3))), zeros(3)), metadata={"a": 1}),
         "node 'fc': weight: 1 of 9 values differ, by up to 0.5"),
        (chain(fc=ir.Affine(ones((3, 3), np.float32), zeros(3)), metadata={"a": 1}),
         "node 'fc': weight: dtypes float64 and float32"),
        (chain(fc=ir.SpikingAffine(ones((3, 3)), zeros(3)), metadata={"a": 1}),
         "node 'fc': type: Affine and SpikingAffine"),
        (chain(fc=affine(metadata={"b": 1}), metadata={"a": 1}),
         "node 'fc': metadata: {} and {'b': 1}"),
        (chain(fc=affine(), relu=ir.ReLU(3), metadata={"a": 1}), "node 'relu': only in the second"),
        (chain(metadata={"a": 1}), "node 'fc': only in the first"),
        (ir.Graph(dict(reversed(chain(fc=affine()).nodes.items())), chain(fc=affine()).edges,
                  {"a": 1}), "nodes: the same in another order"),
        (ir.Graph(chain(fc=affine()).nodes, chain(fc=affine()).edges[::-1], {"a": 1}),
         "edges: the same in another order"),
        (ir.Graph(chain(fc=affine()).nodes, [*chain(fc=affine()).edges, ("input", "output")],
                  {"a": 1}), "edge 'input' -> 'output': only in the second"),
        (ir.Graph(chain(fc=affine()).nodes, chain(fc=affine()).edges, {"a": 1}, allow_cycles=True),
         "allow_cycles: False and True"),
    ],
)  # fmt: skip
def test_a_difference_is_readable(other, difference):
    graph = chain(fc=affine(), metadata={"a": 1})
    assert difference in graph.difference(other)
    assert not graph.equals(other)
    assert not other.equals(graph)
    assert all("array(" not in line and len(line) < 200 for line in graph.difference(other))


def test_equality_is_by_value():
    assert chain(fc=affine()).equals(chain(fc=affine()))
    assert chain(fc=affine()).difference(chain(fc=affine())) == []
    assert not chain(fc=affine()).equals("graph")
    assert not chain(fc=affine()).equals(None)
    assert not chain(fc=affine()).equals(affine())
    assert not affine().equals(chain(fc=affine()))
    assert chain(fc=affine()) != chain(fc=affine()), "two graphs are never the same object"


# NumPy's own pickles lose the byte order of some arrays, hence no notes.
@given(graph=strategies.graphs(max_nodes=4, notes=False))
@examples(15)
def test_a_copy_is_equal_and_independent(graph):
    for again in (copy.deepcopy(graph), pickle.loads(pickle.dumps(graph))):
        assert graph.equals(again)
        for node_ in again.nodes.values():
            for value in node_.parameters().values():
                if value.flags.writeable:
                    value[...] = 1 - value
        has_arrays = any(n.parameters() for n in graph.nodes.values())
        assert graph.equals(again) != has_arrays


@pytest.mark.parametrize(
    ("mine", "theirs", "line"),
    [
        ([np.nan], [np.nan], None),
        ([np.nan], [1.0], "nan and 1.0"),
        ([np.inf], [-np.inf], "inf and -inf"),
        ([np.inf, 1.0], [np.inf, 3.0], "1 of 2 values differ, by up to 2"),
        ([np.nan, 1.0], [0.0, 3.0], "2 of 2 values differ, by up to 2"),
        ([0.0], [-0.0], None),
        ([2**62], [2**62 + 1], f"{2**62} and {2**62 + 1}"),
        ([True, False], [True, True], None),
    ],
)
def test_differences_of_numbers_that_are_none(mine, theirs, line):
    if isinstance(mine[0], bool):
        assert not same_value(mine, theirs)
        return
    first, second = (ir.Affine(np.array([v]), zeros(1)) for v in (mine, theirs))
    assert first.difference(second) == ([] if line is None else [f"weight: {line}"])


def test_shapes_of_parameters_are_part_of_the_value():
    assert lif(1).difference(lif()) == [
        f"{name}: shapes (1,) and ()" for name in ("tau", "r", "v_leak", "v_threshold")
    ]


# How it is shown ---------------------------------------------------------------------------------


def test_repr_is_a_short_table():
    graph = chain(fc1=affine(5), lif=lif(1), fc2=affine(3, 5))
    assert repr(graph) == (
        "Graph: 5 nodes, 4 edges, 42 parameters\n"
        "  node    type    output shape  parameters  from\n"
        "  input   Input   (3,)\n"
        "  fc1     Affine  (5,)          20          input\n"
        "  lif     LIF     (5,)          4           fc1\n"
        "  fc2     Affine  (3,)          18          lif\n"
        "  output  Output  (3,)                      fc2"
    )


def test_repr_marks_what_runs_back():
    nodes = {"input": ir.Input((3,)), "lif": lif(1), "output": ir.Output((3,))}
    edges = [("input", "lif"), ("lif", "lif"), ("lif", "output")]
    assert "input, lif (t-1)" in repr(ir.Graph(nodes, edges, allow_cycles=True))


def test_a_long_graph_is_shown_by_its_ends():
    middle = {f"relu{i}": ir.ReLU(3) for i in range(200)}
    text = repr(chain(**middle))
    assert "(162 more)" in text
    assert len(text.splitlines()) < 50
    assert "relu0 " in text
    assert "relu199 " in text
    assert "relu100 " not in text


def test_repr_of_a_node_holds_no_weights():
    assert repr(affine(300, 200)) == "Affine(weight=<300x200 float64>, bias=<300 float64>)"
    assert repr(lif()).startswith("LIF(tau=<scalar float64>, ")


def test_names_cannot_command_a_terminal_or_break_a_table():
    evil = "a\x1b[31m\nb\u202e"
    text = repr(chain(**{evil: affine()}))
    assert len(text.splitlines()) == 5
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert r"a\x1b[31m\nb\u202e" in text


class Cells(html.parser.HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        assert not attrs
        self.tags.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def test_a_notebook_shows_a_table_in_which_everything_is_escaped():
    evil = "<img src=x onerror=alert('&')>"
    graph = chain(**{evil: affine(), "fc<b>": affine()})
    cells = Cells(graph._repr_html_())
    assert set(cells.tags) == {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert cells.tags.count("tr") == 5
    assert cells.text.count(evil) == 2, "its own row and where the next node comes from"
    assert "fc<b>" in cells.text


@given(graph=strategies.graphs(max_nodes=4))
@examples(15)
def test_any_graph_can_be_shown(graph):
    lines = repr(graph).splitlines()
    assert len(lines) == 2 + len(graph.nodes)
    assert Cells(graph._repr_html_()).tags.count("tr") == 1 + len(graph.nodes)


# Shapes ------------------------------------------------------------------------------------------


def test_shapes_flow_along_the_edges_whatever_their_order():
    nodes = {
        "output": ir.Output((7,)),
        "fc": affine(7, 2 * 3 * 3),
        "flat": ir.Flatten(),
        "pool": ir.MaxPool2d(),
        "conv": ir.Conv2d(ones((2, 1, 3, 3)), zeros(2), padding=1),
        "input": ir.Input((1, 6, 6)),
    }
    names = list(nodes)
    edges = list(zip(names[1:], names, strict=False))
    graph = ir.Graph(nodes, edges)
    assert shapes(graph) == {
        "input": (1, 6, 6), "conv": (2, 6, 6), "pool": (2, 3, 3), "flat": (18,), "fc": (7,),
        "output": (7,),
    }  # fmt: skip
    np.testing.assert_array_equal(graph.nodes["pool"].input_type["input"], [2, 6, 6])


def test_the_nodes_given_are_not_changed():
    pool = ir.MaxPool2d()
    graph = ir.Graph(
        {"input": ir.Input((1, 4, 4)), "pool": pool, "output": ir.Output((1, 2, 2))},
        [("input", "pool"), ("pool", "output")],
    )
    assert pool.input_type == {}
    assert graph.nodes["pool"].input_type is not None
    assert graph.nodes["pool"] is not pool


def test_the_same_node_may_stand_in_two_places():
    relu = ir.ReLU(2)
    nodes = {"input": ir.Input((2, 2)), "a": relu, "flat": ir.Flatten(), "b": ir.Skip(),
             "output": ir.Output((4,))}  # fmt: skip
    graph = ir.Graph(nodes, [("input", "a"), ("a", "flat"), ("flat", "b"), ("b", "output")])
    assert shapes(graph)["a"] == (2, 2)


def loop():
    """add -> lif (per channel) -> conv -> add, over a feature map."""
    nodes = {
        "input": ir.Input((4, 5, 5)),
        "add": ir.Skip("residual"),
        "lif": lif(4),
        "conv": ir.Conv2d(ones((4, 4, 1, 1)), zeros(4)),
        "output": ir.Output((4, 5, 5)),
    }
    edges = [("input", "add"), ("add", "lif"), ("lif", "conv"), ("conv", "add"), ("lif", "output")]
    return nodes, edges


@given(st.permutations(list(loop()[0])), st.permutations(loop()[1]))
@examples(30)
def test_shapes_in_a_loop_do_not_depend_on_any_order(names, edges):
    nodes, _ = loop()
    graph = ir.Graph({name: nodes[name] for name in names}, edges, allow_cycles=True)
    assert set(shapes(graph).values()) == {(4, 5, 5)}


@given(graph=strategies.graphs(cycles=True, nested=False, notes=False, max_nodes=4), data=st.data())
@examples(20)
def test_shapes_do_not_depend_on_any_order(graph, data):
    names = data.draw(st.permutations(list(graph.nodes)))
    edges = data.draw(st.permutations(graph.edges))
    bare = {name: graph.nodes[name].replace() for name in names}
    again = ir.Graph(bare, edges, allow_cycles=graph.allow_cycles)
    assert shapes(again) == shapes(graph)
    assert set(again.feedback_edges()) == set(graph.feedback_edges())


def test_a_loop_without_any_hint_asks_for_one():
    nodes = {"input": ir.Input((3,)), "output": ir.Output((3,)), "a": lif(1), "b": lif(1)}
    edges = [("input", "output"), ("a", "b"), ("b", "a"), ("b", "output")]
    with pytest.raises(ir.GraphError, match=r"nodes 'a', 'b': the shape cannot be told") as caught:
        ir.Graph(nodes, edges, allow_cycles=True)
    assert "input_type" in str(caught.value)
    nodes["a"] = lif(1, input_type={"input": (3,)})
    assert shapes(ir.Graph(nodes, edges, allow_cycles=True))["b"] == (3,)


def test_a_join_inside_a_loop_is_told_by_a_declaration():
    nodes = {
        "input": ir.Input((2,)), "cat": ir.Skip("concatenate"), "fc": affine(3, 5), "lif": lif(1),
        "output": ir.Output((3,)),
    }  # fmt: skip
    edges = [("input", "cat"), ("lif", "cat"), ("cat", "fc"), ("fc", "lif"), ("lif", "output")]
    graph = ir.Graph(nodes, edges, allow_cycles=True)
    assert shapes(graph)["cat"] == (5,)


def test_shapes_come_back_after_a_change():
    graph = chain(fc=affine())
    graph.nodes["input"] = ir.Input((2, 3))
    graph.nodes["output"] = ir.Output((2, 3))
    graph.check()
    assert shapes(graph)["fc"] == (2, 3)
    assert graph.input_type["input"].tolist() == [2, 3]


def test_a_long_chain_and_a_long_loop_take_no_time():
    names = [f"n{i}" for i in range(3000)]
    nodes = {"input": ir.Input((1,)), **{n: ir.Skip() for n in names}, "output": ir.Output((1,))}
    path = ["input", *names, "output"]
    edges = list(itertools.pairwise(path))
    nodes[names[-1]] = lif()
    graph = ir.Graph(nodes, [*edges, (names[-1], names[0])], allow_cycles=True)
    assert graph.feedback_edges() == [(names[-1], names[0])]


def test_the_borders_of_a_graph():
    nodes = {"a": ir.Input((2,)), "b": ir.Input((3,)), "x": ir.Output((2,)), "y": ir.Output((3,))}
    graph = ir.Graph(nodes, [("a", "x"), ("b", "y")])
    assert list(graph.inputs()) == ["a", "b"]
    assert list(graph.outputs()) == ["x", "y"]
    assert {name: shape.tolist() for name, shape in graph.input_type.items()} == {
        "a": [2],
        "b": [3],
    }


def test_the_ways_to_give_a_border_its_shape():
    for border, port in ((ir.Input, "input"), (ir.Output, "output")):
        kind = {"input": "input_type", "output": "output_type"}[port]
        for given_border in (
            border((2, 3)),
            border(shape=[2, 3]),
            border(np.array([2, 3])),
            border(**{kind: {port: np.array([2, 3])}}),
        ):
            assert given_border.shape == (2, 3)
            assert given_border.input_type["input"].tolist() == [2, 3]
            assert given_border.output_type["output"].tolist() == [2, 3]


# Notes -------------------------------------------------------------------------------------------


class Level(enum.IntEnum):
    HIGH = 3


class Unit(enum.StrEnum):
    MS = "ms"


@pytest.mark.parametrize(
    ("given_note", "kept"),
    [
        (np.int32(3), 3), (np.float32(0.5), 0.5), (np.bool_(True), True), (np.str_("x"), "x"),
        (np.array(3), 3), (np.array("x"), "x"), (Level.HIGH, 3), (Unit.MS, "ms"), ((1, 2), [1, 2]),
        (("a",), ["a"]), ([Unit.MS], ["ms"]), (np.array(["a", "b"]), ["a", "b"]), (None, None),
        ([], []), ({}, {}), ({"a": {"b": (1,)}}, {"a": {"b": [1]}}), (True, True), (-0.0, -0.0),
    ],
    ids=repr,
)  # fmt: skip
def test_notes_are_kept_as_what_a_file_makes_of_them(given_note, kept):
    cleaned = clean_metadata({"x": given_note})["x"]
    assert repr(cleaned) == repr(kept)
    assert type(cleaned) is type(kept)
    assert not isinstance(cleaned, enum.Enum)


@pytest.mark.parametrize(
    "note",
    [..., {1, 2}, b"x", 1j, 2**63, -(2**63) - 1, "\0", "a\ud800", ["a\0"], [1, "a"],
     [[1], [1, 2]], [None], [{}], np.array([None]), np.zeros(2, np.longdouble), np.array([["a"]]),
     np.datetime64("2024-01-01"), np.zeros(2, complex), np.array(["a\ud800"]),
     {"a": {"b": ...}},
     {"": 1}, {"a/b": 1}, {".": 1}, {1: 1}, {"a\ud800": 1}],
    ids=repr,
)  # fmt: skip
def test_notes_that_no_file_can_hold_are_refused(note):
    with pytest.raises(ir.NodeError, match="metadata"):
        clean_metadata({"x": note} if not isinstance(note, dict) else note)


def test_notes_are_copied():
    array, inner = np.arange(3), {"list": [1]}
    graph = chain(metadata={"array": array, "inner": inner}, fc=affine())
    array[0], inner["list"] = 9, [2]
    inner["more"] = "x"
    assert graph.metadata["array"].tolist() == [0, 1, 2]
    assert graph.metadata["inner"] == {"list": [1]}


def test_notes_nest_to_a_limit():
    note = {}
    for _ in range(32):
        note = {"deeper": note}
    assert clean_metadata(note) == note
    with pytest.raises(ir.NodeError, match="at most 32 levels"):
        clean_metadata({"deeper": note})
    loop_note = {}
    loop_note["self"] = loop_note
    with pytest.raises(ir.NodeError, match="nested too deeply"):
        clean_metadata(loop_note)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ([1, 2], np.array([1, 2]), True), ([1, 2], [1.0, 2.0], False), (1, 1.0, False),
        (1, True, False),
        (np.nan, np.nan, True), ([np.nan], np.array([np.nan]), True), ({"a": None}, {}, True),
        ({"a": {"b": None}}, {"a": {}}, True), ({"a": {}}, {}, False), ("1", 1, False),
        ([[1], [2]], np.array([[1], [2]]), True), ([], np.zeros(0), True), ([], {}, False),
        (np.zeros((2, 0)), np.zeros((0, 2)), False), (np.zeros(0), np.zeros(0, int), True),
        (["a"], ["a"], True), (["a"], ["b"], False),
    ],
    ids=repr,
)  # fmt: skip
def test_equal_notes(a, b, same):
    assert same_value(a, b) is same
    assert same_value(b, a) is same


# Primitives of one's own -------------------------------------------------------------------------


@ir.register_node
class Gain(ir.Node):
    """y = gain * x + offset, with one field of each kind."""

    gain: fields.Array = fields.array(ndim=1)
    power: int = fields.integer(low=1, default=1)
    offset: float = fields.real(default=0.0)
    clip: bool = fields.boolean(default=False)
    unit: str = fields.choice("mV", "V", default="mV", aliases={"volt": "V"})
    label: str | None = fields.text(default=None)
    pair: tuple[int, int] = fields.integers(length=2, default=(1, 1))
    state_names: ClassVar[tuple[str, ...]] = ()

    def step(self, x, state):
        return self.gain.astype(x.dtype) * x + x.dtype.type(self.offset), state


@pytest.fixture
def registry(monkeypatch):
    """A copy of the registry, thrown away afterwards."""
    monkeypatch.setattr(room, "_REGISTRY", dict(room._REGISTRY))


def test_a_primitive_of_ones_own_has_everything(tmp_path):
    gain = Gain(np.array([1.0, 2.0, 3.0]), offset=0.5, unit="volt", label="é", pair=4, clip=True)
    assert (gain.unit, gain.pair) == ("V", (4, 4))
    assert "Gain" in ir.list_primitives()
    assert ir.str_to_node("Gain") is Gain
    graph = chain(gain=gain)
    out, _ = ir.Reference(graph).run(ones((1, 1, 3)))
    assert out.ravel().tolist() == [1.5, 2.5, 3.5]
    ir.write(tmp_path / "graph.t1c", graph)
    back = ir.read(tmp_path / "graph.t1c")
    assert graph.difference(back) == []
    assert type(back.nodes["gain"]) is Gain
    assert ir.read_version(tmp_path / "graph.t1c") == "0.0.1"
    with pytest.raises(ir.NodeError, match="Gain, field 'unit': 'W'; expected one of 'mV', 'V'"):
        gain.unit = "W"


def test_a_file_with_a_primitive_that_is_not_registered_here(tmp_path, registry):
    ir.write(tmp_path / "graph.t1c", chain(gain=Gain(ones(3))))
    del room._REGISTRY["Gain"]
    with pytest.raises(ir.T1CFormatError, match=r"unknown primitive 'Gain'.*@ir.register_node"):
        ir.read(tmp_path / "graph.t1c")


def test_a_field_must_say_what_it_holds(registry):
    with pytest.raises(TypeError, match=r"Bare.size: declare it with a function of t1c.ir.fields"):

        @ir.register_node
        class Bare(ir.Node):
            size: int = 3


def test_a_field_named_like_what_the_file_keeps_itself(registry):
    with pytest.raises(TypeError, match=r"Typed\.type"):

        @ir.register_node
        class Typed(ir.Node):
            type: str = fields.text()


def test_a_field_named_like_a_note_for_hardware(tmp_path, registry):
    @ir.register_node
    class Precise(ir.Node):
        precision: int = fields.integer()

        def step(self, x, state):
            return x, state

    graph = chain(p=Precise(3, metadata={"talon": {"core_id": 1}}))
    ir.write(tmp_path / "graph.t1c", graph)
    assert ir.read(tmp_path / "graph.t1c").difference(graph) == []


def test_a_primitive_of_ones_own_does_not_take_the_name_of_ours(registry):
    ours = ir.str_to_node("ReLU")
    with pytest.raises(TypeError, match="ReLU is a primitive of t1c"):
        ir.register_node(dataclasses.make_dataclass("ReLU", [], bases=(ir.Node,)))
    assert ir.str_to_node("ReLU") is ours


def test_a_primitive_of_ones_own_may_be_defined_again(registry):
    # A cell of a notebook that is run twice.
    for _ in range(2):

        @ir.register_node
        class Again(ir.Node):
            size: int = fields.integer(default=1)

    assert ir.str_to_node("Again") is Again


def test_only_nodes_are_registered(registry):
    with pytest.raises(TypeError, match=r"derive it from t1c.ir.Node"):
        ir.register_node(int)
    assert "int" not in ir.list_primitives()


def test_a_later_field_of_ones_own_changes_the_type_name(tmp_path, registry):
    @ir.register_node
    class Later(ir.Node):
        old: int = fields.integer(default=1)
        new: int = fields.integer(default=1, since="0.1.0")

        def step(self, x, state):
            return x, state

    ir.write(tmp_path / "old.t1c", chain(later=Later(5)))
    assert ir.read_version(tmp_path / "old.t1c") == "0.0.1"
    ir.write(tmp_path / "new.t1c", chain(later=Later(5, 6)))
    assert ir.read_version(tmp_path / "new.t1c") == "0.1.0"
    assert ir.read(tmp_path / "new.t1c").nodes["later"].new == 6


def test_the_registry_holds_every_primitive_of_the_format():
    assert {*strategies.BUILDERS, "Input", "Output", "Graph"} <= set(ir.list_primitives())


@given(given_node=strategies.nodes())
def test_a_node_is_equal_to_what_its_values_make(given_node):
    again = type(given_node)(**given_node.values(), metadata=given_node.metadata)
    assert again.equals(given_node)
    assert given_node.replace().equals(given_node)
    assert set(type(given_node).defaults()) | type(given_node).required() == set(given_node.kinds)


# Import ------------------------------------------------------------------------------------------


def test_importing_the_representation_loads_no_torch_and_little_else():
    code = (
        "import sys, numpy, h5py, rustworkx\n"
        "before = set(sys.modules)\n"
        "import t1c.ir\n"
        "print(*(name for name in set(sys.modules) - before))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        stdout=subprocess.PIPE, text=True, check=True, timeout=60,
    )  # fmt: skip
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "t1c" in loaded
    assert loaded - sys.stdlib_module_names <= {"t1c", "numpy", "xxhash"}
    # More of them than now would be felt when a command starts.
    assert len(done.stdout.split()) < 140
