"""What ``verify`` found, for people and for machines."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from t1c.ir.errors import Problem, T1CError
from t1c.ir.table import html_table

from .causes import Cause
from .compare import Count

LABEL = 14
"""How many letters of a line say what it tells."""
MOST_UNLIKE = 4
"""So many unlike parameters are named in the text; ``unlike`` has all."""


class VerificationError(T1CError, AssertionError):
    """Two sides that should agree do not."""


@dataclass(frozen=True)
class Parting:
    """The first difference.

    Attributes:
        step, node, sample, element: where: the step, the node (or output), the sample of the
            batch, and the index of the neuron in the node.
        is_output: ``node`` is the name of an output, because no node that both sides show parts
            before it.
        what: 'spike' (of a neuron that fires or a Threshold, on either side, or of an output that
            passes them on), 'value' (of any other node) or 'potential'.
        values: what a and b sent there.
        potentials: their membranes when firing was tested, before a reset in the same step; None
            where not seen.
        threshold: what the potentials are compared with; None where not seen.
        distances: how far the potentials are above the threshold.
        bound: how far apart rounding alone may put the two.
        within_rounding: whether that explains the difference of this sample.
    """

    step: int
    node: str
    sample: int
    element: tuple[int, ...]
    is_output: bool
    what: str
    values: tuple[float, float]
    potentials: tuple[float | None, float | None]
    threshold: float | None
    distances: tuple[float | None, float | None]
    bound: float
    within_rounding: bool


@dataclass(frozen=True)
class RunCheck:
    """Whether an executor's ``run`` on the whole sequence gives what its steps give.

    Attributes:
        side: 'a' or 'b'.
        differing: how many samples of the batch differ in an output.
        rounding: in how many of these rounding explains it.
        step, node: the first difference, one that rounding does not explain if there is one.
    """

    side: str
    differing: int
    rounding: int
    step: int | None
    node: str


@dataclass(frozen=True)
class Report:
    """Whether two sides agree, and if not, where they part and why.

    True if they agree. ``str`` gives about ten lines, ``to_dict`` what JSON can hold.

    Attributes:
        agree: nothing that was compared differs.
        a, b: what they are.
        dtype: of the arithmetic.
        steps, batch: the size of the input.
        tolerance: how far apart two numbers may be that count as equal, relative to the largest
            of their node; spikes that differ always count.
        outputs: outputs compared.
        spikes: numbers compared of the neurons and Thresholds that both sides show.
        values: the same for all other nodes.
        potentials: membranes compared, of the nodes that both sides show.
        nodes: the nodes that both sides show.
        differing_samples: how many samples of the batch differ anywhere.
        rounding_samples: in how many of these the first difference lies within rounding.
        parting: the earliest difference, of a sample that rounding does not explain if there is
            one; None if they agree.
        causes: the likely causes: all that explain everything, or the one change after which the
            first difference comes latest.
        tested: how many changed graphs were run to find them.
        runs: for each executor, whether ``run`` gives what its steps give; where it does not, and
            rounding does not explain it, the two do not agree.
        silent: there are neurons, and none of them fired on either side: what agrees then may
            agree for that reason alone.
    """

    agree: bool
    a: str
    b: str
    dtype: str
    steps: int
    batch: int
    tolerance: float
    outputs: Count
    spikes: Count
    values: Count
    potentials: Count
    nodes: tuple[str, ...]
    differing_samples: int
    rounding_samples: int
    parting: Parting | None
    causes: tuple[Cause, ...]
    tested: int
    runs: tuple[RunCheck, ...] = ()
    silent: bool = False
    unlike: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.agree

    @property
    def within_rounding(self) -> bool:
        """They agree, or in every sample the first difference lies within rounding.

        After it the two are in different states, and further differences are its consequences.
        """
        runs = all(run.differing == run.rounding for run in self.runs)
        return runs and self.differing_samples == self.rounding_samples

    def raise_if_different(self, *, allow_rounding: bool = False) -> None:
        """Raise unless the sides agree.

        Args:
            allow_rounding: let pass what differs by rounding alone.

        Raises:
            VerificationError: they differ; its text is the report.
        """
        if not self.agree and not (allow_rounding and self.within_rounding):
            raise VerificationError(Problem(str(self)))

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it: its fields and ``within_rounding``.

        Numbers that are not finite are text ('nan', 'inf').
        """
        plain: dict[str, Any] = _plain({**asdict(self), "within_rounding": self.within_rounding})
        return plain

    def __str__(self) -> str:
        lines = [
            f"a and b {'agree' if self.agree else 'DIFFER'}: {self.steps:,} steps, "
            f"batch {self.batch:,}, {self.dtype}",
            f"  a           {self.a}",
            f"  b           {self.b}",
            f"  outputs     {_counted(self.outputs)}",
            f"  nodes       {self._inside()}",
        ]
        if self.silent:
            lines.append(
                "  SILENT      no neuron fires on either side, so that little is shown: give an "
                "input that drives them"
            )
        if self.unlike:
            told = ", ".join(self.unlike[:MOST_UNLIKE])
            more = len(self.unlike) - MOST_UNLIKE
            lines.append(
                "  UNLIKE      they agree on these inputs, but differ in: "
                + (f"{told} and {more} more" if more > 0 else told)
            )
        lines += [_run(run, self.batch) for run in self.runs if run.differing]
        if self.parting is not None:
            lines += self._parting(self.parting)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        heading, *lines = str(self).split("\n")
        return html_table(heading, (), [(line[:LABEL].strip(), line[LABEL:]) for line in lines])

    def _inside(self) -> str:
        if not self.nodes:
            return "none that both sides show"
        parts = [f"{len(self.nodes)} that both sides show"]
        for name in ("spikes", "values", "potentials"):
            count = getattr(self, name)
            if count.compared:
                parts.append(f"{name} {_counted(count)}")
        return "; ".join(parts)

    def _parting(self, p: Parting) -> list[str]:
        kind = "output" if p.is_output else "node"
        mine, theirs = _apart(p.values)
        sent = f"{p.what} {mine} in a, {theirs} in b"
        if p.what == "potential":
            sent = "the potential differs, what is sent does not"
        place = f"step {p.step}, {kind} {p.node!r}, sample {p.sample}, element {_index(p.element)}"
        lines = [f"  part at     {place}: {sent}"]
        shown = _apart(p.potentials)
        seen = [f"{u} in {name}" for name, u in zip("ab", shown, strict=True) if u]
        if seen:
            text = f"  potential   {', '.join(seen)}"
            if p.threshold is not None:
                away = [f"{abs(d):.3g}" for d in p.distances if d is not None]
                text += f"; threshold {p.threshold:.9g}, {' and '.join(away)} away"
            lines.append(text)
        first = f"{self.rounding_samples} of {self.differing_samples} differing samples"
        lines.append(f"  rounding    may make up to {p.bound:.2g} there; explains {first}")
        if not self.causes:
            said = f"not found ({self.tested} changed graphs were run)"
            return [
                *lines,
                f"  cause       {said if self.tested else 'not found: neither is a graph'}",
            ]
        cause = self.causes[0]
        lines.append(f"  cause       {cause.text}")
        if not cause.explains:
            lines.append(f"              (in part: with that, they part at step {cause.step})")
        elif len(self.causes) > 1:
            others = "; or ".join(other.text for other in self.causes[1:])
            lines.append(f"              (or, as likely: {others})")
        return lines


def _apart(values: tuple[float | None, float | None]) -> tuple[str, str]:
    """Two numbers with enough digits to read differently, if they differ; '' for None."""
    digits = 9 if values[0] == values[1] or _written(values, 9)[0] != _written(values, 9)[1] else 17
    return _written(values, digits)


def _written(values: tuple[float | None, float | None], digits: int) -> tuple[str, str]:
    a, b = ("" if v is None else f"{v:.{digits}g}" for v in values)
    return a, b


def _counted(count: Count) -> str:
    if not count.differing:
        apart = f" (largest difference {count.largest:.2g})" if count.largest else ""
        return f"all {count.compared:,} equal{apart}"
    return f"{count.differing:,} of {count.compared:,} differ, by up to {count.largest:.3g}"


def _run(run: RunCheck, batch: int) -> str:
    place = f"first at step {run.step}, {run.node!r}"
    return (
        f"  run         of {run.side} differs from its steps in {run.differing:,} of {batch:,} "
        f"samples ({place}); rounding explains {run.rounding:,}"
    )


def _index(element: tuple[int, ...]) -> str:
    return str(element[0]) if len(element) == 1 else str(element)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
