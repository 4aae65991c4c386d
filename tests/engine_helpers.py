"""What the tests of the engine share: inputs on a grid, and the reference's numbers for them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t1c import bridge, ir
from t1c.bridge.engine import sequence
from t1c.bridge.engine.kernels.generated.loop import LEAVES, Loop
from t1c.bridge.engine.kernels.generated.operations import OPERATIONS
from t1c.bridge.engine.kernels.rule import Rule
from t1c.bridge.engine.kernels.surrogate import Surrogate

from .strategies_executor import chain

DTYPES = {torch.float32: np.float32, torch.float64: np.float64}
RULES = [
    ("no_fire", False),
    *itertools.product(("zero", "value", "subtract", "none", "lower"), (False, True)),
    ("hold", True),
    ("carry", False),
]
"""Every reset, with and without delay where it has a choice."""


def plain(loop: Loop, steps: int, size: int, arrays: Sequence[Any]) -> None:
    """Work a generated loop by what its operations mean to NumPy, which takes no compiler."""
    numbers, single, laid, carried, sums, *moving = (
        a.detach().numpy() if isinstance(a, Tensor) else a for a in arrays
    )
    reads, writes = moving[: len(loop.reads)], moving[len(loop.reads) :]
    constants, values = iter(range(2, len(numbers))), [numbers[0]] * len(loop.entries)
    for place, entry in enumerate(loop.entries):
        if entry.op == "number":
            values[place] = numbers[next(constants)]
        elif entry.op == "single":
            values[place] = single[entry.detail]
        elif entry.op == "laid":
            values[place] = laid[entry.detail, np.arange(size) % laid.shape[1]]
    sums[:] = 0
    for t in range(steps - 1, -1, -1) if loop.backwards else range(steps):
        for place, entry in enumerate(loop.entries):
            if entry.op == "read":
                values[place] = reads[loop.reads.index(entry.detail)][t].copy()
            elif entry.op == "carried":
                values[place] = carried[entry.detail].copy()
            elif entry.op not in LEAVES:
                with np.errstate(all="ignore"):
                    own = (values[p] for p in entry.operands)
                    values[place] = OPERATIONS[entry.op].meaning(*own)
        for y, place in zip(writes, loop.writes, strict=True):
            y[t] = values[place]
        for n, place in enumerate(loop.carried):
            carried[n] = values[place]
        for n, place in enumerate(loop.sums):
            sums[n] += values[place]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Torch and the engine use so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def grid(rng: np.random.Generator, *shape: int) -> Any:
    """Weights k/256, of which float32 holds every sum exactly."""
    return rng.integers(-128, 193, shape) / 256


def spikes(rng: np.random.Generator, *shape: int, graded: bool = False) -> Any:
    """Sparse inputs: zeros and ones, or zeros and k/256."""
    values = rng.integers(-128, 257, shape) / 256 if graded else np.ones(shape)
    return np.where(rng.random(shape) < 0.4, values, 0.0)


def lif(threshold: float = 0.5, **options: Any) -> ir.LIF:
    two = np.array([2.0])
    return ir.LIF(two, two, np.array([0.0]), np.array([threshold]), **options)


def mlp(seed: int = 0) -> ir.Graph:
    """4 inputs, 6 hidden neurons, 3 output neurons."""
    rng = np.random.default_rng(seed)
    return chain(
        ("input", ir.Input((4,))),
        ("fc", ir.Affine(grid(rng, 6, 4), grid(rng, 6))),
        ("lif", lif()),
        ("fc2", ir.Affine(grid(rng, 3, 6), grid(rng, 3))),
        ("lif2", lif()),
        ("output", ir.Output((3,))),
    )


def recurrent(seed: int = 0) -> ir.Graph:
    """4 inputs, 6 neurons that feed back on themselves through an Affine."""
    rng = np.random.default_rng(seed)
    nodes = {
        "input": ir.Input((4,)),
        "fc": ir.Affine(grid(rng, 6, 4), grid(rng, 6)),
        "lif": lif(),
        "rec": ir.Affine(grid(rng, 6, 6), grid(rng, 6)),
        "output": ir.Output((6,)),
    }
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "output")]
    return ir.Graph(nodes, edges, allow_cycles=True)


def inputs(steps: int = 8, batch: int = 3, features: int = 4, dtype: Any = torch.float32) -> Tensor:
    return torch.from_numpy(spikes(np.random.default_rng(1), steps, batch, features)).to(dtype)


def referred(graph: ir.Graph, xs: Any, dtype: torch.dtype) -> tuple[Tensor, dict[str, Any]]:
    """What the reference interpreter gives in this dtype, and its last state."""
    reference, outs = ir.Reference(graph, DTYPES[dtype]), []
    state: dict[str, Any] = {}
    for x in np.asarray(xs):
        y, state = reference.step(x, state)
        outs.append(np.asarray(y))
    tensors = {n: tuple(torch.as_tensor(v) for v in own) for n, own in state.items()}
    return torch.from_numpy(np.stack(outs)), tensors


def stepped(executor: Any, xs: Sequence[Tensor] | Tensor, state: Any = None) -> tuple[Tensor, Any]:
    outs = []
    for x in xs:
        out, state = executor(x, state)
        outs.append(out)
    return torch.stack(outs), state


def assert_equal(found: tuple[Tensor, Any], expected: tuple[Tensor, Any], what: Any = "") -> None:
    """Outputs and states are equal bit for bit."""
    (y, state), (z, after) = found, expected
    assert y.dtype == z.dtype, what
    assert torch.equal(y, z), what
    assert set(state) == set(after), what
    for name, own in after.items():
        assert len(state[name]) == len(own)
        for v, w in zip(state[name], own, strict=True):
            assert v.dtype == w.dtype, (what, name)
            assert torch.equal(v, w), (what, name)


def imported(graph: ir.Graph, dtype: torch.dtype = torch.float32, **options: Any) -> Any:
    return bridge.ir_to_torch(graph, return_state=True, dtype=dtype, **options)


@contextmanager
def stage_by_stage() -> Iterator[None]:
    """Networks are worked stage by stage, however little they have to do."""
    before = sequence.LITTLE
    sequence.LITTLE = 0
    try:
        yield
    finally:
        sequence.LITTLE = before


def every_way(executor: Any, xs: Tensor) -> Iterator[tuple[str, tuple[Tensor, Any]]]:
    """The sequence run whole, in chunks, from an iterator, cut in two, and stepped."""
    yield "whole", executor.run(xs)
    # Lengths that leave a rest and that leave none, the shortest and the longest.
    for chunk in sorted({*range(1, min(len(xs), 3) + 1), len(xs) - 1 or 1, len(xs)}):
        with stage_by_stage():
            found = executor.run(xs, chunk=chunk)
        yield f"chunks of {chunk}", found
    yield "iterator", executor.run(iter(xs), chunk=3)
    half = len(xs) // 2
    first, state = executor.run(xs[:half])
    second, state = executor.run(xs[half:], state)
    yield "two runs", (torch.cat([first, second]), state)
    yield "steps", stepped(executor, xs)
    first, state = executor.run(xs[:half])
    second, state = stepped(executor, xs[half:], state)
    yield "a run, then steps", (torch.cat([first, second]), state)


def rule(reset: str, delay: bool, **options: Any) -> Rule:
    given: dict[str, Any] = {"strict": False, "synapse": False, "surrogate": Surrogate()}
    return Rule(reset, delay, **{**given, **options})
