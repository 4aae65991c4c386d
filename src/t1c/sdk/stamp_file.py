"""A stamp into a file: ``t1c stamp``."""

from __future__ import annotations

import os
from dataclasses import dataclass

from t1c import ir, nir

from .compare.stamp import Stamp, get_stamp, stamp_graph
from .report import Facts, Part, Report


@dataclass(frozen=True, repr=False)
class StampReport(Report):
    """What was stamped.

    Attributes:
        source: the file that was read.
        target: the file that was written.
        stamp: what stands in it now.
    """

    source: str
    target: str
    stamp: Stamp

    def parts(self) -> list[Part]:
        """The file and its two fingerprints."""
        pairs = (("stamped", self.target), ("full", self.stamp.full))
        return [Facts((*pairs, ("structure", self.stamp.structure)))]


def stamp_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    *,
    dt: float | None = None,
) -> StampReport:
    """Write a network with its fingerprint in its metadata.

    Args:
        source: a ``.t1c`` or ``.nir`` file.
        target: where to, as a file of the kind that its suffix says; the source itself if None.
            It appears whole or not at all.
        dt: seconds in one step, for a ``.nir`` file that does not say it.

    Raises:
        T1CError: the source is not valid, or the target's format cannot say all of it.
        OSError: a file is not there, or the target cannot be written.

    Example:
        >>> stamp_file("model.t1c").stamp.full  # doctest: +SKIP
    """
    target = source if target is None else target
    stamped = stamp_graph(nir.read_graph(source, dt))
    if nir.is_nir(target):
        nir.write(target, stamped, dt)
    else:
        ir.write(target, stamped)
    stamp = get_stamp(stamped)
    assert stamp is not None
    return StampReport(os.fspath(source), os.fspath(target), stamp)
