"""Events: recordings from files, and counted into frames, beside other readers and plain loops."""

import importlib.util
import itertools
import struct
import sys
import types
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t1c import events as ev
from t1c.events.counting import BLOCK
from t1c.events.fields import EVENT
from t1c.ir import InputError

from .examples import examples


def some_events(n, width=34, height=30, last=5000, seed=0, ordered=True):
    rng = np.random.default_rng(seed)
    events = np.empty(n, EVENT)
    events["x"], events["y"] = rng.integers(0, width, n), rng.integers(0, height, n)
    events["t"] = rng.integers(0, last, n)
    events["p"] = rng.integers(0, 2, n)
    return events[np.argsort(events["t"], kind="stable")] if ordered else events


@pytest.fixture
def theirs(monkeypatch):
    """SpikingJelly's readers, without the packages that only its data sets need."""
    import spikingjelly

    for name in ("torchvision", "torchvision.transforms", "tqdm"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["torchvision"].transforms = sys.modules["torchvision.transforms"]
    file = Path(spikingjelly.__file__).with_name("datasets") / "utils.py"
    spec = importlib.util.spec_from_file_location("spikingjelly.datasets.utils", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def counted_by_hand(events, steps, start, numerator, denominator, width, height):
    """The definition, event by event, in Python's own whole numbers."""
    frames = np.zeros((steps, 2, height, width))
    for x, y, t, p in events.tolist():
        step = (t - start) * denominator // numerator
        if 0 <= step < steps:
            frames[step, int(p), y, x] += 1
    return frames


# Frames ----------------------------------------------------------------------------------------


@given(
    n=st.integers(1, 200),
    window=st.integers(1, 900),
    start=st.none() | st.integers(-300, 900),
    end=st.none() | st.integers(1000, 2500),
    ordered=st.booleans(),
    seed=st.integers(0, 99),
)
def test_windows_count_what_falls_into_them(n, window, start, end, ordered, seed):
    events = some_events(n, 5, 4, 2000, seed, ordered)
    first = int(events["t"].min()) if start is None else start
    past = int(events["t"].max()) + 1 if end is None else end
    steps = max(-(-(past - first) // window), 1)
    frames = ev.events_to_frames(events, (5, 4), window=window, start=start, end=end)
    expected = counted_by_hand(events, steps, first, window, 1, 5, 4)
    assert frames.dtype == np.float32
    np.testing.assert_array_equal(frames, expected)
    if start is None and end is None:
        assert frames.sum() == n


@given(n=st.integers(1, 200), bins=st.integers(1, 60), seed=st.integers(0, 99))
def test_frames_cut_the_recording_into_equal_parts(n, bins, seed):
    events = some_events(n, 5, 4, 2000, seed)
    frames = ev.events_to_frames(events, (5, 4, 2), n_frames=bins)
    first, last = events["t"][[0, -1]].tolist()
    expected = counted_by_hand(events, bins, first, last + 1 - first, bins, 5, 4)
    np.testing.assert_array_equal(frames, expected)
    assert frames.sum() == n


@examples(20)
@given(seed=st.integers(0, 99))
def test_polarities_are_kept_added_or_chosen(seed):
    events = some_events(300, 5, 4, 2000, seed)
    both = ev.events_to_frames(events, (5, 4), window=100)
    for polarity, expected in (
        ("sum", both.sum(1, keepdims=True)),
        ("off", both[:, :1]),
        ("on", both[:, 1:]),
    ):
        found = ev.events_to_frames(events, (5, 4), window=100, polarity=polarity)
        np.testing.assert_array_equal(found, expected)
    assert both[:, 0].any()
    assert both[:, 1].any()
    binary = ev.events_to_frames(events, (5, 4), window=100, binary=True)
    np.testing.assert_array_equal(binary, both > 0)
    assert both.max() > 1


def test_frames_are_those_of_spikingjelly(theirs):
    events = some_events(3 * BLOCK + 17, 34, 30, 40_000)
    frames = ev.events_to_frames(events, (34, 30), window=1000)
    edges = np.searchsorted(events["t"], events["t"][0] + 1000 * np.arange(len(frames) + 1))
    columns = [events[name].astype(np.int64) for name in ("x", "y", "p")]
    counted = [
        theirs.integrate_events_segment_to_frame(*columns, 30, 34, int(a), int(b))
        for a, b in itertools.pairwise(edges)
    ]
    np.testing.assert_array_equal(frames, np.stack(counted))
    assert frames.sum() == len(events)


def test_a_block_of_events_may_touch_many_steps():
    events = some_events(2 * BLOCK, 40, 40, 200_000, ordered=False)
    frames = ev.events_to_frames(events, (40, 40), window=500)
    ordered = ev.events_to_frames(np.sort(events, order="t"), (40, 40), window=500)
    np.testing.assert_array_equal(frames, ordered)
    assert frames.shape[0] == 400
    assert frames.sum() == len(events)


@pytest.mark.parametrize("kind", ["?", "i1", "u1", "i2", "f4"])
def test_polarities_of_every_type(kind):
    events = some_events(500, 5, 4)
    other = np.rec.fromarrays(
        [events["t"], events["x"].astype("u2"), events["y"].astype("u2"), events["p"].astype(kind)],
        names="ts,x,y,pol",
    ).view(np.ndarray)
    found = ev.events_to_frames(other, (5, 4), n_frames=4)
    np.testing.assert_array_equal(found, ev.events_to_frames(events, (5, 4), n_frames=4))
    if kind in ("i1", "i2", "f4"):
        other["pol"][other["pol"] == 0] = -1
        np.testing.assert_array_equal(ev.events_to_frames(other, (5, 4), n_frames=4), found)


def test_an_ear_has_one_row_and_no_polarity():
    ear = np.array([(3, 0), (3, 9), (0, 5)], dtype=[("channel", "u2"), ("t", "i8")])
    frames = ev.events_to_frames(ear, (6, 1), window=5)
    assert frames.shape == (2, 1, 1, 6)
    np.testing.assert_array_equal(frames[:, 0, 0], [[0, 0, 0, 1, 0, 0], [1, 0, 0, 1, 0, 0]])
    raster = ev.events_to_raster(ear, 6, window=5)
    np.testing.assert_array_equal(raster, frames[:, 0, 0])


def test_a_raster_is_the_frames_laid_flat():
    events = some_events(2000)
    raster = ev.events_to_raster(events, time_bins=50, sensor_size=(40, 30))
    frames = ev.events_to_frames(events, (40, 30), n_frames=50, polarity="sum")
    np.testing.assert_array_equal(raster, frames.reshape(50, -1))
    assert raster.sum() == 2000


def test_pictures_show_what_fired():
    events = some_events(50, 5, 4)
    frames = ev.events_to_frames(events, (5, 4), n_frames=3)
    grid = ev.events_to_grid(events, (5, 4), n_bins=3)
    assert grid.shape == (3, 4, 5, 3)
    silent = frames.sum(1) == 0
    assert (grid[silent] == 255).all()
    assert (grid[~silent] != 255).any(axis=-1).all()
    on, off = grid[(frames[:, 1] > 0) & (frames[:, 0] == 0)], grid[frames[:, 0] > frames[:, 1]]
    assert (on[:, 2].astype(int) > on[:, 0]).all()
    assert (off[:, 0].astype(int) > off[:, 2]).all()


@pytest.mark.parametrize(
    ("made", "options", "said"),
    [
        (lambda e: e["x"], {"window": 5}, "structured array"),
        (lambda e: e[["x", "y", "p"]], {"window": 5}, "a field for the time"),
        (lambda e: e, {}, "one of them"),
        (lambda e: e, {"window": 5, "n_frames": 2}, "one of them"),
        (lambda e: e, {"window": 0}, "at least 1"),
        (lambda e: e, {"window": 2.5}, "whole number"),
        (lambda e: e, {"window": 5, "sensor_size": (3, 4)}, "an event at x="),
        (lambda e: e, {"window": 5, "sensor_size": (34, 4)}, "an event at y="),
        (lambda e: e, {"window": 5, "polarity": "all"}, "both, sum, on or off"),
        (lambda e: e.astype([("x", "i2"), ("y", "i2"), ("t", "f8"), ("p", "?")]), {}, "microsec"),
    ],
)
def test_what_are_no_events_is_refused(made, options, said):
    with pytest.raises(InputError, match=said):
        ev.events_to_frames(made(some_events(100)), **options)


def test_unknown_polarities_and_negative_places_are_refused():
    odd = some_events(5).astype([("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "i1")])
    odd["p"] = [0, 1, 2, 0, 1]
    with pytest.raises(InputError, match="0 and 1, or -1 and 1"):
        ev.events_to_frames(odd, window=10)
    odd["p"], odd["x"][2] = 1, -3
    with pytest.raises(InputError, match="x=-3"):
        ev.events_to_frames(odd, window=10)


# Files -----------------------------------------------------------------------------------------


def test_atis_files_are_read_as_spikingjelly_does(tmp_path, theirs):
    events = some_events(400, last=1 << 22)
    word = events["t"] | events["p"].astype(np.int64) << 23
    rows = np.stack([events["x"], events["y"], word >> 16, word >> 8 & 255, word & 255], 1)
    (tmp_path / "a.bin").write_bytes(rows.astype(np.uint8).tobytes())
    found = ev.read_events(tmp_path / "a.bin").events
    loaded = theirs.load_ATIS_bin(tmp_path / "a.bin")
    for name in "txyp":
        np.testing.assert_array_equal(found[name], loaded[name])
    np.testing.assert_array_equal(found, events)


def test_the_clock_of_an_atis_file_runs_over(tmp_path):
    rows = [(1, 2, 128, 0, 7), (0, 240, 0, 0, 0), (3, 4, 0, 0, 9)]
    (tmp_path / "a.bin").write_bytes(bytes(sum(rows, ())))
    found = ev.read_events(tmp_path / "a.bin").events
    assert found.tolist() == [(1, 2, 7, True), (3, 4, 9 + 8192, False)]
    (tmp_path / "a.bin").write_bytes(b"1234")
    with pytest.raises(InputError, match="five for each event"):
        ev.read_events(tmp_path / "a.bin")


def aedat3(events, overflow=0):
    """An AEDAT 3.1 file: a packet of another kind, and two of events with one that is not valid."""
    data = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n"
    data += struct.pack("<hhiiiiii", 3, 0, 12, 0, 0, 2, 2, 2) + bytes(24)
    for part in np.array_split(events, 2):
        head = part["x"].astype("<u4") << 17 | part["y"].astype("<u4") << 2
        head |= part["p"].astype("<u4") << 1 | 1
        words = np.stack([head, part["t"].astype("<u4")], 1).astype("<u4")
        words = np.concatenate([words, [[0, 12345]]]).astype("<u4")
        n = len(words)
        data += struct.pack("<hhiiiiii", 1, 1, 8, 4, overflow, n, n, n - 1) + words.tobytes()
    return data


def test_aedat3_files_are_read_as_spikingjelly_does(tmp_path, theirs):
    events = some_events(300, 128, 128)
    path = tmp_path / "gesture.aedat"
    path.write_bytes(aedat3(events))
    found = ev.read_events(path).events
    np.testing.assert_array_equal(found, events)
    loaded = theirs.load_aedat_v3(path)
    # Theirs takes events that are marked as not valid, too: two, at 12345.
    real = loaded["t"] != 12345
    assert (~real).sum() == 2
    for name in "txyp":
        np.testing.assert_array_equal(found[name], loaded[name][real])
    path.write_bytes(aedat3(events, overflow=2))
    np.testing.assert_array_equal(ev.read_events(path).events["t"], events["t"] + (2 << 31))


def test_damaged_aedat3_files_are_refused(tmp_path):
    path = tmp_path / "gesture.aedat"
    whole = aedat3(some_events(300, 128, 128))
    for data in (whole[:-3], whole[:60], b"#!AER-DAT2.0\r\n" + whole, b"", whole[:20]):
        path.write_bytes(data)
        with pytest.raises(InputError):
            ev.read_events(path)


@pytest.mark.parametrize(
    ("suffix", "version"),
    [
        (".aedat4", None),
        (".raw", "evt2"),
        (".raw", "evt3"),
        (".dat", "dat2"),
        (".es", None),
    ],
)
def test_files_of_cameras(tmp_path, suffix, version):
    faery = pytest.importorskip("faery")
    events = some_events(2000, 320, 240, 400_000)
    events["t"] -= events["t"][0]
    written = np.empty(len(events), faery.EVENTS_DTYPE)
    for name, source in (("t", "t"), ("x", "x"), ("y", "y"), ("on", "p")):
        written[name] = events[source]
    path = tmp_path / f"recording{suffix}"
    stream = faery.events_stream_from_array(written, (320, 240))
    stream.to_file(path, version=version)
    recording = ev.read_events(path)
    if suffix == ".raw":
        # EVT writes the events of one instant in an order of its own.
        assert sorted(recording.events.tolist()) == sorted(events.tolist())
    else:
        np.testing.assert_array_equal(recording.events, events)
    assert recording.sensor_size == (320, 240)
    assert recording.duration == events["t"][-1]
    path.write_bytes(b"% a header\n" + bytes(64))
    with pytest.raises(InputError):
        ev.read_events(path)


def test_arrays_and_data_sets(tmp_path):
    events = some_events(100)
    np.save(tmp_path / "a.npy", events)
    np.testing.assert_array_equal(ev.read_events(tmp_path / "a.npy").events, events)
    columns = {name: events[name] for name in "txyp"}
    np.savez(tmp_path / "a.npz", **columns)
    np.testing.assert_array_equal(ev.read_events(tmp_path / "a.npz").events, events)
    np.savez(tmp_path / "b.npz", frames=np.zeros(3))
    np.save(tmp_path / "b.npy", np.zeros(3))
    for name in ("b.npz", "b.npy"):
        with pytest.raises(InputError):
            ev.read_events(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        ev.read_events(tmp_path / "none.npy")
    (tmp_path / "a.txt").touch()
    with pytest.raises(InputError, match=r"\.aedat4"):
        ev.read_events(tmp_path / "a.txt")
    with pytest.raises(InputError, match="one recording"):
        ev.read_events(tmp_path / "a.npy", sample=3)


def test_what_comes_out_of_order_is_put_in_order(tmp_path):
    events = some_events(500, ordered=False)
    np.save(tmp_path / "a.npy", events)
    found = ev.read_events(tmp_path / "a.npy").events
    np.testing.assert_array_equal(found, events[np.argsort(events["t"], kind="stable")])


def test_heidelberg_digits(tmp_path):
    with h5py.File(tmp_path / "shd.h5", "w") as file:
        for name, kind, rows in (
            ("times", np.float16, [[0.0, 0.25, 0.5], [0.125]]),
            ("units", np.uint16, [[699, 0, 3], [7]]),
        ):
            data = file.create_dataset(f"spikes/{name}", (2,), h5py.vlen_dtype(kind))
            for i, row in enumerate(rows):
                data[i] = np.array(row, kind)
        file["labels"] = np.array([4, 19])
    recording = ev.read_events(tmp_path / "shd.h5", sample=0)
    assert recording.events.tolist() == [(699, 0), (0, 250_000), (3, 500_000)]
    assert (recording.label, recording.sensor_size) == (4, (700, 1))
    frames = ev.events_to_frames(recording.events, recording.sensor_size, window=250_000)
    assert frames.shape == (3, 1, 1, 700)
    assert np.argwhere(frames[:, 0, 0]).tolist() == [[0, 699], [1, 0], [2, 3]]
    assert ev.read_events(tmp_path / "shd.h5", sample=1).label == 19
    for sample in (None, 2):
        with pytest.raises(InputError, match="2 recordings"):
            ev.read_events(tmp_path / "shd.h5", sample=sample)
    (tmp_path / "bad.h5").write_bytes(b"nothing")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    for name in ("bad.h5", "other.h5"):
        with pytest.raises(InputError):
            ev.read_events(tmp_path / name, sample=0)


def test_heidelberg_digits_as_pytables_keeps_them(tmp_path):
    """Packed in chunks, and so many that the heaps of spikes are many too."""
    rng = np.random.default_rng(0)
    rows = [np.sort(rng.random(n)).astype("f2") for n in rng.integers(0, 2000, 200)]
    with h5py.File(tmp_path / "shd.h5", "w") as file:
        options = {"maxshape": (None,), "chunks": (32,), "compression": "gzip", "shuffle": True}
        for name, kind in (("times", "f2"), ("units", "u2")):
            kept = file.create_dataset(f"spikes/{name}", (200,), h5py.vlen_dtype(kind), **options)
            for i, row in enumerate(rows):
                kept[i] = (row * 600).astype(kind) if name == "units" else row
        file.create_dataset("labels", data=np.arange(200, dtype="u2"), **options)
    for i in (0, 31, 32, 199):
        recording = ev.read_events(tmp_path / "shd.h5", sample=i)
        assert (recording.label, len(recording.events)) == (i, len(rows[i]))
        given = np.rint(rows[i].astype("f8") * 1e6).astype("i8")
        np.testing.assert_array_equal(recording.events["t"], given)
        np.testing.assert_array_equal(recording.events["x"], (rows[i] * 600).astype("u2"))


def test_recordings_of_strangers_are_refused(tmp_path):
    path = tmp_path / "shd.h5"
    shape = (2,)
    wrong = {
        "lengths": lambda file: file.create_dataset("spikes/units", shape, h5py.vlen_dtype("u2")),
        "a link": lambda file: file.__setitem__("spikes/units", h5py.ExternalLink("x.h5", "/y")),
        "a table": lambda file: file.create_dataset("spikes/units", data=np.ones((2, 3))),
        "more": lambda file: file.create_dataset("spikes/units", (2**40,), h5py.vlen_dtype("u2")),
    }
    for fill in wrong.values():
        with h5py.File(path, "w") as file:
            times = file.create_dataset("spikes/times", shape, h5py.vlen_dtype("f2"))
            times[0] = np.ones(3, "f2")
            fill(file)
        with pytest.raises(InputError, match=r"shd\.h5"):
            ev.read_events(path, sample=0)
