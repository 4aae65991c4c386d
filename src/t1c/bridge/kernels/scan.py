"""The scan of a neuron over time, by whichever kernels serve, with its gradient."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..surrogate import SLOPES, Surrogate
from . import definition
from .choose import choose
from .layout import channels_last, copied, flat, periodic, unflat
from .rule import COEFFICIENTS, RESETS, Rule
from .threads import share

State = tuple[Tensor, ...]
SURROGATES = tuple(SLOPES)
COST = 4
"""What one update costs, in elements of a plain loop."""


class Coefficients:
    """The coefficients of a neuron over features, in the order of ``rule.COEFFICIENTS``.

    Attributes:
        tensors: each broadcasts over (B, *features); 1 or 0 where a neuron has none.
    """

    def __init__(self, tensors: tuple[Tensor, ...]) -> None:
        self.tensors = tensors
        self._laid: dict[tuple[torch.Size, bool], Tensor] = {}

    def laid(self, features: torch.Size, last: bool) -> Tensor:
        """As compiled loops take them; see ``layout.periodic``."""
        key = (features, last)
        found = self._laid.get(key)
        if found is None:
            with torch.no_grad():
                detached = tuple(c.detach() for c in self.tensors)
                found = self._laid[key] = periodic(detached, features, last)
        return found

    @property
    def learning(self) -> bool:
        """A gradient flows into one of them."""
        return any(c.requires_grad for c in self.tensors)


def scan(
    xs: Tensor, state: State, c: Coefficients, rule: Rule, kernels: str | None = None
) -> tuple[Tensor, State]:
    """All steps of a neuron.

    Args:
        xs: input currents (T, B, *features), in any layout.
        state: (v,) or, behind a synapse, (i, v), each (B, *features); left as they are.
        c: the coefficients, in the dtype of ``xs``.
        rule: the options.
        kernels: which are to be used; see ``choose``.

    Returns:
        (outputs (T, B, *features), state after the last step).
    """
    name = choose(xs, kernels)
    if name == "torch":
        return definition.scan(xs, state, c.tensors, rule)
    grad = torch.is_grad_enabled() and (
        xs.requires_grad or any(s.requires_grad for s in state) or c.learning
    )
    i = state[0] if rule.synapse else None
    v = state[-1]
    if grad:
        out, i, v = _Scan.apply(xs, i, v, c, rule, *c.tensors)  # type: ignore[no-untyped-call]
    else:
        out, i, v, *_ = forward(xs, i, v, c, rule, keep=False)
    return out, ((v,) if i is None else (i, v))


def forward(
    xs: Tensor, i: Tensor | None, v: Tensor, c: Coefficients, rule: Rule, keep: bool
) -> tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor, Tensor]:
    """Outputs, states, and what the way back needs: membranes tested, those beside, currents."""
    from .numba_scan import forward_kernel

    last = channels_last(xs)
    x = flat(xs.detach(), last)
    first_v = flat(v.detach().unsqueeze(0), last)
    vs = copied(first_v)
    cs = copied(flat(i.detach().unsqueeze(0), last)) if i is not None else vs
    out = torch.empty_like(x)
    empty = x.new_empty((1, 1))
    tested = torch.empty_like(x) if keep else empty
    beside = torch.empty_like(x) if keep and rule.reset in ("hold", "carry") else empty
    currents = torch.empty_like(x) if keep and rule.synapse else empty
    kernel = forward_kernel(RESETS.index(rule.reset), rule.delay)
    size = x.shape[1]
    arrays = (x, cs[0], vs[0], c.laid(xs.shape[2:], last), out, tested, beside, currents)
    share(
        kernel,
        size,
        COST * size * len(x),
        rule.strict,
        rule.synapse,
        keep,
        *(a.numpy() for a in arrays),
        constants(rule.surrogate, x.dtype),
        multiple=16,
    )
    shape = torch.Size((1, *v.shape))
    after_v = unflat(vs, shape, last)[0]
    after_i = unflat(cs, shape, last)[0] if i is not None else None
    return unflat(out, xs.shape, last), after_i, after_v, tested, beside, currents


_CONSTANTS: dict[tuple[Any, ...], Any] = {}


def constants(surrogate: Surrogate, dtype: torch.dtype) -> Any:
    """Zero, one and the two numbers of the surrogate, in the dtype of the arithmetic."""
    key = (surrogate, dtype)
    found = _CONSTANTS.get(key)
    if found is None:
        k = surrogate.k
        pair = (k / 2, math.pi / 2 * k) if surrogate.name == "atan" else (k, 0.0)
        found = _CONSTANTS[key] = torch.tensor([0.0, 1.0, *pair], dtype=dtype).numpy()
    return found


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        xs: Tensor,
        i: Tensor | None,
        v: Tensor,
        c: Coefficients,
        rule: Rule,
        *tensors: Tensor,
    ) -> Any:
        out, after_i, after_v, tested, beside, currents = forward(xs, i, v, c, rule, keep=True)
        ctx.learning = any(ctx.needs_input_grad[5:])
        # The input is needed for the gradients of gain and weight alone.
        x = xs if ctx.learning else xs.new_empty((1, 1))
        ctx.save_for_backward(x, i, v, tested, beside, currents, *tensors)
        ctx.c, ctx.rule, ctx.shape, ctx.last = c, rule, xs.shape, channels_last(xs)
        ctx.set_materialize_grads(False)
        return out, after_i, after_v

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_out: Tensor | None, g_i: Tensor | None, g_v: Tensor | None) -> Any:
        from .numba_backward import backward_kernel

        x, i, v, tested, beside, currents, *tensors = ctx.saved_tensors
        rule, last = ctx.rule, ctx.last
        state = torch.Size((1, *v.shape))

        def to_flat(g: Tensor | None) -> Tensor:
            return v.new_zeros(state) if g is None else g.reshape(state)

        gv = flat(to_flat(g_v), last).clone()
        gi = flat(to_flat(g_i), last).clone() if rule.synapse else gv
        grads = flat(v.new_zeros(ctx.shape) if g_out is None else g_out, last)
        size = grads.shape[1]
        gx = torch.empty_like(grads)
        gc = v.new_zeros((len(COEFFICIENTS), size)) if ctx.learning else v.new_empty((1, 1))
        kernel = backward_kernel(RESETS.index(rule.reset), rule.delay)
        first_v = flat(v.detach().unsqueeze(0), last)
        first_i = flat(i.detach().unsqueeze(0), last) if i is not None else first_v
        arrays = (
            grads,
            gi[0],
            gv[0],
            flat(x.detach(), last) if ctx.learning else x,
            first_i[0],
            first_v[0],
            ctx.c.laid(ctx.shape[2:], last),
            tested,
            beside,
            currents,
            gx,
            gc,
        )
        share(
            kernel,
            size,
            COST * size * len(grads),
            rule.strict,
            rule.synapse,
            SURROGATES.index(rule.surrogate.name),
            rule.detach_reset,
            ctx.learning,
            *(a.detach().numpy() for a in arrays),
            constants(rule.surrogate, v.dtype),
            multiple=16,
        )
        coefficients: list[Tensor | None] = [None] * len(COEFFICIENTS)
        if ctx.learning:
            if not size:  # no steps or no samples
                gc = v.new_zeros((len(COEFFICIENTS), v.numel()))
            rows = unflat(gc, torch.Size((len(COEFFICIENTS), *v.shape)), last)
            for n, tensor in enumerate(tensors):
                if ctx.needs_input_grad[5 + n]:
                    coefficients[n] = (
                        rows[n].sum_to_size((1, *v.shape[1:]))[0].sum_to_size(tensor.shape)
                    )
        return (
            unflat(gx, ctx.shape, last),
            unflat(gi, state, last)[0] if rule.synapse else None,
            unflat(gv, state, last)[0],
            None,
            None,
            *coefficients,
        )
