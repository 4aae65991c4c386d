"""The onnx package, where it is needed."""

from __future__ import annotations

from types import ModuleType

from t1c.ir.errors import Problem, UnsupportedError


def import_onnx() -> ModuleType:
    """The package onnx.

    Raises:
        UnsupportedError: it is not installed; the message says how to.
    """
    try:
        import onnx
    except ImportError as error:
        raise UnsupportedError(
            Problem(
                "the package onnx cannot be imported",
                "it, to write and check a model",
                "Install it with: pip install 't1c[onnx]'",
            )
        ) from error
    return onnx
