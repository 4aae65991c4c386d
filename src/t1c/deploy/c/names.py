"""Names of nodes as C can say them."""

from __future__ import annotations

import re

from t1c.ir.naming import unique


def identifier(name: str) -> str:
    """Letters, digits and single underscores; what else a name holds becomes an underscore.

    Example:
        >>> identifier("layers.0/conv"), identifier("0")
        ('layers_0_conv', 'n0')
    """
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
    return plain if plain[:1].isalpha() else f"n{plain}"


class Names:
    """Gives out names, each once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def unique(self, name: str) -> str:
        """``name``, or with a number behind it where it is taken."""
        found = unique(name, self._taken, "_")
        self._taken.add(found)
        return found
