"""The codes of a program's instructions, for who writes them down and who carries them out."""

COPY, ADD, SCALE, AFFINE, NEURON, SPREAD, PART, INTO, EXPAND, SHIFT, ELEMENTS = range(11)
"""From the last one on, less it, ``generated.operations.NUMBERS``."""
WIDTH = 10
"""Columns of an instruction: its code, the places of result and operand, and what else it takes."""
BY_INPUT, AS_IT_IS, AS_IT_IS_IN_ORDER = range(3)
"""How the weight of an AFFINE lies: a copy (in, out); (out, in), as a module has it; or so, and an
input of zero adds nothing even to a weight that is not finite, as the written order of a sum says.
"""
