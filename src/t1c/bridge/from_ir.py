"""A graph, or a file, as executable PyTorch."""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Collection
from typing import Any

import torch
from torch import nn

from t1c import ir, nir
from t1c.ir.collector import building
from t1c.ir.copy_on_write import lock
from t1c.ir.errors import InputError, Problem, UnsupportedError
from t1c.ir.flat import Flat
from t1c.ir.unknown import refuse_unknown

from .custom_map import NodeMap, module_from_map
from .engine.kernels.surrogate import ATAN, Surrogate
from .exact import exact_dtype
from .executor import GraphExecutor
from .modules import LIFModule, MergeModule, SepConv2dModule, SkipModule
from .modules.normalization import RECORDED, choose_statistics, mark
from .modules.registry import importer_of, mark_default, remember
from .modules.teach import teach
from .modules.tied import freeze, tie

__all__ = [
    "LIFModule",
    "SepConv2dModule",
    "SkipModule",
    "from_ir",
    "ir_to_torch",
    "load",
    "node_to_module",
    "nodes_to_modules",
]

_TYPES = ("input_type", "output_type", "declared_input", "declared_output")
_SHARED = frozenset([*_TYPES, "arrived", "_converted"])
"""What a copy of a node has copies of already, or nobody changes in its place."""

GraphOrPath = ir.Graph | str | os.PathLike[str]


@building()
def ir_to_torch(
    graph: GraphOrPath,
    node_map: NodeMap | None = None,
    return_state: bool = False,
    validate: bool = True,
    *,
    dtype: torch.dtype | None = None,
    dt: float | None = None,
    dialect: str | None = None,
    surrogate: str | Surrogate = ATAN,
    detach_reset: bool = True,
    learn: Collection[str] = (),
    trainable: bool = True,
    kernels: str | None = None,
    events: bool | None = None,
    reproducible: bool = False,
    batchnorm: str = RECORDED,
    quantized: bool = False,
) -> GraphExecutor:
    """Import a graph, or a ``.t1c`` or ``.nir`` file, as an executable module in eval mode.

    Args:
        graph: the graph, or the path of a file.
        node_map: makes modules in the place of the default ones: a callable ``node -> module or
            None`` (None: use the default), used for one type only if its argument is annotated
            with that type; or a dict ``node type -> callable``.
        return_state: whether calls return ``(output, state)``; see ``GraphExecutor``.
        validate: check the graph once more; it was checked when it was made.
        dtype: of the parameters; torch's default if None. Files keep their precision only here:
            converting an executor later starts from the parameters as they are.
        dt: of a ``.nir`` file: seconds in one step; see ``t1c.nir.read``, which has more options.
        dialect: of a ``.nir`` file: its producer.
        surrogate: the gradient of spikes in training: 'atan', 'fast_sigmoid', 'sigmoid',
            'triangular', 'straight_through', or a ``Surrogate`` with a slope of its own.
        detach_reset: let no gradient flow through the spike that resets, as in snnTorch.
        learn: parameters of neurons that are to be learnt, such as 'tau' and 'v_threshold';
            those of a neuron are constants otherwise.
        trainable: whether parameters require gradients. With False a call keeps nothing for a
            backward pass, under ``no_grad`` or not; parameters that do not train are noted as
            frozen when the executor is exported.
        kernels: 'torch', 'numba' or 'triton'; None: whatever is fastest on the device.
        events: whether layers add up active inputs only; None: where that is faster. False keeps
            every sum in torch's own order.
        reproducible: every sum in its one written order, so that all numbers are the same bits
            in every mode, at every batch size and number of threads, on every machine; float32
            and float64 on a CPU, in inference. See docs/reproducible.md.
        batchnorm: of what batch norms take statistics in training: 'recorded' as each node says;
            'step' of the batch at each step; 'sequence' of all steps and the batch, which ``run``
            then works in one chunk and which cannot be stepped; 'frozen' of nothing: they stay in
            eval mode when the executor is told to train, and only weight and bias learn.
        quantized: refuse a graph that is not one of integers (see ``sdk.quantize``), and take a
            dtype in which all of them are exact: float32 if that will do, else float64. Then every
            mode, batch size and machine gives the same bits.

    Returns:
        The executor. Its parameters are copies of the graph's arrays, and its ``graph`` is a copy
        of the structure: what the caller does to the graph afterwards changes neither.

    Raises:
        GraphError, T1CFormatError: the graph or file is not valid.
        ConventionError: the dt of a ``.nir`` file is not known.
        UnsupportedError: no module runs a node, or with ``reproducible`` not in a written order.
            With ``quantized``: nodes whose numbers are not integers, or too large for the dtype.
        InputError: an option that there is not, or parameters are to be learnt of what is not
            trainable.

    Example:
        >>> executor = ir_to_torch("model.t1c", return_state=True)  # doctest: +SKIP
        >>> output, state = executor(x, {})  # doctest: +SKIP
    """
    if learn and not trainable:
        raise InputError(
            Problem(f"learn={learn!r} and trainable=False", "one of the two", field="trainable")
        )
    if isinstance(graph, ir.Graph):
        graph = _snapshot(_graph(graph, dt, dialect))
        refuse_unknown(graph.flat().nodes.items())
        if validate:
            graph.check()
    else:
        graph = _graph(graph, dt, dialect)
        if node_map is None:
            _lock(graph)
    if quantized:
        dtype = exact_dtype(graph, dtype)
    flat = graph.flat()
    modules = _modules(flat, node_map, dtype)
    executor = GraphExecutor(modules, flat.edges, return_state, feedback=flat.feedback_edges())
    executor.graph = graph
    executor.kernels, executor.events = kernels, events
    executor.reproducible = reproducible
    with torch.inference_mode(False):
        teach(executor, surrogate, detach_reset, learn, dtype)
    executor.frozen_norms = choose_statistics(executor, batchnorm)
    if not trainable:
        executor.requires_grad_(False)
    # What its modules are already.
    executor.training = False
    return executor


def load(path: str | os.PathLike[str], **kwargs: Any) -> GraphExecutor:
    """Import a ``.t1c`` or ``.nir`` file; keywords as for ``ir_to_torch``."""
    return ir_to_torch(path, **kwargs)


@building()
def from_ir(
    graph: GraphOrPath,
    custom_map: NodeMap | None = None,
    *,
    dtype: torch.dtype | None = None,
    dt: float | None = None,
    dialect: str | None = None,
) -> dict[str, nn.Module]:
    """One module for each node of a graph or file, by name, in eval mode.

    A node ``n`` of a nested graph ``g`` is named ``g/n``, as in ``graph.flat()``, whose edges go
    with these modules. Nodes noted to have been one module share its parameters, and those noted
    to be frozen do not require a gradient: see ``bridge.tied``.

    Args:
        graph: the graph, or the path of a file.
        custom_map: as ``node_map`` of ``ir_to_torch``.
        dtype: of the parameters; torch's default if None.
        dt: as of ``ir_to_torch``.
        dialect: as of ``ir_to_torch``.

    Raises:
        UnsupportedError: listing all nodes that no module runs, or that the map has a module for
            which does not say how several inputs become one.
    """
    return _modules(_graph(graph, dt, dialect).flat(), custom_map, dtype)


nodes_to_modules = from_ir


def _modules(
    flat: Flat, custom_map: NodeMap | None, dtype: torch.dtype | None
) -> dict[str, nn.Module]:
    arriving = Counter(target for _, target in flat.edges)
    modules: dict[str, nn.Module] = {}
    names: dict[int, str] = {}
    problems = []
    for name, node in flat.nodes.items():
        module = module_from_map(custom_map, node, name)
        if module is None:
            module = node_to_module(node, dtype=dtype)
        else:
            mark(module.eval(), node)
        twin = names.get(id(module))
        if module is None:
            problems.append(_cannot_run(name, node))
        elif twin is not None:
            problems.append(_one_for_two(name, twin))
        elif not (node.adds_inputs or arriving[name] < 2 or isinstance(module, MergeModule)):
            problems.append(_cannot_merge(name, node, module))
        else:
            modules[name] = remember(module, node)
            names[id(module)] = name
    if problems:
        raise UnsupportedError(problems)
    tie(modules)
    for module in modules.values():
        freeze(module)
    return modules


def node_to_module(node: ir.Node, *, dtype: torch.dtype | None = None) -> nn.Module | None:
    """The module that runs one node, in eval mode, or None if its type has none.

    Example:
        >>> import numpy as np
        >>> node_to_module(ir.Affine(weight=np.ones((3, 4)), bias=np.zeros(3)))
        Linear(in_features=4, out_features=3, bias=True)
    """
    importer = importer_of(node)
    if importer is None:
        return None
    # Parameters that can be trained, whatever mode this is called in.
    with torch.inference_mode(False):
        made = importer(node, dtype or torch.get_default_dtype()).eval()
    return remember(mark_default(made), node)


def _snapshot(graph: ir.Graph) -> ir.Graph:
    """A copy that the caller's later changes do not reach; arrays, which are not written, shared.

    The executor keeps it, and exports it with the parameters that its modules then have.
    """
    own = copy.copy(graph)
    for name, value in vars(graph).items():
        if name not in ("nodes", "edges", "feedback"):
            setattr(own, name, copy.deepcopy(value))
    own.nodes = {
        name: _snapshot(node) if isinstance(node, ir.Graph) else _fields_shared(node)
        for name, node in graph.nodes.items()
    }
    own.edges, own.feedback = [*graph.edges], [*graph.feedback]
    return own


def _fields_shared(node: ir.Node) -> ir.Node:
    own = copy.copy(node)
    held, kinds = vars(own), node.kinds
    for name in _TYPES:
        if held[name]:
            held[name] = {port: shape.copy() for port, shape in held[name].items()}
        elif held[name] is not None:
            held[name] = {}
    for name, value in held.items():
        if name not in _SHARED and name not in kinds:
            held[name] = copy.deepcopy(value) if value else value
    held["metadata"] = held["metadata"] or {}
    return own


def _lock(graph: ir.Graph) -> None:
    """Have nobody write to the arrays of a graph, so that modules need not look whether they did.

    They are the executor's own, which exports what its modules hold.
    """
    for node in graph.flat().nodes.values():
        for array in node.parameters().values():
            lock(array)


def _graph(graph: GraphOrPath, dt: float | None, dialect: str | None) -> ir.Graph:
    if not isinstance(graph, ir.Graph) and os.fspath(graph).endswith(".nir"):
        return nir.read(graph, dt=dt, dialect=dialect)
    if dt is not None or dialect is not None:
        raise InputError(
            Problem(
                f"dt={dt}, dialect={dialect!r} for what is not a .nir file",
                "neither: a graph counts steps",
                "Drop them, or name the file *.nir.",
            )
        )
    return graph if isinstance(graph, ir.Graph) else ir.read(graph)


def _one_for_two(name: str, twin: str) -> Problem:
    return Problem(
        f"node_map returned the module of node {twin!r} again",
        "a module for each node, which keeps what that node says",
        "Make a new one; to share weights, let both hold the same nn.Parameter.",
        f"node {name!r}",
    )


def _cannot_merge(name: str, node: ir.Node, module: nn.Module) -> Problem:
    return Problem(
        f"node_map returned a {type(module).__name__}, to which the inputs would be added up",
        f"a module that says what a {node.primitive} makes of several inputs",
        "Derive it from t1c.bridge.modules.MergeModule and define merge(inputs).",
        f"node {name!r} ({node.primitive})",
    )


def _cannot_run(name: str, node: ir.Node) -> Problem:
    return Problem(
        f"no module runs a {node.primitive}",
        "a primitive of ir.list_primitives(), or one that node_map knows",
        f"Pass node_map={{ir.{node.primitive}: function}} that makes a module from the node.",
        f"node {name!r}",
    )
