"""The bridge between graphs and PyTorch.

``ir_to_torch`` imports a graph or file as an executable, trainable ``GraphExecutor``.
"""

from .cyclic import CyclicGraphExecutor
from .executor import GraphExecutor
from .from_ir import (
    LIFModule,
    SepConv2dModule,
    SkipModule,
    from_ir,
    ir_to_torch,
    load,
    node_to_module,
    nodes_to_modules,
)
from .graph_helpers import (
    get_disconnected_nodes,
    get_input_nodes,
    get_output_nodes,
    get_topological_order,
    has_cycles,
    validate_graph,
)
from .names import sanitize_module_name
from .stateful import StatefulModule

__all__ = [
    "CyclicGraphExecutor",
    "GraphExecutor",
    "LIFModule",
    "SepConv2dModule",
    "SkipModule",
    "StatefulModule",
    "from_ir",
    "get_disconnected_nodes",
    "get_input_nodes",
    "get_output_nodes",
    "get_topological_order",
    "has_cycles",
    "ir_to_torch",
    "load",
    "node_to_module",
    "nodes_to_modules",
    "sanitize_module_name",
    "validate_graph",
]
