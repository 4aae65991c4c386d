"""The tensors of a run that are there: found again by identity, and by the memory they share.

A record of every activation is several times as large as the model. So nothing here keeps a
tensor alive, unless its numbers are wanted afterwards: what the model lets go of is let go of.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from .record import Value, version_of


@dataclass(eq=False)
class Known:
    """What a tensor is.

    Attributes:
        tensor: gives the tensor, or None once it is gone.
        version: how often it had been written to.
        value: what it is.
    """

    tensor: Callable[[], Tensor | None]
    version: int
    value: Value


class Alive:
    """Which tensors there are.

    Args:
        keep: whether they are kept alive.
    """

    def __init__(self, keep: bool) -> None:
        self._keep = keep
        self._known: dict[int, Known] = {}
        self._sharing: dict[int, list[tuple[Known, StorageWeakRef]]] = {}
        self._holders: dict[Value, Callable[[], Tensor | None]] = {}
        self._outlines: dict[int, tuple[Any, Tensor]] = {}

    def known(self, tensor: Tensor) -> Known | None:
        """What is known of a tensor."""
        return self._known.get(id(tensor))

    def holder(self, value: Value) -> Tensor | None:
        """The tensor that became a value last, while it is there."""
        found = self._holders.get(value)
        return None if found is None else found()

    def enter(self, tensor: Tensor, value: Value) -> None:
        """Know a tensor from now on."""
        key = id(tensor)

        def gone(reference: Any) -> None:
            # Another tensor may have its place by now.
            if key in self._known and self._known[key].tensor is reference:
                del self._known[key]

        kept: Callable[[], Tensor | None]
        kept = _Kept(tensor) if self._keep else weakref.ref(tensor, gone)
        known = self._known[key] = Known(kept, version_of(tensor), value)
        self._holders[value] = kept
        if not value.constant and (place := memory_of(tensor)) is not None:
            there = [e for e in self._sharing.get(place, ()) if not e[1].expired()]
            there.append((known, StorageWeakRef(tensor.untyped_storage())))
            self._sharing[place] = there

    def sharing(self, tensor: Tensor) -> Iterator[tuple[Tensor, Known]]:
        """The values that share memory with a tensor, and what is known of them."""
        for known, _ in self._sharing.get(memory_of(tensor) or -1, ()):
            other = known.tensor()
            if other is not None and self._known.get(id(other)) is known:
                yield other, known

    def outlived(self, tensor: Tensor) -> bool:
        """Whether the memory of a tensor was that of a value that is gone, and never let go of."""
        there = self._sharing.get(memory_of(tensor) or -1, ())
        return any(not storage.expired() for _, storage in there)

    def outline(self, tensor: Tensor) -> Tensor:
        """A tensor without its numbers; the same one for the same tensor."""
        found = self._outlines.get(id(tensor))
        if found is None or found[0]() is not tensor:
            empty = torch.empty_strided(
                tensor.shape, _strides(tensor), dtype=tensor.dtype, device="meta"
            )
            found = self._outlines[id(tensor)] = weakref.ref(tensor), empty
        return found[1]


@dataclass(frozen=True, eq=False)
class _Kept:
    tensor: Tensor

    def __call__(self) -> Tensor:
        return self.tensor


def memory_of(tensor: Tensor) -> int | None:
    """The memory that a tensor shares with its views; empty ones share nothing."""
    if tensor.layout is not torch.strided or not tensor.numel():
        return None
    return tensor.untyped_storage().data_ptr()


def _strides(tensor: Tensor) -> tuple[int, ...]:
    """Of a tensor that is not strided, those of one that is."""
    if tensor.layout is torch.strided:
        return tensor.stride()
    return torch.empty(tensor.shape, device="meta").stride()
