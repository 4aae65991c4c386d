"""Scoring at scale: throughput beside plain Python; workers, nodes and whole runs that are lost.

`make scale` runs this. Shards of handwritten digits are scored; every file of results is compared,
byte for byte, with that of one process that nobody disturbed. It fails where one differs, is
missing, or holds a sample twice. The table goes into docs/distributed.md.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pages import put_into

from t1c import sdk

COMMAND = "python benchmarks/score_scale.py"
ROOT = Path(__file__).parent.parent
MODEL = ROOT / "examples" / "digits.t1c"
DATA = ROOT / "examples" / "digits_test.npz"

PLAIN = """
import os, sys, time
import numpy as np, torch
from pathlib import Path
from t1c import bridge
model, inputs, results, threads, first, every = sys.argv[1:]
if int(threads):
    torch.set_num_threads(int(threads))
executor = bridge.ir_to_torch(model)
for path in sorted(Path(inputs).iterdir())[int(first) :: int(every)]:
    with np.load(path) as arrays:
        x, steps = arrays["x"], int(arrays["steps"])
    sums = []
    with torch.inference_mode():
        for first in range(0, len(x), 256):
            batch = torch.from_numpy(x[first : first + 256])
            sums.append(executor.run(batch.expand(steps, *batch.shape), collect="sum")[0].numpy())
    out = np.concatenate(sums)
    np.savez(Path(results) / path.name, out_sum=out, prediction=out.argmax(1))
    spent = os.times()
    print(time.perf_counter(), spent.user + spent.system, flush=True)
"""
"""What one writes without t1c score; it tells when each shard was done, and what had been spent."""

SCORED = """
import multiprocessing, os, sys, time
from t1c import sdk
TICK = os.sysconf("SC_CLK_TCK")
def spent(pid):
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK
def main():
    model, inputs, results, workers, *_ = sys.argv[1:]
    def done(*_):
        workers = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
        print(time.perf_counter(), sum(map(spent, workers)), flush=True)
    sdk.score(model, inputs, results, workers=int(workers), progress=done)
if __name__ == "__main__":
    main()
"""


def write_shards(folder: Path, options: Any) -> int:
    """Digits in random order, as many in each shard; how many samples in all."""
    folder.mkdir()
    with np.load(DATA) as held:
        x, y = held["x"], held["y"]
    for number in range(options.shards):
        chosen = np.random.default_rng(number).integers(0, len(x), options.samples)
        path = folder / f"s{number:04}.npz"
        np.savez_compressed(path, x=x[chosen], y=y[chosen], steps=options.steps)
    return options.shards * options.samples


# Throughput --------------------------------------------------------------------------------------


def rate(program: str, inputs: Path, last: int, copies: int) -> tuple[float, float]:
    """Shards per second, and per second of a processor, of the later half of the shards.

    What starting and compiling take is left out: it is the same for a day's work, and a worker may
    be ready long after another on a busy machine. Several copies
    of a program run side by side, each on its part of the shards.
    """
    with tempfile.TemporaryDirectory() as results:
        file = Path(results) / "program.py"
        file.write_text(program)
        (Path(results) / "out").mkdir()
        line = [sys.executable, str(file), str(MODEL), str(inputs), f"{results}/out", str(last)]
        running = [
            subprocess.Popen([*line, str(n), str(copies)], stdout=subprocess.PIPE, text=True)
            for n in range(copies)
        ]
        printed = [process.communicate()[0] for process in running]
        assert not any(process.returncode for process in running)
    wall = spent = count = 0.0
    for text in printed:
        told = [tuple(map(float, line.split())) for line in text.splitlines()]
        half = len(told) // 2
        begin, end, shards = told[half - 1], told[-1], len(told) - half
        wall += shards / (end[0] - begin[0])
        spent += end[1] - begin[1]
        count += shards
    return wall, count / spent


def throughput(inputs: Path, options: Any) -> list[str]:
    """Rows of rates; what is measured takes turns, because other programs come and go."""
    ways: dict[str, tuple[str, int, int]] = {
        "plain Python, one thread": (PLAIN, 1, 1),
        "plain Python, torch's threads": (PLAIN, 0, 1),
        "two such programs side by side, one thread each": (PLAIN, 1, 2),
        "`t1c score`, 1 worker": (SCORED, 1, 1),
        "`t1c score`, 2 workers": (SCORED, 2, 1),
    }
    rates: dict[str, list[tuple[float, float]]] = defaultdict(list)
    loads = [os.getloadavg()[0]]
    for _ in range(options.rounds):
        for name, (program, last, copies) in ways.items():
            rates[name].append(rate(program, inputs, last, copies))
            loads.append(os.getloadavg()[0])
    base = rates["plain Python, one thread"]
    rows = [
        "| | samples/s | beside the first | samples per second of a processor |",
        "|---|---:|---:|---:|",
    ]
    for name, found in rates.items():
        wall, own = np.median(np.array(found), axis=0) * options.samples
        ratio = float(np.median([f[0] / b[0] for f, b in zip(found, base, strict=True)]))
        rows.append(f"| {name} | {wall:,.0f} | {ratio:.2f} | {own:,.0f} |")
    cores = len(os.sched_getaffinity(0))
    words = (
        f"{options.shards} shards of {options.samples} samples and {options.steps} steps; medians "
        f"of {options.rounds} rounds in turn, ratios within a round; {cores} cores, which other "
        f"programs used too (load {min(loads):.1f} to {max(loads):.1f})."
    )
    return [*rows, "", words]


# Losses ------------------------------------------------------------------------------------------


class Watch:
    """Sees which shards are being written, by the temporary files beside their results.

    Args:
        folder: of the results.

    Attributes:
        seen: name of a file of results -> temporary files that there were of it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: dict[str, set[str]] = defaultdict(set)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def now(self) -> list[str]:
        """The shards that are being written."""
        with contextlib.suppress(FileNotFoundError):
            names = (entry.name for entry in os.scandir(self.folder))
            return [name for name in names if name.endswith(".t1c-tmp")]
        return []

    def _watch(self) -> None:
        while not self._over.wait(0.01):
            for name in self.now():
                self.seen[name[1:].split(".")[0]].add(name)

    @property
    def redone(self) -> int:
        """Shards that were begun more than once."""
        return sum(len(names) > 1 for names in self.seen.values())

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def check(folder: Path, expected: Path, samples: int) -> None:
    """Fail unless both folders hold the same results of so many samples."""
    names = sorted(path.name for path in expected.iterdir())
    found = sorted(path.name for path in folder.iterdir() if path.suffix == ".npz")
    assert found == names, f"{folder}: {len(found)} files of results in the place of {len(names)}"
    count = 0
    for name in names:
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), f"{name} differs"
        with np.load(folder / name) as arrays:
            count += len(arrays["prediction"])
    assert count == samples, f"{count} samples in the place of {samples}"


def until_two_work(watch: Watch) -> None:
    """Wait until two shards more than the torn ones there are being written."""
    torn = set(watch.now())
    for _ in range(3000):
        if len(set(watch.now()) - torn) >= 2:
            return
        time.sleep(0.002)


def killed_workers(inputs: Path, expected: Path, samples: int, options: Any) -> str:
    """Local workers are killed while they work, one after the other."""
    kills = 0
    with tempfile.TemporaryDirectory() as folder, Watch(Path(folder)) as watch:

        def progress(done: int, total: int) -> None:
            nonlocal kills
            if done % options.every == 0 and done < total - 4:
                # Whoever is at work: who was done just now waits for this function.
                children = multiprocessing.active_children()
                for child in random.sample(children, len(children)):
                    os.kill(int(child.pid or 0), signal.SIGKILL)
                    kills += 1
                    break

        report = sdk.score(MODEL, inputs, folder, workers=2, progress=progress)  # type: ignore[arg-type]
        assert report, report
        check(Path(folder), expected, samples)
    return f"| local workers killed | {kills} | {watch.redone} | {samples:,} |"


def killed_runs(inputs: Path, expected: Path, samples: int, options: Any) -> str:
    """Whole runs are killed, workers and all, and started again until one ends."""
    kills = 0
    with tempfile.TemporaryDirectory() as folder, Watch(Path(folder)) as watch:
        line = [
            sys.executable,
            "-m",
            "t1c.cli",
            "score",
            str(MODEL),
            str(inputs),
            "-o",
            folder,
            "-q",
        ]
        while True:
            run = subprocess.Popen([*line, "-w", "2"], start_new_session=True)
            # It comes to some shards, and not to all.
            wanted = len(list(Path(folder).glob("*.npz"))) + options.every
            while run.poll() is None and len(list(Path(folder).glob("*.npz"))) < wanted:
                time.sleep(random.uniform(0.01, 0.1))
            if run.poll() is not None:
                assert run.returncode == 0, f"exit status {run.returncode}"
                break
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
            kills += 1
        check(Path(folder), expected, samples)
    return f"| whole runs killed, and started again | {kills} | {watch.redone} | {samples:,} |"


@contextlib.contextmanager
def cluster() -> Iterator[tuple[Any, Any]]:
    """A Ray cluster on this machine: a head that works nothing, and two nodes of one processor."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray.cluster_utils import Cluster

    memory = 100 * 2**20
    made = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": memory}
    )
    try:
        nodes = [made.add_node(num_cpus=1, object_store_memory=memory) for _ in range(2)]
        ray.init(address=made.address, log_to_driver=False)
        yield made, nodes[1]
    finally:
        ray.shutdown()
        made.shutdown()


def lost_on_ray(inputs: Path, expected: Path, samples: int, total: int) -> str:
    """On a cluster of two nodes: an actor is killed while it works, and then a node is removed."""
    lost = []
    with (
        cluster() as (made, node),
        tempfile.TemporaryDirectory() as folder,
        Watch(Path(folder)) as watch,
    ):
        from ray._private.state import actors

        def progress(done: float, _: int) -> None:
            if not lost and done >= total // 6:
                working = [
                    actor["Pid"]
                    for actor in actors().values()
                    if actor["State"] == "ALIVE" and "MapWorker" in actor["ActorClassName"]
                ]
                assert len(working) == 2, working
                until_two_work(watch)
                os.kill(working[0], signal.SIGKILL)
                lost.append("worker")
            elif len(lost) == 1 and done >= total // 2:
                made.remove_node(node, allow_graceful=False)
                lost.append("node")

        report = sdk.score(MODEL, inputs, folder, on="ray", progress=progress)
        assert report, report
        assert lost == ["worker", "node"], lost
        check(Path(folder), expected, samples)
    return f"| Ray: a worker killed, a node of two removed | 2 | {watch.redone} | {samples:,} |"


def main() -> None:
    """Measure, lose, compare, and write the page."""
    options = _options()
    with tempfile.TemporaryDirectory() as held:
        inputs, expected = Path(held) / "inputs", Path(held) / "expected"
        samples = write_shards(inputs, options)
        assert sdk.score(MODEL, inputs, expected, workers=1)
        rows = [
            "| lost | times | shards begun again | samples, each scored once |",
            "|---|---:|---:|---:|",
        ]
        rows.append(killed_workers(inputs, expected, samples, options))
        rows.append(killed_runs(inputs, expected, samples, options))
        if not options.local:
            rows.append(lost_on_ray(inputs, expected, samples, options.shards))
        sys.stdout.write("\n".join(rows) + "\n")
        rates = throughput(inputs, options) if options.rounds else []
    text = "\n".join([*rates, "", *rows, ""]).strip() + "\n"
    sys.stdout.write(text)
    if options.page is not None:
        put_into(options.page, text, COMMAND)


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=60)
    parser.add_argument("--samples", type=int, default=512, help="in each shard")
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--every", type=int, default=8, help="shards between two losses")
    parser.add_argument("--rounds", type=int, default=3, help="of throughput; 0: none")
    parser.add_argument("--local", action="store_true", help="without Ray")
    parser.add_argument("--page", type=Path, default=None, help="the page that shows it")
    return parser.parse_args()


if __name__ == "__main__":
    main()
