"""The table of NIR's types: what each one becomes, and how its fields cross."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from t1c import ir

from .crossings import Bias, Charge, Field, Parameter, Sizes, Steps, Stride, Tau, Weight


@dataclass(frozen=True)
class Entry:
    """One NIR type.

    Attributes:
        cls: what it becomes; of the same name.
        fields: those that cross.
        shape: the field in which NIR declares a shape that a graph infers, or ''.
        fires: it has a threshold, and the options of firing and reset.
    """

    cls: type[ir.Node]
    fields: tuple[Field, ...] = ()
    shape: str = ""
    fires: bool = False


_DENSE = (Field("weight"),)
_POOL = (Sizes("kernel_size"), Stride("stride"), Sizes("padding"))
_LEAKY = (Tau("tau", like="r"), Weight("r", tau=Tau("tau")), Parameter("v_leak"))
_CURRENT = (
    Tau("tau_syn", like="r"),
    Tau("tau_mem", like="r"),
    Weight("r", tau=Tau("tau_mem")),
    Parameter("v_leak"),
    Weight("w_in", default=1.0, tau=Tau("tau_syn")),
)
_THRESHOLD = Parameter("v_threshold")


def _convolution(sizes: type[Field]) -> tuple[Field, ...]:
    return (
        Field("weight"),
        sizes("stride"),
        sizes("padding"),
        sizes("dilation"),
        Field("groups"),
        Bias("bias"),
    )


PRIMITIVES: dict[str, Entry] = {
    "Input": Entry(ir.Input, shape="shape"),
    "Output": Entry(ir.Output, shape="shape"),
    "Affine": Entry(ir.Affine, (*_DENSE, Field("bias"))),
    "Linear": Entry(ir.Linear, _DENSE),
    "Scale": Entry(ir.Scale, (Parameter("scale"),)),
    "Conv1d": Entry(ir.Conv1d, _convolution(Field), shape="input_shape"),
    "Conv2d": Entry(ir.Conv2d, _convolution(Sizes), shape="input_shape"),
    "SumPool2d": Entry(ir.SumPool2d, _POOL),
    "AvgPool2d": Entry(ir.AvgPool2d, _POOL),
    "Flatten": Entry(
        ir.Flatten, (Field("start_dim", default=1), Field("end_dim", default=-1)), "input_type"
    ),
    "Delay": Entry(ir.Delay, (Steps("delay"),)),
    "Threshold": Entry(ir.Threshold, (Parameter("threshold"),), fires=True),
    "I": Entry(ir.I, (Charge("r"),)),
    "IF": Entry(ir.IF, (Charge("r", like="v_threshold"), _THRESHOLD), fires=True),
    "LI": Entry(ir.LI, _LEAKY),
    "LIF": Entry(ir.LIF, (*_LEAKY, _THRESHOLD), fires=True),
    "CubaLI": Entry(ir.CubaLI, _CURRENT),
    "CubaLIF": Entry(ir.CubaLIF, (*_CURRENT[:-1], _THRESHOLD, _CURRENT[-1]), fires=True),
}
"""NIR type -> what it becomes. A NIRGraph becomes a nested ``ir.Graph``."""


def declared_shape(kind: str, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> Any:
    """What NIR declares of shapes that a graph infers: the value of ``Entry.shape``.

    Args:
        kind: the NIR type.
        input_shape: of the node, without time and batch.
        output_shape: the same.
    """
    if kind == "Conv1d":
        return input_shape[1]
    if kind == "Conv2d":
        return np.array(input_shape[1:], dtype=np.int64)
    return np.array(output_shape if kind == "Output" else input_shape, dtype=np.int64)
