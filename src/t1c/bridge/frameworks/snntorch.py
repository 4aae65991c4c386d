"""snnTorch's neurons <-> nodes, with the meaning they have in snnTorch.

They fire at ``mem > threshold``. Their default reset, a subtraction, happens one step late, and the
membrane they return is the one that was tested. Beta is clamped to [0, 1], the gain of the input is
1: a LIF with tau = r = 1/(1-beta), an IF where beta is 1.

Import this module only where snnTorch is installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import snntorch as snn
import torch
from snntorch import surrogate
from torch import Tensor, nn

from t1c import ir

from ..modules.exporting import (
    Fragment,
    Shape,
    array,
    exports,
    module_to_node,
    over_features,
    refuse,
)
from ..modules.linear import bias_of
from ..modules.tied import trains, with_held
from .over_time import Layout, over_time
from .shared import refuse_own_methods, time_constant
from .snntorch_import import node_map
from .snntorch_quant import levels_of, staircase
from .watching import Note, watches

__all__ = ["node_map"]

_METHODS = (
    *("fire", "mem_reset", "reset_mem", "_base_state_function"),
    *("_base_sub", "_base_zero", "_base_int", "_base_state_reset_zero"),
)
"""What a subclass may not change, to be what its parent is."""


_NO_STEPS = ("SSO", "LSO")
"""Surrogates of snnTorch that are no steps going forward: they draw numbers, or leak."""


# What all of them share ------------------------------------------------------------------------


def _refuse_options(module: Any) -> None:
    """Refuse by name what no node says."""
    if module.inhibition:
        raise refuse(
            "inhibition=True",
            "neurons that fire by themselves: no primitive lets only the strongest one fire",
            "Use inhibition=False.",
        )
    if module.state_quant:
        raise refuse(
            "state_quant",
            "a membrane in floating point: no primitive rounds its state",
            "Use state_quant=False.",
        )
    refuse_own_methods(module, _METHODS)
    _refuse_surrogate(module)


def _refuse_surrogate(module: Any) -> None:
    """Refuse a function of the user's in the place of a surrogate: it is followed instead."""
    fire = module.spike_grad
    maker = getattr(fire, "__qualname__", "").split(".")[0]
    known = getattr(fire, "__module__", "") == surrogate.__name__ and maker not in _NO_STEPS
    builtin = getattr(type(module), "ATan", None)
    known = known or fire == getattr(module, "_surrogate_bypass", None)
    known = known or (builtin is not None and getattr(fire, "__self__", None) is builtin)
    if not known:
        raise refuse(
            f"a spike_grad {getattr(fire, '__qualname__', fire)} of its own",
            "one of snntorch.surrogate: they are steps going forward",
            "Use another surrogate for the export; its slope is no part of a graph.",
        )


def _reset_mechanism(module: Any) -> str:
    """The reset that a neuron carries out, if all of its three notes of it agree.

    snnTorch picks the function of a delayed reset when the neuron is made, and looks at a buffer
    for an immediate one: setting ``reset_mechanism``, or loading a state dict, changes one only.
    """
    names = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}
    picked = names.get(getattr(module.state_function, "__name__", ""))
    number = int(module.reset_mechanism_val)
    noted = {picked, module.reset_mechanism, list(snn.SpikingNeuron.reset_dict)[number]}
    if len(noted) > 1 or picked is None:
        raise refuse(
            f"reset_mechanism={module.reset_mechanism!r} was set after the neuron was made, which "
            "changes a part of its reset only",
            "one reset",
            "Make the neuron anew with this reset_mechanism.",
        )
    return picked


def never_fires(module: Any) -> bool:
    """Whether no membrane passes a neuron's threshold."""
    return bool((torch.as_tensor(module.threshold) == float("inf")).all())


def firing(module: Any, features: Shape, late_zero: str) -> dict[str, Any]:
    """Threshold, firing and reset of a neuron as fields of a node.

    Args:
        module: the neuron.
        features: the shape of its input.
        late_zero: what its delayed reset to zero is: 'zero', before the decay, or 'hold'.
    """
    _refuse_options(module)
    threshold = over_features(module.threshold, features, "a threshold")
    mode = _reset_mechanism(module)
    if never_fires(module) and mode != "subtract":
        # A readout: what is infinite is as good as the largest number.
        threshold, mode = np.full_like(threshold, np.finfo(threshold.dtype).max), "none"
    delay = mode != "none" and getattr(module, "reset_delay", True)
    if mode == "zero" and not delay and (threshold < 0).any():
        raise refuse(
            "reset_mechanism='zero' without delay and a threshold below 0",
            "a threshold that a membrane at rest does not pass",
        )
    reset = {
        ("subtract", True): "subtract",
        ("subtract", False): "carry",
        ("zero", True): late_zero,
        ("zero", False): "zero",
    }.get((mode, delay), "none")
    return {
        "v_threshold": threshold,
        "reset": reset,
        "reset_delay": delay,
        "fires_at": "gt",
    }


def _leaky_node(module: Any, features: Shape, late_zero: str) -> ir.Node:
    fields = firing(module, features, late_zero)
    tau = time_constant(module.beta.clamp(0, 1), features, "beta")
    if tau is None:
        return ir.IF(r=np.ones(1), **fields)
    return ir.LIF(tau=tau, r=tau.copy(), v_leak=np.zeros(1), **fields)


def _clamped(module: Any) -> dict[str, float]:
    """Decays that training pushed out of [0, 1], to which snnTorch clamps them as it runs."""
    notes = {}
    for name in ("alpha", "beta"):
        decay = getattr(module, name, None)
        if isinstance(decay, Tensor) and bool(((decay < 0) | (decay > 1)).any()):
            far = decay.detach().flatten()
            notes[f"clamped_{name}"] = float(far[(far - 0.5).abs().argmax()])
    return notes


def _synaptic_node(module: Any, features: Shape) -> ir.Node:
    # A delayed reset to zero takes the whole new membrane, its input included.
    fields = firing(module, features, "hold")
    tau_syn = time_constant(module.alpha.clamp(0, 1), features, "alpha")
    tau_mem = time_constant(module.beta.clamp(0, 1), features, "beta")
    if tau_syn is None or tau_mem is None:
        name = "alpha" if tau_syn is None else "beta"
        raise refuse(
            f"{name} = 1 in a {type(module).__name__}",
            "less than 1: no primitive has a synapse and forgets nothing",
            f"Use an {name} just below 1.",
        )
    return ir.CubaLIF(
        tau_syn=tau_syn,
        tau_mem=tau_mem,
        r=tau_mem.copy(),
        v_leak=np.zeros(1),
        w_in=tau_syn.copy(),
        **fields,
    )


def _graded(module: Any, node: ir.Node, features: Shape) -> ir.Node | Fragment:
    """The neuron, and a Scale behind it where its spikes are not 1."""
    factor = over_features(module.graded_spikes_factor, features, "a graded_spikes_factor")
    if (factor == 1).all():
        return node
    if (factor == 0).any():
        raise refuse("graded_spikes_factor = 0", "a factor that lets spikes pass")
    scale = with_held(ir.Scale(factor), scale=module.graded_spikes_factor)
    name = "graded_spikes_factor"
    return Fragment({"": node, name: scale}, (("", name),), leave=name)


def _recurrent(module: Any, node: ir.Node, features: Shape) -> Fragment:
    """The neuron, and what its spikes of the step before pass through on the way back."""
    if (array(module.graded_spikes_factor) != 1).any():
        raise refuse(
            f"graded_spikes_factor in a {type(module).__name__}", "spikes of 1 in a recurrence"
        )
    inner = module.recurrent
    if isinstance(inner, nn.Linear | nn.Conv2d):
        back = module_to_node(inner, features, features)
        assert isinstance(back, ir.Node)
    else:
        back = with_held(ir.Scale(over_features(inner.V, features, "V")), scale=inner.V)
    edges = ("", "recurrent"), ("recurrent", "")
    return Fragment({"": node, "recurrent": back}, edges, edges[:1])


def _with_membrane(module: Any, made: ir.Node | Fragment) -> Fragment:
    """A neuron without reset is an integrator with a threshold behind it: its membrane is at hand.

    With a reset it stays one node, whose membrane is nowhere to be had.
    """
    fragment = Fragment({"": made}) if isinstance(made, ir.Node) else made
    node = fragment.nodes[""]
    resets = module.reset_mechanism != "none" and not never_fires(module)
    if resets or not isinstance(node, ir.LIF | ir.IF | ir.CubaLIF):
        return fragment
    return _as_integrator(fragment, node)


def _as_integrator(fragment: Fragment, node: ir.LIF | ir.IF | ir.CubaLIF) -> Fragment:
    """A fragment that can give its membrane out: an integrator, with the threshold behind it."""
    kinds: dict[type[ir.Node], type[ir.Node]]
    kinds = {ir.LIF: ir.LI, ir.IF: ir.I, ir.CubaLIF: ir.CubaLI}
    kind = kinds[type(node)]
    integrator = kind(**{name: getattr(node, name) for name in kind.kinds})
    spikes = ir.Threshold(node.v_threshold, "gt")
    rest = {name: n for name, n in fragment.nodes.items() if name}
    edges = (("", "spk"), *(("spk", b) for _, b in fragment.edges))
    both = Fragment({"": integrator, "spk": spikes, **rest}, edges, leave=fragment.leave or "spk")
    return replace(fragment, membrane=both)


@watches(snn.SpikingNeuron)
def _watch(module: Any, note: Note) -> Tensor:
    fire = module.fire

    def noting(mem: Tensor) -> Any:
        note(mem)
        return fire(mem)

    vars(module)["fire"] = noting
    threshold: Tensor = module.threshold
    return threshold


@contextmanager
def unfused(module: nn.Module) -> Iterator[None]:
    """Have a neuron find the nearest level of its ``state_quant`` by comparisons."""
    own = getattr(module, "state_quant", None)
    levels = levels_of(own)
    if own is None or levels is None or len(levels) < 2:
        yield
        return
    vars(module)["state_quant"] = staircase(levels, own)
    try:
        yield
    finally:
        vars(module)["state_quant"] = own


# One function for each neuron ------------------------------------------------------------------


@exports(snn.Leaky, state=("mem",), remake=node_map, notes=_clamped)
def _leaky(module: snn.Leaky, entering: Shape, leaving: Shape) -> ir.Node | Fragment:
    made = _graded(module, _leaky_node(module, entering, "zero"), entering)
    return _with_membrane(module, made)


@exports(snn.Synaptic, state=("syn", "mem"), remake=node_map, notes=_clamped)
def _synaptic(module: snn.Synaptic, entering: Shape, leaving: Shape) -> ir.Node | Fragment:
    return _with_membrane(module, _graded(module, _synaptic_node(module, entering), entering))


@exports(snn.RLeaky, state=("spk", "mem"), notes=_clamped)
def _rleaky(module: snn.RLeaky, entering: Shape, leaving: Shape) -> Fragment:
    return _recurrent(module, _leaky_node(module, entering, "hold"), entering)


@exports(snn.RSynaptic, state=("spk", "syn", "mem"), notes=_clamped)
def _rsynaptic(module: snn.RSynaptic, entering: Shape, leaving: Shape) -> Fragment:
    if not module.reset_delay:
        raise refuse(
            "reset_delay=False in an RSynaptic",
            "reset_delay=True: snnTorch computes the immediate reset and then drops it",
        )
    return _recurrent(module, _synaptic_node(module, entering), entering)


@exports(snn.Lapicque, state=("mem",))
def _lapicque(module: snn.Lapicque, entering: Shape, leaving: Shape) -> ir.Node | Fragment:
    # snnTorch's own expressions, in its dtype: mem * decay + input * R * (1 / (R * C)) * time_step.
    r, c, time_step = module.R, module.C, module.time_step
    decay = 1 - time_step / (r * c)
    if (decay < 0).any() or (decay > 1).any():
        raise refuse(
            f"time_step / (R * C) = {float((time_step / (r * c)).max()):g} in a Lapicque",
            "between 0 and 1: the membrane would swing",
            "Use a smaller time_step.",
        )
    gains = [over_features(g * 1.0, entering, "a gain") for g in (r, 1 / (r * c), time_step)]
    gain = np.prod([g.astype(np.float64) for g in np.broadcast_arrays(*gains)], axis=0)
    fields = firing(module, entering, "hold")
    tau = time_constant(decay, entering, "1 - time_step / (R * C)")
    node: ir.Node
    if tau is None:
        node = ir.IF(r=gain, **fields)
    else:
        node = ir.LIF(tau=tau, r=gain * tau, v_leak=np.zeros(1), **fields)
    return _with_membrane(module, _graded(module, node, entering))


@exports(snn.Alpha, state=("syn_exc", "syn_inh", "mem"), notes=_clamped)
def _alpha(module: snn.Alpha, entering: Shape, leaving: Shape) -> ir.Node | Fragment:
    """Two synapses and a threshold, as nodes of their own: there is nothing to reset in them."""
    if module.reset_mechanism != "none":
        raise refuse(
            f"reset_mechanism={module.reset_mechanism!r} in an Alpha",
            "'none': no primitive resets the two synapses of an Alpha neuron",
            "Use reset_mechanism='none', or a Synaptic.",
        )
    _refuse_options(module)
    alpha, beta = (getattr(module, name).detach().clamp(0, 1) for name in ("alpha", "beta"))
    fall, rise = (
        time_constant(decay, entering, name) for decay, name in ((alpha, "alpha"), (beta, "beta"))
    )
    if fall is None or rise is None:
        raise refuse("alpha or beta = 1 in an Alpha", "less than 1")
    gain = torch.log(alpha) / (torch.log(beta) - torch.log(alpha)) + 1
    none = np.zeros(1)
    learnt = next(filter(trains, (module.alpha, module.beta)), None)
    nodes: dict[str, ir.Node] = {
        "input": ir.Skip("passthrough"),
        "syn_exc": ir.LI(fall, fall.copy(), none),
        "syn_inh": ir.LI(rise, -rise, none),
        "sum": ir.Skip("residual"),
        "mem": with_held(ir.Scale(over_features(gain, entering, "tau_alpha")), scale=learnt),
        "": ir.Threshold(over_features(module.threshold, entering, "a threshold"), "gt"),
    }
    synapses = [(a, b) for s in ("syn_exc", "syn_inh") for a, b in (("input", s), (s, "sum"))]
    edges = (*synapses, ("sum", "mem"), ("mem", ""))
    made = Fragment(nodes, edges, enter="input")
    graded = _graded(module, nodes[""], entering)
    if isinstance(graded, ir.Node):
        return made
    scale = graded.nodes[graded.leave]
    more = {**nodes, graded.leave: scale}
    return Fragment(more, (*edges, *graded.edges), enter="input", leave=graded.leave)


# Neurons that take whole sequences ---------------------------------------------------------------


@exports(snn.StateLeaky, stepped=True)
def _state_leaky(module: snn.StateLeaky, entering: Shape, leaving: Shape) -> ir.Node | Fragment:
    """A leak without a reset, which snnTorch works out as a convolution over time."""
    refuse_own_methods(module, ("forward", "fire", "_base_state_function"))
    if module.kernel_truncation_steps is not None or module.state_quant:
        raise refuse(
            "a StateLeaky that truncates its kernel or quantises its state",
            "kernel_truncation_steps=None, state_quant=False",
        )
    _refuse_surrogate(module)
    tau = time_constant(torch.exp(-1 / module.tau.detach()), entering, "exp(-1 / tau)")
    if tau is None:
        raise refuse("beta = 1 in a StateLeaky", "less than 1")
    none = np.zeros(1)
    if not module.output:
        return ir.LI(tau, tau.copy(), none)
    threshold = over_features(module.threshold, entering, "a threshold")
    node = ir.LIF(tau, tau.copy(), none, threshold, reset="none", fires_at="gt")
    graded = _graded(module, node, entering)
    return _as_integrator(graded if isinstance(graded, Fragment) else Fragment({"": graded}), node)


@exports(snn.LinearLeaky, stepped=True)
def _linear_leaky(module: Any, entering: Shape, leaving: Shape) -> Fragment:
    """A Linear, and a StateLeaky behind it."""
    made = _state_leaky(module, (module.linear.out_features,), leaving)
    linear = ir.Affine(array(module.linear.weight), **bias_of(module.linear))

    def behind(leaky: Fragment) -> Fragment:
        nodes = {"linear": linear, **leaky.nodes}
        edges = (("linear", leaky.enter), *leaky.edges)
        membrane = leaky.membrane and behind(leaky.membrane)
        return replace(leaky, nodes=nodes, edges=edges, enter="linear", membrane=membrane)

    return behind(made if isinstance(made, Fragment) else Fragment({"": made}))


@exports(snn.LeakyParallel, stepped=True)
def _leaky_parallel(module: Any, entering: Shape, leaving: Shape) -> Fragment:
    """A recurrent layer of rectified sums, whose values are compared with a threshold."""
    refuse_own_methods(module, ("forward", "fire"))
    _refuse_surrogate(module)
    size, rnn = module.hidden_size, module.rnn
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    given: list[Any] = [getattr(rnn, name, None) for name in names]
    to_input, to_hidden = (array(w) for w in given[:2])
    nothing = np.zeros(size, to_input.dtype)
    first, second = (nothing if b is None else array(b) for b in given[2:])
    shape = {"input": np.array((size,))}
    nodes: dict[str, ir.Node] = {
        "input": with_held(ir.Affine(to_input, first), weight=given[0], bias=given[2]),
        "recurrent": with_held(ir.Affine(to_hidden, second), weight=given[1], bias=given[3]),
        "sum": ir.Skip("residual"),
        "mem": ir.ReLU(size),
        "delay": ir.Delay(np.array(1), input_type=shape),
        "": ir.Threshold(over_features(module.threshold, (size,), "a threshold"), "gt"),
    }
    edges = (
        ("input", "sum"), ("recurrent", "sum"), ("sum", "mem"), ("mem", "delay"),
        ("delay", "recurrent"), ("mem", ""),
    )  # fmt: skip
    graded = _graded(module, nodes[""], (size,))
    if isinstance(graded, ir.Node):
        return Fragment(nodes, edges, enter="input")
    more = {**nodes, graded.leave: graded.nodes[graded.leave]}
    return Fragment(more, (*edges, *graded.edges), enter="input", leave=graded.leave)


over_time(snn.StateLeaky, snn.LeakyParallel, layout=Layout.TIME_FIRST)
