"""Where everything lies while a script is carried out: for one number of steps, batch and dtype."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .kernels.arithmetic import constants
from .kernels.fingerprint import extent
from .kernels.generated.made import address, vectors
from .kernels.generated.neuron import loop_of
from .kernels.generated.scan import numbers_of
from .kernels.instructions import AS_IT_IS, AS_IT_IS_IN_ORDER, BY_INPUT
from .kernels.layout import periodic
from .kernels.rule import Rule
from .kernels.surrogate import ATAN
from .kernels.weights import by_place, finite
from .script import NOWHERE, Script, places_of
from .watched import Watched

FEW = 4
"""Samples, over all steps, for which weights are read as they are."""


@dataclass
class Frame:
    """What a program needs for one number of steps, batch size and dtype.

    Attributes:
        kernel: what carries the instructions out, imported when it is first needed.
        program: the instructions, with the options of neurons.
        places: as compiled loops take them.
        constants: zero and one.
        elements: where the function is that works operations element by element.
        shapes: place -> the shape of all its steps.
        states: place -> the shape of a state variable.
        blank: place -> what is there before the first step, for states; zeros for the values of one
            step.
        kept: node -> the shape of its value.
        addresses: where parameters are; 0 where values will be.
        alive: tensors made of parameters, which lie there.
        watched: the parameters.
        options: those of neurons.
        coefficients: theirs, as loops take them.
        rules: what else kernels know of neurons.
        factors: place -> what is multiplied by there.
        dtype: of all values.
        course: what steps with gradients go by, kept here because it serves as long.
    """

    kernel: Callable[..., None]
    program: Any
    places: Any
    constants: Any
    elements: int
    shapes: dict[int, torch.Size]
    states: dict[int, torch.Size]
    blank: dict[int, Tensor]
    kept: dict[str, torch.Size]
    addresses: list[int]
    alive: list[Tensor]
    watched: Watched
    options: list[tuple[Any, ...]]
    coefficients: list[Tensor]
    rules: list[Rule]
    factors: dict[int, Tensor]
    dtype: torch.dtype
    course: Any = None


class Frames:
    """The frame of a script, made anew when parameters or options change.

    Args:
        script: the instructions.
        taped: every value has an address, and none is of the instructions alone.
        in_order: an input of zero adds nothing, whatever its weight is.

    Attributes:
        offset: place -> where it is among the values that only the instructions see, for one
            sample.
        room: elements of all of them.
        found: the frame that was found last, with what it is for; None before the first.
    """

    def __init__(self, script: Script, taped: bool = False, in_order: bool = False) -> None:
        self.script, self.taped, self.in_order = script, taped, in_order
        self.program, self.sizes = script.program(), script.sizes()
        self.found: tuple[tuple[Any, ...], Frame] | None = None
        weights = [(layer, "weight") for layer, *_ in script.affine]
        biases = [(layer, "bias") for layer, *_ in script.affine]
        factors = [(module, name) for module, name, _ in script.factors]
        own = [(module, name) for _, module, *_ in script.neurons for name in module.exact]
        self._weights: list[tuple[nn.Module, str]] = [*weights]
        self._others: list[tuple[nn.Module, str]] = [*biases, *factors, *own]
        self._parameters = self._weights + self._others
        outside = {*script.feeds.values(), *script.kept.values(), *script.before.values()}
        self._constant = {p for _, *places, _, _ in script.affine for p in places}
        self._constant |= {n[4] for n in script.neurons}
        outside |= self._constant | {p for *_, p in script.factors}
        outside |= {p for n in script.neurons for p in n[2:4]}
        outside |= {p for _, _, places, _ in script.memories for p in places}
        outside |= {source for _, source, _ in script.constants}
        # Every place that only the instructions see has room in one buffer.
        inside = [place for place in range(len(self.sizes)) if place not in outside]
        self.offset, self.room = self._apart(inside) if taped else self._in_turn(inside)

    def _apart(self, inside: Sequence[int]) -> tuple[dict[int, int], int]:
        offset, room = dict[int, int](), 0
        for place in inside:
            offset[place] = room
            room += self.sizes[place]
        return offset, room

    def _in_turn(self, inside: Sequence[int]) -> tuple[dict[int, int], int]:
        """The same, where what is not needed any more in a step makes room for what is."""
        lives: dict[int, list[int]] = {place: [] for place in inside}
        for number, row in enumerate(self.script.rows):
            for place in places_of(row):
                if place in lives:
                    lives[place].append(number)
        for place, *_ in self.script.constants:
            lives[place] = [-1, len(self.script.rows)]
        offset, room = dict[int, int](), 0
        free: dict[int, list[int]] = {}
        ending: dict[int, list[int]] = {}
        for place in sorted(inside, key=lambda p: min(lives[p], default=-1)):
            first, last = min(lives[place], default=-1), max(lives[place], default=-1)
            for done in sorted(end for end in ending if end < first):
                for other in ending.pop(done):
                    free.setdefault(self.sizes[other], []).append(offset[other])
            size = self.sizes[place]
            if free.get(size):
                offset[place] = free[size].pop()
            else:
                offset[place], room = room, room + size
            ending.setdefault(last, []).append(place)
        return offset, room

    def find(self, like: Tensor, lead: tuple[int, ...]) -> Frame | None:
        """The frame for inputs like ``like`` with ``lead`` before their features.

        None where a tensor is not what instructions need; see ``Program.run``.
        """
        key = (lead, like.dtype)
        if self.found is not None:
            known, frame = self.found
            if known == key and frame.watched.holds() and frame.options == self._options():
                return frame
        made = self._made(like, lead)
        if made is not None:
            self.found = key, made
        return made

    def learn(self) -> bool:
        """Whether a gradient flows into a parameter."""
        return any(_learns(module, name) for module, name in self._parameters)

    def _own(self) -> Iterator[Tensor | None]:
        """The parameters as they are now."""
        return (getattr(module, name, None) for module, name in self._parameters)

    def _options(self) -> list[tuple[Any, ...]]:
        return [
            (m.reset_mode, m.reset_delay, m.fires_at, m.spikes, m.surrogate, m.detach_reset)
            for _, m, *_ in self.script.neurons
        ]

    def _made(self, like: Tensor, lead: tuple[int, ...]) -> Frame | None:
        """What follows from steps, batch, dtype and parameters; None as for ``find``."""
        from .kernels.numba_program import carry_out

        script = self.script
        if not all(t is None or (t.is_cpu and _is_there(t)) for t in self._own()):
            return None
        # For few samples weights are read as they are, and nothing is made of them.
        few = math.prod(lead) <= FEW
        lying = [layer.weight.is_contiguous() for layer, *_ in script.affine]
        as_they_are = [w for w, lies in zip(self._weights, lying, strict=True) if few and lies]
        made_of = [w for w, lies in zip(self._weights, lying, strict=True) if not (few and lies)]
        # Before anything is made of the parameters: what is written meanwhile is then seen.
        watched = Watched([*made_of, *self._others], as_they_are)
        options = self._options()
        addresses, alive, program = [0] * len(self.sizes), list[Tensor](), self.program.copy()
        factors: dict[int, Tensor] = {}
        coefficients: list[Tensor] = []
        for (layer, weight, bias, sizes, row), lies in zip(script.affine, lying, strict=True):
            if not _serves(layer, like.dtype, bias >= 0, sizes):
                return None
            program[row, 6] = BY_INPUT
            if few and lies:
                program[row, 6] = AS_IT_IS_IN_ORDER if self.in_order else AS_IT_IS
                addresses[weight] = layer.weight.data_ptr()
            elif finite(layer.weight):
                # What one input weighs is one run of memory, which adding up active inputs needs.
                alive.append(by_place(layer.weight, max(1, sizes[0])))
                addresses[weight] = alive[-1].data_ptr()
            else:
                return None
            if bias >= 0:
                addresses[bias] = layer.bias.data_ptr()
        for module, _, place in script.factors:
            features = script.features[place]
            laid = module.over(features).expand(features).contiguous()
            if laid.dtype != like.dtype:
                return None
            factors[place] = laid.detach()
            addresses[place] = laid.data_ptr()
        batch, kind = lead[-1], str(like.dtype).removeprefix("torch.")
        for _, module, v, _, c, row in script.neurons:
            shape, rule = torch.Size(script.features[v]), module.rule
            tensors = module.laid(shape, like.dtype, like.device).tensors
            laid = periodic(
                tuple(t.detach() for t in tensors), shape, False, batch * math.prod(shape)
            )
            coefficients.append(laid)
            addresses[c] = laid.data_ptr()
            loop = loop_of(rule)
            numbers = numbers_of(loop, like.dtype, like.device)
            alive.append(numbers)
            program[row, 6:8] = laid.shape[1], address(loop, kind)
            program[row, 8:] = numbers.data_ptr(), rule.synapse
        for _, source, laid in script.constants:
            alive.append(laid)
            addresses[source] = laid.data_ptr()
        places = np.zeros((len(self.sizes), 3), np.int64)
        places[:, 1] = [0 if place in self._constant else n for place, n in enumerate(self.sizes)]
        inside = {} if self.taped else self.offset
        places[:, 2] = [inside.get(place, NOWHERE) for place in range(len(self.sizes))]
        moving = {*script.feeds.values(), *script.kept.values()}
        for place in moving:
            places[place, 0] = batch * self.sizes[place]
        still = [*script.before.values(), *(p for n in script.neurons for p in n[2:4] if p >= 0)]
        still += [p for _, _, own, _ in script.memories for p in own]
        states = {p: torch.Size((batch, *script.features[p])) for p in still}
        # A copy of a tensor is there sooner than a new one.
        blank = {p: like.new_zeros(shape) for p, shape in states.items()}
        for _, memory, own, entering in script.memories:
            first = memory.initial_state(like.new_empty(1).expand(batch, *entering))
            blank |= {p: v.detach().contiguous() for p, v in zip(own, first, strict=True)}
        if len(lead) == 1:
            blank |= {p: like.new_zeros((*lead, *script.features[p])) for p in script.kept.values()}
        return Frame(
            carry_out,
            program,
            places,
            constants(ATAN, like.dtype),
            vectors(kind) if script.written else 0,
            {p: torch.Size((*lead, *script.features[p])) for p in moving},
            states,
            blank,
            {n: torch.Size((*lead, *script.sends[n])) for n in script.kept},
            addresses,
            alive,
            watched,
            options,
            coefficients,
            [module.rule for _, module, *_ in script.neurons],
            factors,
            like.dtype,
        )


def _is_there(t: Tensor) -> bool:
    """Whether its numbers are in memory, which who shards parameters lets go of."""
    last = t.storage_offset() * t.element_size() + extent(t)
    return last <= t.untyped_storage().nbytes()


def _learns(module: nn.Module, name: str) -> bool:
    own = module.__dict__  # at hand, where attributes of a module are looked for
    t = own["_parameters"].get(name)
    if t is None:
        t = own["_buffers"].get(name)
    return t is not None and bool(t.requires_grad)


def _serves(layer: nn.Linear, dtype: torch.dtype, has_bias: bool, sizes: tuple[int, int]) -> bool:
    """Whether parameters may be read as instructions do: all there, of these sizes and dtype.

    ``sizes``: out and in, as the instructions have them; a layer's own may have changed since.
    """
    parameters = layer._parameters
    w, b = parameters.get("weight"), parameters.get("bias")
    if w is None or w.dtype != dtype or w.shape != sizes:
        return False
    if (b is not None) != has_bias:
        return False
    return b is None or (b.dtype == dtype and b.shape == sizes[:1] and b.is_contiguous())
