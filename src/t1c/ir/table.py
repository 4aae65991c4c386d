"""A graph as a short table: what ``repr`` and a notebook show."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from .node import Node
from .primitives.border import Input, Output
from .shapes import as_shape
from .topology import Edge, Topology

HEADERS = ("node", "type", "output shape", "parameters", "from")
MOST_ROWS = 40


def rows(
    nodes: Mapping[str, Node], edges: Sequence[Edge], back: Collection[Edge]
) -> list[tuple[str, str, str, str, str]]:
    """One row for each node, under ``HEADERS``; ``back`` holds the edges that run back."""
    before = Topology(nodes, edges).before
    listed = []
    for name, node in nodes.items():
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


def as_text(nodes: Mapping[str, Node], edges: Sequence[Edge], back: Collection[Edge]) -> str:
    """A plain table for the terminal; long graphs are shown by their ends."""
    total = sum(map(parameter_count, nodes.values()))
    heading = f"Graph: {len(nodes)} nodes, {len(edges)} edges, {total:,} parameters"
    listed = rows(nodes, edges, back)
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


def as_html(nodes: Mapping[str, Node], edges: Sequence[Edge], back: Collection[Edge]) -> str:
    """The same table for a notebook, with everything escaped."""
    caption = f"Graph: {len(nodes)} nodes, {len(edges)} edges"
    return html_table(caption, HEADERS, rows(nodes, edges, back))


def html_table(caption: str, headers: Sequence[str], listed: Iterable[Sequence[str]]) -> str:
    """Rows of text as a table for a notebook, with everything escaped; no headers, no head."""
    import html  # rarely needed, and every command loads this file

    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in headers)
    head = f"<thead><tr>{cells}</tr></thead>" if headers else ""
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in listed
    )
    return f"<table><caption>{html.escape(caption)}</caption>{head}<tbody>{body}</tbody></table>"
