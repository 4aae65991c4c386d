"""One step of a network: node by node, or as one list of instructions."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch import Tensor, nn

from .arrivals import arriving, nothing, state_of
from .folding import in_order_of_torch
from .input_checks import Inputs
from .looked import Moment
from .network import Network
from .ordered import work_in_order
from .program import Program
from .spans import masks
from .state_checks import States
from .stateful import State, StatefulModule
from .taped import run_taped
from .values import Values
from .work import is_plain, step_of
from .writing import program_for, seen_of


def step(network: Network, inputs: Inputs, state: States) -> tuple[Values, States]:
    """One step, by instructions if they serve the network.

    Args:
        network: what is worked.
        inputs: Input name -> (B, *shape), checked.
        state: the state before, checked for names.

    Returns:
        (what nodes sent, the outputs at least; the state after).
    """
    plan = network.plan
    like = next(iter(inputs.values()))
    program = program_for(network, plan.order, plan.outputs, like)
    if program is not None:
        feeds = entering(network, program, inputs, {}, 0)
        done = None
        if not program.wants_gradient(feeds, state):
            done = program.run(feeds, state, like, like.shape[:1])
        elif not program.script.written:
            done = run_taped(program, feeds, state, like)
        if done is not None:
            return done
    values: Values = {}
    after: States = {}
    for stage in plan.stages:
        names, keep = stage.names, plan.outputs
        if not (
            stage.loop and by_program(network, names, inputs, values, state, after, keep, None, 1)
        ):
            step_nodes(network, names, inputs, values, state, after)
    return values, after


def entering(
    network: Network, program: Program, inputs: Inputs, values: Values, lead: int
) -> dict[str, Tensor]:
    """What a program is fed with: what other nodes sent, inputs, and zeros where no edge leads.

    ``lead`` counts the dimensions before the batch.
    """
    # What an Input's module makes of what is passed to it may be something else.
    feeds: dict[str, Tensor] = {}
    for name in program.feeds:
        if name in values or name in inputs:
            feeds[name] = values[name] if name in values else inputs[name]
        elif network.plan.sources[name]:
            raise KeyError(name)  # what another node sends has to be there
        else:
            feeds[name] = nothing(network, name, inputs, lead)
    return feeds


def by_program(
    network: Network,
    names: tuple[str, ...],
    inputs: Inputs,
    values: Values,
    state: States,
    after: States,
    keep: Collection[str],
    moment: Moment | None = None,
    lead: int = 2,
) -> bool:
    """Work nodes as one list of instructions, if they serve them and nobody learns.

    Args:
        network: what is worked.
        names: the nodes, in the order of work.
        inputs: the Input tensors.
        values: what nodes sent; theirs come to it.
        state: the state before.
        after: takes theirs.
        keep: nodes whose values are wanted.
        moment: what the network is now, if that is known.
        lead: dimensions of values before the features: 2 of a chunk, 1 of a step.
    """
    like = next(iter(inputs.values()))
    if lead == 2 and not len(like):
        return False
    seen = seen_of(network.plan, names, keep)
    program = program_for(network, names, seen, like, moment)
    if program is None:
        return False
    feeds = entering(network, program, inputs, values, lead - 1)
    if program.wants_gradient(feeds, state):
        return False
    done = program.run(feeds, state, like, like.shape[:lead], moment)
    if done is None:
        return False
    values.update(done[0])
    after.update(done[1])
    return True


def step_by_node(network: Network, inputs: Inputs, state: States) -> tuple[Values, States]:
    """One step, node by node; what every node sent, and the state after."""
    values: Values = {}
    after: States = {}
    step_nodes(network, network.plan.order, inputs, values, state, after)
    return values, after


def step_nodes(
    network: Network,
    names: Sequence[str],
    inputs: Inputs,
    values: Values,
    state: States,
    after: States,
) -> None:
    """One step of some nodes: inputs from ``values``, outputs and states into them."""
    early = network.plan.early
    lines = {name: line_of(network, name, inputs, state) for name in names if name in early}
    for name in names:
        if name in lines:
            values[name] = network.stateful(name).emit(lines[name])
            continue
        x = inputs[name] if name in inputs else arriving(network, name, values, state, inputs)
        module = network.node(name)
        own: State | None = None
        keeps = isinstance(module, StatefulModule) or masks(module)
        if network.reproducible and not keeps:
            values[name] = work_in_order(name, module, x)
        elif network.events is False and type(module) is nn.Linear and is_plain(module):
            values[name] = in_order_of_torch(module, x)
        else:
            values[name], own = step_of(name, module, x, state_of(network, name, state, x))
        if own is not None:
            after[name] = own
    for name, line in lines.items():
        x = arriving(network, name, values, state, inputs)
        after[name] = network.stateful(name).absorb(x, line)
    for name in names:
        if name in network.plan.remembered:
            after[name] = (*after.get(name, ()), values[name])


def line_of(network: Network, name: str, inputs: Inputs, state: States) -> State:
    """The state of a node that sends before it receives."""
    like = nothing(network, name, inputs, 0)
    return state_of(network, name, state, like) or network.stateful(name).initial_state(like)
