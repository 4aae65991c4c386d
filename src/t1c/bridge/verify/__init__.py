"""Two executables, one input: where do they part, and why?"""

from __future__ import annotations

from .api import read_graph, verify
from .causes import Cause
from .compare import Count
from .report import Parting, Report, VerificationError

__all__ = ["Cause", "Count", "Parting", "Report", "VerificationError", "read_graph", "verify"]
