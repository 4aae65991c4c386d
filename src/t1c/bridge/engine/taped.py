"""One step by instructions whose gradient is wanted: what they make is kept, and walked back.

Kept are, for each sample, what enters neurons, what they send and their states before the step: of
spikes no history, of weights no copy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .frame import Frame
from .kernels.arithmetic import SURROGATES, constants
from .kernels.instructions import ADD, AFFINE, COPY, SCALE
from .kernels.rule import compiled_for
from .kernels.scan import reduced
from .kernels.threads import share
from .program import Program
from .state_checks import States, fitting

Loop = Callable[..., None]
Grads = dict[int, Tensor]
"""Place -> the gradient of what is there."""


def run_taped(
    program: Program, feeds: Mapping[str, Tensor], state: States, like: Tensor
) -> tuple[dict[str, Tensor], States] | None:
    """One step, with a history; arguments and results as of ``Program.run``."""
    lead = like.shape[:1]
    frame = program.taped.find(like, lead)
    if frame is None:
        return None
    given: dict[int, Tensor] = {}
    for node, place in program.feeds.items():
        x = feeds[node]
        if x.dtype != like.dtype or not x.is_cpu or x.numel() != lead[0] * program.sizes[place]:
            return None
        given[place] = x.contiguous()
    for name, _, v, i, _, _ in program.neurons:
        own, places = state.get(name), ([v] if i < 0 else [i, v])
        for place, part in zip(places, own or [None] * len(places), strict=False):
            given[place] = _state(name, part, like, frame.states[place])
    for name, place in program.before.items():
        kept = state.get(name)
        sent = None if kept is None else kept[-1]
        given[place] = _state(name, sent, like, frame.states[place])
    for layer, weight, bias, _ in program.script.affine:
        own_parameters = layer._parameters  # at hand, where attributes are looked for
        given[weight] = cast(Tensor, own_parameters["weight"])
        if bias >= 0:
            given[bias] = cast(Tensor, own_parameters["bias"])
    for module, _, place in program.script.factors:
        given[place] = module.over(program.script.features[place])
    coefficients: list[Tensor] = []
    learning: dict[int, slice] = {}
    for k in program.taped.learning():
        _, module, v, *_ = program.neurons[k]
        shape = torch.Size(program.script.features[v])
        tensors = module.laid(shape, like.dtype, like.device).tensors
        learning[k] = slice(len(coefficients), len(coefficients) + len(tensors))
        coefficients += tensors
    job = _Job(program, frame, tuple(given), learning)
    made = _Step.apply(job, *given.values(), *coefficients)  # type: ignore[no-untyped-call]
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


def _state(name: str, v: Tensor | None, like: Tensor, shape: torch.Size) -> Tensor:
    if v is None:
        return like.new_zeros(shape)
    if v.shape != shape or v.dtype != like.dtype or not v.is_cpu:
        v = fitting(name, v, like.new_empty(1).expand(shape), shape)
    return v.contiguous()


@dataclass(frozen=True)
class _Job:
    """One step to be taken, and its way back.

    Attributes:
        program: the instructions.
        frame: where things lie.
        places: those of the tensors that are given, in order; the coefficients of neurons that
            learn follow.
        learning: number of a neuron -> which of those are its own.
    """

    program: Program
    frame: Frame
    places: tuple[int, ...]
    learning: dict[int, slice]

    def take(self, given: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Take the step: values, states, and the tape of all other values."""
        program, frame, like = self.program, self.frame, given[0]
        addresses, at = frame.addresses.copy(), dict(zip(self.places, given, strict=False))
        made = [like.new_empty(frame.shapes[place]) for place in program.made]
        states = [at[place].clone() for place in program.states]
        tape = like.new_empty(len(like) * program.taped.room)
        start, sample = tape.data_ptr(), len(like) * like.element_size()
        for place in program.feeding:
            addresses[place] = at[place].data_ptr()
        for place, y in zip((*program.made, *program.states), (*made, *states), strict=True):
            addresses[place] = y.data_ptr()
        for place, offset in program.taped.offset.items():
            addresses[place] = start + offset * sample
        program.launch(frame, addresses, 1, len(like))
        return made, states, tape

    def back(
        self,
        given: Sequence[Tensor],
        made: Sequence[Tensor],
        tape: Tensor,
        grads: Sequence[Tensor | None],
        needed: Sequence[bool],
    ) -> list[Tensor | None]:
        """The gradients of ``given`` from those of values and states."""
        program, batch = self.program, len(given[0])
        script, sizes = program.script, program.sizes
        at = dict(zip(self.places, given, strict=False))
        held = at | dict(zip(program.made, made, strict=True))
        offsets = program.taped.offset

        def value(place: int) -> Tensor:
            size = sizes[place]
            if place in offsets:
                start = batch * offsets[place]
                return tape[start : start + batch * size].view(batch, size)
            return held[place].detach().view(batch, size)

        wanted = dict(zip(self.places, needed, strict=False))
        found: Grads = {}
        longest = max((batch * sizes[n[2]] for n in program.neurons), default=0)
        scratch = np.empty((4, longest), tape.numpy().dtype)
        for place, g in zip((*program.made, *program.states), grads, strict=True):
            if g is not None:
                found[place] = g.reshape(batch, sizes[place])

        def add(place: int, g: Tensor) -> None:
            if wanted.get(place, True):
                found[place] = found[place] + g if place in found else g

        neurons = {n[-1]: k for k, n in enumerate(program.neurons)}
        of_coefficients: list[Tensor | None] = [None] * (len(given) - len(self.places))
        for number in reversed(range(len(script.rows))):
            code, to, of, *more = script.rows[number]
            if number in neurons:
                k = neurons[number]
                gx, gc = self._through_neuron(k, value(of), at, found, scratch)
                if gx is not None:
                    add(of, gx)
                if k in self.learning:
                    of_coefficients[self.learning[k]] = gc
                continue
            g = found.get(to) if code == ADD else found.pop(to, None)
            if g is None:
                continue
            if code in (COPY, ADD):
                add(of, g)
            elif code == SCALE:
                factor = at[more[0]].detach()
                if wanted[more[0]]:
                    gf = (g * value(of)).sum(0).view(script.features[to])
                    add(more[0], gf.sum_to_size(factor.shape))
                laid = factor.expand(script.features[to]).reshape(sizes[to])
                add(of, g * laid)
            elif code == AFFINE:
                weight, bias, _ = more
                if wanted[weight]:
                    add(weight, g.t() @ value(of))
                if bias >= 0 and wanted[bias]:
                    add(bias, g.sum(0))
                if wanted.get(of, True):
                    add(of, g @ at[weight].detach())
        own = [found.get(place) if wanted[place] else None for place in self.places]
        shaped = zip(own, given, strict=False)
        return [None if g is None else g.reshape(x.shape) for g, x in shaped] + of_coefficients

    def _through_neuron(
        self, k: int, x: Tensor, at: Mapping[int, Tensor], found: Grads, scratch: Any
    ) -> tuple[Tensor | None, list[Tensor | None]]:
        """The gradients of a neuron's input and coefficients; those of its states into ``found``.

        Its membranes are worked anew, in ``scratch``: to keep them would take more room than time.
        """
        _, _, v, i, _, row = self.program.neurons[k]
        frame = self.frame
        c, rule = frame.laid[k], frame.rules[k]
        y = self.program.script.rows[row][1]
        g_out, g_v, g_i = found.pop(y, None), found.pop(v, None), found.pop(i, None)
        if g_out is None and g_v is None and g_i is None:
            return None, [None] * len(c.tensors)
        size, learns, dtype = x.numel(), k in self.learning, x.numpy().dtype
        before_v = at[v].detach().numpy().reshape(size)
        before_i = at[i].detach().numpy().reshape(size) if i >= 0 else before_v
        row_of = (1, size)
        xs, laid = x.numpy().reshape(row_of), frame.coefficients[k].numpy()
        out, tested, beside, currents = (scratch[n : n + 1, :size] for n in range(4))
        gx = np.empty(row_of, dtype)
        (there, back), numbers = _loops(*compiled_for(rule)), constants(rule.surrogate, x.dtype)
        share(
            there, size, size, rule.strict, rule.synapse, True,
            xs, before_i.copy(), before_v.copy(), laid, out, tested, beside, currents, numbers,
            multiple=16,
        )  # fmt: skip
        gv, gi = _flat(g_v, size, dtype), _flat(g_i, size, dtype)
        gc = np.zeros((len(c.tensors), size if learns else 1), dtype)
        share(
            back, size, size, 0, 1, rule.strict, rule.synapse,
            SURROGATES.index(rule.surrogate.name), rule.detach_reset, learns,
            _flat(g_out, size, dtype).reshape(row_of), gi, gv, xs, before_i, before_v, laid,
            tested, beside, currents, gx, gc, numbers,
            multiple=16,
        )  # fmt: skip
        found[v] = torch.from_numpy(gv).view(x.shape)
        if i >= 0:
            found[i] = torch.from_numpy(gi).view(x.shape)
        of: list[Tensor | None] = []
        if learns:
            whole = torch.from_numpy(gc).view(-1, len(x), *self.program.script.features[y])
            of = [reduced(g, t) for g, t in zip(whole, c.tensors, strict=True)]
        return torch.from_numpy(gx).view(x.shape), of


@functools.cache
def _loops(reset: int, early: bool, many: bool, bounded: bool) -> tuple[Loop, Loop]:
    """The compiled loops of a neuron, there and back, imported when they are needed."""
    from .kernels.numba_backward import backward_kernel
    from .kernels.numba_scan import forward_kernel

    kind = reset, early, many, bounded
    return forward_kernel(*kind), backward_kernel(*kind)


def _flat(g: Tensor | None, size: int, dtype: Any) -> Any:
    """A gradient of its own, flat; zeros where none flows."""
    return np.zeros(size, dtype) if g is None else g.detach().numpy().reshape(size).copy()


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, job: _Job, *given: Tensor) -> Any:
        made, states, tape = job.take(given)
        ctx.job, ctx.count = job, len(given)
        ctx.save_for_backward(*given, *made, tape)
        ctx.set_materialize_grads(False)
        return *made, *states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        saved, count = ctx.saved_tensors, ctx.count
        needed = ctx.needs_input_grad[1:]
        return None, *ctx.job.back(saved[:count], saved[count:-1], saved[-1], grads, needed)
