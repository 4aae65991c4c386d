"""The reference interpreter by hand: what it takes, what it gives, what it carries along."""

import numpy as np
import pytest

from t1c import ir

from .written_edges import edges_of


def integrator():
    return ir.I(np.ones(1))


def row(*numbers):
    """Steps of one sample with one feature."""
    return np.array(numbers, float).reshape(-1, 1, 1)


def alone(node=None, **options):
    nodes = {"in": ir.Input((1,), **options), "n": node or integrator(), "out": ir.Output((1,))}
    return ir.Graph(nodes, edges_of("in>n n>out"))


def two_of_each(hold=None):
    """One Input goes to an Output that wants the last step, the other to one that wants all."""
    nodes = {
        "a": ir.Input((1,), hold=hold),
        "b": ir.Input((2,)),
        "v": integrator(),
        "w": integrator(),
        "last": ir.Output((1,), final=True),
        "all": ir.Output((2,)),
    }
    return ir.Graph(nodes, edges_of("a>v b>w v>last w>all"))


def test_a_run_is_its_steps_one_after_the_other():
    reference = ir.Reference(alone())
    out, state = reference.run(row(1, 2, 4))
    assert out.tolist() == row(1, 3, 7).tolist()
    assert {name: [v.tolist() for v in own] for name, own in state.items()} == {"n": [[[7.0]]]}
    later, _ = reference.run(row(1, 1), state)
    assert later.tolist() == row(8, 9).tolist()
    stepped = None
    for x, y in zip(row(1, 2, 4), out, strict=True):
        sent, stepped = reference.step(x, stepped)
        assert sent.tolist() == y.tolist()
    assert stepped["n"][0].tolist() == state["n"][0].tolist() == [[7.0]]


def test_a_trace_tells_what_every_node_sent():
    values, state = ir.Reference(alone()).trace(row(2)[0])
    assert {name: value.tolist() for name, value in values.items()} == {
        "in": [[2.0]],
        "n": [[2.0]],
        "out": [[2.0]],
    }
    assert list(state) == ["n"]


def test_a_state_may_be_given_in_part():
    given = {"v": (np.full((3, 1), 5),)}
    xs = {"a": np.ones((1, 3, 1)), "b": np.ones((1, 3, 2))}
    out, state = ir.Reference(two_of_each()).run(xs, given)
    assert out["last"].tolist() == [[6.0]] * 3
    assert out["all"].tolist() == [[[1.0, 1.0]] * 3]
    assert list(state) == ["v", "w"]
    assert given["v"][0].tolist() == [[5]] * 3


def test_each_output_says_what_is_returned_of_the_steps_unless_more_is_asked_for():
    reference = ir.Reference(two_of_each())
    xs = {"a": row(1, 2), "b": np.ones((2, 1, 2))}
    every, last = [[[1.0, 1.0]], [[2.0, 2.0]]], [[3.0]]
    shown = {
        collect: {name: y.tolist() for name, y in reference.run(xs, collect=collect)[0].items()}
        for collect in (None, "stack", "last")
    }
    assert shown[None] == {"last": last, "all": every}
    assert shown["stack"] == {"last": [[[1.0]], last], "all": every}
    assert shown["last"] == {"last": last, "all": every[-1]}


def test_of_no_steps_there_is_nothing_and_no_last_one():
    reference = ir.Reference(alone(), np.float32)
    out, state = reference.run(np.zeros((0, 4, 1)))
    assert (out.shape, out.dtype, state) == ((0, 4, 1), np.float32, {})
    with pytest.raises(ir.InputError) as caught:
        reference.run(np.zeros((0, 4, 1)), collect="last")
    assert str(caught.value) == "the last of output 'out': no steps; expected at least one"


def test_a_value_is_held_for_as_many_steps_as_its_input_says_or_the_caller():
    reference = ir.Reference(alone(hold=3))
    x = np.array([[2.0], [1.0]])
    out, _ = reference.run(x)
    assert out[..., 0].tolist() == [[2, 1], [4, 2], [6, 3]]
    assert reference.run(x, steps=2)[0][..., 0].tolist() == [[2, 1], [4, 2]]
    # A sequence is taken as it is.
    assert reference.run(row(1, 2))[0].ravel().tolist() == [1, 3]
    assert reference.run(row(1, 2), steps=2)[0].ravel().tolist() == [1, 3]
    with pytest.raises(ir.InputError, match="'in' has 2, steps=3"):
        reference.run(row(1, 2), steps=3)
    # What holds nothing is not given one value.
    with pytest.raises(ir.InputError, match=r"numbers of shape \(T, B, 1\)"):
        ir.Reference(alone()).run(x)


def test_a_value_beside_a_sequence_is_held_for_its_steps():
    given = {"a": np.full((1, 1), 2.0), "b": np.ones((4, 1, 2))}
    out, _ = ir.Reference(two_of_each(hold=9)).run(given, collect="stack")
    assert out["last"].ravel().tolist() == [2, 4, 6, 8]
    assert out["all"].shape == (4, 1, 2)


def test_arithmetic_and_state_are_in_the_dtype_asked_for():
    for dtype in (np.float32, np.float64):
        reference = ir.Reference(alone(), dtype)
        out, state = reference.run(np.ones((2, 1, 1), np.int8), {"n": (np.ones((1, 1), int),)})
        assert {out.dtype, state["n"][0].dtype} == {np.dtype(dtype)}
        assert out.ravel().tolist() == [2, 3]
    assert ir.Reference(alone()).dtype == np.float64


def test_what_runs_back_is_kept_as_the_last_of_a_nodes_state():
    nodes = {
        "in": ir.Input((1,)),
        "v": integrator(),
        "w": ir.Linear(np.full((2, 1), -1.0)),
        "sum": ir.Linear(np.full((1, 2), 0.25)),
        "out": ir.Output((1,)),
    }
    graph = ir.Graph(nodes, edges_of("in>v v>w w>sum sum>v v>out"), allow_cycles=True)
    assert graph.feedback_edges() == [("v", "w")]
    reference = ir.Reference(graph)
    out, state = reference.run(row(8, 0, 0))
    # Half of what it sent in the step before is taken off.
    assert out.ravel().tolist() == [8, 4, 2]
    assert [v.tolist() for v in state["v"]] == [[[2.0]], [[2.0]]]
    assert list(state) == ["v"]
    changed = {"v": (state["v"][0], np.full((1, 1), 4.0))}
    assert reference.run(row(0), changed)[0].ravel().tolist() == [0]


def test_what_runs_back_is_not_taken_for_another_variable_of_the_state():
    # i = i / 2 + x and u = v / 2 + i; from 6 on it fires, which adds 4 to the next x.
    two = np.full(1, 2.0)
    nodes = {
        "in": ir.Input((1,)),
        "n": ir.CubaLIF(two, two, two, 0 * two, 3 * two, two),
        "w": ir.Scale(2 * two),
        "out": ir.Output((1,)),
    }
    graph = ir.Graph(nodes, edges_of("in>n n>w w>n n>out"), allow_cycles=True)
    out, state = ir.Reference(graph).run(row(8, 0, 0))
    assert out.ravel().tolist() == [1, 1, 1]
    assert [v.item() for v in state["n"]] == [8, 0, 1]


def test_a_delay_may_be_fed_by_an_edge_that_runs_back():
    nodes = {"in": ir.Input((1,)), "n": integrator(), "d": ir.Delay(np.ones(1))}
    nodes |= {"out": ir.Output((1,))}
    edges = edges_of("in>n n>d d>n n>out")
    graph = ir.Graph(nodes, edges, allow_cycles=True, feedback=[("n", "d")])
    out, _ = ir.Reference(graph).run(row(1, 0, 0, 0, 0))
    # Each adds what it was two steps ago.
    assert out.ravel().tolist() == [1, 1, 2, 3, 5]


def test_a_delay_in_a_loop_speaks_before_it_listens():
    nodes = {
        "in": ir.Input((1,)),
        "sum": ir.Identity(),
        "d": ir.Delay(np.array([2.0])),
        "back": ir.Scale(np.array([2.0])),
        "out": ir.Output((1,)),
    }
    graph = ir.Graph(nodes, edges_of("in>sum back>sum sum>d d>back sum>out"), allow_cycles=True)
    out, state = ir.Reference(graph).run(row(1, 0, 3, 0, 0))
    assert out.ravel().tolist() == [1, 0, 5, 0, 10]
    assert state["d"][0].ravel().tolist() == [0, 10]
    assert list(state) == ["d"]


def test_each_edge_takes_its_own_output_of_a_node():
    nodes = {
        "in": ir.Input((3,)),
        "s": ir.ChannelSplit((2, 1)),
        "wide": ir.Output((2,)),
        "one": ir.Output((1,)),
    }
    out, _ = ir.Reference(ir.Graph(nodes, edges_of("in>s s>wide s>one"))).run([[[1.0, 2.0, 3.0]]])
    assert {name: y.tolist() for name, y in out.items()} == {
        "wide": [[[1.0, 2.0]]],
        "one": [[[3.0]]],
    }


def test_a_neuron_that_nothing_feeds_gets_zeros_for_every_sample():
    # Its leak alone moves it: half of the way to 4 in each step.
    leak = ir.LI(np.full(1, 2.0), np.ones(1), np.full(3, 4.0))
    nodes = {"in": ir.Input((1,)), "v": leak, "out": ir.Output((3,)), "o": ir.Output((1,))}
    reference = ir.Reference(ir.Graph(nodes, edges_of("v>out in>o")), np.float32)
    out, _ = reference.run(np.zeros((2, 5, 1)))
    assert out["out"].tolist() == [[[2.0] * 3] * 5, [[3.0] * 3] * 5]
    assert out["out"].dtype == np.float32


def test_an_input_that_does_not_fit_is_told_what_does():
    graph = two_of_each()
    with pytest.raises(ir.InputError) as caught:
        ir.Reference(graph).run({"a": row(1, 2), "b": np.ones((2, 1, 3))})
    assert str(caught.value) == (
        "input 'b': an array of shape (2, 1, 3) and dtype float64; "
        "expected numbers of shape (T, B, 2). All inputs have the same T and B."
    )
    with pytest.raises(ir.InputError) as caught:
        ir.Reference(alone()).step(np.ones((2, 1), "datetime64[s]"))
    assert str(caught.value) == (
        "input 'in': an array of shape (2, 1) and dtype datetime64[s]; "
        "expected numbers of shape (B, 1)"
    )
    for dtype in (bool, np.uint8, np.int64, np.float16):
        assert ir.Reference(alone()).step(np.ones((2, 1), dtype))[0].tolist() == [[1.0], [1.0]]
    with pytest.raises(ir.InputError) as caught:
        ir.Reference(graph).run({"b": row(1), "c": row(1)})
    assert str(caught.value) == "inputs for ['b', 'c']; expected one for each of ['a', 'b']"


def test_a_state_that_does_not_fit_is_told_what_does():
    with pytest.raises(ir.InputError) as caught:
        ir.Reference(alone()).run(np.ones((1, 2, 1)), {"n": (np.ones((3, 1)),)})
    assert str(caught.value) == (
        "node 'n': state of shapes [(3, 1)]; expected [(2, 1)] for a batch of 2. "
        "Pass what an earlier step returned, or None to start at rest."
    )
