"""Files made to mislead, to hang or to exhaust the reader are refused, and say why.

Whatever the file: never a crash or a hang, never any error but ``T1CError`` (or FileNotFoundError
where there is no file), nothing read from outside of it, and time and memory in proportion to it.
"""

import os
import random
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from t1c import ir
from t1c.ir.hdf5_guard import Guard, opened

from . import strategies
from .hostile_reader import outcomes

TEXT = h5py.string_dtype("utf-8")
FC = "graph/nodes/fc"


def small_graph():
    return ir.Graph(
        {
            "input": ir.Input((3,)),
            "fc": ir.Affine(np.ones((3, 3)), np.zeros(3)),
            "lif": ir.LIF(*(np.array([value]) for value in (2.0, 2.0, 0.0, 1.0))),
            "output": ir.Output((3,)),
        },
        [("input", "fc"), ("fc", "lif"), ("lif", "output")],
        metadata={"note": "x", "more": {"list": ["a", "b"]}},
    )


@pytest.fixture(autouse=True)
def forged(monkeypatch):
    """Whoever forges a file forges its checksums: what is refused is refused without them."""
    monkeypatch.setattr(Guard, "expect_checksums", lambda guard: None)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "graph.t1c"
    ir.write(path, small_graph())
    return path


@pytest.fixture
def file(path):
    """The file, open for mischief."""
    with h5py.File(path, "r+") as file:
        yield file


def put(file, name, value, **options):
    """Replace what is at ``name``."""
    if name in file:
        del file[name]
    if isinstance(value, h5py.SoftLink | h5py.ExternalLink | h5py.HardLink):
        file[name] = value
    else:
        file.create_dataset(name, data=value, **options)


def refusal(file, error=ir.T1CFormatError):
    """Close the file and return what the reader says of it."""
    path = file.filename
    file.close()
    with pytest.raises(error) as caught:
        ir.read(path)
    message = str(caught.value)
    assert len(message) < 2000
    return message


# Not such a file at all --------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"\n", b"not a network", b"\x89HDF\r\n\x1a\n", b"PK\3\4"])
def test_a_file_of_another_kind(tmp_path, content):
    path = tmp_path / "model.t1c"
    path.write_bytes(content)
    for read in (ir.read, ir.read_version):
        with pytest.raises(ir.T1CFormatError, match=r"model\.t1c"):
            read(path)


def test_an_archive_is_not_a_network(tmp_path):
    path = tmp_path / "model.t1c"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("graph", "x")
    with pytest.raises(ir.T1CFormatError, match="not an HDF5 file"):
        ir.read(path)


@pytest.mark.parametrize("name", ["nowhere.t1c", "nowhere/model.t1c", "\0", "x" * 5000])
def test_no_file_at_all(tmp_path, name):
    for read in (ir.read, ir.read_version):
        with pytest.raises(FileNotFoundError, match="there is no file"):
            read(f"{tmp_path}/{name}")


def test_a_link_to_nothing_or_to_itself(tmp_path):
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("gone", "loop"):
        with pytest.raises(FileNotFoundError, match="there is no file"):
            ir.read(tmp_path / name)


def test_a_folder_a_pipe_and_a_device(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(ir.T1CFormatError, match="not an HDF5 file"):
            ir.read(path)


def test_a_nir_file_is_named(file):
    file.move("graph", "node")
    put(file, "version", "1.0.8")
    assert "a NIR file" in refusal(file)


def test_a_nir_file_without_version_is_named(file):
    file.move("graph", "node")
    del file["version"]
    assert "a NIR file" in refusal(file)


# The version -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "version",
    [None, "", " ", ".", "1", "v0.0.1", "0.0.1-rc1", "0.0.1.", "-1.0", "0_0.1", " 0.0.1", "0.0.1\n",
     "0,1", "nan", "٠.٠.١", "9" * 5000, 0.1, 1, True, ["0.0.1"], np.zeros(3)],
    ids=lambda v: repr(v)[:12],
)  # fmt: skip
def test_a_version_that_is_missing_or_none(file, version):
    if version is None:
        del file["version"]
    else:
        put(file, "version", version)
    if isinstance(version, str) and version == "1":
        assert "Install a later t1c" in refusal(file, ir.VersionError)
    else:
        assert "version" in refusal(file)


@pytest.mark.parametrize("version", ["0.3.1", "0.4", "1.0.0", "0.3.0.1", "99999999999999999999.0"])
def test_a_version_from_the_future(file, version):
    path = file.filename
    put(file, "version", version)
    message = refusal(file, ir.VersionError)
    assert version in message
    assert "0.3.0" in message
    assert ir.read_version(path) == version


@pytest.mark.parametrize("version", ["0.0.1", "0.0.2", "0.1.0", "0.2.0", "0.3.0"])
def test_a_version_that_is_not_later(file, version):
    put(file, "version", version)
    path = file.filename
    file.close()
    assert ir.read(path).equals(small_graph())


def test_a_future_file_is_not_read_further(file):
    put(file, "version", "7.0")
    del file["graph"]
    assert "Install a later t1c" in refusal(file, ir.VersionError)


# Types of nodes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["Affine@", "Affine@x", "Affine@9.9", "Affine@@0.0.1", "@0.0.1", "affine", "", "Affine "],
)
def test_a_type_name_that_is_not_known(file, name):
    put(file, f"{FC}/type", name)
    message = refusal(file)
    assert "node 'fc'" in message
    assert repr(name) in message


@pytest.mark.parametrize("name", ["Graph@9.9", "Graph@", "LIF", "", "Graph@0.1.0@"])
def test_a_root_that_is_no_graph(file, name):
    put(file, "graph/type", name)
    message = refusal(file)
    assert "graph" in message
    assert repr(name) in message


@pytest.mark.parametrize("wrong", [5, ["Affine"], np.zeros((2, 2)), h5py.Empty("f8"), None])
def test_a_type_that_is_no_text(file, wrong):
    del file[f"{FC}/type"]
    if wrong is not None:
        put(file, f"{FC}/type", wrong)
    assert "node 'fc'" in refusal(file)


def test_a_later_field_under_the_plain_name(file):
    put(file, "graph/nodes/lif/reset", "subtract")
    message = refusal(file)
    assert "node 'lif' (LIF)" in message
    assert "'reset'" in message


def test_an_unknown_field_could_change_the_meaning(file):
    put(file, f"{FC}/sparsity", 0.5)
    message = refusal(file)
    assert "node 'fc' (Affine)" in message
    assert "'sparsity'" in message


def test_a_field_that_is_missing(file):
    del file[f"{FC}/bias"]
    message = refusal(file)
    assert "node 'fc' (Affine), field 'bias': it is missing" in message
    assert "numeric array" in message


# Fields of the wrong kind ------------------------------------------------------------------------


def every_primitive():
    """One node of each primitive, side by side, all fields present."""
    ones = np.ones
    nodes = {
        "Affine": ir.Affine(ones((3, 3)), ones(3)),
        "SpikingAffine": ir.SpikingAffine(ones((3, 3)), ones(3)),
        "Conv2d": ir.Conv2d(ones((2, 2, 1, 1)), ones(2)),
        "SepConv2d": ir.SepConv2d(ones((2, 1, 1, 1)), ones((2, 2, 1, 1)), ones(2), ones(2)),
        "MaxPool2d": ir.MaxPool2d(stride=1),
        "AvgPool2d": ir.AvgPool2d(stride=1),
        "Upsample": ir.Upsample(size=(2, 2)),
        "Flatten": ir.Flatten(),
        "LIF": ir.LIF(
            *(ones(1) for _ in range(4)),
            v_reset=ones(1),
            reset="value",
            reset_delay=True,
            fires_at="gt",
        ),
        "Skip": ir.Skip(),
        "ReLU": ir.ReLU(3),
        "Sigmoid": ir.Sigmoid(3),
        "Tanh": ir.Tanh(3),
        "Softmax": ir.Softmax(3),
        "GELU": ir.GELU(3),
        "ELU": ir.ELU(3),
        "PReLU": ir.PReLU(3, ones(1)),
        "BatchNorm1d": ir.BatchNorm1d(3, ones(3), ones(3), ones(3), ones(3)),
        "BatchNorm2d": ir.BatchNorm2d(2, ones(2), ones(2), ones(2), ones(2)),
        "LayerNorm": ir.LayerNorm((3,), ones(3), ones(3)),
        "Dropout": ir.Dropout(3),
        "HybridRegion": ir.HybridRegion("ann", 3, "name"),
        "Delay": ir.Delay(np.array([2]), ones(1)),
        "Accumulate": ir.Accumulate("mean"),
        "Input": ir.Input((3,), hold=2),
        "Output": ir.Output((3,), final=True),
    }
    flat = (3,)
    graph = {"x": ir.Input(flat), "y": ir.Input((2, 2, 2))}
    edges = []
    for name, node in nodes.items():
        graph[name] = node
        try:
            source, shape = "x", node.output_shape(flat)
        except ir.ShapeError:
            source, shape = "y", node.output_shape((2, 2, 2))
        edges += [(source, name)] * (name != "Input")
        if name != "Output":
            graph[f"{name}/out".replace("/", " ")] = ir.Output(shape)
            edges.append((name, f"{name} out"))
    return ir.Graph(graph, edges), nodes


def test_every_primitive_is_among_them():
    ours = {
        name
        for name in ir.list_primitives()
        if ir.str_to_node(name).__module__.startswith("t1c.ir.primitives")
        # tests/test_later_primitives.py has the others
        and (not ir.str_to_node(name).since or name in strategies.BUILDERS)
    }
    assert set(every_primitive()[1]) == ours
    assert set(every_primitive()[1]) == {*strategies.BUILDERS, "Input", "Output"}


def opaque(group, name):
    kind = h5py.h5t.create(h5py.h5t.OPAQUE, 8)
    kind.set_tag(b"code")
    space = h5py.h5s.create(h5py.h5s.SCALAR)
    h5py.h5d.create(group.id, name.encode(), kind, space)


def not_utf8(group, name):
    group.create_dataset(name, data=np.array(b"\xff\xfe", dtype=object), dtype=TEXT)


WRONG = {
    "a group": lambda group, name: group.create_group(name),
    "complex": lambda group, name: group.create_dataset(name, data=1j),
    "a record": lambda group, name: group.create_dataset(
        name, data=np.zeros(2, dtype=[("a", "f4"), ("b", "i4")])
    ),
    "opaque": opaque,
    "a reference": lambda group, name: group.create_dataset(
        name, data=group.ref, dtype=h5py.ref_dtype
    ),
    "nothing": lambda group, name: group.create_dataset(name, data=h5py.Empty("f8")),
    "no elements": lambda group, name: group.create_dataset(name, data=np.zeros((0, 3))),
    "ragged": lambda group, name: group.create_dataset(
        name, shape=(2,), dtype=h5py.vlen_dtype(np.int32)
    ),
    "a list of text": lambda group, name: group.create_dataset(name, data=["a", "b"], dtype=TEXT),
    "not UTF-8": not_utf8,
    "a named type": lambda group, name: group.__setitem__(name, np.dtype("f8")),
    "an array of arrays": lambda group, name: group.create_dataset(
        name, shape=(2,), dtype=np.dtype("(3,)f8")
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_field_of_the_wrong_kind_is_named_for_every_field_of_every_primitive(tmp_path, wrong):
    graph, nodes = every_primitive()
    path = tmp_path / "graph.t1c"
    ir.write(path, graph)
    spoilt = []
    with h5py.File(path, "r+") as file:
        for primitive in nodes:
            group = file["graph/nodes"][primitive]
            for field in set(group) - {"type", "metadata", "input_type", "output_type"}:
                del group[field]
                WRONG[wrong](group, field)
                spoilt.append((primitive, field))
    assert len(spoilt) > 70
    with pytest.raises(ir.T1CFormatError) as caught:
        ir.read(path)
    told = {(p.where, p.field) for p in caught.value.problems}
    text = [str(p) for p in caught.value.problems]
    for primitive, field in spoilt:
        place = f"node {primitive!r} ({primitive}), field {field!r}"
        assert any(place in line for line in text), (place, told)
    assert all(p.found for p in caught.value.problems)


@pytest.mark.parametrize("field", ["input_type", "output_type"])
@pytest.mark.parametrize(
    "wrong", [np.array([3]), "(3,)", 3, {"input": "three"}, {"input": {}}, {"input": 0.5},
              {"input": np.array([0])}, {"input": np.zeros((2, 2), int)}, {"input": ["a"]}],
    ids=repr,
)  # fmt: skip
def test_a_declared_type_of_the_wrong_kind(file, field, wrong):
    if isinstance(wrong, dict):
        group = file[FC].create_group(field)
        for port, value in wrong.items():
            if isinstance(value, dict):
                group.create_group(port)
            else:
                put(group, port, value)
    else:
        put(file, f"{FC}/{field}", wrong)
    message = refusal(file)
    assert "node 'fc'" in message
    assert field in message


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("weight", "[[1,1,1],[1,1,1],[1,1,1]]"),
        ("weight", "tensor([1.])"),
        ("bias", ""),
    ],
)
def test_numbers_written_as_text_are_not_weights(file, field, text):
    put(file, f"{FC}/{field}", text)
    message = refusal(file)
    assert f"node 'fc' (Affine), field {field!r}" in message
    assert "text where numbers belong" in message


@pytest.mark.parametrize(
    "text",
    ["__import__('os').system('true')", "(" * 100_000, "-" * 100_000 + "1", "1" + "+1" * 100_000,
     "9" * 100_000, "[" * 500 + "]" * 500, "'\\d'", "1if 1else 2", "{}", "None", "1e400", "\n", ""],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_text_where_a_number_belongs_is_parsed_without_being_run(tmp_path, text):
    path = tmp_path / "graph.t1c"
    middle = {"a": ir.ReLU(3, 0.5), "b": ir.Flatten()}
    nodes = {"input": ir.Input((3,)), **middle, "output": ir.Output((3,))}
    ir.write(path, ir.Graph(nodes, [("input", "a"), ("a", "b"), ("b", "output")]))
    with h5py.File(path, "r+") as file:
        put(file, "graph/nodes/a/features", text)
        put(file, "graph/nodes/a/negative_slope", text)
        put(file, "graph/nodes/b/start_dim", text)
        message = refusal(file)
    assert "3 problems" in message


# What is accepted can be run ----------------------------------------------------------------------

LARGEST = 2**31 - 1


@pytest.mark.parametrize("field", ["stride", "dilation", "padding"])
@pytest.mark.parametrize("value", [LARGEST + 1, 4 * 10**18, 2**63 - 1])
def test_a_window_that_no_address_can_hold(tmp_path, field, value):
    node = ir.Conv2d(np.ones((1, 1, 1, 1)), np.zeros(1))
    graph = ir.Graph(
        {"in": ir.Input((1, 3, 3)), "conv": node, "out": ir.Output((1, 3, 3))},
        [("in", "conv"), ("conv", "out")],
    )
    path = tmp_path / "graph.t1c"
    ir.write(path, graph)
    with h5py.File(path, "r+") as file:
        put(file, f"graph/nodes/conv/{field}", np.array([value, 1]))
        message = refusal(file)
    assert f"node 'conv' (Conv2d), field {field!r}" in message
    assert str(LARGEST) in message


def test_the_largest_window_that_is_accepted_is_run():
    """A stride and a dilation that are never taken, because there is one window and one weight."""
    x = np.arange(9.0).reshape(1, 1, 1, 3, 3)
    for node in (
        ir.Conv2d(np.full((1, 1, 1, 1), 2.0), np.ones(1), stride=LARGEST, dilation=LARGEST),
        ir.MaxPool2d((1, 1), stride=LARGEST, dilation=LARGEST),
    ):
        out = node.output_shape((1, 3, 3))
        graph = ir.Graph(
            {"in": ir.Input((1, 3, 3)), "node": node, "out": ir.Output(out)},
            [("in", "node"), ("node", "out")],
        )
        result, _ = ir.Reference(graph).run(x)
        assert result.shape == (1, 1, 1, 1, 1)
        assert result.item() == (1.0 if isinstance(node, ir.Conv2d) else 0.0)


def test_a_size_beyond_what_a_file_holds_is_said_of_its_node():
    size = 2**62
    with pytest.raises(ir.GraphError, match=r"node 'up' \(Upsample\): output shape"):
        ir.Graph(
            {"in": ir.Input((1, size, 1)), "up": ir.Upsample(2), "out": ir.Output((1, 1, 1))},
            [("in", "up"), ("up", "out")],
        )


def test_an_empty_batch_gives_an_empty_answer():
    """As torch gives it, of every primitive."""
    graph, nodes = every_primitive()
    given = {name: np.ones((2, 0, *node.shape)) for name, node in graph.inputs().items()}
    answer, _ = ir.Reference(graph).run(given)
    shapes = {name: (2, 0, *node.shape) for name, node in graph.outputs().items()}
    shapes["Output"] = shapes["Output"][1:]  # the one that says its last step alone
    assert {name: array.shape for name, array in answer.items()} == shapes
    assert len(answer) >= len(nodes) - 2


# Edges -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sources", "targets"), [(2, 3), (3, 2), (0, 3), (4, 3)])
def test_edges_of_unequal_length(file, sources, targets):
    names = ["input", "fc", "lif", "output"]
    put(file, "graph/edges/src", np.array(names[:sources], object), dtype=TEXT)
    put(file, "graph/edges/dst", np.array(names[1 : 1 + targets], object), dtype=TEXT)
    message = refusal(file)
    assert f"{sources} sources" in message
    assert f"{targets} targets" in message


@pytest.mark.parametrize("end", ["src", "dst"])
@pytest.mark.parametrize(
    "wrong", [None, "fc", np.arange(3), h5py.Empty("f8"), [["input", "fc", "lif"]], {}, b"\xff"],
    ids=repr,
)  # fmt: skip
def test_ends_of_edges_that_are_no_names(file, end, wrong):
    del file[f"graph/edges/{end}"]
    if isinstance(wrong, dict):
        file.create_group(f"graph/edges/{end}")
    elif isinstance(wrong, bytes):
        put(file, f"graph/edges/{end}", np.array([wrong] * 3, object), dtype=TEXT)
    elif wrong is not None:
        put(file, f"graph/edges/{end}", wrong)
    assert "edge" in refusal(file, ir.T1CError)


@pytest.mark.parametrize("part", ["nodes", "edges", "type"])
def test_a_graph_without_its_parts(file, part):
    del file[f"graph/{part}"]
    assert part in refusal(file)


@pytest.mark.parametrize("part", ["nodes", "edges", "metadata", "nodes/fc", "edges/src"])
def test_a_dataset_where_a_group_belongs_and_the_other_way_round(file, part):
    is_group = isinstance(file[f"graph/{part}"], h5py.Group)
    del file[f"graph/{part}"]
    if is_group:
        file[f"graph/{part}"] = 5
    else:
        file.create_group(f"graph/{part}")
    assert part.rpartition("/")[2] in refusal(file)


@pytest.mark.parametrize("extra", ["graph/edges/delay", "graph/surprise", f"{FC}/surprise"])
def test_what_is_not_known_is_not_ignored(file, extra):
    file[extra] = np.ones(3)
    assert extra.rpartition("/")[2] in refusal(file)


@pytest.mark.parametrize("value", ["yes", 1, 0.5, [True]])
def test_allow_cycles_is_true_or_false(file, value):
    put(file, "graph/allow_cycles", value)
    assert "allow_cycles" in refusal(file)


# Names -------------------------------------------------------------------------------------------


def test_a_node_named_with_a_slash(file):
    file.move("graph/nodes/fc", "graph/nodes/block/fc")
    message = refusal(file)
    assert "'block/fc'" in message
    assert "slash" in message


def test_a_name_that_is_not_utf8(file):
    h5py.h5g.create(file["graph/nodes"].id, b"\xff\xfe")
    assert "utf-8" in refusal(file).lower()


def test_a_note_whose_name_is_not_utf8(file):
    h5py.h5g.create(file["graph/metadata"].id, b"\xff\xfe")
    assert "utf-8" in refusal(file).lower()


# Data from elsewhere -----------------------------------------------------------------------------

PLACES = [
    "version", "graph", "graph/type", "graph/nodes", "graph/edges", "graph/edges/src",
    "graph/metadata", "graph/metadata/note", "graph/metadata/more/list", "graph/allow_cycles",
    "graph/feedback", "graph/nodes/fc", f"{FC}/type", f"{FC}/weight", f"{FC}/metadata",
    f"{FC}/input_type", f"{FC}/core_id", f"{FC}/surprise", "graph/nodes/new",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["external", "soft", "dangling", "circular"])
def test_a_link_is_refused_wherever_it_stands(tmp_path, file, place, kind):
    """Even one that leads to exactly what belongs there."""
    shutil.copy(file.filename, tmp_path / "other.t1c")
    file.copy(file["graph"], file.create_group("spare"), "graph")
    link = {
        "external": h5py.ExternalLink("other.t1c", f"/{place}"),
        "soft": h5py.SoftLink(f"/spare/{place}"),
        "dangling": h5py.SoftLink("/nowhere"),
        "circular": h5py.SoftLink(f"/{place}"),
    }[kind]
    put(file, place, link)
    message = refusal(file)
    assert "link" in message or (place.endswith("surprise") and "surprise" in message)


def test_no_link_is_followed_to_be_looked_at(tmp_path):
    """A link to a pipe: whoever opens it waits for ever."""
    os.mkfifo(tmp_path / "pipe")
    link = h5py.ExternalLink(str(tmp_path / "pipe"), "/")
    copies = []
    for i, place in enumerate([*PLACES, "node", f"{FC}/a"]):
        copies.append(tmp_path / f"{i}.t1c")
        ir.write(copies[-1], small_graph())
        with h5py.File(copies[-1], "r+") as file:
            if place == "node":
                del file["version"], file["graph"]
            if place == f"{FC}/a":
                del file[f"{FC}/type"]
            put(file, place, link)
    for outcome in outcomes(copies, seconds=4):
        assert outcome.refused, outcome


def test_weights_kept_in_another_file(tmp_path, file):
    (tmp_path / "secret").write_bytes(np.ones(9).tobytes())
    del file[f"{FC}/weight"]
    file[FC].create_dataset(
        "weight", shape=(3, 3), dtype="f8", external=[(str(tmp_path / "secret"), 0, 72)]
    )
    message = refusal(file)
    assert "field 'weight'" in message
    assert "another file" in message


def test_weights_gathered_from_another_file(tmp_path, file):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["weight"] = np.ones((3, 3))
    layout = h5py.VirtualLayout(shape=(3, 3), dtype="f8")
    layout[...] = h5py.VirtualSource(str(tmp_path / "other.h5"), "weight", shape=(3, 3))
    del file[f"{FC}/weight"]
    file[FC].create_virtual_dataset("weight", layout)
    message = refusal(file)
    assert "field 'weight'" in message
    assert "another file" in message


# Loops and depth ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ("graph/nodes/again", "graph/nodes/fc"),
        ("graph/nodes/again", "graph"),
        ("graph/nodes/again", "graph/nodes"),
        ("graph/metadata/loop", "graph/metadata"),
        ("graph/metadata/loop", "graph"),
        ("graph/metadata/more/loop", "graph/metadata"),
        (f"{FC}/metadata", FC),
        (f"{FC}/metadata", "graph/nodes/lif"),
        (f"{FC}/input_type", FC),
    ],
)
def test_a_group_that_is_linked_twice(file, new, old):
    file[new] = file[old]
    assert "linked a second time" in refusal(file)


def test_an_array_that_is_linked_twice(file):
    file["graph/metadata/copy"] = file[f"{FC}/weight"]
    assert "linked a second time" in refusal(file)


def test_notes_nested_too_deeply(file):
    group = file["graph/metadata"]
    for _ in range(3000):
        group = group.create_group("g")
    assert "nested too deeply" in refusal(file)


def nested(levels):
    """A file of graphs within graphs, without building one of them."""

    def fill(group, rest):
        group["type"] = "Graph"
        for name in ("Input", "Output"):
            group[f"nodes/{name}/type"] = name
            group[f"nodes/{name}/shape"] = np.array([3])
        path = ["Input", "inner", "Output"] if rest else ["Input", "Output"]
        for end, names in (("src", path[:-1]), ("dst", path[1:])):
            group.create_dataset(f"edges/{end}", data=np.array(names, object), dtype=TEXT)

    def write(path):
        with h5py.File(path, "w") as file:
            file["version"] = "0.0.1"
            group = file.create_group("graph")
            for level in range(levels, -1, -1):
                fill(group, level)
                group = group.create_group("nodes/inner") if level else group

    return write


@pytest.mark.parametrize(("levels", "opens"), [(8, True), (100, False), (400, False)])
def test_graphs_nested_in_graphs(tmp_path, levels, opens):
    path = tmp_path / "nested.t1c"
    nested(levels)(path)
    (outcome,) = outcomes([path], seconds=20)
    assert outcome.error == "" if opens else outcome.refused, outcome
    assert opens or "nested too deeply" in outcome.message
    assert outcome.seconds < 10


# More than there is ------------------------------------------------------------------------------


def test_four_tebibytes_that_are_not_there(file):
    del file[f"{FC}/weight"]
    file[FC].create_dataset("weight", shape=(2**29, 2**10), dtype="f8")
    message = refusal(file)
    assert "field 'weight'" in message
    assert "4,398,046,511,104 bytes declared, 0 stored" in message


@pytest.mark.parametrize("shape", [(2**62, 4), (2**63 - 1, 1), (2**32, 2**32)])
def test_a_size_that_overflows(file, shape):
    del file[f"{FC}/weight"]
    file[FC].create_dataset("weight", shape=shape, dtype="f4", chunks=(64, 1))
    assert "bytes declared, 0 stored" in refusal(file)


@pytest.mark.parametrize("place", [f"{FC}/weight", "graph/metadata/big", "version", f"{FC}/type"])
@pytest.mark.parametrize("dtype", ["f8", "S1000000000", TEXT], ids=str)
def test_declarations_without_data(file, place, dtype):
    if place in file:
        del file[place]
    file.create_dataset(place, shape=(2**20, 2**10), dtype=dtype, chunks=(64, 64), compression=9)
    message = refusal(file)
    assert "declared" in message or place == "version"


def gzip_bomb(path, megabytes):
    """So many megabytes of zeros, deflated once: about a thousandth of that in the file."""
    block = np.zeros((512, 256))
    packed = zlib.compress(block.tobytes(), 9)
    ir.write(path, small_graph())
    with h5py.File(path, "r+") as file:
        data = file["graph/metadata"].create_dataset(
            "bomb", shape=(512 * megabytes, 256), dtype="f8", chunks=block.shape, compression=9
        )
        for i in range(megabytes):
            data.id.write_direct_chunk((512 * i, 0), packed)


def test_a_file_that_unpacks_to_a_thousand_times_its_size(tmp_path):
    path = tmp_path / "bomb.t1c"
    gzip_bomb(path, 1024)
    assert path.stat().st_size < 2 << 20
    (outcome,) = outcomes([path], seconds=20)
    assert outcome.refused, outcome
    assert "metadata.bomb" in outcome.message
    assert outcome.megabytes < 300


def test_a_compressed_array_of_ordinary_size_is_read(tmp_path):
    path = tmp_path / "packed.t1c"
    ir.write(path, small_graph())
    weight = np.ones((3, 3))
    with h5py.File(path, "r+") as file:
        put(file, f"{FC}/weight", weight, compression="gzip", chunks=(3, 3))
    np.testing.assert_array_equal(ir.read(path).nodes["fc"].weight, weight)


def test_one_text_that_is_referred_to_many_times(tmp_path):
    """Every entry of a text array may point to the same megabyte."""
    path, count = tmp_path / "text.t1c", 50_000
    ir.write(path, small_graph())
    with h5py.File(path, "r+") as file:
        texts = np.array(["x" * 1_000_000] + ["y"] * (count - 1), object)
        data = file["graph/metadata"].create_dataset("texts", data=texts, dtype=TEXT)
        start = data.id.get_offset()
    raw = bytearray(path.read_bytes())
    raw[start : start + 16 * count] = bytes(raw[start : start + 16]) * count
    path.write_bytes(raw)
    assert path.stat().st_size < 4 << 20
    (outcome,) = outcomes([path], seconds=30)
    assert outcome.refused, outcome
    assert "metadata.texts" in outcome.message
    assert outcome.megabytes < 300


def refer_again(path, places, target):
    """Make each text at ``places``, (offset, count) in the file, refer to that at ``target``."""
    raw = bytearray(path.read_bytes())
    for start, count in places:
        raw[start : start + 16 * count] = bytes(raw[target : target + 16]) * count
    path.write_bytes(raw)


def test_one_text_that_is_referred_to_many_times_in_a_row_or_from_everywhere(tmp_path):
    """However the references are spread: over rows, or over datasets."""
    row, many, count = tmp_path / "row.t1c", tmp_path / "many.t1c", 20_000
    large = np.array(["x" * 1_000_000], object)
    for path in (row, many):
        ir.write(path, small_graph())
    with h5py.File(row, "r+") as file:
        notes = file["graph/metadata"]
        start = notes.create_dataset("large", data=large, dtype=TEXT).id.get_offset()
        texts = np.full((1, count), "y", object)
        place = notes.create_dataset("row", data=texts, dtype=TEXT).id.get_offset()
    refer_again(row, [(place, count)], start)
    with h5py.File(many, "r+") as file:
        notes = file["graph/metadata"]
        start = notes.create_dataset("large", data=large, dtype=TEXT).id.get_offset()
        places = [
            (notes.create_dataset(str(i), data=["y"], dtype=TEXT).id.get_offset(), 1)
            for i in range(800)
        ]
    refer_again(many, places, start)
    for outcome in outcomes([row, many], seconds=30):
        assert outcome.refused, outcome
        assert "metadata" in outcome.message
        assert outcome.megabytes < 300


def test_many_arrays_that_each_unpack_to_something_middling(tmp_path):
    path = tmp_path / "bombs.t1c"
    ir.write(path, small_graph())
    block = np.zeros((512, 256))
    packed = zlib.compress(block.tobytes(), 9)
    with h5py.File(path, "r+") as file:
        for name in range(40):
            data = file["graph/metadata"].create_dataset(
                str(name), shape=(512 * 60, 256), dtype="f8", chunks=block.shape, compression=9
            )
            for i in range(60):
                data.id.write_direct_chunk((512 * i, 0), packed)
    (outcome,) = outcomes([path], seconds=30)
    assert outcome.refused, outcome
    assert outcome.megabytes < 300


def test_arrays_that_share_their_bytes(tmp_path):
    """Many arrays, each of which says that it lies where the first does."""
    path = tmp_path / "shared.t1c"
    ir.write(path, small_graph())
    with h5py.File(path, "r+") as file:
        notes = file["graph/metadata"]
        places = [
            notes.create_dataset(f"{i:04d}", data=np.full(size, i, "f4")).id.get_offset()
            for i, size in enumerate([2**18, *[1] * 40])
        ]
        sizes = [struct.pack("<BBQQ", 3, 1, at, 4) for at in places[1:]]
    raw = path.read_bytes()
    for size in sizes:  # the message that says where an array lies: version, layout, place, size
        assert raw.count(size) == 1
        raw = raw.replace(size, struct.pack("<BBQQ", 3, 1, places[0], 2**20))
    # Let each also say that it has as many entries: rank 1, then the length and its maximum.
    one, many = (bytes([1, 1, 1]) + bytes(5) + struct.pack("<QQ", n, n) for n in (1, 2**18))
    raw = raw.replace(one, many)
    path.write_bytes(raw)
    (outcome,) = outcomes([path], seconds=20)
    assert outcome.refused, outcome
    assert "from a file of" in outcome.message
    assert outcome.megabytes < 100


def test_a_chunk_that_is_larger_than_what_is_in_it(tmp_path):
    path = tmp_path / "chunk.t1c"
    ir.write(path, small_graph())
    chunk = (2**12, 2**13)
    stored = zlib.compress(bytes(2**27))
    with h5py.File(path, "r+") as file:
        data = file["graph/metadata"].create_dataset(
            "large", (1, 1), "f4", chunks=chunk, maxshape=(None, None), compression=9
        )
        data.id.write_direct_chunk((0, 0), stored)
    (outcome,) = outcomes([path], seconds=20)
    assert outcome.refused, outcome
    assert "metadata.large" in outcome.message
    assert outcome.megabytes < 100


def test_text_in_a_large_chunk_is_unpacked_once(tmp_path):
    """A table of text takes sixteen bytes for each entry, and each chunk is unpacked as a whole."""
    path = tmp_path / "chunks.t1c"
    ir.write(path, small_graph())
    rows = 20_000
    with h5py.File(path, "r+") as file:
        notes = file["graph/metadata"]
        notes.create_dataset("long", data="x" * 3_000_000, dtype=TEXT)
        notes.create_dataset("no", (rows, 20), TEXT, chunks=(rows, 20), compression=1)[0] = "text"
    (outcome,) = outcomes([path], seconds=20)
    assert outcome.is_ours, outcome  # the notes of a graph are lists, not tables
    assert outcome.megabytes < 200


@pytest.mark.parametrize("chunks", [None, (3, 5), (128, 64)])
def test_text_comes_as_it_was_whatever_the_pieces(tmp_path, chunks):
    path = tmp_path / "text.t1c"
    ir.write(path, small_graph())
    texts = np.array([[f"{i} and {j}" for j in range(40)] for i in range(100)], object)
    options = {"chunks": chunks, "compression": 1, "maxshape": (None, None)} if chunks else {}
    with h5py.File(path, "r+") as file:
        notes = file["graph/metadata"]
        notes.create_dataset("long", data="x" * 3_000_000, dtype=TEXT)
        notes.create_dataset("texts", data=texts, dtype=TEXT, **options)
        notes.create_dataset("row", data=texts[0], dtype=TEXT)
        notes.create_dataset("none", (0, 3), dtype=TEXT)
    with opened(path, "a .t1c file", Guard) as guard:
        graph = guard.entry(guard.root, "graph", "graph")
        found = guard.tree(guard.entry(graph, "metadata", "notes"), "notes")
        assert guard.problems == []
    assert found["texts"] == texts.tolist()
    assert found["row"] == texts[0].tolist()
    assert found["none"] == []


# Damage ------------------------------------------------------------------------------------------


def test_a_file_cut_short_anywhere(tmp_path, path):
    raw = path.read_bytes()
    cuts = sorted({*range(0, 600, 37), *range(600, len(raw), 211), len(raw) - 1})
    copies = []
    for cut in cuts:
        copies.append(tmp_path / f"{cut}.t1c")
        copies[-1].write_bytes(raw[:cut])
    for outcome in outcomes(copies):
        assert outcome.refused, outcome
        assert outcome.path.name in outcome.message


def test_a_file_with_something_behind_it(path):
    with path.open("ab") as file:
        file.write(b"signature" * 100)
    assert ir.read(path).equals(small_graph())


@pytest.mark.parametrize("source", ["ours", "t1cir/net_metadata.t1c"])
def test_a_file_with_damaged_bytes(tmp_path, path, source):
    if source != "ours":
        path = Path(__file__).parent / "data" / source
    raw = path.read_bytes()
    rng = random.Random(20240607)
    copies = []
    for i in range(100):
        damaged = bytearray(raw)
        for _ in range(rng.choice([1, 1, 1, 5])):
            at = rng.randrange(len(raw))
            damaged[at] = rng.choice([0, 255, 1, 128, damaged[at] ^ (1 << rng.randrange(8))])
        copies.append(tmp_path / f"{i}.t1c")
        copies[-1].write_bytes(damaged)
    found = outcomes(copies)
    bad = [o for o in found if o.error and not o.is_ours]
    assert bad == []
    assert max(o.megabytes for o in found) < 300
    # Most of a file is structure or padding: some damage must show and some must not.
    assert 10 < sum(o.refused for o in found) < 90


def test_a_heap_that_leads_nowhere(tmp_path, path):
    """HDF5 walks the heap of texts by sizes that the file states: a size of zero never ends."""
    raw = path.read_bytes()
    heap = raw.index(b"GCOL")
    copies = []
    for i, (size, free) in enumerate([(0, True), (2**64 - 16, False), (2**64 - 8, False)]):
        damaged = bytearray(raw)
        if free:
            damaged[heap + 16 : heap + 18] = b"\0\0"
        damaged[heap + 24 : heap + 32] = size.to_bytes(8, "little")
        copies.append(tmp_path / f"{i}.t1c")
        copies[-1].write_bytes(damaged)
    for outcome in outcomes(copies, seconds=4):
        assert outcome.refused, outcome


def test_a_heap_that_leads_nowhere_behind_a_header_that_was_scratched(tmp_path, path):
    """The bytes between signature and size are reserved: HDF5 does not look at them."""
    raw = bytearray(path.read_bytes())
    heap = raw.index(b"GCOL")
    raw[heap + 5 : heap + 8] = b"abc"
    raw[heap + 16 : heap + 32] = bytes(16)
    path.write_bytes(raw)
    (outcome,) = outcomes([path], seconds=4)
    assert outcome.refused, outcome


def test_heaps_within_heaps_are_walked_once(tmp_path, path):
    """Sixty thousand collections, each object of one the beginning of the next."""
    count = 60_000
    with path.open("ab") as file:
        for i in range(count):
            left = 32 * (count - i) - 16
            file.write(
                struct.pack("<HHIQ", 1, 0, 0, 16) + b"GCOL\1\0\0\0" + struct.pack("<Q", left)
            )
    (outcome,) = outcomes([path], seconds=10)
    assert outcome.error == "", outcome
    assert outcome.seconds < 5


def test_reading_leaves_the_file_as_it_is(path):
    before = path.read_bytes(), path.stat().st_mtime_ns
    path.chmod(0o444)
    ir.read(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_file_that_is_open_elsewhere_can_still_be_moved_after_an_error(tmp_path, file):
    del file[f"{FC}/bias"]
    path = Path(file.filename)
    refusal(file)
    with h5py.File(path, "r+") as again:  # not locked by the reader that gave up
        again[f"{FC}/bias"] = np.zeros(3)
    assert ir.read(path).equals(small_graph())
