"""Generated loops in Triton: interpreted, where there is no GPU."""

import itertools

import numpy as np
import pytest
import torch

from t1c import bridge, ir
from t1c.bridge.engine import stretch

from .neuron_examples import adaptive, exponential, refractory

GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"

with pytest.MonkeyPatch.context() as patch:
    # Triton looks at this when kernels are defined.
    if not GPU:
        patch.setenv("TRITON_INTERPRET", "1")
    pytest.importorskip("triton", reason="Triton is not installed; its kernels stay untested")
    from t1c.bridge.engine.kernels.generated import triton_launch
    from t1c.bridge.engine.kernels.generated.loop import Writer
    from t1c.bridge.engine.kernels.generated.operations import OPERATIONS
    from t1c.bridge.engine.kernels.generated.scan import serves
    from t1c.bridge.engine.kernels.surrogate import SLOPES, Surrogate

    from .interpreted import remap_once

    remap_once()

EXAMPLES = {"adaptive": lambda: adaptive(2, 3, detuned=True), "refractory": lambda: refractory(3)}
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


@pytest.fixture(autouse=True)
def worked(monkeypatch):
    done = []
    scan = stretch.scan

    def noted(written, *rest):
        done.append(written)
        return scan(written, *rest)

    monkeypatch.setattr(stretch, "WORTH", 0)
    monkeypatch.setattr(stretch, "OFTEN", 0)
    monkeypatch.setattr(stretch, "scan", noted)
    if not GPU:
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    return done


def sequence(shape, dtype, steps=6, batch=2):
    xs = np.random.default_rng(0).integers(-512, 513, (steps, batch, *shape)) / 256
    return torch.from_numpy(xs).to(DEVICE, dtype)


def executor(graph, dtype, kernels, surrogate="atan"):
    made = bridge.ir_to_torch(graph, dtype=dtype, kernels=kernels, surrogate=surrogate)
    return made.to(DEVICE)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", EXAMPLES)
def test_forwards_is_stepping_bit_for_bit(name, dtype, worked):
    graph = EXAMPLES[name]()
    (shape,) = (node.shape for node in graph.inputs().values())
    xs = sequence(shape, dtype)
    with torch.no_grad():
        found, state = executor(graph, dtype, "triton").run(xs, chunk=4)
        assert len(worked) == 2
        expected, wanted = executor(graph, dtype, "torch").run(xs)
    assert 0 < expected.sum() < expected.numel()
    assert torch.equal(found, expected)
    for node, own in wanted.items():
        assert all(map(torch.equal, state[node], own))


@pytest.mark.parametrize("surrogate", SLOPES)
@pytest.mark.parametrize("name", [*EXAMPLES, "exponential"])
def test_backwards_is_autograd_of_stepping(name, surrogate, worked):
    graph = {**EXAMPLES, "exponential": lambda: exponential(3)}[name]()
    (shape,) = (node.shape for node in graph.inputs().values())
    found = []
    for kernels in ("triton", "torch"):
        xs = sequence(shape, torch.float64).requires_grad_()
        model = executor(graph, torch.float64, kernels, surrogate)
        y, state = model.run(xs)
        ends = [y, *(v for node in sorted(state) for v in state[node])]
        g = torch.Generator().manual_seed(0)
        loss = sum((torch.randn(v.shape, generator=g).to(v) * v).sum() for v in ends)
        leaves = [xs, *model.parameters()]
        found.append(torch.autograd.grad(loss, leaves))
    assert len(worked) == 1
    assert found[1][0].abs().sum() > 0
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


# NumPy, which the interpreter computes with, remarks on what is meant here.
@pytest.mark.filterwarnings("ignore:(overflow|invalid value|divide by zero):RuntimeWarning")
@pytest.mark.parametrize("name", [n for n, row in OPERATIONS.items() if row.triton])
def test_every_operation_means_what_the_table_says(name):
    row = OPERATIONS[name]
    edges = [0.0, 0.5, -0.5, 1.0, -1.0, 1.5, 2.5, -2.5, 3.0, 1e6, np.inf, -np.inf, np.nan]
    a, b = np.array(list(itertools.product(edges, edges)), np.float32).T
    writer = Writer()
    x, y = (writer.add("read", detail=n) for n in (0, 1))
    symbols, values = [x, y], [a, b]
    if "{2}" in row.triton:
        symbols, values = (
            ([x > y, x, y], [a > b, a, b]) if name == "where" else ([x, x, y], [a, a, b])
        )
    elif "{1}" not in row.triton:
        symbols, values = [x], [a]
    result = writer.add(name, *symbols, detail=Surrogate() if row.fires else None)
    loop = writer.loop([result.where(1, 0) if row.condition else result], [])
    out = torch.empty(1, len(a), device=DEVICE)
    none = torch.zeros(0, 1, device=DEVICE)
    numbers = torch.tensor([0.0, 1.0, *loop.numbers], device=DEVICE)
    reads = [torch.from_numpy(v[None].copy()).to(DEVICE) for v in (a, b)]
    triton_launch.launch(loop, 1, len(a), [numbers, none[:, 0], none, none, none,
                                           *(reads[n] for n in loop.reads), out])  # fmt: skip
    with np.errstate(all="ignore"):
        expected = np.asarray(row.meaning(*values)).astype(np.float32)
    compare = np.testing.assert_array_equal if row.exact else _close
    compare(out[0].cpu().numpy(), expected)


def _close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_triton_has_no_function_for_is_not_served(worked):
    writer = Writer()
    loop = writer.loop([writer.add("read", detail=0).apply("tanh")], [])
    assert serves(loop, "numba")
    assert not serves(loop, "triton")
    nodes = {"x": ir.Input((3,)), "n": ir.Tanh(3), "m": ir.Scale(np.array(0.5)),
             "y": ir.Output((3,))}  # fmt: skip
    graph = ir.Graph(nodes, [("x", "n"), ("n", "m"), ("m", "y")])
    y, _ = executor(graph, torch.float32, "triton").run(torch.ones(4, 1, 3, device=DEVICE))
    assert not worked
    assert y.sum() > 0
