"""Checksums of what a ``.t1c`` file holds: damage is an error when it is read, not a number.

A number for each dataset and for each group, XXH3 with 64 bits, lies in ``/checksums/xxh3_64``, in
any order. It is taken of the path, the type, the shape and the bytes as they lie, so that each part
of a file can be checked by itself, whenever it is read, and nothing can take another's place; a
group's is of the names in it, in their order. They tell damage, not forgery: whoever changes a file
on purpose can write other numbers.

Taken of a gibibyte in 0.04 s on a core that copies it in 0.22 s, where SHA-256 takes 0.60 s, CRC-32
0.31 s and BLAKE2b 1.18 s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xxhash

KIND = "xxh3_64"
"""The name of the numbers in the file; others would have another."""
GROUP = "checksums"
"""Where they lie, beside ``/graph`` and ``/version``."""


def of_group(path: str, names: Sequence[str]) -> int:
    """The checksum of a group.

    Args:
        path: from the root, such as ``/graph/nodes``.
        names: of what lies in it, in the order of their creation if the group knows it.
    """
    return _taken(path, "group", (len(names),), "\0".join(names).encode())


def of_value(path: str, value: Any) -> int:
    """The checksum of a dataset, as h5py gives it: text, nested lists of text, or numbers.

    Args:
        path: from the root, such as ``/graph/nodes/fc/weight``.
        value: what it holds.
    """
    if isinstance(value, str | list):
        texts = np.asarray(value, object)
        return _taken(path, "text", texts.shape, "\0".join(texts.ravel()).encode())
    array = np.asarray(value)
    if array.dtype.kind == "O":
        return _taken(path, "text", array.shape, "\0".join(array.ravel()).encode())
    return _taken(path, array.dtype.str, array.shape, np.asarray(array, order="C"))


def _taken(path: str, kind: str, shape: Iterable[int], data: Any) -> int:
    head = f"{path}\0{kind}\0{','.join(map(str, shape))}\0"
    taken = xxhash.xxh3_64(head.encode())
    taken.update(data)
    return int(taken.intdigest())
