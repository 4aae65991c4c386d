"""The graph of an executor: the one it came from, with its parameters as they are now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from t1c import ir
from t1c.ir.errors import Problem, T1CError, UnsupportedError

from .executor import GraphExecutor
from .modules.exporting import Fragment, known_type, module_to_node
from .modules.registry import is_default, node_of
from .modules.tied import with_ties


def own_graph(
    executor: GraphExecutor,
    sample: Any,
    convert: Callable[[nn.Module], ir.Node | Fragment | None],
    restate: Callable[[ir.Node], ir.Node],
) -> ir.Graph:
    """The nodes of the executor's modules on the executor's own edges.

    Args:
        executor: imported from a graph, or made by hand of modules and edges.
        sample: as for ``to_ir``; it is used where the executor was made by hand.
        convert: the user's choice of node for a module.
        restate: what to make of each node.

    Raises:
        UnsupportedError: listing the modules that no node says.
    """
    shapes = _shapes(executor, sample) if executor.graph is None else {}
    nodes: dict[str, ir.Node] = {}
    problems: list[Problem] = []
    for name in executor.plan.order:
        module = executor.node(name)
        try:
            nodes[name] = restate(_node(executor, name, module, convert, shapes))
        except T1CError as error:
            problems += [p.at(f"node {name!r}") for p in error.problems]
    if problems:
        raise UnsupportedError(problems)
    nodes = with_ties(nodes, {name: executor.node(name) for name in nodes})
    if executor.graph is not None:
        return _refilled(executor.graph, nodes, "")
    loops = any(source.back for sources in executor.plan.sources.values() for source in sources)
    ordered = {name: nodes[name] for name in executor.plan.sources}
    back = [
        (source.name, target)
        for target, sources in executor.plan.sources.items()
        for source in sources
        if source.back
    ]
    return ir.Graph(ordered, executor.edges, allow_cycles=loops, feedback=back)


def _node(
    executor: GraphExecutor,
    name: str,
    module: nn.Module,
    convert: Callable[[nn.Module], ir.Node | Fragment | None],
    shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]],
) -> ir.Node:
    chosen = convert(module)
    if isinstance(chosen, ir.Node):
        return chosen
    kept = node_of(module)
    if kept is not None and is_default(module) and not kept.parameters():
        return kept
    if kept is None and isinstance(module, nn.Identity):
        if name in executor.plan.inputs:
            return ir.Input(shapes[name][0])
        if name in executor.plan.outputs:
            return ir.Output(shapes[name][1])
    if known_type(module) is None:
        raise UnsupportedError(
            Problem(
                f"no node is known for a {type(module).__name__}",
                "a module that has one",
                f"Pass custom_map={{{type(module).__name__}: function}} that makes its node.",
            )
        )
    if kept is not None:
        entering, leaving = (
            tuple(int(n) for n in next(iter((types or {}).values()), ()))
            for types in (kept.input_type, kept.output_type)
        )
    else:
        entering, leaving = shapes[name]
    made = module_to_node(module, entering, leaving)
    if isinstance(made, Fragment):
        if set(made.nodes) == {""}:
            return made.nodes[""]
        raise UnsupportedError(
            Problem(f"a {type(module).__name__} is several nodes", "a module that is one node")
        )
    return made


def _shapes(
    executor: GraphExecutor, sample: Any
) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """The feature shapes that enter and leave each module of an executor made by hand."""
    found: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {}

    def note(module: nn.Module, given: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output
        found[id(module)] = tuple(given[0].shape[1:]), tuple(first.shape[1:])

    modules = {name: executor.node(name) for name in executor.plan.sources}
    hooks = [module.register_forward_hook(note) for module in modules.values()]
    try:
        outputs = executor(sample)
    finally:
        for hook in hooks:
            hook.remove()
    assert isinstance(outputs, Tensor | dict | tuple)
    return {name: found.get(id(module), ((), ())) for name, module in modules.items()}


def _refilled(graph: ir.Graph, nodes: Mapping[str, ir.Node], prefix: str) -> ir.Graph:
    """``graph`` with the nodes of its flat form put back where they came from."""
    filled: dict[str, ir.Node] = {}
    for name, node in graph.nodes.items():
        if isinstance(node, ir.Graph):
            filled[name] = _refilled(node, nodes, f"{prefix}{name}/")
        elif prefix and isinstance(node, ir.Input | ir.Output):
            filled[name] = node
        else:
            filled[name] = nodes[f"{prefix}{name}"]
    return ir.Graph(
        filled,
        graph.edges,
        graph.metadata,
        graph.allow_cycles,
        feedback=graph.feedback,
        allow_nonfinite=graph.allow_nonfinite,
    )
