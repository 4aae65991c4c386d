"""What a model did on a sample: which module or operation was given what.

The model runs once. Every tensor that comes from the sample is known by its identity, so that the
record holds what really happened to it, in whatever order and through whatever Python. Nothing is
judged here but what reads a tensor's values: that would make the graph depend on the sample. What
a graph cannot say is noted in its call, and refused if the result depends on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from .module_calls import ModuleCalls
from .operation_calls import OperationCalls


class Trace(ModuleCalls, OperationCalls):
    """The record of one run of a model; fill it inside of ``recording``."""


class _Mode(TorchFunctionMode):
    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._trace.operation_called(func, args, kwargs or {})


@contextmanager
def recording(trace: Trace) -> Iterator[None]:
    """Have every call of a module, and every operation, noted."""
    run = nn.Module.__call__

    def called(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return trace.module_called(run, module, args, kwargs)

    nn.Module.__call__ = called  # type: ignore[method-assign]
    try:
        with torch.inference_mode(False), torch.no_grad(), _Mode(trace):
            yield
    finally:
        nn.Module.__call__ = run  # type: ignore[method-assign]
