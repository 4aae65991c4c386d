"""Our own reading of HDF5 gives what HDF5's library gives, for whatever that library writes.

``t1c.ir.h5`` reads files of strangers, so that none of them reaches the library. It must read every
form in which the library keeps groups and data, or say that it does not.
"""

import os

import h5py
import numpy as np
import pytest

from t1c.ir import h5
from t1c.ir.h5.checksum import fletcher32, lookup3

TEXT = h5py.string_dtype()
RNG = np.random.default_rng(0)


def ours(file, group):
    """All that a group holds: name -> (shape, dtype, values), nested."""
    found = {}
    for name, link in group.links.items():
        assert link.is_hard
        item = file.open(link.address, name)
        if isinstance(item, h5.Group):
            found[name] = ours(file, item)
        elif item is None:
            found[name] = "type"
        elif item.empty:
            found[name] = "nothing"
        elif item.type.unreadable:
            found[name] = "unreadable"
        elif item.type.is_text:
            found[name] = (item.shape, "text", item.texts(1 << 30)[0])
        else:
            array = item.numbers()
            found[name] = (array.shape, array.dtype, array.tobytes())
    return found


def theirs(group):
    found = {}
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            found[name] = theirs(item)
        elif isinstance(item, h5py.Datatype):
            found[name] = "type"
        elif item.shape is None:
            found[name] = "nothing"
        elif h5py.check_string_dtype(item.dtype):
            values = np.asarray(item[()], object)
            found[name] = (item.shape, "text", values.ravel().tolist())
        elif item.dtype.kind not in "biuf":
            found[name] = "unreadable"
        else:
            found[name] = (item.shape, item.dtype, np.asarray(item[()]).tobytes())
    return found


def names(found):
    """The names in a group and in those within it, in their order."""
    return [(n, names(item)) if isinstance(item, dict) else n for n, item in found.items()]


def counted(found):
    """How many groups and datasets there are."""
    return sum(1 + (counted(item) if isinstance(item, dict) else 0) for item in found.values())


def both(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        file = h5.File(descriptor)
        mine = ours(file, file.root)
    finally:
        os.close(descriptor)
    with h5py.File(path) as other:
        return mine, theirs(other)


def low(group, name, kind, shape, data, plist=None):
    """A dataset by h5py's low-level calls, for what its others cannot say."""
    space = h5py.h5s.create_simple(shape)
    made = h5py.h5d.create(group.id, name.encode(), kind, space, plist)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, data)


def fill_values(group):
    values = {
        "text": "hällo", "texts": np.array(["a", "", "bb"], object), "nothing": h5py.Empty("f8"),
        "fixed": np.array([b"ab", b"c", b""]), "bools": np.array([True, False]), "bool": True,
        "half": np.ones((3, 4), "f2"), "big": np.arange(4).astype(">f8"), "none": np.zeros((0, 3)),
        "big int": np.arange(4).astype(">i2"), "complex": 1j, "largest": np.uint64(2**64 - 1),
        "record": np.zeros(2, [("a", "f4")]), "large": RNG.standard_normal((150, 150)),
        "enum": np.arange(3, dtype=h5py.enum_dtype({"A": 0, "B": 1, "C": 2}, "i4")),
    }  # fmt: skip
    for name, value in values.items():
        group[name] = value
    group["named type"] = np.dtype("f8")
    group.create_dataset("no texts", (0, 3), TEXT)
    for padding, name in ((h5py.h5t.STR_SPACEPAD, "spaces"), (h5py.h5t.STR_NULLTERM, "ended")):
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(6)
        kind.set_strpad(padding)
        low(group, name, kind, (2,), np.array([b"ab cd ", b"cdefgh"]))
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.COMPACT)
    low(group, "compact", h5py.h5t.IEEE_F32LE, (3,), np.arange(3, dtype="f4"), plist)


def fill_chunks(group):
    options = [
        {}, {"compression": "gzip"}, {"compression": "lzf"}, {"fletcher32": True},
        {"compression": "gzip", "shuffle": True, "fletcher32": True},
        {"chunks": (50, 40)}, {"chunks": (50, 40), "compression": 9},
        {"chunks": (60, 70), "maxshape": (60, 70), "shuffle": True}, {"maxshape": (50, 40)},
    ]  # fmt: skip
    for i, option in enumerate(options):
        data = RNG.integers(0, 3, (50, 40)).astype("f4")
        group.create_dataset(str(i), data=data, **{"chunks": (7, 5), **option})
    group.create_dataset("odd", data=np.arange(7, dtype="i1"), chunks=(3,), fletcher32=True)
    texts = np.array(["a" * i for i in range(30)], object)
    group.create_dataset("texts", data=texts, dtype=TEXT, chunks=(4,), compression=1)
    # As many chunks as make an index of several pages, or a tree of several levels.
    many = np.arange(2500, dtype="i2")
    group.create_dataset("many", data=many, chunks=(1,))
    group.create_dataset("many packed", data=many, chunks=(2,), compression=1)
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((7,))
    plist.set_deflate(3)
    low(group, "edge", h5py.h5t.IEEE_F32LE, (31,), np.arange(31, dtype="f4"), plist)


def fill_names(group):
    for count in (0, 3, 9, 400):
        for ordered in (False, True):
            inner = group.create_group(f"{count} {ordered}", track_order=ordered)
            for i in range(count):
                inner.create_group(f"n{i * 7919 % max(count, 1)}")
            for i in range(min(count, 5)):
                del inner[f"n{i}"]
    group["ä" * 1000] = 1.0
    group.attrs["note"] = np.arange(5)


@pytest.mark.grid(2)
@pytest.mark.parametrize("fill", [fill_values, fill_chunks, fill_names])
@pytest.mark.parametrize("version", ["earliest", "v108", "v110", "latest"])
@pytest.mark.parametrize("block", [0, 512])
def test_it_reads_what_the_library_writes(tmp_path, fill, version, block):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver=version, userblock_size=block, track_order=True) as file:
        fill(file.create_group("group"))
        for i in range(12):
            file[f"z{11 - i}"] = i
    mine, other = both(path)
    assert list(mine) == list(other) == ["group", *(f"z{11 - i}" for i in range(12))]
    assert names(mine) == names(other)
    assert mine == other
    assert counted(mine) > 20


def test_chunks_that_are_missing_are_not_made_up(tmp_path):
    path = tmp_path / "file.h5"
    for version in ("earliest", "latest"):
        with h5py.File(path, "w", libver=version) as file:
            data = file.create_dataset("x", (40,), "f4", chunks=(10,), compression=1, fillvalue=7)
            data[:10] = 1
        with pytest.raises(h5.H5Error, match="3 chunks are missing"):
            both(path)


def test_chunks_without_bound_are_said_not_to_be_read(tmp_path):
    path = tmp_path / "file.h5"
    for shape in ((None,), (None, None)):
        with h5py.File(path, "w", libver="latest") as file:
            file.create_dataset("x", data=np.ones((4,) * len(shape)), maxshape=shape)
        with pytest.raises(h5.H5Error, match="grow in number without bound"):
            both(path)


def test_a_file_that_is_being_written_is_not_read(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file["x"] = 1
        file.flush()
        with pytest.raises(h5.H5Error, match="did not close"):
            h5.File(os.open(path, os.O_RDONLY))


def test_sums_are_those_of_their_authors():
    """Jenkins' own test (lookup3.c, driver5), and a sum by hand."""
    assert lookup3(b"Four score and seven years ago") == 0x17770551
    assert lookup3(b"") == 0xDEADBEEF
    assert fletcher32(b"\1\2\3") == ((2 * 0x0102 + 0x0300) << 16 | (0x0102 + 0x0300))


@pytest.mark.slow
@pytest.mark.parametrize("version", ["v110", "latest"])
def test_a_flipped_bit_in_a_structure_with_a_sum_is_found(tmp_path, version):
    """All that libver='latest' writes has a checksum, but for data and heaps of text."""
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver=version) as file:
        for i in range(20):
            file.create_group(f"group {i}/within")
    raw = path.read_bytes()
    before, _ = both(path)
    found = same = 0
    for at in range(0, len(raw), 7):
        damaged = bytearray(raw)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            file = h5.File(descriptor)
            assert ours(file, file.root) == before
            same += 1
        except h5.H5Error:
            found += 1
        finally:
            os.close(descriptor)
    assert found > same / 2 > 0
