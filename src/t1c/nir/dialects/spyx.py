"""Spyx: sends at step t what crossed the threshold at t-1, and subtracts then."""

from __future__ import annotations

from ..conventions import Gain
from .dialect import Dialect, Neurons, Reader

SPYX = Dialect(
    name="spyx",
    dt=1.0,
    units="steps",
    reset="subtract",
    delayed=("IF", "LIF"),
    gains={
        "LIF.r": Gain("1 - dt/tau", "unit"),
        "LI.r": Gain("1", "unit"),
        "CubaLIF.r": Gain("1 - dt/tau", "unit"),
        "CubaLIF.w_in": Gain("1", "unit"),
    },
    remarks=(
        "A neuron sends there at step t what crossed the threshold at step t-1: outputs "
        "lie one step later for each layer of neurons.",
    ),
    evidence="spyx 1.0.0, nir.py: to_nir; nn.py: IF, LIF, CuBaLIF, PSU_LIF",
    reader=Reader(
        call="spyx.nir.from_nir({read}, inputs, dt={dt})",
        dt=1.0,
        any_dt=True,
        reset="subtract",
        late=True,
        neurons={"IF": Neurons(), "LIF": Neurons()},
        layers={"Affine": (), "Linear": ()},
        # Its maps lie channels last, so that what its Flatten gives is in another order.
        otherwise="is dropped there without a word, or runs as something else (feature maps lie "
        "channels last)",
        wiring="chain",
        borders=("input", "output"),
        lag=1,
        evidence="spyx 1.0.0, nir.py: _build_model; nn.py: IF, LIF; its outputs are recorded in "
        "tests/data/nir/readers",
    ),
)
