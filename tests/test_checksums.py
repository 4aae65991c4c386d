"""What a damaged file gives is an error, or the graph that was written: never another one."""

import h5py
import numpy as np
import pytest
import xxhash

from t1c import ir, sdk
from t1c.ir import checksums
from t1c.ir.hdf5 import count_checksums


def graph():
    one = np.ones(1)
    weight = np.arange(16.0).reshape(4, 4).astype(">f4")
    nodes = {
        "in": ir.Input((4,)),
        "fc": ir.Affine(weight, np.zeros(4, np.float16)),
        "lif": ir.LIF(2 * one, 2 * one, 0 * one, one, reset="subtract"),
        "rows": ir.Clip(low=-1.0),
        "out": ir.Output((4,)),
    }
    edges = [("in", "fc"), ("fc", "lif"), ("lif", "rows"), ("rows", "out")]
    notes = {"a": {"b": ["x", "yü"], "c": True, "d": {}}, "m": np.arange(6).reshape(2, 3)}
    return ir.Graph(nodes, edges, notes)


@pytest.fixture
def file(tmp_path):
    ir.write(tmp_path / "net.t1c", graph())
    return tmp_path / "net.t1c"


def changed(file, change):
    with h5py.File(file, "r+") as opened:
        change(opened)


def test_no_flipped_bit_passes_for_another_number(file):
    """One bit of some bytes: each is refused, or met what nothing is read from."""
    whole, written = file.read_bytes(), graph()
    refused = noticed = same = 0
    for at in range(0, len(whole), 41):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        file.write_bytes(damaged)
        try:
            found = ir.read(file)
        except ir.T1CError as error:
            refused += 1
            noticed += "checksum" in str(error)
        else:
            assert found.equals(written), at
            same += 1
    assert noticed > 20
    assert refused > noticed
    assert same > 0


def test_a_damaged_weight_is_named_and_read_on_demand(file):
    whole = bytearray(file.read_bytes())
    at = whole.find(np.arange(16, dtype=">f4").tobytes())
    whole[at + 1] ^= 1
    file.write_bytes(whole)
    with pytest.raises(ir.T1CFormatError, match=r"node 'fc' \(Affine\), field 'weight'.*checksum"):
        ir.read(file)
    assert not ir.read(file, verify=False).equals(graph())
    with pytest.raises(ir.T1CFormatError, match="checksum"):
        sdk.file_info(file)
    assert not sdk.file_info(file, verify=False).verified


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f["graph/nodes/fc/weight"].__setitem__((0, 0), 7),
        lambda f: f["graph/nodes"].move("fc/bias", "lif/bias"),
        lambda f: f["graph/metadata"].move("a", "z"),
        lambda f: f["graph/metadata/a"].__delitem__("d"),
        lambda f: f["graph"].__delitem__("metadata"),
        lambda f: f["graph/metadata"].__setitem__("more", 1),
        lambda f: (f.__delitem__("version"), f.__setitem__("version", "0.2.1")),
        lambda f: f["checksums/xxh3_64"].__setitem__(slice(None), 0),
    ],
)
def test_what_was_changed_behind_our_back_is_refused(file, change):
    changed(file, change)
    with pytest.raises(ir.T1CFormatError, match="checksum"):
        ir.read(file)


def test_arrays_that_changed_places_are_refused(file):
    def swap(opened):
        nodes = opened["graph/nodes"]
        tau, r = (nodes[f"lif/{name}"][()] for name in ("v_leak", "v_threshold"))
        nodes["lif/v_leak"][()], nodes["lif/v_threshold"][()] = r, tau

    changed(file, swap)
    with pytest.raises(ir.T1CFormatError, match="2 problems"):
        ir.read(file)


def test_what_is_beside_the_graph_is_not_ours(file):
    changed(file, lambda f: f.__setitem__("somebody's", 1))
    assert ir.read(file).equals(graph())


def test_checksums_of_another_kind_are_refused(file):
    changed(file, lambda f: f["checksums"].move("xxh3_64", "later"))
    with pytest.raises(ir.T1CFormatError, match="verify=False"):
        ir.read(file)
    assert ir.read(file, verify=False).equals(graph())


def test_a_file_without_checksums_opens_and_says_so(file):
    assert "all of them right" in str(sdk.file_info(file))
    count = count_checksums(file)
    changed(file, lambda f: f.__delitem__("checksums"))
    assert ir.read(file).equals(graph())
    info = sdk.file_info(file)
    assert (info.checksums, info.verified) == (None, False)
    assert count > 20
    assert "carries no checksums" in str(info)


def test_they_are_what_the_documentation_says(file):
    """Taken here by hand, with h5py and xxhash alone."""

    def taken(*head_and_data):
        return xxhash.xxh3_64_intdigest(b"\0".join(head_and_data))

    with h5py.File(file) as opened:
        sums = set(opened["checksums/xxh3_64"][:].tolist())
        weight = opened["graph/nodes/fc/weight"]
        expected = {
            taken(b"/graph/nodes/fc/weight", b">f4", b"4,4", weight[()].tobytes()),
            taken(b"/graph/nodes/fc/type", b"text", b"", b"Affine"),
            taken(b"/graph/nodes", b"group", b"5", b"\0".join(b"in fc lif rows out".split())),
            taken(b"/graph/edges/src", b"text", b"4", b"\0".join(b"in fc lif rows".split())),
            taken(b"/graph/metadata/a/c", b"|b1", b"", b"\1"),
        }
    assert expected <= sums
    assert checksums.of_value("/version", "0.2.0") in sums
