"""Totals over nodes, for reports that count the same of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .report import Report


class Counted(Protocol):
    """What is counted of one node; a nested graph counts with all that it holds."""

    @property
    def parameters(self) -> int:
        """Numbers in its arrays."""

    @property
    def bytes(self) -> int:
        """Bytes of these."""

    @property
    def state(self) -> int:
        """Numbers carried from step to step for each sample."""


class Totals(Report):
    """Base of reports on the nodes of a network: what they come to together.

    Derive a frozen dataclass with a field ``nodes``.
    """

    nodes: Sequence[Counted]

    @property
    def parameters(self) -> int:
        """Numbers in all arrays."""
        return sum(node.parameters for node in self.nodes)

    @property
    def bytes(self) -> int:
        """Bytes of all arrays, uncompressed."""
        return sum(node.bytes for node in self.nodes)

    @property
    def state(self) -> int:
        """Numbers carried from step to step for each sample."""
        return sum(node.state for node in self.nodes)
