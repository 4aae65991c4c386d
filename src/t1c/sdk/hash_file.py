"""The fingerprint of a file's network: ``t1c hash``."""

from __future__ import annotations

import os
from dataclasses import dataclass

from t1c.ir.fingerprint import SCHEME

from .compare.fingerprint import fingerprint_graph
from .report import Part, Report


@dataclass(frozen=True, repr=False)
class FileFingerprint(Report):
    """What the network in a file is, as 64 hexadecimal digits.

    Attributes:
        file: the path as it was given.
        fingerprint: of its network, not of its bytes.
        weights: whether the numbers in arrays count.
        scheme: the canonical form that it was taken of.
    """

    file: str
    fingerprint: str
    weights: bool
    scheme: str = SCHEME

    def parts(self) -> list[Part]:
        """As ``sha256sum`` writes it."""
        return [f"{self.fingerprint}  {self.file}"]


def hash_file(
    path: str | os.PathLike[str], weights: bool = True, *, dt: float | None = None
) -> FileFingerprint:
    """The fingerprint of the network in a ``.t1c`` or ``.nir`` file; see ``fingerprint_graph``.

    Example:
        >>> hash_file("model.t1c").fingerprint  # doctest: +SKIP
    """
    return FileFingerprint(os.fspath(path), fingerprint_graph(path, weights, dt=dt), weights)
