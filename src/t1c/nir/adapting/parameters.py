"""The parameters of a neuron in the form in which a reader takes them from the file."""

from __future__ import annotations

from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.shapes import as_shape

from ..dialects import Reader
from ..raw import NirGraph, NirNode
from ..settle import STAMP
from .neurons import TAUS


def laid_for(reader: Reader, dt: float, found: ir.Node, raw: NirNode | NirGraph) -> None:
    """Put a neuron's time constants and the layout of its parameters as the reader needs them.

    What t1c could not work out from them again to the last bit goes into the node's stamp.
    """
    node: Any = found
    if isinstance(raw, NirGraph) or node.primitive not in reader.neurons:
        return
    shape = as_shape((node.input_type or {}).get("input")) or ()
    kept: dict[str, Any] = {}
    for name in TAUS.get(node.primitive, ()):
        steps = getattr(node, name)
        raw.fields[name] = _over(reader.tau(steps, dt), shape)
        kept[name] = steps
    for name in ("r", "w_in", "v_threshold", "v_min"):
        if getattr(node, name, None) is not None:
            kept[name] = getattr(node, name)
    if reader.per_channel and len(shape) > 1:
        for name, value in raw.fields.items():
            channels = (slice(None), *[slice(0, 1)] * (len(shape) - 1))
            raw.fields[name] = np.ascontiguousarray(np.asarray(value)[channels])
    raw.metadata[STAMP] = {
        **raw.metadata.get(STAMP, {}),
        "fields": kept,
        "at": {"dt": dt, "integrator": reader.integrator},
    }


def _over(value: Any, shape: tuple[int, ...]) -> Any:
    return np.ascontiguousarray(np.broadcast_to(value, shape))
