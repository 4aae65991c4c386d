"""From the record of a run to one time step: which calls are nodes, and what runs back.

A loop over time leaves the same calls once for each step. Call k of a neuron goes on from the state
of call k-1; the last step is the one that becomes the graph, and every other step must be the same
but for the time: what a neuron sent in the step before is feedback, zeros before the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from t1c.ir.errors import Problem, UnsupportedError

from .record import Call, Entry, Fixed, Sent, StateOf, Steps, Value, describe, is_constant

Unlike = str | None


class Fold:
    """The one step that all steps of a record are.

    Args:
        calls: the record.
        outputs: what the model returned; a ``Steps`` is one output at all steps.

    Attributes:
        outputs: the outputs at the last step.
        calls: the calls of the last step that they depend on, in order.
        entries: the inputs that they depend on.

    Raises:
        UnsupportedError: the outputs depend on something that no graph says, or steps differ.
    """

    def __init__(self, calls: Sequence[Call], outputs: Sequence[Value]) -> None:
        self._chains = _chains(calls)
        self.last = max([0, *_times(calls, outputs)])
        self.outputs = [v.values[-1] if isinstance(v, Steps) else v for v in outputs]
        self._seen: dict[Call, None] = {}
        self.entries: dict[int, Entry] = {}
        for value in self.outputs:
            self._need(value, "the model's output")
        self.calls = sorted(self._seen, key=lambda call: call.index)
        self._alike: dict[tuple[Call, Call, int], Unlike] = {}
        self._check_steps(outputs)

    def present(self, call: Call) -> Call:
        """The call of the last step that stands for ``call``."""
        return self._chains[call][-1] if call.stateful else call

    def is_past(self, value: Value) -> bool:
        """Whether a value was sent in the step before the last."""
        return isinstance(value, Sent) and value.call.stateful and value.call.step < self.last

    # What the last step consists of --------------------------------------------------------

    def _need(self, value: Value, by: str) -> None:
        waiting = [(value, by)]
        while waiting:
            value, by = waiting.pop()
            if isinstance(value, Entry):
                self._need_entry(value, by)
                continue
            if not isinstance(value, Sent) or is_constant(value):
                raise UnsupportedError(_unfit(value, by))
            call = value.call
            _refuse(call)
            if call.stateful:
                self._check_chain(call, by)
                call = self.present(call)
                _refuse(call)
            if call in self._seen:
                continue
            self._seen[call] = None
            waiting += [(v, f"{call.name!r} ({call.place})") for v in call.inputs]

    def _need_entry(self, entry: Entry, by: str) -> None:
        if entry.swapped:
            raise UnsupportedError(
                Problem(
                    f"{by} takes {describe(entry)} with its first two dimensions swapped",
                    "one step of it at a time: x[t] in a loop",
                    "Swap batch and time outside of the model.",
                )
            )
        if entry.time is not None and entry.time != self.last:
            raise UnsupportedError(
                Problem(
                    f"{by} takes {describe(entry)} in step {self.last}",
                    "the input of the same step",
                    "Index the input with the loop's own counter; for the past use a Delay.",
                )
            )
        if entry.time is not None and entry.steps != self.last + 1:
            raise UnsupportedError(
                Problem(
                    f"{by} takes {self.last + 1} of the {entry.steps} steps of input "
                    f"{entry.number}",
                    "a loop over all steps",
                    "Pass a sample with as many steps as the model takes.",
                )
            )
        known = self.entries.setdefault(entry.number, entry)
        if (known.time is None, known.axis) != (entry.time is None, entry.axis):
            raise UnsupportedError(
                Problem(
                    f"input {entry.number} is used both as a sequence and as a whole, or as two "
                    "sequences",
                    "one step of it in each step",
                )
            )

    def _check_chain(self, call: Call, by: str) -> None:
        chain = self._chains[call]
        for before in chain:
            _refuse(before)
        if len(chain) != self.last + 1:
            raise UnsupportedError(
                Problem(
                    f"{call.name!r} takes {len(chain)} steps, and the longest loop of the model "
                    f"{self.last + 1}",
                    "every neuron taking one step in each step of one loop",
                    "Hand each neuron's state on in every step, and reset_mem() between uses.",
                    where=call.place,
                )
            )
        if self.last - call.step > 1:
            raise UnsupportedError(
                Problem(
                    f"{by} in step {self.last} takes what {call.name!r} sent in step {call.step}",
                    "values of the same step, or of the step before",
                    "A sum over time is taken of what the model returns (torch.stack); for an "
                    "older value use a Delay.",
                    where=call.place,
                )
            )

    # That all steps are the same -----------------------------------------------------------

    def _check_steps(self, outputs: Sequence[Value]) -> None:
        for value in outputs:
            if isinstance(value, Steps):
                if len(value.values) != self.last + 1:
                    raise UnsupportedError(
                        Problem(
                            f"an output stacks {len(value.values)} of {self.last + 1} steps",
                            "every step, once",
                            "Append to the list in every step, and stack the whole list.",
                        )
                    )
                for step, earlier in enumerate(value.values):
                    self._same("the model's output", value.values[-1], earlier, step)
        for call in self.calls:
            for step, before in enumerate(self._chains.get(call, [])[:-1]):
                for mine, theirs in zip(call.inputs, before.inputs, strict=True):
                    self._same(repr(call.name), mine, theirs, step)

    def _same(self, what: str, value: Value, earlier: Value, step: int) -> None:
        unlike = self._unlike(value, earlier, self.last - step)
        if unlike:
            raise UnsupportedError(
                Problem(
                    f"steps {step} and {self.last} of the loop differ in what reaches {what}: "
                    f"{unlike}",
                    "a loop whose steps are all the same",
                    "Move what happens once out of the loop and out of the model.",
                )
            )

    def _unlike(self, a: Value, b: Value, shift: int) -> Unlike:
        """How ``a`` differs from ``b`` of ``shift`` steps earlier; None if it does not."""
        if isinstance(a, Entry):
            time = None if a.time is None else a.time - shift
            same = isinstance(b, Entry) and (a.number, a.axis, time) == (b.number, b.axis, b.time)
            return None if same else f"{describe(b)} and {describe(a)}"
        if isinstance(a, Fixed):
            same = isinstance(b, Fixed) and torch.equal(a.tensor, b.tensor)
            return None if same else f"{describe(b)} and {describe(a)}"
        if not isinstance(a, Sent) or isinstance(b, StateOf | Steps):
            return f"{describe(b)} and {describe(a)}"
        if a.call.stateful:
            return self._unlike_neuron(a, b, shift)
        if not isinstance(b, Sent):
            return f"{describe(b)} and {describe(a)}"
        if a.call is b.call and a.call.static:
            return None if a.port == b.port else "another output of the same operation"
        key = (a.call, b.call, shift)
        if key not in self._alike:
            self._alike[key] = self._unlike_calls(a.call, b.call, shift)
        return self._alike[key] or (None if a.port == b.port else "another output of the same")

    def _unlike_neuron(self, a: Sent, b: Value, shift: int) -> Unlike:
        step = a.call.step - shift
        if step == -1 and isinstance(b, Fixed):
            if not bool(torch.count_nonzero(b.tensor)):
                return None
            return f"what {a.call.name!r} sent before the first step is not zero"
        chain = self._chains[a.call]
        if isinstance(b, Sent) and step >= 0 and b.call is chain[step] and a.port == b.port:
            return None
        return f"{describe(b)} and {describe(a)}"

    def _unlike_calls(self, a: Call, b: Call, shift: int) -> Unlike:
        both = f"{b.name!r} ({b.place}) and {a.name!r} ({a.place})"
        if a.module is not b.module or a.stateful != b.stateful or len(a.inputs) != len(b.inputs):
            return both
        if a.fragment is None or b.fragment is None:
            return f"{both}: {(b.problem or a.problem or Problem('unknown')).found}"
        if a.module is not None and a.stamp != b.stamp:
            return f"the parameters of {a.name!r} were changed between the steps"
        if a.module is None:
            lines = a.fragment.nodes[""].difference(b.fragment.nodes[""])
            if lines:
                return f"{both}: {lines[0]}"
        pairs = zip(a.inputs, b.inputs, strict=True)
        return next((u for u in (self._unlike(x, y, shift) for x, y in pairs) if u), None)


def _chains(calls: Sequence[Call]) -> dict[Call, list[Call]]:
    """Each call of a neuron -> all calls that go on from each other's state, in order."""
    chains: dict[Call, list[Call]] = {}
    for call in calls:
        if call.stateful:
            chain = chains[call.previous] if call.previous else []
            chain.append(call)
            chains[call] = chain
    return chains


def _times(calls: Sequence[Call], outputs: Sequence[Value]) -> Iterator[int]:
    yield from (call.step for call in calls)
    for value in [*outputs, *(v for call in calls for v in call.inputs)]:
        if isinstance(value, Entry) and value.time is not None:
            yield value.time
        elif isinstance(value, Steps):
            yield len(value.values) - 1


def _refuse(call: Call) -> None:
    if call.problem is not None:
        raise UnsupportedError(call.problem)


def _unfit(value: Value, by: str) -> Problem:
    if isinstance(value, StateOf):
        return Problem(
            f"{by} takes {describe(value)}",
            "a neuron's output: its state may only go back to the neuron, or be returned",
            "Use its spikes, or reset_mechanism='none', which makes the membrane an LI.",
            where=value.call.place,
        )
    if isinstance(value, Steps):
        return Problem(
            f"{by} works on all time steps at once",
            "one step at a time",
            "Return the stack, and go on outside of the model; or move it into the loop.",
        )
    return Problem(
        f"{by} takes {describe(value)}, which does not come from the input",
        "values that come from the input",
        "Make it a bias or a parameter of a layer; a state must start from zeros.",
    )
