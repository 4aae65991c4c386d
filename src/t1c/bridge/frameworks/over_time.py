"""Modules that take a whole sequence in one call: where time lies in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from torch import Tensor, nn

from t1c.ir.errors import InputError, Problem, UnsupportedError


class Layout(StrEnum):
    """How a module wants a sequence."""

    TIME_FIRST = "(T, B, ...)"
    BATCH_FIRST = "(B, T, ...)"
    MERGED = "(B * T, ...)"

    def pack(self, xs: Tensor) -> Tensor:
        """A sequence (T, B, *features) in this layout."""
        if self is Layout.TIME_FIRST:
            return xs
        by_batch = xs.transpose(0, 1)
        return by_batch if self is Layout.BATCH_FIRST else by_batch.flatten(0, 1)

    def unpack(self, xs: Tensor, steps: int, batch: int) -> Tensor:
        """A tensor in this layout as (T, B, *features)."""
        if self is Layout.TIME_FIRST:
            return xs
        by_batch = xs if self is Layout.BATCH_FIRST else xs.unflatten(0, (batch, steps))
        return by_batch.transpose(0, 1)


@dataclass(frozen=True)
class OverTime:
    """What is known of a type of module.

    Attributes:
        layout: the layout of a module, None for one that takes single steps as it is.
        batch: how many samples a MERGED module takes a sequence of n steps and samples for.
    """

    layout: Callable[[Any], Layout | None]
    batch: Callable[[Any, int], int] | None = None


_KINDS: dict[type[nn.Module], OverTime] = {}


def over_time(
    *types: type[nn.Module],
    layout: Callable[[Any], Layout | None] | Layout,
    batch: Callable[[Any, int], int] | None = None,
) -> None:
    """Say that modules take whole sequences.

    Args:
        types: the modules, subclasses included.
        layout: the layout of all of them, or a function that tells that of each.
        batch: for MERGED ones, ``(module, n)`` -> the number of samples in n rows.
    """
    tell = (lambda _: layout) if isinstance(layout, Layout) else layout
    _KINDS.update(dict.fromkeys(types, OverTime(tell, batch)))


def _kind(module: nn.Module) -> OverTime | None:
    kind = next((_KINDS[cls] for cls in type(module).__mro__ if cls in _KINDS), None)
    return kind if kind is not None and kind.layout(module) is not None else None


def layout_of_one(module: nn.Module) -> Layout | None:
    """The layout of the sequences that this one module takes; None if it takes single steps."""
    kind = _kind(module)
    return None if kind is None else kind.layout(module)


def layout_of(model: nn.Module) -> Layout | None:
    """The layout of the sequences that a model takes; None if it takes single steps.

    Raises:
        UnsupportedError: its modules want different ones.
    """
    found: dict[Layout, str] = {}
    for path, module in model.named_modules():
        kind = _kind(module)
        layout = kind.layout(module) if kind is not None else None
        if layout is not None:
            found.setdefault(layout, f"{path or type(module).__name__!r}: {layout}")
    if len(found) > 1:
        raise UnsupportedError(
            Problem(
                f"modules that take sequences in different layouts ({', '.join(found.values())})",
                "one layout in the whole model",
            )
        )
    return next(iter(found), None)


def batch_of(model: nn.Module, rows: int) -> int:
    """How many samples the rows of a MERGED module's, or of such a model's, input are.

    Raises:
        InputError: the rows do not make up whole sequences.
    """
    for module in model.modules():
        kind = _kind(module)
        if kind is not None and kind.batch is not None:
            batch = kind.batch(module, rows)
            if batch > 0 and rows % batch == 0:
                return batch
            raise InputError(
                Problem(f"{rows} rows for a {module}", "a whole number of steps for every sample")
            )
    return 1
