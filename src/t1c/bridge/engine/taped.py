"""One step by instructions whose gradient is wanted: what they make is kept, and walked back.

Kept are, for each sample, what enters neurons, what they send and their states before the step: of
spikes no history, of weights no copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from t1c.ir.collector import building

from .frame import Frame
from .gathered import Gate, Share
from .kernels.generated import llvm_launch
from .kernels.generated.neuron import back_from_before
from .kernels.generated.scan import numbers_of
from .kernels.instructions import ADD, AFFINE, COPY, SCALE
from .learning import Learning
from .program import Program
from .state_checks import States, fitting

Array = Any
Grads = dict[int, Array]
"""Place -> the gradient of what is there (B, size)."""


def run_taped(
    program: Program, feeds: Mapping[str, Tensor], state: States, like: Tensor
) -> tuple[dict[str, Tensor], States] | None:
    """One step, with a history; arguments and results as of ``Program.run``."""
    lead = like.shape[:1]
    frame = program.taped.find(like, lead)
    if frame is None:
        return None
    given: list[Tensor] = []
    for node, place in program.feeds.items():
        x = feeds[node]
        if x.dtype != like.dtype or not x.is_cpu or x.numel() != lead[0] * program.sizes[place]:
            return None
        given.append(x.contiguous())
    for name, _, v, i, _, _ in program.neurons:
        own, shape = state.get(name), frame.states[v]
        parts = ((None,) if i < 0 else (None, None)) if own is None else own[: 1 + (i >= 0)]
        blank = frame.blank[v]
        given.extend([_state(name, part, like, shape, blank) for part in parts])
    for name, place in program.before.items():
        kept = state.get(name)
        sent = None if kept is None else kept[-1]
        given.append(_state(name, sent, like, frame.states[place], frame.blank[place]))
    course = _course(program, frame, like)
    token = None if course.gate is None else course.gate.token
    made = _take(course, frame, token, *given)
    sent_by = dict(zip(program.made, made, strict=False))
    values: dict[str, Tensor] = {}
    for name, place in program.kept.items():
        y = feeds[program.feeding[place]] if place in program.feeding else sent_by[place]
        values[name] = y if y.shape == frame.kept[name] else y.reshape(frame.kept[name])
    rest = iter(made[len(program.made) :])
    after: States = {}
    for name, _, _, i, _, _ in program.neurons:
        after[name] = (next(rest),) if i < 0 else (next(rest), next(rest))
    for name in program.before:
        after[name] = (*after.get(name, ()), next(rest))
    return values, after


def _state(name: str, v: Tensor | None, like: Tensor, shape: torch.Size, blank: Tensor) -> Tensor:
    """A state variable before the step; what is there before the first, if there is none."""
    if v is None:
        return blank
    if v.shape != shape or v.dtype != like.dtype or not v.is_cpu:
        v = fitting(name, v, like.new_empty(1).expand(shape), shape)
    return v.contiguous()


def _course(program: Program, frame: Frame, like: Tensor) -> Course:
    """What steps and their way back go by, the same for all that find the same frame."""
    learns = frame.watched.learning()
    known = frame.course
    if isinstance(known, Course) and known.learns == learns:
        return known
    with building():
        course = Course(program, frame, learns, Learning(program.script, like), like)
    if all(t.is_leaf for t in course.learning.tensors):
        # A parameter that is made of others has a history, which serves once.
        frame.course = course
    return course


class Course:
    """A step there and back.

    Args:
        program: the instructions.
        frame: where things lie.
        learns: of each parameter, whether a gradient flows into it.
        learning: those into which it does.
        like: any input, which tells batch and dtype.

    Attributes:
        gate: what stands for them; None if there are none.
    """

    def __init__(
        self,
        program: Program,
        frame: Frame,
        learns: list[bool],
        learning: Learning,
        like: Tensor,
    ) -> None:
        self.learns, self.learning = learns, learning
        tensors = learning.tensors
        self.gate = Gate(tensors, learning.gradients) if tensors else None
        script, self._sizes = program.script, program.sizes
        self._made, self._states, self._launch = program.made, program.states, program.launch
        self._given = [*program.feeding, *program.states]
        self._moving = np.array([*program.feeding, *program.made, *program.states], np.int64)
        # What only the way back sees lies in one stretch of memory, the tape.
        batch, offset = like.shape[0], program.taped.offset
        self._inside, self._offset = np.array([*offset], np.int64), offset
        self._apart = np.array([*offset.values()], np.int64) * batch * like.element_size()
        self._addresses = np.array(frame.addresses, np.int64)
        self._batch, self._room = batch, batch * program.taped.room
        self._rows = script.rows
        self._neurons = {n[-1]: (k, n) for k, n in enumerate(program.neurons)}
        self._layers = {row: layer for layer, *_, row in script.affine}
        # Those behind an input multiply nothing on the way back unless its gradient is wanted.
        feeds = program.feeding
        self._inner = {r: m for r, m in self._layers.items() if script.rows[r][2] not in feeds}
        read = {of for code, _, of, *_ in script.rows if code not in (COPY, ADD)}
        self._kept = [n for n, place in enumerate(program.made) if place in read]
        self._feeds = len(feeds)
        self._scales = [(module, name) for module, name, _ in script.factors]

    def saved(self, needed: Sequence[bool], made: Sequence[Tensor]) -> list[Tensor]:
        """What the way back reads of parameters and values, those that it multiplies by first.

        Saved with each step, because torch then tells whether they were written to since.

        Args:
            needed: which inputs and states need a gradient.
            made: values.
        """
        layers = self._layers if any(needed[: self._feeds]) else self._inner
        weights = [layer._parameters["weight"] for layer in layers.values()]
        scales = [getattr(module, name) for module, name in self._scales]
        return [*weights, *(made[n] for n in self._kept), *scales]

    def take(
        self, frame: Frame, given: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Take the step: values, states, and the tape of all other values."""
        like, feeds = given[0], self._feeds
        made = [like.new_empty(frame.shapes[place]) for place in self._made]
        states = [v.clone() for v in given[feeds:]]
        tape = like.new_empty(self._room)
        addresses = self._addresses.copy()
        addresses[self._inside] = self._apart + tape.data_ptr()
        addresses[self._moving] = [*map(Tensor.data_ptr, (*given[:feeds], *made, *states))]
        self._launch(frame, addresses, 1, self._batch)
        return made, states, tape

    def back(
        self,
        frame: Frame,
        given: Sequence[Tensor],
        saved: Sequence[Tensor],
        tape: Tensor,
        grads: Sequence[Tensor | None],
        needed: Sequence[bool],
        parts: dict[int, Any] | None,
    ) -> list[Tensor | None]:
        """The gradients of ``given`` from those of values and states.

        Args:
            frame: where things lay.
            given: inputs and states before the step.
            saved: as ``saved`` gives it.
            tape: all other values.
            grads: of values and states.
            needed: which of ``given`` need one.
            parts: takes what the gradients of parameters are made of; None if nobody wants them.
        """
        batch, sizes, rows = self._batch, self._sizes, self.learning.rows
        layers = self._layers if any(needed[: self._feeds]) else self._inner
        weight_of = dict(zip(layers, saved, strict=False))
        made = zip((self._made[n] for n in self._kept), saved[len(layers) :], strict=False)
        held = dict(zip(self._given, given, strict=True)) | dict(made)
        wanted = dict(zip(self._given, needed, strict=True))
        flat, found = tape.numpy(), Grads()

        def value(place: int) -> Array:
            size = sizes[place]
            if place in held:
                return held[place].detach().numpy().reshape(batch, size)
            start = batch * self._offset[place]
            return flat[start : start + batch * size].reshape(batch, size)

        def add(place: int, g: Array) -> None:
            if wanted.get(place, True):
                found[place] = found[place] + g if place in found else g

        for place, own in zip((*self._made, *self._states), grads, strict=True):
            if own is not None:
                found[place] = own.detach().contiguous().numpy().reshape(batch, sizes[place])
        for number in reversed(range(len(self._rows))):
            code, to, of, *more = self._rows[number]
            part = None
            if number in self._neurons:
                gx, part = self._through_neuron(frame, number, value, found)
                if gx is not None:
                    add(of, gx)
            else:
                g = found.get(to) if code == ADD else found.pop(to, None)
                if g is None:
                    continue
                if code in (COPY, ADD):
                    add(of, g)
                elif code == SCALE:
                    part = (g * value(of)).sum(0) if number in rows else None
                    add(of, g * frame.factors[more[0]].numpy().reshape(1, -1))
                elif code == AFFINE:
                    part = value(of), g
                    if wanted.get(of, True):
                        weight = weight_of[number].detach()
                        add(of, (torch.from_numpy(g) @ weight).numpy())
            if parts is not None and part is not None and number in rows:
                parts[number] = part
        gs = [found.get(place) if needs else None for place, needs in wanted.items()]
        return [
            None if g is None else torch.from_numpy(g).view(x.shape)
            for g, x in zip(gs, given, strict=True)
        ]

    def _through_neuron(
        self,
        frame: Frame,
        number: int,
        value: Callable[[int], Array],
        found: Grads,
    ) -> tuple[Array | None, Array | None]:
        """Gradients of a neuron's input and coefficients; those of its states go into ``found``."""
        k, (_, _, v, i, _, _) = self._neurons[number]
        _, y, of, *_ = self._rows[number]
        states = [v] if i < 0 else [i, v]
        g_out, g_states = found.pop(y, None), [found.pop(place, None) for place in states]
        if g_out is None and all(g is None for g in g_states):
            return None, None
        x, rule, laid = value(of), frame.rules[k], frame.coefficients[k].numpy()
        size, learns, dtype = x.size, number in self.learning.rows, x.dtype
        loop = back_from_before(rule, learns).loop
        before = [value(place).reshape(1, size) for place in states]
        given = [x.reshape(1, size), *before, _flat(g_out, size, dtype)]
        carried = np.concatenate([_flat(g, size, dtype) for g in g_states])
        gx, gc = np.empty((1, size), dtype), np.empty((len(loop.sums), size), dtype)
        numbers = numbers_of(loop, frame.dtype, torch.device("cpu")).numpy()
        reads = [given[n] for n in loop.reads]
        llvm_launch.work(loop, 1, size, [numbers, numbers[:0], laid, carried, gc, *reads, gx])
        for place, g in zip(states, carried, strict=True):
            found[place] = g.reshape(x.shape)
        return gx.reshape(x.shape), gc if learns else None


def _flat(g: Array | None, size: int, dtype: Any) -> Array:
    """A gradient as a row; zeros where none flows."""
    return np.zeros((1, size), dtype) if g is None else g.reshape(1, size)


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, course: Course, frame: Frame, token: Tensor | None, *given: Tensor
    ) -> Any:
        made, states, tape = course.take(frame, given)
        ctx.course, ctx.frame, ctx.count, ctx.shares = course, frame, len(given), []
        saved = course.saved(ctx.needs_input_grad[3:], made)
        ctx.save_for_backward(*given, *saved, tape)
        ctx.set_materialize_grads(False)
        return *made, *states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        course, saved, count = ctx.course, ctx.saved_tensors, ctx.count
        gate = course.gate if ctx.needs_input_grad[2] else None
        parts: dict[int, Any] | None = {} if gate is not None and gate.leads_on() else None
        found = course.back(
            ctx.frame,
            saved[:count],
            saved[count:-1],
            saved[-1],
            grads,
            ctx.needs_input_grad[3:],
            parts,
        )
        if gate is None or parts is None:
            return None, None, None, *found
        share = Share(parts)
        # Beside those of other calls that are under way in other threads.
        ctx.shares = [*(own for own in ctx.shares if own.parts), share]
        gate.ledger.enter(share)
        return None, None, gate.nothing, *found


_take: Callable[..., tuple[Tensor, ...]] = super(torch.autograd.Function, _Step).apply
"""``_Step.apply`` without what it does for transforms of functions, under which no step is here."""
