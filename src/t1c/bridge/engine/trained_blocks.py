"""A convolution, and the norm, neuron and pool behind it, in training: which are worked as one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from .blocks import MAPS, at_rest, convolve, fitting, learns
from .chains import Chain, Chained, norm_of, only_target
from .choices import Choice, chosen, obstacle_to_events
from .geometry import Convolving, pool_of
from .kernels.convolution import Behind, Convolution, ConvolutionLoop, placed
from .kernels.crossing import crossing
from .kernels.scan import State
from .kernels.trained import train
from .kernels.trained_parts import Norm, Trained
from .looked import Moment
from .network import Network
from .scanned import ScannedModule, is_scanned
from .spans import LAST, ONCE, SEQUENCE, span_of
from .values import Values
from .work import is_plain

Shape = tuple[int, ...]


@dataclass(frozen=True)
class TrainedBlock(Chained):
    """A convolution and what is behind it, with a gradient.

    Attributes:
        chain: the nodes; the last one's value comes out.
        layer: the convolution.
        module: the neuron.
        shape: the maps that it is between.
        choice: whether and why active inputs are added up.
        events: whether they are in the gradient of the weight; None: where that is faster.
    """

    chain: Chain
    layer: Convolving
    module: ScannedModule
    shape: Convolution
    choice: Choice
    events: bool | None

    serves = True

    @property
    def features(self) -> Shape:
        """The shape of what the neuron is given."""
        return self.shape.leaving

    def run(self, xs: Tensor, state: State, values: Values, moment: Moment) -> tuple[Tensor, State]:
        """Work ``xs`` (T, B, C, H, W), or (T, B, C, W); what comes out, and the neuron's state."""
        features, module = torch.Size(self.features), self.chain.norm
        c, rule = self.module.laid(features, xs.dtype, xs.device), self.module.rule
        state = state or at_rest(xs, features, rule)
        norm: Norm | None = None
        affine: tuple[Tensor | None, Tensor | None] = None, None
        if module is not None:
            assert module.running_mean is not None
            assert module.running_var is not None
            groups = 0 if not module.training else len(xs) if span_of(module) != SEQUENCE else 1
            norm = Norm(module.eps, groups, module.running_mean, module.running_var)
            affine = module.weight, module.bias
        block = Trained(
            self.shape,
            self.layer.groups,
            lambda x: convolve(self.layer, x),
            self.choice.way == "events",
            self.events,
            self.choice.density or 0.0,
            norm,
            c,
            rule,
            self.chain.pool,
        )
        layer = self.layer.weight, self.layer._parameters["bias"]
        y, after, taken = train(xs, layer, affine, state, block)
        if module is not None and taken is not None:
            count = xs.shape[0] // len(taken[0]) * xs.shape[1]
            count *= self.shape.outputs[1] * self.shape.outputs[2]
            _remember(module, *taken, count)
        return y, after


@torch.no_grad()
def _remember(
    norm: nn.BatchNorm1d | nn.BatchNorm2d, means: Tensor, var: Tensor, count: int
) -> None:
    """Move running statistics as torch does, for one group of steps after another.

    Args:
        norm: whose they are.
        means: (groups, out), in float64.
        var: likewise.
        count: how many elements of a channel a group has.
    """
    mean, running, seen = norm.running_mean, norm.running_var, norm.num_batches_tracked
    assert mean is not None
    assert running is not None
    taken = list(zip(means, var * (count / (count - 1)), strict=True))
    last = span_of(norm) == LAST
    for of_mean, of_var in taken[-1:] if last else taken:
        if seen is not None:
            seen.add_(1)
        share = norm.momentum
        if share is None:
            assert seen is not None
            share = 1 / float(seen)
        for held, found in ((mean, of_mean), (running, of_var)):
            held.copy_((1 - share) * held.double() + share * found)


def trained_chain(network: Network, name: str, shape: Shape, keep: Collection[str]) -> Chain | None:
    """What is worked with a convolution in training; None without a neuron.

    Args:
        network: whose plan is followed.
        name: of the convolution.
        shape: of the maps that it sends.
        keep: nodes whose values are wanted, which a chain may only end in.
    """
    names, norm = [name], None
    taker = only_target(network, name, keep)
    if taker is not None and (norm := _norm(network.node(taker), shape)) is not None:
        names.append(taker)
        taker = only_target(network, taker, keep)
    module = network.node(taker) if taker is not None else None
    if taker is None or module is None or not (is_scanned(module) and is_plain(module)):
        return None
    names.append(taker)
    chain = Chain(tuple(names), norm, None, taker)
    after = only_target(network, taker, keep)
    if after is None or len(shape) != 3 or module.reset_mode is None:
        return chain
    pool = pool_of(network.node(after), (shape[0], shape[1], shape[2]))
    if pool is None or any(w > s for w, s in zip(pool.window, pool.stride, strict=True)):
        return chain
    return replace(chain, names=(*names, after), pool=pool)


def _norm(module: nn.Module, shape: Shape) -> nn.BatchNorm1d | nn.BatchNorm2d | None:
    """A batch norm for such maps, if what it keeps is all there; of which span a kernel knows."""
    norm = norm_of(module, shape)
    if norm is None or (norm.training and span_of(norm) == ONCE):
        return None
    if any(b is not None and b.requires_grad for b in norm._buffers.values()):
        return None
    counted = norm.momentum is not None or norm._buffers["num_batches_tracked"] is not None
    return norm if counted else None


def find_trained_block(
    network: Network, name: str, xs: Tensor, keep: Collection[str], moment: Moment
) -> TrainedBlock | None:
    """The block that begins at the convolution ``name``; None if it is not worked as one.

    Args:
        network: whose plan is followed.
        name: of a node that is a ``Conv2d`` or a ``Conv1d``.
        xs: what reaches it.
        keep: nodes whose values are wanted, which a block may only end in.
        moment: what the network is now.
    """
    layer = network.node(name)
    assert isinstance(layer, Convolving)
    if not _serves(network, layer, xs, moment) or xs.ndim != layer.weight.ndim + 1:
        return None
    shape = fitting(layer, xs)
    if shape is None:
        return None
    chain = trained_chain(network, name, shape.leaving, keep)
    if chain is None or not _alike(chain, xs):
        return None
    norm = chain.norm
    if norm is not None and norm.training:
        steps = len(xs) if span_of(norm) == SEQUENCE else 1
        if steps * xs.shape[1] * shape.outputs[1] * shape.outputs[2] < 2:
            return None
    weight, bias = layer.weight.detach(), layer._parameters["bias"]

    def sparse(z: Tensor) -> object:
        loop = ConvolutionLoop(shape, Behind(), z.shape[1], z)
        return loop.gathered(z, placed(weight, bias), None, ())

    def dense(z: Tensor) -> object:
        return convolve(layer, z)

    if layer.groups > 1:
        choice = Choice("dense", None, None, "channels in groups")
    else:
        words = f"gathered convolution {shape}, its sums"
        sample = (2, MAPS, *shape.entering)
        limit = None
        if not network.events:
            limit = crossing(words, sample, xs.dtype, dense, sparse)
        choice = chosen(xs, network.events, limit)
    module = network.neuron(chain.names[-1] if chain.pool is None else chain.names[-2])
    return TrainedBlock(chain, layer, module, shape, choice, network.events)


def _alike(chain: Chain, xs: Tensor) -> bool:
    """Whether what a norm holds has the dtype, and the place, of its input."""
    own: list[Any] = (
        [] if chain.norm is None else [*chain.norm.parameters(), chain.norm.running_var]
    )
    return all(p.dtype == xs.dtype and p.device == xs.device for p in own)


def _serves(network: Network, layer: Convolving, xs: Tensor, moment: Moment) -> bool:
    """Whether training a convolution is worked here."""
    return (
        type(layer) in (nn.Conv1d, nn.Conv2d)
        and layer.padding_mode == "zeros"
        and not (layer.padding == "same" and any(k % 2 == 0 for k in layer.kernel_size))
        and not network.reproducible
        and network.events is not False
        and is_plain(layer)
        and learns(xs, moment)
        and obstacle_to_events(layer.weight, xs, network.kernels) is None
    )


def trained_inside(network: Network, like: Tensor, moment: Moment) -> set[str]:
    """The nodes whose values need not exist if what is trained is worked in blocks."""
    inside: set[str] = set()
    for name in network.plan.order:
        layer, shape = network.node(name), network.shapes[name]
        if not isinstance(layer, Convolving) or shape is None:
            continue
        if not _serves(network, layer, like, moment):
            continue
        chain = trained_chain(network, name, shape, network.plan.outputs)
        if chain is not None:
            inside.update(chain.names[:-1])
    return inside
