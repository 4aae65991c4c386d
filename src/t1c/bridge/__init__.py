"""The bridge between graphs and PyTorch.

``ir_to_torch`` imports a graph or file as an executable, trainable ``GraphExecutor``;
``to_ir`` exports a model as the graph that it is.
"""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as _missing:
    raise ModuleNotFoundError(
        f"t1c.bridge runs graphs in PyTorch, which cannot be imported ({_missing}). "
        "Install it with: pip install 't1c[torch]'",
        name=_missing.name,
    ) from _missing

# From here on `snntorch.import_t1cir` and `snntorch.export_t1cir` can be imported.
from .. import _snntorch_hook as _snntorch_hook
from .cyclic import CyclicGraphExecutor
from .engine.kernels.surrogate import Surrogate
from .engine.stateful import StatefulModule
from .executor import GraphExecutor
from .fake_quantize import fake_quantize, settle_weights
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
from .in_shards import backward_in_shards
from .names import sanitize_module_name
from .state_files import load_state, save_state
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
    "backward_in_shards",
    "fake_quantize",
    "from_ir",
    "get_disconnected_nodes",
    "get_input_nodes",
    "get_output_nodes",
    "get_topological_order",
    "has_cycles",
    "ir_to_torch",
    "load",
    "load_state",
    "node_to_module",
    "nodes_to_modules",
    "sanitize_module_name",
    "save_state",
    "settle_weights",
    "to_ir",
    "torch_to_ir",
    "validate_graph",
    "verify",
]


def __dir__() -> list[str]:
    """The interface, without the files that it is made of."""
    return __all__
