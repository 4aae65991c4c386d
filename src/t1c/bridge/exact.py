"""In which dtype a graph of integers is worked exactly."""

from __future__ import annotations

import torch

from t1c import ir
from t1c.ir.errors import Problem, UnsupportedError
from t1c.ir.integers import exact_formats, integer_problems


def exact_dtype(graph: ir.Graph, dtype: torch.dtype | None) -> torch.dtype:
    """The dtype asked for, or float32 or else float64, if every integer of a graph is exact in it.

    Args:
        graph: the graph.
        dtype: None: the smaller of the two that will do.

    Raises:
        UnsupportedError: naming the nodes that do not work with integers between bounds, or whose
            integers a dtype cannot hold.
    """
    ranges = ir.Ranges(graph)
    problems = integer_problems(graph, ranges)
    if problems:
        raise UnsupportedError(problems, "the graph is not one of integers")
    formats = exact_formats(graph, ranges)
    asked = [torch.float32, torch.float64] if dtype is None else [dtype]
    for each in asked:
        if not formats[_name(each)]:
            return each
    nodes = graph.flat().nodes
    raise UnsupportedError(
        [
            Problem(
                f"its numbers may get to {ranges[name].span:.0f} units",
                f"what {_name(asked[-1])} holds exactly",
                "Take float64." if asked[-1] != torch.float64 else "Take fewer bits.",
                f"node {name!r} ({nodes[name].primitive})",
            )
            for name in formats[_name(asked[-1])]
        ]
    )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
