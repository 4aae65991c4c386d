"""A graph as WebAssembly: the C of ``t1c.deploy.c``, for browsers and whatever else runs wasm."""

from .to_wasm import WasmReport, to_wasm

__all__ = ["WasmReport", "to_wasm"]
