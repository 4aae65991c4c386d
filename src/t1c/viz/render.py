"""The page: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib import resources
from typing import Any

from t1c.ir import InputError
from t1c.ir.errors import Problem
from t1c.nir import GraphSource, read_graph

from .activity import Activity, levels
from .graph_dict import graph_to_dict
from .layout import Laid, Picture, lay_out
from .live import live_data
from .palette import FAMILIES, FEEDBACK

SCRIPTS = ("place.js", "draw.js", "panel.js", "main.js")
LIVE = "live.js"


def render_html(
    source: GraphSource | Mapping[str, Any],
    title: str | None = None,
    *,
    activity: Activity | None = None,
    live: bool = False,
    dt: float | None = None,
) -> str:
    """A graph as a page that shows it: one text, which loads nothing and sends nothing.

    Args:
        source: a graph, a path of a ``.t1c`` or ``.nir`` file, or what ``graph_to_dict`` gave.
        title: of the page; the file's name if there is none.
        activity: what nodes gave in a run, to be played on the picture: name (``g/n`` for a node
            of a nested graph) -> array (T, ...).
        live: the page runs the network itself, on inputs that are set on it, as a module of
            WebAssembly that is part of the page; clang compiles it, see ``deploy.to_wasm``.
        dt: seconds in one step, for a ``.nir`` file that does not say it.

    Raises:
        FileNotFoundError: there is no such file.
        T1CError: the file is not valid, or its dt is not known.
        InputError: ``activity`` names a node that is not there, or differs in the number of steps;
            or ``live`` is asked for together with it, or for what is no graph.
        UnsupportedError: with ``live``: clang is missing, or a node has no form in WebAssembly.

    Example:
        >>> Path("model.html").write_text(render_html("model.t1c"))  # doctest: +SKIP
    """
    if live and (activity is not None or isinstance(source, Mapping)):
        found = "a page that plays activity" if activity is not None else "a dictionary"
        raise InputError(Problem(found, "a graph or its file, which runs by itself", field="live"))
    graph = source if isinstance(source, Mapping) else graph_to_dict(source, title, dt=dt)
    picture = lay_out(graph)
    data = page_data(picture)
    if title is not None:
        data["title"] = title
    if activity is not None:
        data["activity"] = levels(activity, [node["id"] for node in graph["nodes"]])
    if live and not isinstance(source, Mapping):
        names = [node["id"] for node in graph["nodes"]]
        data["live"] = live_data(read_graph(source, dt), names)
    return page(data)


def page(data: Mapping[str, Any]) -> str:
    """The page for data as ``page_data`` gives it."""
    style = _file("page.css")
    script = "\n".join(
        ['const DATA = JSON.parse(document.getElementById("data").textContent);']
        + [_file(name) for name in (*SCRIPTS, *([LIVE] if data.get("live") else []))]
    )
    script = f"(() => {{\n{script}\n}})();"
    # Only this very script and style may act: nothing that a name or a note holds, and no network.
    # A live page may compile its module too, which imports nothing.
    wasm = " 'wasm-unsafe-eval'" if data.get("live") else ""
    policy = (
        f"default-src 'none'; script-src {_digest(script)}{wasm}; style-src {_digest(style)}; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": html.escape(policy),
        "title": html.escape(data["title"]),
        "style": style,
        "data": as_json(data),
        "script": script,
    }
    # In one go, so that no name is taken for a place where something belongs.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _file("page.html"))


def as_json(data: Any) -> str:
    """JSON that no HTML parser can take for the end of its script or for a comment."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def page_data(picture: Picture) -> dict[str, Any]:
    """What the page's script reads; nodes and groups are named by their numbers.

    Numbers count the nodes first, then the groups.
    """
    graph = picture.graph
    things = [*graph["nodes"], *graph["groups"]]
    number: dict[str | None, int | None] = {thing["id"]: i for i, thing in enumerate(things)}
    number[None] = None
    return {
        "title": graph["title"],
        "metadata": graph["metadata"],
        "differs": graph.get("differs"),
        "nodes": [{**node, "group": number[node["group"]]} for node in graph["nodes"]],
        "groups": [{**group, "group": number[group["group"]]} for group in graph["groups"]],
        "edges": [
            {**edge, "source": number[edge["source"]], "target": number[edge["target"]]}
            for edge in graph["edges"]
        ],
        "boxes": [asdict(picture.boxes[thing["id"]]) for thing in things],
        "scopes": [_scope(number, laid) for laid in picture.scopes.values()],
        "open": [number[ident] for ident in sorted(picture.open)],
        "families": {key: asdict(family) for key, family in FAMILIES.items()},
        "feedback": asdict(FEEDBACK),
        "activity": None,
        "live": None,
    }


def _scope(number: Mapping[str | None, int | None], laid: Laid) -> dict[str, Any]:
    links = [
        {
            "source": number[link.source],
            "sourcePort": link.source_port,
            "target": number[link.target],
            "targetPort": link.target_port,
            "up": link.upwards,
            "feedback": link.feedback,
            "edges": link.edges,
            "points": points,
        }
        for link, points in zip(laid.scope.links, laid.points, strict=True)
    ]
    return {
        "id": number[laid.scope.id],
        "items": [[number[item], x, row] for item, (x, row) in laid.items.items()],
        "links": links,
        "ports": laid.ports,
        "top": laid.scope.top,
        "rows": laid.rows,
        "bands": laid.bands,
    }


@cache
def _file(name: str) -> str:
    return (resources.files(__package__) / "page" / name).read_text("utf-8").strip()


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
