"""How each producer's ``.nir`` files are to be read so that they compute what the producer did.

NIR is written in continuous time and says nothing of the step, the reset by subtraction or a
comparison with ``>=``; and some exporters write weights that NIR's equations do not give back. A
``Dialect`` holds what one producer does. All of it was read in the producers' own source at the
versions named, and (but for Lava) checked by running a network in the producer and its export
here; see ``tests/test_nir_dialects.py`` and ``docs/nir.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .conventions import Gain


@dataclass(frozen=True)
class Dialect:
    """What one producer means by its files.

    Attributes:
        name: as it is passed to ``t1c.nir.read(path, dialect=...)``.
        dt: its time step in seconds, or None if the file has to tell (Rockpool).
        units: what its time constants count.
        integrator: 'euler' or 'exponential'.
        reset: 'subtract' or 'zero' where the file does not say; '' if its v_reset is right.
        fires_at: 'gt' or 'ge'.
        delayed: the types whose reset happens at the start of the next step.
        gains: 'type.field' -> how the exporter writes a weight, and what its neuron does.
        scaled_tau: the exporter multiplies time constants by dt.
        leading: how many dimensions of its sample (batch, time) the exporter may leave in shapes.
        remarks: what cannot be expressed, and other things to know.
        evidence: package, version and place in its source.
    """

    name: str
    dt: float | None
    units: str
    integrator: str = "euler"
    reset: str = ""
    fires_at: str = "gt"
    delayed: tuple[str, ...] = ()
    gains: Mapping[str, Gain] = field(default_factory=dict)
    scaled_tau: bool = False
    leading: int = 0
    remarks: tuple[str, ...] = ()
    evidence: str = ""


_SEVERAL = (
    "A neuron may fire several times in a step there (membrane divided by threshold), here once: "
    "results differ where a membrane reaches twice its threshold."
)

DIALECTS: dict[str, Dialect] = {
    d.name: d
    for d in (
        Dialect(
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
        ),
        Dialect(
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
            remarks=(
                "v starts at v_leak there and at 0 here: results differ at first where v_leak is "
                "not 0.",
                "A v_reset is not exported; 0 is assumed.",
            ),
            evidence="norse 1.1.0, torch/utils/export_nir.py: _extract_norse_module; "
            "torch/functional/lif_box.py, lif.py, iaf.py",
        ),
        Dialect(
            name="sinabs",
            dt=1.0,
            units="steps",
            integrator="exponential",
            reset="subtract",
            fires_at="ge",
            gains={"LI.r": Gain("1", "unit")},
            leading=1,
            remarks=(
                _SEVERAL,
                "A lower bound of the membrane (min_v_mem) is not exported.",
                "norm_input is not exported: True is assumed for LIF, False for ExpLeak, which "
                "are sinabs' defaults.",
            ),
            evidence="sinabs 3.1.3, nir.py: _extract_sinabs_module; layers/functional/lif.py; "
            "activation/spike_generation.py, reset_mechanism.py",
        ),
        Dialect(
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
                "v starts at v_reset there and at 0 here: results differ at first where v_reset "
                "is not 0.",
                "export_to_nir(dt=...) may have been given another dt: pass it here as well.",
            ),
            evidence="spikingjelly 2.0.0, activation_based/nir_exchange/to_nir.py: _ModuleMapper; "
            "activation_based/surrogate.py: heaviside",
        ),
        Dialect(
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
                _SEVERAL,
                "A bias of the neurons and recurrent weights are not exported.",
            ),
            evidence="rockpool 3.1.0, nn/modules/torch/nir.py: _extract_rockpool_module; "
            "nn/modules/torch/lif_torch.py, lif_neuron_torch.py, exp_syn_torch.py",
        ),
        Dialect(
            name="lava",
            dt=1e-4,
            units="s",
            reset="zero",
            remarks=(
                "Lava reads NIR and does not write it: the file is read as its reader would, at "
                "its dt. Its reader ignores r and v_leak of a LIF, which are kept here.",
                "Its published LIF trace lies one step later.",
            ),
            evidence="neuromorphs/NIR, paper/nir_to_lava.py: ImportConfig, _nir_node_to_lava; "
            "lava-nc, proc/lif/models.py: PyLifModelFloat (read, not run: not on the registry)",
        ),
        Dialect(
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
        ),
    )
}
