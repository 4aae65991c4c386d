"""Whether a file is valid, and all that is wrong with it: ``t1c validate``."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, replace

from t1c import ir, nir
from t1c.ir.errors import GraphWarning, Problem, T1CError
from t1c.nir import ConventionError

from .report import Part, Report


@dataclass(frozen=True, repr=False)
class Validity(Report):
    """What is wrong with a file; true if nothing is.

    Attributes:
        file: the path as it was given.
        valid: whether it can be read and its graph has a meaning.
        nodes: how many its graph has; None if it cannot be read.
        kind: the kind of error, such as 'GraphError'; empty if there is none.
        problems: all that was found.
        warnings: what is allowed and has no effect, such as a node that leads nowhere.
    """

    file: str
    valid: bool
    nodes: int | None
    kind: str
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.valid

    def parts(self) -> list[Part]:
        """A line for the verdict, and one for each problem and warning."""
        if self.valid:
            verdict = f"{self.file} is valid: {self.nodes} nodes"
        else:
            several = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
            verdict = f"{self.file} is NOT valid: {several}"
        told = [replace(p, where="") if p.where == self.file else p for p in self.problems]
        lines = [f"  {number}. {problem}" for number, problem in enumerate(told, 1)]
        lines += [f"  warning: {warning}" for warning in self.warnings]
        return ["\n".join([verdict, *lines])]


def validate_file(
    path: str | os.PathLike[str], *, dt: float | None = None, allow_nonfinite: bool = False
) -> Validity:
    """Read a ``.t1c`` or ``.nir`` file and say whether it is valid, with everything that is not.

    Args:
        path: the file.
        dt: seconds in one step, for a ``.nir`` file that does not say it.
        allow_nonfinite: accept NaN and infinite parameters.

    Raises:
        FileNotFoundError: there is no such file.
        ConventionError: its dt is not known, so that nothing can be said.

    Example:
        >>> bool(validate_file("model.t1c"))  # doctest: +SKIP
        True
    """
    graph: ir.Graph | None = None
    kind, problems = "", tuple[Problem, ...]()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", GraphWarning)
        try:
            graph = nir.read_graph(path, dt, allow_nonfinite=allow_nonfinite)
        except ConventionError:
            raise
        except T1CError as error:
            kind, problems = type(error).__name__, error.problems
    return Validity(
        file=os.fspath(path),
        valid=graph is not None,
        nodes=None if graph is None else len(graph.nodes),
        kind=kind,
        problems=problems,
        warnings=tuple(str(w.message) for w in caught if issubclass(w.category, GraphWarning)),
    )
