"""Files that appear whole or not at all."""

import contextlib
import errno
import json
import os
import re
import socket
import stat
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from t1c import ir, nir
from t1c.ir.atomic import replacing
from t1c.ir.atomic.attributes import ACCESS
from t1c.ir.atomic.temporary import _boot, _machine, _quiet_until


def graph(value=1.0, size=4):
    nodes = {
        "in": ir.Input((size,)),
        "s": ir.Scale(np.full(size, value)),
        "out": ir.Output((size,)),
    }
    return ir.Graph(nodes, [("in", "s"), ("s", "out")])


def test_an_older_file_is_replaced_and_keeps_its_mode(tmp_path):
    target = tmp_path / "notes.txt"
    target.write_text("old")
    target.chmod(0o640)
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_a_new_file_has_the_mode_of_any_other(tmp_path):
    (tmp_path / "other.txt").touch()
    with replacing(tmp_path / "notes.txt") as temporary:
        temporary.write_text("new")
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    link = tmp_path / "notes.txt"
    link.symlink_to(tmp_path / "there" / "notes.txt")
    with replacing(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert link.read_text() == "new"


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_an_interruption_leaves_the_older_file_alone(tmp_path, interruption):
    target = tmp_path / "notes.txt"
    target.write_text("old")

    def write_half():
        with replacing(target) as temporary:
            temporary.write_text("ne")
            raise interruption

    with pytest.raises(interruption):
        write_half()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_a_place_that_cannot_be_written_to_shows_at_once(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"), replacing(tmp_path / "a/b"):
        pytest.fail("the block ran")
    with pytest.raises(IsADirectoryError, match="is a folder"), replacing(tmp_path):
        pytest.fail("the block ran")


# What lies at a path ----------------------------------------------------------------------------


def test_a_fifo_is_written_into(tmp_path):
    fifo = tmp_path / "pipe.t1c"
    os.mkfifo(fifo)
    received = []
    reader = threading.Thread(target=lambda: received.append(fifo.read_bytes()))
    reader.start()
    ir.write(fifo, graph(2.0))
    reader.join()
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    (tmp_path / "copy.t1c").write_bytes(received[0])
    assert ir.read(tmp_path / "copy.t1c").equals(graph(2.0))
    assert sorted(os.listdir(tmp_path)) == ["copy.t1c", "pipe.t1c"]


def test_a_device_stays_a_device(tmp_path):
    number = os.stat("/dev/null").st_rdev
    ir.write("/dev/null", graph())
    link = tmp_path / "link.t1c"
    link.symlink_to("/dev/null")
    nir.write(link, graph(), 1e-3)
    found = os.stat("/dev/null")
    assert stat.S_ISCHR(found.st_mode)
    assert found.st_rdev == number
    with pytest.raises(ir.WriteError, match="/dev/full: there is no space left"):
        ir.write("/dev/full", graph())


def test_standard_output_is_an_open_file(tmp_path):
    """What was printed before comes before, and the file that it leads to is not replaced."""
    printed = tmp_path / "printed"
    code = (
        "from t1c.ir.atomic import replacing\n"
        "print('first')\n"
        "with replacing('/dev/stdout') as t: t.write_bytes(b'second')\n"
        "print(' third')\n"
    )
    with open(printed, "wb") as file:
        inode = os.fstat(file.fileno()).st_ino
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert printed.read_text() == "first\nsecond third\n"
    assert printed.stat().st_ino == inode


def test_what_must_not_be_replaced_is_left_alone(tmp_path, monkeypatch):
    for a, b in (("a", "b"), ("b", "a")):
        (tmp_path / a).symlink_to(tmp_path / b)
    with pytest.raises(ir.WriteError, match="lead in a circle") as error:
        ir.write(tmp_path / "a", graph())
    assert (tmp_path / "a").is_symlink()
    assert error.value.errno == errno.ELOOP
    monkeypatch.chdir(tmp_path)  # a socket's name is short
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("end.t1c")
        with pytest.raises(ir.WriteError, match="it is a socket"):
            ir.write("end.t1c", graph())
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "end.t1c"]
    for path, what in (("", "the path is empty"), ("new/", "names a folder"), ("a\0b", "null")):
        with pytest.raises((ir.WriteError, ValueError), match=what):
            ir.write(path, graph())


def test_a_protected_file_is_protected(tmp_path, monkeypatch):
    target = tmp_path / "notes.txt"
    target.write_text("old")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # for root everything is allowed
    with pytest.raises(PermissionError, match="it is write-protected"), replacing(target):
        pytest.fail("the block ran")
    assert target.read_text() == "old"


def test_owner_mode_and_labels_are_handed_on(tmp_path):
    target = tmp_path / "notes.txt"
    target.write_text("old")
    if os.geteuid() == 0:
        os.chown(target, 12345, 23456)
    target.chmod(0o2750)
    before = target.stat()
    with contextlib.suppress(OSError):
        os.setxattr(target, "user.origin", b"a label")
    with contextlib.suppress(OSError):
        # user::rwx, user:7:r--, group::r-x, mask::r-x, other::---
        entries = ((1, 7, -1), (2, 4, 7), (4, 5, -1), (16, 5, -1), (32, 0, -1))
        listed = b"".join(struct.pack("<HHi", *entry) for entry in entries)
        os.setxattr(target, ACCESS, struct.pack("<I", 2) + listed)
    labels = {name: os.getxattr(target, name) for name in os.listxattr(target)}
    with replacing(target) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
        temporary.write_text("new")
    after = target.stat()
    assert target.read_text() == "new"
    assert (after.st_uid, after.st_gid, after.st_mode) == (
        before.st_uid,
        before.st_gid,
        before.st_mode,
    )
    assert {name: os.getxattr(target, name) for name in os.listxattr(target)} == labels


# What killed writers leave ---------------------------------------------------------------------


def left_by(folder, code, *arguments):
    """What lies in a folder beside ``notes.txt`` while another process does something there."""
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from t1c.ir.atomic import replacing\n"
        f"with replacing(Path({str(folder)!r}) / 'notes.txt') as temporary:\n"
        "    temporary.write_text('half')\n"
        f"    {code}\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def write(folder, name="other.txt"):
    _quiet_until.clear()
    with replacing(folder / name) as temporary:
        temporary.write_text("new")


def test_the_next_write_removes_what_a_killed_one_left_and_nothing_else(tmp_path):
    left_by(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)").communicate()
    (leftover,) = os.listdir(tmp_path)
    assert leftover.startswith(".notes.txt.")
    with left_by(tmp_path, "print('ready', flush=True); input()") as living:
        living.stdout.readline()
        (alive,) = set(os.listdir(tmp_path)) - {leftover, "notes.txt"}
        write(tmp_path)
        assert sorted(os.listdir(tmp_path)) == [alive, "other.txt"]
        living.communicate("\n")
    assert living.returncode == 0
    assert (tmp_path / "notes.txt").read_text() == "half"
    assert sorted(os.listdir(tmp_path)) == ["notes.txt", "other.txt"]


def test_what_another_machine_is_writing_is_left_alone(tmp_path):
    """Its lock may not be seen here. What was left before this one was started anew is removed."""
    boot, machine, other = _boot(), _machine(), "1" * 8
    names = {
        "theirs": f".a.{other}-{other}-{'a' * 16}.t1c-tmp",
        "ours, from now": f".a.{other}-{machine}-{'b' * 16}.t1c-tmp",
        "ours, from before": f".a.{other}-{machine}-{'c' * 16}.t1c-tmp",
        "dead": f".a.{boot}-{machine}-{'d' * 16}.t1c-tmp",
        "somebody's": ".a.t1c-tmp",
        "unknown": f".a.{'0' * 8}-{'0' * 8}-{'e' * 16}.t1c-tmp",
    }
    for name in names.values():
        (tmp_path / name).touch()
    os.utime(tmp_path / names["ours, from before"], (1e9, 1e9))
    (tmp_path / f".b.{boot}-{machine}-{'f' * 16}.t1c-tmp").symlink_to(tmp_path / "precious")
    (tmp_path / "precious").touch()
    write(tmp_path)
    left = set(os.listdir(tmp_path))
    assert {what for what, name in names.items() if name not in left} == {
        "ours, from before",
        "dead",
    }
    assert "precious" in left


@pytest.mark.slow
def test_nothing_is_lost_however_a_writer_ends():
    """Killed before some of its lines, at random beside readers, out of room: see the script."""
    script = Path(__file__).parent.parent / "benchmarks" / "kills.py"
    run = subprocess.run(
        [sys.executable, script, "--quick", "--json"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    lines, killed, full = json.loads(run.stdout)
    assert lines["tries"] > 10
    assert lines["in_the_middle"] > 3
    assert killed["reads"] > 0
    assert full["tries"] > 5


@pytest.mark.parametrize("size", [0, 60_000])
def test_hdf5_never_sees_a_full_disk(tmp_path, monkeypatch, size):
    """It would end the process. What it reads back meanwhile is what it wrote."""
    path = tmp_path / "net.t1c"
    ir.write(path, graph(1.0))
    room = size

    def pwrite(file, data, at):
        nonlocal room
        room -= len(data)
        if room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(file, data, at)

    written = os.pwrite
    monkeypatch.setattr("t1c.ir.atomic.hdf5.IN_MEMORY", 0)
    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(ir.WriteError, match="there is no space left"):
        ir.write(path, graph(2.0, 50_000))
    monkeypatch.undo()
    assert ir.read(path).equals(graph(1.0))
    assert os.listdir(tmp_path) == ["net.t1c"]


def test_large_files_do_not_pass_through_memory(tmp_path, monkeypatch):
    small = tmp_path / "small.t1c"
    ir.write(small, graph(3.0))
    monkeypatch.setattr("t1c.ir.atomic.hdf5.IN_MEMORY", 0)
    ir.write(tmp_path / "large.t1c", graph(3.0))
    assert ir.read(tmp_path / "large.t1c").equals(ir.read(small))


def test_every_writer_goes_through_replacing():
    """What else opens a file to write it is a temporary one, or named here."""
    allowed = {
        "cli/sources.py",  # what is piped in, in a temporary folder
        "deploy/wasm/to_wasm.py",  # what clang compiles, in a temporary folder
        "viz/export.py",  # the page that a browser is asked to open, in a temporary file
        "bridge/state_files.py",  # into the temporary file of replacing
        "sdk/run_report.py",  # into the temporary file of replacing
    }
    root = Path(ir.__file__).parent.parent
    opened = r"\bopen\([^)\n]*[\"'][wax]b?[\"']|h5py\.File\([^)]*[\"']w"
    writing = re.compile(rf"(?<!temporary)\.write_(?:text|bytes)\(|{opened}")
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if "ir/atomic" not in str(path)
        and any(writing.search(line) for line in path.read_text().splitlines() if ">>>" not in line)
    }
    assert found <= allowed
