"""Names for nodes that are made: each is given once."""

from __future__ import annotations

from collections.abc import Container


def unique(name: str, taken: Container[str], join: str = ".") -> str:
    """The name, with the least number from 2 on behind it where it is taken.

    Args:
        name: what it would be called.
        taken: the names that are given already; the one that is found is not added.
        join: what stands between name and number.

    Example:
        >>> unique("fc", {"lif"}), unique("fc", {"fc", "fc.2"}), unique("fc", {"fc"}, "_")
        ('fc', 'fc.3', 'fc_2')
    """
    found, number = name, 2
    while found in taken:
        found, number = f"{name}{join}{number}", number + 1
    return found
