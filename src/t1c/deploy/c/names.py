"""Names of nodes as C can say them."""

from __future__ import annotations

import re


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
        found, number = name, 2
        while found in self._taken:
            found, number = f"{name}_{number}", number + 1
        self._taken.add(found)
        return found
