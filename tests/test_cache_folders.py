"""Where machine code cannot be kept on disk everything runs all the same, with one warning."""

import json
import os
import subprocess
import sys

import pytest

from t1c.bridge.engine.kernels import on_disk

# A disk is full for a process whose files may not grow. The three ways in which loops are compiled:
# from files, for C, and written for LLVM.
LOOPS = """
import json, resource, sys, warnings
import numpy as np
import numba
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    if sys.argv[1] == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    from t1c.bridge.engine.kernels import compiled, on_disk
    from t1c.bridge.engine.kernels.generated import made
    numbers = np.zeros(2)
    compiled.put(np.array([1.0, 2.0]), numbers)
    same = on_disk.kept_for_c("f8(f8)", lambda x: x)
    vectors = made.vectors("float64")
said = [f"{w.category.__name__}: {w.message}" for w in caught]
print(json.dumps([[*numbers, same.ctypes(6.0), vectors > 0], said]))
"""


def run_with(place, code, *arguments):
    """What a process prints whose compiled code can be kept below ``place`` alone, as JSON."""
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(place / "numba"),
        "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",
        "T1C_CACHE": str(place / "t1c"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-c", code, *arguments]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("disk", ["none", "full"])
def test_loops_run_where_they_cannot_be_kept(tmp_path, disk):
    """No folder can be made below a file."""
    (tmp_path / "file").touch()
    numbers, said = run_with(tmp_path / "file" if disk == "none" else tmp_path, LOOPS, disk)
    assert numbers == [1.0, 2.0, 6.0, True]
    assert len(said) == 1
    assert said[0].startswith("CacheWarning: compiled code cannot be kept")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size]


def test_broken_machine_code_is_compiled_anew(tmp_path, monkeypatch):
    """As a machine leaves it that stopped while it was written."""
    source = tmp_path / "loops.py"
    source.write_text("def double(x):\n    return 2 * x\n")
    namespace = {"__name__": "loops"}
    exec(compile(source.read_text(), str(source), "exec"), namespace)
    monkeypatch.setattr(on_disk.numba.core.config, "CACHE_DIR", str(tmp_path / "kept"))
    assert on_disk.kept(namespace["double"], nogil=True)(3) == 6
    files = [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".nbi", ".nbc"}
    for suffix in (".nbc", ".nbi"):
        for path in files:
            if path.suffix == suffix:
                path.write_bytes(path.read_bytes()[:10])
        assert on_disk.kept(namespace["double"], nogil=True)(4) == 8


def test_the_warning_comes_once(monkeypatch):
    monkeypatch.setattr(on_disk, "_said", False)
    with pytest.warns(on_disk.CacheWarning, match="NUMBA_CACHE_DIR"):
        on_disk.not_kept("no place")
    on_disk.not_kept("no place")  # warnings are errors here
