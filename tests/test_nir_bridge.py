"""NIR files become executable modules, and random ones compute what the reference does."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given

from t1c import bridge, ir, nir
from t1c.nir.file_write import write_raw

from .strategies_nir import nir_graphs

DATA = Path(__file__).parent / "data" / "nir"


def test_a_nir_file_is_imported_by_its_suffix():
    path = DATA / "lif.nir"
    xs = torch.rand(20, 2, 6)
    whole, _ = bridge.ir_to_torch(nir.read(path, dt=1e-3)).run(xs)
    for executor in (bridge.ir_to_torch(str(path), dt=1e-3), bridge.load(path, dt=1e-3)):
        assert torch.equal(executor.run(xs)[0], whole)
    assert list(bridge.from_ir(path, dt=1e-3)) == ["0", "1", "2"]


def test_a_dialect_can_be_named():
    executor: Any = bridge.load(DATA / "producers" / "sinabs_lif.nir", dialect="sinabs")
    assert executor.graph.metadata["nir"]["dialect"] == "sinabs"


def test_a_dt_is_needed_and_has_no_meaning_elsewhere(tmp_path):
    with pytest.raises(nir.ConventionError, match="no time step is known"):
        bridge.load(DATA / "lif.nir")
    graph = nir.read(DATA / "lif.nir", dt=1e-3)
    ir.write(tmp_path / "lif.t1c", graph)
    for source in (graph, tmp_path / "lif.t1c"):
        with pytest.raises(ir.InputError, match="a graph counts steps"):
            bridge.ir_to_torch(source, dt=1e-3)


def test_a_file_of_another_name_is_told_apart(tmp_path):
    path = shutil.copy(DATA / "lif.nir", tmp_path / "lif.t1c")
    with pytest.raises(ir.T1CFormatError, match="a NIR file"):
        bridge.load(path)


@given(drawn=nir_graphs())
def test_a_random_graph_runs_as_the_reference_says(drawn, tmp_path_factory):
    path = tmp_path_factory.mktemp("nir") / "a.nir"
    write_raw(path, drawn.raw)
    graph = nir.read(path, dt=drawn.dt)
    executor = bridge.ir_to_torch(graph, dtype=torch.float64)
    (entry,) = graph.inputs().values()
    xs = np.random.default_rng(0).random((12, 2, *entry.shape)) * 2 - 0.5
    expected, _ = ir.Reference(graph).run(xs)
    out, _ = executor.run(torch.from_numpy(xs))
    for name in graph.outputs():
        mine, right = (o[name] if isinstance(o, dict) else o for o in (out, expected))
        np.testing.assert_allclose(mine.detach().numpy(), right, rtol=1e-9, atol=1e-9)
