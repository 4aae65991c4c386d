"""What reaches a node: the values of its sources made one, and its own state."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from t1c.ir.errors import InputError, Problem, ShapeError

from .input_checks import Inputs
from .merging import MergeModule
from .network import Network
from .ordered import merge_in_order
from .spans import keeps_mask
from .state_checks import States, fitting, for_batch, misfit
from .stateful import State, StatefulModule
from .values import Values, at_port
from .work import step_of, trial


def arriving(network: Network, name: str, values: Values, state: States, inputs: Inputs) -> Tensor:
    """What reaches a node in a step, made one.

    Args:
        network: that it is a node of.
        name: its name.
        values: what nodes sent in this step.
        state: the state before it, with what nodes sent then.
        inputs: the Input tensors.
    """
    sources = network.plan.sources[name]
    if not sources:
        return nothing(network, name, inputs, 0)
    alone = len(sources) == 1 and not sources[0].back
    if alone and not isinstance(network.node(name), MergeModule):
        return at_port(values, sources[0])
    sent = [
        sent_before(network, s.name, values, state, inputs) if s.back else at_port(values, s)
        for s in sources
    ]
    return merge(network, name, sent)


def reached(network: Network, name: str, inputs: Inputs, values: Values, state: States) -> Tensor:
    """What reached a node at every step of a chunk, made one, (T, B, ...).

    Args:
        network: that it is a node of.
        name: its name.
        inputs: the Input tensors (T, B, *shape).
        values: what its sources sent at every step.
        state: the state before the first, with what nodes sent then.
    """
    if name in inputs:
        return merged(network, name, [inputs[name]])
    sources = network.plan.sources[name]
    if not sources:
        return nothing(network, name, inputs, 1)
    sent = [at_port(values, source) for source in sources]
    for place, source in enumerate(sources):
        if source.back:
            sent[place] = _one_later(source.name, sent[place], state)
    return merged(network, name, sent)


def _one_later(name: str, sent: Tensor, state: States) -> Tensor:
    """What was sent in the step before, for each step; zeros before the first."""
    if not len(sent):
        return sent
    like = sent[0]
    start = for_batch(name, state[name][-1], like) if name in state else torch.zeros_like(like)
    return torch.cat([start.unsqueeze(0), sent[:-1]])


def merged(network: Network, name: str, sent: list[Tensor]) -> Tensor:
    """What several inputs (T, B, ...) become, at every step."""
    if len(sent) == 1 and not isinstance(network.node(name), MergeModule):
        return sent[0]
    folded = merge(network, name, [v.flatten(0, 1) for v in sent])
    return folded.reshape(*sent[0].shape[:2], *folded.shape[1:])


def merge(network: Network, name: str, sent: list[Tensor]) -> Tensor:
    """What several inputs become: their sum, or what the module makes of them.

    Raises:
        ShapeError: their shapes do not fit together.
    """
    module = network.node(name)
    try:
        if isinstance(module, MergeModule):
            if network.reproducible:
                return merge_in_order(name, module, sent)
            return module.merge(sent)
        total = sent[0]
        for value in sent[1:]:
            if value.shape != total.shape:
                raise ShapeError(
                    Problem(
                        f"inputs of unequal shapes {tuple(total.shape)} and "
                        f"{tuple(value.shape)} are added",
                        "equal shapes",
                        "Join them with a Skip of type 'concatenate', or make them equal.",
                    )
                )
            total = total + value
    except ShapeError as error:
        sources = ", ".join(repr(s.name) for s in network.plan.sources[name])
        where = f"node {name!r} (fed by {sources})"
        raise ShapeError([p.at(where) for p in error.problems]) from None
    return total


def sent_before(
    network: Network, name: str, values: Values, state: States, inputs: Inputs
) -> Tensor:
    """What a node sent in the step before; zeros before the first."""
    shape = network.shapes[name]
    if name in state:
        like = next(iter(inputs.values()))
        v = for_batch(name, state[name][-1], like)
        if v.dtype != like.dtype or (shape is not None and v.shape[1:] != shape):
            raise misfit(name, v, like)
        return v
    if shape is not None:
        return _zeros(inputs, shape)
    return torch.zeros_like(_like(network, name, values))


def _like(network: Network, name: str, values: Values) -> Tensor:
    """What a node in a loop sends if nothing runs back: it has the right shape.

    Only executors built by hand need it, in their first step. Like a graph's inference of
    shapes, it lets a node whose inputs are added go by those of them that are known.
    """
    sent = dict(values)
    waiting = list(next(stage.names for stage in network.plan.stages if name in stage.names))
    modules = [network.node(n) for n in waiting]
    with trial(modules):
        while name in waiting:
            sources = {n: [s.name for s in network.plan.sources[n]] for n in waiting}
            known = {n: [sent[s] for s in sources[n] if s in sent] for n in waiting}
            ready = [n for n in waiting if len(known[n]) == len(sources[n])]
            ready += [n for n in waiting if known[n] and not _joins(network.node(n))]
            if not ready:
                raise InputError(
                    Problem(
                        "the shape of what it sends cannot be told before the first step",
                        "a loop whose shapes follow from what reaches it",
                        "Import the network from a graph, or pass a first state.",
                        f"node {name!r}",
                    )
                )
            first = ready[0]
            x = merge(network, first, known[first])
            sent[first], _ = step_of(first, network.node(first), x, ())
            waiting.remove(first)
    like: Tensor = sent[name]
    return like


def nothing(network: Network, name: str, inputs: Inputs, lead: int) -> Tensor:
    """Zeros for a neuron that no edge leads to: it runs on its leak.

    ``lead`` counts the dimensions before the batch.
    """
    shape = network.shapes[name]
    if shape is None:
        raise InputError(Problem("no edge leads to it", "an input", where=f"node {name!r}"))
    return _zeros(inputs, shape, lead)


def _zeros(inputs: Inputs, shape: tuple[int, ...], lead: int = 0) -> Tensor:
    like = next(iter(inputs.values()))
    return like.new_zeros(*like.shape[: lead + 1], *shape)


def state_of(network: Network, name: str, state: States, x: Tensor) -> State:
    """A node's own state variables, checked against what arrives."""
    if name not in state:
        return ()
    own = state[name][:-1] if name in network.plan.remembered else state[name]
    module = network.node(name)
    if keeps_mask(module):
        return tuple(fitting(name, v, x, x.shape) for v in own)
    if isinstance(module, StatefulModule):
        shapes = module.state_shapes(x.shape)
        return tuple(fitting(name, v, x, shape) for v, shape in zip(own, shapes, strict=True))
    # A module of the user's may keep what it likes; what is laid out as its input has a batch.
    return tuple(for_batch(name, v, x) if v.ndim == x.ndim else v for v in own)


def _joins(module: nn.Module) -> bool:
    return isinstance(module, MergeModule) and module.joins
