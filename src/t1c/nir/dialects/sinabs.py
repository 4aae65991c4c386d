"""sinabs: times in steps, exponential decay, several spikes at once, and r ignored."""

from __future__ import annotations

from ..conventions import Gain
from .checks import groups_twice, unpadded
from .dialect import SEVERAL, Dialect, Neurons, Reader
from .rates import of_exponential

SINABS = Dialect(
    name="sinabs",
    dt=1.0,
    units="steps",
    integrator="exponential",
    reset="subtract",
    fires_at="ge",
    gains={"LI.r": Gain("1", "unit")},
    leading=1,
    remarks=(
        SEVERAL,
        "A lower bound of the membrane (min_v_mem) is not exported.",
        "norm_input is not exported: True is assumed for LIF, False for ExpLeak, which "
        "are sinabs' defaults.",
    ),
    evidence="sinabs 3.1.3, nir.py: _extract_sinabs_module; layers/functional/lif.py; "
    "activation/spike_generation.py, reset_mechanism.py",
    reader=Reader(
        call="sinabs.nir.from_nir({read}, batch_size=...)",
        dt=1.0,
        integrator="exponential",
        reset="subtract",
        fires_at="ge",
        spikes="multiple",
        neurons={
            # Its own IF clamps the membrane at -v_threshold: one that does not is a LIF there.
            "IF": Neurons(write_as="LIF", floor=True),
            "LIF": Neurons(above=True),
            "LI": Neurons(above=True, fires=False),
        },
        layers={
            "Affine": (),
            "Conv2d": (groups_twice,),
            "SumPool2d": (unpadded,),
            "Flatten": (),
        },
        otherwise="is dropped there without a word, or crashes",
        replaced={"Linear": "Affine"},
        wiring="chain",
        gains={"LI.r": Gain("1", "unit")},
        tau=of_exponential,
        per_channel=True,
        evidence="sinabs 3.1.3, nir.py: _import_sinabs_module; layers/functional/lif.py; nirtorch "
        "2.6, graph_executor.py; run in tests/test_nir_readers.py",
    ),
)
