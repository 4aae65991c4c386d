"""snnTorch's neurons and their graphs under verify: every step's spike and membrane, 64 steps.

On a dyadic grid nothing differs. Where snnTorch adds in another order than a graph (the recurrent
ones: (beta * mem + x) + recurrence; Lapicque: mem * decay + input * R * gain) membranes may differ
in their last bit once they fill the mantissa; they never do where every sum is exact.
"""

import itertools

import pytest
import snntorch as snn
import torch
from torch import nn

from .export_helpers import Loop, bridge, dyadic, spikes, written

T, B, IN, HIDDEN = 64, 3, 6, 8
RESETS = ["subtract", "zero", "none"]
RECURRENT = {
    "all to all": {"linear_features": HIDDEN},
    "one to one": {"all_to_all": False, "V": 0.5},
}
EXACT = {
    "Lapicque": lambda **o: snn.Lapicque(R=2.0, C=4.0, threshold=0.5, **o),
    "Lapicque, no memory": lambda **o: snn.Lapicque(R=1, C=1, threshold=0.5, **o),
    **{
        f"RLeaky, {kind}, beta = {beta}": lambda beta=beta, r=r, **o: snn.RLeaky(
            beta, threshold=0.5 + 1.5 * (beta == 1), **r, **o
        )
        for (kind, r), beta in itertools.product(RECURRENT.items(), (0.0, 1.0))
    },
    **{
        f"RSynaptic, {kind}": lambda r=r, **o: snn.RSynaptic(0.0, 0.0, threshold=1.0, **r, **o)
        for kind, r in RECURRENT.items()
    },
}
ROUNDED = {
    "Lapicque, R = 3": lambda **o: snn.Lapicque(R=3.0, C=5.0, threshold=0.75, **o),
    "Lapicque, time_step = 1/3": lambda **o: snn.Lapicque(
        R=1.5, C=2.0, time_step=1 / 3, threshold=0.25, **o
    ),
    **{
        f"RLeaky, {kind}, beta = {beta}": lambda beta=beta, r=r, **o: snn.RLeaky(
            beta, threshold=0.5 + 1.5 * (beta == 1), **r, **o
        )
        for (kind, r), beta in itertools.product(RECURRENT.items(), (0.5, 0.75))
    },
    **{
        f"RSynaptic, {kind}": lambda r=r, **o: snn.RSynaptic(0.5, 0.75, threshold=2.0, **r, **o)
        for kind, r in RECURRENT.items()
    },
}


def states_of(neuron):
    return {snn.RLeaky: 2, snn.RSynaptic: 3}.get(type(neuron), 1)


class Spikes(Loop):
    """The loop without its membranes."""

    def forward(self, x):
        return super().forward(x)[0]


def report_on(neuron, tmp_path, grid=True, seed=0):
    model = Spikes(neuron, IN, HIDDEN, states_of(neuron))
    if grid:
        dyadic(model, 0.5 if hasattr(neuron, "recurrent") else 2.0, seed)
    xs = spikes(T, B, IN, seed=seed)
    graph = written(bridge.to_ir(model, xs[:3]), tmp_path)
    return bridge.verify(model, graph, xs), model(xs)


@pytest.mark.grid(1)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("name", [*EXACT, *(f"{n} (rounded)" for n in ROUNDED)])
def test_on_a_grid_no_spike_and_no_potential_differs(name, reset, tmp_path):
    make = EXACT.get(name) or ROUNDED[name.removesuffix(" (rounded)")]
    report, sent = report_on(make(reset_mechanism=reset), tmp_path)
    assert report, str(report)
    assert report.spikes.compared
    assert report.spikes.differing == 0
    assert report.potentials.compared == T * B * HIDDEN
    assert report.potentials.differing == 0
    assert report.potentials.largest == 0 or name not in EXACT
    assert sent.any()


@pytest.mark.grid(1)
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", ROUNDED)
def test_on_ordinary_numbers_a_spike_differs_within_rounding_or_not_at_all(name, seed, tmp_path):
    torch.manual_seed(seed)
    report, sent = report_on(ROUNDED[name](), tmp_path, False, seed)
    assert report or report.within_rounding, str(report)
    assert report.potentials.compared
    assert sent.shape == (T, B, HIDDEN)


def test_a_sequence_of_layers_on_ordinary_numbers():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(20, 50),
        snn.Leaky(0.9, init_hidden=True),
        nn.Linear(50, 10),
        snn.Synaptic(0.8, 0.7, init_hidden=True),
    )
    xs = 4 * torch.rand(T, 8, 20)
    report = bridge.verify(model, bridge.to_ir(model, xs[0]), xs)
    assert report or report.within_rounding, str(report)
    assert report.spikes.compared == T * 8 * 60
