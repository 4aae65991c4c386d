"""t1c score on Ray: what a cluster loses is scored all the same. ``make scale`` runs this."""

import argparse
import importlib
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from t1c import ir, sdk
from t1c.sdk.scoring import on_ray

from .scoring_samples import counts, network, samples

if "T1C_SCALE" not in os.environ:
    pytest.skip("a Ray cluster takes a minute: make scale runs this", allow_module_level=True)
ray: Any = pytest.importorskip("ray", reason="ray is not installed: make scale installs it")

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

# Ray's own deprecations and open sockets are its own.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def scale(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("score_scale")


def test_a_cluster_loses_a_worker_and_a_node_and_no_sample(scale, tmp_path):
    options = argparse.Namespace(shards=24, samples=200, steps=32)
    count = scale.write_shards(tmp_path / "inputs", options)
    assert sdk.score(scale.MODEL, tmp_path / "inputs", tmp_path / "expected", workers=1)
    row = scale.lost_on_ray(tmp_path / "inputs", tmp_path / "expected", count, options.shards)
    assert "4,800" in row


def test_a_shard_that_kills_its_workers_fails_alone(tmp_path, monkeypatch):
    class Poisoned(on_ray.Actor):
        def __call__(self, rows):
            if "poison" in str(rows["shard"]):
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(rows)

    monkeypatch.setattr(on_ray, "Actor", Poisoned)
    ir.write(tmp_path / "model.t1c", network())
    expected = {}
    (tmp_path / "inputs").mkdir()
    for name in ("a", "b", "poison", "z"):
        x, y = samples(10, seed=len(expected))
        np.savez(tmp_path / "inputs" / f"{name}.npz", x=x, y=y)
        expected[name] = counts(network(), x)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        report = sdk.score(
            tmp_path / "model.t1c", tmp_path / "inputs", tmp_path / "results", on="ray", workers=2
        )
    finally:
        ray.shutdown()
    failed = {shard.shard: shard.error for shard in report.shards if shard.status == "failed"}
    assert failed == {str(tmp_path / "inputs" / "poison.npz"): "3 workers were lost at it"}
    for name in ("a", "b", "z"):
        with np.load(tmp_path / "results" / f"{name}.npz") as arrays:
            np.testing.assert_array_equal(arrays["out_sum"], expected[name])
