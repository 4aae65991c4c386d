"""From one folded step to a graph: names, nodes, edges, and what runs back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from t1c import ir
from t1c.ir.errors import GraphError, Problem, UnsupportedError
from t1c.ir.topology import Edge, Topology

from .exporting import Fragment
from .fold import Fold
from .record import MEMBRANE, Call, Entry, Sent, Value

Restate = Callable[[ir.Node], ir.Node]


class Assembly:
    """The graph of a folded record.

    Args:
        fold: one step.
        inputs: a name for each tensor of the sample.
        outputs: a name and a shape for each output, in the order of ``fold.outputs``.
        restate: what to make of each node before it enters the graph.
    """

    def __init__(
        self,
        fold: Fold,
        inputs: Sequence[str],
        outputs: Sequence[tuple[str, tuple[int, ...]]],
        restate: Restate,
    ) -> None:
        self._fold, self._restate = fold, restate
        self._nodes: dict[str, ir.Node] = {}
        self._edges: list[Edge] = []
        self._back: set[Edge] = set()
        self._taken: set[str] = set()
        self._leave: dict[Call | int, str] = {}
        self._fragments = self._choose_fragments()
        # Modules come by their names first: what is added around them makes way.
        self._names = self._name_calls()
        for number, entry in sorted(fold.entries.items()):
            name = self._free(inputs[number] if len(fold.entries) > 1 else "input")
            self._nodes[name] = ir.Input(entry.shape)
            self._leave[number] = name
        self._place_nodes()
        for call in fold.calls:
            fragment, name = self._fragments[call], self._names[call]
            for value in call.inputs:
                self._connect(value, _joined(name, fragment.enter))
            self._edges += [(_joined(name, a), _joined(name, b)) for a, b in fragment.edges]
            self._back |= {(_joined(name, a), _joined(name, b)) for a, b in fragment.back}
        for value, (label, shape) in zip(fold.outputs, outputs, strict=True):
            name = self._free(label)
            self._nodes[name] = ir.Output(shape)
            self._connect(value, name)

    def graph(self) -> ir.Graph:
        """The graph, with the edges that run back stated where the rule would choose others."""
        self._delay_outside_of_loops()
        if not self._back:
            return ir.Graph(self._nodes, self._edges)
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
        """What is taken from the past, but closes no cycle, passes through a Delay."""
        topology = Topology(self._nodes, self._edges)
        looped = {name: i for i, loop in enumerate(topology.loops()) for name in loop}
        for edge in [e for e in self._edges if e in self._back]:
            source, target = edge
            if source in looped and looped[source] == looped.get(target):
                continue
            name = self._free(f"{source}.delay")
            self._nodes[name] = ir.Delay(np.array(1))
            self._edges[self._edges.index(edge)] = (name, target)
            self._edges.append((source, name))
            self._back.remove(edge)

    def _choose_fragments(self) -> dict[Call, Fragment]:
        """What each call is in the graph, with the membrane of a neuron given out where it is used.

        What nothing takes from is left out of it.
        """
        ports: dict[Call, set[int]] = {}
        values = [*self._fold.outputs, *(v for call in self._fold.calls for v in call.inputs)]
        for value in values:
            if isinstance(value, Sent):
                ports.setdefault(self._fold.present(value.call), set()).add(value.port)
        chosen = {}
        for call in self._fold.calls:
            fragment = call.fragment
            assert fragment is not None, "Fold refuses calls without one"
            if MEMBRANE in ports.get(call, ()):
                assert fragment.membrane is not None, "only such membranes become values"
                fragment = fragment.membrane
                if 0 not in ports[call]:
                    fragment = Fragment({"": fragment.nodes[""]})
            chosen[call] = fragment
        return chosen

    def _name_calls(self) -> dict[Call, str]:
        """A name for each call: the module's path, or one that no module has."""
        names: dict[Call, str] = {}
        modules = [call for call in self._fold.calls if call.module is not None]
        first: dict[str, Call] = {}
        for call in modules:
            first.setdefault(call.name, call)
        self._taken |= set(first)
        for call in self._fold.calls:
            own = first.get(call.name) is call
            names[call] = call.name if own else self._free(call.name)
        return names

    def _place_nodes(self) -> None:
        for call in self._fold.calls:
            fragment, name = self._fragments[call], self._names[call]
            self._leave[call] = _joined(name, fragment.leave)
            for relative, node in fragment.nodes.items():
                node = self._restate(node)
                if name != call.name and call.module is not None:
                    node = copy.copy(node)
                    node.metadata = {**node.metadata, "copy_of": call.name}
                full = _joined(name, relative)
                if full in self._nodes:
                    full = self._free(full)
                self._nodes[full] = node
                self._taken.add(full)
            for port in range(call.ports if call.ports > 1 else 0):
                sent = self._free(f"{name}.{port}")
                self._nodes[sent] = ir.Skip("passthrough")
                self._edges.append((name, sent))

    def _connect(self, value: Value, target: str) -> None:
        """An edge from where a value comes from, through a passthrough if there is one already."""
        if isinstance(value, Entry):
            source, past = self._leave[value.number], False
        elif isinstance(value, Sent):
            call = self._fold.present(value.call)
            source, past = self._leave[call], self._fold.is_past(value)
            if value.port == MEMBRANE:
                source = self._names[call]
            elif value.call.ports > 1:
                source = f"{source}.{value.port}"
        else:
            raise TypeError(value)
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

    def _free(self, name: str) -> str:
        """``name``, or the first of ``name_2``, ``name_3``, ... that nothing else has."""
        found, count = name, 1
        while found in self._taken:
            count += 1
            found = f"{name}_{count}"
        self._taken.add(found)
        return found


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
