"""What each axis of each tensor of a record is: time, batch, or a feature.

Told by modules that want sequences in a certain way, and, where there are none, by what walks along
an axis step by step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..frameworks.over_time import Layout, batch_of, layout_of_one
from . import axes
from .axes import BATCH, STILL, TIME, Atom, AxisError, Dims, fresh, leaves
from .effects import effect
from .effects.cutting import cut_apart, index_parts
from .effects.rules import argument
from .record import Call, Record, Value


class Labels:
    """The axes of a record.

    Args:
        record: what a model did.
        lead: input number -> its axes, where they are known; others are told from what happens.
        single: the model takes single steps: the first axis of every input is the batch.

    Attributes:
        problems: the calls that do to axes what has no meaning step by step.
    """

    def __init__(self, record: Record, lead: Mapping[int, Dims], single: bool) -> None:
        self.record, self.single = record, single
        self._dims: dict[Value, Dims] = {}
        self.problems: dict[Call, str] = {}
        self._walked: dict[Atom, list[tuple[Any, set[int]]]] = defaultdict(list)
        for number, values in record.inputs.items():
            for value in values:
                self._dims[value] = lead[number] if number in lead else fresh(value.shape)
                if single and value.shape:
                    self._dims[value][0][0].become(BATCH)
        for call in record.calls:
            self._label(call)
        if not single:
            self._find_time()
            self._find_batch()

    def dims(self, value: Value) -> Dims:
        """The axes of a value; those of a constant are whatever they meet."""
        if value not in self._dims:
            if value.call is None:
                return fresh(value.shape, free=True)
            self._dims[value] = fresh(value.shape, free=value.constant)
        return self._dims[value]

    def whole(self, value: Value) -> bool:
        """Whether a value holds all time steps."""
        return axes.has(self.dims(value), TIME)

    def features(self, value: Value) -> tuple[int, ...]:
        """The shape of a value without time and batch."""
        return tuple(value.shape[i] for i in axes.features(self.dims(value)))

    def _label(self, call: Call) -> None:
        try:
            self._demand(call)
            found = effect(call, self.dims)
            for out, dims in zip(call.outputs, found, strict=False):
                if tuple(axes.size(d) for d in dims) != out.shape:
                    raise AxisError(f"a shape {out.shape} that does not follow from its axes")
        except AxisError as error:
            self.problems[call] = str(error)
            return
        for out, dims in zip(call.outputs, found, strict=False):
            self._dims[out] = dims
        for state in call.states:
            alike = (*call.inputs[:1], *call.outputs[:1])
            shape = getattr(state.tensor, "shape", None)
            like = next((v for v in alike if v.tensor.shape == shape), None)
            if like is not None:
                self._dims[state] = self.dims(like)
        self._note_walk(call)

    def _demand(self, call: Call) -> None:
        """What a module that takes whole sequences says of the axes of its input."""
        if not call.whole or call.module is None:
            return
        layout, given = layout_of_one(call.module), self.dims(call.inputs[0])
        if layout is Layout.MERGED:
            rows = call.inputs[0].shape[0]
            batch = batch_of(call.module, rows)
            pair = (Atom(batch), Atom(rows // batch))
            pair[0].become(BATCH)
            pair[1].become(TIME)
            axes.unify(pair, given[0])
            return
        time = 0 if layout is Layout.TIME_FIRST else 1
        if len(given) < 2:
            raise AxisError(f"a sequence {layout} of {len(given)} axes")
        found = leaves(given[time])
        if not found:
            # A new axis of one is one step, of which any number of copies may be made later.
            found = [Atom(1)]
            self._dims[call.inputs[0]] = (*given[:time], tuple(found), *given[time + 1 :])
        if len(found) != 1:
            raise AxisError(f"the time axis of a sequence {layout} holds several")
        if found[0].role != STILL:
            alone = found[0].size == 1 and found[0] not in self._leaves_of(self._entering())
            found[0].become(STILL if alone else TIME)

    def _note_walk(self, call: Call) -> None:
        """Note which axes are taken apart step by step, and where."""
        if call.name == "unbind":
            given = self.dims(call.inputs[0])
            found = leaves(given[argument(call, 1, "dim", 0) % len(given)])
            if len(found) == 1:
                self._walked[found[0]].append((call.site, set(range(found[0].size))))
            return
        if call.inputs and cut_apart(call, self.dims(call.inputs[0])):
            self._note_cut(call)
            return
        picked = self.picked(call)
        if picked is not None:
            dim, k = picked
            found = leaves(self.dims(call.inputs[0])[dim])
            sliced = len(call.outputs[0].shape) == len(call.inputs[0].shape)
            if len(found) == 1 and not (sliced and call.name == "__getitem__" and dim):
                site = (call.site, call.name)
                for other, seen in self._walked[found[0]]:
                    if other == site:
                        seen.add(k)
                        return
                self._walked[found[0]].append((site, {k}))

    def _note_cut(self, call: Call) -> None:
        """Note that the first axis is taken apart, as ``x.flatten(0, 1).chunk(T)`` does it.

        Of an axis that is one alone, which may be the batch, a neuron has to tell.
        """
        given = self.dims(call.inputs[0])
        first, *inner = leaves(given[0])
        along = argument(call, 2, "dim", 0) % len(given)
        if not along and (inner or any(c.neuron for c in self.record.calls)):
            self._walked[first].append((call.site, set(range(first.size))))

    def picked(self, call: Call) -> tuple[int, int] | None:
        """(axis, index) of the one step that a call takes or writes: an integer, or ``t:t+1``."""
        if call.name not in ("__getitem__", "select", "__setitem__"):
            return None
        shape = call.inputs[0].shape
        if call.name == "select":
            dim = argument(call, 1, "dim") % len(shape)
            return dim, argument(call, 2, "index") % shape[dim]
        try:
            parts = index_parts(call.args[1], len(shape))
        except AxisError:
            return None
        axis, found, slices = 0, [], []
        for part in parts:
            if isinstance(part, int):
                found.append((axis, part % shape[axis]))
            elif isinstance(part, slice) and shape[axis] > 1:
                taken = range(shape[axis])[part]
                slices += [(axis, taken[0])] if len(taken) == 1 else []
            axis += part is not None
        found = found or slices
        return found[0] if len(found) == 1 else None

    def _find_time(self) -> None:
        """Tell time by what walks along it, where no module tells.

        An input that is taken apart step by step is a sequence, and so are others that are walked
        along the same axis.
        """
        known = {leaf.size for leaf in self._leaves_of(self._dims.values()) if leaf.role == TIME}
        entering = [values[0] for values in self.record.inputs.values()]
        candidates = self._candidates(self._entering())
        places = [
            (place, leaf)
            for value in entering
            for place, dim in enumerate(self.dims(value))
            for leaf in leaves(dim)
        ]
        if not known:
            if not candidates:
                return
            candidates[0].become(TIME)
            known = {candidates[0].size}
        for atom in candidates:
            # Copies of one value that is held still, taken step by step.
            if atom.free and atom.role is None and atom.size in known:
                atom.become(TIME)
        chosen = {place for place, leaf in places if leaf.role == TIME}
        for value in entering:
            own = self._leaves_of([self.dims(value)])
            if any(leaf.role == TIME for leaf in own):
                continue
            fitting = [
                leaf
                for place, dim in enumerate(self.dims(value))
                for leaf in leaves(dim)
                if leaf in candidates and leaf.size in known and place in (chosen or {place})
            ]
            if fitting and fitting[0].role is None:
                fitting[0].become(TIME)

    def _candidates(self, entering: Sequence[Dims]) -> list[Atom]:
        """The axes that are walked from end to end, those of inputs first.

        A single index says nothing, unless it is that of the first axis.
        """
        first = [leaf for dims in entering if dims for leaf in leaves(dims[0])]
        order = self._leaves_of(entering)
        walked: dict[Atom, list[set[int]]] = defaultdict(list)
        for atom, sites in self._walked.items():
            walked[atom.found()] += [seen for _, seen in sites]
        found = [
            atom
            for atom, sites in walked.items()
            if atom.role is None
            and any(seen >= set(range(atom.size)) for seen in (*sites, _with_ends(sites)))
            and (atom.size > 1 or atom in first)
        ]
        return sorted(found, key=lambda a: order.index(a) if a in order else len(order))

    def _entering(self) -> list[Dims]:
        """The axes of the inputs."""
        return [self.dims(values[0]) for values in self.record.inputs.values()]

    @staticmethod
    def _leaves_of(all_dims: Iterable[Dims]) -> list[Atom]:
        return [leaf for dims in all_dims for dim in dims for leaf in leaves(dim)]

    def taken(self) -> set[int]:
        """The steps that are taken out of the inputs, one by one."""
        times = {a for a in self._leaves_of(self._entering()) if a.role == TIME}
        return {
            k
            for atom, sites in self._walked.items()
            if atom.found() in times
            for _, seen in sites
            for k in seen
        }

    def _find_batch(self) -> None:
        """The batch is the first axis of an input that is not time."""
        for values in self.record.inputs.values():
            for value in values:
                for leaf in [leaf for dim in self.dims(value) for leaf in leaves(dim)]:
                    if leaf.role == BATCH:
                        break
                    if leaf.role is None:
                        leaf.become(BATCH)
                        break


def _with_ends(sites: Sequence[set[int]]) -> set[int]:
    """What a loop walks, and what is taken by itself: a first step, before a loop over the rest."""
    longest = max(sites, key=len)
    alone = [seen for seen in sites if len(seen) == 1]
    return longest.union(*alone) if len(longest) > 1 else longest
