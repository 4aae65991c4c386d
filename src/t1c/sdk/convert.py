"""Between formats: ``t1c convert``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t1c import ir, nir, onnx
from t1c.ir.errors import InputError, Problem
from t1c.ir.metadata import Metadata
from t1c.nir.conventions import KEY
from t1c.nir.repairs import checked

from .report import Facts, Part, Report

SUFFIXES = (".t1c", ".nir")
SOURCES = (*SUFFIXES, ".onnx")


@dataclass(frozen=True, repr=False)
class ConvertReport(Report):
    """What was converted, and how.

    Attributes:
        source: the file that was read, as it was given.
        target: the file that was written.
        nodes: how many nodes the graph has; a nested graph counts as one.
        conventions: how a NIR file was read: dt, integrator, reset, dialect, remarks; or {}.
        losses: what readers of the target other than t1c will not see, one line each.
        changes: of a file for a named reader, what is written otherwise than the graph has it.
        call: of a file for a named reader, how it is read there.
    """

    source: str
    target: str
    nodes: int
    conventions: Metadata
    losses: tuple[str, ...]
    changes: tuple[str, ...] = ()
    call: str = ""

    def parts(self) -> list[Part]:
        """What became what, how it was read, and what was lost."""
        told: list[Part] = [f"{self.source} -> {self.target}: {self.nodes} nodes"]
        facts = [(key, str(value)) for key, value in self.conventions.items()]
        facts += [("lost", loss) for loss in self.losses]
        facts += [("read it with", self.call)] * bool(self.call)
        facts += [("changed", change) for change in self.changes]
        return [*told, Facts(tuple(facts))] if facts else told


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    dt: float | None = None,
    reset: str | None = None,
    integrator: str | None = None,
    dialect: str | None = None,
    repair: Iterable[str] = (),
    lossy: bool = False,
    allow_nonfinite: bool = False,
    verify: bool = True,
) -> ConvertReport:
    """Read one file and write another; the suffixes say what they are.

    Args:
        source: the file to read: ``.t1c``, ``.nir``, or ``.onnx``, the model of a network without
            memory (see ``t1c.onnx.read``).
        target: the file to write, ``.t1c`` or ``.nir``; it appears whole or not at all.
        dt: seconds in one step, where one of the files is NIR and does not know it.
        reset: as of ``t1c.nir.read``.
        integrator: as of ``t1c.nir.read``.
        dialect: as of ``t1c.nir.read`` where the source is NIR, and else as of
            ``t1c.nir.write``: for whose importer to write.
        repair: as of ``t1c.nir.read``: what is wrong with the source and to be mended, by name.
        lossy: keep what NIR cannot say in its metadata, as of ``t1c.nir.write``.
        allow_nonfinite: accept NaN and infinite parameters.
        verify: check a ``.t1c`` source against its checksums; if not, what is written has new ones.

    Raises:
        InputError: a suffix is neither, or an option or a repair has nothing to act on.
        ConventionError: dt is not known.
        UnsupportedError: NIR cannot say all of the graph, or a graph cannot say all of the model.
        T1CFormatError, GraphError: the source is not valid.

    Example:
        >>> convert("model.nir", "model.t1c", dt=1e-4)  # doctest: +SKIP
    """
    kinds = [_suffix(source, SOURCES), _suffix(target, SUFFIXES)]
    options: dict[str, Any] = {"reset": reset, "integrator": integrator}
    options |= {"repair": checked(repair)} if repair else {}
    if kinds[0] == ".nir":
        graph = nir.read(source, dt=dt, dialect=dialect, allow_nonfinite=allow_nonfinite, **options)
    else:
        if kinds[0] != ".t1c":
            _refuse({} if verify else {"verify": verify}, kinds[0])
        _refuse({name: value for name, value in options.items() if value is not None}, kinds[0])
        if kinds[0] == ".onnx":
            _refuse({"allow_nonfinite": True} if allow_nonfinite else {}, kinds[0])
            graph = onnx.read(source)
        else:
            graph = ir.read(source, allow_nonfinite=allow_nonfinite, verify=verify)
    losses = nir.LossReport()
    if kinds[1] == ".nir":
        # What came from NIR knows its dt; a dt to read it by is not one to change it to.
        came = kinds[0] == ".nir"
        losses = nir.write(
            target,
            graph,
            None if came else dt,
            lossy=lossy,
            dialect=None if came else dialect,
        )
    else:
        _refuse({"lossy": lossy} if lossy else {}, kinds[1])
        if kinds[0] != ".nir":
            given = {"dt": dt, "dialect": dialect}
            _refuse({n: v for n, v in given.items() if v is not None}, kinds[1])
        ir.write(target, graph)
    record = graph.metadata.get(KEY, {}) if kinds[0] == ".nir" else {}
    return ConvertReport(
        source=os.fspath(source),
        target=os.fspath(target),
        nodes=len(graph.nodes),
        conventions={k: v for k, v in record.items() if k not in ("metadata", "stamp")},
        losses=tuple(map(str, losses.losses)),
        changes=(*losses.remarks, *map(str, losses.changes)),
        call=losses.call,
    )


def _suffix(path: str | os.PathLike[str], known: tuple[str, ...]) -> str:
    suffix = Path(path).suffix
    if suffix not in known:
        raise InputError(
            Problem(f"the suffix {suffix!r}", " or ".join(known), "Rename it.", str(path))
        )
    return suffix


def _refuse(options: dict[str, Any], suffix: str) -> None:
    if options:
        raise InputError(
            Problem(
                f"{', '.join(options)} for a {suffix} file",
                "a .nir file, which is what it is for",
                "Drop it.",
            )
        )
