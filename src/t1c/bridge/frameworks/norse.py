"""Norse's neurons -> nodes, with the meaning they have in Norse.

They fire at ``v > v_th`` and reset in the same step; the current jumps by the input and drives the
membrane at once. They start from v_leak (an IAF from v_reset), a graph from 0: the membrane of an
exported neuron is counted from there, and so are its threshold and its reset.

Import this module only where Norse is installed.
"""

from __future__ import annotations

from typing import Any

import norse.torch as norse
import numpy as np
import torch
from norse.torch.functional import iaf, leaky_integrator, leaky_integrator_box, lif, lif_box, reset
from norse.torch.module.snn import SNN, SNNRecurrent
from torch import Tensor

from t1c import ir

from ..modules.exporting import Shape, exports, over_features, refuse
from .over_time import Layout, over_time
from .shared import refuse_own_methods, time_constant_of_rate
from .watching import Note, watches

_HUGE = 1e30
"""A threshold that no membrane reaches, and that a product with 0 leaves harmless."""


def _refuse_other(module: Any, step: Any) -> None:
    """Refuse a neuron whose step is not the one that its class stands for.

    ``alpha`` shapes the surrogate gradient only, and so does every method that is a step.
    """
    refuse_own_methods(module, ("forward", "initial_state"))
    if module.activation is not step:
        name = getattr(module.activation, "__name__", "unknown")
        raise refuse(
            f"the step function {name}",
            f"{step.__name__}",
            "Use method='super' or another that is no 'adjoint'.",
        )
    if getattr(module.state_fallback, "__func__", None) is not type(module).initial_state:
        raise refuse("a state_fallback of its own", "a state that starts from rest")


def _number(value: Any) -> Tensor:
    return torch.as_tensor(value).detach()


def _firing(p: Any, start: Tensor, features: Shape, subtracts: bool = False) -> dict[str, Any]:
    """Threshold and reset as fields of a node, counted from where the membrane starts."""
    origin = over_features(start, features, "the membrane's start").astype(np.float64)
    threshold = over_features(_number(p.v_th), features, "v_th") - origin
    fields: dict[str, Any] = {"v_threshold": threshold, "fires_at": "gt"}
    target = over_features(_number(p.v_reset), features, "v_reset") - origin
    if subtracts:
        if origin.any():
            raise refuse(
                f"reset_subtract in a neuron that starts at {start}",
                "one that starts at 0: there a threshold is what it says, and what is subtracted",
                "Use v_leak = 0 and a threshold counted from there.",
            )
        fields["reset"] = "subtract"
    elif target.any():
        fields["v_reset"] = target
    return fields


def _taus(module: Any, features: Shape) -> tuple[Any, Any]:
    """The time constants of synapse and membrane in steps."""
    names = ("tau_syn_inv", "tau_mem_inv")
    syn, mem = (module.dt * _number(getattr(module.p, n)) for n in names)
    return (
        time_constant_of_rate(syn, features, "dt * tau_syn_inv"),
        time_constant_of_rate(mem, features, "dt * tau_mem_inv"),
    )


def _from_leak(module: Any) -> tuple[Any, ...]:
    """Membrane and current at rest."""
    return _number(module.p.v_leak), 0


def _from_reset(module: Any) -> tuple[Any, ...]:
    """The membrane of an IAF at rest."""
    return (_number(module.p.v_reset),)


@exports(norse.LIFCell, norse.LIF, stepped=True, rest=_from_leak)
def _lif(module: Any, entering: Shape, leaving: Shape) -> ir.Node:
    _refuse_other(module, lif.lif_feed_forward_step)
    tau_syn, tau_mem = _taus(module, entering)
    return ir.CubaLIF(
        tau_syn=tau_syn,
        tau_mem=tau_mem,
        r=np.ones(1),
        v_leak=np.zeros(1),
        w_in=tau_syn.copy(),
        **_firing(module.p, _number(module.p.v_leak), entering),
    )


@exports(norse.LIFBoxCell, stepped=True, rest=_from_leak)
def _lif_box(module: Any, entering: Shape, leaving: Shape) -> ir.Node:
    _refuse_other(module, lif_box.lif_box_feed_forward_step)
    method = module.p.reset_method
    if method not in (reset.reset_value, reset.reset_subtract):
        name = getattr(method, "__name__", "unknown")
        raise refuse(f"reset_method={name}", "reset_value or reset_subtract")
    rate = module.dt * _number(module.p.tau_mem_inv)
    tau = time_constant_of_rate(rate, entering, "dt * tau_mem_inv")
    fields = _firing(module.p, _number(module.p.v_leak), entering, method is reset.reset_subtract)
    return ir.LIF(tau=tau, r=np.ones(1), v_leak=np.zeros(1), **fields)


@exports(norse.IAFCell, norse.IAF, stepped=True, rest=_from_reset)
def _iaf(module: Any, entering: Shape, leaving: Shape) -> ir.Node:
    _refuse_other(module, iaf.iaf_feed_forward_step)
    return ir.IF(r=np.ones(1), **_firing(module.p, _number(module.p.v_reset), entering))


def _refuse_leak(module: Any) -> None:
    if _number(module.p.v_leak).any():
        raise refuse(
            f"v_leak = {module.p.v_leak} in a {type(module).__name__}, which starts there",
            "0: the membrane is its output, and in a graph it starts from 0",
        )


@exports(norse.LICell, norse.LI, stepped=True, rest=_from_leak)
def _li(module: Any, entering: Shape, leaving: Shape) -> ir.Node:
    _refuse_other(module, leaky_integrator.li_feed_forward_step)
    _refuse_leak(module)
    tau_syn, tau_mem = _taus(module, entering)
    return ir.CubaLI(tau_syn, tau_mem, np.ones(1), np.zeros(1), tau_syn.copy())


@exports(norse.LIBoxCell, stepped=True, rest=_from_leak)
def _li_box(module: Any, entering: Shape, leaving: Shape) -> ir.Node:
    _refuse_other(module, leaky_integrator_box.li_box_feed_forward_step)
    _refuse_leak(module)
    rate = module.dt * _number(module.p.tau_mem_inv)
    tau = time_constant_of_rate(rate, entering, "dt * tau_mem_inv")
    return ir.LI(tau, np.ones(1), np.zeros(1))


# Time ------------------------------------------------------------------------------------------


over_time(SNN, SNNRecurrent, norse.Lift, layout=Layout.TIME_FIRST)


@watches(norse.LIFCell, norse.LIF, norse.LIFBoxCell, norse.IAFCell, norse.IAF)
def _watch(module: Any, note: Note) -> Tensor:
    """Step the neuron beside itself: without a threshold its next membrane is the tested one."""
    step, p = module.activation, module.p
    integrates = isinstance(module, norse.IAFCell | norse.IAF)
    start = _number(p.v_reset if integrates else p.v_leak)
    silent = p._replace(v_th=torch.full_like(_number(p.v_th), _HUGE))

    def noting(x: Tensor, state: Any, p: Any, dt: float) -> Any:
        note(step(x, state, silent, dt)[1].v - start)
        return step(x, state, p, dt)

    module.activation = noting
    return _number(p.v_th) - start
