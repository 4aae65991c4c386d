"""State belongs to the caller: nothing is hidden, nothing is changed, nothing is lost."""

import copy
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

from t1c import bridge, ir
from t1c.bridge import CyclicGraphExecutor, GraphExecutor, LIFModule, SkipModule

from .strategies_executor import chain

ONE = np.ones(1)


def neuron(**options: Any) -> ir.LIF:
    return ir.LIF(tau=4 * ONE, r=4 * ONE, v_leak=0 * ONE, v_threshold=ONE, **options)


def layered(**options: Any) -> ir.Graph:
    """Two layers: input -> fc -> lif -> fc2 -> lif2 -> output."""
    rng = np.random.default_rng(0)
    return chain(
        ("input", ir.Input((4,))),
        ("fc", ir.Affine(rng.integers(-64, 128, (3, 4)) / 128, rng.integers(0, 64, 3) / 128)),
        ("lif", neuron(**options)),
        ("fc2", ir.Affine(rng.integers(-64, 192, (2, 3)) / 128, np.zeros(2))),
        ("lif2", neuron()),
        ("output", ir.Output((2,))),
    )


def recurrent() -> ir.Graph:
    """A loop through a stateless node with a bias: lif -> back -> lif."""
    weight = np.array([[0.5, -0.25, 0.0], [0.0, 0.25, 0.5], [-0.5, 0.0, 0.25]])
    return ir.Graph(
        {
            "input": ir.Input((4,)),
            "fc": ir.Affine(np.full((3, 4), 0.25), np.zeros(3)),
            "back": ir.Affine(weight, np.array([0.25, 0.0, -0.125])),
            "lif": neuron(),
            "output": ir.Output((3,)),
        },
        [("input", "fc"), ("fc", "lif"), ("back", "lif"), ("lif", "back"), ("lif", "output")],
        allow_cycles=True,
    )


GRAPHS = {"layered": layered, "recurrent": recurrent}
MAPS: dict[str, Any] = {
    "LIFModule": None,
    "Leaky": {ir.LIF: lambda node: snn.Leaky(0.75)},
    "Synaptic": {ir.LIF: lambda node: snn.Synaptic(0.5, 0.75)},
}


@pytest.fixture(params=GRAPHS)
def graph(request):
    return GRAPHS[request.param]()


@pytest.fixture(params=MAPS)
def executor(request, graph):
    return bridge.ir_to_torch(graph, MAPS[request.param], return_state=True)


def inputs(steps: int = 6, batch: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(
        np.random.default_rng(seed).integers(0, 256, (steps, batch, 4)).astype(np.float32) / 256
    )


def stepped(executor, xs, state=None):
    outs = []
    for x in xs:
        out, state = executor(x, state)
        outs.append(out)
    return torch.stack(outs), state


def assert_same_state(found, expected):
    assert list(found) == list(expected)
    for name, own in expected.items():
        assert type(found[name]) is tuple
        assert len(found[name]) == len(own)
        assert all(torch.equal(a, b) for a, b in zip(found[name], own, strict=True)), name


def some_spikes(out):
    assert 0 < out.sum() < out.numel()


# What the state is ---------------------------------------------------------------------------


def test_one_tensor_for_each_state_variable():
    _, state = bridge.ir_to_torch(layered(), return_state=True)(inputs()[0])
    assert {name: [tuple(v.shape) for v in own] for name, own in state.items()} == {
        "lif": [(3, 3)],
        "lif2": [(3, 2)],
    }
    _, state = bridge.ir_to_torch(layered(), MAPS["Synaptic"], return_state=True)(inputs()[0])
    assert {name: len(own) for name, own in state.items()} == {"lif": 2, "lif2": 2}


def test_what_runs_back_is_the_last_entry():
    out, state = bridge.ir_to_torch(recurrent(), return_state=True)(4 * inputs()[0])
    v, sent = state["lif"]
    assert torch.equal(sent, out)
    assert not torch.equal(v, sent)
    some_spikes(sent)


def test_a_recurrent_bias_acts_from_the_first_step():
    _, state = bridge.ir_to_torch(recurrent(), return_state=True)(torch.zeros(1, 4))
    assert torch.equal(state["lif"][0], torch.tensor([[0.25, 0.0, -0.125]]))


@torch.no_grad()
def test_none_and_empty_are_both_rest(executor):
    xs = inputs()
    out, state = executor(xs[0], None)
    same, same_state = executor(xs[0], {})
    bare, bare_state = executor(xs[0])
    assert torch.equal(out, same)
    assert torch.equal(out, bare)
    assert_same_state(same_state, state)
    assert_same_state(bare_state, state)
    whole, state = executor.run(xs, {})
    assert torch.equal(executor.run(xs)[0], whole)
    assert_same_state(executor.run(xs, None)[1], state)


@torch.no_grad()
def test_a_node_that_the_state_does_not_name_rests():
    executor = bridge.ir_to_torch(layered(), return_state=True)
    _, state = executor.run(inputs())
    _, partly = executor(inputs()[0], {"lif": state["lif"]})
    rested = {"lif": state["lif"], "lif2": (torch.zeros(3, 2),)}
    assert_same_state(partly, executor(inputs()[0], rested)[1])


# Whose it is ---------------------------------------------------------------------------------


def test_the_callers_state_is_never_changed(executor):
    xs = inputs(6)
    _, state = executor.run(xs)
    given = dict(state)
    before = {name: tuple(v.detach().clone() for v in own) for name, own in state.items()}
    executor(xs[0], state)
    executor.run(xs, state)
    executor.run(xs[:0], state)
    executor.trace(xs, state)
    assert list(state) == list(given)
    assert all(state[name] is given[name] for name in given)
    assert_same_state(state, before)
    rest: dict[str, Any] = {}
    executor(xs[0], rest)
    executor.run(xs, rest)
    assert rest == {}


@torch.no_grad()
def test_two_runs_in_a_row_are_equal(executor):
    """snnTorch's neurons keep the membrane of the last call; nothing of it shows."""
    xs = inputs()
    first, state = executor.run(xs)
    some_spikes(first)
    again, same = executor.run(xs)
    assert torch.equal(first, again)
    assert_same_state(same, state)
    steps, same = stepped(executor, xs)
    assert torch.equal(first, steps)
    assert_same_state(same, state)


@torch.no_grad()
def test_a_call_between_does_not_touch_a_sequence(executor):
    xs, other = inputs(), inputs(seed=1)
    expected, last = stepped(executor, xs)
    outs, state = [], None
    for x in xs:
        out, state = executor(x, state)
        outs.append(out)
        executor.run(other)
        executor(other[0], state)
        executor(other[0][:1])
    assert torch.equal(torch.stack(outs), expected)
    assert_same_state(state, last)


@torch.no_grad()
def test_carried_state_continues_in_chunks(executor):
    xs = inputs(9)
    expected, last = executor.run(xs)
    first, state = executor.run(xs[:4])
    second, state = stepped(executor, xs[4:6], state)
    third, state = executor.run(xs[6:], state)
    assert torch.equal(torch.cat([first, second, third]), expected)
    assert_same_state(state, last)
    assert not torch.equal(executor.run(xs[6:])[0], third)


@torch.no_grad()
def test_without_return_state_each_call_starts_from_rest(executor):
    xs = inputs()
    state: Any = None
    expected, _ = executor(xs[0])
    executor.return_state = False
    outs = [executor(xs[0]) for _ in range(4)]
    assert all(torch.equal(out, expected) for out in outs)
    # A state that is handed in counts all the same.
    _, state = executor.run(xs)
    executor.return_state = True
    expected, _ = executor(xs[0], state)
    executor.return_state = False
    assert torch.equal(executor(xs[0], state), expected)
    assert "starts from rest" in (GraphExecutor.__doc__ or "")


def test_nothing_of_a_call_stays_in_a_users_module(graph):
    """A membrane left behind would keep the graph of gradients alive, and refuse a deepcopy."""
    executor = bridge.ir_to_torch(graph, MAPS["Leaky"], return_state=True)
    executor.run(inputs())[0].sum().backward()
    out, _ = executor(inputs()[0])
    assert out.requires_grad
    leaky: Any = executor.node("lif")
    assert not leaky.mem.requires_grad
    assert not leaky.mem.any()
    twin = copy.deepcopy(executor)
    assert torch.equal(twin.run(inputs())[0], executor.run(inputs())[0])


@torch.no_grad()
def test_what_a_module_did_elsewhere_does_not_matter(graph):
    executor = bridge.ir_to_torch(graph, MAPS["Synaptic"], return_state=True)
    expected, state = executor.run(inputs())
    leaky: Any = executor.node("lif")
    for call in (lambda: executor.run(inputs()), lambda: stepped(executor, inputs())):
        leaky(torch.ones(3, 3))
        out, same = call()
        assert torch.equal(out, expected)
        assert_same_state(same, state)


def test_a_module_that_hides_its_state_is_refused():
    hidden = {ir.LIF: lambda node: snn.Leaky(0.75, init_hidden=True)}
    with pytest.raises(ir.UnsupportedError, match=r"node 'lif'.*init_hidden") as caught:
        bridge.ir_to_torch(layered(), hidden)
    assert "init_hidden=False" in str(caught.value)
    inside = nn.Sequential(nn.Linear(4, 4), snn.Leaky(0.5, init_hidden=True))
    with pytest.raises(ir.UnsupportedError, match=r"node 'block'.*Leaky"):
        GraphExecutor({"input": nn.Identity(), "block": inside}, [("input", "block")])


# Another batch ---------------------------------------------------------------------------------


@torch.no_grad()
def test_a_state_of_batch_one_serves_every_sample(executor):
    _, state = executor.run(inputs(batch=1))
    assert any(v.any() for own in state.values() for v in own)
    xs = inputs(seed=2)
    wide = {name: tuple(v.repeat(3, 1) for v in own) for name, own in state.items()}
    for call in (executor, executor.run):
        x = xs[0] if call is executor else xs
        out, last = call(x, state)
        expected, expected_last = call(x, wide)
        assert torch.equal(out, expected)
        assert not torch.equal(out, call(x)[0])
        assert_same_state(last, expected_last)


def test_a_state_of_another_batch_is_refused_by_name_and_shapes(executor):
    _, state = executor.run(inputs(batch=3))
    width = state["lif"][0].shape[1]
    for x, call in ((inputs(batch=2)[0], executor), (inputs(batch=2), executor.run)):
        with pytest.raises(ir.InputError, match="node 'lif'") as caught:
            call(x, state)
        assert f"state of shape (3, {width})" in str(caught.value)
        assert f"input of shape (2, {width})" in str(caught.value) or "(2, 4)" in str(caught.value)
        assert "state=None" in str(caught.value)
    with pytest.raises(ir.InputError, match="node 'lif'"):
        executor(inputs(batch=1)[0], state)


# What is no state ------------------------------------------------------------------------------


V = torch.zeros(3, 3)
WRONG: dict[str, tuple[Any, list[str]]] = {
    "a tensor": (V, ["state", "a Tensor", "a dict by node name"]),
    "a tuple": ((V,), ["state", "a tuple", "a dict by node name"]),
    "an unknown name": ({"lif9": (V,)}, ["'lif9'", "there is no such node", "['lif', 'lif2']"]),
    "a node without state": ({"fc": (V,)}, ["'fc'", "it has no state", "['lif', 'lif2']"]),
    "a bare tensor": ({"lif": V}, ["'lif'", "a Tensor", "a tuple of tensors"]),
    "a list": ({"lif": [V]}, ["'lif'", "a list", "a tuple of tensors"]),
    "an array": ({"lif": (V.numpy(),)}, ["'lif'", "ndarray", "a tuple of tensors"]),
    "a number": ({"lif": (0.0,)}, ["'lif'", "float", "a tuple of tensors"]),
    "too many": ({"lif": (V, V)}, ["'lif'", "2 tensors", "1: v"]),
    "none at all": ({"lif": ()}, ["'lif'", "0 tensors", "1: v"]),
    "another width": ({"lif": (torch.zeros(3, 5),)}, ["'lif'", "(3, 5)", "(3, 3)"]),
    "a scalar": ({"lif": (torch.tensor(0.0),)}, ["'lif'", "shape ()", "(3, 3)"]),
    "another dtype": ({"lif": (V.double(),)}, ["'lif'", "torch.float64", "torch.float32"]),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_state_is_refused(what):
    state, said = WRONG[what]
    executor = bridge.ir_to_torch(layered(), return_state=True)
    for call in (
        lambda: executor(inputs()[0], state),
        lambda: executor.run(inputs(), state),
        lambda: executor.trace(inputs(), state),
    ):
        with pytest.raises(ir.InputError) as caught:
            call()
        for words in said:
            assert words in str(caught.value)


def test_all_problems_of_a_state_are_listed():
    executor = bridge.ir_to_torch(layered(), return_state=True)
    with pytest.raises(ir.InputError, match="2 problems") as caught:
        executor(inputs()[0], {"fc": (V,), "lif9": (V,), "lif": (V,)})
    assert len(caught.value.problems) == 2


def test_a_state_without_what_runs_back_is_refused():
    executor = bridge.ir_to_torch(recurrent(), return_state=True)
    with pytest.raises(ir.InputError, match=r"'lif': 1 tensors; expected 2: v, what it sent"):
        executor(inputs()[0], {"lif": (V,)})
    for sent in (torch.zeros(3, 5), V.double(), torch.zeros(2, 3)):
        with pytest.raises(ir.InputError, match="node 'lif'"):
            executor(inputs()[0], {"lif": (V, sent)})
    mapped = bridge.ir_to_torch(recurrent(), MAPS["Leaky"])
    with pytest.raises(ir.InputError, match=r"'lif': 0 tensors; expected 1: what it sent"):
        mapped(inputs()[0], {"lif": ()})


def test_a_state_for_a_network_without_any_is_refused():
    graph = chain(("input", ir.Input((4,))), ("output", ir.Output((4,))))
    with pytest.raises(ir.InputError, match="expected no state"):
        bridge.ir_to_torch(graph)(inputs()[0], {"input": (V,)})


# Modules of the user's ---------------------------------------------------------------------------


class Counter(nn.Module):
    """Adds the number of the step; its state is one number, without a batch."""

    def forward(self, x, count=None):
        count = torch.zeros(()) if count is None else count
        return x + count, count + 1


class Echo(nn.Module):
    """Sends what came one step before; its state is of another width than its input."""

    def forward(self, x, past=None):
        past = x.new_zeros(len(x), 2 * x.shape[1]) if past is None else past
        return past[:, : x.shape[1]], torch.cat([x, x], dim=1)


@torch.no_grad()
def test_states_of_any_layout_are_passed_back():
    modules = {"input": nn.Identity(), "count": Counter(), "echo": Echo()}
    executor = GraphExecutor(modules, [("input", "count"), ("count", "echo")], return_state=True)
    xs = inputs(4)
    out, state = executor.run(xs)
    assert torch.equal(out[0], torch.zeros(3, 4))
    assert torch.equal(out[1:], xs[:3] + torch.arange(3.0).reshape(3, 1, 1))
    assert state["count"] == (torch.tensor(4.0),)
    steps, same = stepped(executor, xs)
    assert torch.equal(out, steps)
    assert_same_state(same, state)
    # The count goes on for any batch, the echo for its own or from batch 1.
    _, lonely = executor.run(inputs(batch=1))
    assert executor(xs[0], lonely)[1]["count"] == (torch.tensor(7.0),)
    with pytest.raises(ir.InputError, match="node 'echo'"):
        executor(inputs(batch=2)[0], state)


class WholeState(nn.Module):
    """A recurrent neuron of snnTorch whose last spikes count as state."""

    def __init__(self, neuron):
        super().__init__()
        self.neuron = neuron

    def forward(self, x, spk=None, mem=None):
        if spk is None:
            spk = mem = torch.zeros_like(x)
        spk, mem = self.neuron(x, spk, mem)
        return spk, spk, mem


@torch.no_grad()
def test_a_module_that_does_not_return_what_it_takes_is_refused():
    """RLeaky takes (spk, mem) and returns mem: passed back, that would be taken for spk."""
    torch.manual_seed(0)
    neuron = snn.RLeaky(0.75, all_to_all=True, linear_features=4, threshold=0.5)
    graph = chain(
        ("input", ir.Input((4,))), ("lif", layered().nodes["lif"]), ("o", ir.Output((4,)))
    )
    executor = bridge.ir_to_torch(graph, {ir.LIF: lambda node: neuron}, return_state=True)
    for call in (lambda: executor(inputs()[0]), lambda: executor.run(inputs())):
        with pytest.raises(
            ir.UnsupportedError, match=r"node 'lif'.*RLeaky returns 1.*takes 2"
        ) as e:
            call()
        assert "(spk, mem)" in str(e.value)

    whole = bridge.ir_to_torch(graph, {ir.LIF: lambda node: WholeState(neuron)}, return_state=True)
    out, state = whole.run(inputs())
    spk = mem = torch.zeros(3, 4)
    for x, found in zip(inputs(), out, strict=True):
        spk, mem = neuron(x, spk, mem)
        assert torch.equal(found, spk)
    some_spikes(out)
    assert torch.equal(state["lif"][1], mem)


@torch.no_grad()
def test_a_map_may_make_stateful_and_stateless_modules():
    made = []

    def mapped(node):
        if isinstance(node, ir.Affine) and node.weight.shape == (3, 4):
            made.append("fc")
            return nn.Sequential(nn.Linear(4, 3), nn.ReLU())
        if isinstance(node, ir.LIF) and "lif2" not in made:
            made.append("lif2")
            return snn.Leaky(0.75)
        return None

    executor = bridge.ir_to_torch(layered(), mapped, return_state=True)
    assert made == ["fc", "lif2"]
    assert isinstance(executor.lif, snn.Leaky)
    assert isinstance(executor.lif2, LIFModule)
    whole, state = executor.run(inputs())
    steps, same = stepped(executor, inputs())
    assert torch.equal(whole, steps)
    assert_same_state(same, state)
    assert list(state) == ["lif", "lif2"]


# Nothing to do -----------------------------------------------------------------------------------


@torch.no_grad()
def test_no_steps(executor):
    xs = inputs()
    _, state = executor.run(xs)
    width = state[list(state)[-1]][0].shape[1]
    none, same = executor.run(xs[:0], state)
    assert none.shape == (0, 3, width)
    assert_same_state(same, state)
    none, rest = executor.run(xs[:0])
    assert none.shape == (0, 3, width)
    out, _ = executor.run(xs, rest)
    assert torch.equal(out, executor.run(xs)[0])


def test_no_steps_teach_nothing():
    norm = ir.BatchNorm1d(4, *np.ones((4, 4)))
    graph = chain(("input", ir.Input((4,))), ("norm", norm), ("output", ir.Output((4,))))
    executor: Any = bridge.ir_to_torch(graph).train()
    before = copy.deepcopy(executor.norm.state_dict())
    out, _ = executor.run(inputs(0))
    assert out.shape == (0, 3, 4)
    assert all(torch.equal(v, before[k]) for k, v in executor.norm.state_dict().items())
    assert executor.norm.training
    executor.run(inputs(2))
    assert executor.norm.num_batches_tracked == 2


@torch.no_grad()
def test_no_samples(executor):
    xs = inputs(batch=0)
    out, state = executor.run(xs)
    step, after = executor(xs[0], state)
    assert out.shape[:2] == (6, 0)
    assert step.shape == out.shape[1:]
    assert all(len(v) == 0 for own in after.values() for v in own)
    # And from a state of batch 1.
    _, lonely = executor.run(inputs(batch=1))
    assert executor(xs[0], lonely)[0].shape == step.shape


# Cycles built by hand, and CyclicGraphExecutor ----------------------------------------------------

LOOP = [("input", "fc"), ("fc", "add"), ("back", "add"), ("add", "lif"), ("lif", "back")]


def loop_modules(order=("input", "fc", "add", "lif", "back", "output"), back=None):
    """A recurrent network of 4 inputs and 3 neurons, without a node anywhere."""
    torch.manual_seed(0)
    fc = nn.Linear(4, 3)
    nn.init.uniform_(fc.weight, 0, 1)
    made = {
        "fc": fc,
        "back": back() if back else nn.Linear(3, 3),
        "input": nn.Identity(),
        "add": SkipModule("residual"),
        "lif": LIFModule(tau=4.0, r=4.0, v_leak=0.0, v_threshold=0.5),
        "output": nn.Identity(),
    }
    return {name: made[name] for name in order}


def by_the_equations(modules, xs):
    """The loop written out: what runs back passes through ``back`` in the present step."""
    v, sent = torch.zeros(3, 3), torch.zeros(3, 3)
    outs = []
    for x in xs:
        u = 0.75 * v + (modules["fc"](x) + modules["back"](sent))
        sent = (u >= 0.5).float()
        v = u * (1 - sent)
        outs.append(sent)
    return torch.stack(outs), v


@pytest.mark.parametrize(
    "order",
    [
        ("input", "fc", "add", "lif", "back", "output"),
        ("back", "lif", "add", "output", "fc", "input"),
    ],
    ids=["forwards", "backwards"],
)
@pytest.mark.parametrize(
    "back",
    [None, lambda: nn.Sequential(nn.Linear(3, 2), nn.Sequential(nn.ReLU(), nn.Linear(2, 3)))],
    ids=["Linear", "Sequential"],
)
@torch.no_grad()
def test_a_loop_built_by_hand(order, back):
    modules = loop_modules(order, back)
    executor = GraphExecutor(modules, [*LOOP, ("lif", "output")], return_state=True)
    assert executor.plan.remembered == {"lif"}
    xs = 2 * inputs(8) - 0.5
    expected, v = by_the_equations(modules, xs)
    some_spikes(expected)
    whole, state = executor.run(xs)
    assert torch.equal(whole, expected)
    torch.testing.assert_close(state["lif"][0], v)
    assert torch.equal(state["lif"][1], expected[-1])
    steps, same = stepped(executor, xs)
    assert torch.equal(steps, expected)
    assert_same_state(same, state)
    none, _ = executor.run(xs[:0])
    assert none.shape == (0, 3, 3)


@torch.no_grad()
def test_a_loop_of_the_users_neurons():
    modules = loop_modules()
    modules["lif"] = snn.Leaky(0.75, threshold=0.5, reset_mechanism="zero", reset_delay=False)
    executor = GraphExecutor(modules, [*LOOP, ("lif", "output")], return_state=True)
    expected, _ = by_the_equations(modules, inputs())
    assert torch.equal(executor.run(inputs())[0], expected)
    assert torch.equal(stepped(executor, inputs())[0], expected)


@torch.no_grad()
def test_a_loop_whose_shapes_cannot_be_told_is_refused_until_there_is_a_state():
    modules = {
        "input": nn.Identity(),
        "join": SkipModule("concatenate"),
        "fc": nn.Linear(7, 3),
        "lif": LIFModule(tau=2.0, r=2.0, v_leak=0.0, v_threshold=0.25),
        "output": nn.Identity(),
    }
    edges = [
        ("input", "join"), ("lif", "join"), ("join", "fc"), ("fc", "lif"), ("lif", "output"),
    ]  # fmt: skip
    executor = GraphExecutor(modules, edges, return_state=True)
    x = inputs()[0]
    for call in (lambda: executor(x), lambda: executor.run(inputs())):
        with pytest.raises(ir.InputError, match=r"node 'lif'.*shape.*first state"):
            call()
    rest = {"lif": (torch.zeros(3, 3), torch.zeros(3, 3))}
    out, _ = executor(x, rest)
    drive = modules["fc"](torch.cat([x, torch.zeros(3, 3)], dim=1))
    assert torch.equal(out, (drive >= 0.25).float())


@pytest.mark.parametrize("training", [False, True])
def test_finding_the_shapes_of_a_loop_teaches_nothing(training):
    modules = loop_modules()
    modules["norm"] = nn.BatchNorm1d(3)
    edges = [e for e in LOOP if e != ("back", "add")]
    edges += [("back", "norm"), ("norm", "add"), ("lif", "output")]
    executor = GraphExecutor(modules, edges, return_state=True).train(training)
    assert executor.plan.remembered == {"lif"}
    norm: Any = modules["norm"]
    out, _ = executor.run(inputs(5))
    assert norm.num_batches_tracked == 5 * training
    assert norm.training is training
    assert out.requires_grad


def test_timesteps_repeat_the_input():
    modules = loop_modules()
    edges = [*LOOP, ("lif", "output")]
    x = inputs()[0]
    whole, last = GraphExecutor(modules, edges).run(x.expand(6, 3, 4))
    executor = CyclicGraphExecutor(modules, edges, timesteps=6, return_state=True)
    outs, state = executor(x)
    assert type(outs) is list
    assert torch.equal(torch.stack(outs), whole)
    assert_same_state(state, last)
    without = CyclicGraphExecutor(modules, edges, timesteps=6)
    assert torch.equal(torch.stack(without(x)), whole)
    assert len(CyclicGraphExecutor(modules, edges)(x)) == 1


@torch.no_grad()
def test_state_and_feedback_go_on_exactly_where_a_call_ended():
    modules = loop_modules()
    edges = [*LOOP, ("lif", "output")]
    x = inputs()[0]
    expected = CyclicGraphExecutor(modules, edges, timesteps=7)(x)
    long = CyclicGraphExecutor(modules, edges, timesteps=4, return_state=True)
    short = CyclicGraphExecutor(modules, edges, timesteps=3, return_state=True)
    first, state = long(x)
    before = {name: tuple(v.clone() for v in own) for name, own in state.items()}
    second, _ = short(x, state)
    assert torch.equal(torch.stack([*first, *second]), torch.stack(expected))
    assert_same_state(state, before)
    # The feedback counts: without it the next step is another one.
    muted = {"lif": (state["lif"][0], torch.zeros(3, 3))}
    assert state["lif"][1].any()
    assert not torch.equal(short(x, muted)[1]["lif"][0], short(x, state)[1]["lif"][0])
    # Without return_state nothing is carried, neither there nor here.
    forgetful = CyclicGraphExecutor(modules, edges, timesteps=4)
    assert torch.equal(torch.stack(forgetful(x)), torch.stack(forgetful(x)))


@torch.no_grad()
def test_output_nodes_are_what_is_returned():
    modules = loop_modules()
    edges = [*LOOP, ("lif", "output")]
    x = inputs()[0]
    plain = GraphExecutor(modules, edges)
    expected = plain.trace(x.expand(3, 3, 4))
    executor = CyclicGraphExecutor(modules, edges, 3, output_nodes=["add", "lif"])
    assert executor.output_nodes == ("add", "lif")
    assert executor.plan.stages == plain.plan.stages
    outs = executor(x)
    assert [list(out) for out in outs] == [["add", "lif"]] * 3
    for name in ("add", "lif"):
        assert torch.equal(torch.stack([out[name] for out in outs]), expected[name])
    whole, _ = executor.run(x.expand(3, 3, 4))
    assert torch.equal(whole["add"], expected["add"])
    only = CyclicGraphExecutor(modules, edges, 3, ["add"])(x)
    assert torch.equal(torch.stack(only), expected["add"])


@torch.no_grad()
def test_a_loop_without_a_way_out_runs_if_its_output_is_named():
    modules = loop_modules()
    del modules["output"]
    with pytest.raises(ir.GraphError, match="no node without outgoing edges"):
        CyclicGraphExecutor(modules, LOOP)
    executor = CyclicGraphExecutor(modules, LOOP, timesteps=5, output_nodes=["lif"])
    expected, _ = by_the_equations(modules, inputs()[0].expand(5, 3, 4))
    assert torch.equal(torch.stack(executor(inputs()[0])), expected)


def test_what_a_cyclic_executor_cannot_do_is_refused():
    edges = [*LOOP, ("lif", "output")]
    with pytest.raises(ir.GraphError, match="'timesteps': 0; expected at least 1"):
        CyclicGraphExecutor(loop_modules(), edges, timesteps=0)
    with pytest.raises(ir.GraphError, match=r"output_nodes.*no module 'lif9'"):
        CyclicGraphExecutor(loop_modules(), edges, output_nodes=["lif", "lif9"])
    modules = {n: m for n, m in loop_modules().items() if n != "lif"}
    stateless = [
        ("input", "fc"),
        ("fc", "add"),
        ("back", "add"),
        ("add", "back"),
        ("add", "output"),
    ]
    with pytest.raises(ir.GraphError, match="neither a neuron nor a Delay"):
        CyclicGraphExecutor(modules, stateless)


@torch.no_grad()
def test_a_graph_that_states_its_feedback_is_run_as_it_says():
    ring = [("a", "b"), ("b", "a")]
    edges = [("input", "a"), ("input", "b"), *ring, ("a", "output"), ("b", "output")]
    ends = {"input": ir.Input((4,)), "output": ir.Output((4,))}
    outs = []
    for stated in ring:
        neurons = {"a": neuron(), "b": neuron().replace(v_threshold=2 * ONE)}
        graph = ir.Graph({**ends, **neurons}, edges, allow_cycles=True, feedback=[stated])
        executor = bridge.ir_to_torch(graph)
        assert executor.plan.remembered == set(stated[:1])
        out, _ = executor.run(inputs())
        expected, _ = ir.Reference(graph, np.float32).run(inputs().numpy())
        assert np.array_equal(out.numpy(), expected)
        outs.append(out)
    assert not torch.equal(*outs)


@torch.no_grad()
def test_feedback_can_be_stated():
    """Two neurons in a ring, entered at both: the graph alone does not say where it starts."""

    def lif():
        return LIFModule(tau=4.0, r=4.0, v_leak=0.0, v_threshold=0.5)

    modules = {"input": nn.Identity(), "a": lif(), "b": lif(), "output": nn.Identity()}
    edges = [
        ("input", "a"),
        ("input", "b"),
        ("a", "b"),
        ("b", "a"),
        ("a", "output"),
        ("b", "output"),
    ]
    with pytest.raises(ir.GraphError, match="symmetric"):
        GraphExecutor(modules, edges)
    xs = inputs() / 2
    v = dict.fromkeys("ab", torch.zeros(3, 4))
    sent = torch.zeros(3, 4)
    executor = GraphExecutor(modules, edges, feedback=[("b", "a")])
    assert executor.plan.remembered == {"b"}
    outs, _ = executor.run(xs)
    cyclic = CyclicGraphExecutor(modules, edges, feedback=[("b", "a")], return_state=True)
    state = None
    for x, out in zip(xs, outs, strict=True):
        u = 0.75 * v["a"] + (x + sent)
        a = (u >= 0.5).float()
        v["a"] = u * (1 - a)
        u = 0.75 * v["b"] + (x + a)
        sent = (u >= 0.5).float()
        v["b"] = u * (1 - sent)
        assert torch.equal(out, a + sent)
        (same,), state = cyclic(x, state)
        assert torch.equal(same, out)
