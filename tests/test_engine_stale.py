"""Nothing stale: whatever writes to a network, and in whatever way, the next call sees it."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils import parameters_to_vector, prune, vector_to_parameters

from t1c import bridge, ir
from t1c.bridge.engine.chunks import LATENCY
from t1c.bridge.engine.kernels.fingerprint import fingerprint
from t1c.ir.errors import InputError

from .engine_helpers import (
    assert_equal,
    every_way,
    grid,
    imported,
    inputs,
    lif,
    mlp,
    recurrent,
    stepped,
)
from .strategies_executor import chain

pytestmark = pytest.mark.usefixtures("one_thread")


def defined(executor: Any, xs: Any) -> Any:
    """The numbers of plain torch, step by step, on a copy that remembers nothing."""
    other = copy.deepcopy(executor)
    other.kernels, other.events = "torch", False
    with torch.no_grad():
        return stepped(other, xs)


def wide(seed: int = 0) -> ir.Graph:
    """300 inputs, 256 hidden neurons, 5 outputs: weights that are remembered."""
    rng = np.random.default_rng(seed)
    return chain(
        ("input", ir.Input((300,))),
        ("fc", ir.Affine(grid(rng, 256, 300) / 8, grid(rng, 256))),
        ("lif", lif()),
        ("fc2", ir.Affine(grid(rng, 5, 256), grid(rng, 5))),
        ("lif2", lif()),
        ("output", ir.Output((5,))),
    )


MAKERS = {"mlp": (mlp, 4), "recurrent": (recurrent, 4), "wide": (wide, 300)}


def warmed(name: str, steps: int = 8, **options: Any) -> tuple[Any, Tensor, Any]:
    """An executor that has run and stepped in every mode, its input, and what it gave."""
    make, width = MAKERS[name]
    executor, xs = imported(make(), **options), inputs(steps, features=width)
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            stepped(executor, xs)
            found = executor.run(xs)
    return executor, xs, found


def assert_seen(executor: Any, xs: Tensor, before: Any) -> None:
    """Every way, with and without gradients, gives the numbers of the parameters as they are."""
    expected = defined(executor, xs)
    assert not torch.equal(expected[1]["lif"][0], before[1]["lif"][0])
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            for way, found in every_way(executor, xs):
                assert_equal(found, expected, (way, grad))


# Writes that no version counts --------------------------------------------------------------------


@pytest.mark.grid(2)
@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "Adagrad"])
@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("learn", [("v_threshold",), ()])
def test_a_fused_optimizer_is_seen(name, kind, learn):
    executor, xs, before = warmed(name, learn=learn)
    if learn:
        executor.lif.v_threshold.grad = torch.full_like(executor.lif.v_threshold, -1.0)
        trained = [executor.lif.v_threshold]
    else:
        # A step on the grid, so that sums stay exact.
        executor.fc.weight.grad = torch.ones_like(executor.fc.weight)
        trained = [executor.fc.weight]
    version = trained[0]._version
    options = {"eps": 0.0} if kind.startswith("Adam") else {}
    getattr(torch.optim, kind)(trained, lr=0.25, fused=True, **options).step()
    assert trained[0]._version == version
    with torch.no_grad():
        # What an optimizer rounds is no matter here.
        rounded = (trained[0].detach().numpy() * 256).round() / 256
        trained[0].detach().numpy()[...] = rounded
    assert_seen(executor, xs, before)


def weight_through_data(executor: Any) -> None:
    executor.fc.weight.data.neg_()


def weight_through_numpy(executor: Any) -> None:
    executor.fc.weight.detach().numpy()[1] += 0.5


def one_weight_through_numpy(executor: Any) -> None:
    executor.fc.weight.detach().numpy()[1, 0] = 4.0


def bias_through_numpy(executor: Any) -> None:
    executor.fc.bias.detach().numpy()[...] = 1.0


def threshold_through_data(executor: Any) -> None:
    executor.lif.v_threshold.data.fill_(0.125)


def threshold_through_numpy(executor: Any) -> None:
    executor.lif.v_threshold.numpy()[...] = 0.125


def tau_through_numpy(executor: Any) -> None:
    executor.lif.tau.numpy()[...] = 4.0


@pytest.mark.parametrize(
    "change",
    [
        weight_through_data,
        weight_through_numpy,
        one_weight_through_numpy,
        bias_through_numpy,
        threshold_through_data,
        threshold_through_numpy,
        tau_through_numpy,
    ],
)
@pytest.mark.parametrize("name", MAKERS)
def test_a_write_that_no_version_counts_is_seen(name, change):
    executor, xs, before = warmed(name)
    xs[:, :, 0] = 1
    change(executor)
    assert_seen(executor, xs, before)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", MAKERS)
def test_a_weight_that_is_no_number_any_more_is_seen(name, bad):
    """An inactive input times NaN is NaN, which adding up active inputs would not see."""
    executor, xs, _ = warmed(name)
    xs[..., 0] = 0
    executor.fc.weight.detach().numpy()[1, 0] = bad
    expected = defined(executor, xs)[1]["lif"][0]
    assert expected.isnan().any()
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            for way, (_, state) in every_way(executor, xs):
                assert torch.equal(state["lif"][0].isnan(), expected.isnan()), (way, grad)


@pytest.mark.grid(2)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("batch", [1, 2, 4, 5])
def test_every_place_of_a_weight_is_looked_at_in_every_step(batch, dtype, bad):
    """Whether an input of zero meets no number is told for the weights as they are just now."""
    executor = imported(wide(), dtype)
    xs = inputs(3, batch, 300, dtype)
    xs[..., 77] = 0
    with torch.no_grad():
        _, before = stepped(executor, xs)
        assert all(v.isfinite().all() for own in before.values() for v in own)
        for node, columns in (("fc", (0, 77, 299)), ("fc2", (0, 255))):
            weight = executor.node(node).weight.detach().numpy()
            for row, column in itertools.product((0, len(weight) // 2, len(weight) - 1), columns):
                kept = weight[row, column]
                weight[row, column] = bad
                found, expected = stepped(executor, xs)[1], defined(executor, xs)[1]
                for v, w in ((found[n][0], expected[n][0]) for n in ("lif", "lif2")):
                    assert torch.equal(v.isnan(), w.isnan()), (node, row, column)
                    assert torch.equal(v[~v.isnan()], w[~w.isnan()]), (node, row, column)
                if node == "fc" and column == 77:
                    assert found["lif"][0].isnan().any()
                weight[row, column] = kept
        assert_equal(stepped(executor, xs), defined(executor, xs))


def test_in_the_written_order_an_input_of_zero_adds_nothing():
    executor, xs = imported(wide(), reproducible=True), inputs(4, 2, 300)
    xs[..., 0] = 0
    executor.fc.weight.detach().numpy()[1, 0] = float("inf")
    with torch.no_grad():
        found, expected = stepped(executor, xs), executor.run(xs)
    assert_equal(found, expected)
    assert found[1]["lif"][0].isfinite().all()
    assert found[0].any()


def test_a_weight_whose_memory_was_let_go_of_is_not_read():
    executor, xs, before = warmed("wide")
    storage = executor.fc.weight.untyped_storage()
    kept, size = executor.fc.weight.detach().clone(), storage.nbytes()
    storage.resize_(0)
    (program,) = executor.network.programs.values()
    assert program.frames.find(xs[0], xs.shape[1:2]) is None
    assert program.taped.find(xs[0], xs.shape[1:2]) is None
    storage.resize_(size)
    executor.fc.weight.data.copy_(kept)
    with torch.no_grad():
        assert_equal(stepped(executor, xs), before)


def test_a_step_of_few_samples_keeps_no_copy_of_a_weight():
    executor = imported(wide())
    with torch.no_grad():
        stepped(executor, inputs(2, 4, 300))
    (program,) = executor.network.programs.values()
    frame = program.frames.found[1]
    assert all(t.numel() < executor.fc.weight.numel() for t in frame.alive)
    assert executor.fc.weight.data_ptr() in frame.addresses
    with torch.no_grad():
        stepped(executor, inputs(2, 5, 300))
    assert any(t.numel() >= executor.fc.weight.numel() for t in program.frames.found[1].alive)


class Silent(bridge.LIFModule):
    """Another class that a module may be made of afterwards."""

    def step(self, x, state):
        return torch.zeros_like(x), state

    def scan(self, xs, state):
        return torch.zeros_like(xs), state


class Doubling(nn.Linear):
    """Likewise."""

    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(("node", "kind"), [("lif", Silent), ("fc", Doubling)])
@pytest.mark.parametrize("name", MAKERS)
def test_a_class_assigned_to_a_module_counts(name, node, kind):
    executor, xs, before = warmed(name)
    executor.node(node).__class__ = kind
    assert_seen(executor, xs, before)


def test_a_fingerprint_tells_every_bit_and_every_place():
    x = torch.zeros(5000)
    seen = {fingerprint(x)}
    for k, value in itertools.product((0, 1, 63, 128, 4863, 4864, 4999), (1e-45, 1.0, -0.0)):
        y = x.clone()
        y[k] = value
        seen.add(fingerprint(y))
    assert len(seen) == 22
    signs = torch.ones(5000)
    assert fingerprint(signs) != fingerprint(-signs)
    # What does not begin at a word, or has gaps.
    assert fingerprint(x[1:]) == fingerprint(torch.zeros(5001)[2:])
    y = torch.zeros(8, 8)
    before = fingerprint(y[:, 1:3])
    y[7, 2] = 1
    assert fingerprint(y[:, 1:3]) != before


# What the caller fills again ----------------------------------------------------------------------


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("name", MAKERS)
def test_an_iterator_may_yield_one_buffer_again_and_again(name, grad):
    executor, xs, before = warmed(name)
    buffer = torch.empty_like(xs[0])

    def camera():
        for x in xs:
            yield buffer.copy_(x)
            buffer.fill_(9)

    with torch.set_grad_enabled(grad):
        for chunk in (None, 1, 3):
            assert_equal(executor.run(camera(), chunk=chunk), before, chunk)


def test_a_chunk_is_bounded_in_steps():
    graph = chain(("input", ir.Input((1,))), ("lif", lif()), ("output", ir.Output((1,))))
    executor, taken, fed = imported(graph), [], [0]
    xs = torch.full((10_000, 1, 1), 0.375)

    def sensor():
        for _ in range(1000):
            fed[0] += 1
            yield torch.full((1, 1), 0.375)

    def take(first, spikes):
        taken.append((first, len(spikes), fed[0]))

    with torch.no_grad():
        executor.run(sensor(), collect=take)
        assert taken[0] == (0, LATENCY, LATENCY)
        assert sum(count for _, count, _ in taken) == 1000
        taken.clear()
        executor.run(xs, collect=take)
        assert max(count for _, count, _ in taken) == 4096
        whole, _ = executor.run(xs, chunk=10_000)
        assert torch.equal(executor.run(xs)[0], whole)
        assert 0 < whole.sum() < 10_000


# Weights as torch's own ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKERS)
def test_weights_lie_as_torchs_own(name):
    executor, xs, before = warmed(name)
    for parameter in executor.parameters():
        assert parameter.is_contiguous()
    vector = parameters_to_vector(executor.parameters())
    vector_to_parameters(vector * 0.5, executor.parameters())
    assert_seen(executor, xs, before)


def test_pruning_works_and_counts():
    executor, xs, before = warmed("wide")
    prune.random_unstructured(executor.fc, "weight", amount=0.5)
    assert (executor.fc.weight == 0).float().mean() > 0.4
    found = [found for _, found in every_way(executor, xs)]
    prune.remove(executor.fc, "weight")
    assert_seen(executor, xs, before)
    for pruned, (way, removed) in zip(found, every_way(executor, xs), strict=True):
        assert_equal(pruned, removed, way)


def test_a_run_and_steps_keep_one_layout_each():
    executor, xs, before = warmed("wide", events=True)
    with torch.no_grad():
        for _ in range(3):
            assert_equal(executor.run(xs), before)
            assert_equal(stepped(executor, xs), before)
    executor.fc.weight.data = executor.fc.weight.data.t().contiguous().t()
    with torch.no_grad():
        for way, found in every_way(executor, xs):
            assert_equal(found, before, way)


# Nothing poisoned ---------------------------------------------------------------------------------


def meta(x: Tensor) -> Tensor:
    return x.to("meta")


REFUSED = {
    "sparse": Tensor.to_sparse,
    "meta": meta,
    "nested": lambda x: torch.nested.nested_tensor([*x]),
    "complex": lambda x: x.to(torch.complex64),
}


WORDS = "layout|dtype|device"


def assert_unharmed(executor: Any, xs: Tensor, before: Any) -> None:
    for way, found in every_way(executor, xs):
        assert_equal(found, before, way)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("change", REFUSED)
@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("name", ["mlp", "recurrent"])
def test_what_is_refused_is_refused_with_words_and_harms_nothing(name, fresh, change):
    executor, xs, before = warmed(name)
    other = imported(MAKERS[name][0]()) if fresh else executor
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            for call in (other, other.run):
                given = xs if call == other.run else xs[0]
                with pytest.raises((InputError, RuntimeError), match=WORDS):
                    call(REFUSED[change](given))
            assert_unharmed(other, xs, before)


class Output(nn.Module):
    """What an executor sends for a step, or for a sequence."""

    def __init__(self, executor: Any, whole: bool) -> None:
        super().__init__()
        self.executor, self.whole = executor, whole

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = (self.executor.run(x) if self.whole else self.executor(x))[0]
        return out


def traced(function: Any, x: Tensor) -> Any:
    with torch.no_grad():
        return torch.jit.trace(function, (x,))


def fx(function: Any, x: Tensor) -> Any:
    return make_fx(function)(x)


def fx_fake(function: Any, x: Tensor) -> Any:
    return make_fx(function, tracing_mode="symbolic", _allow_non_fake_inputs=True)(x)


def mapped(function: Any, x: Tensor) -> Any:
    """A function that works its batch as single samples beside each other."""
    dim = x.ndim - 2

    def one(x: Tensor) -> Tensor:
        out: Tensor = function(x.unsqueeze(dim)).squeeze(dim)
        return out

    return torch.vmap(one, in_dims=dim, out_dims=dim)


@pytest.mark.grid(2)
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("capture", [traced, fx, fx_fake, mapped])
@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("name", ["mlp", "recurrent"])
def test_what_is_captured_is_right_and_harms_nothing(name, fresh, grad, capture):
    # Each step is captured by itself: four are a first, some between, and a last.
    executor, xs, before = warmed(name, steps=4)
    other = imported(MAKERS[name][0]()) if fresh else executor
    shuffled = xs.roll(2, 0).roll(1, 1)
    expected = defined(executor, shuffled)[0]
    # Twice as much, which passes both layers in a single step.
    at_first = defined(executor, 2 * shuffled.flatten(0, 1)[None])[0].view_as(expected)
    assert 0 < expected.sum() < expected.numel()
    assert 0 < at_first.sum() < at_first.numel()
    with torch.set_grad_enabled(grad):
        ran = capture(Output(other, True), xs)
        assert torch.equal(ran(shuffled), expected)
        one = capture(Output(other, False), xs[0])
        for x, y in zip(shuffled, at_first, strict=True):
            assert torch.equal(one(2 * x), y)
        assert_unharmed(other, xs, before)


def test_functional_gradients_are_those_of_backward():
    executor, xs, before = warmed("mlp")
    x = xs.clone().requires_grad_()
    executor.run(x)[0].sum().backward()
    found = torch.func.grad(lambda x: executor.run(x)[0].sum())(xs)
    assert found.any()
    assert torch.allclose(found, x.grad, rtol=1e-5, atol=1e-7)
    assert_unharmed(executor, xs, before)


def test_weights_elsewhere_are_refused_and_not_read():
    executor, xs, before = warmed("wide")
    other = copy.deepcopy(executor)
    other.fc.to("meta")
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            for call in (other, other.run):
                with pytest.raises(RuntimeError, match="meta"):
                    call(xs if call == other.run else xs[0])
    assert_unharmed(executor, xs, before)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("grad", [True, False])
def test_a_derivative_forwards_is_not_lost(grad):
    """Of a membrane that does not fire: a spike has none forwards."""
    rng = np.random.default_rng(0)
    graph = chain(
        ("input", ir.Input((4,))),
        ("fc", ir.Affine(grid(rng, 6, 4), grid(rng, 6))),
        ("li", ir.LI(np.array([2.0]), np.array([2.0]), np.array([0.0]))),
        ("output", ir.Output((6,))),
    )
    executor, xs = imported(graph, torch.float64), inputs(dtype=torch.float64)
    expected = executor.run(2 * xs)[0] - executor.run(xs)[0]
    assert expected.any()
    with torch.set_grad_enabled(grad), forward_ad.dual_level():
        dual = forward_ad.make_dual(xs, xs)
        for ys in (executor.run(dual)[0], stepped(executor, dual)[0]):
            assert torch.allclose(forward_ad.unpack_dual(ys).tangent, expected)
