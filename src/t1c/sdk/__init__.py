"""What can be asked of a graph and done with it; each verb of the ``t1c`` command is one function.

Importing this package needs no torch; ``run`` and ``run_file`` need it when they are called.
"""

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
    "FileInfo",
    "NodeInfo",
    "Part",
    "Report",
    "RunReport",
    "RunResult",
    "Samples",
    "Source",
    "Table",
    "convert",
    "file_info",
    "format_bytes",
    "format_number",
    "node_infos",
    "read_samples",
    "run",
    "run_file",
    "verify_files",
]


def __dir__() -> list[str]:
    """The interface, without the files that it is made of."""
    return __all__
