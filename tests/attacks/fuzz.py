"""Reads as many changed files as one likes, and counts what became of them.

A case passes if the file opens to the graph that it was, or to another one that is valid and can be
run, or is refused by an error of ours, within the limits of time and memory. It is a number: with
the same seed it makes the same file again. ``make fuzz`` tries 100,000, ``make test`` 2,000. Run as
a script, this file is the process that reads.
"""

import collections
import dataclasses
import json
import math
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from t1c import ir
from tests.attacks.mutation import corpus, mutated, read
from tests.hostile_reader import MEGABYTES, limit_memory

SECONDS, MOST_MEGABYTES = 0.5, 200
PATIENCE = 10
"""Seconds after which a reader is given up."""

SAME, OTHER, DAMAGED, MEANINGLESS = "same", "another", "damaged", "meaningless"
PASSED = (SAME, OTHER, DAMAGED, MEANINGLESS)
_DAMAGE = ("data that cannot be read", "truncated or damaged", "not an HDF5 file")
_LARGEST_RUN = 100_000


@dataclasses.dataclass(frozen=True)
class Case:
    """What became of a changed file.

    Attributes:
        number: of the case.
        file: which sound file it was.
        kind: the structure that was changed.
        result: one of ``PASSED``, or what went wrong.
        seconds: of the processor.
        megabytes: more than were ever held before.
    """

    number: int
    file: str
    kind: str
    result: str
    seconds: float
    megabytes: float

    @property
    def passed(self) -> bool:
        """It is as it should be."""
        return self.result in PASSED


def cases(count: int, seed: int = 0, first: int = 0) -> list[Case]:
    """Try so many changed files, in a process that may be lost."""
    found: list[Case] = []
    while len(found) < count:
        start = first + len(found)
        left = [str(number) for number in (seed, start, count - len(found))]
        done = subprocess.run(
            [sys.executable, "-m", "tests.attacks.fuzz", *left],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            cwd=Path(__file__).parent.parent.parent,
        )
        lines = [line for line in done.stdout.splitlines() if line.endswith("]")]
        found += [Case(*json.loads(line)) for line in lines]
        if len(found) < count:
            number, reason = first + len(found), f"killed by signal {-done.returncode}"
            if not lines and done.returncode > 0:
                raise RuntimeError("the reader does not start")
            found.append(Case(number, "", "", reason, PATIENCE, 0.0))
    return found


def _read_all(seed: int, first: int, count: int) -> None:
    """Read them one by one, and print a line about each."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        sounds = corpus(Path(folder))
        limit_memory(MEGABYTES)
        for number in range(first, first + count):
            sound, kind, raw = mutated(sounds, seed, number)
            path = Path(folder, f"case{sound.suffix}")
            path.write_bytes(raw)
            signal.alarm(PATIENCE)
            base, start = _peak(), time.process_time()
            graph, result = _result(path)
            spent, held = time.process_time() - start, _peak() - base
            if graph is not None:
                result = SAME if graph.equals(sound.graph) else _runs(graph)
            if spent > SECONDS or held > MOST_MEGABYTES:
                result = f"costs too much ({result})"
            line = [number, sound.name, kind, result, round(spent, 5), round(held, 2)]
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()


def _peak() -> float:
    """The most megabytes that this process ever held: what a case adds to it, it has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _result(path: Path) -> tuple[ir.Graph | None, str]:
    try:
        return read(path), ""
    except ir.T1CError as error:
        text = str(error)
        return None, DAMAGED if any(word in text for word in _DAMAGE) else MEANINGLESS
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"[:200]


def _runs(graph: ir.Graph) -> str:
    """Whether another graph than the one that was written is one all the same."""
    try:
        graph.check()
        sizes = [
            math.prod(map(int, shape))
            for node in graph.flat().nodes.values()
            for shape in [*(node.input_type or {}).values(), *(node.output_type or {}).values()]
        ]
        if max(sizes) <= _LARGEST_RUN:
            given = {name: np.ones((1, *node.shape)) for name, node in graph.inputs().items()}
            ir.Reference(graph).step(given if len(given) > 1 else next(iter(given.values())))
    except MemoryError:
        return OTHER  # a wide margin around a small input: valid, and more than there is room for
    except Exception as error:
        return f"opens, and then {type(error).__name__}: {error}"[:200]
    return OTHER


def table(found: Sequence[Case]) -> str:
    """What became of the cases, by the structure that was changed."""
    kinds = collections.Counter(case.kind for case in found)
    rows: list[tuple[str, ...]] = [("changed", "cases", *PASSED, "failed")]
    for kind, count in sorted(kinds.items()):
        rows.append((kind or "(lost)", *_counts([c for c in found if c.kind == kind], count)))
    rows.append(("all", *_counts(found, len(found))))
    return "\n".join("| " + " | ".join(row) + " |" for row in (rows[0], _rule(rows[0]), *rows[1:]))


def _rule(head: Sequence[str]) -> tuple[str, ...]:
    return ("---", *("---:" for _ in head[1:]))


def _counts(found: Iterable[Case], count: int) -> list[str]:
    results = collections.Counter(case.result if case.passed else "failed" for case in found)
    return [f"{n:,}" for n in (count, *(results[name] for name in PASSED), results["failed"])]


def keep(found: Sequence[Case], seed: int, folder: Path) -> None:
    """Write the files of cases into a folder."""
    with tempfile.TemporaryDirectory() as made:
        sounds = corpus(Path(made))
        for case in found:
            sound, _, raw = mutated(sounds, seed, case.number)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"case_{seed}_{case.number}{sound.suffix}").write_bytes(raw)


if __name__ == "__main__":
    _read_all(*map(int, sys.argv[1:]))
