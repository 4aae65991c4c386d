"""NIR's conformance files give what NIR's definition says, in every engine, and come back equal."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from t1c import bridge, ir, nir
from t1c.nir.file_read import read_raw

from .nir_difference import difference

DATA = Path(__file__).parent / "data" / "nir"
INDEX = json.loads((DATA / "index.json").read_text())


def recorded(name):
    """Input and right output, each an array or a dict by name."""
    with np.load(DATA / f"{name}.npz") as file:
        arrays = dict(file)
    x = {key[2:]: value for key, value in arrays.items() if key.startswith("x:")} or arrays["x"]
    y = {key[2:]: value for key, value in arrays.items() if key.startswith("y:")} or arrays["y"]
    return x, y


def pairs(out, y):
    return [(out[name], y[name]) for name in y] if isinstance(y, dict) else [(out, y)]


@pytest.fixture(params=INDEX)
def name(request):
    return request.param


def test_the_reference_computes_what_nir_defines(name):
    graph = nir.read(DATA / f"{name}.nir", dt=INDEX[name]["dt"])
    x, y = recorded(name)
    out, _ = ir.Reference(graph).run(x)
    for mine, right in pairs(out, y):
        if INDEX[name]["spiking"]:
            np.testing.assert_array_equal(mine, right)
        else:
            np.testing.assert_allclose(mine, right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_executor_computes_what_nir_defines(name, dtype):
    executor = bridge.ir_to_torch(DATA / f"{name}.nir", dt=INDEX[name]["dt"], dtype=dtype)
    x, y = recorded(name)
    xs = (
        {key: torch.from_numpy(value).to(dtype) for key, value in x.items()}
        if isinstance(x, dict)
        else torch.from_numpy(x).to(dtype)
    )
    out, _ = executor.run(xs)
    # No membrane in these files lies within rounding of its threshold, unless the sums are exact.
    close = 1e-12 if dtype is torch.float64 else 1e-5
    for mine, right in pairs(out, y):
        np.testing.assert_allclose(mine.detach().numpy(), right, rtol=close, atol=close)


def test_the_file_comes_back_equal(name, tmp_path):
    """Names, order, types, values bit for bit with their dtypes, edges, metadata."""
    path = DATA / f"{name}.nir"
    graph = nir.read(path, dt=INDEX[name]["dt"])
    assert not nir.write(tmp_path / "direct.nir", graph)
    ir.write(tmp_path / "between.t1c", graph)
    nir.write(tmp_path / "between.nir", ir.read(tmp_path / "between.t1c"))
    for copy in ("direct.nir", "between.nir"):
        assert difference(read_raw(path), read_raw(tmp_path / copy)) == []


def test_the_readings_that_nir_excludes_are_not_taken(name):
    """The variants in the files differ from the right result, so that the tests above can fail."""
    with np.load(DATA / f"{name}.npz") as file:
        variants = [file[f"alt:{variant}"] for variant in INDEX[name]["variants"]]
        assert all((variant != file["y"]).any() for variant in variants)


JUMPING = {"lif_reset", "lif_leak_reset"}
"""With a v_reset that is not 0, other implementations subtract v_threshold - v_reset."""


@pytest.mark.parametrize(
    "name", [n for n in INDEX if "subtract" in INDEX[n]["variants"] and n not in JUMPING]
)
def test_subtraction_can_be_asked_for(name, tmp_path):
    path = DATA / f"{name}.nir"
    graph = nir.read(path, dt=INDEX[name]["dt"], reset="subtract")
    x, _ = recorded(name)
    out, _ = ir.Reference(graph).run(x)
    with np.load(DATA / f"{name}.npz") as file:
        np.testing.assert_array_equal(out, file["alt:subtract"])
    nir.write(tmp_path / "back.nir", graph)
    assert difference(read_raw(path), read_raw(tmp_path / "back.nir")) == []
