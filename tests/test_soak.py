"""The soak of `make soak`, in small: it sees what is right, and would see what is wrong."""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

from t1c import ir

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
soak: Any = importlib.import_module("soak")


def test_a_stream_is_the_references_at_every_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(soak, "CHUNK", 150)
    monkeypatch.setattr(soak, "handed_over", lambda *_: True)  # see test_state_files
    ir.write(tmp_path / "network.t1c", soak.network())
    found = soak.Found()
    soak.stream(tmp_path / "network.t1c", 600, 4, found)
    assert not found.wrong
    told = dict(found.rows)
    assert "576 numbers of states at 4 checkpoints: 0 differ" in told.values()
    assert int(told["steps streamed, in chunks of 150"].split()[1].replace(",", "")) > 1000


def test_a_difference_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(soak, "CHUNK", 50)
    monkeypatch.setattr(soak, "handed_over", lambda *_: False)
    network = soak.network()
    ir.write(tmp_path / "network.t1c", network)
    network.nodes["first"].v_threshold = np.array([0.5 + 1 / 256], np.float32)
    monkeypatch.setattr(soak, "network", lambda: network)
    found = soak.Found()
    soak.stream(tmp_path / "network.t1c", 200, 4, found)
    assert any(what.startswith("outputs of chunk") for what in found.wrong)
    assert any("'first'" in what for what in found.wrong)
    assert "another process went on otherwise" in found.wrong


def test_threads_share_an_executor(tmp_path):
    ir.write(tmp_path / "network.t1c", soak.network())
    found = soak.Found()
    soak.at_once(tmp_path / "network.t1c", 8, 0, 1, found)
    assert not found.wrong
    assert found.rows == [("8 threads on one executor, 1,000 steps each", "8 of 8 as one alone")]
