"""A chunk of which training keeps what enters it, and no more: the way back works it once more."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from t1c.ir.errors import InputError, Problem, UnsupportedError

from .input_checks import Inputs
from .kernels.tape import keeping_nothing
from .looked import Moment
from .network import Network
from .sequence import run_chunk
from .state_checks import States
from .values import Values


class Twice:
    """Works the chunks of one run as ``run_chunk``; what gradients need is worked anew.

    The second time draws the same random numbers and moves no statistics.

    Args:
        network: what is worked.
    """

    def __init__(self, network: Network) -> None:
        self._modules = [
            (name, inner) for name, module in network.nodes() for inner in module.modules()
        ]
        self._settings = _settings(network, self._modules)

    def work(
        self,
        network: Network,
        inputs: Inputs,
        state: States,
        keep: Collection[str],
        moment: Moment | None = None,
    ) -> tuple[Values, States]:
        """As ``run_chunk``; each time the network is looked at anew.

        Raises:
            UnsupportedError: a module writes to a buffer of its own, which a second time would too.
            InputError: on the way back: modules, options or what they give are others by then.
        """
        from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

        counts = {name: len(own) for name, own in state.items()}
        given = (*inputs.values(), *(v for own in state.values() for v in own))
        # Parameters too: autograd keeps arguments, and refuses to go on where one was written to.
        own = {id(p): p for p in network.parameters()}
        chunk = _Chunk(self, network, tuple(inputs), counts, tuple(keep))
        # To its end, so that what comes out can be compared.
        with set_checkpoint_early_stop(False):
            found: tuple[Values, States] = checkpoint(
                chunk, *given, *own.values(), use_reentrant=False, determinism_check="none"
            )
        return found

    def check_unwritten(self, network: Network) -> None:
        """Refuse modules that wrote to their buffers.

        Raises:
            UnsupportedError: one did.
        """
        now = _settings(network, self._modules)
        if now == self._settings:
            return
        kinds = [_buffers(inner) for _, inner in self._modules]
        for (name, inner), before, after in zip(
            self._modules, self._settings[-1], kinds, strict=True
        ):
            if before != after:
                raise UnsupportedError(
                    Problem(
                        f"{type(inner).__name__} writes to a buffer of its own",
                        "modules that give the same when a chunk is worked anew",
                        "Leave checkpoint away, or let the module return what it keeps as state.",
                        f"node {name!r}",
                    )
                )
        self._settings = now

    def check_unchanged(self, network: Network) -> None:
        """Refuse another network than there was.

        Raises:
            InputError: it is.
        """
        if _settings(network, self._modules) != self._settings:
            raise _changed("the network is not as it was in run(..., checkpoint=True)")


@dataclass
class _Chunk:
    """Works a chunk, and then the same one again; its tensors come as arguments."""

    run: Twice
    network: Network
    names: tuple[str, ...]
    counts: dict[str, int]
    keep: tuple[str, ...]
    left: _Left | None = None

    def __call__(self, *tensors: Tensor) -> tuple[Values, States]:
        rest = iter(tensors)
        inputs = {name: next(rest) for name in self.names}
        state = {name: tuple(next(rest) for _ in range(n)) for name, n in self.counts.items()}
        if self.left is None:
            with keeping_nothing():
                values, after = run_chunk(self.network, inputs, state, self.keep)
            self.run.check_unwritten(self.network)
            self.left = _Left(values, after)
            return values, after
        self.run.check_unchanged(self.network)
        with _unmoved(self.network):
            values, after = run_chunk(self.network, inputs, state, self.keep)
        if not self.left.equals(values, after):
            raise _changed("a chunk that is worked anew gives other numbers than in run()")
        return values, after


class _Left:
    """What a chunk left behind: its state, which is kept anyway, and the sums of its outputs."""

    def __init__(self, values: Values, after: States) -> None:
        self._sums = _sums(values)
        # Neither copies nor histories.
        self._state = [(v.detach(), v._version) for own in after.values() for v in own]

    def equals(self, values: Values, after: States) -> bool:
        """Whether a second time gave the same bits; a state that was written to since tells not."""
        new = [v.detach() for own in after.values() for v in own]
        pairs = zip(self._state, new, strict=True)
        same = all(
            v._version != version or torch.allclose(v, w, rtol=0, atol=0, equal_nan=True)
            for (v, version), w in pairs
        )
        sums = zip(self._sums, _sums(values), strict=True)
        return same and all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in sums)


def _sums(values: Values) -> list[float]:
    sent = (v if isinstance(v, tuple) else (v,) for v in values.values())
    return [float(y.detach().sum(dtype=torch.float64)) for ports in sent for y in ports]


def _settings(network: Network, modules: Sequence[tuple[str, nn.Module]]) -> tuple[Any, ...]:
    """What a chunk depends on besides the tensors that enter it, as far as it can be told."""
    return (
        network.events,
        network.kernels,
        network.reproducible,
        [id(module) for _, module in network.nodes()],
        [inner.training for _, inner in modules],
        [id(p) for _, inner in modules for p in inner._parameters.values()],
        [_buffers(inner) for _, inner in modules],
    )


def _buffers(module: nn.Module) -> list[tuple[int, int]]:
    """Which it has, and how often each was written to; statistics in training are not used."""
    if not module._buffers or _moves(module):
        return []
    return [
        (id(b), -1 if b.is_inference() else b._version)
        for b in module._buffers.values()
        if b is not None
    ]


def _moves(module: nn.Module) -> bool:
    """Whether its buffers are statistics that it moves now, and does not use."""
    return isinstance(module, _NormBase) and module.training


@contextmanager
def _unmoved(network: Network) -> Iterator[None]:
    """Statistics move on copies, and what ``explain`` says stays."""
    choices, blocks = network.choices, network.blocks
    network.choices, network.blocks = {}, {}
    with ExitStack() as restored:
        for _, module in network.nodes():
            for inner in module.modules():
                if _moves(inner):
                    restored.callback(inner._buffers.update, dict(inner._buffers))
                    copies = {
                        n: None if b is None else b.clone() for n, b in inner._buffers.items()
                    }
                    inner._buffers.update(copies)
        try:
            yield
        finally:
            network.choices, network.blocks = choices, blocks


def _changed(found: str) -> InputError:
    return InputError(
        Problem(
            found,
            "on the way back, the same modules, options and threads as on the way there",
            "Call backward() before anything is changed; a module that draws numbers by itself, "
            "or keeps some, cannot be worked anew: leave checkpoint away.",
            field="checkpoint",
        )
    )
