"""Many graphs as C in one library, and what a step of each gives."""

import contextlib
import ctypes
import math
import re
import shutil
import subprocess

import numpy as np
import pytest

from t1c import deploy, ir

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wdouble-promotion",
          "-Werror", "-ffp-contract=off"]  # fmt: skip


def compiler(name):
    """The path of a compiler, or the test is skipped with a message."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: C is not compiled with it")
    return found


class Models:
    """Graphs as C, compiled together and loaded.

    Args:
        graphs: what is written.
        folder: for the files.
        numbers: the type of the arithmetic.
        cc: the compiler.
        flags: more for it.
        refused: errors of ``to_c`` for which a graph is left out.
        options: more for ``to_c``.
    """

    def __init__(
        self, graphs, folder, numbers="float32", cc="gcc", flags=("-O1",), refused=(), **options
    ):
        # Integers meet the world as floats.
        self.numbers = np.dtype("float32" if numbers.startswith("int") else numbers)
        self.graphs, self.reports = [], []
        for graph in graphs:
            with contextlib.suppress(*refused):
                name = f"m{len(self.graphs)}"
                self.reports.append(deploy.to_c(graph, folder, numbers, name=name, **options))
                self.graphs.append(graph)
        count = len(self.graphs)
        every = folder / "every.c"
        sizes = ", ".join(f"sizeof(m{n}_state)" for n in range(count))
        heads = "\n".join(f'#include "m{n}.h"' for n in range(count))
        every.write_text(f"{heads}\nextern const size_t sizes[];\n"
                         f"const size_t sizes[] = {{{sizes}}};\n")  # fmt: skip
        sources = ["every.c", *_together(folder, count)]
        subprocess.run(
            [compiler(cc), *STRICT, *flags, "-fPIC", "-shared", "-o", "every.so", *sources, "-lm"],
            cwd=folder,
            check=True,
        )
        self.library = ctypes.CDLL(str(folder / "every.so"))
        self.sizes = (ctypes.c_size_t * count).in_dll(self.library, "sizes")

    def run(self, number, xs):
        """The outputs (T, *shape) by name, from rest, of inputs (T, *shape) by name."""
        return Running(self, number).run(xs)


class Running:
    """One network and its state."""

    def __init__(self, models, number):
        self.graph, self.dtype = models.graphs[number], models.numbers
        self.state = np.full(models.sizes[number] // 8 + 8, np.nan)
        library = models.library
        self._reset, self._step = (getattr(library, f"m{number}_{n}") for n in ("reset", "step"))
        self._reset.restype = self._step.restype = None
        self.reset()

    def reset(self):
        self._reset(_pointer(self.state))

    def run(self, xs):
        steps = len(next(iter(xs.values())))
        outputs = {
            name: np.full((steps, *node.shape), np.nan, self.dtype)
            for name, node in self.graph.outputs().items()
        }
        given = [np.ascontiguousarray(xs[name], self.dtype) for name in self.graph.inputs()]
        for t in range(steps):
            self._step(
                _pointer(self.state),
                *(_pointer(x[t]) for x in given),
                *(_pointer(y[t]) for y in outputs.values()),
            )
        return outputs


INCLUDED = re.compile(r"^#include <.*>$", re.MULTILINE)
OWN = re.compile(r"^static [^=({;]*?(\w+)[\[(]", re.MULTILINE)
"""The name of an array or function that a source has for itself."""


def _together(folder, count):
    """Sources that each include many, for starting a compiler takes longer than most of them.

    Those together ask for the same headers, so that none is served by what another asks for; and
    what each has for itself gets a name of its own.
    """
    groups = {}
    for n in range(count):
        text = (folder / f"m{n}.c").read_text()
        names = sorted(set(OWN.findall(text)))
        lines = [f"#define {name} m{n}_{name}" for name in names]
        lines += [f'#include "m{n}.c"', *(f"#undef {name}" for name in names)]
        groups.setdefault(tuple(INCLUDED.findall(text)), []).extend(lines)
    for k, lines in enumerate(groups.values()):
        (folder / f"together{k}.c").write_text("\n".join(lines) + "\n")
    return [f"together{k}.c" for k in range(len(groups))]


def _pointer(array):
    return ctypes.c_void_p(array.ctypes.data)


def reference(graph, xs, numbers="float32"):
    """What the reference gives for inputs (T, *shape) of one sample, by Output name."""
    given = {name: x[:, None] for name, x in xs.items()}
    with np.errstate(all="ignore"):
        outputs, _ = ir.Reference(graph, np.dtype(numbers)).run(given, collect="stack")
    if not isinstance(outputs, dict):
        outputs = {next(iter(graph.outputs())): outputs}
    return {name: y[:, 0] for name, y in outputs.items()}


def count(graph):
    return sum(math.prod(node.shape) for node in graph.outputs().values())
