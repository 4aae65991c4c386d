"""A list of instructions, and how a module becomes one.

Places are values: each has the features of one sample, and what lies where is said when the list
is carried out. Nothing here knows of a network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from .kernels.generated.loop import Loop
from .kernels.generated.operations import NUMBERS
from .kernels.generated.symbol import UnsuitedError as UnsuitedError
from .kernels.instructions import (
    ADD,
    AFFINE,
    COPY,
    ELEMENTS,
    EXPAND,
    INTO,
    NEURON,
    PART,
    SCALE,
    SHIFT,
    SPREAD,
    WIDTH,
)
from .kernels.rule import COEFFICIENTS
from .scanned import ScannedModule
from .stateful import StatefulModule

Shape = tuple[int, ...]
NOWHERE = -1


class Factor(Protocol):
    """A module whose parameter is multiplied by."""

    def over(self, features: Shape) -> Tensor:
        """It, ready to broadcast over features."""


class Script:
    """Instructions for some nodes, in the order of work.

    Attributes:
        names: the nodes.
        dtype: of all values.
        features: place -> the shape of one sample.
        rows: the instructions.
        feeds: node -> where its value, or its input, comes in.
        modules: node -> the module that was looked at.
        affine: layers, with the places of their weight and bias, their (out, in), and their row.
        factors: modules, the parameter that is multiplied by, and its place.
        neurons: (node, module, places of v, i and coefficients, its row).
        place_of: node -> where its value is.
        sends: node -> the shape of its value.
        before: node -> where what it sent in the step before is.
        kept: node -> where the value is that is wanted.
        memories: (node, module, places of its state variables, shape of what reaches it) of what no
            other list has.
        constants: (place, place of what each sample gets there, that).
        written: the modules that were written down by what they do; their parameters are among the
            constants, and no way back is known.
    """

    def __init__(self, names: tuple[str, ...], dtype: torch.dtype) -> None:
        self.names, self.dtype = names, dtype
        self.features: list[Shape] = []
        self.rows: list[list[int]] = []
        self.feeds: dict[str, int] = {}
        self.modules: dict[str, nn.Module] = {}
        self.affine: list[tuple[nn.Linear, int, int, tuple[int, int], int]] = []
        self.factors: list[tuple[Any, str, int]] = []
        self.neurons: list[tuple[str, ScannedModule, int, int, int, int]] = []
        self.place_of: dict[str, int] = {}
        self.sends: dict[str, Shape] = {}
        self.before: dict[str, int] = {}
        self.kept: dict[str, int] = {}
        self.memories: list[tuple[str, StatefulModule, tuple[int, ...], Shape]] = []
        self.constants: list[tuple[int, int, Tensor]] = []
        self.written: list[nn.Module] = []

    def place(self, shape: Shape) -> int:
        """A new place."""
        self.features.append(shape)
        return len(self.features) - 1

    def _add(self, *row: int) -> None:
        self.rows.append([*row])

    def copy(self, y: int, x: int) -> None:
        """``y = x``."""
        self._add(COPY, y, x)

    def sum(self, places: list[int], shape: Shape) -> int:
        """Where the sum of several values is."""
        if len(places) == 1:
            return places[0]
        total = self.place(shape)
        self.copy(total, places[0])
        for place in places[1:]:
            self._add(ADD, total, place)
        return total

    def passed(self, x: int, entering: Shape, leaving: Shape) -> int:
        """Where a value is that is passed on as it is, perhaps in another shape.

        Raises:
            UnsuitedError: its size would change.
        """
        if math.prod(entering) != math.prod(leaving):
            raise UnsuitedError
        if x in self.before.values():
            # That place is one step's, and written to at its end.
            return self.copied(x, leaving)
        return x

    def layer(self, module: nn.Linear, x: int, entering: Shape, leaving: Shape) -> int:
        """Where what a Linear makes of ``x`` is.

        Raises:
            UnsuitedError: its sizes are not those of the shapes.
        """
        if entering != (module.in_features,) or leaving != (module.out_features,):
            raise UnsuitedError
        y = self.place(leaving)
        weight = self.place((module.in_features * module.out_features,))
        given: Tensor | None = module.bias
        bias = self.place((module.out_features,)) if given is not None else NOWHERE
        sizes = (module.out_features, module.in_features)
        self.affine.append((module, weight, bias, sizes, len(self.rows)))
        self._add(AFFINE, y, x, weight, bias, module.in_features)
        return y

    def product(self, module: Factor, parameter: str, x: int, shape: Shape) -> int:
        """Where ``x`` times the parameter of that name is, as ``module.over`` lays it out."""
        y, factor = self.place(shape), self.place(shape)
        self._add(SCALE, y, x, factor)
        self.factors.append((module, parameter, factor))
        return y

    def neuron(self, name: str, module: ScannedModule, x: int, shape: Shape) -> int:
        """Where what a neuron makes of ``x`` is."""
        y = self.place(shape)
        v, i, c = self.place(shape), NOWHERE, self.place((len(COEFFICIENTS),))
        if len(module.state_names) > 1:
            i = self.place(shape)
        self.neurons.append((name, module, v, i, c, len(self.rows)))
        self._add(NEURON, y, x, v, i, c)
        return y

    def memory(self, name: str, module: StatefulModule, entering: Shape) -> tuple[int, ...]:
        """Where the state variables of a module lie that ``entering`` reaches."""
        shapes = module.state_shapes(torch.Size((1, *entering)))
        places = tuple(self.place(tuple(shape[1:])) for shape in shapes)
        self.memories.append((name, module, places, entering))
        return places

    def head(self, line: int, shape: Shape) -> int:
        """Where the oldest of a line is."""
        y = self.place(shape)
        self._add(COPY if self.features[line][0] == 1 else PART, y, line)
        return y

    def part(self, x: int, start: int, shape: Shape) -> int:
        """Where a part of ``x`` is, which begins at element ``start``."""
        y = self.place(shape)
        self._add(PART, y, x, start)
        return y

    def joined(self, places: Sequence[int], shape: Shape) -> int:
        """Where several values are, one behind another."""
        y, start = self.place(shape), 0
        for x in places:
            self._add(INTO, y, x, start)
            start += math.prod(self.features[x])
        return y

    def expanded(self, x: int, shape: Shape) -> int:
        """Where a value is that has one number, which is ``x``, for all of its elements."""
        y = self.place(shape)
        self._add(EXPAND, y, x)
        return y

    def reduce(self, to: int, x: int) -> None:
        """Write the one number that all elements of ``x`` are."""
        self._add(PART, to, x, 0)

    def shift(self, line: int, x: int) -> None:
        """Let a line go on by ``x``."""
        self._add(COPY if self.features[line][0] == 1 else SHIFT, line, x)

    def loop(
        self,
        loop: Loop,
        parameters: Mapping[str, Sequence[Tensor]],
        shape: Shape,
        reads: Sequence[int],
        carried: Sequence[int],
    ) -> list[int]:
        """Where the values are that a step of a loop writes; what it carries is carried on.

        Args:
            loop: of elements.
            parameters: those 'laid' and 'single', by number.
            shape: of every value.
            reads: where what it reads is.
            carried: where what it carries is, which it alone changes.
        """
        given = {"read": reads, "carried": carried}
        at: list[int] = []
        for op, operands, detail in ((e.op, e.operands, e.detail) for e in loop.entries):
            if op in given:
                at.append(given[op][detail])
            elif op == "number":
                at.append(self.constant(torch.tensor(detail, dtype=torch.float64), shape))
            elif op in parameters:
                at.append(self.constant(parameters[op][detail], shape))
            elif op == "detach":
                at.append(at[operands[0]])
            else:
                of = [at[p] for p in operands]
                at.append(self.place(shape))
                self._add(ELEMENTS + NUMBERS[op], at[-1], *of, *[of[0]] * (3 - len(of)))
        sent = [at[p] for p in loop.writes]
        after = [at[p] for p in loop.carried]
        # All are told before any is carried on: one may be what another was.
        own = {*carried, *self.before.values()}
        sent = [self.copied(p, shape) if p in own else p for p in sent]
        kept = zip(carried, after, strict=True)
        moved = [(to, self.copied(p, shape) if p in own else p) for to, p in kept if to != p]
        for to, p in moved:
            self.copy(to, p)
        return sent

    def copied(self, x: int, shape: Shape) -> int:
        """Where a copy of a value is."""
        y = self.place(shape)
        self.copy(y, x)
        return y

    def constant(self, value: Tensor, shape: Shape) -> int:
        """Where a value is that is the same in every step of every sample."""
        # A leading axis of size 1 stands for the batch.
        alone = value[0] if value.ndim > len(shape) else value
        laid = alone.detach().to(self.dtype).expand(shape).contiguous()
        for place, _, known in self.constants:
            if known.shape == laid.shape and _same(known, laid):
                return place
        place, source = self.place(shape), self.place(shape)
        self.constants.append((place, source, laid))
        return place

    def program(self) -> Any:
        """The instructions as compiled loops take them."""
        spread = [[SPREAD, place, source] for place, source, _ in self.constants]
        rows = [r + [0] * (WIDTH - len(r)) for r in (*self.rows, *spread)]
        return np.array(rows, np.int64).reshape(-1, WIDTH)

    def results(self) -> int:
        """How many products of inputs and weights, and other results, a step of a sample has."""
        sizes = self.sizes()
        products = sum(outputs * inputs for *_, (outputs, inputs), _ in self.affine)
        return products + sum(sizes[row[1]] for row in self.rows)

    def sizes(self) -> list[int]:
        """How many elements of one sample each place has."""
        return [math.prod(shape) for shape in self.features]


def places_of(row: Sequence[int]) -> Sequence[int]:
    """The places of the result and the operands that an instruction has in each step."""
    return row[1:5] if row[0] >= ELEMENTS else row[1:3]


def _same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors hold the same bytes."""
    return a.numpy().tobytes() == b.numpy().tobytes()


Write = Callable[[Script, Any, int, Shape, Shape], int]

_WRITERS: dict[type[nn.Module], Write] = {}


def instructs(*types: type[nn.Module]) -> Callable[[Write], Write]:
    """Decorator: the function writes down what a module of exactly these types does.

    It takes the script, the module, the place of its input and the shapes that enter and leave,
    and returns the place of its output, or raises ``UnsuitedError``.
    """

    def register(write: Write) -> Write:
        _WRITERS.update(dict.fromkeys(types, write))
        return write

    return register


def writer_of(module: nn.Module) -> Write | None:
    """The function that writes a module down; None for a subclass, which may do anything."""
    return _WRITERS.get(type(module))


@instructs(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.Flatten)
def _passed(script: Script, module: nn.Module, x: int, entering: Shape, leaving: Shape) -> int:
    return script.passed(x, entering, leaving)


@instructs(nn.Linear)
def _layer(script: Script, module: nn.Linear, x: int, entering: Shape, leaving: Shape) -> int:
    return script.layer(module, x, entering, leaving)
