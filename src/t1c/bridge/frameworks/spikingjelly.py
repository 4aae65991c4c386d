"""SpikingJelly's neurons and layers -> nodes, with the meaning they have in SpikingJelly.

They fire at ``v >= v_threshold``, reset in the same step (to v_reset, or by subtraction where it is
None), and start from v_reset, towards which they also decay. A graph starts from 0: the membrane of
an exported neuron is counted from v_reset, its threshold is v_threshold - v_reset.

Import this module only where SpikingJelly is installed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from spikingjelly._ops import ilif, stbif
from spikingjelly.activation_based import base, functional, layer, neuron, surrogate
from torch import Tensor, nn

from t1c import ir

from ..modules.exporting import Fragment, Shape, array, exporter_of, exports, refuse
from ..modules.normalization import dropout
from ..modules.tied import with_held
from .over_time import Layout, over_time
from .shared import refuse_own_methods, time_constant_of_rate
from .stand_ins import standing_in
from .watching import Note, watches

_METHODS = (
    *("forward", "single_step_forward", "multi_step_forward", "reset"),
    *("single_step_functional_forward", "multi_step_functional_forward", "materialize_states"),
    *("neuronal_charge", "neuronal_fire", "neuronal_reset", "gen_gemm_weight"),
)
"""What a subclass may not change, to be what its parent is."""

_HUGE = 1e30
"""A threshold that no membrane reaches, and that a product with 0 leaves harmless."""


def _rest(module: Any) -> tuple[float]:
    return (0.0 if module.v_reset is None else float(module.v_reset),)


def _refuse_own_parts(module: Any) -> None:
    """Refuse a neuron with methods, or a surrogate, that are not SpikingJelly's."""
    refuse_own_methods(module, _METHODS)
    fire = module.surrogate_function
    known = type(fire).__module__ == surrogate.__name__ and "forward" not in vars(fire)
    if not (known and isinstance(fire, surrogate.SurrogateFunctionBase) and fire.spiking):
        raise refuse(
            f"a surrogate_function {type(fire).__name__} of its own",
            "one of SpikingJelly's, with spiking=True: they are steps going forward",
            "Use another surrogate for the export; its slope is no part of a graph.",
        )


def _firing(module: Any) -> dict[str, Any]:
    """Threshold, firing and reset of a neuron as fields of a node.

    ``detach_reset``, ``backend`` and ``store_v_seq`` do not change what it computes.
    """
    _refuse_own_parts(module)
    if getattr(module, "_neuron_precision", None) is not None:
        raise refuse("a neuron precision of its own", "the precision of the model")
    start = module.get_reset_value("v")
    (rest,) = _rest(module)
    if start != rest:
        raise refuse(
            f"a membrane that starts at {start!r} (set_reset_value)",
            f"one that starts at {rest!r}, its v_reset",
        )
    threshold = np.array([float(module.v_threshold) - rest])
    return {"v_threshold": threshold, "reset": "subtract" if module.v_reset is None else "zero"}


@exports(neuron.IFNode, state=("v",), rest=_rest)
def _if(module: neuron.IFNode, entering: Shape, leaving: Shape) -> ir.Node:
    return ir.IF(r=np.ones(1), **_firing(module))


def _leaky(module: Any, tau: Any) -> ir.Node:
    # decay_input: the input is divided by tau as the membrane is.
    r = np.ones(1) if module.decay_input else tau.copy()
    return ir.LIF(tau=tau, r=r, v_leak=np.zeros(1), **_firing(module))


@exports(neuron.LIFNode, state=("v",), rest=_rest)
def _lif(module: neuron.LIFNode, entering: Shape, leaving: Shape) -> ir.Node:
    tau = float(module.tau)
    if not 1 <= tau < float("inf"):
        raise refuse(f"tau = {tau:g}", "a finite number of steps, at least 1")
    return _leaky(module, np.array([tau]))


@exports(neuron.ParametricLIFNode, state=("v",), rest=_rest)
def _plif(module: neuron.ParametricLIFNode, entering: Shape, leaving: Shape) -> ir.Node:
    rate = module.w.detach().sigmoid()
    return _leaky(module, time_constant_of_rate(rate, entering, "sigmoid(w)"))


@exports(neuron.SlidingPSN, state=("queue",))
def _sliding(module: neuron.SlidingPSN, entering: Shape, leaving: Shape) -> Fragment:
    """A weighted sum of the last k inputs, as Delays of one step and a Scale for each."""
    _refuse_own_parts(module)
    weight, bias = array(module.weight), array(module.bias).reshape(1)
    nodes: dict[str, ir.Node] = {"now": ir.Skip("passthrough")}
    edges, latest = [], "now"
    for age, factor in enumerate(reversed(weight)):
        if age:
            edges.append((latest, f"past_{age}"))
            latest = f"past_{age}"
            nodes[latest] = ir.Delay(np.array(1))
        edges.append((latest, f"tap_{age}"))
        nodes[f"tap_{age}"] = with_held(ir.Scale(factor.reshape(1)), scale=module.weight)
    nodes["potential"] = with_held(ir.Shift(bias), shift=module.bias)
    edges += [(f"tap_{age}", "potential") for age in reversed(range(len(weight)))]
    nodes[""] = ir.Threshold(np.zeros(1, weight.dtype))
    return Fragment(nodes, (*edges, ("potential", "")), enter="now")


@exports(neuron.PSN, neuron.MaskedPSN)
def _parallel(module: Any, entering: Shape, leaving: Shape) -> ir.Node:
    masked = isinstance(module, neuron.MaskedPSN) and float(module.lambda_) >= 1
    ahead = "" if masked else ", and every step looks at all of them, those to come included"
    raise refuse(
        f"a {type(module).__name__} has weights of its own for each of {module.T} steps{ahead}",
        "one rule for every step",
        "Use a SlidingPSN, which weighs the last k inputs alike at every step.",
    )


@contextmanager
def unfused(module: nn.Module) -> Iterator[None]:
    """Have SpikingJelly run the definition of a neuron, and not an operator of its own."""
    if not isinstance(module, base.MemoryModule):
        yield
        return
    with standing_in(
        (functional.neuron, "_surrogate_spec", lambda *_: None),
        (sys.modules["spikingjelly._ops.surrogate"], "_surrogate_spec", lambda *_: None),
        (ilif, "_forward", _ilif_steps),
        (stbif, "_forward", stbif.reference._forward_impl),
    ):
        yield


def _ilif_steps(
    xs: Tensor,
    v: Tensor,
    tau: float,
    count: float,
    lower: float,
    upper: float,
    threshold: float,
    detach_reset: bool,
    store_v_seq: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """What the operator of an ILIFNode computes, in steps: spikes (T, B, ...) and membranes."""
    fire = surrogate.MultiLevelSpikeCount(int(count), grad_window=(lower, upper))
    spikes, membranes = [], []
    for x in xs:
        spike, v = functional.neuron.ilif_step(x, v, tau, threshold, fire, detach_reset)
        spikes.append(spike)
        membranes.append(v)
    return torch.stack(spikes), torch.stack(membranes) if store_v_seq else v, v


# Layers ----------------------------------------------------------------------------------------

for _name in (
    *("Linear", "Conv1d", "Conv2d", "BatchNorm1d", "BatchNorm2d", "Flatten", "Upsample"),
    *("MaxPool1d", "MaxPool2d", "MaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d"),
    *("AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d"),
    *("BatchNorm3d", "GroupNorm"),
):
    exports(getattr(layer, _name))(exporter_of(getattr(nn, _name)))


@exports(layer.Dropout, layer.Dropout2d)
def _dropout(module: Any, entering: Shape, leaving: Shape) -> ir.Node:
    # Its mask is kept until reset().
    return dropout(float(module.p), "sequence", entering, isinstance(module, layer.Dropout2d))


# Time ------------------------------------------------------------------------------------------


def _layout(module: Any) -> Layout | None:
    return Layout.TIME_FIRST if getattr(module, "step_mode", "s") == "m" else None


over_time(base.StepModule, layout=_layout)
over_time(layer.MultiStepContainer, layer.SeqToANNContainer, layout=Layout.TIME_FIRST)


@watches(neuron.IFNode, neuron.LIFNode, neuron.ParametricLIFNode)
def _watch(module: Any, note: Note) -> Tensor:
    """Step the neuron beside itself: without a threshold its next membrane is the tested one."""
    threshold = module.v_threshold
    (rest,) = _rest(module)

    def before(_: nn.Module, args: Any) -> None:
        steps = args[0] if module.step_mode == "m" else args[0].unsqueeze(0)
        states = tuple(module._memories.values())
        states = module.materialize_states((steps[0],), states, "s")
        for x in steps:
            module.v_threshold = _HUGE
            tested = module.single_step_functional_forward((x,), states)[1][0]
            module.v_threshold = threshold
            note(tested - rest)
            states = module.single_step_functional_forward((x,), states)[1]

    module.register_forward_pre_hook(before)
    return torch.tensor(threshold - rest)
