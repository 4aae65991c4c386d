"""From a drawing to a graph: names, nodes, edges, and what runs back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from t1c import ir
from t1c.ir.errors import GraphError, Problem, UnsupportedError
from t1c.ir.naming import unique
from t1c.ir.topology import Edge, Topology

from .drawing import Drawing, Signal, Spot

Restate = Callable[[ir.Node], ir.Node]


@dataclass(frozen=True)
class Result:
    """An output of the model.

    Attributes:
        name: what it is called.
        signal: what it is.
        final: it is the answer at the last step.
    """

    name: str
    signal: Signal
    final: bool


class Assembly:
    """The graph of a drawing.

    Args:
        drawing: the nodes of a step.
        inputs: a name and the steps that it is held for, for each input, with its spot.
        results: the outputs.
        restate: what to make of each node before it enters the graph.
    """

    def __init__(
        self,
        drawing: Drawing,
        inputs: Sequence[tuple[str, int | None, Spot]],
        results: Sequence[Result],
        restate: Restate,
    ) -> None:
        self._restate = restate
        self._nodes: dict[str, ir.Node] = {}
        self._edges: list[Edge] = []
        self._back: set[Edge] = set()
        self._taken: set[str] = set()
        self._names: dict[Spot, str] = {}
        self._inputs = {spot: (name, hold) for name, hold, spot in inputs}
        self._spots = _reachable(drawing, results)
        self._remembered = {s: s.inputs[0] for s in self._spots if _is_feedback(s)}
        self._spots = [s for s in self._spots if s not in self._remembered]
        own = {spot.label for spot in self._spots if spot.own}
        kept = {result.name for result in results} - own
        self._taken |= kept
        self._name_spots()
        self._place_nodes()
        for spot in self._spots:
            fragment, name = spot.fragment, self._names[spot]
            for signal in spot.inputs:
                self._connect(signal, _joined(name, fragment.enter))
            self._edges += [(_joined(name, a), _joined(name, b)) for a, b in fragment.edges]
            self._back |= {(_joined(name, a), _joined(name, b)) for a, b in fragment.back}
        for result in results:
            name = result.name if result.name in kept else self._free(result.name)
            kept.discard(name)
            self._nodes[name] = ir.Output(result.signal.features, final=result.final)
            self._connect(result.signal, name)
        self._tie()

    def places(self) -> dict[str, str]:
        """Node -> the line of the model that it comes from."""
        found = {}
        for spot in self._spots:
            if spot.call is not None:
                for relative in spot.fragment.nodes:
                    found[_joined(self._names[spot], relative)] = spot.call.place
        return found

    def recognised(self) -> frozenset[str]:
        """The nodes that are neurons of the model's own code."""
        return frozenset(self._names[spot] for spot in self._spots if spot.recognised)

    @property
    def spots(self) -> list[Spot]:
        """What is in the graph, in the order of the drawing."""
        return self._spots

    def name_of(self, signal: Signal) -> str | None:
        """The node whose one output a signal is; None where there is no such node."""
        fragment = signal.spot.fragment
        node = fragment.nodes[fragment.leave]
        if signal.membrane or signal.spot not in self._names or node.port_count > 1:
            return None
        return _joined(self._names[signal.spot], fragment.leave)

    def graph(self) -> ir.Graph:
        """The graph, with the edges that run back stated where the rule would choose others."""
        self._delay_outside_of_loops()
        if not self._back:
            loops = Topology(self._nodes, self._edges).loops()
            return ir.Graph(self._nodes, self._edges, allow_cycles=bool(loops))
        try:
            graph = ir.Graph(self._nodes, self._edges, allow_cycles=True)
            if set(graph.feedback_edges()) == self._back:
                return graph
        except GraphError:
            pass  # A loop whose start the rule cannot tell: it is stated below.
        back = [edge for edge in self._edges if edge in self._back]
        graph = ir.Graph(self._nodes, self._edges, allow_cycles=True, feedback=back)
        if set(graph.feedback_edges()) != self._back:
            raise UnsupportedError(
                Problem(
                    f"the model runs {back} back in time, and a graph with these edges "
                    f"{graph.feedback_edges()}",
                    "loops that a neuron or a Delay cuts",
                    where="graph",
                )
            )
        return graph

    def _delay_outside_of_loops(self) -> None:
        """What is taken from the past, but closes no loop of its own, passes through a Delay.

        Nor does it where a Delay lies in the loop already: that is the loop's only delay.
        """
        topology = Topology(self._nodes, self._edges)
        looped = {name: i for i, loop in enumerate(topology.loops()) for name in loop}
        delayed = {looped[n] for n in looped if isinstance(self._nodes[n], ir.Delay)}
        for edge in [e for e in self._edges if e in self._back]:
            source, target = edge
            loop = looped.get(source)
            if loop is not None and loop == looped.get(target) and loop not in delayed:
                continue
            name = self._free(f"{source}.delay")
            self._nodes[name] = ir.Delay(np.array(1))
            self._edges[self._edges.index(edge)] = (name, target)
            self._edges.append((source, name))
            self._back.remove(edge)

    def _name_spots(self) -> None:
        """A name for each spot: the module's path, or one that no module has."""
        first: dict[str, Spot] = {}
        for spot in self._spots:
            if spot.own:
                first.setdefault(spot.label, spot)
        self._taken |= set(first)
        for spot in self._spots:
            if spot in self._inputs:
                name = self._inputs[spot][0] if len(self._inputs) > 1 else "input"
                self._names[spot] = self._free(name)
        for spot in self._spots:
            if spot in self._inputs:
                continue
            own = spot.own and first[spot.label] is spot
            scope = "" if spot.own else spot.home
            if scope is None:
                scope = spot.call.scope if spot.call is not None else ""
            label = f"{scope}.{spot.label}" if scope else spot.label
            self._names[spot] = label if own else self._free(label)

    def _place_nodes(self) -> None:
        for spot in self._spots:
            fragment, name = spot.fragment, self._names[spot]
            if spot in self._inputs:
                held = self._inputs[spot][1]
                shape = fragment.nodes[""].shape  # type: ignore[attr-defined]
                self._nodes[name] = ir.Input(shape, hold=held)
                continue
            for relative, node in fragment.nodes.items():
                node = self._restate(node)
                if spot.own and name != spot.label:
                    node = copy.copy(node)
                    original = _joined(spot.label, relative)
                    node.metadata = {**node.metadata, "copy_of": original}
                full = _joined(name, relative)
                if full in self._nodes:
                    full = self._free(full)
                self._nodes[full] = node
                self._taken.add(full)
            ports = fragment.nodes[fragment.leave].port_count
            for port in range(ports if ports > 1 else 0):
                sent = self._free(f"{name}.{port}")
                self._nodes[sent] = ir.Skip("passthrough")
                self._edges.append((name, sent))

    def _connect(self, signal: Signal, target: str) -> None:
        """An edge from where a signal comes from, through a passthrough if there is one already."""
        past = signal.spot in self._remembered
        if past:
            signal = self._remembered[signal.spot]
        spot = signal.spot
        source = self._names[spot]
        if not signal.membrane:
            source = _joined(source, spot.fragment.leave)
            if spot.fragment.nodes[spot.fragment.leave].port_count > 1:
                source = f"{source}.{signal.port}"
        edge = (source, target)
        if edge in self._edges:
            again = self._free(f"{target}.again")
            self._nodes[again] = ir.Skip("passthrough")
            self._edges += [(source, again), (again, target)]
            edge = (source, again)
        else:
            self._edges.append(edge)
        if past:
            self._back.add(edge)

    def _tie(self) -> None:
        """Note which fields of which nodes are one parameter."""
        seen: dict[int, str] = {}
        for spot in self._spots:
            module = spot.call.module if spot.own and spot.call is not None else None
            name = self._names[spot]
            if name not in self._nodes:
                continue
            tied = {}
            known = spot.parameters if module is None else module._parameters
            for field in self._nodes[name].parameters():
                held = known.get(field)
                if not isinstance(held, nn.Parameter):
                    continue
                if id(held) in seen and "copy_of" not in self._nodes[name].metadata:
                    tied[field] = seen[id(held)]
                seen.setdefault(id(held), f"{name}.{field}")
            if tied:
                node = copy.copy(self._nodes[name])
                node.metadata = {**node.metadata, "tied": tied}
                self._nodes[name] = node

    def _free(self, name: str) -> str:
        """``name``, or the first of ``name_2``, ``name_3``, ... that nothing else has."""
        found = unique(name, self._taken, "_")
        self._taken.add(found)
        return found


def _reachable(drawing: Drawing, results: Sequence[Result]) -> list[Spot]:
    """The spots that the outputs need, in the order of the drawing."""
    waiting = [result.signal.spot for result in results]
    seen: set[Spot] = set()
    while waiting:
        spot = waiting.pop()
        if spot not in seen:
            seen.add(spot)
            waiting += [signal.spot for signal in spot.inputs]
    return [spot for spot in drawing.spots if spot in seen]


def _is_feedback(spot: Spot) -> bool:
    """Whether a Delay only says that a loop through a neuron takes a step, which it does anyway."""
    if not spot.memory:
        return False
    signal = spot.inputs[0]
    leave = signal.spot.fragment.leave if not signal.membrane else ""
    node = signal.spot.fragment.nodes[leave]
    return node.breaks_cycles and node.port_count == 1


def _joined(name: str, relative: str) -> str:
    return f"{name}.{relative}" if relative else name


def spiking_affine(options: Mapping[str, object]) -> Restate:
    """Every Affine as a SpikingAffine with these options."""

    def restate(node: ir.Node) -> ir.Node:
        if type(node) is not ir.Affine:
            return node
        fields = {**node.values(), **options, "metadata": node.metadata}
        made: ir.Node = ir.SpikingAffine(**fields)
        return made

    return restate
