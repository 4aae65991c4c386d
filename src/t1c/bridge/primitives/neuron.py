"""Neurons as modules: one mechanism for all, which follows the declaration of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from t1c import ir
from t1c.ir.errors import ShapeError
from t1c.ir.primitives.neuron import Neuron, SpikingNeuron, parameter_shape

from ..exporting import Shape, array, exports
from ..registry import imports
from ..stateful import State, StatefulModule
from ..surrogate import spike

Numbers = Sequence[float] | float | np.ndarray[Any, Any] | Tensor
Coefficients = dict[str, Tensor]


class NeuronModule(StatefulModule):
    """A neuron with the meaning of its primitive, whose formulas it uses.

    Takes the fields of the primitive, positionally or by name. Parameters are buffers in float64
    whatever dtype the module is moved to: coefficients are folded from them in float64 and then
    cast to the dtype of the input, so that no precision of the file is lost on the way.

    Raises:
        NodeError: a parameter or option is out of range.
    """

    node_type: ClassVar[type[Neuron]]
    reset_delay: bool
    fires_at: str

    def __init__(self, *args: Any, **fields: Any) -> None:
        super().__init__()
        # The primitive checks its fields; the module need not repeat it.
        node = self.node_type(
            *(_array(value) for value in args), **{k: _array(v) for k, v in fields.items()}
        )
        self.exact = tuple(node.parameters())
        for name, value in node.values().items():
            if name in self.exact or value is None:
                kept = None if value is None else torch.from_numpy(value.astype(np.float64))
                self.register_buffer(name, kept)
            else:
                setattr(self, name, value)
        self.state_names = node.state_names
        self.reset_mode = node.reset_mode if isinstance(node, SpikingNeuron) else None
        self._laid: dict[tuple[Any, ...], tuple[list[tuple[Tensor, int]], Coefficients]] = {}

    def coefficients(self, x: Tensor) -> Coefficients:
        """The folded coefficients, threshold and reset value, laid over ``x`` in its dtype.

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

    def _folded(self, x: Tensor) -> Coefficients:
        p = {name: self._over(name, tuple(x.shape[1:])) for name in self.exact}
        plain = {name: p[name] for name in ("v_threshold", "v_reset") if name in p}
        return {
            name: value.to(x.device, x.dtype)
            for name, value in (self.node_type.fold(p) | plain).items()
        }

    def _parameter(self, name: str) -> Tensor:
        """A buffer, or the ``nn.Parameter`` that somebody who trains it put in its place."""
        return cast(Tensor, getattr(self, name))

    def forward(self, x: Tensor, *state: Tensor | None) -> tuple[Tensor, ...]:
        """One time step.

        Args:
            x: input current (B, *features).
            state: the state variables from the step before, in the order of ``state_names``; none
                is rest.

        Returns:
            (output, *state), each of the shape of ``x``.
        """
        given = tuple(s for s in state if s is not None)
        output, after = self.step(x, given or self.initial_state(x))
        return output, *after

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step, state as a tuple."""
        c = self.coefficients(x)
        drive, extra = self.node_type.drive(c, x, state[:-1])
        output, v = self._settle(c, state[-1], drive)
        return output, (*extra, v)

    def scan(self, xs: Tensor, state: State) -> tuple[Tensor, State]:
        """All steps; without a synapse, what drives the membrane is computed for all at once."""
        if not len(xs) or len(self.state_names) > 1:
            return super().scan(xs, state)
        c = self.coefficients(xs[0])
        drives, _ = self.node_type.drive(c, xs, ())
        (v,) = state
        outputs = []
        for drive in drives:
            output, v = self._settle(c, v, drive)
            outputs.append(output)
        return torch.stack(outputs), (v,)

    def _settle(self, c: Coefficients, v: Tensor, drive: Tensor) -> tuple[Tensor, Tensor]:
        """(output, membrane to carry on); mirrors ``SpikingNeuron.settle`` step by step.

        The reset is detached: the surrogate gradient flows through the spike that is sent, not
        through the one that resets, as in snnTorch.
        """
        decay, mode = self.node_type.decay, self.reset_mode
        if mode is None:
            u: Tensor = decay(c, v, drive)
            return u, u
        threshold, target = c["v_threshold"], c.get("v_reset")
        if self.reset_delay:
            due = spike(v.detach(), threshold.detach(), self.fires_at)
            u = decay(c, _jump(v, due, target) if mode in ("zero", "value") else v, drive)
            if mode == "subtract":
                u = u - due * threshold
            elif mode == "hold":
                u = _jump(u, due, None)
            return spike(u, threshold, self.fires_at), u
        u = decay(c, v, drive)
        if mode == "carry":
            due = spike(v.detach(), threshold.detach(), self.fires_at)
            u = u - due * threshold
            spikes = spike(u, threshold, self.fires_at)
            return spikes, u - (spikes.detach() - due) * threshold
        spikes = spike(u, threshold, self.fires_at)
        if mode == "subtract":
            return spikes, u - spikes.detach() * threshold
        return spikes, _jump(u, spikes.detach(), target) if mode in ("zero", "value") else u

    def _over(self, name: str, features: tuple[int, ...]) -> Tensor:
        value = self._parameter(name).to(torch.float64)
        try:
            return value.reshape(parameter_shape(tuple(value.shape), features))
        except ShapeError as error:
            where = f"{type(self).__name__}.{name}"
            raise ShapeError([p.at(where) for p in error.problems]) from None

    def __getstate__(self) -> dict[str, Any]:
        # A copy counts the writes to its parameters anew.
        return {**self.__dict__, "_laid": {}}

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
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

    def extra_repr(self) -> str:
        """The shapes of the parameters, and the options that differ from the default."""
        shapes = [f"{name}={tuple(self._parameter(name).shape)}" for name in self.exact]
        defaults = self.node_type.defaults()
        options = [
            f"{name}={getattr(self, name)!r}"
            for name in ("reset", "reset_delay", "fires_at")
            if name in defaults and getattr(self, name) != defaults[name]
        ]
        return ", ".join(shapes + options)


class LIFModule(NeuronModule):
    """Leaky integrate-and-fire neuron with the meaning of ``ir.LIF``.

    Args:
        tau: membrane time constant in steps, at least 1.
        r: membrane resistance.
        v_leak: leak potential.
        v_threshold: firing threshold.
        v_reset: value to reset to; given alone it means ``reset='value'``.
        reset: 'zero', 'value', 'subtract', 'none', 'hold' or 'carry'; see ``ir.LIF``.
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

    node_type = ir.LIF
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
        super().__init__(
            tau,
            r,
            v_leak,
            v_threshold,
            v_reset=v_reset,
            reset=reset,
            reset_delay=reset_delay,
            fires_at=fires_at,
        )

    @property
    def beta(self) -> Tensor:
        """The decay of the membrane in one step, 1 - 1/tau."""
        return 1 - 1 / self.tau

    # The guide promises this signature.
    def forward(  # type: ignore[override]
        self, x: Tensor, mem: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """One time step.

        Args:
            x: input current (B, *features).
            mem: membrane potential from the step before; None is rest.

        Returns:
            (spikes, membrane potential), both of the shape of ``x``.
        """
        spikes, v = super().forward(x, mem)
        return spikes, v


class LIModule(NeuronModule):
    """Leaky integrator, ``ir.LI``: gives the updated membrane. State: (v,)."""

    node_type = ir.LI


class IFModule(NeuronModule):
    """Integrate-and-fire neuron, ``ir.IF``. State: (v,)."""

    node_type = ir.IF


class IModule(NeuronModule):
    """Integrator, ``ir.I``: gives the updated membrane. State: (v,)."""

    node_type = ir.I


class CubaLIFModule(NeuronModule):
    """Current-based leaky integrate-and-fire neuron, ``ir.CubaLIF``. State: (i, v)."""

    node_type = ir.CubaLIF


class CubaLIModule(NeuronModule):
    """Current-based leaky integrator, ``ir.CubaLI``: gives the membrane. State: (i, v)."""

    node_type = ir.CubaLI


# Its public address; the import guide prints it, and pickles name it.
LIFModule.__module__ = "t1c.bridge.from_ir"

_MODULES: Mapping[type[Neuron], type[NeuronModule]] = {
    module.node_type: module
    for module in (LIFModule, LIModule, IFModule, IModule, CubaLIFModule, CubaLIModule)
}


@imports(*_MODULES)
def _neuron(node: Neuron, dtype: torch.dtype) -> nn.Module:
    return _MODULES[type(node)](**node.values())


@exports(*_MODULES.values(), NeuronModule)
def _neuron_node(module: NeuronModule, entering: Shape, leaving: Shape) -> ir.Node:
    fields: dict[str, Any] = {n: getattr(module, n, None) for n in module.node_type.kinds}
    arrays = {n: array(v) for n, v in fields.items() if isinstance(v, Tensor)}
    return module.node_type(**{**fields, **arrays})


def _jump(u: Tensor, spikes: Tensor, target: Tensor | None) -> Tensor:
    return u * (1 - spikes) if target is None else torch.where(spikes > 0, target, u)


def _array(value: Any) -> Any:
    return value.detach().cpu().double().numpy() if isinstance(value, Tensor) else value
