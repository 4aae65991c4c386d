"""A chunk of time, stage by stage: whole stretches at once, and only loops step by step."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from . import stretch
from .blocks import AffineBlock, Block, find_affine_block, find_block
from .fast import Choice, fold
from .input_checks import Inputs
from .modules import MergeModule
from .plan import Source, Stage
from .program import program_for
from .state_checks import States
from .stateful import StatefulModule
from .work import can_fold, can_share, is_plain, trial

if TYPE_CHECKING:
    from .executor import GraphExecutor

NARROW = 128
"""Elements of a value up to which the nodes around a loop are worked with it."""
Sent = Any
"""What a node sends: a tensor, or a tuple of tensors where it has several outputs."""
Values = dict[str, Sent]


def run_chunk(
    executor: GraphExecutor, inputs: Inputs, state: States, keep: Collection[str]
) -> tuple[Values, States]:
    """All steps of ``inputs``, name -> (T, B, *shape).

    Args:
        executor: whose plan and modules are followed.
        inputs: the Input tensors, checked.
        state: the state before the first step.
        keep: the nodes whose values are wanted; others are let go of after their last use.

    Returns:
        (what these nodes sent at every step, the state after the last).
    """
    values: Values = {}
    after: States = {}
    if _narrow_loop(executor, keep):
        order = executor.plan.order
        if _by_program(executor, order, inputs, values, state, after, keep):
            executor.blocks[order[0]] = order
            return _apart(values, keep), after
    # What depends on nothing but held inputs is worked once: its value is still as they are.
    worked: set[str] = set()
    for stage in executor.plan.stages:
        if not worked.issuperset(stage.names):
            worked |= work_stage(executor, stage, inputs, values, state, after, keep)
        for done in stage.last_uses:
            if done not in keep:
                values.pop(done, None)
    return _apart(values, keep), after


def step_as_chunk(
    executor: GraphExecutor, inputs: Inputs, state: States
) -> tuple[Values, States] | None:
    """One step of ``inputs`` (B, *shape) as a chunk, if only so its bits are those of a chunk."""
    if not stretch.rounds_freely(executor, next(iter(inputs.values()))):
        return None
    steps = {name: x.unsqueeze(0) for name, x in inputs.items()}
    values, after = run_chunk(executor, steps, state, executor.plan.outputs)
    return {name: _at(values[name], 0) for name in executor.plan.outputs}, after


def _narrow_loop(executor: GraphExecutor, keep: Collection[str]) -> bool:
    """Whether a graph with a loop is so narrow that all of it is best worked with the loop.

    What its nodes send one another then never leaves the cache.
    """
    plan = executor.plan
    if not plan.looping or not set(keep) <= {*plan.outputs}:
        return False
    shapes = [executor._shape_of(name) for name in plan.order]
    return all(shape is not None and math.prod(shape) <= NARROW for shape in shapes)


def work_stage(
    executor: GraphExecutor,
    stage: Stage,
    inputs: Inputs,
    values: Values,
    state: States,
    after: States,
    keep: Collection[str],
) -> set[str]:
    """All steps of a stage, and of those behind it that are worked with it: all their names."""
    name, choice = stage.names[0], None
    nodes = stretch.together(executor, stage, next(iter(inputs.values())))
    if stretch.work(executor, nodes, inputs, values, state, after, keep):
        return set(nodes.names)
    if not stage.loop:
        block = _block(executor, name, inputs, values, state, keep)
        if block is not None and block.choice.way == "events":
            _run_block(executor, block, values, state, after)
            return set(block.names)
        choice = None if block is None else block.choice
    if stage.loop or not _whole(executor, name, inputs, values, state, after, choice):
        _stepwise(executor, stage.names, inputs, values, state, after, keep)
    return set(stage.names)


def _whole(
    executor: GraphExecutor,
    name: str,
    inputs: Inputs,
    values: Values,
    state: States,
    after: States,
    choice: Choice | None,
) -> bool:
    """All steps of one node at once; False if the module must be stepped.

    ``choice``: how it is worked, if that was decided already.
    """
    module = executor.node(name)
    if not (is_plain(module) if isinstance(module, StatefulModule) else can_fold(module)):
        return False
    sources = executor.plan.sources[name]
    if name in inputs:
        sent = [inputs[name]]
    elif not sources:
        sent = [executor._nothing(name, inputs, 1)]
    else:
        sent = [at_port(values, s) for s in sources]
    steps = len(sent[0])
    once = all(map(is_still, sent)) and can_share(module)
    if once:
        sent = [v[:1] for v in sent]
    if len(sent) == 1 and not (sources and isinstance(module, MergeModule)):
        xs = sent[0]
    else:
        folded = executor._merge(name, [v.flatten(0, 1) for v in sent])
        xs = folded.reshape(*sent[0].shape[:2], *folded.shape[1:])
    if isinstance(module, StatefulModule):
        like = xs[0] if len(xs) else xs.new_zeros(xs.shape[1:])
        own = executor._state_of(name, state, like)
        values[name], after[name] = module.scan(xs, own or module.initial_state(like))
    else:
        value, choice = fold(module, xs, executor.kernels, executor.events, choice)
        values[name] = _each_port(value, lambda v: _held(v, steps)) if once else value
        if choice is not None:
            executor.choices[name] = choice
    return True


def is_still(value: Sent) -> bool:
    """Whether every step has the same value, in the same memory, as that of a held input has."""
    if isinstance(value, tuple) or torch.compiler.is_compiling():
        return False
    return len(value) > 1 and value.stride(0) == 0


def _apart(values: Values, keep: Collection[str]) -> Values:
    """The values that are wanted, each step in its own memory: the caller may write to them."""
    for name in keep:
        values[name] = _each_port(values[name], lambda v: v.clone() if is_still(v) else v)
    return values


def _held(once: Tensor, steps: int) -> Tensor:
    """The value of one step (1, B, ...) at every step."""
    return once.expand(steps, *once.shape[1:])


def _each_port(value: Sent, function: Callable[[Tensor], Tensor]) -> Sent:
    return tuple(map(function, value)) if isinstance(value, tuple) else function(value)


def _block(
    executor: GraphExecutor,
    name: str,
    inputs: Inputs,
    values: Values,
    state: States,
    keep: Collection[str],
) -> Block | AffineBlock | None:
    """The block that begins at a node, if it does; its choice says whether to work it as one."""
    layer = executor.node(name)
    sources = executor.plan.sources[name]
    if not isinstance(layer, nn.Conv2d | nn.Linear) or name in inputs or len(sources) != 1:
        return None
    if is_still(at_port(values, sources[0])):
        return None
    if torch.is_grad_enabled() and any(v.requires_grad for own in state.values() for v in own):
        return None
    find = find_block if isinstance(layer, nn.Conv2d) else find_affine_block
    return find(executor, name, at_port(values, sources[0]), keep)


def _run_block(
    executor: GraphExecutor,
    block: Block | AffineBlock,
    values: Values,
    state: States,
    after: States,
) -> None:
    """Work a block, whose last node's value is then there, and that of no other."""
    lead = block.names[0]
    executor.choices[lead], executor.blocks[lead] = block.choice, block.names
    (source,) = executor.plan.sources[lead]
    xs = at_port(values, source)
    neuron = None
    if block.neuron is not None:
        module = executor.neuron(block.neuron)
        features = torch.Size(block.features)
        like = xs.new_empty(1).expand(xs.shape[1], *features)
        # Zeros that take no room: a kernel works on a copy.
        rest = tuple(xs.new_zeros(1).expand(like.shape) for _ in module.state_names)
        own = executor._state_of(block.neuron, state, like) or rest
        neuron = own, module.laid(features, xs.dtype, xs.device), module.rule
    values[block.names[-1]], own = block.run(xs, neuron)
    if block.neuron is not None:
        after[block.neuron] = own


def _stepwise(
    executor: GraphExecutor,
    names: tuple[str, ...],
    inputs: Inputs,
    values: Values,
    state: States,
    after: States,
    keep: Collection[str],
) -> None:
    """The nodes of a loop, or a module of the user's, one step after another."""
    like = next(iter(inputs.values()))
    steps = len(like)
    if _by_program(executor, names, inputs, values, state, after, keep):
        return
    before = {s.name for n in names for s in executor.plan.sources[n]} - set(names)
    own = {name: state[name] for name in names if name in state}
    sent: dict[str, list[Sent]] = {name: [] for name in names}
    # With no step to take, one is taken on zeros to learn the shapes, and thrown away.
    with nullcontext() if steps else trial(map(executor.node, names)):
        for t in range(max(steps, 1)):
            now = {n: _at(values[n], t) for n in before}
            here = {n: _at(v, t) for n, v in inputs.items()}
            following: States = {}
            executor._step_nodes(names, here, now, own, following)
            for name in names:
                sent[name].append(now[name])
            if steps:
                own = following
    for name in names:
        values[name] = _stacked(sent[name], steps)
    after.update(own)


def _by_program(
    executor: GraphExecutor,
    names: tuple[str, ...],
    inputs: Inputs,
    values: Values,
    state: States,
    after: States,
    keep: Collection[str],
) -> bool:
    """Work a loop as one list of instructions, if they serve its nodes."""
    like = next(iter(inputs.values()))
    if not len(like):
        return False
    seen = tuple(
        name for name in names if name in keep or not set(executor.plan.targets[name]) <= set(names)
    )
    program = program_for(executor, names, seen, like)
    if program is None:
        return False
    known = {**values, **inputs}
    feeds = {n: known[n] if n in known else executor._nothing(n, inputs, 1) for n in program.feeds}
    done = program.run(feeds, state, like, like.shape[:2])
    if done is None:
        return False
    values.update(done[0])
    after.update(done[1])
    return True


def at_port(values: Values, source: Source) -> Tensor:
    """What arrives from a source, of several outputs the right one."""
    value = values[source.name]
    port: Tensor = value[source.port] if isinstance(value, tuple) else value
    return port


def _at(value: Sent, t: int) -> Sent:
    """One step of a sequence; zeros of the right shape where the sequence has no steps."""
    if isinstance(value, tuple):
        return tuple(_at(part, t) for part in value)
    return value[t] if len(value) else value.new_zeros(value.shape[1:])


def _stacked(sent: list[Sent], steps: int) -> Sent:
    """A sequence of the first ``steps`` values."""
    if isinstance(sent[0], tuple):
        return tuple(_stacked(list(parts), steps) for parts in zip(*sent, strict=True))
    return torch.stack(sent)[:steps]
