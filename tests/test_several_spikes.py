"""spikes='multiple' and v_min: what they mean, the same in every engine, and how they travel."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from t1c import nir
from t1c.bridge.engine.kernels.surrogate import Surrogate
from t1c.ir.errors import NodeError, UnsupportedError

from .engine_helpers import assert_equal, every_way, imported, referred
from .examples import examples
from .export_helpers import bridge, ir, written
from .neuron_catalogue import catalogue, options_of, over
from .strategies_executor import chain

FEATURES = 3


pytestmark = pytest.mark.usefixtures("one_thread")


def lif(tau=2.0, threshold=1.0, **options):
    return ir.LIF([tau], [tau], [0.0], [threshold], **options)


def alone(node, features=1):
    shape = (features,)
    return chain(("input", ir.Input(shape)), ("n", node), ("output", ir.Output(shape)))


def run(node, inputs):
    """Spikes and membranes of one neuron: the reference's, which every engine gives."""
    xs = torch.tensor(inputs, dtype=torch.float64).reshape(-1, 1, 1)
    expected = referred(alone(node), xs, torch.float64)
    membranes, state, reference = [], {}, ir.Reference(alone(node))
    for x in xs.numpy():
        _, state = reference.step(x, state)
        membranes.append(float(state["n"][-1].item()))
    with torch.no_grad():
        for kernels in ("torch", "numba"):
            executor = imported(alone(node), torch.float64, kernels=kernels)
            for way, found in every_way(executor, xs):
                assert_equal(found, expected, (kernels, way))
    return expected[0].ravel().tolist(), membranes


# By hand -----------------------------------------------------------------------------------------


def test_a_membrane_sends_a_spike_for_each_threshold_that_it_holds():
    node = lif(threshold=0.5, spikes="multiple", reset="subtract")
    # u = 1.75: 3 spikes, 0.25 stays; 0.125 + 0.875 = 1: 2; 0; -3 sends none.
    spikes, membrane = run(node, [1.75, 0.875, 0.25, -3.125])
    assert spikes == [3, 2, 0, 0]
    assert membrane == [0.25, 0, 0.25, -3]


def test_other_resets_ask_only_whether_there_are_spikes():
    inputs = [3.0, 0.5, 2.0]
    # To zero: u = 3; 0.5; 0.25 + 2.
    assert run(lif(spikes="multiple"), inputs) == ([3, 0, 2], [0, 0.5, 0])
    assert run(lif(spikes="multiple", v_reset=[0.5]), inputs) == ([3, 0, 2], [0.5, 0.75, 0.5])
    # Unreset: 3; 1.5 + 0.5; 1 + 2.
    assert run(lif(spikes="multiple", reset="none"), inputs) == ([3, 2, 3], [3, 2, 3])


def test_so_many_spikes_that_one_more_is_rounded_away_reset_too():
    # Of 2**60 spikes, float64 cannot tell one less: the membrane is 0 behind them all the same.
    many = 2.0**60
    spikes, membrane = run(lif(spikes="multiple", reset="zero"), [many, 0.75, many, 0.5])
    assert spikes == [many, 0, many, 0]
    assert membrane == [0, 0.75, 0, 0.5]


def test_a_delayed_subtraction_takes_off_what_was_sent():
    node = lif(spikes="multiple", reset="subtract", reset_delay=True)
    # u = 3.5, 3 spikes; 1.75 + 2 - 3 = 0.75; 0.375 + 1 = 1.375.
    assert run(node, [3.5, 2, 1, 0]) == ([3, 0, 1, 0], [3.5, 0.75, 1.375, -0.3125])


def test_a_bound_is_applied_after_firing_and_reset():
    node = lif(v_min=[-0.5])
    # u = -3 is carried on as -0.5; -0.25 + 1.25 = 1 fires.
    assert run(node, [-3, 1.25, 0.25]) == ([0, 1, 0], [-0.5, 0, 0.25])
    high = lif(v_min=[0.25], reset="subtract")
    # u = 1 fires, 0 after its reset, raised to 0.25; 0.125 + 0.5 = 0.625.
    assert run(high, [1, 0.5, -9]) == ([1, 0, 0], [0.25, 0.625, 0.25])
    late = lif(v_min=[-0.5], reset="subtract", reset_delay=True)
    # u = 1; 0.5 - 0.25 - 1 = -0.75, raised after its reset; -0.25 + 1.
    assert run(late, [1, -0.25, 1]) == ([1, 0, 0], [1, -0.5, 0.75])


# In every engine ---------------------------------------------------------------------------------


SEVERAL = [row for row in catalogue() if row["spikes"] == "multiple" or row["bounded"]]
"""Those that have one of the two, or both."""


@st.composite
def neurons(draw):
    """A neuron of any kind with every option that goes with these two, on a grid of k/256."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    row = draw(st.sampled_from(SEVERAL))
    several, kind = row["spikes"] == "multiple", ir.str_to_node(row["kind"])

    def pick(name: str, *options: float) -> Any:
        forms = [(FEATURES,)] if over(row["form"], name) else [(), (1,)]
        return rng.choice(options, draw(st.sampled_from(forms)))

    ranges = {
        "tau": (1.0, 2.0, 4.0), "tau_mem": (1.0, 2.0), "tau_syn": (1.0, 2.0), "r": (1.0, 2.0),
        "v_leak": (-0.25, 0.0, 0.25), "w_in": (0.5, 1.0, 2.0),
        "v_threshold": (0.125, 0.25, 0.375) if several else (0.5, 1.0),
    }  # fmt: skip
    fields = {name: pick(name, *values) for name, values in ranges.items() if name in kind.kinds}
    if row["reset"] in ("value", "lower"):
        fields["v_reset"] = pick("v_reset", -0.25, 0.125)
    if row["bounded"]:
        fields["v_min"] = pick("v_min", -0.5, -0.0625, 0.0)
    return kind(**fields, **options_of(draw, row))


@examples(60, suppress_health_check=list(HealthCheck))
@given(neurons(), st.integers(0, 2**32 - 1), st.sampled_from([torch.float32, torch.float64]))
def test_every_way_of_running_gives_the_reference_bit_for_bit(node, seed, dtype):
    rng = np.random.default_rng(seed)
    xs = torch.from_numpy(rng.integers(-256, 384, (8, 2, FEATURES)) / 256).to(dtype)
    graph = alone(node, FEATURES)
    expected = referred(graph, xs, dtype)
    with torch.no_grad():
        for kernels in ("torch", "numba"):
            executor = imported(graph, dtype, kernels=kernels)
            for way, found in every_way(executor, xs):
                assert_equal(found, expected, (kernels, way))
        compiled = imported(graph, dtype).run(xs, chunk=3)
    assert_equal(compiled, expected)


def test_thresholds_off_a_grid_are_divided_as_the_reference_divides():
    rng = np.random.default_rng(0)
    for reset, dtype in itertools.product(("zero", "subtract"), (torch.float32, torch.float64)):
        node = ir.LIF(
            rng.uniform(1, 9, 400),
            rng.uniform(1, 9, 400),
            rng.normal(0, 0.1, 400),
            rng.uniform(0.05, 0.3, 400),
            spikes="multiple",
            reset=reset,
            v_min=rng.uniform(-0.2, 0, 400),
        )
        graph = alone(node, 400)
        xs = torch.from_numpy(rng.normal(0.2, 0.6, (9, 4, 400))).to(dtype)
        expected = referred(graph, xs, dtype)
        assert expected[0].max() > 3
        assert (expected[1]["n"][0] == torch.from_numpy(node.v_min).to(dtype)).any()
        with torch.no_grad():
            for kernels in ("torch", "numba"):
                for way, found in every_way(imported(graph, dtype, kernels=kernels), xs):
                    assert_equal(found, expected, (kernels, way))


def layered(*, loop):
    """Neurons with both options behind layers: fused with them, or stepped in a loop."""
    rng = np.random.default_rng(0)

    def weights(*shape):
        return rng.integers(-128, 193, shape) / 256

    def neuron():
        return lif(threshold=0.5, spikes="multiple", reset="subtract", v_min=[-0.25])

    nodes = {
        "input": ir.Input((1, 4, 4)),
        "conv": ir.Conv2d(weights(2, 1, 3, 3), weights(2)),
        "first": neuron(),
        "pool": ir.MaxPool2d((2, 2)),
        "flat": ir.Flatten(),
        "fc": ir.Affine(weights(6, 2), weights(6)),
        "second": neuron(),
        "output": ir.Output((6,)),
    }
    edges = list(itertools.pairwise(nodes))
    if loop:
        nodes["back"] = ir.Affine(weights(6, 6) / 2, weights(6))
        edges += [("second", "back"), ("back", "second")]
    return ir.Graph(nodes, edges, allow_cycles=loop)


@pytest.mark.parametrize("loop", [False, True], ids=["chain", "loop"])
def test_counts_travel_through_networks(loop, tmp_path):
    graph = written(layered(loop=loop), tmp_path)
    rng = np.random.default_rng(1)
    xs = torch.from_numpy((rng.random((10, 3, 1, 4, 4)) < 0.5) * 1.0)
    expected = referred(graph, xs, torch.float64)
    assert expected[0].max() > 1
    with torch.no_grad():
        for options in ({}, {"kernels": "torch"}, {"events": True}, {"events": False}):
            executor = imported(graph, torch.float64, **options)
            for way, found in every_way(executor, xs):
                assert_equal(found, expected, (options, way))
        trace = imported(graph, torch.float64).trace(xs)
    assert trace["first"].max() > 1
    assert bridge.verify(imported(graph, torch.float64), graph, xs)


@pytest.mark.slow
def test_a_captured_graph_keeps_both_options():
    """One step, captured as torch.compile does it, with and without a gradient."""
    module = bridge.node_to_module(lif(spikes="multiple", reset="subtract", v_min=[-0.25]))
    captured = torch.compile(module, backend="aot_eager", fullgraph=True)
    given = np.random.default_rng(0).normal(0.5, 1.5, (2, 4, FEATURES))
    xs = [torch.from_numpy(x).float().requires_grad_() for x in (given[0], given[0])]
    (y, v), (z, w) = module(xs[0], xs[0]), captured(xs[1], xs[1])
    assert y.max() > 1
    assert (v == -0.25).any()
    assert torch.equal(y, z)
    assert torch.equal(v, w)
    (y.sum() + v.sum()).backward()
    (z.sum() + w.sum()).backward()
    torch.testing.assert_close(xs[1].grad, xs[0].grad)


# Gradients ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernels", ["torch", "numba"])
def test_the_gradient_is_that_of_the_nearest_crossing(kernels):
    graph = alone(lif(1.0, 0.5, spikes="multiple", reset="subtract"), 4)
    executor = imported(graph, torch.float64, kernels=kernels, learn="v_threshold")
    xs = torch.tensor([[[-1.0, 0.3, 0.8, 1.6]]], dtype=torch.float64, requires_grad=True)
    spikes, _ = executor.run(xs)
    spikes.sum().backward()
    assert spikes.tolist() == [[[0, 0, 1, 3]]]
    nearest = torch.tensor([1, 1, 2, 3])
    slopes = Surrogate("atan").derivative(xs.detach() - 0.5 * nearest)
    torch.testing.assert_close(xs.grad, slopes)
    learned = executor.node("n").v_threshold.grad
    torch.testing.assert_close(learned, -(nearest * slopes).sum().reshape(1))


@pytest.mark.parametrize("kernels", ["torch", "numba"])
def test_a_raised_membrane_passes_no_gradient_on_but_to_its_bound(kernels):
    graph = alone(lif(2.0, 9.0, reset="none", v_min=[-0.5]), 2)
    executor = imported(graph, torch.float64, kernels=kernels, learn="v_min")
    xs = torch.tensor([[[-2.0, 1.0]]], dtype=torch.float64, requires_grad=True)
    _, state = executor.run(xs)
    state["n"][0].sum().backward()
    assert xs.grad.tolist() == [[[0, 1]]]
    assert executor.node("n").v_min.grad.tolist() == [1]


# Refusals, and how they travel -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"spikes": "multiple", "fires_at": "gt"}, "'ge' beside spikes='multiple'"),
        ({"spikes": "multiple", "threshold": 0.0}, "thresholds above 0"),
        ({"spikes": "multiple", "threshold": np.nan}, "thresholds above 0"),
        ({"spikes": "many"}, "'binary', 'multiple'"),
        ({"v_min": "low"}, "a numeric array"),
    ],
)
def test_options_that_do_not_go_together(options, words):
    with pytest.raises(NodeError, match=words):
        lif(**options)


@pytest.mark.parametrize("options", [{"spikes": "multiple"}, {"v_min": np.array([-1.0])}])
def test_nir_cannot_say_them(options, tmp_path):
    graph = alone(lif(fires_at="ge", **options))
    with pytest.raises(UnsupportedError, match=next(iter(options))):
        nir.write(tmp_path / "n.nir", graph, dt=1.0)
    nir.write(tmp_path / "n.nir", graph, dt=1.0, lossy=True)
    back = nir.read(tmp_path / "n.nir", dt=1.0).nodes["n"]
    assert back.spikes == options.get("spikes", "binary")
    assert np.array_equal(back.v_min, options.get("v_min"))


def test_an_executor_gives_them_back():
    graph = alone(lif(spikes="multiple", v_min=[-1.0], reset="subtract"))
    executor = bridge.ir_to_torch(graph)
    assert "spikes='multiple'" in repr(executor)
    assert bridge.to_ir(executor, torch.zeros(1, 1)).equals(graph)
    with torch.no_grad():
        executor.node("n").v_min.fill_(-2.0)
    assert bridge.to_ir(executor, torch.zeros(1, 1)).nodes["n"].v_min.tolist() == [-2.0]


def test_verify_sees_rounding_at_every_multiple_of_the_threshold():
    """(0.1 + 0.2) + 0.3 is six times 0.1, and (0.2 + 0.3) + 0.1 a little less."""

    def summing(*order):
        nodes = {
            "input": ir.Input((1,)),
            **{str(n): ir.Scale(np.array([n / 10])) for n in (1, 2, 3)},
            "n": lif(1.0, 0.1, spikes="multiple", reset="none"),
            "output": ir.Output((1,)),
        }
        edges = [("input", str(n)) for n in order] + [(str(n), "n") for n in order]
        return imported(ir.Graph(nodes, [*edges, ("n", "output")]), torch.float64)

    xs = torch.ones(1, 1, 1, dtype=torch.float64)
    executors = summing(1, 2, 3), summing(2, 3, 1)
    with torch.no_grad():
        assert [executor.run(xs)[0].item() for executor in executors] == [6, 5]
    report = bridge.verify(*executors, xs)
    assert not report
    assert report.within_rounding


def test_snntorch_has_no_neuron_with_a_bound():
    from t1c.bridge.frameworks.snntorch_import import node_map

    options: dict[str, Any] = {"reset": "none", "fires_at": "gt"}
    assert node_map(lif(**options)) is not None
    assert node_map(lif(**options, v_min=[-1.0])) is None
