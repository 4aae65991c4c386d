"""A chunk of time, stage by stage: whole stretches at once, and only loops step by step."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from contextlib import nullcontext

from .chunks import Pieces
from .collect import Collector
from .input_checks import Inputs
from .kernels.weights import one_look
from .looked import Moment
from .network import Network
from .recording import Recording
from .stages import is_still, work_stage
from .state_checks import States
from .step import by_program
from .stretch import rounds_freely
from .values import Values, at_step, each_port, outputs_of
from .writing import Run, run_from, serves

Work = Callable[[Network, Inputs, States, Collection[str], Moment | None], tuple[Values, States]]

NARROW = 128
"""Elements of a value up to which the nodes around a loop are worked with it."""
LITTLE = 2**22
"""Products and other results up to which calls take longer than work: all is done in one."""


def run_pieces(
    network: Network,
    pieces: Pieces,
    state: States,
    collector: Collector,
    truncate: bool,
    advance: Callable[[int], None],
    work: Work,
    moment: Moment | None = None,
    recording: Recording | None = None,
) -> States:
    """All pieces of a sequence, one after another.

    Args:
        network: what is worked.
        pieces: of the input, checked.
        state: the state before the first step.
        collector: what takes the outputs of each piece.
        truncate: let no gradient pass from one piece to the one before.
        advance: called with the number of steps just done.
        work: what works a piece.
        moment: what the network is when the first piece is worked, if that is known already.
        recording: what is to be recorded besides, if anything is.

    Returns:
        The state after the last step.
    """
    network.begin()
    keep = network.plan.outputs if recording is None else recording.keep
    for first, inputs in pieces:
        steps = len(next(iter(inputs.values())))
        if truncate and first:
            state = {name: tuple(v.detach() for v in own) for name, own in state.items()}
        values, after = work(network, inputs, state, keep, moment)
        moment = None
        network.last_chunk = network.last_chunk or steps
        recorded = None if recording is None else recording.of(inputs, values, state)
        state = after
        collector.take(first, pieces.steps, outputs_of(network.plan, values), recorded)
        advance(steps)
    return state


def run_chunk(
    network: Network,
    inputs: Inputs,
    state: States,
    keep: Collection[str],
    moment: Moment | None = None,
) -> tuple[Values, States]:
    """All steps of ``inputs``, name -> (T, B, *shape).

    Args:
        network: what is worked.
        inputs: the Input tensors, checked.
        state: the state before the first step.
        keep: the nodes whose values are wanted; others are let go of after their last use.
        moment: what the network is now, if that is known already.

    Returns:
        (what these nodes sent at every step, the state after the last).
    """
    values: Values = {}
    after: States = {}
    like = next(iter(inputs.values()))
    served = set(keep) <= {*network.plan.outputs} and serves(network, like)
    if served and _narrow_loop(network):
        order = network.plan.order
        if by_program(network, order, inputs, values, state, after, keep, moment):
            network.blocks[order[0]] = order
            return _apart(values, keep), after
    if moment is None:
        moment = network.look(like)
    served = served and not moment.learns
    # What depends on nothing but held inputs is worked once: its value is still as they are.
    worked: set[str] = set()
    with one_look(moment.held) if moment.number is not None else nullcontext():
        for place, stage in enumerate(network.plan.stages):
            if not worked.issuperset(stage.names):
                run = run_from(network, place, like) if served else Run()
                # What a block took along is there already. Of symbols no size is asked for.
                fits = bool(run.names) and worked.isdisjoint(run.names)
                little = fits and run.results * like.shape[:2].numel() <= LITTLE
                names = run.names if little else ()
                if names and by_program(network, names, inputs, values, state, after, keep, moment):
                    network.blocks[names[0]] = names
                    worked.update(names)
                else:
                    worked |= work_stage(network, stage, inputs, values, state, after, keep, moment)
            for done in stage.last_uses:
                if done not in keep:
                    values.pop(done, None)
    return _apart(values, keep), after


def step_as_chunk(network: Network, inputs: Inputs, state: States) -> tuple[Values, States] | None:
    """One step of ``inputs`` (B, *shape) as a chunk, if only so its bits are those of a chunk."""
    if not rounds_freely(network, next(iter(inputs.values()))):
        return None
    steps = {name: x.unsqueeze(0) for name, x in inputs.items()}
    values, after = run_chunk(network, steps, state, network.plan.outputs)
    return {name: at_step(values[name], 0) for name in network.plan.outputs}, after


def _narrow_loop(network: Network) -> bool:
    """Whether a graph with a loop is so narrow that all of it is best worked with the loop.

    What its nodes send one another then never leaves the cache.
    """
    plan = network.plan
    if not plan.looping:
        return False
    shapes = [network.shapes[name] for name in plan.order]
    return all(shape is not None and math.prod(shape) <= NARROW for shape in shapes)


def _apart(values: Values, keep: Collection[str]) -> Values:
    """The values that are wanted, each step in its own memory: the caller may write to them."""
    for name in keep:
        values[name] = each_port(values[name], lambda v: v.clone() if is_still(v) else v)
    return values
