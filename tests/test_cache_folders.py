"""Where machine code cannot be kept on disk everything runs all the same, with one warning."""

import json
import os
import subprocess
import sys

import pytest

from t1c.bridge.engine.kernels import on_disk

# A disk is full for a process whose files may not grow. The three ways in which loops are compiled:
# from files, for C, and written for LLVM.
# Each way is tried in a fork: what both need is imported once.
LOOPS = """
import json, os, resource, sys, warnings
import numpy as np
import numba
import torch
import t1c.ir
os.environ["NUMBA_CACHE_LOCATOR_CLASSES"] = "UserProvidedCacheLocator"
for disk, place in zip(("none", "full"), sys.argv[1:]):
    if not os.fork():
        break
    os.wait()
else:
    sys.exit()
os.environ.update({"NUMBA_CACHE_DIR": f"{place}/numba", "T1C_CACHE": f"{place}/t1c"})
numba.config.reload_config()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    if disk == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    from t1c.bridge.engine.kernels import compiled, on_disk
    from t1c.bridge.engine.kernels.generated import made
    numbers = np.zeros(2)
    compiled.put(np.array([1.0, 2.0]), numbers)
    same = on_disk.kept_for_c("f8(f8)", lambda x: x)
    vectors = made.vectors("float64")
said = [f"{w.category.__name__}: {w.message}" for w in caught]
print(json.dumps([disk, [*numbers, same.ctypes(6.0), vectors > 0], said]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_loops_run_where_they_cannot_be_kept(tmp_path):
    """No folder can be made below a file; and none takes anything on a disk that is full."""
    (tmp_path / "file").touch()
    command = [sys.executable, "-B", "-c", LOOPS, str(tmp_path / "file"), str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    ended = [json.loads(line) for line in run.stdout.splitlines()]
    assert [disk for disk, *_ in ended] == ["none", "full"], run.stderr
    for _, numbers, said in ended:
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
