"""snnTorch: neurons subtract late where it writes, and reset to zero at once where it reads."""

from __future__ import annotations

from ..conventions import Gain
from .checks import groups_twice, unpadded
from .dialect import Dialect, Neurons, Reader

SNNTORCH = Dialect(
    name="snntorch",
    dt=1e-4,
    units="s",
    reset="subtract",
    delayed=("LIF", "CubaLIF"),
    gains={
        "LIF.r": Gain("tau/dt", "unit"),
        "CubaLIF.r": Gain("tau/dt", "unit"),
        "CubaLIF.w_in": Gain("tau/dt", "unit"),
    },
    leading=1,
    remarks=(
        "The file does not say which reset a neuron has: subtraction at the start of the "
        "next step is snnTorch's default; pass reset='zero' or reset='none' if the neurons "
        "were made with that reset_mechanism.",
    ),
    evidence="snntorch 1.0.0, export_nir.py: _extract_snntorch_module; _neurons/leaky.py",
    reader=Reader(
        call="snntorch.import_nir.import_from_nir({read})",
        dt=1e-4,
        neurons={
            # Its own IF is a Leaky with beta = 0.9.
            "IF": Neurons(write_as="LIF", alike=("v_threshold",), positive=True),
            "LIF": Neurons(alike=("v_threshold",), positive=True),
            "CubaLIF": Neurons(alike=("v_threshold",), positive=True),
        },
        layers={
            "Affine": (),
            "Linear": (),
            "Conv1d": (),
            "Conv2d": (groups_twice,),
            "AvgPool2d": (),
            "SumPool2d": (unpadded,),
            "Flatten": (),
        },
        otherwise="is refused there, or runs as something else",
        evidence="snntorch 1.0.0, import_nir.py: _nir_to_snntorch_module; nirtorch 2.6, "
        "nir_interpreter.py; run in tests/test_nir_readers.py",
    ),
)
