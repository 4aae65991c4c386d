"""The codes of a program's instructions, for who writes them down and who carries them out."""

COPY, ADD, SCALE, AFFINE, NEURON = range(5)
WIDTH = 13
"""Columns of an instruction: its code, the places of result and operand, and what else it takes."""
