"""What a file is that is not what it should be: told from its first bytes, with what to do."""

from __future__ import annotations

import os
import stat
import zipfile

from .npz import UNREADABLE

HDF5 = b"\x89HDF\r\n\x1a\n"
HDF5_FILE = "an HDF5 file"
ORDER = "Mind the order: the network comes first, then the samples."
EXPORT = "Load it in Python, and export the model with t1c.bridge.to_ir(model, sample)."
UNPACK = "Unpack it first."
WHOLE = "Check that it arrived whole."

STARTS = {
    b"\x93NUMPY": ("a single NumPy array (.npy)", "Arrays are data for a network, not one."),
    b"PK\x03\x04": ("a damaged archive (.npz or .zip)", WHOLE),
    b"\x1f\x8b": ("packed with gzip", UNPACK),
    b"BZh": ("packed with bzip2", UNPACK),
    b"\xfd7zXZ\x00": ("packed with xz", UNPACK),
    b"\x28\xb5\x2f\xfd": ("packed with zstd", UNPACK),
    b"\x80\x02": ("a Python pickle", EXPORT),
    b"\x80\x03": ("a Python pickle", EXPORT),
    b"\x80\x04": ("a Python pickle", EXPORT),
    b"\x80\x05": ("a Python pickle", EXPORT),
}
"""How files of other kinds begin, what they are, and what to do with them."""


def found_instead(path: str | os.PathLike[str]) -> tuple[str, str]:
    """What lies at ``path``, and what to do about it; for messages, nothing of it is trusted."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        return "a folder", "Name the file in it."
    if not stat.S_ISREG(mode):
        return "no ordinary file", "Copy what it gives into a file first."
    with open(path, "rb") as file:
        start = file.read(512)
    if not start:
        return "an empty file", WHOLE
    if start.startswith(HDF5):
        return HDF5_FILE, ORDER
    if zipfile.is_zipfile(path):
        return _archive(path)
    for begin, kind in STARTS.items():
        if start.startswith(begin):
            return kind
    if _is_text(start):
        if start.startswith(b"version https://git-lfs"):
            return "a pointer of Git LFS", "Fetch the file itself with git lfs pull."
        return "a text file", "A network is what t1c.ir.write has written."
    return "a file of another kind", WHOLE


def _archive(path: str | os.PathLike[str]) -> tuple[str, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, *UNREADABLE):
        return "a damaged zip archive", WHOLE
    if any(name.endswith("data.pkl") for name in names):
        return "a file of torch.save", EXPORT
    if names and all(name.endswith(".npy") for name in names):
        return "an .npz file", ORDER
    return "a zip archive", UNPACK


def _is_text(start: bytes) -> bool:
    """Whether bytes are UTF-8 that people read; a last letter may be cut."""
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:
            return False
        text = start[: error.start].decode()
    return all(c.isprintable() or c in "\t\n\r\f" for c in text)
