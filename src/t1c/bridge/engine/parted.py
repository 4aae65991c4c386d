"""A loop that no single kernel serves, step by step: in parts that kernels do serve.

A convolution and what stands behind it are a part, and so are nodes next to one another that work
element by element; what is left is worked node by node.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from . import stretch
from .arrivals import arriving
from .blocks import find_block, run_block
from .chains import find_chain
from .geometry import Convolving
from .input_checks import Inputs
from .kernels.choose import choose
from .looked import Moment
from .network import Network, Together
from .state_checks import States
from .step import by_program, line_of, step_nodes
from .values import Sent, Values, at_port, each_port
from .writing import seen_of

LARGE = 2**15
"""Elements of a value of one step from which on a kernel gains more than its call takes."""


@dataclass(frozen=True)
class Part:
    """Nodes of a loop that are worked one after another in each step.

    Attributes:
        names: in the order of work.
        heard: the others that they hear in the same step.
        elements: whether they work element by element.
    """

    names: tuple[str, ...]
    heard: frozenset[str]
    elements: bool


def work_parted(
    network: Network,
    names: tuple[str, ...],
    inputs: Inputs,
    values: Values,
    state: States,
    after: States,
    keep: Collection[str],
    moment: Moment,
) -> bool:
    """All steps of a loop; False, and nothing done, if parts gain nothing or somebody learns.

    Args:
        network: what is worked.
        names: the nodes of the loop.
        inputs: the Input tensors (T, B, ...).
        values: what nodes outside sent; theirs come to it, as far as somebody takes them.
        state: the state before.
        after: takes theirs.
        keep: nodes whose values are wanted.
        moment: what the network is now.
    """
    first = next(iter(inputs.values()))
    own = {name: state[name] for name in names if name in state}
    if not len(first) or not _worth(network, names, first, moment):
        return False
    given = [*inputs.values(), *(v for part in own.values() for v in part)]
    if torch.is_grad_enabled() and (moment.learns or any(v.requires_grad for v in given)):
        return False
    key = "parts", names, tuple(keep)
    parts = moment.once(key, lambda: parts_of(network, names, keep, first))
    if all(len(part.names) == 1 for part in parts):
        return False
    plan, early = network.plan, [n for n in names if n in network.plan.early]
    before = {s.name for n in names for s in plan.sources[n]} - set(names)
    free = _free(network, names)
    wanted = seen_of(plan, names, keep)
    sent: dict[str, list[Sent]] = {name: [] for name in wanted}
    one = {n: x[0] for n, x in inputs.items()}
    lines = {name: line_of(network, name, one, own) for name in early}
    heard = {s.name for n in early for s in plan.sources[n] if not s.back}
    for t in range(len(first)):
        now = {n: _at(values[n], t) for n in before}
        here = {n: x[t : t + 1] for n, x in inputs.items()}
        one = {n: x[0] for n, x in here.items()}
        following: States = {}
        for name, line in lines.items():
            now[name] = network.stateful(name).emit(line).unsqueeze(0)
        for part in parts:
            _work(network, part, here, now, own, following, keep, moment, free, len(first))
        step = {n: _step(now[n]) for n in heard}
        for name, line in lines.items():
            x = arriving(network, name, step, own, one)
            following[name] = lines[name] = network.stateful(name).absorb(x, line)
        for name in wanted:
            sent[name].append(now[name])
        own = following
    for part in parts:
        # They are part of the loop, as which it is explained.
        network.blocks.pop(part.names[0], None)
    network.parts[names[0]] = len(parts)
    values.update({name: _joined(found) for name, found in sent.items()})
    after.update(own)
    return True


def _worth(network: Network, names: tuple[str, ...], first: Tensor, moment: Moment) -> bool:
    """Whether kernels may be used at all, and values are large enough to gain by them."""
    if moment.number is None or network.reproducible:
        return False
    shapes = [shape for n in names if (shape := network.shapes[n]) is not None]
    largest = max(map(math.prod, shapes), default=0) * first.shape[1]
    return largest >= LARGE and choose(first, network.kernels) == "numba"


def parts_of(
    network: Network, names: tuple[str, ...], keep: Collection[str], first: Tensor
) -> list[Part]:
    """The parts of a loop, in the order of work, as long as may be.

    Args:
        network: whose plan is followed.
        names: the nodes of the loop.
        keep: nodes whose values are wanted, in which a part may only end.
        first: any input, which tells the dtype.
    """
    plan, free = network.plan, _free(network, names)
    alone = {name for name in names if name in free and _exact(network, name, first)}
    done = {name for name in plan.order if name not in names or name in plan.early}
    waiting = [name for name in names if name not in done]
    parts: list[Part] = []

    def ready(name: str) -> bool:
        return all(s.back or s.name in done for s in plan.sources[name])

    while waiting:
        # First what works element by element, of which then more comes together.
        able = [name for name in waiting if ready(name)]
        lead = next((name for name in able if name in alone), able[0])
        part, shape = [lead], network.shapes[lead]
        if lead in alone:
            done.add(lead)
            while found := [
                name
                for name in waiting
                if name not in done
                and name in alone
                and network.shapes[name] == shape
                and ready(name)
            ]:
                part += found
                done.update(found)
        elif lead in free and isinstance(network.node(lead), Convolving) and shape is not None:
            part = list(find_chain(network, lead, shape, keep, done, free).names)
        heard = {s.name for name in part for s in plan.sources[name] if not s.back} - {*part}
        parts.append(Part(tuple(part), frozenset(heard), lead in alone))
        done.update(part)
        waiting = [name for name in waiting if name not in done]
    return parts


def _free(network: Network, names: tuple[str, ...]) -> frozenset[str]:
    """The nodes of a loop that hear nothing but what was sent in the same step, and by others."""
    plan = network.plan
    apart = {*plan.early, *plan.remembered, *plan.inputs}
    hearing = (n for n in names if n not in apart and plan.sources[n])
    return frozenset(n for n in hearing if not any(s.back for s in plan.sources[n]))


def _exact(network: Network, name: str, first: Tensor) -> bool:
    """Whether a node works element by element, and every bit of that is said.

    Where it is not, torch's own functions are used in a run as in a step.
    """
    found = stretch.alone(network, (name,), first)
    return found is not None and found.exact


def _work(
    network: Network,
    part: Part,
    inputs: Inputs,
    values: Values,
    state: States,
    after: States,
    keep: Collection[str],
    moment: Moment,
    free: Collection[str],
    times: int,
) -> None:
    """One step of a part, as a chunk of one."""
    names, lead = part.names, part.names[0]
    if part.elements:
        together = Together(names)
        if stretch.work(
            network, together, inputs, values, state, after, keep, moment, times
        ) or by_program(network, names, inputs, values, state, after, keep, moment):
            return
    elif len(names) > 1:
        (source,) = network.plan.sources[lead]
        xs = at_port(values, source)
        block = find_block(network, lead, xs, keep, values, False, moment, free)
        if block is not None and block.serves and block.names == names:
            run_block(network, block, values, state, after, moment)
            return
    step = {n: _step(values[n]) for n in part.heard}
    step_nodes(network, names, {n: x[0] for n, x in inputs.items()}, step, state, after)
    values.update({n: each_port(step[n], lambda v: v.unsqueeze(0)) for n in names})


def _at(value: Sent, t: int) -> Sent:
    """One step of a sequence, as a sequence."""
    return each_port(value, lambda v: v[t : t + 1])


def _step(value: Sent) -> Sent:
    """The one step of a sequence."""
    return each_port(value, lambda v: v[0])


def _joined(found: list[Sent]) -> Sent:
    """One sequence behind another."""
    if isinstance(found[0], tuple):
        return tuple(torch.cat(parts) for parts in zip(*found, strict=True))
    return torch.cat(found)
