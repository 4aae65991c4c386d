"""What is left of a file whose writer is killed, or runs out of disk: figures, by trying.

    make kill
    python benchmarks/kills.py --kills 1000 --page docs/reliability.md
    python benchmarks/kills.py --quick --json

Three ways to die. *Before each line*: a writer ends itself (SIGKILL) before the k-th line that it
runs of ``t1c.ir.atomic``, for every k there is. *At random*: a writer that writes without end is
killed at any moment, while two readers read what it writes. *Full disk*: a file may grow to so many
bytes, for many numbers from 0 up to the size that it needs. After each, the file must be the older
one or the newer one, whole; and after one more write nothing may lie beside it.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pages import put_into

from t1c import ir, nir, viz
from t1c.ir import atomic

COMMAND = "benchmarks/kills.py"
OWN = str(Path(atomic.__file__).parent)
READERS = 2


@dataclass(frozen=True)
class Kind:
    """A kind of file: how version 0 or 1 of it is written, and which one a path holds."""

    name: str
    file: str
    write: Callable[[Path, int], object]
    version: Callable[[Path], int]


@dataclass
class Count:
    """What happened."""

    way: str
    kind: str
    tries: int = 0
    in_the_middle: int = 0
    torn: int = 0
    beside: int = 0
    reads: int = 0
    bad_reads: int = 0

    @property
    def lost(self) -> int:
        """What must not happen."""
        return self.torn + self.beside + self.bad_reads


def graph(version: int, size: int) -> ir.Graph:
    """A graph that is told from another version of itself by every number in it."""
    value = np.full(size, 1.0 + version, np.float32)
    nodes = {"in": ir.Input((size,)), "s": ir.Scale(value), "out": ir.Output((size,))}
    return ir.Graph(nodes, [("in", "s"), ("s", "out")], {"version": version})


def version_of(found: ir.Graph) -> int:
    """Which version a graph is.

    Raises:
        ValueError: neither; it is a mixture.
    """
    values = set(np.unique(found.nodes["s"].scale).tolist())
    if values != {1.0 + found.metadata["version"]}:
        raise ValueError(f"{values} in version {found.metadata['version']}")
    return int(found.metadata["version"])


def page_version(path: Path) -> int:
    """Which version a page is; it must be all of it."""
    return PAGES.index(path.read_text(encoding="utf-8"))


GRAPHS = {size: [graph(v, size) for v in (0, 1)] for size in (2**14, 2**24)}
PAGES = [viz.render_html(g, f"version {v}") for v, g in enumerate(GRAPHS[2**14])]
SMALL = Kind(
    ".t1c",
    "net.t1c",
    lambda path, v: ir.write(path, GRAPHS[2**14][v]),
    lambda path: version_of(ir.read(path)),
)
KINDS = (
    SMALL,
    Kind(
        ".t1c of 64 MiB",
        "large.t1c",
        lambda path, v: ir.write(path, GRAPHS[2**24][v]),
        lambda path: version_of(ir.read(path)),
    ),
    Kind(
        ".nir",
        "net.nir",
        lambda path, v: nir.write(path, GRAPHS[2**14][v], 1e-3),
        lambda path: version_of(nir.read(path)),
    ),
    Kind(
        ".html",
        "net.html",
        lambda path, v: viz.export_html(GRAPHS[2**14][v], path, f"version {v}"),
        page_version,
    ),
)


def child(work: Callable[[], object]) -> int:
    """Start a process that does one thing; its number."""
    sys.stdout.flush()
    number = os.fork()
    if number:
        return number
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def ended(number: int) -> int:
    """Wait for a process; its status, negative for the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def look(count: Count, kind: Kind, path: Path) -> None:
    """Count what a writer left: the file, and what lies beside it after one more write."""
    count.tries += 1
    count.in_the_middle += len(os.listdir(path.parent)) > 1
    try:
        kind.version(path)
    except (ir.T1CError, OSError, ValueError):
        count.torn += 1
    # In a process of its own: this one has then never looked into the folder.
    if ended(child(lambda: kind.write(path, 0))):
        count.torn += 1
    count.beside += len(os.listdir(path.parent)) - 1


def stopping_at(line: int, work: Callable[[], object]) -> Callable[[], None]:
    """Work that ends its process before a line of ``t1c.ir.atomic``, counted as they are run."""

    def run() -> None:
        left = line

        def local(frame: Any, event: str, _: Any) -> Any:
            nonlocal left
            if event == "line":
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return local

        def trace(frame: Any, event: str, _: Any) -> Any:
            return local if frame.f_code.co_filename.startswith(OWN) else None

        sys.settrace(trace)
        work()

    return run


def before_each_line(kind: Kind, folder: Path, stride: int) -> Count:
    """Kill a writer before each line of it (of ``stride`` lines, one)."""
    count = Count("before each line", kind.name)
    path = folder / kind.file
    kind.write(path, 0)
    line = 0
    while ended(child(stopping_at(line, lambda: kind.write(path, 1)))) == -signal.SIGKILL:
        look(count, kind, path)
        line += stride
    return count


def forever(kind: Kind, path: Path, started: int) -> None:
    """Write one version after the other."""
    os.write(started, b"!")
    while True:
        for version in (1, 0):
            kind.write(path, version)


def reading(kind: Kind, path: Path, counters: mmap.mmap, place: int) -> None:
    """Read without end, and count: reads, and those that gave neither version."""
    counts = np.frombuffer(counters, np.int64)
    while True:
        try:
            kind.version(path)
        except (ir.T1CError, OSError, ValueError):
            counts[place + 1] += 1
        counts[place] += 1


def at_random(kind: Kind, folder: Path, kills: int, rng: random.Random) -> Count:
    """Kill writers at random, with readers beside them."""
    count = Count("at random", kind.name)
    path = folder / kind.file
    begin = time.perf_counter()
    kind.write(path, 0)
    once = time.perf_counter() - begin
    counters = mmap.mmap(-1, 16 * READERS)
    readers = [
        child(lambda place=2 * k: reading(kind, path, counters, place)) for k in range(READERS)
    ]
    for _ in range(kills):
        ready, started = os.pipe()
        writer = child(lambda end=started: forever(kind, path, end))
        os.read(ready, 1)
        time.sleep(rng.uniform(0, 3 * once))
        os.kill(writer, signal.SIGKILL)
        ended(writer)
        os.close(ready)
        os.close(started)
        look(count, kind, path)
    for reader in readers:
        os.kill(reader, signal.SIGKILL)
        ended(reader)
    counts = np.frombuffer(counters, np.int64)
    count.reads, count.bad_reads = int(counts[::2].sum()), int(counts[1::2].sum())
    return count


def limited(size: int, work: Callable[[], object]) -> Callable[[], None]:
    """Work that must fail as ours do, because files may not grow beyond ``size``."""

    def run() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        try:
            work()
        except ir.WriteError:
            return
        raise RuntimeError("it was written")

    return run


def full_disk(kind: Kind, folder: Path, tries: int) -> Count:
    """Let a write run out of room after so many bytes, from none to nearly all."""
    count = Count("full disk", kind.name)
    path = folder / kind.file
    kind.write(path, 0)
    size = path.stat().st_size
    for k in range(tries):
        status = ended(child(limited(size * k // tries, lambda: kind.write(path, 1))))
        count.torn += status != 0
        look(count, kind, path)
    return count


def counted(kills: int, quick: bool) -> list[Count]:
    """Everything that is tried."""
    rng = random.Random(0)
    found = []
    with tempfile.TemporaryDirectory() as base:

        def place() -> Path:
            return Path(tempfile.mkdtemp(dir=base))

        for kind in KINDS[:1] if quick else KINDS:
            share = 8 if "MiB" in kind.name else 1
            found.append(before_each_line(kind, place(), 8 if quick else share))
            found.append(at_random(kind, place(), max(1, kills // share), rng))
            found.append(full_disk(kind, place(), max(1, (10 if quick else 200) // share)))
    return found


def table(found: list[Count]) -> str:
    """The figures as a page shows them."""
    head = (
        "| way to die | file | tries | in the middle of a write | files torn or lost | left beside "
        "after one more write | reads meanwhile | bad reads |\n|---|---|--:|--:|--:|--:|--:|--:|\n"
    )
    rows = [*found, total(found)]
    return head + "".join(
        f"| {c.way} | {c.kind} | {c.tries:,} | {c.in_the_middle:,} | {c.torn} | {c.beside} "
        f"| {c.reads:,} | {c.bad_reads} |\n"
        for c in rows
    )


def total(found: list[Count]) -> Count:
    """All together."""
    names = ("tries", "in_the_middle", "torn", "beside", "reads", "bad_reads")
    return Count("all", "", *(sum(getattr(c, name) for c in found) for name in names))


def main() -> int:
    """Try, print, and say by the exit status whether anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=400, help="at random, of each kind of file")
    parser.add_argument("--quick", action="store_true", help="a few tries, of one kind")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--page", type=Path, help="put the table into this page")
    options = parser.parse_args()
    found = counted(6 if options.quick else options.kills, options.quick)
    text = json.dumps([asdict(c) for c in found]) if options.json else table(found)
    sys.stdout.write(f"{text}\n")
    if options.page:
        put_into(options.page, table(found), COMMAND)
    return int(total(found).lost > 0)


if __name__ == "__main__":
    sys.exit(main())
