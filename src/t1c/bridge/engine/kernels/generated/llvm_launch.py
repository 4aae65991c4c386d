"""Generated loops on a CPU.

A loop may take less time than Python does to say where its arrays are, so that is said briefly.
"""

from __future__ import annotations

import functools
from array import array
from collections.abc import Sequence
from ctypes import addressof, c_char
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..threads import share
from .loop import LEAVES, Loop
from .made import kernel
from .operations import OPERATIONS, Array

KINDS = {torch.float32: "float32", torch.float64: "float64"}
_KINDS = {np.dtype(name): kind for kind, name in KINDS.items()}
LAID = 2
"""Which of the arrays holds the parameters that have a value for each element."""


def launch(loop: Loop, steps: int, size: int, arrays: Sequence[Tensor]) -> None:
    """Work all steps; ``arrays`` are those whose addresses ``llvm_source`` takes, in its order.

    Raises:
        ValueError: one is of another type than the first, or its rows have gaps.
    """
    words, kind = array("q", [steps]), arrays[0].dtype
    for place, a in enumerate(arrays):
        shape, strides = a.shape, a.stride()
        if a.dtype != kind or (strides[-1] != 1 and shape[-1] > 1 and a.numel()):
            raise _unsuited(place, kind, a.dtype, strides)
        words.append(a.data_ptr())
        if place >= LAID:
            words.append(shape[1] if place == LAID else strides[0])
    _share(loop, steps, size, KINDS[kind], words)


def work(loop: Loop, steps: int, size: int, arrays: Sequence[Array]) -> None:
    """The same with arrays of NumPy."""
    words, kind = array("q", [steps]), arrays[0].dtype
    for place, a in enumerate(arrays):
        shape, strides = a.shape, a.strides
        if a.dtype != kind or (strides[-1] != kind.itemsize and shape[-1] > 1 and a.size):
            raise _unsuited(place, kind, a.dtype, strides)
        words.append(_start(a))
        if place >= LAID:
            words.append(shape[1] if place == LAID else strides[0] // kind.itemsize)
    _share(loop, steps, size, KINDS[_KINDS[kind]], words)


def _start(a: Array) -> int:
    """Where an array begins."""
    if a.flags.c_contiguous and a.flags.writeable and a.size:
        return addressof(c_char.from_buffer(cast(Any, a)))
    return cast(int, a.__array_interface__["data"][0])


def _unsuited(place: int, kind: object, found: object, strides: Sequence[int]) -> ValueError:
    return ValueError(f"array {place} of a loop of {kind} is {found} and lies {strides}")


def _share(loop: Loop, steps: int, size: int, kind: str, words: array[int]) -> None:
    table = words.buffer_info()[0]
    share(kernel(loop, kind), size, _cost(loop) * steps * size, table, multiple=16)


@functools.lru_cache(maxsize=1024)
def _cost(loop: Loop) -> int:
    """What a step of one element costs, in elements of a plain loop."""
    rows = [OPERATIONS[e.op] for e in loop.entries if e.op not in LEAVES]
    return 1 + sum(1 if row.exact else 16 for row in rows) // 4
