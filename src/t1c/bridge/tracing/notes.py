"""What the user of a model should know of it: on the node it concerns, and told once."""

from __future__ import annotations

import warnings

from torch import nn

from t1c import ir
from t1c.ir.errors import GraphWarning

from ..modules.exporting import notes_of


def tell(model: nn.Module, graph: ir.Graph, stacklevel: int) -> None:
    """Warn of each note once, and put it on the first node of a module that was followed.

    A module that is one node has its notes there already.
    """
    modules = dict(model.named_modules())
    for path, module in modules.items():
        notes = notes_of(module)
        if not notes:
            continue
        inside = [n for n in graph.nodes if n.startswith(f"{path}.") and n not in modules]
        name = path if path in graph.nodes else next(iter(inside), None)
        if name is None:
            continue
        graph.nodes[name].metadata.update(notes)
        for key, value in notes.items():
            decay = key.removeprefix("clamped_")
            warnings.warn(
                f"node {name!r}: a {type(module).__name__} has {decay} = {value:g}, and snnTorch "
                "clamps it to [0, 1] as it runs: so does the graph",
                GraphWarning,
                stacklevel=stacklevel,
            )
