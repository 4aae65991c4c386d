"""A module captured as a program that holds torch's core operators and nothing else."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import fx, nn
from torch.export import ExportedProgram

from t1c.ir.errors import Problem, UnsupportedError

_CHECKS = (
    torch.ops.aten._assert_tensor_metadata.default,
    torch.ops.aten._assert_scalar.default,
)
"""What tracing leaves behind of facts that hold by construction."""


def traced(module: nn.Module, arguments: tuple[Any, ...], dynamic: Any) -> ExportedProgram:
    """A module as torch.export traces it, which a larger module may call.

    Args:
        module: called with these arguments.
        arguments: of the shapes that are to be, which the program keeps as its example.
        dynamic: as ``torch.export.export`` takes ``dynamic_shapes``.
    """
    with torch.no_grad():
        return torch.export.export(module, arguments, dynamic_shapes=dynamic, strict=False)


def in_core(program: ExportedProgram) -> ExportedProgram:
    """The same program in torch's core operators.

    Raises:
        UnsupportedError: the program does what no core operator of torch's says.
    """
    with warnings.catch_warnings(), torch.no_grad():
        # torch's own copies of its own trees.
        warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)
        core: ExportedProgram = program.run_decompositions()
    for graph in _graphs(core):
        _tidy(graph)
    refuse_foreign(core)
    return core


def refuse_foreign(program: ExportedProgram) -> None:
    """Refuse a program that only a process with more than torch could run.

    Raises:
        UnsupportedError: listing every operator that is not one of torch's core.
    """
    problems = []
    for graph in _graphs(program):
        for node in graph.nodes:
            if node.op == "call_function" and not _is_core(node.target):
                module = list(node.meta.get("nn_module_stack", {"": ("", None)}).values())[-1][0]
                problems.append(
                    Problem(
                        f"it is exported with the operator {node.target}",
                        "operators of torch's core, which any process with torch knows",
                        "Say it with primitives of ir.list_primitives().",
                        f"module {module!r}",
                    )
                )
    if problems:
        raise UnsupportedError(problems)


def operations(program: ExportedProgram) -> int:
    """How many operators a program holds, those in its loop once each."""
    return sum(
        isinstance(node.target, torch._ops.OpOverload)
        for graph in _graphs(program)
        for node in graph.nodes
    )


def _is_core(target: Any) -> bool:
    if isinstance(target, torch._ops.OpOverload):
        return target.namespace == "aten" and torch.Tag.core in target.tags
    # Arithmetic on sizes, and the loop over time.
    return (
        target is operator.getitem
        or target is torch.ops.higher_order.scan
        or (getattr(target, "__module__", "") in ("_operator", "math"))
    )


def _graphs(program: ExportedProgram) -> Iterator[fx.Graph]:
    for module in program.graph_module.modules():
        if isinstance(module, fx.GraphModule):
            yield module.graph


def _tidy(graph: fx.Graph) -> None:
    for node in list(graph.nodes):
        # Where this was traced is nobody's business, and no two machines would say the same.
        node.meta.pop("stack_trace", None)
        if node.target in _CHECKS:
            graph.erase_node(node)
        elif node.target is torch.ops.aten.alias.default:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    if graph.owning_module is not None:
        graph.owning_module.recompile()
