"""The scan of a neuron over time, by whichever kernels serve, with its gradient.

On a CPU it is the loop that is generated from the definition; on a GPU a loop written by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import definition
from .arithmetic import of_arithmetic
from .choose import choose
from .generated import scan as generated
from .generated.neuron import neuron
from .generated.symbol import Written
from .layout import LONG, channels_last, flat, periodic, periodic_of_arrays, reduced, unflat
from .rule import COEFFICIENTS, Rule
from .tape import keeps

State = tuple[Tensor, ...]


class Coefficients:
    """The coefficients of a neuron over features, in the order of ``rule.COEFFICIENTS``.

    Args:
        tensors: each broadcasts over (B, *features); 1 or 0 where a neuron has none.
        arrays: the same in the place of tensors, which are made of them when they are needed.
    """

    def __init__(self, tensors: tuple[Tensor, ...] = (), arrays: Sequence[Any] = ()) -> None:
        self._tensors, self._arrays = tensors, arrays
        self._laid: dict[tuple[torch.Size, bool], Tensor] = {}
        self._written: dict[tuple[Rule, bool], Written] = {}

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Each broadcasts over (B, *features)."""
        if not self._tensors:
            # What is kept must serve training too, which inference tensors cannot.
            with torch.inference_mode(False):
                self._tensors = tuple(map(torch.from_numpy, self._arrays))
        return self._tensors

    def laid(self, features: torch.Size, last: bool) -> Tensor:
        """As compiled loops take them; see ``layout.periodic``."""
        key = (features, last)
        found = self._laid.get(key)
        if found is None:
            found = self._laid[key] = self.spread(features, last)
        return found

    def spread(self, features: torch.Size, last: bool, elements: int = LONG) -> Tensor:
        """The same, made anew, for loops of so many elements."""
        if self._arrays and not last:
            return periodic_of_arrays(self._arrays, features, elements)
        with torch.no_grad():
            return periodic(tuple(c.detach() for c in self.tensors), features, last, elements)

    def written(self, rule: Rule, told: bool = False) -> Written:
        """As generated loops take them, with the loop of a neuron that has them.

        With ``told`` one that also writes its state after every step.
        """
        key = (rule, told)
        found = self._written.get(key)
        if found is None:
            found = self._written[key] = neuron(rule, self.tensors, told)
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
    if name == "numba":
        (out,), after = generated.scan(c.written(rule), [xs], state)
        return out, after
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


def states(
    xs: Tensor, state: State, c: Coefficients, rule: Rule, kernels: str | None = None
) -> State | None:
    """The state of a neuron after every step, each (T, B, *features); arguments as of ``scan``.

    None where kernels do not tell: a gradient flows, or they compute in another type than they
    keep.
    """
    name = choose(xs, kernels)
    wide = xs.dtype in (torch.float32, torch.float64)
    flows = (xs.requires_grad, *(s.requires_grad for s in state), c.learning)
    if name == "torch" or not wide or (torch.is_grad_enabled() and any(flows)):
        return None
    if name == "numba":
        (_, *after), _ = generated.scan(c.written(rule, told=True), [xs], state)
        return tuple(after)
    i = state[0] if rule.synapse else None
    out, _, _, tested, beside, currents = forward(xs, i, state[-1], c, rule, keep=True)
    last = channels_last(xs)
    if rule.reset == "carry":
        carried = unflat(beside, xs.shape, last)
    else:
        u = unflat(tested, xs.shape, last)
        carried = definition.carried(u, out, c.tensors, rule)
    return (carried,) if i is None else (unflat(currents, xs.shape, last), carried)


def forward(
    xs: Tensor, i: Tensor | None, v: Tensor, c: Coefficients, rule: Rule, keep: bool
) -> tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor, Tensor]:
    """Outputs, states, and what the way back needs: membranes tested, those beside, currents.

    By the kernels for a GPU.
    """
    from . import triton_launch

    last = channels_last(xs)
    x = flat(xs.detach(), last)
    first_v = flat(v.detach().unsqueeze(0), last)
    vs = first_v.clone()
    cs = flat(i.detach().unsqueeze(0), last).clone() if i is not None else vs
    out = torch.empty_like(x)
    empty = x.new_empty((1, 1))
    tested = torch.empty_like(x) if keep else empty
    beside = torch.empty_like(x) if keep and rule.reset in ("hold", "carry") else empty
    currents = torch.empty_like(x) if keep and rule.synapse else empty
    arrays = (x, cs[0], vs[0], c.laid(xs.shape[2:], last), out, tested, beside, currents)
    triton_launch.launch_forward(rule, keep, *arrays)
    shape = torch.Size((1, *v.shape))
    after_v = unflat(vs, shape, last)[0]
    after_i = unflat(cs, shape, last)[0] if i is not None else None
    return unflat(out, xs.shape, last), after_i, after_v, tested, beside, currents


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
        out, after_i, after_v, *kept = forward(xs, i, v, c, rule, keep=keeps())
        ctx.learning = any(ctx.needs_input_grad[5:])
        # The input is needed for the gradients of gain and weight alone.
        x = xs if ctx.learning else xs.new_empty((1, 1))
        learnt = tensors if ctx.learning else ()
        ctx.save_for_backward(x, i, v, *kept, *learnt)
        ctx.c, ctx.rule, ctx.shape, ctx.last = c, rule, xs.shape, channels_last(xs)
        ctx.set_materialize_grads(False)
        return out, after_i, after_v

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_out: Tensor | None, g_i: Tensor | None, g_v: Tensor | None) -> Any:
        x, i, v, tested, beside, currents, *tensors = ctx.saved_tensors
        kept = (tested, beside, currents)
        gx, gi, gv, gc = backward(
            (g_out, g_i, g_v),
            x if ctx.learning else None,
            (i, v),
            kept,
            ctx.c,
            ctx.rule,
            (ctx.shape, ctx.last),
        )
        wanted = ctx.needs_input_grad[5:]
        coefficients: list[Tensor | None] = [None] * len(wanted)
        if ctx.learning:
            coefficients = [
                reduced(g, tensor) if needed else None
                for g, tensor, needed in zip(gc, tensors, wanted, strict=True)
            ]
        return (gx, gi if ctx.rule.synapse else None, gv, None, None, *coefficients)


def backward(
    grads: tuple[Tensor | None, Tensor | None, Tensor | None],
    x: Tensor | None,
    state: tuple[Tensor | None, Tensor],
    kept: tuple[Tensor, Tensor, Tensor],
    c: Coefficients,
    rule: Rule,
    shape: tuple[torch.Size, bool],
) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """Gradients of the input, of both state variables, and of each coefficient (B, *features).

    By the kernels for a GPU.

    Args:
        grads: of the outputs, and of i and v after the last step.
        x: the input, if gradients of coefficients are wanted.
        state: i and v before the first step.
        kept: what ``forward`` noted.
        c: the coefficients.
        rule: the options.
        shape: of the input, and whether it lies channels last.
    """
    from . import triton_launch

    i, v = state
    size, last = shape
    one = torch.Size((1, *v.shape))

    def to_flat(g: Tensor | None) -> Tensor:
        return flat(v.new_zeros(one) if g is None else g.reshape(one), last).clone()

    gv = to_flat(grads[2])
    gi = to_flat(grads[1]) if rule.synapse else gv
    g_out = flat(v.new_zeros(size) if grads[0] is None else grads[0], last)
    gx = torch.empty_like(g_out)
    learning = x is not None
    summed = (len(COEFFICIENTS), v.numel()) if learning else (1, 1)
    gc = v.new_zeros(summed, dtype=of_arithmetic(v.dtype))
    first_v = flat(v.detach().unsqueeze(0), last)
    first_i = flat(i.detach().unsqueeze(0), last) if i is not None else first_v
    triton_launch.launch_backward(
        rule,
        learning,
        g_out,
        gi[0],
        gv[0],
        flat(x.detach(), last) if x is not None else gx,
        first_i[0],
        first_v[0],
        c.laid(size[2:], last),
        kept[0],
        kept[1],
        kept[2],
        gx,
        gc,
    )
    rows = [*unflat(gc, torch.Size((len(COEFFICIENTS), *v.shape)), last)] if learning else []
    rows += [gc] * (len(COEFFICIENTS) - len(rows))
    return unflat(gx, size, last), unflat(gi, one, last)[0], unflat(gv, one, last)[0], rows
