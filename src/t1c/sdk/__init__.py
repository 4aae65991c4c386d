"""What can be asked of a graph and done with it; each verb of the ``t1c`` command is one function.

Importing this package needs no torch; ``run`` and ``run_file`` need it when they are called.
"""

from .change.batch_convert import BatchEntry, BatchReport, batch_convert
from .change.convert_to_spiking import convert_to_spiking
from .change.extract_subgraph import extract_subgraph
from .change.fold_batchnorm import fold_batchnorm
from .change.merge_graphs import merge_graphs
from .change.prune_disconnected import prune_disconnected
from .compare.changes import FieldChange, NodeChange, compare_nodes
from .compare.fingerprint import fingerprint_graph
from .compare.graphs import GraphComparison, assert_graphs_equal, compare_graphs
from .compare.lint.lint_graph import (
    Finding,
    FindingGroup,
    LintReport,
    LintRules,
    lint_graph,
    list_lint_rules,
)
from .compare.stamp import FingerprintCheck, Stamp, get_stamp, stamp_graph, verify_fingerprint
from .convert import ConvertReport, convert
from .hash_file import FileFingerprint, hash_file
from .info import FileInfo, file_info
from .integers.files import QuantizedFile, quantize_file
from .integers.quantize import quantize
from .integers.report import QuantizationReport, QuantizedNode, quantization_report
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
    SilentNode,
    Summary,
    analyze_graph,
    analyze_node,
    connection_sparsity,
    neuron_settings,
    profile_graph,
    summarize,
)
from .nodes import NodeInfo, Source, node_infos
from .numbers import format_bytes, format_joules, format_number, format_seconds
from .primitives import (
    PrimitiveField,
    PrimitiveInfo,
    PrimitiveList,
    describe_primitive,
    describe_primitives,
)
from .query.find_pattern import Matches, find_pattern
from .query.inspect_node import Neighbour, NodeReport, inspect_node
from .query.statistics import ArrayStatistics, Statistics, get_node_statistics
from .query.trace_path import NodePath, Paths, trace_path
from .record import record
from .recordings import is_recording, read_data, recording_samples
from .report import Facts, Part, Report, Table
from .run_files import FileRun, RunsReport, find_data, run_files
from .run_report import RunReport, run_file
from .runner import DType, Runner, RunResult, run
from .samples import Samples, as_samples, read_samples
from .scoring.report import ScoreReport
from .scoring.score import score
from .scoring.scorer import ShardScore
from .side_by_side import Figure, FigureComparison, compare_costs
from .stamp_file import StampReport, stamp_file
from .validate import Validity, validate_file
from .verify import verify_files

__all__ = [
    "TABLES",
    "ArrayStatistics",
    "BatchEntry",
    "BatchReport",
    "ConvertReport",
    "DType",
    "EnergyEstimate",
    "EnergyTable",
    "Facts",
    "FieldChange",
    "Figure",
    "FigureComparison",
    "FileFingerprint",
    "FileInfo",
    "FileRun",
    "Finding",
    "FindingGroup",
    "FingerprintCheck",
    "GraphAnalysis",
    "GraphComparison",
    "LintReport",
    "LintRules",
    "Matches",
    "Measurement",
    "Neighbour",
    "NeuronSettings",
    "NodeActivity",
    "NodeAnalysis",
    "NodeChange",
    "NodeInfo",
    "NodeMemory",
    "NodeOperations",
    "NodePath",
    "NodeReport",
    "Part",
    "Paths",
    "PrimitiveField",
    "PrimitiveInfo",
    "PrimitiveList",
    "Profile",
    "QuantizationReport",
    "QuantizedFile",
    "QuantizedNode",
    "Report",
    "RunReport",
    "RunResult",
    "Runner",
    "RunsReport",
    "Samples",
    "ScoreReport",
    "Setting",
    "ShardScore",
    "SilentNode",
    "Source",
    "Stamp",
    "StampReport",
    "Statistics",
    "Summary",
    "Table",
    "Validity",
    "analyze_graph",
    "analyze_node",
    "as_samples",
    "assert_graphs_equal",
    "batch_convert",
    "compare_costs",
    "compare_graphs",
    "compare_nodes",
    "connection_sparsity",
    "convert",
    "convert_to_spiking",
    "describe_primitive",
    "describe_primitives",
    "extract_subgraph",
    "file_info",
    "find_data",
    "find_pattern",
    "fingerprint_graph",
    "fold_batchnorm",
    "format_bytes",
    "format_joules",
    "format_number",
    "format_seconds",
    "get_node_statistics",
    "get_stamp",
    "hash_file",
    "inspect_node",
    "is_recording",
    "lint_graph",
    "list_lint_rules",
    "merge_graphs",
    "neuron_settings",
    "node_infos",
    "profile_graph",
    "prune_disconnected",
    "quantization_report",
    "quantize",
    "quantize_file",
    "read_data",
    "read_samples",
    "record",
    "recording_samples",
    "run",
    "run_file",
    "run_files",
    "score",
    "stamp_file",
    "stamp_graph",
    "summarize",
    "trace_path",
    "validate_file",
    "verify_files",
    "verify_fingerprint",
]


def __dir__() -> list[str]:
    """The interface, without the files that it is made of."""
    return __all__
