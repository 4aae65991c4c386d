"""What a page needs to run its network itself: a module of WebAssembly that shows every node."""

from __future__ import annotations

import base64
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from t1c import ir
from t1c.ir.naming import unique
from t1c.sdk.change.inline import inlined
from t1c.sdk.change.rebuild import rebuilt


def live_data(graph: ir.Graph, names: Sequence[str]) -> dict[str, Any]:
    """The network as the script of a live page reads it.

    Args:
        graph: the graph.
        names: of all nodes, in the order in which they are numbered; ``g/n`` of a nested graph.

    Returns:
        ``module`` (base64); ``inputs`` and ``outputs``, objects with ``name``, ``port`` (what the
        module's ``address`` takes) and ``shape``; and ``nodes``: objects with ``node`` (its
        number), ``port`` and ``size``, for each node that sends one thing.

    Raises:
        UnsupportedError: see ``deploy.to_wasm``.
    """
    from t1c.deploy import to_wasm

    shown, watched = with_outputs(graph)
    number = {name: i for i, name in enumerate(names)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "live.wasm"
        report = to_wasm(shown, path)
        module = path.read_bytes()
    ports = {port.name: port for port in [*report.inputs, *report.outputs]}

    def border(name: str) -> dict[str, Any]:
        return {"name": name, "port": ports[name].number, "shape": list(ports[name].shape)}

    return {
        "module": base64.b64encode(module).decode(),
        "inputs": [border(name) for name in graph.inputs()],
        "outputs": [border(name) for name in graph.outputs()],
        "nodes": [
            {"node": number[name], "port": port.number, "size": math.prod(port.shape)}
            for name, inner in watched.items()
            for port in [ports[inner]]
        ],
    }


def with_outputs(graph: ir.Graph) -> tuple[ir.Graph, dict[str, str]]:
    """A graph, inlined, in which an Output more shows what each node sends.

    Nodes with several outputs, whose edges say by their order which they take, are not watched.

    Returns:
        The graph, and name in ``graph.flat()`` -> name of the Output that shows it.
    """
    plain, called = inlined(graph)
    nodes, edges, watched = dict(plain.nodes), list(plain.edges), dict[str, str]()
    for name, inner in called.items():
        node = plain.nodes[inner]
        if isinstance(node, ir.Output):
            watched[name] = inner
        elif node.port_count == 1:
            watched[name] = unique(f"{inner}.out", nodes)
            (shape,) = (node.output_type or {}).values()
            nodes[watched[name]] = ir.Output(tuple(int(n) for n in shape))
            edges.append((inner, watched[name]))
    return rebuilt(plain, nodes, edges, plain.feedback_edges()), watched
