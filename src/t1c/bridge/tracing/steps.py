"""At which time step each value of a record belongs, and where its numbers at a step come from.

A value with a time axis holds all steps; one without has the step at which it is there: that of the
input or of the neuron that it depends on, and no earlier than its first use. What a reduction over
time gives is there at the last step, from which it is the answer so far.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from t1c.ir.errors import Problem, UnsupportedError

from . import axes
from .axes import BATCH, TIME, AxisError, Dims, leaves
from .effects.cutting import cut_apart, index_parts
from .effects.rules import argument
from .labels import Labels
from .ledger import describe
from .names import plain_name
from .record import Call, Record, Value, values_in
from .turns import turns

Key = tuple[Any, ...]
Row = tuple[Value, int]
"""A single step: a value, and at which of its steps, where it has several."""
TAKING_ONE = frozenset(["__getitem__", "select"])
"""What takes one step out of a sequence, by its number; others take all of them."""


@dataclass(frozen=True)
class At:
    """A value at a step; ``time`` is None for what is the same at every step."""

    value: Value
    time: int | None


def spot_of(call: Call) -> Key:
    """The line of code that a call is, on which module: the same at every step.

    The steps of a neuron are those that go on from each other, wherever they were called.
    """
    if call.chain is not None:
        return "neuron", id(call.module), call.chain
    kind = plain_name(call.name) if call.module is None else call.name
    return call.site, kind, id(call.module), call.scope


class UnequalSequencesError(UnsupportedError):
    """A model works on sequences of several lengths."""


class Steps(Labels):
    """The times of a record, and its axes.

    Args:
        record: what a model did.
        lead: input number -> its axes, where they are known; others are told from what happens.
        single: the model takes single steps: the first axis of every input is the batch.

    Attributes:
        count: the number of steps; 1 where there is no time.
        finals: the calls that reduce time.
        early: (line of code, turns before the first step) -> what it gave then: a constant.
    """

    def __init__(self, record: Record, lead: Mapping[int, Dims], single: bool) -> None:
        super().__init__(record, lead, single)
        self.finals: set[Call] = set()
        self.early: dict[tuple[Key, int], Call] = {}
        self._times: dict[Value, int | None] = {}
        self._rows: dict[Value, tuple[int, list[Row]]] = {}
        self.count = self._count()
        self._set_times()

    def _count(self) -> int:
        if self.single:
            return len(self.record.results)
        sizes: dict[int, Value] = {}
        for value, dims in self._dims.items():
            for leaf in (leaf for dim in dims for leaf in leaves(dim)):
                if leaf.role == TIME:
                    sizes.setdefault(leaf.size, value)
        if len(sizes) > 1:
            found = [f"{describe(value)} has {size}" for size, value in sizes.items()]
            calls = [value.call for value in sizes.values() if value.call is not None]
            raise UnequalSequencesError(
                Problem(
                    f"sequences of {' and '.join(map(str, sizes))} steps in one model: "
                    f"{' and '.join(found)}",
                    "one number of steps",
                    "A graph takes every sequence step by step: cut, pad and pool time outside of "
                    "the model.",
                    where=calls[-1].place if calls else "",
                )
            )
        return next(iter(sizes), 0)

    # Times ---------------------------------------------------------------------------------

    def time(self, value: Value) -> int | None:
        """The step of a value without a time axis; None for what is the same at every step."""
        return self._times.get(value)

    def set_time(self, call: Call, time: int | None) -> None:
        """Move a call, with all that it returns, to a step."""
        self._times.update(dict.fromkeys((*call.outputs, *call.states), time))

    def _set_times(self) -> None:
        chain: dict[Call, int] = {}
        turned = self._turned()
        for values in self.record.inputs.values():
            for value in values:
                self._times[value] = value.turn
        for call in self.record.calls:
            if self.single:
                self.set_time(call, call.turn)
                continue
            self._join_steps(call)
            k = self.taken_at(call)
            if k is not None:
                for port, out in enumerate(call.outputs):
                    self._times[out] = port if call.name not in TAKING_ONE else k
                continue
            time = max((t for v in call.inputs if (t := self.time(v)) is not None), default=None)
            if call.neuron and not call.whole:
                before = -1 if call.previous is None else chain.get(call.previous, -1)
                time = chain[call] = max(before + 1, -1 if time is None else time)
            if call in turned:
                time = max(turned[call], -1 if time is None else time)
            reduces = any(self.whole(v) for v in call.inputs) and not any(
                self.whole(v) for v in call.outputs
            )
            if reduces and call.outputs:
                self.finals.add(call)
                time = self.count - 1
            self.set_time(call, time)
        if not self.single:
            lasts = [*chain.values(), *turned.values()]
            self.count = max(self.count, 1 + max(lasts, default=-1), 1)
            self._move_to_use()

    def _turned(self) -> dict[Call, int]:
        """The turns of a loop over an input that is held still, where all inputs are."""
        entering = [value for values in self.record.inputs.values() for value in values]
        if self.single or any(self.whole(value) for value in entering):
            return {}
        found = turns(self.record, self.whole)
        count = 1 + max(found.values(), default=-1)
        return found if self.count in (0, count) else {}

    def taken_at(self, call: Call) -> int | None:
        """The step that a call takes out of a sequence, if it does; 0 for all of them."""
        if call.name == "unbind" and call.inputs:
            given = self.dims(call.inputs[0])
            dim = argument(call, 1, "dim", 0) % len(given)
            return 0 if TIME in axes.roles(given[dim]) else None
        if call.inputs and cut_apart(call, self.dims(call.inputs[0])):
            dims = self.dims(call.inputs[0])
            outer = leaves(dims[argument(call, 2, "dim", 0) % len(dims)])[0]
            return 0 if outer.role == TIME else None
        picked = self.picked(call) if call.name != "__setitem__" else None
        if picked is None or TIME not in axes.roles(self.dims(call.inputs[0])[picked[0]]):
            return None
        return picked[1]

    def joins_steps(self, call: Call) -> bool:
        """Whether a call makes a sequence of single steps, or of parts of others."""
        out = call.outputs[0]
        found = self._rows.get(out)
        return found is not None and TIME in axes.roles(self.dims(out)[found[0]])

    def _join_steps(self, call: Call) -> None:
        """Note of which steps a value is made, and that an axis is time because of it."""
        found = None if call in self.problems or not call.inputs else self._rows_made_by(call)
        if found is None:
            return
        dim, rows = found
        out = call.outputs[0]
        self._rows[out] = dim, rows
        lead, *inner = leaves(self.dims(out)[dim])
        fits = lead.size == len(rows) and all(leaf.role == BATCH for leaf in inner)
        if fits and lead.role is None and self._in_step(rows):
            lead.become(TIME)
            self.count = self.count or lead.size

    def _rows_made_by(self, call: Call) -> tuple[int, list[Row]] | None:
        """The axis along which a call joins, cuts or writes steps, and what these are then."""
        base, name = call.inputs[0], plain_name(call.name)
        if name == "stack":
            if any(self.whole(v) for v in call.inputs):
                return None
            return argument(call, 1, "dim", 0) % (len(base.shape) + 1), [
                (v, 0) for v in call.inputs
            ]
        if name == "cat":
            dim = argument(call, 1, "dim", 0) % len(base.shape)
            found = leaves(self.dims(call.outputs[0])[dim])
            if len(found) > 1 and found[0].size == len(call.inputs):
                return dim, [(v, 0) for v in call.inputs]
            parts = [self._rows_along(v, dim) for v in call.inputs]
            return None if None in parts else (dim, [row for rows in parts for row in rows or ()])
        if call.name == "__setitem__" and isinstance(call.args[2], Value):
            return self._rows_written_by(call, call.args[2])
        if call.name == "__getitem__" and not base.constant:
            return self._rows_cut_by(call)
        return None

    def _rows_written_by(self, call: Call, value: Value) -> tuple[int, list[Row]] | None:
        """The steps of a sequence, of which one is written, or a slice of them."""
        base, picked = call.inputs[0], self.picked(call)
        if picked is not None:
            dim, k = picked
            # A part of a step is no step.
            if math.prod(value.shape) * base.shape[dim] != math.prod(base.shape):
                return None
            rows = self._rows_along(base, dim, kept=len(value.shape) == len(base.shape))
            return None if rows is None else (dim, [*rows[:k], (value, 0), *rows[k + 1 :]])
        cut = self._cut_along(call)
        if cut is None or len(value.shape) != len(base.shape):
            return None
        before, new = self._rows_along(base, cut[0]), self._rows_along(value, cut[0])
        if before is None or new is None or len(new) != len(cut[1]):
            return None
        written = dict(zip(cut[1], new, strict=True))
        return cut[0], [written.get(k, row) for k, row in enumerate(before)]

    def _rows_cut_by(self, call: Call) -> tuple[int, list[Row]] | None:
        """The steps that a slice along one axis leaves."""
        cut = self._cut_along(call)
        rows = None if cut is None else self._rows_along(call.inputs[0], cut[0])
        return None if cut is None or rows is None else (cut[0], [rows[k] for k in cut[1]])

    @staticmethod
    def _cut_along(call: Call) -> tuple[int, range] | None:
        """The one axis that an index takes a slice of, and which of its steps."""
        base = call.inputs[0]
        try:
            parts = index_parts(call.args[1], len(base.shape))
        except AxisError:
            return None
        if not all(isinstance(part, slice) for part in parts):
            return None
        ranges = [range(*p.indices(n)) for p, n in zip(parts, base.shape, strict=True)]
        cut = [i for i, (r, n) in enumerate(zip(ranges, base.shape, strict=True)) if r != range(n)]
        return (cut[0], ranges[cut[0]]) if len(cut) == 1 else None

    def _rows_along(self, value: Value, dim: int, kept: bool = True) -> list[Row] | None:
        """A value as single steps along an axis, which those of a constant lose if it is not kept.

        Returns:
            for each index, a value and the step of it that is meant, where it has several.
        """
        known = self._rows.get(value)
        if known is not None and known[0] == dim:
            return known[1]
        if value.constant:
            x, cuts = value.tensor, range(value.shape[dim])
            parts = (x.narrow(dim, k, 1) if kept else x.select(dim, k) for k in cuts)
            return [(Value(part, trains=value.trains), 0) for part in parts]
        if self.whole(value):
            timed = axes.roles(self.dims(value)[dim]) == {TIME}
            return [(value, k) for k in range(value.shape[dim])] if timed else None
        return [(value, 0)] if kept and value.shape[dim] == 1 else None

    def _in_step(self, rows: Sequence[Row]) -> bool:
        """Whether there is one value for each step, present or past, in their order.

        Parts of sequences may come in any: what looks ahead is refused where it is used.
        """
        if self.count and len(rows) != self.count:
            return False
        times = [k if self.whole(v) else self.time(v) for v, k in rows]
        known = [t for t in times if t is not None]
        late = len(times) - len(known)
        if any(not v.constant for v, _ in rows[:late]) or None in times[late:]:
            return False
        if any(self.whole(v) for v, _ in rows):
            return bool(self.count)
        if not late:
            return known == list(range(len(known))) and (len(known) > 1 or self.count == 1)
        return bool(known) and known == list(range(len(known)))

    def _move_to_use(self) -> None:
        """Have what a loop prepares for its next step belong to that step.

        A recurrent current, made at the end of a step from what a neuron sent, is worked in the
        next one, from the memory of the last. All calls of a line of code move alike, and only
        where the memory does not grow by it: where one value in time reaches them. What stands
        behind a loop moves whatever reaches it: it never ran on what the loop gives before its
        input arrives, so that nobody knows what a delay behind it would begin with.
        """
        groups: dict[Key, list[Call]] = defaultdict(list)
        for call in self.record.calls:
            fixed = call.neuron or call in self.finals or self.taken_at(call) is not None
            outs = [*call.outputs, *call.states]
            if outs and not fixed and not any(self.whole(o) for o in outs):
                groups[spot_of(call)].append(call)
        behind = self._behind([calls[0] for calls in groups.values() if len(calls) == 1])
        for _ in range(len(groups) + 1):
            uses = self._uses()
            if not any(self._move(calls, uses, behind) for calls in groups.values()):
                break

    def _behind(self, single: Sequence[Call]) -> set[Call]:
        """Those of the calls of lines that ran once which lead to results through no others."""
        takers: dict[Value, list[Call]] = defaultdict(list)
        for call in self.record.calls:
            for value in call.inputs:
                takers[value].append(call)
        once, behind = set(single), set[Call]()
        for call in reversed(self.record.calls):
            if call in once and not call.states:
                led = [taker for out in call.outputs for taker in takers[out]]
                if all(taker in behind for taker in led):
                    behind.add(call)
        return behind

    def _move(
        self, calls: Sequence[Call], uses: Mapping[Value, list[int]], behind: set[Call]
    ) -> bool:
        """Move the calls of one line of code to the step of their use, if that is another."""

        def used(call: Call) -> int | None:
            return min((t for o in call.outputs for t in uses.get(o, ())), default=None)

        regular = [c for c in calls if self.time(c.outputs[0]) is not None and not c.constant]
        waits = {
            use - now
            for c in regular
            if (use := used(c)) is not None and (now := self.time(c.outputs[0])) is not None
        }
        wait = min(waits, default=0)
        reached = max(
            (sum(self.time(v) is not None and not v.constant for v in c.inputs) for c in regular),
            default=0,
        )
        # What happens once before a loop prepares nothing in every turn.
        fits = (len(regular) > 1 and reached == 1) or calls[0] in behind
        moved = fits and waits == {wait} and wait > 0
        times = {
            place: now + (wait if moved else 0)
            for place, call in enumerate(calls)
            if not call.constant and (now := self.time(call.outputs[0])) is not None
        }
        # What a loop gives while its memory is still a constant came so many turns earlier.
        offsets = {time - place for place, time in times.items()}
        changed = False
        for place, call in enumerate(calls):
            now = self.time(call.outputs[0])
            time = times.get(place, now)
            if call.constant and len(offsets) == 1:
                time = place + next(iter(offsets))
            elif call.constant:
                time = used(call)
            if call.constant and time is not None and time < 0:
                self.early[spot_of(call), -time] = call
                time = None
            if time != now:
                self.set_time(call, time)
                changed = True
        return changed

    def _uses(self) -> dict[Value, list[int]]:
        """Value -> the steps at which something takes it."""
        uses: dict[Value, list[int]] = defaultdict(list)
        for result in self.record.results:
            listed = isinstance(result, list | tuple) and len(result) == self.count
            for place, value in enumerate(values_in(result)):
                if not self.whole(value):
                    uses[value].append(place if listed else self.count - 1)
        for call in self.record.calls:
            outs = [*call.outputs, *call.states]
            now = next((self.time(o) for o in outs), None)
            for place, value in enumerate(call.inputs):
                if not self.whole(value):
                    at = self._use(call, place, now)
                    if at is not None:
                        uses[value].append(at)
        return uses

    def _use(self, call: Call, place: int, now: int | None) -> int | None:
        if self.joins_steps(call):
            if call.name == "stack":
                return place
            _, rows = self._rows[call.outputs[0]]
            return next((k for k, (v, _) in enumerate(rows) if v is call.inputs[place]), None)
        return now

    def partial(self, value: Value) -> bool:
        """Whether a value holds some of the steps of a sequence only, or more than these."""
        parts = (leaf.part_of for dim in self.dims(value) for leaf in leaves(dim))
        return any(whole is not None and whole.role == TIME for whole in parts)

    # Where numbers come from ---------------------------------------------------------------

    def at(self, value: Value, time: int) -> At:
        """What a value is at a step, behind all that only takes steps apart or joins them."""
        while True:
            whole, call = self.whole(value), value.call
            if call is None or value.is_state:
                break
            if value.constant and not (whole and self.joins_steps(call)):
                break
            if not whole:
                k = self.taken_at(call)
                if k is None:
                    break
                value, time = call.inputs[0], (value.port if call.name not in TAKING_ONE else k)
            elif self.joins_steps(call):
                value, time = self._rows[value][1][time]
            else:
                break
        if value.constant:
            return At(value, time if self.whole(value) else None)
        return At(value, time if self.whole(value) else self.time(value))


def numbers_at(steps: Steps, at: At, time: int) -> Tensor:
    """The numbers of a value at a step, without a time axis of its own."""
    value = at.value.tensor
    for axis, dim in enumerate(steps.dims(at.value)):
        if axes.roles(dim) == {TIME}:
            return value.select(axis, time)
    return value
