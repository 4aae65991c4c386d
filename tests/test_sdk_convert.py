"""``t1c.sdk.convert``: from .nir to .t1c and back."""

from pathlib import Path

import numpy as np
import pytest

from t1c import ir, nir
from t1c.nir.file_read import read_raw
from t1c.sdk.convert import convert

from .nir_difference import difference

DATA = Path(__file__).parent / "data" / "nir"


@pytest.fixture
def t1c(tmp_path):
    graph = ir.Graph(
        {"in": ir.Input((2,)), "fc": ir.Affine(np.eye(2), np.zeros(2)), "out": ir.Output((2,))},
        [("in", "fc"), ("fc", "out")],
    )
    ir.write(tmp_path / "model.t1c", graph)
    return tmp_path / "model.t1c"


def test_to_t1c_and_back_is_the_same_nir_file(tmp_path):
    source = DATA / "recurrent_affine.nir"
    report = convert(source, tmp_path / "model.t1c", dt=1e-4)
    assert report.conventions["dt"] == 1e-4
    assert report.nodes == 5
    assert ir.read(tmp_path / "model.t1c").equals(nir.read(source, dt=1e-4))
    back = convert(tmp_path / "model.t1c", tmp_path / "back.nir")
    assert back.losses == ()
    assert back.conventions == {}
    assert difference(read_raw(source), read_raw(tmp_path / "back.nir")) == []


def test_from_nir_to_nir(tmp_path):
    source = DATA / "producers" / "snntorch_synaptic.nir"
    report = convert(source, tmp_path / "copy.nir", dialect="snntorch")
    assert report.to_dict()["conventions"]["reset"] == "subtract"
    assert difference(read_raw(source), read_raw(tmp_path / "copy.nir")) == []


def test_a_t1c_file_needs_a_dt_to_become_nir(t1c, tmp_path):
    with pytest.raises(nir.ConventionError):
        convert(t1c, tmp_path / "model.nir")
    convert(t1c, tmp_path / "model.nir", dt=1e-3)
    assert nir.read(tmp_path / "model.nir").metadata["nir"]["dt"] == 1e-3


def test_what_is_lost_is_told(tmp_path):
    graph = ir.Graph(
        {"in": ir.Input((2,)), "relu": ir.ReLU(features=2), "out": ir.Output((2,))},
        [("in", "relu"), ("relu", "out")],
    )
    ir.write(tmp_path / "model.t1c", graph)
    with pytest.raises(ir.UnsupportedError):
        convert(tmp_path / "model.t1c", tmp_path / "model.nir", dt=1.0)
    report = convert(tmp_path / "model.t1c", tmp_path / "model.nir", dt=1.0, lossy=True)
    (line,) = report.losses
    assert "NIR has no ReLU" in line


@pytest.mark.parametrize("options", [{"dialect": "norse"}, {"dt": 1.0}, {"lossy": True}])
def test_an_option_without_a_nir_file_is_refused(t1c, tmp_path, options):
    with pytest.raises(ir.InputError, match=next(iter(options))):
        convert(t1c, tmp_path / "copy.t1c", **options)


def test_other_suffixes_are_refused(t1c, tmp_path):
    with pytest.raises(ir.InputError, match=r"\.t1c or \.nir"):
        convert(t1c, tmp_path / "model.onnx")
