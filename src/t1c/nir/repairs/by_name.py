"""Repairs by their names: those that were asked for, and those that would serve."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Iterable, Sequence

from t1c.ir.errors import GraphError, InputError, Problem, T1CError
from t1c.ir.fields import show

from ..raw import NirGraph
from .batch_axis import BATCH_AXIS
from .flatten_batch import FLATTEN_BATCH
from .flattened_names import FLATTENED_NAMES
from .inner_names import INNER_NAMES
from .repair import Remarks, Repair

REPAIRS: dict[str, Repair] = {
    repair.name: repair for repair in (INNER_NAMES, FLATTENED_NAMES, BATCH_AXIS, FLATTEN_BATCH)
}
"""All repairs by name, in the order in which they are made: edges first, which shapes follow."""

Opens = Callable[[NirGraph], bool]
"""Whether a graph can be imported."""


def checked(names: Iterable[str]) -> tuple[str, ...]:
    """The names, in the order in which the repairs are made.

    Raises:
        InputError: a name is unknown.
    """
    asked = [names] if isinstance(names, str) else list(names)
    for name in asked:
        if name not in REPAIRS:
            near = difflib.get_close_matches(str(name), REPAIRS, n=1)
            raise InputError(
                Problem(
                    show(name),
                    f"one of {', '.join(map(repr, REPAIRS))}",
                    f"Did you mean {near[0]!r}?" if near else "",
                    field="repair",
                )
            )
    return tuple(name for name in REPAIRS if name in asked)


def repaired(raw: NirGraph, names: Iterable[str], opens: Opens) -> tuple[NirGraph, Remarks]:
    """The graph with the repairs that were asked for, each of which it must need.

    Args:
        raw: the graph of a file.
        names: of the repairs.
        opens: says of a graph whether it can be imported.

    Returns:
        The mended graph, and a remark for every change.

    Raises:
        InputError: a name is unknown, a repair finds nothing to mend, or one that is not quiet is
            not needed for the graph to be imported.
        GraphError: a repair finds more than one way.
    """
    asked = checked(names)
    mended, remarks = _made(raw, asked)
    for name in [name for name in asked if not REPAIRS[name].quiet]:
        try:
            without = _made(raw, [other for other in asked if other != name])[0]
        except T1CError:  # another finds its slip only where this one was made
            continue
        if opens(without):
            others = "" if len(asked) == 1 else " with the others"
            raise InputError(
                Problem(
                    f"repair {name!r}, and the graph can be imported without it{others}",
                    f"a graph that needs it: {REPAIRS[name].slip}",
                    "Drop it.",
                    field="repair",
                )
            )
    return mended, remarks


def serving(raw: NirGraph, opens: Opens) -> tuple[str, ...]:
    """The fewest repairs with which the graph can be imported; () if there are none."""
    able = []
    for name in REPAIRS:
        try:
            able += [name] if REPAIRS[name].mend(raw)[1] else []
        except T1CError:
            continue
    for count in range(1, len(able) + 1):
        for names in itertools.combinations(able, count):
            try:
                mended = _made(raw, names)[0]
            except T1CError:
                continue
            if opens(mended):
                return names
    return ()


def _made(raw: NirGraph, names: Sequence[str]) -> tuple[NirGraph, Remarks]:
    remarks: Remarks = []
    for name in names:
        try:
            raw, found = REPAIRS[name].mend(raw)
        except GraphError as error:
            problems = [p.at(f"repair {name!r}") for p in error.problems]
            raise GraphError(problems) from None
        if not found:
            raise InputError(
                Problem(
                    f"repair {name!r} finds nothing to mend",
                    f"a graph that needs it: {REPAIRS[name].slip}",
                    "Drop it.",
                    field="repair",
                )
            )
        remarks += found
    return raw, remarks
