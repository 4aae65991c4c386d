"""A layer and what stands behind it, worked as one where that is faster."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from .chains import Chain, factors_of, find_chain, neuron_behind
from .choices import IN_ORDER, Choice, fits, measured, obstacle_to_events, sample_of_affine
from .folding import DENSE_BYTES
from .geometry import Convolving, convolution_of
from .kernels.events import (
    Behind,
    Convolution,
    affine_block,
    convolution_block,
    work_behind,
)
from .kernels.rule import Rule
from .kernels.scan import Coefficients, State, scan
from .network import Network
from .ordered_sums import convolved, gathered
from .scanned import ScannedModule
from .values import Values, at_port
from .work import is_plain

Neuron = tuple[State, Coefficients, Rule]
MAPS = 2
"""Samples that the ways of working a convolution are timed on, two steps of each."""


@dataclass(frozen=True)
class Block:
    """A convolution and what is behind it.

    Attributes:
        chain: the nodes; the last one's value comes out.
        layer: the convolution.
        shape: the maps that it is between.
        choice: whether and why active inputs are added up; None if all steps have the same input.
        ordered: whether sums are taken in their written order.
    """

    chain: Chain
    layer: Convolving
    shape: Convolution
    choice: Choice | None
    ordered: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Of the nodes, in order."""
        return self.chain.names

    @property
    def neuron(self) -> str | None:
        """The name of the neuron, if there is one."""
        return self.chain.neuron

    @property
    def serves(self) -> bool:
        """Whether it is more than a convolution that is worked densely."""
        return len(self.names) > 1 or (self.choice is not None and self.choice.way == "events")

    @property
    def features(self) -> tuple[int, ...]:
        """The shape of what the neuron is given."""
        return self.shape.leaving

    def run(self, xs: Tensor, neuron: Neuron | None, values: Values) -> tuple[Tensor, State]:
        """Work ``xs`` (T, B, C, H, W), or (T, B, C, W).

        Args:
            xs: what reaches the convolution.
            neuron: state, coefficients and options of the neuron, if there is one.
            values: what other nodes sent.

        Returns:
            (the output, the neuron's state, () without one).
        """
        norm, beside = self.chain.norm, self.chain.beside
        behind = Behind(
            None if norm is None else factors_of(norm, xs.dtype),
            None if beside is None else at_port(values, beside),
            neuron,
            self.chain.pool,
        )
        if self.choice is not None and self.choice.way == "events":
            weight, bias = self.layer.weight, self.layer.bias
            return convolution_block(xs, weight, bias, self.shape, behind, self.ordered)
        if self.choice is None:
            once = (
                convolved(self.layer, xs[0])[None] if self.ordered else convolve(self.layer, xs[:1])
            )
            return work_behind(once, len(xs), self.shape, behind)
        return _densely(self.layer, xs, self.shape, behind)


def convolve(layer: Convolving, xs: Tensor) -> Tensor:
    """The convolution of every step of ``xs`` by torch.

    Maps lie channels last, as what is behind takes them, unless laying the weights out likewise
    would take longer than that of the maps.
    """
    if _pointwise(layer):
        weight = layer.weight.flatten(1)
        return nn.functional.linear(xs.movedim(2, -1), weight, layer.bias).movedim(-1, 2)
    last = xs.ndim == 5 and layer.weight.numel() < xs.numel()
    kind = torch.channels_last if last else torch.contiguous_format
    x = xs.flatten(0, 1).contiguous(memory_format=kind)
    sums: Tensor = layer(x)
    return sums.view(*xs.shape[:2], *sums.shape[1:])


def _pointwise(layer: Convolving) -> bool:
    """Whether each pixel is worked by itself: a product, of which torch makes shorter work."""
    one, none = (1,) * len(layer.kernel_size), (0,) * len(layer.kernel_size)
    plain = layer.padding in ("valid", "same") or tuple(layer.padding) == none
    return layer.kernel_size == layer.stride == one and plain and layer.groups == 1


def _densely(
    layer: Convolving, xs: Tensor, shape: Convolution, behind: Behind
) -> tuple[Tensor, State]:
    """The convolution by torch, some steps at a time, whose sums are still in the cache then."""
    row = xs.shape[1] * shape.outputs[0] * shape.outputs[1] * shape.outputs[2]
    # Of a single map torch makes no short work.
    piece = max(DENSE_BYTES // max(1, row * xs.element_size()), -(-2 // max(1, xs.shape[1])))
    found, first = [], 0
    for part in xs.split(piece):
        here = behind
        if behind.beside is not None:
            here = replace(here, beside=behind.beside[first : first + len(part)])
        y, state = work_behind(convolve(layer, part), len(part), shape, here)
        found.append(y)
        first += len(part)
        if behind.neuron is not None:
            behind = replace(behind, neuron=(state, *behind.neuron[1:]))
    return (torch.cat(found) if len(found) > 1 else found[0]), state


@dataclass(frozen=True)
class AffineBlock:
    """A Linear and its neuron, worked as one.

    Attributes:
        names: of the two nodes.
        layer: the Linear.
        neuron: the name of the neuron.
        choice: whether and why it is worked by events.
    """

    names: tuple[str, str]
    layer: nn.Linear
    neuron: str
    choice: Choice

    @property
    def serves(self) -> bool:
        """Whether active inputs are added up."""
        return self.choice.way == "events"

    @property
    def features(self) -> tuple[int]:
        """The shape of what the neuron is given."""
        return (self.layer.out_features,)

    def run(self, xs: Tensor, neuron: Neuron | None, values: Values) -> tuple[Tensor, State]:
        """Work ``xs`` (T, B, in); the spikes and the neuron's state."""
        assert neuron is not None
        return affine_block(xs, self.layer.weight, self.layer.bias, *neuron)


def find_affine_block(
    network: Network, name: str, xs: Tensor, keep: Collection[str]
) -> AffineBlock | None:
    """The block that begins at the Linear ``name``; None if its kernel does not serve."""
    layer = network.node(name)
    if type(layer) is not nn.Linear or xs.ndim != 3 or _obstacle(network, layer, xs):
        return None
    if not fits(layer, xs.shape[2]) or len(layer.weight) != layer.out_features:
        return None
    behind = neuron_behind(network, name, keep)
    if behind is None or not is_plain(behind[1]):
        return None
    following, module = behind
    weight, given = layer.weight.detach(), layer._parameters["bias"]
    bias = given.detach() if given is not None else None

    def sparse(z: Tensor) -> object:
        return affine_block(z, weight, bias, *_at_rest(module, z, (layer.out_features,)))

    def dense(z: Tensor) -> object:
        y = nn.functional.linear(z, weight, bias)
        return scan(y, *_at_rest(module, z, (layer.out_features,)))

    if network.reproducible:
        return AffineBlock((name, following), layer, following, IN_ORDER)
    words, shape = sample_of_affine(layer, xs)
    choice = measured(xs, network.events, f"{words}, neuron", shape, dense, sparse)
    return AffineBlock((name, following), layer, following, choice)


def inner_nodes(network: Network, like: Tensor) -> set[str]:
    """The nodes whose values need not exist if every block is worked as one.

    Told from the graph alone, so that chunks, and with them roundings, do not depend on densities.
    """
    inner: set[str] = set()
    for name in network.plan.order:
        layer, shape = network.node(name), network.shapes[name]
        if not isinstance(layer, Convolving) or shape is None:
            continue
        if _serves(network, layer, like):
            inner.update(find_chain(network, name, shape, network.plan.outputs).names[:-1])
    return inner


def _serves(network: Network, layer: Convolving, xs: Tensor) -> bool:
    """Whether the kernel serves a convolution, and nobody wants a gradient."""
    served = (
        type(layer) in (nn.Conv1d, nn.Conv2d)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and (not network.reproducible or gathered(layer))
    )
    return served and not _obstacle(network, layer, xs)


def learns(network: Network, xs: Tensor) -> bool:
    """Whether a gradient may be wanted of what some layer makes of ``xs``."""
    own = itertools.chain((xs,), network.parameters(), network.buffers())
    return torch.is_grad_enabled() and any(t.requires_grad for t in own)


def _obstacle(network: Network, layer: Convolving | nn.Linear, xs: Tensor) -> bool:
    """Whether a gradient is wanted, or something but its parameters says what a layer does."""
    if learns(network, xs) or not is_plain(layer) or network.events is False:
        return True
    return obstacle_to_events(layer.weight, xs, network.kernels) is not None


def find_block(
    network: Network, name: str, xs: Tensor, keep: Collection[str], values: Values, still: bool
) -> Block | None:
    """The block that begins at the convolution ``name``, and how it is best worked.

    None if its kernel does not serve: a gradient is wanted, or the convolution has groups.

    Args:
        network: whose plan is followed.
        name: of a node that is a ``Conv2d`` or a ``Conv1d``.
        xs: what reaches it.
        keep: nodes whose values are wanted, which a block may only end in.
        values: what nodes have sent.
        still: all steps of ``xs`` are the same.
    """
    layer = network.node(name)
    assert isinstance(layer, Convolving)
    if xs.ndim != layer.weight.ndim + 1 or not _serves(network, layer, xs):
        return None
    shape = fitting(layer, xs)
    if shape is None:
        return None
    chain = find_chain(network, name, shape.leaving, keep, values)
    if chain.beside is not None:
        other = at_port(values, chain.beside)
        if other.dtype != xs.dtype or other.shape != (*xs.shape[:2], *shape.leaving):
            return None
    if network.reproducible:
        return Block(chain, layer, shape, None if still else IN_ORDER, True)
    choice = None if still else _choice(network, layer, xs, shape, chain)
    return Block(chain, layer, shape, choice)


def fitting(layer: Convolving, xs: Tensor) -> Convolution | None:
    """The maps that a convolution is between; None if kernels would not fit its parameters."""
    weight = layer.weight
    if xs.shape[2] != weight.shape[1] * layer.groups or not fits(layer, weight.shape[1]):
        return None
    if weight.shape[0] != layer.out_channels or weight.shape[2:] != layer.kernel_size:
        return None
    shape = convolution_of(layer, tuple(xs.shape[2:]))
    return None if min(shape.outputs[1:]) < 1 or min(shape.padding) < 0 else shape


def _at_rest(module: ScannedModule, xs: Tensor, features: tuple[int, ...]) -> Neuron:
    """What works a neuron that is given ``features`` for each sample of ``xs`` (T, B, ...)."""
    like = xs.new_empty(1).expand(xs.shape[1], *features)
    laid = module.laid(torch.Size(features), xs.dtype, xs.device)
    return module.initial_state(like), laid, module.rule


def _choice(
    network: Network, layer: Convolving, xs: Tensor, shape: Convolution, chain: Chain
) -> Choice:
    module = network.neuron(chain.neuron) if chain.neuron is not None else None
    norm = None if chain.norm is None else factors_of(chain.norm, xs.dtype)

    def behind(z: Tensor) -> Behind:
        added = chain.beside is not None
        beside = z.new_zeros(*z.shape[:2], *shape.leaving) if added else None
        own = _at_rest(module, z, shape.leaving) if module is not None else None
        return Behind(norm, beside, own, chain.pool)

    def sparse(z: Tensor) -> object:
        return convolution_block(z, layer.weight, layer.bias, shape, behind(z))

    def dense(z: Tensor) -> object:
        return _densely(layer, z, shape, behind(z))

    parts = ("norm", norm), ("sum", chain.beside), ("neuron", module), (chain.pool, chain.pool)
    words = ", ".join(str(word) for word, there in parts if there is not None)
    words = f"gathered convolution {shape}, {words or 'alone'}"
    return measured(xs, network.events, words, (2, MAPS, *shape.entering), dense, sparse)
