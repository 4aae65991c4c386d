"""``verify``: from what the caller has to a report."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from t1c import ir, nir
from t1c.ir.errors import InputError, Problem
from t1c.ir.primitives.border import how_many_steps

from .. import frameworks
from ..executor import GraphExecutor
from ..from_ir import ir_to_torch
from ..modules.registry import node_of
from .causes import Cause, Search
from .changes import unlike
from .compare import compare
from .executors import ExecutorSide
from .kinds import Kind, module_side
from .layouts import Wanted
from .report import Parting, Report, RunCheck
from .rounding import evidence
from .trace import Side, Trace, Xs, as_given, each, tensors

Executable = ir.Graph | str | os.PathLike[str] | nn.Module


def verify(
    a: Executable,
    b: Executable,
    xs: Any,
    *,
    a_kind: Kind = "auto",
    b_kind: Kind = "auto",
    dtype: torch.dtype | None = None,
    tolerance: float | None = None,
    nodes: bool = True,
    dt: float | None = None,
    steps: int | None = None,
) -> Report:
    """Run two executables on one input and say whether they agree; if not, where and why.

    Both start from rest and run in eval mode, on copies: neither ``a`` nor ``b`` is changed. A
    graph or executor is also ``run`` on the whole sequence, and must do what its steps do.

    Args:
        a: one side: an ``ir.Graph``, the path of a ``.t1c`` or ``.nir`` file, a ``GraphExecutor``,
            or any other module. Nodes are compared where both sides show them: those of a graph,
            and the submodules of a module whose paths are the nodes' names.
        b: the other side.
        xs: the input (T, B, *shape), tensor or array; a dict by Input name, or a tuple in their
            order, where there are several. For an Input with ``hold`` one value (B, *shape) serves.
        a_kind: how ``a`` is called, if it is a module. 'sequence': once, as one with a time loop
            of its own; if the other side is a graph, with (T, B, ...), (B, T, ...), (B, ..., T),
            or one value (B, ...) that is held, whichever gives outputs of the graph's shapes: the
            report says which. 'step': for each step, with (B, ...); it returns its
            output, or (output, *state) with the state passed back positionally, None at first;
            neurons that hide their state are reset before. 'auto' looks at what either way of
            calling it does, and raises if that does not tell. A graph or executor is stepped
            unless 'sequence' has it take the whole sequence at once.
        b_kind: the same for ``b``.
        dtype: of the arithmetic on both sides; None: of the parameters of the first module given,
            or of ``xs``.
        tolerance: how far apart two numbers may be that count as equal, relative to the largest of
            their node. None: 64 units of rounding, or 4 of a half type. 0: the same bits.
        nodes: whether nodes are compared too, or outputs alone.
        dt: seconds in one step, for ``.nir`` files that do not say it.
        steps: how many steps held values are held for, in the place of ``hold``.

    Returns:
        The report; it is true if they agree. Of an Output with ``final`` the last step is compared.

    Raises:
        InputError: the input fits a side not, the outputs have different names or shapes, there
            is no step to take, or nothing tells how a module is to be called.
        T1CError: a file or graph is not valid.

    Example:
        >>> import numpy as np, torch
        >>> one = np.ones(1)
        >>> def graph(threshold):
        ...     return ir.Graph(
        ...         {"input": ir.Input(shape=(2,)),
        ...          "if": ir.IF(v_threshold=threshold * one),
        ...          "output": ir.Output(shape=(2,))},
        ...         [("input", "if"), ("if", "output")],
        ...     )
        >>> xs = torch.full((5, 1, 2), 0.25)
        >>> bool(verify(graph(1.0), graph(1.0), xs))
        True
        >>> report = verify(graph(1.0), graph(0.5), xs)
        >>> report.parting.step, report.parting.node, report.causes[0].kind
        (1, 'if', 'threshold')
    """
    frameworks.load()
    pair = _loaded(a, dt), _loaded(b, dt)
    dtype = dtype or _dtype(*pair, xs)
    about = next((known for side in pair if (known := _about(side)) is not None), None)
    xs, still = _inputs(xs, dtype, {} if about is None else about.inputs, steps)
    wanted = Wanted() if about is None else replace(about.wanted, still=still)
    first = _side("a", pair[0], a_kind, xs, wanted, dtype)
    second = _side("b", pair[1], b_kind, xs, wanted, dtype)
    if tolerance is None:
        eps = torch.finfo(dtype).eps
        tolerance = eps * (4 if eps > 1e-3 else 64)
    return _report(first, second, xs, dtype, tolerance, nodes)


def _report(
    first: Side, second: Side, xs: Xs, dtype: torch.dtype, tolerance: float, nodes: bool
) -> Report:
    mine, theirs = first.trace(xs), second.trace(xs)
    traced: list[tuple[Side, Trace]] = [(first, mine), (second, theirs)]
    graphs = [side for side in (first, second) if isinstance(side, ExecutorSide)]
    order = graphs[0].executor.plan.order if graphs else tuple(mine.values)
    found = compare(mine, theirs, tolerance, order if nodes else ())
    graph = graphs[0] if graphs else None
    seen = [evidence(place, mine, theirs, xs, graph) for place in found.places]
    rounding = sum(e.rounding for e in seen)
    shown = next((i for i, e in enumerate(seen) if not e.rounding), 0)
    parting, causes, tested = None, tuple[Cause, ...](), 0
    if found.places:
        place, e = found.places[shown], seen[shown]
        parting = Parting(
            place.step,
            place.node,
            place.sample,
            e.element,
            place.is_output,
            place.what,
            e.values,
            e.potentials,
            e.threshold,
            e.distances,
            e.bound,
            e.rounding,
        )
        if rounding == len(found.places):
            causes = (_rounding(parting),)
        elif graph is not None:
            other = second if graph is first else first
            traces = (mine, theirs) if graph is first else (theirs, mine)
            search = Search(graph, other, *traces, found, place, xs, tolerance)
            causes, tested = search.causes(), search.tried
    steps, batch = tensors(xs)[0].shape[:2]
    runs = tuple(_run(side, trace, xs, tolerance) for side, trace in traced if side in graphs)
    fired = [*mine.fired.values(), *theirs.fired.values()]
    unalike = []
    agree = not found.places and all(run.differing == run.rounding for run in runs)
    if graph is not None and agree:
        unalike = unlike(graph, second if graph is first else first)
    return Report(
        agree=agree,
        a=first.label,
        b=second.label,
        dtype=str(dtype).removeprefix("torch."),
        steps=steps,
        batch=batch,
        tolerance=tolerance,
        outputs=found.outputs,
        spikes=found.spikes,
        values=found.values,
        potentials=found.potentials,
        nodes=found.nodes,
        differing_samples=len(found.places),
        rounding_samples=rounding,
        parting=parting,
        causes=causes,
        tested=tested,
        runs=runs,
        silent=bool(fired) and not any(fired),
        unlike=tuple(unalike),
    )


def _run(side: Side, trace: Trace, xs: Xs, tolerance: float) -> RunCheck:
    """Whether an executor's ``run`` gives what its steps gave."""
    assert isinstance(side, ExecutorSide)
    places = compare(trace, side.ran(xs), tolerance, ()).places
    if not places:
        return RunCheck(side.name, 0, 0, None, "")
    # Look inside: what every node sends when the sequence is worked at once.
    whole = side.at_once().trace(xs)
    inside = compare(trace, whole, tolerance, side.executor.plan.order).places
    near = {p.sample for p in inside if evidence(p, trace, whole, xs, side).rounding}
    differing = {p.sample for p in places}
    first = next((p for p in inside if p.sample not in near), places[0])
    return RunCheck(side.name, len(differing), len(differing & near), first.step, first.node)


def _rounding(parting: Parting) -> Cause:
    text = "rounding: the order of additions alone can make this difference"
    if parting.what == "spike":
        text = "rounding at the threshold: the order of additions alone can flip this spike"
    return Cause("rounding", (parting.node,), text, True, None)


def _loaded(side: Executable, dt: float | None) -> ir.Graph | nn.Module | tuple[str, ir.Graph]:
    """The graph behind a path, with its name."""
    if not isinstance(side, str | os.PathLike):
        if not isinstance(side, ir.Graph | nn.Module):
            raise InputError(
                Problem(f"a {type(side).__name__}", "a graph, a path, an executor or a module")
            )
        return side
    return os.fspath(side), nir.read_graph(side, dt)


def _side(
    name: str,
    what: ir.Graph | nn.Module | tuple[str, ir.Graph],
    kind: Kind,
    xs: Xs,
    wanted: Wanted,
    dtype: torch.dtype,
) -> Side:
    if kind not in ("auto", "sequence", "step"):
        raise InputError(Problem(repr(kind), "'auto', 'sequence' or 'step'", field=f"{name}_kind"))
    how = "the whole sequence at once" if kind == "sequence" else "step by step"
    if isinstance(what, GraphExecutor):
        return ExecutorSide(name, f"{type(what).__name__}, {how}", what, kind, dtype)
    if isinstance(what, nn.Module):
        return module_side(name, what, kind, xs, wanted, dtype)
    path, graph = what if isinstance(what, tuple) else ("", what)
    label = f"{path or 'graph'} ({len(graph.nodes)} nodes), {how}"
    return ExecutorSide(name, label, ir_to_torch(graph, dtype=dtype), kind)


@dataclass(frozen=True)
class _About:
    """What a graph tells of the input and the outputs.

    Attributes:
        inputs: Input name -> its node, in order.
        wanted: the outputs.
    """

    inputs: dict[str, ir.Input]
    wanted: Wanted


def _about(side: ir.Graph | nn.Module | tuple[str, ir.Graph]) -> _About | None:
    """What a side tells of its borders; None of a module, which has none to be seen."""
    if isinstance(side, GraphExecutor):
        names = side.plan.outputs
        nodes = {name: node_of(side.node(name)) for name in (*side.plan.inputs, *names)}
    elif isinstance(side, nn.Module):
        return None
    else:
        graph = side[1] if isinstance(side, tuple) else side
        names, nodes = tuple(graph.outputs()), dict(graph.nodes)
    inputs = {n: node for n, node in nodes.items() if isinstance(node, ir.Input)}
    ends = {n: node for n in names if isinstance(node := nodes[n], ir.Output)}
    shapes = {n: tuple(node.shape) for n, node in ends.items()} if len(ends) == len(names) else {}
    final = frozenset(n for n, node in ends.items() if node.final)
    return _About(inputs, Wanted(tuple(names), shapes, final))


def _dtype(a: Any, b: Any, xs: Any) -> torch.dtype:
    """Of the parameters of the first module that has any, or of the input."""
    for side in (a, b):
        if isinstance(side, nn.Module):
            for parameter in side.parameters():
                if parameter.is_floating_point():
                    return parameter.dtype
    first = next(iter(xs.values())) if isinstance(xs, Mapping) else xs
    first = first[0] if isinstance(first, tuple | list) else first
    found = torch.as_tensor(first).dtype
    return found if found.is_floating_point else torch.get_default_dtype()


def _inputs(
    xs: Any, dtype: torch.dtype, nodes: Mapping[str, ir.Input], steps: int | None
) -> tuple[Xs, tuple[bool, ...]]:
    """The caller's input as tensors of ``dtype`` (T, B, ...), and which of them are held still.

    Args:
        xs: what the caller passed.
        dtype: what it becomes.
        nodes: the Inputs of a graph, by name and in order; none where there is no graph.
        steps: how many steps held values are held for, if not those that the Inputs say.
    """

    def convert(x: Any) -> Tensor:
        if not isinstance(x, Tensor | np.ndarray):
            raise InputError(
                Problem(f"a {type(x).__name__}", "a tensor or array (T, B, ...)", where="xs")
            )
        return (x if isinstance(x, Tensor) else torch.from_numpy(np.array(x))).detach().to(dtype)

    if isinstance(xs, Mapping):
        xs = dict(xs)
    elif isinstance(xs, tuple | list):
        xs = tuple(xs)
    converted = each(xs, convert)
    given = tensors(converted)
    names = list(nodes) if len(nodes) == len(given) else [str(i) for i in range(len(given))]
    named = dict(converted if isinstance(converted, dict) else zip(names, given, strict=True))
    held = {
        name: node.hold
        for name, node in nodes.items()
        if node.hold is not None and name in named and named[name].dim() == 1 + len(node.shape)
    }
    if held or steps is not None:
        lengths = {n: len(x) if x.dim() else 0 for n, x in named.items() if n not in held}
        T = how_many_steps(lengths, held, steps)
        named |= {name: named[name].expand(T, *named[name].shape) for name in held}
        converted = as_given(converted, list(named.values()))
    sizes = {tuple(x.shape[:2]) for x in tensors(converted)}
    if len(sizes) != 1 or 0 in next(iter(sizes)) or len(next(iter(sizes))) != 2:
        raise InputError(
            Problem(
                f"inputs of {', '.join(str(tuple(x.shape)) for x in tensors(converted))}",
                "(T, B, ...), at least one step of at least one sample, the same for all",
                "Nothing would be proven by an empty run.",
                "xs",
            )
        )
    return converted, tuple(name in held for name in named)
