"""Random networks for the executor's tests: every merge, border and neuron option, with cycles.

On the grid, weights and inputs are k/256 and a neuron stands between any two layers that sum, so
that float32 holds every sum exactly, in whatever order it is taken. Elementwise work needs no grid:
its order of operations is fixed.
"""

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.primitives.neuron import Neuron, SpikingNeuron

from .neuron_catalogue import Row, options_of, over
from .neuron_catalogue import rows as catalogue_rows

Shape = tuple[int, ...]
# Names as users write them: as attributes, with dots, blanks, and as a module's own methods.
NAMES = ("fc{}", "layers.{}.fc", "layers_{}_fc", "block {}", "层{}")
TAKEN = ("forward", "run", "plan", "edges", "training", "state_dict")


@dataclass
class Value:
    """What a node sends: its name, its shape, and whether sums over it are still exact."""

    name: str
    shape: Shape
    sums: bool


@dataclass
class Network:
    """A graph while it grows."""

    rng: np.random.Generator
    grid: bool
    every: bool = False
    nodes: dict[str, ir.Node] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    neurons: list[Value] = field(default_factory=list)

    def add(self, draw: Any, node: ir.Node, sources: list[str], shape: Shape, sums: bool) -> Value:
        i = len(self.nodes)
        name = draw(st.sampled_from(NAMES)).format(i)
        if i < len(TAKEN) and draw(st.booleans()):
            name = TAKEN[i]
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        value = Value(name, shape, sums)
        self.values.append(value)
        if isinstance(node, Neuron):
            self.neurons.append(value)
        return value

    def weights(self, *shape: int) -> Array:
        if self.grid:
            grid: Array = self.rng.integers(-128, 193, shape) / 256
            return grid
        normal: Array = self.rng.normal(0.1, 1 / max(math.prod(shape[1:]), 1) ** 0.5, shape)
        return normal


def neuron(
    draw: Any, net: Network, shape: Shape, leaks: bool = False, plain: bool = False
) -> Neuron:
    """A neuron with parameters of any form; dyadic, so that spikes at the very threshold occur.

    Its options are those of a row of the catalogue: of each other combination a loop is compiled.
    """
    spiking = draw(st.booleans()) if net.every and not leaks else True
    if net.every:
        row = draw(catalogue_rows(draw(st.sampled_from(["LIF", "CubaLIF"])) if leaks else None))
    else:
        row = draw(catalogue_rows("LIF", ("zero", "value", "subtract", "lower", "none")))
    kinds = [row["kind"]] if spiking else ["LI", "I", "CubaLI"]
    kind: Any = ir.str_to_node(draw(st.sampled_from(kinds)))
    shapes = [shape]
    if len(shape) == 3:
        shapes += [shape[:1], (shape[0], 1, 1), (math.prod(shape),)]

    def pick(name: str, *options: float) -> Array:
        forms = shapes if over(row["form"], name) else [(), (1,)]
        drawn: Array = net.rng.choice(options, draw(st.sampled_from(forms)))
        return drawn

    ranges = {
        "tau": (1.0, 2.0, 4.0),
        "tau_mem": (1.0, 2.0, 4.0),
        "tau_syn": (1.0, 2.0, 4.0),
        "r": (1.0, 2.0, 4.0),
        "v_leak": (0.5, 2.0) if leaks else (-0.25, 0.0, 0.25),
        "v_threshold": (0.125, 0.25, 0.5),
        "w_in": (0.5, 1.0, 2.0),
    }
    given: Row = {n: pick(n, *values) for n, values in ranges.items() if n in kind.kinds}
    if not plain and spiking:
        given |= options_of(draw, row)
        if row["reset"] in ("value", "lower"):
            given["v_reset"] = pick("v_reset", -0.25, 0.0, 0.125)
        if not net.every:
            given["spikes"] = "binary"
        elif row["bounded"]:
            given["v_min"] = pick("v_min", -0.5, -0.125, 0.0)
    given["input_type"] = {"input": np.array(shape)} if leaks else None
    made: Neuron = kind(**given)
    return made


def summing(draw: Any, net: Network, source: Value) -> tuple[ir.Node, Shape]:
    """A layer that sums over ``source``."""
    if len(source.shape) == 1:
        outputs = draw(st.integers(1, 4))
        kind = draw(st.sampled_from([ir.Affine, ir.SpikingAffine]))
        return kind(net.weights(outputs, source.shape[0]), net.weights(outputs)), (outputs,)
    channels, *size = source.shape
    kernel = [draw(st.integers(1, min(3, n))) for n in size]
    stride = draw(st.sampled_from([(1, 1), (1, 2), (2, 1)]))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    kind = draw(st.sampled_from(["conv", "depthwise", "sum", "pool"]))
    node: ir.Node
    if kind == "pool":
        # A mean over a power of two stays on the grid.
        window = tuple(draw(st.sampled_from([k for k in (1, 2) if k <= n])) for n in size)
        node = ir.AvgPool2d(window, stride)
    elif kind == "conv" or not net.grid:
        node = ir.Conv2d(
            net.weights(2, channels, *kernel), net.weights(2), stride, padding, groups=1
        )
    elif kind == "depthwise":
        node = ir.Conv2d(net.weights(channels, 1, *kernel), net.weights(channels), groups=channels)
    else:
        # Two sums in a row: the weights of the first are whole numbers.
        first = net.rng.integers(-1, 2, (channels, 1, *kernel)).astype(float)
        node = ir.SepConv2d(first, net.weights(2, channels, 1, 1), None, net.weights(2), stride)
    return node, node.output_shape(source.shape)


def reshaping(draw: Any, net: Network, source: Value) -> tuple[ir.Node, Shape]:
    """A layer that moves, picks, keeps or bends values, each by itself."""
    rank = len(source.shape)
    features = source.shape[0]
    choices: list[ir.Node] = [
        ir.ReLU(features, draw(st.sampled_from([0.0, 0.5]))),
        ir.Dropout(features),
        ir.HybridRegion("snn", features),
        ir.Skip("passthrough"),
        ir.Flatten(),
        ir.Unary(draw(st.sampled_from(["abs", "neg", "floor", "round", "sign"]))),
        ir.Shift(np.array(draw(st.sampled_from([-0.5, 0.25])))),
        ir.Clip(np.array(-0.25), np.array(draw(st.sampled_from([0.5, 1.0])))),
        ir.Slice(-1, draw(st.integers(-source.shape[-1], -1)), None, draw(st.integers(1, 2))),
        ir.Transpose(tuple(draw(st.permutations(range(rank))))),
        ir.Reshape((*source.shape[:-1], source.shape[-1])),
    ]
    if rank == 3:
        kernel = tuple(draw(st.integers(1, min(2, n))) for n in source.shape[1:])
        choices += [ir.MaxPool2d(kernel, ceil_mode=draw(st.booleans())), ir.Upsample(2)]
        choices += [ir.Flatten(1), ir.Flatten(0, 1)] if max(source.shape) < 8 else []
    if net.every:
        choices += [ir.Accumulate(how) for how in ("sum", "mean", "max", "min")]
        choices += [delay(draw, net, source.shape)] * 2
    node = draw(st.sampled_from(choices))
    return node, node.output_shape(source.shape)


def delay(draw: Any, net: Network, shape: Shape) -> ir.Delay:
    """Up to two steps, for all or for each, from zero or from elsewhere."""
    shapes = [(), (1,), shape]
    steps = net.rng.integers(0, 3, draw(st.sampled_from(shapes)))
    if draw(st.booleans()):
        return ir.Delay(steps)
    return ir.Delay(steps, net.rng.choice([-0.25, 0.5, 1.0], draw(st.sampled_from(shapes))))


def grow(draw: Any, net: Network, plain: bool) -> None:
    """One more node on top of some value."""
    source = net.values[-1] if draw(st.booleans()) else draw(st.sampled_from(net.values))
    same = [v for v in net.values if v.shape == source.shape and v is not source]
    sources, sums = [source.name], source.sums
    if same and draw(st.booleans()):
        # Two edges into whatever comes: they are added.
        other = draw(st.sampled_from(same))
        sources.append(other.name)
        sums = sums and other.sums
    kinds = ["sum", "sum", "neuron", "neuron", "reshape", "join", "leak", "combine"]
    kind = draw(st.sampled_from(kinds))
    if kind == "leak" and not plain:
        shape = draw(st.sampled_from([source.shape, (3,)]))
        net.add(draw, neuron(draw, net, shape, leaks=True), [], shape, True)
    elif kind == "combine" and same:
        combine(draw, net, source, draw(st.sampled_from(same)))
    elif kind == "join":
        rest = source.shape[1:]
        fits = [v for v in net.values if v is not source and v.shape[1:] == rest]
        joined = (
            [source, *draw(st.lists(st.sampled_from(fits), max_size=2, unique_by=id))]
            if fits
            else [source]
        )
        if all(v.shape == source.shape for v in joined) and draw(st.booleans()):
            node, shape = ir.Skip("residual"), source.shape
        else:
            node, shape = ir.Skip("concatenate"), (sum(v.shape[0] for v in joined), *rest)
        net.add(draw, node, [v.name for v in joined], shape, all(v.sums for v in joined))
    elif kind == "sum" and (sums or not net.grid) and len(source.shape) in (1, 3):
        node_, shape = summing(draw, net, source)
        net.add(draw, node_, sources, shape, False)
    elif kind == "reshape" and len(sources) == 1 and len(source.shape) in (1, 3):
        moved, shape = reshaping(draw, net, source)
        # What is added up over time outgrows the grid, and a mean leaves it.
        sums = sums and not isinstance(moved, ir.Accumulate)
        net.add(draw, moved, sources, shape, sums)
    else:
        cell = neuron(draw, net, source.shape, plain=plain)
        net.add(draw, cell, sources, source.shape, isinstance(cell, SpikingNeuron))


def combine(draw: Any, net: Network, first: Value, second: Value) -> Value:
    """A node that takes two values of equal shape, in this order."""
    ops = ["subtract", "multiply", "minimum", "maximum", "greater", "greater_or_equal", "equal"]
    op = draw(st.sampled_from([*ops, "where"]))
    node: ir.Node = ir.Where() if op == "where" else ir.Binary(op)
    sums = op in ops[4:] or (first.sums and second.sums and op != "multiply")
    sources = [first.name, second.name]
    if op == "where":
        passed = net.add(draw, ir.Identity(), [first.name], first.shape, first.sums)
        sources.append(passed.name)
    return net.add(draw, node, sources, first.shape, sums)


def feed_back(draw: Any, net: Network) -> None:
    """An edge, or a path through a stateless node, from a neuron to itself or another."""
    late, early = (draw(st.integers(0, len(net.neurons) - 1)) for _ in range(2))
    source, target = net.neurons[max(late, early)], net.neurons[min(late, early)]
    flat = len(source.shape) == len(target.shape) == 1
    if flat and source.sums and draw(st.booleans()):
        weight = net.weights(target.shape[0], source.shape[0])
        back = net.add(
            draw, ir.Affine(weight, net.weights(len(weight))), [source.name], target.shape, False
        )
        if net.every and draw(st.booleans()):
            back = moderate(draw, net, back)
        net.edges.append((back.name, target.name))
    elif net.every and source.shape == target.shape and draw(st.booleans()):
        net.edges.append((moderate(draw, net, source).name, target.name))
    elif len(alike := [v for v in net.neurons if v.shape == target.shape]) > 1 and draw(
        st.booleans()
    ):
        first, second = draw(st.permutations(alike))[:2]
        net.edges.append((combine(draw, net, first, second).name, target.name))
    elif source.shape == target.shape and (source.name, target.name) not in net.edges:
        net.edges.append((source.name, target.name))


def moderate(draw: Any, net: Network, source: Value) -> Value:
    """A node on the way back that works on each value by itself."""
    scale = net.rng.choice([0.25, 0.5, -1.0], draw(st.sampled_from([(1,), source.shape])))
    late = delay(draw, net, source.shape)
    nodes: list[ir.Node] = [ir.Scale(scale), ir.Skip("passthrough"), late]
    return net.add(draw, draw(st.sampled_from(nodes)), [source.name], source.shape, False)


@st.composite
def networks(
    draw: Any,
    grid: bool = True,
    cyclic: bool = False,
    plain: bool = False,
    inputs: int = 2,
    every: bool = False,
) -> ir.Graph:
    """A graph of a few nodes; every value that nothing takes becomes an Output.

    Args:
        grid: parameters on the grid.
        cyclic: with feedback; networks whose loop is ambiguous are left out.
        plain: no options of neurons.
        inputs: up to how many Inputs.
        every: neurons of every kind, not LIF alone; other memory; inputs that may be held still,
            and outputs that may be final.
    """
    net = Network(np.random.default_rng(draw(st.integers(0, 2**32))), grid, every)
    for _ in range(draw(st.integers(1, inputs))):
        shape = draw(st.sampled_from([(1,), (3,), (5,), (2, 3, 4), (1, 4, 2), (3, 3, 3)]))
        hold = draw(st.none() | st.integers(1, 5)) if every else None
        net.add(draw, ir.Input(shape, hold), [], shape, True)
    for _ in range(draw(st.integers(1, 7))):
        grow(draw, net, plain)
    if cyclic:
        for _ in range(draw(st.integers(1, 3))):
            last = net.values[-1]
            if len(last.shape) == 1 and last.sums and draw(st.booleans()):
                weight = net.weights(draw(st.integers(1, 3)), last.shape[0])
                node = ir.Affine(weight, net.weights(len(weight)))
                last = net.add(draw, node, [last.name], (len(weight),), False)
            cell = neuron(draw, net, last.shape, plain=plain)
            spikes = isinstance(cell, SpikingNeuron)
            net.add(draw, cell, [last.name], last.shape, spikes)
    used = {source for source, _ in net.edges}
    leaves = [value for value in net.values if value.name not in used]
    if cyclic:
        for _ in range(draw(st.integers(1, 3))):
            feed_back(draw, net)
    for value in leaves:
        name = f"out.{len(net.nodes)}"
        net.nodes[name] = ir.Output(value.shape, final=every and draw(st.booleans()))
        net.edges.append((value.name, name))
    names = draw(st.permutations(list(net.nodes)))
    try:
        graph = ir.Graph({n: net.nodes[n] for n in names}, net.edges, allow_cycles=cyclic)
    except ir.GraphError as error:
        assume(not all("symmetric" in p.found for p in error.problems))
        raise
    assume(not cyclic or graph.topology().loops())
    return graph


@st.composite
def sequences(draw: Any, graph: ir.Graph, grid: bool = True) -> dict[str, Array]:
    """Inputs (T, B, *shape) for a graph, by name."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    lead = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    return {
        name: rng.integers(-128, 257, (*lead, *node.shape)) / 256
        if grid
        else rng.normal(0.3, 1, (*lead, *node.shape))
        for name, node in graph.inputs().items()
    }


EXACT = 2.0**10
"""Counts of spikes up to here, times weights k/256, add up exactly in float32 in any order."""


def sums_are_exact(graph: ir.Graph, values: dict[str, Array]) -> bool:
    """Whether sums over what the neurons sent are exact, in whatever order they are taken.

    On the grid they are, unless neurons of several spikes drive themselves: their counts grow
    from step to step, beyond what float32 adds up exactly. Neurons that do not fire grow
    likewise, and whatever is behind them.

    Args:
        graph: on the grid.
        values: what each node of its reference sent.
    """
    neurons = [n for n, node in graph.nodes.items() if isinstance(node, Neuron)]
    return all(float(np.abs(values[n]).max(initial=0)) <= EXACT for n in neurons)


def chain(*nodes: tuple[str, ir.Node]) -> ir.Graph:
    """Nodes one after another."""
    names = [name for name, _ in nodes]
    return ir.Graph(dict(nodes), list(itertools.pairwise(names)))
