"""Whether a file's neurons may reset in another way than they are read to.

NIR has one reset: to v_reset. Neurons that subtract are written like all others, and only the name
of a file, or the traces of who wrote it, tell of them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import PurePath

from t1c.ir.hdf5_guard import StrPath
from t1c.ir.hdf5_layout import numbers

from .conventions import ConventionError, Conventions, ResetWarning
from .dialects import DIALECTS
from .raw import NirGraph
from .recognise import recognise
from .settle import STAMP

FIRING = ("IF", "LIF", "CubaLIF")
NAMES = {
    "subtract": re.compile(r"(?i)(?<![a-z])(subtract(ion|ive|ed|s)?|soft[-_ ]?reset)(?![a-z])"),
    "zero": re.compile(r"(?i)(?<![a-z])(zero|hard[-_ ]?reset)(?![a-z])"),
}
"""Reset -> how names of files and nodes say it."""


def warn_of_reset(
    raw: NirGraph, c: Conventions, path: StrPath | None, *, told: str | None, asked: str | None
) -> None:
    """Warn, once for a file, where something suggests another reset than the one in use.

    Args:
        raw: the graph.
        c: the conventions that it is read by.
        path: of its file, if it has one.
        told: the reset that the caller named; nothing is then in doubt.
        asked: the dialect that the caller named; who wrote the file is then not in doubt.
    """
    firing = [node for _, node in raw.walk() if node.type in FIRING]
    stamp = raw.metadata.get(STAMP)
    if told is not None or not firing or isinstance(stamp, Mapping):
        return
    used = "subtract" if c.reset == "subtract" else "zero"
    reasons = [f"{what} says {word!r}" for what, word in _named(raw, path, other_than=used)]
    producer = ""
    if asked is None:
        producer, why = _producer(raw, used)
        reasons += [why] if why else []
    if not reasons:
        return
    file = f"{str(path)!r}: its" if path is not None else "The graph's"
    how, keep, other = {
        "zero": ("jump to v_reset (0 where there is none)", "value", "subtract"),
        "subtract": ("subtract", "subtract", "zero"),
    }[used]
    habit = f", dialect={producer!r} to read all of it as {producer} means it" if producer else ""
    warnings.warn(
        f"{file} neurons are taken to {how} when they fire, but {'; '.join(reasons)}. Pass "
        f"reset={other!r} for that{habit}, or reset={keep!r} if it is right as it is.",
        ResetWarning,
        stacklevel=4,
    )


def _named(raw: NirGraph, path: StrPath | None, other_than: str) -> list[tuple[str, str]]:
    """What has a name that says another reset, and what it says."""
    names = [] if path is None else [("the name of the file", PurePath(path).stem)]
    names += [
        (f"the name of node {name!r}", name) for name, node in raw.walk() if node.type in FIRING
    ]
    for what, name in names:
        said = {reset: m[0] for reset, found in NAMES.items() if (m := found.search(name))}
        if len(said) == 1 and other_than not in said:
            return [(what, next(iter(said.values())))]
    return []


def _producer(raw: NirGraph, used: str) -> tuple[str, str]:
    """Who wrote the graph, if its neurons reset otherwise, and how that is known."""
    if used == "zero" and reset_by_subtraction(raw):
        return "", f"it is of NIR {raw.version or '0.1'}, whose neurons subtract"
    try:
        name, why = recognise(raw)
    except ConventionError:
        return "", ""
    habit = DIALECTS[name].reset
    if habit != "subtract" or used == "subtract":
        return "", ""
    return name, f"{why}, as {name} writes, whose neurons subtract"


def reset_by_subtraction(raw: NirGraph) -> bool:
    """Whether NIR meant so when the graph was written: it had no v_reset before 1.0.6."""
    try:
        old = numbers(raw.version) < (1, 0, 6)
    except ValueError:
        return False
    firing = [n for _, n in raw.walk() if n.type in FIRING]
    return old and any("v_reset" not in node.fields for node in firing)
