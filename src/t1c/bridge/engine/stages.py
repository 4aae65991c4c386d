"""All steps of one stage of a plan: a node at once, nodes as one, or a loop step by step."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from . import stretch
from .arrivals import merged, nothing, state_of
from .blocks import AffineBlock, Block, find_affine_block, find_block, learns, run_block
from .choices import Choice
from .folding import fold, fold_in_order
from .geometry import Convolving
from .input_checks import Inputs
from .kernels.weights import one_look
from .looked import Moment
from .looped import work_looped
from .network import Network
from .parted import work_parted
from .plan import Stage
from .spans import LAST, ONCE, gathers, masked, masks, normed_at_last, refuse_changing, span_of
from .state_checks import States
from .stateful import State, StatefulModule
from .step import by_program, step_nodes
from .trained_blocks import TrainedBlock, find_trained_block
from .trained_layers import TrainedAffineBlock, find_trained_affine
from .values import Sent, Values, at_port, at_step, carried_by, each_port, stacked
from .work import can_fold, can_share, is_plain, trial
from .writing import seen_of


def work_stage(
    network: Network,
    stage: Stage,
    inputs: Inputs,
    values: Values,
    state: States,
    after: States,
    keep: Collection[str],
    moment: Moment,
) -> set[str]:
    """All steps of a stage, and of those behind it that are worked with it: all their names."""
    name, choice = stage.names[0], None
    nodes = stretch.together(network, stage, next(iter(inputs.values())))
    if stretch.work(network, nodes, inputs, values, state, after, keep, moment):
        return set(nodes.names)
    if not stage.loop:
        # What is told of a weight still holds when the block is worked: no code of the user's runs.
        with one_look() if moment.number is None else nullcontext():
            block = _block(network, name, inputs, values, state, keep, moment)
            if block is not None and block.serves:
                run_block(network, block, values, state, after, moment)
                return set(block.names)
        choice = None if block is None else block.choice
    if stage.loop or not _whole(network, name, inputs, values, state, after, choice, moment):
        _stepwise(network, stage.names, inputs, values, state, after, keep, moment)
    return set(stage.names)


def _whole(
    network: Network,
    name: str,
    inputs: Inputs,
    values: Values,
    state: States,
    after: States,
    choice: Choice | None,
    moment: Moment,
) -> bool:
    """All steps of one node at once; False if the module must be stepped.

    ``choice``: how it is worked, if that was decided already.
    """
    module = network.node(name)
    nature = moment.once(("nature", name), lambda: _nature(module))
    if not nature.whole:
        return False
    sources = network.plan.sources[name]
    if nature.passes_on and len(sources) == 1:
        values[name] = at_port(values, sources[0])
        return True
    if name in inputs:
        sent = [inputs[name]]
    elif not sources:
        sent = [nothing(network, name, inputs, 1)]
    else:
        sent = [at_port(values, s) for s in sources]
    steps = len(sent[0])
    still = all(map(is_still, sent))
    if not still and steps > 1:
        refuse_changing(name, module)
    once = still and nature.once
    if once:
        sent = [v[:1] for v in sent]
    xs = merged(network, name, sent) if sources else sent[0]
    if isinstance(module, StatefulModule):
        like = xs[0] if len(xs) else xs.new_zeros(xs.shape[1:])
        own = state_of(network, name, state, like)
        values[name], after[name] = module.scan(xs, own or module.initial_state(like))
    elif nature.masks:
        like = xs[0] if len(xs) else xs.new_zeros(xs.shape[1:])
        value, after[name] = masked(module, xs, like, state_of(network, name, state, like))
        values[name] = _held(value, steps) if once else value
    elif steps and nature.at_last and not network.reproducible:
        values[name] = normed_at_last(module, xs)
    else:
        if network.reproducible:
            value, choice = fold_in_order(name, module, xs), None
        else:
            value, choice = fold(module, xs, network.kernels, network.events, choice)
        values[name] = each_port(value, lambda v: _held(v, steps)) if once else value
        if choice is not None:
            network.choices[name] = choice
    return True


@dataclass(frozen=True)
class _Nature:
    """How a module may be worked.

    Attributes:
        whole: all steps at once.
        passes_on: what reaches it is what it sends.
        once: the same input at every step needs to be worked once.
        masks: it drops by one mask for all steps.
        at_last: it takes statistics of each step, of which the last are kept.
    """

    whole: bool
    passes_on: bool
    once: bool
    masks: bool
    at_last: bool


def _nature(module: nn.Module) -> _Nature:
    span = span_of(module) if gathers(module) else None
    stateful = isinstance(module, StatefulModule)
    return _Nature(
        whole=is_plain(module) if stateful else can_fold(module),
        passes_on=type(module) is nn.Identity and is_plain(module),
        once=can_share(module) or masks(module) or span == ONCE,
        masks=masks(module),
        at_last=span == LAST,
    )


def is_still(value: Sent) -> bool:
    """Whether every step has the same value, in the same memory, as that of a held input has."""
    if isinstance(value, tuple) or torch.compiler.is_compiling():
        return False
    return len(value) > 1 and value.stride(0) == 0


def _held(once: Tensor, steps: int) -> Tensor:
    """The value of one step (1, B, ...) at every step."""
    return once.expand(steps, *once.shape[1:])


def _block(
    network: Network,
    name: str,
    inputs: Inputs,
    values: Values,
    state: States,
    keep: Collection[str],
    moment: Moment,
) -> Block | AffineBlock | TrainedBlock | TrainedAffineBlock | None:
    """The block that begins at a node, if it does; its choice says whether to work it as one."""
    layer = network.node(name)
    sources = network.plan.sources[name]
    if not isinstance(layer, Convolving | nn.Linear) or name in inputs or len(sources) != 1:
        return None
    xs = at_port(values, sources[0])
    carried = (v for own in state.values() for v in own)
    if learns(xs, moment) or (torch.is_grad_enabled() and any(v.requires_grad for v in carried)):
        if is_still(xs):
            return None
        if isinstance(layer, nn.Linear):
            return find_trained_affine(network, name, xs, state, keep, moment)
        return find_trained_block(network, name, xs, keep, moment)
    if not isinstance(layer, nn.Linear):
        return find_block(network, name, xs, keep, values, is_still(xs), moment)
    return None if is_still(xs) else find_affine_block(network, name, xs, keep, moment)


def _stepwise(
    network: Network,
    names: tuple[str, ...],
    inputs: Inputs,
    values: Values,
    state: States,
    after: States,
    keep: Collection[str],
    moment: Moment,
) -> None:
    """The nodes of a loop, or a module of the user's, one step after another."""
    like = next(iter(inputs.values()))
    steps = len(like)
    if by_program(network, names, inputs, values, state, after, keep, moment):
        return
    if work_looped(network, names, inputs, values, state, after, keep):
        return
    watched = [name for name in names if carried_by(name) in keep]
    if not watched and work_parted(network, names, inputs, values, state, after, keep, moment):
        return
    before = {s.name for n in names for s in network.plan.sources[n]} - set(names)
    own = {name: state[name] for name in names if name in state}
    wanted = seen_of(network.plan, names, keep)
    sent: dict[str, list[Sent]] = {name: [] for name in wanted}
    carried: dict[str, list[State]] = {name: [] for name in watched}
    # With no step to take, one is taken on zeros to learn the shapes, and thrown away.
    with nullcontext() if steps else trial(map(network.node, names)):
        for t in range(max(steps, 1)):
            now = {n: at_step(values[n], t) for n in before}
            here = {n: at_step(v, t) for n, v in inputs.items()}
            following: States = {}
            step_nodes(network, names, here, now, own, following)
            for name in wanted:
                sent[name].append(now[name])
            for name, after_each in carried.items():
                kept = following.get(name, ())
                after_each.append(kept[:-1] if name in network.plan.remembered else kept)
            if steps:
                own = following
    for name in wanted:
        values[name] = stacked(sent[name], steps)
    for name, after_each in carried.items():
        values[carried_by(name)] = stacked(after_each, steps)
    after.update(own)
