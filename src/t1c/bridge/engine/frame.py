"""Where everything lies while a script is carried out: for one number of steps, batch and dtype."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from t1c.ir.collector import building

from .kernels.fingerprint import extent
from .kernels.generated.made import vectors
from .kernels.generated.neuron import loop_of
from .kernels.generated.scan import called
from .kernels.instructions import AS_IT_IS, AS_IT_IS_IN_ORDER, BY_INPUT
from .kernels.rule import Rule
from .kernels.weights import by_place, finite
from .script import NOWHERE, Script, places_of
from .watched import Watched, held

Place = tuple[nn.Module, str]
"""A module, and the name of a parameter or buffer of its own."""
FEW = 4
"""Samples, over all steps, for which weights are read as they are."""


@dataclass
class Frame:
    """What a program needs for one number of steps, batch size and dtype.

    Attributes:
        kernel: what carries the instructions out, imported when it is first needed.
        program: the instructions, with the options of neurons.
        places: as compiled loops take them.
        empty: an array of nothing, of the dtype of all values.
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
    empty: Any
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
        parameters: the weights of layers, and what else there is.
        taped: every value has an address, and none is of the instructions alone.
        in_order: an input of zero adds nothing, whatever its weight is.

    Attributes:
        found: the frame that was found last, with what it is for; None before the first.
    """

    def __init__(
        self,
        script: Script,
        parameters: tuple[list[Place], list[Place]],
        taped: bool = False,
        in_order: bool = False,
    ) -> None:
        self.script, self.taped, self.in_order = script, taped, in_order
        self._weights, self._others = parameters
        self.found: tuple[tuple[Any, ...], Frame] | None = None

    # What follows from the script, once a frame is made: of steps with gradients and of others
    # most programs see only one kind.

    @functools.cached_property
    def sizes(self) -> list[int]:
        """Place -> how many elements of one sample it has."""
        return self.script.sizes()

    @property
    def offset(self) -> dict[int, int]:
        """Place -> where it is among the values that only the instructions see, of one sample."""
        return self._lying[0]

    @property
    def room(self) -> int:
        """Elements of all of them."""
        return self._lying[1]

    @functools.cached_property
    def _program(self) -> Any:
        return self.script.program()

    @functools.cached_property
    def _constant(self) -> set[int]:
        """The places that are the same for every sample."""
        found = {p for _, *places, _, _ in self.script.affine for p in places}
        return found | {n[4] for n in self.script.neurons}

    @functools.cached_property
    def _lying(self) -> tuple[dict[int, int], int]:
        script = self.script
        outside = {*script.feeds.values(), *script.kept.values(), *script.before.values()}
        outside |= self._constant | {p for *_, p in script.factors}
        outside |= {p for n in script.neurons for p in n[2:4]}
        outside |= {p for _, _, places, _ in script.memories for p in places}
        outside |= {source for _, source, _ in script.constants}
        # Every place that only the instructions see has room in one buffer.
        inside = [place for place in range(len(self.sizes)) if place not in outside]
        return self._apart(inside) if self.taped else self._in_turn(inside)

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
        for module, name in itertools.chain(self._weights, self._others):
            own = held(module, name)
            if own is not None and own.requires_grad:
                return True
        return False

    def _options(self) -> list[tuple[Any, ...]]:
        return [
            (m.reset_mode, m.reset_delay, m.fires_at, m.spikes, m.surrogate, m.detach_reset)
            for _, m, *_ in self.script.neurons
        ]

    @building()
    def _made(self, like: Tensor, lead: tuple[int, ...]) -> Frame | None:
        """What follows from steps, batch, dtype and parameters; None as for ``find``."""
        from .kernels.numba_program import carry_out

        script = self.script
        for module, name in itertools.chain(self._weights, self._others):
            t = held(module, name)
            if t is not None and not (t.is_cpu and _is_there(t)):
                return None
        # For few samples weights are read as they are, and nothing is made of them.
        few = math.prod(lead) <= FEW
        lying = [layer.weight.is_contiguous() for layer, *_ in script.affine]
        as_they_are = [w for w, lies in zip(self._weights, lying, strict=True) if few and lies]
        made_of = [w for w, lies in zip(self._weights, lying, strict=True) if not (few and lies)]
        # Before anything is made of the parameters: what is written meanwhile is then seen.
        watched = Watched([*made_of, *self._others], as_they_are)
        options = self._options()
        addresses, alive, program = [0] * len(self.sizes), list[Tensor](), self._program.copy()
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
        batch = lead[-1]
        rules = [module.rule for _, module, *_ in script.neurons]
        loops = {}
        for rule in set(rules):
            loop, numbers = called(loop_of(rule), like)
            alive.append(numbers)
            loops[rule] = loop, numbers.data_ptr(), rule.synapse
        told: list[tuple[int, ...]] = []
        for (_, module, v, _, c, _), rule in zip(script.neurons, rules, strict=True):
            shape = torch.Size(script.features[v])
            own_laid = module.laid(shape, like.dtype, like.device)
            laid = own_laid.spread(shape, False, batch * self.sizes[v])
            coefficients.append(laid)
            addresses[c] = laid.data_ptr()
            told.append((laid.shape[1], *loops[rule]))
        if told:
            program[[n[-1] for n in script.neurons], 6:] = told
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
        shaped = {own: torch.Size((batch, *own)) for own in {script.features[p] for p in still}}
        states = {p: shaped[script.features[p]] for p in still}
        # A copy of a tensor is there sooner than a new one.
        zeros = {own: like.new_zeros(shape) for own, shape in shaped.items()}
        blank = {p: zeros[script.features[p]] for p in still}
        for _, memory, own, entering in script.memories:
            first = memory.initial_state(like.new_empty(1).expand(batch, *entering))
            blank |= {p: v.detach().contiguous() for p, v in zip(own, first, strict=True)}
        if len(lead) == 1:
            blank |= {p: like.new_zeros((*lead, *script.features[p])) for p in script.kept.values()}
        return Frame(
            carry_out,
            program,
            places,
            like.new_empty(0).numpy(),
            vectors(str(like.dtype).removeprefix("torch.")) if script.written else 0,
            {p: torch.Size((*lead, *script.features[p])) for p in moving},
            states,
            blank,
            {n: torch.Size((*lead, *script.sends[n])) for n in script.kept},
            addresses,
            alive,
            watched,
            options,
            coefficients,
            rules,
            factors,
            like.dtype,
        )


def parameters_of(script: Script) -> tuple[list[Place], list[Place]]:
    """Where the weights of its layers are held, and where its other parameters."""
    weights: list[Place] = [(layer, "weight") for layer, *_ in script.affine]
    others: list[Place] = [(layer, "bias") for layer, *_ in script.affine]
    others += [(module, name) for module, name, _ in script.factors]
    others += [(module, name) for _, module, *_ in script.neurons for name in module.exact]
    return weights, others


def _is_there(t: Tensor) -> bool:
    """Whether its numbers are in memory, which who shards parameters lets go of."""
    last = t.storage_offset() * t.element_size() + extent(t)
    return last <= t.untyped_storage().nbytes()


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
