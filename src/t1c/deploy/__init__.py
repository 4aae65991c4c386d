"""A graph for machines without t1c. Nothing here imports torch until it is called."""

from .c import CReport, to_c
from .exported import to_exported
from .onnx import to_onnx
from .wasm import to_wasm

__all__ = ["CReport", "to_c", "to_exported", "to_onnx", "to_wasm"]


def __dir__() -> list[str]:
    """The interface, without the files that it is made of."""
    return __all__
