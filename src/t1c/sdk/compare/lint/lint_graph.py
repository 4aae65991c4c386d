"""What is odd about a graph."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Collection, Sequence
from typing import Any

from t1c.ir.errors import GraphWarning, InputError, Problem
from t1c.nir import GraphSource, read_graph

from ...jsonable import jsonable
from ...report import Part, Report, Table
from .subject import Subject
from .table import RULES, SEVERITIES, Rule, Severity

FEW = 4
"""So many nodes of a group are named for people; programs are told all."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One place where a rule applies.

    Attributes:
        code: of the rule; stable. docs/lint.md lists them.
        severity: 'error', 'warning' or 'info'.
        node: where; a node ``n`` of a nested graph ``g`` is ``g/n``; '' for the whole graph.
        message: what was found.
        suggestion: what to do about it.
    """

    code: str
    severity: Severity
    node: str
    message: str
    suggestion: str


@dataclasses.dataclass(frozen=True)
class FindingGroup:
    """Findings of one rule that say the same of several nodes.

    Attributes:
        code, severity, message, suggestion: as of each of them.
        count: how many there are.
        nodes: where, in the order of the findings.
    """

    code: str
    severity: Severity
    count: int
    nodes: tuple[str, ...]
    message: str
    suggestion: str


@dataclasses.dataclass(frozen=True, repr=False)
class LintReport(Report):
    """All that is odd about a graph; errors first.

    Attributes:
        findings: the places, one by one.
        checked: the codes of the rules that were asked.
    """

    findings: tuple[Finding, ...]
    checked: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """There is no error; there may be warnings."""
        return not self.of("error")

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of one severity."""
        return tuple(f for f in self.findings if f.severity == severity)

    @property
    def groups(self) -> tuple[FindingGroup, ...]:
        """The findings, those of one code and one text as one, in the order of the first."""
        alike: dict[tuple[str, Severity, str, str], list[str]] = {}
        for f in self.findings:
            alike.setdefault((f.code, f.severity, f.message, f.suggestion), []).append(f.node)
        return tuple(
            FindingGroup(code, severity, len(nodes), tuple(nodes), message, suggestion)
            for (code, severity, message, suggestion), nodes in alike.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """``ok``, how many of each severity, the attributes, and ``groups``."""
        counts = {f"{severity}s": len(self.of(severity)) for severity in SEVERITIES}
        groups = [jsonable(dataclasses.asdict(group)) for group in self.groups]
        return {"ok": self.ok, **counts, **super().to_dict(), "groups": groups}

    def parts(self) -> Sequence[Part]:
        """A row for each group of findings that say the same."""
        if not self.findings:
            return [f"nothing found by {len(self.checked)} rules"]
        counts = [(len(self.of(s)), s) for s in SEVERITIES]
        told = ", ".join(f"{n} {s}{'s' * (n != 1 and s != 'info')}" for n, s in counts if n)
        rows = tuple((g.code, g.severity, _where(g), g.message, g.suggestion) for g in self.groups)
        return [told, Table(("code", "severity", "node", "found", "what to do"), rows)]


def lint_graph(
    source: GraphSource,
    *,
    select: Collection[str] | None = None,
    ignore: Collection[str] = (),
    dt: float | None = None,
) -> LintReport:
    """What is odd about a graph that is valid: rules with stable codes, listed in docs/lint.md.

    Args:
        source: a graph, or the path of a ``.t1c`` or ``.nir`` file; numbers that are not finite
            are reported, not refused.
        select: the codes of the rules to ask, or how they begin ('T1'); None: all.
        ignore: the codes of the rules to leave out, or how they begin.
        dt: seconds in one step, for a ``.nir`` file that does not say it.

    Raises:
        InputError: a code is that of no rule.
        T1CError: the file is not valid.

    Example:
        >>> import numpy as np
        >>> from t1c import ir
        >>> graph = ir.Graph(
        ...     {"in": ir.Input((2,)), "if": ir.IF(np.zeros(1)), "out": ir.Output((2,))},
        ...     [("in", "if"), ("if", "out")],
        ... )
        >>> [(f.code, f.node) for f in lint_graph(graph, ignore=["T2", "T4"]).findings]
        [('T101', 'if')]
    """
    chosen = [
        rule
        for rule in RULES
        if (select is None or _named(rule, select)) and not _named(rule, ignore)
    ]
    _check([*(select or ()), *ignore])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GraphWarning)  # dead ends are among the findings
        subject = Subject(read_graph(source, dt, allow_nonfinite=True))
    findings = [
        Finding(rule.code, rule.severity, hit.node, hit.message, hit.suggestion)
        for rule in chosen
        for hit in rule.check(subject)
    ]
    findings.sort(key=lambda f: SEVERITIES.index(f.severity))
    return LintReport(tuple(findings), tuple(rule.code for rule in chosen))


@dataclasses.dataclass(frozen=True, repr=False)
class LintRules(Report):
    """The rules of ``lint_graph``: code, severity, what is found and why it matters."""

    rules: tuple[Rule, ...]

    def to_dict(self) -> dict[str, Any]:
        """A list of objects with ``code``, ``severity``, ``title`` and ``why``."""
        keys = ("code", "severity", "title", "why")
        return {"rules": [{key: getattr(rule, key) for key in keys} for rule in self.rules]}

    def parts(self) -> Sequence[Part]:
        """A row for each."""
        rows = tuple((r.code, r.severity, r.title, r.why) for r in self.rules)
        return [Table(("code", "severity", "found", "why it matters"), rows)]


def list_lint_rules() -> LintRules:
    """All rules of ``lint_graph``."""
    return LintRules(RULES)


def _where(group: FindingGroup) -> str:
    """The nodes of a group; of many, how many there are and the first few."""
    if group.count == 1:
        return group.nodes[0] or "(graph)"
    shown = ", ".join(group.nodes[:FEW])
    return f"{group.count} nodes: {shown}{', ...' if group.count > FEW else ''}"


def _named(rule: Rule, codes: Collection[str]) -> bool:
    return any(rule.code.startswith(code) for code in codes)


def _check(codes: Collection[str]) -> None:
    unknown = [c for c in codes if not c or not any(r.code.startswith(c) for r in RULES)]
    if unknown:
        raise InputError(
            Problem(
                f"no rule {', '.join(map(repr, unknown))}",
                f"codes from {RULES[0].code} to {RULES[-1].code}, or how they begin",
                "docs/lint.md lists them.",
            )
        )
