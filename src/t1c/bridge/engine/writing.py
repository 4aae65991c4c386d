"""Writing down nodes as one list of instructions: a loop through time, or a step of a network."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from t1c.ir.collector import building

from .arrivals import merge
from .kernels.choose import choose
from .kernels.generated.loop import Loop
from .kernels.generated.scan import exact
from .kernels.generated.symbol import Pen, written
from .kernels.observed import is_observed
from .looked import Moment
from .merging import MergeModule
from .network import Network
from .plan import Plan
from .program import Program
from .scanned import ScannedModule, is_scanned
from .script import Script, Shape, UnsuitedError, writer_of
from .stateful import StatefulModule
from .symbolic import delays, is_known, worked
from .work import has_several

STAGES = 64
"""Stages that are worked together at most, besides those around a narrow loop."""


def program_for(
    network: Network,
    names: tuple[str, ...],
    keep: tuple[str, ...],
    like: Tensor,
    moment: Moment | None = None,
) -> Program | None:
    """The program for some nodes, if instructions serve them.

    Kept with the network: writing it down takes longer than a step.

    Args:
        network: that they are nodes of.
        names: the nodes, in order.
        keep: those of them whose values are wanted.
        like: any input, whose dtype and device decide.
        moment: what the network is now, if that is known.
    """
    if not serves(network, like):
        return None
    if moment is not None:
        key = "program", names[0], len(names), keep
        return moment.once(key, lambda: _program(network, names, keep, like))
    return _program(network, names, keep, like)


def _program(
    network: Network, names: tuple[str, ...], keep: tuple[str, ...], like: Tensor
) -> Program | None:
    # The first tells stretches of the same length apart: they do not overlap.
    key = (names[0], len(names), keep, like.dtype)
    kept = network.programs.get(key)
    if key not in network.programs or (kept is not None and not kept.current()):
        try:
            with building():
                script = write(network, names, keep, like.dtype)
                kept = Program(script, network.modules, network.slots, network.reproducible)
        except UnsuitedError:
            kept = None
        network.programs[key] = kept
    return kept if kept is not None and kept.suits() else None


def seen_of(plan: Plan, names: tuple[str, ...], keep: Collection[str]) -> tuple[str, ...]:
    """Those of some nodes whose values are wanted, or taken by others."""
    inside = set(names)
    return tuple(n for n in names if n in keep or not inside.issuperset(plan.targets[n]))


def write(
    network: Network, names: tuple[str, ...], keep: tuple[str, ...], dtype: torch.dtype
) -> Script:
    """The instructions for some nodes.

    Args:
        network: that they are nodes of.
        names: the nodes, in order.
        keep: those of them whose values are wanted.
        dtype: of all values.

    Raises:
        UnsuitedError: a module or shape that no instruction serves.
    """
    plan = network.plan
    if any(name in plan.inputs and plan.sources[name] for name in names):
        raise UnsuitedError
    script = Script(names, dtype)
    script.before = {
        name: script.place(_shape(network, name)) for name in names if name in plan.remembered
    }
    early = [name for name in names if name in plan.early]
    lines = {name: _line(network, script, name) for name in early}
    for name in names:
        if name not in lines:
            _instruct(network, script, name)
    for name, line in lines.items():
        script.shift(line, _arriving(network, script, name, network.node(name))[0])
    for name, place in script.before.items():
        script.copy(place, script.place_of[name])
    script.kept = {name: script.place_of[name] for name in keep if name in script.place_of}
    return script


def serves(network: Network, like: Tensor) -> bool:
    """Whether instructions may be carried out at all, on inputs like this one."""
    return not (
        torch.compiler.is_compiling()
        or network.events is False
        or torch.is_autocast_enabled("cpu")
        or is_observed(like)
        or choose(like, network.kernels) != "numba"
    )


@dataclass(frozen=True)
class Run:
    """Stages, one behind another, that instructions may work together.

    Attributes:
        names: their nodes; none, if it is one stage or less.
        results: see ``Script.results``.
    """

    names: tuple[str, ...] = ()
    results: int = 0


def run_from(network: Network, place: int, like: Tensor) -> Run:
    """As many stages as instructions serve, from number ``place`` on.

    Kept with the network; what a module became meanwhile is seen where it is worked.
    """
    key = (place, like.dtype)
    found: Run | None = network.runs.get(key)
    if found is None:
        names: tuple[str, ...] = ()
        results, stages = 0, network.plan.stages[place : place + STAGES]
        for number, stage in enumerate(stages, place):
            more = _results(network, number, like)
            if more is None:
                break
            names, results = names + stage.names, results + more
        several = len(names) > len(stages[0].names)
        found = network.runs[key] = Run(names, results) if several else Run()
    return found


def _results(network: Network, place: int, like: Tensor) -> int | None:
    """How many results a step of one stage has, if instructions serve it."""
    key = (place, like.dtype, "alone")
    if key not in network.runs:
        names = network.plan.stages[place].names
        try:
            network.runs[key] = write(network, names, names, like.dtype).results()
        except UnsuitedError:
            network.runs[key] = None
    found: int | None = network.runs[key]
    return found


def _shape(network: Network, name: str) -> Shape:
    shape = network.shapes[name]
    if shape is None:
        raise UnsuitedError
    return shape


def _line(network: Network, script: Script, name: str) -> int:
    """Where the line of a Delay is, whose oldest is what it sends."""
    module, shape = network.node(name), _shape(network, name)
    script.modules[name] = module
    if not is_known(module) or not isinstance(module, StatefulModule) or not delays(module):
        raise UnsuitedError
    script.written.append(module)
    (line,) = script.memory(name, module, shape)
    script.place_of[name], script.sends[name] = script.head(line, shape), shape
    return line


def _instruct(network: Network, script: Script, name: str) -> None:
    module = script.modules[name] = network.node(name)
    leaving = script.sends[name] = _shape(network, name)
    writer = writer_of(module)
    if writer is None and not is_scanned(module):
        if isinstance(module, StatefulModule) and module.delays:
            line = _line(network, script, name)
            script.shift(line, _arriving(network, script, name, module)[0])
        else:
            _by_symbols(network, script, name, module, leaving)
        return
    sources = network.plan.sources[name]
    if isinstance(module, MergeModule) and sources and module.joined_along(len(leaving)) == 0:
        sent = _sent(network, script, name, module)
        script.written.append(module)
        script.place_of[name] = script.joined([place for place, _ in sent], leaving)
        return
    x, entering = _arriving(network, script, name, module)
    if is_scanned(module):
        script.place_of[name] = script.neuron(name, module, x, leaving)
    elif writer is not None:
        script.place_of[name] = writer(script, module, x, entering, leaving)


def _by_symbols(
    network: Network, script: Script, name: str, module: nn.Module, features: Shape
) -> None:
    """Write a module down by what it does to symbols."""
    inside = name in network.plan.looping
    sent = _sent(network, script, name, module)
    stretches = isinstance(module, MergeModule) and module.stretches
    if not is_known(module) or not all(_fits(shape, features, stretches) for _, shape in sent):
        raise UnsuitedError
    pen = Pen(torch.Size((1, *features)), script.dtype, torch.device("cpu"))
    own = _state_shapes(module, features)
    try:
        # What is kept must serve training too, which inference tensors cannot.
        with torch.inference_mode(False), torch.no_grad():
            symbols: list[Any] = [pen.leaf("read", n) for n in range(len(sent))]
            x: Any = merge(network, name, symbols)
            y, after = worked(module, x, [pen.leaf("carried", n) for n in range(len(own))], pen)
            found = written(pen, [y], after)
    except Exception as error:
        # Modules were not written for symbols: what they raise tells nothing about the graph.
        raise UnsuitedError from error
    # Outside a loop torch works a chunk at once, and as it would a step.
    if not exact(found.loop) and (network.reproducible or not inside):
        raise UnsuitedError
    # Of a state variable that is one number for a sample, so must be what follows it.
    single = {n for n, shape in enumerate(own) if shape != features}
    if not all(_is_single(found.loop, found.loop.carried[n], single) for n in single):
        raise UnsuitedError
    script.written.append(module)
    reads = [p if shape == features else script.expanded(p, features) for p, shape in sent]
    places: tuple[int, ...] = ()
    if isinstance(module, StatefulModule):
        places = script.memory(name, module, features)
    carried = [script.expanded(p, features) if n in single else p for n, p in enumerate(places)]
    parameters = {"laid": found.laid, "single": found.single}
    (script.place_of[name],) = script.loop(found.loop, parameters, features, reads, carried)
    for n in single:
        script.reduce(places[n], carried[n])


def _fits(shape: Shape, features: Shape, stretches: bool) -> bool:
    """Whether a value has these features, or may stand for them with its one number."""
    alike = len(shape) == len(features) and math.prod(shape) == 1
    return shape == features or (stretches and alike)


def _state_shapes(module: nn.Module, features: Shape) -> list[Shape]:
    """Of the state variables of a sample: these features, or one number."""
    if not isinstance(module, StatefulModule):
        return []
    shapes = [tuple(own[1:]) for own in module.state_shapes(torch.Size((1, *features)))]
    if any(shape != features and math.prod(shape) != 1 for shape in shapes):
        raise UnsuitedError
    return shapes


def _is_single(loop: Loop, place: int, single: Collection[int]) -> bool:
    """Whether an entry is one number for all elements, where these carried values are."""
    entry = loop.entries[place]
    if entry.op == "carried":
        return entry.detail in single
    known = entry.op not in ("read", "laid")
    return known and all(_is_single(loop, p, single) for p in entry.operands)


def _arriving(network: Network, script: Script, name: str, module: nn.Module) -> tuple[int, Shape]:
    """Where the input of a node lies, and its shape."""
    if isinstance(module, MergeModule) and not module.adds(len(network.plan.sources[name])):
        raise UnsuitedError
    sent = _sent(network, script, name, module)
    shapes = {shape for _, shape in sent}
    if len(shapes) != 1:
        raise UnsuitedError
    shape = shapes.pop()
    return script.sum([place for place, _ in sent], shape), shape


def _sent(
    network: Network, script: Script, name: str, module: nn.Module
) -> list[tuple[int, Shape]]:
    """Where what is sent to a node lies, and its shape."""
    plan = network.plan
    sources = plan.sources[name]
    if not sources:
        if name not in plan.inputs and not isinstance(module, ScannedModule):
            raise UnsuitedError
        shape = _shape(network, name)
        script.feeds[name] = script.place(shape)
        return [(script.feeds[name], shape)]
    places = []
    for source in sources:
        if has_several(network.node(source.name)):
            raise UnsuitedError
        if source.back:
            places.append(script.before[source.name])
        elif source.name in script.place_of:
            places.append(script.place_of[source.name])
        else:
            if source.name not in script.feeds:
                script.feeds[source.name] = script.place(_shape(network, source.name))
            places.append(script.feeds[source.name])
    return [(p, _shape(network, s.name)) for p, s in zip(places, sources, strict=True)]
