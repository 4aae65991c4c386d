"""Reads files that may hang, crash or exhaust their reader, in a process that may be lost.

``outcomes(paths)`` says for each file what ``ir.read``, or ``nir.read`` of a ``.nir`` file, made of
it; run as a script, this file is a process that imports what reads, and is forked for each call.
"""

import atexit
import contextlib
import ctypes
import functools
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

MEGABYTES = 512
"""More than any file may take, far less than a bomb would."""


@dataclass(frozen=True)
class Outcome:
    """What became of reading one file.

    ``error`` is the name of the exception, '' if there was none, or 'killed' if the process had
    to be given up. ``seconds`` are of the processor; ``megabytes`` came on top of what the process
    held before.
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
    """What the reader makes of each file, given so many seconds for each."""
    found: list[Outcome] = []
    while len(found) < len(paths):
        lines, status = _read_apart(seconds, paths[len(found) :])
        found += [
            Outcome(path, *json.loads(line))
            for path, line in zip(paths[len(found) :], lines, strict=False)
        ]
        if len(found) < len(paths):
            reason = f"signal {-status}, last words {lines[-1:]}"
            found.append(Outcome(paths[len(found)], "killed", False, reason, seconds, 0.0))
    return found


def _read_apart(seconds: int, paths: Sequence[Path]) -> tuple[list[str], int]:
    """The lines of a fork that reads the files, and its status."""
    asked, told = _forking()
    asked.write(json.dumps([seconds, *(str(path.absolute()) for path in paths)]) + "\n")
    asked.flush()
    lines: list[str] = []
    for line in map(str.strip, told):
        if line.startswith("ended "):
            return lines, int(line.split()[1])
        if line:
            lines.append(line)
    raise RuntimeError("the reader does not start")


@functools.cache
def _forking() -> tuple[IO[str], IO[str]]:
    """What the process that forks is asked, and what it tells; it ends with this one."""
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(process.communicate)
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def peak() -> float:
    """The most megabytes that this process held since ``forget_peak``."""
    with open("/proc/self/status") as status:
        lines = dict(line.split(":", 1) for line in status)
    return int(lines["VmHWM"].split()[0]) / 1024


def forget_peak() -> None:
    """Count the most that this process holds from here on, without what it has no use for."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # what other C libraries lack
        ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as control:
        control.write("5")


def limit_memory(megabytes: int) -> None:
    """Let this process have so many megabytes of addresses more than it has."""
    import resource

    with open("/proc/self/statm") as sizes:
        held = int(sizes.read().split()[0]) * resource.getpagesize()
    most = held + (megabytes << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Fork for each line that asks for files to be read."""
    import traceback
    import warnings

    from t1c import ir, nir

    warnings.simplefilter("ignore", ir.GraphWarning)
    gc.freeze()  # what is imported need not be looked through each time
    for line in sys.stdin:
        child = os.fork()
        if not child:
            try:
                _read(ir, nir, *json.loads(line))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(f"\nended {status}", flush=True)


def _read(ir: Any, nir: Any, seconds: int, *paths: str) -> None:
    """Read each file and print a line about it.

    A signal ends the process, whatever it is doing, after so many seconds of processor time; what
    waits for something gets a minute more, for a machine may be busy.
    """
    limit_memory(MEGABYTES)
    for path in paths:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.alarm(seconds + 60)
        forget_peak()
        base, start = peak(), time.process_time()
        error: BaseException | None = None
        try:
            if path.endswith(".nir"):
                nir.read(path, dt=1e-3)
            else:
                ir.read(path)
        except Exception as caught:
            error = caught
        spent = time.process_time() - start
        ours = isinstance(error, ir.T1CError)
        name, message = (type(error).__name__, str(error)[:5000]) if error else ("", "")
        line = [name, ours, message, spent, peak() - base]
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
