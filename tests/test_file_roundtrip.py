"""What is written is read back: every node, field, dtype and note, in order, or nothing at all."""

import os
import stat
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given

from t1c import ir
from t1c.ir import hdf5_write

from . import strategies
from .examples import examples

# The primitives and fields of the format's first version, as its readers know them.
FIRST_VERSION = {
    "Affine": {"weight", "bias"},
    "SpikingAffine": {"weight", "bias", "spike_mode", "weight_bits", "accumulator_bits"},
    "Conv2d": {"weight", "bias", "stride", "padding", "dilation", "groups"},
    "SepConv2d": {
        "depthwise_weight", "pointwise_weight", "depthwise_bias", "pointwise_bias", "stride",
        "padding", "dilation",
    },
    "MaxPool2d": {"kernel_size", "stride", "padding", "dilation", "ceil_mode"},
    "AvgPool2d": {"kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"},
    "Upsample": {"scale_factor", "size", "mode", "align_corners"},
    "Flatten": {"start_dim", "end_dim"},
    "LIF": {"tau", "r", "v_leak", "v_threshold"},
    "Skip": {"skip_type"},
    "ReLU": {"features", "negative_slope"},
    "Sigmoid": {"features"},
    "Tanh": {"features"},
    "Softmax": {"features", "dim"},
    "GELU": {"features", "approximate"},
    "ELU": {"features", "alpha"},
    "PReLU": {"features", "weight"},
    "BatchNorm1d": {
        "num_features", "weight", "bias", "running_mean", "running_var", "eps", "momentum",
    },
    "BatchNorm2d": {
        "num_features", "weight", "bias", "running_mean", "running_var", "eps", "momentum",
    },
    "LayerNorm": {"normalized_shape", "weight", "bias", "eps"},
    "Dropout": {"features", "p"},
    "HybridRegion": {"mode", "features", "name"},
    "Input": {"shape"},
    "Output": {"shape"},
}  # fmt: skip

OPTIONS_SINCE = {
    **dict.fromkeys(["v_reset", "reset", "reset_delay", "fires_at"], "0.1.0"),
    **dict.fromkeys(["hold", "final", "initial", "spikes", "v_min"], "0.2.0"),
    **dict.fromkeys(["statistics", "mask", "drops"], "0.2.0"),
}
"""Field -> the version that brought it; absent from the file where it is not used."""
PRIMITIVES_SINCE = {"Delay": "0.1.0", "Accumulate": "0.2.0"}
ABSENT = {"v_reset": None, "reset": None, "reset_delay": False, "fires_at": "ge", "hold": None,
          "final": False, "spikes": "binary", "v_min": None, "statistics": "step",
          "mask": "step", "drops": "elements"}  # fmt: skip


def chain(**middle):
    """An Input of shape (3,), the given nodes in a row, an Output."""
    nodes = {"input": ir.Input((3,)), **middle, "output": ir.Output((3,))}
    names = list(nodes)
    return ir.Graph(nodes, list(pairwise(names)))


def lif(**options):
    parameters: dict[str, float] = {"tau": 2.0, "r": 2.0, "v_leak": 0.0, "v_threshold": 1.0}
    arrays: dict[str, Any] = {name: np.array([value]) for name, value in parameters.items()}
    return ir.LIF(**arrays, **options)


def affine(value=1.0):
    return ir.Affine(np.full((3, 3), value), np.zeros(3))


def assert_same_node(mine, theirs):
    """Bit for bit, without the library's own notion of equality."""
    assert type(mine) is type(theirs)
    if isinstance(mine, ir.Graph):
        assert_same_graph(mine, theirs)
        return
    for name, value in mine.values().items():
        other = getattr(theirs, name)
        assert type(value) is type(other), name
        if isinstance(value, np.ndarray):
            assert value.dtype == other.dtype, name
            assert value.shape == other.shape, name
            assert value.tobytes() == other.tobytes(), name
        else:
            assert repr(value) == repr(other), name
    for field in ("declared_input", "declared_output", "input_type", "output_type"):
        shapes, others = getattr(mine, field), getattr(theirs, field)
        assert {port: tuple(shape) for port, shape in shapes.items()} == {
            port: tuple(shape) for port, shape in others.items()
        }, field
    assert_same_notes(mine.metadata, theirs.metadata)


def assert_same_notes(mine, theirs):
    """None is the same as absent, and a list of numbers the same as an array."""
    mine = {key: value for key, value in mine.items() if value is not None}
    theirs = {key: value for key, value in theirs.items() if value is not None}
    assert set(mine) == set(theirs)
    for key, value in mine.items():
        other = theirs[key]
        if isinstance(value, dict):
            assert isinstance(other, dict)
            assert_same_notes(value, other)
        elif isinstance(value, list | np.ndarray):
            assert isinstance(other, list | np.ndarray)
            array, back = np.asarray(value), np.asarray(other)
            assert array.shape == back.shape
            if array.size:
                assert array.dtype == back.dtype
                assert array.tolist() == back.tolist() or array.tobytes() == back.tobytes()
        else:
            assert type(value) is type(other)
            assert repr(value) == repr(other)


def assert_same_graph(mine, theirs):
    assert list(mine.nodes) == list(theirs.nodes)
    assert mine.edges == theirs.edges
    assert mine.feedback == theirs.feedback
    assert mine.allow_cycles == theirs.allow_cycles
    for name in mine.nodes:
        assert_same_node(mine.nodes[name], theirs.nodes[name])
    assert_same_notes(mine.metadata, theirs.metadata)


@given(graph=strategies.graphs())
def test_a_graph_comes_back_as_it_was(tmp_path_factory, graph):
    path = tmp_path_factory.mktemp("roundtrip") / "graph.t1c"
    ir.write(path, graph)
    back = ir.read(path)
    assert_same_graph(graph, back)
    assert graph.difference(back) == []
    assert graph.equals(back)


@examples(60)
@given(node=strategies.nodes())
def test_every_primitive_comes_back_as_it_was(tmp_path_factory, node):
    # The node stands beside a graph that is valid whatever its shape is.
    nodes = {"input": ir.Input((3,)), "output": ir.Output((3,)), "node": node}
    edges = [("input", "output")]
    if isinstance(node, ir.Input | ir.Output):
        nodes["end"] = ir.Output(node.shape) if isinstance(node, ir.Input) else ir.Input(node.shape)
        ends = ("node", "end")
        edges.append(ends if isinstance(node, ir.Input) else ends[::-1])
    elif isinstance(node, ir.Binary | ir.Where | ir.MatMul):
        sources = {f"source {place}": ir.Input((2, 2)) for place in node.places}
        nodes |= {**sources, "end": ir.Output((2, 2))}
        edges += [*((source, "node") for source in sources), ("node", "end")]
    else:
        given_shape = node.declared_input.get("input")
        shape = given_shape if given_shape is not None else shape_for(node)
        nodes["source"] = ir.Input(tuple(shape))
        nodes["end"] = ir.Output(node.output_shape(tuple(int(n) for n in shape)))
        edges += [("source", "node"), ("node", "end")]
    path = tmp_path_factory.mktemp("roundtrip") / "graph.t1c"
    graph = ir.Graph(nodes, edges)
    ir.write(path, graph)
    assert_same_node(graph.nodes["node"], ir.read(path).nodes["node"])


def shape_for(node):
    """Some shape that the node takes."""
    sizes = range(1, 5)
    candidates: list[tuple[int, ...]] = [
        (a,) for a in (*sizes, 5, 6, 8, 9, 12, 16, 18, 24, 27, 32, 36, 48, 64)
    ]
    candidates += [(a, b) for a in sizes for b in sizes]
    candidates += [(a, b, c) for a in sizes for b in sizes for c in sizes]
    for shape in candidates:
        try:
            node.output_shape(shape)
        except ir.ShapeError:
            continue
        return shape
    raise AssertionError(f"no shape fits {node!r}")


@examples(8)
@given(graph=strategies.graphs())
def test_the_second_generation_is_the_first(tmp_path_factory, graph):
    folder = tmp_path_factory.mktemp("generations")
    ir.write(folder / "1.t1c", graph)
    ir.write(folder / "2.t1c", ir.read(folder / "1.t1c"))
    ir.write(folder / "3.t1c", ir.read(folder / "2.t1c"))
    assert content(folder / "1.t1c") == content(folder / "2.t1c")
    assert (folder / "2.t1c").read_bytes() == (folder / "3.t1c").read_bytes()


def test_notes_that_say_nothing_leave_nothing_behind(tmp_path):
    nodes = {"input": ir.Input((1,), metadata={"a": None}), "output": ir.Output((1,))}
    graph = ir.Graph(nodes, [("input", "output")], metadata={"none": None})
    ir.write(tmp_path / "1.t1c", graph)
    ir.write(tmp_path / "2.t1c", ir.read(tmp_path / "1.t1c"))
    assert (tmp_path / "1.t1c").read_bytes() == (tmp_path / "2.t1c").read_bytes()
    ir.write(tmp_path / "3.t1c", graph.replace(metadata={"none": {}}))
    assert ir.read(tmp_path / "3.t1c").metadata == {"none": {}}


def content(path):
    """Every dataset in an HDF5 file: path -> kind, dtype, shape, bytes."""
    found = {}

    def visit(name, item):
        assert not item.attrs
        if isinstance(item, h5py.Group):
            return  # an entry that is None leaves an empty one behind
        if h5py.check_string_dtype(item.dtype):
            found[name] = ("text", str(h5py.check_string_dtype(item.dtype)), repr(item.asstr()[()]))
        else:
            found[name] = (str(item.dtype), item.shape, item[()].tobytes())

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


# The layout --------------------------------------------------------------------------------------


def used_options(node):
    """The fields of later versions that say something."""
    used = {name for name, value in ABSENT.items() if node.values().get(name, value) is not value}
    initial = getattr(node, "initial", None)
    if initial is not None and (initial.shape or initial.dtype != np.float64 or initial.any()):
        used.add("initial")
    return used


def expected_version(graph):
    versions = ["0.0.1"]
    for node in graph.nodes.values():
        if isinstance(node, ir.Graph):
            versions += ["0.1.0", expected_version(node)]
        else:
            versions += [PRIMITIVES_SINCE.get(node.primitive, "0.0.1")]
            versions += options_since(node)
    return max(versions)


def options_since(node):
    """The versions that brought the options which a node uses."""
    lower = ["0.3.0"] if getattr(node, "reset", None) == "lower" else []
    return [OPTIONS_SINCE[name] for name in used_options(node)] + lower


def check_layout(group, graph, kind="Graph"):
    """The group is what readers of the first version expect, but for what came later."""
    extra = {"metadata", "allow_cycles"} & set(group)
    assert set(group) == {"type", "nodes", "edges"} | extra
    assert group["type"].asstr()[()] == kind
    assert set(group["edges"]) == {"src", "dst"}
    for end in ("src", "dst"):
        assert group["edges"][end].dtype == h5py.string_dtype("utf-8")
        assert group["edges"][end].shape == (len(graph.edges),)
    for name, node in graph.nodes.items():
        stored = group["nodes"][name]
        if isinstance(node, ir.Graph):
            # Early readers pass the input of a nested graph on unchanged: not under that name.
            check_layout(stored, node, "Graph@0.1.0")
            continue
        kind = stored["type"].asstr()[()]
        fields = set(stored) - {"type", "metadata", "input_type", "output_type"}
        options = used_options(node)
        if options:
            assert kind == f"{node.primitive}@{max(options_since(node))}"
        else:
            assert kind == node.primitive
            assert kind in PRIMITIVES_SINCE or fields <= FIRST_VERSION[kind]
        present = {field for field, value in node.values().items() if value is not None}
        assert present - (OPTIONS_SINCE.keys() - options) == fields
        for field in fields:
            check_field(stored[field], getattr(node, field))


def check_field(stored, value):
    assert isinstance(stored, h5py.Dataset)
    assert stored.chunks is None
    assert stored.compression is None
    if isinstance(value, str):
        assert stored.dtype == h5py.string_dtype("utf-8")
        assert stored.shape == ()
        assert stored.asstr()[()] == value
    elif isinstance(value, bool):
        assert stored.dtype == bool
        assert stored.shape == ()
    elif isinstance(value, int | float):
        assert stored.dtype == (np.int64 if isinstance(value, int) else np.float64)
        assert stored.shape == ()
    elif isinstance(value, tuple):
        assert stored.dtype == np.int64
        assert tuple(stored[()]) == value
    else:
        assert stored.dtype == value.dtype
        assert stored.shape == value.shape


@examples(15)
@given(graph=strategies.graphs(later=False))
def test_the_layout_is_that_of_the_first_readers(tmp_path_factory, graph):
    path = tmp_path_factory.mktemp("layout") / "graph.t1c"
    ir.write(path, graph)
    with h5py.File(path) as file:
        # They look at these two alone; that is why checksums can lie beside them.
        assert set(file) == {"version", "graph", "checksums"}
        assert not file.attrs
        assert file["version"].shape == ()
        assert file["version"].dtype == h5py.string_dtype("utf-8")
        check_layout(file["graph"], graph)
    assert ir.read_version(path) == expected_version(graph)


@pytest.mark.parametrize(
    "options",
    [
        {"reset": "subtract"},
        {"v_reset": np.array([0.25])},
        {"reset_delay": True},
        {"fires_at": "gt"},
        {"reset": "zero"},
        {"spikes": "multiple"},
        {"v_min": np.array([-1.0])},
        {"reset": "lower", "v_reset": np.array([0.25])},
    ],
    ids=str,
)
def test_a_lif_option_cannot_be_dropped_by_an_old_reader(tmp_path, options):
    path = tmp_path / "lif.t1c"
    ir.write(path, chain(lif=lif(**options)))
    later = "0.2.0" if {"spikes", "v_min"} & set(options) else "0.1.0"
    assert ir.read_version(path) == ("0.3.0" if options.get("reset") == "lower" else later)
    with h5py.File(path) as file:
        assert file["graph/nodes/lif/type"].asstr()[()] not in FIRST_VERSION
    assert ir.read(path).nodes["lif"].equals(lif(**options))


def test_a_lif_without_options_is_that_of_the_first_version(tmp_path):
    path = tmp_path / "lif.t1c"
    ir.write(path, chain(lif=lif(v_reset=None, reset=None, reset_delay=False, fires_at="ge")))
    assert ir.read_version(path) == "0.0.1"
    with h5py.File(path) as file:
        assert set(file["graph/nodes/lif"]) == {"type", "tau", "r", "v_leak", "v_threshold"}
        assert file["graph/nodes/lif/type"].asstr()[()] == "LIF"


def test_an_option_deep_inside_raises_the_version(tmp_path):
    inner = chain(lif=lif(reset="none"))
    ir.write(tmp_path / "outer.t1c", chain(inner=chain(inner=inner)))
    assert ir.read_version(tmp_path / "outer.t1c") == "0.1.0"


def test_stated_feedback_travels_under_a_name_that_old_readers_refuse(tmp_path):
    nodes = {
        "input": ir.Input((3,)),
        "a": lif(),
        "b": lif(),
        "output": ir.Output((3,)),
    }
    edges = [("input", "a"), ("input", "b"), ("a", "b"), ("b", "a"), ("a", "output"),
             ("b", "output")]  # fmt: skip
    graph = ir.Graph(nodes, edges, allow_cycles=True, feedback=[("b", "a")])
    ir.write(tmp_path / "graph.t1c", graph)
    with h5py.File(tmp_path / "graph.t1c") as file:
        assert file["graph/type"].asstr()[()] != "Graph"
    assert ir.read_version(tmp_path / "graph.t1c") == "0.1.0"
    back = ir.read(tmp_path / "graph.t1c")
    assert back.feedback == [("b", "a")]
    assert back.equals(graph)


def test_an_empty_list_of_edges_or_notes_survives(tmp_path):
    graph = ir.Graph(
        {"input": ir.Input((3,)), "output": ir.Output((3,))},
        [("input", "output")],
        metadata={"empty": {}, "none": None, "list": [], "text": "", "words": [""]},
    )
    ir.write(tmp_path / "graph.t1c", graph)
    assert ir.read(tmp_path / "graph.t1c").metadata == {
        "empty": {}, "list": [], "text": "", "words": [""],
    }  # fmt: skip


def test_numpy_scalars_are_written_as_numbers_not_as_text(tmp_path):
    node = ir.SpikingAffine(
        np.ones((3, 3)),
        np.zeros(3),
        weight_bits=np.int64(7),
        accumulator_bits=np.uint8(9),
    )
    ir.write(tmp_path / "graph.t1c", chain(fc=node))
    with h5py.File(tmp_path / "graph.t1c") as file:
        stored = file["graph/nodes/fc/weight_bits"]
        assert (stored.dtype, stored[()]) == (np.int64, 7)
        assert file["graph/nodes/fc/accumulator_bits"][()] == 9


@pytest.mark.parametrize("order", ["C", "F", "strided", "big-endian", "read-only"])
def test_arrays_of_any_memory_layout(tmp_path, order):
    weight = np.arange(9.0).reshape(3, 3)
    given_weight = {
        "C": weight,
        "F": np.asfortranarray(weight),
        "strided": np.repeat(weight, 2, axis=1)[:, ::2],
        "big-endian": weight.astype(">f8"),
        "read-only": np.broadcast_to(weight[:1], (3, 3)),
    }[order]
    ir.write(tmp_path / "graph.t1c", chain(fc=ir.Affine(given_weight, np.zeros(3))))
    back = ir.read(tmp_path / "graph.t1c").nodes["fc"].weight
    assert back.dtype == given_weight.dtype
    np.testing.assert_array_equal(back, given_weight)


def test_notes_for_hardware_return_to_where_they_were(tmp_path):
    notes = {"core_id": 3, "hardware_hints": {"unroll": [1, 2]}, "precision": "fixed<8,4>"}
    graph = ir.Graph(
        {"input": ir.Input((3,)), "fc": affine().replace(metadata={"talon": notes, "why": "x"}),
         "output": ir.Output((3,))},
        [("input", "fc"), ("fc", "output")],
        metadata={"talon": {"target_hardware": "chip"}},
    )  # fmt: skip
    ir.write(tmp_path / "graph.t1c", graph)
    with h5py.File(tmp_path / "graph.t1c") as file:
        assert file["graph/nodes/fc/core_id"][()] == 3
        assert file["graph/target_hardware"].asstr()[()] == "chip"
        assert set(file["graph/nodes/fc/metadata"]) == {"why"}
    assert ir.read(tmp_path / "graph.t1c").equals(graph)


def test_notes_under_the_same_name_that_are_not_for_hardware_stay(tmp_path):
    notes: dict[str, Any]
    for notes in (
        {"talon": {"core_id": 3, "mine": 4}},
        {"talon": 5},
        {"talon": {}},
        {"talon": {"core_id": None}},
    ):
        graph = chain(fc=affine().replace(metadata=notes))
        ir.write(tmp_path / "graph.t1c", graph)
        assert ir.read(tmp_path / "graph.t1c").difference(graph) == []


# Writing whole or not at all ---------------------------------------------------------------------


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("failure", [RuntimeError("disk"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("after", [0, 1, 5])
def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path, monkeypatch, after, failure):
    path = tmp_path / "graph.t1c"
    old = chain(fc=affine(1.0))
    ir.write(path, old)
    before = path.read_bytes()
    calls = []
    write_value = hdf5_write._write_value

    def failing(*args):
        calls.append(args)
        if len(calls) > after:
            raise failure
        write_value(*args)

    monkeypatch.setattr(hdf5_write, "_write_value", failing)
    with pytest.raises(type(failure)):
        ir.write(path, chain(fc=affine(2.0), fc2=affine(3.0)))
    assert len(calls) == after + 1
    assert path.read_bytes() == before
    assert leftovers(tmp_path) == ["graph.t1c"]


def test_a_write_that_fails_at_the_last_moment_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "graph.t1c"
    ir.write(path, chain(fc=affine(1.0)))
    before = path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="there is no space left"):
        ir.write(path, chain(fc=affine(2.0)))
    assert path.read_bytes() == before
    assert leftovers(tmp_path) == ["graph.t1c"]


def test_a_graph_that_became_invalid_is_not_written(tmp_path):
    path = tmp_path / "graph.t1c"
    graph = chain(fc=affine(1.0))
    ir.write(path, graph)
    before = path.read_bytes()
    graph.nodes["fc"].weight[0, 0] = np.nan
    with pytest.raises(ir.GraphError, match="1 of 9 values are NaN or infinite"):
        ir.write(path, graph)
    assert path.read_bytes() == before
    assert leftovers(tmp_path) == ["graph.t1c"]


@pytest.mark.parametrize("note", [{"x": object()}, {"a/b": 1}, {"x": "\udc80"}, {"x": 2**64}])
def test_metadata_that_became_invalid_is_not_written(tmp_path, note):
    for graph in (chain(fc=affine()), chain(fc=affine())):
        graph.metadata.update(note)
        with pytest.raises(ir.GraphError, match="metadata"):
            ir.write(tmp_path / "graph.t1c", graph)
    graph = chain(fc=affine())
    graph.nodes["fc"].metadata.update(note)
    with pytest.raises(ir.GraphError, match=r"node 'fc' \(Affine\), field 'metadata"):
        ir.write(tmp_path / "graph.t1c", graph)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_mode_that_the_umask_gives(tmp_path, umask):
    before = os.umask(umask)
    try:
        ir.write(tmp_path / "graph.t1c", chain(fc=affine()))
    finally:
        assert os.umask(before) == umask
    assert stat.S_IMODE((tmp_path / "graph.t1c").stat().st_mode) == 0o666 & ~umask


def test_an_existing_file_keeps_its_mode(tmp_path):
    path = tmp_path / "graph.t1c"
    ir.write(path, chain(fc=affine(1.0)))
    path.chmod(0o600)
    ir.write(path, chain(fc=affine(2.0)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_stays_one(tmp_path, exists):
    (tmp_path / "store").mkdir()
    target, link = tmp_path / "store" / "real.t1c", tmp_path / "graph.t1c"
    if exists:
        ir.write(target, chain(fc=affine(1.0)))
    link.symlink_to(Path("store") / "real.t1c")
    ir.write(link, chain(fc=affine(2.0)))
    assert link.is_symlink()
    assert ir.read(target).equals(chain(fc=affine(2.0)))
    assert leftovers(tmp_path) == ["graph.t1c", "store"]
    assert leftovers(tmp_path / "store") == ["real.t1c"]


def test_a_file_of_two_names_is_not_parted(tmp_path):
    path, copy = tmp_path / "graph.t1c", tmp_path / "copy.t1c"
    ir.write(path, chain(fc=affine(1.0)))
    os.link(path, copy)
    with pytest.raises(ir.WriteError, match="2 names"):
        ir.write(path, chain(fc=affine(2.0)))
    assert path.samefile(copy)
    assert ir.read(copy).equals(chain(fc=affine(1.0)))


def test_a_folder_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        ir.write(tmp_path / "nowhere" / "graph.t1c", chain(fc=affine()))
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        ir.write(tmp_path / "folder", chain(fc=affine()))
    assert leftovers(tmp_path) == ["folder"]
    assert leftovers(tmp_path / "folder") == []


@pytest.mark.parametrize("name", ["graph.t1c", "без имени", "no extension", "a" * 250])
@pytest.mark.parametrize("form", [str, Path])
def test_paths_of_every_form(tmp_path, name, form):
    path = form(tmp_path / name)
    ir.write(path, chain(fc=affine()))
    assert ir.read(path).equals(chain(fc=affine()))
    assert ir.read_version(path) == "0.0.1"


def test_a_relative_path_is_written_where_the_process_stands(tmp_path):
    code = (
        "import numpy as np; from t1c import ir\n"
        "graph = ir.Graph({'i': ir.Input((1,)), 'o': ir.Output((1,))}, [('i', 'o')])\n"
        "ir.write('graph.t1c', graph)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)
    assert leftovers(tmp_path) == ["graph.t1c"]
    assert stat.S_ISREG((tmp_path / "graph.t1c").stat().st_mode)


def test_the_arguments_in_the_wrong_order(tmp_path):
    with pytest.raises(ir.NodeError, match="the path comes first"):
        ir.write(chain(fc=affine()), tmp_path / "graph.t1c")


def test_nothing_read_is_tied_to_the_file(tmp_path):
    path = tmp_path / "graph.t1c"
    ir.write(path, chain(fc=affine(1.0)))
    graph = ir.read(path)
    path.unlink()
    graph.nodes["fc"].weight[...] = 5
    assert (graph.nodes["fc"].weight == 5).all()
