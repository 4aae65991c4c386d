"""Which nodes of a sequence are worked together.

Nodes without memory outside loops take all steps at once, as one batch of T * B; neurons, other
memory and loops take one step after another, in a Scan. Stages of the two kinds alternate, and each
node lies in the earliest that it can: there are as few Scans as a path through the graph demands.
"""

from __future__ import annotations

from dataclasses import dataclass

from t1c import ir
from t1c.ir.step_plan import StepPlan
from t1c.ir.topology import Topology


@dataclass(frozen=True)
class Stage:
    """Nodes that are worked together.

    Attributes:
        names: in the order of a step.
        scanned: one step after another, or else all at once.
    """

    names: tuple[str, ...]
    scanned: bool


def stages_of(plan: StepPlan) -> list[Stage]:
    """The stages of a graph, each after those that feed it; without the Inputs."""
    edges = [(a.name, name) for name, sources in plan.sources.items() for a in sources]
    # What runs back stays in the Scan of its source, also where the graph says so of an edge
    # that closes no loop.
    returns = [(n, a.name) for n, sources in plan.sources.items() for a in sources if a.back]
    topology = Topology(plan.nodes, [*edges, *returns])
    level: dict[str, int] = {}
    for part in topology.parts():
        looped = len(part) > 1 or part[0] in topology.after[part[0]]
        scanned = looped or any(plan.nodes[name].state_names for name in part)
        inside = set(part)
        earliest = max(
            (level[s] for name in part for s in topology.before[name] if s not in inside),
            default=0,
        )
        # Odd stages are Scans.
        placed = earliest + (earliest % 2 != scanned)
        level |= dict.fromkeys(part, placed)
    last = max(level.values())
    grouped: list[list[str]] = [[] for _ in range(last + 1)]
    for name in plan.order:
        if not isinstance(plan.nodes[name], ir.Input):
            grouped[level[name]].append(name)
    return [Stage(tuple(names), bool(k % 2)) for k, names in enumerate(grouped) if names]
