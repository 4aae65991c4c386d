"""A graph in DOT, for Graphviz."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from t1c.nir import GraphSource

from .graph_dict import graph_to_dict
from .palette import FAMILIES, FEEDBACK


def to_dot(source: GraphSource | Mapping[str, Any], *, dt: float | None = None) -> str:
    """The graph as DOT text: nested graphs and repeated parts are clusters, feedback is dashed.

    Args:
        source: a graph, a path of a ``.t1c`` or ``.nir`` file, or what ``graph_to_dict`` gave.
        dt: seconds in one step, for a ``.nir`` file that does not say it.

    Raises:
        FileNotFoundError: there is no such file.
        T1CError: the file is not valid, or its dt is not known.

    Example:
        >>> print(to_dot("model.t1c"))  # doctest: +SKIP
    """
    graph = source if isinstance(source, Mapping) else graph_to_dict(source, dt=dt)
    inside: dict[str | None, list[Mapping[str, Any]]] = {}
    for thing in [*graph["nodes"], *graph["groups"]]:
        inside.setdefault(thing["group"], []).append(thing)
    out = [
        f"digraph {_quoted(graph['title'])} {{",
        '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=11];',
        '  edge [color="#8b95a3"];',
        *_inside(None, inside, "  "),
    ]
    for edge in graph["edges"]:
        look = ""
        if edge["feedback"]:
            look = f' [style=dashed, color="{FEEDBACK.light}", label="t-1", constraint=false]'
        out.append(f"  {_quoted(edge['source'])} -> {_quoted(edge['target'])}{look};")
    return "\n".join([*out, "}", ""])


def _inside(
    group: str | None, inside: Mapping[str | None, list[Mapping[str, Any]]], indent: str
) -> list[str]:
    out = []
    for thing in inside.get(group, []):
        if "kind" in thing:
            out.append(f"{indent}subgraph {_quoted('cluster ' + thing['id'])} {{")
            out.append(f'{indent}  label={_quoted(thing["name"])}; color="#c3cad4";')
            out += [*_inside(thing["id"], inside, indent + "  "), indent + "}"]
            continue
        colour = FAMILIES[thing["family"]].light
        shapes = ["×".join(map(str, shape)) for shape in thing["output_type"].values()]
        label = f"{thing['name']}\n{' '.join([thing['label'], *shapes])}"
        look = f'label={_quoted(label)}, color="{colour}", fillcolor="{colour}20"'
        out.append(f"{indent}{_quoted(thing['id'])} [{look}];")
    return out


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
