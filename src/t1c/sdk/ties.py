"""Notes that parameters of two nodes are one; docs/file-format.md says what they mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from t1c import ir


@dataclass(frozen=True)
class Tie:
    """What a note says of one field.

    Attributes:
        node, field: whose parameter is another's.
        owner: the node that it is said to be; None if there is no such node.
        own: the field of the owner.
    """

    node: str
    field: str
    owner: str | None
    own: str


def stated_ties(nodes: Mapping[str, ir.Node]) -> Iterator[Tie]:
    """What the notes of nodes say, whether or not it fits.

    Args:
        nodes: as in ``flat()``; a name in a note is that of a node beside, or else a flat one.
    """
    for name, node in nodes.items():

        def resolved(other: str, name: str = name) -> str | None:
            beside = name[: name.rfind("/") + 1] + other
            full = beside if beside in nodes else other
            return full if full in nodes and full != name else None

        original, tied = node.metadata.get("copy_of"), node.metadata.get("tied")
        if isinstance(original, str):
            for field in node.parameters():
                yield Tie(name, field, resolved(original), field)
        if isinstance(tied, Mapping):
            for field, place in tied.items():
                owner, _, own = str(place).rpartition(".")
                yield Tie(name, field, resolved(owner), own)
