"""Parameters that are one, and parameters that do not train: notes of a graph, facts in torch.

Three notes of a node say what no field says, because they change no result of a forward pass:

- ``copy_of: 'other'``: both nodes were one module; each of their parameters is one.
- ``tied: {'weight': 'other.weight'}``: this field and that of another node are one parameter.
- ``frozen: ['weight']``: these parameters have ``requires_grad=False``, or are constants.

A name is that of a node in the same graph, or else its flat name. A note that does not fit (nodes
of unlike types, unequal arrays, no such node) has no effect.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from t1c import ir

from .registry import node_of

Place = tuple[str, str]
"""A node and one of its fields."""
Tie = tuple[Place, Place]
"""A field, and the one whose parameter it is."""

TRAINED = frozenset(
    [
        *("weight", "bias", "scale", "shift"),
        *("depthwise_weight", "pointwise_weight", "depthwise_bias", "pointwise_bias"),
    ]
)
"""Fields that modules hold as parameters, which train unless a note says otherwise."""


class Slot(NamedTuple):
    """Where a module holds a tensor: one of its parameters or buffers."""

    module: nn.Module
    name: str

    def get(self) -> Tensor | None:
        """The tensor."""
        own, name = self.module, self.name
        return own._parameters.get(name) if name in own._parameters else own._buffers.get(name)

    def set(self, value: Tensor) -> None:
        """Hold ``value`` in its place, as the parameter or the buffer that it is."""
        if isinstance(value, nn.Parameter):
            self.module._buffers.pop(self.name, None)
            self.module._parameters[self.name] = value
        else:
            self.module._parameters.pop(self.name, None)
            self.module._buffers[self.name] = value


def slot_of(module: nn.Module, field: str) -> Slot | None:
    """Where a module holds a field of its node, if it holds it as it is."""
    path: str = getattr(type(module), "held_in", {}).get(field, field)
    inner, _, name = path.rpartition(".")
    slot = Slot(module.get_submodule(inner), name)
    return None if slot.get() is None else slot


def tie(modules: Mapping[str, nn.Module]) -> None:
    """Make one tensor of the parameters that the modules' nodes say are one.

    Of parameters that the modules hold and that are equal; others stay two.
    """
    holders: dict[int, set[Slot]] = defaultdict(set)
    for mine, other in _slots(modules).values():
        one, two = mine.get(), other.get()
        if one is None or two is None or one is two or not _interchangeable(one, two):
            continue
        group = holders.pop(id(one), set()) | {mine}
        for slot in group:
            slot.set(two)
        holders[id(two)] |= group | {other}


def freeze(module: nn.Module) -> None:
    """Take ``requires_grad`` from the parameters that the note of the module's node names."""
    node = node_of(module)
    for field in _frozen(node) if node is not None else ():
        slot = slot_of(module, field)
        value = None if slot is None else slot.get()
        if isinstance(value, nn.Parameter):
            value.requires_grad_(False)


def trained_fields(node: ir.Node) -> frozenset[str]:
    """The fields of a node that train once it is imported."""
    lacking = {field for field in TRAINED if node.metadata.get(field) == "none"}
    return (TRAINED & set(node.parameters())) - lacking - set(_frozen(node))


def with_constants(node: ir.Node, trained: Collection[str] = ()) -> ir.Node:
    """The node with the note that of its fields these alone train."""
    constant = sorted(trained_fields(node) - set(trained))
    return _noted(node, "frozen", _frozen(node) + constant) if constant else node


def trains(value: object) -> bool:
    """Whether a tensor is a parameter that an optimizer would train."""
    return isinstance(value, nn.Parameter) and value.requires_grad


def with_held(node: ir.Node, **held: object) -> ir.Node:
    """The node with the note of which fields a module holds no parameters for that train."""
    return with_constants(node, [field for field, value in held.items() if trains(value)])


def with_frozen(node: ir.Node, module: nn.Module) -> ir.Node:
    """The node with the note of which of its module's parameters do not train now.

    A buffer in the place of a parameter is one that does not.
    """
    before, now = _frozen(node), []
    for field, array in node.parameters().items():
        slot = slot_of(module, field)
        value = None if slot is None else slot.get()
        held = isinstance(value, nn.Parameter) or (value is not None and field in TRAINED)
        if held and value is not None and value.shape == array.shape:
            still = not trains(value)
        else:
            still = field in before
        if still:
            now.append(field)
    same = set(now) == set(before) & set(node.parameters())
    return node if same else _noted(node, "frozen", now)


def with_ties(nodes: Mapping[str, ir.Node], modules: Mapping[str, nn.Module]) -> dict[str, ir.Node]:
    """The nodes with the notes of which of their modules' parameters are one now.

    Notes that still hold stay as they are. One is dropped where two parameters came of what was
    one, and ``tied`` is added where one came of what was two.
    """
    noted = dict(nodes)
    parent: dict[Place, Place] = {}

    def root(place: Place) -> Place:
        while place in parent:
            place = parent[place]
        return place

    for (mine, _), (a, b) in _slots(modules).items():
        if a.get() is not b.get():
            noted[mine[0]] = _untied(noted[mine[0]], mine[1])
    for mine, other in _slots(modules, noted):
        if root(mine) != root(other):
            parent[root(mine)] = root(other)
    first: dict[int, Place] = {}
    for name, node in nodes.items():
        for field in node.parameters():
            slot = slot_of(modules[name], field)
            if slot is None:
                continue
            one = first.setdefault(id(slot.get()), (name, field))
            if root(one) != root((name, field)):
                parent[root((name, field))] = root(one)
                tied = {**_tied(noted[name]), field: f"{_beside(one[0], name)}.{one[1]}"}
                noted[name] = _noted(noted[name], "tied", tied)
    return noted


@contextmanager
def staying_one(model: nn.Module) -> Iterator[None]:
    """What is one tensor in several modules is one afterwards too, whatever replaces it."""
    groups: dict[int, list[Slot]] = defaultdict(list)
    for module in model.modules():
        for table in (module._parameters, module._buffers):
            for name, value in table.items():
                if value is not None:
                    groups[id(value)].append(Slot(module, name))
    shared = [(slots[0].get(), slots) for slots in groups.values() if len(slots) > 1]
    yield
    for was, slots in shared:
        # Where only some of them were replaced, the others follow.
        found = (slot.get() for slot in slots)
        new = next((value for value in found if value is not None and value is not was), None)
        if new is not None:
            for slot in slots:
                slot.set(new)


def _slots(
    modules: Mapping[str, nn.Module], noted: Mapping[str, ir.Node] | None = None
) -> dict[Tie, tuple[Slot, Slot]]:
    """The ties that the modules' nodes state, and where the modules hold what is tied.

    Args:
        modules: node name -> module, with its node.
        noted: the nodes whose notes count; those of the modules if None.
    """
    nodes = {name: node for name, module in modules.items() if (node := node_of(module))}
    found: dict[Tie, tuple[Slot, Slot]] = {}
    for (name, field), (other, theirs) in _stated(nodes, noted or nodes):
        mine, yours = slot_of(modules[name], field), slot_of(modules[other], theirs)
        if mine is not None and yours is not None and mine != yours:
            found[(name, field), (other, theirs)] = mine, yours
    return found


def _stated(nodes: Mapping[str, ir.Node], noted: Mapping[str, ir.Node]) -> Iterator[Tie]:
    """The ties that notes state, of fields that hold equal arrays."""
    for name, node in nodes.items():
        notes = noted[name].metadata
        if "copy_of" not in notes and "tied" not in notes:
            continue
        arrays = node.parameters()
        original = _resolved(notes.get("copy_of"), name, nodes)
        if original is not None and type(nodes[original]) is type(node):
            values = nodes[original].values()
            if all(_equal(array, values[field]) for field, array in arrays.items()):
                yield from (((name, field), (original, field)) for field in arrays)
        for field, target in _tied(noted[name]).items():
            owner, _, own = target.rpartition(".")
            other = _resolved(owner, name, nodes)
            theirs = {} if other is None else nodes[other].parameters()
            if other is not None and _equal(arrays.get(field), theirs.get(own)):
                yield (name, field), (other, own)


def _resolved(note: object, name: str, nodes: Mapping[str, ir.Node]) -> str | None:
    """The flat name of the node that a note of node ``name`` means."""
    if not isinstance(note, str):
        return None
    beside = name[: name.rfind("/") + 1] + note
    full = beside if beside in nodes else note
    return full if full in nodes and full != name else None


def _beside(other: str, name: str) -> str:
    """What a note of node ``name`` calls ``other``: its own name if both are in one graph."""
    graph = name[: name.rfind("/") + 1]
    return other[len(graph) :] if other[: other.rfind("/") + 1] == graph else other


def _equal(a: object, b: object) -> bool:
    return (
        isinstance(a, np.ndarray)
        and isinstance(b, np.ndarray)
        and a.dtype == b.dtype
        and a.shape == b.shape
        and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    )


def _interchangeable(a: Tensor, b: Tensor) -> bool:
    return (
        isinstance(a, nn.Parameter) == isinstance(b, nn.Parameter)
        and (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device)
        and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
    )


def _frozen(node: ir.Node) -> list[str]:
    note = node.metadata.get("frozen")
    return [f for f in note if isinstance(f, str)] if isinstance(note, list) else []


def _tied(node: ir.Node) -> dict[str, str]:
    note = node.metadata.get("tied")
    if not isinstance(note, dict):
        return {}
    return {field: target for field, target in note.items() if isinstance(target, str)}


def _untied(node: ir.Node, field: str) -> ir.Node:
    """Without the note by which ``field`` was another's; a copy in part is no copy."""
    tied = {name: target for name, target in _tied(node).items() if name != field}
    if len(tied) < len(_tied(node)):
        return _noted(node, "tied", tied)
    return _noted(node, "copy_of", None)


def _noted(node: ir.Node, key: str, note: object) -> ir.Node:
    """The node with another note in the place of this one; none if it is empty."""
    kept = {k: v for k, v in node.metadata.items() if k != key}
    noted: ir.Node = node.replace(metadata={**kept, key: note} if note else kept)
    return noted
