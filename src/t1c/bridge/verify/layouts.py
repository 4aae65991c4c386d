"""How a module takes a sequence and gives it back: found by trying it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

import torch
from torch import Tensor

from t1c.ir.errors import InputError, Problem

Shape = tuple[int, ...]
DEPENDS = "what becomes of a sample depends on another beside it"


class Form(StrEnum):
    """Where the axes of time and batch lie, in words."""

    TIME_FIRST = "(T, B, ...)"
    BATCH_FIRST = "(B, T, ...)"
    TIME_LAST = "(B, ..., T)"
    MERGED = "(B * T, ...)"
    ONCE = "(B, ...), one value for all steps"

    def pack(self, xs: Tensor) -> Tensor:
        """A sequence (T, B, *features) in this form."""
        if self is Form.TIME_FIRST:
            return xs
        if self is Form.ONCE:
            return xs[0]
        if self is Form.TIME_LAST:
            return xs.movedim(0, -1)
        by_batch = xs.transpose(0, 1)
        return by_batch if self is Form.BATCH_FIRST else by_batch.flatten(0, 1)

    def unpack(self, xs: Tensor, steps: int, batch: int) -> Tensor:
        """A tensor in this form as (T, B, *features); (1, B, *features) of one value."""
        if self is Form.TIME_FIRST:
            return xs
        if self is Form.ONCE:
            return xs.unsqueeze(0)
        if self is Form.TIME_LAST:
            return xs.movedim(-1, 0)
        by_batch = xs if self is Form.BATCH_FIRST else xs.unflatten(0, (batch, steps))
        return by_batch.transpose(0, 1)

    def shape(self, steps: int, batch: int, features: Shape) -> Shape:
        """What a sequence of so many steps and samples looks like in this form."""
        return {
            Form.TIME_FIRST: (steps, batch, *features),
            Form.BATCH_FIRST: (batch, steps, *features),
            Form.TIME_LAST: (batch, *features, steps),
            Form.MERGED: (batch * steps, *features),
            Form.ONCE: (batch, *features),
        }[self]


@dataclass(frozen=True)
class Wanted:
    """What the outputs of a side should look like, as far as the other side tells.

    Attributes:
        outputs: their names, in order.
        shapes: name -> features; empty where no graph tells.
        final: those of which the value at the last step is the answer.
        still: for each input, whether it is one value held for all steps.
    """

    outputs: tuple[str, ...] = ("output",)
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    final: frozenset[str] = frozenset()
    still: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Arrangement:
    """How a module that works through all steps in one call is given them, and gives them back.

    Attributes:
        takes: the form of each input.
        gives: output name -> its form; the last step alone where it is final.
        inside: the form in which the modules inside have sequences; None where it is not known.
    """

    takes: tuple[Form, ...]
    gives: Mapping[str, Form] = field(default_factory=dict)
    inside: Form | None = None

    def __str__(self) -> str:
        """In words, or '' for what goes without saying."""
        takes, gives = list(dict.fromkeys(self.takes)), list(dict.fromkeys(self.gives.values()))
        if takes == [Form.TIME_FIRST] and set(gives) <= {Form.TIME_FIRST}:
            return ""
        given = " and ".join(takes)
        made = ", ".join("the last step" if form is Form.ONCE else form for form in gives)
        return f", given {given}" + (f", giving {made}" if made else "")


Run = Callable[[Sequence[Tensor], Arrangement], Mapping[str, Tensor]]
"""Runs a module on sequences (T, B, ...), handed over as arranged: what it returns, by name."""


def arrange(run: Run, xs: Sequence[Tensor], wanted: Wanted, known: Form | None) -> Arrangement:
    """The arrangement in which a module takes ``xs`` and gives what is wanted.

    Each form is tried in turn. One fits where every output then has the shape that the graph
    tells, and where what becomes of a sample does not depend on another beside it, as it would if
    the axes of time and batch were mistaken for one another.

    Args:
        run: runs the module; it may fail in any way.
        xs: the inputs (T, B, *features).
        wanted: the outputs.
        known: the form that the module's parts are known to take.

    Raises:
        InputError: no form fits; it lists what was tried.
    """
    first = known or Form.TIME_FIRST
    if not wanted.shapes:
        # Nothing tells a good shape from a bad one.
        return Arrangement((first,) * len(xs), dict.fromkeys(wanted.outputs, first), first)
    xs = told_apart(xs)
    steps, batch = xs[0].shape[:2]
    tried: list[Problem] = []
    fallback: Arrangement | None = None
    for takes in _candidates(first, wanted.still or (False,) * len(xs)):
        form = next((form for form in takes if form is not Form.ONCE), None)
        inside = known or (Form.TIME_FIRST if form is Form.TIME_FIRST else None)
        try:
            found = run(xs, Arrangement(takes))
        except InputError:
            raise  # no other form would help
        except Exception as error:
            said = (str(error).strip() or "no message").splitlines()[0]
            tried.append(Problem(f"{type(error).__name__}: {said}", where=_given(takes)))
            continue
        gives, misfits = _forms(found, wanted, steps, batch, form)
        if misfits:
            tried += [Problem(said, wish, where=_given(takes)) for said, wish in misfits]
            continue
        made = Arrangement(takes, gives, inside)
        plain = set(takes) == {first}
        if (plain and known) or independent(partial(_unpacked, run, way=made), xs):
            return made
        tried.append(Problem(DEPENDS, where=_given(takes)))
        fallback = made if plain else fallback
    if fallback is not None:
        return fallback
    raise InputError(tried, "no way of handing over the sequence gives outputs as in the graph")


def _candidates(first: Form, still: Sequence[bool]) -> list[tuple[Form, ...]]:
    sequences = dict.fromkeys([first, Form.TIME_FIRST, Form.BATCH_FIRST, Form.TIME_LAST])
    once = [tuple(Form.ONCE if held else form for held in still) for form in sequences]
    whole = [(form,) * len(still) for form in sequences]
    return list(dict.fromkeys([*once, *whole] if any(still) else whole))


def _given(takes: Sequence[Form]) -> str:
    return f"given {' and '.join(dict.fromkeys(takes))}"


def _forms(
    found: Mapping[str, Tensor], wanted: Wanted, steps: int, batch: int, taken: Form | None
) -> tuple[dict[str, Form], list[tuple[str, str]]]:
    """The form of each output; and for those that have none, what they are and should be."""
    gives, misfits = {}, []
    sequences = [Form.TIME_FIRST, Form.BATCH_FIRST, Form.TIME_LAST]
    if taken is not None:
        sequences = list(dict.fromkeys([taken, *sequences]))
    for name, value in found.items():
        forms = [Form.ONCE] if name in wanted.final else sequences
        shapes = {form: form.shape(steps, batch, wanted.shapes[name]) for form in forms}
        fit = next((form for form, shape in shapes.items() if shape == tuple(value.shape)), None)
        if fit is None:
            wish = " or ".join(dict.fromkeys(map(str, shapes.values())))
            last = ", the answer of the last step"
            wish += last if name in wanted.final else ": an output for every step and sample"
            misfits.append((f"output {name!r} of shape {tuple(value.shape)}", wish))
        else:
            gives[name] = fit
    return gives, misfits


def _unpacked(run: Run, xs: Sequence[Tensor], way: Arrangement) -> dict[str, Tensor]:
    found, (steps, batch) = run(xs, way), xs[0].shape[:2]
    return {name: form.unpack(found[name], steps, batch) for name, form in way.gives.items()}


def told_apart(xs: Sequence[Tensor]) -> list[Tensor]:
    """The inputs, with one sample more where there are as many samples as steps."""
    steps, batch = xs[0].shape[:2]
    return [torch.cat([x, x[:, :1]], 1) if steps == batch else x for x in xs]


def independent(run: Callable[[list[Tensor]], Mapping[str, Tensor]], xs: Sequence[Tensor]) -> bool:
    """Whether the last sample comes out the same whatever sample is before it.

    Args:
        run: runs a module on inputs (T, B, ...); gives outputs (T, B, ...) by name.
        xs: the inputs.
    """
    pair = [torch.cat([x, x], 1) if x.shape[1] == 1 else x for x in xs]
    others = [torch.cat([1 - x[:, :-1], x[:, -1:]], 1) for x in pair]
    try:
        one, other = run(pair), run(others)
    except Exception:
        return False
    # Batches of one size, so that no sum is taken in another order.
    return all(torch.equal(y[:, -1], other[name][:, -1]) for name, y in one.items())
