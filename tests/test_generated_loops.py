"""Neurons without a primitive run as one generated loop: the same bits, the same gradients."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from t1c import bridge, ir
from t1c.bridge import stretch
from t1c.bridge.kernels.generated import made

from .neuron_grammar import neurons
from .test_elementwise_graphs import gated_loop, lif_by_hand


@pytest.fixture(autouse=True)
def worked(monkeypatch):
    """Every loop is worth compiling, whatever it takes; what was worked is counted."""
    done = []
    original = stretch.scan

    def scan(written, *rest):
        done.append(written)
        return original(written, *rest)

    monkeypatch.setattr(stretch, "WORTH", 0)
    monkeypatch.setattr(stretch, "scan", scan)
    return done


@pytest.fixture(autouse=True, scope="module")
def kept(tmp_path_factory):
    """Sources and machine code of these tests are theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("T1C_CACHE", str(tmp_path_factory.mktemp("loops")))
        yield


def sequence(graph, steps, batch, seed=0):
    rng = np.random.default_rng(seed)
    return {
        name: rng.integers(-512, 513, (steps, batch, *node.shape)) / 256
        for name, node in graph.inputs().items()
    }


def same(found, expected):
    """Bit for bit, but for which NaN it is and the sign of zero."""
    return np.array_equal(found.detach().numpy(), expected, equal_nan=True)


def assert_as_reference(graph, worked, steps, batch, chunk, dtype=np.float32):
    xs = sequence(graph, steps, batch)
    expected, after = ir.Reference(graph, dtype).run(xs)
    kind = torch.from_numpy(np.zeros((), dtype)).dtype
    executor = bridge.ir_to_torch(graph, dtype=kind)
    worked.clear()
    with torch.no_grad():
        given = {name: torch.from_numpy(x).to(kind) for name, x in xs.items()}
        outputs, state = executor.run(given, chunk=chunk)
    for name, y in expected.items():
        assert same(outputs[name], y), name
    for name, own in after.items():
        for found, wanted in zip(state[name], own, strict=True):
            assert same(found, wanted), name
    return bool(worked)


@settings(deadline=None, max_examples=25)
@given(neurons(), st.integers(1, 7), st.integers(1, 3), st.sampled_from([None, 1, 3]))
def test_any_neuron_is_the_reference_bit_for_bit(graph, steps, batch, chunk):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretch, "WORTH", 0)
        assert_as_reference(graph, [], steps, batch, chunk)


def gradients(graph, kernels, xs, detach, surrogate, chunk):
    """Of every input, first state and parameter, of a weighed sum of outputs and last states."""
    learn = {n for node in graph.flat().nodes.values() if hasattr(node, "fold") for n in node.parameters()}
    executor = bridge.ir_to_torch(
        graph, dtype=torch.float64, kernels=kernels, detach_reset=detach, surrogate=surrogate,
        learn=learn,
    )  # fmt: skip
    given = {name: torch.from_numpy(x).requires_grad_() for name, x in xs.items()}
    with torch.no_grad():
        _, first = executor.run(given)
    first = {n: tuple(v.clone().requires_grad_() for v in first[n]) for n in sorted(first)}
    outputs, state = executor.run(given, first, chunk=chunk)
    generator = torch.Generator().manual_seed(0)
    ends = [*outputs.values(), *(v for n in first for v in state[n])]
    loss = sum((v * torch.randn(v.shape, generator=generator, dtype=v.dtype)).sum() for v in ends)
    leaves = [*given.values(), *(v for own in first.values() for v in own), *executor.parameters()]
    return torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)


@settings(deadline=None, max_examples=15)
@given(
    neurons(smooth=True),
    st.booleans(),
    st.sampled_from(["atan", "fast_sigmoid", "sigmoid", "triangular", "straight_through"]),
    st.sampled_from([None, 2]),
)
def test_any_neuron_has_the_gradients_of_stepping(graph, detach, surrogate, chunk):
    xs = sequence(graph, 5, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretch, "WORTH", 0)
        found = gradients(graph, None, xs, detach, surrogate, chunk)
    expected = gradients(graph, "torch", xs, detach, surrogate, chunk)
    largest = max(float(e.abs().max()) for e in expected)
    assume(np.isfinite(largest))
    for g, e in zip(found, expected, strict=True):
        torch.testing.assert_close(g, e, rtol=1e-10, atol=1e-10 * max(1.0, largest))
