"""The neurons of random networks have every pair of options, and all neurons that exist work."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from t1c import ir

from .engine_helpers import imported, referred
from .neuron_catalogue import OPTIONS, catalogue, every_row, over, pairs, rows
from .strategies_executor import chain

SHAPE = (6,)
VALUES = {
    "tau": (1.0, 2.0, 4.0), "tau_mem": (1.0, 2.0, 4.0), "tau_syn": (1.0, 2.0), "r": (1.0, 2.0),
    "v_leak": (-0.25, 0.0, 0.25), "v_threshold": (0.125, 0.25, 0.5), "w_in": (0.5, 1.0, 2.0),
}  # fmt: skip


def test_any_two_options_that_go_together_are_in_some_row():
    found = set().union(*map(pairs, catalogue()))
    expected = set().union(*map(pairs, every_row()))
    assert found == expected
    for (a, of_a), (b, of_b) in itertools.combinations(OPTIONS.items(), 2):
        both = {((a, x), (b, y)) for x in of_a for y in of_b}
        apart = {(("fires_at", "gt"), ("spikes", "multiple")),
                 (("reset", "hold"), ("reset_delay", False)),
                 (("reset", "carry"), ("reset_delay", True))}  # fmt: skip
        assert both - apart <= found
    assert len(catalogue()) < 25


def test_a_kind_keeps_every_reset():
    """Where networks are of one kind of neuron."""
    for kind in OPTIONS["kind"]:
        chosen = {row["reset"] for row in catalogue() if row["kind"] == kind}
        assert chosen == set(OPTIONS["reset"])
        rows(kind).validate()


def node(row: dict[str, Any], rng: Any) -> Any:
    kind, fields = ir.str_to_node(row["kind"]), dict(VALUES)
    if row["reset"] in ("value", "lower"):
        fields["v_reset"] = (-0.25, 0.0, 0.125)
    if row["bounded"]:
        fields["v_min"] = (-0.5, -0.125, 0.0)
    given = {
        name: rng.choice(values, SHAPE if over(row["form"], name) else (1,))
        for name, values in fields.items()
        if name in kind.kinds or name in ("v_reset", "v_min")
    }
    options = {n: row[n] for n in ("reset", "reset_delay", "fires_at", "spikes")}
    return kind(**given, **options)


@pytest.mark.usefixtures("uncompiled", "one_thread")
@pytest.mark.parametrize("reset", OPTIONS["reset"])
@torch.no_grad()
def test_every_neuron_that_there_is_gives_the_reference_bit_for_bit(reset):
    """What is generated, by what it means to NumPy; that compiled it is the same is seen elsewhere.

    All combinations of what is said in words; the form of parameters by turns.
    """
    rng, fired, compared = np.random.default_rng(0), 0.0, 0
    alike = (row for row in every_row() if row["reset"] == reset and row["form"] == "single")
    for row, form in zip(alike, itertools.cycle(OPTIONS["form"]), strict=False):
        row = row | {"form": form}
        ends = ir.Input(SHAPE), ir.Output(SHAPE)
        graph = chain(("input", ends[0]), ("neuron", node(row, rng)), ("output", ends[1]))
        xs = torch.from_numpy(rng.integers(-128, 257, (6, 2, *SHAPE)) / 256)
        expected, last = referred(graph, xs, torch.float64)
        found, state = imported(graph, torch.float64, kernels="numba").run(xs)
        assert torch.equal(found, torch.as_tensor(expected)), row
        for ours, own in zip(state["neuron"], last["neuron"], strict=True):
            assert torch.equal(ours, torch.as_tensor(own)), row
        fired, compared = fired + float(found.sum()), compared + 1
    assert compared == (18 if reset in ("hold", "carry") else 36)
    assert fired > 18 * 6
