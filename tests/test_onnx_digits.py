"""ONNX files of trained CNNs on the command line, and as spiking networks: examples and page."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from t1c import ir, sdk
from t1c.cli import app

pytest.importorskip("onnx", reason="needs t1c[onnx]")
if importlib.util.find_spec("sklearn") is None:
    pytest.skip("the digits are scikit-learn's", allow_module_level=True)

ROOT = Path(__file__).parent.parent
MODEL = ROOT / "examples" / "digits_qcfs.onnx"


def test_on_the_command_line(tmp_path):
    target = tmp_path / "model.t1c"
    done = CliRunner().invoke(app, ["convert", str(MODEL), str(target)])
    assert done.exit_code == 0, done.output
    graph = ir.read(target)
    assert graph.metadata["onnx"]["opset"] == 20
    kinds = [type(node).__name__ for node in graph.nodes.values()]
    assert kinds.count("Conv2d") == kinds.count("AvgPool2d") == 2
    for option in (["--dt", "1"], ["--dialect", "norse"], ["--repair", "batch-axis"]):
        assert CliRunner().invoke(app, ["convert", str(MODEL), str(target), *option]).exit_code == 1
    back = CliRunner().invoke(app, ["convert", str(target), str(tmp_path / "x.onnx")])
    assert back.exit_code == 1
    assert ".t1c or .nir" in " ".join(back.output.split())


def test_thresholds_that_were_trained_are_read():
    from t1c import onnx

    spiking = sdk.convert_to_spiking(onnx.read(MODEL), steps=8)
    note = spiking.metadata["converted"]
    assert note["levels"] == [8, 8, 8]
    assert note["neurons"] == note["read"]
    assert note["calibrated"] == []
    assert all(0.5 < threshold < 8 for threshold in note["thresholds"])
    assert spiking.inputs()["image"].hold == 8


@pytest.mark.slow
def test_accuracy_is_what_the_page_says_and_within_one_percent_at_32_steps(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import convert_digits

    convert_digits.main((8, 32))
    printed = capsys.readouterr().out
    for name in ("convert_digits", "digits"):
        sys.modules.pop(name, None)
    rows = printed.splitlines()[1:]
    assert len(rows) == 3
    page = (ROOT / "docs" / "onnx-import.md").read_text()
    for row in rows:
        whole, eight, thirty_two = (float(n) for n in re.findall(r"([\d.]+)%", row))
        assert whole > 99
        assert thirty_two > whole - 1
        name = row[:22].rstrip()
        (quoted,) = [line for line in page.splitlines() if line.startswith(name)]
        ann, _, at_8, _, at_32, _ = (float(n) for n in re.findall(r"([\d.]+)%", quoted))
        # One image in 450 may lie on an edge that another machine's rounding moves.
        assert np.abs(np.subtract((whole, eight, thirty_two), (ann, at_8, at_32))).max() < 0.5
