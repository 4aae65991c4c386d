"""Neurons as modules: one mechanism for all, which follows the declaration of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from t1c import ir
from t1c.ir.errors import ShapeError
from t1c.ir.primitives.neuron import Neuron, SpikingNeuron, parameter_shape, plain

from ..engine.kernels.neuron import scan, states
from ..engine.kernels.observed import is_observed
from ..engine.kernels.rule import COEFFICIENTS, Rule
from ..engine.kernels.scan import Coefficients as Laid
from ..engine.scanned import ScannedModule, is_scanned, scanned
from ..engine.stateful import State
from .exporting import Shape, array, exports
from .registry import imports

Numbers = Sequence[float] | float | np.ndarray[Any, Any] | Tensor
Coefficients = dict[str, Tensor]
_ALIKE = {torch.float32: np.float32, torch.float64: np.float64}
"""The dtypes to which torch and numpy round alike."""
_MISSING = {
    dtype: [(name, np.array(name == "beta", like)) for name in COEFFICIENTS]
    for dtype, like in _ALIKE.items()
}
"""What kernels take for a coefficient that a neuron lacks: 1 for a decay, 0 for anything else."""


class NeuronModule(ScannedModule):
    """A neuron with the meaning of its primitive, whose formulas it uses.

    Takes the fields of the primitive, positionally or by name. Parameters are buffers in float64
    whatever dtype the module is moved to: coefficients are folded from them in float64 and then
    cast to the dtype of the input, so that no precision of the file is lost on the way.

    Raises:
        NodeError: a parameter or option is out of range.
    """

    node_type: ClassVar[type[Neuron]]
    _laid: dict[tuple[Any, ...], tuple[list[Any], Laid]]

    def __init__(self, *args: Any, **fields: Any) -> None:
        super().__init__()
        # The primitive checks its fields; the module need not repeat it.
        self._take(
            self.node_type(
                *(_array(value) for value in args), **{k: _array(v) for k, v in fields.items()}
            )
        )

    @classmethod
    def of(cls, node: Neuron) -> Self:
        """The module of a node.

        Raises:
            NodeError: a parameter was set out of range since the node was made.
        """
        node.check()
        module = cls.__new__(cls)
        ScannedModule.__init__(module)
        module._take(node)
        return module

    def _take(self, node: Neuron) -> None:
        values = node.values()
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        # Past ``nn.Module.__setattr__``, which asks of each value whether it is a parameter.
        for name, value in values.items():
            if name in arrays or value is None:
                kept = None if value is None else torch.from_numpy(value.astype(np.float64))
                self._buffers[name] = kept
            else:
                self.__dict__[name] = value
        reset = node.reset_mode if isinstance(node, SpikingNeuron) else None
        self.__dict__ |= {
            "exact": tuple(arrays),
            "state_names": node.state_names,
            "reset_mode": reset,
            "_laid": {},
        }

    def coefficients(self, x: Tensor) -> Coefficients:
        """The folded coefficients, and the plain parameters, laid over ``x`` in its dtype."""
        return self._folded(x.shape[1:], x.dtype, x.device)

    def laid(self, features: torch.Size, dtype: torch.dtype, device: torch.device) -> Laid:
        """The coefficients as kernels take them, over features of this shape.

        Kept as long as the parameters hold the same bytes. Where looking at them would take longer
        than folding, on a GPU, or a gradient flows, they are folded each time.
        """
        now = [self._parameter(name) for name in self.exact]
        grads = torch.is_grad_enabled() and any(t.requires_grad for t in now)
        if grads or torch.compiler.is_compiling() or is_observed(*now):
            return _complete(self._folded(features, dtype, device))
        if not all(t.is_cpu for t in now):
            return _complete(self._folded(features, dtype, device))
        key = (features, dtype, device)
        # Before they are folded: what is written meanwhile is then seen.
        arrays = [t.detach().numpy() for t in now]
        held = [part for a in arrays for part in (a.shape, a.tobytes())]
        kept = self._laid.get(key)
        if kept is not None and kept[0] == held:
            return kept[1]
        if dtype in _ALIKE:
            made = self._folded_by_numpy(arrays, tuple(features), dtype)
        else:
            # What is kept must serve training too, which inference tensors cannot.
            with torch.inference_mode(False), torch.no_grad():
                made = _complete(self._folded(features, dtype, device))
        self._laid[key] = held, made
        return made

    def _folded(
        self, features: torch.Size, dtype: torch.dtype, device: torch.device
    ) -> Coefficients:
        p = {name: self._over(name, tuple(features)) for name in self.exact}
        kept = plain(p, self.reset_mode)
        return {
            name: value.to(device, dtype) for name, value in (self.node_type.fold(p) | kept).items()
        }

    def _folded_by_numpy(
        self, arrays: Sequence[np.ndarray[Any, Any]], features: Shape, dtype: torch.dtype
    ) -> Laid:
        """The same bits on a CPU, in a third of the time that torch takes for so small tensors."""
        with np.errstate(all="ignore"):  # as torch does
            p = {
                name: a.reshape(self._shape_over(name, a.shape, features)).astype(np.float64)
                for name, a in zip(self.exact, arrays, strict=True)
            }
            c = self.node_type.fold(p) | plain(p, self.reset_mode)
            like = _ALIKE[dtype]
            found = [
                np.asarray(c[name], like) if name in c else missing
                for name, missing in _MISSING[dtype]
            ]
        return Laid(arrays=found)

    def learn(self, names: Sequence[str], dtype: torch.dtype) -> None:
        """Make ``nn.Parameter``s of these parameters; a neuron's are constants otherwise."""
        for name in names:
            value = self._parameter(name).detach()
            if name in self._buffers:
                del self._buffers[name]
            self.register_parameter(name, nn.Parameter(value.to(dtype)))
        self._laid = {}

    def _parameter(self, name: str) -> Tensor:
        """A buffer, or the ``nn.Parameter`` that somebody who trains it put in its place."""
        held = self._buffers.get(name)
        return held if held is not None else cast(Tensor, getattr(self, name))

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

    @property
    def rule(self) -> Rule:
        """The options, as kernels take them."""
        return Rule(
            reset=self.reset_mode or "no_fire",
            delay=self.reset_delay,
            strict=self.fires_at == "gt",
            synapse=len(self.state_names) > 1,
            surrogate=self.surrogate,
            detach_reset=self.detach_reset,
            many=self.spikes == "multiple",
            bounded="v_min" in self.exact,
        )

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step, state as a tuple."""
        output, state = self.scan(x.unsqueeze(0), state)
        return output[0], state

    def scan(self, xs: Tensor, state: State) -> tuple[Tensor, State]:
        """All steps in one kernel."""
        return scan(
            xs, state, self.laid(xs.shape[2:], xs.dtype, xs.device), self.rule, self.kernels
        )

    def states(self, xs: Tensor, state: State) -> State:
        """The state after every step, in one kernel where it tells."""
        found = None
        if is_scanned(self) and len(xs):
            laid = self.laid(xs.shape[2:], xs.dtype, xs.device)
            found = states(xs, state, laid, self.rule, self.kernels)
        return super().states(xs, state) if found is None else found

    def _over(self, name: str, features: tuple[int, ...]) -> Tensor:
        value = self._parameter(name).to(torch.float64)
        return value.reshape(self._shape_over(name, tuple(value.shape), features))

    def _shape_over(self, name: str, shape: Shape, features: Shape) -> Shape:
        try:
            return parameter_shape(shape, features)
        except ShapeError as error:
            where = f"{type(self).__name__}.{name}"
            raise ShapeError([p.at(where) for p in error.problems]) from None

    def __getstate__(self) -> dict[str, Any]:
        # A copy folds its parameters anew.
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
            for name in ("reset", "reset_delay", "fires_at", "spikes")
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
        reset: 'zero', 'value', 'subtract', 'lower', 'none', 'hold' or 'carry'; see ``ir.LIF``.
        reset_delay: apply a reset at the start of the next step.
        fires_at: 'ge' or 'gt'.
        spikes: 'binary' or 'multiple'.
        v_min: what the membrane never falls below; None: no bound.

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
    v_min: Tensor | None

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
        spikes: str = "binary",
        v_min: Numbers | None = None,
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
            spikes=spikes,
            v_min=v_min,
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


scanned(*_MODULES.values())


@imports(*_MODULES)
def _neuron(node: Neuron, dtype: torch.dtype) -> nn.Module:
    return _MODULES[type(node)].of(node)


@exports(*_MODULES.values(), NeuronModule)
def _neuron_node(module: NeuronModule, entering: Shape, leaving: Shape) -> ir.Node:
    fields: dict[str, Any] = {n: getattr(module, n, None) for n in module.node_type.kinds}
    arrays = {n: array(v) for n, v in fields.items() if isinstance(v, Tensor)}
    return module.node_type(**{**fields, **arrays})


def _complete(c: Coefficients) -> Laid:
    """In the order of kernels, with 1 for a decay and 0 for anything else that a neuron lacks."""
    like = c["gain"]
    missing = {
        name: like.new_tensor(float(name == "beta")) for name in COEFFICIENTS if name not in c
    }
    return Laid(tuple({**c, **missing}[name] for name in COEFFICIENTS))


def _array(value: Any) -> Any:
    return value.detach().cpu().double().numpy() if isinstance(value, Tensor) else value
