"""Stamps: the fingerprint of a graph in its own metadata, so that a change shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from t1c import ir
from t1c.ir.fingerprint import SCHEME
from t1c.nir import GraphSource, read_graph

from ..report import Facts, Part, Report
from .fingerprint import fingerprint_graph

KEY = "fingerprint"
"""Where a stamp lies in a graph's metadata."""


@dataclasses.dataclass(frozen=True, repr=False)
class Stamp(Report):
    """What a graph was when it was stamped.

    Attributes:
        full: the fingerprint with weights.
        structure: that without.
        scheme: the canonical form that they were taken of.
    """

    full: str
    structure: str
    scheme: str

    def parts(self) -> Sequence[Part]:
        """The two fingerprints."""
        return [Facts((("full", self.full), ("structure", self.structure)))]


@dataclasses.dataclass(frozen=True, repr=False)
class FingerprintCheck(Report):
    """Whether a graph is what its stamp says; true if it is.

    Attributes:
        stamp: what the metadata says; None if the graph was never stamped, or if its stamp is of
            another scheme or broken.
        found: the stamp that the graph would have today.
    """

    stamp: Stamp | None
    found: Stamp

    @property
    def verdict(self) -> str:
        """'unchanged', 'weights changed', 'structure changed' or 'no stamp'."""
        if self.stamp is None:
            return "no stamp"
        if self.stamp.structure != self.found.structure:
            return "structure changed"
        return "unchanged" if self.stamp == self.found else "weights changed"

    def __bool__(self) -> bool:
        return self.verdict == "unchanged"

    def to_dict(self) -> dict[str, Any]:
        """The attributes, and the verdict."""
        return {**super().to_dict(), "verdict": self.verdict}

    def parts(self) -> Sequence[Part]:
        """The verdict, and both fingerprints where they differ."""
        pairs = [("verdict", self.verdict), ("fingerprint", self.found.full)]
        if self.stamp is not None and not self:
            pairs.append(("stamp", self.stamp.full))
        return [Facts(tuple(pairs))]


def stamp_graph(source: GraphSource, *, dt: float | None = None) -> ir.Graph:
    """The graph with its fingerprint in ``metadata['fingerprint']``, in the place of an older one.

    The stamp is no proof against intent: who changes a graph can stamp it again. Other functions
    that change graphs leave it as it is, so that it tells of their change.

    Args:
        source: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        dt: seconds in one step, for a ``.nir`` file that does not say it.

    Example:
        >>> from t1c import ir
        >>> graph = ir.Graph(
        ...     {"input": ir.Input(shape=(2,)), "output": ir.Output(shape=(2,))},
        ...     [("input", "output")],
        ... )
        >>> verify_fingerprint(stamp_graph(graph)).verdict
        'unchanged'
    """
    graph = read_graph(source, dt)
    stamped: ir.Graph = graph.replace(
        metadata={**graph.metadata, KEY: dataclasses.asdict(_stamp_of(graph))}
    )
    return stamped


def get_stamp(source: GraphSource, *, dt: float | None = None) -> Stamp | None:
    """The stamp that a graph carries, or None.

    Args:
        source: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        dt: seconds in one step, for a ``.nir`` file that does not say it.
    """
    entry = read_graph(source, dt).metadata.get(KEY)
    names = [field.name for field in dataclasses.fields(Stamp)]
    if not isinstance(entry, Mapping) or not all(isinstance(entry.get(n), str) for n in names):
        return None
    stamp = Stamp(**{name: entry[name] for name in names})
    return stamp if stamp.scheme == SCHEME else None


def verify_fingerprint(source: GraphSource, *, dt: float | None = None) -> FingerprintCheck:
    """Whether a graph is still what it was when it was stamped.

    Args:
        source: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        dt: seconds in one step, for a ``.nir`` file that does not say it.

    Returns:
        The check; it is true if the graph is unchanged.
    """
    graph = read_graph(source, dt)
    return FingerprintCheck(get_stamp(graph), _stamp_of(graph))


def _stamp_of(graph: ir.Graph) -> Stamp:
    return Stamp(fingerprint_graph(graph), fingerprint_graph(graph, weights=False), SCHEME)
