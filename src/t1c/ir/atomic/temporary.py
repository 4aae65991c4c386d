"""The file beside a target while it is written, and those that killed writers left behind.

A living writer holds a lock (``flock``) on its temporary file, which ends with it however it ends.
So whoever gets the lock of another's file knows that its writer is dead, as long as both run on the
same kernel: containers share theirs, machines that share a folder do not, and not every file system
shows the locks of other machines. The name therefore tells the boot and the machine that a file was
made on::

    .model.t1c.<boot>-<machine>-<random>.t1c-tmp

What another machine left is left to its own next write there.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import secrets
import tempfile
import time
from pathlib import Path

from .target import Target

LOCKS = importlib.util.find_spec("fcntl") is not None
"""Whether the system has flock; without, nobody is known to be dead, and nothing is removed."""
SUFFIX = ".t1c-tmp"
BOOT, MACHINE = Path("/proc/sys/kernel/random/boot_id"), Path("/etc/machine-id")
UPTIME = Path("/proc/uptime")
SHARE = 20
"""Looking for leftovers takes at most a part of this size of a process's time, however many files
there are in a folder."""

_NAME = re.compile(
    rf"\..{{0,40}}\.(?P<boot>[0-9a-f]{{8}})-(?P<machine>[0-9a-f]{{8}})-[0-9a-f]{{16}}"
    rf"{re.escape(SUFFIX)}",
    re.DOTALL,
)
_UNKNOWN = "0" * 8
_quiet_until: dict[str, float] = {}


class Temporary:
    """A new empty file in the target's folder, locked while this process lives.

    A stream's is in the system's folder for such files: nothing is to lie beside a device.

    Attributes:
        path: of the file, known before it is there, so that a signal at any moment finds what is to
            be removed.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        folder = Path(tempfile.gettempdir()) if target.stream else target.path.parent
        self.folder, self.descriptor = folder, -1
        self._rename()

    def _rename(self) -> None:
        # Not all of the name: the longest that is allowed fits.
        start = self.target.path.name[:40]
        boot, machine = (_boot(), _machine()) if LOCKS else (_UNKNOWN, _UNKNOWN)
        # Bytes count in a name, and letters of other scripts have up to four.
        while len(os.fsencode(start)) > 160:
            start = start[:-1]
        name = f".{start}.{boot}-{machine}-{secrets.token_hex(8)}{SUFFIX}"
        self.path = self.folder / name

    def make(self) -> None:
        """Make the file. A new target's has the mode of any new file, others are ours alone.

        Raises:
            OSError: the folder cannot be written to.
        """
        new = not self.target.stream and not self.target.path.exists()
        while True:
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
            self.descriptor = os.open(self.path, flags, 0o666 if new else 0o600)
            if _held(self.descriptor) and not os.fstat(self.descriptor).st_nlink:
                # Somebody tidied up between the two lines above.
                os.close(self.descriptor)
                self._rename()
                continue
            return

    def let_go(self) -> None:
        """Give up the lock; the file is where it belongs."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def remove(self) -> None:
        """Remove the file, if it is there."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        self.let_go()


def remove_leftovers(folder: Path) -> int:
    """Remove the temporary files in a folder whose writers are dead.

    Returns:
        How many were removed.
    """
    start = time.monotonic()
    if not LOCKS or start < _quiet_until.get(str(folder), start):
        return 0
    removed = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(SUFFIX):
                removed += _removed(Path(entry.path))
    end = time.monotonic()
    _quiet_until[str(folder)] = end + SHARE * (end - start)
    return removed


def _removed(path: Path) -> bool:
    name = _NAME.fullmatch(path.name)
    if name is None or not _from_here(path, name["boot"], name["machine"]):
        return False
    try:
        held = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        if not _alone(held):
            return False
        # The name, not the file: it has been moved into its place if the name is not there.
        os.unlink(path)
        return True
    except OSError:
        return False
    finally:
        os.close(held)


def _from_here(path: Path, boot: str, machine: str) -> bool:
    """Whether locks tell of its writer: it runs on this kernel, or ended with one before it."""
    if _UNKNOWN in (boot, machine):
        return False
    if boot == _boot():
        return True
    try:
        # On a machine of the same name and number, before it was started anew.
        up = float(UPTIME.read_text().split()[0])
        return machine == _machine() and os.stat(path).st_mtime < time.time() - up
    except (OSError, ValueError, IndexError):
        return False


def _held(file: int) -> bool:
    """Lock a file that is being written, which nobody else may then have for themselves."""
    # Shared, as readers have it: HDF5's lock a file by themselves, and this one will have moved
    # into its place before its lock is given up.
    return _locked(file, "LOCK_SH")


def _alone(file: int) -> bool:
    """Lock a file for ourselves, if nobody has it at all."""
    return _locked(file, "LOCK_EX", "LOCK_NB")


def _locked(file: int, *how: str) -> bool:
    if not LOCKS:
        return False
    import fcntl

    try:
        fcntl.flock(file, sum(getattr(fcntl, name) for name in how))
    except OSError:
        return False
    return True


def _boot() -> str:
    return _short(BOOT)


def _machine() -> str:
    return _short(MACHINE, os.uname().nodename)


def _short(path: Path, more: str = "") -> str:
    """A few digits that stand for what a file of the system says; zeros where it says nothing."""
    try:
        text = path.read_text().strip()
    except OSError:
        text = ""
    if not text:
        return _UNKNOWN
    return hashlib.sha256(f"{text} {more}".encode()).hexdigest()[:8]
