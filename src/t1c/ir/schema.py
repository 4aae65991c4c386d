"""The schema of the ``.t1c`` file, from the declarations of its primitives.

    python -m t1c.ir.schema > docs/schema.json

It is committed, so that a change of the format shows as a change of that file, and other programs
can read what a file may hold.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import sys
from typing import Any

import numpy as np

from . import checksums
from .fields import Kind
from .graph import Graph
from .hdf5_layout import BASE_VERSION, FORMAT_VERSION, GRAPH_NOTES, NODE_NOTES
from .node import Node
from .registry import list_primitives, str_to_node

_BESIDE = {"optional", "since", "later"}


def schema() -> dict[str, Any]:
    """What a file may hold, as JSON can say it.

    Keys: ``format_version``; ``base_version``; ``checksums``, how they are called; ``notes``, the
    datasets that other writers keep beside the fields of a node or graph; and ``primitives``, by
    name. A primitive has ``since``, the version that brought it, ``state``, the names of what it
    carries from step to step, and ``fields`` in order. A field has ``kind`` (array, int, float,
    bool, choice, text, ints), what limits it (``ndim``, ``low``, ``high``, ``length``, ``words``,
    ``aliases``), ``required`` or its ``default``, whether it may be ``absent``, ``since``, and
    ``later``: words with the version that brought them. Primitives that a user has registered are
    left out.

    Example:
        >>> schema()["primitives"]["Affine"]["fields"]["weight"]["ndim"]
        2
    """
    ours = [(name, str_to_node(name)) for name in list_primitives()]
    return {
        "format_version": FORMAT_VERSION,
        "base_version": BASE_VERSION,
        "checksums": f"/{checksums.GROUP}/{checksums.KIND}",
        "notes": {"node": list(NODE_NOTES), "graph": list(GRAPH_NOTES)},
        "primitives": {
            name: _primitive(cls)
            for name, cls in sorted(ours)
            if cls.__module__.startswith("t1c.ir.") and cls is not Graph
        },
    }


def _primitive(cls: type[Node]) -> dict[str, Any]:
    state: Any = inspect.getattr_static(cls, "state_names")
    defaults = cls.defaults()
    return {
        "since": cls.since or BASE_VERSION,
        "state": list(state) if isinstance(state, tuple) else "as the fields say",
        "fields": {
            name: _field(kind, cls, name in defaults, defaults.get(name))
            for name, kind in cls.kinds.items()
        },
    }


def _field(kind: Kind, cls: type[Node], has_default: bool, default: Any) -> dict[str, Any]:
    limits = {
        field.name: _plain(getattr(kind, field.name))
        for field in dataclasses.fields(kind)
        if field.name not in _BESIDE and getattr(kind, field.name) not in (None, (), {})
    }
    told = {"kind": type(kind).__name__.removesuffix("Kind").lower(), **limits}
    told |= {"default": _plain(default)} if has_default else {"required": True}
    if kind.optional:
        told["absent"] = True
    told["since"] = kind.since or cls.since or BASE_VERSION
    later = getattr(kind, "later", {})
    return {**told, **({"later": dict(later)} if later else {})}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return str(value) if isinstance(value, str) else value


if __name__ == "__main__":
    json.dump(schema(), sys.stdout, indent=1)
    sys.stdout.write("\n")
