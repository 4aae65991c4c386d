"""What a repair is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..raw import NirGraph

Remarks = list[str]
Mend = Callable[[NirGraph], tuple[NirGraph, Remarks]]


@dataclass(frozen=True)
class Repair:
    """One slip that NIR files are known for, and how it is mended.

    Attributes:
        name: what it is asked for by.
        slip: what is wrong in such a file, in a few words.
        mend: gives the mended graph, and one remark for each change; none where it finds nothing
            to mend. It leaves the graph that it is given as it is, and raises a GraphError where
            it finds the slip, but more than one way to mend it.
        quiet: a file with this slip may open all the same, as a network that nobody meant; any
            other repair is refused where it was not what kept the file from opening.
    """

    name: str
    slip: str
    mend: Mend
    quiet: bool = False
