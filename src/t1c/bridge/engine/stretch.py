"""Nodes that one generated loop works: element by element, with their memory, over a chunk.

A loop of the graph is such a stretch if nothing in it looks across features: a neuron that has no
primitive is one. What a node computes is what its module does to symbols; nothing is said twice.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from t1c.ir.step_plan import Source

from .arrivals import merge, sent_before, state_of
from .input_checks import Inputs
from .kernels.choose import choose
from .kernels.generated.made import asked, at_hand
from .kernels.generated.scan import exact, scan, serves
from .kernels.generated.symbol import Pen, Symbol, UnsuitedError, Written, written
from .kernels.observed import is_observed
from .looked import Moment
from .merging import MergeModule
from .network import Network, Together
from .plan import Stage
from .state_checks import States
from .stateful import State, StatefulModule
from .symbolic import delays, is_known, state_count, worked
from .unchanged import Unchanged
from .values import Values
from .work import hooks_of

WORTH, OFTEN, LARGE = 256, 2048, 2**19
"""Nodes times steps from which on a loop that is not at hand is worth compiling, in one run and in
all of these together; and times elements, in one. Stepping less takes a fraction of the compiler's
time."""


@dataclass
class Stretch:
    """Nodes written down as a loop.

    Attributes:
        written: the loop, and its parameters as they are now.
        arrays: what it reads: a node that was worked before, or is an input; None: zeros.
        writes: the nodes whose values it writes.
        states: node -> how many values it carries.
        delays: the nodes whose state is a line.
    """

    written: Written
    arrays: list[Source | None]
    writes: tuple[str, ...]
    states: dict[str, int]
    delays: frozenset[str]


def write(network: Network, names: Sequence[str], keep: Collection[str], like: Tensor) -> Stretch:
    """Write nodes down.

    Args:
        network: whose plan and modules are followed.
        names: the nodes, in the order of work.
        keep: those whose values are wanted.
        like: a value of one step (B, *features).

    Raises:
        UnsuitedError: they are more than a loop over elements.
    """
    try:
        return _Writing(network, like, set(names)).stretch(names, keep)
    except UnsuitedError:
        raise
    except Exception as error:
        # Modules were not written for symbols: what they raise tells nothing about the graph.
        raise UnsuitedError from error


def as_written(
    network: Network, names: Sequence[str], keep: Collection[str], like: Tensor
) -> Stretch:
    """The same, kept as long as the modules are what they were.

    They are looked at each time, because not every write to a parameter is counted. Where a
    gradient flows into one they are written down anew: it flows through what is written.

    Raises:
        UnsuitedError: they are more than a loop over elements.
    """
    modules = [network.node(name) for name in names]
    key = (*names, None, *keep, like.dtype, like.device, like.shape[1:])
    kept: _Kept | None = network.loops.get(key)
    if kept is None or not kept.holds(modules):
        tensors = [t for m in modules for t in (*m._parameters.values(), *m._buffers.values())]
        if not (like.is_cpu and all(t is None or t.is_cpu for t in tensors)):
            return write(network, names, keep, like)
        # Before it is written: what changes meanwhile is then seen. What is kept must serve
        # training too, which inference tensors cannot.
        unchanged = Unchanged(modules)
        with torch.inference_mode(False), torch.no_grad():
            stretch = write(network, names, keep, like)
        kept = network.loops[key] = _Kept(stretch, modules, unchanged)
    if torch.is_grad_enabled() and any(t.requires_grad for t in kept.unchanged.tensors):
        return write(network, names, keep, like)
    return kept.stretch


def _written_now(
    network: Network, names: Sequence[str], keep: Sequence[str], like: Tensor, moment: Moment
) -> Stretch:
    """The same; a look at the network that tells all spares one at these modules."""

    def make() -> Stretch:
        return as_written(network, names, keep, like)

    if torch.is_grad_enabled() and moment.learns:
        return make()
    return moment.once(("stretch", *names, None, *keep, like.shape[1:]), make)


class _Kept:
    """A stretch, and what it was written from."""

    def __init__(self, stretch: Stretch, modules: list[nn.Module], unchanged: Unchanged) -> None:
        self.stretch, self.modules, self.unchanged = stretch, modules, unchanged
        self.hooks = [hooks for module in modules for hooks in hooks_of(module)]
        self.hooked = RemovableHandle.next_id

    def holds(self, modules: list[nn.Module]) -> bool:
        """Whether these are the modules, nobody looks at their calls, and nothing changed."""
        if not all(map(operator.is_, modules, self.modules)):
            return False
        # Looking at every hook takes long; torch numbers them.
        if self.hooked != RemovableHandle.next_id:
            if any(self.hooks):
                return False
            self.hooked = RemovableHandle.next_id
        return self.unchanged.holds()


@dataclass
class _Writing:
    network: Network
    like: Tensor
    names: set[str]
    values: dict[str, Symbol] = field(default_factory=dict)
    arrays: dict[Source | None, Symbol] = field(default_factory=dict)
    before: dict[str, list[Symbol]] = field(default_factory=dict)
    after: dict[str, list[Symbol]] = field(default_factory=dict)
    carried: int = 0

    def stretch(self, names: Sequence[str], keep: Collection[str]) -> Stretch:
        plan = self.network.plan
        self.pen = Pen(self.like.shape, self.like.dtype, self.like.device)
        for name in names:
            count = state_count(self.network.node(name), self.like.shape[1:])
            self.before[name] = self._carry(count + (name in plan.remembered))
        for name in names:
            if name in plan.early:
                self.values[name] = self.before[name][0]
            else:
                self.values[name], self.after[name] = self._step(name, self._arriving(name))
        for name in names:
            if name in plan.early:
                _, self.after[name] = self._step(name, self._arriving(name))
            if name in plan.remembered:
                self.after[name].append(self.values[name])
        writes = tuple(name for name in names if name in keep)
        return Stretch(
            written(
                self.pen,
                [self.values[name] for name in writes],
                [symbol for name in names for symbol in self.after[name]],
            ),
            list(self.arrays),
            writes,
            {name: len(own) for name, own in self.before.items() if own},
            frozenset(n for n in names if delays(self.network.node(n))),
        )

    def _carry(self, count: int) -> list[Symbol]:
        leaves = [self.pen.leaf("carried", self.carried + n) for n in range(count)]
        self.carried += count
        return leaves

    def _arriving(self, name: str) -> Symbol:
        plan = self.network.plan
        sources: Sequence[Source | None] = plan.sources[name]
        if name in plan.inputs:
            sources = [Source(name, 0, False)]
        module = self.network.node(name)
        stretches = isinstance(module, MergeModule) and module.stretches
        sent = [self._sent(source, stretches) for source in sources or [None]]
        if not sources or name in plan.inputs:
            return sent[0]
        merged: Any = merge(self.network, name, sent)  # type: ignore[arg-type]
        if not isinstance(merged, Symbol) or not is_known(module):
            raise UnsuitedError
        return merged

    def _sent(self, source: Source | None, stretches: bool) -> Symbol:
        """What a source sends; ``stretches`` if an axis of size 1 may stand for a longer one."""
        if source is not None and source.name in self.names:
            if source.back:
                return self.before[source.name][-1]
            if source.name in self.values:
                return self.values[source.name]
        shape, features = self._shape_of(source), tuple(self.like.shape[1:])
        if shape != features and not (stretches and fits(shape, features)):
            raise UnsuitedError
        if source not in self.arrays:
            self.arrays[source] = self.pen.leaf("read", len(self.arrays))
        return self.arrays[source]

    def _shape_of(self, source: Source | None) -> tuple[int, ...] | None:
        return tuple(self.like.shape[1:]) if source is None else self.network.shapes[source.name]

    def _step(self, name: str, x: Symbol) -> tuple[Symbol, list[Symbol]]:
        module = self.network.node(name)
        if not is_known(module) or self.network.shapes[name] != tuple(self.like.shape[1:]):
            raise UnsuitedError
        own = self.before[name]
        if name in self.network.plan.remembered:
            own = own[:-1]
        y, after = worked(module, x, own, self.pen)
        return y, [*after]


def fits(shape: tuple[int, ...] | None, features: tuple[int, ...]) -> bool:
    """Whether a shape of the same rank stretches to these features."""
    if shape is None or len(shape) != len(features):
        return False
    return all(size in (1, f) for size, f in zip(shape, features, strict=True))


def together(network: Network, stage: Stage, first: Tensor) -> Together:
    """The nodes that are worked with a stage, these first.

    They are those behind it, as far as elements stay by themselves, that need nothing besides which
    is worked later. A single node outside a loop is left to itself: it is worked at once anyway.
    ``first`` is any input, which tells the dtype and the device.
    """
    if torch.compiler.is_compiling() or is_observed(first):
        return Together()
    key = (stage.names[0], first.dtype, first.device)
    kept = network.stretches.get(key)
    if kept is None:
        kept = network.stretches[key] = _together(network, stage, first)
    return kept


def rounds_freely(network: Network, first: Tensor) -> bool:
    """Whether some loop has a function that libraries round as they like.

    Its steps are then worked by one kernel in every mode, lest their last bits differ.
    """
    # First what every step can be told without a look.
    if not network.plan.looping or torch.compiler.is_compiling() or is_observed(first):
        return False
    key = (None, first.dtype, first.device)
    if key not in network.stretches:
        loops = (stage for stage in network.plan.stages if stage.loop)
        found = (together(network, stage, first) for stage in loops)
        network.stretches[key] = Together(exact=all(each.exact for each in found))
    return not network.stretches[key].exact


def _together(network: Network, stage: Stage, first: Tensor) -> Together:
    plan = network.plan
    lead = alone(network, stage.names, first)
    # Outside a loop torch works a chunk at once, and as it would a step.
    if lead is None or not (stage.loop or lead.exact):
        return Together()
    place = plan.stages.index(stage)
    there = {name for earlier in plan.stages[:place] for name in earlier.names}
    names, shape = list(stage.names), network.shapes[stage.names[0]]
    for later in plan.stages[place + 1 :]:
        sources = {s.name for name in later.names for s in plan.sources[name]} - {*later.names}
        if not (sources.intersection(names) and sources <= {*there, *names}):
            continue
        more = alone(network, later.names, first)
        if more is not None and more.exact and network.shapes[later.names[0]] == shape:
            names += later.names
    count = sum(not isinstance(network.node(name), nn.Identity) for name in names)
    return Together(tuple(names), lead.exact) if stage.loop or count > 1 else Together()


def alone(network: Network, names: tuple[str, ...], first: Tensor) -> Together | None:
    """Nodes that can be written down, by themselves."""
    shape = network.shapes[names[0]]
    if shape is None or any(name in network.plan.inputs for name in names):
        return None
    try:
        # Only asked once: a history of it would be missing when a chunk is worked anew.
        with torch.no_grad():
            found = write(network, names, names, first.new_empty(1).expand(1, *shape))
    except UnsuitedError:
        return None
    settled = exact(found.written.loop)
    return Together(names, settled) if settled or not network.reproducible else None


def work(
    network: Network,
    nodes: Together,
    inputs: Inputs,
    values: Values,
    state: States,
    after: States,
    keep: Collection[str],
    moment: Moment,
    times: int = 1,
) -> bool:
    """All steps of some nodes as one loop; False, and nothing done, if none serves them.

    ``times``: how often that is done, which makes it worth to compile one.
    """
    first = next(iter(inputs.values()))
    names = nodes.names
    shape = network.shapes[names[0]] if names else None
    if torch.compiler.is_compiling() or shape is None or not len(first):
        return False
    if torch.is_autocast_enabled(first.device.type):
        return False
    kernels = choose(first, network.kernels)
    like = first.new_empty(1).expand(first.shape[1], *shape)
    targets = network.plan.targets
    wanted = [n for n in names if n in keep or not set(targets[n]) <= set(names)]
    try:
        stretch = _written_now(network, names, wanted, like, moment)
        loop = stretch.written.loop
        results = len(first) * len(names) * times
        worth = not nodes.exact or results * like.numel() >= LARGE
        worth = worth or (
            kernels == "numba" and at_hand(loop, str(like.dtype).removeprefix("torch."))
        )
        worth = worth or (results >= WORTH and asked(loop, results) >= OFTEN)
        if not (worth and serves(loop, kernels)):
            return False
        xs = [_array(source, inputs, values, first, like) for source in stretch.arrays]
    except UnsuitedError:
        return False
    if not xs:
        xs = [_array(None, inputs, values, first, like)]
    carried = [v for name in stretch.states for v in _carried(network, stretch, name, state, like)]
    network.blocks[names[0]] = names
    wrote, handed = scan(stretch.written, xs, carried, kernels)
    values.update(zip(stretch.writes, wrote, strict=True))
    rest = iter(handed)
    for name, count in stretch.states.items():
        own = tuple(next(rest) for _ in range(count))
        after[name] = _state(network, stretch, name, own)
    return True


def _array(
    source: Source | None, inputs: Inputs, values: Values, first: Tensor, like: Tensor
) -> Tensor:
    """What the loop reads (T, B, *features)."""
    if source is None:
        return first.new_zeros((len(first), *like.shape))
    sent = values[source.name] if source.name in values else inputs[source.name]
    x: Tensor = sent[source.port] if isinstance(sent, tuple) else sent
    if x.dtype != like.dtype or x.ndim != like.ndim + 1:
        raise UnsuitedError
    return x if x.shape[1:] == like.shape else x.expand(len(first), *like.shape)


def _carried(network: Network, stretch: Stretch, name: str, state: States, like: Tensor) -> State:
    """What a node is handed by the step before, each (B, *features)."""
    module: Any = network.node(name)
    own: State = ()
    if isinstance(module, StatefulModule):
        own = state_of(network, name, state, like) or module.initial_state(like)
        if name in stretch.delays:
            own = tuple(own[0].unbind(1))
    if name in network.plan.remembered:
        sent = sent_before(network, name, {}, state, {"": like})
        own = (*own, sent)
    return own


def _state(network: Network, stretch: Stretch, name: str, own: State) -> State:
    """The state of a node, of what it hands on."""
    if name not in stretch.delays:
        return own
    sent = name in network.plan.remembered
    line = own[: len(own) - sent]
    return (torch.stack(line, 1), *own[len(line) :])
