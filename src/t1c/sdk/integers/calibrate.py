"""How large the numbers of a graph get on inputs that its user shows."""

from __future__ import annotations

from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.fields import Array

from ..runner import import_bridge, import_torch
from ..samples import Samples, as_samples

PLAIN = "torch"
"""Kernels of short runs: compiling would take longer."""
AT_ONCE = 16
"""Samples at a time: every number of every node is kept for as many."""


class Calibration:
    """What was seen of each number of a graph.

    Attributes:
        samples: what was shown.
        whole: the names under which nothing but whole numbers was recorded.
        lows, highs: by the name under which a run records it (``fc``, ``fc.input``, ``lif.v``), the
            least and the greatest value of each feature.
    """

    def __init__(self, graph: ir.Graph, inputs: Any, steps: int | None = None) -> None:
        """Run the graph, which has no nested graphs, on the inputs, in float32."""
        torch, bridge = import_torch(), import_bridge()
        self.samples: Samples = as_samples(inputs, graph, steps=steps)
        self.lows: dict[str, Array] = {}
        self.highs: dict[str, Array] = {}
        self.whole: set[str] = set()
        executor = bridge.ir_to_torch(graph, trainable=False, kernels=PLAIN)
        names = _names(graph)
        with torch.no_grad():
            for begin in range(0, self.samples.count, AT_ONCE):
                xs = {
                    name: torch.from_numpy(np.array(x[:, begin : begin + AT_ONCE], np.float32))
                    for name, x in self.samples.inputs.items()
                }
                _, _, found = executor.run(xs, record=names)
                for name, value in (found | xs).items():
                    if not isinstance(value, tuple):
                        self._take(name, value.numpy())

    def _take(self, name: str, values: Array) -> None:
        integers = bool((values == np.rint(values)).all())
        if integers and name not in self.lows:
            self.whole.add(name)
        elif not integers:
            self.whole.discard(name)
        low = values.min(axis=(0, 1)).astype(np.float64)
        high = values.max(axis=(0, 1)).astype(np.float64)
        self.lows[name] = np.minimum(self.lows.get(name, low), low)
        self.highs[name] = np.maximum(self.highs.get(name, high), high)

    def most(self, name: str) -> Array | None:
        """The largest magnitude of each feature; None if it was not seen."""
        if name not in self.lows:
            return None
        return np.maximum(np.abs(self.lows[name]), np.abs(self.highs[name]))


def _names(graph: ir.Graph) -> list[str]:
    """What nodes send, what reaches them, and what neurons carry."""
    found, before = [], graph.topology().before
    for name, node in graph.nodes.items():
        if isinstance(node, ir.Input | ir.Output):
            continue
        if node.port_count == 1:
            found.append(name)
        if before[name]:
            found.append(f"{name}.input")
        if node.breaks_cycles and not isinstance(node, ir.Graph):
            found += [f"{name}.{variable}" for variable in node.state_names]
    return found
