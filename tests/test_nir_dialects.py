"""Files of each producer compute what the producer did; see ``data/nir/producers/make.py``."""

import contextlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from t1c import ir, nir
from t1c.nir.file_write import write_raw
from t1c.nir.raw import NirGraph, NirNode

from .nir_difference import difference
from .strategies_nir import raw_at, read

DATA = Path(__file__).parent / "data" / "nir" / "producers"
FILES = sorted(DATA.glob("*.nir"))

RESETS = {"snntorch_leaky_zero": "zero", "snntorch_leaky_none": "none"}
"""What the exporter does not write, and the user has to say."""

LAYERS = {"spyx_lif": 1, "spyx_lif2": 2, "spyx_if": 1, "spyx_cuba": 1}
"""How many steps later Spyx sends a spike: one for each layer of neurons that reset."""

STARTS = {
    "norse_lifbox_leak": ("1", 0.3),
    "spikingjelly_lif_vreset": ("_1", -0.2),
    "spikingjelly_if_vreset": ("_1", 0.2),
}
"""Neurons whose membrane does not start at 0 there: node, and where it starts."""

UNRECOGNISED = {"norse_iaf", "sinabs_iaf"}
"""Files with nothing but r = 1, which several producers write."""


def dialect_of(path):
    return path.stem.partition("_")[0]


def read_as_its_own(path, **options):
    return read(path, dialect=dialect_of(path), reset=RESETS.get(path.stem), **options)


def recorded(path):
    with np.load(path.with_suffix(".npz")) as file:
        return file["x"], file["y"]


def run(graph, x, path, dtype):
    state: Any = None
    if path.stem in STARTS:
        name, start = STARTS[path.stem]
        shape = (x.shape[1], *graph.nodes[name].input_type["input"])
        state = {name: (np.full(shape, start, dtype),)}
    return ir.Reference(graph, dtype).run(x, state)[0]


def test_there_are_files_of_all_that_write_nir():
    assert {dialect_of(path) for path in FILES} == set(nir.DIALECTS) - {"lava"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_file_computes_what_its_producer_did(path, dtype):
    x, y = recorded(path)
    out = run(read_as_its_own(path), x, path, dtype)
    late = LAYERS.get(path.stem, 0)
    out, y = out[: len(out) - late], y[late:]
    if set(np.unique(y)) <= {0, 1}:
        np.testing.assert_array_equal(out, y)
    else:
        np.testing.assert_allclose(out, y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_file_comes_back_equal(path, tmp_path):
    nir.write(tmp_path / "back.nir", read_as_its_own(path))
    assert difference(raw_at(path), raw_at(tmp_path / "back.nir")) == []


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if p.stem in ("snntorch_leaky_subtract", "spikingjelly_tie", "spyx_lif2")],
    ids=lambda p: p.stem,
)
def test_without_its_dialect_a_file_computes_something_else(path):
    x, y = recorded(path)
    subtracts = nir.DIALECTS[dialect_of(path)].reset == "subtract"
    with pytest.warns(nir.ResetWarning) if subtracts else contextlib.nullcontext():
        graph = read(path, dt=nir.DIALECTS[dialect_of(path)].dt)
    out, _ = ir.Reference(graph).run(x)
    assert (out != y).mean() > 0.01


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_auto_says_whom_it_recognises_and_why(path, caplog):
    if path.stem in UNRECOGNISED:
        with pytest.raises(nir.ConventionError, match="cannot tell who wrote the graph"):
            read(path, dialect="auto")
        return
    zero = (
        path.stem == "snntorch_leaky_zero"
    )  # which snnTorch's files cannot say, but its name does
    doubt = (
        pytest.warns(nir.ResetWarning, match="says 'zero'") if zero else contextlib.nullcontext()
    )
    with caplog.at_level(logging.WARNING, logger="t1c.nir"), doubt:
        graph = read(path, dialect="auto")
    record = graph.metadata["nir"]
    assert record["dialect"] == dialect_of(path)
    said = record["remarks"][0]
    assert said.startswith(f"Taken for a file of {dialect_of(path)}, because ")
    assert said in caplog.text


def test_auto_does_not_guess_between_two():
    fields = {
        "tau": np.full(3, 5e-4),
        "r": np.full(3, 5.0),
        "v_leak": np.zeros(3),
        "v_threshold": np.ones(3),
        "v_reset": np.zeros(3),
    }
    graph = NirGraph(
        {
            "in": NirNode("Input", {"shape": np.array([3])}),
            "1.lif": NirNode("LIF", fields),
            "out": NirNode("Output", {"shape": np.array([3])}),
        },
        [("in", "1.lif"), ("1.lif", "out")],
    )
    settled = nir.settle.settle(graph, dt=None, reset=None, integrator=None, dialect="auto")
    assert settled.dialect == "snntorch"
    graph.nodes["lif"] = graph.nodes.pop("1.lif")
    settled = nir.settle.settle(graph, dt=None, reset=None, integrator=None, dialect="auto")
    assert settled.dialect == "spikingjelly"


def test_auto_names_the_choices(tmp_path):
    nodes: dict[str, Any] = {
        n: NirNode(k, {"shape": np.array([2])}) for n, k in (("a", "Input"), ("b", "Output"))
    }
    write_raw(tmp_path / "a.nir", NirGraph(nodes, [("a", "b")]))
    with pytest.raises(nir.ConventionError) as error:
        read(tmp_path / "a.nir", dialect="auto")
    assert all(repr(name) in str(error.value) for name in nir.DIALECTS)


def test_rockpools_dt_is_told_from_the_file():
    assert read_as_its_own(DATA / "rockpool_lif.nir").metadata["nir"]["dt"] == 1e-3
    assert read_as_its_own(DATA / "rockpool_lifneuron.nir").metadata["nir"]["dt"] == 5e-4


def test_a_file_that_tells_two_rockpool_dts_is_refused(tmp_path):
    raw = raw_at(DATA / "rockpool_lif.nir")
    node = next(node for node in raw.nodes.values() if node.type == "CubaLIF")
    node.fields["r"] = node.fields["r"] * np.linspace(1, 2, 6, dtype=np.float32)
    write_raw(tmp_path / "a.nir", raw)
    with pytest.raises(nir.ConventionError, match="dt cannot be told from the file"):
        read(tmp_path / "a.nir", dialect="rockpool")
    assert read(tmp_path / "a.nir", dialect="rockpool", dt=1e-3)


def test_norses_time_constants_in_seconds_are_recognised_as_such(tmp_path):
    """1.1.0 multiplies them by dt; its reader, and a corrected exporter, take them as they are."""
    raw = raw_at(DATA / "norse_lifbox.nir")
    raw.nodes["1"].fields["tau"] = np.float32(0.01)
    write_raw(tmp_path / "a.nir", raw)
    x, y = recorded(DATA / "norse_lifbox.nir")
    graph = read(tmp_path / "a.nir", dialect="norse")
    np.testing.assert_array_equal(ir.Reference(graph).run(x)[0], y)
    assert "tau_unit" not in graph.metadata["nir"]


def test_what_the_caller_says_wins_over_the_dialect():
    path = DATA / "sinabs_lif.nir"
    graph = read(path, dialect="sinabs", dt=0.5, integrator="euler", reset="zero")
    record = graph.metadata["nir"]
    assert (record["dt"], record["integrator"], record["reset"]) == (0.5, "euler", "zero")
    assert graph.nodes["1"].reset_mode == "zero"
    assert graph.nodes["1"].fires_at == "ge"


def test_every_dialect_is_documented_with_its_evidence():
    page = (Path(__file__).parent.parent / "docs" / "nir.md").read_text()
    for dialect in nir.DIALECTS.values():
        assert f"`{dialect.name}`" in page
        assert dialect.evidence.split(",")[0] in page, dialect.name
