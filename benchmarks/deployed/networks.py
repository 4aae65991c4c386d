"""What is deployed: the demo's network, one with feedback, spiking attention, and random graphs."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from t1c import bridge, ir, sdk

from .sample import Sample

ROOT = Path(__file__).parents[2]
STEPS = 20


def demo(images: int = 40) -> Sample:
    """The digits' network as it was trained, on digits that it has not seen."""
    return Sample.of("digits", ir.read(ROOT / "examples" / "digits.t1c"), _digits(images), False)


def demo_in_integers(images: int = 40) -> Sample:
    """The same with weights of 8 bits and integer states."""
    graph = ir.read(ROOT / "examples" / "digits.t1c")
    small = sdk.quantize(graph, weight_bits=8, calibrate=_digits(images))
    return Sample.of("digits, 8 bits", small, _digits(images), True, "int8")


def recurrent(batch: int = 4) -> Sample:
    """Spikes fed back through weights and a delay, into a readout; on a grid."""
    rng = np.random.default_rng(0)

    def weights(*shape: int) -> Any:
        return rng.integers(-96, 160, shape) / 256

    one = np.ones(32)
    nodes = {
        "in": ir.Input((20,)),
        "fc": ir.Affine(weights(32, 20), weights(32)),
        "lif": ir.LIF(4 * one, one, 0 * one, 0.5 * one, reset="subtract"),
        "back": ir.Affine(weights(32, 32) / 4, weights(32) / 4),
        "delay": ir.Delay(rng.integers(1, 4, 32)),
        "readout": ir.Affine(weights(10, 32), weights(10)),
        "out_lif": ir.LIF(np.full(10, 2.0), np.ones(10), np.zeros(10), np.full(10, 0.5)),
        "out": ir.Output((10,)),
    }
    edges = [
        ("in", "fc"),
        ("fc", "lif"),
        ("lif", "delay"),
        ("delay", "back"),
        ("back", "lif"),
        ("lif", "readout"),
        ("readout", "out_lif"),
        ("out_lif", "out"),
    ]
    graph = ir.Graph(nodes, edges, allow_cycles=True)
    xs = {"in": (rng.random((STEPS, batch, 20)) < 0.2).astype(np.float32)}
    return Sample.of("recurrent", graph, xs, True)


def attention(batch: int = 2) -> Sample:
    """Spikformer's block of ``make zoo``: spikes multiplied by spikes."""
    with warnings.catch_warnings():
        # SpikingJelly warns of torch's deprecations as it is imported.
        warnings.simplefilter("ignore")
        from zoo.models.papers_attention import attention_entries

        entry = next(e for e in attention_entries() if e.name.startswith("Spikformer"))
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(0)
        drawn = entry.draw((batch, *entry.shape), generator)
        graph = bridge.to_ir(entry.make().eval(), drawn[:1], verify=False)
    image = drawn.numpy()
    steps = next(node.hold for node in graph.inputs().values()) or 4
    xs = {n: np.broadcast_to(image, (steps, *image.shape)) for n in graph.inputs()}
    return Sample.of("Spikformer's block", graph, xs, False)


def random_graphs(count: int) -> Iterator[Sample]:
    """Graphs of the tests' grammar on a grid, half of them with feedback."""
    yield from _drawn(count - count // 2, cyclic=False)
    yield from _drawn(count // 2, cyclic=True)


def _drawn(count: int, cyclic: bool) -> list[Sample]:
    sys.path.insert(0, str(ROOT))
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    from tests.strategies_executor import networks, sequences

    found: list[Sample] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def draw(data: Any) -> None:
        graph = data.draw(networks(every=True, cyclic=cyclic))
        xs = data.draw(sequences(graph))
        found.append(Sample.of(f"random {len(found)}", graph, xs, True))

    draw()
    return found


def _digits(images: int) -> dict[str, Any]:
    sys.path.insert(0, str(ROOT / "examples"))
    from digits import STEPS as DIGIT_STEPS

    with np.load(ROOT / "examples" / "digits_test.npz") as data:
        first = next(iter(data.values()))
    graph = ir.read(ROOT / "examples" / "digits.t1c")
    (name, node), *_ = graph.inputs().items()
    pixels = first[:images].reshape(-1, *node.shape).astype(np.float32)
    return {name: np.broadcast_to(pixels, (DIGIT_STEPS, *pixels.shape))}
