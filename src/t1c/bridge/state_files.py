"""The state of a network in a file: streams go on in another process, after a crash or next week.

The file is an ``.npz`` archive without pickles: an array for each state variable, bit for bit, and
a text that says whose they are. It holds the fingerprint of the graph, with the parameters as they
were, and is refused for any other.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from t1c import ir
from t1c.ir.atomic import replacing
from t1c.ir.errors import InputError, Problem, UnsupportedError
from t1c.ir.fingerprint import fingerprint
from t1c.ir.npz import UNREADABLE, opened_npz

from .engine.state_checks import States, check_states
from .executor import GraphExecutor
from .modules.registry import is_default, node_of
from .own_graph import own_graph

FORMAT = "t1c-state-1"
_ABOUT = "about"
_AS_BITS = {torch.bfloat16: torch.int16}
"""Dtypes that NumPy lacks -> those of whose bits they are stored."""

StrPath = str | os.PathLike[str]


def save_state(path: StrPath, executor: GraphExecutor, state: States) -> None:
    """Write a state to a file, whole or not at all; an older file stays until it is.

    Args:
        path: where to; ``.npz`` is the name for it, and is not added.
        executor: whose state it is; imported from a graph.
        state: what a step or ``run`` returned. Its tensors may be anywhere.

    Raises:
        InputError: it is not a state of this executor.
        UnsupportedError: the executor was made of modules, so that there is no graph to name.
        OSError: the place cannot be written to.

    Example:
        >>> outputs, state = executor.run(xs)  # doctest: +SKIP
        >>> save_state("stream.npz", executor, state)  # doctest: +SKIP
    """
    state = check_states(state, executor.plan.sources, executor.network.kept)
    graph = graph_of(executor)
    arrays: dict[str, Any] = {}
    nodes: list[dict[str, Any]] = []
    for name, own in state.items():
        nodes.append({"name": name, "dtypes": [str(v.dtype).removeprefix("torch.") for v in own]})
        for number, value in enumerate(own):
            arrays[f"{len(nodes) - 1}.{number}"] = _bits(value)
    about = {
        "format": FORMAT,
        "graph": fingerprint(graph),
        "structure": fingerprint(graph, False),
        "nodes": nodes,
    }
    arrays[_ABOUT] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def load_state(path: StrPath, executor: GraphExecutor, *, weights: bool = True) -> States:
    """Read a state that ``save_state`` wrote, to be passed to a step or to ``run``.

    Args:
        path: the file.
        executor: which is to go on; imported from the same graph.
        weights: whether the parameters must be the same too. With False a state may be carried on
            by a network that was trained since, of the same nodes, edges and shapes.

    Returns:
        The state, where the executor's parameters are.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it holds no state or is damaged, or it is the state of another graph.
        UnsupportedError: the executor was made of modules, so that there is no graph to compare.

    Example:
        >>> state = load_state("stream.npz", executor)  # doctest: +SKIP
        >>> outputs, state = executor.run(more, state)  # doctest: +SKIP
    """
    graph = graph_of(executor)
    about, arrays = _read(path)
    named, wanted = "graph" if weights else "structure", fingerprint(graph, weights)
    if about.get(named) != wanted:
        same = weights and about.get("structure") == fingerprint(graph, False)
        raise InputError(
            Problem(
                f"the state of a graph {str(about.get(named))[:16]}",
                f"one of this graph, {wanted[:16]}",
                "The nodes are the same and the parameters are not: pass weights=False if it shall "
                "go on with other parameters."
                if same
                else "Load it into the network that it was saved from.",
                where=str(path),
            )
        )
    like = executor.network.like()
    state: States = {}
    try:
        for number, node in enumerate(about["nodes"]):
            own = [_tensor(arrays[f"{number}.{k}"], kind) for k, kind in enumerate(node["dtypes"])]
            state[node["name"]] = tuple(v if like is None else v.to(like.device) for v in own)
    except (KeyError, TypeError, AttributeError, RuntimeError) as cause:
        raise _damaged(path, cause) from cause
    return check_states(state, executor.plan.sources, executor.network.kept)


def graph_of(executor: GraphExecutor) -> ir.Graph:
    """The graph of an executor with the parameters as they are now.

    Of a module that a user's map made, it is the node that it was made of.

    Raises:
        UnsupportedError: it was made of modules.
    """
    if executor.graph is None:
        raise UnsupportedError(
            Problem(
                "an executor that was made of modules, and not of a graph",
                "one whose graph can be told from others",
                "Export it with to_ir and import the graph.",
            )
        )

    def made_of(module: nn.Module) -> ir.Node | None:
        return None if is_default(module) else node_of(module)

    return own_graph(executor, None, made_of, lambda node: node)


def _bits(value: Tensor) -> Any:
    value = value.detach().cpu().contiguous()
    return value.view(_AS_BITS.get(value.dtype, value.dtype)).numpy()


def _tensor(array: Any, kind: str) -> Tensor:
    dtype = getattr(torch, kind)
    stored = _AS_BITS.get(dtype, dtype)
    found = torch.from_numpy(np.array(array))
    if found.dtype != stored:
        raise TypeError(f"{found.dtype} where {kind} was saved")
    return found.view(dtype)


def _read(path: StrPath) -> tuple[dict[str, Any], dict[str, Any]]:
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file {os.fspath(path)!r}")
    try:
        with opened_npz(path) as file:
            arrays = {name: file[name] for name in file.files} if hasattr(file, "files") else {}
    except UNREADABLE as cause:
        raise _damaged(path, cause) from cause
    try:
        about = json.loads(arrays.pop(_ABOUT).tobytes())
        if about["format"] != FORMAT:
            raise ValueError(about["format"])
    except (KeyError, ValueError, TypeError, AttributeError):
        raise InputError(
            Problem(
                "no state of a network",
                f"what save_state writes ({FORMAT})",
                "Is it a file of samples or results?",
                where=str(path),
            )
        ) from None
    return about, arrays


def _damaged(path: StrPath, cause: Exception) -> InputError:
    return InputError(
        Problem(f"damaged, or no state ({cause})", "what save_state writes", where=str(path))
    )
