"""A neuron that hears itself through a Linear, trained: all steps of a chunk, there and back.

There, the loop is one list of instructions. Back, a step needs a kernel for the neuron and a
product for what it heard; the gradient of the Linear's weight is taken of all steps at once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from t1c.ir.step_plan import Source

from .arrivals import sent_before, state_of
from .input_checks import Inputs
from .kernels.arithmetic import of_arithmetic
from .kernels.events import packed, unpacked, weight_gradient
from .kernels.generated.neuron import loop_of
from .kernels.generated.scan import forward, kept_of, numbers_of, with_gradient
from .kernels.layout import reduced
from .kernels.rule import COEFFICIENTS, Rule
from .kernels.scan import Coefficients
from .kernels.tape import keeps
from .network import Network
from .scanned import is_scanned
from .state_checks import States
from .values import Values, at_port
from .work import is_plain
from .writing import program_for


@dataclass(frozen=True)
class Loop:
    """The nodes of such a loop.

    Attributes:
        neuron: the one whose output runs back.
        layers: the Linears that it runs back through, in the order of the neuron's inputs.
        parts: each input of the neuron: a source outside; the number of a layer; None: its own
            output.
    """

    neuron: str
    layers: tuple[str, ...]
    parts: tuple[Source | int | None, ...]


def find_loop(network: Network, names: tuple[str, ...], keep: Collection[str]) -> Loop | None:
    """The loop that nodes make up, if it is one neuron and Linears that lead back to it."""
    plan = network.plan
    neurons = [n for n in names if is_scanned(network.node(n))]
    if len(neurons) != 1 or not all(is_plain(network.node(n)) for n in names):
        return None
    (neuron,) = neurons
    layers: list[str] = []
    parts: list[Source | int | None] = []
    for source in plan.sources[neuron]:
        if source.name == neuron:
            parts.append(None)
        elif source.name in names:
            parts.append(len(layers))
            layers.append(source.name)
        else:
            parts.append(source)
    alone = set(layers) == set(names) - {neuron} and len(set(layers)) == len(layers)
    for name in layers:
        heard = plan.sources[name]
        alone = alone and type(network.node(name)) is nn.Linear and name not in keep
        alone = alone and len(heard) == 1 and heard[0].name == neuron and heard[0].back
        alone = alone and plan.targets[name] == (neuron,)
    fed = any(isinstance(part, Source) for part in parts)
    return Loop(neuron, tuple(layers), tuple(parts)) if alone and fed else None


def work_looped(
    network: Network,
    names: tuple[str, ...],
    inputs: Inputs,
    values: Values,
    state: States,
    after: States,
    keep: Collection[str],
) -> bool:
    """All steps of a loop with gradients; False, and nothing done, if it is no such loop."""
    like = next(iter(inputs.values()))
    loop = find_loop(network, names, keep)
    if loop is None or network.reproducible or not torch.is_grad_enabled() or not len(like):
        return False
    name = loop.neuron
    program = program_for(network, names, (name, *loop.layers), like)
    given = [at_port(values, part) for part in loop.parts if isinstance(part, Source)]
    shape = network.shapes[name]
    if program is None or shape is None or name in inputs:
        return False
    if len(shape) != 1 or any(x.shape != (*like.shape[:2], *shape) for x in given):
        return False
    known = {**inputs, **values}
    with torch.no_grad():
        held = {n: tuple(v.detach() for v in own) for n, own in state.items() if n == name}
        feeds = {n: known[n].detach() for n in program.feeds}
        done = program.run(feeds, held, like, like.shape[:2])
    if done is None:
        return False
    module = network.neuron(name)
    one = given[0][0]
    own = state_of(network, name, state, one) or module.initial_state(one)
    sent = sent_before(network, name, values, state, {n: x[0] for n, x in inputs.items()})
    c = module.laid(torch.Size(shape), like.dtype, like.device)
    layers = [network.node(n) for n in loop.layers]
    fed = [done[0][n] for n in loop.layers]
    job = _Job(loop.parts, [*fed, done[0][name]], c, module.rule)
    learnt = [p for layer in layers for p in (layer.weight, layer.bias)]
    i = own[0] if module.rule.synapse else None
    out, i, v = _Looped.apply(  # type: ignore[no-untyped-call]
        job, len(given), sent, i, own[-1], *given, *learnt, *c.tensors
    )
    values[name] = out
    # A copy: a view would keep the whole chunk.
    after[name] = (*((v,) if i is None else (i, v)), out[-1].clone())
    return True


@dataclass
class _Job:
    parts: Sequence[Source | int | None]
    fed: list[Tensor]
    c: Coefficients
    rule: Rule


class _Looped(torch.autograd.Function):
    """``tensors``: what comes from outside, weight and bias of each layer, coefficients."""

    @staticmethod
    def forward(
        ctx: Any, job: _Job, count: int, sent: Tensor, i: Tensor | None, v: Tensor, *tensors: Any
    ) -> Any:
        given, learnt = tensors[:count], tensors[count : -len(COEFFICIENTS)]
        x = _heard(job, given, sent)
        job.fed = []
        needed = ctx.needs_input_grad[5 + count :]
        ctx.learning = tuple(n for n, need in enumerate(needed[len(learnt) :]) if need)
        loop = loop_of(job.rule)
        forth, back = with_gradient(loop, (0,), ctx.learning, ())
        walked = forth if keeps() else loop
        state = (v,) if i is None else (i, v)
        arrays = job.c.laid(v.shape[1:], False), x.new_empty(0)
        out, *found = forward(walked, "numba", [x], state, arrays)
        kept = kept_of(loop, back, [x], walked.writes, [out, *found])
        spikes = None
        if any(needed[: len(learnt) : 2]):
            bits = packed(out.flatten(0, 1)) if keeps() else None
            spikes = out.flatten(0, 1) if bits is None else bits
        saved = tensors[count:] if ctx.learning else learnt
        ctx.save_for_backward(spikes, sent, *saved, *kept)
        ctx.job, ctx.count, ctx.layers, ctx.arrays = job, count, len(learnt) // 2, arrays
        ctx.back, ctx.shape = back.loop, x.shape
        ctx.set_materialize_grads(False)
        after = found[len(walked.writes) - 1 :]
        return out, None if i is None else after[0], after[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_out: Tensor | None, g_i: Tensor | None, g_v: Tensor | None) -> Any:
        from .kernels.generated import llvm_launch

        spikes, sent, *more = ctx.saved_tensors
        job, layers, loop = ctx.job, ctx.layers, ctx.back
        steps, batch, size = ctx.shape
        ends = 2 * layers, 2 * layers + (len(COEFFICIENTS) if ctx.learning else 0)
        learnt, coefficients, kept = more[: ends[0]], more[ends[0] : ends[1]], more[ends[1] :]
        grads = sent.new_zeros(steps, batch, size)
        if g_out is not None:
            grads.copy_(g_out)
        gx, g_sent = torch.empty_like(grads), torch.zeros_like(sent)
        handed = [g_i, g_v] if job.rule.synapse else [g_v]
        g_state = torch.stack([torch.zeros_like(sent) if g is None else g for g in handed])
        wide = of_arithmetic(sent.dtype)
        sums = sent.new_zeros((len(loop.sums), batch * size), dtype=wide)
        total = torch.zeros_like(sums)
        given = [*kept, grads]
        rows, alone = ctx.arrays
        still = [numbers_of(loop, wide, sent.device), alone, rows, g_state.flatten(1), sums]
        fixed = [a.detach().numpy() for a in still]
        moving = [
            a.detach().contiguous().view(steps, -1).numpy()
            for a in (*(given[n] for n in loop.reads), gx)
        ]
        weights = [learnt[2 * part].detach() for part in job.parts if isinstance(part, int)]
        itself = sum(part is None for part in job.parts)
        for t in reversed(range(steps)):
            llvm_launch.work(loop, 1, batch * size, [*fixed, *(a[t : t + 1] for a in moving)])
            total += sums
            before = grads[t - 1] if t else g_sent
            for weight in weights:
                before.addmm_(gx[t], weight)
            if itself:
                before.add_(gx[t], alpha=itself)
        flat, needed = gx.flatten(0, 1), ctx.needs_input_grad
        of_layers: list[Tensor | None] = [None] * len(learnt)
        wanted = needed[5 + ctx.count :]
        if any(wanted[: len(learnt) : 2]):
            heard = _before(sent, spikes[: (steps - 1) * batch], size)
        for n in range(len(learnt)):
            if wanted[n]:
                of_layers[n] = flat.sum(0) if n % 2 else weight_gradient(heard, flat, size)
        of_coefficients: list[Tensor | None] = [None] * len(COEFFICIENTS)
        for n, g in zip(ctx.learning, total, strict=True):
            of_coefficients[n] = reduced(g.view(batch, size), coefficients[n])
        g_i, g_v = (g_state[0] if job.rule.synapse else None), g_state[-1]
        return None, None, g_sent, g_i, g_v, *[gx] * ctx.count, *of_layers, *of_coefficients


def _before(sent: Tensor, spikes: Tensor, size: int) -> Tensor:
    """What a loop heard at all steps (T * B, size), or the bits of it.

    Args:
        sent: what the neuron had sent before the first step (B, size).
        spikes: what it sent at all steps but the last, or their bits.
        size: how many neurons there are.
    """
    bits = packed(sent.contiguous()) if spikes.dtype != sent.dtype else sent
    if bits is None:
        return torch.cat([sent, unpacked(spikes, size, sent.dtype)])
    return torch.cat([bits, spikes])


def _heard(job: _Job, given: Sequence[Tensor], sent: Tensor) -> Tensor:
    """What reaches the neuron at all steps, added up in the order of its inputs."""
    outside = iter(given)
    total: Tensor | None = None
    for part in job.parts:
        if part is None:
            x = torch.cat([sent.unsqueeze(0), job.fed[-1][:-1]])
        elif isinstance(part, int):
            x = job.fed[part]
        else:
            x = next(outside).detach()
        total = x if total is None else total + x
    assert total is not None
    return total
