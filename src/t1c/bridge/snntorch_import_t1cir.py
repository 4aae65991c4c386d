"""Import for snnTorch users: this file is loaded as `snntorch.import_t1cir`.

`t1c._snntorch_hook` does that. The file may be loaded under a name outside of
`t1c.bridge`, so it imports nothing relatively.
"""

from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

from torch import nn

from t1c.bridge import GraphExecutor, ir_to_torch
from t1c.ir import Graph

__all__ = ["import_from_ir"]


def import_from_ir(
    graph_or_path: Graph | str | PathLike[str],
    node_map: Callable[[Any], nn.Module | None]
    | Mapping[type[Any], Callable[[Any], nn.Module | None]]
    | None = None,
    return_state: bool = False,
    validate: bool = True,
) -> GraphExecutor:
    """Turn a graph, or the `.t1c` file that holds one, into a PyTorch module.

    The same as `t1c.bridge.ir_to_torch`, under the name that snnTorch users know.

    Args:
        graph_or_path: The graph, or the path of its file.
        node_map: Makes the module of a node: a callable `node -> module`, where
            None means the default module, or a dict from node type to such a callable.
        return_state: Whether a call gives `(output, state)` or the output alone.
        validate: Whether the graph is checked first.

    Returns:
        The executor, in eval mode. One call is one time step.

    Example:
        >>> from snntorch.import_t1cir import import_from_ir
        >>> executor = import_from_ir("model.t1c", return_state=True)
        >>> output, state = executor(x, state)
    """
    return ir_to_torch(
        graph_or_path, node_map=node_map, return_state=return_state, validate=validate
    )
