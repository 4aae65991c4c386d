"""Synaptic operations as NeuroBench 2.3 defines them.

An operation is a product of a weight that is not zero and an input that is not zero. It is an
accumulate (AC) where all inputs of the layer in that step, over the samples of a batch, are 0, 1
or -1, and a multiply-accumulate (MAC) otherwise: the first layer counts MACs for graded inputs and
ACs for spikes, and a layer behind an average pool counts MACs. Biases do not count. Dense
operations are those with no weight and no input zero; what a convolution pads does not count,
unlike in ``Node.macs``.

NeuroBench counts Linear and convolutions (here Affine, SpikingAffine, Linear, Conv1d, Conv2d,
Conv3d and the two of SepConv2d); a layer in a loop counts what reaches it in each step, in the
first one zeros. What it has no word for (ConvTranspose, MatMul) is counted by the same rule, told
apart, and not part of its totals. A MatMul adds alone where either of its inputs is 0, 1 or -1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from t1c import ir
from t1c.ir.errors import Problem, UnsupportedError
from t1c.ir.shapes import as_shape

from .costs import flat_macs

if TYPE_CHECKING:
    import torch

COUNTED = (
    ir.Affine,
    ir.SpikingAffine,
    ir.Linear,
    ir.Conv1d,
    ir.Conv2d,
    ir.Conv3d,
    ir.SepConv2d,
)
"""What NeuroBench counts."""
ALIKE = (ir.ConvTranspose1d, ir.ConvTranspose2d)
"""What is counted by the same rule, besides MatMul."""


@dataclass(frozen=True)
class NodeOperations:
    """The synaptic operations of one node.

    Attributes:
        name: as in ``graph.flat()``.
        type: the primitive.
        dense: per sample, over all steps, with nothing zero.
        macs: effective multiply-accumulates per sample.
        acs: effective accumulates per sample.
        beyond: NeuroBench does not count such a node: it is not part of its totals.
    """

    name: str
    type: str
    dense: float
    macs: float
    acs: float
    beyond: bool


def connection_sparsity(graph: ir.Graph) -> float | None:
    """The share of weights that are zero, of the layers that NeuroBench counts; None without any.

    Biases are no connections. NeuroBench rounds it to four digits.

    Example:
        >>> weight = np.array([[0.0, 1.0], [2.0, 3.0]])
        >>> graph = ir.Graph(
        ...     {"in": ir.Input((2,)), "fc": ir.Linear(weight), "out": ir.Output((2,))},
        ...     [("in", "fc"), ("fc", "out")],
        ... )
        >>> connection_sparsity(graph)
        0.25
    """
    nodes = [node for node in graph.flat().nodes.values() if isinstance(node, COUNTED)]
    weights = [w for node in nodes for name, w in node.parameters().items() if _is_weight(name)]
    total = sum(w.size for w in weights)
    return sum(int((w == 0).sum()) for w in weights) / total if total else None


def _is_weight(name: str) -> bool:
    return name.endswith("weight")


class OperationsCounter:
    """Counts the synaptic operations of a graph, piece by piece.

    Args:
        graph: the graph.

    Attributes:
        uncounted: nodes that multiply and add up in a way that is not known here.

    Raises:
        UnsupportedError: a node bears the name under which another's input is recorded.
    """

    def __init__(self, graph: ir.Graph) -> None:
        flat = graph.flat()
        back, ports = set(flat.feedback_edges()), flat.ports()
        self._parts: dict[str, _Counter] = {}
        self._types: dict[str, ir.Node] = {}
        self.uncounted: list[str] = []
        self._samples = 0
        for name, macs in flat_macs(graph).items():
            node = flat.nodes[name]
            if isinstance(node, COUNTED + ALIKE):
                if f"{name}.input" in flat.nodes:
                    raise UnsupportedError(
                        Problem(
                            f"a node of the name {name + '.input'!r} beside {name!r}",
                            "another name, as that is what the input of the latter is called",
                            "Rename it.",
                            "graph",
                        )
                    )
                self._parts[name] = _Weighted(f"{name}.input", node)
            elif isinstance(node, ir.MatMul):
                edges = [edge for edge in flat.edges if edge[1] == name]
                sources = [_Operand(e[0], ports[e], e in back) for e in edges]
                self._parts[name] = _Product(sources)
            elif macs:
                self.uncounted.append(name)
            if name in self._parts:
                self._types[name] = node

    @property
    def names(self) -> list[str]:
        """What has to be recorded."""
        return [name for part in self._parts.values() for name in part.names]

    def begin(self, samples: int) -> None:
        """The next pieces are of so many other samples, from the first step on."""
        self._samples += samples
        for part in self._parts.values():
            part.begin()

    def take(self, recorded: Mapping[str, Any]) -> None:
        """What was recorded in the following steps, (T, B, ...)."""
        for part in self._parts.values():
            part.take(recorded)

    def totals(self) -> tuple[float, float, float]:
        """(dense, effective MACs, effective ACs) per sample of the nodes that NeuroBench counts."""
        parts = [part.total for name, part in self._parts.items() if self._counts(name)]
        sums = (
            sum(total.dense for total in parts),
            sum(total.macs for total in parts),
            sum(total.acs for total in parts),
        )
        dense, macs, acs = (count / self._samples for count in sums)
        return dense, macs, acs

    def _counts(self, name: str) -> bool:
        return isinstance(self._types[name], COUNTED)

    def result(self) -> tuple[NodeOperations, ...]:
        """One entry for each node, per sample."""
        return tuple(
            NodeOperations(
                name,
                self._types[name].primitive,
                part.total.dense / self._samples,
                part.total.macs / self._samples,
                part.total.acs / self._samples,
                not self._counts(name),
            )
            for name, part in self._parts.items()
        )


@dataclass
class _Total:
    """Operations so far."""

    dense: int = 0
    macs: int = 0
    acs: int = 0

    def add(self, effective: Sequence[int], adding: Sequence[bool], dense: int) -> None:
        """Those of some steps, of which some multiply and some add alone."""
        self.dense += dense
        for count, alone in zip(effective, adding, strict=True):
            if alone:
                self.acs += count
            else:
                self.macs += count


class _Counter(Protocol):
    names: list[str]
    total: _Total

    def begin(self) -> None:
        """Other samples follow."""

    def take(self, recorded: Mapping[str, Any]) -> None:
        """Count some steps."""


class _Weighted:
    """A layer with weights, or two behind one another.

    An input takes part in as many operations as weights that are not zero meet it, which is told
    once: it is the derivative of the sum of all outputs where these weights are 1 and others 0.
    """

    def __init__(self, name: str, node: ir.Node) -> None:
        self.names = [name]
        self.total = _Total()
        self._layers = _layers(node)
        shape = as_shape((node.input_type or {})["input"]) or ()
        self._met: list[tuple[torch.Tensor, int]] = []
        for layer in self._layers:
            weights = {n: w for n, w in layer.parameters().items() if _is_weight(n)}
            biases = {
                n: np.zeros_like(b) for n, b in layer.parameters().items() if n not in weights
            }
            real = layer.replace(
                **{n: (w != 0).astype(float) for n, w in weights.items()}, **biases
            )
            full = layer.replace(**{n: np.ones(w.shape) for n, w in weights.items()}, **biases)
            met, every = (_uses(twin, shape) for twin in (real, full))
            self._met.append((met, int(every.sum())))
            shape = layer.output_shape(shape)

    def begin(self) -> None:
        """Steps are counted each by itself."""

    def take(self, recorded: Mapping[str, Any]) -> None:
        x = recorded[self.names[0]]
        for place, (met, dense) in enumerate(self._met):
            if place:
                x = _through(self._layers[place - 1], x)
            active = (x != 0).sum(1).double()
            effective = active.flatten(1) @ met.flatten()
            self.total.add(
                [int(count) for count in effective], _adding(x), dense * x.shape[0] * x.shape[1]
            )


def _layers(node: ir.Node) -> list[ir.Node]:
    """The layers that a node consists of."""
    if not isinstance(node, ir.SepConv2d):
        return [node]
    depthwise, pointwise = node.depthwise_weight, node.pointwise_weight
    bias = np.zeros(len(depthwise)) if node.depthwise_bias is None else node.depthwise_bias
    first = ir.Conv2d(
        depthwise, bias, node.stride, node.padding, node.dilation, groups=len(depthwise)
    )
    return [first, ir.Conv2d(pointwise, np.zeros(len(pointwise)))]


def _uses(layer: ir.Node, shape: tuple[int, ...]) -> torch.Tensor:
    """In how many outputs each input of ``shape`` takes part, times its weights there."""
    import torch

    from t1c import bridge

    module = bridge.node_to_module(layer.replace(input_type=None, output_type=None))
    assert module is not None
    with torch.inference_mode(False), torch.enable_grad():
        x = torch.zeros(1, *shape, dtype=torch.float64, requires_grad=True)
        (uses,) = torch.autograd.grad(module.double()(x).sum(), x)
    return uses[0]


def _through(layer: ir.Node, xs: torch.Tensor) -> torch.Tensor:
    """What a layer makes of every step (T, B, ...)."""
    from t1c import bridge

    module = bridge.node_to_module(layer, dtype=xs.dtype)
    assert module is not None
    y: torch.Tensor = module(xs.flatten(0, 1))
    return y.reshape(*xs.shape[:2], *y.shape[1:])


def _adding(x: torch.Tensor) -> list[bool]:
    """Of each step, whether nothing needs to be multiplied: all values are 0, 1 or -1."""
    plain: list[bool] = ((x == 0) | (x.abs() == 1)).flatten(1).all(1).tolist()
    return plain


@dataclass(frozen=True)
class _Operand:
    """An input of a product: which output of which node, in this step or the one before."""

    name: str
    port: int
    back: bool


class _Product:
    """A product of two inputs, both of which change."""

    def __init__(self, sources: Sequence[_Operand]) -> None:
        self.names = [source.name for source in sources]
        self.total = _Total()
        self._sources = sources
        self._last: dict[_Operand, torch.Tensor] = {}

    def begin(self) -> None:
        """Nothing was sent before the first step."""
        self._last.clear()

    def take(self, recorded: Mapping[str, Any]) -> None:
        a, b = (self._sent(source, recorded) for source in self._sources)
        effective = ((a != 0).double() @ (b != 0).double()).flatten(1).sum(1)
        adding = [one or other for one, other in zip(_adding(a), _adding(b), strict=True)]
        dense = math.prod((a[:1, :1] @ b[:1, :1]).shape) * a.shape[-1] * a.shape[0] * a.shape[1]
        self.total.add([int(count) for count in effective], adding, dense)

    def _sent(self, source: _Operand, recorded: Mapping[str, Any]) -> torch.Tensor:
        import torch

        value = recorded[source.name]
        x: torch.Tensor = value[source.port] if isinstance(value, tuple) else value
        if not source.back:
            return x
        first = self._last.get(source, torch.zeros_like(x[0]))
        self._last[source] = x[-1]
        return torch.cat([first.unsqueeze(0), x[:-1]])
