"""Numbers as JSON and ``.npz`` archives hold them. Nothing is unpickled, and no size believed."""

from __future__ import annotations

import io
import json
import math
import zipfile
from typing import IO, Any

import numpy as np

from t1c.ir.errors import InputError, Problem, T1CError
from t1c.ir.fields import Array

from .refusals import RefusedError

ENTRIES = 64
"""Arrays in an archive."""
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How np.savez and np.savez_compressed write them."""
HEAD = 10_000
"""Bytes of what stands before an array's numbers."""


def parsed(text: str | bytes, where: str) -> Any:
    """What JSON says.

    Raises:
        InputError: it is none, holds NaN or Infinity, which JSON has no word for, or is nested too
            deeply.
    """
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        said = str(error) or type(error).__name__
        raise InputError(Problem(f"no JSON ({said})", "JSON in UTF-8", where=where)) from None


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def dumped(value: Any) -> str:
    """A value as JSON.

    Raises:
        InputError: it holds NaN or infinite numbers.
    """
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        raise InputError(
            Problem(
                "NaN or infinite numbers in what came out",
                "finite numbers, which JSON has words for",
                "Ask in binary, or with an .npz archive.",
            )
        ) from None


def real(value: Any, where: str, dtype: Any) -> Array:
    """Nested lists as an array.

    Raises:
        InputError: they are not numbers, or not of one shape.
    """
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError, RecursionError):
        array = np.asarray(None)
    if array.dtype.kind not in "biuf" or (array.size == 0 and array.ndim < 2):
        raise InputError(
            Problem("no array of numbers", "numbers in lists of one length", where=where)
        )
    return cast(array, dtype)


def cast(array: Array, dtype: Any) -> Array:
    """An array in a dtype; what is too large for it becomes infinite, and is refused as that."""
    with np.errstate(over="ignore"):
        return array.astype(dtype)


def finite(array: Array, allow: bool, where: str) -> None:
    """Refuse NaN and infinite numbers, unless they are allowed.

    Raises:
        InputError: there are some.
    """
    if not allow and not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise InputError(
            Problem(
                f"{count} of {array.size} values are NaN or infinite",
                "finite numbers",
                "A service started with --allow-nonfinite takes them.",
                where,
            )
        )


def unpacked(data: bytes, limit: int) -> dict[str, Array]:
    """The arrays of an ``.npz`` archive by name.

    Args:
        data: the archive.
        limit: bytes that they may take together.

    Raises:
        InputError: it is none, or holds something other than arrays of numbers.
        RefusedError: they take more.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > ENTRIES:
                raise InputError(Problem(f"{len(entries)} arrays", f"at most {ENTRIES}"))
            # What else there is unpacks without bounds: a few bytes of bzip2 may be gigabytes.
            if not all(entry.compress_type in PACKED for entry in entries):
                raise InputError(Problem("another compression than deflate", "none, or deflate"))
            total = sum(entry.file_size for entry in entries)
            if total > limit:
                expected = f"at most {limit} in one call"
                raise RefusedError(
                    413, Problem(f"{total} bytes, unpacked", expected, "Send fewer.")
                )
            found = {}
            for entry in entries:
                name = entry.filename.removesuffix(".npy")
                with archive.open(entry) as file:
                    found[name] = _array(file, entry.file_size, f"array {name!r}")
            return found
    except T1CError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy each have errors of their own
        kind = type(error).__name__
        expected = "an .npz archive, as np.savez writes it"
        raise InputError(Problem(f"no archive ({kind}: {error})", expected, where="body")) from None


def _array(file: IO[bytes], size: int, where: str) -> Array:
    """One array, if its head fits the bytes that are there."""
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise InputError(Problem(f"an array of version {version}", "1.0 or 2.0", where=where))
    shape, by_column, dtype = read(file, max_header_size=HEAD)
    if dtype.kind not in "biuf":
        found = "Python objects" if dtype.hasobject else f"dtype {dtype}"
        raise InputError(Problem(found, "real numbers", where=where))
    wanted = math.prod(shape) * dtype.itemsize
    if wanted > size or min(shape, default=0) < 0:
        found = f"shape {shape} of {dtype} in {size} bytes"
        raise InputError(Problem(found, f"{wanted} bytes", where=where))
    numbers = file.read(wanted + 1)
    if len(numbers) != wanted:
        raise InputError(Problem(f"{len(numbers)} bytes", str(wanted), where=where))
    array = np.frombuffer(numbers, dtype)
    return array.reshape(shape, order="F" if by_column else "C")


def packed(arrays: dict[str, Array]) -> bytes:
    """Arrays as an ``.npz`` archive."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()
