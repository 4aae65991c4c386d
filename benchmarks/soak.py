"""A stream that runs for days, in an hour or less: what it computes, and what it leaves behind.

`make soak` runs this. A recurrent network takes a million steps in chunks. At checkpoints its state
and its outputs are compared with those of the float64 reference, which goes the whole way beside
it; memory is looked at; and half-way the state is saved and taken up by another process. Then many
threads share one executor, and forked and spawned workers have one each. Weights and inputs lie on
a grid on which no sum is rounded, so that every comparison is of bits. The figures go into
docs/reliability.md.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pages import put_into

from t1c import ir
from t1c.bridge import GraphExecutor, load, load_state, save_state

COMMAND = "python benchmarks/soak.py"
FEATURES, HIDDEN, BATCH, CHUNK = 6, 12, 2, 1000


def network() -> ir.Graph:
    """Two populations that excite and inhibit each other, one of them through a Delay."""
    rng = np.random.default_rng(3)

    def affine(outputs: int, inputs: int) -> ir.Affine:
        weight = rng.integers(-96, 97, (outputs, inputs)) / 256
        return ir.Affine(weight.astype(np.float32), np.zeros(outputs, np.float32))

    def neurons(threshold: float) -> ir.IF:
        return ir.IF(np.array([threshold], np.float32), v_min=np.array([-1.0], np.float32))

    nodes: dict[str, ir.Node] = {
        "input": ir.Input((FEATURES,)),
        "in": affine(HIDDEN, FEATURES),
        "first": neurons(0.5),
        "across": affine(HIDDEN, HIDDEN),
        "second": neurons(0.75),
        "late": ir.Delay(np.array(3)),
        "back": affine(HIDDEN, HIDDEN),
        "output": ir.Output((HIDDEN,)),
    }
    names = ["input", "in", "first", "across", "second", "output"]
    edges = [*itertools.pairwise(names), ("second", "late"), ("late", "back")]
    edges += [("back", "first"), ("second", "second")]
    return ir.Graph(nodes, edges, allow_cycles=True)


def chunk(number: int, of: int = 0) -> np.ndarray[Any, Any]:
    """The inputs of one chunk (T, B, features), the same wherever it is asked for."""
    rng = np.random.default_rng((of, number))
    return (rng.integers(-64, 129, (CHUNK, BATCH, FEATURES)) / 256).astype(np.float32)


def run(executor: GraphExecutor, xs: np.ndarray[Any, Any], state: Any) -> tuple[Any, Any]:
    """Outputs as an array, and the state."""
    with torch.no_grad():
        outputs, state = executor.run(torch.from_numpy(xs), state)
    return outputs.numpy(), state


@dataclass
class Found:
    """What came of it.

    Attributes:
        rows: what was done, and what was seen.
        wrong: what must not be.
    """

    rows: list[tuple[str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def note(self, what: str, seen: str) -> None:
        """Note a figure."""
        self.rows.append((what, seen))
        sys.stdout.write(f"{what}: {seen}\n")
        sys.stdout.flush()

    def check(self, right: bool, what: str) -> None:
        """Note what is wrong, if something is."""
        if not right:
            self.wrong.append(what)
            sys.stdout.write(f"WRONG: {what}\n")

    def table(self) -> str:
        """The figures, for the page."""
        lines = ["| what | seen |", "| --- | --- |", *(f"| {a} | {b} |" for a, b in self.rows)]
        return "\n".join(lines)


def stream(path: Path, steps: int, checkpoints: int, found: Found) -> None:
    """The long stream, beside the reference."""
    executor, reference = load(path, trainable=False), ir.Reference(network(), np.float64)
    chunks = steps // CHUNK
    every = max(1, chunks // checkpoints)
    state: Any = None
    exact: Any = None
    compared = spikes = looks = 0
    resident: list[int] = []
    busy = 0.0
    for number in range(chunks):
        xs = chunk(number)
        began = time.perf_counter()
        outputs, state = run(executor, xs, state)
        if number:  # the first compiles
            busy += time.perf_counter() - began
        expected, exact = reference.run(xs, exact)
        spikes += int(outputs.sum())
        if (number + 1) % every == 0:
            looks += 1
            resident.append(memory())
            found.check(np.array_equal(outputs, expected), f"outputs of chunk {number}")
            found.check(list(state) == list(exact), f"the nodes with a state after chunk {number}")
            for name, own in exact.items():
                for mine, theirs in zip(state[name], own, strict=True):
                    compared += theirs.size
                    same = np.array_equal(mine.numpy(), theirs)
                    found.check(same, f"the state of {name!r} after chunk {number}")
        if number + 1 == chunks // 2:
            same = handed_over(path, executor, number + 1, state)
            found.check(same, "another process went on otherwise")
            when = f"saved after {(number + 1) * CHUNK:,} steps, taken up by another process"
            found.note(when, "the same spikes and state" if same else "others")
    found.check(spikes > 0, "nothing fired")
    found.note(
        f"steps streamed, in chunks of {CHUNK:,}", f"{chunks * CHUNK:,}, {spikes:,} spikes sent"
    )
    found.note(
        "compared with the float64 reference, which went all the way",
        f"{compared:,} numbers of states at {looks} checkpoints: {len(found.wrong)} differ",
    )
    later = resident[len(resident) // 10 :]
    grown = (max(later) - min(later)) / 2**20
    found.check(grown < 8, f"memory moved by {grown:.1f} MiB")
    moved = f"{later[-1] / 2**20:,.0f} MiB, moved by {grown:.1f} MiB"
    found.note("memory, from the first tenth to the end", moved)
    found.note("time of a step, two samples", f"{busy / ((chunks - 1) * CHUNK) * 1e6:.1f} µs")


def memory() -> int:
    """Bytes that the process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def handed_over(path: Path, executor: GraphExecutor, number: int, state: Any) -> bool:
    """Whether another process goes on from a saved state as this one does."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state.npz"
        save_state(file, executor, state)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            theirs = pool.apply(go_on, (path, file, number))
    mine, after = run(executor, chunk(number), state)
    digest, final = digest_of(mine), digest_of(*(v.numpy() for own in after.values() for v in own))
    return theirs == (digest, final)


def go_on(path: Path, file: Path, number: int) -> tuple[str, str]:
    """The next chunk after a saved state: fingerprints of its outputs and of the state after."""
    executor = load(path, trainable=False)
    outputs, state = run(executor, chunk(number), load_state(file, executor))
    return digest_of(outputs), digest_of(*(v.numpy() for own in state.values() for v in own))


def digest_of(*arrays: Any) -> str:
    """What tells arrays from others."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def own_stream(executor: GraphExecutor, of: int, chunks: int) -> str:
    """A stream by itself; the fingerprint of all that it sent."""
    state: Any = None
    digests = []
    for number in range(chunks):
        outputs, state = run(executor, chunk(number, of), state)
        digests.append(digest_of(outputs))
    return digest_of(*(np.frombuffer(d.encode(), np.uint8) for d in digests))


def worker(path: Path, of: int, chunks: int) -> str:
    """A stream in a process of its own, with an executor of its own."""
    return own_stream(load(path, trainable=False), of, chunks)


SHARED: dict[str, GraphExecutor] = {}


def heir(of: int, chunks: int) -> str:
    """A stream in a forked process, with the executor that was there before it."""
    return own_stream(SHARED["executor"], of, chunks)


def at_once(path: Path, threads: int, workers: int, chunks: int, found: Found) -> None:
    """Threads that share an executor, and processes; each has a stream of its own."""
    SHARED["executor"] = executor = load(path, trainable=False)
    expected = [own_stream(executor, of, chunks) for of in range(1, threads + 1)]
    found.check(len(set(expected)) == threads, "all streams are alike")
    seen = [""] * threads

    def work(k: int) -> None:
        seen[k] = own_stream(executor, k + 1, chunks)

    pool = [threading.Thread(target=work, args=(k,)) for k in range(threads)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    same = sum(a == b for a, b in zip(seen, expected, strict=True))
    found.check(same == threads, f"{threads - same} threads of {threads} differ")
    steps = f"{chunks * CHUNK:,} steps each"
    found.note(f"{threads} threads on one executor, {steps}", f"{same} of {threads} as one alone")
    for how, job in _jobs(path) if workers else ():
        with multiprocessing.get_context(how.split()[0]).Pool(workers) as processes:
            found_by = processes.starmap(job[0], [(*job[1], k + 1, chunks) for k in range(workers)])
        same = sum(a == b for a, b in zip(found_by, expected, strict=False))
        found.check(same == workers, f"{workers - same} workers of {workers} differ ({how})")
        found.note(f"{workers} workers ({how}), {steps}", f"{same} of {workers} as one alone")


Job = tuple[Callable[..., str], tuple[Any, ...]]


def _jobs(path: Path) -> Iterator[tuple[str, Job]]:
    yield "fork with the executor of their parent", (heir, ())
    yield "fork with executors of their own", (worker, (path,))
    yield "spawn", (worker, (path,))


def soak(steps: int, threads: int, workers: int, checkpoints: int = 100) -> Found:
    """All of it."""
    found = Found()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.t1c"
        ir.write(path, network())
        stream(path, steps, checkpoints, found)
        at_once(path, threads, workers, max(2, steps // CHUNK // 50), found)
    return found


def main() -> None:
    """Runs, prints, and fails where something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--page", help="a page whose table is replaced")
    options = parser.parse_args()
    found = soak(options.steps, options.threads, options.workers)
    if options.page:
        put_into(Path(options.page), found.table() + "\n", COMMAND)
    if found.wrong:
        sys.exit(f"{len(found.wrong)} things are not as they must be")


if __name__ == "__main__":
    main()
