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
from .report import Facts, Part, Report, Table
from .run_report import RunReport, run_file
from .runner import DType, RunResult, run
from .samples import Samples, as_samples, read_samples
from .verify import verify_files

__all__ = [
    "TABLES",
    "ConvertReport",
    "DType",
    "EnergyEstimate",
    "EnergyTable",
    "Facts",
    "FileInfo",
    "GraphAnalysis",
    "Measurement",
    "NeuronSettings",
    "NodeActivity",
    "NodeAnalysis",
    "NodeInfo",
    "NodeMemory",
    "NodeOperations",
    "Part",
    "Profile",
    "Report",
    "RunReport",
    "RunResult",
    "Samples",
    "Setting",
    "Source",
    "Summary",
    "Table",
    "analyze_graph",
    "analyze_node",
    "as_samples",
    "connection_sparsity",
    "convert",
    "file_info",
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
    "summarize",
    "verify_files",
]
