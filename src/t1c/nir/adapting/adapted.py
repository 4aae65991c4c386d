"""The way from a graph to one that a reader runs: what is made over, in order, and checked."""

from __future__ import annotations

import warnings

import numpy as np

from t1c import ir
from t1c.ir.errors import GraphWarning, Problem, UnsupportedError
from t1c.ir.shapes import as_shape

from ..conventions import KEY
from ..dialects import Dialect
from ..losses import Change
from .borders import check_borders, rename
from .draft import Draft
from .layers import check_layers
from .neurons import adapt_neurons, fires
from .plain import drop_what_passes_on, fold_norms, plain_layers
from .wires import Wires
from .wiring import check_wiring

TITLES = {
    "snntorch": "snnTorch", "norse": "Norse", "sinabs": "sinabs", "spikingjelly": "SpikingJelly",
    "rockpool": "Rockpool", "lava": "Lava", "spyx": "Spyx",
}  # fmt: skip


def adapted(graph: ir.Graph, dialect: Dialect) -> tuple[ir.Graph, tuple[Change, ...]]:
    """A graph of plain nodes that the reader of a dialect runs with the spikes of ``graph``.

    It computes what the reader will, in its order of operations: ``ir.Reference`` of it and of
    ``graph`` give the same spikes.

    Returns:
        The graph, which holds nothing that the reader would drop, ignore or read as something
        else, and what is otherwise in it than in ``graph``.

    Raises:
        UnsupportedError: listing everything that the reader would not run as it is meant.
    """
    flat, title = graph.flat(), TITLES[dialect.name]
    draft = Draft(
        dialect.reader,
        title,
        {n: node.replace(metadata=_own(node)) for n, node in flat.nodes.items()},
        Wires(flat.edges),
        {n: as_shape((node.input_type or {}).get("input")) or () for n, node in flat.nodes.items()},
        set(flat.feedback_edges()),
    )
    drop_what_passes_on(draft)
    fold_norms(draft)
    plain_layers(draft)
    check_borders(draft)
    check_layers(draft)
    adapt_neurons(draft)
    _check_lag(draft)
    check_wiring(draft)
    if draft.problems:
        raise UnsupportedError(draft.problems, f"{title} would not run this graph as it is meant")
    rename(draft)
    kept = {name: value for name, value in graph.metadata.items() if name != KEY}
    with warnings.catch_warnings():
        # A dead end is one in the graph too: it was warned of when that was made.
        warnings.simplefilter("ignore", GraphWarning)
        made = ir.Graph(
            draft.nodes,
            draft.edges,
            kept,
            allow_cycles=bool(draft.back),
            feedback=sorted(draft.back),
        )
    if set(made.feedback_edges()) != draft.back:
        raise UnsupportedError(
            Problem(
                "the edges that run back in time would be others",
                "every step of delay where it was",
                "State the graph's feedback=[...].",
                "the graph",
            )
        )
    return made, tuple(draft.changes)


def _own(node: ir.Node) -> dict[str, object]:
    """The metadata of a node without what NIR needed to be written as it was read."""
    return {name: value for name, value in node.metadata.items() if name != KEY}


def _check_lag(draft: Draft) -> None:
    """Where neurons send later, layers behind them must give nothing until they are reached."""
    if not draft.reader.lag:
        return
    late: set[str] = set()
    for name in draft.nodes:
        reached = [name]
        while reached:
            for b in draft.targets(reached.pop()):
                if b not in late and fires(draft.nodes[name]):
                    late.add(b)
                    reached.append(b)
    for name in late:
        node = draft.nodes[name]
        if np.any(getattr(node, "bias", 0)):
            draft.refuse(
                name,
                Problem(
                    f"a bias behind neurons, which {draft.title} runs a step late: it would act "
                    "before their spikes arrive",
                    "0",
                    "Train without a bias behind the first neurons.",
                    field="bias",
                ),
            )
    count = sum(fires(node) for node in draft.nodes.values())
    steps = f"{count * draft.reader.lag} step{'s' * (count * draft.reader.lag != 1)}"
    for name, _ in draft.each(ir.Output):
        draft.change(name, f"it gives the same spikes there {steps} later")
