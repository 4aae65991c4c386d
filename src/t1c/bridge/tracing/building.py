"""From families to a drawing: every family becomes nodes, and memory becomes Delays."""

from __future__ import annotations

import copy
import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from t1c import ir
from t1c.ir.errors import Problem, T1CError, UnsupportedError

from ..modules.exporting import Fragment, Shape, module_to_node
from ..modules.normalization import as_trained
from . import axes
from .axes import BATCH, TIME, AxisError, leaves
from .bench import Bench, Unsaid
from .drawing import Drawing, Signal, Spot
from .effects.layers import axes_kept, leading
from .families import Families, Ref, Slot
from .forms import features_out, layout_of
from .ledger import describe
from .names import NICKNAMES, plain_name, spoken
from .operations import rule_of
from .record import Call, Value, called_at, replaced
from .steps import Key, numbers_at

Choose = Callable[[nn.Module], "ir.Node | Fragment | None"]


class MembraneUsedError(Exception):
    """A neuron's membrane is used, which its node does not send: its code has to be followed."""

    def __init__(self, module: nn.Module, problem: Problem) -> None:
        super().__init__(str(problem))
        self.module, self.problem = module, problem


def _of_axes(text: str) -> Problem:
    """What is wrong with the axes of a call."""
    if "axis" not in text and "axes" not in text:
        return Problem(text)
    return Problem(
        text,
        "time, batch and features in axes of their own, or time and batch in one",
        "Reshape and permute so that the numbers of a sample stay with that sample.",
    )


class Building:
    """The drawing of the step that all steps are.

    Args:
        families: what there is to draw.
        choose: the user's own choice of node for a module.
        made: nodes of modules that were made before, which are used again.
        names: of the inputs, by their numbers.

    Attributes:
        drawing: the nodes.
        inputs: number of an input -> where it enters.
        outputs: what the model returns, in order.
    """

    def __init__(
        self,
        families: Families,
        choose: Choose,
        made: dict[Any, Fragment],
        names: Sequence[str],
    ) -> None:
        self.families, self.steps = families, families.steps
        self._names = names
        self._choose, self._made = choose, made
        self.drawing = Drawing()
        self.inputs: dict[int, Spot] = {}
        self._sent: dict[tuple[Key, int], Signal | Unsaid] = {}
        self._waiting: list[tuple[Spot, Ref]] = []
        self._delays: list[tuple[Ref, bytes, Signal]] = []
        for number in sorted(self._entries()):
            self._enter(number)
        for key in self._order():
            self._draw(key)
        self.outputs = []
        for number in range(sum(slot.key[0] == "output" for slot in families.reaches)):
            slot = Slot(("output", number), 0)
            self.outputs.append(self._flowing(slot, None))
        while self._waiting:
            spot, ref = self._waiting.pop()
            spot.inputs = [self._member(replace(ref, lag=0))]

    def sent(self) -> Iterator[tuple[Key, int, Signal]]:
        """What the families send: a family, the number of a result, and its place in the graph."""
        for (key, port), signal in self._sent.items():
            if isinstance(signal, Signal):
                yield key, port, signal

    def _entries(self) -> set[int]:
        refs = [
            *self.families.reaches.values(),
            *self.families.first.values(),
            *self.families.first_memory.values(),
        ]
        return {r.key[1] for r in refs if r.key is not None and r.key[0] == "input"}

    def _enter(self, number: int) -> None:
        value = self.steps.record.inputs[number][0]
        features = self.steps.features(value)
        if not features:
            raise UnsupportedError(self._without_features(number))
        signal = self.drawing.emit(ir.Input(features), features=features)
        self.inputs[number] = signal.spot
        self._sent[("input", number), 0] = signal

    def _without_features(self, number: int) -> Problem:
        """What to say of an input that is nothing but time and batch."""
        record = self.steps.record
        value = record.inputs[number][0]
        roles = [role for dim in self.steps.dims(value) for role in (a.role for a in leaves(dim))]
        met = ", ".join({TIME: "T", BATCH: "B"}.get(role or "", "?") for role in roles)
        used = next((call.place for call in record.calls if value in call.inputs), "")
        return Problem(
            f"input {self._names[number]!r} has the axes ({met}), and no features",
            "a batch dimension, and at least one behind it"
            if TIME not in roles
            else "time and batch, and at least one axis besides",
            "Two of its axes are gone along step by step: take the steps of one."
            if roles.count(TIME) > 1
            else "One sample alone needs a batch, x.unsqueeze(0); samples of one number each need "
            "an axis of features, x.unsqueeze(-1).",
            where=used,
        )

    def _features(self, value: Any) -> Shape:
        return self.steps.features(value) or (1,)

    def _order(self) -> list[Key]:
        """The families, each after those that it needs in the same step."""
        before: dict[Key, set[Key]] = {key: set() for key in self.families.needed}
        for slot, ref in self.families.reaches.items():
            if slot.key in before and ref.key in before and not ref.lag:
                before[slot.key].add(ref.key)
        for (key, _), ref in self.families.first.items():
            if key in before and ref.key in before:
                before[key].add(ref.key)
        for slot, ref in self.families.first_memory.items():
            if slot.key in before and ref.key in before:
                before[slot.key].add(ref.key)
        after: dict[Key, list[Key]] = {key: [] for key in before}
        for key, needs in before.items():
            for needed in needs:
                after[needed].append(key)
        waiting = {key: len(needs) for key, needs in before.items()}
        index = {key: self.families.needed[key].index for key in before}
        ready = [(index[key], i, key) for i, key in enumerate(before) if not waiting[key]]
        heapq.heapify(ready)
        order: list[Key] = []
        while ready:
            _, _, key = heapq.heappop(ready)
            order.append(key)
            for place, other in enumerate(after[key]):
                waiting[other] -= 1
                if not waiting[other]:
                    heapq.heappush(ready, (index[other], len(order) * len(before) + place, other))
        if len(order) < len(before):
            call = self.families.needed[next(key for key, n in waiting.items() if n)]
            raise UnsupportedError(
                Problem(
                    f"{call.name!r} needs itself in the same step",
                    "a loop through what was sent in the step before",
                    where=call.place,
                )
            )
        return order

    # One family --------------------------------------------------------------------------------

    def _draw(self, key: Key) -> None:
        call = self._with_constants(key, self.families.needed[key])
        bench = Bench(
            call,
            self.steps,
            self.drawing,
            lambda i: self._flowing(Slot(key, i), call),
            self._is_final(key, call),
            {r.port for r in self.families.reaches.values() if r.key == key},
            self.families.span(key, call),
        )
        try:
            if call in self.steps.problems and call.module is None:
                raise AxisError(self.steps.problems[call])
            found = self._accumulated(key, call, bench) or self._made_of(call, bench)
        except AxisError as error:
            raise UnsupportedError(self._unsupported(call, _of_axes(str(error)))) from None
        except (T1CError, TypeError) as error:
            known = isinstance(error, T1CError)
            reason = error.problems[0] if known else Problem(str(error))  # type: ignore[union-attr]
            if reason.where == call.place:
                raise
            raise UnsupportedError(self._unsupported(call, reason)) from None
        signals = [found] if isinstance(found, Signal) else list(found)
        for signal in signals:
            # The last node of an operation is called after it.
            if isinstance(signal, Signal) and signal.spot.call is call and not signal.spot.own:
                signal.spot.label = NICKNAMES.get(plain_name(call.name), plain_name(call.name))
        for port, signal in enumerate(signals):
            self._sent[key, port] = self._with_first(key, port, signal, bench)
        if call.neuron:
            self._send_membrane(key, call, signals[0])

    def _with_constants(self, key: Key, call: Call) -> Call:
        """A call that knows which of its inputs are constants at every step, if only there."""
        found = {}
        for place, value in enumerate(call.inputs):
            ref = self.families.reaches[Slot(key, place)]
            if ref.key is None and not value.constant:
                time = ref.at.time or 0
                numbers = numbers_at(self.steps, ref.at, time)
                found[value] = Value(numbers, trains=ref.at.value.trains)
        if not found:
            return call

        def known(value: Value) -> Value:
            return found.get(value, value)

        call = copy.copy(call)
        call.args, call.kwargs = (replaced(a, Value, known) for a in (call.args, call.kwargs))
        call.inputs = tuple(map(known, call.inputs))
        return call

    def _is_final(self, key: Key, call: Call) -> bool:
        """Whether a call happens once, behind the last step."""
        members = self.families.members[key]
        once = len(members) == 1 and self.families.last in members
        return once and not any(self.steps.whole(v) for v in (*call.inputs, *call.outputs))

    def _made_of(self, call: Call, bench: Bench) -> Any:
        if call.module is not None:
            return self._module(call, bench)
        rule = rule_of(call.name)
        if rule is None:
            raise AxisError(f"torch's {spoken(call.name)} is nothing that a graph can say")
        return rule(bench)

    def _unsupported(self, call: Call, reason: Problem) -> Problem:
        place = call.place
        if call.module is not None:
            place = called_at(call)
            named = reason.found
        else:
            name = spoken(call.name)
            named = (
                reason.found
                if f"torch's {name}" in reason.found
                else (f"{reason.found} (torch's {name})")
            )
        return Problem(
            named,
            reason.expected or "an operation or module that has a primitive",
            reason.remedy or "Move it out of the model, or write it with operations that have one.",
            where=place,
            field=reason.field,
        )

    def _with_first(self, key: Key, port: int, signal: Any, bench: Bench) -> Any:
        """A member, or at the first step what takes its place there."""
        found = self.families.first.get((key, port))
        if found is None or not isinstance(signal, Signal):
            return signal
        first = self.drawing.first_step(signal, bench.call)
        if found.key is None:
            other = bench.constant(found.at.value, signal)
        else:
            other = bench.reshaped(self._member(found), signal.features)
        return bench.emit(ir.Where(), *bench.apart(first, other, signal), features=signal.features)

    def _accumulated(self, key: Key, call: Call, bench: Bench) -> Signal | None:
        """An Accumulate, where a value is itself of the step before and something more."""
        how = {"add": "sum", "maximum": "max", "minimum": "min"}.get(plain_name(call.name))
        if call.module is not None or how is None or len(call.inputs) != 2 or call.kwargs:
            return None
        refs = [self.families.reaches[Slot(key, i)] for i in range(2)]
        own = [i for i, r in enumerate(refs) if r.key == key and r.port == 0 and r.lag == 1]
        if len(own) != 1:
            return None
        other = 1 - own[0]
        slot, first = Slot(key, own[0]), self.families.first.get((key, 0))
        if slot in self.families.first_memory or refs[other].key is None:
            return None
        initial = self.families.initial.get(slot)
        from_zero = initial is None or not bool(initial.tensor.any())
        as_first = first is not None and first.same(refs[other])
        if not (as_first or (how == "sum" and first is None and from_zero)):
            return None
        signal = self._flowing(Slot(key, other), call)
        if signal.features != bench.out():
            return None
        self.families.first.pop((key, 0), None)
        return bench.emit(ir.Accumulate(how), signal)

    # Modules -----------------------------------------------------------------------------------

    def _module(self, call: Call, bench: Bench) -> Any:
        module, x = call.module, call.inputs[0]
        assert module is not None
        chosen = self._choose(module)
        kind = "" if chosen is not None else axes_kept(call)
        self._check_axes(call, bench, kind)
        signal = bench.x()
        if isinstance(module, nn.Softmax | nn.LogSoftmax) and chosen is None:
            found = self._softmax(call, bench, signal)
            if found is not None:
                return found
        plain = len(x.shape) == len(signal.features) + 1 or call.whole
        if isinstance(module, nn.Flatten) and chosen is None and not plain:
            return bench.reshaped(signal, bench.out())
        fragment = self._fragment(call, chosen, signal.features, bench.out())
        if chosen is None:
            fragment = replace(
                fragment,
                nodes={
                    name: as_trained(node, module, bench.span)
                    for name, node in fragment.nodes.items()
                },
            )
        sent = bench.emit(fragment, signal, label=call.name, own=True)
        if len(call.outputs) == 1:
            return sent
        return [Signal(sent.spot, bench.out(p), p) for p in range(len(call.outputs))]

    def _check_axes(self, call: Call, bench: Bench, kind: str) -> None:
        x = call.inputs[0]
        if call in self.steps.problems:
            raise AxisError(self.steps.problems[call])
        if call.neuron:
            if not call.whole and self.steps.whole(x):
                raise AxisError("a neuron that takes one step is given a whole sequence")
            if call.whole and not self.steps.whole(x) and not self.steps.single:
                count = self.steps.count
                raise AxisError(f"a neuron takes one step, of which {count} copies are made")
            axes.features(bench.dims(x))
            return
        batch_norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
        lead = leading(call, bench.dims(x))
        if kind == "last":
            bench.feature_axis(x, -1)
        elif isinstance(call.module, batch_norms) and kind == "all":
            bench.channels_of(x, lead)
        elif kind in ("first", "") or isinstance(call.module, nn.GroupNorm):
            if not (isinstance(call.module, nn.Flatten) and kind == ""):
                bench.map_of(x, lead)
        elif isinstance(call.module, nn.LayerNorm):
            for i in range(len(call.module.normalized_shape)):
                bench.feature_axis(x, -1 - i)
        elif isinstance(call.module, nn.PReLU) and call.module.weight.numel() > 1:
            bench.feature_axis(x, 1)

    def _softmax(self, call: Call, bench: Bench, signal: Signal) -> Signal | None:
        dim: Any = call.module.dim  # type: ignore[union-attr]
        if dim is None or len(call.inputs[0].shape) == len(signal.features) + 1:
            return None
        axis = bench.feature_axis(call.inputs[0], dim) - len(signal.features)
        kind = ir.Softmax if isinstance(call.module, nn.Softmax) else ir.LogSoftmax
        channels = signal.features[0] if signal.features else 1
        return bench.emit(kind(channels, axis), signal, label=call.name, own=True)

    def _fragment(self, call: Call, chosen: Any, entering: Shape, leaving: Shape) -> Fragment:
        key = id(call.module), call.stamp, entering, leaving
        if key not in self._made:
            found = chosen or module_to_node(call.module, entering, leaving)  # type: ignore[arg-type]
            self._made[key] = Fragment({"": found}) if isinstance(found, ir.Node) else found
        return self._made[key]

    def _send_membrane(self, key: Key, call: Call, spikes: Signal) -> None:
        """What a neuron's state is in the graph, where its membrane is at hand."""
        fragment = spikes.spot.fragment
        for state in call.states:
            used = any((r.key, r.port) == (key, state.port) for r in self.families.reaches.values())
            if not used:
                continue
            last = state.port == -len(call.states)
            if fragment.membrane is None or not last:
                raise MembraneUsedError(
                    call.module,  # type: ignore[arg-type]
                    Problem(
                        f"the state of {call.what} is used as a value",
                        "its output: a state may go back to the neuron, or be returned beside it",
                        where=call.place,
                    ),
                )
            fired = any((r.key, r.port) == (key, 0) for r in self.families.reaches.values())
            spikes.spot.fragment = (
                fragment.membrane if fired else _up_to_membrane(fragment.membrane)
            )
            self._sent[key, state.port] = replace(spikes, membrane=True)

    # What flows --------------------------------------------------------------------------------

    def _flowing(self, slot: Slot, call: Call | None) -> Signal:
        """What reaches a slot at the present step."""
        ref = self.families.reaches[slot]
        if ref.key is None:
            raise AxisError("a constant where a value that comes from the input was expected")
        if not ref.lag:
            return self._fitted(self._member(ref), slot, call)
        features = self._features(ref.at.value)
        initial = self._initial(slot, features)
        special = slot in self.families.first_memory
        content = b"" if initial is None else initial.tobytes()
        for other, known, signal in () if special else self._delays:
            if other.same(ref) and known == content:
                return signal
        options = {} if initial is None else {"initial": initial}
        call_behind = ref.at.value.call
        named = call_behind is not None and call_behind.module is not None
        signal = self.drawing.emit(
            # Its shape is said: within a loop nothing else may tell it.
            ir.Delay(np.array(ref.lag), **options, input_type={"input": np.array(features)}),
            features=features,
            label=f"{call_behind.name}.delay" if named else "delay",  # type: ignore[union-attr]
            call=call_behind,
        )
        signal.spot.memory = ref.lag == 1 and initial is None
        signal.spot.held = ref.at.value.holder
        if signal.spot.held and not named:
            signal.spot.home, _, signal.spot.label = signal.spot.held.rpartition(".")
        self._waiting.append((signal.spot, ref))
        if special:
            return self._with_first_memory(slot, signal, call)
        self._delays.append((ref, content, signal))
        return signal

    def _fitted(self, signal: Signal, slot: Slot, call: Call | None) -> Signal:
        """A signal with the features that its place has: pieces of a cat have an axis of 1 more."""
        if call is None:
            result = self.families.results[slot.key[1]]
            wanted = features_out(layout_of(self.steps, result)) or (1,)
        else:
            wanted = self._features(call.inputs[slot.place])
        if signal.features == wanted:
            return signal
        owner = call if call is not None else signal.spot.call
        if owner is None:
            raise UnsupportedError(
                Problem(
                    f"the model returns its input of features {signal.features} as {wanted}",
                    "outputs of modules or operations",
                )
            )
        bench = Bench(owner, self.steps, self.drawing, lambda i: signal)
        return bench.reshaped(signal, wanted)

    def _with_first_memory(self, slot: Slot, signal: Signal, call: Call | None) -> Signal:
        """Memory, or at the first step what is in its place there."""
        first = self.drawing.first_step(signal, call)
        other = self._member(replace(self.families.first_memory[slot], lag=0))
        return self.drawing.emit(
            ir.Where(), first, other, signal, features=signal.features, call=call
        )

    def _initial(self, slot: Slot, features: Shape) -> Any:
        """What memory starts from, as a parameter; None for zeros."""
        value = self.families.initial.get(slot)
        if value is None or not bool(value.tensor.any()):
            return None
        first = value.tensor.flatten()[0]
        if value.attribute and not bool((value.tensor == first).all()):
            raise UnsupportedError(
                Problem(
                    f"memory starts from what the attribute {value.attribute!r} holds, which looks "
                    "like what an earlier run left there",
                    "a model at rest",
                    "Bring the model to rest before the export, as before any sequence.",
                )
            )
        like = Call(0, "memory", None, (), {}, (), "", "", ())
        like.outputs = (self.families.reaches[slot].at.value,)
        bench = Bench(like, self.steps, self.drawing, lambda i: self._flowing(slot, None))
        return bench.laid(value, features)

    def _member(self, ref: Ref) -> Signal:
        """What a family, or an input, sends at the present step."""
        found = self._sent.get((ref.key, ref.port))  # type: ignore[arg-type]
        if isinstance(found, Signal):
            return found
        call = ref.at.value.call
        what = found.what if isinstance(found, Unsaid) else describe(ref.at.value)
        place = call.place if call is not None else ""
        raise UnsupportedError(Problem(f"{what} is used", "a value that a graph has", where=place))


def _up_to_membrane(fragment: Fragment) -> Fragment:
    """The part of a neuron that its membrane needs, where nothing takes its spikes."""
    needed = {""}
    while more := {a for a, b in fragment.edges if b in needed} - needed:
        needed |= more
    nodes = {name: node for name, node in fragment.nodes.items() if name in needed}
    edges, back = (
        tuple(edge for edge in all_ if set(edge) <= needed)
        for all_ in (fragment.edges, fragment.back)
    )
    return Fragment(nodes, edges, back, fragment.enter)
