"""The ``onnx`` package, imported where it is needed."""

from __future__ import annotations

import importlib
from typing import Any

from t1c.ir.errors import Problem, UnsupportedError


def onnx_package(part: str = "") -> Any:
    """The ``onnx`` package, or a part of it such as ``'reference'``.

    Raises:
        UnsupportedError: it is not installed.
    """
    try:
        return importlib.import_module(f"onnx.{part}" if part else "onnx")
    except ImportError as cause:
        raise UnsupportedError(
            Problem(
                f"the onnx package cannot be imported ({cause})",
                "the package that reads ONNX files",
                "Install it: pip install 't1c[onnx]'.",
            )
        ) from cause
