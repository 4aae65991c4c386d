"""Few neurons that have every pair of options between them: random networks are made of them.

Of each combination of a neuron's options a loop is compiled, which takes up to a second, forwards
and back, for each dtype. What a network does around a neuron depends on few of its options at once,
so any two of them meet in some row. All combinations are in ``test_neuron_catalogue``, each once.
"""

import functools
import itertools
from typing import Any

from hypothesis import strategies as st

Row = dict[str, Any]

OPTIONS: dict[str, tuple[Any, ...]] = {
    "kind": ("LIF", "IF", "CubaLIF"),
    "reset": ("zero", "value", "subtract", "lower", "none", "hold", "carry"),
    "form": ("single", "laid", "mixed"),
    "reset_delay": (False, True),
    "fires_at": ("ge", "gt"),
    "spikes": ("binary", "multiple"),
    "bounded": (False, True),
}
"""What a loop is compiled for. ``form``: parameters are one number each, or lie over the neurons,
or the threshold alone does."""


def valid(row: Row) -> bool:
    """Whether a neuron has these options at once; they may be a part of all."""
    reset, late = row.get("reset"), row.get("reset_delay")
    if row.get("fires_at") == "gt" and row.get("spikes") == "multiple":
        return False  # a membrane that meets a threshold holds it
    return not ((reset == "hold" and late is False) or (reset == "carry" and late is True))


def pairs(row: Row) -> set[tuple[tuple[str, Any], tuple[str, Any]]]:
    """The options of a row, two by two."""
    return set(itertools.combinations(row.items(), 2))


@functools.cache
def every_row() -> tuple[Row, ...]:
    """All neurons that there are."""
    rows = (
        dict(zip(OPTIONS, chosen, strict=True)) for chosen in itertools.product(*OPTIONS.values())
    )
    return tuple(row for row in rows if valid(row))


@functools.cache
def catalogue() -> tuple[Row, ...]:
    """So few of them that all pairs occur: again and again the one with most that are missing."""
    missing = set().union(*map(pairs, every_row()))
    chosen: list[Row] = []
    while missing:
        chosen.append(max(every_row(), key=lambda row: len(pairs(row) & missing)))
        missing -= pairs(chosen[-1])
    return tuple(chosen)


def rows(kind: str | None = None, resets: tuple[str, ...] = OPTIONS["reset"]) -> Any:
    """A row of the catalogue: of one kind of neuron, with one of some resets."""
    chosen = [r for r in catalogue() if kind in (None, r["kind"]) and r["reset"] in resets]
    return st.sampled_from(chosen)


def over(form: str, field: str) -> bool:
    """Whether a parameter lies over the neurons, rather than being one number."""
    return form == "laid" or (form == "mixed" and field == "v_threshold")


def options_of(draw: Any, row: Row) -> Row:
    """The options as fields of a node, without those that are numbers.

    A reset to zero is sometimes not said.
    """
    given = {name: row[name] for name in ("reset", "reset_delay", "fires_at", "spikes")}
    if row["reset"] == "zero" and draw(st.booleans()):
        given["reset"] = None
    return given
