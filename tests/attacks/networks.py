"""Tricks with sound files: graphs that nobody can want."""

import struct

import numpy as np

from .image import FLOAT32, INT64, TEXT, Image
from .trick import spoils


def graph(image: Image, nodes: dict[str, int], edges: list[tuple[str, str]]) -> bytes:
    """A file of both formats with these nodes, which are the same in both."""
    flat = [end for edge in edges for end in edge]

    def listed(names: list[str], shape: tuple[int, ...]) -> int:
        _, references = image.texts([name.encode() for name in names])
        return image.dataset(TEXT, shape, references)

    ends = {
        "src": listed([source for source, _ in edges], (len(edges),)),
        "dst": listed([target for _, target in edges], (len(edges),)),
    }
    inner = image.group(nodes)
    parts = {
        "graph": image.group(
            {"type": image.text("Graph"), "nodes": inner, "edges": image.group(ends)}
        ),
        "node": image.group(
            {
                "type": image.text("NIRGraph"),
                "nodes": inner,
                "edges": listed(flat, (len(edges), 2)),
            }
        ),
    }
    return image.closed(image.group({"version": image.text("0.0.1"), **parts}))


def border(image: Image, kind: str, *shape: int) -> int:
    data = np.array(shape, np.int64).tobytes()
    return image.group(
        {"type": image.text(kind), "shape": image.dataset(INT64, (len(shape),), data)}
    )


@spoils("node")
def edges_to_nowhere(size: int) -> bytes:
    """As many edges as fit, all between nodes that are not there."""
    image = Image()
    nodes = {"a": border(image, "Input", 3), "b": border(image, "Output", 3)}
    edges = [(f"from{i}", f"to{i}") for i in range(size // 120)]
    return graph(image, nodes, [("a", "b"), *edges])


@spoils("duplicate edge")
def the_same_edge_over_and_over(size: int) -> bytes:
    """As many edges as fit, all the same."""
    image = Image()
    nodes = {"a": border(image, "Input", 3), "b": border(image, "Output", 3)}
    return graph(image, nodes, [("a", "b")] * (size // 120))


@spoils("node")
def nodes_that_are_nothing(size: int) -> bytes:
    """As many nodes as fit, each without a type."""
    image = Image()
    nodes = {f"{i:06d}": image.group({}) for i in range(min(size // 250, 60_000))}
    return graph(image, nodes, [("a", "b")])


@spoils("field")
def fields_that_nobody_knows(size: int) -> bytes:
    """A node with as many unknown fields as fit."""
    image = Image()
    scalar = image.dataset(FLOAT32, (), bytes(4))
    fields = {f"{i:06d}": scalar for i in range(min(size // 60, 60_000))}
    node = image.group({"type": image.text("ReLU"), **fields})
    return graph(image, {"a": border(image, "Input", 3), "n": node}, [("a", "n")])


@spoils("node 'n'")
def number_in_nested_brackets(size: int) -> bytes:
    """Text where a number belongs, of brackets: it is parsed, as early writers left numbers so."""
    image = Image()
    node = image.group({"type": image.text("ReLU"), "features": image.text("(" * (size // 2))})
    return graph(image, {"a": border(image, "Input", 3), "n": node}, [("a", "n")])


@spoils("version", formats=("t1c",))
def version_of_digits(size: int) -> bytes:
    """A version as long as the file: Python takes n*n steps to make a number of it."""
    image = Image()
    parts = image.graphs({})
    return image.closed(image.group({"version": image.text("9" * (size // 2)), **parts}))


@spoils("stride")
def strides_of_exabytes(size: int) -> bytes:
    """A stride that no address can hold, where it is never taken."""
    image = Image()
    weight = image.dataset(FLOAT32, (1, 1, 1, 1), struct.pack("<f", 1))
    stride = image.dataset(INT64, (2,), np.array([7 * 10**18, 1]).tobytes())
    bias = image.dataset(FLOAT32, (1,), bytes(4))
    one = image.dataset(INT64, (), np.array(1).tobytes())
    nothing = image.dataset(INT64, (2,), bytes(16))
    ones = image.dataset(INT64, (2,), np.array([1, 1]).tobytes())
    node = image.group(
        {
            "type": image.text("Conv2d"), "weight": weight, "bias": bias, "stride": stride,
            "padding": nothing, "dilation": ones, "groups": one,
        }
    )  # fmt: skip
    nodes = {
        "a": border(image, "Input", 1, 3, 3),
        "n": node,
        "b": border(image, "Output", 1, 1, 3),
    }
    return graph(image, nodes, [("a", "n"), ("n", "b")])
