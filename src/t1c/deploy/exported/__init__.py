"""A graph as a program of torch.export, which runs where t1c is not installed.

api.py        the door: to_exported, and what it reports
ports.py      what goes in and out, by name: inputs, outputs, states and their values at rest
neuron.py     a neuron in torch's own operations, its coefficients constants
build.py      the program of a graph: one step, or a sequence
step.py       one step as a module: states in and out
sequence.py   all steps as a module: one loop around the exported step
capture.py    what torch traces, in core ATen only, or refused
"""

from .api import ExportedReport, to_exported

__all__ = ["ExportedReport", "to_exported"]
