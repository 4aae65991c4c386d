"""A graph for machines without t1c. Nothing here imports torch until it is called."""

from .onnx import to_onnx

__all__ = ["to_onnx"]
