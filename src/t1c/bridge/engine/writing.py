"""Writing down nodes as one list of instructions: a loop through time, or a step of a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .kernels.choose import choose
from .kernels.observed import is_observed
from .merging import MergeModule
from .network import Network
from .program import Program
from .scanned import ScannedModule, is_scanned
from .script import Script, Shape, UnsuitedError, writer_of
from .work import has_several


def program_for(
    network: Network, names: tuple[str, ...], keep: tuple[str, ...], like: Tensor
) -> Program | None:
    """The program for some nodes, if instructions serve them.

    Kept with the network: writing it down takes longer than a step.

    Args:
        network: that they are nodes of.
        names: the nodes, in order.
        keep: those of them whose values are wanted.
        like: any input, whose dtype and device decide.
    """
    if (
        torch.compiler.is_compiling()
        or network.events is False
        or torch.is_autocast_enabled("cpu")
        or is_observed(like)
        or choose(like, network.kernels) != "numba"
    ):
        return None
    # The first tells stretches of the same length apart: they do not overlap.
    key = (names[0], len(names), keep)
    kept = network.programs.get(key)
    if key not in network.programs or (kept is not None and not kept.current()):
        try:
            script = write(network, names, keep)
            kept = Program(script, network.modules, network.slots, network.reproducible)
        except UnsuitedError:
            kept = None
        network.programs[key] = kept
    return kept if kept is not None and kept.suits() else None


def write(network: Network, names: tuple[str, ...], keep: tuple[str, ...]) -> Script:
    """The instructions for some nodes.

    Args:
        network: that they are nodes of.
        names: the nodes, in order.
        keep: those of them whose values are wanted.

    Raises:
        UnsuitedError: a module or shape that no instruction serves.
    """
    plan = network.plan
    if plan.early or any(name in plan.inputs and plan.sources[name] for name in names):
        raise UnsuitedError
    script = Script(names)
    script.before = {
        name: script.place(_shape(network, name)) for name in names if name in plan.remembered
    }
    for name in names:
        _instruct(network, script, name)
    for name, place in script.before.items():
        script.copy(place, script.place_of[name])
    script.kept = {name: script.place_of[name] for name in keep if name in script.place_of}
    return script


def _shape(network: Network, name: str) -> Shape:
    shape = network.shapes[name]
    if shape is None:
        raise UnsuitedError
    return shape


def _instruct(network: Network, script: Script, name: str) -> None:
    module = script.modules[name] = network.node(name)
    x, entering = _arriving(network, script, name, module)
    leaving = script.sends[name] = _shape(network, name)
    if is_scanned(module):
        script.place_of[name] = script.neuron(name, module, x, leaving)
        return
    writer = writer_of(module)
    if writer is None:
        raise UnsuitedError
    script.place_of[name] = writer(script, module, x, entering, leaving)


def _arriving(network: Network, script: Script, name: str, module: nn.Module) -> tuple[int, Shape]:
    """Where the input of a node lies, and its shape."""
    plan = network.plan
    sources = plan.sources[name]
    if not sources:
        if name not in plan.inputs and not isinstance(module, ScannedModule):
            raise UnsuitedError
        shape = _shape(network, name)
        script.feeds[name] = script.place(shape)
        return script.feeds[name], shape
    if isinstance(module, MergeModule) and not module.adds(len(sources)):
        raise UnsuitedError
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
    shapes = {_shape(network, source.name) for source in sources}
    if len(shapes) != 1:
        raise UnsuitedError
    shape = shapes.pop()
    return script.sum(places, shape), shape
