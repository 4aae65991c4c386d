"""What t1c info tells of a NIR file of which nobody says the time step."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from t1c import ir, nir, sdk
from t1c.cli import app

FOLDER = Path(__file__).parent / "data" / "nir"
FILES = sorted(FOLDER.glob("*.nir"))
DT = 1e-4
TIMES = ("tau", "tau_mem", "tau_syn", "delay")


def unsaid(path):
    """Whether nothing says the step of a file."""
    try:
        nir.read(path)
    except nir.ConventionError as error:
        return [problem.field for problem in error.problems] == ["dt"]
    except ir.T1CError:
        return False
    return False


def stated(path):
    """Every time that a file holds, by node and field, as h5py reads it."""
    found = {}

    def note(name, item):
        field = name.rpartition("/")[2]
        if isinstance(item, h5py.Dataset) and field in TIMES and "metadata" not in name:
            node = name.removeprefix("node/nodes/").rpartition("/")[0].replace("/nodes/", "/")
            found[node, field] = item[()]

    with h5py.File(path) as file:
        file.visititems(note)
    return found


@pytest.mark.parametrize("path", [p for p in FILES if unsaid(p)], ids=lambda p: p.stem)
def test_times_are_told_in_seconds_as_the_file_has_them(path):
    info = sdk.file_info(path)
    assert (info.in_steps, info.dt) == (False, None)
    shown = {
        (name, s.name): (s.low, s.high)
        for name, neuron in info.neurons.items()
        for s in neuron.settings
        if s.unit == "s"
    }
    times = stated(path)
    assert set(shown) == set(times)
    for key, values in times.items():
        assert shown[key] == (float(np.min(values)), float(np.max(values)))
    assert "nir.dt" not in str(info)
    assert "--dt" in str(info)
    # What does not depend on the step is what it is with one.
    short = min((float(np.min(v)) for v in times.values() if np.min(v) > 0), default=DT) / 4
    known = sdk.file_info(path, dt=min(short, DT))
    assert known.in_steps
    for mine, theirs in zip(info.nodes, known.nodes, strict=True):
        assert (mine.name, mine.type, mine.output_type) == (
            theirs.name,
            theirs.type,
            theirs.output_type,
        )
        assert (mine.parameters, mine.sources) == (theirs.parameters, theirs.sources)


def test_there_are_such_files():
    assert sum(map(unsaid, FILES)) > 1


def test_the_command_tells_and_others_ask_for_the_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = str(FOLDER / "lif.nir")

    def t1c(*arguments):
        return CliRunner().invoke(app, arguments)

    told = t1c("info", path)
    assert (told.exit_code, told.stderr) == (0, "")
    assert "tau 5.758 ms to 18.51 ms" in told.stdout
    assert "steps (" in t1c("info", path, "--dt", "100us").stdout
    as_json = json.loads(t1c("info", path, "--json").stdout)
    assert (as_json["in_steps"], as_json["dt"]) == (False, None)
    assert json.loads(t1c("info", path, "--dt", "100us", "--json").stdout)["dt"] == DT
    for verb in ("analyze", "lint", "hash", "stats", "validate"):
        refused = t1c(verb, path)
        assert refused.exit_code != 0
        assert "no time step is known" in refused.output
    # A recorded step is used.
    graph = ir.Graph(
        {"in": ir.Input((3,)), "if": ir.IF(np.ones(3), fires_at="gt"), "out": ir.Output((3,))},
        [("in", "if"), ("if", "out")],
    )
    nir.write("own.nir", graph, dt=DT)
    own = sdk.file_info("own.nir")
    assert own.in_steps
    assert own.dt == DT


def test_a_damaged_file_is_refused_as_ever(tmp_path):
    path = tmp_path / "bad.nir"
    path.write_bytes((FOLDER / "lif.nir").read_bytes())
    with h5py.File(path, "a") as file:
        del file["node/nodes/1/v_threshold"]
    with pytest.raises(ir.T1CError, match="v_threshold"):
        sdk.file_info(path)
