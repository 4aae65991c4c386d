"""Running a model without leaving a trace in it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from .frameworks import forget
from .record import version_of

_TABLES = ("_parameters", "_buffers", "_modules")


@contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """The model in eval mode and at rest; afterwards it is as it was.

    Parameters, buffers, hidden states, attributes and the training mode of every module come back,
    whatever the run did to them.
    """
    kept: list[tuple[nn.Module, dict[str, Any]]] = []
    values: list[tuple[Tensor, Tensor, int]] = []
    for module in model.modules():
        attributes = {k: _shallow(v) for k, v in module.__dict__.items()}
        kept.append((module, attributes))
        values += [(b, b.detach().clone(), version_of(b)) for b in module.buffers(recurse=False)]
    try:
        model.eval()
        for module in model.modules():
            forget(module)
        yield
    finally:
        for buffer, value, version in values:
            if version_of(buffer) != version:
                buffer.detach().copy_(value)
        for module, attributes in kept:
            module.__dict__.clear()
            module.__dict__.update(attributes)


def _shallow(value: Any) -> Any:
    return copy.copy(value) if isinstance(value, dict | list | set) else value
