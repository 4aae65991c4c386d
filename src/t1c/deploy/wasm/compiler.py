"""Clang, which compiles for WebAssembly where its linker is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from t1c.ir.errors import Problem, UnsupportedError

from .glue import EXPORTS

FLAGS = (
    "--target=wasm32",
    "-std=c99",
    "-O2",
    "-ffp-contract=off",
    "-ffreestanding",
    "-nostdlib",
    "-mbulk-memory",
    "-Wl,--no-entry",
    "-Wl,--strip-all",
    *(f"-Wl,--export={name}" for name in EXPORTS),
)


def compiled(folder: Path, sources: Sequence[str], name: str) -> Path:
    """Compile the sources of a folder into one module, and say where it is.

    Raises:
        UnsupportedError: clang or its linker is missing, or cannot do it.
    """
    missing = [tool for tool in ("clang", "wasm-ld") if shutil.which(tool) is None]
    if missing:
        raise UnsupportedError(
            Problem(
                f"{' and '.join(missing)} not found",
                "clang and lld, which compile C for WebAssembly",
                "On Debian and Ubuntu they come with 'apt install clang lld'.",
            )
        )
    command = ["clang", *FLAGS, "-I.", "-o", f"{name}.wasm", *sources]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnsupportedError(
            Problem(
                f"clang failed: {done.stderr.strip()[-500:]}",
                "a clang that compiles for wasm32",
                "Try a newer one; 14 is known to do it.",
            )
        )
    return folder / f"{name}.wasm"
