"""All steps of a neuron, where it is called and where it is captured in a graph of torch's."""

from __future__ import annotations

import torch
from torch import Tensor

from . import definition
from . import scan as called
from .observed import is_observed, takes_operators
from .rule import Rule
from .scan import Coefficients, State


def scan(
    xs: Tensor, state: State, c: Coefficients, rule: Rule, kernels: str | None = None
) -> tuple[Tensor, State]:
    """All steps; arguments and results as of ``scan.scan``."""
    if takes_operators():
        from .op import scan_in_graph  # declares operators, which takes long

        return scan_in_graph(xs, state, c.tensors, rule, kernels)
    if torch.compiler.is_compiling() or is_observed(xs, *state):
        return definition.scan(xs, state, c.tensors, rule)
    return called.scan(xs, state, c, rule, kernels)


def states(
    xs: Tensor, state: State, c: Coefficients, rule: Rule, kernels: str | None = None
) -> State | None:
    """The state after every step; None where it has to be stepped for: see ``scan.states``."""
    if torch.compiler.is_compiling() or is_observed(xs, *state):
        return None
    return called.states(xs, state, c, rule, kernels)
