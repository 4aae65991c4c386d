"""How seconds become steps: the time step, the integrators, and what is refused."""

import warnings
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t1c import ir, nir
from t1c.nir.file_write import write_raw
from t1c.nir.raw import NirGraph, NirNode


def graph_of(kind, fields, n=1, metadata=None):
    """Input, one node, Output."""
    nodes: dict[str, Any] = {
        "in": NirNode("Input", {"shape": np.array([n])}),
        "node": NirNode(kind, {k: np.asarray(v) for k, v in fields.items()}),
        "out": NirNode("Output", {"shape": np.array([n])}),
    }
    return NirGraph(nodes, [("in", "node"), ("node", "out")], metadata or {})


@pytest.fixture
def read(tmp_path):
    def read(raw, **options):
        write_raw(tmp_path / "a.nir", raw)
        return nir.read(tmp_path / "a.nir", **options)

    return read


LI = {"tau": [0.02], "r": [3.0], "v_leak": [0.5]}
LIF = {**LI, "v_threshold": [1.0]}
CUBA = {"tau_syn": [0.005], "tau_mem": [0.02], "r": [2.0], "v_leak": [0.0], "w_in": [1.5]}


def respond(graph, steps=400):
    out, _ = ir.Reference(graph).run(np.ones((steps, 1, 1)))
    return out[:, 0, 0]


class TestTimeStep:
    def test_without_one_the_error_says_what_it_is_and_what_was_used(self, read):
        with pytest.raises(nir.ConventionError) as error:
            read(graph_of("LIF", LIF))
        text = str(error.value)
        assert "seconds" in text
        assert "dt=1e-4" in text
        for name in nir.DIALECTS:
            assert name in text
        assert "norse 0.001 (s, times dt)" in text
        assert "sinabs 1 (steps)" in text

    @pytest.mark.parametrize("dt", [0, -1e-3, np.nan, np.inf, "1e-3", True, None])
    def test_only_a_positive_number_is_one(self, read, dt):
        with pytest.raises(nir.ConventionError, match="dt"):
            read(graph_of("LIF", LIF), dt=dt)

    def test_a_dt_in_foreign_metadata_is_not_ours(self, read):
        with pytest.raises(nir.ConventionError):
            read(graph_of("LIF", LIF, metadata={"dt": 1e-3}))

    def test_one_that_t1c_wrote_is_known(self, tmp_path):
        lif = ir.LIF(*(np.ones(2) * v for v in (9.0, 1.0, 0.0, 1.0)), fires_at="gt")
        graph = ir.Graph(
            {"in": ir.Input((2,)), "lif": lif, "out": ir.Output((2,))},
            [("in", "lif"), ("lif", "out")],
        )
        nir.write(tmp_path / "a.nir", graph, dt=1e-4)
        again: Any = nir.read(tmp_path / "a.nir")
        assert again.metadata["nir"]["dt"] == 1e-4
        np.testing.assert_allclose(again.nodes["lif"].tau, 9.0)
        again = nir.read(tmp_path / "a.nir", dt=2e-4)
        assert again.nodes["lif"].tau[0] == pytest.approx(4.5)


class TestIntegrators:
    def test_euler_is_nirs_equation_with_a_difference_for_the_derivative(self, read):
        v, dt = 0.0, 1e-3
        for out in respond(read(graph_of("LI", LI), dt=dt), 50):
            v += dt / 0.02 * ((0.5 - v) + 3.0 * 1.0)
            assert out == pytest.approx(v, rel=1e-12)

    def test_exponential_is_the_exact_solution_for_constant_input(self, read):
        out = respond(read(graph_of("LI", LI), dt=1e-3, integrator="exponential"))
        t = 1e-3 * np.arange(1, len(out) + 1)
        np.testing.assert_allclose(out, 3.5 * (1 - np.exp(-t / 0.02)), rtol=1e-12)

    @pytest.mark.parametrize("kind", ["LI", "CubaLI"])
    def test_both_tend_to_the_same_as_dt_becomes_small(self, read, kind):
        raw = graph_of(kind, LI if kind == "LI" else CUBA)
        gaps = []
        for dt, steps in ((1e-3, 30), (1e-4, 300), (1e-5, 3000)):
            last = [
                respond(read(raw, dt=dt, integrator=i), steps)[-1] for i in ("euler", "exponential")
            ]
            gaps.append(abs(last[0] - last[1]))
        assert gaps[0] > 5 * gaps[1] > 25 * gaps[2] > 0

    def test_an_integrator_has_no_time_constant_and_scales_by_dt(self, read):
        for integrator in ("euler", "exponential"):
            out = respond(read(graph_of("I", {"r": [4.0]}), dt=0.25, integrator=integrator), 5)
            np.testing.assert_array_equal(out, [1, 2, 3, 4, 5])

    def test_a_time_constant_shorter_than_a_step_is_refused_for_euler_only(self, read):
        raw = graph_of("LIF", {**LIF, "tau": [5e-4]})
        with pytest.raises(ir.GraphError) as error:
            read(raw, dt=1e-3)
        text = str(error.value)
        for said in ("node 'node' (LIF)", "field 'tau'", "0.0005", "integrator='exponential'"):
            assert said in text
        assert read(raw, dt=1e-3, integrator="exponential")

    @given(digits=st.integers(1, 9), exponent=st.integers(-6, 1), kind=st.sampled_from("ed"))
    def test_a_tau_of_one_step_is_one_step_in_any_precision(self, digits, exponent, kind):
        from t1c.nir.conventions import Conventions
        from t1c.nir.crossings import Tau

        dt = float(f"{digits}e{exponent}")
        tau = np.array([dt], np.float32 if kind == "e" else np.float64)
        steps = Tau("tau").take({"tau": tau}, Conventions(dt=dt), "LIF")
        assert 1 <= steps[0] < 1 + 1e-6

    @pytest.mark.parametrize("tau", [0.0, -1.0, np.nan])
    @pytest.mark.parametrize("integrator", ["euler", "exponential"])
    def test_what_is_no_time_constant_is_refused(self, read, tau, integrator):
        with pytest.raises(ir.GraphError, match="field 'tau'"):
            read(graph_of("LI", {**LI, "tau": [tau]}), dt=1e-3, integrator=integrator)


class TestNodes:
    def test_all_of_nirs_types_are_covered(self):
        from t1c.nir.primitives import PRIMITIVES

        assert set(PRIMITIVES) | {"NIRGraph"} == {
            "Affine", "AvgPool2d", "Conv1d", "Conv2d", "CubaLI", "CubaLIF", "Delay", "Flatten",
            "I", "IF", "Input", "LI", "LIF", "Linear", "NIRGraph", "Output", "Scale", "SumPool2d",
            "Threshold",
        }  # fmt: skip
        for name, entry in PRIMITIVES.items():
            assert entry.cls.__name__ == name
            assert {field.name for field in entry.fields} <= set(entry.cls.kinds)

    def test_a_delay_is_rounded_to_steps(self, read):
        delay = [0.0, 0.0014, 0.0016, 0.003]
        graph = read(graph_of("Delay", {"delay": delay}, n=4), dt=1e-3)
        np.testing.assert_array_equal(graph.nodes["node"].delay, [0, 1, 2, 3])

    def test_an_affine_over_several_matrices_is_refused(self, read):
        fields = {"weight": np.ones((2, 3, 4)), "bias": np.ones((2, 3))}
        with pytest.raises(ir.GraphError, match=r"node 'node' \(Affine\), field 'weight'"):
            read(graph_of("Affine", fields, n=4), dt=1e-3)

    def test_every_problem_is_told_at_once(self, read):
        raw = graph_of("LIF", {**LIF, "tau": [-1.0], "colour": [1]})
        raw.nodes["conv"] = NirNode("Conv2d", {"weight": np.ones((1, 1, 3, 3))})
        raw.nodes["what"] = NirNode("LiF", {})
        raw.edges += [("node", "conv"), ("conv", "what")]
        with pytest.raises(ir.GraphError) as error:
            read(raw, dt=1e-3)
        text = str(error.value)
        for said in (
            "node 'node' (LIF), field 'tau'",
            "unknown field 'colour'",
            "node 'conv' (Conv2d), field 'stride': it is missing",
            "unknown NIR type 'LiF'",
            "Did you mean LIF",
        ):
            assert said in text

    def test_a_reset_value_for_each_neuron(self, read):
        fields = {k: np.repeat(v, 3) for k, v in LIF.items()}
        graph = read(graph_of("LIF", {**fields, "v_reset": [0.0, -0.5, 0.2]}, n=3), dt=1e-3)
        np.testing.assert_array_equal(graph.nodes["node"].v_reset, [0.0, -0.5, 0.2])
        assert graph.nodes["node"].reset_mode == "value"
        assert graph.nodes["node"].fires_at == "gt"

    @pytest.mark.parametrize("word", ["substract", "", 1])
    @pytest.mark.parametrize("name", ["reset", "integrator", "dialect"])
    def test_words_that_mean_nothing_are_refused_with_the_choice(self, read, name, word):
        with pytest.raises(nir.ConventionError, match=f"field '{name}': .* expected one of"):
            read(graph_of("LIF", LIF), dt=1e-3, **{name: word})

    @pytest.mark.parametrize(("version", "subtracts"), [("", 1), ("1.0.5", 1), ("1.0.6", 0)])
    def test_files_of_versions_that_reset_by_subtraction_say_so(self, tmp_path, version, subtracts):
        write_raw(tmp_path / "a.nir", graph_of("LIF", LIF))
        with h5py.File(tmp_path / "a.nir", "r+") as file:
            del file["version"]
            if version:
                file["version"] = version
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            record = nir.read(tmp_path / "a.nir", dt=1e-3).metadata["nir"]
        assert [w.category for w in caught] == [nir.ResetWarning] * subtracts
        assert len(record.get("remarks", ())) == subtracts
        said = nir.read(tmp_path / "a.nir", dt=1e-3, reset="subtract").metadata["nir"]
        assert "remarks" not in said

    def test_a_symmetric_loop_can_be_told_where_it_runs_back(self, read):
        lif = graph_of("LIF", LIF).nodes["node"]
        raw = NirGraph(
            {
                "in": NirNode("Input", {"shape": np.array([1])}),
                "a": lif,
                "b": lif,
                "out": NirNode("Output", {"shape": np.array([1])}),
            },
            [("in", "a"), ("in", "b"), ("a", "b"), ("b", "a"), ("a", "out"), ("b", "out")],
        )
        with pytest.raises(ir.GraphError, match="symmetric"):
            read(raw, dt=1e-3)
        graph = read(raw, dt=1e-3, feedback=[("b", "a")])
        assert graph.feedback_edges() == [("b", "a")]
