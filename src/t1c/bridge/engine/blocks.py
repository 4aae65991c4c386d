"""A layer and what stands behind it, worked as one where that is faster."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from .arrivals import state_of
from .chains import Chain, Chained, factors_of, find_chain, neuron_behind
from .choices import (
    FEW,
    IN_ORDER,
    Choice,
    chosen,
    fits,
    obstacle_to_events,
    of_affine,
    reads_once,
    sample_of_affine,
)
from .folding import DENSE_BYTES
from .geometry import Convolving, convolution_of
from .kernels.convolution import Behind, Convolution, ConvolutionLoop, placed
from .kernels.crossing import crossing
from .kernels.events import affine_block
from .kernels.rule import Rule
from .kernels.scan import Coefficients, State, scan
from .looked import Moment
from .network import Network
from .ordered_sums import convolved, gathered
from .scanned import ScannedModule
from .state_checks import States
from .values import Values, at_port
from .work import is_plain

MAPS = 2
"""Samples that the ways of working a convolution are timed on, two steps of each."""


@dataclass(frozen=True)
class Block(Chained):
    """A convolution and what is behind it.

    Attributes:
        chain: the nodes; the last one's value comes out.
        layer: the convolution.
        loop: what works it, or what is behind it.
        limit: the density up to which adding up active inputs is faster; None: not asked.
        ordered: whether sums are taken in their written order.
        choice: whether and why active inputs are added up; None if all steps have the same input.
    """

    chain: Chain
    layer: Convolving
    loop: ConvolutionLoop
    limit: float | None
    ordered: bool
    choice: Choice | None = None

    @property
    def serves(self) -> bool:
        """Whether it is more than a convolution that is worked densely."""
        return len(self.names) > 1 or (self.choice is not None and self.choice.way == "events")

    @property
    def features(self) -> tuple[int, ...]:
        """The shape of what the neuron is given."""
        return self.loop.shape.leaving

    def run(self, xs: Tensor, state: State, values: Values, moment: Moment) -> tuple[Tensor, State]:
        """Work ``xs`` (T, B, C, H, W), or (T, B, C, W).

        Args:
            xs: what reaches the convolution.
            state: of the neuron, if there is one; from rest if it is empty.
            values: what other nodes sent.
            moment: what the network is now.

        Returns:
            (the output, the neuron's state, () without one).
        """
        layer = self.layer
        beside = None if self.chain.beside is None else at_port(values, self.chain.beside)
        if self.choice is not None and self.choice.way == "events":
            lead = self.names[0]
            laid = moment.once(
                ("placed", lead), lambda: placed(layer.weight, layer.bias, self.ordered)
            )
            return self.loop.gathered(xs, laid, beside, state)
        if self.choice is None:
            once = convolved(layer, xs[0])[None] if self.ordered else convolve(layer, xs[:1])
            return self.loop.behind_sums(once, len(xs), beside, state)
        return _densely(layer, xs, self.loop, beside, state)


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
    layer: Convolving, xs: Tensor, loop: ConvolutionLoop, beside: Tensor | None, state: State
) -> tuple[Tensor, State]:
    """The convolution by torch, some steps at a time, whose sums are still in the cache then."""
    outs, rows, columns = loop.shape.outputs
    row = xs.shape[1] * outs * rows * columns
    # Of a single map torch makes no short work.
    piece = max(DENSE_BYTES // max(1, row * xs.element_size()), -(-2 // max(1, xs.shape[1])))
    if piece >= len(xs):
        return loop.behind_sums(convolve(layer, xs), len(xs), beside, state)
    found = []
    for first in range(0, len(xs), piece):
        part = xs[first : first + piece]
        other = None if beside is None else beside[first : first + piece]
        y, state = loop.behind_sums(convolve(layer, part), len(part), other, state)
        found.append(y)
    return torch.cat(found), state


@dataclass(frozen=True)
class AffineBlock:
    """A Linear and its neuron, worked as one.

    Attributes:
        names: of the two nodes.
        layer: the Linear.
        neuron: the name of the neuron.
        laid: its coefficients.
        rule: its options.
        limit: the density up to which adding up active inputs is faster; None: not asked.
        choice: whether and why it is worked by events.
    """

    names: tuple[str, str]
    layer: nn.Linear
    neuron: str
    laid: Coefficients
    rule: Rule
    limit: float | None
    choice: Choice | None = None

    @property
    def serves(self) -> bool:
        """Whether active inputs are added up."""
        return self.choice is not None and self.choice.way == "events"

    @property
    def features(self) -> tuple[int]:
        """The shape of what the neuron is given."""
        return (self.layer.out_features,)

    def run(self, xs: Tensor, state: State, values: Values, moment: Moment) -> tuple[Tensor, State]:
        """Work ``xs`` (T, B, in); the spikes and the neuron's state."""
        state = state or at_rest(xs, self.features, self.rule)
        return affine_block(xs, self.layer.weight, self.layer.bias, state, self.laid, self.rule)


def at_rest(xs: Tensor, features: tuple[int, ...], rule: Rule) -> State:
    """A neuron's state before the first step of ``xs`` (T, B, ...): zeros that take no room."""
    rest = xs.new_zeros(1).expand(xs.shape[1], *features)
    return (rest, rest) if rule.synapse else (rest,)


B = TypeVar("B", Block, AffineBlock)


def find_affine_block(
    network: Network, name: str, xs: Tensor, keep: Collection[str], moment: Moment
) -> AffineBlock | None:
    """The block that begins at the Linear ``name``; None if its kernel does not serve."""
    layer = network.node(name)
    if type(layer) is not nn.Linear or xs.ndim != 3 or learns(xs, moment) or not xs.numel():
        return None
    if not network.reproducible and reads_once(layer, xs, network.events):
        return None
    few = xs.shape[0] * xs.shape[1] <= FEW
    key = ("affine", name, xs.shape[2], few, xs.dtype, tuple(keep))

    def make() -> AffineBlock | None:
        return _affine_block(network, name, layer, xs, keep)

    block = moment.once(key, make)
    if block is None:
        return None
    block = _with_choice(network, block, xs)
    # A choice outlives no write to a large weight, which the moment does not tell.
    return replace(block, choice=of_affine(layer, xs, block.choice)) if block.choice else block


def _affine_block(
    network: Network, name: str, layer: nn.Linear, xs: Tensor, keep: Collection[str]
) -> AffineBlock | None:
    if _obstacle(network, layer, xs, unseen=True):
        return None
    if not fits(layer, xs.shape[2]) or len(layer.weight) != layer.out_features:
        return None
    behind = neuron_behind(network, name, keep)
    if behind is None or not is_plain(behind[1]):
        return None
    following, module = behind
    weight, given = layer.weight.detach(), layer._parameters["bias"]
    bias = given.detach() if given is not None else None
    features = torch.Size((layer.out_features,))
    laid = module.laid(features, xs.dtype, xs.device)
    rest, rule = _at_rest(module, features), module.rule

    def sparse(z: Tensor) -> object:
        return affine_block(z, weight, bias, rest(z), laid, rule)

    def dense(z: Tensor) -> object:
        return scan(nn.functional.linear(z, weight, bias), rest(z), laid, rule)

    limit = None
    if not (network.reproducible or network.events):
        words, shape = sample_of_affine(layer, xs)
        limit = crossing(f"{words}, neuron", shape, xs.dtype, dense, sparse)
    return AffineBlock((name, following), layer, following, laid, rule, limit)


def _with_choice(network: Network, block: B, xs: Tensor) -> B:
    """A block with how it is worked on ``xs``."""
    choice = IN_ORDER if network.reproducible else chosen(xs, network.events, block.limit)
    return replace(block, choice=choice)


class Worked(Protocol):
    """Nodes that are worked as one, whatever way."""

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of work."""

    @property
    def neuron(self) -> str | None:
        """The name of the neuron, if there is one."""

    @property
    def choice(self) -> Choice | None:
        """How they are worked, if there was a choice."""

    @property
    def features(self) -> tuple[int, ...]:
        """The shape of what the neuron is given."""

    def run(self, xs: Tensor, state: State, values: Values, moment: Moment) -> tuple[Tensor, State]:
        """Work what reaches the first: what comes out, and the neuron's state."""


def run_block(
    network: Network,
    block: Worked,
    values: Values,
    state: States,
    after: States,
    moment: Moment,
) -> None:
    """Work a block, whose last node's value is then there, and that of no other."""
    lead = block.names[0]
    network.blocks[lead] = block.names
    if block.choice is not None:
        network.choices[lead] = block.choice
    (source,) = network.plan.sources[lead]
    xs = at_port(values, source)
    own: State = ()
    if block.neuron in state:
        like = xs.new_empty(1).expand(xs.shape[1], *block.features)
        own = state_of(network, block.neuron, state, like)
    values[block.names[-1]], own = block.run(xs, own, values, moment)
    if block.neuron is not None:
        after[block.neuron] = own


def inner_nodes(network: Network, like: Tensor, moment: Moment) -> set[str]:
    """The nodes whose values need not exist if every block is worked as one.

    Told from the graph alone, so that chunks, and with them roundings, do not depend on densities.
    """
    inner: set[str] = set()
    if learns(like, moment):
        return inner
    for name in network.plan.order:
        layer, shape = network.node(name), network.shapes[name]
        if not isinstance(layer, Convolving) or shape is None:
            continue
        if _serves(network, layer) and not _obstacle(network, layer, like, unseen=True):
            inner.update(find_chain(network, name, shape, network.plan.outputs).names[:-1])
    return inner


def _serves(network: Network, layer: Convolving) -> bool:
    """Whether the kernel serves a convolution."""
    return (
        type(layer) in (nn.Conv1d, nn.Conv2d)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and (not network.reproducible or gathered(layer))
    )


def learns(xs: Tensor, moment: Moment) -> bool:
    """Whether a gradient may be wanted of what some layer makes of ``xs``."""
    return torch.is_grad_enabled() and (xs.requires_grad or moment.learns)


def _obstacle(
    network: Network, layer: Convolving | nn.Linear, xs: Tensor, unseen: bool = False
) -> bool:
    """Whether something but its parameters says what a layer does, or these do not serve.

    ``unseen``: its weights are not looked at.
    """
    if not is_plain(layer) or network.events is False:
        return True
    return obstacle_to_events(layer.weight, xs, network.kernels, unseen) is not None


def find_block(
    network: Network,
    name: str,
    xs: Tensor,
    keep: Collection[str],
    values: Values,
    still: bool,
    moment: Moment,
    within: Collection[str] = (),
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
        moment: what the network is now.
        within: nodes of a loop that may belong to it, if ``xs`` is one step.
    """
    layer = network.node(name)
    assert isinstance(layer, Convolving)
    if learns(xs, moment) or not xs.numel():
        return None
    key = ("block", name, xs.shape[1:], xs.dtype, still, tuple(keep))

    def make() -> Block | None:
        return _block(network, name, layer, xs, keep, values, still, within)

    block = moment.once(key, make)
    if block is None:
        return None
    beside = block.chain.beside
    if beside is not None:
        other = at_port(values, beside) if beside.name in values else None
        wanted = (*xs.shape[:2], *block.features)
        if other is None or other.dtype != xs.dtype or other.shape != wanted:
            return None
    return block if still else _with_choice(network, block, xs)


def _block(
    network: Network,
    name: str,
    layer: Convolving,
    xs: Tensor,
    keep: Collection[str],
    values: Values,
    still: bool,
    within: Collection[str],
) -> Block | None:
    weight = layer.weight
    if xs.ndim != weight.ndim + 1 or not _serves(network, layer) or _obstacle(network, layer, xs):
        return None
    shape = fitting(layer, xs)
    if shape is None:
        return None
    chain = find_chain(network, name, shape.leaving, keep, values, within)
    module = network.neuron(chain.neuron) if chain.neuron is not None else None
    neuron = None
    if module is not None:
        laid = module.laid(torch.Size(shape.leaving), xs.dtype, xs.device)
        neuron = laid, module.rule
    norm = None if chain.norm is None else factors_of(chain.norm, xs.dtype)
    behind = Behind(norm, neuron, chain.pool)
    loop = ConvolutionLoop(shape, behind, xs.shape[1], xs)
    limit = None
    if not (still or network.reproducible or network.events):
        limit = _limit(layer, xs, shape, behind, chain)
    return Block(chain, layer, loop, limit, network.reproducible)


def fitting(layer: Convolving, xs: Tensor) -> Convolution | None:
    """The maps that a convolution is between; None if kernels would not fit its parameters."""
    weight = layer.weight
    if xs.shape[2] != weight.shape[1] * layer.groups or not fits(layer, weight.shape[1]):
        return None
    if weight.shape[0] != layer.out_channels or weight.shape[2:] != layer.kernel_size:
        return None
    shape = convolution_of(layer, tuple(xs.shape[2:]))
    return None if min(shape.outputs[1:]) < 1 or min(shape.padding) < 0 else shape


def _limit(
    layer: Convolving, xs: Tensor, shape: Convolution, behind: Behind, chain: Chain
) -> float:
    """The density up to which adding up active inputs is faster."""
    loop = ConvolutionLoop(shape, behind, MAPS, xs)

    def beside(z: Tensor) -> Tensor | None:
        return None if chain.beside is None else z.new_zeros(*z.shape[:2], *shape.leaving)

    def sparse(z: Tensor) -> object:
        return loop.gathered(z, placed(layer.weight, layer.bias), beside(z), ())

    def dense(z: Tensor) -> object:
        return _densely(layer, z, loop, beside(z), ())

    parts = ("norm", behind.norm), ("sum", chain.beside), ("neuron", behind.neuron)
    words = ", ".join([word for word, there in parts if there is not None])
    if chain.pool is not None:
        words = f"{words}, {chain.pool}" if words else str(chain.pool)
    words = f"gathered convolution {shape}, {words or 'alone'}"
    return crossing(words, (2, MAPS, *shape.entering), xs.dtype, dense, sparse)


def _at_rest(module: ScannedModule, features: tuple[int, ...]) -> Callable[[Tensor], State]:
    """What makes the state of a neuron before the first step of ``xs`` (T, B, ...)."""

    def rest(xs: Tensor) -> State:
        return module.initial_state(xs.new_empty(1).expand(xs.shape[1], *features))

    return rest
