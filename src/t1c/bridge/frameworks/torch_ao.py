"""torch.ao's fake quantisation, and the observers that go with it.

What rounds is an operation of torch, which is followed as any other. This says what surrounds it:
a scale that still moves is no part of a graph, and an observer passes on what it looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn
from torch.ao.quantization import observer
from torch.ao.quantization.fake_quantize import (
    FakeQuantize,
    FakeQuantizeBase,
    FusedMovingAvgObsFakeQuantize,
)

from t1c.ir.errors import Problem


def unfollowed(module: nn.Module) -> Problem | None:
    """Why a module's numbers are not those of its next call: its scale follows what it is given."""
    if not isinstance(module, FakeQuantizeBase) or not bool(module.observer_enabled[0]):
        return None
    if isinstance(getattr(module, "activation_post_process", None), observer.FixedQParamsObserver):
        return None
    return Problem(
        f"a {type(module).__name__} that observes: its scale changes with every input, in eval "
        "mode too",
        "a scale that was settled",
        "Call model.apply(torch.ao.quantization.disable_observer) before the export.",
    )


@contextmanager
def unfused(module: nn.Module) -> Iterator[None]:
    """Have a fused fake quantiser round by the plain operation, and an observer look away.

    The fused operation is the observer's average, which is off here, and then the plain one.
    """
    stand_in: Callable[[Tensor], Tensor]
    if isinstance(module, FusedMovingAvgObsFakeQuantize) and _is_torchs(module):
        stand_in = partial(FakeQuantize.forward, module)
    elif isinstance(module, observer.ObserverBase) and _is_torchs(module):
        stand_in = _passed
    else:
        yield
        return
    module.__dict__["forward"] = stand_in
    try:
        yield
    finally:
        del module.__dict__["forward"]


def _is_torchs(module: nn.Module) -> bool:
    """Whether the forward of a module is torch's own."""
    place = type(module).forward.__module__
    return place.startswith("torch.ao.quantization.") and "forward" not in vars(module)


def _passed(x: Tensor) -> Tensor:
    return x
