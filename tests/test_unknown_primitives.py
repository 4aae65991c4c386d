"""What a later version, or somebody else, has put into a file is carried along untouched."""

import h5py
import numpy as np
import pytest

from t1c import ir, sdk
from t1c.bridge import ir_to_torch
from t1c.ir.hdf5_layout import FORMAT_VERSION

TEXT = h5py.string_dtype()


def later(tmp_path, version="9.0.0"):
    """A file as a later version might write it: a new primitive, and a new field of an old one."""
    one = np.ones(1)
    nodes = {
        "in": ir.Input((4,)),
        "wave": ir.LIF(2 * one, one, 0 * one, one),
        "lif": ir.LIF(4 * one, one, 0 * one, one, reset="subtract"),
        "fc": ir.Linear(np.eye(4)),
        "out": ir.Output((4,)),
    }
    edges = [("in", "wave"), ("wave", "fc"), ("fc", "lif"), ("lif", "wave"), ("lif", "out")]
    graph = ir.Graph(nodes, edges, allow_cycles=True, feedback=[("lif", "wave")])
    path = tmp_path / "later.t1c"
    ir.write(path, graph)
    with h5py.File(path, "r+") as file:
        del file["checksums"]
        file["version"][()] = version
        wave = file["graph/nodes/wave"]
        wave["type"][()] = "Wave"
        wave["shape/of/it"] = np.arange(6, dtype=np.int16).reshape(2, 3)
        wave["half"] = np.ones(3, np.float16)
        wave["words"] = np.array([["a", "b"], ["ç", ""]], TEXT)
        wave["word"] = "sine"
        wave["yes"] = True
        wave["metadata/note"] = "kept"
        file["graph/nodes/lif/type"][()] = f"LIF@{version}"
        file["graph/nodes/lif/new"] = 3
    return path


def everything(path):
    """All datasets of a file but its checksums: path -> type, shape, value."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset) and not name.startswith("checksums"):
            found[name] = (item.dtype, item.shape, np.asarray(item[()]).tolist())

    with h5py.File(path) as file:
        file.visititems(visit)
        found["order"] = list(file["graph/nodes"])
    return found


def test_what_is_not_known_is_refused_unless_asked(tmp_path):
    with pytest.raises(ir.VersionError, match="unknown='keep'"):
        ir.read(later(tmp_path))
    with pytest.raises(ir.T1CFormatError, match="unknown primitive 'Wave'"):
        ir.read(later(tmp_path, FORMAT_VERSION))
    with pytest.raises(ir.InputError, match="'refuse' or 'keep'"):
        ir.read(later(tmp_path), unknown="maybe")


def test_it_is_carried_along_untouched(tmp_path):
    path, copy = later(tmp_path), tmp_path / "copy.t1c"
    graph = ir.read(path, unknown="keep")
    assert [type(node).__name__ for node in graph.nodes.values()] == [
        "Input", "Unknown", "Unknown", "Linear", "Output",
    ]  # fmt: skip
    ir.write(copy, graph)
    assert everything(copy) == everything(path)
    assert len(everything(copy)) > 20
    assert ir.read_version(copy) == "9.0.0"
    again = ir.read(copy, unknown="keep")
    assert again.equals(graph)
    assert sdk.fingerprint_graph(again) == sdk.fingerprint_graph(graph)
    again.nodes["wave"].stored["half"] = np.zeros(3, np.float16)
    assert again.difference(graph) == ["node 'wave': half: 0.0 and 1.0 in all of 3 places"]
    assert sdk.fingerprint_graph(again) != sdk.fingerprint_graph(graph)
    with pytest.raises(ir.VersionError):
        ir.read(copy)


def test_such_a_graph_cannot_run_and_says_which_nodes(tmp_path):
    graph = ir.read(later(tmp_path), unknown="keep")
    for run in (ir.Reference, ir_to_torch):
        with pytest.raises(ir.UnsupportedError) as error:
            run(graph)
        places = [problem.where for problem in error.value.problems]
        assert places == ["node 'wave'", "node 'lif'"]
        assert "Wave is not known to this t1c" in str(error.value)
    with pytest.raises(ir.UnsupportedError, match="not changed"):
        graph.nodes["wave"].replace(half=1)


def test_what_is_known_is_still_checked(tmp_path):
    path = later(tmp_path)
    with h5py.File(path, "r+") as file:
        file["graph/nodes/fc/more"] = 1
    with pytest.raises(ir.T1CFormatError, match="unknown field 'more'"):
        ir.read(path, unknown="keep")
    with h5py.File(path, "r+") as file:
        del file["graph/nodes/fc/more"]
        file["graph/nodes/wave/away"] = h5py.SoftLink("/version")
    with pytest.raises(ir.T1CFormatError, match="a soft link"):
        ir.read(path, unknown="keep")


def test_damage_to_what_is_not_known_shows(tmp_path):
    path = tmp_path / "copy.t1c"
    ir.write(path, ir.read(later(tmp_path), unknown="keep"))
    with h5py.File(path, "r+") as file:
        file["graph/nodes/wave/half"][0] = 2
    with pytest.raises(ir.T1CFormatError, match=r"node 'wave', field 'half'.*checksum"):
        ir.read(path, unknown="keep")
