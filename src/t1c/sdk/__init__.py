"""What can be asked of a graph and done with it; each verb of the ``t1c`` command is one function.

Importing this package needs no torch; ``run`` and ``run_file`` need it when they are called.
"""

from .convert import ConvertReport, convert
from .info import FileInfo, NodeInfo, Source, file_info, node_infos
from .numbers import format_bytes, format_number
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
from .samples import Samples, read_samples
from .validate import Validity, validate_file
from .verify import verify_files

__all__ = [
    "ConvertReport",
    "DType",
    "Facts",
    "FileInfo",
    "FileRun",
    "NodeInfo",
    "Part",
    "PrimitiveField",
    "PrimitiveInfo",
    "PrimitiveList",
    "Report",
    "RunReport",
    "RunResult",
    "Runner",
    "RunsReport",
    "Samples",
    "Source",
    "Table",
    "Validity",
    "convert",
    "describe_primitive",
    "describe_primitives",
    "file_info",
    "find_data",
    "format_bytes",
    "format_number",
    "node_infos",
    "read_samples",
    "run",
    "run_file",
    "run_files",
    "validate_file",
    "verify_files",
]


def __dir__() -> list[str]:
    """The interface, without the files that it is made of."""
    return __all__
