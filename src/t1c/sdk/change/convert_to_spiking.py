"""Spiking neurons in the place of ReLUs."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from t1c import ir
from t1c.ir.errors import InputError, Problem, UnsupportedError
from t1c.ir.fields import Array
from t1c.ir.naming import unique
from t1c.ir.topology import Edge
from t1c.nir import GraphSource, read_graph

from .calibrate import Given, chosen_thresholds, is_given
from .qcfs import with_relus
from .rebuild import rebuilt

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
SUMS = ("sum", "mean")
"""The ways to Reduce that are linear too."""
MAX_POOLS = (ir.MaxPool1d, ir.MaxPool2d, ir.MaxPool3d)
FINAL = (ir.Softmax, ir.LogSoftmax, ir.Sigmoid, ir.Tanh)
"""What may come last, behind the mean over time."""


def convert_to_spiking(
    source: GraphSource,
    inputs: Any = None,
    *,
    thresholds: Given = None,
    percentile: float = 100.0,
    per_channel: bool = False,
    start: float | None = None,
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
    source on data of your own. With ``start=0.5`` the mean is rounded to the nearest step instead
    of down: half the error. ``metadata['converted']`` names the ``neurons`` and, in the same order,
    their ``thresholds``, the highest of each.

    An activation that was trained in steps (QCFS: ``clip(floor(x L / θ + 1/2) / L, 0, 1) θ``) is
    recognised in its arithmetic. Its neuron has the threshold θ that was trained and starts at half
    of it; over L steps of a still input it sends exactly this on average. ``metadata['converted']``
    says which ``neurons`` were ``read``, and their ``levels`` L.

    A Clip from 0 to a number, such as ReLU6, is a ReLU whose threshold is at most that number.

    Preconditions, all of which are checked: nothing in the graph has memory; ReLUs have
    negative_slope 0; all else is linear, so that means over time pass through it, but for a
    Softmax, LogSoftmax, Sigmoid or Tanh at the very end, behind which nothing comes but an Output;
    max pools only if allowed. Postcondition: the same Inputs and Outputs, the same weights.

    Args:
        source: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        inputs: samples to calibrate on, (N, *shape), or a dict of them by Input name: a threshold
            is the highest activation of its ReLU, or that percentile of those above 0.
        thresholds: in their place; one for all, or ReLU name -> threshold (``g/n`` in a nested
            graph), a number or laid over the features. What a dict leaves out is read from the
            model, where it was trained in steps, or calibrated.
        percentile: 100 for the maximum; 99.9 lets rare high activations saturate, and all others
            fire more often.
        per_channel: calibrate a threshold for each channel of a feature map, and for each element
            of a vector. A channel that is never above 0 has that of its layer.
        start: where membranes start, as a share of their thresholds, at least 0 and below 1; None
            for 0.5 where thresholds were read from the model, else 0.
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
    graph, trained = with_relus(read_graph(source, dt))
    _check_words(neuron, answer, tau, percentile, start)
    relus = _relus(graph)
    problems = [
        *_unfit(graph, allow_max_pool),
        *([] if relus else [Problem("no ReLU", "ReLUs, which neurons can replace")]),
    ]
    if problems:
        raise UnsupportedError(problems, "it cannot be converted")
    read = [name for name in trained if not is_given(thresholds, name)]
    given = thresholds
    if thresholds is None or isinstance(thresholds, Mapping):
        given = {**{name: trained[name].threshold for name in read}, **(thresholds or {})}
    chosen = chosen_thresholds(graph, relus, inputs, given, percentile, per_channel)
    _check_bounds(graph, chosen)
    starts = {n: (0.5 if n in read else 0.0) if start is None else start for n in relus}
    spiking = _converted(graph, _Choice(chosen, starts, neuron, tau), "")
    nodes, edges = dict(spiking.nodes), list(spiking.edges)
    if answer == "mean":
        nodes, edges = _with_means(nodes, edges)
    if steps is not None:
        for name, node in spiking.inputs().items():
            nodes[name] = node.replace(hold=steps)
    note = {
        # Two lists, because a name may hold a slash, and a key may not.
        "neurons": list(chosen),
        "thresholds": [float(height.max()) for height in chosen.values()],
        "calibrated": [name for name in relus if not is_given(given, name)],
        "percentile": float(percentile),
        "neuron": neuron,
    }
    if read:
        note |= {"read": read, "levels": [trained[name].levels for name in read]}
    return rebuilt(spiking, nodes, edges, (), metadata={**graph.metadata, KEY: note})


def _check_words(
    neuron: str, answer: str, tau: float, percentile: float, start: float | None
) -> None:
    for said, good, expected in (
        (f"neuron={neuron!r}", neuron in ("IF", "LIF"), "'IF' or 'LIF'"),
        (f"answer={answer!r}", answer in ("mean", "steps"), "'mean' or 'steps'"),
        (f"tau={tau}", tau >= 1, "at least 1 step"),
        (f"percentile={percentile}", 0 < percentile <= 100, "above 0, and at most 100"),
        (f"start={start}", start is None or 0 <= start < 1, "at least 0, and below 1"),
    ):
        if not good:
            raise InputError(Problem(said, expected))


def _relus(graph: ir.Graph) -> list[str]:
    flat = graph.flat().nodes
    return [n for n, node in flat.items() if isinstance(node, ir.ReLU) or _is_bounded(node)]


def _is_bounded(node: ir.Node) -> bool:
    """A Clip from 0 to above it, such as ReLU6: a ReLU that saturates, as a neuron does."""
    if not isinstance(node, ir.Clip) or node.low is None or node.high is None:
        return False
    return not node.low.any() and bool((node.high > 0).all())


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
        elif isinstance(node, LINEAR) or _is_bounded(node) or _adds_up(node) or name in last:
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


def _adds_up(node: ir.Node) -> bool:
    return isinstance(node, ir.Reduce) and node.how in SUMS


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


def _check_bounds(graph: ir.Graph, chosen: Mapping[str, Array]) -> None:
    """A neuron in the place of a Clip must not send more than it."""
    for name, node in graph.flat().nodes.items():
        if name in chosen and isinstance(node, ir.Clip) and node.high is not None:
            highest = float(node.high.min())
            if chosen[name].max() > highest * (1 + 1e-6):
                raise InputError(
                    Problem(
                        f"a threshold of {chosen[name].max():g}",
                        f"at most {highest:g}, above which it clips",
                        "Give a lower one, or calibrate it on inputs.",
                        f"Clip {name!r}",
                    )
                )


@dataclasses.dataclass(frozen=True)
class _Choice:
    """What neurons replace ReLUs, by the ReLU's path."""

    thresholds: dict[str, Array]
    starts: dict[str, float]
    neuron: str
    tau: float

    def made(self, name: str, relu: ir.Node) -> ir.Node:
        """The neuron in the place of a ReLU."""
        threshold = self.thresholds[name]
        if self.neuron == "IF":
            return ir.IF(v_threshold=threshold, reset="subtract", metadata=relu.metadata)
        decay = np.array([float(self.tau)])
        return ir.LIF(
            tau=decay,
            r=decay,  # so that its gain is 1, as an IF's
            v_leak=np.zeros(1),
            v_threshold=threshold,
            reset="subtract",
            metadata=relu.metadata,
        )

    def pulse(self, name: str) -> Array | None:
        """What must arrive in the first step for the membrane to have started where it should."""
        if not self.starts[name]:
            return None
        kept = 1.0 if self.neuron == "IF" else 1 - 1 / self.tau
        return self.thresholds[name] * (self.starts[name] * kept)


def _converted(graph: ir.Graph, choice: _Choice, path: str) -> ir.Graph:
    """The graph with a neuron and a Scale for each ReLU, nested graphs likewise."""
    nodes: dict[str, ir.Node] = {}
    sends: dict[str, str] = {}
    takes: dict[str, str] = {}
    added: list[Edge] = []
    taken = set(graph.nodes)

    def put(name: str, node: ir.Node) -> str:
        name = unique(name, taken)
        taken.add(name)
        nodes[name] = node
        return name

    for name, node in graph.nodes.items():
        if isinstance(node, ir.Graph):
            nodes[name] = _converted(node, choice, f"{path}{name}/")
        elif isinstance(node, ir.ReLU) or _is_bounded(node):
            pulse = choice.pulse(path + name)
            if pulse is not None:
                # A membrane starts at 0. What it should start at arrives with the first input: a
                # Delay gives it before its first step, and nothing after it.
                arriving = takes[name] = put(f"{name}.input", ir.Identity())
                nothing = put(f"{name}.nothing", ir.Scale(np.zeros(1)))
                start = put(f"{name}.start", ir.Delay(np.array([1]), initial=pulse))
                added += itertools.pairwise((arriving, nothing, start, name))
                added.append((arriving, name))
            nodes[name] = choice.made(path + name, node)
            height = ir.Scale(scale=choice.thresholds[path + name])
            sends[name] = put(f"{name}.height", height)
        else:
            nodes[name] = node
    edges: list[Edge] = [(sends.get(a, a), takes.get(b, b)) for a, b in graph.edges]
    edges += [*sends.items(), *added]
    return rebuilt(graph, nodes, edges, ())


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
