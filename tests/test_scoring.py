"""t1c score: every kind of shard, results of one making, and going on after whatever happened."""

import json
import multiprocessing
import os
import shutil
import signal
import tarfile
import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from typer.testing import CliRunner

from t1c import ir, sdk
from t1c.cli import app
from t1c.ir.errors import InputError, UnsupportedError
from t1c.sdk import runner
from t1c.sdk.scoring import processes
from t1c.sdk.scoring.job import Job
from t1c.sdk.scoring.reading import read_blocks
from t1c.sdk.scoring.shards import Shard, find_shards

from . import poisoned_worker
from .scoring_samples import CLASSES, SHAPE, STEPS, counts, network, npy, samples, tarred, write_tar


@pytest.fixture
def model(tmp_path):
    ir.write(tmp_path / "model.t1c", network())
    return tmp_path / "model.t1c"


@pytest.fixture
def inputs(tmp_path):
    folder = tmp_path / "inputs"
    folder.mkdir()
    return folder


def filled(folder, shards=4, count=10):
    """Samples in as many .npz files, and what the reference makes of each."""
    expected = {}
    for number in range(shards):
        x, y = samples(count, seed=number)
        np.savez(folder / f"s{number}.npz", x=x, y=y)
        expected[f"s{number}"] = counts(network(), x)
    return expected


def scored(model, inputs, folder, **options):
    return sdk.score(model, inputs, folder, **{"workers": 1, **options})


def result(folder, name):
    with np.load(folder / f"{name}.npz") as arrays:
        return dict(arrays)


# Kinds -------------------------------------------------------------------------------------------


def fixed(x):
    return pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), x[0].size)


def tensors(x):
    kind = pa.fixed_shape_tensor(pa.from_numpy_dtype(x.dtype), x.shape[1:])
    return pa.ExtensionArray.from_storage(kind, fixed(x))


def as_table(lay):
    def write(folder, x, y):
        moved = np.ascontiguousarray(np.moveaxis(x, 1, 0))
        columns = {"other": [None] * len(y), "x": lay(moved), "y": y, "key": list(map(str, y))}
        pq.write_table(pa.table(columns), folder / "s.parquet", row_group_size=7)

    return write


def as_store(chunks):
    def write(folder, x, y):
        group = zarr.open_group(folder / "s.zarr", mode="w")
        group.create_array("x", data=x, chunks=chunks)
        group.create_array("labels", data=y)

    return write


def as_npz(folder, x, y):
    np.savez(folder / "s.npz", x=x, labels=y)


def as_tar(name, kind="npy"):
    return lambda folder, x, y: write_tar(folder / name, tarred(x, y, kind))


def as_tar_of_npz(folder, x, y):
    files = {}
    for number, label in enumerate(y):
        np.savez(folder / "one.npz", x=x[:, number], y=label)
        files[f"{number}.npz"] = (folder / "one.npz").read_bytes()
        (folder / "one.npz").unlink()
    write_tar(folder / "s.tar", files)


WAYS = {
    "npz": as_npz,
    "parquet, lists of fixed size": as_table(fixed),
    "parquet, lists": as_table(lambda x: [sample.ravel().tolist() for sample in x]),
    "parquet, nested lists": as_table(lambda x: x.tolist()),
    "parquet, tensors": as_table(tensors),
    "tar": as_tar("s.tar"),
    "tar.gz, x.npy": as_tar("s.tar.gz", "x.npy"),
    "tar of npz": as_tar_of_npz,
    "zarr": as_store((STEPS, 8, *SHAPE)),
    "zarr, in time": as_store((2, 100, *SHAPE)),
}


def test_of_a_table_one_row_group_is_held(inputs):
    """Asked for all row groups at once, Arrow holds whatever it has unpacked to the end."""
    rows, groups = 1024, 30
    x = np.random.default_rng(0).random((rows * groups, *SHAPE), np.float32)
    pq.write_table(pa.table({"x": fixed(x)}), inputs / "s.parquet", row_group_size=rows)
    job, shard = Job("", "", batch_size=rows, steps=1), Shard(str(inputs / "s.parquet"), "", "s")
    before, most, seen = pa.total_allocated_bytes(), 0, []
    for block in read_blocks(shard, network(), job):
        most = max(most, pa.total_allocated_bytes() - before)
        seen.append(next(iter(block.samples.inputs.values()))[0])
    assert np.array_equal(np.concatenate(seen), x)
    assert 0 < most < x.nbytes // 4, f"{most:,} bytes of {x.nbytes:,}"


def test_of_an_archive_no_list_of_files_is_kept(inputs, monkeypatch):
    opened = []
    real = tarfile.open
    monkeypatch.setattr(tarfile, "open", lambda *a, **k: opened.append(real(*a, **k)) or opened[-1])
    as_tar("s.tar")(inputs, *samples(40))
    opened.clear()
    shard = Shard(str(inputs / "s.tar"), "", "s")
    blocks = [
        len(opened[0].members) for _ in read_blocks(shard, network(), Job("", "", batch_size=8))
    ]
    assert len(blocks) == 5
    assert max(blocks) <= 1


@pytest.mark.parametrize("way", WAYS)
def test_every_kind_of_shard_gives_the_reference_s_numbers(way, model, inputs, tmp_path):
    x, y = samples(21)
    WAYS[way](inputs, x, y)
    report = scored(model, inputs, tmp_path / "results", batch_size=8)
    assert report, report
    assert report.samples == 21
    found, expected = result(tmp_path / "results", "s"), counts(network(), x)
    assert expected.sum() > 100
    np.testing.assert_array_equal(found["out_sum"], expected)
    np.testing.assert_array_equal(found["prediction"], expected.argmax(1))
    assert report.accuracy == (expected.argmax(1) == y).mean()
    if "tar" in way:
        assert len(set(found["key"])) == 21
    if "parquet" in way:
        np.testing.assert_array_equal(found["key"], list(map(str, y)))


def test_a_store_is_worked_in_parts(model, inputs, tmp_path, monkeypatch):
    monkeypatch.setattr("t1c.sdk.scoring.stores.PART", 10)
    x, _ = samples(25, None)
    zarr.create_array(inputs / "s", data=x, chunks=(4, *SHAPE))
    report = scored(model, inputs, tmp_path / "results", steps=3, format="parquet")
    assert [shard.samples for shard in report.shards] == [8, 8, 8, 1]
    parts = sorted((tmp_path / "results").iterdir())
    assert [part.name for part in parts] == [f"s-0000{n}-of-00004.parquet" for n in range(4)]
    whole = pa.concat_tables([pq.read_table(part) for part in parts])
    np.testing.assert_array_equal(whole["index"], np.arange(25))
    expected = counts(network(), np.broadcast_to(x, (3, *x.shape)))
    assert expected.sum() > 100
    np.testing.assert_array_equal(whole["out_sum"].to_pylist(), expected)


def test_sequences_of_several_lengths_and_keys_of_several_widths(model, inputs, tmp_path):
    lengths = [2, 2, 7, 3, 3, 3]
    xs = [samples(1, steps, seed=n)[0] for n, steps in enumerate(lengths)]
    write_tar(inputs / "s.tar", {f"{'k' * n}.npy": npy(x[:, 0]) for n, x in enumerate(xs, 1)})
    assert scored(model, inputs, tmp_path / "results", batch_size=2)
    found = result(tmp_path / "results", "s")
    expected = np.concatenate([counts(network(), x) for x in xs])
    assert (expected.sum(1) > 0).all()
    np.testing.assert_array_equal(found["out_sum"], expected)
    assert found["key"].tolist() == ["k" * n for n in range(1, 7)]


def test_both_formats_hold_the_same(model, inputs, tmp_path):
    filled(inputs, 1)
    for format in ("npz", "parquet"):
        assert scored(model, inputs, tmp_path / format, format=format, reproducible=True)
    table, arrays = (
        pq.read_table(tmp_path / "parquet" / "s0.parquet"),
        result(tmp_path / "npz", "s0"),
    )
    assert table.column_names == ["index", *arrays]
    for name, array in arrays.items():
        np.testing.assert_array_equal(np.array(table[name].to_pylist()), array)


def test_memory_holds_a_block_of_a_shard(model, inputs, tmp_path, monkeypatch):
    x, y = samples(300, None)
    write_tar(inputs / "s.tar", tarred(x, y))
    as_table(fixed)(inputs, x[None], y)
    (inputs / "s.parquet").rename(inputs / "p.parquet")
    held = []
    run = runner.Runner.run

    def counted(self, block, progress=None):
        held.append(block.count)
        return run(self, block, progress)

    monkeypatch.setattr(runner.Runner, "run", counted)
    assert scored(model, inputs, tmp_path / "results", steps=2, batch_size=16)
    assert sum(held) == 600
    assert max(held) == 16
    # A block is there before the rest of the archive is read.
    with open(inputs / "s.tar", "r+b") as file:
        file.truncate(200_000)
    (shard,), _ = find_shards([inputs / "s.tar"], tmp_path, "npz", network())
    blocks = read_blocks(shard, network(), Job(str(model), "", batch_size=16, steps=2))
    assert next(blocks).samples.count == 16
    with pytest.raises(InputError, match=r"s\.tar: damaged"):
        list(blocks)


# Going on ----------------------------------------------------------------------------------------


def test_what_is_finished_is_passed_over(model, inputs, tmp_path):
    expected, folder = filled(inputs), tmp_path / "results"
    assert scored(model, inputs, folder).count("done") == 4
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}

    (folder / "s1.npz").unlink()
    x, y = samples(10, seed=77)
    np.savez(inputs / "s2.npz", x=x, y=y)
    os.utime(inputs / "s3.npz")  # copied, say
    report = scored(model, inputs, folder)
    assert [shard.status for shard in report.shards] == ["finished", "done", "done", "finished"]
    assert [shard.redone for shard in report.shards] == ["", "", "changed", ""]
    assert report.samples == 40
    assert "made anew, of samples that have changed: 1" in str(report)
    changed = {path.name for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert changed == {"s1.npz", "s2.npz"}
    expected["s2"] = counts(network(), x)
    for name, numbers in expected.items():
        np.testing.assert_array_equal(result(folder, name)["out_sum"], numbers)
    assert sorted(path.name for path in folder.iterdir()) == [f"{n}.npz" for n in expected]


@pytest.mark.parametrize("other", [{"dtype": "float64"}, {"steps": STEPS}, {"batch_size": 3}])
def test_results_of_other_options_are_refused_or_redone(other, model, inputs, tmp_path):
    filled(inputs, 2)
    folder = tmp_path / "results"
    scored(model, inputs / "s0.npz", folder)
    with pytest.raises(InputError, match=rf"s0\.npz: {next(iter(other))}=") as refused:
        scored(model, inputs, folder, **other)
    assert "--redo" in str(refused.value)
    assert len(list(folder.iterdir())) == 1
    report = scored(model, inputs, folder, redo=True, **other)
    assert [shard.redone for shard in report.shards] == ["otherwise", ""]
    assert scored(model, inputs, folder, **other).count("finished") == 2


def test_results_of_another_model_are_refused_or_redone(model, inputs, tmp_path):
    expected, folder = filled(inputs, 1)["s0"], tmp_path / "results"
    scored(model, inputs, folder)
    ir.write(model, network(seed=9))
    with pytest.raises(InputError, match=r"s0\.npz: another model"):
        scored(model, inputs, folder)
    scored(model, inputs, folder, redo=True)
    assert not np.array_equal(result(folder, "s0")["out_sum"], expected)
    np.testing.assert_array_equal(
        result(folder, "s0")["out_sum"], counts(network(seed=9), samples(10, seed=0)[0])
    )


def test_results_that_nothing_here_could_redo_are_refused(model, inputs, tmp_path):
    filled(inputs, 2)
    folder = tmp_path / "results"
    scored(model, inputs, folder)
    (inputs / "s1.npz").unlink()
    assert scored(model, inputs, folder)  # s1 is of the same making: it may stay
    with pytest.raises(InputError, match=r"s1\.npz: dtype"):
        scored(model, inputs, folder, dtype="float64", redo=True)
    (folder / "s1.npz").unlink()
    np.savez(folder / "s0.npz", mine=np.ones(3))
    with pytest.raises(InputError, match="no results of t1c score"):
        scored(model, inputs, folder, redo=True)
    assert result(folder, "s0")["mine"].sum() == 3


def test_names_that_clash_are_refused(model, inputs, tmp_path):
    filled(inputs, 1)
    with pytest.raises(InputError, match="which holds samples"):
        scored(model, inputs, inputs)
    shutil.copy(inputs / "s0.npz", tmp_path / "s0.npz")
    with pytest.raises(InputError, match="as others would"):
        scored(model, [inputs, tmp_path / "s0.npz"], tmp_path / "results")
    # A shard that is named twice is one.
    assert len(scored(model, [inputs, inputs / "s0.npz"], tmp_path / "results").shards) == 1


# What goes wrong ---------------------------------------------------------------------------------


def test_a_shard_that_fails_does_not_stop_the_others(model, inputs, tmp_path):
    expected = filled(inputs, 2)
    x, y = samples(20)
    write_tar(inputs / "t.tar", tarred(x, y))
    as_table(fixed)(inputs, x, y)
    (inputs / "s.parquet").rename(inputs / "p.parquet")
    for name in ("t.tar", "p.parquet"):
        content = (inputs / name).read_bytes()
        (inputs / name).write_bytes(content[: len(content) // 2])
    (inputs / "broken.npz").write_bytes(b"PK\x03\x04 and then nothing")
    np.savez(inputs / "nan.npz", x=np.full_like(x, np.nan))
    np.savez(inputs / "wide.npz", x=np.ones((4, 2, 9), np.float32))
    np.savez(inputs / "wrong.npz", x=x, y=y + CLASSES)
    content = (inputs / "t.tar").read_bytes()
    (inputs / "whole.tar").write_bytes(content[: len(content) // 512 * 512])  # at a header's end
    write_tar(inputs / "zeros.tar.gz", {"a.npy": bytes(2**26 + 1)})
    write_tar(inputs / "empty.tar", {"a.txt": b"nothing that is read"})
    (inputs / "notes.txt").write_text("left alone")
    folder = tmp_path / "results"
    report = scored(model, inputs, folder)
    assert not report
    said = {
        "broken.npz": "not an .npz file",
        "empty.tar": "no samples",
        "nan.npz": "values are NaN",
        "p.parquet": "damaged",
        "t.tar": "damaged",
        "whole.tar": "damaged",
        "wide.npz": "shape (4, 2, 9)",
        "zeros.tar.gz": "67,108,865 bytes of 'a.npy'",
        "wrong.npz": "classes from 0 to 4",
    }
    failed = {shard.shard: shard.error for shard in report.shards if shard.status == "failed"}
    assert sorted(failed) == sorted(str(inputs / name) for name in said)
    for name, words in said.items():
        assert words in failed[str(inputs / name)]
    assert report.others == 1
    assert sorted(path.name for path in folder.iterdir()) == ["s0.npz", "s1.npz"]
    for name, numbers in expected.items():
        np.testing.assert_array_equal(result(folder, name)["out_sum"], numbers)
    assert all(error in str(report) for error in failed.values())


def test_the_command_tells_and_its_status_says_whether_all_went_well(model, inputs, tmp_path):
    filled(inputs, 2)
    line = ["score", model, inputs, "-o", tmp_path / "results", "-w", 1]

    def run(*more):
        return CliRunner().invoke(app, list(map(str, [*line, *more])))

    assert run("-q").output == ""
    told = json.loads(run("--json").output)
    assert told["counts"] == {"done": 0, "finished": 2, "failed": 0}
    (inputs / "bad.npz").write_bytes(b"")
    failed = run()
    assert failed.exit_code == 1
    assert "2 finished before, 1 failed" in failed.output
    refused = run("--dtype", "float64")
    assert refused.exit_code == 1
    assert "made otherwise" in refused.output


@pytest.mark.parametrize(
    "wrong", [{"on": "moon"}, {"format": "csv"}, {"workers": 0}, {"batch_size": 0}]
)
def test_options_that_there_are_none_of(wrong, model, inputs, tmp_path):
    filled(inputs, 1)
    with pytest.raises(InputError, match=f"{next(iter(wrong))}="):
        scored(model, inputs, tmp_path / "results", **wrong)


# Processes ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills with a signal")
def test_workers_that_are_killed_lose_nothing(model, inputs, tmp_path):
    expected = {}
    for number in range(6):
        x, y = samples(256, 200, seed=number)
        np.savez(inputs / f"s{number}.npz", x=x, y=y)
        expected[f"s{number}"] = counts(network(), x[:, :2])
    (inputs / "bad.npz").write_bytes(b"no archive")
    killed, others = [], set(multiprocessing.active_children())

    def kill():
        """One is at work: it has begun to write."""
        while not list((tmp_path / "two").glob(".s*.t1c-tmp")):
            time.sleep(0.001)
        for child in set(multiprocessing.active_children()) - others:
            os.kill(child.pid, signal.SIGKILL)
            killed.append(child.pid)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    report = scored(model, inputs, tmp_path / "two", workers=2)
    killer.join(10)
    assert len(killed) == 2
    assert report.lost >= 1
    assert report.workers == 2
    assert report.count("done") == 6
    assert [s.shard for s in report.shards if s.error] == [str(inputs / "bad.npz")]
    assert not multiprocessing.active_children()
    scored(model, inputs, tmp_path / "one")
    for name, numbers in expected.items():
        np.testing.assert_array_equal(result(tmp_path / "two", name)["out_sum"][:2], numbers)
        files = [(tmp_path / folder / f"{name}.npz").read_bytes() for folder in ("one", "two")]
        assert files[0] == files[1]


@pytest.mark.skipif(os.name != "posix", reason="kills with a signal")
def test_a_shard_that_kills_its_workers_fails_alone(monkeypatch):
    monkeypatch.setattr(processes, "_serve", poisoned_worker.serve)
    names = ("a", "poison", "b", "c")
    shards = [Shard(name, f"{name}.npz", name) for name in names]
    found = {s.shard: s for s in processes.Pool(Job("", ""), ["cpu", "cpu"]).score(shards)}
    assert sorted(found) == sorted(names)
    assert [found[name].status for name in names] == ["done", "failed", "done", "done"]
    assert "3 workers died at it, the last by SIGKILL" in found["poison"].error
    with pytest.raises(UnsupportedError, match="die before they are ready, the last by SIGKILL"):
        list(processes.Pool(Job("", ""), ["none"]).score(shards))
