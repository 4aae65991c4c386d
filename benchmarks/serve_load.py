"""How many streams a service keeps up with, and that none of them loses anything.

A service and its clients are processes of their own on one machine, and share its processors. Every
stream sends a message of spikes (30 % of the inputs), waits for the answer and sends the next, as
fast as it goes. All answers are compared with those of an executor that has the stream to itself.
Times are those that the clients see; the processor's time of the service is told beside them,
because it does not depend on who else uses the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pages import put_into
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from t1c import ir

COMMAND = "python benchmarks/serve_load.py"
ROOT = Path(__file__).parent.parent
SECONDS = 3.0
STREAMS = (1, 8, 64, 256)
RATE = 0.3
AHEAD = 50
"""Messages that a client sends ahead of their answers, where the service is stopped."""
CHECKED = 16
"""Streams of each load of which all answers are compared."""


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--page", type=Path, help="write the tables into this page")
    parser.add_argument("--stops", type=int, default=10, help="how often to stop in the middle")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = {
            "MLP 784-512-512-10": Path(folder, "mlp.t1c"),
            "digits, convolutions on 8 x 8": ROOT / "examples" / "digits.t1c",
        }
        ir.write(models["MLP 784-512-512-10"], mlp())
        text = loads(models) + "\n" + stops(models["MLP 784-512-512-10"], options.stops)
    if options.page:
        put_into(options.page, text, COMMAND)


def mlp() -> ir.Graph:
    """Weights that are on no grid, so that sums of another order would have other bits."""
    rng = np.random.default_rng(0)
    sizes = (784, 512, 512, 10)
    nodes: dict[str, ir.Node] = {"input": ir.Input((784,))}
    for i, (before, after) in enumerate(itertools.pairwise(sizes)):
        weight = rng.normal(0, 3 / before**0.5, (after, before)).astype(np.float32)
        nodes[f"fc{i}"] = ir.Linear(weight)
        two = np.full(after, 2.0, np.float32)
        nodes[f"lif{i}"] = ir.LIF(two, two, np.zeros_like(two), np.ones_like(two))
    nodes["output"] = ir.Output((10,))
    names = list(nodes)
    return ir.Graph(nodes, list(itertools.pairwise(names)))


# Load --------------------------------------------------------------------------------------------


@dataclass
class Load:
    """What clients saw."""

    steps: int
    seconds: float
    waits: Any
    compared: int
    spikes: int
    differing: int


def loads(models: dict[str, Path]) -> str:
    """A table of loads, printed as it grows."""
    lines = [
        "| network | streams | steps in a message | steps per second | p50 | p99 | "
        "steps worked at once | processor time of a step | answers compared | differing |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    show("\n".join(lines))
    for name, model in models.items():
        settings = [(streams, 1, 256) for streams in STREAMS]
        settings += [(64, 16, 256), (64, 1, 1)]
        for streams, steps, batch in settings:
            lines.append(row(name, model, streams, steps, batch))
            show(lines[-1])
    return "\n".join(lines) + "\n"


def row(name: str, model: Path, streams: int, steps: int, batch: int) -> str:
    """One load."""
    with service(model, "--batch", str(batch)) as (process, url):
        load(model, url, min(streams, 8), steps, 0.5)
        before, used = counts(url), processor(process.pid)
        found = load(model, url, streams, steps, SECONDS)
        after, used = counts(url), processor(process.pid) - used
    worked = after["steps"] - before["steps"]
    together = worked / (after["batches"] - before["batches"])
    p50, p99 = (f"{np.percentile(found.waits, p) * 1e3:.1f} ms" for p in (50, 99))
    if batch == 1:
        name += ", one at a time (`--batch 1`)"
    return (
        f"| {name} | {streams} | {steps} | {found.steps / found.seconds:,.0f} | {p50} | {p99} | "
        f"{together:.1f} | {used / worked * 1e6:.0f} µs | {found.compared:,} "
        f"({found.spikes:,} spikes) | {found.differing} |"
    )


def load(model: Path, url: str, streams: int, steps: int, seconds: float) -> Load:
    """What streams see that ask as fast as they are answered."""
    width = inputs_of(model)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        talks, took = pool.apply(clients, (url, streams, steps, seconds, width))
    waits = np.concatenate([waits for _, waits, _ in talks])
    answered = sum(len(waits) for _, waits, _ in talks) * steps
    compared = spikes = differing = 0
    run = alone(model)
    for seed, _, came in talks[:CHECKED]:
        ys = np.concatenate(came)
        xs = np.concatenate([spikes_of(seed, n, steps, width) for n in range(len(came))])
        expected = run(xs)
        compared += expected.size
        spikes += np.count_nonzero(expected)
        differing += np.count_nonzero(ys != expected)
    return Load(answered, took, waits, compared, spikes, differing)


def clients(
    url: str, streams: int, steps: int, seconds: float, width: int
) -> tuple[list[Any], float]:
    """All clients, in a process of their own: seeds, waits and answers; and how long it took."""
    return asyncio.run(_clients(url, streams, steps, seconds, width))


async def _clients(
    url: str, streams: int, steps: int, seconds: float, width: int
) -> tuple[list[Any], float]:
    start, end = asyncio.Event(), 0.0
    place = f"{url.replace('http', 'ws')}/stream?binary=uint8"

    async def talk(seed: int) -> Any:
        waits, came = [], []
        async with connect(place, compression=None) as socket:
            ready.append(seed)
            await start.wait()
            while time.perf_counter() < end:
                xs = spikes_of(seed, len(came), steps, width).astype(np.uint8).tobytes()
                begin = time.perf_counter()
                await socket.send(xs)
                answer = await socket.recv()
                waits.append(time.perf_counter() - begin)
                came.append(np.frombuffer(answer, "<f4").reshape(steps, -1))
        return seed, np.array(waits), came

    ready: list[int] = []
    tasks = [asyncio.create_task(talk(seed)) for seed in range(streams)]
    while len(ready) < streams:
        await asyncio.sleep(0.01)
    begin = time.perf_counter()
    end = begin + seconds
    start.set()
    talks = await asyncio.gather(*tasks)
    return talks, time.perf_counter() - begin


def spikes_of(seed: int, message: int, steps: int, width: int) -> Any:
    """What a stream sends in a message: (steps, features)."""
    rng = np.random.default_rng((seed, message))
    return (rng.random((steps, width), np.float32) < RATE).astype(np.float32)


# Stops -------------------------------------------------------------------------------------------


def stops(model: Path, times: int) -> str:
    """How a service that is told to stop, and clients that are killed, leave everybody else."""
    rng = random.Random(0)
    answered = differing = unanswered = streams = killed = left = 0
    for _ in range(times):
        with service(model) as (process, url):
            context = multiprocessing.get_context("spawn")
            queue: Any = context.Queue()
            doomed = context.Process(target=pour, args=(url, 32, None, inputs_of(model)))
            stays = context.Process(target=pour, args=(url, 32, queue, inputs_of(model)))
            doomed.start()
            stays.start()
            while info(url)["now"]["streams"] < 64 or counts(url)["steps"] < 2000:
                time.sleep(0.05)
            time.sleep(rng.uniform(0.1, 0.5))
            doomed.kill()
            doomed.join()
            killed += 32
            while info(url)["now"]["streams"] > 32:
                time.sleep(0.05)
            time.sleep(rng.uniform(0.1, 0.5))
            # A row that the batch at work has is free when that is done.
            left += info(url)["now"]["rows"] - 32
            process.send_signal(signal.SIGTERM)
            talks = queue.get(timeout=60)
            stays.join()
            told = json.loads(process.communicate(timeout=60)[0])
        streams += len(talks)
        unanswered += told["unanswered"]
        found, wrong = checked(model, talks)
        answered += found
        differing += wrong
    lines = [
        f"| SIGTERM in the middle, {times} times, 32 streams each | |",
        "|---|--:|",
        f"| messages that were answered | {answered:,} |",
        f"| answers that differ from the stream alone | {differing} |",
        f"| messages accepted and not answered | {unanswered} |",
        f"| streams that were told code 1001 | {streams} |",
        f"| streams of clients killed with SIGKILL before | {killed} |",
        f"| rows of state that these left behind | {left} |",
    ]
    show("\n" + "\n".join(lines))
    return "\n".join(lines) + "\n"


def pour(url: str, streams: int, queue: Any, width: int) -> None:
    """Clients that send ahead of their answers, until they are told farewell."""
    talks = asyncio.run(_pour(url, streams, width))
    if queue is not None:
        queue.put(talks)


async def _pour(url: str, streams: int, width: int) -> list[Any]:
    place = f"{url.replace('http', 'ws')}/stream?binary=uint8"

    async def talk(seed: int) -> Any:
        came = []
        async with connect(place, compression=None, open_timeout=None) as socket:
            # More than the service takes at once, so that some is on its way at any moment.
            ahead = asyncio.Semaphore(AHEAD)

            async def send() -> None:
                for n in range(10**6):
                    await ahead.acquire()
                    await socket.send(spikes_of(seed, n, 1, width).astype(np.uint8).tobytes())

            sender = asyncio.create_task(send())
            try:
                while True:
                    answer = await socket.recv()
                    came.append(np.frombuffer(answer, "<f4").reshape(1, -1))
                    ahead.release()
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else repr(closed)
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
        return seed, code, came

    return list(await asyncio.gather(*(talk(seed) for seed in range(streams))))


def checked(model: Path, talks: list[Any]) -> tuple[int, int]:
    """How many answers came, and how many of their numbers are wrong."""
    run, width = alone(model), inputs_of(model)
    answered = differing = 0
    for seed, code, came in talks:
        if code != 1001:
            sys.exit(f"a stream was closed with code {code}")
        xs = np.concatenate([spikes_of(seed, n, 1, width) for n in range(len(came))])
        differing += np.count_nonzero(np.concatenate(came) != run(xs))
        answered += len(came)
    return answered, differing


def alone(model: Path) -> Callable[[Any], Any]:
    """An executor that has one stream to itself: from steps (T, features) to outputs."""
    # Not above: clients are processes of their own, which need none of it.
    import torch

    from t1c import bridge

    graph = ir.read(model)
    executor = bridge.ir_to_torch(graph, dtype=torch.float32, trainable=False, reproducible=True)
    shape = next(iter(graph.inputs().values())).shape

    def run(xs: Any) -> Any:
        return executor.run(torch.from_numpy(xs).reshape(len(xs), 1, *shape))[0][:, 0].numpy()

    return run


# The service -------------------------------------------------------------------------------------


@contextmanager
def service(model: Path, *options: str) -> Iterator[tuple[Any, str]]:
    """A service as a process of its own, and where it is."""
    command = [sys.executable, "-m", "t1c.cli", "serve", str(model), "--port", "0", "--json"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def info(url: str) -> Any:
    """What a service tells of itself."""
    with urllib.request.urlopen(f"{url}/info") as answer:
        return json.load(answer)


def counts(url: str) -> Any:
    """What it has done."""
    return info(url)["done"]


def inputs_of(model: Path) -> int:
    """How many features a step has."""
    return sum(int(np.prod(node.shape)) for node in ir.read(model).inputs().values())


def processor(pid: int) -> float:
    """Seconds of processor time that a process used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def show(text: str) -> None:
    """Print, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
