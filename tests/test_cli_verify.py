"""The verb ``t1c verify``: what it prints, and its exit status."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from t1c import cli, ir


def network(threshold=1.0, name="input"):
    one = np.ones(1)
    return ir.Graph(
        {
            name: ir.Input(shape=(2,)),
            "if": ir.IF(v_threshold=threshold * one),
            "output": ir.Output(shape=(2,)),
        },
        [(name, "if"), ("if", "output")],
    )


@pytest.fixture
def t1c(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ir.write("a.t1c", network())
    ir.write("same.t1c", network(name="x"))
    ir.write("b.t1c", network(0.5))
    np.savez("x.npz", x=np.full((5, 3, 2), 0.25, dtype=np.float32))

    def run(*arguments):
        return CliRunner().invoke(cli.app, ["verify", *arguments])

    return run


def test_files_that_agree(t1c):
    result = t1c("a.t1c", "same.t1c", "--input", "x.npz")
    assert result.exit_code == 0
    assert result.stdout.startswith("a and b agree: 5 steps, batch 3, float32\n")
    assert result.stderr == ""


def test_files_that_differ(t1c):
    result = t1c("a.t1c", "b.t1c", "--input", "x.npz", "--dtype", "float64")
    assert result.exit_code == 1
    assert result.stdout.startswith("a and b DIFFER: 5 steps, batch 3, float64\n")
    assert "the threshold of 'if' were 0.5; a has 1" in result.stdout


def test_json(t1c):
    result = t1c("a.t1c", "b.t1c", "--input", "x.npz", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["agree"] is False
    assert (found["parting"]["step"], found["parting"]["node"]) == (1, "if")
    assert found["causes"][0]["kind"] == "threshold"


def test_outputs_only(t1c):
    result = t1c("a.t1c", "b.t1c", "--input", "x.npz", "--outputs-only", "--json")
    assert json.loads(result.stdout)["nodes"] == []


def test_what_is_not_understood(t1c):
    assert t1c("a.t1c", "b.t1c").exit_code == 2
    assert t1c("a.t1c", "--input", "x.npz").exit_code == 2


def test_what_cannot_be_done(t1c):
    result = t1c("a.t1c", "none.t1c", "--input", "x.npz")
    # Not 1, which says that they differ.
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
