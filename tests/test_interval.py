"""What an interval says, beside all the numbers that it stands for, and told by hand."""

import itertools
import math

import numpy as np
import pytest

from t1c.ir import Interval
from t1c.ir.interval import (
    COARSEST,
    EMPTY,
    FINEST,
    MOST_BITS,
    SPIKES,
    UNKNOWN,
    ZERO,
    grid_of,
    weighted_sums,
)

PAIRS = {
    "add": (lambda a, b: a + b, lambda x, y: x + y),
    "subtract": (lambda a, b: a - b, lambda x, y: x - y),
    "multiply": (lambda a, b: a * b, lambda x, y: x * y),
    "minimum": (Interval.minimum, min),
    "maximum": (Interval.maximum, max),
}
ALONE = {
    "negative": (Interval.__neg__, lambda x: -x),
    "absolute": (Interval.absolute, abs),
    "floor": (lambda a: a.rounded(math.floor), math.floor),
    "round": (lambda a: a.rounded(np.rint), round),
    "settled": (Interval.settled, lambda x: x),
    "real": (Interval.real, lambda x: x),
}
ENDS = [-3.0, -0.5, 0.0, 0.25, 2.0]


def every(low, high, unit):
    """All multiples of the unit from low to high."""
    return [n * unit for n in range(math.ceil(low / unit), math.floor(high / unit) + 1)]


def intervals(unit):
    ends = [end for end in ENDS if end % unit == 0]
    return [Interval(a, b, unit) for a, b in itertools.product(ends, ends) if a <= b]


def told(interval):
    return interval.low, interval.high, interval.unit, interval.span


@pytest.mark.parametrize("name", PAIRS)
def test_of_two_all_numbers_lie_within_and_the_ends_are_reached(name):
    ours, number = PAIRS[name]
    seen = 0
    for a, b in itertools.product(intervals(0.25), intervals(0.5)):
        found = ours(a, b)
        values = [
            number(x, y)
            for x, y in itertools.product(every(a.low, a.high, 0.25), every(b.low, b.high, 0.5))
        ]
        seen += len(values)
        assert (found.low, found.high) == (min(values), max(values))
        assert all(v / found.unit == round(v / found.unit) for v in values)
        assert max(abs(v) for v in values) <= found.span * found.unit
        assert found.span >= max(a.span, b.span)
    assert seen > 4_000


@pytest.mark.parametrize("name", ALONE)
def test_of_one_all_numbers_lie_within_and_the_ends_are_reached(name):
    ours, number = ALONE[name]
    for a in intervals(0.25):
        found, values = ours(a), [number(x) for x in every(a.low, a.high, 0.25)]
        assert (found.low, found.high) == (min(values), max(values))
        if name != "real":
            assert all(v / found.unit == round(v / found.unit) for v in values)
    assert Interval(-math.inf, 2.5).rounded(math.floor).low == -math.inf


def test_results_are_told_by_unit_and_span():
    a, b = Interval(-1.0, 2.0, 0.5), Interval(0.0, 3.0, 0.25)
    assert told(a) == (-1.0, 2.0, 0.5, 4.0)
    assert told(a + b) == (-1.0, 5.0, 0.25, 20.0)
    assert told(a - b) == (-4.0, 2.0, 0.25, 16.0)
    assert told(a * b) == (-3.0, 6.0, 0.125, 48.0)
    assert told(-a) == (-2.0, 1.0, 0.5, 4.0)
    assert told(a.minimum(b)) == (-1.0, 2.0, 0.25, 12.0)
    assert told(a.maximum(b)) == (0.0, 3.0, 0.25, 12.0)
    assert told(a.union(b)) == (-1.0, 3.0, 0.25, 12.0)
    assert told(a.absolute()) == (0.0, 2.0, 0.5, 4.0)
    assert told(Interval(-3.0, -1.0, 1.0).absolute()) == (1.0, 3.0, 1.0, 3.0)
    assert told(a.rounded(math.floor)) == (-1.0, 2.0, 1.0, 4.0)
    assert told(Interval(0.5, 1.5).rounded(math.floor)) == (0.0, 1.0, 1.0, 1.0)
    assert told(Interval(2.0, 6.0, 2.0).rounded(math.floor))[2] == 2.0
    assert told(a.real()) == (-1.0, 2.0, 0.0, math.inf)
    assert told(a.summed(3)) == (-3.0, 6.0, 0.5, 12.0)
    assert told(Interval(1.0, 2.0, 1.0).summed(0.5)) == (0.0, 2.0, 1.0, 2.0)


def test_a_span_remembers_what_numbers_were_made_from_until_settled():
    small = Interval(0.0, 16.0, 1.0).minimum(Interval(1.0, 1.0, 1.0))
    assert told(small) == (0.0, 1.0, 1.0, 16.0)
    assert told(small.settled()) == (0.0, 1.0, 1.0, 1.0)
    assert (-small).span == small.absolute().span == small.rounded(math.floor).span == 16.0


def test_bounds_are_known_empty_whole_and_within():
    assert (ZERO.unit, ZERO.span) == (COARSEST, 0.0)
    assert EMPTY.is_empty
    assert not ZERO.is_empty
    assert EMPTY.span == 0.0
    assert [i.whole for i in (SPIKES, Interval(0, 1, 0.5), Interval(0, 4, 2.0), UNKNOWN)] == [
        *(True, False, True, False)
    ]
    assert [i.bounded for i in (SPIKES, UNKNOWN, Interval(0, math.inf))] == [True, False, False]
    assert Interval(0, 1, FINEST / 2).unit == 0.0
    assert Interval(0, 1, FINEST).unit == FINEST
    assert Interval(0, 1).span == math.inf
    wide = Interval(-1.0, 1.0, 0.5)
    assert EMPTY.within(wide)
    assert wide.within(wide)
    assert SPIKES.within(wide)
    assert not wide.within(SPIKES)
    assert not Interval(-2.0, 1.0, 0.5).within(wide)
    assert not Interval(-1.0, 1.5, 0.5).within(wide)
    assert not Interval(0.0, 1.0, 0.25).within(wide)
    assert told(EMPTY.union(wide)) == told(wide.union(EMPTY)) == told(wide)


def test_products_with_zero_and_without_bounds():
    assert told(ZERO * UNKNOWN)[:2] == (0.0, 0.0)
    assert told(UNKNOWN * ZERO)[:2] == (0.0, 0.0)
    assert told(UNKNOWN * SPIKES)[:2] == (-math.inf, math.inf)
    assert (Interval(1, 2, 2.0**60) * Interval(1, 2, 2.0**60)).unit == COARSEST


def test_arrays_tell_their_ends_and_their_grid():
    assert told(Interval.of(np.array([0.75, -2.0]))) == (-2.0, 0.75, 0.25, 8.0)
    assert told(Interval.of(3.0)) == (3.0, 3.0, 1.0, 3.0)
    assert Interval.of(np.array([1.0, np.nan])) == Interval.of(np.inf) == UNKNOWN
    assert grid_of(np.array([12.0, 0.5])) == 0.5
    assert grid_of(np.array([-12, 8])) == 4.0
    assert grid_of(np.array([0.1])) == 0.0
    assert grid_of(np.zeros(3)) == grid_of(np.array([])) == COARSEST
    assert grid_of(np.array([2.0**MOST_BITS - 1])) == 1.0
    assert grid_of(np.array([2.0 ** (MOST_BITS + 1) - 1])) == 0.0
    assert grid_of(np.array([FINEST])) == FINEST
    assert grid_of(np.array([FINEST / 2])) == 0.0


def test_sums_of_weights_are_as_large_as_their_worst_inputs_and_pass_no_further_on_the_way():
    x, rows, first = Interval(-1.0, 2.0, 0.5), np.array([[2.0, -1.0], [0.5, 0.0]]), None
    # By hand: 2*-1 - 2 and 2*2 + 1; on the way 0..; halves times halves.
    assert told(weighted_sums(x, rows, first)) == (-4.0, 5.0, 0.25, 20.0)
    bias = np.array([8.0, -8.0])
    assert told(weighted_sums(x, rows, bias)) == (-8.5, 13.0, 0.25, 52.0)
    ones = np.ones((1, 3))
    assert told(weighted_sums(SPIKES, ones, None)) == (0.0, 3.0, 1.0, 3.0)
    # A window over the border: between none of the terms and all of them.
    above = Interval(1.0, 2.0, 1.0)
    assert told(weighted_sums(above, ones, None)) == (3.0, 6.0, 1.0, 6.0)
    assert told(weighted_sums(above, ones, None, partly=True)) == (0.0, 6.0, 1.0, 6.0)
    below = np.array([-3.0])
    assert told(weighted_sums(above, ones, below)) == (0.0, 3.0, 1.0, 6.0)
    # Zero weights take no part, whatever comes.
    assert told(weighted_sums(UNKNOWN, np.zeros((1, 2)), below))[:2] == (-3.0, -3.0)
    assert weighted_sums(SPIKES, np.array([[np.nan]]), None) == UNKNOWN
    assert weighted_sums(SPIKES, ones, np.array([np.inf])) == UNKNOWN


def test_every_sum_of_weights_lies_within():
    rng = np.random.default_rng(0)
    for _ in range(40):
        rows, first = rng.integers(-8, 9, (2, 3)) / 4, rng.integers(-8, 9, 2) / 2
        low, high = sorted(rng.integers(-4, 5, 2) / 2)
        found = weighted_sums(Interval(low, high, 0.5), rows, first)
        choices = np.array(list(itertools.product(every(low, high, 0.5), repeat=3)))
        sums = choices @ rows.T + first
        assert (found.low, found.high) == (sums.min(), sums.max())
        on_the_way = np.cumsum(
            np.concatenate([np.broadcast_to(first[:, None], (2, 1)), rows * high], 1), 1
        )
        assert np.abs(on_the_way).max() <= found.span * found.unit
        assert (sums / found.unit == np.rint(sums / found.unit)).all()
