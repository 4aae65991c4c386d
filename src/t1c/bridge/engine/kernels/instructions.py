"""The codes of a program's instructions, for who writes them down and who carries them out."""

COPY, ADD, SCALE, AFFINE, NEURON, SPREAD, PART, INTO, EXPAND, SHIFT, ELEMENTS = range(11)
"""From the last one on, less it, the numbers of ``generated.vector_source``."""
WIDTH = 13
"""Columns of an instruction: its code, the places of result and operand, and what else it takes."""
