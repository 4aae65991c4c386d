"""Which node a module is: filled by ``bridge.modules`` and ``bridge.frameworks``.

The counterpart of ``registry``, which knows the other direction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from t1c import ir
from t1c.ir.errors import Problem, UnsupportedError
from t1c.ir.topology import Edge

from .registry import is_default, node_of, tensor
from .tied import with_frozen

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Fragment:
    """The nodes that one module becomes, named relative to it: ``''`` is the module itself.

    Attributes:
        nodes: relative name -> node.
        edges: between them.
        back: those of the edges that run back in time.
        enter: where what the module is given arrives.
        leave: where what it returns comes from.
        membrane: the same module for a model that uses its membrane too, which then leaves at
            ``''``; None where a graph has no place for it.
    """

    nodes: Mapping[str, ir.Node]
    edges: tuple[Edge, ...] = ()
    back: tuple[Edge, ...] = ()
    enter: str = ""
    leave: str = ""
    membrane: Fragment | None = None


Exporter = Callable[[Any, Shape, Shape], "ir.Node | Fragment"]
Remake = Callable[[Any], "nn.Module | None"]
Rest = Callable[[Any], tuple[Any, ...]]
F = TypeVar("F", bound=Exporter)

_EXPORTERS: dict[type[nn.Module], Exporter] = {}
_REMAKES: dict[type[nn.Module], Remake] = {}
_STATES: dict[type[nn.Module], tuple[str, ...]] = {}
_RESTS: dict[type[nn.Module], Rest] = {}
_FAMILIES: set[type[nn.Module]] = set()
_STEPPED: set[type[nn.Module]] = set()


def exports(
    *types: type[nn.Module],
    state: tuple[str, ...] = (),
    remake: Remake | None = None,
    family: bool = False,
    stepped: bool = False,
    rest: Rest | None = None,
) -> Callable[[F], F]:
    """Decorator: the function makes the node of a module of these types.

    It takes the module and the feature shapes that enter and leave it, and raises
    ``UnsupportedError`` for what no node can say.

    Args:
        types: the modules, as they are: a subclass with a ``forward`` of its own is not one.
        state: the attributes in which a module keeps its state, in the order in which its
            ``forward`` takes it.
        remake: makes such a module of a node, where a user's map may have done so.
        family: every subclass is one too, whatever its ``forward``, unless a nearer type says so:
            for what is refused as a whole.
        stepped: a call of such a module is one time step, and it returns its state.
        rest: the values of a module's state variables at rest, where these are not zero.
    """

    def register(function: F) -> F:
        for module_type in types:
            _EXPORTERS[module_type] = function
            _STATES[module_type] = state
            if rest is not None:
                _RESTS[module_type] = rest
            if stepped:
                _STEPPED.add(module_type)
            if family:
                _FAMILIES.add(module_type)
            if remake is not None:
                _REMAKES[module_type] = remake
        return function

    return register


def known_type(module: nn.Module) -> type[nn.Module] | None:
    """The registered type that says what ``module`` computes, if one does."""
    if "forward" in module.__dict__:
        return None
    for cls in type(module).__mro__:
        if cls in _EXPORTERS:
            same = type(module).forward is cls.forward
            if same or cls in _FAMILIES:
                return cls
    return None


def exporter_of(module_type: type[nn.Module]) -> Exporter:
    """The function that makes the node of a module of exactly this type."""
    return _EXPORTERS[module_type]


def hidden_states(module: nn.Module) -> tuple[str, ...]:
    """The attributes in which a module keeps its state, if it does."""
    cls = known_type(module)
    return _STATES[cls] if cls is not None else ()


def rest_of(module: nn.Module, index: int) -> Any:
    """What a state variable of a module is at rest: a number, or a tensor that broadcasts."""
    cls = known_type(module)
    return _RESTS[cls](module)[index] if cls in _RESTS else 0


def is_stepped(module: nn.Module) -> bool:
    """Whether a framework's neuron takes one time step a call, and keeps or returns its state."""
    cls = known_type(module)
    return cls is not None and (bool(_STATES[cls]) or cls in _STEPPED)


def module_to_node(module: nn.Module, entering: Shape, leaving: Shape) -> ir.Node | Fragment:
    """The node of a module that takes ``entering`` and gives ``leaving`` (without batch).

    A module that was imported gives back its node, with the parameters as they are now: what did
    not change keeps its array, what did is written in that array's dtype. A parameter that does
    not require a gradient is noted to be frozen.

    Raises:
        UnsupportedError: no node says what the module computes.
    """
    made = _made(module, entering, leaving)
    if isinstance(made, ir.Node):
        return with_frozen(made, module)
    return _with_frozen_parts(made, dict(module.named_modules()))


def _with_frozen_parts(fragment: Fragment, modules: Mapping[str, nn.Module]) -> Fragment:
    """Nodes of a fragment go by the names of the modules inside, where they are such."""
    nodes = {
        name: with_frozen(node, modules[name]) if name in modules else node
        for name, node in fragment.nodes.items()
    }
    membrane = fragment.membrane and _with_frozen_parts(fragment.membrane, modules)
    return replace(fragment, nodes=nodes, membrane=membrane)


def _made(module: nn.Module, entering: Shape, leaving: Shape) -> ir.Node | Fragment:
    cls = known_type(module)
    if cls is None:
        raise UnsupportedError(
            Problem(f"no node is known for a {type(module).__name__}", "a module that has one")
        )
    node = node_of(module)
    if node is None:
        return _EXPORTERS[cls](module, entering, leaving)
    if not is_default(module):
        return _restored(cls, module, node, entering, leaving)
    if not node.parameters():
        return node
    now = _EXPORTERS[cls](module, entering, leaving)
    return _updated(node, now if isinstance(now, ir.Node) else now.nodes[""])


def _updated(node: ir.Node, now: ir.Node) -> ir.Node:
    """``node`` with the arrays of ``now`` where they differ by more than the module's dtype."""
    changes = {}
    for name, kept in node.parameters().items():
        value = getattr(now, name)
        made = np.asarray(tensor(kept, torch.from_numpy(value).dtype)).reshape(value.shape)
        if not np.array_equal(made, value, equal_nan=True):
            changes[name] = value.astype(kept.dtype).reshape(kept.shape)
    updated: ir.Node = node.replace(**changes) if changes else node
    return updated


def _restored(
    cls: type[nn.Module], module: nn.Module, node: ir.Node, entering: Shape, leaving: Shape
) -> ir.Node | Fragment:
    """The node of a module that a user's map made of ``node``: this one, where it still says so.

    What the map makes of the node once more tells which parameters were changed since.
    """
    export = _EXPORTERS[cls]
    made = export(module, entering, leaving)
    again = _REMAKES[cls](node) if cls in _REMAKES else None
    now = made if isinstance(made, ir.Node) else made.nodes[""]
    if again is None or type(again) is not type(module) or type(now) is not type(node):
        return made
    fresh = export(again, entering, leaving)
    before = fresh if isinstance(fresh, ir.Node) else fresh.nodes[""]
    arrays = now.parameters()
    same = {name: np.array_equal(arrays[name], getattr(before, name)) for name in arrays}
    if any(v != getattr(before, k) for k, v in now.values().items() if k not in arrays):
        return made
    changes = {name: arrays[name] for name, kept in same.items() if not kept}
    restored: ir.Node = node.replace(**changes) if changes else node
    return restored


def array(values: Tensor) -> Any:
    """A copy of a tensor as an array; bfloat16, which NumPy lacks, as float32."""
    values = values.detach().cpu()
    if values.dtype == torch.bfloat16:
        values = values.float()
    return np.array(values.numpy())


def refuse(found: str, expected: str = "", remedy: str = "") -> UnsupportedError:
    """The error to raise from an exporter."""
    return UnsupportedError(Problem(found, expected, remedy))


def over_features(values: Tensor, features: Shape, what: str) -> Any:
    """A tensor that torch broadcasts against (B, *features), as a parameter of a node.

    Torch lines shapes up from the right, a node takes (C,) for channels: the array returned says
    the same in the node's way, ``(1,)`` for one number.

    Raises:
        UnsupportedError: it differs from sample to sample, or does not fit.
    """
    if values.numel() == 1:
        return array(values).reshape(1)
    shape = tuple(values.shape)
    if len(shape) == len(features) + 1 and shape[0] == 1:
        shape = shape[1:]
    laid = (1,) * (len(features) - len(shape)) + shape
    fits = len(laid) == len(features) and all(
        p in (1, f) for p, f in zip(laid, features, strict=True)
    )
    if not fits:
        raise refuse(
            f"{what} of shape {tuple(values.shape)} for features {features}",
            "one value, or one for each channel or feature, the same for every sample",
        )
    return array(values).reshape(laid)


def channels(shape: Shape) -> int:
    """How many features a layer serves: channels of a map, elements of a vector."""
    return shape[0] if shape else 1
