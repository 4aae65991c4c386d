"""The turns of a loop over one value that is held still: ``for step in range(25): v = f(v, x)``.

Nothing is taken out of a sequence there, and neurons written by hand count no steps. What tells is
that the same code, again and again, works on what it made the last time and on the input too, and
that something in it fires.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from .names import plain_name
from .record import Call, Record, Value

FIRING = frozenset(["gt", "ge", "lt", "le", "heaviside", "sign", "floor"])


def turns(record: Record, whole: Callable[[Value], bool]) -> dict[Call, int]:
    """Call -> the turn of the loop that it belongs to; empty where there is no such loop.

    Args:
        record: one call of a model.
        whole: whether a value holds all steps.
    """
    behind: dict[Call, int] = {}
    groups: dict[Any, list[Call]] = defaultdict(list)
    for call in record.calls:
        before = 1 << call.index
        for value in call.inputs:
            if value.call is not None:
                before |= behind[value.call]
        behind[call] = before
        kind = plain_name(call.name) if call.module is None else call.name
        groups[call.site, kind, id(call.module), call.scope].append(call)
    chains = [
        calls
        for calls in groups.values()
        if len(calls) > 1
        and not any(whole(v) for c in calls for v in c.outputs)
        and all(behind[b] >> a.index & 1 for a, b in itertools.pairwise(calls))
    ]
    fired = [len(calls) for calls in chains if plain_name(calls[0].name) in FIRING]
    if not fired:
        return {}
    count = max(fired)
    found = {
        call: turn + count - len(calls)
        for calls in chains
        if len(calls) <= count
        for turn, call in enumerate(calls)
    }
    last = [calls[-1] for calls in chains]
    fed = any(
        not value.constant and (value.call is None or not _chained(value.call, found, behind))
        for call in last
        for value in call.inputs
    )
    return found if fed else {}


def _chained(call: Call, found: dict[Call, int], behind: dict[Call, int]) -> bool:
    """Whether a call belongs to the loop, or comes behind something that does."""
    return call in found or any(behind[call] >> other.index & 1 for other in found)
