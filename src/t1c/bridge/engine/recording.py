"""What hidden nodes sent, and what they carried from step to step, in a run of a whole sequence.

What a node sends is a value that the chunk is asked to keep. What a neuron carried is worked out
once more from what reached it, by the very kernel that worked it: the run itself stays as fast as
it is, and the numbers are the same bits. A module of the user's, or one whose calls are watched or
replaced, is stepped in the run anyway, and what it carried is kept there.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from t1c.ir.errors import InputError, Problem
from t1c.ir.guess import did_you_mean

from .arrivals import reached, state_of
from .input_checks import Inputs
from .network import Network
from .state_checks import States
from .stateful import StatefulModule
from .values import Sent, Values, carried_by, each_port
from .work import is_plain, is_stateless, state_arguments

MANY = 40
"""Names that an error lists at most."""

Recorded = dict[str, Sent]
"""What was recorded by name, (T, B, ...); a tuple of a node with several outputs."""


@dataclass(frozen=True)
class Place:
    """Where something is found in a network.

    Attributes:
        node: whose it is.
        part: what the node sends, what reaches it, or one of its state variables, by number.
    """

    node: str
    part: int | Literal["sent", "input"] = "sent"


def places_of(network: Network) -> dict[str, Place]:
    """Everything that can be recorded, by name.

    A node's name is what it sends, ``node.variable`` a state variable after each step, and
    ``node.input`` what reaches it, made one. A nested graph is its one output, and ``graph.node``
    the one value that a node in it carries. A name that a node bears is always that node.
    """
    places = {name: Place(name) for name in network.slots}
    for name in network.slots:
        variables = _variables(network.node(name))
        for number, variable in enumerate(variables):
            places.setdefault(f"{name}.{variable}", Place(name, number))
        if len(variables) == 1:
            for graph, rest in _nestings(name):
                places.setdefault(f"{graph}.{rest}", Place(name, 0))
    exits: dict[str, list[str]] = {}
    for name, targets in network.plan.targets.items():
        for graph, _ in _nestings(name):
            if not all(target.startswith(f"{graph}/") for target in targets):
                exits.setdefault(graph, []).append(name)
    for graph, names in exits.items():
        if len(names) == 1:
            places.setdefault(graph, Place(names[0]))
    for name in network.slots:
        places.setdefault(f"{name}.input", Place(name, "input"))
    return places


def _variables(module: nn.Module) -> tuple[str, ...]:
    """The names of a module's state variables; of the user's own, what it calls its arguments."""
    if isinstance(module, StatefulModule):
        return module.state_names
    return () if is_stateless(module) else state_arguments(module) or ()


def _is_worked_again(module: nn.Module) -> bool:
    """Whether a module gives the same when it is worked once more, and nobody notices."""
    return isinstance(module, StatefulModule) and is_plain(module)


def _nestings(name: str) -> Iterable[tuple[str, str]]:
    """The nested graphs that a node lies in, and its name in each."""
    parts = name.split("/")
    return (("/".join(parts[:n]), "/".join(parts[n:])) for n in range(1, len(parts)))


class Recording:
    """What is to be recorded in a run.

    Args:
        network: what runs.
        names: as ``places_of`` has them.

    Attributes:
        keep: the nodes whose values a chunk has to keep: the outputs, and what is needed besides.

    Raises:
        InputError: there is nothing of such a name.
    """

    def __init__(self, network: Network, names: Sequence[str]) -> None:
        known = places_of(network) if names else {}
        unknown = [_unknown(name, known) for name in names if name not in known]
        if unknown:
            raise InputError(unknown)
        self._network = network
        self._places = {name: known[name] for name in names}
        keep = dict.fromkeys(network.plan.outputs)
        for place in self._places.values():
            if place.part == "sent":
                keep[place.node] = None
            elif place.part == "input" or _is_worked_again(network.node(place.node)):
                keep |= dict.fromkeys(source.name for source in network.plan.sources[place.node])
            else:
                keep[carried_by(place.node)] = None
        self.keep = tuple(keep)

    def of(self, inputs: Inputs, values: Values, state: States) -> Recorded:
        """What a chunk left behind.

        Args:
            inputs: the Input tensors of the chunk.
            values: what the nodes in ``keep`` sent.
            state: the state before the first step.

        Returns:
            By the names asked for, in memory that nothing else has.
        """
        outputs = [values[name] for name in self._network.plan.outputs]
        own = _Apart([*inputs.values(), *outputs])
        carried: dict[str, tuple[Tensor, ...]] = {}
        found: Recorded = {}
        for name, place in self._places.items():
            if place.part == "sent":
                found[name] = each_port(values[place.node], own)
            elif place.part == "input":
                found[name] = own(reached(self._network, place.node, inputs, values, state))
            else:
                if place.node not in carried:
                    carried[place.node] = self._carried(place.node, inputs, values, state)
                found[name] = own(_variable(name, place.part, carried[place.node]))
        return found

    def _carried(
        self, name: str, inputs: Inputs, values: Values, state: States
    ) -> tuple[Tensor, ...]:
        """Each state variable of a node after every step, (T, B, ...)."""
        if _is_worked_again(self._network.node(name)):
            return _worked_again(self._network, name, inputs, values, state)
        own: tuple[Tensor, ...] = values[carried_by(name)]
        return own


def _variable(name: str, number: int, own: tuple[Tensor, ...]) -> Tensor:
    if number >= len(own):
        raise InputError(
            Problem(
                f"{name!r}, of a module that carried {len(own)} state variables",
                "a state variable that it returns",
                field="record",
            )
        )
    return own[number]


class _Apart:
    """Copies tensors that share memory with others."""

    def __init__(self, others: Sequence[Sent]) -> None:
        self._taken: set[int] = set()
        for value in others:
            each_port(value, self._take)

    def _take(self, value: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():
            self._taken.add(value.untyped_storage().data_ptr())
        return value

    def __call__(self, value: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return value.clone()
        if value.untyped_storage().data_ptr() in self._taken:
            return value.clone()
        return self._take(value)


def _worked_again(
    network: Network, name: str, inputs: Inputs, values: Values, state: States
) -> tuple[Tensor, ...]:
    """Each state variable of a node after every step, (T, B, ...).

    Of a node that delays by one step it is the value that waits, without an axis for the wait.
    """
    module = network.stateful(name)
    xs = reached(network, name, inputs, values, state)
    if module.delays == 1:
        return (xs,)
    like = xs[0] if len(xs) else xs.new_zeros(xs.shape[1:])
    own = state_of(network, name, state, like) or module.initial_state(like)
    return module.states(xs, own)


def _unknown(name: str, known: dict[str, Place]) -> Problem:
    names = [n for n, place in known.items() if place.part != "input"]
    more = len(names) - MANY
    if more > 0:
        names = difflib.get_close_matches(name, names, MANY, 0.0)
    listed = ", ".join(map(repr, names)) + (f" and {more} more" if more > 0 else "")
    return Problem(
        f"there is nothing of the name {name!r} to record",
        f"the name of a node, or of a state variable: {listed}",
        did_you_mean(name, known, "What reaches a node is its name with '.input'."),
        field="record",
    )
