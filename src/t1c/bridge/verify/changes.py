"""Single changes to an executor, each of which is a hypothesis about the other side."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..executor import GraphExecutor
from ..modules import NeuronModule, ThresholdModule
from ..modules.registry import node_of, remember
from .compare import Place
from .executors import ExecutorSide
from .trace import Side, Trace

RESETS = ("zero", "subtract", "none")
SINGLE_NODES = 16
"""So many nodes are also tried one by one where it is not known which one is at fault."""

_WORDS = {
    "v_threshold": ("threshold", "threshold"),
    "tau": ("decay", "tau"),
    "beta": ("decay", "beta (1 - 1/tau)"),
}
"""Parameter -> the kind of its change, and what a reader calls it."""


@dataclass(frozen=True)
class Change:
    """What if a graph were different?

    Attributes:
        kind: 'reset', 'reset_delay', 'fires_at' (or several of them, joined by '+'), 'threshold',
            'decay', 'weight', 'bias'.
        nodes: the nodes that are changed.
        size: how many things are changed at once.
        new: how they would be, in words that follow "acts as if".
        old: how they are, in words that follow "the graph has".
        apply: makes the change, in place.
    """

    kind: str
    nodes: tuple[str, ...]
    size: int
    new: str
    old: str
    apply: Callable[[GraphExecutor], None]


def scopes(node: str, candidates: Sequence[str]) -> list[tuple[str, ...]]:
    """Which nodes to change together: the one that parts, or all, or, if unknown, each alone."""
    found: list[tuple[str, ...]] = [(node,)] if node in candidates else []
    if len(candidates) > 1 or not found:
        found.append(tuple(candidates))
    if node not in candidates and 1 < len(candidates) <= SINGLE_NODES:
        found += [(name,) for name in candidates]
    return [scope for scope in found if scope]


def option_changes(side: ExecutorSide, node: str) -> Iterator[Change]:
    """Reset mode, reset delay and firing rule, alone and together; fewest at once first."""
    neurons = side.neurons()
    axes = {
        "reset": RESETS,
        "reset_delay": (False, True),
        "fires_at": ("ge", "gt"),
    }
    for size in (1, 2, 3):
        for kinds in itertools.combinations(axes, size):
            for choice in itertools.product(*(axes[kind] for kind in kinds)):
                wanted = dict(zip(kinds, choice, strict=True))
                for scope in scopes(node, neurons):
                    change = _option_change(side, scope, wanted)
                    if change is not None:
                        yield change


def bias_changes(
    side: ExecutorSide, node: str, place: Place, mine: Trace, theirs: Trace
) -> Iterator[Change]:
    """A bias left out, and a constant that the other side adds."""
    biases = {name: _bias(side.executor.node(name)) for name in side.executor.plan.order}
    biased = [name for name, bias in biases.items() if bias is not None and bool(bias.any())]
    for scope in scopes(node, biased):

        def drop(executor: GraphExecutor, scope: tuple[str, ...] = scope) -> None:
            for name in scope:
                _set(executor.node(name), "bias", torch.zeros(()))

        yield Change("bias", scope, 1, f"{_named(scope)} had no bias", "one", drop)
    if place.is_output or place.what != "value":
        return
    module = side.executor.node(node)
    if not hasattr(module, "bias"):
        return
    added = theirs.values[node] - mine.values[node]
    # A dense layer has a bias along its last feature axis, a convolution one per channel.
    axis = added.dim() - 1 if isinstance(module, nn.Linear) else 2
    constant = added.movedim(axis, 0).flatten(1).double().mean(1).to(added.dtype)
    old = biases[node]
    bias = constant if old is None else old.detach().cpu() + constant

    def add(executor: GraphExecutor) -> None:
        _set(executor.node(node), "bias", bias)

    yield Change("bias", (node,), 1, f"{node!r} had another bias", _brief(old), add)


def parameter_changes(side: ExecutorSide, other: Side, node: str) -> Iterator[Change]:
    """The parameters that both sides show and that differ, each set to the other's.

    First those of the node that parts, then each in all nodes where it differs, then all at once.
    """
    differing = _differing(side, other)
    for field, found in differing.items():
        if node in found:
            yield _taken({field: {node: found[node]}}, 1)
    for field, found in differing.items():
        if list(found) != [node]:
            yield _taken({field: found}, 1)
    if len(differing) > 1:
        yield _taken(differing, 2)


def unlike(side: ExecutorSide, other: Side) -> list[str]:
    """What both sides show of a node and is not the same, such as ``fc1.weight (3 of 48 ...)``."""
    differing = _differing(side, other)
    found = []
    for name in side.executor.plan.order:
        fields = {f: nodes[name] for f, nodes in differing.items() if name in nodes}
        if "tau" in fields:
            fields.pop("beta", None)  # says the same again
        found += [f"{name}.{field} ({_gap([pair])})" for field, pair in fields.items()]
        mine, theirs = side.executor.node(name), other.module(name)
        if isinstance(mine, NeuronModule) and isinstance(theirs, NeuronModule):
            before, after = _options(mine), _options(theirs)
            found += [
                f"{name}.{o} ({v!r} and {after[o]!r})" for o, v in before.items() if v != after[o]
            ]
    return found


def _differing(side: ExecutorSide, other: Side) -> dict[str, dict[str, tuple[Tensor, Tensor]]]:
    """Field -> node -> (this side's, the other's), where both show it and it is not the same."""
    differing: dict[str, dict[str, tuple[Tensor, Tensor]]] = {}
    for name in side.executor.plan.order:
        theirs = other.module(name)
        there = {} if theirs is None else _parameters(theirs)
        module = side.executor.node(name)
        for field, old in _parameters(module).items():
            if field not in there or not _fits(there[field], old, module):
                continue
            if not _equal(old, there[field]):
                differing.setdefault(field, {})[name] = old.cpu(), there[field].cpu()
    return differing


def value_changes(side: ExecutorSide, other: Side) -> Iterator[Change]:
    """A reset by the value that the other side's neurons have for it, where these have none."""
    found: dict[str, tuple[str, Tensor]] = {}
    for name in side.neurons():
        mine, theirs = side.executor.node(name), other.module(name)
        if isinstance(mine, NeuronModule) and isinstance(theirs, NeuronModule):
            mode = str(theirs.reset_mode)
            value = theirs.v_reset if mode in ("value", "lower") else None
            if isinstance(value, Tensor) and mine.reset_mode != mode:
                found[name] = mode, value
    if not found:
        return

    def apply(executor: GraphExecutor) -> None:
        for name, (mode, value) in found.items():
            _replace(executor, name, {"reset": mode, "v_reset": value})

    nodes = tuple(found)
    old = _options(side.executor.node(nodes[0]))["reset"]
    mode, value = next(iter(found.values()))
    new = f"{_named(nodes)} had reset={mode!r}, v_reset={_brief(value)}"
    yield Change("reset", nodes, 1, new, f"reset={old!r}", apply)


def _taken(taken: dict[str, dict[str, tuple[Tensor, Tensor]]], size: int) -> Change:
    """The change of fields of nodes from their first to their second value."""

    def apply(executor: GraphExecutor) -> None:
        # A tau that both show says more than the decay that follows from it, and comes later.
        for field in sorted(taken, key=lambda f: f == "tau"):
            for name, (_, new) in taken[field].items():
                _take(executor, name, field, new)

    nodes = tuple(dict.fromkeys(name for found in taken.values() for name in found))
    kinds, words = zip(*(_WORDS.get(f, (f, f)) for f in taken), strict=True)
    new, old = "other values", "its own"
    if len(taken) == 1:
        old, new = _told_apart(list(next(iter(taken.values())).values()))
    said = f"the {' and '.join(words)} of {_named(nodes)} were {new}"
    if kinds == ("bias",) and new == "0":
        said = f"{_named(nodes)} had no bias"
    return Change("+".join(dict.fromkeys(kinds)), nodes, size, said, old, apply)


def threshold_change(side: ExecutorSide, node: str, factor: float) -> Change:
    """The threshold of a node times ``factor``."""
    old = _parameters(side.executor.node(node))["v_threshold"]
    new = old * factor

    def take(executor: GraphExecutor) -> None:
        _take(executor, node, "v_threshold", new)

    have = _brief(old)
    about = next(
        (text for digits in (3, 6, 17) if (text := _brief(new, digits)) != have), "another"
    )
    said = f"the threshold of {node!r} were about {about}"
    return Change("threshold", (node,), 1, said, have, take)


def _option_change(
    side: ExecutorSide, scope: tuple[str, ...], wanted: dict[str, Any]
) -> Change | None:
    """The change of a scope's options to those wanted, if each of them changes something."""
    now = {name: _options(side.executor.node(name)) for name in scope}
    for kind, value in wanted.items():
        if not any(options.get(kind, value) != value for options in now.values()):
            return None

    def apply(executor: GraphExecutor) -> None:
        for name in scope:
            module = executor.node(name)
            changes = {k: v for k, v in wanted.items() if k in now[name]}
            if isinstance(module, NeuronModule):
                if "reset" in changes:
                    changes["v_reset"] = None
                _replace(executor, name, changes)
            elif "fires_at" in changes:
                module.fires_at = changes["fires_at"]

    def words(options: dict[str, Any]) -> str:
        said = {
            "reset": lambda v: f"reset={v!r}",
            "reset_delay": lambda v: f"reset_delay={v}",
            "fires_at": lambda v: f"fires_at={v!r}",
        }
        return ", ".join(said[kind](options[kind]) for kind in wanted if kind in options)

    before = next(o for o in now.values() if any(o.get(k, v) != v for k, v in wanted.items()))
    new = f"{_named(scope)} had {words(dict(wanted))}"
    return Change("+".join(wanted), scope, len(wanted), new, words(before), apply)


def _options(module: nn.Module) -> dict[str, Any]:
    if isinstance(module, NeuronModule):
        return {
            "reset": module.reset_mode,
            "reset_delay": module.reset_delay,
            "fires_at": module.fires_at,
        }
    return {"fires_at": module.fires_at}


def _replace(executor: GraphExecutor, name: str, changes: dict[str, Any]) -> None:
    """Put a neuron with some fields changed in the place of a node's."""
    old = executor.node(name)
    assert isinstance(old, NeuronModule)
    fields = {field: getattr(old, field) for field in old.node_type.kinds}
    new = type(old)(**{**fields, **changes}).eval()
    node = node_of(old)
    executor.add_module(executor._children[name], new if node is None else remember(new, node))


def _parameters(module: nn.Module) -> dict[str, Tensor]:
    """What a module computes with, under the names of ``ir``; a leak as its decay, beta."""
    if isinstance(module, NeuronModule):
        found = {name: module._parameter(name).detach() for name in module.exact}
        return {**found, "beta": 1 - 1 / found["tau"]} if "tau" in found else found
    if isinstance(module, ThresholdModule):
        return {"v_threshold": module.threshold}
    found = {name: value.detach() for name, value in module.named_parameters(recurse=False)}
    for theirs, ours in (("threshold", "v_threshold"), ("beta", "beta")):  # as snnTorch has them
        value = getattr(module, theirs, None)
        if isinstance(value, Tensor):
            found[ours] = value.detach()
    return found


def _take(executor: GraphExecutor, node: str, name: str, value: Tensor) -> None:
    """Give a node another parameter."""
    module = executor.node(node)
    if isinstance(module, NeuronModule):
        value = value.double()
        if name == "beta":  # with the gain as it is
            tau = 1 / (1 - value)
            old = module._parameter("tau").detach()
            _replace(executor, node, {"tau": tau, "r": module._parameter("r").detach() * tau / old})
        else:
            _replace(executor, node, {name: value})
    else:
        _set(module, "threshold" if name == "v_threshold" else name, value)


def _bias(module: nn.Module) -> Tensor | None:
    bias = getattr(module, "bias", None)
    return bias if isinstance(bias, Tensor) else None


def _set(module: nn.Module, name: str, value: Tensor) -> None:
    old = getattr(module, name)
    if isinstance(old, Tensor):
        value = value.to(old).expand(old.shape) if value.numel() == 1 else value.to(old)
        old.data = value.reshape(old.shape).clone()
    else:
        setattr(module, name, nn.Parameter(value.to(next(module.parameters()))))


def _fits(new: Tensor, old: Tensor, module: nn.Module) -> bool:
    """Whether a parameter can take another's place; one number stands for all of a neuron's."""
    one = old.numel() == 1 and isinstance(module, NeuronModule)
    return one or new.numel() in (1, old.numel())


def _equal(a: Tensor, b: Tensor) -> bool:
    """Whether two parameters that fit say the same."""
    return bool((a.double().cpu().flatten() == b.double().cpu().flatten()).all())


def _told_apart(pairs: list[tuple[Tensor, Tensor]]) -> tuple[str, str]:
    """Two sides of parameters in words that are not the same."""
    both = [torch.cat([pair[i].double().flatten() for pair in pairs]) for i in (0, 1)]
    for digits in (6, 9, 17):
        old, new = (_brief(value, digits) for value in both)
        if old != new:
            return old, new
    return "its own", f"other numbers between the same ends ({_gap(pairs)})"


def _gap(pairs: list[tuple[Tensor, Tensor]]) -> str:
    """How many numbers differ, and by how much."""
    flat = [torch.broadcast_tensors(a.double().flatten(), b.double().flatten()) for a, b in pairs]
    gaps = torch.cat([(a - b).abs() for a, b in flat])
    if gaps.numel() == 1:
        (one,) = flat
        return f"{one[0].item():.9g} and {one[1].item():.9g}"
    count = int((gaps != 0).sum())
    return f"{count:,} of {gaps.numel():,} differ, by up to {float(gaps.max()):.3g}"


def _named(scope: tuple[str, ...]) -> str:
    if len(scope) > 3:
        return f"all of {len(scope)} nodes"
    return " and ".join(map(repr, scope))


def _brief(value: Tensor | None, digits: int = 6) -> str:
    if value is None:
        return "none"
    value = value.detach().double()
    low, high = float(value.min()), float(value.max())
    return f"{low:.{digits}g}" if low == high else f"{low:.{digits}g} to {high:.{digits}g}"
