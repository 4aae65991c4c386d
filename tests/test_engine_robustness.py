"""What may happen to an executor between two calls, and around one."""

import copy
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrize

from t1c import bridge, ir
from t1c.bridge.engine.kernels.events import weight_gradient
from t1c.ir.errors import InputError, ShapeError, UnsupportedError

from .engine_helpers import (
    assert_equal,
    every_way,
    imported,
    inputs,
    lif,
    mlp,
    recurrent,
    referred,
    stepped,
    threads,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def plain(executor: Any, xs: torch.Tensor) -> Any:
    """The numbers of a copy that takes no fast way, step by step."""
    other = copy.deepcopy(executor)
    other.kernels, other.events = "torch", False
    return stepped(other, xs)


def assert_follows(executor: Any, xs: torch.Tensor, before: Any) -> None:
    """Every way gives the numbers of the modules as they are now, which are not those before."""
    with torch.no_grad():
        expected = plain(executor, xs)
        assert not torch.equal(expected[1]["lif"][0], before[1]["lif"][0])
        for way, found in every_way(executor, xs):
            assert_equal(found, expected, way)


def used(make: Any, **options: Any) -> tuple[Any, torch.Tensor, Any]:
    """An executor that has run and stepped, its input, and what it gave."""
    executor, xs = imported(make(), **options), inputs()
    with torch.no_grad():
        stepped(executor, xs)
        return executor, xs, executor.run(xs)


# What changes between calls -------------------------------------------------------------------


def in_place(executor):
    with torch.no_grad():
        executor.fc.weight.mul_(0.5)


def through_data(executor):
    executor.fc.weight.data.mul_(0.5)


def data_replaced(executor):
    executor.fc.weight.data = executor.fc.weight.data * 0.5


def parameter_replaced(executor):
    executor.fc.weight = nn.Parameter(executor.fc.weight.detach() * 0.5)


def row_major(executor):
    executor.fc.weight = nn.Parameter((executor.fc.weight.detach() * 0.5).contiguous())


def module_replaced(executor):
    weight = executor.fc.weight.detach() * 0.5
    executor.fc = nn.Linear(4, 6)
    executor.fc.weight = nn.Parameter(weight)


def bias_removed(executor):
    executor.fc.bias = None


def threshold_in_place(executor):
    executor.lif.v_threshold.fill_(0.125)


def threshold_replaced(executor):
    executor.lif.v_threshold = torch.tensor([0.125], dtype=torch.float64)


def threshold_data_replaced(executor):
    executor.lif.v_threshold.data = torch.tensor([0.125], dtype=torch.float64)


def threshold_loaded(executor):
    kept = executor.state_dict()
    kept["lif.v_threshold"] = torch.tensor([0.125], dtype=torch.float64)
    executor.load_state_dict(kept)


def neuron_replaced(executor):
    executor.lif = bridge.node_to_module(lif(0.125, reset="subtract"))


def forward_replaced(executor):
    executor.fc.forward = lambda x: nn.Linear.forward(executor.fc, x) * 0.5


class Half(nn.Module):
    def forward(self, w: torch.Tensor) -> torch.Tensor:
        return w * 0.5


def parametrized(executor):
    parametrize.register_parametrization(executor.fc, "weight", Half())


def hooked(executor):
    executor.fc.register_forward_hook(lambda module, args, y: y * 0.5)


def neuron_hooked(executor):
    executor.lif.register_forward_pre_hook(lambda module, args: (args[0] * 0.5, *args[1:]))


CHANGES = [
    in_place,
    through_data,
    data_replaced,
    parameter_replaced,
    row_major,
    module_replaced,
    bias_removed,
    threshold_in_place,
    threshold_replaced,
    threshold_data_replaced,
    threshold_loaded,
    neuron_replaced,
    parametrized,
    hooked,
    neuron_hooked,
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("make", [mlp, recurrent])
def test_what_changed_is_what_counts(make, change):
    executor, xs, before = used(make, events=True)
    change(executor)
    assert_follows(executor, xs, before)


def test_a_forward_replaced_on_the_instance_is_called():
    executor, xs, _ = used(mlp, events=True)
    half = imported(mlp(), events=True)
    in_place(half)
    with torch.no_grad():
        half.fc.bias.mul_(0.5)
        forward_replaced(executor)
        for way, found in every_way(executor, xs):
            assert_equal(found, half.run(xs), way)


@pytest.mark.parametrize("events", [None, True])
@torch.no_grad()
def test_a_layer_of_another_size_is_refused_and_read_no_further(events):
    for make in (mlp, recurrent):
        executor, xs, _ = used(make, events=events)
        for sizes in ((4, 5), (4, 7)):
            executor.fc = nn.Linear(*sizes)
            executor.fc.weight = nn.Parameter(executor.fc.weight.detach().t().contiguous().t())
            with pytest.raises((ShapeError, RuntimeError)):
                executor.run(xs)
            with pytest.raises((ShapeError, RuntimeError)):
                executor(xs[0])


def bias_of_another_size(executor):
    executor.fc.bias = nn.Parameter(torch.zeros(len(executor.fc.bias) - 1))


def bias_of_another_dtype(executor):
    executor.fc.bias = nn.Parameter(executor.fc.bias.detach().double())


def weight_of_another_size(executor):
    columns = executor.fc.weight.shape[1]
    executor.fc.weight = nn.Parameter(executor.fc.weight.detach()[:, : columns - 1].contiguous())


def layer_cut_down(executor):
    """As pruning does, which tells the layer."""
    executor.fc.out_features = 1
    executor.fc.weight = nn.Parameter(torch.ones(executor.fc.in_features, 1).t())
    executor.fc.bias = nn.Parameter(torch.zeros(1))


def data_cut_down(executor):
    """Address, version and strides stay."""
    executor.fc.weight.data = executor.fc.weight.data[:4]


@pytest.mark.parametrize("change", [layer_cut_down, data_cut_down])
@pytest.mark.parametrize("make", [mlp, recurrent])
@torch.no_grad()
def test_a_layer_that_was_cut_down_is_refused(make, change):
    executor, xs, _ = used(make, events=True)
    change(executor)
    with pytest.raises((InputError, ShapeError, RuntimeError)):
        executor(xs[0])
    with pytest.raises((InputError, ShapeError, RuntimeError)):
        executor.run(xs)


class Doubled(nn.Identity):
    def forward(self, x):
        return 2 * x


class Silent(bridge.LIFModule):
    def step(self, x, state):
        return torch.zeros_like(x), state

    def scan(self, xs, state):
        return torch.zeros_like(xs), state


@pytest.mark.parametrize("make", [mlp, recurrent])
@torch.no_grad()
def test_a_subclass_is_not_taken_for_its_base(make):
    executor, xs, _ = used(make, events=True)
    node = make().nodes["lif"]
    executor.lif = Silent(**node.values())
    for way in (lambda: executor.run(xs)[1], lambda: executor(xs[0])[1]):
        assert not way()["lif"][0].any()
    plain, _, _ = used(make, kernels="torch")
    executor, _, _ = used(make, events=True)
    plain.input = executor.input = Doubled()
    for way, found in every_way(executor, xs):
        assert_equal(found, plain.run(xs), way)


@pytest.mark.parametrize("make", [mlp, recurrent])
@torch.no_grad()
def test_a_scan_replaced_on_the_instance_is_called(make):
    executor, xs, _ = used(make, events=True)
    silent = Silent(**make().nodes["lif"].values())
    executor.lif.scan, executor.lif.step = silent.scan, silent.step
    assert not executor(xs[0])[1]["lif"][0].any()


@torch.no_grad()
def test_hooks_on_all_modules_are_called():
    executor, xs, _ = used(mlp, events=True)
    seen = set()
    handle = register_module_forward_hook(lambda module, *_: seen.add(type(module)))
    try:
        executor(xs[0])
        assert {nn.Linear, bridge.LIFModule} <= seen
    finally:
        handle.remove()


@torch.no_grad()
def test_a_state_on_another_device_is_refused():
    executor, xs, _ = used(mlp)
    executor(xs[0])
    state = {"lif": (torch.zeros(3, 6, device="meta"),)}
    for way in (lambda: executor(xs[0], state), lambda: executor.run(xs, state)):
        with pytest.raises(InputError, match="meta"):
            way()


@pytest.mark.parametrize("events", [None, True, False])
def test_a_state_that_wants_a_gradient_gets_it(events):
    executor, xs, _ = used(mlp, events=events)
    executor.requires_grad_(False)
    v = torch.zeros(3, 6, requires_grad=True)
    _, state = executor.run(xs, {"lif": (v,)})
    assert state["lif"][0].requires_grad


@pytest.mark.parametrize("options", [{"kernel_size": 4}, {"kernel_size": 3, "padding": -1}])
@torch.no_grad()
def test_a_convolution_that_torch_refuses_is_refused(options):
    modules = {"input": nn.Identity(), "conv": nn.Conv2d(1, 2, **options), "out": nn.Identity()}
    executor = bridge.GraphExecutor(modules, [("input", "conv"), ("conv", "out")])
    executor.events = True
    with pytest.raises(RuntimeError):
        executor.run(torch.ones(2, 2, 1, 3, 3))


def test_a_gradient_that_is_not_finite_is_torchs():
    x, g = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([[torch.inf], [1.0]])
    assert torch.equal(weight_gradient(x, g, 2).isnan(), (x.t() @ g).t().isnan())


MISFITS = [bias_of_another_size, bias_of_another_dtype, weight_of_another_size]


@pytest.mark.parametrize("change", MISFITS)
@pytest.mark.parametrize("make", [mlp, recurrent])
@torch.no_grad()
def test_parameters_that_do_not_fit_are_refused_by_torch(make, change):
    executor, xs, _ = used(make, events=True)
    change(executor)
    with pytest.raises(RuntimeError):
        executor.run(xs)
    with pytest.raises(RuntimeError):
        executor(xs[0])


@pytest.mark.parametrize("change", MISFITS)
@torch.no_grad()
def test_parameters_of_a_convolution_that_do_not_fit_are_refused_by_torch(change):
    nodes = {
        "input": ir.Input((2, 5, 5)),
        "fc": ir.Conv2d(np.ones((3, 2, 3, 3)), np.ones(3), padding=1),
        "lif": lif(),
        "output": ir.Output((3, 5, 5)),
    }
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "output")]
    executor = imported(ir.Graph(nodes, edges), events=True)
    xs = torch.ones(2, 3, 2, 5, 5)
    executor.run(xs)
    assert "kernel" in str(executor.explain())
    change(executor)
    with pytest.raises(RuntimeError):
        executor.run(xs)


@pytest.mark.parametrize("make", [mlp, recurrent])
@torch.no_grad()
def test_hooks_are_called_while_they_are_there(make):
    executor, xs, before = used(make)
    calls: list[str] = []
    handles = [
        executor.node(name).register_forward_hook(lambda *_, n=name: calls.append(n))
        for name in ("fc", "lif")
    ]
    assert_equal(executor.run(xs), before)
    assert calls.count("fc") >= 1
    assert calls.count("lif") == len(xs)
    calls.clear()
    assert_equal(stepped(executor, xs), before)
    assert calls.count("fc") == calls.count("lif") == len(xs)
    for handle in handles:
        handle.remove()
    calls.clear()
    for _, found in every_way(executor, xs):
        assert_equal(found, before)
    assert not calls


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("make", [mlp, recurrent])
@torch.no_grad()
def test_weights_that_are_not_finite_give_what_a_product_gives(make, bad):
    """An inactive input times NaN is NaN, which adding up active inputs would not see."""
    executor, xs, _ = used(make, events=True)
    xs = xs.clone()
    xs[..., 0] = 0
    executor.fc.weight[1, 0] = bad
    expected = plain(executor, xs)[1]["lif"][0]
    assert expected.isnan().any()
    for _, (_, state) in every_way(executor, xs):
        assert torch.equal(state["lif"][0].isnan(), expected.isnan())


# Copies and dtypes ----------------------------------------------------------------------------


@pytest.mark.parametrize("make", [mlp, recurrent])
@pytest.mark.parametrize("way", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
@torch.no_grad()
def test_a_copy_goes_its_own_way(make, way):
    executor, xs, before = used(make)
    other = way(executor)
    assert_equal(other.run(xs), before)
    assert_equal(stepped(other, xs), before)
    other.fc.weight.mul_(0.5)
    other.lif.v_threshold.fill_(0.125)
    assert_follows(other, xs, before)
    assert_equal(stepped(executor, xs), before)


@pytest.mark.parametrize("make", [mlp, recurrent])
@torch.no_grad()
def test_a_replica_works_with_the_modules_put_into_it(make):
    # As nn.DataParallel does: a shallow copy, whose modules then take the place of the first ones.
    executor, xs, before = used(make)
    replica = executor._replicate_for_data_parallel()
    for name, module in executor.named_children():
        setattr(replica, name, copy.deepcopy(module))
    replica.fc.weight.mul_(0.5)
    assert_follows(replica, xs, before)
    assert_equal(stepped(executor, xs), before)


@torch.no_grad()
def test_a_state_dict_makes_another_network_the_same():
    executor, xs, before = used(mlp)
    other, _, _ = used(lambda: mlp(3))
    other.load_state_dict(executor.state_dict())
    for _, found in every_way(other, xs):
        assert_equal(found, before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("make", [mlp, recurrent])
@torch.no_grad()
def test_it_runs_in_the_dtype_it_is_moved_to(make, dtype):
    executor, xs, before = used(make)
    executor.to(dtype)
    expected = plain(executor, xs.to(dtype))
    for way, found in every_way(executor, xs.to(dtype)):
        assert_equal(found, expected, way)
    executor.float()
    # Weights on the grid survive a half type.
    for _, found in every_way(executor, xs):
        assert_equal(found, before)


@torch.no_grad()
def test_a_replaced_module_moves_with_the_rest():
    executor, xs, _ = used(mlp)
    executor.fc = nn.Linear(4, 6)
    executor.double()
    assert executor.run(xs.double())[0].dtype == torch.float64


@torch.no_grad()
def test_inputs_of_two_dtypes_are_not_read_as_one():
    nodes = {"a": ir.Input((4,)), "b": ir.Input((4,)), "lif": lif(), "output": ir.Output((4,))}
    graph = ir.Graph(nodes, [("a", "lif"), ("b", "lif"), ("lif", "output")])
    executor = imported(graph)
    x = inputs()[0]
    found, _ = executor((x, x.double()))
    expected, _ = executor((x.double(), x.double()))
    assert torch.equal(found.double(), expected)


def test_inference_then_training():
    for make in (mlp, recurrent):
        executor, xs = imported(make(), learn=("tau",)), inputs()
        with torch.inference_mode():
            before = executor.run(xs)
            stepped(executor, xs)
        y, _ = executor.run(xs)
        assert torch.equal(y, before[0])
        y.sum().backward()
        assert executor.fc.weight.grad.any()
        # A state that was made in inference mode goes on.
        executor.run(xs, before[1])[0].sum().backward()


@pytest.mark.parametrize("make", [mlp, recurrent])
@pytest.mark.parametrize("grad", [False, True])
def test_autocast_runs_in_every_way(make, grad):
    executor, xs = imported(make()), inputs()
    with torch.set_grad_enabled(grad), torch.autocast("cpu", dtype=torch.bfloat16):
        expected = stepped(executor, xs)
        for way, found in every_way(executor, xs):
            assert torch.equal(found[0].float(), expected[0].float()), way
    with torch.no_grad():
        assert_equal(executor.run(xs), referred(make(), xs, torch.float32))


# Which kernels --------------------------------------------------------------------------------


@torch.no_grad()
def test_the_variable_and_the_argument_force_kernels(monkeypatch):
    executor, xs, before = used(recurrent)
    monkeypatch.setenv("T1C_KERNELS", "torch")
    forced = imported(recurrent())
    for _, found in every_way(forced, xs):
        assert_equal(found, before)
    assert not forced.network.programs
    argued = imported(recurrent(), kernels="numba")
    assert_equal(argued.run(xs), before)
    assert argued.network.programs
    monkeypatch.setenv("T1C_KERNELS", "numpy")
    with pytest.raises(InputError, match="numpy"):
        executor.run(xs)


@pytest.mark.parametrize(
    "options", [{"kernels": "cuda"}, {"surrogate": "step"}, {"learn": ("beta",)}]
)
def test_unknown_names_are_refused_when_a_graph_is_imported(options):
    (name,) = options
    with pytest.raises(InputError, match=name):
        imported(mlp(), **options)


def test_kernels_for_another_device_are_refused():
    with pytest.raises(UnsupportedError):
        imported(mlp(), kernels="triton").run(inputs())


@pytest.mark.slow
def test_without_numba_everything_runs_with_equal_numbers(tmp_path):
    script = """
import sys, importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "numba" else find(name, *a)
sys.modules["numba"] = None  # an import raises
import torch
from tests.engine_helpers import every_way, imported, inputs, mlp, recurrent
results = []
for make in (mlp, recurrent):
    executor = imported(make())
    y, _ = executor.run(inputs())
    y.sum().backward()
    with torch.no_grad():
        results += [found for _, found in every_way(executor, inputs())]
        imported(make(), events=True).run(inputs())
torch.save(results, sys.argv[1])
"""
    path = tmp_path / "results"
    root = os.path.dirname(os.path.dirname(__file__))
    source = os.path.dirname(os.path.dirname(os.path.abspath(bridge.__file__)))
    paths = os.pathsep.join([os.path.dirname(source), root])
    command = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = iter(torch.load(path))
    with torch.no_grad():
        for make in (mlp, recurrent):
            for way, expected in every_way(imported(make()), inputs()):
                assert_equal(next(found), expected, way)


# Threads --------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [mlp, recurrent])
def test_one_executor_serves_several_threads(make):
    executor = imported(make(), events=True)
    sequences = [inputs(12, batch).roll(batch, 0) for batch in range(1, 9)]

    def work(xs: torch.Tensor) -> Any:
        with torch.no_grad():
            return executor.run(xs, chunk=5), stepped(executor, xs), executor.run(xs)

    with torch.no_grad():
        expected = [plain(executor, xs) for xs in sequences]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            for results, right in zip(pool.map(work, sequences), expected, strict=True):
                for found in results:
                    assert_equal(found, right)


@torch.no_grad()
def test_the_number_of_threads_changes_no_number():
    rng = np.random.default_rng(0)
    xs = torch.from_numpy((rng.random((40, 96, 4)) < 0.3).astype(np.float32))
    for make in (mlp, recurrent):
        expected = referred(make(), xs, torch.float32)
        for count in (1, 2, 3):
            with threads(count):
                assert_equal(imported(make(), events=True).run(xs), expected, count)


# Captured as a graph ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("learning", [False, True])
@pytest.mark.parametrize(("make", "way"), [(mlp, "run"), (recurrent, "run"), (recurrent, "step")])
def test_all_of_a_fresh_executor_is_captured_as_one_graph(make, way, learning):
    # A step goes from node to node, with a loop or without one; a run does not.
    xs = inputs(steps=2)
    given = xs[0] if way == "step" else xs

    def call(executor: Any) -> Any:
        return executor if way == "step" else executor.run

    with torch.set_grad_enabled(learning):
        torch._dynamo.reset()
        captured = torch.compile(call(imported(make())), backend="aot_eager", fullgraph=True)
        found, _ = captured(given)
        # Nothing ran before: what a first call works out is captured too.
        expected, _ = call(imported(make(), kernels="torch"))(given)
    assert torch.equal(found, expected)
    assert found.requires_grad == learning
    assert found.any()
