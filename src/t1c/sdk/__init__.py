"""What can be asked of a graph and done with it; each verb of the ``t1c`` command is one function.

Importing this package needs no torch; ``run`` and ``run_file`` need it when they are called.
"""

from .convert import ConvertReport, convert
from .info import FileInfo, NodeInfo, Source, file_info, node_infos
from .measure import (
    TABLES,
    EnergyEstimate,
    EnergyTable,
    GraphAnalysis,
    Measurement,
    NeuronSettings,
    NodeActivity,
    NodeAnalysis,
    NodeMemory,
    NodeOperations,
    Profile,
    Setting,
    Summary,
    analyze_graph,
    analyze_node,
    connection_sparsity,
    neuron_settings,
    profile_graph,
    summarize,
)
from .numbers import format_bytes, format_joules, format_number, format_seconds
from .primitives import (
    PrimitiveField,
    PrimitiveInfo,
    PrimitiveList,
    describe_primitive,
    describe_primitives,
)
from .report import Facts, Part, Report, Table
from .run_files import FileRun, RunsReport, find_data, run_files
from .run_report import RunReport, run_file
from .runner import DType, Runner, RunResult, run
from .samples import Samples, as_samples, read_samples
from .validate import Validity, validate_file
from .verify import verify_files

__all__ = [
    "TABLES",
    "ConvertReport",
    "DType",
    "EnergyEstimate",
    "EnergyTable",
    "Facts",
    "FileInfo",
    "FileRun",
    "GraphAnalysis",
    "Measurement",
    "NeuronSettings",
    "NodeActivity",
    "NodeAnalysis",
    "NodeInfo",
    "NodeMemory",
    "NodeOperations",
    "Part",
    "PrimitiveField",
    "PrimitiveInfo",
    "PrimitiveList",
    "Profile",
    "Report",
    "RunReport",
    "RunResult",
    "Runner",
    "RunsReport",
    "Samples",
    "Setting",
    "Source",
    "Summary",
    "Table",
    "Validity",
    "analyze_graph",
    "analyze_node",
    "as_samples",
    "connection_sparsity",
    "convert",
    "describe_primitive",
    "describe_primitives",
    "file_info",
    "find_data",
    "format_bytes",
    "format_joules",
    "format_number",
    "format_seconds",
    "neuron_settings",
    "node_infos",
    "profile_graph",
    "read_samples",
    "run",
    "run_file",
    "run_files",
    "summarize",
    "validate_file",
    "verify_files",
]


def __dir__() -> list[str]:
    """The interface, without the files that it is made of."""
    return __all__
