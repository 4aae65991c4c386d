"""What stands behind a convolution and may be worked with it: a norm, a sum, a neuron, a pool."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from t1c.ir.step_plan import Source

from .geometry import pool_of
from .kernels.convolution import Pool
from .merging import MergeModule
from .network import Network
from .scanned import ScannedModule, is_scanned
from .work import is_plain

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Chain:
    """Nodes of which each alone takes what the one before it sends.

    Attributes:
        names: the convolution, and what is there of the following, in this order.
        norm: a batch norm that takes no statistics.
        beside: what is added behind it.
        neuron: the name of a neuron.
        pool: the windows of a pool.
    """

    names: tuple[str, ...]
    norm: nn.BatchNorm1d | nn.BatchNorm2d | None = None
    beside: Source | None = None
    neuron: str | None = None
    pool: Pool | None = None


class Chained:
    """Nodes that are worked as one: the last one's value comes out."""

    chain: Chain

    @property
    def names(self) -> tuple[str, ...]:
        """Of the nodes, in order."""
        return self.chain.names

    @property
    def neuron(self) -> str | None:
        """The name of the neuron, if there is one."""
        return self.chain.neuron


def find_chain(
    network: Network,
    name: str,
    shape: Shape,
    keep: Collection[str],
    known: Collection[str] | None = None,
    within: Collection[str] = (),
) -> Chain:
    """The chain that begins at a convolution.

    Args:
        network: whose plan is followed.
        name: of the convolution.
        shape: of the maps that it sends.
        keep: nodes whose values are wanted, which a chain may only end in.
        known: the nodes whose values are there to be added; None: all.
        within: nodes of a loop that may belong to it, if it is one step that is worked.
    """
    names, norm, beside, neuron, pool = [name], None, None, None, None
    taker = only_target(network, name, keep, within)
    if taker is not None and not network.node(taker).training:
        norm = norm_of(network.node(taker), shape)
        names += [taker] * (norm is not None)
    taker, other = _added(network, names[-1], shape, keep, known, within)
    if taker is not None and isinstance(network.node(taker), MergeModule):
        beside = other
        names.append(taker)
        taker = only_target(network, taker, keep, within)
    elif taker is not None:
        beside = other
    else:
        taker = only_target(network, names[-1], keep, within)
    module = network.node(taker) if taker is not None else None
    if taker is not None and module is not None and is_scanned(module) and is_plain(module):
        neuron = taker
        names.append(taker)
        taker = only_target(network, taker, keep, within)
    if taker is not None and len(shape) == 3:
        pool = pool_of(network.node(taker), (shape[0], shape[1], shape[2]))
        names += [taker] * (pool is not None)
    return Chain(tuple(names), norm, beside, neuron, pool)


def only_target(
    network: Network, name: str, keep: Collection[str], within: Collection[str] = ()
) -> str | None:
    """The node that alone takes what ``name`` sends, and nothing else, in the same step."""
    taker = _taker(network, name, keep, within)
    return taker if taker is not None and len(network.plan.sources[taker]) == 1 else None


def _taker(
    network: Network, name: str, keep: Collection[str], within: Collection[str]
) -> str | None:
    """The node that alone takes what ``name`` sends, in the same step."""
    plan = network.plan
    targets = plan.targets[name]
    if len(targets) != 1 or name in keep or name in plan.remembered:
        return None
    return targets[0] if targets[0] not in plan.looping or targets[0] in within else None


def _added(
    network: Network,
    name: str,
    shape: Shape,
    keep: Collection[str],
    known: Collection[str] | None,
    within: Collection[str],
) -> tuple[str | None, Source | None]:
    """The node that adds what ``name`` sends and one thing more, which is there already."""
    taker = _taker(network, name, keep, within)
    if taker is None or len(sources := network.plan.sources[taker]) != 2:
        return None, None
    module = network.node(taker)
    summing = isinstance(module, MergeModule) and module.adds(2)
    if not is_plain(module) or not (summing or is_scanned(module)):
        return None, None
    (other,) = (s for s in sources if s.name != name)
    there = not other.back and (known is None or other.name in known)
    fits = network.shapes[other.name] == shape
    return (taker, other) if there and fits else (None, None)


def norm_of(module: nn.Module, shape: Shape) -> nn.BatchNorm1d | nn.BatchNorm2d | None:
    """A batch norm for such maps that has statistics, if that is what a module is."""
    kind, channels = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d, shape[0]
    if type(module) is not kind or not is_plain(module):
        return None
    statistics = [module._buffers[name] for name in ("running_mean", "running_var")]
    if any(b is None for b in statistics):
        return None
    held = [*statistics, *(module._parameters[name] for name in ("weight", "bias"))]
    return module if all(p is None or p.shape == (channels,) for p in held) else None


@torch.no_grad()
def factors_of(norm: nn.BatchNorm1d | nn.BatchNorm2d, dtype: torch.dtype) -> Tensor:
    """By what a batch norm multiplies each channel, and what it adds then: (2, C).

    Folded in float64, as a neuron's coefficients are. One over a root is rounded as both operations
    are; roots by themselves torch has from MKL, which rounds one in eighty of them otherwise.
    """
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None
    assert var is not None
    factor = torch.rsqrt(var.double() + norm.eps)
    if norm.weight is not None:
        factor = factor * norm.weight.double()
    shift = -mean.double() * factor
    if norm.bias is not None:
        shift = shift + norm.bias.double()
    return torch.stack([factor, shift]).to(dtype)


def neuron_behind(
    network: Network, name: str, keep: Collection[str]
) -> tuple[str, ScannedModule] | None:
    """The neuron that alone takes what ``name`` sends: its name and its module."""
    following = only_target(network, name, keep)
    module = network.node(following) if following is not None else None
    if following is None or module is None or not is_scanned(module):
        return None
    return following, module
