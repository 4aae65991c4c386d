"""Which cells of a test's grid are enough for every day: all combinations are for a whole run.

What two options do to each other shows in a cell that has both: a few cells have each pair of
values. A grid is marked ``pytest.mark.grid(2)`` where `make test` keeps to such cells, and
``pytest.mark.grid(1)`` where each value once will do, as where names are crossed with ways of
calling that other tests cross too.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import combinations

import pytest

Value = tuple[tuple[str, ...], tuple[int, ...]]
"""Names of arguments that are chosen together, and which objects they are given."""


def beyond(items: Iterable[pytest.Function]) -> list[pytest.Function]:
    """Of tests with the mark ``grid``, those that `make test` leaves out.

    Of each grid as many stay as it takes for each combination of so many values to occur, chosen
    greedily: the cell that shows most of what has not been seen, of values that were seen least.
    """
    grids: defaultdict[tuple[str, int], list[pytest.Function]] = defaultdict(list)
    for item in items:
        mark = item.get_closest_marker("grid")
        if mark is not None:
            grids[item.nodeid.partition("[")[0], mark.args[0]].append(item)
    left_out: list[pytest.Function] = []
    for (_, strength), cells in grids.items():
        shown: Counter[Value] = Counter()
        values = {cell: _values(cell) for cell in cells}
        missing = {c for cell in cells for c in combinations(values[cell], strength)}
        while missing:
            best = max(values, key=lambda cell: _gain(values[cell], missing, shown, strength))
            missing.difference_update(combinations(values[best], strength))
            shown.update(values.pop(best))
        left_out += values
    return left_out


def _values(item: pytest.Function) -> list[Value]:
    """What was chosen from each list of parameters, of which a choice may be of several at once."""
    given, values = dict(item.callspec.params), []
    for mark in item.iter_markers("parametrize"):
        names = mark.args[0]
        names = names.replace(",", " ").split() if isinstance(names, str) else names
        values.append((tuple(names), tuple(id(given.pop(name)) for name in names)))
    return values + [((name,), (id(value),)) for name, value in given.items()]


def _gain(
    values: list[Value], missing: set[tuple[Value, ...]], shown: Counter[Value], strength: int
) -> tuple[int, int]:
    """How many combinations a cell shows that are missing, and how seldom others had its values."""
    return sum(c in missing for c in combinations(values, strength)), -sum(shown[v] for v in values)
