"""Hostile and damaged ``.nir`` files are refused with a reason; what they point at is not read."""

import json
import shutil
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

from t1c import ir, nir

DATA = Path(__file__).parent / "data" / "nir"
TEXT = h5py.string_dtype("utf-8")


@pytest.fixture
def model(tmp_path):
    """A copy of a sound file, to spoil."""
    return Path(shutil.copy(DATA / "lif.nir", tmp_path / "model.nir"))


def refused(path, *said, dt=1e-3):
    with pytest.raises(ir.T1CError) as error:
        nir.read(path, dt=dt)
    text = str(error.value)
    assert str(path) in text
    for part in said:
        assert part in text, text


def spoil(path):
    return h5py.File(path, "r+")


def node(file):
    return file["node/nodes/1"]


def test_the_file_is_sound_before(model):
    assert len(nir.read(model, dt=1e-3).nodes) == 3


def test_a_link_is_not_followed(model, tmp_path):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["tau"] = np.ones(6)
    for link in (h5py.ExternalLink(str(secret), "tau"), h5py.SoftLink("/node/nodes/1/r")):
        with spoil(model) as file:
            del node(file)["tau"]
            node(file)["tau"] = link
        refused(model, "field 'tau'", "link")


def test_data_in_another_file_is_not_read(model, tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"s" * 24)
    with spoil(model) as file:
        del node(file)["tau"]
        node(file).create_dataset("tau", (6,), "f4", external=[(str(secret), 0, 24)])
    refused(model, "data kept in another file")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_huge_declaration_is_not_allocated(model, compressed):
    with spoil(model) as file:
        del node(file)["tau"]
        extra = {"chunks": (2**20,), "compression": "gzip"} if compressed else {}
        node(file).create_dataset("tau", (2**40,), "f4", **extra)
    refused(model, "bytes declared")


def test_a_group_that_holds_itself_is_refused(model):
    with spoil(model) as file:
        file["node/nodes/1/metadata"] = file["node"]
    refused(model, "a second time")


def test_graphs_nested_without_end_are_refused(model):
    with spoil(model) as file:
        group = file["node/nodes"]
        for _ in range(200):
            group = group.create_group("g")
            group["type"] = "NIRGraph"
            group["edges"] = np.zeros((0, 2), TEXT)
            group = group.create_group("nodes")
    refused(model, "nested too deeply")


def test_metadata_nested_without_end_is_refused(model):
    with spoil(model) as file:
        group = file["node"].create_group("metadata")
        for _ in range(200):
            group = group.create_group("g")
    refused(model, "nested too deeply")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("tau", "0.01", "a numeric array"),
        ("tau", np.array([1 + 1j] * 6), "data of type complex128"),
        ("tau", np.full(6, np.nan), "field 'tau'"),
        ("tau", np.ones(5), "shape"),
        ("tau", np.zeros((0,)), "at least one element"),
        ("r", np.full(6, np.inf), "NaN or infinite"),
        ("v_reset", "zero", "field 'v_reset'"),
        ("type", "Lif", "unknown NIR type 'Lif'"),
        ("type", np.int64(3), "the name of a NIR type"),
        ("type", "Graph", "unknown NIR type 'Graph'"),
        ("code", "import os", "unknown field 'code'"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(model, field, value, said):
    with spoil(model) as file:
        if field in node(file):
            del node(file)[field]
        node(file)[field] = value
    refused(model, "node '1'", said)


@pytest.mark.parametrize("field", ["type", "tau", "v_threshold"])
def test_a_missing_field_is_named(model, field):
    with spoil(model) as file:
        del node(file)[field]
    refused(model, "node '1'", field)


@pytest.mark.parametrize(
    ("edges", "said"),
    [
        (np.array([["0", "1"], ["1", "9"]], object), "there is no node '9'"),
        (np.array([["0", "1"], ["0", "1"], ["1", "2"]], object), "duplicate edge"),
        (np.array(["0", "1"], object), "one (source, target) a row"),
        (np.array([["0", "1", "2"]], object), "one (source, target) a row"),
        (np.ones((2, 2)), "one (source, target) a row"),
    ],
)
def test_edges_that_are_none_are_named(model, edges, said):
    with spoil(model) as file:
        del file["node/edges"]
        file["node"].create_dataset(
            "edges", data=edges, dtype=TEXT if edges.dtype == object else None
        )
    refused(model, said)


def test_an_edge_to_nowhere_in_a_graph_without_outputs_is_named(model):
    with spoil(model) as file:
        del file["node/nodes/2"]
    refused(model, "there is no node '2'")


def test_a_cycle_without_memory_is_refused(model):
    with spoil(model) as file:
        for name in ("a", "b"):
            group = file["node/nodes"].create_group(name)
            group["type"], group["scale"] = "Scale", np.ones(6)
        pairs = np.array([["0", "1"], ["1", "2"], ["a", "b"], ["b", "a"], ["a", "2"]], object)
        del file["node/edges"]
        file["node"].create_dataset("edges", data=pairs, dtype=TEXT)
    refused(model, "has neither a neuron nor a Delay")


def test_a_delay_of_ages_is_refused(tmp_path):
    path = Path(shutil.copy(DATA / "delay.nir", tmp_path / "model.nir"))
    for value in (1e30, np.nan, -1.0):
        with spoil(path) as file:
            node(file)["delay"][...] = value
        refused(path, "field 'delay'")


def test_what_is_not_a_nir_file_is_told(model, tmp_path):
    graph = ir.Graph({"a": ir.Input((1,)), "b": ir.Output((1,))}, [("a", "b")])
    ir.write(tmp_path / "a.t1c", graph)
    refused(tmp_path / "a.t1c", "It looks like a .t1c file")
    (tmp_path / "text.nir").write_text("hello")
    refused(tmp_path / "text.nir", "not an HDF5 file")
    with h5py.File(tmp_path / "old.nir", "w") as file:
        file.create_group("nodes")
    refused(tmp_path / "old.nir", "nir 0.0.x")
    with pytest.raises(FileNotFoundError):
        nir.read(tmp_path / "none.nir", dt=1e-3)
    with pytest.raises(ir.T1CFormatError, match=r"Read it with t1c\.nir\.read"):
        ir.read(model)


def test_a_heap_that_would_be_read_for_ever_is_refused(model):
    """HDF5 2.0 never returns from a free object of size 0."""
    whole = bytearray(model.read_bytes())
    at = whole.index(b"GCOL") + 16
    while struct.unpack_from("<H", whole, at)[0]:
        (length,) = struct.unpack_from("<Q", whole, at + 8)
        at += 16 + (length + 7) // 8 * 8
    struct.pack_into("<Q", whole, at + 8, 0)
    model.write_bytes(whole)
    refused(model, "the global heap at")


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.99])
def test_a_truncated_file_is_refused(model, share):
    whole = model.read_bytes()
    model.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ir.T1CFormatError):
        nir.read(model, dt=1e-3)


def test_damaged_bytes_never_do_more_than_be_refused(tmp_path):
    """Whatever bytes change, the file reads or is refused: no other error, no crash."""
    names = list(json.loads((DATA / "index.json").read_text()))
    rng = np.random.default_rng(0)
    path = tmp_path / "model.nir"
    outcomes = {"read": 0, "refused": 0}
    for _ in range(300):
        whole = bytearray((DATA / f"{rng.choice(names)}.nir").read_bytes())
        for _ in range(rng.integers(1, 9)):
            whole[rng.integers(len(whole))] = rng.integers(256)
        path.write_bytes(whole)
        try:
            nir.read(path, dt=1e-3)
            outcomes["read"] += 1
        except ir.T1CError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 0
