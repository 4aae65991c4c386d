"""Draws the pictures of docs/tour.md: a graph, spikes and membranes, rates, two versions.

Run it with ``python docs/draw_tour.py`` (needs: pip install 't1c[torch,plot]'); it writes
docs/img/tour-*.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt

from t1c import bridge, ir, viz

ROOT = Path(__file__).parent.parent
IMAGES = Path(__file__).parent / "img"
MODEL, DATA = ROOT / "examples" / "digits.t1c", ROOT / "examples" / "digits_test.npz"
STEPS, DIGIT = 16, 0
NEURONS = ["lif1", "lif2", "lif3"]


def versions() -> tuple[ir.Graph, ir.Graph]:
    """The network, and a later version: another threshold, a layer more, a pool less."""
    old = ir.read(MODEL)
    nodes = {n: node for n, node in old.nodes.items() if n != "output"}
    nodes["lif2"] = old.nodes["lif2"].replace(v_threshold=np.array([1.25], np.float32))
    nodes["delay"] = ir.Delay(1)
    nodes["output"] = old.nodes["output"]
    edges = [e for e in old.edges if e != ("lif3", "output")]
    return old, ir.Graph(nodes, [*edges, ("lif3", "delay"), ("delay", "output")])


def draw_spikes() -> None:
    """What one digit does in every neuron, and what the answering neurons' membranes do."""
    executor = bridge.ir_to_torch(MODEL)
    images = torch.from_numpy(np.load(DATA)["x"]).float()
    with torch.no_grad():
        _, _, seen = executor.run(images.expand(STEPS, *images.shape), record=[*NEURONS, "lif3.v"])
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    some = {"lif2, 64 of 512": seen["lif2"].flatten(2)[..., :64], "lif3": seen["lif3"]}
    viz.plot_raster(some, left, sample=DIGIT, title="spikes")
    viz.plot_membranes(
        seen["lif3.v"],
        right,
        spikes=seen["lif3"],
        threshold=1.0,
        sample=DIGIT,
        neurons=range(4),
        title="membranes of lif3",
    )
    figure.savefig(IMAGES / "tour-spikes.png", dpi=80, metadata={"Software": None})
    figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
    viz.plot_rates({n: seen[n] for n in NEURONS}, ax, title="rates over 450 digits")
    figure.savefig(IMAGES / "tour-rates.png", dpi=80, metadata={"Software": None})


def main() -> None:
    """Write all pictures."""
    mpl.use("Agg")
    old, new = versions()
    (IMAGES / "tour-graph.svg").write_text(viz.to_svg(MODEL), encoding="utf-8")
    (IMAGES / "tour-diff.svg").write_text(viz.to_svg(viz.diff_to_dict(old, new)), encoding="utf-8")
    draw_spikes()


if __name__ == "__main__":
    main()
