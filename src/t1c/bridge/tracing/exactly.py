"""Which side of its threshold a neuron fires on: each is fed what puts its membrane exactly there.

No random input does. The module is called as the model calls it, from rest, and what it is given is
replaced. Only numbers of few binary digits are asked about: with them every order of operations
gives the same membrane, so that no rounding is taken for a difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from t1c.ir.errors import Problem
from t1c.ir.primitives.neuron import parameter_shape

from ..from_ir import node_to_module
from ..modules import NeuronModule, ThresholdModule
from ..verify.executors import tested
from .drive import NEVER, fires
from .sides import Sides, Xs


@dataclass(frozen=True)
class Probe:
    """What puts a neuron's membrane at its threshold.

    Attributes:
        x: the input (*features).
        exact: for which neurons of the population every number has few digits.
        fires: what the node says: whether each neuron then fires.
        threshold: of the first neuron asked about.
    """

    x: Tensor
    exact: Tensor
    fires: Tensor
    threshold: float


def at_thresholds(sides: Sides, xs: Xs, model: nn.Module, dtype: torch.dtype) -> list[Problem]:
    """The nodes that fire, exactly at their threshold, where their modules do not, or do not.

    Args:
        sides: the model and its graph.
        xs: inputs that the model takes; what reaches its neurons is replaced.
        model: the model, or a copy of it in this dtype.
        dtype: of the arithmetic.
    """
    probes = _probes(sides, dtype)
    seen = _answers(sides, xs, model, probes) if probes else {}
    problems = []
    for name, fired in seen.items():
        probe = probes[name]
        differs = (fired != probe.fires) & probe.exact
        if not bool(differs.any()):
            continue
        node, module = sides.found.graph.nodes[name], model.get_submodule(name)
        here = bool(fired[differs].flatten()[0])
        does = ("fires", "does not") if here else ("does not fire", "does")
        chosen = sides.found.convert(module) is not None
        problems.append(
            Problem(
                f"at a membrane of exactly its threshold, {probe.threshold:g}, module {name!r} "
                f"({type(module).__name__}) {does[0]}, and the node {node.primitive} with "
                f"fires_at={getattr(node, 'fires_at', None)!r} {does[1]}",
                "a node that fires where the module does",
                f"Have custom_map give it fires_at={'ge' if here else 'gt'!r}."
                if chosen
                else "This is a defect of t1c: please report it.",
                where=sides.found.lines.get(name, ""),
            )
        )
    return problems


def _probes(sides: Sides, dtype: torch.dtype) -> dict[str, Probe]:
    """A probe for each neuron that is one node and one module, where the numbers are short."""
    graph, modules = sides.found.graph, dict(sides.model.named_modules())
    found: dict[str, Probe] = {}
    for name, node in graph.nodes.items():
        alone = not any(other.startswith(f"{name}.") for other in graph.nodes)
        alone = alone and name not in sides.found.recognised
        if name in modules and alone and fires(node) and "copy_of" not in node.metadata:
            shape = tuple(int(n) for n in next(iter((node.input_type or {}).values()), ()))
            plain = all(values.size == 1 for values in node.parameters().values())
            module = node_to_module(node, dtype=dtype)
            probe = _probe(module, shape, plain, dtype) if shape else None
            if probe is not None:
                found[name] = probe
    return found


def _probe(module: Any, shape: tuple[int, ...], plain: bool, dtype: torch.dtype) -> Probe | None:
    """The probe of a neuron; of a population that is ``plain``, all alike, that of one."""
    nothing = torch.zeros(1, *([1] * len(shape) if plain else shape), dtype=dtype)
    if isinstance(module, ThresholdModule):
        laid = parameter_shape(tuple(module.threshold.shape), tuple(nothing.shape[1:]))
        threshold = module.threshold.reshape(laid).expand_as(nothing)
        x = reached = threshold
        exact = _short(threshold)
        fired = module(x)
    elif isinstance(module, NeuronModule) and "v_threshold" in module.exact:
        rest = module.initial_state(nothing)
        threshold = module.coefficients(nothing)["v_threshold"].expand_as(nothing)
        leak = tested(module, nothing, rest)[0]
        gain = tested(module, nothing + 1, rest)[0] - leak
        x = torch.nan_to_num((threshold - leak) / gain, posinf=0.0, neginf=0.0)
        reached = tested(module, x, rest)[0]
        exact = _short(threshold) & _short(leak) & _short(gain) & _short(x)
        fired = module.step(x, rest)[0]
    else:
        return None
    exact = exact & (reached == threshold) & (threshold.abs() < NEVER)
    if not bool(exact.any()):
        return None
    level = float(threshold[exact].flatten()[0])
    x, exact, fired = (t[0].expand(shape) for t in (x, exact, fired != 0))
    return Probe(x, exact, fired, level)


def _short(numbers: Tensor) -> Tensor:
    """Which numbers have no more than eleven binary digits."""
    return numbers.to(torch.float16).to(numbers.dtype) == numbers


@torch.no_grad()
def _answers(sides: Sides, xs: Xs, model: nn.Module, probes: dict[str, Probe]) -> dict[str, Tensor]:
    """Whether the modules fire at their first step, given their probes."""
    found: dict[str, Tensor] = {}
    given: set[str] = set()

    def give(name: str, args: Any) -> Any:
        x, probe = next(iter(args), None), probes[name].x
        if name in given or not isinstance(x, Tensor):
            return None
        if x.shape[x.dim() - probe.dim() :] != probe.shape:
            return None
        given.add(name)
        return (probe.to(x).expand_as(x).clone(), *args[1:])

    def take(name: str, result: Any) -> None:
        y = result[0] if isinstance(result, tuple | list) else result
        shape = probes[name].x.shape
        fits = isinstance(y, Tensor) and y.shape[y.dim() - len(shape) :] == shape
        if name in given and name not in found and fits:
            found[name] = (y.reshape(-1, *shape)[0] != 0).cpu()

    with sides.at_rest(model):
        for name in probes:
            module = model.get_submodule(name)
            module.register_forward_pre_hook(lambda m, args, name=name: give(name, args))
            module.register_forward_hook(lambda m, args, result, name=name: take(name, result))
        try:
            sides.found.arguments.call(model, sides.turns(xs)[0], ())
        except Exception:  # a model need not take what comes of it: what was seen before counts
            return found
    return found
