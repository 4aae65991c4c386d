"""How a model wants its inputs and lays out its outputs: where time, batch and features lie."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .axes import BATCH, STILL, TIME, Atom, Dims, leaves
from .calling import Arguments
from .record import Value
from .steps import Steps

Shapes = tuple[tuple[tuple[str | None, int], ...], ...]
"""Axes: for each the atoms that it holds, by role (time, batch or None) and size."""


@dataclass(frozen=True)
class Form:
    """How a model wants its inputs.

    Attributes:
        single: it takes single steps, one a call; else a whole sequence.
        shapes: for each input its axes: lists of (role, size), a role being time, batch or None.
        steps: how many steps the sample has.
        batch: how many samples it has.
    """

    single: bool
    shapes: tuple[Shapes | None, ...]
    steps: int
    batch: int

    @property
    def timed(self) -> tuple[bool, ...]:
        """For each input, whether it holds all steps."""
        return tuple(
            s is not None and any(role == TIME for dim in s for role, _ in dim) for s in self.shapes
        )

    @property
    def held(self) -> bool:
        """Whether the inputs hold one value, which the model repeats."""
        return not self.single and not any(self.timed)

    @property
    def merged(self) -> bool:
        """Whether time and batch share an axis of an input."""
        return any(
            {role for role, _ in dim} >= {TIME, BATCH} for s in self.shapes for dim in s or ()
        )

    def still(self, number: int) -> bool:
        """Whether an input holds one value for all steps."""
        return not self.single and not self.timed[number]

    def shape(self, number: int, steps: int, batch: int) -> tuple[int, ...]:
        """The shape of an input of other sizes."""
        sizes = {TIME: steps, BATCH: batch}
        axes = self.shapes[number] or ()
        result = []
        for dim in axes:
            n = 1
            for role, size in dim:
                n *= sizes.get(role or "", size)
            result.append(n)
        return tuple(result)

    def dims(self, number: int, steps: int, batch: int) -> Dims:
        """The axes of an input of other sizes."""
        sizes = {TIME: steps, BATCH: batch}
        result = []
        for dim in self.shapes[number] or ():
            atoms = []
            for role, size in dim:
                atom = Atom(sizes.get(role or "", size))
                if role is not None:
                    atom.become(role)
                atoms.append(atom)
            result.append(tuple(atoms))
        return tuple(result)


def form_of(steps: Steps, arguments: Arguments) -> Form:
    """How a model wants its inputs, from what it did with the sample."""
    record = steps.record
    sequence = steps.count > 1 or any(
        leaf.role == TIME
        for values in record.inputs.values()
        for value in values
        for dim in steps.dims(value)
        for leaf in leaves(dim)
    )
    shapes: list[Any] = []
    batch = 1
    for number in range(len(arguments.tensors)):
        values = record.inputs.get(number)
        if not values:
            shapes.append(None)
            continue
        dims = steps.dims(values[0])
        if sequence:
            shapes.append(tuple(tuple((a.role, a.size) for a in leaves(dim)) for dim in dims))
        else:
            first = ((BATCH, values[0].shape[0]),) if dims else ()
            rest = tuple(((None, n),) for n in values[0].shape[1:])
            shapes.append((first, *rest) if dims else ())
        for dim in shapes[-1]:
            for role, size in dim:
                batch = size if role == BATCH else batch
    timed = [size for axes in shapes for dim in axes or () for role, size in dim if role == TIME]
    return Form(not sequence, tuple(shapes), next(iter(timed), max(steps.count, 1)), batch)


def features_of(form: Form, number: int) -> tuple[int, ...]:
    """The shape of an input without time and batch."""
    result = []
    for dim in form.shapes[number] or ():
        sizes = [size for role, size in dim if role is None]
        lead = [role for role, _ in dim if role is not None]
        if sizes or not lead:
            n = 1
            for size in sizes:
                n *= size
            result.append(n)
    return tuple(result)


def packed(form: Form, number: int, xs: Tensor) -> Tensor:
    """An input (T, B, *features), or held (B, *features), as the model wants it."""
    lead = 1 if form.still(number) else 2
    atoms = [(role, size) for dim in form.shapes[number] or () for role, size in dim]
    inner = [size for role, size in atoms if role is None]
    flat = xs.reshape(*xs.shape[:lead], *inner)
    place, order = lead, []
    for role, _ in atoms:
        if role is None:
            order.append(place)
            place += 1
        else:
            order.append(lead - 1 if role == BATCH else 0)
    moved = flat.permute(order)
    sizes = {TIME: xs.shape[0], BATCH: xs.shape[lead - 1]}
    shape = []
    for dim in form.shapes[number] or ():
        n = 1
        for role, size in dim:
            n *= sizes[role] if role is not None else size
        shape.append(n)
    return moved.reshape(shape)


def unpacked(output: Any, axes: Shapes, form: Form, xs: Mapping[int, Tensor]) -> Tensor:
    """An output with time, where it has it, and the batch first."""
    if isinstance(output, list):
        output = torch.stack(output)
    number, given = next(iter(xs.items()))
    timed = [x.shape[0] for n, x in xs.items() if not form.still(n)]
    steps = timed[0] if timed else form.steps
    sizes = {TIME: steps, BATCH: given.shape[0 if form.still(number) else 1]}
    atoms = [atom for dim in axes for atom in dim]
    apart: Tensor = output.reshape([n if role is None else sizes[role] for role, n in atoms])
    roles = [role for role, _ in atoms]
    leading = [role for role in (TIME, BATCH) if role in roles]
    first = [roles.index(role) for role in leading]
    moved = apart.permute(*first, *[i for i in range(len(roles)) if i not in first])
    return moved.reshape(*[sizes[role] for role in leading], *features_out(axes))


def layout_of(steps: Steps, value: Value | list[Value]) -> Shapes:
    """The axes of an output, or of a list of one for each step: lists of (role, size)."""
    first = value[-1] if isinstance(value, list) else value
    dims = tuple(
        tuple((leaf.role, leaf.size) for leaf in leaves(dim) if leaf.role != STILL)
        for dim in steps.dims(first)
    )
    return (((TIME, steps.count),), *dims) if isinstance(value, list) else dims


def features_out(axes: Shapes) -> tuple[int, ...]:
    """The features of an output; an axis of one before time and batch is none of them.

    A list of stretches of time that holds only one is such an axis.
    """
    kept = []
    before = True
    for dim in axes:
        inner = math.prod(n for role, n in dim if role is None)
        led = any(role is not None for role, _ in dim)
        before = before and not led and inner == 1
        if not before and (not led or inner > 1):
            kept.append(inner)
    return tuple(kept)


def drawn(arguments: Arguments, form: Form, steps: int, batch: int, seed: int) -> list[Any]:
    """Numbers of our own like the sample's, of other sizes: for single steps, one set for each."""
    generator = torch.Generator().manual_seed(seed)

    def like(number: int, sample: Any) -> Any:
        if not isinstance(sample, Tensor) or form.shapes[number] is None:
            return sample
        shape = form.shape(number, steps, batch)
        if not sample.is_floating_point():
            high = max(int(sample.max()) if sample.numel() else 1, 1) + 1
            return torch.randint(0, high, shape, generator=generator).to(sample)
        size = max(float(sample.abs().max()) if sample.numel() else 1.0, 1.0)
        size = size if size < float("inf") else 1.0
        return (size * (4 * torch.rand(shape, generator=generator) - 1)).to(sample)

    turns = steps if form.single else 1
    return [[like(n, t) for n, t in enumerate(arguments.tensors)] for _ in range(turns)]
