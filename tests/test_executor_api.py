"""What a user does with an executor: inputs and outputs, names, dtypes, copies, maps, training."""

import copy
import functools
import io
import itertools
import pickle
from typing import Any, Union

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

from t1c import bridge, ir
from t1c.bridge import GraphExecutor, LIFModule, SkipModule

from .strategies_executor import chain

ONE = np.ones(1)


def neuron(**options: Any) -> ir.LIF:
    given = {"tau": 4 * ONE, "r": 4 * ONE, "v_leak": 0 * ONE, "v_threshold": ONE / 2}
    return ir.LIF(**{**given, **options})


def network(seed: int = 0, dtype: Any = np.float64) -> ir.Graph:
    """input -> fc -> lif -> fc2 -> lif2 -> output, with weights that no float32 holds."""
    rng = np.random.default_rng(seed)
    return chain(
        ("input", ir.Input((4,))),
        ("fc", ir.Affine(rng.uniform(-0.2, 0.6, (3, 4)).astype(dtype), np.zeros(3, dtype))),
        ("lif", neuron(tau=np.array([3.0, 5.0, 7.0]), r=np.array([3.0, 5.0, 7.0]))),
        ("fc2", ir.Affine(rng.uniform(-0.2, 0.6, (2, 3)).astype(dtype), np.full(2, 0.1, dtype))),
        ("lif2", neuron()),
        ("output", ir.Output((2,))),
    )


def two_by_two() -> ir.Graph:
    """Inputs ``left`` (2,) and ``right`` (3,), Outputs ``sum`` (2,) and ``all`` (5,)."""
    return ir.Graph(
        {
            "left": ir.Input((2,)),
            "right": ir.Input((3,)),
            "fc": ir.Affine(np.array([[1.0, 0.0, -1.0], [0.0, 2.0, 0.0]]), np.zeros(2)),
            "join": ir.Skip("concatenate"),
            "sum": ir.Output((2,)),
            "all": ir.Output((5,)),
        },
        [
            ("right", "fc"),
            ("left", "sum"),
            ("fc", "sum"),
            ("right", "join"),
            ("left", "join"),
            ("join", "all"),
        ],
    )


def inputs(steps: int = 6, batch: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).random((steps, batch, 4)).astype(np.float32))


def stepped(executor, xs):
    state, outs = None, []
    for x in xs:
        out, state = executor(x, state)
        outs.append(out)
    return torch.stack(outs), state


LEFT = torch.tensor([[1.0, 2.0]])
RIGHT = torch.tensor([[3.0, 4.0, 5.0]])


# What goes in and what comes out ---------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {"left": LEFT, "right": RIGHT},
        {"right": RIGHT, "left": LEFT},
        (LEFT, RIGHT),
        [LEFT, RIGHT],
    ],
    ids=["dict", "dict in another order", "tuple", "list"],
)
@torch.no_grad()
def test_several_inputs_and_outputs(given):
    executor = bridge.ir_to_torch(two_by_two())
    out = executor(given)
    assert list(out) == ["sum", "all"]
    assert torch.equal(out["sum"], torch.tensor([[1.0 + 3 - 5, 2.0 + 8]]))
    assert torch.equal(out["all"], torch.tensor([[3.0, 4, 5, 1, 2]]))
    longer = (
        {name: x.expand(4, *x.shape) for name, x in given.items()}
        if isinstance(given, dict)
        else type(given)(x.expand(4, *x.shape) for x in given)
    )
    outs, state = executor.run(longer)
    assert {name: tuple(y.shape) for name, y in outs.items()} == {
        "sum": (4, 1, 2),
        "all": (4, 1, 5),
    }
    assert all(torch.equal(outs[name][3], out[name]) for name in out)
    assert state == {}


@torch.no_grad()
def test_one_input_and_one_output_are_plain_tensors():
    executor = bridge.ir_to_torch(network())
    x = inputs()[0]
    assert type(executor(x)) is torch.Tensor
    for given in ({"input": x}, (x,), [x]):
        assert torch.equal(executor(given), executor(x))
    outs, state = executor.run(inputs())
    assert outs.shape == (6, 3, 2)
    assert set(state) == {"lif", "lif2"}


@torch.no_grad()
def test_trace_names_what_every_node_sends():
    trace = bridge.ir_to_torch(network()).trace(inputs())
    assert list(trace) == ["input", "fc", "lif", "fc2", "lif2", "output"]
    assert {name: tuple(y.shape) for name, y in trace.items()} == {
        "input": (6, 3, 4),
        "fc": (6, 3, 3),
        "lif": (6, 3, 3),
        "fc2": (6, 3, 2),
        "lif2": (6, 3, 2),
        "output": (6, 3, 2),
    }
    assert torch.equal(trace["lif2"], trace["output"])


def test_the_state_comes_with_the_output_only_where_asked():
    x = inputs()[0]
    assert isinstance(bridge.ir_to_torch(network())(x), torch.Tensor)
    out, state = bridge.ir_to_torch(network(), return_state=True)(x)
    assert isinstance(out, torch.Tensor)
    assert isinstance(state, dict)
    out, state = bridge.ir_to_torch(two_by_two(), return_state=True)((LEFT, RIGHT))
    assert (list(out), state) == (["sum", "all"], {})


X = torch.zeros(3, 4)
WRONG: dict[str, tuple[Any, list[str]]] = {
    "a wrong name": ({"inputs": X}, ["['inputs']", "['input']", "dict by name"]),
    "a name too many": ({"input": X, "more": X}, ["['input', 'more']", "['input']"]),
    "no name": ({}, ["[]", "['input']"]),
    "two tensors": ((X, X), ["a tuple of 2", "['input']"]),
    "an array of text": (np.array(["a"]), ["an array of dtype <U1", "real numbers"]),
    "an array too wide": (np.zeros((3, 5)), ["input 'input'", "(3, 5)", "shape (4,)"]),
    "numbers": ([1.0, 2.0], ["a list of 2", "['input']"]),
    "a number": (1.0, ["input 'input'", "a float", "a tensor"]),
    "nothing": (None, ["input 'input'", "NoneType", "a tensor"]),
    "integers": (X.int(), ["input 'input'", "int32", "float32", "x.to(torch.float32)"]),
    "bits": (X.bool(), ["input 'input'", "bool", "float32"]),
    "complex numbers": (X + 0j, ["input 'input'", "complex64", "float32"]),
    "double": (X.double(), ["input 'input'", "float64", "float32", ".to(x.dtype)"]),
    "too wide": (torch.zeros(3, 5), ["input 'input'", "(3, 5)", "shape (4,)"]),
    "no batch": (X[0], ["input 'input'", "(4,)", "(B, *shape)", "x.unsqueeze(0)"]),
    "a sequence": (X[None], ["input 'input'", "(1, 3, 4)", "(B, *shape)", "executor.run(xs)"]),
    "a scalar": (torch.tensor(1.0), ["input 'input'", "shape ()", "(B, *shape)"]),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_input_is_refused_and_says_what_to_do(what):
    given, said = WRONG[what]
    with pytest.raises(ir.InputError) as caught:
        bridge.ir_to_torch(network())(given)
    for words in said:
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("xs", "said"),
    [
        (X, ["(3, 4)", "(T, B, *shape) with shape (4,)", "x.unsqueeze(1)", "x.unsqueeze(0)"]),
        (torch.zeros(2, 3, 5), ["(2, 3, 5)", "(T, B, *shape) with shape (4,)"]),
        (torch.zeros(1, 2, 3, 4), ["(1, 2, 3, 4)", "(T, B, *shape)"]),
        (torch.zeros(2, 3, 4).long(), ["int64", "float32"]),
    ],
)
def test_a_wrong_sequence_is_refused_and_says_what_to_do(xs, said):
    for call in (bridge.ir_to_torch(network()).run, bridge.ir_to_torch(network()).trace):
        with pytest.raises(ir.InputError, match="input 'input'") as caught:
            call(xs)
        for words in said:
            assert words in str(caught.value)


def test_several_inputs_must_go_together():
    executor = bridge.ir_to_torch(two_by_two())
    with pytest.raises(ir.InputError, match=r"\['left', 'right'\]"):
        executor(LEFT)
    with pytest.raises(ir.InputError, match=r"a tuple of 1.*\['left', 'right'\]"):
        executor((LEFT,))
    with pytest.raises(ir.InputError, match="input 'left'"):
        executor((RIGHT, LEFT))
    with pytest.raises(ir.InputError, match=r"'left': \(2,\), 'right': \(1,\)"):
        executor((LEFT.expand(2, 2), RIGHT))
    with pytest.raises(ir.InputError, match="different batch or time sizes"):
        executor.run((LEFT.expand(4, 1, 2), RIGHT.expand(5, 1, 3)))


def test_unequal_shapes_that_are_added_are_named():
    modules = {"input": nn.Identity(), "fc": nn.Linear(4, 3), "output": nn.Identity()}
    edges = [("input", "fc"), ("fc", "output"), ("input", "output")]
    executor = GraphExecutor(modules, edges)
    for call in (lambda: executor(X), lambda: executor.run(X[None])):
        with pytest.raises(
            ir.ShapeError, match=r"node 'output' \(fed by 'fc', 'input'\)"
        ) as caught:
            call()
        assert "(3, 3) and (3, 4)" in str(caught.value)
    modules["output"] = SkipModule("residual")
    with pytest.raises(ir.ShapeError, match=r"node 'output'.*\(3,\) and \(4,\)"):
        GraphExecutor(modules, edges)(X)
    modules["output"] = SkipModule("passthrough")
    with pytest.raises(ir.ShapeError, match=r"node 'output'.*2 edges.*exactly one"):
        GraphExecutor(modules, edges)(X)


def test_what_does_not_fit_the_modules_is_refused_when_built():
    modules = {"input": nn.Identity(), "fc": nn.Linear(4, 3)}
    with pytest.raises(ir.GraphError, match="2 problems") as caught:
        GraphExecutor(modules, [("input", "fc1"), ("input", "fc"), ("input", "fc")])
    assert "there is no module 'fc1'; expected one of ['fc', 'input']" in str(caught.value)
    assert "edge 'input' -> 'fc': duplicate edge" in str(caught.value)
    with pytest.raises(ir.GraphError, match="data enters"):
        GraphExecutor({}, [])


# Names -------------------------------------------------------------------------------------------

NAMES = [
    "a.b", "a_b", "a.b.c", "a_b.c", "forward", "plan", "train", "training", "return_state", "edges",
    "graph", "run", "node", "trace", "state_dict", "_modules", "_children", "_input_shapes",
    "timesteps", "output_nodes", "a b", " ", ".", "..x", "1", "層", "T_destination", "__class__",
]  # fmt: skip


@pytest.mark.parametrize("made", [GraphExecutor, bridge.CyclicGraphExecutor])
@torch.no_grad()
def test_nodes_may_have_any_name(made):
    modules: dict[str, nn.Module] = {"input": nn.Identity()}
    for i, name in enumerate(NAMES):
        layer = nn.Linear(4, 4, bias=False)
        nn.init.eye_(layer.weight)
        layer.weight[i % 4] *= 1 + i / 64
        modules[name] = layer
    names = list(modules)
    executor = made(modules, list(itertools.pairwise(names)))
    x = torch.ones(1, 4)
    expected = x
    for module in modules.values():
        expected = module(expected)
    out = executor(x)
    assert torch.equal(out if made is GraphExecutor else out[0], expected)
    children = dict(executor.named_children())
    assert list(children.values()) == list(modules.values())
    assert all(executor.node(name) is module for name, module in modules.items())
    # What needs no change keeps its name; what is the executor's own is not replaced.
    assert children["a_b"] is modules["a_b"]
    assert children["a b"] is modules["a b"]
    assert executor.edges == list(itertools.pairwise(names))
    assert executor.return_state is False
    for way in (copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))):
        twin = way(executor)
        assert torch.equal(twin.run(x[None])[0][0], expected)
        assert twin.load_state_dict(executor.state_dict()).missing_keys == []


@torch.no_grad()
def test_dots_and_underscores_stay_apart_in_a_graph():
    def scale(factor):
        return ir.Affine(factor * np.eye(2), np.zeros(2))

    nodes = {"a.b": scale(2.0), "a_b": scale(3.0), "forward": neuron(v_threshold=ONE * 1e6)}
    graph = chain(("in.put", ir.Input((2,))), *nodes.items(), ("out.put", ir.Output((2,))))
    executor: Any = bridge.ir_to_torch(graph, return_state=True)
    assert torch.equal(executor.a_b.weight, 3 * torch.eye(2))
    assert torch.equal(executor.node("a.b").weight, 2 * torch.eye(2))
    out, state = executor({"in.put": torch.ones(1, 2)})
    assert out.shape == (1, 2)
    assert list(state) == ["forward"]
    assert torch.equal(state["forward"][0], torch.full((1, 2), 6.0))
    assert torch.equal(executor.trace(torch.ones(1, 1, 2))["a_b"], torch.full((1, 1, 2), 6.0))


# Kinds of number ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
@torch.no_grad()
def test_an_executor_can_be_converted(dtype):
    executor: Any = bridge.ir_to_torch(network(), return_state=True)
    xs = inputs()
    expected, _ = executor.run(xs)
    converted = copy.deepcopy(executor).to(dtype)
    out, state = converted.run(xs.to(dtype))
    assert out.dtype == dtype
    assert all(v.dtype == dtype for own in state.values() for v in own)
    steps, _ = stepped(converted, xs.to(dtype))
    assert steps.dtype == dtype
    assert 0 < expected.sum() < expected.numel()
    # Spikes need not be equal, but a network that runs in another dtype is the same network.
    assert (out.float() != expected).float().mean() < 0.2
    # A neuron's parameters lose nothing on the way; coefficients are folded in float64, then cast.
    assert converted.lif.tau.dtype == torch.float64
    assert torch.equal(converted.to(torch.float32).lif.tau, executor.lif.tau)
    x = torch.full((1, 3), 0.25, dtype=dtype)
    _, v = converted.to(dtype).lif(x, torch.full((1, 3), 0.25, dtype=dtype))
    beta = (1 - 1 / executor.lif.tau).to(dtype)
    assert torch.equal(v, beta * 0.25 + x)


def test_float64_weights_come_in_exactly():
    graph = network()
    weights = {n: v.weight for n, v in graph.nodes.items() if isinstance(v, ir.Affine)}
    exact: Any = bridge.ir_to_torch(graph, dtype=torch.float64)
    for name, weight in weights.items():
        assert np.array_equal(getattr(exact, name).weight.detach().numpy(), weight)
        assert not np.array_equal(weight.astype(np.float32), weight)
    plain: Any = bridge.ir_to_torch(graph)
    assert plain.fc.weight.dtype == torch.float32
    assert np.array_equal(plain.fc.weight.detach().numpy(), weights["fc"].astype(np.float32))
    assert bridge.from_ir(graph, dtype=torch.float64)["fc"].weight.dtype == torch.float64
    half: Any = bridge.node_to_module(graph.nodes["fc"], dtype=torch.float16)
    assert half.weight.dtype == torch.float16
    torch.set_default_dtype(torch.float64)
    try:
        double: Any = bridge.ir_to_torch(graph)
    finally:
        torch.set_default_dtype(torch.float32)
    assert double.fc.weight.dtype == torch.float64


@pytest.mark.parametrize("kind", ["f2", ">f4", ">f8", "i1", "u1", "u2", ">i4", "i8"])
def test_weights_of_any_stored_kind_are_the_same_numbers(kind):
    weight = np.array([[1, 2, 3, 100], [0, 5, 6, 7]]).astype(kind)
    graph = chain(
        ("input", ir.Input((4,))), ("fc", ir.Affine(weight, weight[:, 0])), ("o", ir.Output((2,)))
    )
    executor: Any = bridge.ir_to_torch(graph)
    assert executor.fc.weight.tolist() == weight.tolist()
    assert executor.fc.bias.tolist() == [1, 0]
    assert executor(torch.ones(1, 4)).tolist() == [[107, 18]]


# Copies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "way",
    [
        copy.deepcopy,
        lambda e: pickle.loads(pickle.dumps(e)),
        lambda e: torch.load(_saved(e), weights_only=False),
    ],
    ids=["deepcopy", "pickle", "torch.save"],
)
@torch.no_grad()
def test_a_copy_is_the_same_network_and_another_object(way):
    executor: Any = bridge.ir_to_torch(network(), return_state=True)
    xs = inputs()
    expected, last = executor.run(xs)
    twin = way(executor)
    out, state = twin.run(xs)
    assert torch.equal(out, expected)
    assert all(torch.equal(state[n][0], last[n][0]) for n in last)
    assert twin.training is False
    assert twin.graph.equals(network())
    twin.fc.weight.zero_()
    twin.lif.v_threshold.fill_(-1)
    assert torch.equal(executor.run(xs)[0], expected)
    assert not torch.equal(twin.run(xs)[0], expected)


def _saved(module):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return file


@torch.no_grad()
def test_a_state_dict_carries_everything_a_network_computes_with():
    executor, other = (bridge.ir_to_torch(network(seed)) for seed in (0, 1))
    lif: Any = other.node("lif")
    lif.tau.fill_(2.0)
    xs = inputs()
    assert not torch.equal(executor.run(xs)[0], other.run(xs)[0])
    kept = executor.state_dict()
    assert {"fc.weight", "fc.bias", "lif.tau", "lif.r", "lif.v_leak", "lif.v_threshold"} <= set(
        kept
    )
    other.load_state_dict(kept)
    assert torch.equal(executor.run(xs)[0], other.run(xs)[0])


@torch.no_grad()
def test_a_neuron_follows_its_parameters_however_they_change():
    """Coefficients are kept between calls; no write, copy or load may leave old ones behind."""
    x = torch.full((1, 2), 0.75)

    def lif(threshold=1.0):
        return LIFModule(tau=2.0, r=2.0, v_leak=0.0, v_threshold=threshold)

    def spikes(module):
        return int(module(x)[0].sum())

    low, high = lif(0.5).state_dict(), lif(1.0).state_dict()
    module = lif()
    assert spikes(module) == 0
    module.v_threshold.fill_(0.5)
    assert spikes(module) == 2
    module.v_threshold = torch.tensor(1.0, dtype=torch.float64)
    assert spikes(module) == 0
    module.load_state_dict(low)
    assert spikes(module) == 2
    # Loaded twice, so that a copy's count of writes is that of the first load.
    module = lif()
    module.load_state_dict(high)
    assert spikes(module) == 0
    module.load_state_dict(low)
    assert spikes(copy.deepcopy(module)) == 2
    assert spikes(pickle.loads(pickle.dumps(module))) == 2
    # Other shapes and dtypes have coefficients of their own.
    assert int(module(torch.full((3, 5, 2), 0.75))[0].sum()) == 30
    assert module(x.double())[0].dtype == torch.float64
    with torch.inference_mode():
        module = lif()
        assert spikes(module) == 0
        module.v_threshold.fill_(0.5)
        assert spikes(module) == 2


# Whose arrays ------------------------------------------------------------------------------------


def every_parameter() -> ir.Graph:
    """A node of each type that holds arrays."""
    ones = np.ones
    return chain(
        ("input", ir.Input((2, 4, 4))),
        ("conv", ir.Conv2d(ones((2, 2, 1, 1)), ones(2))),
        ("sep", ir.SepConv2d(ones((2, 1, 1, 1)), ones((2, 2, 1, 1)), ones(2), ones(2))),
        ("bn2", ir.BatchNorm2d(2, ones(2), ones(2), ones(2), ones(2))),
        ("ln", ir.LayerNorm((4,), ones(4), ones(4))),
        ("prelu", ir.PReLU(2, ones(2))),
        ("flat", ir.Flatten()),
        ("bn1", ir.BatchNorm1d(32, ones(32), ones(32), ones(32), ones(32))),
        ("fc", ir.Affine(ones((3, 32)), ones(3))),
        ("sfc", ir.SpikingAffine(ones((3, 3)), ones(3))),
        ("lif", neuron(v_reset=ones(1), reset="value")),
        ("output", ir.Output((3,))),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@torch.no_grad()
def test_parameters_are_copies_in_both_directions(dtype):
    graph = every_parameter()
    executor = bridge.ir_to_torch(graph, dtype=dtype)
    tensors = [*executor.parameters(), *(b for b in executor.buffers() if b.is_floating_point())]
    assert len(tensors) == 2 + 4 + 4 + 2 + 1 + 4 + 2 + 2 + 5
    for tensor in tensors:
        tensor.fill_(7)
    untouched = every_parameter()
    assert graph.equals(untouched)
    executor = bridge.ir_to_torch(graph, dtype=dtype)
    for node in graph.nodes.values():
        for array in node.parameters().values():
            array[...] = 9
    expected = bridge.ir_to_torch(untouched, dtype=dtype).state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in executor.state_dict().items())


@torch.no_grad()
def test_a_graph_that_changes_does_not_change_its_executor():
    graph, xs = network(), inputs()
    executor = bridge.ir_to_torch(graph, return_state=True)
    by_hand = GraphExecutor(bridge.from_ir(graph), graph.edges, return_state=True)
    expected, last = executor.run(xs)
    graph.nodes["fc"].parameters()["weight"][...] = 0
    vars(graph.nodes["lif"])["v_threshold"] = np.full(3, 1e3)
    graph.nodes["fc2"] = ir.Affine(np.zeros((2, 3)), np.zeros(2))
    del graph.nodes["lif2"]
    graph.edges.clear()
    graph.metadata["changed"] = True
    for made in (executor, by_hand):
        out, state = made.run(xs)
        assert torch.equal(out, expected)
        assert all(torch.equal(state[n][0], last[n][0]) for n in last)
        assert torch.equal(stepped(made, xs)[0], expected)


# Modes -------------------------------------------------------------------------------------------


def with_norm() -> ir.Graph:
    rng = np.random.default_rng(0)
    return chain(
        ("input", ir.Input((4,))),
        ("norm", ir.BatchNorm1d(4, ONE.repeat(4), 0 * ONE.repeat(4), rng.random(4), rng.random(4))),
        ("drop", ir.Dropout(4, 0.5)),
        ("lif", neuron()),
        ("output", ir.Output((4,))),
    )


def test_an_imported_executor_is_in_eval_mode():
    graph = with_norm()
    for made in (bridge.ir_to_torch(graph), bridge.ir_to_torch(graph, return_state=True)):
        assert not any(module.training for module in made.modules())
    assert not any(m.training for m in bridge.from_ir(graph).values())
    mapped = bridge.from_ir(graph, {ir.Dropout: lambda node: nn.Dropout(node.p)})
    assert not mapped["drop"].training
    drop = bridge.node_to_module(graph.nodes["drop"])
    assert drop is not None
    assert not drop.training
    executor: Any = bridge.ir_to_torch(graph)
    statistics = copy.deepcopy(executor.norm.state_dict())
    xs = inputs()
    assert torch.equal(executor.run(xs)[0], executor.run(xs)[0])
    assert all(torch.equal(v, statistics[k]) for k, v in executor.norm.state_dict().items())
    x = xs[0]
    mean, var = executor.norm.running_mean, executor.norm.running_var
    sent = executor.trace(x[None])["drop"][0]
    torch.testing.assert_close(sent, (x - mean) / torch.sqrt(var + 1e-5))


def test_batch_statistics_are_taken_per_step_when_running_too():
    graph = with_norm()
    running: Any = bridge.ir_to_torch(graph, return_state=True).train()
    stepping: Any = bridge.ir_to_torch(graph, return_state=True).train()
    for executor in (running, stepping):
        executor.drop.p = 0.0
    xs = inputs(5, 8)
    whole, state = running.run(xs)
    steps, last = stepped(stepping, xs)
    assert torch.equal(whole, steps)
    assert torch.equal(state["lif"][0], last["lif"][0])
    assert running.norm.num_batches_tracked == stepping.norm.num_batches_tracked == 5
    assert torch.equal(running.norm.running_mean, stepping.norm.running_mean)
    assert torch.equal(running.norm.running_var, stepping.norm.running_var)
    assert not torch.equal(running.eval().run(xs)[0], whole)


def test_dropout_drops_in_train_mode_only():
    executor: Any = bridge.ir_to_torch(with_norm())
    xs = inputs(20, 8)
    kept = executor.trace(xs)["drop"]
    torch.manual_seed(0)
    dropped = executor.train().trace(xs)["drop"]
    share = (dropped == 0).float().mean()
    assert 0.3 < share < 0.7
    assert not (kept == 0).any()


@pytest.mark.parametrize(
    "module",
    [nn.Softmax(dim=0), nn.Softmax(dim=-2), nn.Sequential(nn.Identity(), nn.LogSoftmax(dim=0))],
    ids=str,
)
def test_what_mixes_the_samples_of_a_batch_does_not_mix_steps(module):
    executor = GraphExecutor(
        {"input": nn.Identity(), "mix": module}, [("input", "mix")], return_state=True
    )
    whole, _ = executor.run(inputs())
    assert torch.equal(whole, stepped(executor, inputs())[0])
    assert torch.equal(whole[2], module(inputs()[2]))


# The user's own modules ---------------------------------------------------------------------


class Marked(nn.Module):
    """A stand-in that remembers what it was made from."""

    def __init__(self, node):
        super().__init__()
        self.made_from = node.primitive

    def forward(self, x):
        return x


def unannotated(node):
    return Marked(node) if node.primitive == "LIF" else None


def for_lif(node: ir.LIF) -> nn.Module:
    return Marked(node)


def for_lif_in_a_string(node: "ir.LIF") -> "nn.Module":
    return Marked(node)


def for_lif_by_its_bare_name(node: "LIF") -> nn.Module:  # type: ignore[name-defined]  # noqa: F821
    return Marked(node)


def for_lif_or_none(node: ir.LIF | None) -> nn.Module:
    return Marked(node)


def for_lif_or_norm(node: Union[ir.LIF, ir.BatchNorm1d]) -> nn.Module:  # noqa: UP007 - meant
    return Marked(node)


class Mapper:
    def __call__(self, node: ir.LIF) -> nn.Module:
        return Marked(node)

    def method(self, node: "ir.LIF") -> nn.Module:
        return Marked(node)


def with_more(prefix: str, node: ir.LIF) -> nn.Module:
    return Marked(node)


MAPS: dict[str, Any] = {
    "unannotated": unannotated,
    "annotated": for_lif,
    "string": for_lif_in_a_string,
    "bare name": for_lif_by_its_bare_name,
    "optional": for_lif_or_none,
    "callable object": Mapper(),
    "bound method": Mapper().method,
    "partial": functools.partial(with_more, "x"),
    "lambda": lambda node: unannotated(node),
    "dict": {ir.LIF: for_lif},
    "dict of an unannotated": {ir.LIF: Marked},
    "dict of a base": {ir.Node: unannotated},
}


@pytest.mark.parametrize("form", MAPS)
def test_a_map_is_used_for_the_nodes_it_is_for(form):
    graph = network()
    for modules in (
        dict(bridge.ir_to_torch(graph, node_map=MAPS[form]).named_children()),
        bridge.from_ir(graph, custom_map=MAPS[form]),
        bridge.from_ir(graph, MAPS[form]),
    ):
        mapped = {name: m.made_from for name, m in modules.items() if isinstance(m, Marked)}
        assert mapped == {"lif": "LIF", "lif2": "LIF"}
        assert isinstance(modules["fc"], nn.Linear)
        assert list(modules) == list(graph.nodes)


def test_a_map_for_two_types():
    modules = bridge.from_ir(with_norm(), for_lif_or_norm)
    assert {n for n, m in modules.items() if isinstance(m, Marked)} == {"norm", "lif"}
    both = bridge.from_ir(with_norm(), {ir.LIF: Marked, ir.Dropout: Marked})
    assert {n for n, m in both.items() if isinstance(m, Marked)} == {"drop", "lif"}


def test_none_leaves_the_choice_to_the_default():
    executor = bridge.ir_to_torch(network(), node_map=lambda node: None)
    assert isinstance(executor.lif, LIFModule)
    executor = bridge.ir_to_torch(network(), node_map={ir.LIF: lambda node: None})
    assert isinstance(executor.lif, LIFModule)


@pytest.mark.parametrize("junk", [3, "LIF", nn.Linear, torch.zeros(2)], ids=repr)
def test_a_map_that_returns_no_module_is_refused(junk):
    with pytest.raises(ir.NodeError, match=r"node 'lif' \(LIF\): node_map returned a") as caught:
        bridge.ir_to_torch(network(), {ir.LIF: lambda node: junk})
    assert "a torch.nn.Module, or None for the default" in str(caught.value)


@pytest.mark.parametrize("key", ["LIF", None, LIFModule, ir.LIF.__name__, int])
def test_a_map_whose_keys_are_no_node_types_is_refused(key):
    with pytest.raises(ir.NodeError, match=r"node_map has the key.*expected a node type"):
        bridge.ir_to_torch(network(), {key: Marked})


def test_an_annotation_that_cannot_be_resolved_is_refused():
    def mapped(node: "Nowhere") -> nn.Module:  # type: ignore[name-defined]  # noqa: F821
        return Marked(node)

    with pytest.raises(ir.NodeError, match=r"'Nowhere' cannot be resolved.*\{ir.LIF: function\}"):
        bridge.ir_to_torch(network(), mapped)


def test_an_error_in_a_map_is_the_users_to_see():
    def mapped(node):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        bridge.ir_to_torch(network(), mapped)


def test_one_module_for_two_nodes_is_refused():
    """It would keep one node's shape, place and hidden state for both."""
    same = nn.Identity()
    ends: Any = {ir.Input: lambda node: same, ir.Output: lambda node: same}
    with pytest.raises(ir.UnsupportedError, match=r"node 'output'.*module of node 'input'"):
        bridge.ir_to_torch(network(), ends)
    leaky = snn.Leaky(0.75)
    with pytest.raises(ir.UnsupportedError, match=r"node 'lif2'.*module of node 'lif' again"):
        bridge.from_ir(network(), {ir.LIF: lambda node: leaky})


def test_a_module_may_move_to_another_executor():
    """The first one keeps what it knows of its node."""
    leaky = snn.Leaky(0.75)

    def fed_only(node):
        return None if node.declared_input else leaky

    first = bridge.ir_to_torch(looped(), {ir.LIF: fed_only})
    expected, _ = first.run(torch.ones(3, 1, 2))
    graph = chain(("input", ir.Input((5,))), ("lif", neuron()), ("output", ir.Output((5,))))
    second = bridge.ir_to_torch(graph, {ir.LIF: lambda node: leaky})
    assert second.run(torch.ones(3, 1, 5))[0].shape == (3, 1, 5)
    again, _ = first.run(torch.ones(3, 1, 2))
    assert expected["output"].any()
    assert all(torch.equal(again[name], expected[name]) for name in expected)


def test_what_no_module_runs_is_listed_and_may_be_mapped():
    class Strange(ir.Node):
        def natural_input(self):
            return (4,)

    def strange():
        return chain(
            ("input", ir.Input((4,))),
            ("odd", Strange()),
            ("odder", Strange()),
            ("output", ir.Output((4,))),
        )

    with pytest.raises(ir.UnsupportedError, match="2 problems") as caught:
        bridge.ir_to_torch(strange())
    assert "node 'odd': no module runs a Strange" in str(caught.value)
    assert "node 'odder': no module runs a Strange" in str(caught.value)
    assert "node_map" in str(caught.value)
    executor = bridge.ir_to_torch(strange(), {Strange: Marked})
    assert torch.equal(executor(X + 2), X + 2)
    assert bridge.node_to_module(Strange()) is None


# Other ways in -----------------------------------------------------------------------------------


def test_a_path_a_string_and_a_graph_are_all_the_same(tmp_path):
    graph, path = network(), tmp_path / "model.t1c"
    ir.write(path, graph)
    xs = inputs()
    expected, _ = bridge.ir_to_torch(graph).run(xs)
    for made in (
        bridge.ir_to_torch(path),
        bridge.ir_to_torch(str(path)),
        bridge.load(path),
        bridge.load(str(path), return_state=True, node_map=None, validate=False),
        GraphExecutor(bridge.from_ir(path), graph.edges),
        GraphExecutor(bridge.nodes_to_modules(str(path)), graph.edges),
    ):
        assert torch.equal(made.run(xs)[0], expected)
    assert bridge.load(path, return_state=True).return_state is True


def test_validate_looks_again_at_a_graph_that_changed():
    graph = network()
    graph.edges.append(("lif", "nowhere"))
    with pytest.raises(ir.GraphError, match="no node 'nowhere'"):
        bridge.ir_to_torch(graph)
    graph = network()
    bridge.ir_to_torch(graph, validate=True)
    assert graph.equals(network())


def test_modules_keep_what_torch_has_no_place_for():
    node = ir.SpikingAffine(np.ones((2, 4)), np.zeros(2), "rate", 4, 12, metadata={"note": [1, 2]})
    graph = chain(("input", ir.Input((4,))), ("fc", node), ("output", ir.Output((2,))))
    executor: Any = bridge.ir_to_torch(graph)
    kept = executor.fc
    assert type(kept) is nn.Linear
    for module in (kept, copy.deepcopy(kept)):
        remembered: Any = module.t1c_node
        assert remembered.equals(node)


# Training ----------------------------------------------------------------------------------------


def test_gradients_flow_and_are_the_same_in_every_mode():
    graph = network()
    xs = inputs(10, 5).double()
    grads = []
    for mode in ("run", "steps", "chunks"):
        executor = bridge.ir_to_torch(graph, return_state=True, dtype=torch.float64).train()
        leaf = xs.clone().requires_grad_()
        if mode == "run":
            out, state = executor.run(leaf)
        elif mode == "steps":
            out, state = stepped(executor, leaf)
        else:
            first, state = executor.run(leaf[:4])
            second, state = executor.run(leaf[4:], state)
            out = torch.cat([first, second])
        assert 0 < out.sum() < out.numel()
        loss = (out * torch.arange(1.0, 11).reshape(10, 1, 1)).sum() + state["lif2"][
            0
        ].square().sum()
        loss.backward()
        found = {name: p.grad for name, p in executor.named_parameters()}
        grads.append({**found, "input": leaf.grad})
    assert set(grads[0]) == {"fc.weight", "fc.bias", "fc2.weight", "fc2.bias", "input"}
    for name, grad in grads[0].items():
        assert grad is not None
        assert grad.abs().max() > 0, name
        for other in grads[1:]:
            torch.testing.assert_close(other[name], grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_gradients_are_those_of_snntorch(reset):
    """Its surrogate, and its reset, through which no gradient flows."""
    lif = neuron(v_threshold=ONE, reset=reset, reset_delay=True, fires_at="gt")
    fc = ir.Affine(np.random.default_rng(0).random((3, 4)), np.zeros(3))
    graph = chain(("input", ir.Input((4,))), ("fc", fc), ("lif", lif), ("output", ir.Output((3,))))
    executor: Any = bridge.ir_to_torch(graph)
    executor.run(inputs())[0].sum().backward()
    leaky = snn.Leaky(0.75, reset_mechanism=reset)
    weight = executor.fc.weight.detach().clone().requires_grad_()
    mem, total = leaky.init_leaky(), torch.zeros(())
    for x in inputs():
        spikes, mem = leaky(x @ weight.T, mem)
        total = total + spikes.sum()
    total.backward()
    assert 0 < total < inputs().numel() * 3 / 4
    assert weight.grad is not None
    torch.testing.assert_close(executor.fc.weight.grad, weight.grad)


def test_a_few_steps_of_training_learn():
    torch.manual_seed(0)
    executor = bridge.ir_to_torch(network()).train()
    xs = inputs(10, 16)
    target = (xs.mean(dim=(0, 2)) > 0.5).long()
    optimizer = torch.optim.Adam(executor.parameters(), lr=0.05)
    losses = []
    for _ in range(15):
        loss = nn.functional.cross_entropy(executor.run(xs)[0].sum(0), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_an_executor_can_be_trained_after_it_was_evaluated():
    """Coefficients that were folded in inference mode must serve training too."""
    executor: Any = bridge.ir_to_torch(network())
    with torch.inference_mode():
        before = executor.run(inputs())[0]
    out, _ = executor.run(inputs())
    assert torch.equal(out, before)
    out.sum().backward()
    assert executor.fc.weight.grad.abs().max() > 0
    with torch.inference_mode():
        assert torch.equal(executor.run(inputs())[0], before)


def test_a_neurons_own_parameters_can_be_trained():
    executor: Any = bridge.ir_to_torch(network(), dtype=torch.float64)
    xs = inputs().double()
    executor.run(xs)  # coefficients are folded, and kept, before anyone asks for a gradient
    for name in ("tau", "v_threshold"):
        getattr(executor.lif, name).requires_grad_()
    for _ in range(2):  # twice, without a step between: nothing of the first pass is left
        executor.run(xs)[0].sum().backward()
    once = bridge.ir_to_torch(network(), dtype=torch.float64)
    lif: Any = once.node("lif")
    lif.tau.requires_grad_()
    stepped(_with_state(once), xs)[0].sum().backward()
    assert executor.lif.tau.grad.abs().max() > 0
    assert executor.lif.v_threshold.grad.abs().max() > 0
    torch.testing.assert_close(executor.lif.tau.grad, 2 * lif.tau.grad)


def _with_state(executor):
    executor.return_state = True
    return executor


# Graph helpers -----------------------------------------------------------------------------------


def looped() -> ir.Graph:
    return ir.Graph(
        {
            "input": ir.Input((2,)),
            "lif": neuron(),
            "rec": ir.Affine(np.eye(2), np.zeros(2)),
            "bias": neuron(input_type={"input": np.array([2])}),
            "output": ir.Output((2,)),
            "second": ir.Output((2,)),
        },
        [
            ("input", "lif"),
            ("rec", "lif"),
            ("lif", "rec"),
            ("lif", "output"),
            ("bias", "second"),
        ],
        allow_cycles=True,
    )


def test_has_cycles():
    assert bridge.has_cycles(looped()) is True
    assert bridge.has_cycles(network()) is False


def test_input_and_output_nodes():
    assert bridge.get_input_nodes(two_by_two()) == ["left", "right"]
    assert bridge.get_output_nodes(two_by_two()) == ["sum", "all"]
    assert bridge.get_output_nodes(looped()) == ["output", "second"]


def test_disconnected_nodes():
    assert bridge.get_disconnected_nodes(network()) == set()
    assert bridge.get_disconnected_nodes(looped()) == {"bias", "second"}


def test_topological_order():
    nodes = ["d", "c", "b", "a"]
    edges = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]
    order = bridge.get_topological_order(nodes, edges)
    assert sorted(order) == sorted(nodes)
    assert all(order.index(s) < order.index(t) for s, t in edges)
    graph = network()
    assert bridge.get_topological_order(list(graph.nodes), graph.edges) == list(graph.nodes)
    assert bridge.get_topological_order([], []) == []
    with pytest.raises(ir.GraphError, match="a -> b -> a"):
        bridge.get_topological_order(["a", "b"], [("a", "b"), ("b", "a")])


def test_topological_order_of_edges_to_nowhere():
    with pytest.raises(ir.GraphError, match="'x'"):
        bridge.get_topological_order(["a"], [("a", "x")])


def test_validate_graph():
    graph = network()
    bridge.validate_graph(graph)
    graph.edges.append(("fc", "nowhere"))
    graph.edges.append(("fc", "lif"))
    with pytest.raises(ir.GraphError, match="2 problems"):
        bridge.validate_graph(graph)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fc1", "fc1"),
        ("layer.1.fc", "layer_1_fc"),
        ("a b", "a b"),
        ("", "_"),
        (".", "_"),
        ("層", "層"),
    ],
)
def test_sanitize_module_name(name, expected):
    assert bridge.sanitize_module_name(name) == expected
    nn.Module().add_module(bridge.sanitize_module_name(name), nn.Identity())
