"""The primitives beyond the first format: file, reference, module and sequences agree."""

import numpy as np
import pytest
import torch

from t1c import bridge, ir

RNG = np.random.default_rng(0)


def one(value):
    return np.array([value])


def grid(*shape):
    return RNG.integers(-64, 64, shape) / 256


def lif():
    return ir.LIF(one(4.0), one(4.0), one(0.0), one(0.5))


def alone(node, shape=(3,), out=None):
    nodes = {"input": ir.Input(shape), "n": node, "output": ir.Output(out or shape)}
    return ir.Graph(nodes, [("input", "n"), ("n", "output")])


def looped_delay(delay):
    nodes = {
        "input": ir.Input((3,)),
        "l": lif(),
        "w": ir.Linear(grid(3, 3)),
        "d": ir.Delay(delay),
        "output": ir.Output((3,)),
    }
    edges = [("input", "l"), ("l", "w"), ("w", "d"), ("d", "l"), ("l", "output")]
    return ir.Graph(nodes, edges, allow_cycles=True)


def layer():
    nodes = {
        "input": ir.Input((3,)),
        "lif": lif(),
        "rec": ir.Affine(grid(3, 3), grid(3)),
        "output": ir.Output((3,)),
    }
    edges = [("input", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "output")]
    return ir.Graph(nodes, edges, allow_cycles=True)


def nested():
    nodes = {"input": ir.Input((3,)), "a": layer(), "b": layer(), "output": ir.Output((3,))}
    return ir.Graph(nodes, [("input", "a"), ("a", "b"), ("b", "output")])


def split_and_joined():
    nodes = {
        "input": ir.Input((3,)),
        "s": ir.ChannelSplit((1, 2)),
        "a": ir.Scale(one(2.0)),
        "c": ir.Concat(num_inputs=2),
        "output": ir.Output((3,)),
    }
    edges = [("input", "s"), ("s", "a"), ("s", "c"), ("a", "c"), ("c", "output")]
    return ir.Graph(nodes, edges)


GRAPHS = {
    "IF": alone(ir.IF(one(1.0))),
    "IF with options": alone(ir.IF(one(1.0), one(0.5), reset="subtract", fires_at="gt")),
    "I": alone(ir.I(one(0.5))),
    "LI": alone(ir.LI(one(2.0), one(4.0), one(0.5))),
    "CubaLIF": alone(ir.CubaLIF(one(2.0), one(4.0), one(4.0), one(0.0), one(0.25))),
    "CubaLI": alone(ir.CubaLI(one(2.0), one(4.0), one(4.0), one(0.0), one(2.0))),
    "Threshold": alone(ir.Threshold(one(0.5), fires_at="gt")),
    "Scale": alone(ir.Scale(np.array([1.0, 0.5, 0.25]))),
    "Linear": alone(ir.Linear(grid(2, 3)), out=(2,)),
    "Identity": alone(ir.Identity()),
    "Conv1d": alone(ir.Conv1d(grid(4, 1, 2), grid(4), 2, 1, 1, 2), (2, 5), (4, 3)),
    "SumPool2d": alone(ir.SumPool2d((3, 2), (2, 1), (1, 1)), (1, 4, 4), (1, 2, 5)),
    "Delay": alone(ir.Delay(np.array([1, 2, 3]))),
    "Delay of nothing": alone(ir.Delay(np.array([0, 1, 2]))),
    "Delay in a loop": looped_delay(np.array([1, 2, 3])),
    "one Delay in a loop": looped_delay(np.array(2)),
    "nested": nested(),
    "ChannelSplit and Concat": split_and_joined(),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_comes_back_and_runs_the_same_in_every_mode(name, tmp_path):
    graph = GRAPHS[name]
    ir.write(tmp_path / "g.t1c", graph)
    back = ir.read(tmp_path / "g.t1c")
    assert back.difference(graph) == []
    assert ir.read_version(tmp_path / "g.t1c") == "0.1.0"
    shape = graph.nodes["input"].shape
    xs = RNG.integers(0, 256, (12, 2, *shape)).astype(np.float32) / 256
    expected, final = ir.Reference(graph, np.float32).run(xs)
    executor = bridge.ir_to_torch(back, return_state=True)
    inputs = torch.from_numpy(xs)
    with torch.no_grad():
        outs, state = executor.run(inputs)
        stepped, current = [], {}
        for x in inputs:
            y, current = executor(x, current)
            stepped.append(y)
        first, middle = executor.run(inputs[:5])
        last, _ = executor.run(inputs[5:], middle)
    np.testing.assert_array_equal(outs.numpy(), expected)
    assert torch.equal(torch.stack(stepped), outs)
    assert torch.equal(torch.cat([first, last]), outs)
    assert set(final) == set(state) == set(current)
    for node, variables in final.items():
        for mine, theirs, steps in zip(variables, state[node], current[node], strict=True):
            np.testing.assert_array_equal(mine, theirs.numpy())
            assert torch.equal(theirs, steps)


def test_a_delay_of_three_steps_in_a_loop_costs_three_steps():
    """By hand: one spike at t=0 comes back at t=3, fires again, and so on."""
    nodes = {
        "input": ir.Input((1,)),
        "if": ir.IF(one(1.0)),
        "d": ir.Delay(np.array([3])),
        "output": ir.Output((1,)),
    }
    edges = [("input", "if"), ("if", "d"), ("d", "if"), ("if", "output")]
    graph = ir.Graph(nodes, edges, allow_cycles=True)
    xs = np.zeros((10, 1, 1))
    xs[0] = 1
    out, _ = ir.Reference(graph).run(xs)
    assert out.ravel().tolist() == [1, 0, 0, 1, 0, 0, 1, 0, 0, 1]


def test_more_edges_than_outputs_leave_a_split():
    nodes = {
        "input": ir.Input((2,)),
        "s": ir.ChannelSplit((1, 1)),
        **{f"o{i}": ir.Output((1,)) for i in range(3)},
    }
    edges = [("input", "s"), *(("s", f"o{i}") for i in range(3))]
    with pytest.raises(ir.GraphError, match="3 edges leave it, and it has 2 outputs"):
        ir.Graph(nodes, edges)


@pytest.mark.parametrize("delay", [-1, 0.5, np.nan])
def test_a_delay_is_whole_steps(delay):
    with pytest.raises(ir.NodeError, match="delay"):
        ir.Delay(np.array([delay]))
