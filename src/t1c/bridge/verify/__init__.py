"""Two executables, one input: where do they part, and why?"""

from __future__ import annotations

from .api import verify
from .causes import Cause
from .compare import Count
from .report import Parting, Report, VerificationError

__all__ = ["Cause", "Count", "Parting", "Report", "VerificationError", "verify"]
