"""A graph as plain C99: a header and a source, and what builds and tries them.

to_c.py         the door
refs.py         which values there are
tasks.py        what is done in a step, in which order, and what shares a loop
program.py      the stages of a step, and where its values lie
loop.py         a loop over elements: terms become lines, in the order written
stage.py        what has loops of its own
registry.py     how each primitive is written
families/       one file per family of primitives
functions.py    helper functions, of which a source holds those that it calls
storage.py      state, and scratch that is shared
constants.py    weights
source.py       header and source
project.py      main.c, Makefile, CMakeLists.txt, an Arduino example
"""

from .to_c import CPort, CReport, Numbers, to_c

__all__ = ["CPort", "CReport", "Numbers", "to_c"]
