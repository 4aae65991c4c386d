"""A graph as a short table: what ``repr`` and a notebook show."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from .node import Node, as_shape
from .primitives.border import Input, Output

if TYPE_CHECKING:
    from .graph import Graph

HEADERS = ("node", "type", "output shape", "parameters", "from")
MOST_ROWS = 40


def rows(graph: Graph) -> list[tuple[str, str, str, str, str]]:
    """One row for each node, under ``HEADERS``."""
    before = graph.topology().before
    back = set(graph.feedback_edges()) if graph.allow_cycles else set()
    listed = []
    for name, node in graph.nodes.items():
        sources = [
            f"{printable(s)} (t-1)" if (s, name) in back else printable(s) for s in before[name]
        ]
        shapes = [as_shape(shape) for shape in (node.output_type or {}).values()]
        count = parameter_count(node)
        listed.append(
            (
                printable(name),
                border_kind(
                    node.primitive,
                    node.hold if isinstance(node, Input) else None,
                    isinstance(node, Output) and node.final,
                ),
                " ".join(map(str, shapes)),
                f"{count:,}" if count else "",
                ", ".join(sources),
            )
        )
    return listed


def border_kind(primitive: str, hold: int | None, final: bool) -> str:
    """The primitive, and what a border says of time: ``Input (hold=25)``, ``Output (final)``."""
    return primitive + (f" (hold={hold})" if hold is not None else " (final)" if final else "")


def printable(name: str) -> str:
    """A name without line breaks, and without codes that a terminal would obey."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def parameter_count(node: Node) -> int:
    """How many numbers the node's arrays hold, those of nested graphs included."""
    inner = getattr(node, "nodes", {})
    own = sum(p.size for p in node.parameters().values())
    return own + sum(parameter_count(n) for n in inner.values())


def as_text(graph: Graph) -> str:
    """A plain table for the terminal; long graphs are shown by their ends."""
    total = parameter_count(graph)
    heading = f"Graph: {len(graph.nodes)} nodes, {len(graph.edges)} edges, {total:,} parameters"
    listed = rows(graph)
    if len(listed) > MOST_ROWS:
        half = MOST_ROWS // 2
        gap = ("...", f"({len(listed) - 2 * half} more)", "", "", "")
        listed = [*listed[:half], gap, *listed[-half:]]
    widths = [max(len(row[i]) for row in [HEADERS, *listed]) for i in range(len(HEADERS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [HEADERS, *listed]
    ]
    return "\n".join([heading, *(f"  {line}" for line in lines)])


def as_html(graph: Graph) -> str:
    """The same table for a notebook, with everything escaped."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in HEADERS)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows(graph)
    )
    caption = f"Graph: {len(graph.nodes)} nodes, {len(graph.edges)} edges"
    return (
        f"<table><caption>{caption}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )
