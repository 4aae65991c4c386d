"""The numbers in the arrays of a graph, in a few numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from t1c import ir
from t1c.ir.fields import Array
from t1c.ir.shapes import Shape
from t1c.nir import GraphSource, read_graph

from ..report import Part, Report, Table
from .named import find_node


@dataclasses.dataclass(frozen=True)
class ArrayStatistics:
    """One array of one node.

    Attributes:
        node: its name; a node ``n`` of a nested graph ``g`` is ``g/n``.
        field: the name of the array.
        shape, dtype: as stored.
        size: how many numbers.
        minimum, maximum: of those that are finite; nan where none is.
        mean, std: of those that are finite, in float64; the deviation of all, not of a sample.
        zeros: the share of zeros.
        nonfinite: how many are NaN or infinite.
    """

    node: str
    field: str
    shape: Shape
    dtype: str
    size: int
    minimum: float
    maximum: float
    mean: float
    std: float
    zeros: float
    nonfinite: int


@dataclasses.dataclass(frozen=True, repr=False)
class Statistics(Report):
    """The arrays of a graph, or of one node, in order."""

    arrays: tuple[ArrayStatistics, ...]

    def parts(self) -> Sequence[Part]:
        """A row for each array."""
        if not self.arrays:
            return ["no arrays"]
        columns = ("node", "field", "shape", "dtype", "min", "max", "mean", "std", "zeros")
        bad = any(array.nonfinite for array in self.arrays)
        rows = tuple(
            (
                a.node,
                a.field,
                str(a.shape),
                a.dtype,
                *(f"{number:.4g}" for number in (a.minimum, a.maximum, a.mean, a.std)),
                f"{a.zeros:.1%}",
                *([str(a.nonfinite)] if bad else []),
            )
            for a in self.arrays
        )
        right = columns[4:] + (("not finite",) if bad else ())
        return [Table((*columns, *right[5:]), rows, right=right)]


def get_node_statistics(
    source: GraphSource, name: str | None = None, *, dt: float | None = None
) -> Statistics:
    """Minimum, maximum, mean, deviation and share of zeros of every array.

    Args:
        source: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        name: of one node, ``g/n`` in a nested graph; None: of all, those of nested graphs included.
        dt: seconds in one step, for a ``.nir`` file that does not say it.

    Raises:
        InputError: there is no such node.

    Example:
        >>> import numpy as np
        >>> from t1c import ir
        >>> graph = ir.Graph(
        ...     {"in": ir.Input((2,)), "s": ir.Scale(np.array([0.0, 3.0])), "out": ir.Output((2,))},
        ...     [("in", "s"), ("s", "out")],
        ... )
        >>> found = get_node_statistics(graph, "s").arrays[0]
        >>> found.maximum, found.mean, found.std, found.zeros
        (3.0, 1.5, 1.5, 0.5)
    """
    graph = read_graph(source, dt)
    nodes = _all(graph) if name is None else iter([(name, find_node(graph, name))])
    if name is not None and isinstance(inner := find_node(graph, name), ir.Graph):
        nodes = _all(inner, f"{name}/")
    return Statistics(
        tuple(
            array_statistics(node, field, value)
            for node, owner in nodes
            for field, value in owner.parameters().items()
        )
    )


def array_statistics(node: str, field: str, value: Array) -> ArrayStatistics:
    """The statistics of one array, under these names."""
    numbers = value.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    if not finite.size:
        finite = np.array([np.nan])
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = float(finite.mean()), float(finite.std())
    return ArrayStatistics(
        node=node,
        field=field,
        shape=value.shape,
        dtype=str(value.dtype),
        size=value.size,
        minimum=float(finite.min()),
        maximum=float(finite.max()),
        mean=mean,
        std=std,
        zeros=float((numbers == 0).mean()),
        nonfinite=int((~np.isfinite(numbers)).sum()),
    )


def _all(graph: ir.Graph, path: str = "") -> Iterator[tuple[str, ir.Node]]:
    for name, node in graph.nodes.items():
        if isinstance(node, ir.Graph):
            yield from _all(node, f"{path}{name}/")
        else:
            yield f"{path}{name}", node
