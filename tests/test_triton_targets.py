"""What Triton's kernels are compiled into for GPUs, which need not be there: nothing is fused."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="Triton is not installed; its kernels stay untested")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    """Counts by kernel, of the scan and of loops, from a process that does not interpret them."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp("triton"))
    # Kernels are small: threads would wait for each other.
    environment["MLIR_DISABLE_MULTITHREADING"] = "1"
    done = subprocess.run(
        [sys.executable, "-m", "tests.triton_targets_generated"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize(("which", "kernels"), [("scans", 34), ("loops", 6)])
def test_nothing_is_fused(which, kernels, targets):
    fused = {name: found["fused"] for name, found in targets[which].items()}
    # What is told to fuse does, so that the rest is known to have been looked at.
    assert fused.pop("told to fuse") > 0
    assert len(fused) == kernels
    assert not any(fused.values()), fused


@pytest.mark.parametrize("which", ["scans", "loops"])
def test_kernels_neither_flush_subnormal_numbers_nor_divide_in_haste(which, targets):
    assert not any(found["hasty"] for found in targets[which].values()), targets
