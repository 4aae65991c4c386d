"""Reads files that may hang or crash HDF5, each in a process that may be lost.

``outcomes(paths)`` says for each file what ``ir.read`` made of it; run as a script, this file is
the process that reads.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """What became of reading one file.

    ``error`` is the name of the exception, '' if there was none, or 'killed' if the process had
    to be given up.
    """

    path: Path
    error: str
    is_ours: bool
    message: str
    seconds: float
    megabytes: float

    @property
    def refused(self) -> bool:
        """Refused as it should be."""
        return self.is_ours and bool(self.error)


def outcomes(paths: Sequence[Path], seconds: int = 10) -> list[Outcome]:
    """What ``ir.read`` makes of each file, given so many seconds for each."""
    found: list[Outcome] = []
    while len(found) < len(paths):
        left = [str(path) for path in paths[len(found) :]]
        done = subprocess.run(
            [sys.executable, __file__, str(seconds), *left],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60 + seconds * 2,
        )
        found += [
            Outcome(path, *json.loads(line))
            for path, line in zip(paths[len(found) :], done.stdout.splitlines(), strict=False)
        ]
        if len(found) < len(paths):
            reason = f"signal {-done.returncode}, last words {done.stdout[-200:]!r}"
            found.append(Outcome(paths[len(found)], "killed", False, reason, seconds, 0.0))
    return found


def main(seconds: int, paths: list[str]) -> None:
    """Read each file and print a line about it; SIGALRM ends the process, whatever it is doing."""
    import resource
    import warnings

    from t1c import ir

    warnings.simplefilter("ignore", ir.GraphWarning)
    # Enough for the interpreter and its libraries, far from enough for a bomb.
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    base = peak()
    for path in paths:
        signal.alarm(seconds)
        start = time.perf_counter()
        error: BaseException | None = None
        try:
            ir.read(path)
        except Exception as caught:
            error = caught
        ours = isinstance(error, ir.T1CError)
        name, message = (type(error).__name__, str(error)[:2000]) if error else ("", "")
        line = [name, ours, message, time.perf_counter() - start, peak() - base]
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
