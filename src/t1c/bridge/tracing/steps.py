"""At which time step each value of a record belongs, and where its numbers at a step come from.

A value with a time axis holds all steps; one without has the step at which it is there: that of the
input or of the neuron that it depends on, and no earlier than its first use. What a reduction over
time gives is there at the last step, from which it is the answer so far.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from t1c.ir.errors import Problem, UnsupportedError

from . import axes
from .axes import TIME, Dims, leaves
from .effects import argument
from .labels import Labels
from .names import plain_name
from .record import Call, Record, Value, values_in
from .turns import turns

Key = tuple[Any, ...]


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


class Steps(Labels):
    """The times of a record, and its axes.

    Args:
        record: what a model did.
        lead: input number -> its axes, where they are known; others are told from what happens.
        single: the model takes single steps: the first axis of every input is the batch.

    Attributes:
        count: the number of steps; 1 where there is no time.
        finals: the calls that reduce time.
    """

    def __init__(self, record: Record, lead: Mapping[int, Dims], single: bool) -> None:
        super().__init__(record, lead, single)
        self.finals: set[Call] = set()
        self._times: dict[Value, int | None] = {}
        self.count = self._count()
        self._set_times()

    def _count(self) -> int:
        if self.single:
            return len(self.record.results)
        sizes = {
            leaf.size
            for dims in self._dims.values()
            for dim in dims
            for leaf in leaves(dim)
            if leaf.role == TIME
        }
        if len(sizes) > 1:
            raise UnsupportedError(
                Problem(
                    f"sequences of {' and '.join(map(str, sorted(sizes)))} steps in one model",
                    "one number of steps",
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
        writes: dict[Value, dict[int, int | None]] = {}
        for values in self.record.inputs.values():
            for value in values:
                self._times[value] = value.turn
        for call in self.record.calls:
            if self.single:
                self.set_time(call, call.turn)
                continue
            self._join_steps(call, writes)
            k = self.taken_at(call)
            if k is not None:
                for port, out in enumerate(call.outputs):
                    self._times[out] = port if call.name == "unbind" else k
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
        picked = self.picked(call) if call.name != "__setitem__" else None
        if picked is None or TIME not in axes.roles(self.dims(call.inputs[0])[picked[0]]):
            return None
        return picked[1]

    def joins_steps(self, call: Call) -> bool:
        """Whether a call makes a sequence of single steps: a stack, a cat, a write of one."""
        if call.name == "stack":
            dims = self._dims.get(call.outputs[0])
            return dims is not None and axes.has(dims, TIME) and not self.whole(call.inputs[0])
        if call.name in ("cat", "concat", "concatenate"):
            dims = self._dims.get(call.outputs[0])
            return (
                dims is not None
                and axes.has(dims, TIME)
                and not any(self.whole(v) for v in call.inputs)
                and len(set(call.inputs)) > 1
            )
        if call.name == "__setitem__":
            picked = self.picked(call)
            return picked is not None and TIME in axes.roles(self.dims(call.outputs[0])[picked[0]])
        return False

    def _join_steps(self, call: Call, writes: dict[Value, dict[int, int | None]]) -> None:
        """Tell that an axis is time, because it was made of one value for each step."""
        if call in self.problems:
            return
        if call.name in ("stack", "cat", "concat", "concatenate"):
            if not self._in_step(call.inputs):
                return
            dims = self.dims(call.outputs[0])
            dim = argument(call, 1, "dim", 0) % len(dims)
            found = leaves(dims[dim])
            pieces_one = call.name == "stack" or all(v.shape[dim] == 1 for v in call.inputs)
            if pieces_one and len(found) == 1 and found[0].role is None:
                found[0].become(TIME)
                self.count = self.count or found[0].size
        elif call.name == "__setitem__":
            picked = self.picked(call)
            if picked is None:
                return
            dim, k = picked
            seen = writes.pop(call.inputs[0], {})
            value = call.args[2]
            seen = {**seen, k: self.time(value) if isinstance(value, Value) else None}
            writes[call.outputs[0]] = seen
            found = leaves(self.dims(call.outputs[0])[dim])
            steps = set(range(found[0].size)) if len(found) == 1 else set()
            full = bool(steps) and set(seen) == steps and all(k == t for k, t in seen.items())
            if full and found[0].role is None:
                found[0].become(TIME)

    def _in_step(self, pieces: Sequence[Value]) -> bool:
        """Whether there is one value for each step, present or past, in their order."""
        times = [self.time(v) for v in pieces]
        if self.count and len(times) != self.count:
            return False
        if times == list(range(len(times))):
            return len(times) > 1 or self.count == 1
        known = [t for t in times if t is not None]
        late = len(times) - len(known)
        constant = all(v.constant for v in pieces[:late])
        return bool(known) and constant and times[late:] == list(range(len(known)))

    def _move_to_use(self) -> None:
        """Have what a loop prepares for its next step belong to that step.

        A recurrent current, made at the end of a step from what a neuron sent, is worked in the
        next one, from the memory of the last. All calls of a line of code move alike, and only
        where the memory does not grow by it: where one value in time reaches them.
        """
        groups: dict[Key, list[Call]] = defaultdict(list)
        for call in self.record.calls:
            fixed = call.neuron or call in self.finals or self.taken_at(call) is not None
            outs = [*call.outputs, *call.states]
            if outs and not fixed and not any(self.whole(o) for o in outs):
                groups[spot_of(call)].append(call)
        for _ in range(len(groups) + 1):
            uses = self._uses()
            if not any(self._move(calls, uses) for calls in groups.values()):
                break

    def _move(self, calls: Sequence[Call], uses: Mapping[Value, list[int]]) -> bool:
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
        # What happens once stands before a loop or behind it, and prepares nothing in every turn.
        moved = len(regular) > 1 and waits == {wait} and wait > 0 and reached == 1
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
            if call.name != "__setitem__":
                return place
            picked = self.picked(call)
            return picked[1] if place and picked is not None else None
        return now

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
                value, time = call.inputs[0], (value.port if call.name == "unbind" else k)
            elif self.joins_steps(call):
                if call.name == "__setitem__":
                    picked = self.picked(call)
                    assert picked is not None
                    wrote = picked[1] == time
                    source = call.args[2] if wrote else call.inputs[0]
                    if not isinstance(source, Value):
                        break
                    value = source
                else:
                    value = call.inputs[time]
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
