"""sinabs's neurons -> nodes, with the meaning they have in sinabs.

They decay by ``exp(-1/tau)``, fire at ``v_mem >= spike_threshold`` and subtract the threshold in
the same step. By default they send ``floor(v_mem / spike_threshold)`` spikes at once (MultiSpike);
``spike_fn=SingleSpike``, or ``MaxSpike(1)``, sends one at most. After the reset they raise v_mem
to ``min_v_mem`` by ``relu(v_mem - min_v_mem) + min_v_mem``, which off a grid may differ from the
membrane in the last bit; a graph takes the larger of the two.

Import this module only where sinabs is installed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sinabs import activation, layers
from torch import Tensor

from t1c import ir

from ..modules.exporting import Shape, exports, over_features, refuse
from .over_time import Layout, over_time
from .shared import refuse_own_methods, time_constant
from .watching import Note, watches

_METHODS = ("forward", "alpha_mem_calculated", "alpha_syn_calculated", "reset_states")


def _firing(module: Any, features: Shape) -> dict[str, Any]:
    """Threshold, firing, reset and bound of a neuron as fields of a node.

    ``record_states`` and ``train_alphas`` change nothing.
    """
    refuse_own_methods(module, _METHODS)
    reset = module.reset_fn
    threshold = over_features(module.spike_threshold.detach(), features, "spike_threshold")
    fields: dict[str, Any] = {"v_threshold": threshold}
    if _sends_several(module.spike_fn, threshold):
        fields["spikes"] = "multiple"
    if module.min_v_mem is not None:
        fields["v_min"] = over_features(module.min_v_mem.detach(), features, "min_v_mem")
    if type(reset) is activation.MembraneSubtract and reset.subtract_value is None:
        mode = "subtract"
    elif type(reset) is activation.MembraneReset and reset.reset_value == 0:
        mode = "zero"
    else:
        raise refuse(
            f"reset_fn={reset}",
            "MembraneSubtract() or MembraneReset(0.0)",
            "sinabs adds another reset_value to every neuron in every step, fired or not."
            if type(reset) is activation.MembraneReset
            else "Subtract the threshold, or pass custom_map for the class.",
        )
    return {**fields, "reset": mode}


def _sends_several(fire: Any, threshold: Any) -> bool:
    """Whether a spike_fn sends as many spikes as the membrane holds thresholds, or one at most.

    Raises:
        UnsupportedError: it does neither.
    """
    if fire is activation.SingleSpike:
        return False
    limit = fire.max_num_spikes_per_bin if type(fire) is activation.MaxSpike else None
    if fire is activation.MultiSpike or type(fire) is activation.MaxSpike:
        if not (threshold > 0).all():
            raise refuse(
                f"spike_threshold={threshold.min():g} with a spike_fn that counts spikes",
                "thresholds above 0",
                "Use spike_fn=sinabs.activation.SingleSpike.",
            )
        if limit is None or limit == 1:
            return limit is None
    raise refuse(
        f"spike_fn={getattr(fire, '__name__', fire)}",
        "MultiSpike, SingleSpike or MaxSpike(1): a neuron of a graph sends one spike at most, or "
        "as many as its membrane holds thresholds",
        "Train with one of these.",
    )


def _leaky(module: Any, features: Shape) -> tuple[Any, Any]:
    """Tau and r of the membrane; tau is None where it forgets nothing."""
    tau = time_constant(module.alpha_mem_calculated, features, "alpha_mem")
    if tau is None:
        if module.norm_input:
            raise refuse("alpha_mem = 1 with norm_input=True", "an input that is not lost")
        return None, np.ones(1)
    return tau, np.ones(1) if module.norm_input else tau.copy()


@exports(layers.LIF, layers.LIFSqueeze, state=("v_mem",))
@exports(layers.IAF, layers.IAFSqueeze, state=("v_mem",))
def _lif(module: Any, entering: Shape, leaving: Shape) -> ir.Node:
    fields = _firing(module, entering)
    tau, r = _leaky(module, entering)
    none = np.zeros(1)
    if module.tau_syn_calculated is None:
        if tau is None:
            return ir.IF(r=r, **fields)
        return ir.LIF(tau=tau, r=r, v_leak=none, **fields)
    alpha = module.alpha_syn_calculated
    tau_syn = time_constant(alpha, entering, "alpha_syn")
    if tau is None or tau_syn is None:
        raise refuse(
            f"tau_syn in an {type(module).__name__} that forgets nothing",
            "a leak: no primitive has a synapse and an IF",
            "Use LIF with a large tau_mem.",
        )
    # The synapse decays what it was just given too: i = alpha * (i + x).
    weight = over_features(alpha.detach(), entering, "alpha_syn").astype(np.float64) * tau_syn
    return ir.CubaLIF(tau_syn=tau_syn, tau_mem=tau, r=r, v_leak=none, w_in=weight, **fields)


@exports(layers.ExpLeak, layers.ExpLeakSqueeze, state=("v_mem",))
def _exp_leak(module: Any, entering: Shape, leaving: Shape) -> ir.Node:
    refuse_own_methods(module, _METHODS)
    if module.min_v_mem is not None:
        raise refuse(
            f"min_v_mem={float(module.min_v_mem.max()):g} in an {type(module).__name__}",
            "None: an integrator that does not fire has no bound",
        )
    tau, r = _leaky(module, entering)
    return ir.I(r=r) if tau is None else ir.LI(tau, r, np.zeros(1))


@exports(layers.SumPool2d)
def _sum_pool(module: Any, entering: Shape, leaving: Shape) -> ir.Node:
    if module.ceil_mode:
        raise refuse("ceil_mode=True in a SumPool2d", "ceil_mode=False")
    return ir.SumPool2d(module.kernel_size, module.stride)


# Time ------------------------------------------------------------------------------------------


over_time(layers.StatefulLayer, layers.Repeat, layout=Layout.BATCH_FIRST)
_SQUEEZED = layers.LIFSqueeze, layers.IAFSqueeze, layers.ExpLeakSqueeze


def _batch(module: Any, rows: int) -> int:
    fixed: int = module.batch_size
    return fixed if fixed > 0 else rows // int(module.num_timesteps)


over_time(*_SQUEEZED, layout=Layout.MERGED, batch=_batch)


@watches(layers.LIF)
def _watch(module: Any, note: Note) -> Tensor | None:
    fire, threshold = module.spike_fn, module.spike_threshold
    if fire is None:
        return None

    class Noting:
        """The neuron's own spike_fn, which notes what it is given."""

        required_states = fire.required_states

        @staticmethod
        def apply(v_mem: Tensor, *rest: Any) -> Any:
            note(v_mem)
            return fire.apply(v_mem, *rest)

    module.spike_fn = Noting
    found: Tensor = threshold
    return found
