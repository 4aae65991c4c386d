"""A layer, its neuron and the pooling behind a map, worked as one where that is faster."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .choices import Choice, fits, measured, obstacle_to_events, sample_of_affine
from .kernels.events import Convolution, Pool, affine_block, convolution_block
from .kernels.rule import Rule
from .kernels.scan import Coefficients, State, scan
from .network import Network
from .scanned import ScannedModule, is_scanned
from .work import is_plain

Neuron = tuple[State, Coefficients, Rule]


@dataclass(frozen=True)
class Block:
    """Nodes that are worked as one.

    Attributes:
        names: of the nodes, in order; the last one's value comes out.
        layer: the convolution.
        shape: the maps that it is between.
        neuron: the name of the neuron, if there is one.
        pool: the windows, if there are any.
        choice: whether and why it is worked by events.
    """

    names: tuple[str, ...]
    layer: nn.Conv2d
    shape: Convolution
    neuron: str | None
    pool: Pool | None
    choice: Choice

    @property
    def features(self) -> tuple[int, int, int]:
        """The shape of what the neuron is given."""
        return self.shape.outputs

    def run(self, xs: Tensor, neuron: Neuron | None) -> tuple[Tensor, State]:
        """Work ``xs`` (T, B, C, H, W); the output and the neuron's state, () without one."""
        weight, bias = self.layer.weight, self.layer.bias
        return convolution_block(xs, weight, bias, self.shape, neuron, self.pool)


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
    def features(self) -> tuple[int]:
        """The shape of what the neuron is given."""
        return (self.layer.out_features,)

    def run(self, xs: Tensor, neuron: Neuron | None) -> tuple[Tensor, State]:
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
    behind = _neuron_behind(network, name, keep)
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

    words, shape = sample_of_affine(layer, xs)
    choice = measured(xs, network.events, f"{words}, neuron", shape, dense, sparse)
    return AffineBlock((name, following), layer, following, choice)


def inner_nodes(network: Network, like: Tensor) -> set[str]:
    """The nodes whose values need not exist if every block is worked as one.

    Told from the graph alone, so that chunks, and with them roundings, do not depend on densities.
    """
    inner: set[str] = set()
    for name in network.plan.order:
        layer = network.node(name)
        if type(layer) is not nn.Conv2d or not _serves(network, layer, like):
            continue
        behind = _neuron_behind(network, name, network.plan.outputs)
        if behind is None:
            continue
        following, _ = behind
        inner.add(name)
        after = _only_target(network, following, network.plan.outputs)
        if after is not None and isinstance(network.node(after), nn.MaxPool2d | nn.AvgPool2d):
            inner.add(following)
    return inner


def _serves(network: Network, layer: nn.Conv2d, xs: Tensor) -> bool:
    """Whether the kernel serves a convolution, and nobody wants a gradient."""
    served = type(layer) is nn.Conv2d and layer.groups == 1 and layer.padding_mode == "zeros"
    return served and not _obstacle(network, layer, xs)


def _obstacle(network: Network, layer: nn.Conv2d | nn.Linear, xs: Tensor) -> bool:
    """Whether a gradient is wanted, or something but its parameters says what a layer does."""
    own = itertools.chain((xs,), network.parameters(), network.buffers())
    grad = torch.is_grad_enabled() and any(t.requires_grad for t in own)
    if grad or not is_plain(layer) or network.events is False:
        return True
    return obstacle_to_events(layer.weight, xs, network.kernels) is not None


def find_block(network: Network, name: str, xs: Tensor, keep: Collection[str]) -> Block | None:
    """The block that begins at the convolution ``name``, and how it is best worked.

    None if its kernel does not serve: a gradient is wanted, or the convolution has groups.

    Args:
        network: whose plan is followed.
        name: of a node that is a ``Conv2d``.
        xs: what reaches it.
        keep: nodes whose values are wanted, which a block may only end in.
    """
    layer = network.node(name)
    assert isinstance(layer, nn.Conv2d)
    if xs.ndim != 5 or not _serves(network, layer, xs) or not fits(layer, xs.shape[2]):
        return None
    if layer.weight.shape[0] != layer.out_channels or layer.weight.shape[2:] != layer.kernel_size:
        return None
    shape = _convolution(layer, tuple(xs.shape[2:]))
    if min(shape.outputs[1:]) < 1 or min(shape.padding) < 0:
        return None
    names, neuron, pool = [name], None, None
    behind = _neuron_behind(network, name, keep)
    if behind is not None and is_plain(behind[1]):
        following, module = behind
        names, neuron = [name, following], following
        after = _only_target(network, following, keep)
        if after is not None and module.reset_mode is not None:
            pool = _pool(network.node(after), shape.outputs)
            names += [after] * (pool is not None)
    choice = _choice_of_convolution(network, layer, xs, shape, neuron, pool)
    return Block(tuple(names), layer, shape, neuron, pool, choice)


def _neuron_behind(
    network: Network, name: str, keep: Collection[str]
) -> tuple[str, ScannedModule] | None:
    """The neuron that alone takes what ``name`` sends: its name and its module."""
    following = _only_target(network, name, keep)
    module = network.node(following) if following is not None else None
    if following is None or module is None or not is_scanned(module):
        return None
    return following, module


def _only_target(network: Network, name: str, keep: Collection[str]) -> str | None:
    """The node that alone takes what ``name`` sends, and nothing else, in the same step."""
    plan = network.plan
    targets = plan.targets[name]
    if len(targets) != 1 or name in keep or name in plan.remembered:
        return None
    alone = len(plan.sources[targets[0]]) == 1 and targets[0] not in plan.looping
    return targets[0] if alone else None


def _convolution(layer: nn.Conv2d, inputs: tuple[int, ...]) -> Convolution:
    def pair(values: tuple[int, ...]) -> tuple[int, int]:
        return values[0], values[1]

    kernel, stride, dilation = pair(layer.kernel_size), pair(layer.stride), pair(layer.dilation)
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if layer.padding == "same":
        total = reach
        padding = (reach[0] // 2, reach[1] // 2)
    elif layer.padding == "valid":
        total, padding = [0, 0], (0, 0)
    else:
        padding = pair(layer.padding)  # type: ignore[arg-type]
        total = [2 * p for p in padding]
    rows, columns = (
        (size + t - r - 1) // s + 1
        for size, t, r, s in zip(inputs[1:], total, reach, stride, strict=True)
    )
    return Convolution(
        (inputs[0], inputs[1], inputs[2]),
        (layer.out_channels, rows, columns),
        kernel,
        stride,
        padding,
        dilation,
    )


def _pool(module: nn.Module, inputs: tuple[int, int, int]) -> Pool | None:
    """The windows of a pool of spikes, if they neither overlap the border nor skip elements."""
    if type(module) not in (nn.MaxPool2d, nn.AvgPool2d) or not is_plain(module):
        return None
    assert isinstance(module, nn.MaxPool2d | nn.AvgPool2d)

    def pair(value: int | tuple[int, ...]) -> tuple[int, int]:
        return (value, value) if isinstance(value, int) else (value[0], value[1])

    odd = module.ceil_mode or pair(module.padding) != (0, 0)
    if isinstance(module, nn.MaxPool2d):
        odd = odd or pair(module.dilation) != (1, 1) or module.return_indices
    else:
        odd = odd or module.divisor_override is not None
    window, stride = pair(module.kernel_size), pair(module.stride)
    rows, columns = (
        (size - w) // s + 1 for size, w, s in zip(inputs[1:], window, stride, strict=True)
    )
    if odd or rows < 1 or columns < 1:
        return None
    kind = "max" if isinstance(module, nn.MaxPool2d) else "mean"
    return Pool(kind, window, stride, (inputs[0], rows, columns))


def _at_rest(module: ScannedModule, xs: Tensor, features: tuple[int, ...]) -> Neuron:
    """What works a neuron that is given ``features`` for each sample of ``xs`` (T, B, ...)."""
    like = xs.new_empty(1).expand(xs.shape[1], *features)
    laid = module.laid(torch.Size(features), xs.dtype, xs.device)
    return module.initial_state(like), laid, module.rule


def _choice_of_convolution(
    network: Network,
    layer: nn.Conv2d,
    xs: Tensor,
    shape: Convolution,
    neuron: str | None,
    pool: Pool | None,
) -> Choice:
    module = network.neuron(neuron) if neuron is not None else None

    def own(z: Tensor) -> Neuron | None:
        return _at_rest(module, z, shape.outputs) if module is not None else None

    def sparse(z: Tensor) -> object:
        return convolution_block(z, layer.weight, layer.bias, shape, own(z), pool)

    def dense(z: Tensor) -> object:
        y = nn.functional.conv2d(
            z.flatten(0, 1), layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation
        )
        mine = own(z)
        if mine is not None:
            y = scan(y.unflatten(0, z.shape[:2]), *mine)[0].flatten(0, 1)
        if pool is not None:
            pooling = nn.functional.max_pool2d if pool.kind == "max" else nn.functional.avg_pool2d
            y = pooling(y, pool.window, pool.stride)
        return y

    words = f"convolution {shape}, {'no neuron' if neuron is None else 'neuron'}, {pool}"
    return measured(xs, network.events, words, (2, 8, *shape.inputs), dense, sparse)
