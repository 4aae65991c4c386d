"""What `make test` keeps of a grid shows every value, or every pair of values."""

from collections import Counter
from itertools import combinations, product
from types import SimpleNamespace

import pytest

from .grids import beyond

AXES = {"reset": ["zero", "value", "none"], "batch": [1, 2, 3, 4], "dtype": [float, complex]}


class Cell:
    """A test as pytest collects it, of a function that is marked ``grid(strength)``."""

    def __init__(self, function, strength, axes, chosen):
        self.nodeid, self.chosen = f"tests/test_a.py::{function}[{chosen}]", chosen
        self.marks = [pytest.mark.parametrize(names, values).mark for names, values in axes.items()]
        self.marks.append(pytest.mark.grid(strength).mark)
        params = {}
        for names, value in zip(axes, chosen, strict=True):
            together = names.split(", ")
            values = value if len(together) > 1 else (value,)
            params.update(zip(together, values, strict=True))
        self.callspec = SimpleNamespace(params=params)

    def iter_markers(self, name):
        return (mark for mark in self.marks if mark.name == name)

    def get_closest_marker(self, name):
        return next(self.iter_markers(name), None)


def cells(strength, axes=AXES, function="test_b"):
    return [Cell(function, strength, axes, chosen) for chosen in product(*axes.values())]


def kept(items):
    left_out = beyond(items)
    return [item.chosen for item in items if item not in left_out]


def test_each_value_is_kept_and_all_as_often():
    found = kept(cells(1))
    assert len(found) == 4
    counts = Counter(value for cell in found for value in cell)
    assert set(counts) == {value for values in AXES.values() for value in values}
    assert counts[float] == counts[complex] == 2


def test_each_pair_of_values_is_kept():
    found = kept(cells(2))
    pairs = [
        {p for cell in some for p in combinations(cell, 2)}
        for some in (found, product(*AXES.values()))
    ]
    assert pairs[0] == pairs[1]
    assert 12 <= len(found) < 20


def test_what_is_chosen_together_is_one_value():
    rows = [("a", 1), ("a", 2), ("b", 1)]
    found = kept(cells(1, {"kind, size": rows, "batch": [1, 2]}))
    assert sorted(row for row, _ in found) == rows


def test_functions_are_told_apart():
    assert len(kept(cells(1) + cells(1, function="test_c"))) == 8
