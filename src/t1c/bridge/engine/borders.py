"""The borders of a network: what comes in, checked, and which answers are those of a last step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from t1c import ir
from t1c.ir.shapes import as_shape

from .input_checks import Inputs, Shape, check_inputs, check_sequence


class Borders:
    """Where data enters and leaves.

    Attributes:
        shapes: the nodes that take the caller's tensors -> the shape of one sample, None where it
            is unknown; in order.
        holds: those that may be given one value -> for how many steps it is held.
        final: the outputs whose answer is the value at the last step.
    """

    def __init__(self, inputs: Sequence[str], nodes: Mapping[str, ir.Node | None]) -> None:
        entries = {n: node for n, node in nodes.items() if isinstance(node, ir.Input)}
        self.shapes: dict[str, Shape | None] = {
            n: as_shape(entries[n].shape) if n in entries else None for n in inputs
        }
        self._only = next(iter(self.shapes.items())) if len(self.shapes) == 1 else None
        self.holds = {n: node.hold for n, node in entries.items() if node.hold is not None}
        self.final = frozenset(
            n for n, node in nodes.items() if isinstance(node, ir.Output) and node.final
        )

    def inputs(self, x: Any, lead: int, dtype: torch.dtype | None) -> Inputs:
        """The caller's tensors by name.

        Args:
            x: a tensor, a dict by name, or a tuple in order.
            lead: how many dimensions come before the shape: 1 for a batch, 2 for time and batch.
            dtype: what the parameters have; None where there are none.

        Raises:
            InputError: a name, a type, a dtype or a shape is wrong.
        """
        if type(x) is Tensor and self._only is not None:
            # What is right at first sight, which is all that a step has time for.
            name, shape = self._only
            usual = x.layout is torch.strided and not x.is_nested and shape is not None
            if usual and x.dtype == dtype and tuple(x.shape[lead:]) == shape:
                return {name: x}
        return check_inputs(x, self.shapes, lead, dtype)

    def sequence(self, xs: Any, steps: int | None, dtype: torch.dtype | None) -> Inputs:
        """The caller's tensors of all steps by name, each (T, B, *shape).

        Args:
            xs: as for ``inputs``; an Input that holds may be given one value (B, *shape).
            steps: how many steps values are held for, in the place of what the Inputs say.
            dtype: as for ``inputs``.

        Raises:
            InputError: as there, or the numbers of steps contradict each other.
        """
        if not self.holds and steps is None:
            return self.inputs(xs, 2, dtype)
        return check_sequence(xs, self.shapes, self.holds, steps, dtype)
