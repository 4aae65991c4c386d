"""The bridge between graphs and PyTorch.

``ir_to_torch`` imports a graph or file as an executable, trainable ``GraphExecutor``;
``to_ir`` exports a model as the graph that it is.
"""

from .cyclic import CyclicGraphExecutor
from .engine.kernels.surrogate import Surrogate
from .engine.stateful import StatefulModule
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
from .to_ir import T1CExporter, to_ir, torch_to_ir
from .tracing.proof import ProofWarning
from .verify import Report, VerificationError, verify

__all__ = [
    "CyclicGraphExecutor",
    "GraphExecutor",
    "LIFModule",
    "ProofWarning",
    "Report",
    "SepConv2dModule",
    "SkipModule",
    "StatefulModule",
    "Surrogate",
    "T1CExporter",
    "VerificationError",
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
    "to_ir",
    "torch_to_ir",
    "validate_graph",
    "verify",
]
