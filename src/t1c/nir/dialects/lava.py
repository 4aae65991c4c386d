"""Lava: no library reads NIR; the importer of the NIR paper runs one neuron."""

from __future__ import annotations

from .dialect import Dialect, Neurons, Reader

LAVA = Dialect(
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
    reader=Reader(
        call="import_from_nir_to_lava({read}, ImportConfig(dt={dt}, fixed_pt=False))",
        dt=1e-4,
        any_dt=True,
        # A Dense leads to every LIF: it makes its weight dt/tau, which is r = 1, and any input that
        # is not 0 a spike, so that what a layer of weights sends would be lost in it.
        neurons={"LIF": Neurons(gain="decayed", single=True)},
        layers={},
        otherwise="loses its values: a Dense leads to every LIF, which takes 0 and 1 only",
        wiring="chain",
        lag=1,
        remarks=(
            "The input has to be spikes, 0 or 1: the Dense before the neuron takes all else for 1.",
        ),
        evidence="neuromorphs/NIR, paper/nir_to_lava.py: _nir_node_to_lava; lava-nc, "
        "proc/dense/models.py: PyDenseModelFloat (read, not run: not on the registry)",
    ),
)
