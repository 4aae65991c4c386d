"""Norse: neurons that reset to zero; its importer ignores v_reset, and r of a LIF and IF."""

from __future__ import annotations

from ..conventions import Gain
from .checks import groups_twice, unpadded
from .dialect import Dialect, Neurons, Reader
from .rates import of_inverse

NORSE = Dialect(
    name="norse",
    dt=1e-3,
    units="s, times dt",
    reset="zero",
    gains={
        "IF.r": Gain("1", "step"),
        "CubaLIF.w_in": Gain("1", "unit"),
    },
    scaled_tau=True,
    leading=1,
    ignores_v_reset=True,
    remarks=(
        "v starts at v_leak there and at 0 here: results differ at first where v_leak is not 0.",
        "A v_reset is not exported; 0 is assumed.",
    ),
    evidence="norse 1.1.0, torch/utils/export_nir.py: _extract_norse_module; "
    "torch/functional/lif_box.py, lif.py, iaf.py",
    reader=Reader(
        call="norse.torch.from_nir({read}, dt={dt})",
        dt=1e-3,
        any_dt=True,
        neurons={
            "IF": Neurons(),
            "LIF": Neurons(gain="decayed"),
            "CubaLIF": Neurons(gain="free"),
        },
        layers={
            "Affine": (),
            "Linear": (),
            "Conv2d": (groups_twice,),
            "SumPool2d": (unpadded,),
            "Flatten": (),
        },
        otherwise="is dropped there without a word",
        wiring="depth first",
        loops=True,
        gains={"IF.r": Gain("1", "step")},
        tau=of_inverse,
        evidence="norse 1.1.0, torch/utils/import_nir.py: _import_norse_module; nirtorch 2.6, "
        "graph_executor.py; run in tests/test_nir_readers.py",
    ),
)
