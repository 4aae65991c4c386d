"""torch.vmap, written out: what it does to all slices of a tensor at once, done to one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..frameworks.stand_ins import standing_in

Function = Callable[..., Any]


@contextmanager
def written_out() -> Iterator[None]:
    """Have torch.vmap call its function once for each slice, on tensors that can be followed."""
    own = torch.vmap

    def vmap(function: Function, in_dims: Any = 0, out_dims: Any = 0, **options: Any) -> Function:
        def call(*args: Any, **kwargs: Any) -> Any:
            dims = tuple(in_dims) if isinstance(in_dims, tuple | list) else (in_dims,) * len(args)
            known = all(d is None or isinstance(a, Tensor) for a, d in zip(args, dims, strict=True))
            if kwargs or not known or not isinstance(out_dims, int):
                return own(function, in_dims, out_dims, **options)(*args, **kwargs)
            return _one_by_one(function, args, dims, out_dims)

        return call

    with standing_in((torch, "vmap", vmap), (torch.func, "vmap", vmap)):
        yield


def _one_by_one(
    function: Function, args: tuple[Any, ...], dims: tuple[int | None, ...], out_dim: int
) -> Any:
    """What a function gives for each slice of its arguments, stacked."""
    sliced = [a.unbind(d) for a, d in zip(args, dims, strict=True) if d is not None]
    results = []
    for parts in zip(*sliced, strict=True):
        left = iter(parts)
        given = (a if d is None else next(left) for a, d in zip(args, dims, strict=True))
        results.append(function(*given))
    if isinstance(results[0], Tensor):
        return torch.stack(results, out_dim)
    return tuple(torch.stack(outputs, out_dim) for outputs in zip(*results, strict=True))
