"""SpikingJelly: fires at >=, starts at v_reset and leaks to it; one number for all neurons."""

from __future__ import annotations

from ..conventions import Gain
from .checks import ungrouped, unpadded
from .dialect import Dialect, Neurons, Reader

_ALL = ("v_threshold",)

SPIKINGJELLY = Dialect(
    name="spikingjelly",
    dt=1e-4,
    units="s",
    fires_at="ge",
    gains={
        "LIF.r": Gain("tau/dt", "unit"),
        "CubaLIF.r": Gain("tau/dt", "unit"),
        "CubaLIF.w_in": Gain("tau/dt", "unit"),
    },
    remarks=(
        "v starts at v_reset there and at 0 here: results differ at first where v_reset is not 0.",
        "export_to_nir(dt=...) may have been given another dt: pass it here as well.",
    ),
    evidence="spikingjelly 2.0.0, activation_based/nir_exchange/to_nir.py: _ModuleMapper; "
    "activation_based/surrogate.py: heaviside",
    reader=Reader(
        call="spikingjelly.activation_based.nir_exchange.import_from_nir({read}, dt={dt})",
        dt=1e-4,
        any_dt=True,
        fires_at="ge",
        neurons={
            "IF": Neurons(alike=_ALL),
            "LIF": Neurons(gain="either", alike=("tau", *_ALL), above=True),
            "CubaLIF": Neurons(alike=("tau_syn", "tau_mem", *_ALL)),
        },
        layers={
            "Affine": (),
            "Linear": (),
            "Conv1d": (ungrouped,),
            "Conv2d": (ungrouped,),
            "AvgPool2d": (),
            "SumPool2d": (unpadded,),
            "Flatten": (),
        },
        otherwise="is refused there",
        loops=True,
        evidence="spikingjelly 2.0.0, activation_based/nir_exchange/from_nir.py: _NodeMapper; "
        "nirtorch 2.6, nir_interpreter.py; run in tests/test_nir_readers.py",
    ),
)
