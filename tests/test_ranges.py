"""What ``ir.Ranges`` says of numbers is true of every number of a run, and tight where it can."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t1c import ir
from t1c.ir.interval import Interval, grid_of
from t1c.ir.ranges import PATIENCE, _doubled, _widened, integer_type

from .examples import examples
from .strategies_executor import chain, networks, sequences

SEEN = {"bounded": 0, "on a grid": 0, "numbers": 0}


@given(st.data())
@examples(25, derandomize=True)
def test_every_number_of_a_run_lies_in_its_range(data):
    graph = data.draw(networks(every=True, cyclic=data.draw(st.booleans())))
    xs = data.draw(sequences(graph))
    told = {name: Interval.of(x) for name, x in xs.items()}
    ranges = ir.Ranges(graph, told)
    reference, state = ir.Reference(graph), None
    for t in range(len(next(iter(xs.values())))):
        values, state = reference.trace({name: x[t] for name, x in xs.items()}, state)
        for name, value in values.items():
            sent = value if isinstance(value, tuple) else (value,)
            for x, known in zip(sent, ranges[name].sent, strict=True):
                _holds(x, known)
        for name, variables in state.items():
            for x, known in zip(variables, ranges[name].state, strict=False):
                _holds(x, known)


def _holds(x, known):
    if not x.size:
        return
    # Numbers on no grid are rounded, and may be past a bound by that.
    slack = 0 if known.unit else 1e-9 * (1 + np.abs(x).max())
    SEEN["numbers"] += x.size
    SEEN["bounded"] += x.size * known.bounded
    finite = x[np.isfinite(x)]
    assert (
        finite.size == 0 or known.low - slack <= finite.min() <= finite.max() <= known.high + slack
    )
    if known.unit:
        SEEN["on a grid"] += x.size
        assert (finite / known.unit == np.rint(finite / known.unit)).all()


def test_the_ranges_of_the_runs_said_something():
    if not SEEN["numbers"]:
        pytest.skip("the runs were not made in this process")
    assert SEEN["bounded"] > SEEN["numbers"] / 4
    assert SEEN["on a grid"] > SEEN["numbers"] / 4


def test_a_sum_of_weights_is_as_large_as_its_worst_inputs():
    weight = np.array([[3, -5, 1], [2, 2, 2]], np.int8)
    graph = chain(
        ("in", ir.Input((3,))),
        ("fc", ir.Affine(weight, np.array([2, -1]))),
        ("out", ir.Output((2,))),
    )
    found = ir.Ranges(graph, {"in": ir.Interval(0, 1, 1)})
    (sent,) = found["fc"].sent
    assert (sent.low, sent.high, sent.unit) == (-3, 6, 1)
    assert found.integer("fc") == "int8"
    # From 2 over -5 up: what is met on the way, in any order.
    assert found["fc"].span == 6
    assert not found["fc"].exact or found.inexact("float32") == []
    unknown = ir.Ranges(graph)
    assert unknown.integer("fc") is None
    assert "fc" in unknown.inexact("float64")


def test_a_leaky_membrane_is_bounded_and_an_integrator_is_not():
    tau, one, zero = np.array(4.0), np.array(1.0), np.array(0.0)

    def v(neuron):
        graph = chain(("in", ir.Input((1,))), ("n", neuron), ("out", ir.Output((1,))))
        return ir.Ranges(graph, {"in": ir.Interval(0, 1, 1)})["n"].state[0]

    # v = 3/4 v + x: at most 4, which doubling meets exactly.
    assert v(ir.LI(tau, tau, zero)).high == 4
    assert not v(ir.I(one)).bounded
    # What does not fire lies below the threshold.
    assert v(ir.IF(one * 5, one)).high == 5
    subtracted = v(ir.IF(one * 5, one, reset="subtract"))
    assert (subtracted.low, subtracted.high, subtracted.unit) == (0, 5, 1)


def test_a_loop_that_saturates_keeps_to_its_bounds():
    nodes = {
        "in": ir.Input((2,)),
        "sum": ir.Identity(),
        "kept": ir.Clip(np.array(-100), np.array(100)),
        "before": ir.Delay(np.array(1)),
        "out": ir.Output((2,)),
    }
    edges = [("in", "sum"), ("before", "sum"), ("sum", "kept"), ("kept", "before"), ("kept", "out")]
    graph = ir.Graph(nodes, edges, allow_cycles=True)
    found = ir.Ranges(graph, {"in": ir.Interval(-3, 3, 1)})
    assert (found["sum"].sent[0].low, found["sum"].sent[0].high) == (-103, 103)
    assert found.integer("before") == "int8"
    assert found.inexact("float16") == []


@pytest.mark.parametrize(
    ("values", "unit"), [([0.75, -2.0], 0.25), ([0.1], 0.0), ([12, 8], 4.0), ([0.0], 2.0**100)]
)
def test_a_grid_is_the_largest_power_of_two_that_divides_all(values, unit):
    assert grid_of(np.array(values)) == unit


def test_bits_that_a_float_does_not_hold_are_told():
    weight = np.full((1, 300), 2**15, np.int32)
    graph = chain(
        ("in", ir.Input((300,))),
        ("fc", ir.Linear(weight)),
        ("out", ir.Output((1,))),
    )
    found = ir.Ranges(graph, {"in": ir.Interval(0, 255, 1)})
    assert found["fc"].sent[0].high == 300 * 2**15 * 255
    # The weights are multiples of 2**15, so that float32 holds their sums.
    assert found.inexact("float32") == []
    odd = chain(("in", ir.Input((300,))), ("fc", ir.Linear(weight + 1)), ("out", ir.Output((1,))))
    assert "fc" in ir.Ranges(odd, {"in": ir.Interval(0, 255, 1)}).inexact("float32")
    assert ir.Ranges(odd, {"in": ir.Interval(0, 255, 1)}).inexact("float64") == []


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-128, 127, "int8"), (0, 128, "int16"), (-129, 0, "int16"), (-(2**15), 2**15 - 1, "int16"),
        (0, 2**15, "int32"), (0, 2**31, "int64"), (-(2**63), 0, "int64"), (0, 2.0**63, None),
        (0, np.inf, None),
    ],
)  # fmt: skip
def test_the_least_integer_that_holds_all_numbers(low, high, expected):
    assert integer_type(Interval(low, high, 1.0)) == expected
    assert integer_type(Interval(0, 1, 1.0), Interval(low, high, 2.0)) == expected
    assert integer_type(Interval(low, high, 0.5), Interval(0, 1, 1.0)) is None


def test_a_float_holds_numbers_up_to_its_mantissa():
    graph = chain(("in", ir.Input((1,))), ("out", ir.Output((1,))))
    for bits, names in {
        8: ["bfloat16", "torch.bfloat16"],
        11: ["float16", np.float16, np.dtype("f2"), "torch.float16"],
        24: ["float32", "f4", np.float32],
        53: ["float64", np.float64, float],
    }.items():
        for name in names:
            exact = ir.Ranges(graph, {"in": Interval(0, 2.0**bits, 1)})
            assert exact.inexact(name) == []
            beyond = ir.Ranges(graph, {"in": Interval(0, 2.0**bits * 2, 1)})
            assert beyond.inexact(name) == ["in", "out"]
    assert ir.Ranges(graph, {"in": Interval(0, 2.0**54, 1)}).inexact() == ["in", "out"]
    assert ir.Ranges(graph, {"in": Interval(0, 2.0**53, 1)}).inexact() == []


def test_ranges_are_of_the_inputs_of_the_graph():
    graph = chain(("in", ir.Input((1,))), ("out", ir.Output((1,))))
    with pytest.raises(ir.GraphError) as caught:
        ir.Ranges(graph, {"out": Interval(0, 1), "in": Interval(0, 1)})
    assert str(caught.value) == "ranges of ['out']; expected Inputs: ['in']"
    found = ir.Ranges(graph, {"in": Interval(0, 1, 1)})
    assert (list(found), len(found), found.graph) == (["in", "out"], 2, graph)
    assert found["out"].whole
    assert found["out"].exact
    assert not ir.Ranges(graph)["out"].exact
    assert not ir.Ranges(graph)["out"].whole


@pytest.mark.parametrize(
    ("bound", "doubled"),
    [(-1.0, 0.0), (0.0, 0.0), (0.75, 1.0), (1.0, 1.0), (3.0, 4.0), (2.0**52, 2.0**52),
     (2.0**52 + 1, np.inf)],
)  # fmt: skip
def test_a_bound_that_keeps_growing_becomes_a_power_of_two_or_none(bound, doubled):
    assert _doubled(bound) == doubled


def test_what_grows_is_widened_after_a_few_rounds_and_on_the_side_where_it_grows():
    old = Interval(-3.0, 5.0, 1.0)
    assert _widened(old, Interval(0.0, 1.0, 1.0), 9) is old
    patient, hasty = PATIENCE - 1, PATIENCE
    assert _widened(old, Interval(0.0, 6.0, 0.5), patient) == Interval(-3.0, 6.0, 0.5)
    assert _widened(old, Interval(0.0, 6.0, 1.0), hasty) == Interval(-3.0, 8.0, 1.0)
    assert _widened(old, Interval(-5.0, 1.0, 1.0), hasty) == Interval(-8.0, 5.0, 1.0)
    assert _widened(old, Interval(0.0, 1.0, 0.5), hasty) == Interval(-3.0, 5.0, 2.0**-8)
    assert _widened(old, Interval(0.0, 1.0, 2.0**-8), hasty) == Interval(-3.0, 5.0, 2.0**-8)
    assert _widened(old, Interval(0.0, 1.0, 2.0**-40), hasty) == Interval(-3.0, 5.0, 0.0)


def test_what_arrives_and_each_output_of_a_node_have_ranges_of_their_own():
    nodes = {
        "in": ir.Input((3,)),
        "fc": ir.Affine(np.array([[2, 0, 0], [0, -1, -1]]), np.zeros(2)),
        "s": ir.ChannelSplit((1, 1)),
        "a": ir.Output((1,)),
        "b": ir.Output((1,)),
    }
    graph = ir.Graph(nodes, [("in", "fc"), ("fc", "s"), ("s", "a"), ("s", "b")])
    found = ir.Ranges(graph, {"in": Interval(0, 1, 1)})
    assert found["in"].arriving == found["fc"].arriving == Interval(0, 1, 1)
    assert found["in"].state == found["fc"].state == ()
    assert found["s"].sent == (Interval(-2, 2, 1),) * 2
    assert found["b"].arriving == found["b"].sent[0] == Interval(-2, 2, 1)


def test_a_product_of_matrices_adds_up_as_many_products_as_the_first_has_columns():
    nodes = {"a": ir.Input((2, 5)), "b": ir.Input((5, 3)), "m": ir.MatMul()}
    nodes |= {"out": ir.Output((2, 3))}
    graph = ir.Graph(nodes, [("a", "m"), ("b", "m"), ("m", "out")])
    (sent,) = ir.Ranges(graph, {n: Interval(-1, 3, 1) for n in "ab"})["m"].sent
    assert (sent.low, sent.high, sent.unit) == (-15, 45, 1)
