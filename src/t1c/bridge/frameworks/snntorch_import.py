"""Nodes as snnTorch's own neurons, where these compute the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import snntorch as snn
import torch
from torch import Tensor, nn

from t1c import ir
from t1c.ir.primitives.neuron import parameter_shape
from t1c.ir.shapes import as_shape

_OPTIONS = {
    ("subtract", True): ("subtract", True),
    ("carry", False): ("subtract", False),
    ("zero", False): ("zero", False),
    ("none", False): ("none", True),
    ("none", True): ("none", True),
}
"""(reset, reset_delay) of a node -> (reset_mechanism, reset_delay) of snnTorch."""


def node_map(node: ir.LIF | ir.IF | ir.CubaLIF) -> nn.Module | None:
    """The snnTorch neuron that computes exactly what a node says.

    Made for ``ir_to_torch(graph, node_map=node_map)``. A LIF becomes a Leaky, an IF a Leaky with
    beta = 1, a CubaLIF a Synaptic.

    Returns:
        None where snnTorch has no such neuron (it fires at ``>=``, resets to a value, leaks to a
        potential, or weighs its input), so that the default module runs the node.

    Example:
        >>> import numpy as np
        >>> one = np.ones(1)
        >>> node = ir.LIF(2 * one, 2 * one, 0 * one, one, reset="none", fires_at="gt")
        >>> node_map(node)
        Leaky()
    """
    options = _OPTIONS.get((node.reset_mode, node.reset_delay))
    if isinstance(node, ir.CubaLIF):
        if (node.reset_mode, node.reset_delay) == ("hold", True):
            options = "zero", True
    elif (node.reset_mode, node.reset_delay) == ("zero", True):
        options = "zero", True
    if options is None or node.fires_at != "gt" or node.v_min is not None or not _plain(node):
        return None
    if options == ("zero", False) and (node.v_threshold < 0).any():
        return None
    shared: dict[str, Any] = {
        "threshold": _laid(node, node.v_threshold),
        "reset_mechanism": options[0],
        "reset_delay": options[1],
    }
    if isinstance(node, ir.IF):
        made: nn.Module = snn.Leaky(beta=torch.ones(()), **shared)
        return made
    if isinstance(node, ir.LIF):
        made = snn.Leaky(beta=_laid(node, _decay(node.tau)), **shared)
        return made
    alpha, beta = (_laid(node, _decay(tau)) for tau in (node.tau_syn, node.tau_mem))
    made = snn.Synaptic(alpha=alpha, beta=beta, **shared)
    return made


def _plain(node: ir.LIF | ir.IF | ir.CubaLIF) -> bool:
    """Whether every gain is 1 and no leak moves the membrane."""
    if isinstance(node, ir.IF):
        return bool((node.r == 1).all())
    tau = node.tau if isinstance(node, ir.LIF) else node.tau_mem
    gains = [(node.r, tau)]
    if isinstance(node, ir.CubaLIF):
        gains.append((node.w_in, node.tau_syn))
    return not node.v_leak.any() and all(_equal(a, b) for a, b in gains)


def _equal(gain: Any, tau: Any) -> bool:
    alike = gain.shape == tau.shape or 1 in (gain.size, tau.size)
    return bool(alike and np.all(gain.astype(np.float64) / tau.astype(np.float64) == 1))


def _decay(tau: Any) -> Any:
    return 1 - 1 / tau.astype(np.float64)


def _laid(node: ir.Node, values: Any) -> Tensor:
    """A parameter in torch's way of lining up shapes with (B, *features)."""
    features = as_shape((node.input_type or {}).get("input")) or values.shape
    shape = parameter_shape(values.shape, features)
    return torch.tensor(values.reshape(shape), dtype=torch.get_default_dtype())
