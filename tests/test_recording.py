"""What `run(..., record=...)` returns of hidden nodes: what stepping would have shown."""

import doctest

import numpy as np
import pytest
import snntorch as snn
import torch
from hypothesis import event, given
from hypothesis import strategies as st
from torch import nn

from t1c import bridge, ir
from t1c.bridge import executor as executor_module
from t1c.ir.primitives.neuron import Neuron, SpikingNeuron

from .neuron_examples import adaptive, exponential, refractory
from .strategies_executor import chain, networks, sequences
from .test_executor import DTYPES, assert_same, assert_same_state, by_name, each, some, tensors

pytestmark = pytest.mark.usefixtures("one_thread")


def stateful(graph):
    """What can be recorded of the neurons of a graph: name -> (node, number of the variable)."""
    return {
        f"{name}.{variable}": (name, number)
        for name, node in graph.flat().nodes.items()
        for number, variable in enumerate(node.state_names)
        if isinstance(node, Neuron | ir.Accumulate)
    }


def expected_of(graph, xs, dtype):
    """The same from the reference, a step at a time: values and state variables (T, B, ...)."""
    reference = ir.Reference(graph, DTYPES[dtype])
    state, values, carried = {}, [], []
    for t in range(len(next(iter(xs.values())))):
        sent, state = reference.trace(each(lambda x, t=t: x[t], xs), state)
        values.append(sent)
        carried.append(state)
    sent = {n: np.stack([step[n] for step in values]) for n in reference.nodes}
    return (
        sent
        | {
            n: np.stack([step[node][k] for step in carried])
            for n, (node, k) in stateful(graph).items()
        }
        | {f"{n}.input": reaching(graph, n, sent) for n in inputs_of(graph)}
    )


def inputs_of(graph):
    """Plain nodes that edges lead to."""
    return [n for n, before in graph.topology().before.items() if before]


def reaching(graph, name, sent):
    """What the edges into a node bring, made one: what runs back is a step late."""
    back = set(graph.feedback_edges())
    arriving = []
    for source in graph.topology().before[name]:
        y = sent[source]
        arriving.append(np.concatenate([0 * y[:1], y[:-1]]) if (source, name) in back else y)
    steps = zip(*arriving, strict=True)
    return np.stack([graph.nodes[name].merge_values(step) for step in steps])


def assert_recorded_in_every_way(graph, xs, dtype, names):
    executor = bridge.ir_to_torch(graph, dtype=dtype, return_state=True, trainable=False)
    inputs, steps = tensors(xs, dtype), len(next(iter(xs.values())))
    expected = {name: torch.as_tensor(x) for name, x in expected_of(graph, xs, dtype).items()}
    expected = {name: expected[name] for name in names}
    outputs, last = executor.run(inputs)
    for chunk in (None, 2):
        found, state, recorded = executor.run(inputs, record=names, chunk=chunk)
        assert_same(recorded, expected)
        assert_same(by_name(found, graph), by_name(outputs, graph))
        assert_same_state(state, last)
    _, _, counts = executor.run(inputs, record=names, collect="sum", chunk=2)
    in_parts = each(lambda y: sum(part.sum(0) for part in y.split(2)), expected)
    assert list(counts) == list(dict.fromkeys(names))
    for name, total in in_parts.items():
        torch.testing.assert_close(counts[name], total, rtol=1e-6, atol=1e-6)
    _, _, ends = executor.run(inputs, record=names, collect="last", chunk=2)
    assert_same(ends, each(lambda y: y[-1], expected))
    handed = []
    nothing = executor.run(
        inputs, record=names, collect=lambda *given: handed.append(given), chunk=4
    )
    assert nothing[0] is None
    assert nothing[2] is None
    assert [first for first, _, _ in handed] == list(range(0, steps, 4))
    whole = {n: torch.cat([recorded[n] for _, _, recorded in handed]) for n in expected}
    assert_same(whole, expected)
    # From a state, in the middle of the sequence.
    cut = steps // 2
    _, state = executor.run(each(lambda x: x[:cut], inputs), collect="stack")
    _, _, rest = executor.run(each(lambda x: x[cut:], inputs), state, record=names)
    assert_same(rest, each(lambda y: y[cut:], expected))


@some
@given(st.data())
def test_what_is_recorded_is_the_reference_bit_for_bit_in_every_way(data):
    dtype = data.draw(st.sampled_from(list(DTYPES)))
    graph = data.draw(networks(every=True, cyclic=data.draw(st.booleans())))
    xs = data.draw(sequences(graph))
    known = [*graph.nodes, *stateful(graph), *(f"{n}.input" for n in inputs_of(graph))]
    names = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=4))
    expected = expected_of(graph, xs, dtype)
    neurons = [n for n in names if isinstance(graph.nodes.get(n), SpikingNeuron)]
    event(f"spikes recorded: {sum(expected[n].sum() for n in neurons) > 0}")
    event(f"potentials recorded: {any(n in stateful(graph) and expected[n].any() for n in names)}")
    assert_recorded_in_every_way(graph, xs, dtype, names)


RULES = [
    {},
    {"reset": "none"},
    {"v_reset": np.array(-0.125)},
    {"reset": "subtract"},
    {"reset": "carry", "v_min": np.array(-0.25)},
    {"reset_delay": True},
    {"v_reset": np.array(0.125), "reset_delay": True, "fires_at": "gt"},
    {"reset": "subtract", "reset_delay": True, "v_min": np.array(-0.25)},
    {"reset": "hold", "reset_delay": True},
    {"reset": "subtract", "spikes": "multiple"},
    {"reset": "lower", "v_reset": np.array(0.125)},
    {"spikes": "multiple", "v_min": np.array(-0.125)},
]


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("synapse", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 1), (12, 2, 3), (7, 2, 3, 4, 2)])
def test_a_neuron_tells_its_states_as_stepping_shows_them(rule, synapse, shape, request):
    if rule:
        # By what it means to NumPy: of each rule a loop more would be compiled.
        request.getfixturevalue("uncompiled")
    numbers = np.array(2.0), np.array(4.0), np.array(2.0), np.array(0.125), np.array(0.5)
    node = ir.CubaLIF(*numbers, **rule) if synapse else ir.LIF(*numbers[1:], **rule)
    module = bridge.node_to_module(node)
    xs = torch.from_numpy(np.random.default_rng(0).integers(-256, 512, shape) / 256).float()
    laid_out = [xs, xs.movedim(2, -1).contiguous().movedim(-1, 2)] if len(shape) > 3 else [xs]
    start = tuple(torch.full(shape[1:], 0.25) for _ in module.state_names)
    steps, own, fired = [], start, 0
    for x in xs:
        y, own = module.step(x, own)
        steps.append(own)
        fired += y.sum()
    assert fired > 5 or len(xs) == 1
    expected = [torch.stack(each) for each in zip(*steps, strict=True)]
    for x in laid_out:
        found = module.states(x, start)
        assert len(found) == len(expected)
        for mine, theirs in zip(found, expected, strict=True):
            assert torch.equal(mine, theirs)


def layered(**options):
    """input -> fc -> lif1 -> fc2 -> lif2 -> output, on the grid."""
    rng = np.random.default_rng(0)
    return chain(
        ("input", ir.Input((4,))),
        ("fc", ir.Affine(rng.integers(-64, 192, (6, 4)) / 256, rng.integers(0, 64, 6) / 256)),
        ("lif1", ir.LIF(np.array(2.0), np.array(2.0), np.zeros(1), np.array(0.5), **options)),
        ("fc2", ir.Affine(rng.integers(-64, 192, (3, 6)) / 256, np.zeros(3))),
        ("lif2", ir.CubaLIF(*map(np.array, (2.0, 4.0, 4.0, 0.0, 0.5)))),
        ("output", ir.Output((3,))),
    )


def grid_input(steps=30, batch=3, features=4):
    values = np.random.default_rng(1).integers(0, 257, (steps, batch, features)) / 256
    return torch.from_numpy(values).float()


@pytest.mark.parametrize(
    "options", [{}, {"reset": "subtract"}, {"reset": "subtract", "reset_delay": True}]
)
def test_spikes_and_potentials_of_hidden_layers(options):
    graph, xs = layered(**options), grid_input()
    names = ["lif1", "lif2.v", "lif2.i", "lif1.v", "lif2", "lif2.input", "lif1.input"]
    assert_recorded_in_every_way(graph, {"input": xs.numpy()}, torch.float32, names)
    _, _, found = bridge.ir_to_torch(graph).run(xs, record=names)
    assert list(found) == names
    assert 20 < found["lif1"].sum() < found["lif1"].numel()
    assert found["lif2"].sum() > 3
    assert found["lif2.v"].unique().numel() > 20


@pytest.mark.parametrize("neuron", [adaptive, refractory])
def test_a_neuron_that_is_a_graph_shows_its_variables(neuron):
    graph = chain(
        ("input", ir.Input((4,))),
        ("fc", ir.Affine(np.eye(4) * 0.75, np.full(4, 0.125))),
        ("1", neuron(4)),
        ("fc2", ir.Affine(np.full((2, 4), 0.25), np.zeros(2))),
        ("output", ir.Output((2,))),
    )
    executor = bridge.ir_to_torch(graph, return_state=True)
    xs, state, steps = grid_input(), None, []
    for x in xs:
        _, state = executor(x, state)
        steps.append(state["1"]["v"])
    sent = [v["1/output"] for v in reference_values(graph, xs)]
    for chunk in (None, 7):
        outputs, after, found = executor.run(xs, record=["1.v", "1"], chunk=chunk)
        assert torch.equal(found["1.v"], torch.stack(steps))
        assert torch.equal(found["1"], torch.from_numpy(np.stack(sent)))
        assert found["1"].sum() > 10
        assert torch.equal(outputs, executor.run(xs)[0])
        assert torch.equal(after["1"]["v"], found["1.v"][-1])


def reference_values(graph, xs):
    reference, state = ir.Reference(graph, np.float32), None
    for x in xs.numpy():
        values, state = reference.trace({"input": x}, state)
        yield values


def test_a_neuron_whose_functions_round_freely_is_as_it_is_in_the_run():
    graph = chain(("input", ir.Input((4,))), ("1", exponential(4)), ("output", ir.Output((4,))))
    executor, xs = bridge.ir_to_torch(graph, return_state=True), grid_input()
    outputs, state, found = executor.run(xs, record=["1", "1.v"])
    assert outputs.sum() > 5
    assert torch.equal(found["1"], outputs)
    assert torch.equal(found["1.v"][-1], state["1"]["v"])
    again, after = executor.run(xs)
    assert torch.equal(again, outputs)
    assert torch.equal(after["1"]["v"], state["1"]["v"])


def test_gradients_of_what_is_recorded_are_those_of_stepping():
    graph, xs = layered(), grid_input(12)

    def gradients(loss_of, **options):
        executor = bridge.ir_to_torch(graph, return_state=True, learn=["tau", "v_threshold"])
        given = xs.clone().requires_grad_()
        loss_of(executor, given, **options).backward()
        grads = [given.grad, *(p.grad for p in executor.parameters())]
        assert sum(g is not None and bool(g.abs().sum() > 0) for g in grads) > 5
        return grads

    def by_run(executor, xs, **options):
        outputs, _, found = executor.run(xs, record=["lif1.v", "fc2"], **options)
        return outputs.sum() + (found["lif1.v"] ** 2).sum() + (found["fc2"] * 0.5).sum()

    def by_steps(executor, xs):
        state, loss = None, 0.0
        for x in xs:
            output, state = executor(x, state)
            v = state["lif1"][0]
            loss = loss + output.sum() + (v**2).sum()
        values = executor.trace(xs)
        return loss + (values["fc2"] * 0.5).sum()

    expected = gradients(by_steps)
    for options in ({}, {"chunk": 5}, {"chunk": 5, "checkpoint": True}):
        for mine, theirs in zip(gradients(by_run, **options), expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_a_stream_is_recorded_too():
    executor, xs = bridge.ir_to_torch(layered()), grid_input()
    outputs, _, found = executor.run(iter(xs), record=["lif1", "lif1.v"])
    whole, _, expected = executor.run(xs, record=["lif1", "lif1.v"])
    assert torch.equal(outputs, whole)
    assert_same(found, expected)


def test_what_is_recorded_is_the_callers_own():
    executor, xs = bridge.ir_to_torch(layered(), trainable=False), grid_input()
    outputs, _, found = executor.run(xs, record=["lif2", "output", "input"])
    before = outputs.clone()
    for value in found.values():
        value.fill_(7)
    assert torch.equal(outputs, before)
    assert xs.max() <= 1


def test_a_final_output_is_recorded_at_every_step_and_a_held_input_as_it_stands():
    graph = chain(
        ("input", ir.Input((2,), hold=5)),
        ("sum", ir.Accumulate("sum")),
        ("output", ir.Output((2,), final=True)),
    )
    executor = bridge.ir_to_torch(graph)
    answer, _, found = executor.run(
        torch.tensor([[1.0, 2.0]]), record=["input", "output", "sum.total"]
    )
    assert answer.tolist() == [[5.0, 10.0]]
    assert found["output"][:, 0, 0].tolist() == [1, 2, 3, 4, 5]
    assert torch.equal(found["output"], found["sum.total"])
    assert found["input"].shape == (5, 1, 2)


def test_a_node_with_several_outputs_is_a_tuple():
    graph = ir.Graph(
        {
            "input": ir.Input((5,)),
            "split": ir.ChannelSplit((2, 3)),
            "a": ir.Output((2,)),
            "b": ir.Output((3,)),
        },
        [("input", "split"), ("split", "a"), ("split", "b")],
    )
    xs = grid_input(6, 2, 5)
    outputs, _, found = bridge.ir_to_torch(graph).run(xs, record=["split"], chunk=4)
    assert torch.equal(found["split"][0], outputs["a"])
    assert torch.equal(found["split"][1], xs[..., 2:])


@pytest.mark.slow
def test_a_run_that_records_is_captured_whole():
    executor, xs = bridge.ir_to_torch(layered(), trainable=False), grid_input(8)
    names = ["lif1", "lif2.v", "fc2.input"]
    captured = torch.compile(
        lambda x: executor.run(x, record=names), backend="eager", fullgraph=True
    )
    with torch.no_grad():
        outputs, _, found = captured(xs)
    assert outputs.any()
    assert torch.equal(outputs, executor.run(xs)[0])
    assert_same(found, executor.run(xs, record=names)[2])


def test_unknown_names_are_told_with_those_that_there_are():
    executor = bridge.ir_to_torch(layered())
    with pytest.raises(ir.InputError, match=r"'lif3'.*'lif1'.*'lif2\.i', 'lif2\.v'") as error:
        executor.run(grid_input(), record=["lif3", "lif1", "fc.v"])
    assert "'fc.v'" in str(error.value)
    assert executor.run(grid_input(), record=[])[2] == {}
    assert list(executor.run(grid_input(), record="lif1.v")[2]) == ["lif1.v"]


def test_a_graph_with_two_outputs_is_told_by_its_nodes():
    block = ir.Graph(
        {
            "input": ir.Input((4,)),
            "lif": ir.LIF(*map(np.array, (2.0, 2.0, 0.0, 0.5))),
            "double": ir.Scale(np.array(2.0)),
            "a": ir.Output((4,)),
            "b": ir.Output((4,)),
        },
        [("input", "lif"), ("lif", "double"), ("lif", "a"), ("double", "b")],
    )
    graph = ir.Graph(
        {"input": ir.Input((4,)), "block": block, "x": ir.Output((4,)), "y": ir.Output((4,))},
        [("input", "block"), ("block", "x"), ("block", "y")],
    )
    executor, xs = bridge.ir_to_torch(graph, return_state=True), grid_input()
    outputs, state, found = executor.run(xs, record=["block/lif", "block/lif.v", "block/b"])
    assert torch.equal(found["block/lif"], outputs["x"])
    assert torch.equal(found["block/b"], outputs["y"])
    assert torch.equal(found["block/lif.v"][-1], state["block/lif"][0])
    with pytest.raises(ir.InputError, match=r"'block' to record; expected .*'block/lif'"):
        executor.run(xs, record=["block"])


def test_among_thousands_of_names_the_error_lists_the_nearest():
    modules = {f"layer{n}": nn.Identity() for n in range(2000)}
    executor = bridge.GraphExecutor(modules, [(f"layer{n}", f"layer{n + 1}") for n in range(1999)])
    with pytest.raises(ir.InputError, match=r"'layer77'.* and 1960 more"):
        executor.run(torch.zeros(1, 1, 1), record=["layr77"])


def test_modules_with_hooks_are_called_as_often_as_ever():
    executor, xs = bridge.ir_to_torch(layered()), grid_input()
    names = ["lif1", "lif1.v", "lif2.v"]
    outputs, _, expected = executor.run(xs, record=names)
    calls = []
    executor.node("lif1").register_forward_hook(lambda *_: calls.append(1))
    for chunk in (None, 7):
        calls.clear()
        found = executor.run(xs, record=names, chunk=chunk)
        assert len(calls) == 30
        assert torch.equal(found[0], outputs)
        assert_same(found[2], expected)


def test_a_name_that_a_node_bears_is_that_node():
    graph = chain(
        ("input", ir.Input((2,))),
        ("lif", ir.LIF(*map(np.array, (2.0, 2.0, 0.0, 0.5)))),
        ("lif.v", ir.Scale(np.array(3.0))),
        ("output", ir.Output((2,))),
    )
    outputs, _, found = bridge.ir_to_torch(graph).run(grid_input(9, 2, 2), record=["lif.v"])
    assert outputs.sum() > 0
    assert torch.equal(found["lif.v"], outputs)


class Resonator(nn.Module):
    """A module of the user's with two state variables."""

    def forward(self, x, position=None, speed=None):
        if position is None:
            position, speed = torch.zeros_like(x), torch.zeros_like(x)
        speed = speed + x - 0.25 * position
        position = position + 0.25 * speed
        return (position > 0.5).to(x.dtype), position, speed


MAPS = {
    "Leaky": (lambda node: snn.Leaky(0.5), ["lif1.mem"]),
    "Synaptic": (lambda node: snn.Synaptic(0.5, 0.75), ["lif1.syn", "lif1.mem"]),
    "own": (lambda node: Resonator(), ["lif1.speed", "lif1.position"]),
}


@pytest.mark.parametrize("kind", MAPS)
@pytest.mark.parametrize("recurrent", [False, True])
def test_modules_of_the_users_map_show_what_they_send_and_carry(kind, recurrent):
    make, names = MAPS[kind]
    graph = with_feedback() if recurrent else layered()
    executor = bridge.ir_to_torch(graph, {ir.LIF: make}, return_state=True)
    xs, state, steps = grid_input(), None, []
    for x in xs:
        _, state = executor(x, state)
        steps.append(state["lif1"])
    order = {"syn": 0, "mem": -1, "position": 0, "speed": 1}
    if recurrent:  # what runs back is the last entry
        assert len(steps[0]) == len(names) + 1
        order["mem"] = len(names) - 1
    whole = executor.run(xs)[0]
    # snnTorch's neurons write to their buffers, which a checkpoint refuses.
    ways = [(None, False), (4, False)] + [(4, True)] * (kind == "own")
    for chunk, checkpoint in ways:
        outputs, _, found = executor.run(
            xs, record=["lif1", *names, "lif2.v"], chunk=chunk, checkpoint=checkpoint
        )
        assert torch.equal(outputs, whole)
        assert found["lif1"].sum() > 20
        for name in names:
            place = order[name.removeprefix("lif1.")]
            assert torch.equal(found[name], torch.stack([own[place] for own in steps])), name
    nothing = executor.run(xs[:0], record=names)[2]
    assert {y.shape for y in nothing.values()} == {(0, 3, 6)}


def with_feedback():
    """The layers of ``layered``, the first of which hears itself."""
    graph = layered()
    back = ir.Linear(np.random.default_rng(3).integers(-64, 64, (6, 6)) / 256)
    nodes = {**graph.nodes, "back": back}
    edges = [*graph.edges, ("back", "lif1"), ("lif1", "back")]
    return ir.Graph(nodes, edges, allow_cycles=True)


def test_no_steps_are_recorded_as_none():
    graph = chain(
        ("input", ir.Input((4,))),
        ("1", adaptive(4)),
        ("lif", ir.LIF(*map(np.array, (2.0, 2.0, 0.0, 0.5)))),
        ("output", ir.Output((4,))),
    )
    names = ["1", "1.v", "lif.v", "lif"]
    _, _, found = bridge.ir_to_torch(graph).run(torch.zeros(0, 2, 4), record=names)
    assert {y.shape for y in found.values()} == {(0, 2, 4)}


def test_the_examples_of_the_docstring_run():
    runner = doctest.DocTestRunner(verbose=False)
    for test in doctest.DocTestFinder().find(
        executor_module.GraphExecutor.run, "run", globs=vars(executor_module)
    ):
        runner.run(test)
    assert runner.tries > 5
    assert runner.failures == 0
