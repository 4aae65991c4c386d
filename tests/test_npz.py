"""Archives of arrays that say more than they hold are refused before NumPy is handed them."""

import io
import struct
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from t1c import events, ir, sdk
from t1c.ir.npz import opened_npz

GRAPH = ir.Graph({"in": ir.Input((3,)), "out": ir.Output((3,))}, [("in", "out")])


def member(shape, data, dtype="<f4"):
    """The bytes of an ``.npy`` whose header need not be true."""
    made = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        made, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return made.getvalue() + data


def archive(path, how=zipfile.ZIP_DEFLATED, **members):
    with zipfile.ZipFile(path, "w", how) as made:
        for name, data in members.items():
            made.writestr(f"{name}.npy", data)
    return path


def everywhere(path):
    """The readers of archives: each must refuse it, in memory that is worth the file."""
    messages = []
    for read in (
        lambda: sdk.read_samples(path, GRAPH, steps=2),
        lambda: sdk.read_data(path, GRAPH, steps=2),
        lambda: events.read_events(path),
    ):
        tracemalloc.start()
        try:
            with pytest.raises(ir.InputError) as caught:
                read()
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert most < 20_000_000
        messages.append(str(caught.value))
        assert "hostile.npz" in messages[-1] or "array 'x'" in messages[-1]
    return messages


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hostile.npz"


def test_sound_archives_are_read(path):
    x = np.arange(12, dtype="f4").reshape(2, 2, 3)
    for save in (np.savez, np.savez_compressed):
        save(path, x=x)
        np.testing.assert_array_equal(sdk.read_samples(path, GRAPH).inputs["in"], x)
    np.savez_compressed(path, x=np.zeros((100, 1000, 3)))  # packs to a thousandth, and is small
    assert sdk.read_samples(path, GRAPH).count == 1000


def test_an_archive_that_unpacks_to_a_thousand_times_its_size(path):
    size = 200 << 20
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made, made.open("x.npy", "w") as data:
        data.write(member((size // 4,), b""))
        for _ in range(size >> 20):
            data.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    assert all("bytes unpacked" in message for message in everywhere(path))


def test_a_shape_that_lies(path):
    for shape in ((2**40, 3), (2, 2**62), (1,)):
        archive(path, x=member(shape, bytes(24)), t=member(shape, bytes(24)))
        assert all("bytes declared" in message for message in everywhere(path))


def test_a_shape_that_lies_in_a_single_array(tmp_path):
    path = tmp_path / "one.npy"
    kind = [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "|b1")]
    path.write_bytes(member((2**40,), bytes(64), kind))
    with pytest.raises(ir.InputError, match=r"one\.npy"):
        events.read_events(path)


def test_members_that_share_their_bytes(path):
    """Every entry of the directory leads to the same member."""
    archive(path, how=zipfile.ZIP_STORED, x=member((250_000,), bytes(1_000_000)))
    raw = path.read_bytes()
    start = raw.index(b"PK\1\2")
    end = raw.index(b"PK\5\6", start)
    entry, count = raw[start:end], 60
    closing = struct.pack("<4s4xHHII2x", b"PK\5\6", count, count, len(entry) * count, start)
    path.write_bytes(raw[:start] + entry * count + closing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert all("packed, in a file of" in message for message in everywhere(path))


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_packing_are_not_unpacked(path, how):
    """They know no bound but the size that the archive states."""
    archive(path, how, x=member((6,), bytes(24)), t=member((6,), bytes(24)))
    assert all("packed with" in message for message in everywhere(path))


def test_nothing_is_unpickled(path):
    np.savez(path, x=np.array([print], object), t=np.array([print], object))
    assert all("bject" in message for message in everywhere(path))


def test_an_archive_that_begins_as_an_empty_one(path):
    """NumPy takes it for an archive too; what it holds is told by its end."""
    archive(path, x=member((2**40,), bytes(24)))
    path.write_bytes(b"PK\5\6" + path.read_bytes())
    with pytest.raises(ir.InputError, match="bytes declared"), opened_npz(path):
        pass


def test_damaged_members_are_named(path):
    rng = np.random.default_rng(0)
    np.savez_compressed(path, x=rng.standard_normal((4, 2, 3)), t=np.arange(5))
    raw = path.read_bytes()
    refused = 0
    for _ in range(200):
        damaged = bytearray(raw)
        damaged[rng.integers(len(raw))] = rng.integers(256)
        path.write_bytes(damaged)
        for read in (lambda: sdk.read_samples(path, GRAPH), lambda: events.read_events(path)):
            try:
                read()
            except ir.InputError:
                refused += 1
    assert refused > 300  # events have no x of two axes, and are refused each time
