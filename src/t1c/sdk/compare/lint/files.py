"""Rules about what a file says, and who can read it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from t1c.ir.hdf5_layout import BASE_VERSION, needed_version
from t1c.ir.table import printable
from t1c.ir.values import same_value

from ...ties import stated_ties
from ..stamp import KEY, verify_fingerprint
from .subject import Hit, Subject, some

PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\- ]*")
"""Names that every reader takes."""


def later_format(subject: Subject) -> Iterator[Hit]:
    """The first implementations of the format refuse these nodes."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, node in subject.graph.nodes.items():
        found[needed_version(node, nested=True)].append(f"{name} ({node.primitive})")
    for version, names in found.items():
        if version != BASE_VERSION:
            yield Hit(
                "",
                f"readers before format {version} cannot open it, because of {some(names)}",
                "Leave it, unless t1c-ir or talon-ir 0.0.2 has to read the file.",
            )


def clashing_names(subject: Subject) -> Iterator[Hit]:
    """Readers that make modules of nodes turn a dot into '_': two names become one there."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in subject.graph.nodes:
        found[re.sub(r"\W", "_", name)].append(name)
    for names in found.values():
        if len(names) > 1:
            yield Hit(
                names[1], f"{some(names)} are one name to some readers", "Rename one of them."
            )


def odd_names(subject: Subject) -> Iterator[Hit]:
    """Tools, shells and other readers stumble over them."""
    for name in subject.flat.nodes:
        last = name.rpartition("/")[2]
        if not PLAIN.fullmatch(last) or last != last.strip():
            yield Hit(
                name,
                f"the name {printable(name)!r} is not made of letters, digits, '_', '.' and '-'",
                "Rename it if other tools have to read the file.",
            )


def idle_notes(subject: Subject) -> Iterator[Hit]:
    """A note that parameters are one has no effect unless they fit."""
    idle: dict[str, list[str]] = defaultdict(list)
    nodes = subject.flat.nodes
    for tie in stated_ties(nodes):
        mine = nodes[tie.node].parameters().get(tie.field)
        theirs = None if tie.owner is None else nodes[tie.owner].parameters().get(tie.own)
        if mine is None or theirs is None or not same_value(mine, theirs):
            idle[tie.node].append(tie.field)
    for name, fields in idle.items():
        yield Hit(
            name,
            f"what its notes say of {some(fields)} has no effect: there is no such node or field, "
            "or its numbers are others",
            "Mend the note, or drop it.",
        )


def stale_stamp(subject: Subject) -> Iterator[Hit]:
    """The graph was changed after it was stamped."""
    if KEY in subject.graph.metadata:
        check = verify_fingerprint(subject.graph)
        if not check:
            yield Hit(
                "",
                f"its stamp does not fit: {check.verdict}",
                "Find out what changed (t1c diff, sdk.compare_graphs), then stamp it again.",
            )
