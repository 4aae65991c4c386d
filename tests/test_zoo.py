"""The zoo's models run as they say, and its checker tells right from wrong."""

import importlib
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from .export_helpers import bridge, ir
from .peers import peer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

# The frameworks' own deprecations are theirs.
pytestmark = pytest.mark.filterwarnings("ignore")

peer("snntorch", "spikingjelly", "norse", "sinabs")
peer("zoo.stubs").stub("pylab")
MODELS = peer(*(f"zoo.models.{name}" for name in ("snntorch", "norse", "sinabs", "papers")))
CHECK: Any = importlib.import_module("zoo.check")
PREPARE: Any = importlib.import_module("zoo.prepare")
COMPARE: Any = importlib.import_module("zoo.compare")
PAGE: Any = importlib.import_module("zoo.page")
APART: Any = importlib.import_module("zoo.apart")
LAYOUTS: Any = importlib.import_module("zoo.layouts")

FAST = (
    "5: Leaky, learnt",
    "time last",
    "LIFRecurrentCell",
    "task.speech_commands, LIF",
    "from_model, CNN",
    "TET, VGG on events",
    "QCFS, membrane from half the threshold",
    "SRNN, adaptive thresholds",
    "PLIF by hand, one step",
)


def entry(name):
    return next(e for models in MODELS for e in models.ENTRIES if e.name == name)


@pytest.mark.parametrize("name", FAST)
def test_models_run_from_rest_and_their_layers_speak(name):
    one = entry(name)
    model = one.model()
    rates = PREPARE.prepare(one, model)
    assert rates
    assert all(PREPARE.LOW <= rate <= PREPARE.HIGH for rate in rates.values()), rates
    steps, batch = one.fresh
    first, second = (one.run(model, one.input(steps, batch, seed=3)) for _ in range(2))
    for y, again in zip(first, second, strict=True):
        assert y.shape[:2] == (steps, batch) or len(y) == batch
        assert torch.equal(y, again)
        assert y.count_nonzero()
    other = one.run(model, one.input(steps, batch, seed=4))
    assert any(not torch.equal(y, z) for y, z in zip(first, other, strict=True))


@pytest.mark.parametrize("name", FAST)
def test_weights_are_the_same_at_every_call(name):
    a, b = entry(name).model(), entry(name).model()
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(p, q)


def test_a_right_graph_is_exact():
    found = CHECK.check(entry("3, 5: Leaky, an image held still"))
    assert found.verdict == "EXACT", found.why
    # Two layers' spikes, and the output's.
    assert found.spikes >= 8 * 3 * (100 + 10 + 10)
    assert found.layers == 2
    assert found.rates[0] > 0
    assert found.nodes == 7
    assert found.export_seconds > 0
    assert found.model_seconds > 0
    assert found.graph_seconds > 0


def test_another_threshold_is_wrong():
    def export(model, sample):
        graph = bridge.to_ir(model, sample)
        lif = graph.nodes["lif1"]
        nodes = {**graph.nodes, "lif1": replace(lif, v_threshold=1.05 * lif.v_threshold)}
        return ir.Graph(nodes, graph.edges)

    found = CHECK.check(entry("3, 5: Leaky, an image held still"), export)
    assert found.verdict == "WRONG"
    assert 0 < found.spikes_off < found.spikes
    assert "in float64" in found.why


def test_another_shape_is_wrong():
    def export(model, sample):
        return bridge.to_ir(torch.nn.Linear(6, 4), sample[0])

    found = CHECK.check(replace(entry("2: Leaky"), fresh=(4, 3)), export)
    assert found.verdict == "WRONG"
    assert "(4, 3, 4), and (4, 3, 6) in torch" in found.why


def test_a_graph_of_another_input_is_wrong():
    def export(model, sample):
        return bridge.to_ir(torch.nn.Linear(6, 4), sample)

    found = CHECK.check(entry("2: Leaky"), export)
    assert found.verdict == "WRONG"
    assert "expected (T, B, *shape)" in found.why


@pytest.mark.parametrize(
    ("error", "verdict", "why"),
    [
        (ir.UnsupportedError("no graph can say it"), "REFUSED", "no graph can say it"),
        (RuntimeError("sizes\ndiffer"), "CRASH", "RuntimeError: sizes"),
    ],
)
def test_errors_are_told_apart(error, verdict, why):
    def export(model, sample):
        raise error

    found = CHECK.check(entry("2: Leaky"), export)
    assert (found.verdict, found.why) == (verdict, why)


def test_spikes_are_counted_exactly_and_values_by_their_size():
    spikes = torch.tensor([0.0, 1.0, 1.0, 2.0])
    assert COMPARE.count(spikes, spikes + torch.tensor([0, 0, 1e-6, 0])).differing == 1
    values = torch.tensor([0.5, -3.0, 100.0])
    near = values * (1 + 1e-5)
    assert COMPARE.count(values, near).differing == 0
    near[1] = -3.01
    assert COMPARE.count(values, near).differing == 1
    assert COMPARE.count(values, torch.full_like(values, torch.nan)).differing == 3


def test_time_comes_first_whatever_the_model_returns():
    y = torch.rand(5, 3, 2)
    read = LAYOUTS.SEQUENCE.time_first
    for shown in (y, y.transpose(0, 1), y.flatten(0, 1), y.movedim(0, -1)):
        assert torch.equal(read(shown, 5, 3), y)
    merged = y.transpose(0, 1).flatten(0, 1)
    assert torch.equal(LAYOUTS.MERGED.time_first(merged, 5, 3), y)
    assert torch.equal(read(y[-1], 5, 3), y[-1])


@pytest.mark.parametrize(
    ("make", "limit", "why"),
    [
        (lambda: time.sleep(30), 0.5, "not done after 0 s"),
        (lambda: os._exit(3), 30, "the process ended with 3"),
    ],
)
def test_a_model_that_hangs_or_dies_is_a_crash(make, limit, why):
    found = APART.checked(replace(entry("2: Leaky"), make=make), threads=1, limit=limit)
    assert (found.verdict, found.why) == ("CRASH", why)


def test_the_page_counts_and_lists_refusals():
    exact = CHECK.check(entry("2: Leaky"))
    verdict: Any = importlib.import_module("zoo.verdict")
    refused = verdict.Found("Norse", "noisy", "REFUSED", "rand | has no primitive", refusal="draws")
    unknown = verdict.Found(
        "sinabs", "x", "REFUSED", "module '1' (ALIF, called at a.py:1): ALIF; no"
    )
    text = PAGE.page([exact, refused, unknown], {"2: Leaky": (6.0, 3.0)}, "Measured here.")
    assert "| snnTorch | 1 | 0 | 0 | 0 | 0 | 1 |" in text
    assert "| **all** | 1 | 0 | 0 | 2 | 0 | 3 |" in text
    assert "| 1 | REFUSED | ALIF |" in text
    assert "| Norse: noisy | draws |" in text
    assert "| 2: Leaky | 3 | " in text
    assert text.endswith("Measured here.\n")
