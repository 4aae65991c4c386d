"""What every node and graph has from its declaration: types, copies, states at rest, messages."""

import numpy as np
import pytest

from t1c import ir


def affine(**options):
    return ir.Affine(np.ones((2, 3), np.float32), np.zeros(2, np.float32), **options)


def test_a_bare_shape_is_that_of_the_one_input_or_output():
    node = affine(input_type=(3,), output_type=(2,))
    assert {name: tuple(shape) for name, shape in node.declared_input.items()} == {"input": (3,)}
    assert {name: tuple(shape) for name, shape in node.declared_output.items()} == {"output": (2,)}
    assert ir.Identity(output_type=(2,)).output_type["output"].tolist() == [2]
    assert ir.Identity().output_type == {}


def test_a_copy_keeps_what_was_declared():
    node = ir.Identity(input_type=(3,), output_type=(3,), metadata={"a": 1})
    again = node.replace()
    assert again.declared_input.keys() == {"input"}
    assert again.declared_output.keys() == {"output"}
    assert again.metadata == {"a": 1}
    assert not affine().replace().declared_input
    assert not affine().replace().declared_output


@pytest.mark.parametrize(
    ("field", "shape", "said"),
    [
        ("input_type", (4,), "4"),
        (
            "output_type",
            (5,),
            "the declared shape (5,) contradicts the inferred shape (2,). "
            "Drop the declaration, or mend what leads to it.",
        ),
    ],
)
def test_a_declared_shape_that_does_not_fit_is_refused_by_its_field(field, shape, said):
    with pytest.raises(ir.NodeError) as error:
        affine(**{field: shape})
    text = str(error.value)
    assert text.startswith(f"Affine, field {field!r}: ")
    assert said in text


def test_several_inputs_are_added_in_their_order():
    big, one = np.array([[1e8]], np.float32), np.array([[1.0]], np.float32)
    node = affine()
    assert node.merge_values([one]) is one
    assert node.merge_values([one, 2 * one, 4 * one]).tolist() == [[7.0]]
    # In float32 the order shows.
    assert node.merge_values([big, one, -big]).tolist() == [[0.0]]
    assert node.merge_values([big, -big, one]).tolist() == [[1.0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_state_at_rest_is_zero_in_the_dtype_that_is_asked_for(dtype):
    synaptic = ir.CubaLIF(*(np.full(1, number) for number in (4.0, 2.0, 1.0, 0.0, 1.0)))
    states = synaptic.initial_state((2, 3), np.dtype(dtype))
    assert len(states) == len(synaptic.state_names) == 2
    for state in states:
        assert (state.shape, state.dtype) == ((2, 3), dtype)
        assert not state.any()
    assert affine().initial_state((2, 3), np.dtype(dtype)) == ()


def test_what_is_not_finite_is_counted_by_field():
    node = affine()
    node.weight[0, :2] = np.nan, np.inf
    assert [str(problem) for problem in node.nonfinite()] == [
        "field 'weight': 2 of 6 values are NaN or infinite; expected finite numbers. "
        "Pass allow_nonfinite=True to load them all the same."
    ]
    assert list(affine().nonfinite()) == []


def test_what_emits_early_alone_is_asked_to():
    node = affine()
    assert not node.emits_early
    for asked in (lambda: node.emit(()), lambda: node.absorb(np.zeros((1, 3)), ())):
        with pytest.raises(NotImplementedError, match="Affine does not emit early"):
            asked()
    assert node.macs() == node.macs([(3,)]) == 6
    assert ir.Identity(input_type=(3,)).macs([(3,)]) == 0


def test_a_field_that_cannot_be_set_leaves_the_node_as_it_was():
    node = affine()
    weight = node.weight
    with pytest.raises(ir.NodeError, match="weight"):
        node.weight = np.ones(3)
    assert node.weight is weight
    with pytest.raises(ir.NodeError, match="bias"):
        node.bias = np.ones(5)
    assert node.bias.shape == (2,)


def test_a_graph_says_what_it_is_given_and_what_is_wrong_with_it():
    graph = ir.Graph({"a": ir.Input((1,)), "b": ir.Output((1,))}, [("a", "b")])
    assert list(graph.values()) == ["nodes", "edges", "allow_cycles"]
    assert graph.metadata == graph.declared_input == graph.declared_output == {}
    for types, name in ((graph.input_type, "a"), (graph.output_type, "b")):
        assert {n: (t.tolist(), t.dtype) for n, t in types.items()} == {name: ([1], np.int64)}
    with pytest.raises(ir.GraphError) as error:
        ir.Graph({"a": ir.Input((1,)), "b": ir.Output((1,))}, [("a", "b"), ("a", "b")])
    assert str(error.value) == (
        "the graph is not valid: edge 'a' -> 'b': duplicate edge; expected each edge once. "
        "Drop one; to add a value twice, put a node with twice its weight between."
    )
    graph.edges.append(("a", "b"))
    with pytest.raises(ir.GraphError, match=r"^the graph is not valid: edge 'a' -> 'b': dupl"):
        graph.check()
    with pytest.raises(ir.GraphError) as error:
        ir.Graph(3, 4)
    assert str(error.value) == (
        "'int' object is not iterable; expected a dict of nodes by name and a list of edges"
    )
