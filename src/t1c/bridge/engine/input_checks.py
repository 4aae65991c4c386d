"""The caller's tensors, checked before anything runs on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from t1c.ir.errors import InputError, Problem
from t1c.ir.primitives.border import how_many_steps

Shape = tuple[int, ...]
Inputs = dict[str, Tensor]


def check_inputs(
    x: Any, shapes: Mapping[str, Shape | None], lead: int, dtype: torch.dtype | None
) -> Inputs:
    """The tensors by Input name.

    Args:
        x: a tensor, a dict by name, or a tuple in order.
        shapes: Input name -> its shape without time and batch, None where unknown; in order.
        lead: how many dimensions come before: 1 for a batch, 2 for time and batch.
        dtype: what the parameters have; None where there are none.

    Raises:
        InputError: a name, a type, a dtype or a shape is wrong; it says which and what to do.
    """
    given = _named(x, list(shapes))
    for name, shape in shapes.items():
        _check_tensor(name, given[name], dtype)
        _check_shape(name, tuple(given[name].shape), shape, lead)
    _check_sizes({name: tuple(x.shape[:lead]) for name, x in given.items()})
    return given


def check_sequence(
    x: Any,
    shapes: Mapping[str, Shape | None],
    holds: Mapping[str, int],
    steps: int | None,
    dtype: torch.dtype | None,
) -> Inputs:
    """The tensors of a sequence by Input name, each of them (T, B, *shape).

    An Input with ``hold`` may be given one value (B, *shape): every step then has that value, in
    the memory of one.

    Args:
        x: as for ``check_inputs``.
        shapes: likewise.
        holds: Input name -> how many steps it holds its value for, for those that do.
        steps: how many steps the caller wants held values to be held for, if not so many.
        dtype: as for ``check_inputs``.

    Raises:
        InputError: as there, or the numbers of steps contradict each other.
    """
    given = _named(x, list(shapes))
    still = {}
    for name, shape in shapes.items():
        _check_tensor(name, given[name], dtype)
        found = tuple(given[name].shape)
        lead = 2
        if name in holds and shape is not None and len(found) == 1 + len(shape):
            still[name], lead = holds[name], 1
        _check_shape(name, found, shape, lead)
    if not still and steps is None:
        _check_sizes({name: tuple(x.shape[:2]) for name, x in given.items()})
        return given
    T = how_many_steps({n: len(x) for n, x in given.items() if n not in still}, still, steps)
    given |= {name: given[name].expand(T, *given[name].shape) for name in still}
    _check_sizes({name: tuple(x.shape[:2]) for name, x in given.items()})
    return given


def _named(x: Any, names: list[str]) -> Inputs:
    if isinstance(x, Mapping):
        given = dict(x)
    elif isinstance(x, tuple | list):
        given = dict(zip(names, x, strict=False)) if len(x) == len(names) else {}
    else:
        given = {names[0]: x} if len(names) == 1 else {}
    if set(given) != set(names):
        count = f" of {len(x)}" if isinstance(x, tuple | list) else ""
        named = isinstance(x, Mapping)
        found = f"inputs {sorted(map(str, x))}" if named else f"a {type(x).__name__}{count}"
        remedy = "Pass a dict by name, or a tuple in this order."
        raise InputError(Problem(found, f"a tensor for each of {names}", remedy))
    return {name: given[name] for name in names}


def _check_sizes(sizes: Mapping[str, Shape]) -> None:
    # Not by a set: sizes that are symbols, as in torch.export, have no hash.
    first = next(iter(sizes.values()))
    if any(size != first for size in sizes.values()):
        raise InputError(
            Problem(f"inputs of different batch or time sizes: {dict(sizes)}", "the same for all")
        )


def _check_tensor(name: str, x: Any, dtype: torch.dtype | None) -> None:
    where = f"input {name!r}"
    if not isinstance(x, Tensor):
        raise InputError(Problem(f"a {type(x).__name__}", "a tensor or an array", where=where))
    if x.layout is not torch.strided or x.is_nested:
        kind = "nested" if x.is_nested else str(x.layout).removeprefix("torch.").strip("_")
        remedy = "Pass x.to_dense(): what is zero costs little as it is." * (not x.is_nested)
        raise InputError(Problem(f"a tensor of layout {kind}", "a strided one", remedy, where))
    if not x.is_floating_point() or (dtype is not None and x.dtype != dtype):
        wanted = str(dtype or torch.get_default_dtype()).removeprefix("torch.")
        raise InputError(
            Problem(
                f"dtype {str(x.dtype).removeprefix('torch.')}",
                wanted,
                f"Convert it with x.to(torch.{wanted}), or the executor with .to(x.dtype).",
                where,
            )
        )


def _check_shape(name: str, found: Shape, shape: Shape | None, lead: int) -> None:
    form = "(T, B, *shape)" if lead == 2 else "(B, *shape)"
    if shape is None:
        if len(found) < lead:
            raise InputError(Problem(f"shape {found}", form, where=f"input {name!r}"))
        return
    if len(found) >= lead and found[lead:] == shape:
        return
    missing = lead + len(shape) - len(found)
    remedy = ""
    if found[len(found) - len(shape) :] == shape:
        if missing == 1 and lead == 2:
            remedy = "Add the batch with x.unsqueeze(1), or the time with x.unsqueeze(0)."
            remedy += " One value for all steps is what Input(shape, hold=N) takes."
        elif missing == 1:
            remedy = "Add the batch with x.unsqueeze(0)."
        elif missing == -1 and lead == 1:
            remedy = "For a sequence (T, B, *shape) call executor.run(xs)."
    raise InputError(
        Problem(f"shape {found}", f"{form} with shape {shape}", remedy, f"input {name!r}")
    )
