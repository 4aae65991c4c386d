"""What a file has besides its content: it passes to the file that takes its place."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

ACCESS = "system.posix_acl_access"
"""The extended attribute that holds the list of who may do what."""


def hand_on(old: Path, new: Path) -> None:
    """Give ``new`` the owner, the mode and the extended attributes of ``old``, where permitted.

    Only root may give a file away, and anybody a group that they belong to. Access lists and labels
    are extended attributes; what the system keeps from us stays with the old file.
    """
    found = os.stat(old)
    with contextlib.suppress(OSError):
        os.chown(new, found.st_uid, -1)
    with contextlib.suppress(OSError):
        os.chown(new, -1, found.st_gid)
    os.chmod(new, stat.S_IMODE(found.st_mode))  # after the owner, whose change clears bits of it
    if hasattr(os, "listxattr"):
        _hand_on_extended(old, new)


def _hand_on_extended(old: Path, new: Path) -> None:
    with contextlib.suppress(OSError):
        kept = os.listxattr(old)
        for name in kept:
            with contextlib.suppress(OSError):
                os.setxattr(new, name, os.getxattr(old, name))
        if ACCESS not in kept and ACCESS in os.listxattr(new):
            # From the folder, which gives it to every file that is made in it.
            os.removexattr(new, ACCESS)
            os.chmod(new, stat.S_IMODE(os.stat(old).st_mode))
