"""Export for snnTorch users: this file is loaded as `snntorch.export_t1cir`.

`t1c._snntorch_hook` does that. The file may be loaded under a name outside of
`t1c.bridge`, so it imports nothing relatively.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from t1c.bridge import to_ir
from t1c.ir import Graph

__all__ = ["export_to_ir"]


def export_to_ir(
    model: nn.Module,
    sample: Any,
    custom_map: Callable[[Any], Any] | Mapping[type[nn.Module], Callable[[Any], Any]] | None = None,
    spiking: bool = False,
    spike_mode: str = "binary",
    weight_bits: int = 8,
    accumulator_bits: int = 16,
    *,
    verify: Any = True,
) -> Graph:
    """Turn a network of snnTorch and torch modules into the graph of one of its steps.

    The same as `t1c.bridge.to_ir`, under the name that snnTorch users know.

    Args:
        model: The network; it may loop over time itself.
        sample: A tensor with a batch dimension, or a tuple or dict of them.
        custom_map: Makes the node of a module: a dict from module type to a
            function, or a function `module -> node` where None means the default.
        spiking: Whether Linear layers become SpikingAffine, with these options:
        spike_mode: 'binary', 'graded' or 'rate'.
        weight_bits: Of the hardware's weights.
        accumulator_bits: Of its sums.
        verify: True: prove that model and graph give the same; False: do not; inputs
            (T, B, ...): prove it on these too.

    Returns:
        The graph. Write it with `t1c.ir.write("model.t1c", graph)`.

    Example:
        >>> from snntorch.export_t1cir import export_to_ir
        >>> graph = export_to_ir(model, torch.zeros(1, 784))
    """
    return to_ir(
        model,
        sample,
        custom_map=custom_map,
        spiking=spiking,
        spike_mode=spike_mode,
        weight_bits=weight_bits,
        accumulator_bits=accumulator_bits,
        verify=verify,
    )
