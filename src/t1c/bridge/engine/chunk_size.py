"""How many steps of a sequence are worked at once, so that what is between fits the caches."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .blocks import inner_nodes
from .folding import DENSE_BYTES
from .input_checks import Inputs
from .looked import Moment
from .network import Network
from .spans import gathering
from .stateful import StatefulModule
from .trained_blocks import trained_inside

CHUNK_BYTES, TRAINING_BYTES = 20 * 2**20, 5 * 2**20
"""What the largest value of a chunk may take: less in training, where what a chunk leaves behind
counts and not its own size. Less still, ``DENSE_BYTES``, where a convolution is worked densely,
whose maps should stay in the cache, and in training without convolutions, where as much more comes
and goes."""
PLACES = 4
"""Of how many inputs the places take what one value takes."""
LONGER = 1.5
"""By what chunks that are worked anew are longer than the square root of all steps."""
LITTLE = 4 * 2**20
"""Bytes that a chunk which is worked anew may keep, however few steps there are: to cut it further
would cost time, and spare little."""
STEPS = 4096
"""The most steps of a chunk, however small the network is: more would gain nothing."""


class Fitting:
    """How many steps of such inputs are worked at once.

    Args:
        network: what is worked.
        twice: chunks are worked anew on the way back. What is kept at their borders and what one of
            them takes are least together if there are about as many chunks as steps in each; some
            more steps cost little memory, and fewer chunks less time.

    Attributes:
        moment: what the network was when that was asked for last.
    """

    def __init__(self, network: Network, twice: bool) -> None:
        self._network, self._twice = network, twice
        self.moment: Moment | None = None

    def __call__(self, inputs: Inputs) -> int:
        """At least 1, and at most ``STEPS``; all steps where statistics are taken of all."""
        like = next(iter(inputs.values()))
        moment = self.moment = self._network.look(like)
        sizes = tuple(x.shape[1:] for x in inputs.values())
        key = "chunk", sizes, torch.is_grad_enabled() and moment.learns
        size = moment.once(key, lambda: chunk_size(self._network, inputs, moment))
        if size and self._twice:
            least = math.ceil(LONGER * math.sqrt(len(like)))
            size = min(size, max(least, LITTLE // _kept(self._network, like)))
        if size and len(like) > size and torch.is_grad_enabled() and moment.learns:
            # Chunks of one length leave less behind than a short one behind long ones.
            size = math.ceil(len(like) / math.ceil(len(like) / size))
        return size or max(1, len(like))


def chunk_size(network: Network, inputs: Inputs, moment: Moment) -> int:
    """How many steps of such inputs, by what takes most: a value that a node sends, or the inputs.

    0 means all of them: statistics are taken of all, which exist only together.
    """
    like = next(iter(inputs.values()))
    if gathering(network.nodes()):
        return 0
    trained = trained_inside(network, like, moment)
    inner = inner_nodes(network, like, moment) | trained | {*network.plan.inputs}
    names = [name for name in network.plan.order if name not in inner]
    shapes = [shape for name in names if (shape := network.shapes[name]) is not None]
    entering = sum(math.prod(x.shape[2:]) for x in inputs.values())
    training = torch.is_grad_enabled() and any(p.requires_grad for p in network.parameters())
    if training:
        # Of what enters, which is there anyway, a chunk takes no more than where it is active.
        entering //= PLACES
    largest = max([entering, *(math.prod(shape) for shape in shapes)])
    dense = any(isinstance(m, nn.Conv2d) and n not in inner for n, m in network.nodes())
    small = dense or (training and not trained)
    room = DENSE_BYTES if small else TRAINING_BYTES if training else CHUNK_BYTES
    fitting = room // max(1, largest * like.shape[1] * like.element_size())
    return max(1, min(fitting, STEPS))


def _kept(network: Network, like: Tensor) -> int:
    """The bytes that a step of ``like`` (T, B, ...) keeps for the way back: neurons' membranes."""
    neurons = [name for name, module in network.nodes() if isinstance(module, StatefulModule)]
    shapes = [shape for name in neurons if (shape := network.shapes[name]) is not None]
    return max(1, sum(map(math.prod, shapes)) * like.shape[1] * like.element_size())
