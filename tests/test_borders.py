"""Inputs that are held still, and outputs whose answer is the last step."""

import h5py
import numpy as np
import pytest
import torch

from t1c import bridge, ir

from .engine_helpers import grid, imported, lif
from .strategies_executor import chain

pytestmark = pytest.mark.usefixtures("one_thread")


def classifier(hold=6, final=True):
    """One value held for some steps, spikes, and their mean at the last step."""
    rng = np.random.default_rng(0)
    return chain(
        ("input", ir.Input((4,), hold=hold)),
        ("fc", ir.Affine(grid(rng, 8, 4), grid(rng, 8))),
        ("lif", lif(0.25)),
        ("fc2", ir.Affine(grid(rng, 3, 8), grid(rng, 3))),
        ("lif2", lif(0.25)),
        ("rate", ir.Accumulate("mean")),
        ("output", ir.Output((3,), final=final)),
    )


def convolutional(hold=5):
    rng = np.random.default_rng(1)
    return chain(
        ("input", ir.Input((2, 6, 6), hold=hold)),
        ("conv", ir.Conv2d(grid(rng, 4, 2, 3, 3), grid(rng, 4), padding=1)),
        ("pool", ir.MaxPool2d()),
        ("lif", lif(0.25)),
        ("flat", ir.Flatten()),
        ("output", ir.Output((36,))),
    )


def two_inputs(hold=5, other=None):
    rng = np.random.default_rng(2)
    nodes = {
        "still": ir.Input((3,), hold=hold),
        "moving": ir.Input((4,), hold=other),
        "a": ir.Affine(grid(rng, 5, 3), grid(rng, 5)),
        "b": ir.Affine(grid(rng, 5, 4), grid(rng, 5)),
        "lif": lif(0.25),
        "spikes": ir.Output((5,)),
        "last": ir.Output((5,), final=True),
    }
    edges = [("still", "a"), ("moving", "b"), ("a", "lif"), ("b", "lif"), ("lif", "spikes"),
             ("a", "last")]  # fmt: skip
    return ir.Graph(nodes, edges)


def numbers(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(-64, 257, shape) / 256).float()


def held(x, steps):
    return x.expand(steps, *x.shape).contiguous()


@pytest.mark.grid(1)
@pytest.mark.parametrize("make", [classifier, convolutional])
@pytest.mark.parametrize("grad", [False, True])
def test_a_held_value_is_a_sequence_of_equal_steps(make, grad):
    graph = make()
    executor = imported(graph)
    x = numbers(3, *graph.nodes["input"].shape)
    n = graph.nodes["input"].hold
    with torch.set_grad_enabled(grad):
        for steps in (None, 1, 9):
            expected, last = ir.Reference(graph, np.float32).run(x.numpy(), steps=steps)
            assert expected.any()
            for chunk in (None, 1, 2):
                found, state = executor.run(x, steps=steps, chunk=chunk)
                assert torch.equal(found, torch.from_numpy(expected))
                for name, own in last.items():
                    for v, w in zip(state[name], own, strict=True):
                        assert torch.equal(v, torch.from_numpy(w))
            sequence, _ = executor.run(held(x, steps or n))
            assert torch.equal(sequence, found)
            state = None
            for _ in range(steps or n):
                step, state = executor(x, state)
            assert torch.equal(step, found if graph.nodes["output"].final else found[-1])


@pytest.mark.parametrize("training", [False, True])
def test_what_depends_on_held_values_alone_is_worked_once(training):
    graph = convolutional(hold=8)
    executor = bridge.ir_to_torch(graph).train(training)
    rows: dict[str, int] = {}
    for name in ("conv", "pool", "lif", "flat"):
        executor.node(name).register_forward_hook(
            lambda m, given, out, name=name: rows.update({name: rows.get(name, 0) + len(given[0])})
        )
    x = numbers(3, 2, 6, 6)
    with torch.set_grad_enabled(training):
        found, _ = executor.run(x)
        assert rows == {"conv": 3, "pool": 3, "lif": 24, "flat": 24}
        rows.clear()
        expected, _ = executor.run(held(x, 8))
        assert rows == {"conv": 24, "pool": 24, "lif": 24, "flat": 24}
    assert found.sum() > 0
    assert torch.equal(found, expected)


def test_gradients_of_a_held_value_are_those_of_its_steps():
    executor = bridge.ir_to_torch(classifier(), dtype=torch.float64).train()
    x = numbers(3, 4).double().requires_grad_()
    answer, _ = executor.run(x)
    found = torch.autograd.grad(answer.square().sum(), [x, *executor.parameters()])
    answer, _ = executor.run(x.expand(6, 3, 4).clone())
    expected = torch.autograd.grad(answer.square().sum(), [x, *executor.parameters()])
    assert found[0].abs().sum() > 0
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_dropout_draws_anew_at_every_step_of_a_held_value():
    graph = chain(
        ("input", ir.Input((50,), hold=4)), ("drop", ir.Dropout(50)), ("output", ir.Output((50,)))
    )
    executor = bridge.ir_to_torch(graph).train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ys, _ = executor.run(torch.ones(1, 50))
    assert not torch.equal(ys[0], ys[1])
    assert torch.equal(executor.eval().run(torch.ones(1, 50))[0], torch.ones(4, 1, 50))


def test_what_is_returned_may_be_written_to():
    graph = chain(("input", ir.Input((2,), hold=3)), ("s", ir.Scale(np.ones(2))),
                  ("output", ir.Output((2,))))  # fmt: skip
    executor = bridge.ir_to_torch(graph)
    x = torch.ones(1, 2)
    ys, _ = executor.run(x)
    ys[0] += 1
    assert ys[1].tolist() == [[1, 1]]
    assert x.tolist() == [[1, 1]]
    for value in executor.trace(x).values():
        value[0] += 1
        assert value[1].tolist() == [[1, 1]]


def test_a_held_value_beside_a_sequence_is_held_for_its_steps():
    graph = two_inputs(hold=5)
    executor = bridge.ir_to_torch(graph)
    still, moving = numbers(2, 3), numbers(7, 2, 4, seed=1)
    found, _ = executor.run({"still": still, "moving": moving})
    expected, _ = ir.Reference(graph, np.float32).run(
        {"still": still.numpy(), "moving": moving.numpy()}
    )
    assert expected["spikes"].any()
    assert found["spikes"].shape == (7, 2, 5)
    assert found["last"].shape == (2, 5)
    for name, value in expected.items():
        assert torch.equal(found[name], torch.from_numpy(value))
    both, _ = executor.run((held(still, 7), moving))
    assert torch.equal(both["spikes"], found["spikes"])


def test_collect_says_what_is_wanted_of_any_output():
    executor = bridge.ir_to_torch(two_inputs(5, 5))
    given = {"still": numbers(2, 3), "moving": numbers(2, 4)}
    assert executor.run(given)[0]["spikes"].shape == (5, 2, 5)
    every, _ = executor.run(given, collect="stack")
    assert every["last"].shape == (5, 2, 5)
    last, _ = executor.run(given, collect="last")
    total, _ = executor.run(given, collect="sum")
    for name, ys in every.items():
        assert torch.equal(last[name], ys[-1])
        torch.testing.assert_close(total[name], ys.sum(0))
    reference = ir.Reference(two_inputs(5, 5), np.float32)
    arrays = {name: x.numpy() for name, x in given.items()}
    assert reference.run(arrays, collect="stack")[0]["last"].shape == (5, 2, 5)
    assert reference.run(arrays, collect="last")[0]["spikes"].shape == (2, 5)


def test_a_step_gives_the_answer_so_far():
    executor = imported(classifier())
    xs = numbers(6, 2, 4)
    state = None
    for t, x in enumerate(xs):
        answer, state = executor(x, state)
        assert torch.equal(answer, executor.run(xs[: t + 1])[0])
    stream, _ = executor.run(iter(xs))
    assert torch.equal(stream, answer)


@pytest.mark.parametrize(
    ("given", "steps", "match"),
    [
        ({"still": (2, 3), "moving": (7, 2, 4)}, 5, "'moving' has 7, steps=5"),
        ({"still": (6, 2, 3), "moving": (7, 2, 4)}, None, "different batch or time sizes|7"),
        ({"still": (2, 3), "moving": (2, 4)}, None, "'still' holds for 5, 'moving' holds for 9"),
        ({"still": (2, 3), "moving": (3, 4)}, 4, "different batch|the same T and B"),
        ({"still": (2, 3), "moving": (2, 4)}, 0, "at least 1"),
        ({"still": (2, 3), "moving": (2, 4)}, 2.5, "at least 1"),
    ],
    ids=str,
)
def test_what_contradicts_itself_is_refused(given, steps, match):
    graph = two_inputs(5, 9)
    given = {name: torch.ones(shape) for name, shape in given.items()}
    with pytest.raises(ir.InputError, match=match):
        bridge.ir_to_torch(graph).run(given, steps=steps)
    arrays = {name: x.numpy() for name, x in given.items()}
    with pytest.raises(ir.InputError, match=match):
        ir.Reference(graph).run(arrays, steps=steps)


def test_one_value_for_an_input_that_holds_nothing_is_refused():
    executor = bridge.ir_to_torch(classifier(hold=None))
    with pytest.raises(ir.InputError, match="hold=N"):
        executor.run(torch.ones(2, 4))
    with pytest.raises(ir.InputError, match=r"\(T, B, \*shape\)"):
        executor.run(torch.ones(2, 4), steps=5)
    with pytest.raises(ir.InputError, match="beside an iterator"):
        executor.run(iter(torch.ones(3, 2, 4)), steps=3)


def test_the_last_of_no_steps_is_refused():
    with pytest.raises(ir.InputError, match="no steps"):
        bridge.ir_to_torch(classifier()).run(torch.ones(0, 2, 4))
    with pytest.raises(ir.InputError, match="no steps"):
        ir.Reference(classifier()).run(np.ones((0, 2, 4)))


def test_readers_before_them_refuse_held_inputs_and_final_outputs(tmp_path):
    graph = classifier()
    ir.write(tmp_path / "g.t1c", graph)
    assert ir.read_version(tmp_path / "g.t1c") == "0.2.0"
    with h5py.File(tmp_path / "g.t1c") as file:
        assert file["graph/nodes/input/type"].asstr()[()] == "Input@0.2.0"
        assert file["graph/nodes/output/type"].asstr()[()] == "Output@0.2.0"
    assert ir.read(tmp_path / "g.t1c").equals(graph)
    executor = bridge.load(tmp_path / "g.t1c")
    assert bridge.to_ir(executor, torch.ones(1, 4)).difference(graph) == []
    assert not graph.equals(classifier(hold=7))
    assert not graph.equals(classifier(final=False))


@pytest.mark.parametrize("hold", [0, -1, 1.5, True])
def test_what_nothing_can_be_held_for(hold):
    with pytest.raises(ir.NodeError, match="hold"):
        ir.Input((3,), hold=hold)


def test_borders_of_a_nested_graph_pass_on_every_step():
    nodes = {"input": ir.Input((4,)), "inner": classifier(), "output": ir.Output((3,))}
    graph = ir.Graph(nodes, [("input", "inner"), ("inner", "output")])
    xs = numbers(6, 2, 4)
    expected, _ = bridge.ir_to_torch(classifier()).run(xs, collect="stack")
    found, _ = bridge.ir_to_torch(graph).run(xs)
    assert expected.any()
    assert torch.equal(found, expected)
    exported = bridge.to_ir(bridge.ir_to_torch(graph), xs[0])
    assert exported.nodes["inner"].nodes["input"].hold == 6
    assert exported.difference(graph) == []


def test_a_function_gets_every_step_of_a_final_output_too():
    seen = []
    executor = bridge.ir_to_torch(classifier())
    nothing, _ = executor.run(
        numbers(2, 4), collect=lambda t, ys: seen.append((t, ys.shape)), chunk=4
    )
    assert nothing is None
    assert seen == [(0, (4, 2, 3)), (4, (2, 2, 3))]
