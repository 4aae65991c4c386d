"""Import then export gives back an equal NIR graph, whatever way it took in between."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from t1c import ir, nir
from t1c.nir.file_write import write_raw
from t1c.nir.memory import nir_of
from t1c.nir.raw import NirGraph, NirNode

from .nir_difference import difference
from .strategies_nir import by_definition, nir_graphs, raw_at, read

ODD = np.array([0.0283, 0.1243, 0.8632])
"""Time constants of which (tau / dt) * dt is not tau, for dt = 1e-4."""


def written(raw, path):
    write_raw(path, raw)
    return path


def lif(**changes):
    """Input, LIF and Output of three."""
    fields: dict[str, Any] = {
        "tau": np.array([0.01, 0.02, 0.03]),
        "r": np.ones(3),
        "v_leak": np.zeros(3),
        "v_threshold": np.ones(3),
        "v_reset": np.zeros(3),
    }
    fields |= changes
    nodes: dict[str, Any] = {
        "in": NirNode("Input", {"shape": np.array([3])}),
        "lif": NirNode("LIF", {k: v for k, v in fields.items() if v is not None}),
        "out": NirNode("Output", {"shape": np.array([3])}),
    }
    return NirGraph(nodes, [("in", "lif"), ("lif", "out")])


@given(drawn=nir_graphs(), data=st.data())
def test_a_file_comes_back_equal(drawn, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nir")
    first = written(drawn.raw, folder / "a.nir")
    options = {
        "reset": data.draw(st.sampled_from([None, "subtract", "zero", "none"])),
        "integrator": data.draw(st.sampled_from([None, "exponential"])),
    }
    graph = read(first, dt=drawn.dt, **options)
    if data.draw(st.booleans()):
        ir.write(folder / "a.t1c", graph)
        again = ir.read(folder / "a.t1c")
        assert again.equals(graph), again.difference(graph)
        graph = again
    assert not nir.write(folder / "b.nir", graph)
    assert difference(raw_at(first), raw_at(folder / "b.nir")) == []


@given(drawn=nir_graphs())
def test_a_graph_computes_what_nirs_equations_say(drawn, tmp_path_factory):
    path = written(drawn.raw, tmp_path_factory.mktemp("nir") / "a.nir")
    graph = read(path, dt=drawn.dt)
    (entry,) = graph.inputs().values()
    xs = np.random.default_rng(0).random((12, 2, *entry.shape)) * 2 - 0.5
    out, _ = ir.Reference(graph).run(xs)
    expected = by_definition(drawn, xs)
    out = out if isinstance(out, dict) else {next(iter(graph.outputs())): out}
    assert out.keys() == expected.keys()
    for name, right in expected.items():
        np.testing.assert_allclose(out[name], right, rtol=1e-9, atol=1e-9, err_msg=name)


def test_a_tau_that_was_trained_is_exported_as_trained(tmp_path):
    graph = read(written(lif(tau=ODD), tmp_path / "a.nir"), dt=1e-4)
    assert not np.array_equal(ODD / 1e-4 * 1e-4, ODD)
    graph.nodes["lif"].tau = graph.nodes["lif"].tau * 2
    nir.write(tmp_path / "b.nir", graph)
    tau = raw_at(tmp_path / "b.nir").nodes["lif"].fields["tau"]
    np.testing.assert_allclose(tau, 2 * ODD, rtol=1e-15)


def test_a_reset_that_was_changed_is_exported_as_changed(tmp_path):
    path = written(lif(v_reset=np.full(3, -0.0)), tmp_path / "a.nir")
    graph = read(path, dt=1e-3)
    graph.nodes["lif"].v_reset = np.full(3, 0.25)
    nir.write(tmp_path / "b.nir", graph)
    fields = raw_at(tmp_path / "b.nir").nodes["lif"].fields
    np.testing.assert_array_equal(fields["v_reset"], np.full(3, 0.25))


def test_parameters_in_an_engines_precision_are_still_the_imported_ones(tmp_path):
    graph = read(written(lif(tau=ODD), tmp_path / "a.nir"), dt=1e-4)
    node = graph.nodes["lif"]
    node.tau = node.tau.astype(np.float32)
    nir.write(tmp_path / "b.nir", graph)
    np.testing.assert_array_equal(raw_at(tmp_path / "b.nir").nodes["lif"].fields["tau"], ODD)


def test_only_what_cannot_be_computed_is_remembered(tmp_path):
    tau = np.array([0.01, 0.02, 0.03], np.float32)
    graph = read(
        written(lif(**{n: np.float32(1) * np.ones(3, np.float32) for n in ("r", "v_threshold")},
                    tau=tau, v_leak=np.zeros(3, np.float32), v_reset=np.zeros(3, np.float32)),
                tmp_path / "a.nir"),
        dt=1e-4,
    )  # fmt: skip
    assert all("nir" not in node.metadata for node in graph.nodes.values())
    assert graph.metadata["nir"] == {
        "dt": 1e-4,
        "integrator": "euler",
        "reset": "as the file says",
        "fires_at": "gt",
        "version": "1.0.8",
    }


def test_another_dt_can_be_exported_to(tmp_path):
    graph = read(written(lif(), tmp_path / "a.nir"), dt=1e-3)
    nir.write(tmp_path / "b.nir", graph, dt=2e-3)
    tau = raw_at(tmp_path / "b.nir").nodes["lif"].fields["tau"]
    np.testing.assert_allclose(tau, [0.02, 0.04, 0.06])


def test_wrong_declared_shapes_are_kept_and_change_nothing(tmp_path):
    raw = lif()
    raw.nodes["out"].fields["shape"] = np.array([1, 3])
    path = written(raw, tmp_path / "a.nir")
    graph = read(path, dt=1e-3)
    assert graph.nodes["out"].shape == (3,)
    assert "declares the shape (1, 3)" in graph.metadata["nir"]["remarks"][0]
    nir.write(tmp_path / "b.nir", graph)
    assert difference(raw_at(path), raw_at(tmp_path / "b.nir")) == []


def test_a_graph_of_an_old_version_needs_no_input_and_output(tmp_path):
    raw = NirGraph(
        {
            "0": NirNode("Affine", {"weight": np.ones((3, 2)), "bias": np.zeros(3)}),
            "1": lif(v_reset=None).nodes["lif"],
        },
        [("0", "1")],
    )
    path = written(raw, tmp_path / "a.nir")
    graph = read(path, dt=1e-3)
    assert list(graph.inputs()) == ["input_0"]
    assert list(graph.outputs()) == ["output_1"]
    nir.write(tmp_path / "b.nir", graph)
    assert difference(raw_at(path), raw_at(tmp_path / "b.nir")) == []


class TestWithTheNirPackage:
    @pytest.fixture(autouse=True)
    def _nir(self):
        self.nir = pytest.importorskip("nir")

    @given(drawn=nir_graphs())
    def test_a_graph_in_memory_comes_back_equal(self, drawn):
        graph = nir_of(drawn.raw)
        back = nir.to_nir(nir.from_nir(graph, dt=drawn.dt))
        assert self.unequal(graph, back) == []

    @given(drawn=nir_graphs())
    def test_nir_reads_what_t1c_writes(self, drawn, tmp_path_factory):
        folder = tmp_path_factory.mktemp("nir")
        first = written(drawn.raw, folder / "a.nir")
        try:
            before = self.nir.read(first, type_check=False)
        except (TypeError, ValueError, AssertionError):
            reject()  # nir checks the types of subgraphs all the same, and mistypes some
        nir.write(folder / "b.nir", nir.read(first, dt=drawn.dt))
        assert self.unequal(before, self.nir.read(folder / "b.nir", type_check=False)) == []
        assert self.nir.serialization.read_version(folder / "b.nir") == "1.0.8"

    def unequal(self, a, b, where=""):
        """What differs between two graphs of the nir package: names, types, values, edges."""
        found = [] if type(a) is type(b) else [f"{where}: {type(a)} and {type(b)}"]
        for name in dict.fromkeys([*vars(a), *vars(b)]):
            mine, theirs = vars(a).get(name), vars(b).get(name)
            place = f"{where}.{name}"
            if name == "nodes":
                if list(mine) != list(theirs):
                    found.append(f"{place}: {list(mine)} and {list(theirs)}")
                found += [d for n in mine for d in self.unequal(mine[n], theirs[n], f"{place}.{n}")]
            elif not self.alike(mine, theirs):
                found.append(f"{place}: {mine!r} and {theirs!r}")
        return found

    def alike(self, a, b):
        if isinstance(a, dict) and isinstance(b, dict):
            return a.keys() == b.keys() and all(self.alike(a[k], b[k]) for k in a)
        if a is None or b is None or isinstance(a, str):
            return a is b or a == b
        x, y = self.plain(a), self.plain(b)
        return x.shape == y.shape and x.dtype == y.dtype and bool((x == y).all())

    def plain(self, value):
        """An array; nir leaves lists of text as bytes."""
        array = np.asarray(value)
        if array.dtype.kind != "O":
            return array
        return np.array([v.decode() if isinstance(v, bytes) else v for v in array])
