"""Rules about nodes and how they follow each other."""

from __future__ import annotations

from collections.abc import Iterator

from t1c import ir
from t1c.ir.primitives.neuron import Neuron

from .subject import NORMS, WEIGHTED, Hit, Subject

MAX_POOLS = (ir.MaxPool1d, ir.MaxPool2d, ir.MaxPool3d)


def dead_end(subject: Subject) -> Iterator[Hit]:
    """It is computed and never used."""
    topology = subject.topology
    useful = topology.leading_to(subject.graph.outputs())
    for name, node in subject.flat.nodes.items():
        if name not in useful and not isinstance(node, ir.Input):
            yield Hit(
                name, "no path leads from it to an Output", "sdk.prune_disconnected drops it."
            )


def unused_input(subject: Subject) -> Iterator[Hit]:
    """Whoever runs the graph has to give it, and it changes nothing."""
    useful = subject.topology.leading_to(subject.graph.outputs())
    for name in subject.graph.inputs():
        if name not in useful:
            yield Hit(
                name,
                "this Input has no effect on any Output",
                "sdk.prune_disconnected(graph, inputs=True) drops it.",
            )


def unreached_output(subject: Subject) -> Iterator[Hit]:
    """It gives the same whatever the input."""
    reached = subject.topology.reachable(subject.graph.inputs())
    for name in subject.graph.outputs():
        if name not in reached:
            yield Hit(name, "no Input leads to this Output", "Connect it, or drop it.")


def undriven(subject: Subject) -> Iterator[Hit]:
    """It runs on its leak alone."""
    for name, _ in subject.each(Neuron):
        if not subject.topology.before[name]:
            yield Hit(name, "no edge leads to this neuron", "Connect it, or drop it.")


def unfused_norm(subject: Subject) -> Iterator[Hit]:
    """In eval mode it is one factor and one shift, which the layer before it can take in."""
    topology = subject.topology
    for name, _ in subject.each(NORMS):
        before = topology.before[name]
        if len(before) == 1 and topology.after[before[0]] == [name]:
            layer = subject.flat.nodes[before[0]]
            if isinstance(layer, WEIGHTED):
                yield Hit(
                    name,
                    f"it could be part of the {layer.primitive} before it",
                    "sdk.fold_batchnorm folds it, once training is over.",
                )


def dropout(subject: Subject) -> Iterator[Hit]:
    """It acts in training alone; a graph that is only run does not need it."""
    for name, node in subject.each(ir.Dropout):
        yield Hit(
            name, f"Dropout(p={node.p:g}) does nothing when run", "Drop it where training is over."
        )


def untrained_norm(subject: Subject) -> Iterator[Hit]:
    """Mean 0 and variance 1 are what statistics start from: in training it did something else."""
    for name, node in subject.each(NORMS):
        if (node.running_mean == 0).all() and (node.running_var == 1).all():
            yield Hit(
                name,
                "its running statistics are those of a new layer: mean 0, variance 1",
                "Run some batches in train mode before exporting, or check momentum.",
            )


def pools_numbers(subject: Subject) -> Iterator[Hit]:
    """The maximum of spikes is an OR; of other numbers it is not, and many chips have none."""
    if next(subject.spiking(), None) is None:
        return
    for name, node in subject.each(MAX_POOLS):
        for source in subject.sources(name):
            other = subject.flat.nodes[source]
            spikes = "fires_at" in other.kinds or isinstance(other, MAX_POOLS)
            if not spikes:
                yield Hit(
                    name,
                    f"{node.primitive} takes the numbers of a {other.primitive}, not spikes",
                    "Put it behind the neuron, or use an average pool, if the target needs spikes.",
                )


def linear_twice(subject: Subject) -> Iterator[Hit]:
    """Without anything between, two layers of weights are one."""
    for name, node in subject.each(WEIGHTED):
        for source in subject.sources(name):
            other = subject.flat.nodes[source]
            alone = subject.targets(source) == [name]
            if isinstance(other, WEIGHTED) and alone and (source, name) not in subject.back:
                yield Hit(
                    name,
                    "no neuron or activation stands between this "
                    f"{node.primitive} and the {other.primitive} before it",
                    "Put one between them, or multiply the two.",
                )


def unfit_region(subject: Subject) -> Iterator[Hit]:
    """The marker says 'ann' or 'snn', and what follows is something else."""
    topology, nodes = subject.topology, subject.flat.nodes
    for name, node in subject.each(ir.HybridRegion):
        inside, stack = set[str](), list(topology.after[name])
        while stack:
            other = stack.pop()
            if other not in inside and not isinstance(nodes[other], ir.HybridRegion):
                inside.add(other)
                stack += topology.after[other]
        neurons = [n for n in inside if isinstance(nodes[n], Neuron)]
        if (node.mode == "snn") != bool(neurons):
            found = f"holds {len(neurons)} neurons" if neurons else "holds no neuron"
            yield Hit(
                name,
                f"the region that begins here is marked {node.mode!r} and {found}",
                "Move the marker, or change its mode.",
            )


def no_steps(subject: Subject) -> Iterator[Hit]:
    """Who gets the file has to guess how long an input that stands still is to be shown."""
    graph = subject.graph
    remembers = any(node.state_names for node in subject.flat.nodes.values())
    held = any(node.hold is not None for node in graph.inputs().values())
    if remembers and not held and "steps" not in graph.metadata:
        yield Hit(
            "",
            "nothing says for how many steps an input that stands still is shown",
            "Use Input(..., hold=N), or keep metadata['steps'].",
        )


def no_neuron(subject: Subject) -> Iterator[Hit]:
    """It is no spiking network."""
    neurons = any("fires_at" in node.kinds for node in subject.flat.nodes.values())
    if not neurons:
        yield Hit("", "nothing in it fires", "sdk.convert_to_spiking makes neurons of its ReLUs.")
