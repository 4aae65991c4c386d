"""A stamp into a file: ``t1c stamp``."""

from __future__ import annotations

import os
from dataclasses import dataclass

from t1c import ir, nir

from .compare.stamp import Stamp, get_stamp, stamp_graph
from .numbers import format_bytes
from .report import Facts, Part, Report


@dataclass(frozen=True, repr=False)
class StampReport(Report):
    """What was stamped.

    Attributes:
        source: the file that was read.
        target: the file that was written.
        stamp: what stands in it now.
        before: the stamp that stood in the source; None if it had none.
        in_place: the target is the source, which was replaced.
        target_bytes: the size of the target on disk.
    """

    source: str
    target: str
    stamp: Stamp
    before: Stamp | None
    in_place: bool
    target_bytes: int

    def parts(self) -> list[Part]:
        """The file that was written, what stamp there was, and the two fingerprints."""
        size = format_bytes(self.target_bytes)
        where = f"in place of the file that was there, {size}" if self.in_place else size
        known = {None: "no stamp", self.stamp: "the same stamp"}.get(self.before, "another stamp")
        pairs = (
            ("written", f"{self.target} ({where})"),
            ("before", known),
            ("full", self.stamp.full),
            ("structure", self.stamp.structure),
        )
        return [Facts(pairs)]


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
    in_place = os.path.realpath(source) == os.path.realpath(target)
    graph = nir.read_graph(source, dt)
    stamped = stamp_graph(graph)
    if nir.is_nir(target):
        nir.write(target, stamped, dt)
    else:
        ir.write(target, stamped)
    stamp = get_stamp(stamped)
    assert stamp is not None
    return StampReport(
        source=os.fspath(source),
        target=os.fspath(target),
        stamp=stamp,
        before=get_stamp(graph),
        in_place=in_place,
        target_bytes=os.path.getsize(target),
    )
