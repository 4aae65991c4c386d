"""The fingerprint of a graph or a file: see ``t1c.ir.fingerprint``, which says of what."""

from __future__ import annotations

from t1c.ir.fingerprint import fingerprint
from t1c.nir import GraphSource, read_graph


def fingerprint_graph(source: GraphSource, weights: bool = True, *, dt: float | None = None) -> str:
    """The fingerprint of a graph, 64 hexadecimal digits; ``t1c.ir.fingerprint`` says of what.

    Args:
        source: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        weights: count the numbers in arrays and their dtypes; if not, only their shapes, so that
            a network has one fingerprint before and after training.
        dt: seconds in one step, for a ``.nir`` file that does not say it.

    Raises:
        FileNotFoundError: there is no such file.
        T1CError: the file is not valid, or its dt is not known.

    Example:
        >>> import numpy as np
        >>> from t1c import ir
        >>> nodes = {"a": ir.Input(shape=(2,)), "s": ir.Scale(np.ones(2)), "b": ir.Output((2,))}
        >>> edges = [("a", "s"), ("s", "b")]
        >>> one = ir.Graph(nodes, edges)
        >>> two = ir.Graph(dict(reversed(nodes.items())), edges, metadata={"note": "the same"})
        >>> fingerprint_graph(one) == fingerprint_graph(two)
        True
        >>> three = one.replace(nodes={**nodes, "s": ir.Scale(np.full(2, 0.5))})
        >>> fingerprint_graph(one) == fingerprint_graph(three)
        False
        >>> fingerprint_graph(one, weights=False) == fingerprint_graph(three, weights=False)
        True
    """
    return fingerprint(read_graph(source, dt), weights)
