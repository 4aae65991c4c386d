"""What can be asked of a graph and done with it; each verb of the ``t1c`` command is one function.

Importing this package needs no torch; ``run`` and ``run_file`` need it when they are called.
"""

from .compare.changes import FieldChange, NodeChange, compare_nodes
from .compare.fingerprint import fingerprint_graph
from .compare.graphs import GraphComparison, assert_graphs_equal, compare_graphs
from .compare.stamp import FingerprintCheck, Stamp, get_stamp, stamp_graph, verify_fingerprint
from .convert import ConvertReport, convert
from .info import FileInfo, NodeInfo, Source, file_info, node_infos
from .numbers import format_bytes, format_number
from .report import Facts, Part, Report, Table
from .run_report import RunReport, run_file
from .runner import DType, RunResult, run
from .samples import Samples, read_samples
from .verify import verify_files

__all__ = [
    "ConvertReport",
    "DType",
    "Facts",
    "FieldChange",
    "FileInfo",
    "FingerprintCheck",
    "GraphComparison",
    "NodeChange",
    "NodeInfo",
    "Part",
    "Report",
    "RunReport",
    "RunResult",
    "Samples",
    "Source",
    "Stamp",
    "Table",
    "assert_graphs_equal",
    "compare_graphs",
    "compare_nodes",
    "convert",
    "file_info",
    "fingerprint_graph",
    "format_bytes",
    "format_number",
    "get_stamp",
    "node_infos",
    "read_samples",
    "run",
    "run_file",
    "stamp_graph",
    "verify_files",
    "verify_fingerprint",
]
