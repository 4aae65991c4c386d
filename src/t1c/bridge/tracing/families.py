"""The one step that all steps of a record are.

What a model does at every step is a *family* of calls: the same code on the same module, once for
each step. Families are compared element by element: what reaches one at step t must be, at every t,
the same member of the same other family, as many steps ago. What was sent in an earlier step is
memory; what is there before the first step is what memory starts from.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from t1c.ir.errors import Problem, UnsupportedError

from ..engine.spans import LAST, ONCE, SEQUENCE, STEP
from .ledger import describe
from .names import plain_name
from .record import Call, Value, replaced
from .steps import At, Key, Steps, numbers_at, spot_of

COMMUTATIVE = frozenset(["add", "mul", "maximum", "minimum"])
"""Operations whose two operands may change places: no rounding depends on it."""


@dataclass(frozen=True)
class Ref:
    """What reaches a call: a member of a family, some steps ago; or a constant.

    Attributes:
        key: the family, ``("input", number)`` for an input; None for a constant.
        port: which of its values.
        lag: how many steps ago.
        at: the value as it was found.
    """

    key: Key | None
    port: int
    lag: int
    at: At

    def same(self, other: Ref) -> bool:
        """Whether both are the same member, as many steps ago."""
        return (self.key, self.port, self.lag) == (other.key, other.port, other.lag)


@dataclass(frozen=True)
class Slot:
    """A place that something reaches: input ``place`` of a family, or an output of the model."""

    key: Key
    place: int


class Families:
    """The families of a record that its results need.

    Args:
        steps: the axes and times of the record.
        results: what the model returns: a value that holds all steps or is there at the last, or a
            list of one value for each step.

    Attributes:
        last: the last step.
        members: family -> step -> call.
        needed: the families that the results need.
        reaches: what reaches each slot at the present step.
        initial: slot -> the constant that reaches it before there is anything to remember.
        first: (family, port) -> what takes its place at the first step, where that is another.
        first_memory: slot -> what reaches it at the first step in the place of memory.

    Raises:
        UnsupportedError: the results depend on something that no graph says, or steps differ.
    """

    def __init__(self, steps: Steps, results: Sequence[Value | list[Value]]) -> None:
        self.steps, self.last = steps, max(steps.count - 1, 0)
        self.results = results
        self.members: dict[Key, dict[int | None, Call]] = defaultdict(dict)
        self._key_of: dict[Call, Key] = {}
        self._canonical: dict[Any, Call] = {}
        self._first_alike: dict[Call, Call] = {}
        self._static: list[Call] = []
        self.needed: dict[Key, Call] = {}
        self.reaches: dict[Slot, Ref] = {}
        self.initial: dict[Slot, Value] = {}
        self.first: dict[tuple[Key, int], Ref] = {}
        self.first_memory: dict[Slot, Ref] = {}
        self._expected_first: dict[tuple[Key, int], bool] = {}
        self._file_calls()
        for number, result in enumerate(results):
            self._need(Slot(("output", number), 0), self._result_at(result, self.last), None)
        self._check(results)

    # Which family a call belongs to -----------------------------------------------------------

    def _file_calls(self) -> None:
        counted: dict[Any, int] = defaultdict(int)
        for call in self.steps.record.calls:
            outs = [*call.outputs, *call.states]
            if not outs:
                continue
            whole = any(self.steps.whole(v) for v in call.outputs)
            time = self.steps.time(outs[0])
            if whole or call in self.steps.finals:
                key: Key = ("whole", call.index)
                time = self.last
            elif time is None:
                self._static.append(call)
                call = self._one_for_all(call)
                key = ("static", call.index)
            else:
                spot = spot_of(call)
                counted[spot, time] += 1
                key = (*spot, counted[spot, time])
            self._key_of[call] = key
            self.members[key][time] = call

    def _one_for_all(self, call: Call) -> Call:
        """The first of all calls that do the same, at every step, with the same."""
        if call.constant or call.random:
            return call
        if call in self._first_alike:
            return self._first_alike[call]

        def same(value: Value) -> Any:
            if value.call is None:
                return "value", id(value.tensor), value.number
            return "made", self._one_for_all(value.call).index, value.port

        form = repr(replaced(call.args, Value, same)), repr(replaced(call.kwargs, Value, same))
        found = self._canonical.setdefault(
            (plain_name(call.name), id(call.module), call.stamp, form), call
        )
        self._first_alike[call] = found
        return found

    def key_of(self, call: Call) -> Key:
        """The family of a call."""
        if call not in self._key_of:
            call = self._one_for_all(call)
        return self._key_of[call]

    def now(self, key: Key) -> tuple[Call, int]:
        """The latest member of a family, which stands for all, and its step."""
        times = self.members[key]
        if None in times:
            return times[None], self.last
        time = max(t for t in times if t is not None)
        return times[time], time

    def span(self, key: Key, call: Call) -> str:
        """What one call is given: a 'step', the 'last', a 'sequence', or 'once' what never changes.

        A loop that works a held value anew in every step calls for each step.
        """
        if any(self.steps.whole(v) for v in call.inputs):
            return SEQUENCE
        if key[0] != "static":
            return LAST if self.last and list(self.members[key]) == [self.last] else STEP
        alike = sum(self._one_for_all(other) is call for other in self._static)
        return ONCE if alike == 1 else STEP

    # What reaches what -----------------------------------------------------------------------

    def _ref(self, value: Value, time: int) -> Ref:
        """What a value is, seen from a step."""
        at = self.steps.at(value, time)
        found = at.value
        if found.constant:
            if not self._is_member(found):
                return Ref(None, 0, 0, at)
            at = At(found, self.steps.time(found))
        lag = 0 if at.time is None else time - at.time
        if found.call is None:
            return Ref(("input", found.number), 0, lag, at)
        return Ref(self.key_of(found.call), found.port, lag, at)

    def _is_member(self, value: Value) -> bool:
        """Whether a constant is what a family gives while its memory is still a constant."""
        key = None if value.call is None else self._key_of.get(value.call)
        return (
            key is not None
            and key[0] not in ("whole", "static")
            and not self.now(key)[0].constant
            and self.steps.taken_at(self.now(key)[0]) is None
        )

    def _result_at(self, result: Value | list[Value], time: int) -> Ref:
        return self._ref(result[time] if isinstance(result, list) else result, time)

    def _need(self, slot: Slot, ref: Ref, by: Call | None) -> None:
        waiting: list[tuple[Slot, Ref, Call | None]] = [(slot, ref, by)]
        while waiting:
            slot, ref, by = waiting.pop()
            self._refuse_unfit(slot, ref, by)
            self.reaches[slot] = ref
            if ref.key is None or ref.key[0] == "input" or ref.key in self.needed:
                continue
            call, time = self.now(ref.key)
            self.needed[ref.key] = call
            if call.problem is not None:
                raise UnsupportedError(call.problem)
            for place, value in enumerate(call.inputs):
                waiting.append((Slot(ref.key, place), self._ref(value, time), call))

    def _refuse_unfit(self, slot: Slot, ref: Ref, by: Call | None) -> None:
        place = by.place if by is not None else "the model's output"
        what = by.what if by is not None else "the model's output"
        call = ref.at.value.call
        if call is not None and call.random:
            raise UnsupportedError(
                Problem(
                    f"{call.name} draws random numbers",
                    "a model that gives the same every time",
                    "Draw them outside of the model, and pass them in.",
                    call.place,
                )
            )
        partly = self._partly(by)
        if partly is not None:
            raise UnsupportedError(
                Problem(
                    f"{what} works on {describe(partly)}, which does not hold all steps",
                    "all steps, or one",
                    "A sequence that comes later is torch.cat([zeros, x[:-k]]), and works on all "
                    "steps; leave what happens at some steps only out of the model.",
                    place,
                )
            )
        if ref.lag < 0:
            raise UnsupportedError(
                Problem(
                    f"{what} works at a step with what comes {-ref.lag} steps later",
                    "what is there at that step, or was before",
                    "A graph runs step by step: move what looks ahead out of the model.",
                    place,
                )
            )
        if ref.key is None and slot.key[0] == "output":
            raise UnsupportedError(
                Problem(
                    f"{place} does not depend on the input",
                    "outputs that do",
                    "Return what the model works out; a constant needs no network.",
                )
            )

    def _partly(self, call: Call | None) -> Value | None:
        """What a call makes a sequence of, that has fewer steps, or more."""
        if call is None or not any(self.steps.whole(v) for v in call.outputs):
            return None
        return next((v for v in call.inputs if self.steps.partial(v)), None)

    # That all steps are the same -------------------------------------------------------------

    def _check(self, results: Sequence[Value | list[Value]]) -> None:
        for number, result in enumerate(results):
            slot = Slot(("output", number), 0)
            whole = isinstance(result, list) or self.steps.whole(result)
            for time in range(self.last) if whole else ():
                self._compare(slot, time, self.last, self._result_at(result, time), None)
            if not whole:
                self._begin(slot)
        checked: set[Key] = set()
        waiting = list(self.needed)
        while waiting:
            key = waiting.pop()
            if key in checked:
                continue
            checked.add(key)
            before = set(self.needed)
            self._check_family(key)
            waiting += [k for k in self.needed if k not in before]

    def _check_family(self, key: Key) -> None:
        call, now = self.now(key)
        if key[0] == "whole":
            if call not in self.steps.finals or any(self.steps.whole(v) for v in call.inputs):
                for time in range(self.last):
                    self._compare_inputs(key, call, time)
            return
        members = self.members[key]
        times = sorted(t for t in members if t is not None)
        if times == [self.last]:
            for place in range(len(call.inputs)):
                self._begin(Slot(key, place))
        for time in times[:-1]:
            other = members[time]
            if other.problem is not None:
                raise UnsupportedError(other.problem)
            self._compare_calls(other, call, time, now)
            self._compare_inputs(key, other, time)
        if call.neuron:
            self._check_chain(key, call, times)

    def _begin(self, slot: Slot) -> None:
        """Note what memory starts from that is asked for at the last step only.

        No earlier step tells it, but the line that it comes from gave it: a constant, in the turns
        in which nothing of the input had arrived.
        """
        ref = self.reaches[slot]
        if ref.key is None or ref.lag < 1 or ref.key[0] in ("input", "whole", "static"):
            return
        early = [self.steps.early.get((ref.key[:-1], k)) for k in range(1, ref.lag + 1)]
        given = [call.outputs[ref.port] for call in early if call and ref.port < len(call.outputs)]
        ats = [At(value, None) for value in given]
        if len(ats) == ref.lag and all(self._equal(ats[0], 0, other, 0) for other in ats[1:]):
            self.initial.setdefault(slot, ats[0].value)

    def _check_chain(self, key: Key, call: Call, times: list[int]) -> None:
        """A neuron takes one step in each step, each from the state that the last one left."""
        if not times:
            return
        members = self.members[key]
        linked = all(
            members[t].previous is (members[t - 1] if t else None)
            for t in times
            if t == 0 or t - 1 in members
        )
        if (
            times != list(range(times[-1] + 1))
            or not linked
            or times[-1] != self.last
            or self._written_out(key)
        ):
            raise UnsupportedError(
                Problem(
                    f"{call.name!r} takes {len(times)} steps where the model takes one"
                    if self._written_out(key)
                    else f"{call.name!r} takes {len(times)} steps, and the model {self.last + 1}",
                    "every neuron taking one step in each step, from the state of the last",
                    "Hand each neuron's state on in every step, and reset_mem() between uses.",
                    call.place,
                )
            )

    def _written_out(self, key: Key) -> bool:
        """Whether a neuron is called at several lines, none of them twice, and nothing tells time.

        That is a step in which one neuron is used more than once, and no loop over a held value.
        """
        steps, members = self.steps, self.members[key]
        timed = any(steps.whole(v) for values in steps.record.inputs.values() for v in values)
        lines = {call.site for call in members.values()}
        return not (steps.single or timed) and 1 < len(lines) == len(members)

    def _compare_calls(self, a: Call, b: Call, time: int, now: int) -> None:
        def empty(_: Value) -> None:
            return None

        if a.module is not None and a.stamp != b.stamp:
            raise UnsupportedError(
                Problem(
                    f"the parameters of {a.name!r} were changed between the steps",
                    "parameters that stay as they are",
                    where=a.place,
                )
            )
        mine, theirs = (replaced((c.args, c.kwargs), Value, empty) for c in (a, b))
        if a.module is None and repr(mine) != repr(theirs):
            counts = len(a.inputs), len(b.inputs)
            said = f"with {mine[0][1:]} and {theirs[0][1:]}"
            if counts[0] != counts[1]:
                said = f"of {counts[0]} and of {counts[1]} values"
            raise UnsupportedError(
                Problem(
                    f"steps {time} and {now} differ: {a.name} {said}",
                    "a model whose steps are all the same",
                    "A number that changes from step to step has to come with the input.",
                    a.place,
                )
            )

    def _compare_inputs(self, key: Key, call: Call, time: int) -> None:
        refs = [self._ref(value, time) for value in call.inputs]
        for place, ref in enumerate(self._in_order(key, call, refs, time)):
            slot = Slot(key, place)
            if slot in self.reaches:
                self._compare(slot, time, self.now(key)[1], ref, call)

    def _in_order(self, key: Key, call: Call, refs: list[Ref], time: int) -> list[Ref]:
        """What reaches a call, in the order of the family: 0.0 + x is recorded as x + 0.0."""
        if len(refs) != 2 or plain_name(call.name) not in COMMUTATIVE:
            return refs
        now = self.now(key)[1]
        expected = [self.reaches[Slot(key, i)] for i in range(2)]

        def fits(wanted: Ref, found: Ref) -> bool:
            if wanted.key is not None:
                return wanted.same(found)
            return found.key is None and self._equal(wanted.at, now, found.at, time)

        straight = any(map(fits, expected, refs))
        crossed = any(map(fits, expected, refs[::-1]))
        return refs[::-1] if crossed and not straight else refs

    def _compare(self, slot: Slot, time: int, now: int, found: Ref, by: Call | None) -> None:
        """Compare what reaches a slot at an earlier step with what does at the present."""
        expected = self.reaches[slot]
        if found.lag < 0:
            self._refuse_unfit(slot, found, by)
        if expected.key is None:
            if found.key is not None or not self._equal(expected.at, now, found.at, time):
                self._differ(slot, time, now, found, by)
            return
        if expected.same(found):
            if time == expected.lag:
                self._settle_first((expected.key, expected.port), None, slot, time, now, by)
            return
        if time < expected.lag:
            if found.key is None:
                known = self.initial.setdefault(slot, found.at.value)
                if not self._equal(At(known, None), time, found.at, time):
                    self._differ(slot, time, now, found, by)
            elif time == 0 and expected.lag == 1:
                self._need_at_first(found, by)
                self.first_memory[slot] = found
            else:
                self._differ(slot, time, now, found, by)
        elif (
            time == expected.lag
            and expected.key[0] != "input"
            and (found.key is None or found.lag == time)
        ):
            self._settle_first((expected.key, expected.port), found, slot, time, now, by)
        else:
            self._differ(slot, time, now, found, by)

    def _settle_first(
        self,
        member: tuple[Key, int],
        found: Ref | None,
        slot: Slot,
        time: int,
        now: int,
        by: Call | None,
    ) -> None:
        """Note what takes a member's place at the first step; all that it reaches must agree."""
        if member[0][0] == "input":
            return
        regular = found is None
        if self._expected_first.setdefault(member, regular) != regular:
            self._differ(slot, time, now, found or self.reaches[slot], by)
        if found is None:
            return
        found = Ref(found.key, found.port, 0, found.at)
        known = self.first.setdefault(member, found)
        if not known.same(found) or (
            known.key is None and not self._equal(known.at, 0, found.at, 0)
        ):
            self._differ(slot, time, now, found, by)
        self._need_at_first(found, by)

    def _need_at_first(self, found: Ref, by: Call | None) -> None:
        key = found.key
        if key is None or key[0] == "input" or key in self.needed:
            return
        call, time = self.now(key)
        if call.problem is not None:
            raise UnsupportedError(call.problem)
        self.needed[key] = call
        for place, value in enumerate(call.inputs):
            self._need(Slot(key, place), self._ref(value, time), call)

    def _differ(self, slot: Slot, time: int, now: int, found: Ref, by: Call | None) -> None:
        what = by.what if by is not None else "the model's output"
        expected = self.reaches[slot]
        layer = by is not None and by.module is not None
        by_itself = layer and found.key is None is expected.key
        mine, theirs = _words(found), _words(expected)
        both = f"{mine}, and {theirs}" if mine != theirs else f"{mine}, another one in each"
        raise UnsupportedError(
            Problem(
                f"steps {time} and {now} differ in what reaches {what}: {both}"
                + (", which does not depend on the input" if by_itself else ""),
                "a model whose steps are all the same",
                "See if what comes before uses its input at all: it gives the same for every input."
                if by_itself
                else "Memory starts from a constant, and is handed on in every step; what happens "
                "at some steps only belongs outside of the model.",
                by.place if by is not None else "",
            )
        )

    def _equal(self, a: At, time: int, b: At, other: int) -> bool:
        """Whether two constants are the same numbers at their steps."""
        x, y = numbers_at(self.steps, a, time), numbers_at(self.steps, b, other)
        if x is y:
            return True
        if 1 in (x.numel(), y.numel()) and x.numel() != y.numel():
            return bool((x == y).all())
        return x.shape == y.shape and x.dtype == y.dtype and torch.equal(x, y)

    @staticmethod
    def slot(key: Key, place: int) -> Slot:
        """An input of a family."""
        return Slot(key, place)


def _words(ref: Ref) -> str:
    value = ref.at.value
    if ref.key is None and value.tensor.numel() == 1:
        return f"the number {value.tensor.item():g}"
    when = "" if ref.at.time is None or ref.key is None else f" of step {ref.at.time}"
    return f"{describe(value)}{when}"
