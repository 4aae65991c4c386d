"""What a reader need not see: nodes that compute nothing, and norms that weights can take in."""

from __future__ import annotations

from typing import Any

from t1c import ir
from t1c.ir.norm_folding import NORMS, channels_fit, with_norm

from .draft import Draft

PASS_ON = (ir.Identity, ir.Skip, ir.Dropout, ir.HybridRegion)


def drop_what_passes_on(draft: Draft) -> None:
    """Nodes that compute x = x, and Skips that add, as every node of NIR does."""
    for name, node in draft.each(*PASS_ON):
        if node.adds_inputs:
            draft.change(name, "it passes on what arrives, and is left out")
            draft.drop(name)


def fold_norms(draft: Draft) -> None:
    """Batch norms behind a layer of weights that leads to nothing else."""
    for name, found in draft.each(*NORMS):
        norm: Any = found
        before = draft.sources(name)
        layer = draft.nodes[before[0]] if len(before) == 1 else None
        if layer is None or draft.targets(before[0]) != [name] or not channels_fit(layer, norm):
            continue
        taken = with_norm(layer, norm, name)
        if taken is not None:
            rounded = taken.metadata["folded"]["largest_change"]
            draft.change(
                name,
                f"it is folded into the weights of {before[0]!r}, whose output that moves by "
                f"{rounded:.2g} at most for inputs up to 1: a spike differs where a membrane lies "
                "that near to its threshold",
            )
            draft.nodes[before[0]] = taken
            draft.drop(name)


def plain_layers(draft: Draft) -> None:
    """Types that say the same under another name, and dimensions that count alike everywhere."""
    for name, found in list(draft.nodes.items()):
        node: Any = found
        if isinstance(node, ir.SpikingAffine):
            draft.nodes[name] = ir.Affine(node.weight, node.bias, metadata=node.metadata)
        elif isinstance(node, ir.Linear) and draft.reader.replaced.get("Linear") == "Affine":
            bias = node.weight[:, 0] * 0
            draft.nodes[name] = ir.Affine(node.weight, bias, metadata=node.metadata)
            draft.change(name, "an Affine without bias says the same there")
        elif isinstance(node, ir.Flatten):
            # Some readers count the batch, some do not: from the end all count alike.
            rank = len(draft.shapes[name])
            start, end = (d if d < 0 else d - rank for d in (node.start_dim, node.end_dim))
            draft.nodes[name] = node.replace(start_dim=start, end_dim=end)
