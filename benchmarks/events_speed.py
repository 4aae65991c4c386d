"""How many events a second become frames: ours beside NumPy's ``add.at``, alternating.

Prints millions of events a second (CPU time of one thread, medians) for a sensor of 346 x 260 and
structured arrays as Tonic lays them. Run: ``python benchmarks/events_speed.py [events]``.
"""

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from t1c.events import events_to_frames
from t1c.events.fields import EVENT
from t1c.ir.fields import Array

Candidate = Callable[[Array, int], Array]

WIDTH, HEIGHT, SECOND = 346, 260, 1_000_000


def random_events(n: int) -> Array:
    """``n`` events of a second, in order."""
    rng = np.random.default_rng(0)
    events = np.empty(n, EVENT)
    events["x"], events["y"] = rng.integers(0, WIDTH, n), rng.integers(0, HEIGHT, n)
    events["t"], events["p"] = np.sort(rng.integers(0, SECOND, n)), rng.integers(0, 2, n)
    return events


def ours(events: Array, window: int) -> Array:
    """Frames by t1c."""
    return events_to_frames(events, (WIDTH, HEIGHT), window=window, start=0, end=SECOND)


def by_add_at(events: Array, window: int) -> Array:
    """Frames by the line of NumPy that everybody writes first."""
    frames = np.zeros((SECOND // window, 2, HEIGHT, WIDTH), np.float32)
    at = (events["t"] // window, events["p"].astype(int), events["y"], events["x"])
    np.add.at(frames, at, 1)
    return frames


def main() -> None:
    """Alternate the two, and print a line for each number of frames."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 4_000_000
    events = random_events(n)
    for window in (100_000, 10_000, 1000):
        assert (ours(events[:100_000], window) == by_add_at(events[:100_000], window)).all()
        taken: dict[Candidate, list[float]] = {ours: [], by_add_at: []}
        for _ in range(5):
            for candidate, times in taken.items():
                begin = time.thread_time()
                candidate(events, window)
                times.append(time.thread_time() - begin)
        rates = "  ".join(
            f"{c.__name__} {n / statistics.median(t) / 1e6:.0f} M/s" for c, t in taken.items()
        )
        sys.stdout.write(f"{SECOND // window:5} frames: {rates}\n")


if __name__ == "__main__":
    main()
