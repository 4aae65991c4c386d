"""A graph as an ONNX model of standard operators, for onnxruntime and others.

api.py        the door: to_onnx, and what it reports
ports.py      what goes in and out, by name: inputs, outputs, states and their values at rest
step.py       the nodes of one step, in the order of ir.StepPlan
one_step.py   a model of one step
sequence.py   a model of all steps: what has no memory over all of them at once, the rest in Scans
stages.py     which nodes of a sequence are worked together
primitives/   what each primitive is in ONNX, one file per family
registry.py   primitive -> its ONNX, which the families fill
writer.py     ONNX nodes, as they are written
model.py      what was written, as the file that the onnx package checks
"""

from .api import OnnxReport, to_onnx

__all__ = ["OnnxReport", "to_onnx"]
