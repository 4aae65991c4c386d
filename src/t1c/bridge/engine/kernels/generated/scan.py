"""A written loop at work on tensors: all steps of a chunk, with its gradient."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..arithmetic import of_arithmetic
from ..layout import channels_last, flat, periodic, reduced, unflat
from ..tape import keeps
from .gradient import Backward, backward
from .loop import LEAVES, Loop
from .operations import OPERATIONS
from .symbol import Written

Tensors = tuple[Tensor, ...]


def scan(
    written: Written, xs: Sequence[Tensor], state: Sequence[Tensor], name: str = "numba"
) -> tuple[Tensors, Tensors]:
    """All steps of a loop.

    Args:
        written: the loop and its parameters.
        xs: the arrays that it reads, each (T, B, *features), at least one.
        state: what it was handed before the first step, each (B, *features); left as they are.
        name: of the kernels; they must serve the loop.

    Returns:
        (what it wrote, each (T, B, *features); what it hands on after the last step).
    """
    loop, rank = written.loop, xs[0].ndim - 2
    tensors: tuple[Tensor, ...] = (*xs, *state, *written.laid, *written.single)
    if not (torch.is_grad_enabled() and any(t.requires_grad for t in tensors)):
        found = forward(loop, name, xs, state, _arrays(written, xs[0], *_layout(xs[0])))
        return found[: len(loop.writes)], found[len(loop.writes) :]
    laid = [p[0] if p.ndim > rank else p for p in written.laid]
    single = [p.reshape(()) for p in written.single]
    tensors = (*xs, *state, *laid, *single)
    found = _Scan.apply(written, name, len(xs), len(state), len(laid), *tensors)  # type: ignore[no-untyped-call]
    return found[: len(loop.writes)], found[len(loop.writes) :]


Arrays = tuple[Tensor, Tensor]
"""Parameters as kernels take them: laid and single."""


def _layout(x: Tensor) -> tuple[torch.Size, bool]:
    """The shape of a sequence, and whether it lies channels last."""
    return x.shape, channels_last(x)


def _arrays(written: Written, like: Tensor, shape: torch.Size, last: bool) -> Arrays:
    """The parameters of a loop over sequences of this shape that lie so, as they were first met."""
    key = shape[2:], last
    if key not in written.arrays:
        laid = tuple((p[0] if p.ndim > len(key[0]) else p).detach() for p in written.laid)
        single = [p.detach().reshape(()) for p in written.single]
        rows = periodic(laid, *key) if laid else like.new_empty((0, 1))
        written.arrays[key] = rows, torch.stack(single) if single else like.new_empty(0)
    return written.arrays[key]


def forward(
    loop: Loop, name: str, xs: Sequence[Tensor], state: Sequence[Tensor], arrays: Arrays
) -> Tensors:
    """What was written, and what is handed on after the last step."""
    layout = _layout(xs[0])
    carried = together(state, xs[0], *layout)
    reads = [flat(xs[n].detach(), layout[1]) for n in loop.reads]
    wrote, _ = work(loop, name, reads, carried, arrays, *layout)
    return (*(unflat(y, *layout) for y in wrote), *apart(carried, *layout))


def together(state: Sequence[Tensor], like: Tensor, shape: torch.Size, last: bool) -> Tensor:
    """States (B, *features) as one array (states, N), which is a copy."""
    rows = [flat(v.detach().unsqueeze(0), last) for v in state]
    return torch.cat(rows) if rows else like.new_empty((0, shape[1:].numel()))


def apart(rows: Tensor, shape: torch.Size, last: bool) -> Tensors:
    """The rows of an array as tensors (B, *features), each with memory of its own."""
    one = torch.Size((1, *shape[1:]))
    own = [*rows] if len(rows) == 1 else [row.clone() for row in rows]
    return tuple(unflat(row.unsqueeze(0), one, last)[0] for row in own)


def work(
    loop: Loop,
    name: str,
    reads: Sequence[Tensor],
    carried: Tensor,
    arrays: Arrays,
    shape: torch.Size,
    last: bool,
) -> tuple[list[Tensor], Tensor]:
    """Walk ``carried``, in place, through all steps: (what was written, what was added up).

    Args:
        loop: what is worked.
        name: of the kernels.
        reads: the arrays it reads, each (T, N), in the order of ``loop.reads``.
        carried: (states, N).
        arrays: its parameters.
        shape: of a sequence, (T, B, *features).
        last: whether it lies channels last.
    """
    steps, size = shape[0], shape[1:].numel()
    wide = of_arithmetic(carried.dtype)
    over = {n: reads[loop.reads.index(array)] for n, array in loop.over}
    wrote = [
        over[n] if n in over else carried.new_empty((steps, size)) for n in range(len(loop.writes))
    ]
    sums = carried.new_empty((len(loop.sums), size), dtype=wide)
    numbers = numbers_of(loop, wide, carried.device)
    rows, alone = arrays
    launch = launcher(name)
    launch(loop, steps, size, [numbers, alone, rows, carried, sums, *reads, *wrote])
    return wrote, sums


def called(loop: Loop, like: Tensor) -> tuple[int, Tensor]:
    """Where a loop's function for numbers like these is on a CPU, and the numbers that it takes.

    For who calls it from compiled code, and keeps the numbers for as long.
    """
    from .llvm_launch import KINDS
    from .made import address

    return address(loop, KINDS[like.dtype]), numbers_of(loop, like.dtype, like.device)


def launcher(name: str) -> Callable[[Loop, int, int, Sequence[Tensor]], None]:
    """What works a loop by these kernels; imported only where they run."""
    if name == "triton":
        from . import triton_launch

        return triton_launch.launch
    from . import llvm_launch

    return llvm_launch.launch


def serves(loop: Loop, name: str) -> bool:
    """Whether kernels of this name have every operation of a loop, and of its gradient."""
    if name != "triton":
        return name == "numba"
    rows = (OPERATIONS[e.op] for e in loop.entries if e.op not in LEAVES)
    return all(row.triton is not None for row in rows)


@functools.lru_cache(maxsize=1024)
def exact(loop: Loop) -> bool:
    """Whether every bit of its results is said, whatever works it."""
    return all(OPERATIONS[e.op].exact for e in loop.entries if e.op not in LEAVES)


@functools.lru_cache(maxsize=1024)
def numbers_of(loop: Loop, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zero, one and the numbers of a loop, as kernels take them."""
    return torch.tensor([0.0, 1.0, *loop.numbers], dtype=dtype, device=device)


@functools.lru_cache(maxsize=1024)
def with_gradient(
    loop: Loop, wanted: tuple[int, ...], laid: tuple[int, ...], single: tuple[int, ...]
) -> tuple[Loop, Backward]:
    """(the loop that also writes what its gradient needs and nothing else has, its gradient)."""
    back = backward(loop, wanted, laid, single)
    had = {*loop.writes, *loop.leaves("read").values()}
    more = (place for place in back.kept if place not in had)
    return Loop(loop.entries, (*loop.writes, *more), loop.carried), back


def kept_of(
    loop: Loop, back: Backward, xs: Sequence[Tensor], places: Sequence[int], wrote: Sequence[Tensor]
) -> Tensors:
    """What ``back`` is given, of what was read and what was written at these places.

    Who keeps nothing has not written it; there is something in its place.
    """
    values = {place: xs[n] for n, place in loop.leaves("read").items()}
    values |= dict(zip(places, wrote, strict=False))
    none = xs[0].new_empty(0)
    return tuple(values.get(place, none) for place in back.kept)


class _Scan(torch.autograd.Function):
    """``tensors``: what is read, what is handed over, parameters laid and single."""

    @staticmethod
    def forward(
        ctx: Any, written: Written, name: str, inputs: int, states: int, laid: int, *tensors: Tensor
    ) -> Tensors:
        ends = [inputs, inputs + states, inputs + states + laid]
        xs, state, own = tensors[:inputs], tensors[inputs : ends[1]], tensors[ends[1] :]
        needed = ctx.needs_input_grad[5:]
        ctx.wanted = _numbers(needed[:inputs])
        ctx.laid, ctx.single = _numbers(needed[ends[1] : ends[2]]), _numbers(needed[ends[2] :])
        loop = written.loop
        forth, back = with_gradient(loop, ctx.wanted, ctx.laid, ctx.single)
        ctx.layout = _layout(xs[0])
        walked = forth if keeps() else loop
        found = forward(walked, name, xs, state, _arrays(written, xs[0], *ctx.layout))
        wrote, rest = len(loop.writes), len(walked.writes)
        # Those that learn are saved for torch to tell whether they were written to since.
        learnt = own if ctx.laid or ctx.single else ()
        ctx.save_for_backward(*learnt, *kept_of(loop, back, xs, walked.writes, found))
        ctx.written, ctx.loop, ctx.name = written, back.loop, name
        ctx.counts = (inputs, laid, len(own) - laid, wrote, len(learnt))
        ctx.set_materialize_grads(False)
        return (*found[:wrote], *found[rest:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        inputs, laid, single, writes, learnt = ctx.counts
        shape, last = ctx.layout
        kept = ctx.saved_tensors  # once: who recomputes them hands each out once
        own, saved = kept[:learnt], kept[learnt:]
        like = next((g for g in grads if g is not None), None)
        if like is None:
            return (None,) * len(ctx.needs_input_grad)
        given = [like.new_zeros(shape) if g is None else g for g in grads[:writes]]
        arrays = [*saved, *given]
        after = [like.new_zeros(shape[1:]) if g is None else g for g in grads[writes:]]
        carried = together(after, like, shape, last)
        reads = [flat(arrays[n], last) for n in ctx.loop.reads]
        parameters = _arrays(ctx.written, like, shape, last)
        wrote, sums = work(ctx.loop, ctx.name, reads, carried, parameters, shape, last)
        to_xs, to_own = [None] * inputs, [None] * (laid + single)
        for n, g in zip(ctx.wanted, wrote, strict=True):
            to_xs[n] = unflat(g, shape, last)
        rows = unflat(sums, torch.Size((len(sums), *shape[1:])), last)
        for n, row in zip([*ctx.laid, *(laid + n for n in ctx.single)], rows, strict=True):
            to_own[n] = reduced(row, own[n])
        return None, None, None, None, None, *to_xs, *apart(carried, shape, last), *to_own


def _numbers(wanted: Sequence[bool]) -> tuple[int, ...]:
    return tuple(n for n, needed in enumerate(wanted) if needed)
