"""Rockpool: exponential decay, several spikes at once; its importer guesses dt from r."""

from __future__ import annotations

from ..conventions import Gain
from .dialect import SEVERAL, Dialect, Neurons, Reader
from .rates import of_exponential_in_time

ROCKPOOL = Dialect(
    name="rockpool",
    dt=None,
    units="s",
    integrator="exponential",
    reset="subtract",
    fires_at="ge",
    gains={
        "LIF.r": Gain("tau/dt * exp(-dt/tau)", "unit"),
        "LI.r": Gain("tau/dt * exp(-dt/tau)", "decay"),
        "CubaLIF.r": Gain("tau/dt * exp(-dt/tau)", "unit"),
        "CubaLIF.w_in": Gain("1", "decay"),
    },
    leading=2,
    remarks=(
        SEVERAL,
        "A bias of the neurons and recurrent weights are not exported.",
    ),
    evidence="rockpool 3.1.0, nn/modules/torch/nir.py: _extract_rockpool_module; "
    "nn/modules/torch/lif_torch.py, lif_neuron_torch.py, exp_syn_torch.py",
    reader=Reader(
        call="rockpool.nn.modules.torch.nir.from_nir({read})",
        dt=1e-3,
        any_dt=True,
        integrator="exponential",
        reset="subtract",
        fires_at="ge",
        spikes="multiple",
        # Its importer of a LIF asks for a tau_mem, which a LIF has not; a LI's tau becomes 0 there.
        neurons={"CubaLIF": Neurons(gain="synaptic", above=True)},
        layers={"Affine": (), "Linear": ()},
        otherwise="is refused there, or crashes",
        wiring="chain",
        tau=of_exponential_in_time,
        # From which the importer guesses dt, as tau / (1 + r).
        gains={"CubaLIF.r": Gain("tau/dt - 1", "unit")},
        evidence="rockpool 3.1.0, nn/modules/torch/nir.py: _convert_nir_to_rockpool; lif_torch.py; "
        "its outputs are recorded in tests/data/nir/readers",
    ),
)
