"""Memory that no neuron has: a Delay that starts elsewhere than at zero, and Accumulate."""

import h5py
import numpy as np
import pytest
import torch

from t1c import bridge, ir
from t1c.bridge.modules import AccumulateModule, DelayModule

from .engine_helpers import assert_equal, every_way, grid, imported, lif, referred
from .strategies_executor import chain

HOW = ["sum", "mean", "max", "min"]


def alone(node, shape=(3,)):
    return chain(("input", ir.Input(shape)), ("n", node), ("output", ir.Output(shape)))


def spiking(node, features=3):
    """The node takes the spikes of neurons, and each of its numbers is scaled."""
    rng = np.random.default_rng(3)
    return chain(
        ("input", ir.Input((4,))),
        ("fc", ir.Affine(grid(rng, features, 4), grid(rng, features))),
        ("lif", lif(0.25)),
        ("n", node),
        ("read", ir.Scale(grid(rng, features))),
        ("output", ir.Output((features,))),
    )


def delayed(delay, initial, shape=(3,)):
    return alone(ir.Delay(np.array(delay), np.array(initial)), shape)


def looped(delay, initial):
    """A neuron that hears itself through a Delay; the loop starts with ``initial``."""
    nodes = {
        "input": ir.Input((3,)),
        "lif": lif(),
        "back": ir.Delay(np.array(delay), np.array(initial)),
        "output": ir.Output((3,)),
    }
    edges = [("input", "lif"), ("lif", "back"), ("back", "lif"), ("lif", "output")]
    return ir.Graph(nodes, edges, allow_cycles=True)


def summed_in_a_loop():
    """An integrator that is held back by what its neuron has sent in all."""
    nodes = {
        "input": ir.Input((3,)),
        "lif": lif(),
        "so far": ir.Accumulate("sum"),
        "less": ir.Scale(np.array([-0.125])),
        "output": ir.Output((3,)),
    }
    edges = [("input", "lif"), ("lif", "so far"), ("so far", "less"), ("less", "lif"),
             ("lif", "output")]  # fmt: skip
    return ir.Graph(nodes, edges, allow_cycles=True)


GRAPHS = {
    "Delay from 0.5": delayed(2, 0.5),
    "Delay from each its own": delayed([1, 3, 2], [0.5, -0.25, 1.0]),
    "Delay of which some is none": delayed([0, 2, 1], [0.5, -0.25, 1.0]),
    "Delay per channel": delayed(2, [0.5, -1.0], (2, 2, 2)),
    "Delay per channel and element": delayed([1, 2], np.arange(8.0) / 8, (2, 2, 2)),
    "Delay in a loop": looped(2, 0.5),
    "Delays in a loop": looped([1, 2, 3], [1.0, 0.0, 0.75]),
    "Accumulate in a loop": summed_in_a_loop(),
    **{f"{how} of spikes": spiking(ir.Accumulate(how)) for how in HOW},
    **{f"{how} of numbers": alone(ir.Accumulate(how)) for how in HOW},
    **{f"{how} of maps": alone(ir.Accumulate(how), (2, 3, 2)) for how in HOW},
}


def numbers(graph, steps=9, batch=2, seed=0):
    rng = np.random.default_rng(seed)
    shape = graph.nodes["input"].shape
    return torch.from_numpy(rng.integers(-128, 257, (steps, batch, *shape)) / 256)


@pytest.mark.grid(1)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", GRAPHS)
def test_every_way_of_running_gives_the_numbers_of_the_reference(name, dtype):
    graph = GRAPHS[name]
    xs = numbers(graph).to(dtype)
    expected = referred(graph, xs, dtype)
    assert expected[0].abs().sum() > 0
    executor = imported(graph, dtype)
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            for way, found in every_way(executor, xs):
                assert_equal(found, expected, way)


@pytest.mark.parametrize("name", GRAPHS)
def test_it_survives_a_file_and_an_export(name, tmp_path):
    graph = GRAPHS[name]
    ir.write(tmp_path / "g.t1c", graph)
    back = ir.read(tmp_path / "g.t1c")
    assert back.difference(graph) == []
    assert ir.read_version(tmp_path / "g.t1c") == "0.2.0"
    executor = bridge.ir_to_torch(back)
    exported = bridge.to_ir(executor, numbers(graph)[0].float())
    assert exported.difference(graph) == []


def test_a_delay_from_somewhere_is_refused_by_readers_before_it(tmp_path):
    ir.write(tmp_path / "g.t1c", alone(ir.Delay(2, 0.5)))
    ir.write(tmp_path / "plain.t1c", alone(ir.Delay(2)))
    with h5py.File(tmp_path / "g.t1c") as file:
        assert file["graph/nodes/n/type"].asstr()[()] == "Delay@0.2.0"
    with h5py.File(tmp_path / "plain.t1c") as file:
        assert set(file["graph/nodes/n"]) == {"type", "delay"}
        assert file["graph/nodes/n/type"].asstr()[()] == "Delay"
    assert ir.read_version(tmp_path / "plain.t1c") == "0.1.0"
    assert ir.Delay(2).equals(ir.Delay(2, 0.0))
    assert not ir.Delay(2).equals(ir.Delay(2, 0.5))


def test_a_delay_gives_what_it_starts_from_by_hand():
    xs = np.arange(1.0, 6).reshape(5, 1, 1)
    out, _ = ir.Reference(alone(ir.Delay(2, [0.5]), (1,))).run(xs)
    assert out.ravel().tolist() == [0.5, 0.5, 1, 2, 3]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("sum", [2.0, 1.0, 4.0, 4.0]),
        ("mean", [2.0, 0.5, 4 / 3, 1.0]),
        ("max", [2.0, 2.0, 3.0, 3.0]),
        ("min", [2.0, -1.0, -1.0, -1.0]),
    ],
)
def test_accumulate_by_hand(how, expected):
    xs = np.array([2.0, -1.0, 3.0, 0.0]).reshape(4, 1, 1)
    out, _ = ir.Reference(alone(ir.Accumulate(how), (1,))).run(xs)
    assert out.ravel().tolist() == expected


def test_a_sum_is_rounded_at_every_step_in_the_order_of_time():
    """What a sum in a wider type would give differs: NumPy's own float32 loop is the judge."""
    rng = np.random.default_rng(0)
    xs = (rng.normal(size=(200, 2, 3)) * 10.0 ** rng.integers(-3, 4, (200, 1, 1))).astype("f")
    total, by_hand = np.zeros((2, 3), np.float32), []
    for x in xs:
        total = total + x
        by_hand.append(total)
    wider = np.cumsum(xs, 0, dtype=np.float64).astype(np.float32)
    assert (wider != np.stack(by_hand)).any()
    module = AccumulateModule("sum")
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            given = torch.from_numpy(xs).requires_grad_(grad)
            ys, (last,) = module.scan(given, module.initial_state(given[0]))
        np.testing.assert_array_equal(ys.detach().numpy(), np.stack(by_hand))
        np.testing.assert_array_equal(last.detach().numpy(), total)
    means, _ = ir.Reference(alone(ir.Accumulate("mean")), np.float32).run(xs)
    counts = np.arange(1, 201, dtype=np.float32).reshape(-1, 1, 1)
    np.testing.assert_array_equal(means, np.stack(by_hand) / counts)


@pytest.mark.parametrize("how", HOW)
def test_gradients_pass_through_what_is_accumulated(how):
    executor = imported(alone(ir.Accumulate(how)), torch.float64)
    xs = torch.from_numpy(np.random.default_rng(1).normal(size=(6, 2, 3))).requires_grad_()
    weights = torch.from_numpy(np.random.default_rng(2).normal(size=(6, 2, 3)))
    ys, _ = executor.run(xs)
    (found,) = torch.autograd.grad((ys * weights).sum(), xs)
    closed = {
        "sum": lambda: xs.cumsum(0),
        "mean": lambda: xs.cumsum(0) / torch.arange(1.0, 7).reshape(-1, 1, 1),
        "max": lambda: xs.cummax(0).values,
        "min": lambda: xs.cummin(0).values,
    }[how]()
    torch.testing.assert_close(ys, closed)
    (expected,) = torch.autograd.grad((closed * weights).sum(), xs)
    assert found.abs().sum() > 0
    torch.testing.assert_close(found, expected)


def test_what_a_delay_starts_from_can_be_learnt():
    module = DelayModule(2, torch.tensor([0.5, -1.0], requires_grad=True))
    ys, _ = module.scan(torch.ones(3, 4, 2), module.initial_state(torch.ones(4, 2)))
    ys.sum().backward()
    assert module.initial.grad.tolist() == [8.0, 8.0]
    assert ys[0, 0].tolist() == [0.5, -1.0]


@pytest.mark.parametrize("value", [0.5, [0.5, 0.25, 0.0]])
def test_a_module_made_by_hand_says_what_it_starts_from(value):
    modules = {"in": torch.nn.Identity(), "d": DelayModule(1, torch.tensor(value)),
               "out": torch.nn.Identity()}  # fmt: skip
    executor = bridge.GraphExecutor(modules, [("in", "d"), ("d", "out")])
    graph = bridge.to_ir(executor, torch.zeros(2, 3))
    assert graph.nodes["d"].initial.tolist() == value
    executor.node("d").initial.zero_()
    assert not bridge.to_ir(executor, torch.zeros(2, 3)).nodes["d"].initial.any()


def test_what_an_imported_delay_starts_from_may_change():
    executor = bridge.ir_to_torch(GRAPHS["Delay from each its own"])
    executor.node("n").initial += 0.25
    graph = bridge.to_ir(executor, torch.zeros(1, 3))
    assert graph.nodes["n"].initial.tolist() == [0.75, 0.0, 1.25]
    assert graph.nodes["n"].initial.dtype == np.float64


def test_accumulate_is_no_place_to_cut_a_cycle():
    nodes = {"input": ir.Input((1,)), "a": ir.Accumulate("sum"), "output": ir.Output((1,))}
    edges = [("input", "a"), ("a", "a"), ("a", "output")]
    with pytest.raises(ir.GraphError, match="neither a neuron nor a Delay"):
        ir.Graph(nodes, edges, allow_cycles=True)
    modules = {"in": torch.nn.Identity(), "a": AccumulateModule("sum"), "out": torch.nn.Identity()}
    with pytest.raises(ir.GraphError, match="neither a neuron nor a Delay"):
        bridge.GraphExecutor(modules, edges=[("in", "a"), ("a", "a"), ("a", "out")])


def test_what_cannot_be_accumulated_or_started_from():
    with pytest.raises(ir.NodeError, match="'sum', 'mean', 'max', 'min'"):
        ir.Accumulate("median")
    with pytest.raises(ir.GraphError, match=r"field 'initial'.*parameter of shape \(2,\)"):
        alone(ir.Delay(1, [0.5, 0.25]))
    with pytest.raises(ir.GraphError, match="initial"):
        alone(ir.Delay(1, np.nan))


@pytest.mark.parametrize("how", HOW)
def test_no_steps_change_nothing(how):
    executor = imported(alone(ir.Accumulate(how)))
    _, state = executor.run(torch.ones(2, 1, 3))
    ys, after = executor.run(torch.ones(0, 1, 3), state)
    assert ys.shape == (0, 1, 3)
    assert all(torch.equal(a, b) for a, b in zip(after["n"], state["n"], strict=True))


def test_a_mean_counts_each_sample_by_itself():
    """A state of one sample serves all, and two states can be joined."""
    executor = imported(alone(ir.Accumulate("mean"), (1,)), torch.float64)
    _, one = executor.run(torch.tensor([[[2.0]]], dtype=torch.float64))
    _, two = executor.run(torch.tensor([[[4.0]], [[6.0]]], dtype=torch.float64))
    both = {"n": tuple(torch.cat(v) for v in zip(one["n"], two["n"], strict=True))}
    ys, _ = executor.run(torch.tensor([[[0.0], [2.0]]], dtype=torch.float64), both)
    assert ys.ravel().tolist() == [1.0, 4.0]
    ys, _ = executor.run(torch.zeros(1, 3, 1, dtype=torch.float64), one)
    assert ys.ravel().tolist() == [1.0] * 3


class Whole(torch.nn.Module):
    def __init__(self, executor):
        super().__init__()
        self.executor = executor

    def forward(self, xs):
        return self.executor.run(xs)[0]


@pytest.mark.slow
def test_memory_is_compiled_and_exported_for_any_batch():
    nodes = {
        "input": ir.Input((3,), hold=5),
        "lif": lif(0.25),
        "late": ir.Delay(np.array([1, 2, 2]), np.array(0.5)),
        **{f"{how} so far": ir.Accumulate(how) for how in HOW},
        **{how: ir.Output((3,), final=True) for how in HOW},
    }
    edges = [("input", "lif"), ("lif", "late")]
    edges += [edge for how in HOW for edge in (("late", f"{how} so far"), (f"{how} so far", how))]
    graph = ir.Graph(nodes, edges)
    executor = imported(graph)
    xs = numbers(graph, steps=6).float()
    with torch.no_grad():
        answer, _ = executor.run(xs)
        assert list(answer) == HOW
        assert all(answer[how].any() or how == "min" for how in HOW)
        program = torch.export.export(
            Whole(executor), (xs,), dynamic_shapes=({1: torch.export.Dim("B")},)
        ).module()
        compiled = torch.compile(Whole(executor), backend="aot_eager")
        thrice, of_all, of_one = program(torch.cat([xs, xs, xs], 1)), compiled(xs), compiled(xs[0])
        for how, expected in answer.items():
            assert torch.equal(thrice[how], torch.cat([expected] * 3))
            assert torch.equal(of_all[how], expected)
            assert torch.equal(of_one[how], executor.run(xs[0])[0][how])
