"""Neurons: ir.LIF <-> LIFModule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from t1c import ir
from t1c.ir.errors import ShapeError
from t1c.ir.primitives.neuron import parameter_shape

from ..registry import imports
from ..stateful import State, StatefulModule
from ..surrogate import spike

Numbers = Sequence[float] | float | np.ndarray[Any, Any] | Tensor
Laid = tuple[Tensor, ...]


class NeuronModule(StatefulModule):
    """Parameters, firing and reset that all spiking neurons share (SPEC: the LIF options).

    Parameters are buffers in float64 whatever dtype the module is moved to: coefficients are
    folded from them in float64 and then cast to the dtype of the input, so that no precision of
    the file is lost on the way.
    """

    exact: tuple[str, ...] = ()
    """The parameters, all of them buffers."""

    def __init__(
        self,
        parameters: dict[str, Numbers | None],
        reset: str | None,
        reset_delay: bool,
        fires_at: str,
    ) -> None:
        super().__init__()
        self.exact = tuple(name for name, value in parameters.items() if value is not None)
        for name, value in parameters.items():
            kept = None if value is None else _exact(value)
            self.register_buffer(name, kept)
        self.reset = reset or ("zero" if parameters["v_reset"] is None else "value")
        self.reset_delay = reset_delay
        self.fires_at = fires_at
        self._laid: dict[tuple[Any, ...], tuple[list[tuple[Tensor, int]], Laid]] = {}

    def fold(self, laid: dict[str, Tensor]) -> dict[str, Tensor]:
        """The coefficients of the update, in float64, from parameters that broadcast."""
        raise NotImplementedError

    def coefficients(self, x: Tensor) -> Laid:
        """What ``fold`` gives, cast to the dtype of ``x`` and laid over its features.

        Kept until a parameter is replaced or written to (writing through ``.data`` or a NumPy view
        goes unseen). Where that cannot be told, or a gradient flows, they are folded each time.
        """
        now = [self._parameter(name) for name in self.exact]
        if any(t.requires_grad or t.is_inference() for t in now):
            return self._folded(x)
        key = (x.shape[1:], x.dtype, x.device)
        kept = self._laid.get(key)
        if kept is not None and all(
            old is new and version == new._version
            for (old, version), new in zip(kept[0], now, strict=True)
        ):
            return kept[1]
        # What is kept must serve training too, which inference tensors cannot.
        with torch.inference_mode(False):
            folded = self._folded(x)
        self._laid[key] = [(t, t._version) for t in now], folded
        return folded

    def _folded(self, x: Tensor) -> Laid:
        features = tuple(x.shape[1:])
        laid = {name: self._over(name, features) for name in self.exact}
        return tuple(c.to(x.dtype) for c in self.fold(laid).values())

    def _parameter(self, name: str) -> Tensor:
        """A buffer, or the ``nn.Parameter`` that somebody who trains it put in its place."""
        return cast(Tensor, getattr(self, name))

    def _over(self, name: str, features: tuple[int, ...]) -> Tensor:
        value = self._parameter(name).to(torch.float64)
        try:
            return value.reshape(parameter_shape(tuple(value.shape), features))
        except ShapeError as error:
            raise ShapeError(
                [p.at(f"{type(self).__name__}.{name}") for p in error.problems]
            ) from None

    def fire_and_reset(
        self, v: Tensor, decay: Callable[[Tensor], Tensor], threshold: Tensor, target: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """One step of the membrane; mirrors ``ir.primitives.neuron`` operation by operation.

        The reset is detached: the surrogate gradient flows through the spike that is sent, not
        through the one that resets, as in snnTorch.
        """
        if self.reset_delay:
            due = spike(v.detach(), threshold.detach(), self.fires_at)
            u = decay(self._jump(v, due, target))
            if self.reset == "subtract":
                u = u - due * threshold
            return spike(u, threshold, self.fires_at), u
        u = decay(v)
        spikes = spike(u, threshold, self.fires_at)
        if self.reset == "subtract":
            return spikes, u - spikes.detach() * threshold
        return spikes, self._jump(u, spikes.detach(), target)

    def _jump(self, u: Tensor, spikes: Tensor, target: Tensor | None) -> Tensor:
        if self.reset == "zero":
            return u * (1 - spikes)
        if self.reset == "value" and target is not None:
            return torch.where(spikes > 0, target, u)
        return u

    def __getstate__(self) -> dict[str, Any]:
        # A copy counts the writes to its parameters anew.
        return {**self.__dict__, "_laid": {}}

    def _apply(self, fn: Any, recurse: bool = True) -> NeuronModule:
        # What became an nn.Parameter is cast like any other.
        kept = {name: self.get_buffer(name) for name in self.exact if name in self._buffers}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, value in kept.items():
            moved = self.get_buffer(name)
            # MPS has no float64: there the parameters stay behind, and coefficients are moved.
            device = value.device if moved.device.type == "mps" else moved.device
            self._buffers[name] = value.to(device)
        self._laid = {}
        return self


class LIFModule(NeuronModule):
    """Leaky integrate-and-fire neuron with the meaning of ``ir.LIF``.

    Args:
        tau: membrane time constant in steps, at least 1.
        r: membrane resistance.
        v_leak: leak potential.
        v_threshold: firing threshold.
        v_reset: value to reset to; given alone it means ``reset='value'``.
        reset: 'zero', 'value', 'subtract' or 'none'.
        reset_delay: apply a reset at the start of the next step.
        fires_at: 'ge' or 'gt'.

    Each parameter is one number, per channel, or per neuron. ``beta`` is ``1 - 1/tau``.

    Raises:
        NodeError: a parameter or option is out of range.

    Example:
        >>> import torch
        >>> lif = LIFModule(tau=2.0, r=2.0, v_leak=0.0, v_threshold=1.0)
        >>> spikes, mem = lif(torch.tensor([[0.75, 1.5]]))
        >>> spikes, mem
        (tensor([[0., 1.]]), tensor([[0.7500, 0.0000]]))
    """

    state_names = ("v",)
    tau: Tensor
    r: Tensor
    v_leak: Tensor
    v_threshold: Tensor
    v_reset: Tensor | None

    def __init__(
        self,
        tau: Numbers,
        r: Numbers,
        v_leak: Numbers,
        v_threshold: Numbers,
        *,
        v_reset: Numbers | None = None,
        reset: str | None = None,
        reset_delay: bool = False,
        fires_at: str = "ge",
    ) -> None:
        parameters = {
            "tau": tau,
            "r": r,
            "v_leak": v_leak,
            "v_threshold": v_threshold,
            "v_reset": v_reset,
        }
        arrays = {k: None if v is None else _exact(v).numpy() for k, v in parameters.items()}
        # The primitive checks its fields; the module need not repeat it.
        ir.LIF(**cast(Any, arrays), reset=reset, reset_delay=reset_delay, fires_at=fires_at)
        super().__init__(parameters, reset, reset_delay, fires_at)

    @property
    def beta(self) -> Tensor:
        """The decay of the membrane in one step, 1 - 1/tau."""
        return 1 - 1 / self.tau

    def fold(self, laid: dict[str, Tensor]) -> dict[str, Tensor]:
        """beta, gain = r/tau, leak = v_leak/tau, the threshold and the reset value if any."""
        tau = laid["tau"]
        folded = {"beta": 1 - 1 / tau, "gain": laid["r"] / tau, "leak": laid["v_leak"] / tau}
        rest = ("v_threshold", "v_reset")
        return {**folded, **{name: laid[name] for name in rest if name in laid}}

    def forward(self, x: Tensor, mem: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One time step.

        Args:
            x: input current (B, *features).
            mem: membrane potential from the step before; None is rest.

        Returns:
            (spikes, membrane potential), both of the shape of ``x``.
        """
        spikes, (v,) = self.step(x, self.initial_state(x) if mem is None else (mem,))
        return spikes, v

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step, state as a tuple."""
        beta, gain, leak, threshold, *target = self.coefficients(x)
        spikes, v = self.fire_and_reset(
            state[0], lambda v: beta * v + (gain * x + leak), threshold, next(iter(target), None)
        )
        return spikes, (v,)

    def scan(self, xs: Tensor, state: State) -> tuple[Tensor, State]:
        """All steps; what does not depend on the membrane is computed for all of them at once."""
        if not len(xs):
            return torch.empty_like(xs), state
        beta, gain, leak, threshold, *rest = self.coefficients(xs[0])
        target = next(iter(rest), None)
        driven = gain * xs + leak
        (v,) = state
        outputs = []
        for current in driven:

            def decay(v: Tensor, current: Tensor = current) -> Tensor:
                return beta * v + current

            spikes, v = self.fire_and_reset(v, decay, threshold, target)
            outputs.append(spikes)
        return torch.stack(outputs), (v,)

    def extra_repr(self) -> str:
        """The options that differ from the default."""
        shape = tuple(self.tau.shape)
        options = f"tau={shape}, reset={self.reset!r}, fires_at={self.fires_at!r}"
        return options + (", reset_delay=True" if self.reset_delay else "")


# Its public address; the import guide prints it, and pickles name it.
LIFModule.__module__ = "t1c.bridge.from_ir"


@imports(ir.LIF)
def _lif(node: ir.LIF, dtype: torch.dtype) -> nn.Module:
    return LIFModule(**node.values())


def _exact(value: Numbers) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().to(torch.float64).clone()
    return torch.from_numpy(np.array(value, dtype=np.float64))
