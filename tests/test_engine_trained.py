"""A convolution, its norm, neuron and pool in training as one, against plain torch.

The other side is the stepwise definition of the neuron under autograd, with torch's own
convolution, norm and pool.
"""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, event, given
from hypothesis import strategies as st

from t1c import bridge, ir
from t1c.bridge.engine import trained_blocks
from t1c.bridge.engine.choices import Choice
from t1c.bridge.engine.kernels import convolution_back, trained
from t1c.bridge.engine.kernels.surrogate import SLOPES

from .engine_helpers import threads
from .examples import examples
from .strategies_executor import chain

STATISTICS = (None, "frozen", "step", "sequence", "last")
RESETS: list[dict[str, Any]] = [
    {},
    {"reset": "subtract", "reset_delay": True},
    {"v_reset": -0.25, "spikes": "multiple", "v_min": -0.5},
    {"reset": "hold", "reset_delay": True},
    {"reset": "carry"},
]
FIRED = {"spikes": 0}


pytestmark = pytest.mark.usefixtures("one_thread")


def neuron(shape, kind, options, threshold=0.4):
    """A neuron with a parameter for each channel."""
    channels = np.linspace(0.75, 1.25, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    ones = np.ones_like(channels)
    own: dict[str, Any] = {"r": 3 * ones, "v_leak": 0.1 * ones}
    if kind is ir.LI:
        return kind(tau=3 * channels, **own)
    own |= {"v_threshold": threshold * channels}
    if kind is ir.CubaLIF:
        return kind(tau_syn=2 * channels, tau_mem=3 * channels, **own, **options)
    return kind(tau=3 * channels, **own, **options)


def norm(rng, features, statistics):
    kind, channels = (ir.BatchNorm2d if len(features) == 3 else ir.BatchNorm1d), features[0]
    more = {} if statistics == "frozen" else {"statistics": statistics}
    return kind(
        *(channels, rng.uniform(0.5, 1.5, channels), rng.normal(size=channels) / 4),
        *(rng.normal(size=channels) / 4, rng.uniform(0.5, 1.5, channels)),
        momentum=0.25,
        # Where a channel hardly varies, torch's own gradients are of rounding.
        eps=0.1,
        **more,
    )


@st.composite
def blocks(draw):
    """A block and its input."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    line = draw(st.booleans())
    axes = 1 if line else 2
    groups = draw(st.sampled_from([1, 1, 1, 2]))
    inputs, outs = groups * draw(st.integers(1, 5)), groups * draw(st.sampled_from([1, 3, 9, 17]))

    def sizes(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    kernel, stride, dilation = sizes(1, 3), sizes(1, 2), sizes(1, 2)
    padding = draw(st.one_of(st.just("same"), st.just(sizes(0, 2))))
    if padding == "same":
        kernel, stride = tuple(2 * (k // 2) + 1 for k in kernel), (1,) * axes
    shape = (inputs, *sizes(6, 9))
    weight = rng.normal(size=(outs, inputs // groups, *kernel)) * (2 / (inputs // groups)) ** 0.5
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if line:
        options = {k: v[0] if isinstance(v, tuple) else v for k, v in options.items()}
    node = (ir.Conv1d if line else ir.Conv2d)(weight, rng.normal(size=outs) / 4, **options)
    features = node.output_shape(shape)
    parts = [("conv", node)]
    steps, batch = draw(st.integers(2, 6)), draw(st.integers(1, 3))
    statistics = draw(st.sampled_from(STATISTICS))
    # Of a few numbers there is hardly a deviation.
    if statistics and batch * np.prod(features[1:]) > 5:
        parts.append(("norm", norm(rng, features, statistics)))
    kind = draw(st.sampled_from([ir.LIF, ir.LIF, ir.CubaLIF, ir.LI]))
    parts.append(("lif", neuron(features, kind, draw(st.sampled_from(RESETS)))))
    pool = draw(st.sampled_from([None, ir.MaxPool2d, ir.AvgPool2d]))
    out = features
    if pool is not None and not line and min(features[1:]) > 2:
        parts.append(("pool", pool(sizes(1, 2), sizes(1, 3))))
        out = parts[-1][1].output_shape(features)
    graph = chain(("input", ir.Input(shape)), *parts, ("output", ir.Output(out)))
    values = rng.normal(size=(steps, batch, *shape)) if draw(st.booleans()) else 1.0
    xs = np.where(rng.random((steps, batch, *shape)) < draw(st.sampled_from([0.1, 0.5])), values, 0)
    event(f"{type(node).__name__}, {statistics}, {kind.__name__}, {pool}")
    learn = draw(st.booleans())
    return graph, torch.from_numpy(xs), {
        "batchnorm": "frozen" if statistics == "frozen" else "recorded",
        "surrogate": draw(st.sampled_from(sorted(SLOPES))),
        "detach_reset": draw(st.booleans()),
        "learn": [n for n in ("tau", "tau_mem", "tau_syn", "r", "v_leak", "v_threshold", "v_reset")
                  if learn and getattr(graph.nodes["lif"], n, None) is not None],
    }  # fmt: skip


def learnt(graph, xs, chunk=None, **options):
    """Outputs, states, running statistics and gradients, by name; and the executor."""
    executor = bridge.ir_to_torch(graph, return_state=True, dtype=xs.dtype, **options).train()
    x = xs.clone().requires_grad_()
    y, state = executor.run(x, chunk=chunk)
    draw = torch.Generator().manual_seed(1)

    def weighed(t):
        return (t * torch.randn(t.shape, generator=draw, dtype=t.dtype)).sum()

    sum(map(weighed, [y, *itertools.chain.from_iterable(state.values())])).backward()
    found = {"y": y.detach(), "x": x.grad}
    found |= {f"state {n}": v.detach() for n, own in state.items() for v in own}
    found |= {f"buffer {n}": b.double() for n, b in executor.named_buffers()}
    for name, p in executor.named_parameters():
        found[name] = torch.zeros_like(p) if p.grad is None else p.grad
    return found, executor


def compare(found, wanted, tolerance=1e-10):
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        scale = max(1.0, float(value.abs().max())) if value.numel() else 1.0
        torch.testing.assert_close(
            found[name] / scale, value / scale, rtol=0, atol=tolerance, msg=name
        )


@examples(60, suppress_health_check=list(HealthCheck))
@given(blocks(), st.sampled_from([True, None]), st.sampled_from([1, 2]), st.booleans())
def test_blocks_learn_as_plain_torch(drawn, events, count, small):
    graph, xs, options = drawn
    wanted, _ = learnt(graph, xs, kernels="torch", **options)
    with threads(count), pytest.MonkeyPatch.context() as patch:
        if small:
            # Several patches of a band, and tiles of channels, in both loops.
            patch.setattr(trained, "PATCH", 16)
            patch.setattr(trained, "LEAST", 16)
            patch.setattr(convolution_back, "COLUMNS", 8)
        found, executor = learnt(graph, xs, events=events, **options)
    names = executor.network.blocks["conv"]
    assert names[-1] in ("lif", "pool")
    assert executor.network.choices["conv"].way in ("events", "dense")
    compare(found, wanted)
    FIRED["spikes"] += int((wanted["y"] != 0).sum())


def test_the_blocks_did_fire():
    assert FIRED["spikes"] > 500


def network(statistics="sequence", dtype=np.float64, threshold=0.4):
    """Two blocks and a readout."""
    rng = np.random.default_rng(0)

    def conv(outs, inputs):
        scale = (2 / inputs) ** 0.5 / 2
        return ir.Conv2d(
            (rng.normal(size=(outs, inputs, 3, 3)) * scale).astype(dtype),
            (rng.normal(size=outs) / 4).astype(dtype),
            padding=(1, 1),
        )

    parts: list[tuple[str, Any]] = [("conv", conv(6, 2))]
    if statistics:
        parts.append(("norm", norm(rng, (6, 9, 8), statistics)))
    parts += [("lif", neuron((6, 9, 8), ir.LIF, {}, threshold)), ("pool", ir.MaxPool2d((2, 2)))]
    parts.append(("conv2", conv(5, 6)))
    if statistics:
        parts.append(("norm2", norm(rng, (5, 4, 4), statistics)))
    parts += [("lif2", neuron((5, 4, 4), ir.LIF, {}, threshold)), ("flat", ir.Flatten(start_dim=0))]
    parts += [("fc", ir.Affine((rng.normal(size=(3, 80)) / 2).astype(dtype), np.zeros(3, dtype)))]
    parts += [("lif3", neuron((3,), ir.LIF, {}, 0.2))]
    return chain(("input", ir.Input((2, 9, 8))), *parts, ("output", ir.Output((3,))))


def drawn_spikes(*shape, dtype=torch.float64, density=0.3):
    generator = torch.Generator().manual_seed(2)
    return (torch.rand(*shape, generator=generator) < density).to(dtype)


CHAINS = {"conv": ("conv", "norm", "lif", "pool"), "conv2": ("conv2", "norm2", "lif2")}


@pytest.mark.parametrize("statistics", [None, "step", "sequence", "frozen"])
def test_a_network_learns_in_blocks(statistics):
    graph, xs = network(statistics, threshold=0.3), drawn_spikes(7, 3, 2, 9, 8)
    options = {"batchnorm": "frozen"} if statistics == "frozen" else {}
    wanted, plain = learnt(graph, xs, kernels="torch", **options)
    assert 5 < int(wanted["y"].sum()) < wanted["y"].numel() - 10
    assert not plain.network.blocks
    for events in (True, None):
        found, executor = learnt(graph, xs, events=events, **options)
        for name, names in CHAINS.items():
            assert executor.network.blocks[name] == tuple(n for n in names if n in graph.nodes)
        assert "as one kernel" in str(executor.explain())
        compare(found, wanted)


def test_a_step_of_training_by_hand():
    """Without the engine: torch's functions, and the membrane written out."""
    graph, xs = network("sequence"), drawn_spikes(7, 3, 2, 9, 8)
    executor = bridge.ir_to_torch(graph, dtype=torch.float64, events=True).train()
    p = {name: v.detach().clone().requires_grad_() for name, v in executor.named_parameters()}
    means = {n: executor.get_buffer(f"{n}.running_mean").clone() for n in ("norm", "norm2")}
    spreads = {n: executor.get_buffer(f"{n}.running_var").clone() for n in ("norm", "norm2")}

    class Fire(torch.autograd.Function):
        @staticmethod
        def forward(ctx, d):
            ctx.save_for_backward(d)
            return (d >= 0).to(d.dtype)

        @staticmethod
        def backward(ctx, g):
            (d,) = ctx.saved_tensors
            return g / (1 + (torch.pi * d).square())

    def membranes(x, name):
        node = graph.nodes[name]
        tau, r, leak, threshold = (
            torch.from_numpy(np.asarray(v))
            for v in (node.tau, node.r, node.v_leak, node.v_threshold)
        )
        v, sent = torch.zeros_like(x[0]), []
        for step in x:
            u = (1 - 1 / tau) * v + (leak + r * step) / tau
            s = Fire.apply(u - threshold)
            sent.append(s)
            v = u * (1 - s.detach())
        return torch.stack(sent)

    y = xs
    for k in ("", "2"):
        lead = y.shape[:2]
        z = F.conv2d(y.flatten(0, 1), p[f"conv{k}.weight"], p[f"conv{k}.bias"], padding=1)
        n = f"norm{k}"
        z = F.batch_norm(z, means[n], spreads[n], p[f"{n}.weight"], p[f"{n}.bias"], True, 0.25, 0.1)
        y = membranes(z.unflatten(0, lead), f"lif{k}")
        if not k:
            y = F.max_pool2d(y.flatten(0, 1), 2).unflatten(0, lead)
    y = membranes(F.linear(y.flatten(2), p["fc.weight"], p["fc.bias"]), "lif3")
    target = torch.tensor([0, 2, 1])
    F.cross_entropy(y.sum(0), target).backward()
    found, _ = executor.run(xs)
    F.cross_entropy(found.sum(0), target).backward()
    assert torch.equal(found, y)
    assert 10 < int(y.sum()) < y.numel() - 10
    assert set(executor.network.blocks) >= set(CHAINS)
    for name, parameter in executor.named_parameters():
        torch.testing.assert_close(parameter.grad, p[name].grad, rtol=1e-10, atol=1e-10, msg=name)
        if "conv" not in name or "weight" in name:
            assert parameter.grad.abs().max() > 1e-6
    for n in means:
        torch.testing.assert_close(executor.get_buffer(f"{n}.running_mean"), means[n])
        torch.testing.assert_close(executor.get_buffer(f"{n}.running_var"), spreads[n])
        assert executor.get_buffer(f"{n}.num_batches_tracked") == 1


def test_single_precision_within_rounding():
    graph, xs = network("sequence", np.float32), drawn_spikes(6, 4, 2, 9, 8, dtype=torch.float32)
    wanted, _ = learnt(graph, xs, kernels="torch")
    assert wanted["y"].sum() > 10
    for events in (True, None):
        found, _ = learnt(graph, xs, events=events)
        # In front of a norm that takes away the mean torch's gradients of a bias are of rounding.
        for name in ("conv.bias", "conv2.bias"):
            assert not found.pop(name).any()
            assert wanted[name].abs().max() < 1e-3
            found[name] = wanted[name]
        compare(found, wanted, 2e-5)


@pytest.mark.parametrize("statistics", [None, "step", "frozen"])
def test_chunks_and_truncation(statistics):
    graph, xs = network(statistics), drawn_spikes(8, 2, 2, 9, 8)
    options = {"batchnorm": "frozen"} if statistics == "frozen" else {}
    wanted, _ = learnt(graph, xs, kernels="torch", **options)
    for chunk in (1, 3, 8):
        found, executor = learnt(graph, xs, chunk, **options)
        assert executor.network.last_chunk == chunk
        compare(found, wanted)

    def cut(**more):
        executor = bridge.ir_to_torch(graph, dtype=torch.float64, **options, **more).train()
        executor.run(xs, chunk=3, truncate=True, collect=lambda _, y: (y**2).sum().backward())
        return {name: p.grad for name, p in executor.named_parameters()}

    compare(cut(), cut(kernels="torch"))


@pytest.mark.parametrize("way", ["events", "dense"])
def test_every_way_of_both_directions(monkeypatch, way):
    """Sums gathered and the gradient dense, and the other way round."""
    graph, xs = network(), drawn_spikes(6, 2, 2, 9, 8)
    wanted, _ = learnt(graph, xs, kernels="torch")
    asked: list[bool] = []

    def other(*_):
        asked.append(way == "dense")
        return asked[-1]

    monkeypatch.setattr(convolution_back, "_by_events", other)
    monkeypatch.setattr(trained_blocks, "chosen", lambda *_: Choice(way, 0.1, None, "a test"))
    found, executor = learnt(graph, xs)
    assert executor.network.choices["conv"].way == way
    assert len(asked) == 2
    compare(found, wanted)


def test_what_is_kept():
    """The sums, once; spikes as bits."""
    graph, xs = network(dtype=np.float32), drawn_spikes(8, 4, 2, 9, 8, dtype=torch.float32)
    kept: dict[int, int] = {}

    def keep(t):
        if not isinstance(t, torch.nn.Parameter):
            kept[t.data_ptr()] = t.numel() * t.element_size()
        return t

    def bytes_of(**options):
        kept.clear()
        executor = bridge.ir_to_torch(graph, dtype=torch.float32, **options).train()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            executor.run(xs)
        return sum(kept.values())

    sums = 8 * 4 * (6 * 9 * 8 + 5 * 4 * 4) * 4
    assert sums < bytes_of() < 1.4 * sums
    assert bytes_of(kernels="torch") > 4 * sums


def test_what_is_not_worked_so():
    graph, xs = network(), drawn_spikes(4, 2, 2, 9, 8)
    wanted, _ = learnt(graph, xs, kernels="torch")

    def plainly(change, **options):
        executor = bridge.ir_to_torch(graph, dtype=torch.float64, **options).train()
        change(executor)
        y, _ = executor.run(xs)
        assert y.requires_grad
        if executor.training:
            assert torch.equal(y, wanted["y"])
        return executor.network.blocks

    assert "conv" not in plainly(lambda e: None, events=False)
    assert "conv" not in plainly(lambda e: e.eval(), reproducible=True)
    seen = []
    blocks_ = plainly(lambda e: e.norm.register_forward_hook(lambda *a: seen.append(a)))
    assert seen
    assert blocks_["conv2"] == CHAINS["conv2"]
    assert "conv" not in blocks_
    executor = bridge.ir_to_torch(graph, dtype=torch.float64).train()
    loss = executor.run(xs)[0].sum()
    with torch.no_grad():
        executor.conv2.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_gradients_that_are_not_finite_stay_so():
    graph, xs = network(None), drawn_spikes(3, 2, 2, 9, 8)
    for kernels in ("torch", None):
        executor = bridge.ir_to_torch(graph, dtype=torch.float64, kernels=kernels).train()
        y, _ = executor.run(xs)
        (y * float("inf")).sum().backward()
        assert not executor.conv2.weight.grad.isfinite().any()
