"""Spiking neurons in the place of ReLUs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from t1c import ir
from t1c.ir.errors import InputError, Problem, UnsupportedError
from t1c.ir.fields import Array
from t1c.ir.topology import Edge
from t1c.nir import GraphSource, read_graph

from .rebuild import rebuilt, unique

KEY = "converted"
"""Where the graph keeps in its metadata what thresholds were taken, and how."""

LINEAR = (
    *(ir.Input, ir.Output, ir.Identity, ir.HybridRegion, ir.Dropout, ir.Skip, ir.Concat),
    *(ir.Affine, ir.SpikingAffine, ir.Linear, ir.Scale, ir.Shift, ir.ChannelSplit),
    *(ir.Conv1d, ir.Conv2d, ir.Conv3d, ir.SepConv2d, ir.ConvTranspose1d, ir.ConvTranspose2d),
    *(ir.BatchNorm1d, ir.BatchNorm2d, ir.BatchNorm3d),
    *(ir.AvgPool1d, ir.AvgPool2d, ir.AvgPool3d, ir.SumPool2d),
    *(ir.Flatten, ir.Reshape, ir.Transpose, ir.Slice, ir.Upsample),
)
"""What gives the mean of its outputs for the mean of its inputs."""
MAX_POOLS = (ir.MaxPool1d, ir.MaxPool2d, ir.MaxPool3d)
FINAL = (ir.Softmax, ir.LogSoftmax, ir.Sigmoid, ir.Tanh)
"""What may come last, behind the mean over time."""


def convert_to_spiking(
    source: GraphSource,
    inputs: Any = None,
    *,
    thresholds: float | Mapping[str, float] | None = None,
    percentile: float = 100.0,
    neuron: Literal["IF", "LIF"] = "IF",
    tau: float = 20.0,
    steps: int | None = None,
    answer: Literal["mean", "steps"] = "mean",
    allow_max_pool: bool = False,
    dt: float | None = None,
) -> ir.Graph:
    """A spiking network that does what a network of ReLUs does, the better the longer it runs.

    Every ReLU becomes a neuron of its name that is reset by subtraction, with a threshold as high
    as the activation can get, and a Scale that gives each spike this height. Under an input that
    stands still, the mean of what an IF sends over T steps is the activation, cut to the range from
    0 to the threshold, up to one threshold / T: Diehl et al. 2015, Rueckauer et al. 2017. Layers
    behind others have to wait for these to settle, so their error is larger: compare with the
    source on data of your own. ``metadata['converted']`` names the ``neurons`` and, in the same
    order, their ``thresholds``.

    Preconditions, all of which are checked: nothing in the graph has memory; ReLUs have
    negative_slope 0; all else is linear, so that means over time pass through it, but for a
    Softmax, LogSoftmax, Sigmoid or Tanh at the very end, behind which nothing comes but an Output;
    max pools only if allowed. Postcondition: the same Inputs and Outputs, the same weights.

    Args:
        source: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        inputs: samples to calibrate on, (N, *shape), or a dict of them by Input name: a threshold
            is the highest activation of its ReLU, or that percentile of those above 0.
        thresholds: in their place; one for all, or ReLU name -> threshold (``g/n`` in a nested
            graph). What a dict leaves out is calibrated.
        percentile: 100 for the maximum; 99.9 lets rare high activations saturate, and all others
            fire more often.
        neuron: 'IF', or 'LIF' with ``tau``, whose leak makes the rate fall behind the activation.
        tau: of a LIF, in steps.
        steps: Inputs hold one value for so many steps; None: they stay as they are.
        answer: 'mean': an Output gives the mean over all steps, at the last one (``final``);
            'steps': it gives every step.
        allow_max_pool: take the maximum of spikes of one step for that of activations, which is
            more than their rates allow.
        dt: seconds in one step, for a ``.nir`` file that does not say it.

    Raises:
        UnsupportedError: listing every node that does not meet the preconditions.
        InputError: there is no threshold for a ReLU, or it is not above 0.

    Example:
        >>> import numpy as np
        >>> from t1c import ir
        >>> graph = ir.Graph(
        ...     {"in": ir.Input((2,)), "fc": ir.Affine(np.eye(2), np.zeros(2)),
        ...      "relu": ir.ReLU(2), "out": ir.Output((2,))},
        ...     [("in", "fc"), ("fc", "relu"), ("relu", "out")],
        ... )
        >>> x = np.array([[0.5, -1.0], [1.0, 0.25]])
        >>> spiking = convert_to_spiking(graph, x, steps=100)
        >>> print(np.round(ir.Reference(spiking).run(x)[0], 2))
        [[0.5  0.  ]
         [1.   0.25]]
    """
    graph = read_graph(source, dt)
    _check_words(neuron, answer, tau, percentile)
    relus = _relus(graph)
    problems = [
        *_unfit(graph, allow_max_pool),
        *([] if relus else [Problem("no ReLU", "ReLUs, which neurons can replace")]),
    ]
    if problems:
        raise UnsupportedError(problems, "it cannot be converted")
    chosen = _thresholds(graph, relus, inputs, thresholds, percentile)
    spiking = _converted(graph, chosen, "", neuron, tau)
    nodes, edges = dict(spiking.nodes), list(spiking.edges)
    if answer == "mean":
        nodes, edges = _with_means(nodes, edges)
    if steps is not None:
        for name, node in spiking.inputs().items():
            nodes[name] = node.replace(hold=steps)
    note = {
        # Two lists, because a name may hold a slash, and a key may not.
        "neurons": list(chosen),
        "thresholds": list(chosen.values()),
        "calibrated": [name for name in relus if not _is_given(thresholds, name)],
        "percentile": float(percentile),
        "neuron": neuron,
    }
    return rebuilt(spiking, nodes, edges, (), metadata={**graph.metadata, KEY: note})


def _check_words(neuron: str, answer: str, tau: float, percentile: float) -> None:
    for said, good, expected in (
        (f"neuron={neuron!r}", neuron in ("IF", "LIF"), "'IF' or 'LIF'"),
        (f"answer={answer!r}", answer in ("mean", "steps"), "'mean' or 'steps'"),
        (f"tau={tau}", tau >= 1, "at least 1 step"),
        (f"percentile={percentile}", 0 < percentile <= 100, "above 0, and at most 100"),
    ):
        if not good:
            raise InputError(Problem(said, expected))


def _relus(graph: ir.Graph) -> list[str]:
    return [name for name, node in graph.flat().nodes.items() if isinstance(node, ir.ReLU)]


def _unfit(graph: ir.Graph, allow_max_pool: bool) -> Iterator[Problem]:
    """Everything that does not meet the preconditions."""
    last = _last(graph)
    for name, node in graph.flat().nodes.items():
        where, remedy = f"node {name!r} ({node.primitive})", ""
        if isinstance(node, ir.ReLU):
            if not node.negative_slope:
                continue
            found = f"negative_slope={node.negative_slope:g}: a neuron sends nothing below 0"
            remedy = "Train with plain ReLUs."
        elif isinstance(node, LINEAR) or name in last:
            continue
        elif isinstance(node, MAX_POOLS):
            if allow_max_pool:
                continue
            found = "the maximum of spikes is not the maximum of their rates"
            remedy = "Train with an average pool, or pass allow_max_pool=True."
        elif node.state_names:
            found, remedy = "it has memory already", "Convert networks without neurons only."
        else:
            found = "the mean over time does not pass through it"
            remedy = "Train with ReLUs and linear layers."
        yield Problem(found, "a ReLU or a linear layer", remedy, where)


def _last(graph: ir.Graph) -> set[str]:
    """Functions behind which nothing comes but an Output, alone: the mean is taken before them."""
    topology = graph.topology()
    return {
        name
        for name, node in graph.nodes.items()
        if isinstance(node, FINAL)
        and all(
            isinstance(graph.nodes[t], ir.Output) and len(topology.before[t]) == 1
            for t in topology.after[name]
        )
    }


def _is_given(thresholds: float | Mapping[str, float] | None, name: str) -> bool:
    if isinstance(thresholds, Mapping):
        return name in thresholds
    return thresholds is not None


def _thresholds(
    graph: ir.Graph,
    relus: list[str],
    inputs: Any,
    given: float | Mapping[str, float] | None,
    percentile: float,
) -> dict[str, float]:
    """ReLU -> threshold, as given or as calibrated."""
    if isinstance(given, Mapping) and (unknown := set(given) - set(relus)):
        raise InputError(
            Problem(f"thresholds for {sorted(unknown)}", f"ReLUs: {relus}", where="thresholds")
        )
    open_ones = [name for name in relus if not _is_given(given, name)]
    if open_ones and inputs is None:
        raise InputError(
            Problem(
                f"no threshold for {', '.join(map(repr, open_ones))}",
                "samples to calibrate on, or thresholds",
                "Pass inputs=..., some samples of the data, or thresholds=....",
            )
        )
    sent = ir.Reference(graph).trace(inputs)[0] if open_ones else {}
    chosen, problems = {}, []
    for name in relus:
        if name in open_ones:
            chosen[name] = _highest(sent[name], percentile)
        else:
            chosen[name] = float(given[name] if isinstance(given, Mapping) else given)  # type: ignore[arg-type]
        if not (chosen[name] > 0 and np.isfinite(chosen[name])):
            found = "no activation above 0" if name in open_ones else f"{chosen[name]:g}"
            remedy = "Calibrate on more samples, or give thresholds={...} for it."
            problems.append(Problem(found, "a threshold above 0", remedy, f"ReLU {name!r}"))
    if problems:
        raise InputError(problems)
    return chosen


def _highest(activation: Array, percentile: float) -> float:
    above = activation[activation > 0]
    return float(np.percentile(above, percentile)) if above.size else 0.0


def _converted(
    graph: ir.Graph, thresholds: dict[str, float], path: str, neuron: str, tau: float
) -> ir.Graph:
    """The graph with a neuron and a Scale for each ReLU, nested graphs likewise."""
    nodes: dict[str, ir.Node] = {}
    moved: dict[str, str] = {}
    for name, node in graph.nodes.items():
        if isinstance(node, ir.Graph):
            nodes[name] = _converted(node, thresholds, f"{path}{name}/", neuron, tau)
        elif isinstance(node, ir.ReLU):
            height = np.array([thresholds[f"{path}{name}"]])
            nodes[name] = _neuron(height, neuron, tau, node)
            scale = moved[name] = unique(f"{name}.height", {*graph.nodes, *nodes})
            nodes[scale] = ir.Scale(scale=height)
        else:
            nodes[name] = node
    edges: list[Edge] = [(moved.get(source, source), target) for source, target in graph.edges]
    edges += moved.items()
    return rebuilt(graph, nodes, edges, ())


def _neuron(threshold: Array, neuron: str, tau: float, relu: ir.ReLU) -> ir.Node:
    if neuron == "IF":
        return ir.IF(v_threshold=threshold, reset="subtract", metadata=relu.metadata)
    decay = np.array([float(tau)])
    return ir.LIF(
        tau=decay,
        r=decay,  # so that its gain is 1, as an IF's
        v_leak=np.zeros(1),
        v_threshold=threshold,
        reset="subtract",
        metadata=relu.metadata,
    )


def _with_means(
    nodes: dict[str, ir.Node], edges: list[Edge]
) -> tuple[dict[str, ir.Node], list[Edge]]:
    """Every Output gives the mean over the steps so far; a last function works on the mean."""
    for name, node in list(nodes.items()):
        if not isinstance(node, ir.Output):
            continue
        place = name
        before = [source for source, target in edges if target == name]
        if len(before) == 1 and isinstance(nodes[before[0]], FINAL):
            place = before[0]
        nodes[name] = node.replace(final=True)
        if not _is_mean(nodes, edges, place):
            mean = unique(f"{name}.mean", nodes)
            nodes[mean] = ir.Accumulate("mean")
            edges = [(source, mean if target == place else target) for source, target in edges]
            edges.append((mean, place))
    return nodes, edges


def _is_mean(nodes: dict[str, ir.Node], edges: list[Edge], place: str) -> bool:
    """Whether a function that leads to several Outputs has its mean already."""
    before = [source for source, target in edges if target == place]
    return len(before) == 1 and isinstance(nodes[before[0]], ir.Accumulate)
