"""What a ``.t1c`` file holds besides nodes: versions, and the notes of other writers."""

from __future__ import annotations

import re

import h5py

from .graph import Graph
from .node import Node
from .values import same_value

FORMAT_VERSION = "0.3.0"
"""The latest format that this package reads and writes."""
BASE_VERSION = "0.0.1"
"""The format of the first implementations, still written wherever it says everything."""

TEXT = h5py.string_dtype("utf-8")

# Notes for hardware that other writers keep beside the fields. They change no result, so they are
# carried in metadata['talon'] and written back where they were.
NODE_NOTES = (
    "accum_t", "bias_t", "core_id", "hardware_hints", "precision", "result_t", "reuse_factor",
    "weight_t",
)  # fmt: skip
GRAPH_NOTES = ("cyclic_config", "partition_metadata", "quantization_config", "target_hardware")
NOTES_KEY = "talon"


def numbers(version: str) -> tuple[int, ...]:
    """A version as numbers that compare; ValueError if it is not made of numbers."""
    if not version:
        return ()
    # int() would also take signs, blanks, underscores and digits of other scripts.
    if not re.fullmatch(r"[0-9]{1,99}(\.[0-9]{1,99})*", version):
        raise ValueError(version)
    return tuple(int(part) for part in version.split("."))


NESTED_SINCE = "0.1.0"
"""The version that runs nested graphs; earlier readers pass their input on unchanged."""
FEEDBACK_SINCE = "0.1.0"
"""The version that reads which edges are said to run back."""


def needed_version(node: Node, nested: bool = False) -> str:
    """The lowest format version that has everything the node uses."""
    inner = node.nodes.values() if isinstance(node, Graph) else ()
    return max(
        [
            BASE_VERSION,
            node.since,
            later_fields(node),
            NESTED_SINCE if nested and isinstance(node, Graph) else "",
            *(needed_version(n, nested=True) for n in inner),
        ],
        key=numbers,
    )


def later_fields(node: Node) -> str:
    """The version of the latest field in use, or '' if all are as old as the primitive."""
    if isinstance(node, Graph):
        return FEEDBACK_SINCE if node.feedback else ""
    later = {name for name, kind in node.kinds.items() if kind.since} - unused_fields(node)
    versions = (node.kinds[name].since_of(getattr(node, name)) for name in later)
    return max(versions, key=numbers, default="")


def unused_fields(node: Node) -> set[str]:
    """The fields of later versions that hold their default, and so need not be in the file."""
    defaults = type(node).defaults()
    return {
        name
        for name, kind in node.kinds.items()
        if kind.since and same_value(getattr(node, name), defaults[name])
    }
